# facts.py - facts about a filesystem, each a function, for tests of real mounts.
#
#   from facts import *
#
#   @fact
#   def a_name_of_255_bytes_is_the_longest():
#       ...assert what holds...
#
#   run()
#
# run() calls each in a child of its own, in a new directory below the current one, and
# prints "ok NAME", or "FAILED: NAME" and why. Arguments of the script are parts of names:
# only those facts. `facts` in mount_lib.sh counts the lines. In any directory of ext4 the
# same facts hold: so they are tested themselves.
import ctypes, errno, fcntl, mmap, os, random, select, shutil, signal, socket, stat, struct
import subprocess, sys, threading, time, traceback
from errno import *

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
_facts = []


def fact(f):
    _facts.append(f)
    return f


def drawn(which=0):
    """Numbers at random; SEED=n in the environment gives others."""
    return random.Random(int(os.environ.get("SEED", "1")) * 1000 + which)


def must(r):
    """The result of a call of libc, or its OSError."""
    if r < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return r


def fails(error, f, *args, **named):
    """The call fails, with that errno."""
    try:
        f(*args, **named)
    except OSError as e:
        assert e.errno == error, "%s, not %s" % (errorcode[e.errno], errorcode[error])
        return
    raise AssertionError("succeeded, instead of %s" % errorcode[error])


def renameat2(a, b, flags):
    must(libc.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), flags))


def umask():
    old = os.umask(0)
    os.umask(old)
    return old


def birth(path):
    """Seconds, of statx(2); the link's own."""
    buf = ctypes.create_string_buffer(256)
    must(libc.statx(AT_FDCWD, os.fsencode(path), 0x100, 0xFFF, buf))
    assert struct.unpack_from("I", buf, 0)[0] & 0x800, "no time of birth"
    seconds, ns = struct.unpack_from("qI", buf, 80)
    return seconds + ns / 1e9


def put(path, content=b"", mode=0o644):
    fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, mode)
    while content:
        content = content[os.write(fd, content) :]
    os.close(fd)
    return path


def get(path):
    with open(path, "rb") as f:
        return f.read()


def in_child(f, *args, uid=None, groups=()):
    """f in another process, as another user perhaps: its exit status; negative: a signal."""
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            if uid is not None:
                os.setgroups(groups)
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            f(*args)
            status = 0
        except BaseException:
            traceback.print_exc(file=sys.stdout)
        finally:
            sys.stdout.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def by(uid, f, *args, groups=()):
    assert in_child(f, *args, uid=uid, groups=groups) == 0


def all_at_once(n, f, *args):
    """f(0, ...) to f(n - 1, ...), each in a process of its own."""
    pids = []
    sys.stdout.flush()
    for i in range(n):
        pid = os.fork()
        if not pid:
            status = 1
            try:
                f(i, *args)
                status = 0
            except BaseException:
                traceback.print_exc(file=sys.stdout)
            finally:
                sys.stdout.flush()
                os._exit(status)
        pids.append(pid)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0


def one(f):
    os.mkdir(f.__name__)
    os.chmod(f.__name__, 0o777)
    os.chdir(f.__name__)
    signal.alarm(300)
    f()


def run():
    os.umask(0o022)
    bad = 0
    for f in _facts:
        if sys.argv[1:] and not any(a in f.__name__ for a in sys.argv[1:]):
            continue
        began = time.time()
        status = in_child(one, f)
        took = "%.2f s" % (time.time() - began) + (", signal %d" % -status if status < 0 else "")
        print("ok" if status == 0 else "FAILED:", f.__name__, took)
        bad += status != 0
    sys.exit(bad > 0)
