#!/bin/bash
# Who may do what, and what happens to suid, sgid and file capabilities: on a real
# mount, as beside it on ext4.
. "$(dirname "$0")/mount_lib.sh"
[ "$(id -u)" = 0 ] || { skip "needs root to be others"; finish; }
. tests/as_users.sh
need setcap libcap2-bin
chmod 755 "$T"

owned() { stat -c '%n %a %u:%g' "$@"; }

ok "mount" fresh -o allow_other

twin "reading, writing, running by owner, group and others" '
echo "#!/bin/sh" >f; chown 1000:2000 f
for m in 000 400 040 004 200 020 002 100 010 001 640 750 755 070 007; do chmod $m f
    for u in 1000 1001:2000 1002; do echo "$m $u"; as $u "close(open(\"f\", O_RDONLY))"; as $u "close(open(\"f\", O_WRONLY | O_APPEND))"
        as $u "print(access(\"f\", R_OK), access(\"f\", W_OK), access(\"f\", X_OK))"; done
done; as 0 "print(access(\"f\", R_OK), access(\"f\", W_OK), access(\"f\", X_OK))"'
twin "searching, listing and changing directories" '
mkdir d; echo >d/f; chmod 666 d/f; chown 1000:2000 d
for m in 000 400 100 200 500 300 700 070 007 050 030 010 005 003 001; do chmod $m d
    for u in 1000 1001:2000 1002; do echo "$m $u"; as $u "listdir(\"d\")"; as $u "stat(\"d/f\")"
        as $u "close(open(\"d/new\", O_CREAT | O_EXCL)); unlink(\"d/new\")"; as $u "mkdir(\"d/n\"); rename(\"d/n\", \"d/m\"); rmdir(\"d/m\")"
        as $u "symlink(\"x\", \"d/l\"); unlink(\"d/l\")"; as $u "chdir(\"d\")"; done
done'
twin "a sticky directory protects what is another's" '
mkdir -m 1777 s; for n in a b c d; do as 1000 "close(open(\"s/$n\", O_CREAT, 0o666)); mkdir(\"s/dir$n\")"; done; owned s
as 1001 "unlink(\"s/a\")"; as 1001 "rename(\"s/a\", \"s/z\")"; as 1001 "rename(\"s/a\", \"moved\")"; as 1001 "rmdir(\"s/dira\")"
as 1001 "close(open(\"s/own\", O_CREAT)); rename(\"s/own\", \"s/a\")"; as 1001 "rename(\"s/own\", \"s/other\"); unlink(\"s/other\")"
as 1001 "close(open(\"own\", O_CREAT)); rename(\"own\", \"s/b\")"; as 1001 "rename(\"own\", \"s/new\")"
as 1001 "close(open(\"s/a\", O_WRONLY))"; as 1000 "unlink(\"s/a\"); rename(\"s/b\", \"s/bb\"); rmdir(\"s/dira\")"
chown 1002 s; as 1002 "unlink(\"s/c\"); rmdir(\"s/dirc\")"; as 0 "unlink(\"s/d\")"; chmod 777 s; as 1001 "unlink(\"s/bb\"); rmdir(\"s/dirb\")"; ls s'
twin "chown and chgrp" '
touch f g; chown 1000:1000 f g; mkdir d; chown 1000:1000 d; ln -s f l; chown -h 1000:1000 l
for p in f d; do as 1000 "chown(\"$p\", 1001, -1)"; as 1000 "chown(\"$p\", 1000, 2000)"; as 1000:2000 "chown(\"$p\", -1, 2000)"; owned $p
as 1000:2000 "chown(\"$p\", 1000, 1000)"; as 1000 "chown(\"$p\", 1000, 1000)"; as 1000 "chown(\"$p\", -1, -1)"; as 1001 "chown(\"$p\", -1, -1)"; as 1001:2000 "chown(\"$p\", -1, 2000)"; owned $p; done
as 1000:2000 "lchown(\"l\", -1, 2000)"; owned l f; as 1001 "lchown(\"l\", -1, 1001)"; as 0 "lchown(\"l\", 5, 6)"; owned l
as 0 "chown(\"f\", 4294967294, 4294967294)"; owned f'
twin "chmod" '
touch f; mkdir d; chown 1000:2000 f d
for p in f d; do as 1001:2000 "chmod(\"$p\", 0o777)"; as 1000 "chmod(\"$p\", 0o7777)"; owned $p; as 1000:2000 "chmod(\"$p\", 0o7777)"; owned $p
as 1000 "chmod(\"$p\", 0o2755)"; owned $p; as 1000 "chmod(\"$p\", 0o2644)"; owned $p; as 0 "chmod(\"$p\", 0o7755)"; owned $p; as 1000 "chmod(\"$p\", 0)"; owned $p; done'
twin "chown clears suid and sgid" '
for who in 1000:2000 0; do for m in 6755 4755 2755 6655 2644 6000 7777; do touch f; mkdir d; chown 1000:1000 f d; chmod $m f d
for p in f d; do as $who "chown(\"$p\", -1, 2000)"; owned $p; done; chmod $m f d; for p in f d; do as $who "chown(\"$p\", -1, -1)"; as $who "chown(\"$p\", 1000, -1)"; owned $p; done; rm -r f d; done; done'
twin "writing, truncating and O_TRUNC clear suid and sgid, not for root" '
for who in 1000 1001 1001:1000 0; do for m in 6777 4766 2777 2766 6767; do
    for what in "write(open(\"f\", O_WRONLY), b\"x\")" "close(open(\"f\", O_WRONLY | O_TRUNC))" "truncate(\"f\", 1)" "ftruncate(open(\"f\", O_WRONLY), 4)" "truncate(\"f\", 400)" "write(open(\"f\", O_WRONLY | O_APPEND), b\"x\")" "close(open(\"f\", O_WRONLY))" "write(open(\"f\", O_WRONLY), b\"\")"; do
    echo text >f; chown 1000:1000 f; chmod $m f; as $who "$what; print(mode(\"f\"))"; owned f; rm f; done; done; done'
