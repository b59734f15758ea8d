#!/bin/bash
# Stores on Ceph RADOS, on a cluster of its own (rados_lib.sh). RADOS=full, as `make rados`
# runs it: with OSDs and the monitor killed and stopped, a full cluster, the network cut,
# and the engine's own tests; else only what takes some seconds.
. "$(dirname "$0")/mount_lib.sh"
. tests/rados_lib.sh

full() { [ "${RADOS:-}" = full ]; }
full && osds=2 || osds=1
CLUSTER_SIZE=$osds rados_tests $osds 1G
S=rados:silt/store
mkdir "$MNT" "$T/mnt2"

# ---- as a directory ----

ok "a store is made" "$SILTFS" mkfs "$S"
says "a second one of the name is not" "holds a store already" "$SILTFS" mkfs "$S"
says "a pool that is not there is told" "no such|is there such a pool" "$SILTFS" mkfs rados:nowhere/x
says "an address without a name is none" "rados:POOL/NAME" "$SILTFS" mkfs rados:silt
says "a store that is not there is not mounted" "no such store" "$SILTFS" mount rados:silt/none "$MNT"
serve "$S" "$MNT"
one=$SERVING
cp -r lsm fs "$MNT/" && head -c 9000000 /dev/urandom >"$T/big" && cp "$T/big" "$MNT/big"
ok "a tree can be read at once" diff -r lsm "$MNT/lsm"
says "who has it is told" "in use: mounted on $MNT by process $one" "$SILTFS" mount "$S" "$T/mnt2"
ok "it is unmounted" "$SILTFS" umount "$MNT"
serve "$S" "$MNT"
ok "mounted again the tree is what was copied" diff -r fs "$MNT/fs"
ok "and the large file" cmp "$T/big" "$MNT/big"

# ---- the daemon dies ----

for i in {1..50}; do echo "$i" >"$MNT/f$i"; done
kill_daemon "$SERVING" "$MNT"
serve "$S" "$MNT" # at once: everybody can see that it is dead
same "what returned before the daemon was killed is there" "$(cat "$MNT"/f{1..50} | sort -n | md5sum)" "$(seq 50 | md5sum)"
one=$SERVING

# ---- the daemon is cut off ----

echo before >"$MNT/before"
(while echo line; do :; done >>"$MNT/lines") 2>"$T/writer" &
writer=$!
sleep 0.3
kill -STOP "$one"
sleep 3.5
serve "$S" "$T/mnt2"
two=$SERVING
same "who takes over has what was written" "$(cat "$T/mnt2/before")" before
lines=$(wc -l <"$T/mnt2/lines")
kill -CONT "$one"
wait_until 120 gone "$writer" || kill "$writer"
ok "the first one's users get errors" grep -q "rror" "$T/writer"
not "and can write nothing more" sh -c "echo x >'$MNT/after'"
same "nothing that it wrote afterwards is there" "$(wc -l <"$T/mnt2/lines") $(ls "$T/mnt2" | grep -c after)" "$lines 0"
ok "the new one writes" cp -r mount "$T/mnt2/"
"$SILTFS" umount "$MNT" >/dev/null 2>&1
ok "it is unmounted, too" "$SILTFS" umount "$T/mnt2"
same "the store is whole" "$("$SILTFS" fsck "$S" 2>&1 | tail -n 1)" "$S: clean"
# ---- a local cache ----

