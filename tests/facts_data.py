# facts_data.py - contents of files: mapped, direct, appended, by several at once.
from facts import *

PAGE = 4096


def mapped(path, length, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE):
    fd = os.open(path, os.O_RDWR)
    m = mmap.mmap(fd, length, flags, prot)
    os.close(fd)
    return m


# ---- mmap ----


@fact
def a_shared_mapping_and_read_and_write_see_each_other():
    put("f", bytes(3 * PAGE))
    m = mapped("f", 3 * PAGE)
    fd = os.open("f", os.O_RDWR)
    for at in (0, 100, PAGE - 3, 2 * PAGE + 17):
        m[at : at + 7] = b"by mmap"
        assert os.pread(fd, 7, at) == b"by mmap"
        os.pwrite(fd, b"written", at)
        assert m[at : at + 7] == b"written"
        m[at : at + 3] = b"again"[:3]
        assert os.pread(fd, 7, at) == b"agatten"


@fact
def two_processes_share_a_mapping():
    put("f", bytes(PAGE))
    m = mapped("f", PAGE)

    def other():
        o = mapped("f", PAGE)
        o[10:15] = b"other"

    assert in_child(other) == 0
    assert m[10:15] == b"other"
    assert get("f")[10:15] == b"other"


@fact
def a_private_mapping_changes_nothing():
    put("f", b"a" * PAGE)
    m = mapped("f", PAGE, mmap.MAP_PRIVATE)
    m[0:5] = b"mine!"
    assert m[0:5] == b"mine!" and get("f") == b"a" * PAGE
    os.pwrite(os.open("f", os.O_WRONLY), b"theirs", 0)
    assert m[0:5] == b"mine!" and get("f")[:6] == b"theirs"


@fact
def a_mapping_outlives_its_file_descriptor_and_name():
    put("f", b"x" * PAGE)
    m = mapped("f", PAGE)
    os.unlink("f")
    m[0:4] = b"kept"
    m.flush()
    assert m[0:5] == b"keptx"


@fact
def what_lies_beyond_the_end_of_a_mapped_file_is_a_bus_error():
    put("f", bytes(3 * PAGE))

    def touch(at, write):
        m = mapped("f", 3 * PAGE)
        os.truncate("f", PAGE + 10)
        if write:
            m[at] = 1
        else:
            m[at]

    for write in (False, True):
        os.truncate("f", 3 * PAGE)
        assert in_child(touch, 2 * PAGE, write) == -signal.SIGBUS
        os.truncate("f", 3 * PAGE)
        assert in_child(touch, PAGE + 100, write) == 0  # of the last page


@fact
def a_mapped_file_that_shrinks_and_grows_has_zeros():
    put("f", b"\xff" * (2 * PAGE))
    m = mapped("f", 2 * PAGE)
    assert m[PAGE + 5] == 255
    os.truncate("f", 100)
    os.truncate("f", 2 * PAGE)
    assert m[:] == b"\xff" * 100 + bytes(2 * PAGE - 100)
    assert get("f") == m[:]


@fact
def what_was_stored_beyond_the_end_in_the_last_page_is_never_content():
    for grow in ("truncate", "write", "fallocate"):
        put("f", b"x" * PAGE)
        m = mapped("f", PAGE)
        os.truncate("f", 100)
        m[100:200] = b"y" * 100
        m.flush()
        if grow == "truncate":
            os.truncate("f", PAGE)
        elif grow == "write":
            os.pwrite(os.open("f", os.O_WRONLY), b"z", PAGE - 1)
        else:
            os.posix_fallocate(os.open("f", os.O_WRONLY), 0, PAGE)
        assert get("f")[100:200].strip(b"\0") == b"", grow


@fact
def an_executable_runs_from_the_mount_and_cannot_be_written_meanwhile():
    shutil.copy("/bin/sleep", "prog")
    os.chmod("prog", 0o755)
    p = subprocess.Popen(["./prog", "500"])
    for i in range(12000):
        if os.readlink("/proc/%d/exe" % p.pid).endswith("/prog"):
            break
        time.sleep(0.01)
    fails(ETXTBSY, os.open, "prog", os.O_WRONLY)
    p.kill()
    p.wait()
    os.close(os.open("prog", os.O_WRONLY))


