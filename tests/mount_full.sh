#!/bin/bash
# A disk that is full: what was written stays, reading goes on, deleting works and
# gives room, and writing resumes by itself; the daemon says so, once. Killed while the
# disk is full, it mounts again, without a byte lost. On an ext4 of 256 MiB in a file.
. "$(dirname "$0")/mount_lib.sh"

disk=$T/disk
mkdir "$disk"
truncate -s 256M "$T/image"
if ! { mkfs.ext4 -q -m 0 "$T/image" && mount -o loop "$T/image" "$disk"; } 2>"$T/why"; then
    skip "no loop-mounted ext4 here: $(head -n 1 "$T/why")"
    finish
fi
STORE=$disk/store
mkdir -p "$MNT"
"$SILTFS" mkfs "$STORE" || { fail "a fresh store"; umount "$disk"; finish; }

# In the foreground: its log is stderr.
serve() {
    "$SILTFS" mount -f "$STORE" "$MNT" </dev/null >/dev/null 2>"$T/log" &
    wait_until 120 mounted
}
ok "it mounts" serve

# acknowledge NAME KIB : a file of random bytes, synced; when that succeeded, its sum is
# noted. False when the disk is full.
: >"$T/sums"
acknowledge() {
    local sum
    mounted || return 1 # else it would go to the host, for ever
    head -c $(($2 * 1024)) /dev/urandom >"$T/new"
    sum=$(sha256sum <"$T/new") || return 1
    dd if="$T/new" of="$MNT/$1" bs=1M conv=fsync status=none 2>"$T/err" || return 1
    echo "${sum%% *}  $1" >>"$T/sums"
}

# All that was acknowledged and not deleted is whole.
whole() {
    same "$1" "$(cd "$MNT" && sha256sum -c --quiet "$T/sums" 2>&1 | head -n 3)" ""
}

# forget N : delete all but every N-th of what was acknowledged.
forget() {
    local bad=0 name
    while read -r name; do rm "$MNT/$name" || bad=$((bad + 1)); done < <(
        awk -v n="$1" 'NR % n {print $2}' "$T/sums")
    same "every file can be deleted" $bad 0
    awk -v n="$1" 'NR % n == 0' "$T/sums" >"$T/left"
    mv "$T/left" "$T/sums"
}

fill() { # fill PREFIX : large files and, in what they leave, small ones, until none fits
    local i=0
    while acknowledge "$1$i" 4096; do i=$((i + 1)); done
    ok "the error is the disk's" grep -q "No space left" "$T/err"
    rm -f "$MNT/$1$i"
    i=0
    while acknowledge "$1s$i" 4 && [ $i -lt 200 ]; do i=$((i + 1)); done
    rm -f "$MNT/$1s$i"
}

full_once=$(
    fill f >&2
    wc -l <"$T/sums"
)
ok "most of the disk was written" [ "$full_once" -gt 40 ]
dd if=/dev/urandom of="$MNT/more" bs=1M count=4 status=none 2>/dev/null &&
    fail "a full disk takes no more"
rm -f "$MNT/more"
whole "on a full disk all that was acknowledged is whole"
ok "the log says so" grep -q "siltfs: .*the disk is full; only deleting is possible" "$T/log"
same "... once" "$(grep -c "the disk is full" "$T/log")" 1
ok "its statistics say so" sh -c "'$SILTFS' stats '$MNT' | grep -q 'DISK FULL: only deleting'"

forget 10
whole "what was not deleted is whole"
writes() { dd if=/dev/urandom of="$MNT/again" bs=1M count=20 conv=fsync status=none 2>/dev/null; }
ok "writing resumes without a new mount" wait_until 120 writes
ok "... and the log says so" grep -q "there is room again: writing goes on" "$T/log"
not "... and the statistics say nothing more" \
    sh -c "'$SILTFS' stats '$MNT' | grep -qE 'DISK FULL|READ-ONLY|FAILING'"
shrunk() { [ "$(du -sm "$STORE" | cut -f1)" -lt 120 ]; }
ok "the store shrank" wait_until 120 shrunk
rm "$MNT/again"

# Full again, and killed.
fill g
pid=$(daemon_pid)
kill -9 "$pid"
wait_until 120 gone "$pid"
umount -l "$MNT"
ok "killed while the disk is full: fsck is clean" "$SILTFS" fsck "$STORE"
ok "... it mounts again" serve
whole "... and has all that was acknowledged"
forget 10
ok "... and writing resumes" wait_until 120 writes
whole "... and what was not deleted is whole"

pid=$(daemon_pid)
ok "it unmounts" "$SILTFS" umount "$MNT"
wait_until 120 gone "$pid"
ok "it is sound" "$SILTFS" fsck "$STORE"
ok "it mounts again" "$SILTFS" mount "$STORE" "$MNT"
whole "and has what it had"
ok "it unmounts again" "$SILTFS" umount "$MNT"

# Killed while there was room, which others take before it is mounted again.
ok "it serves" serve
ok "a file" acknowledge late 20480
wait_until 120 test -e "$STORE/RESERVE"
pid=$(daemon_pid)
kill -9 "$pid"
wait_until 120 gone "$pid"
umount -l "$MNT"
dd if=/dev/zero of="$disk/others" bs=1M status=none 2>/dev/null
dd if=/dev/zero of="$disk/others" bs=1k oflag=append conv=notrunc status=none 2>/dev/null
same "others took all the room" "$(df --output=avail "$disk" | tail -n 1 | xargs)" 0
ok "... it mounts" serve
whole "... and has all that was acknowledged"
ok "... and a file can be deleted" rm "$MNT/late"
sed -i '/  late$/d' "$T/sums"
has_room() { [ "$(df --output=avail "$disk" | tail -n 1)" -gt 10000 ]; }
ok "... which makes room" wait_until 120 has_room
whole "... and the rest is whole"
ok "... and it unmounts" "$SILTFS" umount "$MNT"

# Unmounted while the disk has no room: what was set aside stays, or nobody could delete.
rm -f "$disk/others"
ok "it serves" serve
ok "a file" acknowledge last 20480
wait_until 120 test -e "$STORE/RESERVE"
dd if=/dev/zero of="$disk/others" bs=1M status=none 2>/dev/null
ok "it unmounts beside a full disk" "$SILTFS" umount "$MNT"
dd if=/dev/zero of="$disk/others" bs=1k oflag=append conv=notrunc status=none 2>/dev/null
same "there is no room" "$(df --output=avail "$disk" | tail -n 1 | xargs)" 0
ok "... it mounts" serve
whole "... and has all that was acknowledged"
ok "... and a file can be deleted" rm "$MNT/last"
ok "... which makes room" wait_until 120 has_room
ok "... and it unmounts" "$SILTFS" umount "$MNT"
umount "$disk"
finish
