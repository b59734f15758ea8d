# facts_names.py - names: rename and its flags, links, errors, listings.
from facts import *

# ---- rename ----


def make(kind, name):
    """One of each kind; what `identity` shows of it."""
    if kind == "file":
        put(name, b"content")
    elif kind == "dir":
        os.mkdir(name)
    elif kind == "full":
        os.mkdir(name)
        put(name + "/inside")
    elif kind == "link":
        os.symlink("nowhere", name)
    elif kind == "fifo":
        os.mkfifo(name)
    return None if kind == "none" else os.lstat(name).st_ino


KINDS = ("none", "file", "dir", "full", "link", "fifo")


def wanted(a, b, flags):
    """What rename of a to b gives."""
    if a == "none":
        return ENOENT
    if flags & NOREPLACE and b != "none":
        return EEXIST
    if flags & EXCHANGE:
        return ENOENT if b == "none" else 0
    if b == "none":
        return 0
    a_dir, b_dir = a in ("dir", "full"), b in ("dir", "full")
    if a_dir and not b_dir:
        return ENOTDIR
    if b_dir and not a_dir:
        return EISDIR
    return ENOTEMPTY if b == "full" else 0


def ino(name):
    try:
        return os.lstat(name).st_ino
    except FileNotFoundError:
        return None


@fact
def rename_of_every_kind_over_every_kind_with_every_flag():
    for to in ("p/b", "q/b"):
        for flags in (0, NOREPLACE, EXCHANGE):
            for a in KINDS:
                for b in KINDS:
                    os.mkdir("p"), os.mkdir("q")
                    x, y = make(a, "p/a"), make(b, to)
                    want, what = wanted(a, b, flags), (a, b, flags, to)
                    try:
                        renameat2("p/a", to, flags)
                        assert want == 0, what
                        assert (ino("p/a"), ino(to)) == ((y if flags & EXCHANGE else None), x), what
                    except OSError as e:
                        assert e.errno == want, (what, e)
                        assert (ino("p/a"), ino(to)) == (x, y), what
                    subdirs = [len([e for e in os.scandir(d) if e.is_dir(follow_symlinks=False)]) for d in "pq"]
                    assert [os.stat(d).st_nlink - 2 for d in "pq"] == subdirs, what
                    shutil.rmtree("p"), shutil.rmtree("q")


@fact
def unknown_and_contrary_flags_are_invalid():
    put("a"), put("b")
    for flags in (8, 1 << 20, NOREPLACE | EXCHANGE, EXCHANGE | WHITEOUT):
        fails(EINVAL, renameat2, "a", "b", flags)


@fact
def two_names_of_one_file_both_stay():
    put("a")
    os.link("a", "b")
    os.rename("a", "b")
    assert sorted(os.listdir()) == ["a", "b"] and os.stat("a").st_nlink == 2
    os.rename("a", "a")
    renameat2("a", "b", EXCHANGE)
    assert os.stat("a").st_nlink == 2


@fact
def a_directory_cannot_go_below_itself():
    os.makedirs("a/b/c")
    fails(EINVAL, os.rename, "a", "a/x")
    fails(EINVAL, os.rename, "a", "a/b/c/x")
    fails(EINVAL, renameat2, "a", "a/b", EXCHANGE)
    fails(EINVAL, renameat2, "a/b/c", "a", EXCHANGE)
    fails(ENOTEMPTY, os.rename, "a/b/c", "a")
    os.rename("a/b/c", "c")
    os.rename("a", "c/a")
    assert os.listdir("c/a") == ["b"] and os.stat("c/a/..").st_ino == os.stat("c").st_ino


@fact
def whoever_has_the_target_open_keeps_it():
    put("a", b"new"), put("b", b"old")
    fd = os.open("b", os.O_RDWR)
    os.rename("a", "b")
    assert get("b") == b"new" and os.pread(fd, 9, 0) == b"old" and os.fstat(fd).st_nlink == 0
    os.write(fd, b"OLD+")
    assert get("b") == b"new" and os.pread(fd, 9, 0) == b"OLD+"


