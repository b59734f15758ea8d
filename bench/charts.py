"""Charts of the figures, drawn by gnuplot as SVG: bars, a cluster for each thing that was
measured and a colour for each system.
"""
import subprocess
from figures import PHASES, SYSTEMS

# The same colour for a system, wherever it is: ours stands out.
COLOURS = {"siltfs": "#d62728", "lsm": "#d62728", "ceiling": "#7f7f7f", "ext4": "#1f77b4", "gocryptfs": "#9467bd",
           "fuse2fs": "#2ca02c", "ntfs-3g": "#ff9f40", "rocksdb": "#1f77b4", "rocksdb-blob": "#7fb4d9",
           "leveldb": "#2ca02c", "lmdb": "#9467bd"}


def bars(path, title, ylabel, names, series, log=None, line=None):
    """series: (label, colour, values); a value of None leaves a gap. `line` is drawn across,
    with its label: (1, "the ceiling"). log: gnuplot's format of the numbers of a
    logarithmic scale. False when there is nothing to draw."""
    series = [s for s in series if any(v is not None for v in s[2])]
    if not series:
        return False
    data = "\n".join('"%s" %s' % (name, " ".join("NaN" if v[i] is None else "%g" % v[i] for _, _, v in series))
                     for i, name in enumerate(names))
    plots = ["$data using %d:xtic(1) title '%s' linecolor rgb '%s'" % (i + 2, label, colour)
             for i, (label, colour, _) in enumerate(series)]
    if line:
        plots.append("%g with lines dashtype 2 linewidth 1.5 linecolor rgb '#404040' title '%s'" % line)
    script = """
set terminal svg size 960,420 font "sans,13" background "white"
set output "%s"
set title "%s"
set ylabel "%s"
set style data histogram
set style histogram cluster gap 1
set style fill solid 0.9 noborder
set key outside right top Left reverse
set grid ytics linecolor rgb '#d0d0d0'
set xtics nomirror scale 0 %s
set ytics nomirror
%s
$data << EOD
%s
EOD
plot %s
""" % (path, title, ylabel, "rotate by -25" if len("".join(names)) > 60 else "",
       "set logscale y\nset format y '%s'" % log if log else "set yrange [0:*]", data, ", ".join(plots))
    subprocess.run(["gnuplot"], input=script.encode(), check=True)
    return True


def times(figures, keys, systems, base):
    """Each system's medians as times that of `base`; where less is better, as speed."""
    series = []
    for system in systems:
        values = []
        for key in keys:
            f = figures.rows.get(key)
            ours, theirs = (f.median(system), f.median(base)) if f else (None, None)
            values.append(None if not ours or not theirs else theirs / ours if f.unit == "s" else ours / theirs)
        series.append((system, COLOURS[system], values))
    return series


def engine(figures, path):
    shown = [("fill1", "fillseq"), ("fill1", "fillrandom"), ("fill1", "overwrite"), ("sync1", "fillsync"),
             ("big", "bigoverwrite"), ("read", "readrandom"), ("read", "readmissing"), ("read", "readseq"),
             ("read", "readreverse"), ("read", "seekrandom"), ("read", "mixed"), ("read", "deleterandom"),
             ("memory", "readrandom")]
    rows = [figures.find("kv", g, w, "") for g, w in shown]
    names = [w + (" > memory" if g == "memory" else "") for (g, w), f in zip(shown, rows) if f]
    rows = [f for f in rows if f]
    series = [(s, COLOURS[s], [f.median(s) for f in rows]) for s in SYSTEMS["kv"] if any(s in f.rounds for f in rows)]
    return bars(path, "The engine and its peers, one thread", "operations per second", names, series, log="%.0s%c")


def metadata(figures, path):
    keys = [("fs", "meta", p, "warm") for p in PHASES]
    systems = [s for s in SYSTEMS["fs"] if s not in ("ceiling", "ext4")]
    return bars(path, "Small files, one client, pinned", "times the ceiling", PHASES,
         times(figures, keys, systems, "ceiling"), line=(1, "ceiling"))


def free(figures, path):
    series = []
    for system in SYSTEMS["fs"]:
        values = []
        for phase in PHASES:
            rows = [figures.find("fs", g, phase, "warm") for g in ("free", "meta")]
            ours, pinned = [f.median(system) if f else None for f in rows]
            values.append(ours / pinned if ours and pinned else None)
        series.append((system, COLOURS[system], values))
    return bars(path, "Small files, one client: free beside pinned", "times the pinned figure", PHASES, series,
         line=(0.5, "goal"))


def data(figures, path):
    shown = [("fio", "write", "1024k jobs=1", "write 1m"), ("fio", "read", "1024k jobs=1 warm", "read 1m"),
             ("fio", "randwrite", "4k jobs=1", "randwrite 4k"), ("fio", "randread", "4k jobs=1 warm", "randread 4k"),
             ("fio", "write", "4k jobs=1 fsync", "fsync 4k"), ("fio", "write", "4k jobs=16 fsync", "fsync 4k, 16"),
             ("fiocold", "read", "1024k jobs=1 cold", "read 1m cold"),
             ("fiocold", "randread", "4k jobs=1 cold", "randread 4k cold")]
    there = [s for s in shown if ("fs",) + s[:3] in figures.rows]
    series = times(figures, [("fs",) + s[:3] for s in there], [s for s in SYSTEMS["fs"] if s != "ext4"], "ext4")
    # An fsync of what has no storage says nothing.
    series = [(s, colour, [None if s == "ceiling" and "fsync" in shown[3] else v for v, shown in zip(values, there)])
              for s, colour, values in series]
    return bars(path, "Large files, by fio", "times ext4's speed", [s[3] for s in there], series, log="%g",
                line=(1, "ext4"))


def cold(figures, path):
    phases = ["find", "ls -lR", "du", "grep -r", "tar", "rm -rf"]
    return bars(path, "Many small files, caches empty", "times ext4's speed", phases,
         times(figures, [("fs", "many", p, "cold") for p in phases], [s for s in SYSTEMS["fs"] if s != "ext4"], "ext4"),
         line=(1, "ext4"))


# File, what draws it, of which kind, and what it is called in the text.
CHARTS = [("engine.svg", engine, "kv", "The engine and its peers: operations per second, a logarithmic scale"),
          ("metadata.svg", metadata, "fs", "Small files beside the ceiling"),
          ("free.svg", free, "fs", "Small files, free beside pinned"),
          ("data.svg", data, "fs", "Large files beside ext4"),
          ("cold.svg", cold, "fs", "Many small files, cold, beside ext4")]
