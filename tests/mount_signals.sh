#!/bin/bash
# How a mount ends: by umount, by signals, in use and not, and what comes next.
. "$(dirname "$0")/mount_lib.sh"

fresh || { fail "a fresh store mounts"; finish; }
echo first >"$MNT/file"
"$SILTFS" umount "$MNT"

at_end() { # at_end MESSAGE PID
    ok "$1: the mount goes" wait_until 120 unmounted
    ok "$1: the daemon ends" wait_until 120 gone "$2"
    ok "$1: the store is clean" "$SILTFS" fsck "$STORE"
    same "$1: nothing had to be recovered" \
        "$("$SILTFS" stats "$STORE" | grep -c 'recovery: 0 logs, 0 batches')" 1
}

for signal in TERM INT HUP; do
    ok "$signal: mount" "$SILTFS" mount "$STORE" "$MNT"
    echo $signal >"$MNT/by-$signal"
    pid=$(daemon_pid)
    kill -$signal "$pid"
    at_end $signal "$pid"
done
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
same "what was written before each signal is there" "$(cat "$MNT"/by-* | xargs)" "HUP INT TERM"

# In use: users are cut off, what they wrote is kept.
pid=$(daemon_pid)
exec 8>"$MNT/in-use"
echo before >&8
kill -TERM "$pid"
at_end "TERM while in use" "$pid"
not "its user gets an error" bash -c 'echo after >&8'
exec 8>&-
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
same "what was written is there" "$(cat "$MNT/in-use")" before

# In the middle of writing.
pid=$(daemon_pid)
dd if=/dev/zero of="$MNT/stream" bs=64k 2>/dev/null &
writer=$!
ok "somebody writes" wait_until 120 test -s "$MNT/stream"
kill -TERM "$pid"
wait $writer
at_end "TERM while writing" "$pid"

# Several signals, and one while the store is being closed.
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
pid=$(daemon_pid)
head -c 20000000 /dev/urandom >"$MNT/big"
kill -TERM "$pid"; kill -INT "$pid"; kill -HUP "$pid"
at_end "three signals" "$pid"

# Signals that mean nothing.
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
pid=$(daemon_pid)
kill -PIPE "$pid"; kill -USR1 "$pid"
ok "SIGPIPE and SIGUSR1 do no harm" ls "$MNT"

# umount in use, lazy, and by umount(8).
# Three times at most: on a busy machine he may look for longer than a moment.
umount_beside_a_look() {
    local i
    for i in 1 2 3; do
        (cd "$MNT" && sleep 0.4) &
        sleep 0.1
        "$SILTFS" umount "$MNT" && return
        wait $!
    done
    return 1
}
ok "umount waits a moment for who looks at the mount" umount_beside_a_look
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
pid=$(daemon_pid)
exec 8>"$MNT/in-use"
says "umount of a mount in use says so" "in use" "$SILTFS" umount "$MNT"
ok "umount -l detaches" "$SILTFS" umount -l "$MNT"
ok "... at once" unmounted
ok "... the user can go on" bash -c 'echo more >&8'
exec 8>&-
ok "... and the daemon ends after the last" wait_until 120 gone "$pid"
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
same "what was written is there" "$(cat "$MNT/in-use")" more
for i in $(seq 10); do
    echo $i >"$MNT/round"
    umount "$MNT" && "$SILTFS" mount "$STORE" "$MNT" || fail "mount right after umount(8), $i"
    [ "$(cat "$MNT/round")" = $i ] || fail "mount right after umount(8) sees all, $i"
done
pass
# On a busy machine the daemon may not notice for long that it is unmounted.
pid=$(daemon_pid)
kill -STOP "$pid"
python3 -c 'import ctypes, sys; ctypes.CDLL(None).umount2(sys.argv[1].encode(), 2)' "$MNT"
(sleep 2.5 && kill -CONT "$pid") &
ok "mount waits for a daemon that has not noticed that it is unmounted" \
    "$SILTFS" mount "$STORE" "$MNT"
head -c 30000000 /dev/urandom >"$T/ref"
cp "$T/ref" "$MNT/ref"
pid=$(daemon_pid)
ok "umount" "$SILTFS" umount "$MNT"
ok "... returns when the daemon is gone" gone "$pid"

# In the foreground.
"$SILTFS" mount -f "$STORE" "$MNT" 2>"$T/err" &
pid=$!
ok "-f: mounts" wait_until 120 mounted
ok "-f: serves" cmp "$T/ref" "$MNT/ref"
kill -INT $pid
wait $pid
same "-f: ends well by SIGINT" $? 0
same "-f: says nothing" "$(cat "$T/err")" ""
"$SILTFS" mount -f "$STORE" "$MNT" &
pid=$!
ok "-f: mounts" wait_until 120 mounted
ok "-f: umount" "$SILTFS" umount "$MNT"
wait $pid
same "-f: ends well by umount" $? 0

# A daemon that is stopped in the middle of a request answers when it goes on.
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
pid=$(daemon_pid)
kill -STOP "$pid"
cat "$MNT/by-TERM" >"$T/out" &
reader=$!
sleep 0.2
kill -CONT "$pid"
wait $reader
same "a stopped daemon goes on" "$(cat "$T/out")" TERM

# A reader that is killed while it waits leaves no trouble.
kill -STOP "$pid"
ls -l "$MNT" >/dev/null 2>&1 &
reader=$!
sleep 0.1
kill -INT $reader
kill -CONT "$pid"
wait $reader 2>/dev/null
ok "an interrupted request does no harm" ls -l "$MNT"
ok "unmount" "$SILTFS" umount "$MNT"
ok "fsck is clean" "$SILTFS" fsck "$STORE"
finish
