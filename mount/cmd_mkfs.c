/*
 * cmd_mkfs.c - siltfs mkfs STORE: an empty filesystem, whole or not at all.
 */
#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "log.h"
#include "options.h"
#include "store.h"

static int remove_file(void *arg, const char *name)
{
    char path[PATH_MAX + NAME_MAX + 2];

    snprintf(path, sizeof(path), "%s/%s", (const char *)arg, name);
    (void)env_unlink(env_for(path), path);
    return 0;
}

/* Removes the files in path, all of them ours: the directory was empty. */
static void remove_content(const char *path)
{
    (void)env_list(env_for(path), path, remove_file, (void *)(uintptr_t)path);
}

static int stop_at_first(void *arg, const char *name)
{
    return 1;
}

static int is_empty(const char *path, bool *empty)
{
    int err = env_list(env_for(path), path, stop_at_first, NULL);

    *empty = err == 0;
    return err < 0 ? err : 0;
}

static void fill_options(struct lsm_options *o)
{
    lsm_options_init(o);
    o->format = FS_FORMAT;
}

/* A store without a single key: one that a killed mkfs had made and not yet filled. */
static bool is_empty_store(const char *path)
{
    struct lsm_iter_options all = {0};
    struct lsm_options o;
    struct lsm_iter *it;
    bool empty = false;
    struct lsm *db;
    struct why why;

    fill_options(&o);
    o.read_only = true;
    if (!lsm_is_store(env_for(path), path) || store_open(path, &o, &db, &why))
        return false;
    if (lsm_iter_new(db, &all, &it) == 0) {
        lsm_iter_first(it);
        empty = !lsm_iter_valid(it) && lsm_iter_error(it) == 0;
        lsm_iter_free(it);
    }
    lsm_close(db); /* nothing was written */
    return empty;
}

static int why_store(const char *path, struct why *why)
{
    return why_set(why, -EEXIST,
                   "%s: holds a store already; remove it first, if you mean to lose it",
                   path);
}

enum found {
    NOTHING,  /* a new directory */
    EMPTY,    /* an empty one, or what a mkfs left that was killed: the same */
    UNFILLED, /* an empty store: so was that one, but later */
};

static int made_why(const char *path, int err, struct why *why)
{
    char line[512];

    if (log_first(line, sizeof(line)))
        return why_set(why, err, "%s: cannot be made: %s", path, line);
    return why_set(why, err, "%s: cannot be made: %s%s", path, strerror(-err),
                   err == -ENOENT && env_is_rados(path) ? "; is there such a pool?" : "");
}

/* 0 when a filesystem can be made in path, which is a directory now. */
static int make_directory(const char *path, enum found *found, struct why *why)
{
    bool empty = false;
    int err;

    log_collect();
    if (env_is_rados(path))
        err = env_mkdir(env_for(path), path);
    else
        err = mkdir(path, 0700) < 0 ? -errno : 0;
    *found = err == 0 ? NOTHING : EMPTY;
    if (*found == NOTHING)
        return 0;
    if (err != -EEXIST)
        return made_why(path, err, why);
    err = is_empty(path, &empty);
    if (err == -ENOTDIR)
        return why_set(why, err, "%s: exists and is not a directory", path);
    if (err)
        return why_set(why, err, "%s: %s", path, strerror(-err));
    if (is_empty_store(path)) {
        *found = UNFILLED;
        return 0;
    }
    if (empty || lsm_is_unfinished(env_for(path), path))
        /* What is in a store is its owner's only, whatever umask says. */
        return env_is_rados(path) || chmod(path, 0700) == 0
                   ? 0
                   : why_set(why, -errno, "%s: %s; is it yours? give a new directory",
                             path, strerror(errno));
    if (lsm_is_store(env_for(path), path))
        return why_store(path, why);
    return why_set(why, -ENOTEMPTY, "%s: not empty; give a new or an empty directory",
                   path);
}

static int fill(const char *path, const struct mkfs_options *o, enum found found,
                struct why *why)
{
    struct lsm_options lsm;
    struct lsm *db;
    int err, close_err;

    fill_options(&lsm);
    lsm.create = lsm.must_be_new = found != UNFILLED;
    err = store_open(path, &lsm, &db, why);
    if (err == -EEXIST)
        return why_store(path, why);
    if (err)
        return err;
    KILL_POINT("mkfs-store-made");
    err = fs_format(db, o->uid, o->gid, o->mode, &o->limits);
    close_err = lsm_close(db);
    KILL_POINT("mkfs-closed");
    err = err ? err : close_err;
    return err ? store_why(path, err, why) : 0;
}

static int make(const char *path, const struct mkfs_options *o, struct why *why)
{
    enum found found;
    int err = make_directory(path, &found, why);

    if (err)
        return err;
    KILL_POINT("mkfs-directory");
    err = fill(path, o, found, why);
    /* What another mkfs made meanwhile is not ours to remove. */
    if (err == -EEXIST || err == -EBUSY)
        return err;
    if (err && found != UNFILLED)
        remove_content(path);
    if (err && found == NOTHING)
        (void)env_rmdir(env_for(path), path);
    return err;
}

/* --size=10G is -o size=10G, as other mkfs programs have it. */
static int parse_long(struct mkfs_options *o, const char *name, const char *value,
                      struct why *why)
{
    char word[64];

    if (snprintf(word, sizeof(word), "%s=%s", name, value) >= (int)sizeof(word) ||
        strchr(value, ','))
        return why_set(why, -EINVAL, "option --%s: not a possible value", name);
    return mkfs_options_parse(o, word, why);
}

int cmd_mkfs(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"size", required_argument, NULL, 's'},
        {"inodes", required_argument, NULL, 'i'},
        {0},
    };
    struct mkfs_options o;
    char path[PATH_MAX];
    struct why why;
    int c, err = 0;

    mkfs_options_init(&o);
    opterr = 0;
    while (!err && (c = getopt_long(argc, argv, "o:", long_options, NULL)) != -1) {
        if (c == 'o')
            err = mkfs_options_parse(&o, optarg, &why);
        else if (c == 's' || c == 'i')
            err = parse_long(&o, c == 's' ? "size" : "inodes", optarg, &why);
        else
            return usage("mkfs");
    }
    if (err)
        return fail("%s", why.text);
    if (argc - optind != 1)
        return usage("mkfs");
    if (store_resolve_new(argv[optind], path, &why) || make(path, &o, &why))
        return fail("%s", why.text);
    return 0;
}