@fact
def whiteout_leaves_a_device_of_no_number():
    put("a", b"x"), put("b")
    os.mkdir("d")
    renameat2("a", "d/a", WHITEOUT)
    renameat2("d/a", "b", WHITEOUT)
    fails(EEXIST, renameat2, "b", "a", WHITEOUT | NOREPLACE)
    for name in ("a", "d/a"):
        st = os.lstat(name)
        assert stat.S_ISCHR(st.st_mode) and stat.S_IMODE(st.st_mode) == 0 and st.st_rdev == 0
    assert get("b") == b"x"
    assert {e.name: e.is_file(follow_symlinks=False) for e in os.scandir()} == {"a": False, "b": True, "d": False}
    os.rename("b", "a")  # it can be replaced
    os.unlink("d/a")


# ---- times of what a change touches ----


def times(path):
    st = os.lstat(path)
    return st.st_mtime_ns, st.st_ctime_ns


def touches(do, both=(), ctime=(), neither=()):
    """do() moves mtime and ctime of the paths in both, ctime alone of those in ctime."""
    before = {p: times(p) for p in (*both, *ctime, *neither)}
    time.sleep(0.02)
    do()
    for p, (m, c) in before.items():
        now = times(p)
        assert (now[0] > m, now[1] > c) == (p in both, p in both or p in ctime), p
        assert p not in both or now[0] == now[1], p


@fact
def changes_of_names_touch_the_directories_and_what_is_named():
    os.mkdir("p"), os.mkdir("q")
    put("f")
    touches(lambda: put("p/f"), both=["p"], neither=["q", "f"])
    touches(lambda: os.mkdir("p/d"), both=["p"])
    touches(lambda: os.symlink("x", "p/l"), both=["p"])
    touches(lambda: os.mkfifo("p/p"), both=["p"])
    touches(lambda: os.link("f", "p/g"), both=["p"], ctime=["f"], neither=["q"])
    touches(lambda: os.unlink("p/g"), both=["p"], ctime=["f"])
    touches(lambda: os.rename("f", "q/f"), both=["q"], neither=["p"])
    os.rename("q/f", "f")
    touches(lambda: os.rmdir("p/d"), both=["p"])
    put("a"), os.link("a", "a2")
    touches(lambda: (os.rename("a", "p/a"), os.rename("p/a", "q/a")), both=["p", "q"], ctime=["a2"])
    put("p/b"), os.link("p/b", "b2"), os.link("q/a", "q/a3")
    touches(lambda: os.rename("q/a", "p/b"), both=["p", "q"], ctime=["a2", "b2"])
    put("x"), put("y")
    os.mkdir("d1")
    os.mkdir("d1/sub")
    touches(lambda: os.rename("d1", "q/d1"), both=["q"], neither=["p"])
    put("p/x"), os.link("p/x", "x2"), put("q/x"), os.link("q/x", "x3")
    touches(lambda: renameat2("p/x", "q/x", EXCHANGE), both=["p", "q"], ctime=["x2", "x3"])


@fact
def changes_that_fail_touch_nothing():
    os.mkdir("d"), put("d/f"), os.mkdir("d/full"), put("d/full/x")
    touches(lambda: fails(EEXIST, os.mkdir, "d/f"), neither=["d", "d/f"])
    touches(lambda: fails(ENOTEMPTY, os.rmdir, "d/full"), neither=["d", "d/full"])
    touches(lambda: fails(EEXIST, os.link, "d/f", "d/full"), neither=["d", "d/f"])
    touches(lambda: fails(EISDIR, os.rename, "d/f", "d/full"), neither=["d", "d/f", "d/full"])
    touches(lambda: fails(ENOENT, os.unlink, "d/none"), neither=["d"])


