#!/bin/bash
# The daemon is killed at random moments and at named points in the code (lsm/kill.h),
# under a random load (tests/stress.h). Then: what was acknowledged is there, the calls in
# flight happened wholly or not at all, nothing else changed, and nothing needs repair.
#
# SEED=n repeats the choice of options, points and moments (not the threads' timing);
# POINT=name:n tries one place again and again; KEEP=directory gets a store, and the state
# that was expected of it, when something is wrong.
. "$(dirname "$0")/mount_lib.sh"
KILLABLE=$(realpath "${B:-build}")/kill/siltfs
STRESS=$(realpath "${B:-build}")/tests/tool_stress
[ -x "$KILLABLE" ] || { echo "$KILLABLE is not built: make build/kill/siltfs"; exit 1; }

mapfile -t points < <(grep -rhoE 'KILL_POINT\("[a-z-]+"\)' lsm fs mount --include='*.c' --exclude='env_rados*' | grep -oE '[a-z-]+' | sort)
# The options that are tried, by turns at random; OPTIONS=... : those alone.
options=(
    ""
    "memory=4M,memtable=256K"
    "memory=8M,memtable=512K,strategy=tiered,sync_interval=0.5"
    "writeback"
    "writeback,memory=4M,memtable=256K,compression=none"
)
[ -n "${OPTIONS+x}" ] && options=("$OPTIONS")
workers=8 shared=3
kills=0 compared=0 compared_bytes=0 in_flight=0 happened=0
declare -A killed_at reach
# Places that are passed all the time: let some load go by first.
for p in log-written value-written operation-done; do reach[$p]=3000; done

mkdir "$MNT"

# start [POINT:N] : a daemon in the foreground, ready; 1: it died before.
start() {
    # As if a sync had failed before: what is in it says nothing (lsm/doubt.h).
    [ $((RANDOM % 4)) = 0 ] && : >"$STORE/DOUBT"
    if [ -n "${KEEP:-}" ]; then # before it is recovered
        rm -rf "$T/crashed" && mkdir "$T/crashed" && cp -a "$STORE" "$T/crashed"
        [ -f "$T/state" ] && cp --sparse=always "$T/state" "$T/crashed"
    fi
    # In a shell of its own, which says "Killed" where nobody minds.
    (SILTFS_KILL=${1:-} "$KILLABLE" mount -f "$STORE" "$MNT" ${opts:+-o "$opts"}
     exit $?) 2>>"$T/daemon.log" &
    pid=$!
    "$STRESS" wait $pid "$MNT"
}

# keep : what a failure left, for who wants to look.
keep() {
    [ -z "${KEEP:-}" ] && return
    rm -rf "$KEEP" && mkdir -p "$KEEP" && cp -a "$T/crashed" "$STORE" "$T/state" "$T/said" "$KEEP"
    echo "the store and the state expected of it are in $KEEP"
}

# wrong MESSAGE : with what the programs said.
wrong() {
    fail "$1 (options \"$opts\", ${arm:-a random moment})" "$(cat "$T/said")" \
        "$(tail -n 5 "$T/daemon.log")"
    keep
    umount -l "$MNT" 2>/dev/null
    return 1
}

# died : the daemon has ended: by our kill?
died() {
    local status
    wait "$pid" 2>/dev/null
    status=$?
    [ $status = 137 ] || { wrong "the daemon ended with $status, not by a kill"; return 1; }
    kills=$((kills + 1)) crashes=$((crashes + 1))
    if [ -n "$arm" ]; then # it can be reached: next time later
        killed_at[${arm%:*}]=$((${killed_at[${arm%:*}]:-0} + 1))
        reach[${arm%:*}]=$((${reach[${arm%:*}]:-2} * 2))
        [ ${reach[${arm%:*}]} -le 20000 ] || reach[${arm%:*}]=20000
    fi
    clean=
}

# compare : with what is expected; 3: the daemon died meanwhile.
compare() {
    local status
    "$STRESS" check "$T/state" "$MNT" $clean $was_writeback >"$T/said" 2>&1
    status=$?
    if [ $status = 0 ]; then
        read -r _ a _ b _ c _ _ d _ < <(tail -n 1 "$T/said")
        compared=$((compared + a)) compared_bytes=$((compared_bytes + b))
        in_flight=$((in_flight + c)) happened=$((happened + d))
    fi
    return $status
}

# up : mounted and as expected, whatever kills the armed daemon on the way.
up() {
    start "$arm"
    if [ $? != 0 ]; then
        died || return 1
        start || { wrong "no mount after a death during the mount"; return 1; }
    fi
    compare
    case $? in
    0) return 0 ;;
    3)  died || return 1
        start || { wrong "no mount after a death during the comparison"; return 1; }
        compare && return 0 ;;
    esac
    wrong "the tree is not as it was when the daemon died"
}

