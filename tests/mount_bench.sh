#!/bin/bash
# The benchmarks: what they promise to write, that they leave nothing behind, and that the
# reports are made of it. Figures are not judged here.
. "$(dirname "$0")/mount_lib.sh"
B=$(realpath "${B:-build}")
export PYTHONDONTWRITEBYTECODE=1

# holds FILE EXPRESSION : of its JSON, `r`
holds() {
    python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); sys.exit(not eval("(" + sys.argv[2] + ")"))' "$@"
}
numbers() { # numbers FILE NAME... : each object has them, and more than 0
    holds "$1" "r and all(isinstance(o[n], (int, float)) and o[n] > 0 for o in r for n in '${*:2}'.split())"
}

# ---- bench-kv ----

ok "bench-kv runs" "$B/bench-kv" --engine lsm --workload fillseq,overwrite,fillsync,readrandom,scan \
    --num 20K --ops 200 --value 100 --threads 2 --cache 8M --dir "$T" --json "$T/kv.json"
ok "its JSON is a list of the workloads" holds "$T/kv.json" \
    "[o['workload'] for o in r] == ['fillseq', 'overwrite', 'fillsync', 'readrandom', 'scan']"
ok "... of the engine" holds "$T/kv.json" "all(o['engine'] == 'lsm' and o['threads'] == 2 for o in r)"
ok "... with figures" numbers "$T/kv.json" ops_per_s p50_us p99_us p999_us max_us peak_memory_bytes disk_bytes
ok "writing tells its costs" holds "$T/kv.json" \
    "all(o['write_amplification'] > 0 and o['space_amplification'] > 0 for o in r if o['workload'] != 'readrandom' and o['workload'] != 'scan')"
same "nothing is left" "$(ls "$T")" kv.json
for wrong in "" "--engine lsm" "--engine none --workload scan" "--engine lsm --workload none" \
    "--engine lsm --workload scan --num x" "--engine lsm --workload scan --dir $T/none"; do
    # shellcheck disable=SC2086 # words
    not "bench-kv refuses: $wrong" "$B/bench-kv" $wrong
done
ok "bench-kv --help names the engines" grep -q '^engines:.* lsm' <("$B/bench-kv" --help)

# ---- bench-fs ----

small="--files 50 --rounds 2 --tree $PWD/bench --mib 1 --seconds 1"
fresh || { fail "a fresh store mounts"; finish; }
# shellcheck disable=SC2086
ok "bench-fs runs on a mount" "$B/bench-fs" "$MNT" $small --parts meta,tree,many --warm --threads 3 \
    --space "du -s -B1 $STORE | cut -f1" --json "$T/fs.json"
ok "its JSON is a list of figures" holds "$T/fs.json" \
    "all({'part', 'phase', 'variant', 'unit', 'value', 'files', 'bytes', 'threads'} <= set(o) for o in r)"
ok "... each phase of small files once" holds "$T/fs.json" "[o['phase'] for o in r if o['part'] == 'meta'] ==
    'create stat list read chmod rename unlink'.split() and all(o['p99_us'] > 0 for o in r if o['phase'] == 'create' and o['part'] == 'meta')"
ok "... the tools" holds "$T/fs.json" "{'untar', 'cp -a', 'find', 'du', 'grep -r', 'rm -rf'} <= {o['phase'] for o in r if o['part'] == 'tree'}"
same "nothing is left" "$(ls "$MNT")" ""
"$B/bench-fs" "$MNT" --files 100000 --parts meta --warm >/dev/null 2>&1 &
bench=$!
at_work() { [ -n "$(ls "$MNT")" ]; }
ok "it works in a directory of its own" wait_until 120 at_work
kill -INT $bench 2>/dev/null
wait $bench
same "interrupted, it ends by the signal" $? 130
same "... and leaves nothing" "$(ls "$MNT")" ""
down
for wrong in "" "$T/none" "$T $T" "$T --files 0" "$T --parts none" "$T --threads" "$T --files 1 --threads 2"; do
    # shellcheck disable=SC2086
    not "bench-fs refuses: $wrong" "$B/bench-fs" $wrong
done
ok "bench-fs --help tells the parts" grep -q 'meta,fio,tree,many\|meta, fio, tree' <("$B/bench-fs" --help)

# ---- the ceiling ----

mkdir -p "$MNT"
ok "the ceiling mounts" "$B/ceiling" "$MNT"
ok "bench-fs runs on it" "$B/bench-fs" "$MNT" --files 50 --parts meta --warm --rounds 1
ok "unmount" umount "$MNT"

# ---- the reports ----

mkdir "$T/kept"
touch "$T/rows.json"
before=$(ls "$T")
if [ "$(id -u)" = 0 ]; then
    ok "fs-matrix measures a group" bench/fs-matrix "$B" --quick --only meta --on siltfs,ceiling --dir "$T" --json "$T/rows.json"
    ok "... and tells it as objects" holds "$T/rows.json" "len(r) == 7 and all(
        o['systems']['siltfs']['median'] > 0 and o['goals'][0]['reached'] in (True, False) for o in r)"
    same "... and leaves nothing" "$(ls "$T")" "$before"
else
    skip "fs-matrix is for root"
fi
not "fs-matrix knows its groups" bench/fs-matrix "$B" --only none
not "kv-matrix knows its engines" bench/kv-matrix "$B" --on none
cp tests/bench/*.json "$T/kept"
ok "the report is made of what was kept" bench/report results "$T/kept" "$T"
while read -r line; do
    ok "it says: $line" grep -qF -- "$line" "$T/RESULTS.md"
done <tests/bench/lines
if command -v gnuplot >/dev/null; then
    for chart in metadata free engine; do
        ok "$chart.svg is drawn" grep -q '</svg>' "$T/$chart.svg"
        ok "... and shown" grep -q "($chart.svg)" "$T/RESULTS.md"
    done
fi
finish
