#!/bin/bash
# What a mount tells of its work: the access log, metrics, statistics, config.
. "$(dirname "$0")/mount_lib.sh"

fresh -o memory=64M,noatime,sync_interval=2.5 || { fail "a fresh store mounts"; finish; }
C=$MNT/.siltfs

# ---- accesslog ----

"$SILTFS" accesslog "$MNT" >"$T/log" 2>&1 & reader=$!
ok "it begins" wait_until 120 bash -c "ls '$MNT/probe' 2>/dev/null; touch '$MNT/probe' && rm '$MNT/probe' && [ -s '$T/log' ]"
mkdir "$MNT/dir" && echo hello >"$MNT/dir/a file" && mv "$MNT/dir/a file" "$MNT/dir/b" && cat "$MNT/dir/b" >/dev/null
cat "$MNT/dir/none" 2>/dev/null
mv "$MNT/dir/b" "$MNT/dir/$(printf 'new\nline"q\\')" 2>/dev/null
touch "$C/stats" 2>/dev/null; cat "$C/stats" >/dev/null
logged() { grep -qE "^20[0-9-]{8} [0-9:]{8}\.[0-9]{6} uid=$(id -u) pid=[0-9]+ $1: [A-Z]+ <[0-9]+\.[0-9]{6}>$" "$T/log"; }
for line in 'mkdir \(1, "dir"\)' 'create \([0-9]+, "a file"\)' 'write \([0-9]+, 0, 6\)' 'rename2? \([0-9]+, "a file"\)' 'rename2? \([0-9]+, "b"\)'; do
    ok "logged: $line" wait_until 120 logged "$line"
done
ok "logged: the lookup of a name that is not there" grep -q 'lookup .*"none")' "$T/log"
not "nothing of .siltfs is logged" grep -qE '"stats"|\(9223372' "$T/log"
same "each line is whole" "$(grep -cvE '^20.*>$' "$T/log")" 0
ok "it ends well when told to" bash -c "kill $reader" && wait $reader || fail "it ends well when told to"
says "of what is not mounted" 'not mounted' "$SILTFS" accesslog "$T"
says "of nothing" 'no such store' "$SILTFS" accesslog "$T/none"
says "no arguments" 'usage: siltfs accesslog' "$SILTFS" accesslog

# A name with what would break a line is escaped.
"$SILTFS" accesslog "$MNT" >"$T/log" 2>&1 & reader=$!
wait_until 120 bash -c "touch '$MNT/probe' && rm '$MNT/probe' && [ -s '$T/log' ]"
mkdir "$MNT/$(printf 'a\nb"c')"
ok "names are escaped" wait_until 120 grep -qF '"a\012b\042c"' "$T/log"
kill $reader && wait $reader 2>/dev/null

# ---- statistics ----

requests() { python3 -c "import json; print(json.load(open('$C/stats.json'))['requests'].get('$1', {}).get('$2', 0))"; }
before=$(requests mkdir count)
mkdir "$MNT/one" "$MNT/two" "$MNT/three"
same "requests are counted by kind" "$(($(requests mkdir count) - before))" 3
failed=$(requests unlink failed) && mkdir "$MNT/full" "$MNT/full/x" && before=$(requests rmdir failed)
rmdir "$MNT/full" 2>/dev/null
same "... and those that fail" "$(($(requests rmdir failed) - before))" 1
head -c 100000 /dev/zero >"$MNT/zero"
ok "... and bytes" python3 -c "import json; assert json.load(open('$C/stats.json'))['write_bytes'] >= 100006"
ok "durations make sense" python3 - "$C/stats.json" <<'END'
import json, sys
for name, r in json.load(open(sys.argv[1]))["requests"].items():
    assert 0 < r["p50_ns"] <= 1.26 * r["p99_ns"] and r["p99_ns"] <= 1.26 * r["max_ns"] and r["sum_ns"] >= r["max_ns"], (name, r)
END
ok "people are told, too" grep -qE '^mkdir +[0-9]+ +[0-9]+ +[0-9.]+' "$C/stats"
ok "metrics are what Prometheus reads" python3 - "$C/metrics" <<'END'
import re, sys
families, seen = {}, []
for line in open(sys.argv[1]):
    line = line.rstrip("\n")
    if line.startswith("# TYPE "):
        name, kind = line.split()[2:]
        assert name not in families, name
        families[name] = kind
    elif not line.startswith("#"):
        m = re.fullmatch(r'([a-z_]+)\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\} (\S+)', line)
        assert m, line
        float(m[3])
        base = m[1] if m[1] in families else re.sub("_(bucket|sum|count)$", "", m[1])
        assert base in families, line
        if not seen or seen[-1] != base:
            assert base not in seen, ("scattered", base)
            seen.append(base)
assert {"siltfs_requests_total", "siltfs_write_bytes_total", "lsm_level_bytes"} <= set(seen)
END
same "metrics and stats.prom are the same families" "$(grep '^# TYPE' "$C/metrics")" "$(grep '^# TYPE' "$C/stats.prom")"

# ---- top ----

