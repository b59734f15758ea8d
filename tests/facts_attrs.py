# facts_attrs.py - attributes: times, who may set them, statx, access times.
from facts import *

ON_EXT4 = subprocess.check_output(["stat", "-f", "-c", "%T", "."]) == b"ext2/ext3\n"
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2


def utimens(path, atime, mtime, flags=0, fd=AT_FDCWD):
    """(seconds, nanoseconds) each."""
    ts = struct.pack("qqqq", *atime, *mtime)
    name = None if path is None else os.fsencode(path)
    must(libc.syscall(280, fd, name, ts, flags))


NOW, OMIT = (0, UTIME_NOW), (0, UTIME_OMIT)


def ns(path):
    st = os.lstat(path)
    return st.st_atime_ns, st.st_mtime_ns


def several():
    """From before 1970, in nanoseconds, around the ends of 32 bits, and beyond."""
    secs = [1 - (1 << 31), -1000000000, -1, 0, 1, (1 << 31) - 1, 1 << 31, (1 << 32) + 5, 15032385534]
    if not ON_EXT4:
        secs += [-(1 << 33), -(1 << 31), 1 << 34, 8000000000]
    for sec in secs:
        for nsec in (0, 1, 500000000, 999999999):
            yield sec, nsec


@fact
def times_are_kept_to_the_nanosecond_before_1970_and_after_2446():
    put("f"), os.mkdir("d"), os.symlink("x", "l"), os.mkfifo("p")
    for path in ("f", "d", "l", "p"):
        for sec, nsec in several():
            utimens(path, (sec, nsec), (sec, 999999999 - nsec), 0x100)
            assert ns(path) == (sec * 10**9 + nsec, sec * 10**9 + 999999999 - nsec), (path, sec, nsec)


@fact
def now_and_omit():
    put("f")
    start = time.time_ns() - 10**8
    utimens("f", (5, 6), (7, 8))
    utimens("f", OMIT, (9, 10))
    assert ns("f") == (5000000006, 9000000010)
    utimens("f", (1, 2), OMIT)
    assert ns("f") == (1000000002, 9000000010)
    utimens("f", OMIT, NOW)
    assert ns("f")[0] == 1000000002 and ns("f")[1] >= start
    utimens("f", NOW, (3, 3))
    assert ns("f")[0] >= start and ns("f")[1] == 3000000003
    utimens("f", NOW, NOW)
    assert abs(ns("f")[0] - ns("f")[1]) < 10**8  # with writeback one is the kernel's
    before = os.stat("f").st_ctime_ns
    time.sleep(0.02)
    utimens("f", OMIT, OMIT)
    assert os.stat("f").st_ctime_ns == before
    utimens("f", (1, 1), OMIT)
    assert os.stat("f").st_ctime_ns > before
    for bad in (-1, 10**9, UTIME_OMIT + 10):
        fails(EINVAL, utimens, "f", (0, bad), NOW)


@fact
def an_open_file_and_a_link_have_times_set():
    put("f"), os.symlink("f", "l")
    fd = os.open("f", os.O_RDONLY)
    utimens(None, (1, 2), (3, 4), 0, fd)
    assert ns("f") == (1000000002, 3000000004)
    utimens("l", (5, 0), (6, 0), 0x100)
    assert ns("l") == (5000000000, 6000000000) and ns("f")[0] == 1000000002
    os.unlink("f")
    utimens(None, (7, 0), (8, 0), 0, fd)
    assert os.fstat(fd).st_mtime == 8


@fact
def who_may_set_times():
    os.chmod(".", 0o777)
    for mode, writer in ((0o666, True), (0o644, False)):
        path = put("f%o" % mode, mode=0o600)
        os.chmod(path, mode), os.chown(path, 1000, 1000)
        by(1000, utimens, path, (1, 0), (2, 0))
        by(1000, utimens, path, NOW, NOW)
        if writer:
            by(1001, utimens, path, NOW, NOW)
            by(1001, lambda: os.utime(path))
        else:
            by(1001, fails, EACCES, utimens, path, NOW, NOW)
            by(1001, lambda: fails(EACCES, os.utime, path))
        for a, m in (((1, 0), (2, 0)), (NOW, OMIT), (OMIT, NOW), (NOW, (3, 0)), (OMIT, (3, 0))):
            by(1001, fails, EPERM, utimens, path, a, m)
        by(1001, utimens, path, OMIT, OMIT)
        by(0, utimens, path, (1, 0), (2, 0))


@fact
def who_may_chown_and_chmod():
    os.chmod(".", 0o777)
    put("f"), os.chown("f", 1000, 1000)
    by(1000, fails, EPERM, os.chown, "f", 1001, -1)
    by(1000, fails, EPERM, os.chown, "f", -1, 2000)
    by(1000, os.chown, "f", -1, 2000, groups=[2000])
    by(1001, fails, EPERM, os.chown, "f", -1, 1001)
    by(1001, fails, EPERM, os.chmod, "f", 0o777)
    by(1000, os.chmod, "f", 0o2755)  # no longer in the group
    assert os.stat("f").st_mode & 0o7777 == 0o755
    by(1000, os.chmod, "f", 0o2755, groups=[2000])
    assert os.stat("f").st_mode & 0o7777 == 0o2755


@fact
def a_sticky_directory_keeps_others_from_removing_and_renaming():
    os.mkdir("s"), os.chmod("s", 0o1777), os.chmod(".", 0o777)
    put("s/f"), os.chown("s/f", 1000, 1000), os.mkdir("s/d"), os.chown("s/d", 1000, 1000)
    by(1001, fails, EPERM, os.unlink, "s/f")
    by(1001, fails, EPERM, os.rmdir, "s/d")
    by(1001, fails, EPERM, os.rename, "s/f", "s/g")
    by(1001, put, "s/own")
    by(1001, fails, EPERM, os.rename, "s/own", "s/f")
    by(1001, fails, EPERM, renameat2, "s/own", "s/f", EXCHANGE)
    by(1001, fails, EPERM, renameat2, "s/f", "s/own", EXCHANGE)
    by(1000, os.rename, "s/f", "s/g")
    by(1001, os.unlink, "s/own")