twin "fallocate and copy_file_range clear them like a write" '
echo other >g; chmod 644 g; for who in 1000 1001 1001:1000 0; do for m in 6777 4766 2777 2766 6767; do
    for what in "posix_fallocate(open(\"f\", O_WRONLY), 0, 100)" "falloc(open(\"f\", O_WRONLY), 1, 0, 100)" "falloc(open(\"f\", O_WRONLY), 3, 0, 2)" "falloc(open(\"f\", O_WRONLY), 16, 1, 2)" "copy_file_range(open(\"g\", O_RDONLY), open(\"f\", O_WRONLY), 3, 0, 1)"; do
    echo text >f; chown 1000:1000 f; chmod $m f; as $who "$what; print(mode(\"f\"))"; owned f; rm f; done; done; done'
twin "a write in the middle of several clears them once and for all" '
echo text >f; chown 1000 f; chmod 6777 f
as 1000 "f = open(\"f\", O_WRONLY); write(f, b\"x\"); print(mode(\"f\")); chmod(\"f\", 0o4777); print(mode(\"f\")); write(f, b\"x\"); print(mode(\"f\"))"; owned f'
caps() { getcap "$1"; stat -c %s "$1"; }
twin "a file capability goes with the contents it was given to, also for root" '
echo other >from; chmod 644 from
for what in "write(open(\"f\", O_WRONLY), b\"x\")" "close(open(\"f\", O_WRONLY | O_TRUNC))" "truncate(\"f\", 1)" "truncate(\"f\", 5)" "posix_fallocate(open(\"f\", O_WRONLY), 0, 9)" "falloc(open(\"f\", O_WRONLY), 3, 0, 2)" "copy_file_range(open(\"from\", O_RDONLY), open(\"f\", O_WRONLY), 3, 0, 1)" "chown(\"f\", 1000, -1)" "chown(\"f\", -1, -1)" "chmod(\"f\", 0o700)" "close(open(\"f\", O_WRONLY))" "link(\"f\", \"g\"); rename(\"g\", \"h\")" "utime(\"f\")"; do
    for who in 0 1000; do rm -f f h; echo text >f; chown 1000 f; setcap cap_net_raw+ep f; setfattr -n user.k -v kept f
    as $who "$what"; caps f; getfattr --only-values -n user.k f; echo; done; done'