@fact
def changes_of_a_file_touch_it_and_not_its_directory():
    os.mkdir("d"), put("d/f", b"12345")
    fd = os.open("d/f", os.O_RDWR)
    d = ["d"]
    touches(lambda: os.chmod("d/f", 0o600), ctime=["d/f"], neither=d)
    touches(lambda: os.chown("d/f", os.getuid(), -1), ctime=["d/f"], neither=d)
    touches(lambda: os.setxattr("d/f", "user.a", b"1"), ctime=["d/f"], neither=d)
    touches(lambda: os.removexattr("d/f", "user.a"), ctime=["d/f"], neither=d)
    touches(lambda: os.utime("d/f", ns=(5, os.stat("d/f").st_mtime_ns)), ctime=["d/f"], neither=d)
    touches(lambda: (os.pwrite(fd, b"x", 0), os.fsync(fd)), both=["d/f"], neither=d)
    touches(lambda: os.ftruncate(fd, 5), both=["d/f"], neither=d)  # at equal size, too
    touches(lambda: os.truncate("d/f", 3), both=["d/f"], neither=d)
    touches(lambda: os.truncate("d/f", 30000), both=["d/f"], neither=d)
    touches(lambda: os.close(os.open("d/f", os.O_WRONLY | os.O_TRUNC)), both=["d/f"], neither=d)
    touches(lambda: os.close(os.open("d/f", os.O_WRONLY | os.O_TRUNC)), both=["d/f"], neither=d)
    touches(lambda: os.posix_fallocate(fd, 0, 100), both=["d/f"], neither=d)
    touches(lambda: get("d/f"), neither=["d/f", "d"])


# ---- links ----


@fact
def links_are_counted_and_directories_have_none():
    put("f", b"x")
    for i in range(300):
        os.link("f", "l%d" % i)
    assert os.stat("f").st_nlink == 301
    for i in range(0, 300, 2):
        os.unlink("l%d" % i)
    assert os.stat("l1").st_nlink == 151 and get("l299") == b"x"
    os.mkdir("d")
    fails(EPERM, os.link, "d", "e")
    fails(ENOENT, os.link, "none", "e")
    fails(EEXIST, os.link, "f", "d")
    os.symlink("f", "s")
    os.link("s", "s2", follow_symlinks=False)
    assert os.lstat("s").st_nlink == 2 and os.readlink("s2") == "f"


@fact
def a_directory_has_two_links_and_one_for_each_subdirectory():
    os.mkdir("d")
    for i in range(20):
        os.mkdir("d/%d" % i)
        put("d/f%d" % i)
        assert os.stat("d").st_nlink == 3 + i
    for i in range(20):
        os.rmdir("d/%d" % i)
    assert os.stat("d").st_nlink == 2


@fact
def an_open_file_without_a_name_cannot_be_linked_again():
    put("f")
    fd = os.open("f", os.O_RDONLY)
    os.unlink("f")
    name = b"/proc/self/fd/%d" % fd
    fails(ENOENT, lambda: must(libc.linkat(AT_FDCWD, name, AT_FDCWD, b"g", 0x400)))


# ---- errors ----


@fact
def names_of_255_bytes_are_the_longest():
    put("f"), os.mkdir("d")
    good, bad = "n" * 255, "n" * 256
    for f in (
        lambda n: os.close(os.open(n, os.O_CREAT)),
        os.mkdir,
        os.mkfifo,
        lambda n: os.symlink("x", n),
        lambda n: os.link("f", n),
        lambda n: os.rename("d", n) or os.rename(n, "d") or os.mkdir(n),
    ):
        f(good)
        os.lstat(good)
        fails(ENAMETOOLONG, f, bad)
        os.rmdir(good) if os.path.isdir(good) else os.unlink(good)
    for f in (os.stat, os.unlink, os.rmdir, os.readlink, os.listdir, os.chdir, lambda n: os.rename(n, "x")):
        fails(ENAMETOOLONG, f, bad)
    euros = "€" * 85  # bytes count, not characters
    put(euros)
    fails(ENAMETOOLONG, put, euros + "n")


@fact
def link_targets_of_4095_bytes_are_the_longest():
    for n in (1, 100, 255, 256, 4094, 4095):
        os.symlink("t" * n, "l%d" % n)
        assert os.readlink("l%d" % n) == "t" * n and os.lstat("l%d" % n).st_size == n
    fails(ENAMETOOLONG, os.symlink, "t" * 4096, "l")
    fails(ENOENT, os.symlink, "", "l")
    fails(EEXIST, os.symlink, "x", "l1")


