#!/bin/bash
# siltfs export and import: tar archives of everything that tar keeps, beside GNU tar and
# bsdtar; damaged and hostile ones.
. "$(dirname "$0")/mount_lib.sh"
need bsdtar libarchive-tools
need setfacl acl
need setfattr attr

root=
[ "$(id -u)" = 0 ] && root=yes

# Everything in a directory that an archive carries, contents too.
all() {
    (cd "$1" && find . -mindepth 1 ! -path './.siltfs*' \( -type d -printf '%P d %m %U:%G %T@\n' -o ! -type s -printf '%P %y %m %U:%G %s %T@ %n %l\n' \) | LC_ALL=C sort
     find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
     find . ! -type l ! -type s -print0 | LC_ALL=C sort -z | xargs -0 getfattr -d -h -m '^(user|trusted|security\.cap)' -e hex --absolute-names
     find . ! -type l ! -type s -print0 | LC_ALL=C sort -z | xargs -0 getfacl -n -p
     find . ! -type d ! -type l ! -type s -printf '%P ' -exec stat -c '%t:%T' {} \; | LC_ALL=C sort) 2>/dev/null
}
alike() { # alike MESSAGE DIR : as the tree that all is compared with
    local got
    got=$(all "$2")
    if [ "$got" = "$tree" ]; then pass; else fail "$1" "$(diff <(echo "$tree") <(echo "$got"))"; fi
}
into() { "$SILTFS" import "$1" ${3:+"$3"} <"$2"; }
out() { "$SILTFS" export "$1" ${3:+"$3"} >"$2"; }

# ---- a tree with one of each ----

mkdir -p "$T/src/d/e" "$T/src/empty" "$MNT" "$T/out"
(cd "$T/src" || exit
 head -c 3000000 /dev/urandom >big
 echo hello >a && ln a d/hard && ln d/hard d/e/third && : >none
 ln -s ../a d/sym && ln -s /etc/passwd d/absolute && mkfifo d/fifo
 truncate -s 50M hole && truncate -s 20M holes && printf x | dd of=holes bs=1 seek=5000000 conv=notrunc status=none
 long=$(printf 'n%.0s' $(seq 200)) && mkdir -p "$long/$long/$long" && echo long >"$long/$long/$long/file"
 ln -s "$long/$long/$long/file" d/longlink
 echo u >"d/ümläut" && echo w >$'d/bad\xff\xfe' && echo n >$'d/new\nline' && echo s >'d/ space '
 setfattr -n user.text -v some a && setfattr -n user.binary -v 0x00ff0a00 a && setfattr -n user.dir -v val d
 setfacl -m u:12345:rwx,g:23456:r a && setfacl -d -m u:12345:rx d && mkdir d/inherits && echo >d/inherits/file
 setfacl -b d/e && chmod 2750 d/e && chmod 4711 big && chmod 1777 empty
 if [ -n "$root" ]; then
     mknod d/char c 5 1 && mknod d/block b 300 70000 && chown 1000:1001 d/e && chown -h 77:78 d/sym
     setfattr -n trusted.t -v x a && setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 none
 fi
 touch -d '2001-02-03 04:05:06.987654321' a && touch -h -d '2030-01-01 00:00:00.000000001' d/sym
 touch -d '1999-12-31 23:59:59.5' d/e && touch -d '2002-02-02' d)
tree=$(all "$T/src")
options="--xattrs --xattrs-include=* --acls -S --numeric-owner"

# ---- there and back ----

