#!/bin/bash
# Ranges of files by real tools: fallocate, punching, SEEK_HOLE, copies that share.
. "$(dirname "$0")/mount_lib.sh"

need strace strace
need xfs_io xfsprogs
fresh -o allow_other || { fail "a fresh store mounts"; finish; }
cd "$MNT" || exit 1
size() { stat -c %s "$1"; }
blocks() { stat -c %b "$1"; }
dd if=/dev/urandom of="$T/ref" bs=64k count=64 status=none # 4 MiB

# map FILE : its data and holes as SEEK_DATA and SEEK_HOLE tell them, "from-to ..."
map() {
    python3 - "$1" <<'END2'
import errno, os, sys
f = os.open(sys.argv[1], os.O_RDONLY); off = 0; out = []
while True:
    try: data = os.lseek(f, off, os.SEEK_DATA)
    except OSError as e:
        assert e.errno == errno.ENXIO, e
        break
    off = os.lseek(f, data, os.SEEK_HOLE)
    out.append(f"{data}-{off}")
print(*out)
END2
}

# ---- fallocate ----

ok "fallocate grows a file" fallocate -l 100000 a
same "... to its size" "$(size a)" 100000
same "... of zeros" "$(tr -d '\0' <a | wc -c)" 0
same "... that count as blocks but are no data" "$(blocks a)$(map a)" 196
ok "fallocate with KEEP_SIZE" fallocate -n -l 500000 a
same "... keeps it" "$(size a) $(blocks a)" "100000 977"
ok "posix_fallocate" python3 -c 'import os; os.posix_fallocate(os.open("a", os.O_RDWR), 99999, 2)'
same "... grows too" "$(size a)" 100001
ok "truncate to the size it has" truncate -s 100001 a
same "... gives back what lies beyond" "$(blocks a)" 196
not "fallocate beyond what the disk has" fallocate -l 4E b
same "... leaves the file as it was" "$(size b)" 0
cp "$T/ref" p
cp "$T/ref" want
ok "punch" fallocate -p -o 10001 -l 1000000 p
dd if=/dev/zero of="$T/ref" bs=1M oflag=seek_bytes iflag=count_bytes seek=10001 count=1000000 conv=notrunc status=none
ok "... makes zeros" cmp p "$T/ref"
same "... keeps the size" "$(size p)" 4194304
same "... gives the blocks back" "$(blocks p)" $(((4194304 - 1000000 + 511) / 512))
same "... is a hole, block by block" "$(map p)" "0-12288 1007616-4194304"
ok "zero range" fallocate -z -o 2000000 -l 3000000 p
same "... grows the file" "$(size p)" 5000000
same "... is zeros" "$(tail -c +2000001 p | tr -d '\0' | wc -c)" 0
ok "zero range with KEEP_SIZE" fallocate -z -n -o 4999999 -l 3000000 p
same "... keeps the size" "$(size p)" 5000000
ok "punching all of it" fallocate -p -o 0 -l 99999999 p
same "... leaves no blocks" "$(blocks p)$(map p)" 0
ok "fallocate --dig-holes" sh -c 'head -c 1000000 /dev/zero >dig && fallocate -d dig'
same "... digs" "$(blocks dig)" 0
ok "xfs_io writes, punches, reads" xfs_io -f -c "pwrite -S 7 0 100k" -c "fpunch 20k 10k" \
    -c "fzero 50k 10k" -c "falloc 90k 20k" -c fsync x
same "... sizes" "$(size x) $(blocks x)" "112640 200"
same "... holes" "$(map x)" "0-20480 28672-53248 61440-102400"
ok "errors as Linux has them" python3 - <<'END'
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
def fails(want, fd, mode, off, len):
    r = libc.fallocate(fd, mode, off, len)
    assert (r, ctypes.get_errno()) == (-1, want), (r, ctypes.get_errno(), want)
f = os.open("e", os.O_CREAT | os.O_RDWR)
os.write(f, b"1234")
fails(errno.EINVAL, f, 0, 0, 0)
fails(errno.EINVAL, f, 0, -1, 1)
fails(errno.EOPNOTSUPP, f, 2, 0, 1)
fails(errno.EOPNOTSUPP, f, 1 << 20, 0, 1)
fails(errno.EFBIG, f, 0, 2**63 - 1, 1)
fails(errno.EBADF, os.open("e", os.O_RDONLY), 0, 0, 1)
for whence in (os.SEEK_DATA, os.SEEK_HOLE):
    for off in (4, 5):
        try: os.lseek(f, off, whence); assert False
        except OSError as e: assert e.errno == errno.ENXIO
