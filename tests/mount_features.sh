#!/bin/bash
# What README.md says of siltfs beside others, and its limits, on a real mount.
. "$(dirname "$0")/mount_lib.sh"

features=$(realpath "${B:-build}")/tests/tool_features
[ -x "$features" ] || { echo "$features is not built"; exit 1; }
fresh -o allow_other || { fail "a fresh store mounts"; finish; }

# ---- the table ----

# Links are counted for a second only.
"$features" "$MNT" 1 >"$T/told" || fail "every feature was tried"
while IFS=$'\t' read -r name value; do
    said=$(awk -F ' *[|] *' -v name="$name" '$2 == name { print $3 }' README.md)
    same "README about: $name" "${said/#over */over}" "${value/#over */over}"
done <"$T/told"
ok "all of them were tried" [ "$(wc -l <"$T/told")" -ge 39 ]

# ---- limits ----

ok "limits as in the README" python3 - "$MNT" <<'END'
import errno, os, resource, sys
os.chdir(sys.argv[1])
def fails(want, f, *args):
    try: f(*args)
    except OSError as e: assert e.errno == want, (e, want)
    else: raise AssertionError((f, args))
# names
for name in ("n" * 255, "é" * 127):
    os.mkdir(name); os.rename(name, "other"); os.rmdir("other")
fails(errno.ENAMETOOLONG, os.mkdir, "n" * 256)
fails(errno.ENAMETOOLONG, os.stat, "n" * 256)
os.mkdir("a")
fails(errno.ENAMETOOLONG, os.rename, "a", "n" * 256)
os.rmdir("a")
# symbolic links
os.symlink("t" * 4095, "l")
assert os.readlink("l") == "t" * 4095 and os.lstat("l").st_size == 4095
fails(errno.ENAMETOOLONG, os.symlink, "t" * 4096, "m")
# the longest path of one call, and one byte more
os.makedirs("/".join(["d" * 254] * 15))
path = "/".join(["d" * 254] * 15) + "/"
assert len(path) == 3825
path += "p" * 255 + "/"
os.mkdir(path); path += "f" * (4095 - len(path))
open(path, "w").close()
assert os.stat(path).st_size == 0
fails(errno.ENAMETOOLONG, os.stat, path + "f")
# a chain that no call can name as a whole
DEPTH = 10000
top = os.getcwd()
for i in range(DEPTH):
    os.mkdir("deep"); os.chdir("deep")
open("bottom", "w").write("here")
for i in range(DEPTH): os.chdir("..")
assert os.getcwd() == top
for i in range(DEPTH): os.chdir("deep")
assert open("bottom").read() == "here"
# attributes
open("x", "w").close()
os.setxattr("x", "user." + "n" * 250, b"v" * 65536)
assert os.getxattr("x", "user." + "n" * 250) == b"v" * 65536
fails(errno.E2BIG, os.setxattr, "x", "user.y", b"v" * 65537)
fails(errno.ERANGE, os.setxattr, "x", "user." + "n" * 251, b"v")
# open files
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
OPEN = min(10000, most - 100)
os.mkdir("many"); os.chdir("many")
fds = [os.open("f%d" % i, os.O_CREAT | os.O_RDWR) for i in range(OPEN)]
for i, f in enumerate(fds): os.pwrite(f, b"%d" % i, 0)
assert all(os.pread(f, 9, 0) == b"%d" % i for i, f in enumerate(fds))
for f in fds: os.close(f)
END
deepest() { python3 -c 'import os,sys
os.chdir(sys.argv[1])
for i in range(10000): os.chdir("deep")
assert open("bottom").read() == "here"' "$MNT"; }
ok "it unmounts" "$SILTFS" umount "$MNT"
ok "it is sound" "$SILTFS" fsck "$STORE"
ok "it mounts" "$SILTFS" mount "$STORE" "$MNT"
ok "the deepest file is there" deepest
ok "rm -r removes as deep as that" rm -r "$MNT/deep"
finish
