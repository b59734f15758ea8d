#!/bin/bash
# Contents of files: mapped, direct, appended by several; and what a kill leaves of them.
. "$(dirname "$0")/mount_lib.sh"
need python3 python3

# stores PATTERN CODE : a process stores bytes through a mapping, runs the code, and ends.
stores() {
    python3 -c '
import mmap, os, sys
f = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
os.ftruncate(f, 300000)
m = mmap.mmap(f, 300000)
for i in range(0, 300000, 5000): m[i : i + 4] = sys.argv[2].encode()
exec(sys.argv[3])' "$MNT/map" "$1" "$2"
}

# has PATTERN : they are there.
has() { [ "$(grep -ao "$1" "$MNT/map" | wc -l)" = 60 ]; }

# contents SEED SECONDS [OPTION...] : what is drawn at random of the facts.
contents() {
    fresh "${@:3}" || { fail "a fresh store mounts"; return; }
    SEED=$1 facts facts_data.py mapped direct record
    ok "umount" "$SILTFS" umount "$MNT"
    ok "fsck finds nothing" "$SILTFS" fsck "$STORE"
    operations=$((operations + 10000))
}
with_writeback() { contents "$@" -o writeback; }

load 0 contents
load 0 with_writeback
loads_done

fresh || { fail "a fresh store mounts"; finish; }
facts facts_data.py
ok "stored through a mapping" stores once pass
ok "what was mapped is there after a remount, without msync" remount
ok "... all of it" has once
for options in "" writeback; do
    ok "remount $options" remount ${options:+-o $options}
    ok "stored through a mapping, and msync" stores twic "m.flush()"
    kill -9 "$(daemon_pid)"
    ok "mount after kill -9 $options" "$SILTFS" mount "$STORE" "$MNT" ${options:+-o $options}
    ok "what was mapped and synced is there" has twic
    ok "stored through a mapping again" stores once "m.flush()"
    ok "appended, and fsync" sh -c "yes line | head -n 100000 >>'$MNT/log' && sync '$MNT/log'"
    kill -9 "$(daemon_pid)"
    ok "mount after kill -9" "$SILTFS" mount "$STORE" "$MNT"
    ok "what was mapped is there" has once
    same "what was appended is there" "$(sort "$MNT/log" | uniq -c | xargs)" "100000 line"
    rm "$MNT/log"
done
ok "umount" "$SILTFS" umount "$MNT"
ok "fsck finds nothing" "$SILTFS" fsck "$STORE"
ok "mount -o writeback" "$SILTFS" mount "$STORE" "$MNT" -o writeback
facts facts_data.py
ok "umount" "$SILTFS" umount "$MNT"
ok "fsck finds nothing" "$SILTFS" fsck "$STORE"
finish
