#!/bin/bash
# Every ordinary file call, by ordinary tools; then a real tree, twice.
. "$(dirname "$0")/mount_lib.sh"

fresh || { fail "a fresh store mounts"; finish; }
cd "$MNT" || exit 1

# ---- contents ----

echo hello >a
same "a file reads as written" "$(cat a)" hello
echo world >>a
same "appending adds" "$(cat a)" "hello
world"
same "size" "$(stat -c %s a)" 12
truncate -s 5 a
same "truncate shrinks" "$(cat a)" hello
truncate -s 4096 a
same "truncate grows with zeros" "$(head -c 4096 a | tr -d '\0')$(stat -c %s a)" hello4096
truncate -s 3 a
truncate -s 5 a
same "what was cut off does not come back" "$(od -An -c a | tr -d ' ')" 'hel\0\0'
: >a
same "opening with O_TRUNC empties" "$(stat -c %s a)" 0
dd if=/dev/urandom of="$T/ref" bs=64k count=40 status=none
cp "$T/ref" b
ok "a large file reads as written" cmp "$T/ref" b
for i in 1 2 3 4 5 6 7 8 9 10; do
    off=$((RANDOM * 79)) len=$((RANDOM % 9000 + 1))
    head -c $len /dev/urandom >"$T/piece"
    for f in "$T/ref" b; do
        dd if="$T/piece" of=$f bs=1M oflag=seek_bytes seek=$off conv=notrunc status=none
    done
done
ok "writes in the middle land where they should" cmp "$T/ref" b
dd if=/dev/urandom of=hole bs=4k count=1 seek=1000 status=none
same "a hole is zeros" "$(head -c 4096000 hole | tr -d '\0' | wc -c)" 0
same "a hole takes no space" "$(($(stat -c %b hole) < 100))" 1
dd if="$T/ref" of=direct bs=128k oflag=direct status=none
ok "O_DIRECT writes" cmp "$T/ref" direct
dd if=direct of="$T/back" bs=128k iflag=direct status=none
ok "O_DIRECT reads" cmp "$T/ref" "$T/back"
cp --reflink=auto b c
ok "cp copies" cmp b c
ok "fsync of a file" sync b
ok "fsync of a directory" sync .
ok "fdatasync" sync -d b
ok "syncfs" sync -f .
ok "mmap reads and writes" python3 -c '
import mmap, os
f = open("map", "w+b"); f.truncate(100000)
m = mmap.mmap(f.fileno(), 100000); m[50000:50005] = b"mmap!"; m.flush(); m.close()
f.seek(50000); assert f.read(5) == b"mmap!"'
ok "an unlinked file lives while it is open" python3 -c '
import os
f = os.open("open", os.O_CREAT | os.O_RDWR)
os.write(f, b"kept"); os.unlink("open")
os.write(f, b" on"); assert os.pread(f, 100, 0) == b"kept on"
assert os.fstat(f).st_nlink == 0 and not os.path.exists("open")'
exec 8>open
echo kept >&8
rm open
same "... and can be opened again through /proc" "$(cat /proc/self/fd/8)" kept
exec 8>&-

# ---- names ----

mkdir d d/sub
not "mkdir of what is there" mkdir d
not "rmdir of a directory with something in it" rmdir d
ok "rmdir" rmdir d/sub
not "rmdir of a file" rmdir a
not "unlink of a directory" unlink d
ok "rename" mv a a2
ok "rename back" test -e a2 -a ! -e a
echo one >x
echo two >y
ok "rename over a file" mv x y
same "... has the content" "$(cat y)" one
ok "rename between directories" mv y d/y
same "... has the content" "$(cat d/y)" one
not "rename of a directory into itself" python3 -c 'import os; os.rename("d", "d/e")'
mkdir full empty
touch full/f
not "rename over a directory with something in it" python3 -c 'import os; os.rename("empty", "full")'
ok "rename over an empty directory" python3 -c 'import os; os.rename("full", "empty")'
ok "exchange" python3 - <<'END'
import ctypes, os
os.mkdir("ex"); open("ey", "w").write("file")
libc = ctypes.CDLL(None, use_errno=True)
assert libc.renameat2(-100, b"ex", -100, b"ey", 2) == 0, os.strerror(ctypes.get_errno())
assert os.path.isdir("ey") and open("ex").read() == "file"
assert libc.renameat2(-100, b"ex", -100, b"ey", 1) == -1 and ctypes.get_errno() == 17
END
ok "hard link" ln c c-link
same "... counts" "$(stat -c %h c)" 2
same "... is the same file" "$(stat -c %i c)" "$(stat -c %i c-link)"
rm c
ok "... lives on" cmp b c-link
ok "symbolic link" ln -s target/of/link link
same "... reads" "$(readlink link)" target/of/link
same "... has its length" "$(stat -c %s link)" 14
long=$(printf 'n%.0s' $(seq 255))
ok "a name of 255 bytes" touch "$long"
not "a name of 256 bytes" touch "${long}n"
ok "a link target of 4095 bytes" python3 -c 'import os; os.symlink("t" * 4095, "l4095"); assert len(os.readlink("l4095")) == 4095'
ok "names of any bytes" python3 -c '
import os
for b in range(1, 256):
    if b not in (0x2f, 0x2e): open(b"byte" + bytes([b]), "w").close()