# one_life : up, a load, an end of one kind or another.
one_life() {
    local load status wb= number=$((RANDOM + kills))
    case $opts in *writeback*) wb=writeback ;; esac
    up || return 1
    was_writeback=$wb
    "$STRESS" load "$T/state" "$MNT" $((RANDOM % 4 ? 1 : 3)) $number $workers $wb >"$T/said" 2>&1 &
    load=$!
    if [ -z "$arm" ]; then
        sleep "0.$(printf %03d $((RANDOM % 1000)))"
        kill -"$signal" "$(daemon_pid)"
    fi
    wait $load
    status=$?
    operations=$((operations + $(sed -n 's/^operations //p' "$T/said")))
    case $status in
    0)  down
        clean=clean
        wait "$pid"
        case $? in
        0)  # Never came there, or not so often.
            [ -z "$arm" ] || reach[${arm%:*}]=$(((${reach[${arm%:*}]:-2} + 2) / 3)) ;;
        137) died ;;
        *)  wrong "the daemon fails when it is unmounted" ;;
        esac ;;
    3)  [ "$signal" = KILL ] || { ended; return; }
        died ;;
    *)  wrong "a call went wrong, or hangs" ;;
    esac
}

# ended : by SIGTERM, in the middle of the load.
ended() {
    wait "$pid"
    same "SIGTERM under load ends well" $? 0
    same "... and leaves nothing to recover" \
        "$("$SILTFS" stats "$STORE" | grep -c 'recovery: 0 logs, 0 batches')" 1
    clean=
}

new_store() {
    rm -rf "$STORE" "$T/state"
    opts= arm= clean= was_writeback=
    "$SILTFS" mkfs "$STORE" && start &&
        "$STRESS" init "$T/state" "$MNT" $workers $shared || { fail "a fresh store mounts"; return 1; }
    down
    wait "$pid"
}

