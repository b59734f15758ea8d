#!/bin/bash
# Whatever cannot be mounted is refused with one clear line, and left as it is.
. "$(dirname "$0")/mount_lib.sh"

mkdir "$MNT"

# refused MESSAGE PATTERN COMMAND... : says, and $STORE stays byte for byte.
refused() {
    local before after
    before=$(fingerprint)
    says "$@"
    after=$(fingerprint)
    same "$1: store unchanged" "$after" "$before"
}

# ---- the command line ----

says "an unknown command is named" "frobnicate" "$SILTFS" frobnicate
says "mount without arguments gives its usage" "usage: siltfs mount" "$SILTFS" mount
says "mkfs without a store gives its usage" "usage: siltfs mkfs" "$SILTFS" mkfs
says "set without a store gives its usage" "usage: siltfs set" "$SILTFS" set
says "umount without a mount gives its usage" "usage: siltfs umount" "$SILTFS" umount
says "help on an unknown command says so" "frobnicate" "$SILTFS" help frobnicate
ok "help lists the commands" "$SILTFS" help
ok "help explains a command" "$SILTFS" help mount
same "... when the command is asked, too" "$("$SILTFS" mount --help)" "$("$SILTFS" help mount)"
ok "the version is told" "$SILTFS" --version

# ---- mkfs ----

ok "mkfs makes a store" "$SILTFS" mkfs "$STORE"
same "the store is private" "$(stat -c %a "$STORE")" 700
refused "mkfs refuses a store" "holds a store already" "$SILTFS" mkfs "$STORE"
mkdir "$T/empty"
ok "mkfs takes an empty directory" "$SILTFS" mkfs "$T/empty"
both_mkfs() { # of two at the same time one makes the filesystem, and the other leaves it
    local i ok
    for i in $(seq 30); do
        rm -rf "$T/race" && mkdir "$T/race"
        "$SILTFS" mkfs "$T/race" 2>/dev/null &
        "$SILTFS" mkfs "$T/race" 2>/dev/null
        ok=$?
        wait $! && ok=0
        [ $ok = 0 ] && "$SILTFS" fsck "$T/race" || return 1
    done
}
ok "two mkfs at the same time" both_mkfs
mkdir "$T/full"
echo precious >"$T/full/file"
says "mkfs refuses a directory with something in it" "not empty" "$SILTFS" mkfs "$T/full"
same "and leaves it" "$(ls -A "$T/full") $(cat "$T/full/file")" "file precious"
says "mkfs refuses a file" "not a directory" "$SILTFS" mkfs "$T/full/file"
says "mkfs wants the directory above" "No such file" "$SILTFS" mkfs "$T/no/such"
says "mkfs names an unknown option" "'color'" "$SILTFS" mkfs "$T/new" -o color=red
same "and makes nothing" "$(ls -d "$T/new" 2>/dev/null)" ""
ok "mkfs takes owner and mode of the root" "$SILTFS" mkfs "$T/owned" -o uid=12,gid=34,mode=1777
ok "... mount it" "$SILTFS" mount "$T/owned" "$MNT"
same "... as given" "$(stat -c '%u %g %a' "$MNT")" "12 34 1777"
ok "... unmount it" "$SILTFS" umount "$MNT"

# ---- options ----

refused "an unknown option is named" "unknown option 'wombat'" \
    "$SILTFS" mount "$STORE" "$MNT" -o noatime,wombat
refused "an option that needs a value says so" "memory needs a value" \
    "$SILTFS" mount "$STORE" "$MNT" -o memory
refused "an option without a value says so" "writeback takes no value" \
    "$SILTFS" mount "$STORE" "$MNT" -o writeback=1
refused "a bad size is named" "memory=12Q" "$SILTFS" mount "$STORE" "$MNT" -o memory=12Q
refused "a bad number is named" "threads=0" "$SILTFS" mount "$STORE" "$MNT" -o threads=0
refused "a bad time is named" "attr_timeout=-1" \
    "$SILTFS" mount "$STORE" "$MNT" -o attr_timeout=-1
refused "a bad compression is named" "compression=rle" \
    "$SILTFS" mount "$STORE" "$MNT" -o compression=rle