assert len([n for n in os.listdir(b".") if n.startswith(b"byte")]) == 253'
ok "a FIFO" mkfifo fifo
same "... is one" "$(stat -c %F fifo)" fifo
ok "a socket" python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'
if [ "$(id -u)" = 0 ]; then
    ok "a device" mknod dev c 1 3
    same "... has its number" "$(stat -c '%F %t:%T' dev)" "character special file 1:3"
fi

# ---- attributes ----

touch m
for mode in 0 644 755 1777 4755 2755 6711; do
    chmod $mode m
    same "chmod $mode" "$(stat -c %a m)" $mode
done
if [ "$(id -u)" = 0 ]; then
    chown 12:34 m
    same "chown" "$(stat -c %u:%g m)" 12:34
    chmod 6755 m
    chown 13 m
    same "chown clears suid and sgid" "$(stat -c %a m)" 755
fi
for t in '2001-02-03 04:05:06.123456789' '1960-01-01 00:00:00.5' '2100-01-01 00:00:00'; do
    touch -m -d "$t" m
    same "mtime $t" "$(stat -c %Y m)" "$(date -d "$t" +%s)"
done
touch -m -d '2001-02-03 04:05:06.123456789' m
same "nanoseconds" "$(date -r m +%N)" 123456789
touch -a -d '2002-02-02' m
same "atime" "$(stat -c %X m)" "$(date -d 2002-02-02 +%s)"
before=$(stat -c %z m)
sleep 0.02
chmod 600 m
same "chmod changes ctime" "$([ "$(stat -c %z m)" \> "$before" ] && echo yes)" yes
before=$(stat -c %y d)
sleep 0.02
touch d/new
same "a new entry changes its directory's mtime" "$([ "$(stat -c %y d)" \> "$before" ] && echo yes)" yes
mkdir -p n/1 n/2 n/3
touch n/file
same "links of a directory: 2 and its subdirectories" "$(stat -c %h n)" 5
mv n/3 d/
same "... also when one moves away" "$(stat -c %h n)" 4
ok "statfs" df .

# ---- directories ----

mkdir many
ok "20,000 files" python3 -c '
import os
for i in range(20000): os.close(os.open("many/f%05d" % i, os.O_CREAT | os.O_WRONLY))'
same "... are all listed" "$(ls -U many | sort -u | wc -l)" 20000
same "... and found" "$(find many -type f | wc -l)" 20000
same "... listed once while they are removed" "$(python3 -c '
import os
seen = []
for e in os.scandir("many"):
    seen.append(e.name); os.unlink("many/" + e.name)
