#!/bin/bash
# Quotas of directory trees on a real mount, and the command that sets them.
. "$(dirname "$0")/mount_lib.sh"

kib() { df -k --output="$1" "$2" | tail -n 1 | tr -d ' '; }
# SIZE USED INODES IUSED of the quota that holds for a directory
quota_of() { "$SILTFS" quota show "$1" | awk 'NR == 2 { print $1, $2, $4, $5 }'; }
rbytes() { getfattr --only-values --absolute-names -n user.siltfs.rbytes "$1" 2>/dev/null; }
rfiles() { getfattr --only-values --absolute-names -n user.siltfs.rfiles "$1" 2>/dev/null; }
# What the tree of a directory must say: the bytes that du counts, 256 for each name
sum() {
    find "$1" -mindepth 1 -printf '%i %y %b %n\n' | sort -u |
        awk '{ n += $2 == "d" ? 256 : 256 * $4; if ($2 == "f") n += 512 * $3 } END { print n + 0 }'
}
near() { [ $(($1 - $2)) -le "$3" ] && [ $(($2 - $1)) -le "$3" ]; }
inodes() { find "$1" -mindepth 1 -printf '%i\n' | sort -u | wc -l; }
as_walked() { near "$(rbytes "$1")" "$(sum "$1")" $((512 * $(find "$1" -type f | wc -l))); }

fresh || { fail "a fresh store mounts"; finish; }
D=$MNT/home/a
mkdir -p "$D" "$MNT/other"

# ---- set, heeded, shown ----

same "no quotas, nothing listed" "$("$SILTFS" quota list "$MNT")" ""
ok "a quota is set" "$SILTFS" quota set "$D" size=4M inodes=50
same "it is shown" "$(quota_of "$D")" "4.0M 0B 50 0"
same "df shows it inside" "$(kib size "$D") $(kib itotal "$D")" "4096 50"
not "and not outside" test "$(kib size "$MNT/other")" = 4096
mkdir "$D/sub"
dd if=/dev/urandom of="$D/sub/f" bs=64K count=100 status=none 2>"$T/err"
ok "writing ends with EDQUOT" grep -q "quota exceeded" "$T/err"
same "the last write wrote what fitted" "$(stat -c %s "$D/sub/f")" $((4 * 1048576 - 2 * 256))
same "df: nothing is left" "$(kib avail "$D/sub")" 0
says "what is not there has none" "no quota" "$SILTFS" quota show "$MNT/other"
ok "beside it there is room" dd if=/dev/zero of="$MNT/other/g" bs=1M count=8 status=none
for what in 'mkdir x' 'ln sub/f x' 'ln -s to x' 'mkfifo x' 'touch x' 'mv ../../other/g x' \
    'cp ../../other/g x' 'fallocate -l 1M sub/f2' 'fallocate -o 4M -l 1M sub/f'; do
    if (cd "$D" && $what) 2>"$T/err"; then fail "$what is refused"; fi
    grep -q "quota exceeded" "$T/err" || fail "$what: by the quota" "$(cat "$T/err")"
    rm -f "$D/x" "$D/sub/f2"
done
truncate -s 1M "$D/sub/f"
ok "what was freed can be used" dd if=/dev/zero of="$D/g" bs=1M count=2 status=none
for i in $(seq 60); do : >"$D/n$i" || break; done 2>"$T/err"
same "so many inodes as it says" "$(find "$D" -mindepth 1 | wc -l)" 50
ok "then EDQUOT" grep -q "quota exceeded" "$T/err"
same "attributes say what is used" "$(rfiles "$D")" 50
ok "bytes, too" as_walked "$D"
rm -r "$D"/n* "$D/g"
ok "limits are changed, each for itself" "$SILTFS" quota set "$D" inodes=none
same "the other stays" "$(quota_of "$D" | cut -d ' ' -f 1,3)" "4.0M none"
ok "a size and no more" "$SILTFS" quota set "$D" size=8M

# ---- from tree to tree ----

head -c 100000 /dev/urandom >"$MNT/other/h"
before=$(rbytes "$D")
ok "a file is moved in" mv "$MNT/other/h" "$D/h"
same "and counts" "$(($(rbytes "$D") - before))" 100256
ok "and out" mv "$D/h" "$MNT/other/h"
same "and does not" "$(rbytes "$D")" "$before"
mkdir -p "$MNT/other/tree/deep"
cp "$MNT/other/h" "$MNT/other/tree/deep"
not "a directory is not renamed into it" python3 -c 'import os,sys; os.rename(*sys.argv[1:])' \
    "$MNT/other/tree" "$D/tree"
