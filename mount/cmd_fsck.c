/*
 * cmd_fsck.c - siltfs fsck: does the tree in a store at rest make sense? Mends it when
 * told to. Whether the bytes are those that were written, cmd_scrub.c asks.
 */
#include <getopt.h>
#include <unistd.h>

#include "command.h"
#include "log.h"
#include "../fs/fs.h"
#include "store.h"

/* As fsck(8) has them. */
enum {
    EXIT_CLEAN = 0,
    EXIT_CORRECTED = 1,
    EXIT_LEFT = 4,
    EXIT_TROUBLE = 8, /* could not be checked */
};

static int trouble(const struct why *why)
{
    fail("%s", why->text);
    return EXIT_TROUBLE;
}

struct fsck {
    bool repair;
    bool contents;
    char path[PATH_MAX];
    struct lsm *db;
    bool mended;       /* the store itself */
    bool refused;      /* it is damaged, and would not be mounted... */
    struct why refuse; /* ... because of that */
};

static void print_line(void *arg, const char *line)
{
    (void)arg;
    printf("%s\n", line);
}

static void print_loss(void *arg, const char *line)
{
    (void)arg;
    printf("store: %s\n", line);
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

static int fsck_options(int argc, char **argv, struct fsck *f)
{
    static const struct option names[] = {
        {"repair", no_argument, NULL, 'y'},
        {"dry-run", no_argument, NULL, 'n'},
        {"contents", no_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    bool dry = false;
    int opt;

    opterr = 0;
    while ((opt = getopt_long(argc, argv, "nyapc", names, NULL)) != -1) {
        if (opt == '?')
            return -EINVAL;
        f->repair |= strchr("yap", opt) != NULL;
        f->contents |= opt == 'c';
        dry |= opt == 'n';
    }
    f->repair &= !dry;
    return optind == argc - 1 ? 0 : -EINVAL;
}

static int fsck_open(struct fsck *f, bool read_only, struct why *why)
{
    struct lsm_options o;
    int err;

    lsm_options_init(&o);
    o.read_only = read_only;
    err = store_open(f->path, &o, &f->db, why);
    if (err == -EUCLEAN && !f->repair) {
        /* Perhaps it is only contents. Which files' is more than the engine knows. */
        f->refused = f->contents = true;
        f->refuse = *why;
        log_forget();
        o.verify_bytes = 0;
        err = store_open(f->path, &o, &f->db, why);
    }
    if (!err)
        log_to_stderr();
    return err;
}

/* Is that what lsm_repair is for? Also a store that has lost the file by which it is
 * known as one. */
static bool is_damage(int err)
{
    return err == -EUCLEAN || err == -ENOENT;
}

/* Make the store below the filesystem whole, as far as there is any; why keeps what it
 * said when there is none. */
static int mend_store(struct fsck *f, int err, struct why *why)
{
    struct lsm_repair_result r;
    struct lsm_options o;
    int rc;

    if (f->mended || !is_damage(err))
        return err;
    lsm_options_init(&o);
    o.format = FS_FORMAT;
    log_collect();
    rc = lsm_repair(f->path, &o, print_loss, NULL, &r);
    if (rc == -ENOENT && err == -EUCLEAN)
        return why_set(why, err,
                       "%s: nothing of a siltfs store can be read there; all is left as "
                       "it was",
                       f->path);
    if (rc == -ENOENT)
        return err;
    if (rc)
        return store_why(f->path, rc, why);
    f->mended = true;
    log_forget();
    printf("store: made of what is readable: %u table%s, %u log%s; %llu loss%s%s\n",
           r.tables, plural(r.tables), r.logs, plural(r.logs),
           (unsigned long long)r.losses, r.losses == 1 ? "" : "es",
           r.losses ? ", told above; what is left of damaged files is in lost/" : "");
    return 0;
}

static int fsck_why(struct fsck *f, int err, struct why *why)
{
    if (err == -ENODATA)
        return why_set(why, err, "%s: holds no filesystem", f->path);
    if (err == -EPROTONOSUPPORT)
        return store_why(f->path, err, why);
    if (err == -EUCLEAN && !f->repair)
        return why_set(
            why, err,
            "%s: the check stopped at damaged bytes; `siltfs fsck --repair %s` "
            "mends what it can",
            f->path, f->path);
    return why_set(why, err, "%s: the check stopped: %s", f->path, strerror(-err));
}

static int fsck_check(struct fsck *f, struct fs_repair_result *result, struct why *why)
{
    int err = fsck_open(f, true, why);

    if (err)
        return err;
    err = (f->contents ? fs_check_contents : fs_check)(f->db, print_line, NULL,
                                                       &result->problems);
    lsm_close(f->db); /* read only: nothing to lose */
    result->left = result->problems;
    return err ? fsck_why(f, err, why) : 0;
}

static void note_line(void *arg, const char *line)
{
    (void)line;
    *(bool *)arg = true;
}

/* What is sound, of a newer version, or no filesystem is not even opened for writing. */
static int fsck_look(struct fsck *f, bool *anything, struct why *why)
{
    uint64_t problems;
    int err = fsck_open(f, true, why);

    *anything = f->contents;
    if (err)
        return err;
    err = fs_check(f->db, note_line, anything, &problems);
    lsm_close(f->db); /* read only: nothing to lose */
    return err ? fsck_why(f, err, why) : 0;
}

static int fsck_repair(struct fsck *f, struct fs_repair_result *result, struct why *why)
{
    struct fs_repair_options o = {
        .uid = geteuid(), .gid = getegid(), .contents = f->contents};
    bool anything;
    int err = fsck_look(f, &anything, why), close_err;

    if (err || !anything)
        return err;
    err = fsck_open(f, false, why);
    if (err)
        return err;
    err = fs_repair(f->db, &o, print_line, NULL, result);
    close_err = lsm_close(f->db);
    err = err ? err : close_err;
    return err ? fsck_why(f, err, why) : 0;
}

static int fsck_summary(const struct fsck *f, const struct fs_repair_result *r)
{
    if (f->refused)
        fail("%s", f->refuse.text);
    if (r->left)
        printf("%s: %llu problem%s%s\n", f->path, (unsigned long long)r->left,
               plural(r->left), f->repair ? " left" : "");
    else if (r->problems || f->mended)
        printf("%s: %llu problem%s mended\n", f->path, (unsigned long long)r->problems,
               plural(r->problems));
    else
        printf("%s: clean\n", f->path);
    if (r->left)
        return EXIT_LEFT;
    return r->problems || f->mended ? EXIT_CORRECTED : EXIT_CLEAN;
}

/* Objects that no file of the store has: a writer that was cut off left them. */
static int fsck_leaks(struct fsck *f, struct fs_repair_result *result, struct why *why)
{
    uint64_t objects;
    int err = env_rados_leaks(f->path, f->repair, &objects);

    if (err)
        return fsck_why(f, err, why);
    if (!objects)
        return 0;
    printf("%llu object%s of no file%s\n", (unsigned long long)objects, plural(objects),
           f->repair ? ", removed" : "");
    result->problems++;
    result->left += !f->repair;
    return 0;
}

int cmd_fsck(int argc, char **argv)
{
    struct fs_repair_result result = {0};
    struct fsck f = {0};
    struct why why;
    int err;

    if (fsck_options(argc, argv, &f)) {
        usage("fsck");
        return EXIT_TROUBLE;
    }
    err = store_resolve(argv[optind], f.path, &why);
    if (!err)
        err = (f.repair ? fsck_repair : fsck_check)(&f, &result, &why);
    if (err && f.repair && mend_store(&f, err, &why) == 0)
        err = fsck_repair(&f, &result, &why);
    if (!err && env_is_rados(f.path))
        err = fsck_leaks(&f, &result, &why);
    if (!err && f.refused && !result.problems)
        err = why_set(&why, -EUCLEAN, "%s", f.refuse.text);
    fflush(stdout);
    if (err)
        return trouble(&why);
    err = fsck_summary(&f, &result);
    fflush(stdout);
    return err;
}

/* ---- verify ---- */