print(len(seen), len(set(seen)), len(os.listdir("many")))')" "20000 20000 0"
same "telldir and seekdir" "$(python3 - <<'END'
import ctypes, os
os.mkdir("seek")
for i in range(500): open("seek/%d" % i, "w").close()
libc = ctypes.CDLL(None)
libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
libc.telldir.restype = ctypes.c_long
libc.opendir.argtypes = [ctypes.c_char_p]
libc.readdir.argtypes = libc.telldir.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
d = libc.opendir(b"seek")
def name(e): return ctypes.string_at(e + 19)
for i in range(200): libc.readdir(d)
at = libc.telldir(d)
after = [name(libc.readdir(d)) for i in range(100)]
libc.seekdir(d, at)
print(after == [name(libc.readdir(d)) for i in range(100)])
END
)" True
# requests COMMAND... : how many the kernel sends meanwhile, not counting FORGET, GETXATTR, STATFS,
# OPENDIR and RELEASEDIR, which comes when it likes.
requests() {
    : >"$T/strace"
    strace -f -e trace=read -xx -s 8 -o "$T/trace" -p "$(daemon_pid)" 2>"$T/strace" &
    wait_until 120 grep -q attached "$T/strace"
    "$@" >"$T/null"
    kill $! # an INT it would ignore, in the background
    wait $!
    # What began before, or beside another thread's, is "resumed".
    grep -oE 'read(\(| resumed>).*= [0-9]' "$T/trace" |
        grep -vcE '[ >]"(\\x..){4}\\x(02|2a|16|11|1b|1d)'
}
need strace strace
# again_costs N COMMAND... : the second time, no more requests than N. Three times at most: others
# on the machine may empty the kernel's caches between the two, or make it short of memory.
again_costs() {
    local i n
    for i in 1 2 3; do
        "${@:2}" many >"$T/null"
        stat many >"$T/null"
        n=$(requests "${@:2}" many)
        [ "$n" -gt "$1" ] || return 0
    done
    echo "$n requests"
    return 1
}
keep_caches
rm -rf many
mkdir many
touch many/{1..300}
sleep 3.1 # what changes all the time is not cached
ok "listing a second time costs no more than opening it" again_costs 0 ls -U
ok "... and finding what is there the directory's attributes at most" again_costs 1 find
ok "the first listing costs some" test "$(mkdir many/new && requests ls -U many)" -gt 0
let_caches_go
same "a listing shows at once what was made, removed and renamed" "$(python3 - <<'END'
import ctypes, os
os.chdir("many")
def step(do, come=(), go=()):
    want = (set(os.listdir()) | set(come)) - set(go)
    do()
    got = os.listdir()
    if sorted(got) != sorted(want): print(come, go, len(got), len(want))
step(lambda: open("made", "x").close(), ["made"])
step(lambda: os.link("made", "link"), ["link"])
step(lambda: os.symlink("made", "soft"), ["soft"])
step(lambda: os.mkfifo("fifo"), ["fifo"])
step(lambda: os.mkdir("sub"), ["sub"])
step(lambda: os.rename("made", "moved"), ["moved"], ["made"])
step(lambda: os.rename("soft", "link"), [], ["soft"])
step(lambda: os.rename("moved", "sub/moved"), [], ["moved"])
step(lambda: os.rename("sub/moved", "back"), ["back"])
step(lambda: os.unlink("back"), [], ["back"])
step(lambda: os.rmdir("sub"), [], ["sub"])
os.listdir("new"); os.rename("1", "new/1"); print(os.listdir("new"))
dirs = lambda: sorted(e.name for e in os.scandir() if e.is_dir(follow_symlinks=False))
before = dirs(); ctypes.CDLL(None).renameat2(-100, b"new", -100, b"2", 2); print(before, dirs())
d = os.open(".", os.O_RDONLY); os.listdir(d); open("late", "x").close(); print("late" in os.listdir(d))
END
)" "['1']
['new'] ['2']
True"
same "... and while it is open" "$(python3 - <<'END'
import os
with os.scandir("many") as e:
    first = next(e).name
    os.unlink("many/300"); open("many/300", "x").close(); os.unlink("many/299")
    names = [first] + [x.name for x in e]
print(len(names) == len(set(names)), set(map(str, range(3, 299))) <= set(names), "299" in os.listdir("many"))
END
)" "True True False"
same ".siltfs is not listed" "$(ls -a | grep -c siltfs)" 0
ok ".siltfs is there" test -d .siltfs -a -f .siltfs/stats
same ".siltfs is private" "$(stat -c %a .siltfs .siltfs/stats | xargs)" "700 400"
ok "stats says what there is" grep -q "inodes" .siltfs/stats
ok "stats as JSON" python3 -m json.tool .siltfs/stats.json
ok "... of the store that is mounted too" python3 -c '
import json, subprocess, sys
s = json.loads(subprocess.check_output([sys.argv[1], "stats", "--json", sys.argv[2]]))
e = s["engine"]
assert s["format"] == 1 and s["filesystem"]["inodes"] > 0
assert e["puts"] > 0 and e["times"]["get"]["sample_every"] > 1 and len(e["levels"]) == 5
assert all(g["garbage"] <= g["size"] for g in e["segments_with_most_garbage"])
' "$SILTFS" "$STORE"
# prometheus: every line is a comment or a sample, and nothing is there twice.
ok "stats for Prometheus" awk '
/^# (HELP|TYPE) [a-z_0-9]+ ./ { if (seen[$2, $3]++) exit 1; next }
!/^[a-z_0-9]+[{]store="[^"]+"(,[a-z]+="[^"]+")*[}] [0-9.]+$/ || seen[$1]++ { print; exit 1 }
{ n++ } END { if (n < 100) exit 1 }' .siltfs/stats.prom
ok "... by the command" grep -q "^lsm_puts_total{store=\"$STORE\"} [1-9]" \
    <("$SILTFS" stats --prometheus "$MNT")
