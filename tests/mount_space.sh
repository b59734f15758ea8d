#!/bin/bash
# df, and limits: what files hold counts at once and comes back at once, over many rounds.
. "$(dirname "$0")/mount_lib.sh"

# df's columns in KiB: size, used, avail; and of inodes.
kib() { df -k --output="$1" "${2:-$MNT}" | tail -n 1 | tr -d ' '; }
mib() { echo $(($(kib "$@") / 1024)); }
near() { [ $(($1 - $2)) -le "$3" ] && [ $(($2 - $1)) -le "$3" ]; }
# what files hold, as du counts, in KiB
held() { du -sk "$MNT" | cut -f 1; }
no_space() { grep -q "No space left" "$1"; }

# ---- without a limit: the host's ----

fresh || { fail "a fresh store mounts"; finish; }
same "the size is the host's" "$(kib size)" "$(kib size "$T")"
# Others use the host, too, and the store has work to do: soon.
# What ext4 keeps for root is the daemon's, too, when it is root's.
hosts() { if [ "$(id -u)" = 0 ]; then echo $(($(mib size "$T") - $(mib used "$T"))); else mib avail "$T"; fi; }
as_the_host() { near "$(mib avail)" "$(hosts)" 200; }
as_the_store() { near "$(kib used)" "$(du -sk "$STORE" | cut -f 1)" "$1"; }
ok "so is what is available" wait_until 120 as_the_host
ok "used is what the store takes" wait_until 120 as_the_store 1024
same "names may have 255 bytes" "$(stat -f -c %l "$MNT")" 255
before=$(kib used)
dd if=/dev/urandom of="$MNT/noise" bs=1M count=60 status=none
ok "after writing, more is used" [ $(($(kib used) - before)) -ge $((60 * 1024)) ]
ok "and that is what the store takes" wait_until 120 as_the_store 2048
rm "$MNT/noise"
back() { [ $(($(kib used) - before)) -le $((20 * 1024)) ]; }
ok "after deleting, it comes back within seconds" wait_until 120 back
ok "unmount" "$SILTFS" umount "$MNT"
says "a limit of nothing is refused" "size=0: not a possible" "$SILTFS" mkfs "$T/s2" --size=0
says "so is nonsense" "inodes=many" "$SILTFS" mkfs "$T/s2" --inodes=many
not "nothing was made" test -e "$T/s2"

# ---- a limit ----

rm -rf "$STORE"
ok "mkfs with limits" "$SILTFS" mkfs --size=64M --inodes=3000 "$STORE"
same "they are remembered" "$("$SILTFS" set "$STORE" | xargs)" "size=67108864 inodes=3000"
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
same "the limit is the size" "$(kib size) $(kib itotal)" "65536 3000"
same "nearly all of it is available" "$(mib avail)" 63

# Each round: to the brim with large files, then with small ones; other sizes each time.
round() {
    local i=$1 n=0
    while dd if=/dev/urandom of="$MNT/big$n" bs=$((64 + 37 * i))k count=$((20 + i)) \
        status=none 2>"$T/err"; do n=$((n + 1)); done
    no_space "$T/err" || fail "round $i: the error is the limit's" "$(cat "$T/err")"
    [ "$(kib avail)" = 0 ] || fail "round $i: the last write wrote what fitted" "$(df -k "$MNT")"
    same "round $i: and what is there can be read" \
        "$(cat "$MNT"/big* | wc -c)" "$(stat -c %s "$MNT"/big* | awk '{ n += $1 } END { print n }')"
    truncate -s -$((40 + 20 * i))K "$MNT/big0" || fail "round $i: truncating goes on"
    n=0
    while printf "%$((100 + 1000 * i))s" x 2>/dev/null >"$MNT/small$n"; do n=$((n + 1)); done
    [ "$n" -gt 0 ] || fail "round $i: there is room for small files"
    while : 2>/dev/null >"$MNT/empty$n"; do n=$((n + 1)); done
    [ "$(kib avail)" -eq 0 ] || fail "round $i: full to the brim" "$(df -k "$MNT")"
    near "$(kib used)" "$(held)" $((n + 64)) || fail "round $i: df is as du" "$(df -k "$MNT"; held)"
    printf x 2>/dev/null 1<>"$MNT/big0" || fail "round $i: overwriting goes on"
    mkdir "$MNT/dir" 2>/dev/null && fail "round $i: a directory is refused"
    mv "$MNT/big0" "$MNT/moved" || fail "round $i: renaming goes on"
    rm "$MNT"/moved "$MNT"/*[02468] || fail "round $i: deleting goes on"
    near "$(kib used)" "$(held)" $((n + 64)) || fail "round $i: half is back at once"
    dd if=/dev/urandom of="$MNT/again" bs=1M count=10 status=none || fail "round $i: writing goes on"
    rm "$MNT"/*
    same "round $i: all is back at once" "$(kib used) $(kib iused)" "4 1"
}
for i in 0 1 2; do round $i; done
ok "a file of nearly all of it" dd if=/dev/zero of="$MNT/all" bs=1M count=63 status=none
same "is counted as it is long, though it is small in the store" "$(mib used)" 63
ok "set aside" sh -c "truncate -s 10M $MNT/all && fallocate -l 20M $MNT/aside"
not "more than there is is not" fallocate -l 60M "$MNT/more"
rm -f "$MNT/more"
while dd if=/dev/zero of="$MNT/fill$i" bs=1M count=1 status=none 2>/dev/null; do i=$((i + 1)); done
ok "what was set aside can be written when all is full" \
    dd if=/dev/urandom of="$MNT/aside" bs=1M count=20 conv=notrunc status=none
was=$(kib used)
ok "unmount" "$SILTFS" umount "$MNT"
ok "the account is right" "$SILTFS" fsck "$STORE"
ok "mount read-only" "$SILTFS" mount "$STORE" "$MNT" -o ro
same "it shows the same" "$(kib size) $(kib used)" "65536 $was"
ok "unmount" "$SILTFS" umount "$MNT"

# ---- other limits, and a crash ----

ok "a larger limit" "$SILTFS" set "$STORE" size=100M inodes=none
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
same "shows" "$(kib size) $(kib used)" "102400 $was"
says "it is not changed while mounted" "limits change while it is not" "$SILTFS" set "$STORE" size=none
dd if=/dev/urandom of="$MNT/crash" bs=1M count=5 status=none
rm "$MNT/all"
was=$(kib used)
kill -9 "$(daemon_pid)"
ok "mount after a crash" "$SILTFS" mount "$STORE" "$MNT"
right() { [ "$(kib used)" = "$was" ]; }
ok "the files are counted anew" wait_until 120 right
ok "the limit holds" not dd if=/dev/zero of="$MNT/x" bs=1M count=100 status=none
ok "unmount" "$SILTFS" umount "$MNT"
ok "the account is right" "$SILTFS" fsck "$STORE"
ok "less than is used" "$SILTFS" set "$STORE" size=1M
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
same "is full" "$(kib avail)" 0
not "for all that adds" touch "$MNT/y"
ok "not for deleting" rm -f "$MNT"/*
ok "after which there is room" touch "$MNT/y"
ok "unmount" "$SILTFS" umount "$MNT"
ok "no limit" "$SILTFS" set "$STORE" size=none
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
same "the size is the host's again" "$(kib size)" "$(kib size "$T")"
ok "unmount" "$SILTFS" umount "$MNT"
finish
