#!/bin/bash
# Stores on a full Ceph cluster: as on a full disk. Run by `make rados`.
. "$(dirname "$0")/mount_lib.sh"
. tests/rados_lib.sh
rados_tests 1 300M
# Far from the failsafe ratio: an OSD tells of its room once a second.
{ ceph_do osd set-full-ratio 0.5; ceph_do osd set-nearfull-ratio 0.4; ceph_do osd set-backfillfull-ratio 0.45; } 2>/dev/null
S=rados:silt/store
mkdir "$MNT"
ok "a store is made" "$SILTFS" mkfs "$S"

random() { head -c 2000000 /dev/urandom >"$MNT/$1" 2>"$T/error"; }
# fill NAME : files until there is no room, to $T/NAME those that are whole.
fill() {
    local i
    : >"$T/$1"
    for ((i = 0; i < 400; i++)); do
        random "$1$i" || return 0
        echo "$1$i" >>"$T/$1"
        sleep 0.05
    done
    return 1
}
sums() { (cd "$MNT" && md5sum $(cat "$T/$1")); }
room_again() { wait_until 120 random "$1"; }

ceph_do osd pool set-quota silt max_bytes 262144000 >/dev/null
serve "$S" "$MNT"
same "df shows the pool's quota" "$(df -BM --output=size "$MNT" | tail -n 1 | tr -d ' ')" 250M
"$SILTFS" umount "$MNT"
ceph_do osd pool set-quota silt max_bytes 0 >/dev/null
serve "$S" "$MNT"
ok "the cluster gets full" fill f
ok "who writes is told ENOSPC" grep -q "No space left" "$T/error"
same "df says that it is full" "$(df --output=pcent "$MNT" | tail -n 1 | tr -d ' ')" "100%"
before=$(sums f)
ok "reading goes on" test -n "$before"
ok "it is unmounted at once" timeout 10 "$SILTFS" umount "$MNT"
serve "$S" "$MNT"
same "mounted on the full cluster all is there" "$(sums f)" "$before"
grep '[13579]$' "$T/f" >"$T/rest"
before=$(sums rest)
ok "every second file is removed" sh -c "cd '$MNT' && rm f*[02468]"
ok "then writing goes on by itself" room_again g
ok "again, until it is full" fill h
sleep 4 # longer than the lease: it has to be renewed on the full cluster, too
ok "and all is removed but what was first" sh -c "cd '$MNT' && rm g h*"
ok "writing goes on" room_again i
rm "$MNT/i"
same "nothing else is lost" "$(sums rest)" "$before"
ok "it is unmounted at once, too" timeout 10 "$SILTFS" umount "$MNT"
same "the store is whole" "$("$SILTFS" fsck "$S" 2>&1 | tail -n 1)" "$S: clean"
finish
