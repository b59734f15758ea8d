# facts_locks.py - flock, fcntl locks of processes and of open files (OFD), leases.
from facts import *

F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 36, 37, 38
RD, WR, UN = fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK


def lock(fd, kind, start=0, length=0, cmd=fcntl.F_SETLK):
    return fcntl.fcntl(fd, cmd, struct.pack("hhqqi4x", kind, 0, start, length, 0))


def blocked(fd, kind, start=0, length=0, cmd=fcntl.F_SETLK):
    try:
        lock(fd, kind, start, length, cmd)
    except OSError as e:
        assert e.errno in (EAGAIN, EACCES)
        return True
    return False


def opened(path="f"):
    return os.open(path, os.O_CREAT | os.O_RDWR)


@fact
def flock_excludes_and_shares():
    a = opened()

    def other():
        b = opened()
        fails(EAGAIN, fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fails(EAGAIN, fcntl.flock, b, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def sharer():
        b = opened()
        fcntl.flock(b, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fails(EAGAIN, fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)

    fcntl.flock(a, fcntl.LOCK_EX)
    assert in_child(other) == 0
    fcntl.flock(a, fcntl.LOCK_SH)
    assert in_child(sharer) == 0
    os.close(a)
    fcntl.flock(opened(), fcntl.LOCK_EX | fcntl.LOCK_NB)


@fact
def flock_waits_its_turn():
    def add(who):
        fd = opened()
        for i in range(100):
            fcntl.flock(fd, fcntl.LOCK_EX)
            n = int(os.pread(fd, 20, 0) or b"0")
            os.pwrite(fd, b"%d" % (n + 1), 0)
            fcntl.flock(fd, fcntl.LOCK_UN)

    all_at_once(6, add)
    assert get("f") == b"600"


@fact
def fcntl_locks_wait_their_turn():
    def add(who):
        fd = opened()
        for i in range(100):
            lock(fd, WR, 10, 5, fcntl.F_SETLKW)
            n = int(os.pread(fd, 20, 0) or b"0")
            os.pwrite(fd, b"%d" % (n + 1), 0)
            lock(fd, UN, 10, 5)

    all_at_once(6, add)
    assert get("f") == b"600"


@fact
def ranges_of_processes_exclude_each_other():
    a = opened()
    lock(a, WR, 0, 10)
    lock(a, RD, 20, 10)

    def other():
        b = opened()
        assert blocked(b, WR, 5, 1) and blocked(b, RD, 9, 5)
        assert not blocked(b, WR, 10, 10)
        assert not blocked(b, RD, 20, 5) and blocked(b, WR, 25, 1)
        kind, _, start, length, pid = struct.unpack("hhqqi4x", lock(b, WR, 5, 100, fcntl.F_GETLK))
        assert (kind, start, length, pid) == (WR, 0, 10, os.getppid())

    assert in_child(other) == 0
    lock(a, UN, 3, 4)  # a hole in the middle

    def hole():
        b = opened()
        assert blocked(b, WR, 2, 1) and not blocked(b, WR, 3, 4) and blocked(b, WR, 7, 1)

    assert in_child(hole) == 0


@fact
def any_close_drops_a_processs_locks_and_a_child_has_none():
    a = opened()
    lock(a, WR)
    os.close(os.dup(a))
    assert in_child(lambda: lock(opened(), WR)) == 0
    lock(a, WR)
    assert in_child(lambda: [1 / 0 for _ in [0] if not blocked(a, WR)]) == 0


def until_it_waits(pid):
    for i in range(12000):
        with open("/proc/locks") as f:
            if any("->" in line and " %d " % pid in line for line in f):
                return
        time.sleep(0.01)
    assert False, "nobody waits"


@fact
def a_lock_that_would_wait_for_itself_is_a_deadlock():
    r, w = os.pipe()
    fd = opened()
    lock(fd, WR, 0, 1)

    def other():
        b = opened()
        lock(b, WR, 1, 1)
        os.write(w, b"x")
        lock(b, WR, 0, 1, fcntl.F_SETLKW)

    pid = os.fork()
    if not pid:
        other()
        os._exit(0)
    os.read(r, 1)
    until_it_waits(pid)
    fails(EDEADLK, lock, fd, WR, 1, 1, fcntl.F_SETLKW)
    lock(fd, UN, 0, 1)
    assert os.waitpid(pid, 0)[1] == 0


@fact
def a_wait_for_a_lock_is_interrupted_by_a_signal():
    a = opened()
    lock(a, WR)

    class Woken(Exception):
        pass

    def wake(*_):
        raise Woken

    def other():
        signal.signal(signal.SIGALRM, wake)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            lock(opened(), WR, 0, 0, fcntl.F_SETLKW)
        except Woken:
            return
        assert False

    assert in_child(other) == 0


@fact
def locks_of_open_files_exclude_each_other_in_one_process_too():
    a, b = opened(), opened()
    lock(a, WR, 0, 10, F_OFD_SETLK)
    assert blocked(b, WR, 0, 10, F_OFD_SETLK) and not blocked(b, WR, 10, 1, F_OFD_SETLK)
    assert blocked(b, WR, 0, 10)  # the two kinds meet
    kind, _, start, length, pid = struct.unpack("hhqqi4x", lock(b, WR, 0, 1, F_OFD_GETLK))
    assert (kind, start, length, pid) == (WR, 0, 10, -1)
    os.close(os.dup(a))
    assert blocked(b, WR, 0, 10, F_OFD_SETLK)  # only the last close drops it
    assert in_child(lambda: fails(EAGAIN, lock, a, WR, 0, 20, F_OFD_SETLK)) == 0  # b has 10
    os.close(a)
    assert not blocked(b, WR, 0, 10, F_OFD_SETLK)


@fact
def locks_of_open_files_go_to_the_child_and_stay_till_the_last_close():
    a = opened()
    lock(a, WR, 0, 0, F_OFD_SETLK)
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        os.read(r, 1)
        os._exit(0)
    os.close(a)
    assert blocked(opened(), WR, 0, 0, F_OFD_SETLK)
    os.write(w, b"x")
    os.waitpid(pid, 0)
    assert not blocked(opened(), WR, 0, 0, F_OFD_SETLK)


@fact
def locks_of_open_files_wait_their_turn():
    def add(who):
        fd = opened()
        for i in range(50):
            lock(fd, WR, 0, 0, F_OFD_SETLKW)
            n = int(os.pread(fd, 20, 0) or b"0")
            os.pwrite(fd, b"%d" % (n + 1), 0)
            lock(fd, UN, 0, 0, F_OFD_SETLK)

    all_at_once(6, add)
    assert get("f") == b"300"


@fact
def locks_die_with_their_process():
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        fd = opened()
        lock(fd, WR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.write(w, b"x")
        time.sleep(100)
    os.read(r, 1)
    fd = opened()
    assert blocked(fd, WR)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    lock(fd, WR)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


@fact
def many_locks_on_one_file_are_all_kept():
    fd = opened()
    for i in range(2000):
        lock(fd, WR, i * 2, 1)

    def other():
        b = opened()
        assert all(blocked(b, WR, i * 2, 1) and not blocked(b, RD, i * 2 + 1, 1) for i in range(0, 2000, 7))

    assert in_child(other) == 0


run()