assert os.lseek(f, 1, os.SEEK_HOLE) == 4 and os.lseek(f, 1, os.SEEK_DATA) == 1
END
ok "fallocate sets mtime and ctime" python3 - <<'END'
import os, time
f = os.open("times", os.O_CREAT | os.O_RDWR)
a = os.fstat(f); time.sleep(0.02); os.posix_fallocate(f, 0, 10)
b = os.fstat(f); assert b.st_mtime_ns > a.st_mtime_ns and b.st_ctime_ns > a.st_ctime_ns
END
ok "fallocate and copy_file_range by another clear suid" python3 - <<'END'
import os
for how in ("fallocate", "copy"):
    f = os.open("suid", os.O_CREAT | os.O_RDWR)
    os.ftruncate(f, 10); os.fchmod(f, 0o6777)
    src = os.open("suid-source", os.O_CREAT | os.O_RDWR); os.write(src, b"x" * 20)
    pid = os.fork()
    if not pid:
        os.setgid(65534); os.setuid(65534)
        if how == "copy": os.copy_file_range(src, f, 5, 0, 0)
        else: os.posix_fallocate(f, 0, 20)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert os.fstat(f).st_mode & 0o7777 == 0o777, (how, oct(os.fstat(f).st_mode))
    os.unlink("suid")
END

# ---- what the kernel has cached ----

ok "mapped pages see holes that are punched, and copies" python3 - <<'END'
import ctypes, mmap, os
libc = ctypes.CDLL(None)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
f = os.open("map", os.O_CREAT | os.O_RDWR); os.write(f, b"a" * 65536)
s = os.open("map-source", os.O_CREAT | os.O_RDWR); os.write(s, b"s" * 65536)
m = mmap.mmap(f, 65536); assert m[30000:30005] == b"aaaaa"
m[100:105] = b"dirty" # not written back before the punch
assert libc.fallocate(f, 3, 20000, 20000) == 0
assert m[30000:30005] == bytes(5) and m[19999:20001] == b"a\0" and m[100:105] == b"dirty"
ms = mmap.mmap(s, 65536); ms[5:9] = b"DIRT" # of the source: must be written back first
assert os.copy_file_range(s, f, 10000, 0, 40000) == 10000
assert m[40000:40010] == b"sssssDIRTs" and m[49999:50001] == b"sa", m[40000:40010]
assert os.pread(f, 10, 40000) == b"sssssDIRTs"
END

# ---- sparse files ----

truncate -s 1P peta
same "1 PiB" "$(size peta) $(blocks peta)" "1125899906842624 0"
ok "a write at its end" dd if="$T/ref" of=peta bs=64k count=1 oflag=seek_bytes \
    seek=1125899906842624 conv=notrunc status=none
same "... takes what was written" "$(blocks peta)" 128
same "... is the only data" "$(map peta)" "1125899906842624-1125899906908160"
ok "8 EiB - 1" truncate -s 9223372036854775807 exa
ok "... with a last byte, and no byte more" python3 - <<'END'
import errno, os
f = os.open("exa", os.O_RDWR)
assert os.pwrite(f, b"z", 2**63 - 2) == 1
assert os.pread(f, 3, 2**63 - 4) == b"\0\0z"
try: os.pwrite(f, b"z", 2**63 - 1); assert False
except OSError as e: assert e.errno == errno.EINVAL, e # the kernel: no offset is larger
END
ok "dd conv=notrunc past the end" sh -c 'printf abc >n && printf xyz | dd of=n bs=1 seek=50000 conv=notrunc status=none'
same "... leaves a hole" "$(size n) $(map n)" "50003 0-4096 49152-50003"
truncate -s 2 n
truncate -s 6000 n
same "shrinking and growing leaves zeros" "$(tr -d '\0' <n)" ab
for i in 1 3 8; do
    dd if=want of=sparse bs=64k count=1 seek=$((i * 100)) skip=30 conv=notrunc status=none
done
truncate -s 100M sparse
holes=$(map sparse)
ok "cp --sparse=auto" cp sparse s1
same "... keeps the holes" "$(map s1) $(blocks s1)" "$holes 384"
ok "cp --sparse=always --reflink=never" cp --sparse=always --reflink=never sparse s2
ok "... is the same" cmp sparse s2
same "... in as few blocks" "$(blocks s2)" 384
ok "tar -S" sh -c 'tar -Scf s.tar sparse && mkdir -p t && tar -C t -Sxf s.tar'
ok "... is the same" cmp sparse t/sparse
same "... with its holes" "$(map t/sparse)" "$holes"
same "... the archive is small" "$(($(size s.tar) < 400000))" 1

