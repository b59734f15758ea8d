/*
 * rest.c - see rest.h.
 */
#include "rest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "store.h"

const char *rest_path(const char *arg)
{
    const char *colon = strstr(arg, ":/");

    return colon && colon != arg && access(arg, F_OK) != 0 ? colon + 1 : NULL;
}

int rest_store(const char *arg, const char *path, char to[], size_t size, struct why *why)
{
    size_t len = (size_t)(path - 1 - arg);

    if (len >= size)
        return why_set(why, -ENAMETOOLONG, "%s: %s", arg, strerror(ENAMETOOLONG));
    memcpy(to, arg, len);
    to[len] = '\0';
    return 0;
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

static int use(const char *store, struct fs *fs, const char *path, rest_fn *fn, void *arg,
               const char *(*in_words)(int err), struct why *why)
{
    uint64_t ino;
    int err = find(fs, path, &ino), err2;

    if (!err)
        err = fn(arg, fs, ino);
    if (err)
        why_set(why, err, "%s:%s: %s", store, path, in_words(err));
    err2 = fs_unmount(fs);
    return !err && err2 ? store_why(store, err2, why) : err;
}

int rest_use(const char *store, const char *path, bool read_only, rest_fn *fn, void *arg,
             const char *(*in_words)(int err), struct why *why)
{
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
        err = use(store, fs, path, fn, arg, in_words, why);
    }
    err2 = lsm_close(db);
    return !err && err2 ? store_why(store, err2, why) : err;
}