ok "a store is made" "$SILTFS" mkfs "$STORE"
tar $options -C "$T/src" -cf "$T/gnu.tar" .
ok "what GNU tar wrote is imported" into "$STORE" "$T/gnu.tar"
ok "a store at rest is exported" out "$STORE" "$T/rest.tar"
ok "mounted" "$SILTFS" mount "$STORE" "$MNT"
alike "an import is what was in the archive" "$MNT"
ok "holes stay holes" [ "$(($(stat -c %b "$MNT/hole") + $(stat -c %b "$MNT/holes")))" -lt 100 ]
[ -z "$root" ] || python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$MNT/empty/socket"
touch -d '2002-02-02' "$T/src/empty" "$MNT/empty" && tree=$(all "$T/src")
ok "a mount is exported" bash -c "'$SILTFS' export '$MNT' 2>'$T/said' >'$T/live.tar'"
[ -z "$root" ] || ok "a socket is left out, with a word" grep -q 'empty/socket: a socket, left out' "$T/said"
same "no snapshot of it is left" "$("$SILTFS" snapshot list "$MNT" | wc -l)" 0
ok "archives know of holes" [ "$(stat -c %s "$T/live.tar")" -lt 4000000 ]
for tar in tar bsdtar; do
    rm -rf "$T/out" && mkdir "$T/out"
    [ $tar = tar ] && use="$options --warning=no-unknown-keyword" || use="--xattrs --acls --numeric-owner"
    ok "$tar extracts an export" $tar $use -C "$T/out" -xpf "$T/live.tar"
    alike "$tar extracts what was there" "$T/out"
done
# An ACL makes the mode that an archive has differ: its group is the list's, not the mask.
ok "GNU tar finds the mount as in the archive" bash -c "tar --numeric-owner -C '$MNT' -df '$T/live.tar' 2>&1 | grep -vE 'Ignoring unknown|Mode differs' >'$T/said'; [ ! -s '$T/said' ] || { cat '$T/said'; false; }"
"$SILTFS" snapshot create "$MNT" before && rm -rf "$MNT/d"
ok "a snapshot is exported" out "$MNT@before" "$T/snap.tar"
ok "a directory is exported" bash -c "'$SILTFS' export '$MNT@before' /d/./e/ | tar -tf - | grep -qx './third'"
ok "a file is" bash -c "'$SILTFS' export '$MNT@before' d/hard | tar -xOf - ./hard | grep -qx hello"
down
for how in cat gzip zstd xz bzip2; do
    ok "imported by $how" bash -c "'$SILTFS' mkfs '$T/$how' && $how <'$T/snap.tar' | '$SILTFS' import '$T/$how'"
    ok "... consistent" "$SILTFS" fsck -c "$T/$how"
    ok "... is exported the same" cmp <("$SILTFS" export "$T/$how" | sha256sum) <("$SILTFS" export "$T/cat" | sha256sum)
done
ok "bsdtar's is imported" bash -c "bsdtar --format=pax --xattrs --acls --numeric-owner -C '$T/src' -cf - . | '$SILTFS' import '$T/cat' sub/dir"
ok "mounted" "$SILTFS" mount "$T/cat" "$MNT"
alike "bsdtar's is what was there" "$MNT/sub/dir"
rm -rf "$MNT/sub" && alike "an export, imported, is what was there" "$MNT"
says "a mounted store is not imported into" 'mounted on .*tar -x' bash -c "exec '$SILTFS' import '$MNT' <'$T/gnu.tar'"
rm -rf "$MNT/d" && echo other >"$MNT/a" && ln -s /etc "$MNT/d" && STORE=$T/cat down

ok "a file of its own compression is packed" bash -c "'$SILTFS' mkfs '$T/own' && '$SILTFS' mount '$T/own' '$MNT' && : >'$MNT/f' &&
    setfattr -n user.siltfs.compression -v none '$MNT/f' && yes siltfs | head -c 200000 >'$MNT/f' && '$SILTFS' export '$MNT' >'$T/own.tar'"
STORE=$T/own down
ok "... and unpacked" bash -c "rm -r '$T/own' && '$SILTFS' mkfs '$T/own' && '$SILTFS' import '$T/own' <'$T/own.tar' && '$SILTFS' mount '$T/own' '$MNT'"
ok "... is stored so from its first byte on" bash -c "'$SILTFS' info '$MNT/f' | grep -q 'for 200000: 1.0'"
STORE=$T/own down

# ---- what is there already ----