ok "mv copies it" mv "$MNT/other/tree" "$D/"
ok "all of it" cmp "$MNT/other/h" "$D/tree/deep/h"
same "it counts" "$(($(rbytes "$D") - before))" $((100000 + 3 * 256))
not "no file has names in both" ln "$MNT/other/h" "$D/h"
ok "within the tree it may" ln "$D/tree/deep/h" "$D/again"
ok "a copy that shares its contents counts in full" cp "$D/again" "$D/copy"
same "as du counts it" "$(($(rbytes "$D") - before))" $((200000 + 5 * 256))

# ---- nested; given to what is there ----

mkdir -p "$MNT/full"
for i in $(seq 40); do
    mkdir "$MNT/full/$i"
    for j in $(seq 20); do echo "$i $j" >"$MNT/full/$i/$j"; done
done
ln "$MNT/full/1/1" "$MNT/full/2/link"
ok "a full directory is given one" "$SILTFS" quota set "$MNT/full" size=1G
same "which counts what is there" "$(rfiles "$MNT/full")" 840
ok "all of it" as_walked "$MNT/full"
ok "one within it" "$SILTFS" quota set "$MNT/full/3" size=20K
dd if=/dev/zero of="$MNT/full/3/big" bs=1K count=100 status=none 2>"$T/err"
ok "is heeded" grep -q "quota exceeded" "$T/err"
same "df shows the tightest" "$(kib size "$MNT/full/3") $(kib size "$MNT/full/4")" "20 1048576"
same "all are listed" "$("$SILTFS" quota list "$MNT" | awk 'NR > 1 { print $NF }')" \
    "$(printf '%s\n' "$D" "$MNT/full" "$MNT/full/3")"
same "by the store's name, too" "$("$SILTFS" quota list "$STORE")" "$("$SILTFS" quota list "$MNT")"
same "a directory of a store that is mounted" "$("$SILTFS" quota show "$STORE:/full/3" | tail -n 1)" \
    "$("$SILTFS" quota show "$MNT/full/3" | tail -n 1)"

# ---- while files come and go ----

mkdir "$MNT/busy"
churn() {
    local i=0
    while [ -e "$T/go" ]; do
        i=$((i + 1))
        mkdir "$MNT/busy/$1.$i"
        for j in 1 2 3 4 5; do echo $j >"$MNT/busy/$1.$i/$j"; done
        [ $((i % 3)) = 0 ] || rm -r "$MNT/busy/$1.$i"
    done
}
touch "$T/go"
churn a & churn b &
for i in 1 2 3; do
    "$SILTFS" quota set "$MNT/busy" size=1G >/dev/null || fail "set while it is in use"
    [ $i = 3 ] || "$SILTFS" quota clear "$MNT/busy" || fail "clear while it is in use"
done
rm "$T/go"
wait
ok "what came and went meanwhile is counted right" as_walked "$MNT/busy"
same "inodes" "$(rfiles "$MNT/busy")" "$(inodes "$MNT/busy")"

# ---- after a mount, and after a kill ----

figures() { for d in "$D" "$MNT/full" "$MNT/full/3" "$MNT/busy"; do rbytes "$d"; echo " $(rfiles "$d")"; done; }
before=$(figures)
ok "mounted again" remount
same "the figures are the same" "$(figures)" "$before"
for i in $(seq 30); do echo $i >"$MNT/full/5/more$i"; done
mkdir -p "$MNT/full/x/y/z"
kill -9 "$(daemon_pid)"
wait_until 120 gone "$(daemon_pid)"
ok "after kill -9 it mounts" "$SILTFS" mount "$STORE" "$MNT"
counted() { [ "$(rfiles "$MNT/full")" = "$(inodes "$MNT/full")" ]; }
ok "and counts anew" wait_until 120 counted
ok "bytes, too" as_walked "$MNT/full"
"$SILTFS" snapshot create "$MNT" one
ok "unmount" "$SILTFS" umount "$MNT"
ok "fsck finds nothing" "$SILTFS" fsck "$STORE"

