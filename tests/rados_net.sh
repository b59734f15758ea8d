#!/bin/bash
# The network between a mount and its cluster is cut: the mount is in a network namespace
# of its own, with a cable to the cluster that can be pulled. Run by `make rados`, as root.
. "$(dirname "$0")/mount_lib.sh"

SPACE=silt$$
third=$((RANDOM % 250))
CLUSTER_ADDR=10.213.$third.1
. tests/rados_lib.sh
make_cable() {
    ip netns add $SPACE && ip link add ${SPACE}a type veth peer name ${SPACE}b netns $SPACE &&
        ip addr add $ADDR/30 dev ${SPACE}a && ip link set ${SPACE}a up &&
        ip -n $SPACE addr add 10.213.$third.2/30 dev ${SPACE}b &&
        ip -n $SPACE link set ${SPACE}b up && ip -n $SPACE link set lo up
}
remove_cable() {
    ip link del ${SPACE}a
    ip netns del $SPACE
} 2>/dev/null
pull() { ip link set ${SPACE}a down; }
plug() { ip link set ${SPACE}a up; }

if ! make_cable 2>"$T/cable"; then
    remove_cable
    skip "no network namespace: $(tail -n 1 "$T/cable")"
    finish
fi
clean_up_net() {
    clean_up_rados
    remove_cable
}
trap 'clean_up_net' EXIT
rados_tests 1 1G
trap 'clean_up_net' EXIT # cluster_start sets its own
S=rados:silt/store
IN="nsenter --net=/run/netns/$SPACE"
mkdir "$MNT" "$T/mnt2"
ok "a store is made" "$SILTFS" mkfs "$S"

# ---- for a while, beyond the lease, which nobody else wants ----

SERVE_IN=$IN serve "$S" "$MNT"
one=$SERVING
echo 0 >"$T/written"
(for i in {1..100000}; do
    [ -e "$T/enough" ] && exit
    echo $i >"$MNT/n$i" || exit 1
    echo $i >"$T/written"
done) 2>"$T/writer" &
writer=$!
sleep 1
pull
sleep 1
before=$(cat "$T/written")
sleep 4
same "while the cable is out, who writes waits" "$(cat "$T/written")" "$before"
ok "and is not told anything" alive $writer
plug
goes_on() { [ "$(cat "$T/written")" -gt $((before + 10)) ]; }
ok "it is in again: writing goes on" wait_until 120 goes_on
: >"$T/enough"
ok "to the end" wait_until 120 gone $writer
same "without an error" "$(cat "$T/writer")" ""
n=$(cat "$T/written")
ok "it is unmounted" "$SILTFS" umount "$MNT"
serve "$S" "$MNT"
lost=0
for ((i = 1; i <= n; i++)); do
    [ "$(cat "$MNT/n$i")" = $i ] || lost=$((lost + 1))
done
same "nothing of $n files is lost" $lost 0
ok "it is unmounted, too" "$SILTFS" umount "$MNT"

# ---- for good: another takes over ----

SERVE_IN=$IN serve "$S" "$MNT"
one=$SERVING
echo before >"$MNT/before"
exec 9>>"$MNT/opened"
pull
(echo late >"$MNT/late") 2>"$T/late" &
writer=$!
sleep 4
serve "$S" "$T/mnt2"
same "who takes over has what was written before" "$(cat "$T/mnt2/before")" before
echo new >"$T/mnt2/new"
plug
ok "the cable is in again: who waits is told" wait_until 120 gone $writer
ok "that it failed" grep -q "rror" "$T/late"
not "and can write nothing more" python3 -c 'import os; os.write(9, b"later"); os.fsync(9)'
exec 9>&-
same "nothing of it is in the store" "$(ls "$T/mnt2" | grep -c late) $(cat "$T/mnt2/opened" 2>/dev/null)" "0 "
same "the new one goes on" "$(cat "$T/mnt2/new")" new
kill_daemon "$one" "$MNT"
ok "it is unmounted" "$SILTFS" umount "$T/mnt2"
same "the store is whole" "$("$SILTFS" fsck "$S" 2>&1 | tail -n 1)" "$S: clean"
finish
