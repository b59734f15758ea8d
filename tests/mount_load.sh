#!/bin/bash
# Much at once, for long: 64 processes that call at random (tests/stress.h), 10,000 open
# files, a directory of a million names, writes all over a file of 100 GiB. No call fails
# or returns something else than was written; the daemon stays within its memory; it
# leaks nothing.
#
# In `make soak` half of its minutes (LOAD_SECONDS=n: others); in `make test` some
# seconds, a tenth of the processes and files, and a hundredth of the names.
. "$(dirname "$0")/mount_lib.sh"
STRESS=$(realpath "${B:-build}")/tests/tool_stress
LEAKY=$(realpath "${B:-build}")/asan/siltfs

# What the daemon may have: the budget, so much for each inode that the kernel knew at a
# time (fs/DESIGN.md), and for itself (code, stacks, buffers of requests).
memory_mib=64 inode_bytes=336 itself_mib=48

rss_kib() { awk '/^RssAnon/ {print $2}' "/proc/$1/status"; }
threads() { ls "/proc/$1/task" | wc -l; }
live_inodes() { "$SILTFS" stats --json "$MNT" | grep -oE '"live_inodes": *[0-9]+' | grep -oE '[0-9]+'; }

# within PID [HOLES] : now? Remembers the greatest of each. HOLES: so many KiB more.
within() {
    local rss live bound holes=${2:-0}
    live=$(live_inodes) || return 0 # it is going
    rss=$(rss_kib "$1") || return 0
    [ "$rss" -gt "$most_rss" ] && most_rss=$rss
    [ "$live" -gt "$most_live" ] && most_live=$live
    # Of the most there were: what is forgotten here and there leaves holes, for others.
    bound=$(((memory_mib + itself_mib) * 1024 + most_live * inode_bytes / 1024 + holes))
    [ "$rss" -le $bound ] ||
        fail "memory is bounded" "$rss KiB with $most_live inodes, more than $bound"
}

# run NAME COMMAND... : beside us. The shell forgets how those ended whom it has not waited
# for in time, so it is written down.
run() {
    local name=$1
    shift
    rm -f "$T/$name.ended"
    (
        "$@" >"$T/$name.said" 2>&1
        echo $? >"$T/$name.ended"
    ) &
    jobs+=("$name")
}

# ended NAME : well; its operations are counted.
ended() {
    [ "$(cat "$T/$1.ended")" = 0 ] || fail "$1" "$(cat "$T/$1.said")"
    operations=$((operations + $(sed -n 's/^operations //p' "$T/$1.said" | head -n 1)))
}

# watch_until_all_end : of jobs.
watch_until_all_end() {
    local i
    for i in "${jobs[@]}"; do
        until [ -f "$T/$i.ended" ]; do
            within "$pid"
            sleep 0.5
        done
        ended "$i"
    done
    jobs=()
}

