"""Figures out of the files that the matrices keep (matrix.kept), and the goals beside them.

A figure is what one thing did on each system: the values of the rounds, told as their
median. Two systems are compared round by round, for in a round they took turns; the
median of these ratios counts.
"""
import json, statistics

SYSTEMS = {"fs": ["siltfs", "ceiling", "ext4", "gocryptfs", "fuse2fs", "ntfs-3g"],
           "kv": ["lsm", "rocksdb", "rocksdb-blob", "leveldb", "lmdb"]}
OURS = {"fs": "siltfs", "kv": "lsm"}
# What a goal may be compared with besides one system: the best of several.
TEAMS = {"FUSE peers": ["gocryptfs", "fuse2fs", "ntfs-3g"],
         "best peer": ["rocksdb", "rocksdb-blob", "leveldb"]}
PHASES = ["create", "stat", "read", "list", "chmod", "rename", "unlink"]
MORE_IS_BETTER = ("1/s", "MB/s")
# Of what bench-kv tells: the unit, and the factor to it.
KV_UNITS = {"ops_per_s": ("1/s", 1), "write_amplification": ("x", 1), "space_amplification": ("x", 1),
            "peak_space_amplification": ("x", 1), "longest_stall_ms": ("ms", 1), "peak_memory_bytes": ("MB", 1e-6),
            "deleted_over_clean": ("x", 1), "rested_over_clean": ("x", 1), "open_ms": ("ms", 1)}
KV_NAMES = {"write_amplification": "written/user", "space_amplification": "disk/live",
            "peak_space_amplification": "peak disk/live", "longest_stall_ms": "longest stall",
            "peak_memory_bytes": "peak memory", "deleted_over_clean": "deleted/clean",
            "rested_over_clean": "rested/clean", "open_ms": "open"}


class Goal:
    """`least` times as good as `of`; or `most` times as much, without `of` in its unit.
    A variant of None is any."""

    def __init__(self, kind, group, phase, variant, least=None, most=None, of=None):
        self.kind, self.group, self.phase, self.variant = kind, group, phase, variant
        self.least, self.most, self.of = least, most, of

    def fits(self, f):
        return (self.kind, self.group, self.phase) == (f.kind, f.group, f.phase) and self.variant in (None, f.variant)

    def text(self, unit):
        sign, bound = (">=", self.least) if self.least else ("<=", self.most)
        return "%s %.3g%s" % (sign, bound, "x " + self.of if self.of else " " + unit if unit != "x" else "")


def fs_goals():
    def goal(group, phase, variant, *least, **more):
        return Goal("fs", group, phase, variant, *least, **more)
    for phase in PHASES:
        yield goal("meta", phase, "warm", 0.9, of="ceiling")
        yield goal("meta", phase, "warm", 1.0, of="FUSE peers")
    for phase in PHASES:
        yield goal("free", phase, "warm", 0.5, of="pinned")
    yield goal("meta4", "create", "warm", 0.9, of="ceiling")
    yield goal("fio", "write", "1024k jobs=1", 0.8, of="ceiling")
    yield goal("fio", "read", "1024k jobs=1 warm", 0.8, of="ceiling")
    yield goal("fio", "randwrite", "4k jobs=1", 0.8, of="ceiling")
    yield goal("fiocold", "randread", "4k jobs=1 cold", 0.8, of="ext4")
    yield goal("fio", "write", "4k jobs=1 fsync", 0.8, of="ext4")
    yield goal("fio", "write", "4k jobs=16 fsync", 1.5, of="ext4")
    for phase, least in [("find", 1), ("du", 1), ("ls -lR", 1), ("grep -r", 2.5), ("tar", 2.5), ("rm -rf", 2)]:
        yield goal("many", phase, "cold", least, of="ext4")
    yield goal("many", "space", None, most=0.1, of="ext4")
    yield goal("large", "unlink", None, most=5)
    yield goal("large", "rename dir", None, most=5)
    yield goal("large", "mount", None, most=500)