@fact
def reading_sets_the_access_time_when_it_is_not_newer_than_the_change():
    put("f", b"x" * 10), os.symlink("f", "l"), os.mkdir("d")
    fd = os.open("f", os.O_RDONLY)  # what is read from the kernel's pages FUSE never hears of
    os.fsync(fd), os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    for path, use in (("f", lambda: get("f")), ("l", lambda: os.readlink("l")), ("d", lambda: os.listdir("d"))):
        utimens(path, (1000, 0), (2000, 0), 0x100)
        use()
        assert ns(path)[0] > 2000 * 10**9, path
        assert ns(path)[1] == 2000 * 10**9, path


@fact
def o_noatime_is_for_the_owner():
    put("f", b"x", 0o666), os.chown("f", 1000, 1000), os.chmod(".", 0o777)
    by(1000, lambda: os.close(os.open("f", os.O_RDONLY | os.O_NOATIME)))
    by(1001, fails, EPERM, os.open, "f", os.O_RDONLY | os.O_NOATIME)


def statx(path, mask=0xFFF, flags=0x100):
    buf = ctypes.create_string_buffer(256)
    must(libc.syscall(332, AT_FDCWD, os.fsencode(path), flags, mask, buf))
    names = "mask blksize attributes nlink uid gid mode ino size blocks attributes_mask"
    return dict(zip(names.split(), struct.unpack_from("IIQIIIH2xQQQQ", buf))), buf.raw


@fact
def statx_says_what_stat_says():
    put("f", b"x" * 5000), os.mkdir("d"), os.symlink("f", "l")
    for path in ("f", "d", "l"):
        for flags in (0x100, 0x2100, 0x4100):  # as cached, forced, not
            x, st = statx(path, flags=flags)[0], os.lstat(path)
            assert x["mask"] & 0x7FF == 0x7FF, path
            for name in "blksize nlink uid gid mode ino size blocks".split():
                assert x[name] == getattr(st, "st_" + name), (path, name)
    assert os.stat("f").st_blksize == 4096 and os.stat("f").st_size == 5000


@fact
def modes_are_masked_by_the_umask_and_nothing_else():
    for mask in (0, 0o22, 0o77, 0o777):
        os.umask(mask)
        for mode in (0o777, 0o644, 0o1777, 0):
            os.close(os.open("f", os.O_CREAT | os.O_WRONLY, mode))
            os.mkdir("d", mode)
            os.mkfifo("p", mode)
            assert os.stat("f").st_mode & 0o7777 == mode & ~mask
            assert os.stat("d").st_mode & 0o7777 == mode & ~mask
            assert os.stat("p").st_mode & 0o777 == mode & 0o777 & ~mask
            os.unlink("f"), os.rmdir("d"), os.unlink("p")


@fact
def a_file_made_with_no_permission_is_open_for_who_made_it():
    os.chmod(".", 0o777)

    def make():
        fd = os.open("f", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0)
        os.write(fd, b"mine")
        assert os.pread(fd, 4, 0) == b"mine"
        fails(EACCES, os.open, "f", os.O_RDONLY)

    by(1000, make)


@fact
def who_has_a_file_open_may_go_on_when_its_mode_changes():
    os.chmod(".", 0o777)
    put("f", b"content", 0o666), os.chmod("f", 0o666)
    r, w = os.pipe()
    has_it, have_it = os.pipe()

    def user():
        fd = os.open("f", os.O_RDWR)
        os.write(have_it, b"x")
        os.read(r, 1)
        assert os.pread(fd, 7, 0) == b"content"
        os.pwrite(fd, b"C", 0)
        os.ftruncate(fd, 3)
        os.posix_fallocate(fd, 0, 10)
        os.fsync(fd)
        fails(EACCES, os.truncate, "f", 0)
        fails(EACCES, os.open, "/proc/self/fd/%d" % fd, os.O_RDWR)
        assert get_fd(fd) == b"Con" + bytes(7)

    def get_fd(fd):
        return os.pread(fd, 100, 0)

    pid = os.fork()
    if not pid:
        os._exit(in_child(user, uid=1000))
    os.read(has_it, 1)
    os.chmod("f", 0)
    os.write(w, b"x")
    assert os.waitpid(pid, 0)[1] == 0


@fact
def a_change_of_mode_counts_at_once_for_who_has_it_not_open():
    os.chmod(".", 0o777), os.mkdir("d"), put("d/f", b"x")
    by(1000, get, "d/f")
    os.chmod("d", 0o700)
    by(1000, fails, EACCES, get, "d/f")
    by(1000, fails, EACCES, os.stat, "d/f")
    os.chmod("d", 0o755), os.chmod("d/f", 0o600)
    by(1000, fails, EACCES, get, "d/f")
    os.chmod("d/f", 0o644)
    by(1000, get, "d/f")


@fact
def numbers_are_lasting_and_different():
    seen = set()
    for i in range(200):
        put("f%d" % i)
        seen.add(os.stat("f%d" % i).st_ino)
    assert len(seen) == 200
    fd = os.open("f0", os.O_RDONLY)
    assert os.fstat(fd).st_ino == os.stat("f0").st_ino
    os.rename("f0", "g")
    assert os.stat("g").st_ino == os.fstat(fd).st_ino
    assert len({os.lstat(n).st_dev for n in os.listdir()}) == 1


run()
