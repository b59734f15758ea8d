#!/bin/bash
# siltfs du: what directories hold, beside what du(1) says.
. "$(dirname "$0")/mount_lib.sh"

fresh || { fail "a fresh store mounts"; finish; }
mkdir -p "$MNT/a/b/c" "$MNT/a/d e" "$MNT/empty"
head -c 300000 /dev/urandom >"$MNT/a/b/noise"
head -c 1000000 /dev/zero >"$MNT/a/b/c/zeros"
printf 12345 >"$MNT/a/d e/small"
ln "$MNT/a/b/noise" "$MNT/a/d e/link"
ln -s 1234567 "$MNT/a/symlink"
truncate -s 1G "$MNT/a/hole"
for i in $(seq 50); do echo "$i" >"$MNT/a/b/c/$i"; done

# PATH BYTES FILES of each line
told() { "$SILTFS" du -b "$@" | awk 'NR > 1 { n = $1; f = $3; sub(/^ *[0-9]+ +[0-9]+ +[0-9]+  /, ""); print $0, n, f }'; }
# the same by a walk
walked() {
    find "$1" -mindepth 1 -printf '%i %y %b %s\n' | sort -u | awk -v p="$1" '
        { f++; if ($2 == "f") n += $3 * 512; if ($2 == "l") n += $4 } END { print p, n + 0, f + 0 }'
}
stored() { "$SILTFS" du -sb "$1" | awk 'NR == 2 { print $2 }'; }
near() { read -r _ b f <<<"$(told -s "$1")"; read -r _ c g <<<"$(walked "$1")"; [ $((c - b)) -ge 0 ] && [ $((c - b)) -lt $((512 * f + 1)) ] && [ "$f" = "$g" ]; }

same "each directory has a line, its own last" "$(told "$MNT/a" | sed 's/ [0-9]* [0-9]*$//')" \
    "$(printf '%s\n' "$MNT/a/b/c" "$MNT/a/b" "$MNT/a/d e" "$MNT/a")"
same "bytes and files" "$(told "$MNT/a/b/c")" "$MNT/a/b/c $((1000000 + 9 * 2 + 41 * 3)) 51"
same "of a file" "$(told "$MNT/a/b/noise")" "$MNT/a/b/noise 300000 1"
same "of a hole" "$(told "$MNT/a/hole")" "$MNT/a/hole 0 1"
same "of nothing" "$(told "$MNT/empty")" "$MNT/empty 0 0"
same "a file of two names counts once" "$(told -s "$MNT/a/b" "$MNT/a" | awk '{ print $2 }' | paste -sd ' ')" \
    "$((1300000 + 9 * 2 + 41 * 3)) $((1300000 + 9 * 2 + 41 * 3 + 5 + 7))"
ok "as a walk finds" near "$MNT/a"
ok "of all" near "$MNT"
same "without a path, here" "$(cd "$MNT/a" && told -s)" "$(told -s "$MNT/a" | sed "s|^$MNT/a|.|")"
ok "noise takes what it is" test "$(stored "$MNT/a/b/noise")" -ge 300000
ok "zeros take little" test "$(stored "$MNT/a/b/c/zeros")" -lt 100000
same "for people" "$("$SILTFS" du -s "$MNT/a/b/noise" | awk 'NR == 2 { print $1, $3 }')" "293K 1"
before=$(told "$MNT" | sed "s|^$MNT||")
ok "unmount" "$SILTFS" umount "$MNT"
same "of a store at rest, the same" "$(told "$STORE:/" | sed "s|^$STORE:/ | |; s|^$STORE:||")" "$before"
same "of a part of it" "$(told -s "$STORE:/a/d e" | sed 's/.* \([0-9]* [0-9]*\)$/\1/')" "300005 2"

says "no such option" "usage: siltfs du" "$SILTFS" du -x "$STORE:/"
says "no such path" "No such file" "$SILTFS" du "$STORE:/nowhere"
says "no such store" "nowhere" "$SILTFS" du "$T/nowhere:/"
says "no such directory" "No such file" "$SILTFS" du "$T/nowhere"
says "not a siltfs" "not in a siltfs mount" "$SILTFS" du "$T"
ok "mount" "$SILTFS" mount "$STORE" "$MNT"
says "the control directory" "control directory" "$SILTFS" du "$MNT/.siltfs"
same "by the store's name, mounted" "$(told -s "$STORE:/a" | awk '{ print $(NF - 1), $NF }')" "$(told -s "$MNT/a" | awk '{ print $(NF - 1), $NF }')"

# More lines than a daemon keeps for one who does not read in time.
python3 - "$MNT" <<'END'
import os, sys
os.chdir(sys.argv[1])
for i in range(15):
    os.mkdir("d" * 250)
    os.chdir("d" * 250)
for i in range(5000):
    os.mkdir(str(i))
END
lines=$(find "$MNT" -type d | wc -l)
ok "a slow reader gets all lines" bash -c "set -o pipefail; '$SILTFS' du '$MNT' | (sleep 0.3; tail -n +2) | wc -l | grep -qx $lines"
"$SILTFS" du "$MNT" 2>"$T/said" | (sleep 0.3; exec <&-) # one who goes away meanwhile
ok "unmount" "$SILTFS" umount "$MNT"
finish
