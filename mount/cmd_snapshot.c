/*
 * cmd_snapshot.c - siltfs snapshot create|list|delete|rollback, siltfs clone.
 */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "../fs/fs.h"
#include "ask.h"
#include "browse.h"
#include "command.h"
#include "control.h"
#include "log.h"
#include "snapshots.h"
#include "store.h"
#include "target.h"

/* ---- orders to a mount ---- */

static void say_line(void *arg, const char *text)
{
    printf("%s\n", text);
}

static void no_progress(void *arg, uint64_t done, uint64_t total, uint64_t where)
{
}

static bool go_on(void *arg)
{
    return true;
}

static int order(const struct target *t, const char *what, const char *name, int *status,
                 struct why *why)
{
    struct ask a = {say_line, no_progress, go_on, NULL};
    char line[SNAPSHOT_NAME_MAX + 32];

    *status = 0;
    snprintf(line, sizeof(line), "%s %s", what, name);
    return ask(t->mountpoint, line, &a, status, why);
}

/* What programs have written and the kernel has not yet passed on. */
static int write_dirty_pages(const struct target *t, struct why *why)
{
    int fd = open(t->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;

    if (fd < 0 || syncfs(fd) < 0)
        err = why_set(why, -errno, "%s: %s", t->mountpoint, strerror(errno));
    if (fd >= 0)
        close(fd);
    return err;
}

/* ---- a store at rest ---- */

static int open_rest(const char *store, bool read_only, struct lsm **db, struct why *why)
{
    struct lsm_options o;

    lsm_options_init(&o);
    o.read_only = read_only;
    o.verify_bytes = 0;
    o.format = FS_FORMAT;
    return store_open(store, &o, db, why);
}

static int close_rest(const char *store, struct lsm *db, int err, struct why *why)
{
    int close_err = lsm_close(db);

    return !err && close_err ? store_why(store, close_err, why) : err;
}

static int create_at_rest(const char *store, const char *name, struct why *why)
{
    struct lsm *db;
    int err = open_rest(store, false, &db, why);

    return err ? err : close_rest(store, db, snapshot_create(db, store, name, why), why);
}

/* ---- the subcommands ---- */

static int check_name(const struct target *t, const char *name, struct why *why)
{
    char path[PATH_MAX];

    return snapshot_path(t->store, name, path, why);
}

static int create(const struct target *t, const char *name, struct why *why)
{
    int err = check_name(t, name, why), status;

    if (!err && t->mounted)
        err = write_dirty_pages(t, why);
    if (err)
        return err;
    return t->mounted ? order(t, "snapshot", name, &status, why)
                      : create_at_rest(t->store, name, why);
}

/*
 * A directory that was invalidated while something below it was open keeps what is in
 * memory of it, out of reach of another invalidation, until its name is looked up.
 */
static int delete_shown(const struct target *t, const char *name, struct why *why)
{
    char shown[PATH_MAX + SNAPSHOT_NAME_MAX + 32];
    int status, err = order(t, "unsnapshot", name, &status, why);

    if (!err && status == EBUSY) {
        snprintf(shown, sizeof(shown), "%s/" CONTROL_NAME "/" BROWSE_NAME "/%s",
                 t->mountpoint, name);
        (void)access(shown, F_OK);
        err = order(t, "unsnapshot", name, &status, why);
    }
    if (!err && status == EBUSY)
        err = why_set(why, -EBUSY,
                      "snapshot \"%s\" is in use below %s/" CONTROL_NAME "/" BROWSE_NAME
                      "; close what is open there",
                      name, t->mountpoint);
    return err;
}

static int delete(const struct target *t, const char *name, struct why *why)
{
    int err = check_name(t, name, why);

    if (err)
        return err;
    return t->mounted ? delete_shown(t, name, why) : snapshot_delete(t->store, name, why);
}

static void show_size(uint64_t bytes)
{
    static const char units[] = "BKMGTPE";
    double n = (double)bytes;
    int u = 0;

    for (; n >= 1000 && units[u + 1]; u++)
        n /= 1024;
    printf(u && n < 10 ? " %7.1f%c" : " %7.0f%c", n, units[u]);
}

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
    show_size(s->bytes);
    show_size(s->own);
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
static int keep_present(const char *store, char name[SNAPSHOT_NAME_MAX + 1],
                        struct why *why)
{
    char path[PATH_MAX];
    unsigned n = 1;

    do
        snprintf(name, SNAPSHOT_NAME_MAX + 1, "before-rollback-%u", n++);
    while (snapshot_find(store, name, path, why) == 0);
    return create_at_rest(store, name, why);
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
        err = keep_present(t->store, kept, why);
    if (err)
        return err;
    lsm_options_init(&o);
    o.format = FS_FORMAT;
    log_collect();
    err = lsm_rollback(t->store, path, &o);
    if (err)
        return store_why(t->store, err, why);
    printf("%s: is what \"%s\" holds; what it was is kept as \"%s\"\n", t->store, name,
           kept);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(const struct target *t, const char *name, struct why *why);
    bool named;
} subcommands[] = {
    {"create", create, true},
    {"list", list, false},
    {"delete", delete, true},
    {"rollback", rollback, true},
};

int cmd_snapshot(int argc, char **argv)
{
    static struct target t;
    struct why why;
    size_t i;

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
    static uint64_t shown;

    if (isatty(STDERR_FILENO) && (done - shown > 16 << 20 || done == total)) {
        fprintf(stderr, "\r%5.1f %%%s", 100.0 * (double)done / (double)total,
                done == total ? "\r\033[K" : "");
        shown = done;
    }
    return 0;
}

static int clone_why(const char *to, int err, struct why *why)
{
    if (err == -EEXIST)
        return why_set(why, err, "%s: is there already; a clone makes a new directory",
                       to);
    return err ? why_set(why, err, "%s: %s", to, strerror(-err)) : 0;
}

/* Nobody writes to it: a store at rest, or a snapshot. */
static int clone_rest(const char *from, const char *to, struct why *why)
{
    struct lsm *db;
    int err = open_rest(from, true, &db, why);

    if (err)
        return err;
    err = clone_why(to, lsm_clone(db, to, show_copied, NULL), why);
    lsm_close(db); /* read only: nothing to lose */
    return err;
}

/* Of a mount, by a snapshot that is there meanwhile. */
static int clone_mount(const struct target *t, const char *to, struct why *why)
{
    char name[SNAPSHOT_NAME_MAX + 1], path[PATH_MAX];
    struct why other;
    int err;

    snprintf(name, sizeof(name), "clone-%ld", (long)getpid());
    err = create(t, name, why);
    if (!err)
        err = snapshot_find(t->store, name, path, why);
    if (err)
        return err;
    err = clone_rest(path, to, why);
    if (delete(t, name, &other) && !err)
        err = why_set(why, -EIO, "%s", other.text);
    return err;
}

static int make_clone(char *arg, const char *to_arg, struct why *why)
{
    static struct target t;
    char path[PATH_MAX], to[PATH_MAX], *at = strrchr(arg, '@');
    bool named = at && at > arg && access(arg, F_OK) < 0;
    int err;

    if (named)
        *at = '\0';
    err = target_resolve(arg, &t, why);
    if (!err)
        err = store_resolve_new(to_arg, to, why);
    if (!err && named)
        err = snapshot_find(t.store, at + 1, path, why);
    if (err)
        return err;
    if (named)
        return clone_rest(path, to, why);
    return t.mounted ? clone_mount(&t, to, why) : clone_rest(t.store, to, why);
}

int cmd_clone(int argc, char **argv)
{
    struct why why;

    if (argc != 3 || argv[1][0] == '-')
        return usage("clone");
    return make_clone(argv[1], argv[2], &why) ? fail("%s", why.text) : 0;
}
