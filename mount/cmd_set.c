/*
 * cmd_set.c - siltfs set STORE|MNT [NAME=VALUE...]: the limits of a filesystem at rest,
 * and the options that a store keeps (settings.h), also while it is mounted.
 */
#include <errno.h>
#include <inttypes.h>

#include "ask.h"
#include "command.h"
#include "log.h"
#include "settings.h"
#include "store.h"
#include "target.h"

/* The words of the command line, limits apart from settings. */
struct words {
    struct fs_limits limits;
    const char *limit; /* one of them */
    char list[SETTINGS_MAX];
};

static void show_limit(const char *name, uint64_t limit)
{
    if (limit)
        printf("%s=%" PRIu64 "\n", name, limit);
    else
        printf("%s=none\n", name);
}

static int parse(struct words *w, char **words, struct why *why)
{
    size_t len = 0;
    int n, err = 0;

    for (; *words && !err; words++) {
        if (!settings_has(*words)) {
            w->limit = *words;
            err = limits_parse(&w->limits, *words, why);
            continue;
        }
        n = snprintf(w->list + len, sizeof(w->list) - len, "%s%s", len ? "," : "",
                     *words);
        if (n < 0 || (len += (size_t)n) >= sizeof(w->list))
            err = why_set(why, -E2BIG, "too many words");
    }
    return err;
}

/* ---- at rest ---- */

/* Before the store is changed: what it has. */
static int look(void *arg, struct lsm *db)
{
    return fs_get_limits(db, arg);
}

static int show(const char *path, const struct fs_limits *limits, struct why *why)
{
    char list[SETTINGS_MAX], *rest = list, *word;
    int err = settings_read(path, list, why);

    if (err)
        return err;
    show_limit("size", limits->bytes);
    show_limit("inodes", limits->inodes);
    while ((word = strsep(&rest, ",")))
        if (*word)
            puts(word);
    return 0;
}

/* w: what was asked for; limits: what there is. */
static int change(struct lsm *db, const char *path, struct words *w, char **words,
                  const struct fs_limits *limits, struct why *why)
{
    int err = 0;

    w->limits = *limits;
    w->list[0] = '\0';
    if (parse(w, words, why))
        return -EINVAL;
    if (w->list[0])
        err = settings_keep(path, w->list, why);
    if (!err && w->limit && (err = fs_set_limits(db, &w->limits)))
        return store_why(path, err, why);
    return err ? err : show(path, &w->limits, why);
}

static int at_rest(const char *path, struct words *w, char **words, struct why *why)
{
    struct fs_limits limits;
    struct lsm_options o;
    struct lsm *db;
    int err, close_err;

    lsm_options_init(&o);
    o.format = FS_FORMAT;
    o.read_only = !*words;
    o.accept = look;
    o.accept_arg = &limits;
    err = store_open(path, &o, &db, why);
    if (err == -ENODATA)
        return why_set(why, err, "%s: holds no filesystem", path);
    if (err)
        return err;
    err = change(db, path, w, words, &limits, why);
    close_err = lsm_close(db);
    return !err && close_err ? store_why(path, close_err, why) : err;
}

/* ---- mounted ---- */

static void show_line(void *arg, const char *line)
{
    printf("%s\n", line);
}

static void no_progress(void *arg, uint64_t done, uint64_t total, uint64_t where)
{
}

static bool go_on(void *arg)
{
    return true;
}

static int live(const struct target *t, const struct words *w, struct why *why)
{
    struct ask a = {show_line, no_progress, go_on, NULL};
    char line[SETTINGS_MAX + 8];
    int status;

    if (w->limit)
        return why_set(why, -EBUSY,
                       "%s: mounted on %s; limits change while it is not: `siltfs umount "
                       "%s` first",
                       w->limit, t->mountpoint, t->mountpoint);
    snprintf(line, sizeof(line), "set %s", w->list);
    return ask(t->mountpoint, line, &a, &status, why);
}

int cmd_set(int argc, char **argv)
{
    static struct target t;
    static struct words w;
    struct why why;

    if (argc < 2 || argv[1][0] == '-')
        return usage("set");
    /* Before the store is opened, which begins a new log. */
    if (parse(&w, argv + 2, &why) || target_resolve(argv[1], &t, &why) ||
        (t.mounted ? live(&t, &w, &why) : at_rest(t.store, &w, argv + 2, &why)))
        return fail("%s", why.text);
    return 0;
}
