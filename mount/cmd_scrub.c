/*
 * cmd_scrub.c - siltfs scrub STORE|MNT and siltfs verify STORE: are the bytes those that
 * were written? Of a mount its daemon looks, beside its other work; of a store at rest
 * this program.
 *
 * STORE/SCRUB remembers how far an interrupted scrub came: two lines, "position N" and
 * "problems N". It is no part of the store's content.
 */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <unistd.h>

#include "ask.h"
#include "command.h"
#include "log.h"
#include "options.h"
#include "progress.h"
#include "store.h"
#include "target.h"

enum {
    EXIT_CLEAN = 0,
    EXIT_DAMAGED = 1,
    EXIT_TROUBLE = 8, /* as fsck(8) has it: could not be checked */
};

struct scrub {
    char store[PATH_MAX];
    bool resume, keep; /* SCRUB is read; is written and removed */
    uint64_t rate;
    uint64_t position, problems; /* problems: also those told before */
    bool quiet;                  /* no bar */
    struct progress bar;
};

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
    interrupted = 1;
}

static bool go_on(void *arg)
{
    return !interrupted;
}

/* ---- where it was ---- */

static void note_path(const struct scrub *s, char path[PATH_MAX + 32], const char *end)
{
    snprintf(path, PATH_MAX + 32, "%s/SCRUB%s", s->store, end);
}

static void read_note(struct scrub *s)
{
    static char path[PATH_MAX + 32];
    FILE *f;
    int fd;

    note_path(s, path, "");
    /* A stranger's store may have anything by that name. */
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    f = fd < 0 ? NULL : fdopen(fd, "r");
    if (!f || fscanf(f, "position %" SCNu64 "\nproblems %" SCNu64 "\n", &s->position,
                     &s->problems) != 2)
        s->position = s->problems = 0;
    if (f)
        fclose(f);
}

static void remove_note(const struct scrub *s)
{
    static char path[PATH_MAX + 32];

    note_path(s, path, "");
    /* A read-only disk refuses to remove also what is not there. */
    if (access(path, F_OK) == 0 && unlink(path) < 0)
        note("%s: %s", path, strerror(errno));
}

static void write_note(const struct scrub *s)
{
    static char path[PATH_MAX + 32], tmp[PATH_MAX + 32];
    FILE *f;
    int fd;

    note_path(s, path, "");
    note_path(s, tmp, ".new");
    unlink(tmp);
    fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    f = fd < 0 ? NULL : fdopen(fd, "w");
    if (f)
        fprintf(f, "position %" PRIu64 "\nproblems %" PRIu64 "\n", s->position,
                s->problems);
    if (!f || fclose(f) != 0 || rename(tmp, path) < 0)
        note("%s: cannot remember where it stopped: %s", path, strerror(errno));
    else
        note("interrupted; `siltfs scrub --resume` goes on from here");
}

/* ---- telling ---- */

static void show_line(void *arg, const char *line)
{
    struct scrub *s = arg;

    progress_clear(&s->bar);
    s->problems++;
    printf("%s\n", line);
    fflush(stdout);
}

static void show_progress(void *arg, uint64_t done, uint64_t total, uint64_t position)
{
    struct scrub *s = arg;

    s->position = position;
    if (!s->quiet)
        progress_show(&s->bar, done, total);
}

/* ---- of a mount ---- */

static int live(struct scrub *s, const char *mountpoint, struct why *why)
{
    struct ask a = {show_line, show_progress, go_on, s};
    char order[100];
    int status = 0;

    snprintf(order, sizeof(order), "scrub rate=%" PRIu64 " after=%" PRIu64, s->rate,
             s->position);
    return ask(mountpoint, order, &a, &status, why);
}

/* ---- at rest ---- */

static int rest_progress(void *arg, uint64_t done, uint64_t total, uint64_t position)
{
    show_progress(arg, done, total, position);
    return interrupted ? -ECANCELED : 0;
}

static int at_rest(struct scrub *s, struct why *why)
{
    struct fs_scrub_options fo = {.report = show_line,
                                  .progress = rest_progress,
                                  .arg = s,
                                  .bytes_per_s = s->rate,
                                  .after = s->position};
    struct lsm_options o;
    uint64_t problems;
    struct lsm *db;
    int err;

    lsm_options_init(&o);
    o.read_only = true;
    o.verify_bytes = 0; /* that is what is done here */
    err = store_open(s->store, &o, &db, why);
    if (err)
        return err;
    log_to_stderr();
    err = fs_scrub(db, &fo, &problems);
    lsm_close(db); /* read only: nothing to lose */
    if (err && err != -ECANCELED)
        why_set(why, err, "%s: the check stopped: %s", s->store, strerror(-err));
    return err;
}

/* ---- both ---- */

static int finish(struct scrub *s, int err, const char *name, const struct why *why)
{
    progress_clear(&s->bar);
    if (err == -ECANCELED && s->keep)
        write_note(s);
    else if (!err && s->keep)
        remove_note(s);
    if (err) {
        if (err != -ECANCELED)
            fail("%s", why->text);
        return EXIT_TROUBLE;
    }
    if (s->problems)
        printf("%s: damaged\n", name);
    else
        printf("%s: every byte is as written\n", name);
    return fflush(stdout) == 0 && !s->problems ? EXIT_CLEAN : EXIT_DAMAGED;
}

static int run(struct scrub *s, const char *mountpoint, const char *name, struct why *why)
{
    struct sigaction sa = {.sa_handler = interrupt};
    int err;

    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    s->quiet = !s->keep;
    if (s->resume)
        read_note(s);
    err = mountpoint ? live(s, mountpoint, why) : at_rest(s, why);
    return finish(s, err, name, why);
}

static bool parse(int argc, char **argv, struct scrub *s)
{
    static const struct option long_options[] = {
        {"rate", required_argument, NULL, 'r'}, {"resume", no_argument, NULL, 'c'}, {0}};
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (c == 'c')
            s->resume = true;
        else if (c != 'r' || !size_parse(optarg, &s->rate) || !s->rate)
            return false;
    }
    return argc - optind == 1;
}

int cmd_scrub(int argc, char **argv)
{
    static struct scrub s = {.keep = true};
    static struct target t;
    struct why why;

    if (!parse(argc, argv, &s)) {
        usage("scrub");
        return EXIT_TROUBLE;
    }
    if (target_resolve(argv[optind], &t, &why)) {
        fail("%s", why.text);
        return EXIT_TROUBLE;
    }
    strcpy(s.store, t.store);
    return run(&s, t.mounted ? t.mountpoint : NULL, t.mounted ? t.mountpoint : t.store,
               &why);
}

int cmd_verify(int argc, char **argv)
{
    static struct scrub s;
    struct why why;

    if (argc != 2 || argv[1][0] == '-') {
        usage("verify");
        return EXIT_TROUBLE;
    }
    if (store_resolve(argv[1], s.store, &why)) {
        fail("%s", why.text);
        return EXIT_TROUBLE;
    }
    return run(&s, NULL, s.store, &why);
}