@fact
def what_is_no_directory_is_none():
    put("f"), os.mkdir("d"), os.symlink("f", "l"), os.symlink("d", "ld"), os.symlink("none", "dangling")
    for f in (os.stat, os.listdir, os.unlink, os.mkdir, os.open):
        fails(ENOTDIR, f, "f/x", *([0] if f is os.open else []))
    fails(ENOTDIR, os.rmdir, "f")
    fails(ENOTDIR, os.rmdir, "ld")
    fails(ENOTDIR, os.open, "f", os.O_DIRECTORY)
    fails(ENOTDIR, os.stat, "f/")
    fails(EISDIR, os.unlink, "d")
    fails(EISDIR, os.open, "d", os.O_WRONLY)
    fails(EISDIR, os.open, "new/", os.O_CREAT | os.O_WRONLY)
    fails(EISDIR, os.open, "d", os.O_CREAT | os.O_WRONLY)
    fails(EINVAL, os.rmdir, "d/.")
    fails(ENOTEMPTY, os.rmdir, "d/..")
    fails(ELOOP, os.open, "l", os.O_NOFOLLOW)
    fails(EEXIST, os.open, "dangling", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    fails(ENOENT, os.open, "dangling", os.O_RDONLY)
    os.mkdir("slash/")
    assert os.path.isdir("slash")
    os.symlink("a", "b"), os.symlink("b", "a")
    fails(ELOOP, os.stat, "a")
    fails(EINVAL, os.readlink, "f")
    fails(EINVAL, os.truncate, "f", -1)
    fails(EISDIR, os.truncate, "d", 0)


@fact
def slashes_at_the_end_want_a_directory():
    put("f"), os.mkdir("d"), os.symlink("d", "ld"), os.symlink("f", "lf")
    fails(ENOTDIR, os.rename, "f", "g/")
    os.rename("d/", "e/")
    os.rename("e", "d")
    fails(ENOTDIR, os.unlink, "f/")
    fails(ENOTDIR, os.rmdir, "ld/")
    fails(ENOTDIR, os.open, "lf/", os.O_RDONLY)
    fails(ENOENT, os.link, "f", "y/")


@fact
def creating_through_a_dangling_link_makes_its_target():
    os.symlink("target", "l")
    put("l", b"x")
    assert get("target") == b"x" and os.readlink("l") == "target"


@fact
def a_path_descriptor_is_no_more_than_that():
    put("f", b"x"), os.symlink("f", "l")
    fd = os.open("f", os.O_PATH)
    assert os.fstat(fd).st_size == 1
    fails(EBADF, os.read, fd, 1)
    fd = os.open("l", os.O_PATH | os.O_NOFOLLOW)
    assert stat.S_ISLNK(os.fstat(fd).st_mode) and os.readlink("", dir_fd=fd) == "f"


@fact
def a_directory_that_is_replaced_is_removed_for_who_has_it_open():
    os.mkdir("a"), os.mkdir("b")
    fd = os.open("b", os.O_RDONLY)
    put("a/x")
    os.rename("a", "b")
    assert os.listdir("b") == ["x"] and os.listdir(fd) == []
    fails(ENOENT, os.open, "y", os.O_CREAT | os.O_WRONLY, dir_fd=fd)


@fact
def a_removed_directory_is_empty_and_takes_nothing():
    os.mkdir("d")
    fd = os.open("d", os.O_RDONLY)
    os.rmdir("d")
    assert os.listdir(fd) == [] and os.fstat(fd).st_nlink == 0
    for f in (
        lambda: os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=fd),
        lambda: os.mkdir("x", dir_fd=fd),
        lambda: os.symlink("x", "y", dir_fd=fd),
        lambda: os.stat("x", dir_fd=fd),
    ):
        fails(ENOENT, f)
    os.mkdir("d")  # another one
    fails(ENOENT, os.rename, "d", "x", dst_dir_fd=fd)
    os.fchmod(fd, 0o700)
    os.chdir("d")
    os.rmdir("../d")
    fails(ENOENT, os.getcwd)
    fails(ENOENT, os.mkdir, "x")