refused "... also of the last level" "compression=lz4:rle" \
    "$SILTFS" mount "$STORE" "$MNT" -o compression=lz4:rle
refused "a bad strategy is named" "strategy=flat" \
    "$SILTFS" mount "$STORE" "$MNT" -o strategy=flat
refused "a background rate of nothing is named" "background_bytes_per_s" \
    "$SILTFS" mount "$STORE" "$MNT" -o background_rate=1
refused "an option that the engine refuses is named with its range" \
    "memtable_bytes = 1 is not 0 or 4096 to" "$SILTFS" mount "$STORE" "$MNT" -o memtable=1
ok "the options of mount(8) and our own are taken" "$SILTFS" mount "$STORE" "$MNT" \
    -o rw,relatime,nosuid,suid,nodev,dev,noexec,exec,nofail,_netdev,x-systemd.automount \
    -o user,defaults,noauto,auto,memory=32M,memtable=8M,sync_interval=0.5,verify=all \
    -o threads=4,attr_timeout=10,entry_timeout=10,negative_timeout=0,compression=lz4:zstd \
    -o strategy=hybrid,background_rate=64M
ok "and the mount answers" stat "$MNT"
ok "unmount" "$SILTFS" umount "$MNT"

# ---- the store ----

refused "a missing store is named" "$T/nothing: no such store" \
    "$SILTFS" mount "$T/nothing" "$MNT"
says "a file is no store" "$T/full/file: not a store" "$SILTFS" mount "$T/full/file" "$MNT"
says "a directory with other things is no store" "$T/full: a directory, but not" \
    "$SILTFS" mount "$T/full" "$MNT"
same "and it is left" "$(ls -A "$T/full")" file
ok "a plain key-value store" "$SILTFS" kv "$T/kv" put key value
says "... is not mounted" "$T/kv: holds \"kv-1\", not \"siltfs-1\"" \
    "$SILTFS" mount "$T/kv" "$MNT"
says "... nor checked" "no filesystem" "$SILTFS" fsck "$T/kv"
says "... nor repaired" "no filesystem" "$SILTFS" fsck --repair "$T/kv"
ok "... and still has its key" test "$("$SILTFS" kv "$T/kv" get key)" = value

refused "kv does not write to a filesystem" "holds a filesystem; write to it by mounting" \
    "$SILTFS" kv "$STORE" put key value
ok "... but reads it" "$SILTFS" kv "$STORE" get Snext
ok "a store of somebody else, without a name" "${B:-build}/tests/tool_fill" "$T/plain" 1
says "... holds no filesystem" "no filesystem" "$SILTFS" mount "$T/plain" "$MNT"
says "... and no limits" "no filesystem" "$SILTFS" set "$T/plain" size=1G
says "... and no format" "no filesystem" "$SILTFS" upgrade "$T/plain"
refused "set refuses what it does not know" "unknown option 'color'" "$SILTFS" set "$STORE" color=red

says "upgrade wants one store" "usage: siltfs upgrade STORE" "$SILTFS" upgrade
says "... that is there" "no such store" "$SILTFS" upgrade "$T/nothing"
print=$(fingerprint)
same "... and tells its format" "$("$SILTFS" upgrade "$STORE")" "$STORE: format 1
nothing to upgrade: siltfs uses it as it is"
same "... changes nothing" "$(fingerprint)" "$print"
"$SILTFS" set "$STORE" size=1G >/dev/null
same "... with limits it is another" "$("$SILTFS" upgrade "$STORE" | grep -o 'format 2')" "format 2"
"$SILTFS" set "$STORE" size=none >/dev/null
same "... until these are gone" "$("$SILTFS" upgrade "$STORE" | head -n 1)" "$STORE: format 1"

