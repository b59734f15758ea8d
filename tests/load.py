"""Loads of tests/mount_load.sh, each checked as it goes:

    load.py files DIR N SECONDS SEED      N files, all open, read and written at random
    load.py fill DIR N PART PARTS         a part of the names for the next
    load.py entries DIR N SECONDS SEED    a directory of N names that come and go
    load.py sparse FILE N SECONDS SEED    writes at random into N GiB, nearly all of it hole

Prints "operations N" and ends with 0, or with what is wrong on stderr and 1.
"""
import os, random, resource, sys, time


def until(seconds, operation):
    """Call it until the time is over; how often."""
    end, done = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for _ in range(50):
            operation()
            done += 1
    return done


def expect(got, want, what):
    if got != want:
        sys.exit("%s: %r, not %r" % (what, got, want))


def files(path, n, seconds):
    resource.setrlimit(resource.RLIMIT_NOFILE, (n + 100, n + 100))
    os.makedirs(path)
    held = []
    for i in range(n):
        held.append(os.open("%s/%d" % (path, i), os.O_CREAT | os.O_RDWR))
        os.pwrite(held[i], b"%08d" % i, 0)
    for fd in held[: n // 10]:  # these have no name any more
        os.unlink("%s/%d" % (path, held.index(fd)))
    written = {}

    def operation():
        i = random.randrange(n)
        if random.random() < 0.3:
            written[i] = random.randrange(10**8)
            os.pwrite(held[i], b"%08d" % written[i], 0)
        else:
            expect(os.pread(held[i], 100, 0), b"%08d" % written.get(i, i), "file %d" % i)

    done = until(seconds, operation)
    for i in range(n):
        expect(os.pread(held[i], 100, 0), b"%08d" % written.get(i, i), "file %d" % i)
        os.close(held[i])
    return done + n


name = "the-entry-with-the-number-%08d"


def fill(path, n, part):
    os.makedirs(path, exist_ok=True)
    d = os.open(path, os.O_RDONLY)
    some = range(int(part), n, int(sys.argv[5]))
    for i in some:
        os.mknod(name % i, 0o100600, dir_fd=d)
    return len(some)


def entries(path, n, seconds):
    d = os.open(path, os.O_RDONLY)
    gone = set()

    def operation():
        i = random.randrange(n)
        if i in gone:
            os.mknod(name % i, 0o100600, dir_fd=d)
            gone.discard(i)
        elif random.random() < 0.3:
            os.unlink(name % i, dir_fd=d)
            gone.add(i)
        else:
            os.stat(name % i, dir_fd=d)

    def scan():
        expect(len(os.listdir(path)), n - len(gone), "names in %s" % path)

    scan()
    done = until(seconds, operation)
    scan()
    return done


def sparse(path, n, seconds):
    size, block = n << 30, 4096
    f = os.open(path, os.O_CREAT | os.O_RDWR)
    os.ftruncate(f, size)
    written = {}

    def operation():
        at = random.randrange(size // block)
        if written and random.random() < 0.5:
            at = random.choice(list(written.keys())[-1000:])
        if random.random() < 0.6:
            written[at] = random.randrange(2**64).to_bytes(8, "big") * (block // 8)
            os.pwrite(f, written[at], at * block)
        else:
            expect(os.pread(f, block, at * block), written.get(at, bytes(block)), "block %d" % at)

    done = until(seconds, operation)
    for at in written:
        expect(os.pread(f, block, at * block), written[at], "block %d" % at)
    st = os.fstat(f)
    expect(st.st_size, size, "size")
    expect(st.st_blocks * 512, len(written) * block, "bytes that count")
    at, found = 0, 0
    while found < len(written):  # nothing but what was written is data
        data = os.lseek(f, at, os.SEEK_DATA)
        at = os.lseek(f, data, os.SEEK_HOLE)
        found += (at - data) // block
    expect(found, len(written), "blocks of data")
    return done


random.seed(int(sys.argv[5]))
kinds = {"files": files, "fill": fill, "entries": entries, "sparse": sparse}
print("operations", kinds[sys.argv[1]](sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
