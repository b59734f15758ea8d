#!/bin/bash
# Two clusters beside each other, with a store of one name in each: nobody takes one for the
# other, nor waits for what is mounted of the other. Run by `make rados`.
. "$(dirname "$0")/mount_lib.sh"
. tests/rados_lib.sh

# The second one is a process of its own, until it is told to end.
second() {
    (
        C= OSD_PID=() MON_PID=
        CLEAN_UP=cluster_stop cluster_start 1 256M >"$T/cluster2" 2>&1 || exit 1
        echo "$CEPH_CONF" >"$T/conf.tmp" && mv "$T/conf.tmp" "$T/conf2"
        while [ ! -e "$T/enough" ]; do sleep 0.2; done
    ) &
    SECOND=$!
}
clean_up_both() {
    : >"$T/enough"
    wait "$SECOND" 2>/dev/null
    clean_up_rados
}
rados_tests 1 256M
trap clean_up_both EXIT
second
wait_until 120 test -e "$T/conf2" || { fail "a second cluster comes up" "$(tail -n 20 "$T/cluster2")"; finish; }
ONE=$CEPH_CONF
two() { env CEPH_CONF="$(cat "$T/conf2")" "$@"; }
S=rados:silt/store
mkdir "$MNT" "$T/mnt2" "$T/mnt3"

ok "a store is made in one" "$SILTFS" mkfs "$S"
ok "and in the other" two "$SILTFS" mkfs "$S"
serve "$S" "$MNT"
one=$SERVING
echo one >"$MNT/which"
ok "a snapshot of the one is made" "$SILTFS" snapshot create "$S" here

# ---- the one is mounted, and does not answer ----

kill -STOP "$one"
ok "of the other a snapshot is made all the same" two timeout 60 "$SILTFS" snapshot create "$S" first
same "and is there" "$(two timeout 60 "$SILTFS" snapshot list "$S" | grep -c "first\|here")" 1
ok "it is backed up" two timeout 60 "$SILTFS" backup "$S" "$T/backup" first
ok "and its figures are told" two timeout 60 "$SILTFS" stats "$S"
export CEPH_CONF=$(cat "$T/conf2")
serve "$S" "$T/mnt2"
echo two >"$T/mnt2/which"
ok "mounted beside it it is asked itself" timeout 60 "$SILTFS" snapshot create "$S" second
same "and has it" "$(cat "$T/mnt2/.siltfs/snapshots/second/which")" two
says "who has it is told" "mounted on $T/mnt2 by" "$SILTFS" mount "$S" "$T/mnt3"
kill -CONT "$one"

# ---- both answer ----

says "a mount of the one is not read from the other" "another cluster" "$SILTFS" backup "$MNT@here" "$T/backup" x
ok "orders go to the mount that is named" "$SILTFS" snapshot create "$MNT" there
same "not to the other" "$("$SILTFS" snapshot list "$S" | grep -c there)" 0
ok "the other is unmounted" "$SILTFS" umount "$T/mnt2"
export CEPH_CONF=$ONE
same "each has its own" "$("$SILTFS" snapshot list "$S" | grep -c "here\|there") $("$SILTFS" snapshot list "$S" | grep -c "first\|second")" "2 0"
ok "the one is backed up" "$SILTFS" backup "$MNT@here" "$T/backup" here
ok "and unmounted" "$SILTFS" umount "$MNT"
finish
