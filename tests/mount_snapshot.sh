#!/bin/bash
# Snapshots, rollback and clones on real mounts.
. "$(dirname "$0")/mount_lib.sh"

B2=$T/mnt2
mkdir -p "$B2"
snap() { "$SILTFS" snapshot "$@"; }
names() { snap list "$1" | sed 1d | sed -E 's/^.{39}//' | paste -sd' '; }
# The content of a tree, but for inode numbers and times of access.
tree() { (cd "$1" && find . -mindepth 1 ! -path './.siltfs*' -printf '%P %y %m %U %G %n %T@ %l\n' | sort && find . -type f ! -path './.siltfs*' -print0 | sort -z | xargs -0 -r sha256sum); }

fresh || { fail "a fresh store mounts"; finish; }
BROWSE=$MNT/.siltfs/snapshots

# ---- made while mounted ----

same "there are none at first" "$(snap list "$MNT")" ""
ok "... and their directory is empty" [ -z "$(ls -A "$BROWSE")" ]
mkdir "$MNT/d" && cp lsm/*.h "$MNT/d/"
seq 1000 >"$MNT/numbers" && ln "$MNT/numbers" "$MNT/d/hard" && ln -s ../numbers "$MNT/d/soft"
head -c 300000 /dev/urandom >"$MNT/d/big" && truncate -s 8M "$MNT/d/sparse"
python3 -c "import os; os.setxattr('$MNT/numbers', 'user.color', b'blue')"
tree "$MNT" >"$T/first"
ok "a snapshot is made of a mount" snap create "$MNT" first
rm -r "$MNT/d" && echo other >"$MNT/numbers" && mkdir "$MNT/new"
ok "... and by the name of its store" snap create "$STORE" "second one"
tree "$MNT" >"$T/second"
same "they are listed, oldest first" "$(names "$MNT")" "first second one"
same "the first shows what was" "$(tree "$BROWSE/first")" "$(cat "$T/first")"
same "the second what is" "$(tree "$BROWSE/second one")" "$(cat "$T/second")"
same "attributes are there" "$(python3 -c "import os; print(os.getxattr('$BROWSE/first/numbers', 'user.color'))")" "b'blue'"
ok "hard links are one file" [ "$BROWSE/first/numbers" -ef "$BROWSE/first/d/hard" ]
not "the same file in two snapshots is two" [ "$BROWSE/first/numbers" -ef "$BROWSE/second one/numbers" ]
not "and not the mounted one" [ "$BROWSE/first/numbers" -ef "$MNT/numbers" ]
same "its directory and names are listed" "$(ls "$BROWSE" | paste -sd,)" "first,second one"
ok "a name that was looked for in vain is there once it is made" \
    bash -c "! ls '$BROWSE/third' 2>/dev/null && '$SILTFS' snapshot create '$MNT' third && ls '$BROWSE/third'"
for change in "touch '$BROWSE/first/numbers'" "rm '$BROWSE/first/numbers'" "mkdir '$BROWSE/first/x'" \
    "mv '$BROWSE/first/numbers' '$MNT/'" "ln '$BROWSE/first/numbers' '$MNT/x'" "chmod 600 '$BROWSE/first/numbers'" \
    "truncate -s 0 '$BROWSE/first/numbers'" "mkdir '$BROWSE/x'" "rmdir '$BROWSE/first'"; do
    not "refused: ${change//$T/T}" bash -c "$change"
done
ok "it is copied out of" cp -a "$BROWSE/first/d" "$MNT/back"
ok "... rightly" cmp "$MNT/back/big" "$BROWSE/first/d/big"
rm -r "$MNT/back" "$MNT/new"

# ---- bad names and places ----

for name in .hidden a/b -x "" x-tmp "$(printf 'x\ny')" "$(printf 'n%.0s' {1..201})"; do
    says "no name: $name" 'no name for a snapshot' "$SILTFS" snapshot create "$MNT" "$name"
done
says "a name twice" 'already' "$SILTFS" snapshot create "$MNT" first
says "one that is not there" 'has no snapshot "none"; .siltfs snapshot list' "$SILTFS" snapshot delete "$MNT" none
says "no subcommand" 'usage: siltfs snapshot' "$SILTFS" snapshot frob "$MNT"
says "no name given" 'usage: siltfs snapshot' "$SILTFS" snapshot create "$MNT"
says "a mount is not rolled back" 'siltfs umount' "$SILTFS" snapshot rollback "$MNT" first
says "no such store" 'no such store or mount point' "$SILTFS" snapshot list "$T/nothing"
says "a snapshot that is open is not deleted" 'in use' bash -c "exec 3<'$BROWSE/third/numbers'; exec '$SILTFS' snapshot delete '$MNT' third"
ok "... and then it is" snap delete "$MNT" third
not "it is not shown any more" ls "$BROWSE/third"
not "nor there" [ -e "$STORE/snapshots/third" ]

# ---- mounted by themselves, and cloned ----

says "-o snapshot=none" 'has no snapshot' "$SILTFS" mount -o snapshot=none "$STORE" "$B2"
ok "a snapshot is mounted beside its store" "$SILTFS" mount -o snapshot=first "$STORE" "$B2"
same "... and shows what was" "$(tree "$B2")" "$(cat "$T/first")"
not "... read only" touch "$B2/x"
mkdir "$T/mnt3" && ok "... twice" "$SILTFS" mount -o snapshot=first "$STORE" "$T/mnt3"
says "... and is not deleted meanwhile" 'in use' "$SILTFS" snapshot delete "$MNT" first
ok "one is unmounted" timeout 120 "$SILTFS" umount "$T/mnt3"
ok "the other goes on" cat "$B2/numbers"
ok "and is unmounted" "$SILTFS" umount "$B2"
ok "a clone of a mount" "$SILTFS" clone "$MNT" "$T/clone"
ok "a clone of a snapshot" "$SILTFS" clone "$MNT@first" "$T/clone-first"
says "a clone is never over something" 'is there already' "$SILTFS" clone "$MNT" "$T/clone"
for i in 1 2 3 4 5 6; do
    for k in 1 2 3; do
        { "$SILTFS" clone "$MNT@first" "$T/race$i" && echo made; } >"$T/said$k" 2>&1 &
        racers[k]=$!
    done
    wait "${racers[@]}"
    same "of three clones to one place one is made" "$(cat "$T"/said? | grep -cx made)" 1
    same "... and two are told" "$(cat "$T"/said? | grep -c 'is there already')" 2
    ok "... it is whole" "$SILTFS" fsck "$T/race$i"
done
says "nor of nothing" 'has no snapshot' "$SILTFS" clone "$MNT@none" "$T/clone-none"
same "its own snapshot is gone" "$(names "$MNT")" "first second one"
# On another filesystem it is copied, which takes a while.
if mkdir "$T/disk" && mount -t tmpfs tmpfs "$T/disk" 2>/dev/null; then
    head -c 100000000 /dev/zero | openssl enc -aes-128-ctr -K 0 -iv 0 >"$MNT/much" 2>/dev/null
    timeout -s INT 0.05 "$SILTFS" clone "$MNT" "$T/disk/clone" >/dev/null 2>&1
    same "cut off, a clone leaves nothing there" "$(ls -A "$T/disk" | grep -v '^clone$')" ""
    same "... nor a snapshot in the mount" "$(names "$MNT")" "first second one"
    rm "$MNT/much" && umount "$T/disk"
else
    skip "clones on another filesystem: no mount of a tmpfs"
fi
ok "it is mounted, to write" "$SILTFS" mount "$T/clone-first" "$B2"
same "... and is what was" "$(tree "$B2")" "$(cat "$T/first")"
rm -r "$B2/d" && head -c 1000000 /dev/urandom >"$B2/numbers"
ok "it is unmounted" "$SILTFS" umount "$B2"
same "the snapshot is as it was" "$(tree "$BROWSE/first")" "$(cat "$T/first")"
same "the count of inodes is not from before" "$("$SILTFS" fsck "$T/clone" 2>&1 | grep -c remark)" 0
ok "both are consistent" bash -c "'$SILTFS' fsck '$T/clone' && '$SILTFS' fsck '$T/clone-first'"

# ---- of another store, with the same numbers; begun and not ended ----

for c in one other; do
    "$SILTFS" clone "$MNT@first" "$T/$c" && "$SILTFS" mount "$T/$c" "$B2"
    head -c 100000 /dev/urandom >"$B2/own" && sha256sum <"$B2/own" >"$T/sum-$c"
    "$SILTFS" umount "$B2"
done
"$SILTFS" snapshot create "$T/other" theirs
ok "a snapshot of a clone is received" bash -c "set -o pipefail; '$SILTFS' send '$T/other@theirs' | '$SILTFS' receive '$T/one'"
says "a store does not become a mixture with it" 'of another store.*siltfs clone' "$SILTFS" snapshot rollback "$T/one" theirs
same "nothing of it is kept" "$(names "$T/one")" theirs
"$SILTFS" mount "$T/one" "$B2"
same "it is as it was" "$(sha256sum <"$B2/own")" "$(cat "$T/sum-one")"
"$SILTFS" umount "$B2"
ok "the snapshot is cloned" "$SILTFS" clone "$T/one@theirs" "$T/third"
"$SILTFS" mount "$T/third" "$B2"
same "... and is the other's" "$(sha256sum <"$B2/own")" "$(cat "$T/sum-other")"
"$SILTFS" umount "$B2"
for f in "$T"/one/snapshots/theirs/*.sst; do cp "$f" "$f.tmp" && echo x >>"$f.tmp" && mv "$f.tmp" "$f"; done
says "a damaged snapshot is told from its store" '/one/snapshots/theirs: damaged' "$SILTFS" snapshot rollback "$T/one" theirs
same "nothing of that is kept" "$(names "$T/one")" theirs
ok "the store is whole" "$SILTFS" fsck -c "$T/one"
mkdir "$T/one/snapshots/.deleted-theirs" && touch "$T/one/snapshots/.deleted-theirs/CURRENT"
ok "one whose namesake a crash left half deleted is deleted" snap delete "$T/one" theirs
same "both are gone" "$(ls -A "$T/one/snapshots")" ""
for i in $(seq 8); do snap create "$MNT" "x$i" || fail "a snapshot"; done
for i in $(seq 8); do snap delete "$MNT" "x$i" >>"$T/at-once" 2>&1 & done
wait
same "several are deleted at once" "$(cat "$T/at-once")" ""

# ---- more than are open at once ----

for i in $(seq 100); do cp -al "$STORE/snapshots/first" "$STORE/snapshots/many$i" && rm -f "$STORE/snapshots/many$i/LOCK"; done
ok "a hundred are listed with their attributes" ls -l "$BROWSE"
same "... and walked" "$(find "$BROWSE" -name numbers | wc -l)" 102
(cd "$BROWSE/first/d" && ls -l "$BROWSE" >/dev/null && cmp big "$BROWSE/many7/d/big" && /bin/pwd) >"$T/said" 2>&1
same "who works in one meanwhile goes on there" "$(cat "$T/said")" "$BROWSE/first/d"
rm -r "$STORE"/snapshots/many*

# ---- diff ----

same "nothing changed: no difference" "$("$SILTFS" snapshot create "$MNT" d0 && "$SILTFS" snapshot diff "$MNT" d0)" ""
mkdir "$MNT/t" "$MNT/t/sub" && echo 1 >"$MNT/t/stays" && echo 1 >"$MNT/t/goes" && echo 1 >"$MNT/t/moves" && ln "$MNT/t/stays" "$MNT/t/linked" && echo 1 >"$MNT/t/changes"
"$SILTFS" snapshot create "$MNT" d1
cat "$MNT/t/stays" >/dev/null && rm "$MNT/t/goes" && mv "$MNT/t/moves" "$MNT/t/sub/moved" && echo 22 >"$MNT/t/changes" && chmod 600 "$MNT/t/linked" && echo n >"$MNT/t/n
w"
same "each kind of change is told" "$("$SILTFS" snapshot diff "$MNT" d1 | sort)" "$(printf '%s\n' '+ /t/n\012w' '- /t/goes' 'M /t' 'M /t/changes' 'M /t/stays' 'M /t/sub' 'R /t/moves -> /t/sub/moved' | sort)"
"$SILTFS" snapshot create "$MNT" d2 && echo later >"$MNT/later"
same "between two snapshots: the same" "$("$SILTFS" snapshot diff "$MNT" d1 d2)" "$("$SILTFS" snapshot diff "$STORE" d1 d2)"
not "... without what came later" bash -c "'$SILTFS' snapshot diff '$MNT' d1 d2 | grep later"
says "of one that is not there" 'has no snapshot' "$SILTFS" snapshot diff "$MNT" none
says "or the other" 'has no snapshot' "$SILTFS" snapshot diff "$MNT" d1 none

# At random, beside what a walk over both finds.
ok "200 random changes are told as a walk finds them" python3 - "$SILTFS" "$MNT" <<'END'
import os, random, subprocess, sys
siltfs, mnt = sys.argv[1:]
seed = int(os.environ.get("SEED", random.getrandbits(32)))
print("SEED=%d" % seed)
random.seed(seed)
top = mnt + "/random"
os.mkdir(top)
def walk(root):
    out = {}
    for dir, dirs, files in os.walk(root):
        for n in dirs + files:
            p = os.path.join(dir, n)
            s = os.lstat(p)
            out[p[len(root):]] = (s.st_ino & (1 << 48) - 1, s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_nlink)
    return out
def paths(): return sorted(walk(top))
def dirs(): return [""] + [p for p in paths() if os.path.isdir(top + p)]
def change(i):
    all = paths()
    d = random.choice(dirs())
    p = random.choice(all) if all else None
    k = random.randrange(7)
    try:
        if k < 2 or not p: open(top + d + "/f%d" % i, "w").write("x" * random.randrange(9000))
        elif k == 2: os.mkdir(top + d + "/d%d" % i)
        elif k == 3: os.rename(top + p, top + d + "/r%d" % i)
        elif k == 4: os.rmdir(top + p) if os.path.isdir(top + p) else os.unlink(top + p)
        elif k == 5: os.link(top + p, top + d + "/l%d" % i)
        else: open(top + p, "a").write("y")
    except OSError: pass
for i in range(120): change(i)
subprocess.check_call([siltfs, "snapshot", "create", mnt, "r0"])
for i in range(120, 320): change(i)
told = subprocess.run([siltfs, "snapshot", "diff", mnt, "r0"], check=True, capture_output=True, text=True).stdout.splitlines()
old, new = walk(mnt + "/.siltfs/snapshots/r0/random"), walk(top)
plus, minus, changed = set(), set(), set()
for line in told:
    kind, rest = line[0], line[2:]
    if kind == "R":
        a, b = rest.split(" -> "); minus.add(a); plus.add(b); changed.add(b)
    else: {"+": plus, "-": minus, "M": changed}[kind].add(rest)
strip = lambda s: {p[len("/random"):] for p in s if p.startswith("/random/")}
plus, minus, changed = strip(plus), strip(minus), strip(changed)
# A name that came back as another file is told as both.
want_plus = {p for p in new if p not in old or old[p][0] != new[p][0]}
want_minus = {p for p in old if p not in new or old[p][0] != new[p][0]}
# A directory that moved takes what is in it along: entries keep their places.
def moved(p, there): return any(p.startswith(q + "/") for q in there)
assert plus <= want_plus and all(p in plus or moved(p, plus) for p in want_plus), (plus ^ want_plus)
assert minus <= want_minus and all(p in minus or moved(p, minus) for p in want_minus), (minus ^ want_minus)
by_ino = {}
for p, s in new.items(): by_ino.setdefault(s[0], set()).add(p)
want_changed = {s[0] for p, s in new.items() if any(o[0] == s[0] and o != s for o in old.values())}
got_changed = {new[p][0] for p in changed if p in new}
assert want_changed <= got_changed, [by_ino[i] for i in want_changed - got_changed]
END

# ---- under load: one moment ----

# Two files are written in turn, each number into a before b; and names move in turn.
cat >"$T/turns.py" <<'END'
import os, sys, time
os.chdir(sys.argv[1])
i = 0
while not os.path.exists("stop"):
    i += 1
    for f in "a", "b":
        with open(f + ".new", "w") as o: o.write(str(i))
        os.rename(f + ".new", f)
    open("n%d" % i, "w").close()
    if i > 20: os.unlink("n%d" % (i - 20))
    time.sleep(0.0005)
END
mkdir "$MNT/w" && echo 0 >"$MNT/w/a" && echo 0 >"$MNT/w/b"
python3 "$T/turns.py" "$MNT/w" & turns=$!
turned() { [ "$(cat "$MNT/w/a")" -ge 3 ]; }
wait_until 120 turned || fail "names turn"
for i in $(seq 5); do snap create "$MNT" "load$i" || fail "a snapshot under load"; sleep 0.1; done
touch "$MNT/w/stop" && wait $turns
for i in $(seq 5); do
    s=$BROWSE/load$i/w a=$(cat "$s/a") b=$(cat "$s/b") last=$(cd "$s" && ls -d n* | tr -d n | sort -n | tail -n 1)
    ok "load$i is one moment" [ $((a - b)) -ge 0 -a $((a - b)) -le 1 -a $((b - last)) -ge 0 -a $((b - last)) -le 1 ]
    same "load$i holds all names of it" "$(cd "$s" && ls -d n* | tr -d n | sort -n | awk 'NR > 1 && $1 != p + 1 { print "gap" } { p = $1 }')" ""
    snap delete "$MNT" "load$i" || fail "load$i is deleted"
done
rm -r "$MNT/w" "$MNT/t" "$MNT/random" "$MNT/later"

# ---- at rest ----

tree "$MNT" >"$T/last"
ok "unmounted" "$SILTFS" umount "$MNT"
ok "one is made at rest" snap create "$STORE" rest
for name in d0 d1 d2 r0; do "$SILTFS" snapshot delete "$STORE" $name; done
same "all are there" "$(names "$STORE")" "first second one rest"
ok "back to the first" snap rollback "$STORE" first
same "what it was is kept" "$(names "$STORE")" "first second one rest before-rollback-1"
ok "the store is consistent" "$SILTFS" fsck "$STORE"
ok "it is mounted" "$SILTFS" mount "$STORE" "$MNT"
same "it is what it was" "$(tree "$MNT")" "$(cat "$T/first")"
seq 5 >"$MNT/after"
ok "unmounted again" "$SILTFS" umount "$MNT"
ok "forth again" snap rollback "$STORE" before-rollback-1
# Killed at named points of a rollback: it is the one or the other, and can be done again.
KILLABLE=$(realpath "${B:-build}")/kill/siltfs
if [ -x "$KILLABLE" ]; then
    died=0
    mapfile -t points < <(grep -rhoE 'KILL_POINT\("[a-z-]+"\)' lsm --include='*.c' --exclude='env_rados*' | grep -oE '"[a-z-]+' | tr -d '"' | sort)
    for point in "${points[@]}"; do
        for to in first before-rollback-1; do
            (SILTFS_KILL=$point:2 "$KILLABLE" snapshot rollback "$STORE" $to; exit $?) >/dev/null 2>&1
            [ $? = 137 ] || continue
            died=$((died + 1))
            ok "killed at $point, the store is consistent" "$SILTFS" fsck "$STORE"
        done
    done
    for point in rollback-linked rollback-renamed; do
        (SILTFS_KILL=$point:1 "$KILLABLE" snapshot rollback "$STORE" first; exit $?) >/dev/null 2>&1
        same "it is killed at $point" $? 137
        ok "killed at $point, the store is consistent" "$SILTFS" fsck "$STORE"
    done
    "$SILTFS" mount -o ro "$STORE" "$MNT" && tree "$MNT" >"$T/killed" && "$SILTFS" umount "$MNT"
    same "after the moment it is the other" "$(cat "$T/killed")" "$(cat "$T/first")"
    ok "forth again, after the kills" snap rollback "$STORE" before-rollback-1
    for name in $(names "$STORE" | grep -oE 'before-rollback-[0-9]+'); do
        [ "${name##*-}" -gt 2 ] && snap delete "$STORE" "$name"
    done
    echo "$died kills of a rollback"
else
    skip "kills of a rollback: build/kill/siltfs is not built"
fi
ok "and mounted read only" "$SILTFS" mount -o ro "$STORE" "$MNT"
same "it is what it was before" "$(tree "$MNT")" "$(cat "$T/last")"
ok "several read a store at once" "$SILTFS" mount -o ro "$STORE" "$B2"
ok "a scrub reads beside them" "$SILTFS" scrub "$MNT"
says "who writes has to wait" 'in use' "$SILTFS" set "$STORE" size=1G
says "no snapshot of what is mounted read only" 'in use: mounted on' "$SILTFS" snapshot create "$MNT" x
ok "unmounted" bash -c "'$SILTFS' umount '$MNT' && '$SILTFS' umount '$B2'"
for name in first "second one" rest before-rollback-1 before-rollback-2; do
    ok "deleted: $name" snap delete "$STORE" "$name"
done
same "none is left" "$(ls -A "$STORE/snapshots")" ""
ok "the store is consistent" "$SILTFS" fsck -c "$STORE"

finish
