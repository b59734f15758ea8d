/*
 * cmd_set.c - siltfs set STORE [size=SIZE] [inodes=N]: the limits of a filesystem at
 * rest.
 */
#include <inttypes.h>

#include "command.h"
#include "log.h"
#include "options.h"
#include "store.h"

static void show(const char *name, uint64_t limit)
{
    if (limit)
        printf("%s=%" PRIu64 "\n", name, limit);
    else
        printf("%s=none\n", name);
}

static int parse(struct fs_limits *limits, char **words, struct why *why)
{
    int err = 0;

    for (; *words && !err; words++)
        err = limits_parse(limits, *words, why);
    return err;
}

/* Before the store is changed: what it has. */
static int look(void *arg, struct lsm *db)
{
    return fs_get_limits(db, arg);
}

/* words: what to change, up to a NULL. */
static int change(struct lsm *db, const char *path, struct fs_limits limits, char **words,
                  struct why *why)
{
    int err;

    if (*words) {
        if (parse(&limits, words, why))
            return -EINVAL;
        err = fs_set_limits(db, &limits);
        if (err)
            return store_why(path, err, why);
    }
    show("size", limits.bytes);
    show("inodes", limits.inodes);
    return 0;
}

static int run(const char *path, char **words, struct why *why)
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
    err = change(db, path, limits, words, why);
    close_err = lsm_close(db);
    return !err && close_err ? store_why(path, close_err, why) : err;
}

int cmd_set(int argc, char **argv)
{
    static struct fs_limits ignored;
    char path[PATH_MAX];
    struct why why;

    if (argc < 2 || argv[1][0] == '-')
        return usage("set");
    /* Before the store is opened, which begins a new log. */
    if (parse(&ignored, argv + 2, &why) || store_resolve(argv[1], path, &why) ||
        run(path, argv + 2, &why))
        return fail("%s", why.text);
    return 0;
}
