#!/bin/bash
# What programs that walk a tree ask of the daemon, after a mount: counted in its replies.
. "$(dirname "$0")/mount_lib.sh"
need python3 python3

replies() { awk '/^syscw/ {print $2}' "/proc/$(daemon_pid)/io"; }

# asks MOST COMMAND... : in a new mount, the command takes no more requests.
asks() {
    local most=$1 before
    shift
    remount 6>&- || { fail "mounts anew"; return; }
    before=$(replies)
    (cd "$MNT" && "$@" >/dev/null) || fail "$*"
    before=$(($(replies) - before))
    [ "$before" -le "$most" ] && pass || fail "$* takes $before requests, not $most or less"
}

fresh || exit 1
python3 - "$MNT" <<'END' || exit 1
import os, sys
for name, n in ("few", 500), ("many", 12000):
    os.mkdir(os.path.join(sys.argv[1], name))
    d = os.open(os.path.join(sys.argv[1], name), os.O_RDONLY)
    for i in range(n):
        os.close(os.open("file%05d" % i, os.O_CREAT | os.O_WRONLY, dir_fd=d))
END

keep_caches
asks 20 find few -newermt 2100-01-01
asks 20 du -s few
asks 530 ls -l few # for their ACLs, which the kernel then knows
asks 20 bash -c "cat few/*" # opening asks nothing, but for the first time
# fts looks at the first 10,000 names after reading them, and only then reads on.
asks 2200 find many -newermt 2100-01-01
asks 90 ls -f many
live=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["filesystem"]["live_inodes"])' "$MNT/.siltfs/stats.json")
[ "$live" -le 10500 ] && pass || fail "a plain listing of 12,000 names leaves $live inodes"
# Each UNLINK makes the kernel ask for the directory's attributes before the next.
asks 27000 rm -r many
let_caches_go

# The kernel's pages of a large file are not let go by who removes it: processor time of
# unlink(2), of rename(2) over it, of an unlink(2) while it is open.
removals=$(python3 - "$MNT" <<'END'
import os, sys, time
os.chdir(sys.argv[1])
MIB = 192 # of zeros that are not stored, but kept by the kernel when they were read
def ms_of(call, *args):
    with open("large", "wb") as f:
        f.truncate(MIB << 20)
        f.seek(0)
        f.write(b"begin")
    with open("large", "rb") as f:
        while f.read(1 << 20):
            pass
    before = time.thread_time()
    call(*args)
    spent = (time.thread_time() - before) * 1e3
    time.sleep(0.3) # one file at a time
    return spent
def unlink_open():
    f = open("large", "rb")
    os.unlink("large")
    assert f.read(5) == b"begin" and os.fstat(f.fileno()).st_nlink == 0
    open("large", "x").close()
def least_of(call, *args): # a processor that others had in between is slow
    spent = 99
    for i in range(3):
        spent = min(spent, ms_of(call, *args)) if spent >= 8 else spent
    return spent
def rename_over():
    os.rename("few/file%05d" % drawn.pop(), "large")
drawn = [0, 1, 2]
spent = [least_of(os.unlink, "large"), least_of(rename_over), least_of(unlink_open)]
os.unlink("large")
print("%.0f" % max(spent))
END
)
if [ "$(id -u)" = 0 ]; then
    [ "${removals:-99}" -lt 8 ] && pass || fail "removing a file of which the kernel keeps 192 MiB takes $removals ms of the remover's processor time"
fi
truncate -s 64M "$MNT/large" && cat "$MNT/large" >/dev/null && rm "$MNT/large"
ok "a large file was removed: umount at once" umount "$MNT"
ok "... and the store is closed" "$SILTFS" fsck "$STORE"
finish
