#!/bin/bash
# backup and restore, of mounts and stores.
. "$(dirname "$0")/mount_lib.sh"

D=$T/dest R=$T/restored
tree() { (cd "$1" && find . -mindepth 1 ! -path './.siltfs*' -printf '%P %y %m %U %G %n %T@ %l\n' | sort && find . -type f ! -path './.siltfs*' -print0 | sort -z | xargs -0 -r sha256sum); }
copied() { sed -nE 's/.*copied ([0-9]+), .*/\1/p' <<<"$1"; }
restored() { # restored MESSAGE DEST[@NAME] TREE
    rm -rf "$R"
    ok "$1: restored" "$SILTFS" restore "$2" "$R"
    ok "$1: mounted" "$SILTFS" mount "$R" "$T/mnt2"
    same "$1: is what was" "$(tree "$T/mnt2")" "$(cat "$3")"
    ok "$1: unmounted" "$SILTFS" umount "$T/mnt2"
    ok "$1: consistent" "$SILTFS" fsck -c "$R"
}

fresh || { fail "a fresh store mounts"; finish; }
mkdir "$T/mnt2"
cp lsm/*.h "$MNT/" && head -c 8000000 /dev/urandom >"$MNT/big" && ln "$MNT/big" "$MNT/hard"
tree "$MNT" >"$T/one"
syncs=$(command -v strace >/dev/null && echo "strace -f -y -e trace=fsync -o $T/syncs") # what makes names last
out=$($syncs "$SILTFS" backup "$MNT" "$D" one) || fail "a backup of a mount" "$out"
[ -z "$syncs" ] || for d in "$T" "$D" "$D/snapshots" "$D/snapshots/.one-part"; do
    ok "... is there for good: ${d#"$T"}" grep -q "fsync([0-9]*<$d>) *= 0" "$T/syncs"
done
ok "all files are copied" [ "$(copied "$out")" -ge 4 ]
same "the mount has no snapshot left" "$("$SILTFS" snapshot list "$MNT")" ""
echo more >"$MNT/more"
tree "$MNT" >"$T/two"
"$SILTFS" snapshot create "$MNT" two
rm "$MNT/more"
out=$("$SILTFS" backup "$MNT@two" "$D") || fail "a backup of a snapshot" "$out"
ok "its name is the snapshot's" [ -d "$D/snapshots/two" ]
links() { find "$D/snapshots/$1" -name '*.vlog' -links +1 | wc -l; }
ok "what DEST has is not copied" [ "$(links two)" -ge 1 ]
restored "the newest" "$D" "$T/two"
restored "by name" "$D@one" "$T/one"
same "they are listed" "$("$SILTFS" snapshot list "$D" | sed 1d | awk '{ print $5 }' | paste -sd,)" "one,two"
ok "one is mounted" "$SILTFS" mount -o snapshot=one "$D" "$T/mnt2"
same "... and shows what was" "$(tree "$T/mnt2")" "$(cat "$T/one")"
ok "... and unmounted" "$SILTFS" umount "$T/mnt2"
ok "of a store at rest" bash -c "'$SILTFS' umount '$MNT' && '$SILTFS' backup '$STORE' '$D'"
same "... by the time" "$(ls "$D/snapshots" | grep -cE '^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}$')" 1
ok "one is deleted, the others stay whole" "$SILTFS" snapshot delete "$D" one
restored "another after that" "$D@two" "$T/two"

# Two clones of a store give out the same numbers, here to segments of the same size that
# differ only far from their ends: they are not taken for each other.
"$SILTFS" clone "$STORE" "$T/a" && "$SILTFS" clone "$STORE" "$T/b"
head -c 1000000 /dev/urandom >"$T/same"
for c in a b; do
    "$SILTFS" mount "$T/$c" "$T/mnt2"
    head -c 1000000 /dev/urandom >"$T/mnt2/other" && cp "$T/same" "$T/mnt2/"
    tree "$T/mnt2" >"$T/tree-$c"
    "$SILTFS" umount "$T/mnt2"
    ok "clone $c is backed up" "$SILTFS" backup "$T/$c" "$D" "clone-$c"
done
for c in a b; do restored "clone $c" "$D@clone-$c" "$T/tree-$c"; done
out=$("$SILTFS" backup "$T/b" "$D" again)
ok "again, all but the manifest is there already" [ "$(copied "$out")" -le 2 ]

# ---- what goes wrong ----

says "a name twice" 'already.*another name' "$SILTFS" backup "$STORE" "$D" two
says "no backup of that name" 'has no snapshot' "$SILTFS" restore "$D@none" "$T/x"
says "never over something" 'is there already' "$SILTFS" restore "$D" "$R"
says "no backups" 'has no backups' "$SILTFS" restore "$MNT" "$T/x"
says "no directory of backups" "no such directory of backups" "$SILTFS" restore "$T/nothing" "$T/x"
says "no store" 'no such store' "$SILTFS" backup "$T/nothing" "$D"
says "not a store" 'not a siltfs store' "$SILTFS" backup "$T/mnt2" "$D" x
says "a bad name" 'no name for a snapshot' "$SILTFS" backup "$STORE" "$D" a/b
says "a place that cannot be" 'make the directory above' "$SILTFS" backup "$STORE" "$T/none/b"
says "no arguments" 'usage: siltfs backup' "$SILTFS" backup
says "none" 'usage: siltfs restore' "$SILTFS" restore "$D"

# A byte of a copy is not what it was: restore says so, and makes nothing.
f=$(ls "$D"/snapshots/two/*.vlog | head -n 1)
cp "$f" "$T/saved"
python3 -c "
f = open('$f', 'r+b'); f.seek(100000); b = f.read(1); f.seek(100000); f.write(bytes([b[0] ^ 1]))"
says "a damaged copy" 'damaged: not what was written' "$SILTFS" restore "$D@two" "$T/x"
not "... is not restored" [ -e "$T/x" ]
cat "$T/saved" >"$f"
ok "mended, it is gone on from there" "$SILTFS" restore "$D@two" "$T/x"
ok "... rightly" "$SILTFS" fsck -c "$T/x"

# A file that lost its end is not shared with a later backup, which is whole.
f=$(ls "$D"/snapshots/again/*.vlog | head -n 1)
truncate -s -1 "$f"
ok "a backup beside a file that was cut off" "$SILTFS" backup "$T/b" "$D" whole
rm -rf "$T/x" && ok "... is restored" "$SILTFS" restore "$D@whole" "$T/x"

# A store that was killed is backed up with its logs; who opens that leaves them.
fresh && seq 1000 >"$MNT/a" && sync "$MNT/a" && kill -9 "$(daemon_pid)"
"$SILTFS" umount "$MNT"
ok "a store that was killed is backed up" "$SILTFS" backup "$STORE" "$D" logs
ok "... its logs too" ls "$D"/snapshots/logs/*.log
ok "the backup is cloned" "$SILTFS" clone "$D@logs" "$T/c"
rm -rf "$T/x" && ok "... and restored after that" "$SILTFS" restore "$D@logs" "$T/x"

# What root makes in somebody's directory is theirs, so that they can use it, too.
if [ "$(id -u)" = 0 ]; then
    mkdir "$T/user" && chmod 755 "$T" && chown 1234:1234 "$T/user"
    as_user 1234 "$SILTFS" mkfs "$T/user/store" && "$SILTFS" snapshot create "$T/user/store" s
    "$SILTFS" backup "$T/user/store@s" "$T/user/dest" >/dev/null && "$SILTFS" restore "$T/user/dest" "$T/user/back" >/dev/null
    "$SILTFS" send "$T/user/store@s" | "$SILTFS" receive "$T/user/received" >/dev/null
    "$SILTFS" clone "$T/user/store" "$T/user/clone"
    same "all belongs to the user" "$(find "$T/user" ! -uid 1234)" ""
    ok "who can restore it" as_user 1234 "$SILTFS" restore "$T/user/dest" "$T/user/again"
    ok "and delete what was received" as_user 1234 "$SILTFS" snapshot delete "$T/user/received" s
fi
mkdir "$D/snapshots/odd" && mkfifo "$D/snapshots/odd/SUMS"
ok "one that is no backup does not hold up others" timeout 60 "$SILTFS" backup "$T/b" "$D" beside
rm -r "$D/snapshots/odd"

# Killed at random moments, and repeated until it is through.
fresh && for i in $(seq 12); do head -c 3000000 /dev/urandom >"$MNT/$i"; done
tree "$MNT" >"$T/three"
"$SILTFS" snapshot create "$MNT" s
"$SILTFS" umount "$MNT"
kills=0
for i in $(seq 60); do
    "$SILTFS" backup "$STORE@s" "$D" >"$T/out" 2>&1 & pid=$!
    sleep "0.$(printf %03d $((RANDOM % (10 * i) + 10)))"
    if kill -9 $pid 2>/dev/null; then kills=$((kills + 1)); fi
    wait $pid 2>/dev/null && break
    not "cut off, it is not there" [ -e "$D/snapshots/s/CURRENT" -a ! -d "$D/snapshots/s" ]
done
[ -d "$D/snapshots/s" ] || ok "not cut off, it gets through" "$SILTFS" backup "$STORE@s" "$D"
echo "$kills kills"
restored "after the kills" "$D@s" "$T/three"
same "nothing of them is left" "$(ls -A "$D/snapshots" | grep -c '^\.')" 0

finish
