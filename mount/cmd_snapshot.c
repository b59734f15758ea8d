/*
 * cmd_snapshot.c - siltfs snapshot create|list|delete|rollback, siltfs clone.
 */
#include <time.h>

#include "../fs/fs.h"
#include "command.h"
#include "log.h"
#include "options.h"
#include "progress.h"
#include "settings.h"
#include "source.h"
#include "store.h"

/* ---- the subcommands ---- */

static int show(void *arg, const struct snapshot *s)
{
    char when[32];
    struct tm tm;

    if (!localtime_r(&s->made.tv_sec, &tm) ||
        !strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm))
        strcpy(when, "?");
    if (!*(bool *)arg)
        printf("%-19s %8s %8s  %s\n", "MADE", "SIZE", "OWN", "NAME");
    *(bool *)arg = true;
    printf("%-19s", when);
    size_show(s->bytes);
    size_show(s->own);
    printf("  %s\n", s->name);
    return 0;
}

static int list(const struct target *t, const char *name, struct why *why)
{
    bool any = false;
    int err = snapshot_list(t->store, show, &any);

    if (err)
        return why_set(why, err, "%s/snapshots: %s", t->store, strerror(-err));
    return 0;
}

/* before-rollback-1, or the first of these that is free. */
static int keep_present(const struct target *t, char name[SNAPSHOT_NAME_MAX + 1],
                        struct why *why)
{
    char path[PATH_MAX];
    unsigned n = 1;

    do
        snprintf(name, SNAPSHOT_NAME_MAX + 1, "before-rollback-%u", n++);
    while (snapshot_find(t->store, name, path, why) == 0);
    return target_snapshot(t, name, why);
}

/* What is damaged, or of a newer version, is the snapshot. */
static int rollback_why(const struct target *t, const char *name, const char *path,
                        int err, struct why *why)
{
    if (err == -EEXIST)
        return why_set(why, err,
                       "\"%s\" is of another store, whose files have the numbers of this "
                       "one's; `siltfs clone %s@%s NEW` makes a store of it",
                       name, t->store, name);
    return store_why(err == -EBUSY ? t->store : path, err, why);
}

static int rollback(const struct target *t, const char *name, struct why *why)
{
    char path[PATH_MAX], kept[SNAPSHOT_NAME_MAX + 1];
    struct lsm_options o;
    int err;

    if (t->mounted)
        return why_set(why, -EBUSY,
                       "%s: mounted on %s; `siltfs umount %s` first, for what is open "
                       "there would be gone",
                       t->store, t->mountpoint, t->mountpoint);
    err = snapshot_find(t->store, name, path, why);
    if (!err)
        err = keep_present(t, kept, why);
    if (err)
        return err;
    lsm_options_init(&o);
    o.format = FS_FORMAT;
    log_collect();
    err = lsm_rollback(t->store, path, &o);
    if (err) {
        (void)snapshot_delete(t->store, kept, why); /* nothing was undone */
        return rollback_why(t, name, path, err, why);
    }
    printf("%s: is what \"%s\" holds; what it was is kept as \"%s\"\n", t->store, name,
           kept);
    return 0;
}

/* ---- diff ---- */

static int show_difference(void *arg, enum fs_diff_kind kind, const char *path,
                           const char *old_path)
{
    static const char letters[] = {[FS_DIFF_ADDED] = '+',
                                   [FS_DIFF_REMOVED] = '-',
                                   [FS_DIFF_CHANGED] = 'M',
                                   [FS_DIFF_RENAMED] = 'R'};

    if (old_path)
        printf("%c %s -> %s\n", letters[kind], old_path, path);
    else
        printf("%c %s\n", letters[kind], path);
    return ferror(stdout) ? -EIO : 0;
}

static int open_to_read(const char *path, struct lsm **db, struct why *why)
{
    struct lsm_options o;

    lsm_options_init(&o);
    o.read_only = true;
    o.verify_bytes = 0;
    o.format = FS_FORMAT;
    return store_open(path, &o, db, why);
}

static int diff(const char *old_path, const char *new_path, struct why *why)
{
    struct lsm *old, *new;
    int err = open_to_read(old_path, &old, why);

    if (err)
        return err;
    err = open_to_read(new_path, &new, why);
    if (!err) {
        err = fs_diff(old, new, show_difference, NULL);
        if (err)
            why_set(why, err, "%s and %s: %s", old_path, new_path,
                    err == -E2BIG ? "more than 4 million names came or went"
                                  : strerror(-err));
        lsm_close(new); /* read only, both: nothing to lose */
    }
    lsm_close(old);
    return err;
}