rm -rf "$T/e" && mkdir -p "$T/e/d" && echo f >"$T/e/d/f" && tar -C "$T/e" -cf "$T/d.tar" d/f
ok "nothing goes through a link that is there" bash -c "'$SILTFS' import '$T/cat' <'$T/d.tar' 2>&1 | grep -q 'd/f: left out: it leads through a symbolic link'"
ok "imported over what is there" into "$T/cat" "$T/gnu.tar"
ok "mounted" "$SILTFS" mount "$T/cat" "$MNT"
touch -d '2002-02-02' "$MNT/empty"
alike "it is replaced" "$MNT"
STORE=$T/cat down
mkdir "$T/e/a" && tar -C "$T/e" -cf "$T/dir.tar" a && rm -rf "$T/e/d" && echo >"$T/e/d" && tar -C "$T/e" -cf "$T/file.tar" d
ok "a directory replaces a file" into "$T/cat" "$T/dir.tar"
not "no file replaces a directory" into "$T/cat" "$T/file.tar"
ok "... which is still there" bash -c "'$SILTFS' export '$T/cat' d | tar -tf - | grep -q hard"
if [ -n "$root" ]; then
    mkdir -m 777 "$T/user" && chmod 755 "$T"
    as_user 4321 "$SILTFS" mkfs "$T/user/store"
    ok "a user imports what root packed" as_user 4321 bash -c "'$SILTFS' import '$T/user/store' <'$T/gnu.tar'"
    same "to him it belongs" "$("$SILTFS" export "$T/user/store" d | tar --numeric-owner -tvf - 2>/dev/null | awk '{ print $2 }' | sort -u)" 4321/4321
fi

# ---- damaged, hostile ----

python3 - "$T" <<'END'
import io, sys, tarfile
T = sys.argv[1]
def make(name, *members):
    with tarfile.open(T + "/" + name, "w", format=tarfile.PAX_FORMAT) as t:
        for path, kind, what in members:
            m = tarfile.TarInfo(path)
            m.type = kind
            m.uid = 2**32 - 1 if "nobody" in path else 0
            if kind == tarfile.REGTYPE: m.size = len(what)
            else: m.linkname = what.decode()
            t.addfile(m, io.BytesIO(what) if kind == tarfile.REGTYPE else None)
F, S, H = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
evil = T.encode() + b"/evil"
make("up", ("../../evil", F, b"x"), ("x/../../evil", F, b"x"), ("good", F, b"y"))
make("absolute", (T + "/evil", F, b"x"))
make("through", ("l", S, T.encode()), ("l/evil", F, b"x"), ("good", F, b"y"))
make("over", ("l", S, evil), ("l", F, b"x"))
make("hard", ("l", S, evil), ("h", H, b"l"), ("h/evil", F, b"x"), ("u", H, b"../../../etc/passwd"), ("n", H, b"nothing"))
make("long", ("a" * 300, F, b"x"), ("good", F, b"y"))
make("itself", (".", F, b"x"), ("..", S, b"x"), ("/", F, b"x"), ("good", F, b"y"))
make("control", (".siltfs/x", F, b"x"), ("./.siltfs", F, b"x"), ("sub/.siltfs", F, b"x"), ("good", F, b"y"))
make("owner", ("nobody", F, b"x"), ("good", F, b"y"))
make("made", ("h", H, b"not/there/file"), ("good", F, b"y"))
make("header", ("before", F, b"x"), ("b", F, b"x" * 50000), ("after", F, b"x"))
with open(T + "/header", "r+b") as f:
    f.seek(1024 + 10)
    f.write(b"?")
