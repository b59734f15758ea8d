#!/bin/bash
# The daemon is killed in the middle of the work, again and again. What was
# finished before is whole after, and nothing needs repair.
#
# ROUNDS=n and SEED=n in the environment repeat a run; KEEP=directory gets a
# store that does not come back.
. "$(dirname "$0")/mount_lib.sh"

rounds=${ROUNDS:-5}
seed=${SEED:-$((10#$(date +%N) % 30000))}
echo "SEED=$seed"
RANDOM=$seed
tree=/usr/include

mkdir "$MNT"
"$SILTFS" mkfs "$STORE" || { fail mkfs; finish; }

# What is told of a store that does not come back would only be told again.
give_up() {
    [ -n "${KEEP:-}" ] && echo "the store as the kill left it is in $KEEP"
    finish
}

kill_daemon() {
    local pid
    mounted || return
    pid=$(daemon_pid)
    kill -9 "$pid"
    wait_until 20 gone "$pid" || fail "killed"
}

for round in $(seq "$rounds"); do
    ok "round $round: mount" "$SILTFS" mount "$STORE" "$MNT" -o memtable=4M
    mounted || give_up
    to=$MNT/copy$round
    mkdir "$to"

    # An open, unlinked file: the next mount must remove it.
    exec 8>"$MNT/orphan"
    head -c 200000 /dev/urandom >&8
    rm "$MNT/orphan"

    # cp names a file just before it copies it: all but the last are finished.
    stdbuf -oL cp -av $tree "$to" >"$T/log" 2>"$T/errors" &
    copier=$!
    dd if=/dev/urandom of="$MNT/stream$round" bs=100k status=none 2>/dev/null &
    writer=$!
    sleep "$((RANDOM % 2)).$(printf %03d $((RANDOM % 1000)))"
    wait_until 10 test -s "$T/log"
    finished=$(($(wc -l <"$T/log") - 1))
    streamed=$(stat -c %s "$MNT/stream$round" 2>/dev/null || echo 0)
    kill_daemon
    kill $copier $writer 2>/dev/null
    wait $copier $writer 2>/dev/null
    exec 8>&-

    umount -l "$MNT"
    [ -n "${KEEP:-}" ] && rm -rf "$KEEP" && cp -a "$STORE" "$KEEP"
    ok "round $round: fsck of the crashed store is clean" "$SILTFS" fsck "$STORE"
    ok "round $round: mount after the crash" "$SILTFS" mount "$STORE" "$MNT"
    mounted || give_up

    head -n $finished "$T/log" | sed -n "s/^'\(.*\)' -> '\(.*\)'\$/\1\t\2/p" >"$T/pairs"
    bad=$(while IFS=$'\t' read -r from dest; do
        if [ -h "$from" ]; then
            [ "$(readlink "$from")" = "$(readlink "$dest")" ] || echo "$dest"
        elif [ -f "$from" ]; then
            cmp -s "$from" "$dest" || echo "$dest"
        else
            [ -d "$dest" ] || echo "$dest"
        fi
    done <"$T/pairs")
    same "round $round: the $finished things copied before the kill are whole" "$bad" ""
    size=$(stat -c %s "$MNT/stream$round" 2>/dev/null || echo 0)
    same "round $round: what was written before is there ($streamed of $size bytes)" \
        "$((size >= streamed))" 1
    "$SILTFS" stats "$MNT" >"$T/stats"
    ok "round $round: stats tells of the recovery" \
        grep -qE 'recovery: [1-9][0-9]* logs?, [1-9][0-9]* batch' "$T/stats"
    ok "round $round: ... and of the orphan" grep -qE '[1-9][0-9]* orphan' "$T/stats"
    ok "round $round: every file can be read" \
        sh -c "find '$MNT' -type f -exec cat {} + >/dev/null"
    echo "round $round: killed after $finished files; $(grep recovery: "$T/stats")"
    rm -f "$MNT/stream$round"
    [ $((RANDOM % 2)) = 0 ] && rm -rf "$to"
    ok "round $round: unmount" "$SILTFS" umount "$MNT"
    ok "round $round: fsck is clean" "$SILTFS" fsck "$STORE"
done
ok "verify is clean" "$SILTFS" verify "$STORE"

# What was synced in one mount is there after the kill, and after a second kill
# in the middle of the recovery's own mount.
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
mounted || finish
head -c 5000000 /dev/urandom >"$T/precious"
cp "$T/precious" "$MNT/precious"
sync "$MNT/precious"
kill_daemon
umount -l "$MNT"
for i in 1 2 3; do
    "$SILTFS" mount -f "$STORE" "$MNT" >/dev/null 2>&1 &
    pid=$!
    sleep "0.0$((RANDOM % 9 + 1))"
    kill -9 $pid
    wait $pid 2>/dev/null
    umount -l "$MNT" 2>/dev/null
done
ok "mount after kills during the mount" "$SILTFS" mount "$STORE" "$MNT"
ok "what was synced is there" cmp "$T/precious" "$MNT/precious"
ok "unmount" "$SILTFS" umount "$MNT"
ok "fsck is clean" "$SILTFS" fsck "$STORE"
finish
