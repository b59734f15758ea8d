#!/bin/bash
# A disk that is full: what was written stays, reading goes on, deleting works and
# gives room, and writing resumes by itself. On an ext4 of 256 MiB in a file.
. "$(dirname "$0")/mount_lib.sh"

disk=$T/disk
mkdir "$disk"
truncate -s 256M "$T/image"
if ! { mkfs.ext4 -q -m 0 "$T/image" && mount -o loop "$T/image" "$disk"; } 2>"$T/why"; then
    skip "no loop-mounted ext4 here: $(head -n 1 "$T/why")"
    finish
fi
STORE=$disk/store
fresh || { fail "a fresh store mounts"; umount "$disk"; finish; }

n=0
while dd if=/dev/urandom of="$MNT/f$n" bs=1M count=4 status=none 2>"$T/err"; do n=$((n + 1)); done
ok "the error is the disk's" grep -q "No space left" "$T/err"
ok "most of the disk was written" [ $n -gt 40 ]
(cd "$MNT" && for ((i = 0; i < n; i++)); do cat f$i; done | md5sum) >"$T/sum"
head -c 1000 "$MNT/f0" >/dev/null || fail "reading goes on"
not "writing does not" dd if=/dev/urandom of="$MNT/more" bs=1M count=4 status=none

rm -f "$MNT/more" "$MNT/f$n"
same "what was written is whole" \
    "$(cd "$MNT" && for ((i = 0; i < n; i++)); do cat f$i; done | md5sum)" "$(cat "$T/sum")"
bad=0
for ((i = 1; i < n; i++)); do rm "$MNT/f$i" || bad=$((bad + 1)); done
same "every file can be deleted" $bad 0
writes() { dd if=/dev/urandom of="$MNT/again" bs=1M count=20 status=none 2>/dev/null; }
ok "writing resumes without a new mount" wait_until 60 writes
ok "the store shrank" [ "$(du -sm "$STORE" | cut -f1)" -lt 120 ]

sum=$(md5sum <"$MNT/f0")
ok "it unmounts" "$SILTFS" umount "$MNT"
ok "it is sound" "$SILTFS" fsck "$STORE"
ok "it mounts again" "$SILTFS" mount "$STORE" "$MNT"
same "and has what it had" "$(md5sum <"$MNT/f0")" "$sum"
ok "it unmounts again" "$SILTFS" umount "$MNT"
umount "$disk"
finish