END
rm -rf "$T/s" && "$SILTFS" mkfs "$T/s"
bad() { # bad NAME PATTERN : reported, and with it the rest is there
    local said
    said=$("$SILTFS" import "$T/s" <"$T/$1" 2>&1) && fail "hostile: $1 succeeds" "$said"
    if grep -qE "$2" <<<"$said"; then pass; else fail "hostile: $1" "$said"; fi
}
bad up 'evil: left out: it leads out of the tree'
bad through 'l/evil: left out: it leads through a symbolic link'
ok "a link is replaced, not followed" into "$T/s" "$T/over"
ok "/ is the tree's" into "$T/s" "$T/absolute"
bad hard 'u: left out: it leads out of the tree'
bad long 'left out: File name too long'
bad itself 'left out: Is a directory'
bad control 'siltfs/x: left out: of a mount, .siltfs is where'
[ -z "$root" ] || bad owner 'nobody: left out: its owner is a number that no owner has'
bad made 'h: left out: not/there/file: No such file'
not "no directory is made for the other name of a link" bash -c "'$SILTFS' export '$T/s' not 2>/dev/null | grep -q ."
says "a damaged header" 'damaged or cut off' bash -c "exec '$SILTFS' import '$T/s' <'$T/header'"
same "... ends it, and is no name" "$("$SILTFS" import "$T/s" <"$T/header" 2>&1 | wc -l)" 1
not "nothing was made elsewhere" bash -c "find '$T' -name '*evil*' | grep . || [ -e /evil ]"
ok "what was good came" bash -c "'$SILTFS' export '$T/s' good | tar -xOf - ./good | grep -qx y"
ok "the store is consistent" "$SILTFS" fsck -c "$T/s"
says "no archive" 'standard input is no tar archive' bash -c "exec '$SILTFS' import '$T/s' <'$SILTFS'"
says "nothing" 'standard input is no tar archive' bash -c "exec '$SILTFS' import '$T/s' <'/dev/null'"
head -c 1000000 "$T/rest.tar" >"$T/cut" && cut=$(tar -tRf "$T/d.tar" 2>/dev/null | awk 'END { print $2 }')
says "cut off" 'damaged or cut off' bash -c "exec '$SILTFS' import '$T/s' <'$T/cut'"
not "no half file is left" bash -c "'$SILTFS' export '$T/s' big 2>/dev/null | grep -q ."
head -c $((${cut%:*} * 512)) "$T/d.tar" >"$T/cut"
says "cut off between two files" 'cut off' bash -c "exec '$SILTFS' import '$T/s' <'$T/cut'"
says "a path that leads out" 'without' bash -c "exec '$SILTFS' import '$T/s' a/../.. <'$T/d.tar'"
says "a path through a file" 'Not a directory' bash -c "exec '$SILTFS' import '$T/s' good/x <'$T/d.tar'"
says "no store" 'no such store' bash -c "exec '$SILTFS' import '$T/none' <'$T/d.tar'"
says "no path" 'nowhere: No such file' "$SILTFS" export "$T/s" nowhere
says "a full disk" 'No space left' bash -c "exec '$SILTFS' export '$T/s' >/dev/full"
says "nobody reads it" 'Broken pipe' bash -c "exec '$SILTFS' export '$T/cat' > >(exec <&-; sleep 1)"
says "no arguments" 'usage: siltfs export' "$SILTFS" export
says "too many" 'usage: siltfs import' "$SILTFS" import a b c
"$SILTFS" mkfs "$T/small" --size=1M
says "a limit" 'stopped: No space left' bash -c "exec '$SILTFS' import '$T/small' <'$T/rest.tar'"
ok "... leaves it consistent" "$SILTFS" fsck -c "$T/small"

# A byte that changed on the disk: told, and zeros in the archive.
segment=$(find "$T/zstd" -maxdepth 1 -name '*.vlog' -size +1000k | head -n 1)
printf '\xff\xfe\xfd' | dd of="$segment" bs=1 seek=500000 conv=notrunc status=none
not "what is damaged is told" out "$T/zstd" "$T/damaged.tar"
ok "... by path" bash -c "'$SILTFS' export '$T/zstd' 2>&1 >/dev/null | grep -q './big: .* cannot be read'"
ok "... and all else is there" bash -c "tar -tf '$T/damaged.tar' 2>/dev/null | grep -q d/hard"

finish
