#!/bin/bash
# siltfs fsck on real stores: exit codes, --repair, lost+found, stores that do not open.
. "$(dirname "$0")/mount_lib.sh"

tool_harm=$(realpath "${B:-build}")/tests/tool_harm
[ -x "$tool_harm" ] || { fail "$tool_harm is built"; finish; }

# exits MESSAGE CODE PATTERN COMMAND... : with that code, and prints what matches.
exits() {
    local message=$1 code=$2 pattern=$3 out status
    shift 3
    out=$("$@" 2>&1 </dev/null)
    status=$?
    if [ $status != "$code" ]; then
        fail "$message" "status $status, not $code: $*" "$out"
    elif ! grep -qE -- "$pattern" <<<"$out"; then
        fail "$message" "$*" "does not print $pattern:" "$out"
    else
        pass
    fi
}

harm() { ok "harm: $*" "$tool_harm" "$STORE" "$@"; }
fsck() { "$SILTFS" fsck "$@"; }

# ---- a tree, and what it looks like ----

fresh || { fail "a fresh store mounts"; finish; }
mkdir -p "$MNT/d/sub" "$MNT/e"
echo deep >"$MNT/d/sub/deep"
echo one >"$MNT/file"
ln "$MNT/file" "$MNT/d/link"
ln -s d/sub "$MNT/l"
head -c 300000 /dev/urandom >"$MNT/big"
printf 'a\nb' >"$MNT/"$'odd\nname'
sub=$(stat -c %i "$MNT/d/sub") d=$(stat -c %i "$MNT/d") file=$(stat -c %i "$MNT/file")
big=$(stat -c %i "$MNT/big") odd=$(stat -c %i "$MNT/"$'odd\nname')
sums() { (cd "$MNT" && find . -type f ! -path './lost+found/*' -print0 | sort -z | xargs -0 sha256sum); }
before=$(sums)

says "a mounted store is not checked, and who has it is told" "in use: mounted on $MNT.*siltfs umount" \
    "$SILTFS" fsck "$STORE"
says "... nor repaired" "in use: mounted on $MNT.*siltfs umount" \
    "$SILTFS" fsck --repair "$STORE"
ok "unmount" "$SILTFS" umount "$MNT"

exits "a sound store: 0" 0 ": clean$" fsck "$STORE"
exits "... with contents" 0 ": clean$" fsck --contents "$STORE"
print=$(fingerprint)
exits "... repair finds nothing to do" 0 ": clean$" fsck --repair "$STORE"
same "... and writes nothing" "$(fingerprint)" "$print"
exits "no STORE: 8" 8 "usage: siltfs fsck" fsck
exits "an unknown option: 8" 8 "usage: siltfs fsck" fsck --mend "$STORE"
exits "a store that is not there: 8" 8 "no such store" fsck "$T/nothing"
exits "... with --repair" 8 "no such store" fsck -y "$T/nothing"
mkdir "$T/other" && echo x >"$T/other/file"
exits "a directory with something else: 8" 8 "not a siltfs store" fsck --repair "$T/other"
same "... it is left" "$(ls -A "$T/other")" file
echo notes >"$T/other/000001.log"
exits "... also with a file that is called like ours: 8" 8 "nothing of a siltfs store" \
    fsck --repair "$T/other"
same "... which is left" "$(cat "$T/other/000001.log")" notes
exits "help tells the codes" 0 "Exit code 0: no problems, 1: all were mended, 4: there are some left, 8" \
    "$SILTFS" help fsck

# ---- damage, told and mended ----

harm drop I "$sub"
harm drop D "$d" "$sub"
harm put D 1 "$odd"
print=$(fingerprint)
exits "damage: 4" 4 "problems$" fsck "$STORE"
exits "... a dry run of a repair only tells" 4 "inode $sub" fsck --repair -n "$STORE"
same "... and writes nothing" "$(fingerprint)" "$print"
exits "... repair: 1" 1 "inode $sub.*made anew" fsck --repair "$STORE"
exits "... then clean: 0" 0 ": clean$" fsck "$STORE"
exits "... and nothing to mend: 0" 0 ": clean$" fsck -y "$STORE"
ok "it mounts" "$SILTFS" mount "$STORE" "$MNT"
same "lost+found is private" "$(stat -c '%a %u %F' "$MNT/lost+found")" "700 0 directory"
same "what lost its name is in it" "$(ls "$MNT/lost+found")" "$(printf '#%s\n' "$odd" "$sub" | sort)"
same "... with what was below" "$(cat "$MNT/lost+found/#$sub/deep")" deep
same "... and its contents" "$(cat "$MNT/lost+found/#$odd")" $'a\nb'
same "the rest is as before" "$(sums)" "$(grep -v 'odd\|sub/deep' <<<"$before")"
ok "what was found is moved back" mv "$MNT/lost+found/#$sub" "$MNT/d/sub"
ok "... and removed" rm "$MNT/lost+found/#$odd"
ok "... and so is lost+found" rmdir "$MNT/lost+found"
ok "unmount" "$SILTFS" umount "$MNT"
exits "clean" 0 ": clean$" fsck "$STORE"