def kv_goals():
    def goal(group, workload, figure, *least, **more):
        return Goal("kv", group, workload, KV_NAMES[figure], *least, **more)

    def ops(group, workload, least, of="best peer"):
        return Goal("kv", group, workload, "", least, of=of)
    for group in ("fill1", "fill4"):
        for workload in ("fillseq", "fillrandom", "overwrite"):
            yield ops(group, workload, 2.0)
    yield ops("sync1", "fillsync", 1.0)
    yield ops("sync16", "fillsync", 1.2)
    yield ops("read", "readrandom", 2.0)
    yield ops("read", "readrandom", 1.0, "lmdb")
    yield ops("read", "readmissing", 3.0)
    yield ops("read", "readseq", 3.0)
    yield ops("read", "readreverse", 3.0)
    yield ops("read", "seekrandom", 2.0)
    yield ops("memory", "readrandom", 1.0)
    yield ops("big", "bigoverwrite", 3.0)
    yield goal("big", "bigoverwrite", "write_amplification", most=2.0)
    yield goal("big", "bigoverwrite", "space_amplification", most=1.5)
    yield goal("big", "bigoverwrite", "peak_space_amplification", most=1.5)
    yield goal("writes", "overwrite", "write_amplification", most=1.0, of="rocksdb")
    yield goal("writes", "overwrite", "space_amplification", most=1.2)
    yield goal("stall", "overwrite", "longest_stall_ms", most=100)
    for figure in ("deleted_over_clean", "rested_over_clean"):
        yield goal("deleted", "seekdeleted", figure, most=5)
        yield goal("ranges", "seekrangedeleted", figure, most=5)
    yield goal("killed", "openkilled", "open_ms", most=1000)


GOALS = {"fs": list(fs_goals()), "kv": list(kv_goals())}
# Costs of workloads that are told without a goal, too.
KV_COSTS = [("fill1", "fillrandom", "write_amplification"), ("fill1", "fillrandom", "peak_memory_bytes"),
            ("read", "readrandom", "peak_memory_bytes"), ("writes", "overwrite", "peak_space_amplification")]


class Figure:
    def __init__(self, kind, group, phase, variant, unit):
        self.kind, self.group, self.phase, self.variant, self.unit = kind, group, phase, variant, unit
        self.rounds = {}  # system -> {round: value}

    def median(self, system):
        return statistics.median(self.rounds[system].values()) if self.rounds.get(system) else None

    def spread(self, system):
        """Half of what lies between the least and the most, in parts of the median."""
        v = list(self.rounds.get(system, {}).values())
        return (max(v) - min(v)) / 2 / statistics.median(v) if len(v) > 1 and statistics.median(v) else None

    def best(self, systems):
        """Which of these does best."""
        there = [s for s in systems if self.median(s)]
        choose = max if self.unit in MORE_IS_BETTER else min
        return choose(there, key=self.median) if there else None


def ratio(ours, theirs):
    """Of two {round: value}: the median over the rounds that both have."""
    both = [ours[r] / theirs[r] for r in ours if r in theirs and theirs[r]]
    return statistics.median(both) if both else None


class Figures:
    def __init__(self, records):
        self.records, self.rows = records, {}
        for record in records:
            for r in record["results"]:
                self.add(record["kind"], r)

    def add(self, kind, r):
        if kind == "fs":
            self.add_one(kind, r, r["phase"], r["variant"], r["unit"], r["value"])
            return
        self.add_one(kind, r, r["workload"], "", "1/s", r["ops_per_s"])
        for name, (unit, factor) in KV_UNITS.items():
            wanted = (r["group"], r["workload"], KV_NAMES.get(name))
            if name in r and (any(wanted == (g.group, g.phase, g.variant) for g in GOALS["kv"])
                              or (r["group"], r["workload"], name) in KV_COSTS):
                self.add_one(kind, r, r["workload"], KV_NAMES[name], unit, r[name] * factor)

    def add_one(self, kind, r, phase, variant, unit, value):
        key = (kind, r["group"], phase, variant)
        row = self.rows.setdefault(key, Figure(kind, r["group"], phase, variant, unit))
        row.rounds.setdefault(r["system"], {})[r["round"]] = value

    def of(self, kind):
        return [f for f in self.rows.values() if f.kind == kind]

    def find(self, kind, group, phase, variant):
        return self.rows.get((kind, group, phase, variant))

    def judge(self, goal, f):
        """What was measured, and whether that is enough; None when something is missing."""
        ours = f.rounds.get(OURS[f.kind])
        if not ours:
            return None
        if not goal.of:
            value = f.median(OURS[f.kind])
            return value, value <= goal.most
        if goal.of == "pinned":
            other = self.find(f.kind, "meta", f.phase, f.variant)
            theirs = other.rounds.get(OURS[f.kind]) if other else None
        else:
            theirs = f.rounds.get(f.best(TEAMS.get(goal.of, [goal.of])))
        value = ratio(ours, theirs) if theirs else None
        if value is None:
            return None
        if goal.most:
            return value, value <= goal.most
        if f.unit not in MORE_IS_BETTER:
            value = 1 / value if value else float("inf")
        return value, value >= goal.least

    def judged(self, kind):
        """(goal, figure or None, measured or None, reached) of every goal."""
        for goal in GOALS[kind]:
            fitting = [f for f in self.of(kind) if goal.fits(f)]
            for f in fitting:
                value, reached = self.judge(goal, f) or (None, None)
                yield goal, f, value, reached
            if not fitting:
                yield goal, None, None, None