twin "groups and sgid are inherited" '
mkdir plain sgid; chown 1000:2000 plain sgid; chmod 777 plain; chmod 2777 sgid
for p in plain sgid; do for u in 1000 1001:2000 1002 0; do
as $u "umask(0); mkdir(\"$p/d\", 0o7755); close(open(\"$p/f\", O_CREAT, 0o6775)); close(open(\"$p/g\", O_CREAT, 0o2664)); mkfifo(\"$p/p\", 0o2770); symlink(\"x\", \"$p/l\"); mkdir(\"$p/d/e\")"
owned $p/* $p/d/e; rm -r $p/*; as $u "umask(0o77); mkdir(\"$p/d\"); close(open(\"$p/f\", O_CREAT, 0o2775))"; owned $p/*; rm -r $p/*; done; done'
twin "times" '
echo >f; chown 1000 f; chmod 666 f; as 1000 "utime(\"f\", (1, 2)); print(stat(\"f\").st_mtime)"
as 1001 "utime(\"f\", (3, 4))"; as 1001 "utime(\"f\"); print(stat(\"f\").st_mtime > 1e9)"; chmod 644 f; as 1001 "utime(\"f\")"; as 0 "utime(\"f\", (5, 6)); print(stat(\"f\").st_mtime)"
as 1000 "utime(\"f\", ns=(-5, 1234567890123456789)); print(stat(\"f\").st_atime_ns, stat(\"f\").st_mtime_ns)"'
twin "what only root may make" '
chmod 777 .; for u in 1000 0; do as $u "import stat; mknod(\"c\", 0o600 | stat.S_IFCHR, makedev(1, 3))"; as $u "import stat; mknod(\"b\", 0o600 | stat.S_IFBLK, makedev(7, 300))"
as $u "import stat; mknod(\"p\", 0o600 | stat.S_IFIFO)"; as $u "import stat; mknod(\"r\", 0o600 | stat.S_IFREG)"; as $u "import stat; mknod(\"s\", 0o600 | stat.S_IFSOCK)"; stat -c "%n %F %a %t:%T" *; rm -f *; done
mkdir d; as 0 "link(\"d\", \"e\")"; as 0 "unlink(\"d\")"; as 0 "chroot(\"d\")"'
twin "links by others" 'echo >f; chmod 600 f; as 1000 "link(\"f\", \"g\")"; chmod 666 f; as 1000 "link(\"f\", \"g\")"; ls'

same "a mode is what it was after a remount" "$(
    : >"$MNT/f"; chmod 6755 "$MNT/f"; remount -o allow_other; stat -c %a "$MNT/f")" 6755

# ---- the same with the kernel's writeback cache, where it differs ----

ok "remount with writeback" remount -o allow_other,writeback
twin "with writeback: writing clears suid and sgid" '
for who in 1000 1001 0; do for m in 6777 2777; do for what in "write(open(\"f\", O_WRONLY), b\"x\")" "close(open(\"f\", O_WRONLY | O_TRUNC))" "truncate(\"f\", 1)"; do
echo text >f; chown 1000:1000 f; chmod $m f; as $who "$what; print(mode(\"f\"))"; owned f; rm f; done; done; done'
twin "with writeback: a file capability goes" '
for what in "write(open(\"f\", O_WRONLY), b\"x\")" "truncate(\"f\", 1)"; do rm -f f; echo text >f; setcap cap_net_raw+ep f; as 0 "$what"; sync -d f; caps f; done'
ok "unmount" "$SILTFS" umount "$MNT"
ok "fsck finds nothing" "$SILTFS" fsck "$STORE"
finish