harm drop E "$big" 131072
exits "missing contents are told" 4 "inode $big \(/big\): says 300000 bytes" fsck "$STORE"
exits "... fsck -a, as fsck(8) runs it" 1 "reads as zeros" fsck -a "$STORE"
harm put I "$file"
exits "a record that makes no sense" 1 "inode $file.*made anew" fsck -p "$STORE"
ok "it mounts" "$SILTFS" mount "$STORE" "$MNT"
same "its contents are there" "$(cat "$MNT/file" "$MNT/d/link")" $'one\none'
same "... for its owner only" "$(stat -c '%a %h' "$MNT/file")" "600 2"
ok "unmount" "$SILTFS" umount "$MNT"
ln -s "$SILTFS" "$T/fsck.siltfs"
exits "as fsck.siltfs" 0 ": clean$" "$T/fsck.siltfs" -a "$STORE"

# ---- the store below ----

cp -a "$STORE" "$T/kept"
manifest=$(cut -d" " -f1 "$STORE/CURRENT")
for lost in "$STORE/CURRENT" "$STORE/$manifest"; do
    rm "$lost"
    exits "without ${lost##*/}: 8" 8 "siltfs:" fsck "$STORE"
    exits "... repair makes a store of the rest: 1" 1 "store: made of what is readable" \
        fsck --repair "$STORE"
    exits "... which is clean" 0 ": clean$" fsck "$STORE"
    ok "... and mounts" "$SILTFS" mount "$STORE" "$MNT"
    same "... with everything in it" "$(cat "$MNT/file" "$MNT/d/sub/deep")" $'one\ndeep'
    ok "... unmount" "$SILTFS" umount "$MNT"
    rm -rf "$STORE"
    cp -a "$T/kept" "$STORE"
done

# ---- contents that cannot be read ----

segment=$(ls -S "$STORE"/*.vlog | head -n 1)
printf '\xff\xfe\xff\xfe' | dd of="$segment" bs=1 seek=150000 conv=notrunc status=none
exits "damaged contents keep a small store from opening; fsck tells whose they are: 4" 4 \
    "inode $big \\(/big\\): 4096 bytes of its contents are damaged" fsck "$STORE"
not "... it is not mounted" "$SILTFS" mount "$STORE" "$MNT"
ok "... unless nothing is verified" "$SILTFS" mount "$STORE" "$MNT" -o verify=none
not "... and then the file is not read" cp "$MNT/big" "$T/copy"
ok "... others are" cat "$MNT/file"
ok "unmount" "$SILTFS" umount "$MNT"
exits "repair gives up what is damaged, and tells of whom: 1" 1 \
    "inode $big \\(/big\\): .*reads as zeros" fsck --repair "$STORE"
exits "then all is clean" 0 ": clean$" fsck -c "$STORE"
ok "it mounts" "$SILTFS" mount "$STORE" "$MNT"
ok "... and the file is read" cp "$MNT/big" "$T/copy"
ok "unmount" "$SILTFS" umount "$MNT"
rm -rf "$STORE"
cp -a "$T/kept" "$STORE"

# ---- a block of a table ----

# What the store cannot read is lost, the tree around it mended.
ok "a larger tree" "$SILTFS" mount "$STORE" "$MNT"
mkdir "$MNT/many"
for i in $(seq 1500); do echo "$i" >"$MNT/many/$i"; done
ok "unmount" "$SILTFS" umount "$MNT"
table=$(ls -S "$STORE"/*.tbl "$STORE"/*.sst 2>/dev/null | head -n 1)
printf '\xff\xff\xff\xff' | dd of="$table" bs=1 seek=20000 conv=notrunc status=none
exits "a damaged block: 8, and what to do" 8 "siltfs fsck --repair" fsck "$STORE"
exits "... repair tells what is lost: 1" 1 "store: .*block" fsck --repair "$STORE"
exits "... then clean: 0" 0 ": clean$" fsck "$STORE"
ok "... it mounts" "$SILTFS" mount "$STORE" "$MNT"
ok "... and most of it is there" test "$(find "$MNT/many" "$MNT/lost+found" -type f | wc -l)" -gt 1200
ok "... and it is written to" touch "$MNT/many/new"
ok "unmount" "$SILTFS" umount "$MNT"
exits "clean" 0 ": clean$" fsck "$STORE"
finish
