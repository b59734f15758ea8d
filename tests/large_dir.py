# large_dir.py N PID SEED BUDGET : a directory of N entries in the current one, served by process
# PID, which has a budget of so many MiB: made, listed, sought in, looked up, renamed, emptied while it is listed. Prints its times and
# the daemon's memory; fails by an assertion.
import ctypes, fcntl, os, random, struct, sys, time

n, pid, seed, budget = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
rnd = random.Random(seed)
libc = ctypes.CDLL(None, use_errno=True)
buf = ctypes.create_string_buffer(1 << 17)


def rss():
    with open("/proc/%s/status" % pid) as f:
        return next(int(line.split()[1]) >> 10 for line in f if line.startswith("VmRSS"))


def tell(what, since, count=n):
    now = time.time()
    print("%-22s %8.2f s %9.0f /s   daemon %4d MiB" % (what, now - since, count / (now - since + 1e-9), rss()), flush=True)
    return time.time()


def entries(fd, size):
    """One getdents64: [(cookie, inode, type, name)]."""
    got = libc.syscall(217, fd, buf, size)
    assert got >= 0, os.strerror(ctypes.get_errno())
    at, out = 0, []
    while at < got:
        number, cookie, length, kind = struct.unpack_from("QqHB", buf, at)
        out.append((cookie, number, kind, buf[at + 19 : at + length].split(b"\0")[0]))
        at += length
    return out


def scan(fd, size=32768):
    while some := entries(fd, size):
        yield from some


def names_of(fd):
    seen = bytearray(n)
    others = 0
    for cookie, number, kind, name in scan(fd):
        if name[:1] == b"f":
            i = int(name[1:])
            assert not seen[i], "%r twice" % name
            seen[i] = 1
        else:
            others += 1
    return sum(seen), others


base = rss()
t = time.time()
os.mkdir("large")
fd = os.open("large", os.O_RDONLY)
for i in range(n):
    os.mknod("f%07d" % i, 0o100644, dir_fd=fd)
t = tell("create", t)
assert os.stat("large").st_nlink == 2
assert names_of(fd) == (n, 2)
t = tell("list", t)
os.lseek(fd, 0, 0)
assert names_of(fd) == (n, 2)
t = tell("list again", t)
with os.scandir("large") as listing:  # with a stat of each, readdirplus
    assert sum(e.stat(follow_symlinks=False).st_nlink for e in listing) == n
t = tell("list and stat", t)

# ---- telldir and seekdir ----

os.lseek(fd, 0, 0)
marks = []
for i, e in enumerate(scan(fd)):
    if i % 997 == 0:
        marks.append((e[0], []))
    elif i % 997 <= 3:
        marks[-1][1].append(e[3])
rnd.shuffle(marks)
for cookie, after in marks[:500]:
    os.lseek(fd, cookie, 0)
    assert [e[3] for e in entries(fd, 400)[: len(after)]] == after
t = tell("seek", t, min(500, len(marks)))

# ---- lookups ----

for _ in range(2000):
    assert os.stat("f%07d" % rnd.randrange(n), dir_fd=fd).st_size == 0
for i in range(2000):
    assert not os.access("g%07d" % i, os.F_OK, dir_fd=fd)
t = tell("stat and miss", t, 4000)

# ---- renamed and moved as a whole ----

os.mkdir("other")
for i in range(20):  # until nothing else was in the way
    began = time.time()
    os.rename("large", "other/moved")
    if time.time() - began < 5:
        break
    os.rename("other/moved", "large")
else:
    assert False, "a rename that takes time with the size"
assert os.stat("f0000000", dir_fd=fd) and os.stat("other/moved/f0000001")
t = tell("rename", t, 1)

# ---- forgotten ----

if n >= 500000 and os.getuid() == 0:
    with open("/tmp/siltfs-test-caches.lock", "a") as lock, open("/proc/sys/vm/drop_caches", "w") as f:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as drop_caches of mount_lib.sh
        f.write("2")
    while rss() > base + budget + 48:
        assert time.time() - t < 120, "the daemon keeps the memory of inodes that are forgotten"
        time.sleep(0.1)
    t = tell("forget", t)

# ---- emptied while it is listed, while others come ----

os.close(fd)
fd = os.open("other/moved", os.O_RDONLY)
removed = come = 0
for cookie, number, kind, name in scan(fd):
    if name[:1] == b"f":
        os.unlink(name, dir_fd=fd)
        removed += 1
        if removed % 100 == 0:
            come += 1
            os.mknod("new%d" % come, 0o100644, dir_fd=fd)
assert removed == n, removed
t = tell("remove while listing", t)
os.lseek(fd, 0, 0)
assert names_of(fd) == (0, come + 2)
for i in range(come):
    os.unlink("new%d" % (i + 1), dir_fd=fd)
os.lseek(fd, 0, 0)
assert len(list(scan(fd))) == 2
os.rmdir("other/moved")
os.rmdir("other")
t = tell("empty", t, 1)