@fact
def mapped_at_random_by_four_processes_every_byte_is_whose_it_should_be():
    size = 64 * PAGE
    put("f", bytes(size))

    def work(who):
        rnd = drawn(who)
        m = mapped("f", size)
        for i in range(2000):
            at = rnd.randrange(size // 4) * 4 + who
            m[at] = who + 1
            if i % 500 == 0:
                m.flush()

    all_at_once(4, work)
    for who in range(4):
        rnd = drawn(who)
        want = bytearray(size // 4)
        for i in range(2000):
            want[rnd.randrange(size // 4)] = who + 1
        assert get("f")[who::4] == want


# ---- O_DIRECT ----


def direct(path, flags=os.O_RDWR):
    return os.open(path, flags | os.O_DIRECT | os.O_CREAT)


def aligned(n, fill=b""):
    m = mmap.mmap(-1, max(n, 1))
    m[: len(fill)] = fill
    return m


@fact
def direct_writes_are_read_directly_and_not():
    data = os.urandom(256 * 1024)
    fd = direct("f")
    assert os.pwritev(fd, [aligned(len(data), data)], 0) == len(data)
    assert get("f") == data
    buf = aligned(len(data))
    assert os.preadv(fd, [buf], 0) == len(data) and buf[:] == data
    buf = aligned(8192)
    assert os.preadv(fd, [buf], len(data) - 4096) == 4096 and buf[:4096] == data[-4096:]
    assert os.preadv(fd, [buf], len(data)) == 0


@fact
def direct_and_buffered_and_mapped_see_each_other():
    size = 16 * PAGE
    rnd = drawn(5)
    put("f", bytes(size))
    want = bytearray(size)
    m = mapped("f", size)
    d, b = direct("f"), os.open("f", os.O_RDWR)
    for i in range(400):
        at, n, byte = rnd.randrange(16) * PAGE, rnd.randrange(1, 3) * PAGE, rnd.randrange(256)
        n = min(n, size - at)
        how = rnd.randrange(3)
        if how == 0:
            assert os.pwritev(d, [aligned(n, bytes([byte]) * n)], at) == n
        elif how == 1:
            assert os.pwrite(b, bytes([byte]) * n, at) == n
        else:
            m[at : at + n] = bytes([byte]) * n
        want[at : at + n] = bytes([byte]) * n
        at, n = rnd.randrange(16) * PAGE, PAGE
        buf = aligned(n)
        assert os.preadv(d, [buf], at) == n and buf[:] == want[at : at + n], i
        assert os.pread(b, n, at) == want[at : at + n], i
        assert m[at : at + n] == want[at : at + n], i


@fact
def direct_calls_that_are_not_aligned_are_refused_or_right():
    want = bytearray(os.urandom(50000))
    put("f", want)
    d, rnd = direct("f"), drawn(7)
    for i in range(100):
        at, n = rnd.randrange(49000), rnd.randrange(1, 1000)
        data, buf = os.urandom(n), bytearray(n)
        try:
            assert os.pwrite(d, data, at) == n
            want[at : at + n] = data
            assert os.preadv(d, [buf], at) == n and buf == data
        except OSError as e:
            assert e.errno == EINVAL
        if i % 10 == 0:
            assert get("f") == want


@fact
def a_direct_append_goes_to_the_end():
    put("f", b"begin" + bytes(4091))
    fd = os.open("f", os.O_WRONLY | os.O_APPEND | os.O_DIRECT)
    assert os.writev(fd, [aligned(4096, b"end")]) == 4096
    assert os.stat("f").st_size == 8192 and get("f")[4096:4099] == b"end"


# ---- O_APPEND ----


def appended(files, records, size):
    """Eight processes append records to the files: each is there, whole, and in its writer's order."""

    def work(who):
        rnd = drawn(who)
        fds = [os.open("log%d" % i, os.O_CREAT | os.O_WRONLY | os.O_APPEND) for i in range(files)]
        for i in range(records):
            line = b"%d %d " % (who, i)
            line += b"%d" % who * (rnd.randrange(size) + 1) + b"\n"
            assert os.write(fds[i % files], line) == len(line)

    all_at_once(8, work)
    seen = [0] * 8
    for f in range(files):
        last = [-1] * 8
        for line in get("log%d" % f).splitlines():
            who, i, rest = line.split()
            who, i = int(who), int(i)
            assert rest == b"%d" % who * len(rest), "torn: %r" % line
            assert i > last[who], "out of order"
            last[who] = i
            seen[who] += 1
    assert seen == [records] * 8, seen


@fact
def no_record_appended_by_eight_processes_is_lost_or_torn():
    appended(1, 800, 100)


@fact
def nor_on_several_files():
    appended(5, 800, 300)


@fact
def nor_when_records_are_larger_than_a_page():
    appended(2, 100, 30000)


@fact
def appending_ignores_the_position_and_pwrite_does_too():
    put("f", b"12345")
    fd = os.open("f", os.O_RDWR | os.O_APPEND)
    os.lseek(fd, 1, 0)
    os.write(fd, b"678")
    assert os.lseek(fd, 0, 1) == 8
    os.pwrite(fd, b"9", 0)  # as Linux has it
    assert get("f") == b"123456789"


@fact
def appending_goes_on_where_another_truncated():
    a = os.open("f", os.O_CREAT | os.O_RDWR | os.O_APPEND)
    os.write(a, b"12345678")
    b = os.open("f", os.O_WRONLY | os.O_TRUNC)
    os.write(a, b"ab")
    assert get("f") == b"ab"
    os.write(b, b"XYZ")
    assert get("f") == b"XYZ"


# ---- read, write, truncate ----


@fact
def copies_of_a_descriptor_share_its_position():
    fd = os.open("f", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"ab")
    os.write(os.dup(fd), b"cd")
    in_child(os.write, fd, b"ef")
    os.write(fd, b"gh")
    assert get("f") == b"abcdefgh"


@fact
def files_and_directories_can_be_synced():
    put("f"), os.mkdir("d"), os.mkfifo("p")
    for name in ("f", "d"):
        os.fsync(os.open(name, os.O_RDONLY))
        os.fdatasync(os.open(name, os.O_RDONLY))
    fails(EINVAL, os.fsync, os.open("p", os.O_RDWR))



@fact
def vectors_are_one_write_and_one_read():
    fd = os.open("f", os.O_CREAT | os.O_RDWR)
    parts = [os.urandom(n) for n in (1, 5000, 0, 70000, 3)]
    assert os.pwritev(fd, parts, 11) == 75004
    assert get("f") == bytes(11) + b"".join(parts)
    bufs = [bytearray(n) for n in (11, 5001, 70003, 100)]
    assert os.preadv(fd, bufs, 0) == 75015
    assert b"".join(bufs)[:75015] == get("f")


@fact
def reads_are_short_only_at_the_end():
    put("f", os.urandom(100000))
    fd = os.open("f", os.O_RDONLY)
    assert len(os.pread(fd, 1 << 20, 0)) == 100000
    assert len(os.pread(fd, 1 << 20, 99999)) == 1
    assert os.pread(fd, 10, 100000) == b"" and os.pread(fd, 10, 1 << 60) == b""


@fact
def writing_beyond_the_file_size_limit_fails():
    def limited():
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        fd = os.open("f", os.O_CREAT | os.O_WRONLY)
        assert os.pwrite(fd, b"x" * 600, 500) == 500
        fails(EFBIG, os.pwrite, fd, b"x", 1000)
        fails(EFBIG, os.ftruncate, fd, 1001)

    assert in_child(limited) == 0
    assert os.stat("f").st_size == 1000


@fact
def a_write_of_nothing_changes_nothing():
    put("f", b"x")
    before = os.stat("f")
    time.sleep(0.02)
    fd = os.open("f", os.O_WRONLY)
    assert os.write(fd, b"") == 0
    after = os.stat("f")
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, 1)


@fact
def o_sync_and_o_dsync_write():
    for flag in (os.O_SYNC, os.O_DSYNC):
        fd = os.open("f", os.O_CREAT | os.O_WRONLY | flag)
        assert os.write(fd, b"safe") == 4 and get("f") == b"safe"


@fact
def sendfile_and_splice_copy():
    data = os.urandom(300000)
    put("f", data)
    a, b = os.open("f", os.O_RDONLY), os.open("g", os.O_CREAT | os.O_WRONLY)
    done = 0
    while done < len(data):
        done += os.sendfile(b, a, done, len(data))
    assert get("g") == data
    r, w = os.pipe()
    c, done = os.open("h", os.O_CREAT | os.O_WRONLY), 0
    while done < len(data):
        n = os.splice(a, w, 65536, offset_src=done)
        while n:
            m = os.splice(r, c, n, offset_dst=done)
            n, done = n - m, done + m
    assert get("h") == data


@fact
def unlinked_files_keep_their_contents_for_who_has_them_open():
    fd = os.open("f", os.O_CREAT | os.O_RDWR)
    os.write(fd, b"x" * 10000)
    os.unlink("f")
    os.ftruncate(fd, 20000)
    os.pwrite(fd, b"end", 19997)
    assert os.fstat(fd).st_nlink == 0 and os.pread(fd, 5, 19995) == b"\0\0end"
    os.fchmod(fd, 0o600)
    os.fsync(fd)
    assert get("/proc/self/fd/%d" % fd)[:5] == b"xxxxx"


run()