(while [ ! -e "$T/stop" ]; do cp --remove-destination lsm/*.h "$MNT/dir/"; done) & load=$!
"$SILTFS" top -n 2 -d 0.5 "$MNT" >"$T/top" 2>&1 || fail "top shows two pages" "$(cat "$T/top")"
touch "$T/stop" && wait $load
same "top shows two pages" "$(grep -c '^siltfs top' "$T/top")" 2
ok "each in 24 lines of 80" awk 'length > 80 { bad = 1 } END { exit bad || NR > 49 }' "$T/top"
ok "requests are seen" awk '/^create / && $2 > 0 { found = 1 } END { exit !found }' "$T/top"
same "all levels are" "$(grep -c '^L[0-4] ' "$T/top")" 10
ok "by the store's name, too" "$SILTFS" top -n 1 -d 0.1 "$STORE"
says "top of nothing" 'no such store' "$SILTFS" top -n 1 "$T/none"
says "top of what is not mounted" 'not mounted' "$SILTFS" top -n 1 "$T"
for bad in "-n 0" "-n x" "-d 0" "-d x" "-z"; do says "top $bad" 'usage: siltfs top' "$SILTFS" top $bad "$MNT"; done
ok "on a terminal it ends with q" timeout 120 script -qec "'$SILTFS' top '$MNT'" /dev/null <<<qqq

# ---- info ----

info() { "$SILTFS" info "$@" 2>&1; }
yes text | head -c 1000000 >"$MNT/text" && echo small >"$MNT/small" && head -c 300000 /dev/urandom >"$MNT/random"
truncate -s 1M "$MNT/hole" && mkdir "$MNT/d1" "$MNT/d1/x" && touch "$MNT/d1/y" && ln -s text "$MNT/link"
ok "info of a text: its size and how small it is" bash -c "'$SILTFS' info '$MNT/text' | tr '\n' ' ' | grep -qE 'inode +[0-9]+ .*size +1000000 .*extents +[0-9]+, 1000000 bytes.*in value log +[0-9]+ bytes; records take [0-9]+ for [0-9]+: 0\.[0-2][0-9] .*segments +[0-9]{6}'"
ok "... of what does not shrink" bash -c "'$SILTFS' info '$MNT/random' | grep -qE 'for [0-9]+: 1\.0'"
ok "... of a small file: in tables" bash -c "'$SILTFS' info '$MNT/small' | grep -qE 'in tables +1 extents, 6 bytes'"
ok "... of a hole: no extents" bash -c "'$SILTFS' info '$MNT/hole' | grep -qE 'extents +0, 0 bytes'"
ok "... of a directory" bash -c "'$SILTFS' info '$MNT/d1' | grep -qE 'entries +2, 1 of them directories'"
ok "... of a symbolic link itself" bash -c "! '$SILTFS' info '$MNT/link' | grep -q size"
same "... of several, one of them missing" "$(info "$MNT/small" "$MNT/none" "$MNT/d1" | grep -c -e "^$MNT" -e "^siltfs: $MNT/none: No such file")" 3
ok "... the number is the inode's" [ "$(info "$MNT/small" | awk '$1 == "inode" { print $2 }')" = "$(stat -c %i "$MNT/small")" ]
mkdir "$MNT/packed" && setfattr -n user.siltfs.compression -v zstd "$MNT/packed" && mkdir "$MNT/packed/d" && cp "$MNT/text" "$MNT/packed/d/"
ok "... how it is compressed: as was set for the directory" bash -c "'$SILTFS' info '$MNT/packed/d/text' | grep -qE 'compression +zstd, set for it'"
ok "... or as the store" bash -c "'$SILTFS' info '$MNT/text' | grep -qE 'compression +lz4, as the store'"
ok "... or not" bash -c "setfattr -n user.siltfs.compression -v none '$MNT/packed/d' && head -c 1000000 '$MNT/text' >'$MNT/packed/d/plain' && '$SILTFS' info '$MNT/packed/d/plain' | grep -qE 'for [0-9]+: 1\.0'"
same "the attribute tells" "$(getfattr --only-values -n user.siltfs.compression "$MNT/packed/d/plain" "$MNT/packed/d/text" 2>/dev/null)" nonezstd
not "there is no such compression" setfattr -n user.siltfs.compression -v gzip "$MNT/packed"
ok "it can be removed" bash -c "setfattr -x user.siltfs.compression '$MNT/packed' && mkdir '$MNT/packed/e' && ! getfattr -n user.siltfs.compression '$MNT/packed/e' 2>/dev/null | grep zstd"
says "info of what is elsewhere" 'not in a siltfs mount' "$SILTFS" info "$STORE"
says "info of the control directory" 'control directory' "$SILTFS" info "$C"
says "info of nothing" 'usage: siltfs info' "$SILTFS" info

# ---- compact ----

for i in 1 2 3; do head -c 2000000 /dev/urandom >"$MNT/big"; done && rm "$MNT/big" && for f in lsm/*.h; do cp "$f" "$MNT/"; done
ok "a mount is compacted" "$SILTFS" compact "$MNT"
ok "... it says what came of it" bash -c "'$SILTFS' compact '$MNT' | grep -qE '^[0-9.]+ MB on disk, before [0-9.]+$'"
same "... and all is in one level" "$(python3 -c "import json; print(sum(l['tables'] > 0 for l in json.load(open('$C/stats.json'))['engine']['levels']))")" 1
ok "... and as it was" bash -c "for f in lsm/*.h; do cmp \$f '$MNT'/\${f#lsm/} || exit 1; done"
says "compact nothing" 'no such store' "$SILTFS" compact "$T/none"
says "compact without a word" 'usage: siltfs compact' "$SILTFS" compact

# ---- config ----

for line in rw noatime memory=67108864 sync_interval=2.5 compression=lz4:zstd strategy=leveled threads=16; do
    ok "config says $line" grep -qx "$line" "$C/config"
done
ok "it can be given to -o, and a store at rest is compacted" bash -c "'$SILTFS' umount '$MNT' && '$SILTFS' compact '$STORE' && '$SILTFS' mount '$STORE' '$MNT' && '$SILTFS' umount '$MNT'"

# ---- --metrics ----

for bad in 9090 nowhere:80 127.0.0.1:x 1.2.3.4.5:80; do
    says "--metrics=$bad" 'give ADDRESS:PORT' "$SILTFS" mount --metrics=$bad "$STORE" "$MNT"
    not "... and nothing is mounted" mounted
done
says "an address that is not ours" 'Cannot assign' "$SILTFS" mount --metrics=192.0.2.1:1 "$STORE" "$MNT"
port=$(python3 -c "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])")
ok "a mount with metrics" "$SILTFS" mount --metrics=127.0.0.1:$port "$STORE" "$MNT"
says "a port that is taken" 'Address already in use' "$SILTFS" mount -o ro,metrics=127.0.0.1:$port,snapshot=s "$(
    "$SILTFS" snapshot create "$MNT" s; echo "$STORE")" "$(mkdir -p "$T/mnt2"; echo "$T/mnt2")"
echo x >"$MNT/more"
ok "the page, the metrics and the statistics are served" python3 - $port "$STORE" <<'END'
import http.client, json, sys, urllib.error, urllib.request
at = "http://127.0.0.1:" + sys.argv[1]
def get(path):
    with urllib.request.urlopen(at + path, timeout=120) as r:
        return r.headers, r.read().decode()
headers, page = get("/")
assert headers["Content-Type"].startswith("text/html") and page.startswith("<!doctype html>") and page.endswith("</html>\n")
assert "//" not in page.replace("</", "").split("<script>")[0], "it needs nothing from elsewhere"
assert "default-src 'none'" in headers["Content-Security-Policy"]
headers, text = get("/metrics")
assert headers["Content-Type"].startswith("text/plain; version=0.0.4") and "siltfs_requests_total{" in text
stats = json.loads(get("/stats.json")[1])
assert stats["store"] == sys.argv[2] and stats["requests"]["create"]["count"] == 1, stats["store"]
for path in "/none", "/../etc/passwd", "/metrics/x":
    try: get(path); raise SystemExit(path + " was served")
    except urllib.error.HTTPError as e: assert e.code == 404, e
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=120)
c.request("POST", "/metrics", b"x" * 100000); assert c.getresponse().status == 405; c.close()
c.request("HEAD", "/metrics"); r = c.getresponse(); assert r.status == 200 and not r.read(); c.close()
END
ok "many at once, and slow ones, do not hold it up" python3 - $port "$MNT" <<'END'
import os, socket, sys
open_ones = [socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=120) for _ in range(40)]
for s in open_ones: s.sendall(b"GET /me")
open(sys.argv[2] + "/written", "w").write("x")
assert os.stat(sys.argv[2] + "/written").st_size == 1
END
ok "it is unmounted beside them" "$SILTFS" umount "$MNT"
not "and nobody listens any more" python3 -c "import socket; socket.create_connection(('127.0.0.1', $port), timeout=120)"

# ---- an order that is called off ----

slow_files() {
    python3 -c 'import os, sys
for i in range(6000):
    with open("%s/slow%d" % (sys.argv[1], i), "wb") as f: f.write(os.urandom(4000))' "$MNT"
}
"$SILTFS" mount "$STORE" "$MNT" && slow_files && "$SILTFS" compact "$MNT" >"$T/said"
ok "mounted so that a compaction takes long" remount -o background_rate=1M
slow_files
# Three times at most: on a busy machine an unmounting takes its time, too. One that was
# not called off would be done after the first.
call_off() {
    local i compact
    for i in 1 2 3; do
        "$SILTFS" compact "$MNT" >"$T/said" 2>&1 & compact=$! # some 15 s
        sleep 0.5
        alive $compact || { echo "it does not take long"; return 1; }
        { kill -9 $compact; wait $compact; } 2>/dev/null
        timeout 8 "$SILTFS" umount "$MNT" && return
        unmounted || "$SILTFS" umount "$MNT"
        "$SILTFS" mount "$STORE" "$MNT" -o background_rate=1M
    done
    return 1
}
ok "whose asker was killed is called off" call_off
ok "... and harmed nothing" "$SILTFS" fsck -c "$STORE"

finish