@fact
def a_tree_may_be_very_deep():
    os.mkdir("top")
    os.chdir("top")
    for i in range(1200):
        os.mkdir("down-to-%d" % i)
        os.chdir("down-to-%d" % i)
    put("bottom", b"x")
    fails(ENOENT, os.stat, "/".join([".."] * 1203) + "/none")
    assert os.stat("/".join([".."] * 1200)).st_ino == os.stat("..", dir_fd=os.open("../" * 1199, os.O_RDONLY)).st_ino
    os.chdir("../" * 1201)
    os.rename("top/down-to-0/down-to-1", "other")
    fails(ENAMETOOLONG, os.stat, "other/" + "x/" * 3000)
    assert subprocess.run(["rm", "-rf", "top", "other"]).returncode == 0 and os.listdir() == []


def link_open(fd, name):
    must(libc.linkat(AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, name.encode(), 0x400))


@fact
def o_tmpfile_makes_a_file_that_a_link_may_name():
    fd, other = (os.open(".", os.O_TMPFILE | os.O_RDWR | more, 0o640) for more in (0, os.O_EXCL))
    assert os.write(fd, b"x" * 9000) == 9000 and os.fstat(fd).st_nlink == 0 and os.listdir() == []
    link_open(fd, "named")
    assert os.fstat(fd).st_nlink == 1 and os.stat("named").st_size == 9000
    assert stat.S_IMODE(os.stat("named").st_mode) == 0o640 & ~umask()
    fails(EEXIST, link_open, fd, "named")
    fails(ENOENT, link_open, other, "other")
    os.unlink("named")
    fails(ENOENT, link_open, fd, "again")
    assert os.pread(fd, 9, 8995) == b"x" * 5
    fails(EINVAL, os.open, ".", os.O_TMPFILE | os.O_RDONLY)


@fact
def the_time_of_birth_stays():
    put("f", b"x")
    born = birth("f")
    assert abs(born - time.time()) < 100
    os.utime("f", (1, 1))
    put("f", b"more")
    os.rename("f", "g")
    os.link("g", "h")
    assert birth("h") == born
    os.mkdir("d")
    os.symlink("d", "l")
    assert birth("d") >= born and birth("l") >= born


@fact
def pythons_temporary_files_leave_nothing():
    import tempfile

    with tempfile.TemporaryFile(dir=".") as f:
        f.write(b"x")
    assert os.listdir() == []


# ---- signals ----


@fact
def a_call_that_signals_interrupt_happened_or_did_not():
    """EINTR only when nothing was done; and then nothing was."""

    def work(who):
        signal.signal(signal.SIGALRM, lambda *_: None)  # without SA_RESTART
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        os.mkdir("d%d" % who)
        interrupted = 0
        for i in range(400):
            a, b = b"d%d/a%d" % (who, i), b"d%d/b%d" % (who, i)
            for do, before, after in (
                (lambda: libc.mkdir(a, 0o755), a, None),
                (lambda: libc.rename(a, b), b, a),
                (lambda: libc.rmdir(b), None, b),
            ):
                if do() < 0:
                    assert ctypes.get_errno() == EINTR, os.strerror(ctypes.get_errno())
                    interrupted += 1
                    assert not before or not os.path.exists(before)
                    assert not after or os.path.exists(after)
                    while do() < 0:
                        assert ctypes.get_errno() == EINTR
                assert not before or os.path.exists(before)
                assert not after or not os.path.exists(after)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert os.listdir("d%d" % who) == []

    all_at_once(3, work)


