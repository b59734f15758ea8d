/*
 * cmd_quota.c - siltfs quota: quotas of directory trees, of a mount by its daemon, of a
 * store at rest by itself.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "options.h"
#include "quotas.h"
#include "rest.h"
#include "target.h"
#include "within.h"

enum what { SET, SHOW, CLEAR, LIST };

/* What is to be done. */
struct job {
    enum what what;
    struct fs_limits limits; /* SET */
    const char *before;      /* put before each path */
    bool shown;              /* the heading */
};

/* ---- showing ---- */

static void show_share(uint64_t used, uint64_t limit)
{
    if (limit)
        printf(" %4.0f%%", 100 * (double)used / (double)limit);
    else
        printf(" %5s", "-");
}

static void show(struct job *j, const struct fs_quota *q, const char *path)
{
    static const char *const states[] = {[FS_QUOTA_READY] = "",
                                         [FS_QUOTA_COUNTING] = "  (being counted)",
                                         [FS_QUOTA_CLEARING] = "  (being cleared)"};

    if (!j->shown)
        printf("%9s %9s %5s %10s %10s %5s  %s\n", "SIZE", "USED", "USE%", "INODES",
               "IUSED", "IUSE%", "DIRECTORY");
    j->shown = true;
    if (q->limits.bytes)
        size_show(q->limits.bytes);
    else
        printf("%9s", "none");
    printf(" ");
    size_show(q->used.bytes);
    show_share(q->used.bytes, q->limits.bytes);
    if (q->limits.inodes)
        printf(" %10" PRIu64, q->limits.inodes);
    else
        printf(" %10s", "none");
    printf(" %10" PRIu64, q->used.inodes);
    show_share(q->used.inodes, q->limits.inodes);
    printf("  %s%s%s\n", j->before, path,
           q->state <= FS_QUOTA_CLEARING ? states[q->state] : "");
}

/* ---- of a mount ---- */

static void hear(void *arg, const char *line)
{
    struct fs_quota q;
    const char *path;

    if (quota_line_parse(line, &q, &path))
        show(arg, &q, path);
}

static void no_progress(void *arg, uint64_t done, uint64_t total, uint64_t where)
{
}

static bool go_on(void *arg)
{
    return true;
}

static int order(struct job *j, const char *mountpoint, const char *words, const char *of,
                 struct why *why)
{
    struct ask a = {hear, no_progress, go_on, j};
    struct why inner;
    int status, err;

    j->before = strcmp(mountpoint, "/") == 0 ? "" : mountpoint;
    err = ask(mountpoint, words, &a, &status, &inner);
    return err ? why_set(why, err, "%s: %s", of, inner.text) : 0;
}

static int in_mount(struct job *j, const char *dir, struct why *why)
{
    static struct within w;
    char words[100];
    int err = within_open(dir, &w, why);

    if (err)
        return err;
    if (j->what == SET)
        snprintf(words, sizeof(words), "quota set %" PRIu64 " %" PRIu64 " %" PRIu64,
                 w.ino, j->limits.bytes, j->limits.inodes);
    else
        snprintf(words, sizeof(words), "quota %s %" PRIu64,
                 j->what == SHOW ? "show" : "clear", w.ino);
    err = order(j, w.mountpoint, words, dir, why);
    within_close(&w);
    return err;
}

/* ---- of a store at rest ---- */

struct listing {
    struct job *job;
    uint64_t only;
};

static int show_quota(void *arg, const struct fs_quota *q, const char *path)
{
    struct listing *l = arg;

    if (!l->only || l->only == q->dir)
        show(l->job, q, path);
    return ferror(stdout) ? -EIO : 0;
}

static int work(void *arg, struct fs *fs, uint64_t ino)
{
    struct job *j = arg;
    struct listing l = {j, 0};
    struct fs_quota q;
    int err = 0;

    if (j->what == SET)
        err = quota_change(fs, ino, &j->limits);
    if (j->what == CLEAR)
        return fs_quota_clear(fs, ino);
    if (!err && j->what != LIST)
        err = fs_quota_get(fs, ino, &q);
    if (!err && j->what != LIST)
        l.only = q.dir;
    return err ? err : fs_quota_list(fs, show_quota, &l);
}

static int at_rest(struct job *j, const char *store, const char *path, struct why *why)
{
    j->before = "";
    return rest_use(store, path, j->what == SHOW || j->what == LIST, work, j, quota_why,
                    why);
}

/* ---- the command ---- */

static int in_store(struct job *j, const char *arg, const char *path, struct why *why)
{
    static struct target t;
    static char store[PATH_MAX], dir[2 * PATH_MAX];
    int err = rest_store(arg, path, store, sizeof(store), why);

    if (!err)
        err = target_resolve(store, &t, why);
    if (err)
        return err;
    if (!t.mounted)
        return at_rest(j, t.store, path, why);
    snprintf(dir, sizeof(dir), "%s%s", t.mountpoint, path);
    return in_mount(j, dir, why);
}

static int list(struct job *j, const char *arg, struct why *why)
{
    static struct target t;
    int err = target_resolve(arg, &t, why);

    if (err)
        return err;
    return t.mounted ? order(j, t.mountpoint, "quota list", arg, why)
                     : at_rest(j, t.store, "/", why);
}

static int run(struct job *j, char **words, struct why *why)
{
    const char *path;
    int err = 0;
    char **word;

    for (word = words + 1; *word && !err; word++)
        err = limits_parse(&j->limits, *word, why);
    if (err)
        return err;
    if (j->what == LIST)
        return list(j, words[0], why);
    path = rest_path(words[0]);
    return path ? in_store(j, words[0], path, why) : in_mount(j, words[0], why);
}

int cmd_quota(int argc, char **argv)
{
    static const char *const kinds[] = {
        [SET] = "set", [SHOW] = "show", [CLEAR] = "clear", [LIST] = "list"};
    struct job j = {.limits = {QUOTA_KEEP, QUOTA_KEEP}};
    struct why why;

    if (argc < 3 || argv[2][0] == '-')
        return usage("quota");
    for (j.what = SET; j.what <= LIST && strcmp(argv[1], kinds[j.what]) != 0; j.what++)
        ;
    if (j.what > LIST || (j.what != SET && argc > 3))
        return usage("quota");
    if (run(&j, argv + 2, &why))
        return fail("%s", why.text);
    return 0;
}
