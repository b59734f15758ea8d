# as_users.py - the calls of other users, for tests of real mounts: one process, since a
# new one for each of some thousand calls takes minutes. as_users.sh talks to it.
#
# A line of stdin is a request, its fields separated by \037: directory, user (UID or
# UID:GROUP,GROUP), a word, arguments. A child becomes that user and prints what the call
# gave, or the errno of the first that failed; a line with \004 ends the answer.
#   run CODE                            Python, with everything of os at hand
#   set|get|list|rm SIZE PATH [NAME [VALUE [FLAGS]]]    extended attributes; a VALUE of @N is
#                                       N bytes, of 0x.. these; SIZE is the buffer's
import ctypes, errno, os, stat, sys
from os import *

libc = ctypes.CDLL(None, use_errno=True)


def mode(path):
    return "%o" % (lstat(path).st_mode & 0o7777)


def falloc(fd, how, off, length):
    if libc.fallocate(fd, how, ctypes.c_long(off), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), "fallocate")


def value_of(text):
    if text.startswith("@"):
        return b"v" * int(text[1:])
    return bytes.fromhex(text[2:]) if text.startswith("0x") else fsencode(text)


def attribute(op, size, path, name="", text="", flags="0"):
    path, name, value, size = fsencode(path), fsencode(name), value_of(text), int(size)
    buf = ctypes.create_string_buffer(max(size, 1))
    if op == "set":
        r = libc.lsetxattr(path, name, value, len(value), int(flags))
    elif op == "get":
        r = libc.lgetxattr(path, name, buf, size)
    elif op == "list":
        r = libc.llistxattr(path, buf, size)
    else:
        r = libc.lremovexattr(path, name)
    if r < 0:
        print(op, fsdecode(name), errno.errorcode[ctypes.get_errno()])
    elif op == "get" and size:
        print(r, buf.raw[: min(r, 40)])
    elif op == "list" and size:
        print(*sorted(fsdecode(n) for n in buf.raw[:r].split(b"\0")[:-1]))
    else:
        print(op, r)


def become(user):
    uid, _, groups = user.partition(":")
    if int(uid):
        setgroups([int(g) for g in groups.split(",") if g])
        setresgid(int(uid), int(uid), int(uid))
        setresuid(int(uid), int(uid), int(uid))


def serve(directory, user, word, *arguments):
    chdir(directory)
    become(user)
    if word != "run":
        return attribute(word, *arguments)
    try:
        exec(arguments[0], globals())
        print("ok")
    except OSError as e:
        print(errno.errorcode[e.errno])


umask(0o022)
for line in sys.stdin:
    if not (pid := fork()):
        try:
            serve(*line.rstrip("\n").split("\037"))
        except BaseException as e:
            print("broken:", repr(e))
        sys.stdout.flush()
        _exit(0)
    waitpid(pid, 0)
    print("\004", flush=True)