/* STORE|MNT OLD [NEW]; without NEW, with what it is now. */
static int cmd_diff(int argc, char **argv)
{
    static struct source from;
    static char arg[PATH_MAX + SNAPSHOT_NAME_MAX + 2], old[PATH_MAX];
    struct why why, other;
    int err;

    if (argc < 4 || argc > 5)
        return usage("snapshot");
    snprintf(arg, sizeof(arg), argc == 5 ? "%s@%s" : "%s", argv[2],
             argc == 5 ? argv[4] : "");
    if (source_open(arg, &from, &why))
        return fail("%s", why.text);
    err = snapshot_find(from.target.store, argv[3], old, &why);
    if (!err)
        err = diff(old, from.dir, &why);
    if (source_close(&from, &other) && !err)
        err = why_set(&why, -EIO, "%s", other.text);
    if (!err && fflush(stdout) != 0)
        err = why_set(&why, -EIO, "cannot write to standard output");
    return err ? fail("%s", why.text) : 0;
}

/* ---- snapshot ---- */

static const struct {
    const char *name;
    int (*run)(const struct target *t, const char *name, struct why *why);
    bool named;
} subcommands[] = {
    {"create", target_snapshot, true},
    {"list", list, false},
    {"delete", target_unsnapshot, true},
    {"rollback", rollback, true},
};

int cmd_snapshot(int argc, char **argv)
{
    static struct target t;
    struct why why;
    size_t i;

    if (argc > 1 && strcmp(argv[1], "diff") == 0)
        return cmd_diff(argc, argv);
    for (i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++) {
        if (argc < 2 || strcmp(argv[1], subcommands[i].name) != 0)
            continue;
        if (argc != 3 + subcommands[i].named)
            return usage("snapshot");
        if (target_resolve(argv[2], &t, &why) ||
            subcommands[i].run(&t, subcommands[i].named ? argv[3] : NULL, &why))
            return fail("%s", why.text);
        return fflush(stdout) == 0 ? 0 : fail("cannot write to standard output");
    }
    return usage("snapshot");
}

/* ---- clone ---- */

static int show_copied(void *arg, uint64_t done, uint64_t total, uint64_t position)
{
    progress_show(arg, done, total);
    return progress_canceled();
}

static int clone_to(const struct source *from, const char *to, struct why *why)
{
    struct progress bar = {0};
    struct lsm_options o;
    struct lsm *db;
    int err;

    lsm_options_init(&o);
    o.read_only = true;
    o.verify_bytes = 0;
    o.format = FS_FORMAT;
    err = store_open(from->dir, &o, &db, why);
    if (err)
        return err;
    err = lsm_clone(db, to, show_copied, &bar);
    progress_clear(&bar);
    lsm_close(db); /* read only: nothing to lose */
    if (!err && (err = settings_carry(from->target.store, to)))
        return why_set(why, err, "%s: made, but without the options that %s keeps: %s",
                       to, from->target.store, strerror(-err));
    if (err == -EEXIST)
        return why_set(why, err,
                       "%s: is there already, or what is no clone begun as %s.clone-tmp; "
                       "a clone makes a new directory",
                       to, to);
    if (err == -ECANCELED)
        return why_set(why, err, "interrupted; nothing of it is left");
    return err ? why_set(why, err, "%s: %s", to, strerror(-err)) : 0;
}

static int make_clone(const char *arg, const char *to_arg, struct why *why)
{
    static struct source from;
    char to[PATH_MAX];
    struct why other;
    int err = store_resolve_new(to_arg, to, why), claim;

    progress_catch_signals(); /* a mount's snapshot has to go again */
    if (!err)
        err = source_open(arg, &from, why);
    if (err)
        return err;
    err = store_claim(to, &claim, why);
    if (!err)
        err = clone_to(&from, to, why);
    store_unclaim(claim);
    if (source_close(&from, &other) && !err)
        err = why_set(why, -EIO, "%s", other.text);
    return err;
}

int cmd_clone(int argc, char **argv)
{
    struct why why;

    if (argc != 3 || argv[1][0] == '-')
        return usage("clone");
    return make_clone(argv[1], argv[2], &why) ? fail("%s", why.text) : 0;
}
