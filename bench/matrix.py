"""What bench/fs-matrix and bench/kv-matrix share: arguments, progress, clean ends, and
files of figures.

A matrix measures groups of things on several systems. Within a group all systems take
turns in each round, so that what else the machine does hits all of them. A group that is
complete is kept as DIR/KIND-GROUP.json (see kept()), to be put together with others by
bench/report: groups may be run one at a time, on different days.
"""
import argparse, collections, json, os, shutil, signal, subprocess, sys, tempfile, time

# seconds and gigabytes (of disk) are those of all its rounds, (full, --quick); `beside` are
# the systems that only run in as many rounds as `beside_rounds`.
Group = collections.namedtuple("Group", "name about systems rounds seconds gigabytes beside beside_rounds what")


def group(name, about, systems, rounds, seconds, gigabytes, what, beside=(), beside_rounds=1):
    return Group(name, about, systems, rounds, seconds, gigabytes, tuple(beside), beside_rounds, what)


class Failed(Exception):
    """A system that could not be measured: the others are."""


# ---- arguments ----


def parser(kind, doc, groups, systems):
    p = argparse.ArgumentParser(prog="%s-matrix" % kind, description=doc, epilog=group_list(groups),
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build", metavar="BUILD", help="where the programs were built: build")
    p.add_argument("--quick", action="store_true", help="a few minutes, to see that it works")
    p.add_argument("--rounds", type=positive, metavar="N", help="the same for all groups")
    p.add_argument("--only", metavar="GROUP,...", type=lambda s: words(s, [g.name for g in groups], "group"))
    p.add_argument("--on", metavar="SYSTEM,...", type=lambda s: words(s, systems, "system"),
                   help="of %s; what is measured on some only is not kept" % ", ".join(systems))
    p.add_argument("--dir", metavar="DIR", help="where to work ($DIR, $TMPDIR or /tmp)",
                   default=os.environ.get("DIR") or os.environ.get("TMPDIR") or "/tmp")
    p.add_argument("--keep", metavar="DIR", help="for the files of figures (BUILD/bench; BUILD/bench-quick)")
    p.add_argument("--json", metavar="FILE", help="the table as a list of objects, one a row")
    return p


def positive(s):
    if not s.isdigit() or int(s) < 1:
        raise argparse.ArgumentTypeError("wants a number from 1 on, not %s" % s)
    return int(s)


def words(s, known, what):
    unknown = [w for w in s.split(",") if w not in known]
    if unknown:
        raise argparse.ArgumentTypeError("no %s %s: there are %s" % (what, unknown[0], ", ".join(known)))
    return s.split(",")


def group_list(groups):
    lines = ["  %-9s %2d rounds, %5.1f min  %s" % (g.name, g.rounds, g.seconds[0] / 60, g.about) for g in groups]
    return "\n".join(["groups:"] + lines + ["all: %.0f minutes on two processors of 2024; --quick: %.0f" % (
        sum(g.seconds[0] for g in groups) / 60, sum(g.seconds[1] for g in groups) / 60)])


# ---- commands ----


def run(argv, timeout=600, **more):
    """Its stdout. Failed when it fails, with its last words. Ended and waited for when we
    are interrupted."""
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, **more)
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failed("%s took longer than %d s" % (os.path.basename(argv[0]), timeout))
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
    if child.returncode:
        said = (err.strip() or out.strip() or "status %d" % child.returncode).splitlines()
        raise Failed("%s: %s" % (os.path.basename(argv[0]), said[-1]))
    return out


def interrupted(number, frame):
    raise KeyboardInterrupt


# ---- the machine ----


def line_of(path, name):
    with open(path) as f:
        return next((line.split(":", 1)[1].strip() for line in f if line.startswith(name)), "?")


def others_percent():
    """Of the processors' time, what others took in one second."""
    def times():
        with open("/proc/stat") as f:
            t = [int(x) for x in f.readline().split()[1:9]]
        return sum(t), t[3] + t[4]
    all0, idle0 = times()
    time.sleep(1)
    all1, idle1 = times()
    return round(100 - 100 * (idle1 - idle0) / max(1, all1 - all0))


def versions(packages):
    out = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n"] + packages,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return dict(line.split(" ", 1) for line in out.splitlines() if " " in line)