count() { python3 -c "import json; print(json.load(open('$MNT/.siltfs/stats.json'))['engine']['disk_cache_$1'])"; }
serve "$S" "$MNT" "cache=$T/cache,cache_size=64M"
cp -r tests/*.c "$T/big" "$MNT/" && ok "it is unmounted" "$SILTFS" umount "$MNT"
serve "$S" "$MNT" "cache=$T/cache,cache_size=64M"
ok "with a local cache a file that was written through it is read" cmp "$T/big" "$MNT/big"
ok "and small ones" cmp tests/test.c "$MNT/test.c"
ok "without asking the cluster for what is in them" test "$(count fetched_bytes)" -lt 1000000
ok "it is unmounted" "$SILTFS" umount "$MNT"
rm -rf "$T/cache"
serve "$S" "$MNT" "cache=$T/cache,cache_size=64M"
ok "the cache may be deleted" cmp "$T/big" "$MNT/big"
ok "then it is fetched" test "$(count fetched_bytes)" -gt 8000000
ok "it is unmounted" "$SILTFS" umount "$MNT"

# ---- snapshots ----

ok "an option is kept in the store" "$SILTFS" set "$S" memory=64M
serve "$S" "$MNT"
ok "... and its next mount has it" grep -qx memory=67108864 "$MNT/.siltfs/config"
ok "... until it is not to be kept" "$SILTFS" set "$MNT" memory=default
ok "a snapshot is made" "$SILTFS" snapshot create "$S" then
rm -r "$MNT/lsm"
mkdir "$T"/s{1..4}
for i in 1 2 3 4; do "$SILTFS" mount -o snapshot=then "$S" "$T/s$i" & wait="${wait:-} $!"; done
wait $wait
same "it is mounted many times at once" "$(grep -c " $T/s[1-4] fuse.siltfs ro" /proc/mounts)" 4
ok "it is what was there then" diff -r lsm "$T/s4/lsm"
says "one that is not there is told" 'has no snapshot "now"' "$SILTFS" mount -o snapshot=now "$S" "$T/mnt2"
says "one that is mounted is not deleted" "in use" "$SILTFS" snapshot delete "$S" then
for i in 1 2 3 4; do "$SILTFS" umount "$T/s$i"; done
ok "then it is" "$SILTFS" snapshot delete "$S" then
ok "the store is unmounted" "$SILTFS" umount "$MNT"

# ---- the README ----

README=$(realpath README.md)
PATH=$T/bin:$PATH walk "## On a Ceph cluster" "## What works"
ok "there was something to walk" [ $commands -ge 14 ]

# ---- carried ----

# namespace STORE : there are the objects of it.
stores() { rados -p silt ls --all 2>/dev/null | awk '$2 == "names" {print $1}' | sort; }
ok "a store is backed up on the cluster" "$SILTFS" backup "$S" rados:silt/backup first
stores >"$T/stores"
ok "and restored there" "$SILTFS" restore rados:silt/backup rados:silt/restored
same "and is whole" "$("$SILTFS" fsck rados:silt/restored 2>&1 | tail -n 1)" "rados:silt/restored: clean"
restored=$(stores | comm -13 "$T/stores" -)
if full; then
    . tests/rados_carry.sh
fi

# ---- objects of no file ----

for space in $(rados -p silt ls --all 2>/dev/null | awk '$2 == "names" {print $1}'); do
    echo x | rados -p silt -N "$space" put 0000000900000001.00000000 - 2>/dev/null
done
same "an object of no file is found" "$("$SILTFS" fsck "$S" 2>&1 | grep object)" "1 object of no file"
"$SILTFS" fsck --repair "$S" >/dev/null 2>&1
same "and removed" "$("$SILTFS" fsck "$S" 2>&1 | tail -n 1)" "$S: clean"
full || finish

# ---- who takes over dies while he does, and so does the next ----

KILLABLE=$(realpath "${B:-build}")/kill/siltfs
serve "$S" "$MNT"
one=$SERVING
echo a >"$MNT/opened"
exec 9>>"$MNT/opened"
kill -STOP "$one"
sleep 3.5
for point in taking-over took-over; do
    died=$(SILTFS_KILL=$point:1 "$KILLABLE" mount -f -o rados_lease=3 "$S" "$T/mnt2" 2>>"$T/log" || echo $?)
    same "who takes over dies ($point)" "$died" 137
done
kill -CONT "$one"
not "the first one is fenced all the same" python3 -c 'import os; os.write(9, b"late\n"); os.fsync(9)'
exec 9>&-
kill_daemon "$one" "$MNT"
serve "$S" "$T/mnt2"
same "what it wrote late is not there" "$(cat "$T/mnt2/opened")" a
ok "it is unmounted" "$SILTFS" umount "$T/mnt2"
same "the store is whole" "$("$SILTFS" fsck "$S" 2>&1 | tail -n 1)" "$S: clean"

# ---- parts of the cluster die ----

serve "$S" "$MNT"
one=$SERVING
(for i in {1..60}; do echo "$i" >"$MNT/o$i" || exit 1; sleep 0.1; done) &
writer=$!
sleep 1
kill -9 "${OSD_PID[1]}"
wait "${OSD_PID[1]}" 2>/dev/null
ok "an OSD is killed: who writes waits, and goes on" wait_until 120 gone "$writer"
rm -rf "$C/osd1" && mkdir "$C/osd1"
ceph-osd -c "$C/ceph.conf" -i 1 --mkfs --osd-uuid "$(ceph_do osd dump | awk '$1 == "osd.1" {print $NF}')" >>"$C/osd1.out" 2>&1
osd_start 1
(for i in {61..100}; do echo "$i" >"$MNT/o$i" || exit 1; sleep 0.1; done) &
writer=$!
sleep 1
kill -STOP "$MON_PID"
sleep 5
kill -CONT "$MON_PID"
ok "the monitor is stopped for a while: who writes goes on" wait_until 120 gone "$writer"
kill_daemon "$one" "$MNT"
serve "$S" "$MNT"
same "nothing is lost" "$(cat "$MNT"/o{1..100} | sort -n | md5sum)" "$(seq 100 | md5sum)"
ok "it is unmounted" "$SILTFS" umount "$MNT"

# ---- the engine's own tests ----

for t in test_env:appended_parts_are_read_back test_env:many_parts_are_one_append \
         test_env:names_are_renamed_linked_and_removed test_env:directory_is_renamed_with_what_is_in_it \
         test_env:open_file_outlives_its_name test_env:list_gives_every_name_until_told_to_stop \
         test_env:reads_and_syncs_run_beside_appends test_env:what_is_read_in_order_is_what_is_there \
         test_db_model: test_checkpoint: test_rados_hostile: test_rados_two: test_rados_stuck:; do
    case=${t#*:}
    ok "$t on RADOS" env TEST_RADOS=rados:silt ${case:+CHECK=posix_$case} timeout 300 "${B:-build}/tests/${t%:*}"
done
finish
