#!/bin/bash
# Silent damage under a live mount: what is concerned gives EIO and is named by
# `siltfs scrub`, the rest goes on, and deleting or overwriting ends it.
. "$(dirname "$0")/mount_lib.sh"

# marked FILE MARK KIB : random bytes with the mark in them, at 40000.
marked() {
    { head -c 40000 /dev/urandom; printf '%s' "$2"; head -c $(($3 * 1024)) /dev/urandom; } >"$1"
}

# flip MARK : a bit of it, in the segment that has it; sets $segment.
flip() {
    local at
    segment=$(grep -laU "$1" "$STORE"/*.vlog | head -n 1)
    at=$(grep -abUo "$1" "$segment" | head -n 1 | cut -d: -f1)
    printf 'X' | dd of="$segment" bs=1 seek="$at" conv=notrunc status=none
    sync "$segment"
}

log=$T/log
mkdir -p "$MNT"
"$SILTFS" mkfs "$STORE"
# Small memory, so that nothing is read from there; in the foreground, for its log.
"$SILTFS" mount "$STORE" "$MNT" -f -o memory=16M 2>"$log" &
wait_until 120 mounted || { fail "it mounts" "$(cat "$log")"; finish; }

mkdir -p "$MNT/a/b" "$MNT/c"
marked "$MNT/a/b/photo" MARK-ONE-OF-SCRUB 200
marked "$MNT/c/film" MARK-TWO-OF-SCRUB 200
marked "$MNT/a/good" MARK-THREE-OF-SCRUB 200
for i in $(seq 200); do echo "note $i" >"$MNT/c/note$i"; done
cp "$MNT/a/good" "$MNT/a/b/photo" "$T"
sync "$MNT/a/good"

# ---- nothing is wrong ----

same "a good mount is clean" "$("$SILTFS" scrub "$MNT")" "$MNT: every byte is as written"
ok "... by its store's name, too" "$SILTFS" scrub "$STORE"

# ---- a byte flips ----

flip MARK-ONE-OF-SCRUB
one=$(basename "$segment")
flip MARK-TWO-OF-SCRUB
drop_caches 3 || [ "$(id -u)" != 0 ]
not "a damaged file cannot be read" sh -c "cat '$MNT/a/b/photo' >/dev/null"
ok "... where it is not damaged, it can" cmp -n 16384 "$MNT/a/b/photo" "$T/photo"
ok "the log says where" grep -q "$one: damaged at offset" "$log"
ok "other files can" cmp "$MNT/a/good" "$T/good"
same "... all of them" "$(cat "$MNT"/c/note* | wc -l)" 200
ok "writing goes on" cp "$T/good" "$MNT/c/another"

said=$("$SILTFS" scrub "$MNT")
same "scrub tells by its status" $? 1
ok "scrub names the file and the bytes" \
    grep -qE "^/a/b/photo: bytes (32768|36864)-[0-9]+ cannot be read \($one at [0-9]+\)$" <<<"$said"
ok "... and the other one" grep -q "^/c/film: bytes" <<<"$said"
same "... and none besides" "$(grep -c 'cannot be read' <<<"$said")" 2

# ---- who may ask ----

if [ "$(id -u)" = 0 ]; then
    not "a stranger cannot" as_user 1234 "$SILTFS" scrub "$MNT"
    not "... give any order" as_user 1234 sh -c "echo scrub >'$MNT/.siltfs/command'"
fi
not "an order is one line" sh -c "printf 'scrub\nscrub\n' 1<>'$MNT/.siltfs/command'"

# ---- while files are written; interrupted, resumed ----

(for i in $(seq 30); do head -c 300000 /dev/urandom >"$MNT/c/new$i" || exit 1; done) &
writer=$!
said=$("$SILTFS" scrub "$MNT" --rate=20M)
same "scrub beside a writer" $? 1
wait $writer
same "... who is not disturbed" $? 0
same "... finds the same" "$(grep -c '^/.*cannot be read' <<<"$said")" 2
# Later, where it had not begun by then; some 9 MB take longer than any of these.
for s in 1.5 4 12; do
    timeout --signal=INT $s "$SILTFS" scrub "$MNT" --rate=400K >/dev/null 2>"$T/said"
    ! grep -q -- --resume "$T/said" || break
done
ok "interrupted, it says how to go on" grep -q -- --resume "$T/said"
ok "... and remembers where" grep -q '^position' "$STORE/SCRUB"
"$SILTFS" scrub "$MNT" --resume >"$T/said" 2>&1
same "resumed, it comes to an end" $? 1
ok "... and forgets the place" test ! -e "$STORE/SCRUB"

# ---- at rest ----

ok "it unmounts" "$SILTFS" umount "$MNT"
wait
said=$("$SILTFS" verify "$STORE" 2>/dev/null)
same "verify tells by its status" $? 1
ok "verify names the file, too" grep -q "^/a/b/photo: bytes" <<<"$said"
says "mounting, which reads small stores in full, tells how to do without" verify=none \
    "$SILTFS" mount "$STORE" "$MNT"
"$SILTFS" mount "$STORE" "$MNT" -f -o memory=16M,verify=none 2>"$log" &
wait_until 120 mounted || { fail "it mounts again" "$(cat "$log")"; finish; }

# ---- what ends it ----

ok "a damaged file can be deleted" rm "$MNT/a/b/photo"
ok "... or overwritten" cp "$T/good" "$MNT/c/film"
ok "... and is good then" cmp "$MNT/c/film" "$T/good"
said=$("$SILTFS" scrub "$MNT")
same "no file is concerned any more" "$(grep -c '^/.*cannot be read' <<<"$said")" 0
clean() { "$SILTFS" scrub "$MNT" >"$T/said" 2>&1; }
wait_until 120 clean || fail "compactions clear it away" "$(cat "$T/said")"
ok "it unmounts in the end" "$SILTFS" umount "$MNT"
wait
ok "and the tree is whole" "$SILTFS" fsck "$STORE"
finish