def commit():
    here = os.path.dirname(os.path.realpath(__file__))
    out = subprocess.run(["git", "-C", here, "describe", "--always", "--dirty"],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return out.stdout.strip() or "unknown"


def machine(where, packages):
    return {
        "cpu": line_of("/proc/cpuinfo", "model name"),
        "processors": os.cpu_count(),
        "memory_gib": round(int(line_of("/proc/meminfo", "MemTotal").split()[0]) / 1048576),
        "kernel": os.uname().release,
        "filesystem": run(["df", "--output=fstype", where]).split()[-1],
        "load": os.getloadavg()[0],
        "others_percent": others_percent(),
        "versions": versions(packages),
        "commit": commit(),
    }


def machine_text(m):
    return "%s, %d processors, %d GiB, Linux %s, %s; load %.2f, others took %d %% of the processors" % (
        m["cpu"], m["processors"], m["memory_gib"], m["kernel"], m["filesystem"], m["load"], m["others_percent"])


def warn_if_busy(m, say):
    if m["others_percent"] >= 10 or m["load"] > m["processors"] / 4:
        say("the machine is busy, or was a moment ago (load %.2f, others take %d %%): figures will be low and unsteady"
            % (m["load"], m["others_percent"]))


# ---- progress ----


class Progress:
    """What is done now and the time that is left, on stderr: one line on a terminal, one a
    step elsewhere."""

    def __init__(self, prog, seconds):
        self.prog, self.expected, self.done, self.began = prog, seconds, 0, time.monotonic()
        self.tty = sys.stderr.isatty()

    def left(self):
        elapsed = time.monotonic() - self.began
        rest = self.expected - self.done
        # What was foreseen, until there is something to learn from.
        if self.done > self.expected / 20:
            rest *= elapsed / self.done
        return "%.0f min left" % (rest / 60) if rest > 90 else "%.0f s left" % max(rest, 1)

    def begin(self, text):
        if self.tty:
            sys.stderr.write("\r\033[K%s; %s ..." % (text, self.left()))
        else:
            sys.stderr.write("%s; %s\n" % (text, self.left()))
        sys.stderr.flush()

    def end(self, seconds):
        self.done += seconds

    def say(self, text):
        self.clear()
        print("%s: %s" % (self.prog, text), file=sys.stderr, flush=True)

    def clear(self):
        if self.tty:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


# ---- running ----


def kept(directory, kind, name):
    """Where a group's figures are: kind, group, rounds, began, took_s, machine, failures (of
    systems), and results: what was measured, with round and system (or engine)."""
    return os.path.join(directory, "%s-%s.json" % (kind, name))


def check_space(p, where, groups, quick):
    if not os.access(where, os.W_OK):
        p.error("cannot write to %s" % where)
    wanted = max(g.gigabytes[quick] for g in groups)
    free = shutil.disk_usage(where).free / 1e9
    if free < wanted:
        most = max(groups, key=lambda g: g.gigabytes[quick]).name
        p.error("%s has %.1f GB free; group %s needs %.1f: choose another place by --dir, or --only other groups"
                % (where, free, most, wanted))


def steps_of(g, rounds, on):
    for r in range(1, rounds + 1):
        for system in g.systems:
            if (not on or system in on) and (system not in g.beside or r <= g.beside_rounds):
                yield r, system


def run_group(kind, g, args, measure, packages, progress, scratch):
    rounds = args.rounds or (1 if args.quick else g.rounds)
    steps = list(steps_of(g, rounds, args.on))
    m = machine(scratch, packages)
    if not progress.done:
        warn_if_busy(m, progress.say)
    record = {"kind": kind, "group": g.name, "quick": args.quick, "rounds": rounds,
              "began": time.strftime("%Y-%m-%d %H:%M"), "machine": m, "failures": [], "results": []}
    began = time.monotonic()
    for r, system in steps:
        progress.begin("%s on %s, round %d of %d" % (g.name, system, r, rounds))
        try:
            for result in measure(g, system, scratch):
                record["results"].append(dict({"group": g.name, "round": r, "system": system}, **result))
        except Failed as e:
            progress.say("%s on %s: %s" % (g.name, system, e))
            record["failures"].append("%s: %s" % (system, e))
        progress.end(g.seconds[args.quick] / len(steps))
    record["took_s"] = round(time.monotonic() - began)
    return record


def keep(record, directory):
    os.makedirs(directory, exist_ok=True)
    path = kept(directory, record["kind"], record["group"])
    with open(path + ".new", "w") as f:
        json.dump(record, f, indent=0)
    os.rename(path + ".new", path)


def main(kind, p, args, groups, measure, clean_up, packages):
    """Measure what args (of the parser p) want: measure(group, system, scratch) yields results or raises
    Failed; clean_up(scratch) undoes all it did, whatever came between. Returns the records
    of the groups, in order, and whether nothing failed."""
    chosen = [g for g in groups if not args.only or g.name in args.only]
    chosen = [g for g in chosen if not args.on or set(args.on) & set(g.systems)]
    directory = args.keep or os.path.join(args.build, "bench-quick" if args.quick else "bench")
    if not chosen:
        p.error("none of these groups runs on any of these systems")
    check_space(p, args.dir, chosen, args.quick)
    progress = Progress("%s-matrix" % kind, sum(g.seconds[args.quick] for g in chosen))
    scratch = os.path.realpath(tempfile.mkdtemp(prefix="%s-matrix-" % kind, dir=args.dir))
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, interrupted)
    records = []
    try:
        for g in chosen:
            records.append(run_group(kind, g, args, measure, packages, progress, scratch))
            if not args.on:
                keep(records[-1], directory)
    except KeyboardInterrupt:
        progress.say("interrupted; %s" % (
            "kept in %s: %s" % (directory, ", ".join(r["group"] for r in records)) if records and not args.on
            else "nothing was complete"))
        sys.exit(130)
    finally:
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, signal.SIG_IGN)
        progress.clear()
        clean_up(scratch)
        shutil.rmtree(scratch, ignore_errors=True)
    return records, not any(r["failures"] for r in records)
