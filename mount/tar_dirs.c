/*
 * tar_dirs.c - see tar_dirs.h.
 */
#include "tar_dirs.h"

#include "tar_impl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MADE_MODE = 0755 }; /* of directories that the archive does not name */

int tar_clean_path(const char *path, char **out)
{
    char *copy = strdup(path), *rest = copy, *word;
    char *to = malloc(strlen(path) + 1), *end = to;
    int err = copy && to ? 0 : -ENOMEM;

    while (!err && (word = strsep(&rest, "/"))) {
        if (!*word || strcmp(word, ".") == 0)
            continue;
        if (strcmp(word, "..") == 0)
            err = -EXDEV;
        if (end != to)
            *end++ = '/';
        end = stpcpy(end, word);
    }
    if (to)
        *end = '\0';
    free(copy);
    if (err)
        free(to);
    *out = err ? NULL : to;
    return err;
}

void tar_dirs_leave(struct tar_dirs *d, uint64_t ino)
{
    if (ino != d->base)
        fs_forget(d->fs, ino, 1);
}

/* *ino, which is given up, becomes the directory `name` in it. */
static int step(struct tar_dirs *d, uint64_t *ino, const char *name, enum missing missing)
{
    struct fs *fs = d->fs;
    struct fs_cred maker = {.uid = geteuid(), .gid = getegid()};
    struct fs_attr attr;
    int err = fs_lookup(fs, *ino, name, &attr);

    if (err == -ENOENT && missing == MISSING_MADE)
        err = fs_mkdir(fs, &maker, *ino, name, MADE_MODE, &attr);
    if (!err && !S_ISDIR(attr.st.st_mode)) {
        fs_forget(fs, attr.st.st_ino, 1);
        err = S_ISLNK(attr.st.st_mode) ? -ELOOP : -ENOTDIR;
    }
    if (err)
        return err;
    tar_dirs_leave(d, *ino);
    *ino = attr.st.st_ino;
    return 0;
}

static int walk_dirs(struct tar_dirs *d, char *path, uint64_t *ino, enum missing missing)
{
    char *rest = path, *word;
    int err = 0;

    while (!err && (word = strsep(&rest, "/")))
        if (*word)
            err = step(d, ino, word, missing);
    return err;
}

void tar_dirs_forget(struct tar_dirs *d)
{
    if (d->name.len)
        tar_dirs_leave(d, d->ino);
    buf_clear(&d->name);
}

int tar_dirs_enter(struct tar_dirs *d, const char *path, const char **last,
                   enum missing missing)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0, got;
    uint64_t ino = d->base;
    char *copy;
    int err;

    *last = slash ? slash + 1 : path;
    if (d->name.len == len + 1 && memcmp(d->name.data, path, len) == 0)
        return 0;
    tar_dirs_forget(d);
    copy = strndup(path, len);
    err = copy ? walk_dirs(d, copy, &ino, missing) : -ENOMEM;
    free(copy);
    if (err) {
        tar_dirs_leave(d, ino);
        return err;
    }
    buf_append(&d->name, path, len);
    buf_append(&d->name, "", 1);
    d->ino = ino;
    d->acl = fs_getxattr(d->fs, ino, TAR_ACL_DEFAULT, NULL, 0, &got) == 0;
    return buf_error(&d->name);
}

int tar_dirs_init(struct tar_dirs *d, struct fs *fs, const char *path)
{
    uint64_t ino = FS_ROOT;
    char *clean;
    int err = tar_clean_path(path, &clean);

    *d = (struct tar_dirs){.fs = fs, .base = FS_ROOT};
    if (err)
        return err;
    err = walk_dirs(d, clean, &ino, MISSING_MADE);
    free(clean);
    if (err)
        tar_dirs_leave(d, ino);
    else
        d->base = ino;
    return err;
}

void tar_dirs_release(struct tar_dirs *d)
{
    tar_dirs_forget(d);
    if (d->base != FS_ROOT)
        fs_forget(d->fs, d->base, 1);
    buf_release(&d->name);
}
