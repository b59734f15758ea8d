/*
 * cmd_top.c - siltfs top MNT: what a mount does, live, on 80 columns and 24 lines. All
 * figures are differences of two readings of its metrics.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "../fs/fs.h"
#include "command.h"
#include "control.h"
#include "samples.h"
#include "target.h"

enum { KINDS = 7, BAR = 24, SHOWN_MAX = 64 };

struct top {
    struct target target;
    char path[PATH_MAX + 32];
    struct samples now, before;
    double seconds; /* between both */
    double every;
    unsigned rounds; /* 0: until it is ended */
    bool screen;     /* a terminal: drawn over itself */
};

static volatile sig_atomic_t ended;

static void on_signal(int signal)
{
    ended = 1;
}

/* ---- figures ---- */

static double value(const struct top *t, const char *name)
{
    return sample_of(&t->now, name, "");
}

/* A second's worth. */
static double rate(const struct top *t, const char *name, const char *label)
{
    double d = sample_of(&t->now, name, label) - sample_of(&t->before, name, label);

    return d > 0 ? d / t->seconds : 0;
}

static double share(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

/* "12.3M" in at most six columns. */
static const char *human(double n, char to[16])
{
    static const char units[] = " KMGTPE";
    int u = 0;

    for (; n >= 999.5 && units[u + 1]; u++)
        n /= 1024;
    if (u)
        snprintf(to, 16, n < 9.95 ? "%.1f%c" : "%.0f%c", n, units[u]);
    else
        snprintf(to, 16, "%.0f", n);
    return to;
}

static const char *duration(double s, char to[16])
{
    if (s < 1e-3)
        snprintf(to, 16, "%.1f us", s * 1e6);
    else if (s < 1)
        snprintf(to, 16, "%.1f ms", s * 1e3);
    else
        snprintf(to, 16, "%.1f s", s);
    return to;
}

static void bar(double part)
{
    int n = (int)(part * BAR + 0.5);

    n = n < 0 ? 0 : n > BAR ? BAR : n;
    printf("[%.*s%*s]", n, "########################", BAR - n, "");
}

/* ---- lines ---- */

static void show_head(const struct top *t)
{
    char a[16], b[16], c[16], d[16];
    double used = value(t, "lsm_memory_memtables_bytes") +
                  value(t, "lsm_memory_tables_bytes") +
                  value(t, "lsm_memory_work_bytes") + value(t, "lsm_cache_bytes");
    time_t now = time(NULL);
    char clock[16] = "";
    struct tm tm;

    if (localtime_r(&now, &tm))
        strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
    printf("siltfs top  %-56.56s %s\n", t->target.mountpoint, clock);
    printf("files %.0f (%.0f in memory)   disk %s, live %s   memory %s of %s\n\n",
           value(t, "siltfs_inodes"), value(t, "siltfs_live_inodes"),
           human(value(t, "lsm_disk_bytes"), a), human(value(t, "lsm_live_bytes"), b),
           human(used, c), human(value(t, "lsm_memory_budget_bytes"), d));
}

struct kind {
    const char *name;
    double count, seconds;
};

static int by_time(const void *a, const void *b)
{
    const struct kind *x = a, *y = b;

    return x->seconds < y->seconds   ? 1
           : x->seconds > y->seconds ? -1
           : x->count < y->count     ? 1
           : x->count > y->count     ? -1
                                     : 0;
}

static size_t find_kinds(const struct top *t, struct kind *kind, double *all,
                         double *failed)
{
    size_t i, n = 0;

    *all = *failed = 0;
    for (i = 0; i < t->now.n && n < SHOWN_MAX; i++) {
        const struct sample *s = &t->now.list[i];

        if (strcmp(s->name, "siltfs_requests_total") != 0)
            continue;
        kind[n].name = s->label;
        kind[n].count = rate(t, s->name, s->label);
        kind[n].seconds = rate(t, "siltfs_request_seconds_total", s->label);
        *all += kind[n].count;
        *failed += rate(t, "siltfs_requests_failed_total", s->label);
        n++;
    }
    qsort(kind, n, sizeof(*kind), by_time);
    return n;
}

static void show_requests(const struct top *t)
{
    struct kind kind[SHOWN_MAX];
    double all, failed;
    char a[16], b[16];
    size_t n = find_kinds(t, kind, &all, &failed), i;

    printf("requests %.0f/s, failed %.0f/s   contents read %s/s, written %s/s\n", all,
           failed, human(rate(t, "siltfs_read_bytes_total", ""), a),
           human(rate(t, "siltfs_write_bytes_total", ""), b));
    printf("%-16s %10s %10s  %s\n", "KIND", "PER S", "MEAN", "OF THE DAEMON'S TIME");
    for (i = 0; i < KINDS; i++) {
        if (i >= n || kind[i].count <= 0) {
            printf("\n");
            continue;
        }
        printf("%-16.16s %10.0f %10s  ", kind[i].name, kind[i].count,
               duration(kind[i].seconds / kind[i].count, a));
        bar(kind[i].seconds);
        printf(" %5.1f %%\n", 100 * kind[i].seconds);
    }
}

static void show_levels(const struct top *t)
{
    double most = 1, size;
    char label[2] = "0", a[16], b[16];

    for (; label[0] < '0' + LSM_LEVELS; label[0]++) {
        size = sample_of(&t->now, "lsm_level_bytes", label);
        most = size > most ? size : most;
    }
    printf("\nLEVEL TABLES   SIZE  TARGET\n");
    for (label[0] = '0'; label[0] < '0' + LSM_LEVELS; label[0]++) {
        size = sample_of(&t->now, "lsm_level_bytes", label);
        printf("L%s %9.0f %6s  %6s  ", label,
               sample_of(&t->now, "lsm_level_tables", label), human(size, a),
               human(sample_of(&t->now, "lsm_level_target_bytes", label), b));
        bar(size / most);
        printf(" written %s/s\n",
               human(rate(t, "lsm_level_written_bytes_total", label), a));
    }
    size = value(t, "lsm_segments_bytes");
    printf("value log %3.0f %5s, garbage ", value(t, "lsm_segments"), human(size, a));
    bar(share(value(t, "lsm_segments_garbage_bytes"), size));
    printf(" %.0f %%\n", 100 * share(value(t, "lsm_segments_garbage_bytes"), size));
}

static void show_engine(const struct top *t)
{
    double hits = rate(t, "lsm_cache_hits_total", ""),
           misses = rate(t, "lsm_cache_misses_total", ""),
           gets = rate(t, "lsm_gets_total", "");
    char a[16], b[16];

    printf(
        "lookups %.0f/s: %.2f tables each, filters spare %.0f %%, cache hits %.1f %%\n",
        gets, share(rate(t, "lsm_tables_searched_total", ""), gets),
        100 * share(rate(t, "lsm_filter_rejected_total", ""),
                    rate(t, "lsm_filter_checked_total", "")),
        100 * (hits + misses > 0 ? hits / (hits + misses) : 1));
    printf("flushed %s/s, compacted %s/s   write amplification %.2f\n",
           human(rate(t, "lsm_flush_bytes_total", ""), a),
           human(rate(t, "lsm_compact_written_bytes_total", ""), b),
           value(t, "lsm_write_amplification"));
    printf("syncs %.0f/s   stalled %.0f ms/s, longest so far %s",
           rate(t, "lsm_syncs_total", ""), 1000 * rate(t, "lsm_stall_seconds_sum", ""),
           duration(value(t, "lsm_stall_max_seconds"), a));
    if (value(t, "lsm_disk_full") > 0)
        printf("   DISK FULL");
    if (value(t, "lsm_background_error") != 0)
        printf("   READ-ONLY AFTER AN ERROR");
    else if (value(t, "lsm_damaged_tables") > 0)
        printf("   DAMAGED: siltfs scrub");
}

/* ---- the screen ---- */

static int read_now(struct top *t, struct why *why)
{
    int err = samples_read(&t->now, t->path);

    if (err == -ENOTCONN)
        return why_set(why, err, "%s: its daemon has died", t->target.mountpoint);
    return err ? why_set(why, err, "%s: %s", t->path, strerror(-err)) : 0;
}

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Until the next round; false: the user has had enough. */
static bool wait_key(const struct top *t, double seconds)
{
    struct pollfd p = {.fd = t->screen ? STDIN_FILENO : -1, .events = POLLIN};
    char key;

    if (poll(&p, 1, (int)(seconds * 1000)) > 0 &&
        (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q'))
        return false;
    return !ended;
}

static int rounds(struct top *t, struct why *why)
{
    double last = now_s(), now;
    unsigned round = 0;
    int err = read_now(t, why);

    while (!err && (!t->rounds || round < t->rounds) && wait_key(t, t->every)) {
        struct samples old = t->before;

        t->before = t->now;
        t->now = old;
        err = read_now(t, why);
        if (err)
            break;
        now = now_s();
        t->seconds = now - last;
        last = now;
        printf("%s", t->screen ? "\033[H\033[J" : round ? "\n" : "");
        show_head(t);
        show_requests(t);
        show_levels(t);
        show_engine(t);
        printf("%s", t->screen ? "   q ends" : "\n");
        fflush(stdout);
        round++;
    }
    return err;
}

static int run(struct top *t, struct why *why)
{
    struct sigaction sa = {.sa_handler = on_signal};
    struct termios old, raw;
    int err;

    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    t->screen = isatty(STDOUT_FILENO) && tcgetattr(STDIN_FILENO, &old) == 0;
    if (t->screen) {
        raw = old;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        printf("\033[?1049h\033[?25l");
    }
    err = rounds(t, why);
    if (t->screen) {
        printf("\033[?25h\033[?1049l");
        fflush(stdout);
        tcsetattr(STDIN_FILENO, TCSANOW, &old);
    }
    samples_release(&t->now);
    samples_release(&t->before);
    return err;
}

static bool parse(int argc, char **argv, struct top *t)
{
    char *end;
    int c;

    opterr = 0;
    t->every = 1;
    while ((c = getopt(argc, argv, "n:d:")) != -1) {
        if (c == 'n') {
            t->rounds = (unsigned)strtoul(optarg, &end, 10);
            if (*end || end == optarg || !t->rounds)
                return false;
        } else if (c == 'd') {
            t->every = strtod(optarg, &end);
            if (*end || !(t->every >= 0.1 && t->every <= 3600))
                return false;
        } else {
            return false;
        }
    }
    return argc - optind == 1;
}

int cmd_top(int argc, char **argv)
{
    static struct top t;
    struct why why;

    if (!parse(argc, argv, &t))
        return usage("top");
    if (target_resolve(argv[optind], &t.target, &why))
        return fail("%s", why.text);
    if (!t.target.mountpoint[0])
        return fail("%s: not mounted; `siltfs stats` tells of a store at rest",
                    argv[optind]);
    snprintf(t.path, sizeof(t.path), "%s/" CONTROL_NAME "/metrics", t.target.mountpoint);
    return run(&t, &why) ? fail("%s", why.text) : 0;
}
