#!/bin/bash
# A local cache: what was read once costs no read of the store's tables and segments, also
# after the next mount; and the directory may be anything.
. "$(dirname "$0")/mount_lib.sh"

CACHE=$T/cache
O=cache=$CACHE,cache_size=64M,memory=32M,verify=none

# Blocks and bytes since this mount, from `stats.json`.
count() { python3 -c "import json; print(json.load(open('$MNT/.siltfs/stats.json'))['engine']['disk_cache_$1'])"; }

# Tables that this mount wrote of its own accord, when it had rested, say.
wrote() { python3 -c "import json; e = json.load(open('$MNT/.siltfs/stats.json'))['engine']; print(e['flushes'] + e['compactions'])"; }

# Reads of the store's files by the daemon, without those of the cache's own.
sums() { (cd "$MNT" && find . -path ./.siltfs -prune -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum); }

fresh -o "$O" || { fail "a fresh store mounts"; finish; }
cp -r lsm fs mount "$MNT/" && head -c 6000000 /dev/urandom >"$MNT/large" || fail "a tree is made"
want=$(sums)
ok "it is remounted" remount -o "$O"
same "a cold tree is read" "$(sums)" "$want"
ok "... and fetched" test "$(count fetched_bytes)" -gt 6000000
# On a slow machine a mount rests, and writes a table, which the next one has to fetch.
before=$(wrote)
for ((round = 0; round < 10; round++)); do
    ok "it is remounted" remount -o "$O"
    same "a warm tree is read after the next mount" "$(sums)" "$want"
    got="$(count misses) $(count fetched_bytes)"
    cat "$MNT/.siltfs/stats" >"$T/stats"
    now=$(wrote)
    [ "$before $now" = "0 0" ] && break
    before=$now
done
same "... and nothing of it from the store" "$got" "0 0"
ok "... but from the cache" test "$(count hit_bytes)" -gt 6000000
ok "people are told" grep -q 'local cache: 100.0 % hits' "$T/stats"
ok "... and collectors" grep -q '^lsm_disk_cache_hits_total{' "$MNT/.siltfs/stats.prom"
ok "the options are shown" grep -qx "cache=$CACHE" "$MNT/.siltfs/config"
ok "it takes no more than it may" test "$(du -sb "$CACHE" | cut -f 1)" -le $((64 << 20))
same "nobody else may look" "$(stat -c %a "$CACHE")" 700

# What is written goes on working when the directory is removed under the mount.
rm -rf "$CACHE"
same "the tree is read when the directory is gone" "$(sums)" "$want"
ok "it is remounted" remount -o "$O"
same "... and after the next mount" "$(sums)" "$want"

# Bytes of it change.
ok "unmounted" "$SILTFS" umount "$MNT"
for f in "$CACHE"/*/*.blocks; do
    python3 - "$f" <<'END'
import random, sys
f = open(sys.argv[1], "r+b")
size = f.seek(0, 2)
for i in range(300):
    f.seek(random.randrange(266240, size))
    f.write(b"\xa5")
END
done
ok "mounted" "$SILTFS" mount "$STORE" "$MNT" -o "$O"
same "the tree is read when bytes of the cache have changed" "$(sums)" "$want"
ok "... which is noticed" test "$(count damaged)" -gt 0

# Cannot be had: mounted without.
ok "unmounted" "$SILTFS" umount "$MNT"
chmod 777 "$CACHE"
said=$("$SILTFS" mount "$STORE" "$MNT" -o "$O" 2>&1)
ok "mounted without a cache that others could write to" mounted
same "... with a line that says so" "$said" "siltfs: $CACHE: cannot be used as a local cache: it must be ours, and nobody else may write to it; mounted without"
same "... and the tree is read" "$(sums)" "$want"
says "too small" 'cache_size=1000: give a size, 1M at least' "$SILTFS" mount "$STORE" "$MNT" -o "cache=$CACHE,cache_size=1000"
finish
