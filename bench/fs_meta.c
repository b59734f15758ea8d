/*
 * fs_meta.c - many small files: N of S bytes of text by T threads, each in a directory
 * of its own; every phase is timed on its own, all threads beginning together.
 *
 *   create  open, write, close            chmod    to another mode
 *   stat    lstat, in the order made      rename   within the directory
 *   read    open, read whole, close       unlink
 *   list    readdir, and lstat of each
 *
 * Warm: right after each other, so that the kernel still knows what it learned. Cold:
 * stat, list and read, each with empty caches. Every answer is checked: sizes, contents,
 * counts of entries.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "fs.h"

enum { ROUNDS_MAX = 99 };

struct client {
    const struct fs_config *config;
    char path[4200];
    int dir; /* -1: not open */
    unsigned count;
    void (*work)(struct client *c);
    pthread_barrier_t *start;
    pthread_t thread;
    uint64_t begun_ns, ended_ns;
    struct bench_latency latency;
};

static const char *content_of(const struct client *c, unsigned i)
{
    return fs_content(c->config, i);
}

static const char *name_of(char name[24], const char *stem, unsigned i)
{
    snprintf(name, 24, "%s%07u", stem, i);
    return name;
}

/* ---- phases ---- */

#define EACH(c, i)                                                                       \
    for (uint64_t i = 0, begun_ = bench_now_ns(), now_; i < (c)->count;                  \
         now_ = bench_now_ns(), bench_latency_add(&(c)->latency, now_ - begun_),         \
                  begun_ = now_, i++)

static void create(struct client *c)
{
    ssize_t bytes = (ssize_t)c->config->bytes;
    char name[24];

    EACH(c, i)
    {
        int fd =
            openat(c->dir, name_of(name, "file", i), O_CREAT | O_EXCL | O_WRONLY, 0644);

        if (fd < 0 || write(fd, content_of(c, i), (size_t)bytes) != bytes ||
            close(fd) != 0)
            bench_die(-errno, "create %s", name);
    }
}

static void stat_one(const struct client *c, const char *name)
{
    struct stat st;

    if (fstatat(c->dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        bench_die(-errno, "stat %s", name);
    if (S_ISREG(st.st_mode) && st.st_size != (off_t)c->config->bytes)
        bench_die(0, "stat %s: the size is wrong", name);
}

static void stat_all(struct client *c)
{
    char name[24];

    EACH(c, i)
    stat_one(c, name_of(name, "file", i));
}

static void list(struct client *c)
{
    DIR *d = fdopendir(openat(c->dir, ".", O_RDONLY | O_DIRECTORY));
    unsigned entries = 0;
    struct dirent *e;

    if (!d)
        bench_die(-errno, "list");
    for (errno = 0; (e = readdir(d)) != NULL; errno = 0, entries++)
        stat_one(c, e->d_name);
    if (errno || entries != c->count + 2)
        bench_die(-errno, "list: %u entries", entries);
    closedir(d);
}

static void read_all(struct client *c)
{
    size_t bytes = c->config->bytes;
    char name[24], *to = malloc(bytes + 1);

    EACH(c, i)
    {
        int fd = openat(c->dir, name_of(name, "file", i), O_RDONLY);

        if (!to || fd < 0 || read(fd, to, bytes + 1) != (ssize_t)bytes || close(fd) != 0)
            bench_die(-errno, "read %s", name);
        if (memcmp(to, content_of(c, i), bytes) != 0)
            bench_die(0, "read %s: the content is wrong", name);
    }
    free(to);
}

static void chmod_all(struct client *c)
{
    char name[24];

    EACH(c, i)
    {
        if (fchmodat(c->dir, name_of(name, "file", i), 0600, 0) != 0)
            bench_die(-errno, "chmod %s", name);
    }
}

static void rename_all(struct client *c)
{
    char from[24], to[24];

    EACH(c, i)
    {
        if (renameat(c->dir, name_of(from, "file", i), c->dir, name_of(to, "name", i)))
            bench_die(-errno, "rename %s", from);
    }
}

static void unlink_all(struct client *c)
{
    char name[24];

    EACH(c, i)
    {
        if (unlinkat(c->dir, name_of(name, "name", i), 0) != 0)
            bench_die(-errno, "unlink %s", name);
    }
}

static const struct phase {
    const char *name;
    void (*work)(struct client *);
    enum { ALWAYS, WARM, COLD } when;
} phases[] = {
    {"create", create, ALWAYS},     {"stat", stat_all, WARM},
    {"list", list, WARM},           {"read", read_all, WARM},
    {"stat", stat_all, COLD},       {"list", list, COLD},
    {"read", read_all, COLD},       {"chmod", chmod_all, ALWAYS},
    {"rename", rename_all, ALWAYS}, {"unlink", unlink_all, ALWAYS},
};

enum { PHASES = sizeof(phases) / sizeof(phases[0]) };

static bool wanted(const struct fs_config *c, const struct phase *p)
{
    return p->when == ALWAYS || (p->when == WARM ? c->warm : c->cold);
}

/* ---- threads ---- */

static void *client_main(void *arg)
{
    struct client *c = arg;

    pthread_barrier_wait(c->start);
    c->begun_ns = bench_now_ns();
    c->work(c);
    c->ended_ns = bench_now_ns();
    return NULL;
}

/* Files per second of all together, from the first one's begin to the last one's end. */
static double run_phase(struct client *clients, const struct fs_config *config,
                        const struct phase *phase)
{
    uint64_t begun = UINT64_MAX, ended = 0;
    pthread_barrier_t start;
    unsigned i;
    int err = pthread_barrier_init(&start, NULL, config->threads);

    for (i = 0; i < config->threads && !err; i++) {
        clients[i].work = phase->work;
        clients[i].start = &start;
        err = pthread_create(&clients[i].thread, NULL, client_main, &clients[i]);
    }
    if (err)
        bench_die(-err, "thread");
    for (i = 0; i < config->threads; i++) {
        pthread_join(clients[i].thread, NULL);
        begun = clients[i].begun_ns < begun ? clients[i].begun_ns : begun;
        ended = clients[i].ended_ns > ended ? clients[i].ended_ns : ended;
    }
    pthread_barrier_destroy(&start);
    return bench_per_second(config->files, ended - begun);
}

static void open_dirs(struct client *clients, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        clients[i].dir = open(clients[i].path, O_RDONLY | O_DIRECTORY);
        if (clients[i].dir < 0)
            bench_die(-errno, "%s", clients[i].path);
    }
}

static void close_dirs(struct client *clients, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        close(clients[i].dir);
        clients[i].dir = -1;
    }
}

