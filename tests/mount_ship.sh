#!/bin/bash
# How it comes to others: manual pages, completion, the Debian package installed, upgraded and
# removed, and with it mount(8), fstab and the helpers as they are found there. All in a mount
# namespace in which /usr, /etc and dpkg's records are copies on write: the machine keeps
# nothing of it, however this ends.
if [ -z "${SHIP_INSIDE:-}" ]; then
    [ "$(id -u)" = 0 ] || { echo "skipped: needs root"; echo "COUNT 0 passed, 0 failed, 1 skipped"; exit; }
    SHIP_INSIDE=yes exec unshare -m --propagation private bash "$0"
fi
. "$(dirname "$0")/mount_lib.sh"
MAKE=${MAKE:-make}

# ---- the manual ----

make_it() { $MAKE --no-print-directory B="${B:-build}" "$@"; }
ok "make man" make_it man
pages=("${B:-build}"/man/*.[158])
same "the pages" "$(cd "${B:-build}/man" && echo *.[158])" \
    "fsck.siltfs.8 mkfs.siltfs.8 mount.siltfs.8 siltfs.1 siltfs.5"
for command in $("$SILTFS" help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
    ok "siltfs(1) has $command" grep -qx ".Ss siltfs $command" "${pages[3]}"
done
for option in $("$SILTFS" help mount | sed -n '/^Options/,$ s/^  \([a-z_]*\).*/\1/p'); do
    ok "siltfs(5) has $option" grep -qE "^\.It .*\b$option\b" "${pages[4]}"
done
if command -v mandoc >/dev/null; then
    same "mandoc complains of nothing" "$(mandoc -Tlint -W warning "${pages[@]}")" ""
else
    skip "mandoc is not installed: the pages are not checked"
fi

# ---- completion ----

# words LINE : what bash offers at its end, sorted.
words() {
    bash -c '
        compopt() { :; }
        . mount/completion/siltfs.bash
        COMP_LINE=$1 COMP_POINT=${#1}
        mapfile -t COMP_WORDS < <(grep -oE "[^[:space:]=:]+|[=:]+" <<<"$1")
        [[ $1 != *[[:space:]] ]] || COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        PATH=$2:$PATH
        _siltfs "${COMP_WORDS[0]}"
        printf "%s\n" "${COMPREPLY[@]}" | sort | xargs' - "$1" "$(dirname "$SILTFS")"
}
"$SILTFS" mkfs "$STORE" && "$SILTFS" snapshot create "$STORE" monday
same "completes commands" "$(words "siltfs sn")" snapshot
same "... all that there are" "$(words "siltfs help ")" \
    "$("$SILTFS" help | sed -n 's/^  \([a-z]*\)  .*/\1/p' | sort | xargs)"
same "... what they do" "$(words "siltfs snapshot ")" "create delete diff list rollback"
same "... their options" "$(words "siltfs fsck --")" "--contents --dry-run --repair"
same "... words of -o" "$(words "siltfs mount -o ro,me")" "ro,memory= ro,memtable= ro,metrics="
same "... for the helpers of mount(8), too" "$(words "mount.siltfs a b -o comp")" compression=
same "... names of snapshots" "$(words "siltfs snapshot delete $STORE ")" monday
same "... behind a store" "$(words "siltfs clone $STORE@m")" "$STORE@monday"
same "... directories" "$(words "siltfs fsck $T/st")" "$STORE"
if command -v zsh >/dev/null; then
    ok "zsh takes its own" zsh -n mount/completion/_siltfs
else
    skip "zsh is not installed"
fi

# ---- read-only disks ----

mkdir -p "$MNT" "$T/two" "$T/ro"
rm -rf "$STORE"
"$SILTFS" mkfs "$STORE" && "$SILTFS" mount "$STORE" "$MNT" && echo kept >"$MNT/file"
"$SILTFS" snapshot create "$MNT" s && ok "a store is made" "$SILTFS" umount "$MNT"
mount --bind "$STORE" "$T/ro" && mount -o remount,bind,ro "$T/ro"
says "not for writing on a read-only disk" "-o ro" "$SILTFS" mount "$T/ro" "$MNT"
print=$(fingerprint)
ok "read-only on a read-only disk" "$SILTFS" mount -o ro "$T/ro" "$MNT"
ok "... twice at once" "$SILTFS" mount -o ro "$T/ro" "$T/two"
same "... both read it" "$(cat "$MNT/file" "$T/two/file" | xargs)" "kept kept"
not "... and write nothing" touch "$MNT/new"
ok "... one is gone" "$SILTFS" umount "$T/two"
ok "... a snapshot instead" "$SILTFS" mount -o snapshot=s "$T/ro" "$T/two"
same "... scrub has nothing to say but the result" "$("$SILTFS" scrub "$MNT" 2>&1)" \
    "$T/ro: every byte is as written"
ok "... unmounted" bash -c "'$SILTFS' umount '$T/two' && '$SILTFS' umount '$MNT'"
ok "fsck there" "$SILTFS" fsck "$T/ro"
says "nothing that writes" "-o ro" "$SILTFS" set "$T/ro" size=1G
ok "stats there" "$SILTFS" stats "$T/ro"
same "nothing was changed" "$(fingerprint)" "$print"
umount "$T/ro"

# ---- the package ----

if ! command -v dpkg-deb >/dev/null || ! command -v dpkg-shlibdeps >/dev/null; then
    skip "dpkg-dev is not installed: no package"
    finish
fi
mkdir "$T/over"
# over DIR : changes to it are for us alone.
over() {
    mkdir -p "$T/over$1/new" "$T/over$1/work" &&
        mount -t overlay overlay -o "lowerdir=$1,upperdir=$T/over$1/new,workdir=$T/over$1/work" "$1"
}
if ! mount -t tmpfs tmpfs "$T/over" || ! over /usr || ! over /etc || ! over /var/lib/dpkg; then
    skip "no overlay filesystem here: the package is not installed"
    finish
fi
mkdir -p /run/mount && mount -t tmpfs tmpfs /run/mount
deb() { make_it deb DEB_VERSION="$1" | tail -n 1; }
pkg() { dpkg --log=/dev/null --no-triggers "$@"; }
version=$(dpkg-parsechangelog -l mount/debian/changelog -S Version)
same "its version is the program's" "siltfs $version" "$("$SILTFS" --version)"
old=$(deb "$version~before") new=$(deb "$version")
ok "make deb" test -f "$old" -a -f "$new" || finish
if command -v lintian >/dev/null; then
    lintian --allow-root --fail-on error,warning "$new" >"$T/lintian" 2>&1 &
    lintian=$!
else
    skip "lintian is not installed: the package is not checked"
fi

ok "installed" pkg -i "$old"
same "... that version" "$(dpkg-query -W -f '${Version}' siltfs)" "$version~before"
ok "mkfs finds it" mkfs -t siltfs "$T/s"
echo "$T/s $MNT siltfs noatime,nofail,allow_other,x-systemd.automount,x-systemd.mount-timeout=9 0 0
$T/nothing $T/two siltfs nofail 0 0" >/etc/fstab
ok "mount -t siltfs" mount -t siltfs "$T/s" "$MNT" -o noatime,nosuid
same "... noatime, nosuid" "$(findmnt -n -o FSTYPE,OPTIONS "$MNT" | grep -oE 'fuse.siltfs|noatime|nosuid' | xargs)" \
    "fuse.siltfs nosuid noatime"
not "... is mounted once" mount -t siltfs "$T/s" "$MNT"
ok "umount" umount "$MNT"
ok "mount -a, by fstab" mount -a
ok "... is there" mounted
same "... and answers" "$(echo word >"$MNT/file" && cat "$MNT/file")" word
ok "... a second time changes nothing" mount -a
same "nofail: a store that is not there is no error" "$(mount "$T/two" 2>&1; echo $?)" 0
ok "... and not mounted" unmounted "$T/two"
not "without it it is one" mount -t siltfs "$T/nothing" "$T/two"
before=$(daemon_pid "$T/s")

ok "upgraded while it is mounted" pkg -i "$new"
same "... that version" "$(dpkg-query -W -f '${Version}' siltfs)" "$version"
same "... the mount goes on" "$(cat "$MNT/file") $(daemon_pid "$T/s")" "word $before"
ok "... until it is unmounted" siltfs umount "$MNT"
ok "mounted by its mount point" mount "$MNT"
same "... everything is there" "$(cat "$MNT/file")" word
ok "umount again" umount "$MNT"
wait_until 120 gone "$(daemon_pid "$T/s")"
ok "fsck, as at boot" fsck.siltfs -a "$T/s"
same "the manual is there" "$(man -w siltfs 5 siltfs 8 mount.fuse.siltfs 2>/dev/null | wc -l)" 3
if command -v systemd-analyze >/dev/null; then
    ok "systemd takes the unit" systemd-analyze --man=no verify /usr/share/doc/siltfs/examples/siltfs@.service
else
    skip "systemd-analyze is not installed"
fi
ok "the files are as packed" dpkg -V siltfs

files=$(dpkg -L siltfs)
ok "removed" pkg -P siltfs
same "nothing of it is left" "$(while read -r f; do [ -d "$f" ] || ls -d "$f" 2>/dev/null; done <<<"$files")" ""
not "dpkg knows it no more" dpkg-query -W siltfs
not "nor mount(8)" mount "$MNT"
ok "the store is still there" "$SILTFS" fsck "$T/s"
if [ -n "${lintian:-}" ]; then
    wait $lintian || fail "lintian complains" "$(cat "$T/lintian")"
    same "lintian says nothing" "$(cat "$T/lintian")" ""
fi
rm -f "$old"

finish
