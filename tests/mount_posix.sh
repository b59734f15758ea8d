#!/bin/bash
# What POSIX and Linux promise, fact by fact (facts_*.py), on real mounts: names, attributes,
# locks, FIFOs and devices, as several users; and what the mount's options change of it.
. "$(dirname "$0")/mount_lib.sh"
need python3 python3
[ "$(id -u)" = 0 ] || { skip "needs root to be others"; finish; }
chmod 755 "$T"

ok "mount" fresh -o allow_other,dev
facts facts_names.py
facts facts_attrs.py
facts facts_locks.py
facts facts_special.py
ok "mount -o writeback, nodev" remount -o allow_other,writeback
facts facts_names.py touch
facts facts_attrs.py
DEVICES=nodev facts facts_special.py devices

# ---- how it is mounted ----

options() { awk -v m="$MNT" '$2 == m {print $1, $3, $4}' /proc/mounts; }
same "what is mounted, and of which type, is told" "$(options | cut -d' ' -f1,2)" "$STORE fuse.siltfs"
for o in nosuid nodev default_permissions; do
    ok "$o by default" grep -q "[ ,]$o\(,\|\$\)" <(options)
done
rm -f "$MNT/id"
cp /usr/bin/id "$MNT/id"
chmod 4755 "$MNT/id"
run_id() { setpriv --reuid 1000 --regid 1000 --clear-groups "$MNT/id" -u; }
same "a suid program has no privileges" "$(run_id)" 1000
ok "remount -o suid" remount -o allow_other,suid
same "with -o suid it has" "$(run_id)" 0
ok "remount -o noexec" remount -o allow_other,noexec
not "with -o noexec nothing runs" run_id
rm "$MNT/id"

# ---- mount -o remount changes what the kernel checks ----

ok "remount -o allow_other" remount -o allow_other
exec 9>"$MNT/written"
head -c 3000000 /dev/urandom | tee "$T/written" >&9
not "mount -o remount,ro while a file is open for writing" mount -i -o remount,ro "$MNT"
says "siltfs says so" "open for writing" "$SILTFS" mount "$STORE" "$MNT" -o remount,ro
exec 9>&-
ok "mount -o remount,ro" mount -i -o remount,ro "$MNT"
not "... refuses writes" touch "$MNT/new"
ok "... what was written before is there" cmp "$T/written" "$MNT/written"
ok "mount -o remount,rw" mount -i -o remount,rw "$MNT"
ok "... takes them again" rm "$MNT/written"
# As mount(8) calls it when it is installed.
ln -sf "$SILTFS" "$T/mount.fuse.siltfs"
ok "mount.fuse.siltfs -o remount" "$T/mount.fuse.siltfs" "$STORE" "$MNT" -o \
    rw,nosuid,nodev,relatime,remount,noexec,ro,user_id=0,group_id=0,default_permissions,allow_other
same "... changes the flags" "$(options | grep -oE '\b(ro|rw|noexec|nosuid|nodev|relatime)\b' | xargs)" \
    "ro nosuid nodev noexec relatime"
ok "... and back" "$T/mount.fuse.siltfs" "$STORE" "$MNT" -o rw,nosuid,remount,noatime
same "... and back" "$(options | grep -oE '\b(ro|rw|noexec|nosuid|nodev|noatime)\b' | xargs)" "rw nosuid noatime"
says "what is not mounted cannot be changed" "not mounted on" "$SILTFS" mount "$STORE" "$T" -o remount,ro

# ---- what is there after a remount ----

cd "$MNT" || exit 1
mkfifo fifo
mknod dev c 1 5
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'
touch -d '1901-12-14 00:00:00.000000001' old
touch -d '2500-01-01 12:34:56.987654321' new
describe . >"$T/before"
cd /
ok "remount" remount -o allow_other,dev
describe "$MNT" >"$T/after"
ok "special files and times are as they were" cmp "$T/before" "$T/after"
same "a FIFO works" "$(cd "$MNT" && { echo through >fifo & } && cat fifo)" through
same "a device works" "$(head -c 3 "$MNT/dev" | od -An -tx1)" " 00 00 00"