# ---- a store at rest; copies of it ----

before=$("$SILTFS" quota list "$STORE")
same "at rest all are listed" "$(wc -l <<<"$before")" 5
ok "one is changed" "$SILTFS" quota set "$STORE:/home/a" size=3M inodes=100
same "and shown" "$("$SILTFS" quota show "$STORE:/home/a/sub" | awk 'NR == 2 { print $1, $4, $NF }')" \
    "3.0M 100 /home/a"
ok "one is new" "$SILTFS" quota set "$STORE:/other"
same "without limits it only counts" \
    "$("$SILTFS" quota show "$STORE:/other" | awk 'NR == 2 { print $1, $3, $4, $5 }')" "none - none 2"
ok "cleared" "$SILTFS" quota clear "$STORE:/full"
ok "fsck" "$SILTFS" fsck "$STORE"
"$SILTFS" clone "$STORE" "$T/clone"
same "a clone has them" "$("$SILTFS" quota list "$T/clone")" "$("$SILTFS" quota list "$STORE")"
"$SILTFS" clone "$STORE@one" "$T/of_snapshot"
same "a clone of a snapshot has those of then" \
    "$("$SILTFS" quota list "$T/of_snapshot" | awk 'NR > 1 { print $NF }')" \
    "$(awk 'NR > 1 { print $NF }' <<<"$before")"
ok "it can be used" "$SILTFS" fsck "$T/of_snapshot"
"$SILTFS" backup "$STORE" "$T/backup" b >/dev/null
"$SILTFS" restore "$T/backup@b" "$T/restored" >/dev/null
same "so has what was restored" "$("$SILTFS" quota list "$T/restored")" "$("$SILTFS" quota list "$STORE")"

# ---- bad inputs ----

says "no word" "usage: siltfs quota" "$SILTFS" quota
says "no such word" "usage: siltfs quota" "$SILTFS" quota sit "$STORE:/home"
says "no directory" "usage: siltfs quota" "$SILTFS" quota set
says "too many" "usage: siltfs quota" "$SILTFS" quota show "$STORE:/home" x
says "no such limit" "colour" "$SILTFS" quota set "$STORE:/home" colour=red
says "no such size" "size=many" "$SILTFS" quota set "$STORE:/home" size=many
says "no such path" "No such file" "$SILTFS" quota set "$STORE:/nowhere" size=1M
says "no such store" "nowhere" "$SILTFS" quota list "$T/nowhere"
says "no such directory" "No such file" "$SILTFS" quota set "$T/nowhere" size=1M
says "not a siltfs" "not in a siltfs mount" "$SILTFS" quota show "$T"
says "a file" "no directory" "$SILTFS" quota set "$STORE:/other/h" size=1M
says "nothing to clear" "has no quota" "$SILTFS" quota clear "$STORE:/full"
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
says "nothing to clear on a mount" "has no quota" "$SILTFS" quota clear "$MNT/full"
says "a file on a mount" "no directory" "$SILTFS" quota set "$MNT/other/h" size=1M
says "the control directory" "control directory" "$SILTFS" quota show "$MNT/.siltfs"
ok "all are cleared" "$SILTFS" quota clear "$MNT/home/a"
for d in full/3 busy other; do "$SILTFS" quota clear "$MNT/$d" || fail "clear $d"; done
same "none is left" "$("$SILTFS" quota list "$MNT")" ""
not "nor its attributes" getfattr -n user.siltfs.rbytes "$MNT/home/a"
ok "directories can be renamed again" mv "$MNT/home/a" "$MNT/other/a"
ok "remount, with dirty pages in the kernel" remount -o writeback
mkdir "$MNT/late" && "$SILTFS" quota set "$MNT/late" size=1M >/dev/null
head -c 3000000 /dev/zero >"$MNT/late/f" 2>/dev/null
sync "$MNT/late/f" 2>"$T/said"
ok "a quota that dirty pages meet is told at fsync" grep -q "Disk quota exceeded\|Input/output" "$T/said"
rm "$MNT/late/f"
ok "... and is no reason to make no snapshots" "$SILTFS" snapshot create "$MNT" late
ok "unmount" "$SILTFS" umount "$MNT"
ok "fsck in the end" "$SILTFS" fsck "$STORE"
finish
