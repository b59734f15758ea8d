#!/bin/bash
# Who gets in: to a mount, to what its caches hold, to the control directory, and to the
# store's files. README, "Security", is what this tests.
. "$(dirname "$0")/mount_lib.sh"
[ "$(id -u)" = 0 ] || { skip "needs root to be others"; finish; }
. tests/as_users.sh
need setfacl acl
chmod 755 "$T"

# ---- the store's files ----

modes() { # of everything in the store, each once
    { stat -c 'dir %a %u:%g' "$STORE" && find "$STORE" -mindepth 1 -printf '%y %m %U:%G\n'; } | LC_ALL=C sort -u | xargs
}
fill_store() { for i in 1 2 3; do head -c 300000 /dev/urandom >"$MNT/f$i" || return; done; echo small >"$MNT/s"; }

private="dir 700 0:0 f 600 0:0"
mkdir -p "$MNT"
ok "make a store with a lax umask" sh -c "umask 0; '$SILTFS' mkfs '$STORE'"
same "a store's files are its owner's only" "$(modes)" "$private"
ok "mount it with a lax umask" sh -c "umask 0; '$SILTFS' mount '$STORE' '$MNT'"
ok "fill it" fill_store
same "... also those made while mounted" "$(modes)" "$private"
ok "unmount" "$SILTFS" umount "$MNT"
same "... and those of a closed store" "$(modes)" "$private"
rm -rf "$STORE"
mkdir -m 777 "$STORE"
ok "make a store in a directory that is there" "$SILTFS" mkfs "$STORE"
same "it takes the directory for its owner alone" "$(modes)" "$private"

# ---- root in somebody's store ----

mkdir -m 755 "$T/theirs" "$T/mine"
chown 1000:1000 "$T/theirs" "$T/mine"
ok "a user makes a store" as_user 1000 "$SILTFS" mkfs "$T/theirs/store"
ok "root mounts it" "$SILTFS" mount "$T/theirs/store" "$MNT"
head -c 300000 /dev/urandom >"$MNT/f"
ok "unmount" "$SILTFS" umount "$MNT"
ok "root checks and repairs it" "$SILTFS" fsck --repair "$T/theirs/store"
ok "root sets a limit" "$SILTFS" set "$T/theirs/store" size=1G
same "all of it is still theirs" "$(find "$T/theirs" -printf '%U:%G\n' | sort -u)" "1000:1000"
ok "they use it" as_user 1000 "$SILTFS" fsck "$T/theirs/store"
mkdir "$T/theirs/new"
chown 1000:1000 "$T/theirs/new"
ok "root makes one for them" "$SILTFS" mkfs "$T/theirs/new"
ok "they use that, too" as_user 1000 "$SILTFS" set "$T/theirs/new" size=1G

# ---- no symbolic link is followed in a store ----

ok "mount" "$SILTFS" mount "$STORE" "$MNT" -o memory=16M
fill_store
ok "unmount" "$SILTFS" umount "$MNT"
cp -a "$STORE" "$T/outside"
before=$(fingerprint "$T/outside")
for f in $(cd "$STORE" && ls); do
    cp -a "$STORE" "$T/kept"
    rm "$STORE/$f"
    ln -s "$T/outside/$f" "$STORE/$f"
    if "$SILTFS" mount "$STORE" "$MNT" 2>"$T/said"; then
        # What is not needed (a log already in tables) may lie there, unopened.
        "$SILTFS" umount "$MNT"
        case $f in CURRENT | MANIFEST* | *.sst | *.vlog | LOCK) fail "a store with a link in place of $f is refused" ;; esac
    fi
    same "nothing is written through a link in place of $f" "$(fingerprint "$T/outside")" "$before"
    rm -rf "$STORE"
    mv "$T/kept" "$STORE"
done
says "a link in place of CURRENT is refused with a reason" "CURRENT|symbolic|not a siltfs store" \
    sh -c "rm -f '$STORE/CURRENT'; ln -s '$T/outside/CURRENT' '$STORE/CURRENT'; '$SILTFS' mount '$STORE' '$MNT'"
rm -rf "$T/outside"

# ---- the mount ----

ok "a fresh mount" fresh
echo secret >"$MNT/f"
chmod 666 "$MNT/f"
chmod 777 "$MNT"
for what in 'close(open("f", O_RDONLY))' 'stat("f")' 'listdir(".")' 'chdir(".")' 'statvfs(".")' 'close(open("new", O_CREAT))' 'stat(".siltfs/stats")'; do
    same "by default nobody else gets in: $what" "$(as 1000 "chdir(\"$MNT\"); $what")" EACCES
done
ok "unmount" "$SILTFS" umount "$MNT"
same "other's permissions are always checked, with allow_other" \
    "$("$SILTFS" mount "$STORE" "$MNT" -o allow_other && grep " $MNT " /proc/mounts | grep -c 'default_permissions.*allow_other')" 1
same "... set-uid programs and devices not let in" "$(grep " $MNT " /proc/mounts | grep -c 'nosuid,nodev')" 1
ok "unmount" "$SILTFS" umount "$MNT"
# mount(8) tells its helpers nosuid and nodev only.
ln -s "$SILTFS" "$T/mount.siltfs"
ok "mount -t siltfs" "$T/mount.siltfs" "$STORE" "$MNT" -o rw,nodev,allow_other
same "mount(8)'s defaults are suid and dev, for root" \
    "$(grep " $MNT " /proc/mounts | grep -oE '\b(nosuid|nodev)\b' | xargs)" nodev
as1000() { as 1000 "chdir(\"$MNT\"); $1"; }
same "others do what the mode says" "$(as1000 'print(read(open("f", O_RDONLY), 9))')" "b'secret\\n'
ok"

# ---- the control directory ----

