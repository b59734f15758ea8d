/*
 * files_dir.c - single files of a directory, which may be one on RADOS; see files.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "files.h"

enum { FILE_PATH = PATH_MAX + 2 * FILES_NAME };

static int path_of(char path[FILE_PATH], const char *dir, const char *name)
{
    return snprintf(path, FILE_PATH, "%s/%s", dir, name) < FILE_PATH ? 0 : -ENAMETOOLONG;
}

static int open_as(const char *dir, const char *name, enum env_mode mode,
                   struct env_file **f)
{
    char path[FILE_PATH];
    int err = path_of(path, dir, name);

    *f = NULL;
    return err ? err : env_open(env_for(dir), path, mode, 0, f);
}

int open_file(const char *dir, const char *name, struct env_file **f)
{
    return open_as(dir, name, ENV_READ, f);
}

int make_file(const char *dir, const char *name, struct env_file **f)
{
    return open_as(dir, name, ENV_CREATE, f);
}

int remove_file(const char *dir, const char *name)
{
    char path[FILE_PATH];
    int err = path_of(path, dir, name);

    return err ? err : env_unlink(env_for(dir), path);
}

int write_file(const char *dir, const char *name, struct slice bytes)
{
    struct env_file *f;
    int err = remove_file(dir, name), err2;

    if (!err || err == -ENOENT)
        err = make_file(dir, name, &f);
    if (err)
        return err;
    err = append(f, bytes.data, bytes.len);
    if (!err)
        err = env_file_sync(f);
    err2 = env_file_close(f);
    return err ? err : err2;
}

int link_file(const char *from_dir, const char *dir, const char *name)
{
    char from[FILE_PATH], to[FILE_PATH];
    int err = path_of(from, from_dir, name);

    if (!err)
        err = path_of(to, dir, name);
    return err ? err : env_link(env_for(dir), from, to);
}

int rename_file(const char *dir, const char *from, const char *to)
{
    char a[FILE_PATH], b[FILE_PATH];
    int err = path_of(a, dir, from);

    if (!err)
        err = path_of(b, dir, to);
    return err ? err : env_rename(env_for(dir), a, b);
}

static int remove_one(void *arg, const char *name)
{
    int err = remove_file(arg, name);

    return err == -ENOENT ? 0 : err;
}

int remove_files(const char *dir)
{
    return env_list(env_for(dir), dir, remove_one, (void *)dir);
}

/* ---- bytes ---- */

int read_at(struct env_file *f, uint64_t off, void *to, size_t len)
{
    size_t got = 0;
    int err = len ? env_file_pread(f, off, to, len, &got) : 0;

    return err ? err : got < len ? -ESTALE : 0;
}

int append(struct env_file *f, const void *from, size_t len)
{
    struct slice part = slice_of(from, len);

    return len ? env_file_append(f, &part, 1) : 0;
}

int tail_sum(struct env_file *f, uint64_t size, uint64_t *sum)
{
    size_t len = size < FILES_TAIL ? (size_t)size : FILES_TAIL;
    uint8_t *tail = malloc(FILES_TAIL);
    int err = tail ? read_at(f, size - len, tail, len) : -ENOMEM;

    if (!err)
        *sum = XXH3_64bits(tail, len);
    free(tail);
    return err;
}

int hash_file(struct env_file *f, uint64_t size, XXH128_hash_t *out)
{
    XXH3_state_t *state = XXH3_createState();
    uint8_t *block = malloc(FILES_BLOCK);
    int err = state && block ? 0 : -ENOMEM;
    uint64_t at = 0;

    if (state)
        XXH3_128bits_reset(state);
    while (!err && at < size) {
        size_t len = size - at < FILES_BLOCK ? (size_t)(size - at) : FILES_BLOCK;

        err = read_at(f, at, block, len);
        if (!err)
            XXH3_128bits_update(state, block, len);
        at += len;
    }
    if (!err)
        *out = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    free(block);
    return err;
}

bool file_has_size(const char *dir, const char *name, uint64_t size)
{
    char path[FILE_PATH];
    uint64_t its;

    return path_of(path, dir, name) == 0 && env_stat(env_for(dir), path, &its) == 0 &&
           its == size;
}

bool file_is(const char *dir, const char *name, uint64_t size, uint64_t tail)
{
    struct env_file *f;
    uint64_t its = 0;
    bool same;

    if (!file_has_size(dir, name, size) || open_file(dir, name, &f))
        return false;
    same = tail_sum(f, size, &its) == 0 && its == tail;
    env_file_close(f); /* was only read */
    return same;
}

/* ---- what only the two kinds of directories know themselves ---- */

int file_identity(const char *dir, const char *name, uint64_t *ino, int64_t *mtime_ns)
{
    struct env_rados_file f;
    char path[FILE_PATH];
    struct stat st;
    int err = path_of(path, dir, name);

    if (!err && env_is_rados(dir)) {
        err = env_rados_file(path, &f);
        *ino = f.id;
        *mtime_ns = (int64_t)f.closed_ns;
    } else if (!err && lstat(path, &st) == 0) {
        *ino = st.st_ino;
        *mtime_ns = st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec;
    } else if (!err) {
        err = -errno;
    }
    return err;
}

int made_when(const char *dir, struct timespec *t)
{
    uint64_t ino;
    int64_t ns = 0;
    int err = file_identity(dir, "CURRENT", &ino, &ns);

    t->tv_sec = ns / 1000000000;
    t->tv_nsec = ns % 1000000000;
    return err;
}

int set_made(const char *dir, const struct timespec *t)
{
    struct timespec times[2] = {*t, *t};
    char path[FILE_PATH];
    int err = path_of(path, dir, "CURRENT");

    if (err)
        return err;
    if (env_is_rados(dir))
        return env_rados_set_closed(path, (uint64_t)t->tv_sec * 1000000000 +
                                              (uint64_t)t->tv_nsec);
    return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

static int stop_at_first(void *arg, const char *name)
{
    return 1;
}

int path_there(const char *path)
{
    struct stat st;
    int rc;

    if (!env_is_rados(path))
        return lstat(path, &st) == 0 ? 1 : errno == ENOENT ? 0 : -errno;
    rc = env_list(env_for(path), path, stop_at_first, NULL);
    return rc >= 0 || rc == -ENOTDIR ? 1 : rc == -ENOENT ? 0 : rc;
}

bool is_directory(const char *path)
{
    struct stat st;

    return env_is_rados(path) ? env_list(env_for(path), path, stop_at_first, NULL) >= 0
                              : lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int sync_parent(const char *path)
{
    char parent[PATH_MAX], *slash;

    if (snprintf(parent, sizeof(parent), "%s", path) >= PATH_MAX)
        return -ENAMETOOLONG;
    slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    return env_sync_dir(env_for(path), slash ? parent : ".");
}

int names_last(const char *top, const char *inner)
{
    int err = env_is_rados(top) ? 0 : sync_parent(top);

    return err && err != -EACCES ? err : sync_parent(inner);
}
