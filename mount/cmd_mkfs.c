/*
 * cmd_mkfs.c - siltfs mkfs STORE: an empty filesystem, whole or not at all.
 */
#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "options.h"
#include "store.h"

/* Removes the files in path, all of them ours: the directory was empty. */
static void remove_content(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;

    if (!d)
        return;
    while ((e = readdir(d)))
        unlinkat(dirfd(d), e->d_name, 0); /* "." and ".." are refused */
    closedir(d);
}

static int is_empty(const char *path, bool *empty)
{
    DIR *d = opendir(path);
    struct dirent *e;

    if (!d)
        return -errno;
    *empty = true;
    while (*empty && (e = readdir(d)))
        *empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(d);
    return 0;
}

/* 0 when path is now an empty directory; *made: it was not there before. */
static int make_directory(const char *path, bool *made, struct why *why)
{
    bool empty = false;
    int err;

    *made = mkdir(path, 0700) == 0;
    if (*made)
        return 0;
    if (errno != EEXIST)
        return why_set(why, -errno, "%s: cannot be made: %s", path, strerror(errno));
    err = is_empty(path, &empty);
    if (err == -ENOTDIR)
        return why_set(why, err, "%s: exists and is not a directory", path);
    if (err)
        return why_set(why, err, "%s: %s", path, strerror(-err));
    if (empty) /* what is in a store is its owner's only, whatever umask says */
        return chmod(path, 0700) == 0
                   ? 0
                   : why_set(why, -errno, "%s: %s; is it yours? give a new directory",
                             path, strerror(errno));
    if (lsm_is_store(env_posix(), path))
        return why_set(
            why, -EEXIST,
            "%s: holds a store already; remove it first, if you mean to lose it", path);
    return why_set(why, -ENOTEMPTY, "%s: not empty; give a new or an empty directory",
                   path);
}

static int fill(const char *path, const struct mkfs_options *o, struct why *why)
{
    struct lsm_options lsm;
    struct lsm *db;
    int err, close_err;

    lsm_options_init(&lsm);
    lsm.format = FS_FORMAT;
    lsm.create = lsm.must_be_new = true;
    err = store_open(path, &lsm, &db, why);
    if (err)
        return err;
    err = fs_format(db, o->uid, o->gid, o->mode, &o->limits);
    close_err = lsm_close(db);
    err = err ? err : close_err;
    return err ? store_why(path, err, why) : 0;
}

static int make(const char *path, const struct mkfs_options *o, struct why *why)
{
    bool made;
    int err = make_directory(path, &made, why);

    if (err)
        return err;
    err = fill(path, o, why);
    if (err) {
        remove_content(path);
        if (made)
            rmdir(path);
    }
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