for what in 'listdir(".siltfs")' 'chdir(".siltfs")' 'stat(".siltfs/stats")' 'open(".siltfs/stats", O_RDONLY)' 'open(".siltfs/stats.json", O_RDONLY)' \
    'open(".siltfs/new", O_CREAT)' 'rename(".siltfs/stats", "x")' 'rename("f", ".siltfs/x")' 'link(".siltfs/stats", "x")' 'chmod(".siltfs", 0o777)'; do
    said=$(as1000 "$what")
    case $said in EACCES | EPERM) pass ;; *) fail "others get nothing of the control directory: $what" "$said" ;; esac
done
for what in 'chmod(".siltfs", 0o777)' 'chmod(".siltfs/stats", 0o644)' 'chown(".siltfs/stats", 1000, 1000)' 'unlink(".siltfs/stats")' 'rename(".siltfs", "x")' 'rmdir(".siltfs")'; do
    said=$(as 0 "chdir(\"$MNT\"); $what")
    case $said in ok) fail "not even root changes it: $what" ;; *) pass ;; esac
done
same "root reads the statistics" "$(head -c 1 "$MNT/.siltfs/stats.json")" "{"
same "... whose mode says for whom they are" "$(stat -c '%a %u' "$MNT/.siltfs" "$MNT/.siltfs/stats" | xargs)" "700 0 400 0"

# ---- what the kernel has cached ----

# Everything has been read by the other user, so names, attributes, listings, targets,
# ACLs and pages are in the kernel's caches; then it is closed to him.
prepare() {
    rm -rf "$MNT/d"
    mkdir -m 755 "$MNT/d"
    echo "a secret" >"$MNT/d/f"
    echo "an old secret" >"$MNT/d/g"
    ln -s target "$MNT/d/l"
    chmod 644 "$MNT/d/f" "$MNT/d/g"
    as1000 'listdir("d"); stat("d/f"); read(open("d/f", O_RDONLY), 99); read(open("d/g", O_RDONLY), 99); readlink("d/l"); access("d/f", R_OK)' >"$T/said"
    same "the other user reads it first" "$(tail -n 1 "$T/said")" ok
}
refused() { # refused MESSAGE CALL...
    local message=$1 what
    shift
    for what in "$@"; do same "$message: $what" "$(as1000 "$what")" EACCES; done
}
for options in allow_other allow_other,writeback allow_other,noacl; do
    ok "remount with $options" remount -o "$options"
    prepare
    chmod 600 "$MNT/d/f"
    refused "after chmod of the file ($options)" 'read(open("d/f", O_RDONLY), 9)' 'open("d/f", O_WRONLY)' 'truncate("d/f", 0)' 'print(access("d/f", R_OK) or open("d/f", O_RDONLY))'
    prepare
    chmod 700 "$MNT/d"
    refused "after chmod of the directory ($options)" 'listdir("d")' 'stat("d/f")' 'open("d/f", O_RDONLY)' 'readlink("d/l")' 'rename("d/f", "d/h")'
    prepare
    chmod 711 "$MNT/d"
    refused "a directory to search, not to read ($options)" 'listdir("d")'
    same "... is searched" "$(as1000 'stat("d/f"); readlink("d/l")')" ok
    prepare
    chmod 640 "$MNT/d/f"
    chown 0:2000 "$MNT/d/f"
    refused "after chown ($options)" 'open("d/f", O_RDONLY)'
    prepare
    (umask 077; echo "new secret" >"$MNT/d/n")
    mv "$MNT/d/n" "$MNT/d/g"
    refused "a closed file renamed over an open one ($options)" 'open("d/g", O_RDONLY)'
    prepare
    mkdir -m 700 "$MNT/closed"
    mv "$MNT/d/f" "$MNT/closed/f"
    refused "moved into a closed directory ($options)" 'open("closed/f", O_RDONLY)' 'stat("closed/f")'
    same "... it is gone where it was ($options)" "$(as1000 'stat("d/f")')" ENOENT
    rm -rf "$MNT/closed"
done
ok "remount with ACLs" remount -o allow_other
prepare
chmod 640 "$MNT/d/f"
ok "let him in by an ACL" setfacl -m u:1000:r "$MNT/d/f"
same "he reads it" "$(as1000 'read(open("d/f", O_RDONLY), 9)')" ok
ok "take it back" setfacl -x u:1000 "$MNT/d/f"
refused "after the ACL entry is gone" 'open("d/f", O_RDONLY)'
setfacl -m u:1000:r "$MNT/d/f"
same "he reads it again" "$(as1000 'read(open("d/f", O_RDONLY), 9)')" ok
ok "close it by the mask" chmod 600 "$MNT/d/f"
refused "after chmod took the mask's bits" 'open("d/f", O_RDONLY)'

# A name that did not exist, or the length of the old file, tell nothing of the new one.
prepare
same "a name he asked for in vain" "$(as1000 'stat("d/later")')" ENOENT
(umask 077; echo secret >"$MNT/d/later")
refused "is there now, and closed" 'open("d/later", O_RDONLY)'
same "bytes of a deleted file never show up in a new one" "$(
    head -c 100000 /dev/zero | tr '\0' S >"$MNT/old"; rm "$MNT/old"
    : >"$MNT/new"; truncate -s 200000 "$MNT/new"; dd if=/dev/zero of="$MNT/new" bs=1 seek=5000 count=1 conv=notrunc status=none
    tr -d '\0' <"$MNT/new" | wc -c)" 0
same "... nor those cut off, when the file grows" "$(
    head -c 100000 /dev/zero | tr '\0' S >"$MNT/new"; truncate -s 10 "$MNT/new"; truncate -s 100000 "$MNT/new"
    tr -d '\0' <"$MNT/new" | wc -c)" 10
finish
