# What the tests of real mounts share; a script sources it and ends with `finish`.
#
# It has $SILTFS, a scratch directory $T with $STORE and $MNT in it (neither
# made), and counts what is asserted. Whatever is mounted below $T is unmounted
# in the end, the daemons of stores below $T are killed, and $T is removed.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
SILTFS=$(realpath "${B:-build}")/siltfs
NAME=$(basename "$0" .sh)
T=$(mktemp -d "/tmp/siltfs-$NAME-XXXXXX") || exit 1
T=$(realpath "$T")
STORE=$T/store
MNT=$T/mnt
passed=0 failed=0 skipped=0

[ -x "$SILTFS" ] || { echo "$SILTFS is not built"; exit 1; }

# ---- assertions: a message that states the fact, and how to see it ----

pass() { passed=$((passed + 1)); }

# fail MESSAGE [DETAIL...] : LINES_SHOWN=n lines of it (20)
fail() {
    failed=$((failed + 1))
    echo "FAILED: $1"
    shift
    [ $# -gt 0 ] && printf '%s\n' "$@" | head -n ${LINES_SHOWN:-20} | sed 's/^/    /'
    return 1
}

# ok MESSAGE COMMAND... : the command succeeds.
ok() {
    local message=$1 out
    shift
    if out=$("$@" 2>&1); then pass; else fail "$message" "status $?: $*" "$out"; fi
}

# not MESSAGE COMMAND... : it does not.
not() {
    local message=$1 out
    shift
    if out=$("$@" 2>&1); then fail "$message" "succeeded: $*" "$out"; else pass; fi
}

# same MESSAGE GOT WANT
same() {
    if [ "$2" = "$3" ]; then pass; else fail "$1" "got:  $2" "want: $3"; fi
}

# says MESSAGE PATTERN COMMAND... : fails, with one line on stderr, which begins
# with "siltfs: " and matches the pattern, and nothing on stdout.
says() {
    local message=$1 pattern=$2 status out err
    shift 2
    out=$(timeout 300 "$@" 2>"$T/.stderr" </dev/null)
    status=$?
    err=$(cat "$T/.stderr")
    if [ $status -eq 0 ] || [ $status -eq 124 ]; then
        fail "$message" "status $status: $*" "$err"
    elif [ "$(wc -l <"$T/.stderr")" != 1 ] || [ -n "$out" ]; then
        fail "$message" "not one line on stderr alone: $*" "stderr: $err" "stdout: $out"
    elif ! grep -qE "^siltfs: .*($pattern)" "$T/.stderr"; then
        fail "$message" "$*" "does not match $pattern:" "$err"
    else
        pass
    fi
}

skip() { skipped=$((skipped + 1)); echo "skipped: $*"; }

finish() {
    local more=
    [ $skipped -gt 0 ] && more=", $skipped skipped"
    echo "COUNT $passed passed, $failed failed$more"
    [ $failed -eq 0 ]
    exit
}

# ---- loads: what could go on for ever ----

# load SECONDS FUNCTION : rounds of FUNCTION SEED SECONDS_LEFT, at least one, for so many
# seconds in `make test` (0: not there), for SOAK_SECONDS in `make soak`, until one adds to
# $failed. The first has $SEED of the environment, if that is given, every further one a new
# seed. FUNCTION adds what it did to $operations and $crashes. A script of loads has `load`
# at the beginning of lines, so that tests/soak finds it, and `loads_done` after the last.
load() {
    local seconds=${SOAK:+${SOAK_SECONDS:-20}} end rounds=0 before=$failed
    seconds=${seconds:-$1}
    [ "$seconds" -gt 0 ] || return 0
    operations=0 crashes=0 end=$((SECONDS + seconds))
    seed=${SEED:-$(date +%N | sed 's/^0*//')}
    [ -n "${loads:-}" ] || echo "SEED=$seed"
    loads=yes
    while [ $rounds -eq 0 ] || { [ $SECONDS -lt $end ] && [ $rounds -lt "${ROUNDS:-1000000}" ]; }; do
        [ $rounds -eq 0 ] || seed=$((seed + 1000003))
        rounds=$((rounds + 1))
        "$2" $seed $((SECONDS < end ? end - SECONDS : 1))
        if [ $failed -gt $before ]; then
            echo "$2 failed in the round of SEED=$seed (ROUNDS=1 repeats it)"
            break
        fi
    done
    echo "SOAK rounds $rounds, option sets 0, operations $operations, crashes $crashes: $2"
}

# What follows is no load: not for `make soak`.
loads_done() { [ -z "${SOAK:-}" ] || finish; }

# ---- stores and mounts ----

daemon_pid() { head -n 1 "${1:-$STORE}/LOCK"; }

# The kernel's caches are everybody's: who empties them waits for those whose tests rely on
# them, between keep_caches and let_caches_go.
CACHES=/tmp/siltfs-test-caches.lock
keep_caches() { exec 6>>"$CACHES" && flock -s 6; }
let_caches_go() { exec 6>&-; }
# drop_clean_caches 1|2|3 : of pages, of names and inodes, of both. Fails when that is not
# allowed. (large_dir.py does the same.)
drop_clean_caches() { { flock 6 && echo "$1" >/proc/sys/vm/drop_caches; } 6>>"$CACHES" 2>/dev/null; }
drop_caches() { sync && drop_clean_caches "$1"; }

# Alive, and not just waiting for its parent to take note of its death.
alive() {
    local state
    state=$(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) || return 1
    [ -n "$state" ] && [ "$state" != Z ] && [ "$state" != X ]
}

# wait_until SECONDS COMMAND... : the seconds are counted in tries: a machine that stood
# still for a while was not asked for nothing. Two minutes for what is asserted: how soon it
# comes is up to the machine; no test sleeps and then takes it that something has happened.
wait_until() {
    local tries=$(($1 * 20))
    shift
    until "$@"; do
        [ $((tries -= 1)) -gt 0 ] || return 1
        sleep 0.05
    done
}

gone() { ! alive "$1"; }
mounted() { grep -q " ${1:-$MNT} fuse.siltfs " /proc/mounts; }
unmounted() { ! mounted "$@"; }

# A fresh store, mounted, with the options given.
fresh() {
    rm -rf "$STORE"
    mkdir -p "$MNT"
    "$SILTFS" mkfs "$STORE" && "$SILTFS" mount "$STORE" "$MNT" "$@"
}

remount() { "$SILTFS" umount "$MNT" && "$SILTFS" mount "$STORE" "$MNT" "$@"; }

# down : unmount, again when somebody who looks at all mounts of the machine (df) is in it
# just now. What is said goes to $T/said.
down() {
    local end=$((SECONDS + 120))
    until "$SILTFS" umount "$MNT" >>"$T/said" 2>&1 || unmounted; do
        [ $SECONDS -lt $end ] || { fail "unmount" "$(tail -n 3 "$T/said")"; return; }
        sleep 0.1
    done
}

# Checksums, names and modes of everything in a store. What LOCK holds is no
# part of it.
fingerprint() {
    (cd "${1:-$STORE}" 2>/dev/null || exit
     find . ! -name LOCK -printf '%P %y %m %s\n' | sort
     find . -type f ! -name LOCK -print0 | sort -z | xargs -0 -r sha256sum)
}

# Type, mode, owner, size, time, link of everything below a directory.
describe() {
    (cd "$1" && find . -mindepth 1 ! -type d -printf '%P %y %m %U:%G %s %T@ %l\n' \
        -o -mindepth 1 -type d -printf '%P d %m %U:%G %T@\n' | LC_ALL=C sort)
}

# as_user UID COMMAND... : as another user, of the group with that number only.
as_user() {
    local uid=$1
    shift
    setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs "$@"
}

# twin MESSAGE SCRIPT : the script, run in a new directory of the mount and in one of the
# host's filesystem, prints the same, if that is ext4. What it printed on the mount stays in
# $said. The functions above are there, and what $TWIN_LIB defines.
twin() {
    local host
    rm -rf "$MNT/twin" "$T/host"
    mkdir -m 777 "$MNT/twin" "$T/host"
    said=$(cd "$MNT/twin" && eval "${TWIN_LIB:-}" && eval "$2" 2>&1)
    if [ "$(stat -f -c %T "$T")" != ext2/ext3 ]; then
        skip "$1: $T is not on ext4"
        return
    fi
    host=$(cd "$T/host" && eval "${TWIN_LIB:-}" && eval "$2" 2>&1)
    if [ -z "$host" ]; then
        fail "$1" "prints nothing"
    elif [ "$said" = "$host" ]; then
        pass
    else
        fail "$1" "$(diff <(echo "$host") <(echo "$said") | sed 's/^</ext4  /; s/^>/siltfs/')"
    fi
}

# facts SCRIPT [PART...] : what tests/SCRIPT (see facts.py) says of a new directory of the mount.
facts() {
    local said
    rm -rf "$MNT/facts"
    mkdir -m 777 "$MNT/facts"
    said=$(cd "$MNT/facts" && PYTHONDONTWRITEBYTECODE=1 python3 "$OLDPWD/tests/$1" "${@:2}" 2>&1)
    passed=$((passed + $(grep -c '^ok ' <<<"$said")))
    if grep -q '^FAILED: ' <<<"$said" || ! grep -q '^ok ' <<<"$said"; then
        failed=$((failed + $(grep -c '^FAILED: ' <<<"$said")))
        grep -v '^ok ' <<<"$said"
        grep -q '^FAILED: ' <<<"$said" || fail "$1 ${*:2} says nothing"
    fi
    rm -rf "$MNT/facts"
}

# walk HEADING NEXT : the commands of README.md between the two, each "    $ COMMAND" with
# what it says below, word for word but for numbers: with their units they are N, and runs of
# blanks one. Commands name stores by their paths, the README by their names. $commands
# counts them. In $T, with siltfs in $PATH.
alike() { sed -E "s|$T/||g; s/[0-9][0-9.:-]*[KMGB]?/N/g; s/[ \t]+/ /g; s/ $//"; }
walk_one() {
    [ -n "$command" ] || return
    commands=$((commands + 1))
    out=$(timeout 300 bash -c "$command" 2>&1)
    same "\$ $command" "$(alike <<<"$out")" "$(alike <<<"$want")"
}
walk() {
    local command= want= out line here=$PWD
    commands=0
    mkdir -p "$T/bin" && ln -sf "$SILTFS" "$T/bin/siltfs"
    cd "$T" || exit 1
    while IFS= read -r line; do
        case $line in
        '    $ '*) walk_one; command=${line#'    $ '} want= ;;
        '    '*) want=$want${want:+$'\n'}${line#'    '} ;;
        *) walk_one; command= want= ;;
        esac
    done < <(sed -n "/^$1/,/^$2/p" "$README")
    walk_one
    cd "$here" || exit 1
}

need() { # need PROGRAM PACKAGE: install it unless it is there
    command -v "$1" >/dev/null || sh tests/install "$2" || exit 1
}

clean_up() {
    local m lock pid
    exec </dev/null 7>&- 8>&- 9>&-
    cd /
    # The innermost first.
    grep -F " $T/" /proc/mounts | awk '{print $2}' | sort -r | while read -r m; do
        umount "$m" 2>/dev/null || umount -l "$m" 2>/dev/null || fusermount3 -u -z "$m"
    done
    find "$T" -maxdepth 3 -name LOCK -print0 2>/dev/null | while read -r -d '' lock; do
        pid=$(head -n 1 "$lock")
        # Only a siltfs that serves something of ours.
        if [ -n "$pid" ] && grep -qaF "$T/" "/proc/$pid/cmdline" 2>/dev/null; then
            wait_until 10 gone "$pid" || kill -9 "$pid"
        fi
    done
    rm -rf "$T"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
