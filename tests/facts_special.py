# facts_special.py - FIFOs, sockets, devices, and what watches files: inotify, leases.
# DEVICES=nodev in the environment: the mount does not let them work.
from facts import *

# ---- FIFOs ----


@fact
def a_fifo_carries_data_between_processes():
    os.mkfifo("p")
    data = os.urandom(300000)  # more than a pipe holds

    def writer():
        with open("p", "wb", buffering=0) as f:
            done = 0
            while done < len(data):
                done += f.write(data[done : done + 10000])

    pid = os.fork()
    if not pid:
        writer()
        os._exit(0)
    assert get("p") == data
    assert os.waitpid(pid, 0)[1] == 0
    assert os.stat("p").st_size == 0


@fact
def opening_a_fifo_waits_for_the_other_side():
    os.mkfifo("p")
    fails(ENXIO, os.open, "p", os.O_WRONLY | os.O_NONBLOCK)
    fd = os.open("p", os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(fd, 10) == b""  # no writer
    w = os.open("p", os.O_WRONLY | os.O_NONBLOCK)
    fails(EAGAIN, os.read, fd, 10)
    assert select.select([fd], [], [], 0)[0] == []
    os.write(w, b"x")
    assert select.select([fd], [], [], 1)[0] == [fd] and os.read(fd, 10) == b"x"
    os.close(fd)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    fails(EPIPE, os.write, w, b"x")


@fact
def a_fifo_keeps_what_is_in_it_over_rename_and_unlink():
    os.mkfifo("p")
    fd = os.open("p", os.O_RDWR)
    os.write(fd, b"one")
    os.rename("p", "q")
    other = os.open("q", os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(other, 10) == b"one"
    os.write(fd, b"two")
    os.unlink("q")
    assert os.read(other, 10) == b"two"
    os.mkfifo("q")
    assert os.read(os.open("q", os.O_RDONLY | os.O_NONBLOCK), 10) == b""


@fact
def a_fifo_is_opened_as_its_mode_says():
    os.chmod(".", 0o777)
    os.mkfifo("p", 0o600)
    by(1000, fails, EACCES, os.open, "p", os.O_RDONLY | os.O_NONBLOCK)
    os.chmod("p", 0o644)
    by(1000, lambda: os.open("p", os.O_RDONLY | os.O_NONBLOCK))


# ---- sockets ----


@fact
def sockets_bind_and_connect():
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        s = socket.socket(socket.AF_UNIX, kind)
        s.bind("s")
        assert stat.S_ISSOCK(os.stat("s").st_mode)
        s.listen()

        def client():
            c = socket.socket(socket.AF_UNIX, kind)
            c.connect("s")
            c.send(b"hello")
            assert c.recv(10) == b"answer"

        pid = os.fork()
        if not pid:
            client()
            os._exit(0)
        c, _ = s.accept()
        assert c.recv(10) == b"hello"
        c.send(b"answer")
        assert os.waitpid(pid, 0)[1] == 0
        fails(EADDRINUSE, socket.socket(socket.AF_UNIX, kind).bind, "s")
        os.rename("s", "t")
        socket.socket(socket.AF_UNIX, kind).connect("t")
        s.close()
        fails(ECONNREFUSED, socket.socket(socket.AF_UNIX, kind).connect, "t")
        fails(ENXIO, os.open, "t", os.O_RDWR)
        os.unlink("t")
        fails(ENOENT, socket.socket(socket.AF_UNIX, kind).connect, "t")
    a, b = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
    a.bind("a")
    b.sendto(b"packet", "a")
    assert a.recv(10) == b"packet"


# ---- devices ----


@fact
def devices_have_their_numbers_and_work_where_the_mount_lets_them():
    numbers = [(1, 5), (7, 300), (4095, 255), (260, 65536), (1, 1048575)]
    for i, (major, minor) in enumerate(numbers):
        for kind in (stat.S_IFCHR, stat.S_IFBLK):
            name = "%d-%o" % (i, kind)
            os.mknod(name, kind | 0o600, os.makedev(major, minor))
            st = os.stat(name)
            assert stat.S_IFMT(st.st_mode) == kind and st.st_rdev == os.makedev(major, minor), name
    zero = "0-%o" % stat.S_IFCHR
    if os.environ.get("DEVICES") == "nodev":
        fails(EACCES, os.open, zero, os.O_RDONLY)
        return
    fd = os.open(zero, os.O_RDWR)
    assert os.read(fd, 10) == bytes(10) and os.write(fd, b"x") == 1
    m = mmap.mmap(fd, 4096, mmap.MAP_PRIVATE)
    m[0] = 1
    os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    put("null", b"gone")
    assert get("null") == b"" and os.stat("null").st_size == 0


# ---- who watches ----

IN = dict(ACCESS=1, MODIFY=2, ATTRIB=4, CLOSE_WRITE=8, MOVED_FROM=0x40, MOVED_TO=0x80, CREATE=0x100, DELETE=0x200)
IN.update(DELETE_SELF=0x400, MOVE_SELF=0x800)


def watched(path, do):
    """What inotify tells of path while do() runs: [(event, name)]; cookies of moves agree."""
    fd = must(libc.inotify_init1(os.O_NONBLOCK))
    must(libc.inotify_add_watch(fd, os.fsencode(path), 0xFCE))
    do()
    try:
        buf = os.read(fd, 65536)
    except BlockingIOError:
        buf = b""
    os.close(fd)
    at, out, cookies = 0, [], []
    while at < len(buf):
        _, mask, cookie, n = struct.unpack_from("iIII", buf, at)
        name = buf[at + 16 : at + 16 + n].rstrip(b"\0").decode()
        out += [(e, name) for e, bit in IN.items() if mask & bit]
        cookies += [cookie] if cookie else []
        at += 16 + n
    assert len(set(cookies)) * 2 == len(cookies) or len(cookies) == 1
    return out


@fact
def inotify_tells_of_changes():
    os.mkdir("d")
    assert watched("d", lambda: os.mkdir("d/sub")) == [("CREATE", "sub")]
    assert watched("d", lambda: os.symlink("x", "d/l")) == [("CREATE", "l")]
    assert watched("d", lambda: put("d/f", b"x")) == [("CREATE", "f"), ("MODIFY", "f"), ("CLOSE_WRITE", "f")]
    assert watched("d", lambda: os.link("d/f", "d/g")) == [("CREATE", "g")]
    assert ("ATTRIB", "f") in watched("d", lambda: os.chmod("d/f", 0o600))
    assert ("MODIFY", "f") in watched("d", lambda: os.truncate("d/f", 0))
    assert watched("d", lambda: os.rename("d/f", "d/h")) == [("MOVED_FROM", "f"), ("MOVED_TO", "h")]
    assert watched("d", lambda: os.rename("d/h", "out")) == [("MOVED_FROM", "h")]
    assert watched("d", lambda: os.rename("out", "d/in")) == [("MOVED_TO", "in")]
    assert watched("d", lambda: os.unlink("d/in")) == [("DELETE", "in")]
    assert watched("d", lambda: os.rmdir("d/sub")) == [("DELETE", "sub")]
    put("f")
    assert ("MODIFY", "") in watched("f", lambda: put("f", b"x"))
    assert ("MOVE_SELF", "") in watched("f", lambda: os.rename("f", "g"))
    assert ("DELETE_SELF", "") in watched("g", lambda: os.unlink("g"))

    def another():
        assert in_child(put, "d/other", b"x") == 0

    assert ("CREATE", "other") in watched("d", another)


@fact
def a_lease_is_broken_by_who_opens():
    put("f", b"x")
    fd = os.open("f", os.O_RDONLY)
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as e:
        assert e.errno in (EINVAL, EAGAIN, EOPNOTSUPP)  # FUSE may refuse
        return
    got = []
    signal.signal(signal.SIGIO, lambda *_: got.append(fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)))
    pid = os.fork()
    if not pid:
        os.close(os.open("f", os.O_WRONLY))
        os._exit(0)
    os.waitpid(pid, 0)
    assert got == [0]


@fact
def an_unknown_ioctl_is_none_of_its_business():
    put("f")
    fd = os.open("f", os.O_RDONLY)
    fails(ENOTTY, fcntl.ioctl, fd, 0x5401, bytes(60))  # TCGETS
    assert not os.isatty(fd)


run()