# lives SEED SECONDS WHICH LEAST : at least that many kills in one store; each life has a
# point by turns, or a random moment.
lives() {
    local end=$((SECONDS + $2)) i=0 first=$kills n before=$failed
    RANDOM=$(($1 % 32768))
    new_store || return
    mapfile -t turn < <(printf '%s\n' "${points[@]}" | shuf --random-source=<(yes "$1"))
    while [ $SECONDS -lt $end ] || [ $((kills - first)) -lt "$4" ]; do
        opts=${options[$((RANDOM % ${#options[@]}))]} signal=KILL arm=
        if [ "$3" = points ]; then
            p=${turn[$((i % ${#turn[@]}))]}
            n=${reach[$p]:-2}
            arm=$p:$((RANDOM % (n > 0 ? n : 1) + 1))
            [ -n "${POINT:-}" ] && arm=$POINT
        elif [ $((RANDOM % 8)) = 0 ]; then
            signal=TERM
        fi
        one_life
        [ $failed -gt $before ] && return
        i=$((i + 1))
        [ $((i % 4)) = 0 ] && ok "fsck of the crashed store is clean" "$SILTFS" fsck "$STORE"
        [ $i -gt 2000 ] && { fail "$((kills - first)) kills in $i lives"; return; }
    done
    opts= arm=
    up || return
    down
    wait "$pid"
    ok "fsck is clean" "$SILTFS" fsck "$STORE"
    ok "verify is clean" "$SILTFS" verify "$STORE"
}

if [ -n "${SOAK:-}" ]; then least=110; else least=5; fi
at_points() { lives "$1" "$2" points $least; }
at_random() { lives "$1" "$2" random $least; }
load 2 at_points
load 2 at_random
echo "$kills kills, $compared files and $((compared_bytes >> 20)) MiB compared; of $in_flight" \
    "calls in flight $happened had happened"
for p in "${points[@]}"; do
    [ -n "${killed_at[$p]:-}" ] && echo "${killed_at[$p]} at $p"
done | sort -rn | paste -sd, | sed 's/^/at points: /; s/,/, /g'
loads_done

# ---- a mkfs that is killed ----

died=0
for p in "${points[@]}"; do
    rm -rf "$T/new"
    (SILTFS_KILL=$p:1 "$KILLABLE" mkfs "$T/new"; exit $?) 2>/dev/null
    [ $? = 137 ] || continue
    died=$((died + 1))
    # It had come to its end, or it can be made again.
    "$SILTFS" mkfs "$T/new" >"$T/said" 2>&1 || grep -q "holds a store already" "$T/said" ||
        fail "mkfs after one that was killed at $p" "$(cat "$T/said")"
    ok "there is a filesystem after a mkfs that was killed at $p" "$SILTFS" fsck "$T/new"
done
same "mkfs was killed at more than 20 places" $((died > 20)) 1
rm -rf "$T/new"

# ---- umount while the daemon dies ----

opts= arm= clean=
rm -rf "$STORE"
"$SILTFS" mkfs "$STORE" && start close-sealed:1 && echo kept >"$MNT/file"
says "umount tells of a daemon that died while it closed the store" "died while it closed" \
    "$SILTFS" umount "$MNT"
start || fail "the next mount"
same "... and the next mount has all" "$(cat "$MNT/file")" kept
ok "... umount" "$SILTFS" umount "$MNT"

# ---- a place that random calls do not come to ----

# Logs are recycled when memtables are full of keys, not of pointers to values.
opts=memory=4M,memtable=256K
start log-recycled:3 || fail "mount"
made=$(python3 -c '
import os, sys
n = 0
try:
    while n < 200000:
        os.mknod("%s/many-%06d" % (sys.argv[1], n))
        n += 1
except OSError: pass
print(n)' "$MNT")
[ "$made" -lt 200000 ] || down
wait "$pid"
same "the daemon dies while it recycles a log" $? 137
opts=
start || fail "mount after it"
there=$(ls "$MNT" | grep -c many-)
same "all $made files made before are there, at most one more" $((there == made || there == made + 1)) 1
ok "unmount" "$SILTFS" umount "$MNT"
ok "fsck is clean" "$SILTFS" fsck "$STORE"

# ---- who has files open when the daemon dies ----

# survivor : has files of the mount open, waits for the deaths, and tells what it can do.
cat >"$T/survivor" <<'END'
import errno, os, sys
mnt = sys.argv[1]
os.chdir(mnt)
f = os.open("f", os.O_RDWR)
os.posix_fadvise(f, 1 << 20, 1 << 20, os.POSIX_FADV_DONTNEED)
d = os.open(".", os.O_RDONLY)
def can(what, call):
    try: print(what, call())
    except OSError as e: print(what, errno.errorcode[e.errno])
print("ready", flush=True)
sys.stdin.readline()
can("write", lambda: os.pwrite(f, b"x", 0))
can("read", lambda: len(os.pread(f, 10, 1 << 20)))
can("truncate", lambda: os.ftruncate(f, 0))
can("fsync", lambda: os.fsync(f))
can("create", lambda: os.open("new", os.O_CREAT))
can("unlink", lambda: os.unlink("f"))
can("list", lambda: len(os.listdir(d)))
END
"$SILTFS" mount "$STORE" "$MNT"
head -c 3000000 /dev/urandom >"$MNT/f"
cp "$MNT/f" "$T/f"
remount
coproc python3 "$T/survivor" "$MNT"
exec {from}<&"${COPROC[0]}" {to}>&"${COPROC[1]}" # which bash forgets when it ends
read -r ready <&"$from"
kill -9 "$(daemon_pid)"
wait_until 120 sh -c "! stat -f '$MNT' 2>/dev/null" || fail "the mount is dead"
stat "$MNT" >/dev/null 2>&1 # the kernel may answer this from what it remembers
ok "a new mount clears the dead one, though somebody is in it" "$SILTFS" mount "$STORE" "$MNT"
echo >&"$to"
told=$(timeout 120 cat <&"$from")
exec {from}<&- {to}>&-
same "who had files open gets errors for all that asks the daemon" "$(xargs <<<"$told")" \
    "write ENOTCONN read ENOTCONN truncate ENOTCONN fsync ENOTCONN create ENOTCONN unlink ENOTCONN list ENOTCONN"
ok "and nothing of it reached the new mount" cmp "$MNT/f" "$T/f"
mkdir "$T/crowd"
says "a second mount of the store elsewhere is refused" "in use: mounted on" \
    "$SILTFS" mount "$STORE" "$T/crowd"
says "... and at the same place" "already mounted on" "$SILTFS" mount "$STORE" "$MNT"

# ---- a program that copies a tree; the product itself, as a daemon ----

mkdir "$MNT/copy"
stdbuf -oL cp -av /usr/include "$MNT/copy" >"$T/log" 2>/dev/null &
copier=$!
copied() { [ -f "$T/log" ] && [ "$(wc -l <"$T/log")" -gt 500 ]; }
wait_until 120 copied
finished=$(($(wc -l <"$T/log") - 1)) # cp names a file before it copies it
kill -9 "$(daemon_pid)"
wait $copier
for i in 1 2 3; do # and while it recovers
    "$SILTFS" mount -f "$STORE" "$MNT" >/dev/null 2>&1 &
    pid=$!
    sleep "0.0$((RANDOM % 9 + 1))"
    kill -9 $pid
    wait $pid 2>/dev/null
done
ok "fsck is clean after kills under cp and during three mounts" "$SILTFS" fsck "$STORE"
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
bad=$(head -n $finished "$T/log" | sed -n "s/^'\(.*\)' -> '\(.*\)'\$/\1\t\2/p" |
    while IFS=$'\t' read -r from dest; do
        if [ -h "$from" ]; then [ "$(readlink "$from")" = "$(readlink "$dest")" ] || echo "$dest"
        elif [ -f "$from" ]; then cmp -s "$from" "$dest" || echo "$dest"
        else [ -d "$dest" ] || echo "$dest"; fi
    done)
same "the $finished things that cp had copied are whole" "$bad" ""
ok "unmount" "$SILTFS" umount "$MNT"
ok "fsck is clean" "$SILTFS" fsck "$STORE"
finish