@fact
def processes_killed_in_the_middle_leave_a_whole_tree():
    def work(seed):
        rnd = drawn(seed)
        while True:
            a, b = "%d" % rnd.randrange(9), "%d" % rnd.randrange(9)
            try:
                rnd.choice((os.mkdir, put, os.rmdir, os.unlink))(a)
                os.rename(a, b)
                put(b, b"x" * rnd.randrange(100000))
            except OSError:
                pass

    rnd = drawn(1)
    for i in range(25):
        pids = []
        for j in range(3):
            pid = os.fork()
            if not pid:
                work(i * 3 + j)
            pids.append(pid)
        time.sleep(rnd.random() * 0.03)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    for name in os.listdir():
        os.rmdir(name) if os.path.isdir(name) else os.unlink(name)
    assert os.listdir() == []


# ---- listings ----


def entries(fd, size=32768):
    """One getdents64: (inode, cookie, type, name) of each."""
    buf = ctypes.create_string_buffer(size)
    n = must(libc.syscall(217, fd, buf, size))
    at, out = 0, []
    while at < n:
        number, cookie, length, kind = struct.unpack_from("QqHB", buf, at)
        out.append((number, cookie, kind, buf.raw[at + 19 : at + length].split(b"\0")[0].decode()))
        at += length
    return out


def scan(fd, size=32768):
    while True:
        some = entries(fd, size)
        if not some:
            return
        yield from some


@fact
def numbers_and_types_in_listings_are_right():
    os.mkdir("d")
    os.chdir("d")
    for kind in ("file", "dir", "link", "fifo"):
        make(kind, kind)
    socket.socket(socket.AF_UNIX).bind("sock")
    if os.getuid() == 0:
        os.mknod("chr", stat.S_IFCHR, os.makedev(1, 3))
        os.mknod("blk", stat.S_IFBLK, os.makedev(7, 0))
    os.link("file", "file2")
    for _ in range(2):  # the second from the kernel's cache
        seen = {name: (number, kind) for number, _, kind, name in scan(os.open(".", os.O_RDONLY))}
        for name in os.listdir() + [".", ".."]:
            st = os.lstat(name)
            assert seen[name] == (st.st_ino, stat.S_IFMT(st.st_mode) >> 12), name
        assert len(seen) == len(os.listdir()) + 2


@fact
def seekdir_goes_back_to_where_telldir_was():
    for i in range(1000):
        put("f%04d" % i)
    fd, rnd = os.open(".", os.O_RDONLY), drawn(1)
    for again in range(2):
        order = list(scan(fd))
        assert {e[3] for e in order} == {".", "..", *os.listdir()}
        for _ in range(200):
            at = rnd.randrange(len(order) - 1)
            os.lseek(fd, order[at][1], 0)
            assert entries(fd, 400)[0] == order[at + 1]
        os.unlink("f050%d" % again), put("new%d" % again)  # no longer as the kernel has it cached
        os.lseek(fd, 0, 0)


@fact
def what_stays_is_listed_once_whatever_comes_and_goes():
    rnd = drawn(3)
    for i in range(600):
        put("stay%04d" % i), put("go%04d" % i)
    for size in (300, 5000):
        fd, seen, extra = os.open(".", os.O_RDONLY), [], 0
        for _, _, _, name in scan(fd, size):
            seen.append(name)
            if rnd.randrange(4) == 0:
                extra += 1
                put("new%d-%d" % (size, extra))
                gone = "go%04d" % rnd.randrange(600)
                if os.path.exists(gone):
                    os.unlink(gone) if rnd.randrange(2) else os.rename(gone, "gone-" + gone)
        stay = [n for n in seen if n.startswith("stay")]
        assert len(stay) == 600 and len(set(stay)) == 600
        assert len(seen) == len(set(seen))
        os.close(fd)


@fact
def a_directory_is_emptied_while_it_is_listed():
    for i in range(1500):
        put("f%d" % i)
    n = 0
    for e in os.scandir():
        os.unlink(e.name)
        n += 1
    assert n == 1500 and os.listdir() == []
    os.makedirs("a/b/c")
    for i in range(150):
        put("a/b/%d" % i), put("a/b/c/%d" % i)
    all_at_once(3, lambda who: shutil.rmtree("a", ignore_errors=True))
    shutil.rmtree("a", ignore_errors=True)
    assert os.listdir() == []


run()