static void one_round(const struct fs_config *c, struct client *clients, const char *dir,
                      unsigned round, double rates[PHASES][ROUNDS_MAX],
                      struct bench_latency *latency)
{
    unsigned n = c->threads, i, p;

    for (i = 0; i < n; i++) {
        clients[i].count = c->files / n + (i < c->files % n);
        snprintf(clients[i].path, sizeof(clients[i].path), "%s/r%u-%u", dir, round, i);
        if (mkdir(clients[i].path, 0755) != 0)
            bench_die(-errno, "%s", clients[i].path);
    }
    open_dirs(clients, n);
    for (p = 0; p < PHASES; p++) {
        if (!wanted(c, &phases[p]))
            continue;
        bench_progress(phases[p].name);
        if (phases[p].when == COLD) {
            close_dirs(clients, n);
            fs_go_cold(c);
            open_dirs(clients, n);
        }
        for (i = 0; i < n; i++)
            memset(&clients[i].latency, 0, sizeof(clients[i].latency));
        rates[p][round] = run_phase(clients, c, &phases[p]);
        for (i = 0; i < n; i++)
            bench_latency_merge(&latency[p], &clients[i].latency);
    }
    close_dirs(clients, n);
    for (i = 0; i < n; i++) {
        if (rmdir(clients[i].path) != 0)
            bench_die(-errno, "%s", clients[i].path);
    }
}

void fs_meta(const struct fs_config *c, const char *dir)
{
    struct bench_latency *latency = calloc(PHASES, sizeof(*latency));
    struct client *clients = calloc(c->threads, sizeof(*clients));
    double rates[PHASES][ROUNDS_MAX];
    unsigned i, p;

    if (!latency || !clients)
        bench_die(-ENOMEM, "meta");
    for (i = 0; i < c->threads; i++)
        clients[i].config = c;
    for (i = 0; i < c->rounds; i++)
        one_round(c, clients, dir, i, rates, latency);
    for (p = 0; p < PHASES; p++) {
        struct fs_result r = {.part = "meta", .phase = phases[p].name, .unit = "1/s"};

        if (!wanted(c, &phases[p]))
            continue;
        snprintf(r.variant, sizeof(r.variant), "%s",
                 phases[p].when == COLD ? "cold" : "warm");
        r.value = fs_median(rates[p], c->rounds);
        r.p50_us = (double)bench_latency_quantile(&latency[p], 0.5) / 1e3;
        r.p99_us = (double)bench_latency_quantile(&latency[p], 0.99) / 1e3;
        r.max_us = (double)latency[p].max_ns / 1e3;
        fs_result_add(&r);
    }
    free(clients);
    free(latency);
}
