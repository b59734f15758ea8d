/*
 * cmd_du.c - siltfs du: what directory trees hold and take, told by scans of their
 * entries: by the daemon of a mount, or of a store at rest by itself.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "options.h"
#include "rest.h"
#include "target.h"
#include "within.h"

struct job {
    bool sum;         /* only of what was named */
    bool exact;       /* bytes, not rounded */
    bool shown;       /* the heading */
    bool lost;        /* the daemon did not keep all lines until they were taken */
    const char *name; /* of what is asked for, put before each path */
};

static void show_bytes(const struct job *j, uint64_t bytes)
{
    if (j->exact)
        printf("%15" PRIu64, bytes);
    else
        size_show(bytes);
}

static void show(struct job *j, const char *path, const struct fs_du *d)
{
    size_t len;

    if (!j->shown)
        printf(j->exact ? "%15s %15s %10s  %s\n" : "%9s %9s %10s  %s\n", "BYTES",
               "STORED", "FILES", "PATH");
    j->shown = true;
    show_bytes(j, d->bytes);
    printf(" ");
    show_bytes(j, d->stored_bytes);
    len = strlen(j->name);
    if (*path && len && j->name[len - 1] == '/')
        len--;
    printf(" %10" PRIu64 "  %.*s%s\n", d->inodes, (int)len, j->name, path);
}

/* ---- of a mount ---- */

static void hear(void *arg, const char *line)
{
    struct fs_du d;
    int at = 0;

    if (sscanf(line, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %n", &d.bytes, &d.stored_bytes,
               &d.inodes, &at) == 3 &&
        at)
        show(arg, line + at, &d);
    else
        ((struct job *)arg)->lost = true;
}

static void no_progress(void *arg, uint64_t done, uint64_t total, uint64_t where)
{
}

static bool go_on(void *arg)
{
    return !ferror(stdout);
}

static int in_mount(struct job *j, const char *path, struct why *why)
{
    struct ask a = {hear, no_progress, go_on, j};
    static struct within w;
    char order[64];
    struct why inner;
    int status, err = within_open(path, &w, why);

    if (err)
        return err;
    snprintf(order, sizeof(order), "du %" PRIu64 "%s", w.ino, j->sum ? " sum" : "");
    err = ask(w.mountpoint, order, &a, &status, &inner);
    if (err)
        why_set(why, err, "%s: %s", path, inner.text);
    else if (j->lost)
        err = why_set(why, -EIO,
                      "%s: lines are missing, as those before were not taken in time; "
                      "write them to a file first",
                      path);
    within_close(&w);
    return err;
}

/* ---- of a store at rest ---- */

static int show_dir(void *arg, const char *path, const struct fs_du *d)
{
    struct job *j = arg;

    if (!j->sum || !*path)
        show(j, path, d);
    return ferror(stdout) ? -EIO : 0;
}

static int work(void *arg, struct fs *fs, uint64_t ino)
{
    return fs_du(fs, ino, show_dir, arg);
}

static const char *in_words(int err)
{
    return err == -EUCLEAN ? "its records are damaged; `siltfs fsck` tells more"
                           : strerror(-err);
}

/* path: in the store */
static int of_store(struct job *j, const char *store, const char *path, struct why *why)
{
    static struct target t;
    static char dir[2 * PATH_MAX];
    int err = target_resolve(store, &t, why);

    if (err)
        return err;
    if (!t.mounted)
        return rest_use(t.store, path, true, work, j, in_words, why);
    snprintf(dir, sizeof(dir), "%s%s", t.mountpoint, path);
    return in_mount(j, dir, why);
}

/* ---- the command ---- */

static int one(struct job *j, const char *arg, struct why *why)
{
    static char store[PATH_MAX];
    const char *path = rest_path(arg);
    int err;

    j->name = arg;
    if (!path)
        return in_mount(j, arg, why);
    err = rest_store(arg, path, store, sizeof(store), why);
    return err ? err : of_store(j, store, path, why);
}

int cmd_du(int argc, char **argv)
{
    struct job j = {0};
    struct why why;
    char **arg = argv + 1;
    int rc = 0;

    for (; *arg && (*arg)[0] == '-'; arg++) {
        if (strcmp(*arg, "-s") == 0)
            j.sum = true;
        else if (strcmp(*arg, "-b") == 0)
            j.exact = true;
        else if (strcmp(*arg, "-sb") == 0 || strcmp(*arg, "-bs") == 0)
            j.sum = j.exact = true;
        else
            return usage("du");
    }
    if (!*arg && one(&j, ".", &why))
        rc = fail("%s", why.text);
    for (; *arg; arg++) {
        fflush(stdout);
        if (one(&j, *arg, &why))
            rc = fail("%s", why.text);
    }
    return rc;
}
