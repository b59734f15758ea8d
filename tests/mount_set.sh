#!/bin/bash
# siltfs set: options that a store keeps, and those that a mount changes while it serves.
. "$(dirname "$0")/mount_lib.sh"

C=$MNT/.siltfs
config() { grep -qx "$1" "$C/config"; }
set_() { "$SILTFS" set "$@"; }
kept() { set_ "$1" | tail -n +3 | paste -sd' '; }

fresh || { fail "a fresh store mounts"; finish; }
ok "a mount shows its limits" bash -c "'$SILTFS' set '$MNT' | grep -qx size=none"
same "... and that nothing is kept" "$(kept "$MNT")" ""
ok "what can be is changed at once" set_ "$MNT" sync_interval=1.5 background_rate=20M compression=zstd
for line in sync_interval=1.5 background_rate=20971520 compression=zstd:zstd memory=268435456; do
    ok "config says $line" config "$line"
done
yes text | head -c 1000000 >"$MNT/zstd"
ok "what is written next is compressed so" bash -c "'$SILTFS' set '$MNT' compression=none >'$T/said' && yes text | head -c 1000000 >'$MNT/none' && '$SILTFS' info '$MNT/none' | grep -qE ': 1\.0' && '$SILTFS' info '$MNT/zstd' | grep -qE ': 0\.0'"
ok "info tells" bash -c "'$SILTFS' info '$MNT/none' | grep -qE 'compression +none, as the store'"
ok "what cannot be is kept, and said to be" bash -c "'$SILTFS' set '$MNT' memory=64M | grep -qx 'memory: kept, and used from the next mount on; this one cannot change it'"
ok "... and not changed" config memory=268435456
same "all is kept" "$(kept "$MNT")" "sync_interval=1.5 background_rate=20M compression=none memory=64M"
ok "remounted" remount
for line in sync_interval=1.5 background_rate=20971520 compression=none:none memory=67108864; do
    ok "the next mount has $line" config "$line"
done
ok "remounted, with options of its own" remount -o sync_interval=3,noatime
for line in sync_interval=3 noatime memory=67108864; do ok "what is given goes before what is kept: $line" config "$line"; done
ok "kept no longer" set_ "$MNT" sync_interval=default memory=default
ok "... it is the default at once" config sync_interval=5
same "... the rest stays" "$(kept "$MNT")" "background_rate=20M compression=none"
"$SILTFS" umount "$MNT"
same "a store at rest tells the same" "$(kept "$STORE")" "background_rate=20M compression=none"
ok "limits and options of a store at rest" bash -c "'$SILTFS' set '$STORE' size=1G strategy=tiered | grep -qx strategy=tiered"
ok "a store that is compacted at rest does so" "$SILTFS" compact "$STORE"
ok "mounted" "$SILTFS" mount "$STORE" "$MNT"
ok "... so" config strategy=tiered
ok "... with the limit" bash -c "'$SILTFS' set '$MNT' | grep -qx size=1073741824"
kept="background_rate=20M compression=none strategy=tiered"
ok "a clone of the mount is made" "$SILTFS" clone "$MNT" "$T/clone"
same "... which keeps them, too" "$(kept "$T/clone")" "$kept"
ok "the mount is backed up" "$SILTFS" backup "$MNT" "$T/backups" one
ok "... and restored" "$SILTFS" restore "$T/backups@one" "$T/restored"
same "... with what it keeps" "$(kept "$T/restored")" "$kept"

says "a limit of a mount" 'limits change while it is not' "$SILTFS" set "$MNT" size=2G
says "an unknown option" 'unknown option' "$SILTFS" set "$MNT" colour=red
says "one that is no store's" 'unknown option' "$SILTFS" set "$MNT" allow_other
says "a value that makes no sense" 'compression=gzip' "$SILTFS" set "$MNT" compression=gzip
says "one that is out of range" 'out of range' "$SILTFS" set "$MNT" background_rate=1
for bad in memory=1 memtable=100T 'sync_interval=2 memtable=1'; do
    says "one that no mount would take, in a mount: $bad" 'out of range' "$SILTFS" set "$MNT" $bad
done
ok "... of which nothing is in use" config sync_interval=5
says "no store" 'no such store' "$SILTFS" set "$T/none" memory=1G
says "no arguments" 'usage: siltfs set' "$SILTFS" set
same "nothing of that was kept" "$(kept "$MNT")" "$kept"
"$SILTFS" umount "$MNT"
says "one that no mount would take, at rest" 'out of range' "$SILTFS" set "$STORE" memory=1 size=2G
ok "... and the limit is what it was" bash -c "'$SILTFS' set '$STORE' | grep -qx size=1073741824"
ok "the store can be mounted" "$SILTFS" mount "$STORE" "$MNT"
"$SILTFS" umount "$MNT"
for bad in allow_other 'memory=1G,x' "$(head -c 2000 /dev/zero | tr '\0' a)"; do
    echo "$bad" >"$STORE/OPTIONS"
    says "a file of options that makes no sense" 'OPTIONS: no options of a store' "$SILTFS" mount "$STORE" "$MNT"
done
rm "$STORE/OPTIONS" && ln -s /etc/passwd "$STORE/OPTIONS"
says "a link in its place" 'OPTIONS: Too many' "$SILTFS" mount "$STORE" "$MNT"

finish