tool_newer=$(realpath "${B:-build}")/tests/tool_newer
if [ -x "$tool_newer" ]; then
    cp -a "$STORE" "$T/kept"
    ok "a store of a later version" "$tool_newer" "$STORE"
    refused "... is refused" "newer siltfs" "$SILTFS" mount "$STORE" "$MNT"
    refused "... also by fsck" "newer siltfs" "$SILTFS" fsck "$STORE"
    refused "... and by its repair" "newer siltfs" "$SILTFS" fsck --repair "$STORE"
    refused "... and by upgrade" "newer siltfs" "$SILTFS" upgrade "$STORE"
    refused "... and by set" "newer siltfs" "$SILTFS" set "$STORE" size=1G
    rm -rf "$STORE"
    mv "$T/kept" "$STORE"
else
    skip "a store of a later version: $tool_newer is not built"
fi

ok "mount" "$SILTFS" mount "$STORE" "$MNT"
pid=$(daemon_pid)
mkdir "$T/mnt2"
says "a mounted store is not mounted twice" "in use.*$MNT.*$pid" \
    "$SILTFS" mount "$STORE" "$T/mnt2"
says "mkfs refuses a mounted store" "holds a store already" "$SILTFS" mkfs "$STORE"
says "kv does not write to a mounted store" "in use" "$SILTFS" kv "$STORE" put a b
says "fsck wants the store at rest" "in use" "$SILTFS" fsck "$STORE"
ok "the first mount goes on" touch "$MNT/file"

# ---- the mount point ----

says "a mount point with a store on it is refused" "$STORE is mounted on it" \
    "$SILTFS" mount "$T/owned" "$MNT"
says "the same store at the same place is refused" "already mounted" \
    "$SILTFS" mount "$STORE" "$MNT"
ok "unmount" "$SILTFS" umount "$MNT"
refused "a missing mount point is named" "$T/nowhere: no such mount point" \
    "$SILTFS" mount "$STORE" "$T/nowhere"
refused "a file is no mount point" "not a directory" \
    "$SILTFS" mount "$STORE" "$T/full/file"
refused "a mount point with something in it is refused" "not empty" \
    "$SILTFS" mount "$STORE" "$T/full"
ok "... unless told otherwise" "$SILTFS" mount "$STORE" "$T/full" -o nonempty
ok "... unmount" "$SILTFS" umount "$T/full"
refused "a mount point inside the store is refused" "inside the store" \
    "$SILTFS" mount "$STORE" "$STORE"
mkdir "$STORE/dir"
refused "... also deeper" "inside the store" "$SILTFS" mount "$STORE" "$STORE/dir"
rmdir "$STORE/dir"
refused "a store inside its mount point is refused" "would be hidden" \
    "$SILTFS" mount "$STORE" "$T" -o nonempty

for odd in 'a b' 'a,b' 'a\b' 'a\040b' '#ü'; do
    mkdir "$T/m $odd"
    ok "mount at odd names: $odd" "$SILTFS" mkfs "$T/s $odd"
    ok "..." "$SILTFS" mount "$T/s $odd" "$T/m $odd"
    ok "... stats finds it" grep -q "live in memory" <("$SILTFS" stats "$T/s $odd")
    says "... a second mount is told where" "already mounted on" \
        "$SILTFS" mount "$T/s $odd" "$T/m $odd"
    ok "... unmount" "$SILTFS" umount "$T/m $odd"
done

# ---- unmounting and looking ----

says "umount of what is not mounted says so" "not mounted" "$SILTFS" umount "$MNT"
says "umount of another filesystem says so" "not a siltfs" "$SILTFS" umount /proc
says "umount of nothing says so" "no such" "$SILTFS" umount "$T/nowhere"
says "stats of nothing says so" "nowhere" "$SILTFS" stats "$T/nowhere"
says "stats of another directory says so" "not a siltfs store" "$SILTFS" stats "$T/full"

# ---- a dead mount ----

ok "mount" "$SILTFS" mount "$STORE" "$MNT"
pid=$(daemon_pid)
kill -9 "$pid"
wait_until 120 gone "$pid"
not "a killed daemon's mount is dead" stat "$MNT"
says "stats says so" "daemon has died" "$SILTFS" stats "$MNT"
out=$("$SILTFS" mount "$STORE" "$MNT" 2>&1)
same "a new mount clears it, with a note" "$? $out" \
    "0 siltfs: $MNT: cleared the mount that a dead siltfs of $STORE left"
