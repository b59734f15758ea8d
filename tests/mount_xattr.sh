#!/bin/bash
# Extended attributes and POSIX ACLs on a real mount, as beside it on ext4.
. "$(dirname "$0")/mount_lib.sh"
[ "$(id -u)" = 0 ] || { skip "needs root: trusted attributes, other users"; finish; }
. tests/as_users.sh
need setfacl acl
need getfattr attr
need rsync rsync
need setcap libcap2-bin
chmod 755 "$T"

acl() { getfacl -cEnp "$@"; }
modes() { stat -c '%n %a' "$@"; }
mount_it() { fresh -o allow_other "$@"; }

ok "mount" mount_it

# ---- extended attributes ----

twin "set, get, list and remove" '
touch f; mkdir d
for p in f d; do
    x set $p user.a 1; x set $p user.bb ""; x set $p trusted.t 22; x set $p security.s 333
    x get $p user.a; x get $p user.bb; x get $p trusted.t; x get $p security.s; x list $p
    x set $p user.a longer; x get $p user.a; SIZE=0 x list $p; SIZE=0 x get $p user.a
    x rm $p user.bb; x list $p; x rm $p user.a; x rm $p trusted.t; x rm $p security.s; x list $p
done'
twin "CREATE and REPLACE" '
touch f
x set f user.a 1 2; x set f user.a 1 1; x set f user.a 2 1; x set f user.a 3 2; x get f user.a
x set f user.b 1 2; x set f user.b 1 3; x set f user.b 1 4; x list f'
twin "errors" '
touch f; ln -s f l; mkfifo p; mkdir d
x get f user.none; x rm f user.none; x get f trusted.none; x get f security.none; x rm f security.none
for n in foo.bar system.foo user user. trusted. "" nothing; do x set f "$n" 1; x get f "$n"; x rm f "$n"; done
x set f user.$(printf "%0250d" 0) 1; x set f user.$(printf "%0251d" 0) 1; x get f user.$(printf "%0251d" 0)
x set f user.a 123456789; SIZE=4 x get f user.a; SIZE=9 x get f user.a; SIZE=5 x list f
x set f user.a @65537; x get f user.a
for q in l p; do x set $q user.a 1; x get $q user.a; x rm $q user.a; x set $q trusted.a 1; x get $q trusted.a; x list $q; done
x set nowhere user.a 1; x list f | wc -w'
twin "as another user" '
touch f; chmod 644 f; x set f user.a 1; x set f trusted.a 1; x set f security.a 1
USER_IS=1000 x list f; USER_IS=1000 x get f trusted.a
USER_IS=1000 x get f user.a; USER_IS=1000 x get f security.a
USER_IS=1000 x set f user.a 2; USER_IS=1000 x rm f user.a
USER_IS=1000 x set f trusted.b 2; USER_IS=1000 x set f security.b 2
chmod 600 f; USER_IS=1000 x get f user.a; USER_IS=1000 x list f
mkdir -m 1777 s; USER_IS=1000 x set s user.a 2; chmod 777 s; USER_IS=1000 x set s user.a 2; x list s'
twin "they stay over rename and link, and are copied by cp -a" '
echo 1 >f; x set f user.a 1; ln f g; x get g user.a; x set g user.b 2; mv f h; rm g; x list h
mkdir d; x set d user.d 1; mv d e; x list e; cp -a h i; cp -a e k; x list i; x list k; cp h j; x list j
: >h; x list h; echo more >>h; truncate -s 0 h; x list h'
twin "on an open file without a name" "
python3 -c '
import os
f = os.open(\"f\", os.O_CREAT | os.O_RDWR); os.setxattr(f, \"user.a\", b\"1\"); os.unlink(\"f\")
os.setxattr(f, \"user.b\", b\"2\"); print(sorted(os.listxattr(f)), os.getxattr(f, \"user.a\"))
os.removexattr(f, \"user.a\"); print(os.listxattr(f))'"

cd "$MNT" || exit 1
touch big few
same "a value of 64 KiB" "$(x set big user.a @65536; x get big user.a | cut -c1-5)" "set 0
65536"
same "a name of 255 bytes" "$(x set big "user.$(printf %0250d 0)" 1; x list big | wc -w)" "set 0
2"
same "names of 64 KiB in all can be set and listed, and then no more" "$(python3 - <<'END'
import errno, os
n = 0
try:
    while True:
        os.setxattr("few", "user.%0250d" % n, b"v"); n += 1
except OSError as e: print(errno.errorcode[e.errno], n == len(os.listxattr("few")), n)
END
)" "ENOSPC True 256"
before=$(stat -c %z few)
sleep 0.02
x set few "user.$(printf %0250d 7)" other >"$T/null"
same "a change of one changes ctime" "$([ "$(stat -c %z few)" \> "$before" ] && echo yes)" yes
rm few
for i in $(seq 100); do touch "t$i"; setfattr -n user.n -v "$i" "t$i"; done
rm t?
cd /
ok "remount" remount -o allow_other
cd "$MNT" || exit 1
same "after a remount they are there" "$(getfattr --only-values -n user.n t10 t55 t100)" 1055100
cd /
ok "unmount" "$SILTFS" umount "$MNT"
ok "fsck finds nothing" "$SILTFS" fsck "$STORE"
ok "mount again" "$SILTFS" mount "$STORE" "$MNT" -o allow_other

# ---- ACLs ----

twin "an ACL sets the mode, and chmod changes the ACL" '
touch f; chmod 640 f; setfacl -m u:1000:rwx f; modes f; acl f
chmod 700 f; modes f; acl f; chmod 664 f; acl f; setfacl -m m::r f; modes f; acl f
setfacl -m g:7:rw,u:1001:- f; acl f; modes f; setfacl -x u:1000 f; acl f; setfacl -b f; acl f; modes f
setfacl -m u::r,g::w,o::x f; modes f; x list f'
twin "an ACL that is the mode is not stored" '
touch f; chmod 600 f; setfacl -m u::rw,g::r,o::r f; x list f; modes f
setfacl -m u:1000:r f; x list f; setfacl -b f; x list f; x rm f system.posix_acl_access; x rm f system.posix_acl_default'
twin "default ACLs are inherited, and the umask does not count" '
umask 077; mkdir d; modes d; setfacl -d -m u:1000:rwx,g:7:rx,o::rx d; acl d; modes d
touch d/f; mkdir d/s; mkfifo d/p; ln -s f d/l; python3 -c "import os; os.close(os.open(\"d/x\", os.O_CREAT, 0o777))"
mkdir -m 700 d/t; touch d/s/f; modes d/*; acl d/f d/s d/p d/x d/t d/s/f; x list d/l
setfacl -k d; touch d/g; mkdir d/u; modes d/g d/u; acl d d/g d/u; x list d/g'
twin "a default ACL that is a mode" '
umask 022; mkdir d; setfacl -d -m u::rwx,g::rw,o::- d; acl d; touch d/f; mkdir d/s; acl d/f d/s; x list d/f; x list d/s; modes d/f d/s'
twin "a default ACL in a directory with sgid" '
mkdir d; chgrp 2000 d; chmod 2770 d; setfacl -d -m u:1000:rwx d; touch d/f; mkdir d/s; stat -c "%n %g %a" d d/f d/s; acl d/s'
twin "without a default ACL the umask counts" '
for u in 000 022 077 777; do umask $u; touch f$u; mkdir d$u; mkfifo p$u; mknod c$u c 1 3; done; modes *'
twin "hostile values" '
touch f; mkdir d; ln -s f l
bad() { x set $1 system.posix_acl_access 0x$2; x set $1 system.posix_acl_default 0x$2; }
bad d ""; bad d 02; bad d 02000000; bad d 01000000; bad d 0300000001000700ffffffff; bad d 02000000010007
bad d 0200000001000700ffffffff; x list d
bad d 0200000001000700ffffffff04000500ffffffff20000500ffffffff; x list d; modes d
bad d 0200000001000f00ffffffff04000500ffffffff20000500ffffffff
bad d 0200000020000700ffffffff04000500ffffffff01000500ffffffff
bad d 0200000001000700ffffffff0200070000000000ffffffff04000500ffffffff20000500ffffffff
bad d 0200000001000700ffffffff02000700e803000004000500ffffffff20000500ffffffff
bad d 0200000001000700ffffffff02000700e803000004000500ffffffff10000500ffffffff20000500ffffffff
bad d 0200000001000700ffffffff02000700ffffffff04000500ffffffff10000500ffffffff20000500ffffffff
bad d 0200000001000700ffffffff04000500ffffffff08000700d007000010000300ffffffff20000500ffffffff
bad d 0200000001000700ffffffff04000500ffffffff20000500ffffffff20000500ffffffff
bad f 0200000001000700ffffffff04000500ffffffff20000500ffffffff
x set l system.posix_acl_access 0x0200000001000700ffffffff04000500ffffffff20000500ffffffff
acl d f; x list d; x list f; modes d f'
twin "who may do what" '
echo text >f; chmod 640 f; tries() { for u in 1000 1001 2000; do as_user $u cat f; as_user $u sh -c ": >>f" && echo written; done; }
tries; setfacl -m u:1000:rw,g:2000:r f; tries; setfacl -m m::r f; tries; chmod g=rw f; tries
setfacl -m u:1000:- f; chmod o=r f; tries; setfacl -b f; tries
mkdir -m 700 d; echo in >d/f; as_user 1000 cat d/f; setfacl -m u:1000:x d; as_user 1000 cat d/f; as_user 1000 ls d
setfacl -m u:1000:rwx d; as_user 1000 touch d/new; as_user 1000 ls d; stat -c %u d/new
as_user 1000 setfacl -m u:1001:r f; as_user 1000 setfacl -m u:1001:r d/new; acl d/new'
twin "setting an ACL takes sgid from a stranger to the group" '
touch f g; chown 1000:2000 f g; chmod 2755 f g; as_user 1000 setfacl -m u:1001:r f; stat -c %a f
setfacl -m u:1001:r g; stat -c %a g; mkdir d; chown 1000:2000 d; chmod 2755 d; as_user 1000 setfacl -d -m u:1001:r d; stat -c %a d
as_user 1000 setfacl -m u:1001:r d; stat -c %a d'
twin "chown leaves the ACL" 'touch f; setfacl -m u:1000:rw f; chown 1000:1000 f; acl f; modes f'

cd "$MNT" || exit 1
rm -rf twin
mkdir d
setfacl -m "$(for i in $(seq 506); do printf 'u:%d:r,' "$i"; done)g:1:r" d
same "an ACL of 511 and no more entries, as many as the kernel passes" \
    "$(acl d | grep -c .; setfacl -m u:9999:r d 2>&1 | sed 's/.*: //')" "511
Argument list too long"
cd /

# ---- programs ----

rm -rf "$MNT"/*
mkdir "$T/src"
if setfattr -n user.a -v 1 "$T/src" 2>"$T/null" && setfacl -m u:1:r "$T/src" 2>"$T/null"; then
    cd "$T/src" || exit 1
    mkdir -p dir/sub
    for i in 1 2 3; do echo "$i" >"dir/f$i"; setfattr -n user.n -v "value $i" "dir/f$i"; done
    setfattr -n trusted.t -v t dir/f2
    setfacl -m u:1000:rwx,g:7:- dir/f3
    setfacl -m d:u:1000:rwx dir/sub
    setcap cap_net_bind_service+ep dir/f1
    ln dir/f1 dir/hard
    ln -s f1 dir/soft
    cd /
    all() { (cd "$1" && find . | sort | while read -r f; do
        stat -c '%n %F %a %u:%g %h' "$f"; getfattr -h -d -m - -e hex "$f"; done); }
    all "$T/src" >"$T/want"
    for how in "rsync -aHAX" "cp -a --preserve=all" tar; do
        rm -rf "$MNT/copy" "$T/back"
        mkdir "$MNT/copy" "$T/back"
        if [ "$how" = tar ]; then
            copy() { tar -C "$1" --xattrs "--xattrs-include=*" --acls -cf - . |
                tar -C "$2" --xattrs "--xattrs-include=*" --acls -xpf -; }
        else
            copy() { $how "$1/." "$2/"; }
        fi
        ok "$how onto the mount" copy "$T/src" "$MNT/copy"
        same "... keeps everything" "$(all "$MNT/copy" | diff "$T/want" - )" ""
        ok "$how from the mount" copy "$MNT/copy" "$T/back"
        same "... keeps everything" "$(all "$T/back" | diff "$T/want" -)" ""
    done
    ok "rsync has nothing more to do" test -z "$(rsync -aHAXin "$T/src/" "$MNT/copy/")"
else
    skip "programs: the host has no attributes at $T"
fi

# ---- the options that do without ----

mkdir -p "$MNT/o"
echo text >"$MNT/o/f"
chmod 600 "$MNT/o/f"
setfacl -m u:1000:r "$MNT/o/f"
setfacl -d -m u:1000:rwx "$MNT/o"
ok "an ACL lets a user in" as_user 1000 cat "$MNT/o/f"
ok "remount with noacl" remount -o allow_other,noacl
not "... does not" as_user 1000 sh -c "echo >'$MNT/o/f'"
same "... but keeps it" "$(acl "$MNT/o/f" | grep 1000)" "user:1000:r--"
(umask 077 && touch "$MNT/o/g")
ok "remount with noxattr" remount -o allow_other,noxattr
same "there are no attributes" "$(x set "$MNT/o/f" user.a 1; x list "$MNT/o/f"; x get "$MNT/o/f" user.a)" \
    "set user.a ENOTSUP
list  ENOTSUP
get user.a ENOTSUP"
chmod 640 "$MNT/o/f"
(umask 077 && touch "$MNT/o/h")
ok "remount" remount -o allow_other
same "what was there is" "$(acl "$MNT/o/f" | grep -E '1000|mask')" "user:1000:r--
mask::r--"
same "... and was inherited meanwhile" "$(acl "$MNT/o/g" "$MNT/o/h" | grep 1000 | cut -f1)" "user:1000:rwx
user:1000:rwx"
cd /
ok "unmount" "$SILTFS" umount "$MNT"
ok "fsck finds nothing" "$SILTFS" fsck "$STORE"
finish