says "not both at once" "usage" "$SILTFS" stats --json --prometheus "$MNT"
not "nothing can be made there" touch .siltfs/new
not "nor can it be replaced" mv -T d .siltfs
not "nor removed" rmdir .siltfs

# ---- after a remount ----

describe . >"$T/before"
cd /
ok "unmount and mount" remount
describe "$MNT" >"$T/after"
ok "all is as it was" cmp "$T/before" "$T/after"
ok "contents too" cmp "$T/ref" "$MNT/b"
cd "$MNT" && rm -rf ./* && cd /
same "all can be removed" "$(ls -A "$MNT")" ""

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$MNT/by/handle"
    echo held >"$MNT/by/handle/file"
    same "directories and files are found by their handles after a remount (as NFS does)" "$(python3 - \
        "$SILTFS" "$STORE" "$MNT" 2>&1 <<'END'
import ctypes, os, subprocess, sys
siltfs, store, mnt = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
def handle_of(path):
    handle, mount_id = ctypes.create_string_buffer(8 + 128), ctypes.c_int()
    ctypes.c_uint.from_buffer(handle, 0).value = 128
    assert libc.name_to_handle_at(-100, path.encode(), handle, ctypes.byref(mount_id), 0) == 0
    return handle
def name_of(handle):
    at = os.open(mnt, os.O_RDONLY)
    fd = libc.open_by_handle_at(at, handle, os.O_RDONLY)
    os.close(at)
    if fd < 0:
        return os.strerror(ctypes.get_errno())
    name = os.readlink("/proc/self/fd/%d" % fd)
    os.close(fd)
    return name
dir, file = handle_of(mnt + "/by/handle"), handle_of(mnt + "/by/handle/file")
os.rename(mnt + "/by/handle/file", mnt + "/by/file")
subprocess.run([siltfs, "umount", mnt], check=True)
subprocess.run([siltfs, "mount", store, mnt], check=True)
print(name_of(dir))
at = os.open(mnt, os.O_RDONLY)
fd = libc.open_by_handle_at(at, file, os.O_RDONLY)
print(os.read(fd, 9).decode() if fd >= 0 else os.strerror(ctypes.get_errno()), end="")
os.close(fd), os.close(at)
os.unlink(mnt + "/by/file")
subprocess.run([siltfs, "umount", mnt], check=True)
subprocess.run([siltfs, "mount", store, mnt], check=True)
print(name_of(file))
END
)" "$MNT/by/handle
held
Stale file handle"
    rm -r "$MNT/by"
fi

# ---- a real tree ----

tree=/usr/include
[ "$(find $tree | wc -l)" -ge 500 ] || tree=/usr/share/doc
ok "cp -a of $tree" cp -a $tree "$MNT/tree"
ok "... is the same" diff -r --no-dereference $tree "$MNT/tree"
same "... entry by entry" "$(diff <(describe $tree) <(describe "$MNT/tree"))" ""
same "... counted by find" "$(find "$MNT/tree" | wc -l)" "$(find $tree | wc -l)"
ok "unmount and mount" remount
ok "the same after a remount" diff -r --no-dereference $tree "$MNT/tree"
same "... entry by entry" "$(diff <(describe $tree) <(describe "$MNT/tree"))" ""
ok "fsck wants it unmounted" "$SILTFS" umount "$MNT"
ok "fsck is clean" "$SILTFS" fsck "$STORE"
ok "verify is clean" "$SILTFS" verify "$STORE"
full=$(du -s --apparent-size "$STORE" | cut -f 1)
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
ok "rm -rf" rm -rf "$MNT/tree"
same "... leaves nothing" "$(ls -A "$MNT")" ""
shrunk() { [ "$(du -s --apparent-size "$STORE" | cut -f 1)" -lt $((full / 2)) ]; }
"$SILTFS" umount "$MNT"
"$SILTFS" mount "$STORE" "$MNT"
ok "the store shrinks (from $full KiB)" wait_until 120 shrunk
ok "unmount" "$SILTFS" umount "$MNT"
ok "fsck is clean" "$SILTFS" fsck "$STORE"

# ---- read only ----

ok "mount read-only" "$SILTFS" mount "$STORE" "$MNT" -o ro
not "nothing can be made" touch "$MNT/new"
ok "unmount" "$SILTFS" umount "$MNT"

# ---- other users ----

# as_user GROUPS COMMAND... : as user and group 1000, and member of GROUPS.
as_user() {
    local groups=$1
    shift
    setpriv --reuid 1000 --regid 1000 --groups "$groups" "$@"
}

# What a suid, sgid program looks like after the user did that to it.
mode_after() {
    chown 1000:1000 "$MNT/prog"
    chmod 6755 "$MNT/prog"
    as_user 1000 sh -c "$1" && stat -c %a "$MNT/prog"
}

if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$T"
    ok "mount" "$SILTFS" mount "$STORE" "$MNT"
    echo secret >"$MNT/file"
    not "others are kept out" as_user 1000 cat "$MNT/file"
    ok "unmount" "$SILTFS" umount "$MNT"
    ok "mount with allow_other" "$SILTFS" mount "$STORE" "$MNT" -o allow_other
    ok "others may come in" as_user 1000 cat "$MNT/file"
    not "... and do what the mode says" as_user 1000 sh -c "echo x >>'$MNT/file'"
    not "... but not read the statistics" as_user 1000 cat "$MNT/.siltfs/stats"
    mkdir -m 1777 "$MNT/tmp"
    mv "$MNT/file" "$MNT/tmp/file"
    not "a sticky directory protects what is another's" as_user 1000 rm -f "$MNT/tmp/file"
    ok "... not one's own" as_user 1000 sh -c "echo >'$MNT/tmp/own' && rm '$MNT/tmp/own'"

    mkdir "$MNT/shared"
    chown 1000:2000 "$MNT/shared"
    chmod 2775 "$MNT/shared"
    as_user 2000 sh -c "umask 2; mkdir '$MNT/shared/dir'; echo >'$MNT/shared/file'"
    same "a directory with sgid passes on its group" \
        "$(stat -c '%g %a' "$MNT/shared/dir" "$MNT/shared/file" | xargs)" "2000 2775 2000 664"
    as_user 2000 chmod 2775 "$MNT/shared/file"
    same "a member of the group sets sgid" "$(stat -c %a "$MNT/shared/file")" 2775
    as_user 1000 chmod 2755 "$MNT/shared/file"
    same "another does not" "$(stat -c %a "$MNT/shared/file")" 755

    : >"$MNT/prog"
    same "a write clears suid and sgid" "$(mode_after "echo x >>'$MNT/prog'")" 755
    same "O_TRUNC does" "$(mode_after ": >'$MNT/prog'")" 755
    echo content >"$MNT/prog"
    same "truncate does" "$(mode_after "truncate -s 2 '$MNT/prog'")" 755
    same "chown does" "$(mode_after "chgrp 1000 '$MNT/prog'")" 755
    chmod 6755 "$MNT/prog"
    echo more >>"$MNT/prog"
    : >"$MNT/prog"
    same "root's writes do not" "$(stat -c %a "$MNT/prog")" 6755
    ok "unmount" "$SILTFS" umount "$MNT"
    ok "mount" "$SILTFS" mount "$STORE" "$MNT"
    same "as after a remount" "$(stat -c %a "$MNT/prog")" 6755
    ok "unmount" "$SILTFS" umount "$MNT"
else
    skip "other users: needs root and setpriv"
fi

# ---- with the kernel's writeback cache ----

ok "mount with writeback" "$SILTFS" mount "$STORE" "$MNT" -o writeback
cp "$T/ref" "$MNT/b"
echo more >>"$MNT/b"
touch -d 2003-03-03 "$MNT/b"
ok "remount" remount
same "content" "$(md5sum <"$MNT/b")" "$( (cat "$T/ref"; echo more) | md5sum)"
same "time" "$(stat -c %Y "$MNT/b")" "$(date -d 2003-03-03 +%s)"
ok "unmount" "$SILTFS" umount "$MNT"
finish