ok "and works" stat "$MNT/file"
pid=$(daemon_pid)
kill -9 "$pid"
wait_until 120 gone "$pid"
ok "umount clears one too" "$SILTFS" umount "$MNT"
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
stat "$MNT" >"$T/null" # the kernel has the root's attributes now
kill -9 "$(daemon_pid)"
same "a new mount clears it at once, whatever the kernel knows still" "$("$SILTFS" mount "$STORE" "$MNT" 2>&1)" \
    "siltfs: $MNT: cleared the mount that a dead siltfs of $STORE left"
ok "unmount" "$SILTFS" umount "$MNT"
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
ok "unmount" "$SILTFS" umount "$MNT"

# ---- damage ----

# A store with every kind of file in it: tables, segments, and logs after a kill.
fresh -o memtable=1M || fail "fresh store"
cp -r /usr/include/linux "$MNT/tree"
head -c 3000000 /dev/urandom >"$MNT/big"
sync -f "$MNT/big"
remount -o memtable=1M
head -c 300000 /dev/urandom >"$MNT/late"
cp -r /usr/include/asm-generic "$MNT/tree2"
sync "$MNT/late"
echo more >"$MNT/after" # what follows tells that the rest was synced
pid=$(daemon_pid)
kill -9 "$pid"
wait_until 120 gone "$pid"
umount -l "$MNT"
cp -a "$STORE" "$T/good"

# damaged FILE OFFSET : a flipped byte there is reported, or does no harm at all.
damaged() {
    local file=$1 off=$2 byte size
    rm -rf "$STORE"
    cp -a "$T/good" "$STORE"
    byte=$(od -An -tu1 -j "$off" -N1 "$STORE/$file")
    printf "\\x$(printf %x $((byte ^ 0x55)))" |
        dd of="$STORE/$file" bs=1 seek="$off" conv=notrunc status=none
    size=$(stat -c %s "$STORE/$file")
    if "$SILTFS" mount "$STORE" "$MNT" -o verify=all 2>"$T/.stderr"; then
        # It opened: then the byte was in what a crash may leave behind, a torn
        # tail or unused room, and everything synced must be there.
        ok "$file at $off of $size: what was synced is whole" cmp "$MNT/big" "$T/big"
        ok "$file at $off of $size: what was synced late is whole" cmp "$MNT/late" "$T/late"
        ok "$file at $off of $size: the tree is whole" \
            diff -r /usr/include/asm-generic "$MNT/tree2"
        "$SILTFS" umount "$MNT"
    else
        cp -a "$STORE" "$T/seen"
        before=$(fingerprint)
        says "$file at $off of $size: refused, naming the file" "damaged.*$file|$file.*damaged" \
            "$SILTFS" mount "$STORE" "$MNT" -o verify=all
        same "$file at $off of $size: store unchanged" "$(fingerprint)" "$before"
        rm -rf "$T/seen"
    fi
}

ok "the good copy mounts" "$SILTFS" mount "$T/good" "$MNT" -o ro,verify=all
cp "$MNT/big" "$T/big"
cp "$MNT/late" "$T/late"
ok "unmount" "$SILTFS" umount "$MNT"

for kind in CURRENT 'MANIFEST-*' '*.sst' '*.vlog' '*.log'; do
    file=$(cd "$T/good" && ls -S $kind 2>/dev/null | head -n 1)
    if [ -z "$file" ]; then
        fail "the store has a file of kind $kind"
        continue
    fi
    size=$(stat -c %s "$T/good/$file")
    damaged "$file" 0
    damaged "$file" $((size / 2))
    damaged "$file" $((size - 1))
done

# A file that is gone, or cut.
rm -rf "$STORE"
cp -a "$T/good" "$STORE"
file=$(cd "$STORE" && ls -S *.sst | head -n 1)
rm "$STORE/$file"
refused "a missing table is named" "$file" "$SILTFS" mount "$STORE" "$MNT" -o verify=all
cp -a "$T/good/$file" "$STORE/$file"
truncate -s -10 "$STORE/$file"
refused "a cut table is named" "$file" "$SILTFS" mount "$STORE" "$MNT" -o verify=all
finish