# ---- copies ----

for i in $(seq 256); do cat want; done >big # 1 GiB
# same_here_and_there FILE FILE : in 16 places, all over 1 GiB.
same_here_and_there() {
    local i
    for i in $(seq 0 71234567 1073741823); do cmp -i "$i" -n 1000000 "$1" "$2" || return; done
}
ok "cp of 1 GiB" strace -o "$T/trace" -e trace=copy_file_range cp big big2
same "... is one call" "$(grep -c 'copy_file_range.*= 1073741824' "$T/trace")" 1
ok "copying 1 GiB takes the time of its extents" python3 - <<'END'
import os, time
best = 9
for i in range(20): # until nothing else was in the way
    s = os.open("big", os.O_RDONLY); f = os.open("big3", os.O_CREAT | os.O_RDWR | os.O_TRUNC)
    t = time.time(); n = 0
    while n < 1 << 30: n += os.copy_file_range(s, f, (1 << 30) - n)
    best = min(best, time.time() - t)
    if best < 0.5: break
assert best < 0.5, "%.1f ms" % (best * 1000) # 10 ms on a machine that has time
END
ok "... and is the same" same_here_and_there big big2
ok "both copies overwritten at random hold what they should" python3 - "$RANDOM" <<'END'
import os, random, sys
print("seed", sys.argv[1]); random.seed(sys.argv[1])
a = os.open("rnd-a", os.O_CREAT | os.O_RDWR); b = os.open("rnd-b", os.O_CREAT | os.O_RDWR)
size = 3000000; data = bytearray(os.urandom(size)); os.write(a, data)
want = {a: data, b: bytearray(data)}
n = 0
while n < size: n += os.copy_file_range(a, b, size - n, n, n)
for i in range(400):
    f = random.choice((a, b)); off = random.randrange(size)
    n = min(random.randrange(1, 60000), size - off)
    if random.random() < 0.3: # copies as well, unaligned, within a file and between
        g = random.choice((a, b)); src = random.randrange(size - n)
        if g == f and src < off + n and off < src + n: continue
        piece = bytes(want[g][src:src + n]); k = 0
        while k < n: k += os.copy_file_range(g, f, n - k, src + k, off + k)
    else:
        piece = os.urandom(n); os.pwrite(f, piece, off)
    want[f][off:off + n] = piece
for f, name in ((a, "rnd-a.want"), (b, "rnd-b.want")):
    assert os.pread(f, size, 0) == bytes(want[f]), name
    open(name, "wb").write(want[f])
END
ok "overlapping ranges of one file are refused, others copied" python3 - <<'END'
import errno, os
f = os.open("self", os.O_CREAT | os.O_RDWR); os.write(f, bytes(range(200)))
try: os.copy_file_range(f, f, 100, 0, 50); assert False
except OSError as e: assert e.errno == errno.EINVAL
assert os.copy_file_range(f, f, 100, 0, 100) == 100
assert os.pread(f, 300, 0) == bytes(range(100)) * 2
assert os.copy_file_range(f, f, 300, 150, 300) == 50 # only that much is there
assert os.copy_file_range(f, f, 100, 350, 0) == 0
assert os.fstat(f).st_size == 350 and os.fstat(f).st_blocks == 1
END

# ---- over a mount, and at rest ----

cd / || exit 1
ok "remounting" remount
cd "$MNT" || exit 1
same "holes are as before" "$(map sparse)" "$holes"
ok "... and contents" cmp sparse t/sparse
ok "... and copies" cmp rnd-a rnd-a.want
ok "... both" cmp rnd-b rnd-b.want
ok "... and the long one" same_here_and_there big big2
cd / || exit 1
ok "umount" "$SILTFS" umount "$MNT"
ok "fsck finds nothing" "$SILTFS" fsck "$STORE"

# ---- with the kernel's writeback cache ----

ok "mount -o writeback" "$SILTFS" mount "$STORE" "$MNT" -o writeback
cd "$MNT" || exit 1
ok "what is not written back is no hole" python3 -c '
import os
f = os.open("wb", os.O_CREAT | os.O_RDWR); os.ftruncate(f, 1000000); os.pwrite(f, b"x", 500000)
assert os.lseek(f, 0, os.SEEK_DATA) <= 500000'
ok "cp of a file not written back" sh -c '
    printf x | dd of=wb2 bs=1 seek=300000 status=none && cp wb2 wb3 && cmp wb2 wb3'
cd / || exit 1
ok "umount" "$SILTFS" umount "$MNT"
finish