def load(paths):
    records = []
    for path in paths:
        with open(path) as f:
            records.append(json.load(f))
    return records


# ---- for people ----


def cell(x):
    if x is None:
        return "-"
    if x >= 999500:
        return "%.3gM" % (x / 1e6)
    if x >= 9995:
        return "%.3gK" % (x / 1e3)
    return "%.0f" % x if x >= 100 else "%.3g" % x


def measured(goal, value, unit):
    if value is None:
        return "-"
    return "%.2fx" % value if goal.of else cell(value) + (" " + unit if unit != "x" else "")


def name_of(f):
    return f.phase + (" " + f.variant if f.variant else "")


def table(figures, kind, out):
    """All figures, with the goals beside them."""
    judged = {}
    for goal, f, value, reached in figures.judged(kind):
        if f:
            judged.setdefault(f, []).append((goal.text(f.unit), measured(goal, value, f.unit),
                                             "" if reached is None else "yes" if reached else "NO"))
    systems = [s for s in SYSTEMS[kind] if any(s in f.rounds for f in figures.of(kind))]
    heads = "".join("%*s" % (max(10, len(s) + 2), s) for s in systems)
    print("%-9s%-34s%s  %-5s%7s  %-20s%9s  %s" % ("group", "", heads, "", "spread", "goal", "measured", "reached"), file=out)
    for f in figures.of(kind):
        cells = "".join("%*s" % (max(10, len(s) + 2), cell(f.median(s))) for s in systems)
        spread = f.spread(OURS[kind])
        goals = judged.get(f, [])
        first = "%-20s%9s  %s" % goals[0] if goals else ""
        line = "%-9s%-34s%s  %-5s%7s  %s" % (f.group, name_of(f), cells, f.unit,
                                             "-" if spread is None else "%.0f %%" % (100 * spread), first)
        print(line.rstrip(), file=out)
        for goal in goals[1:]:
            print("%*s%-20s%9s  %s" % (43 + len(heads) + 16, "", *goal), file=out)
    met = [reached for _, _, _, reached in figures.judged(kind) if reached is not None]
    print("goals reached: %d of %d measured" % (sum(met), len(met)), file=out)


def objects(figures, kind):
    """The same as objects, for --json."""
    judged = {}
    for goal, f, value, reached in figures.judged(kind):
        if f:
            judged.setdefault(f, []).append({"goal": goal.text(f.unit), "measured": value, "reached": reached})
    for f in figures.of(kind):
        yield {"group": f.group, "phase": f.phase, "variant": f.variant, "unit": f.unit,
               "systems": {s: {"median": f.median(s), "least": min(v.values()), "most": max(v.values()),
                               "rounds": len(v)} for s, v in f.rounds.items()},
               "goals": judged.get(f, [])}


def tell(records, kind, machine_text, json_path, out):
    """What a matrix prints in the end, and --json."""
    figures = Figures(records)
    print("machine: %s" % machine_text, file=out)
    if records[0]["machine"]["versions"]:
        print("with:    %s" % ", ".join("%s %s" % v for v in records[0]["machine"]["versions"].items()), file=out)
    print(file=out)
    table(figures, kind, out)
    if json_path:
        with open(json_path, "w") as f:
            json.dump(list(objects(figures, kind)), f, indent=1)