# ---- times of access ----

use() {
    cat "$MNT/file" >"$T/null"
    ls "$MNT/dir" >"$T/null"
    readlink "$MNT/link" >"$T/null"
}
# what they were, with what a read did to it: never, once (the first of two), twice
atimes() { stat -c %x "$MNT/file" "$MNT/dir" "$MNT/link"; }
sets() {
    case $1 in 2001*) echo never ;; "$2") echo once ;; *) echo twice ;; esac
}

# after_reading OPTIONS : the access times of a file, a directory and a symbolic link, long
# ago before, when they were read twice.
after_reading() {
    local once twice
    remount -o "$1" || return
    touch -h -d '2001-01-02 UTC' "$MNT/file" "$MNT/dir" "$MNT/link"
    use
    mapfile -t once < <(atimes)
    case $1 in
    strictatime*) ;;
    *) remount -o "$1" || return ;; # the kernel keeps what it has read
    esac
    use
    mapfile -t twice < <(atimes)
    for i in 0 1 2; do sets "${twice[$i]}" "${once[$i]}"; done | xargs
}
echo text >"$MNT/file"
mkdir "$MNT/dir"
ln -s somewhere "$MNT/link"
for how in "relatime once once once" "noatime never never never" "strictatime twice twice twice" \
    "strictatime,writeback twice twice twice" "strictatime,nodiratime twice never twice" \
    "nodiratime once never once" "noatime,atime once once once"; do
    same "access times with ${how%% *}, of a file, a directory and a link" "$(after_reading "${how%% *}")" "${how#* }"
done

ok "mounted with strictatime,async_dio" remount -o strictatime,async_dio
ok "no access time is set by a read with O_NOATIME" python3 - "$MNT/file" <<'END'
import os, sys
def read(flags):
    fd = os.open(sys.argv[1], os.O_RDONLY | flags)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    assert os.read(fd, 99) == b"text\n"
    os.close(fd)
    return os.stat(sys.argv[1]).st_atime_ns
os.utime(sys.argv[1], ns=(1, 1))
assert read(os.O_NOATIME) == 1
assert read(0) > 1
END

# ---- read only ----

ok "mount -o ro" remount -o ro,allow_other
cd "$MNT" || exit 1
ok "everything that would change something is refused as EROFS" python3 - <<'END'
import errno, os, sys
def refused(f, *args, **named):
    try: f(*args, **named)
    except OSError as e: assert e.errno == errno.EROFS, (f, args, e)
    else: raise AssertionError((f, args))
for f, *args in ((os.open, "n", os.O_CREAT | os.O_WRONLY), (os.open, "file", os.O_WRONLY), (os.open, "file", os.O_RDONLY | os.O_TRUNC),
    (os.mkdir, "n"), (os.symlink, "x", "n"), (os.link, "file", "n"), (os.mkfifo, "n"), (os.rename, "file", "n"), (os.unlink, "file"),
    (os.rmdir, "dir"), (os.chmod, "file", 0o600), (os.chown, "file", 1, 1), (os.utime, "file"), (os.truncate, "file", 0),
    (os.setxattr, "file", "user.a", b"x"), (os.removexattr, "file", "user.a")):
    refused(f, *args)
assert not os.access("file", os.W_OK) and os.access("file", os.R_OK)
assert open("file").read() == "text\n" and os.statvfs(".").f_flag & os.ST_RDONLY
END
same "a FIFO can be written to" "$(cd "$MNT"; cat fifo >"$T/null" & echo x >fifo; wait $!; echo $?)" 0
cd /
mount -i -o remount,rw "$MNT"
not "mount -o remount does not make a store writable that was opened read-only" touch "$MNT/new"
before=$(fingerprint)
ls -lR "$MNT" >"$T/null"
cat "$MNT/file" >"$T/null"
same "nothing changes in the store" "$(fingerprint)" "$before"
ok "umount" "$SILTFS" umount "$MNT"
ok "fsck finds nothing" "$SILTFS" fsck "$STORE"
finish
