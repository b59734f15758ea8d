#!/bin/bash
# What needs no root: an ordinary user mounts, by fusermount3, uses it and unmounts, also when
# the daemon was killed. Root becomes that user, with a copy of what is needed, and in a mount
# namespace with a /dev/fuse that is for all, as it is on ordinary machines.
if [ "$(id -u)" = 0 ]; then
    cd "$(dirname "$0")/.." && dir=$(mktemp -d /tmp/siltfs-user-XXXXXX) || exit 1
    trap 'rm -rf "$dir"' EXIT
    trap 'kill $!' INT TERM
    mkdir "$dir/build" && cp -r tests "$dir" && cp "${B:-build}/siltfs" "$dir/build" &&
        chown -R 1000:1000 "$dir" && mknod -m 666 "$dir/fuse" c 10 229 || exit 1
    B=build unshare -m bash -c '
        mount --make-rprivate / && mount --bind "$1/fuse" /dev/fuse || exit
        exec setpriv --reuid 1000 --regid 1000 --clear-groups bash "$1/tests/mount_user.sh"' - "$dir" &
    wait $!
    exit
fi
. "$(dirname "$0")/mount_lib.sh"
export PYTHONDONTWRITEBYTECODE=1 HOME=$T
need python3 python3

fresh || { fail "a user mounts"; finish; }
same "the mount is the user's" "$(stat -c '%u %g %a' "$MNT" | xargs)" "$(id -u) $(id -g) 755"
facts facts_names.py rename_of listed links_are numbers_and
facts facts_data.py mapping record direct_writes
facts facts_locks.py flock open_files
facts facts_special.py carries sockets inotify
says "what is in use cannot be unmounted" "in use" bash -c 'cd "$1" && exec "$2" umount "$1"' - "$MNT" "$SILTFS"
echo kept >"$MNT/file"
sync "$MNT/file"
says "a mount is changed only by root" "not permitted" "$SILTFS" mount "$STORE" "$MNT" -o remount,ro
pid=$(daemon_pid)
kill -9 "$pid"
same "a new mount clears the dead one" "$("$SILTFS" mount "$STORE" "$MNT" 2>&1)" \
    "siltfs: $MNT: cleared the mount that a dead siltfs of $STORE left"
same "what was written is there" "$(cat "$MNT/file")" kept
exec 8<"$MNT/file"
ok "umount -l detaches what is in use" "$SILTFS" umount -l "$MNT"
ok "... at once" unmounted
same "... and it can be used on" "$(cat <&8)" kept
exec 8<&-
ok "a mount after that waits until the store is free" "$SILTFS" mount "$STORE" "$MNT"
ok "fusermount3 unmounts" fusermount3 -u "$MNT"
ok "mount" "$SILTFS" mount "$STORE" "$MNT" -o ro
not "read-only it is" touch "$MNT/new"
ok "umount" "$SILTFS" umount "$MNT"
grep -q '^user_allow_other' /etc/fuse.conf 2>/dev/null ||
    says "other users are let in only where fuse.conf says so" "user_allow_other" \
        "$SILTFS" mount "$STORE" "$MNT" -o allow_other
ok "fsck finds nothing" "$SILTFS" fsck "$STORE"
finish
