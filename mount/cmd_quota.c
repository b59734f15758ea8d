/*
 * cmd_quota.c - siltfs quota: quotas of directory trees, of a mount by its daemon, of a
 * store at rest by itself.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "command.h"
#include "log.h"
#include "options.h"
#include "quotas.h"
#include "store.h"
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

static void show_size(uint64_t bytes)
{
    static const char units[] = "BKMGTPE";
    double n = (double)bytes;
    int u = 0;

    for (; n >= 1000 && units[u + 1]; u++)
        n /= 1024;
    printf(u && n < 10 ? "%8.1f%c" : "%8.0f%c", n, units[u]);
}

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
        show_size(q->limits.bytes);
    else
        printf("%9s", "none");
    printf(" ");
    show_size(q->used.bytes);
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

static int find(struct fs *fs, const char *path, uint64_t *ino)
{
    char *copy = strdup(path), *rest, *name;
    struct fs_attr a;
    int err = copy ? 0 : -ENOMEM;

    *ino = FS_ROOT;
    for (name = copy ? strtok_r(copy, "/", &rest) : NULL; name && !err;
         name = strtok_r(NULL, "/", &rest)) {
        err = fs_lookup(fs, *ino, name, &a);
        *ino = a.st.st_ino;
    }
    free(copy);
    return err;
}

static int work(struct job *j, struct fs *fs, const char *path)
{
    struct listing l = {j, 0};
    struct fs_quota q;
    uint64_t ino;
    int err = find(fs, path, &ino);

    if (!err && j->what == SET)
        err = quota_change(fs, ino, &j->limits);
    if (!err && j->what == CLEAR)
        return fs_quota_clear(fs, ino);
    if (!err && j->what != LIST)
        err = fs_quota_get(fs, ino, &q);
    if (!err && j->what != LIST)
        l.only = q.dir;
    return err ? err : fs_quota_list(fs, show_quota, &l);
}

static int at_rest(struct job *j, const char *store, const char *path, struct why *why)
{
    bool read_only = j->what == SHOW || j->what == LIST;
    struct fs_options fo;
    struct lsm_options o;
    struct lsm *db;
    struct fs *fs;
    int err, err2;

    lsm_options_init(&o);
    o.format = FS_FORMAT;
    o.read_only = read_only;
    fs_options_init(&fo);
    fo.read_only = read_only;
    fo.writeback_ms = 0; /* what is begun is done when that returns */
    j->before = "";
    err = store_open(store, &o, &db, why);
    if (err)
        return err;
    err = fs_mount(db, &fo, &fs);
    if (err == -ENODATA) {
        why_set(why, err, "%s: holds no filesystem", store);
    } else if (err) {
        store_why(store, err, why);
    } else {
        log_to_stderr();
        err = work(j, fs, path);
        if (err)
            why_set(why, err, "%s:%s: %s", store, path, quota_why(err));
        err2 = fs_unmount(fs);
        if (!err && err2)
            err = store_why(store, err2, why);
    }
    err2 = lsm_close(db);
    return !err && err2 ? store_why(store, err2, why) : err;
}

/* ---- the command ---- */

/* STORE:/PATH: where the path begins, NULL: it is none. */
static const char *path_in_store(const char *arg)
{
    const char *colon = strstr(arg, ":/");

    return colon && colon != arg && access(arg, F_OK) != 0 ? colon + 1 : NULL;
}

static int in_store(struct job *j, const char *arg, const char *path, struct why *why)
{
    static struct target t;
    static char store[PATH_MAX], dir[2 * PATH_MAX];
    int err;

    if ((size_t)(path - arg) >= sizeof(store))
        return why_set(why, -ENAMETOOLONG, "%s: %s", arg, strerror(ENAMETOOLONG));
    memcpy(store, arg, (size_t)(path - 1 - arg));
    store[path - 1 - arg] = '\0';
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
    path = path_in_store(words[0]);
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
