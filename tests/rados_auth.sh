#!/bin/bash
# Stores on a cluster that knows its clients (cephx), as it is set up by the README: with the
# three commands of an administrator, word for word, and a client that may do no more than
# these allow. Run by `make rados`.
. "$(dirname "$0")/mount_lib.sh"
. tests/rados_lib.sh
export CLUSTER_AUTH=cephx CLUSTER_POOL=none
rados_tests 1 1G
S=rados:silt/store
mkdir "$MNT" "$T/mnt2"

# ---- the administrator ----

walked=0
while IFS= read -r line; do
    walked=$((walked + 1))
    ok "$line" timeout 60 sh -c "$line >'$T/said'"
done < <(sed -n '/^## On a Ceph cluster/,/^## Tuning/s/^    \(ceph .*\)/\1/p' README.md)
same "three commands set it up" $walked 3
same "the last one gives a key" "$(grep -c 'key = ' "$T/said")" 1
cp "$T/said" "$C/silt.keyring"
ceph_do osd pool create other 8 8 >/dev/null

# ---- its user ----

says "without a key nobody is let in" "no connection|cannot|rados" env CEPH_ARGS="--id nobody" "$SILTFS" mkfs "$S"
export CEPH_ARGS="--id silt"
ok "with it a store is made" "$SILTFS" mkfs "$S"
not "but not in another pool" "$SILTFS" mkfs rados:other/store
unset CEPH_ARGS
serve "$S" "$MNT" rados_id=silt
one=$SERVING
ok "it is written to" cp -r lsm "$MNT/"
ok "and read" diff -r lsm "$MNT/lsm"
echo before >"$MNT/before"
kill -STOP "$one"
sleep 3.5
: >"$T/log"
serve "$S" "$T/mnt2" rados_id=silt
same "who takes over has what was written" "$(cat "$T/mnt2/before")" before
same "the dead writer was put on the blocklist" "$(grep -c "taking over" "$T/log") $(grep -c "could not be put" "$T/log")" "1 0"
kill -CONT "$one"
not "and writes nothing more" sh -c "echo x >'$MNT/after'"
kill_daemon "$one" "$MNT"
export CEPH_ARGS="--id silt"
ok "it is unmounted" "$SILTFS" umount "$T/mnt2"
ok "a snapshot is made" "$SILTFS" snapshot create "$S" one
ok "and carried away" "$SILTFS" backup "$S@one" "$T/backup" one
same "the store is whole" "$("$SILTFS" fsck "$S" 2>&1 | tail -n 1)" "$S: clean"
finish
