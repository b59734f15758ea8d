#!/bin/bash
# send and receive: snapshots through pipes and files, damaged ones too.
. "$(dirname "$0")/mount_lib.sh"

R=$T/remote
mkdir "$T/mnt2"
tree() { (cd "$1" && find . -mindepth 1 ! -path './.siltfs*' -printf '%P %y %m %U %G %n %T@ %l\n' | sort && find . -type f ! -path './.siltfs*' -print0 | sort -z | xargs -0 -r sha256sum); }
shows() { # shows MESSAGE NAME TREE
    ok "$1: mounted" "$SILTFS" mount -o "snapshot=$2" "$R" "$T/mnt2"
    same "$1: is what was sent" "$(tree "$T/mnt2")" "$(cat "$3")"
    ok "$1: unmounted" "$SILTFS" umount "$T/mnt2"
}
pipe() { bash -o pipefail -c "'$SILTFS' send $1 | '$SILTFS' receive '$R'"; }

fresh || { fail "a fresh store mounts"; finish; }
cp lsm/*.h "$MNT/" && head -c 5000000 /dev/urandom >"$MNT/big" && mkdir "$MNT/d" && ln "$MNT/big" "$MNT/d/hard"
tree "$MNT" >"$T/one"
"$SILTFS" snapshot create "$MNT" one
rm "$MNT/d/hard" && head -c 100000 /dev/urandom >"$MNT/new"
tree "$MNT" >"$T/two"
"$SILTFS" snapshot create "$MNT" two

ok "a snapshot goes through a pipe" pipe "'$MNT@one'"
shows "the first" one "$T/one"
ok "another on top of it" pipe "--from=one '$MNT@two'"
shows "the second" two "$T/two"
same "both are listed" "$("$SILTFS" snapshot list "$R" | sed 1d | awk '{ print $5 }' | paste -sd,)" "one,two"
same "with the time they were made" "$("$SILTFS" snapshot list "$R" | cut -c1-19)" "$("$SILTFS" snapshot list "$MNT" | cut -c1-19)"
"$SILTFS" send "$MNT@two" >"$T/full" && "$SILTFS" send --from=one "$MNT@two" >"$T/part"
ok "with --from it is shorter" [ $(($(stat -c %s "$T/part") * 4)) -lt "$(stat -c %s "$T/full")" ]
ok "a clone of it is a store" "$SILTFS" clone "$R@two" "$T/clone"
ok "... consistent" "$SILTFS" fsck -c "$T/clone"
ok "received, it can be restored as a backup" "$SILTFS" restore "$R@two" "$T/restored"
ok "... rightly" "$SILTFS" fsck -c "$T/restored"
ok "into a mounted store" bash -c "'$SILTFS' snapshot delete '$MNT' two && '$SILTFS' receive '$MNT' <'$T/part'"
same "... it shows it" "$(tree "$MNT/.siltfs/snapshots/two")" "$(cat "$T/two")"

says "twice" 'has a snapshot "two" already' bash -c "exec '$SILTFS' receive '$R' <'$T/full'"
says "without what it builds on" 'has no snapshot "one"' bash -c "exec '$SILTFS' receive '$T/other' <'$T/part'"
"$SILTFS" snapshot create "$MNT" three && "$SILTFS" send --from=two "$MNT@three" >"$T/on-two"
"$SILTFS" clone "$MNT" "$T/clone2" && "$SILTFS" snapshot create "$T/clone2" two
says "on another of the same name" 'another snapshot of the name' bash -c "exec '$SILTFS' receive '$T/clone2' <'$T/on-two'"
says "not a snapshot" 'send a snapshot' bash -c "exec '$SILTFS' send '$MNT' >'$T/x'"
says "no such snapshot" 'has no snapshot' bash -c "exec '$SILTFS' send '$MNT@none' >'$T/x'"
says "no such base" 'has no snapshot' bash -c "exec '$SILTFS' send --from=none '$MNT@two' >'$T/x'"
says "no arguments" 'usage: siltfs send' "$SILTFS" send
says "too many" 'usage: siltfs receive' "$SILTFS" receive a b
says "a mount point, for what wants a store at rest" 'where .*store is mounted; .siltfs umount' "$SILTFS" upgrade "$MNT"
says "something else" 'not what .siltfs send' bash -c "exec '$SILTFS' receive '$T/other' <'$SILTFS'"
says "nothing" 'ends too early' "$SILTFS" receive "$T/other"
says "a full disk" 'No space left' bash -c "exec '$SILTFS' send '$MNT@two' >/dev/full"

# Two at once would write into the same files.
mkfifo "$T/slow"
"$SILTFS" receive "$T/twice" <"$T/slow" >"$T/first" 2>&1 &
first=$!
exec 8>"$T/slow" && head -c 100000 "$T/full" >&8
for ((i = 0; i < 1200 && ! $(ls "$T/twice/snapshots/.two-part" 2>/dev/null | grep -c .); i++)); do sleep 0.05; done
says "the same, while another receives it" 'is being received already' bash -c "exec '$SILTFS' receive '$T/twice' <'$T/full' 8>&-"
"$SILTFS" send "$MNT@one" >"$T/one-full"
ok "one of another name is not in its way" bash -c "exec '$SILTFS' receive '$T/twice' <'$T/one-full' 8>&-"
tail -c +100001 "$T/full" >&8 && exec 8>&-
wait $first
same "the first ends well" "$?" 0
ok "... with all of it" "$SILTFS" fsck -c "$T/twice/snapshots/two"

# A byte is changed, some are gone, frames are exchanged: nothing comes of it.
ok "no damaged stream makes a snapshot" python3 - "$SILTFS" "$T/full" "$T/other" <<'END'
import os, random, struct, subprocess, sys
siltfs, file, to = sys.argv[1:]
whole = open(file, "rb").read()
seed = int(os.environ.get("SEED", random.getrandbits(32)))
print("SEED=%d" % seed)
random.seed(seed)
frames, at = [], 16
while at < len(whole):
    n = 5 + struct.unpack_from("<I", whole, at + 1)[0] + 8
    frames.append(whole[at:at + n]); at += n
assert at == len(whole) and len(frames) > 10
def attempt(data, what):
    r = subprocess.run([siltfs, "receive", to], input=data, capture_output=True, timeout=60)
    assert r.returncode == 1, (what, r)
    assert r.stderr.startswith(b"siltfs: ") and r.stderr.count(b"\n") == 1, (what, r.stderr)
    left = [n for n in os.listdir(to + "/snapshots") if n[0] != "."] if os.path.isdir(to + "/snapshots") else []
    assert not left, (what, left)
for i in range(60):
    b = bytearray(whole)
    at = random.choice([random.randrange(64), len(b) - 1 - random.randrange(64), random.randrange(len(b))])
    b[at] ^= 1 << random.randrange(8)
    attempt(bytes(b), "byte %d" % at)
for i in range(20):
    n = random.choice([random.randrange(len(whole)), random.randrange(200)])
    attempt(whole[:n], "cut at %d" % n)
for i in range(20):
    f = list(frames)
    a, b = random.sample(range(len(f)), 2)
    how = random.randrange(3)
    if how == 0: f[a], f[b] = f[b], f[a]
    elif how == 1: del f[a]
    else: f.insert(a, f[b])
    if b"".join(f) != b"".join(frames): attempt(whole[:16] + b"".join(f), ("frames", a, b, how))
END
ok "and the whole one is received after them" bash -c "'$SILTFS' receive '$T/other' <'$T/full'"
same "nothing of them is left" "$(ls -A "$T/other/snapshots")" "two"

# Well-formed, but hostile: names that lead elsewhere.
cat >"$T/hostile.py" <<'END'
import ctypes, struct, sys
xxh = ctypes.CDLL("libxxhash.so.0")
xxh.XXH3_64bits_withSeed.restype = ctypes.c_uint64
class Sum128(ctypes.Structure): _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]
xxh.XXH3_128bits.restype = Sum128
def sum64(data, seed): return xxh.XXH3_64bits_withSeed(data, ctypes.c_size_t(len(data)), ctypes.c_uint64(seed))
def sum128(data):
    s = xxh.XXH3_128bits(data, ctypes.c_size_t(len(data)))
    return struct.pack(">QQ", s.high, s.low)
def frames(list):
    out = b"siltfs stream 1\n"
    for i, (t, p) in enumerate(list):
        f = t + struct.pack("<I", len(p)) + p
        out += f + struct.pack("<Q", sum64(f, i))
    return out
text = lambda s: bytes([len(s)]) + s
begin = lambda name, base=b"": (b"S", struct.pack("<QI", 1, 2) + text(name) + struct.pack("<QI", 1, 2) + text(base))
file = lambda name, data=b"x": [(b"F", struct.pack("<Q", len(data)) + text(name)), (b"D", data), (b"E", sum128(data))]
cases = {
    "up": [begin(b"s")] + file(b"../evil"),
    "dots": [begin(b"s")] + file(b".."),
    "slash": [begin(b"s")] + file(b"/tmp/evil"),
    "hidden": [begin(b"s")] + file(b".evil"),
    "name": [begin(b"../../evil")],
    "base": [begin(b"s", b"../../..")],
    "twice": [begin(b"s")] + file(b"CURRENT") + file(b"CURRENT"),
    "nostore": [begin(b"s")] + file(b"CURRENT") + [(b"Z", struct.pack("<Q", 1))],
    "long": [begin(b"s"), (b"F", struct.pack("<Q", 0) + text(b"a")), (b"D", b"xx")],
}
sys.stdout.buffer.write(frames(cases[sys.argv[1]]))
END
declare -A want=([up]='no file in' [dots]='no file in' [slash]='no file in' [hidden]='no file in' [name]='no name for' [base]='no name for' [twice]='File exists' [nostore]='hostile|store' [long]='longer than it says')
for case in "${!want[@]}"; do
    python3 "$T/hostile.py" $case >"$T/hostile" || fail "a hostile stream is made"
    says "hostile: $case" "${want[$case]}" bash -c "exec '$SILTFS' receive '$T/other' <'$T/hostile'"
done
not "nothing was made elsewhere" bash -c "find '$T' -name '*evil*' | grep ."
not "nor a snapshot" [ -e "$T/other/snapshots/s" ]

finish