# much_at_once SEED SECONDS
much_at_once() {
    local seconds=$2 processes=64 files=10000 names=1000000 left pid jobs=() i before=$failed
    local holes idle
    most_rss=0 most_live=0
    if [ -z "${SOAK:-}" ]; then
        processes=8 files=1000 names=10000
    elif [ -n "${LOAD_SECONDS:-}" ]; then
        seconds=$LOAD_SECONDS
    elif [ -n "${SOAK_MINUTES:-}" ]; then
        left=$((SOAK_END - $(date +%s)))
        seconds=$((SOAK_MINUTES * 30))
        [ $seconds -le $left ] || seconds=$((left > $2 ? left : $2))
    fi
    fresh -o memory=${memory_mib}M || { fail "a fresh store mounts"; return; }
    pid=$(daemon_pid)
    idle=$(threads "$pid")
    rm -f "$T/state"
    "$STRESS" init "$T/state" "$MNT" $processes 4 || { fail "init"; return; }
    for i in 0 1 2 3; do
        run fill$i python3 tests/load.py fill "$MNT/entries" $names $i 4
    done
    watch_until_all_end
    run calls "$STRESS" load "$T/state" "$MNT" "$seconds" "$1" $processes
    for i in "files $MNT/files $files" "entries $MNT/entries $names" "sparse $MNT/sparse 100"; do
        run "${i%% *}" python3 tests/load.py $i "$seconds" "$1"
    done
    watch_until_all_end
    [ $failed = $before ] || return
    ok "all is as expected" "$STRESS" check "$T/state" "$MNT"

    # Walking over it makes the kernel know all; it gives back what it is told to forget.
    same "find sees every name" $(($(find "$MNT/entries" -newermt 2000-01-01 | wc -l) > names / 2)) 1
    within "$pid"
    echo "SAW at most $((most_rss / 1024)) MiB, with $most_live inodes"
    if drop_caches 2; then
        forgotten() { [ "$(live_inodes)" -lt 20000 ]; }
        ok "the kernel forgets" wait_until 120 forgotten
        # A tenth stays: malloc gives back whole pages, and there is something of another
        # kind in some.
        holes=$((most_live * inode_bytes / 10240))
        given_back() { [ "$(rss_kib "$pid")" -le $(((memory_mib + itself_mib) * 1024 + holes)) ]; }
        wait_until 120 given_back # fs/lazy.c has a thread for it
        most_live=$(live_inodes)
        within "$pid" $holes
        echo "SAW after the kernel forgot $(($(rss_kib "$pid") / 1024)) MiB with $(live_inodes) inodes"
    fi
    # One in reserve, one for a lone client, one for a second.
    few_threads() { [ "$(threads "$pid")" -le $((idle + 3)) ]; }
    ok "threads that nobody needs end" wait_until 120 few_threads
    down
    ok "fsck is clean" "$SILTFS" fsck "$STORE"
    ok "mount" "$SILTFS" mount "$STORE" "$MNT"
    ok "all is as expected after a new mount" "$STRESS" check "$T/state" "$MNT" clean
    down
}

# leaks SEED SECONDS : the daemon under LeakSanitizer, ended by umount and by SIGTERM.
leaks() {
    local pid load end opts jobs
    # libfuse keeps its copy of the mount point until fuse_session_unmount, which must not
    # be called (session.c); a few bytes, once.
    echo "leak:fuse_session_mount" >"$T/known"
    rm -rf "$STORE" "$T/state"
    mkdir -p "$MNT"
    "$SILTFS" mkfs "$STORE"
    for end in umount TERM; do
        for opts in memory=4M,memtable=256K noatime; do
            LSAN_OPTIONS=suppressions=$T/known:print_suppressions=0 \
                "$LEAKY" mount -f "$STORE" "$MNT" -o $opts 2>"$T/log" &
            pid=$!
            "$STRESS" wait $pid "$MNT" || fail "mount" "$(cat "$T/log")"
            [ -f "$T/state" ] || "$STRESS" init "$T/state" "$MNT" 8 3
            ok "all is as expected" "$STRESS" check "$T/state" "$MNT"
            jobs=()
            run calls "$STRESS" load "$T/state" "$MNT" $(($2 / 4 + 1)) "$1"
            load=$!
            if [ $end = TERM ]; then
                sleep $(($2 / 4 + 1))
                kill -TERM $pid
                wait $load
            else
                wait $load
                ended calls
                down
            fi
            wait $pid
            same "the daemon ends well by $end, nothing leaked" "$? $(grep -v detaching "$T/log")" "0 "
        done
    done
    ok "fsck is clean" "$SILTFS" fsck "$STORE"
}

load 3 much_at_once
[ -x "$LEAKY" ] || [ -z "${SOAK:-}" ] || fail "$LEAKY is not built"
[ -x "$LEAKY" ] && [ $failed = 0 ] && load 0 leaks
finish
