/*
 * snapshots.c - see snapshots.h.
 */
#include "snapshots.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "snapshots_rados.h"
#include "store.h"

enum { SETTLE_WAIT_MS = 1000 };

#define DIRECTORY "snapshots"
/* No name of a snapshot begins so: one that is being deleted. */
#define GOING ".deleted-"

/* ---- names ---- */

static bool is_name(const char *name)
{
    size_t i, len = strlen(name);

    if (!len || len > SNAPSHOT_NAME_MAX || name[0] == '.' || name[0] == '-')
        return false;
    for (i = 0; i < len; i++)
        if (name[i] == '/' || (unsigned char)name[i] < ' ' || name[i] == 127)
            return false;
    /* What checkpoints and clones are called while they are made. */
    return !(len > 4 && strcmp(name + len - 4, "-tmp") == 0);
}

int snapshot_path(const char *store, const char *name, char path[PATH_MAX],
                  struct why *why)
{
    if (!is_name(name))
        return why_set(
            why, -EINVAL,
            "\"%s\" is no name for a snapshot: 1 to %d bytes, no / and no "
            "control characters, not beginning with . or -, nor ending in -tmp",
            name, SNAPSHOT_NAME_MAX);
    if (snprintf(path, PATH_MAX, "%s/" DIRECTORY "/%s", store, name) >= PATH_MAX)
        return why_set(why, -ENAMETOOLONG, "%s: %s", store, strerror(ENAMETOOLONG));
    return 0;
}

int snapshot_find(const char *store, const char *name, char path[PATH_MAX],
                  struct why *why)
{
    int err = snapshot_path(store, name, path, why);
    struct stat st;
    bool there = true;

    if (!err && env_is_rados(path)) {
        err = rados_snapshot_there(path);
        if (err && err != -ENOENT)
            return store_why(path, err, why);
        there = !err;
        err = 0;
    } else if (!err) {
        there = lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
    }
    if (!err && !there)
        err = why_set(why, -ENOENT,
                      "%s: has no snapshot \"%s\"; `siltfs snapshot list %s` shows them",
                      store, name, store);
    return err;
}

/* ---- making ---- */

int snapshot_create(struct lsm *db, const char *store, const char *name, struct why *why)
{
    char path[PATH_MAX], dir[PATH_MAX + 16];
    struct env *env = env_for(store);
    int err = snapshot_path(store, name, path, why);

    if (err)
        return err;
    snprintf(dir, sizeof(dir), "%s/" DIRECTORY, store);
    err = env_mkdir(env, dir);
    if (!err || err == -EEXIST) /* a name that lasts, whoever made it */
        err = env_sync_dir(env, store);
    if (!err)
        err = lsm_checkpoint(db, path);
    switch (err) {
    case 0:
        return 0;
    case -EEXIST:
        return why_set(why, err,
                       "there is a snapshot \"%s\" already; `siltfs snapshot delete` it, "
                       "or take another name",
                       name);
    case -EBUSY:
        return why_set(why, err, "another snapshot is being made; try again");
    case -EROFS:
        return why_set(why, err, "%s: read-only, so no snapshot can be made", store);
    default:
        return why_set(why, err, "%s: %s", path, strerror(-err));
    }
}

/* ---- deleting ---- */

/* Nobody else opens it while we have that; -EBUSY. */
static int lock(const char *path)
{
    char name[PATH_MAX + 8];
    int fd, err;

    snprintf(name, sizeof(name), "%s/LOCK", path);
    fd = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    /* Somebody may be just settling it. */
    err = store_wait_free(path, false, SETTLE_WAIT_MS);
    if (!err && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (!err)
        err = errno == EWOULDBLOCK ? -EBUSY : -errno;
    err = err == -ETIMEDOUT ? -EBUSY : err;
    close(fd);
    return err;
}

/* A store's directory has no others in it, but in hostile ones. */
static int remove_store(int dirfd_, const char *name)
{
    int fd = openat(dirfd_, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!d) {
        if (fd >= 0)
            close(fd);
        return -errno;
    }
    while ((e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(fd, e->d_name, 0);
    closedir(d);
    return unlinkat(dirfd_, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Those that are going already, this one among them. */
static int remove_going(int fd)
{
    DIR *d = fdopendir(fd);
    struct dirent *e;
    int err = 0, err2;

    if (!d) {
        close(fd);
        return -ENOMEM;
    }
    while ((e = readdir(d))) {
        if (strncmp(e->d_name, GOING, strlen(GOING)) != 0)
            continue;
        err2 = remove_store(dirfd(d), e->d_name);
        if (err2 == -ENOENT) /* another deletes, too */
            err2 = 0;
        err = err ? err : err2;
    }
    fsync(dirfd(d));
    closedir(d);
    return err;
}

/* Of no other's name: a crash may have left one. */
static void going_name(char going[NAME_MAX + 32])
{
    snprintf(going, NAME_MAX + 32, GOING "%llx-%ld",
             (unsigned long long)env_now_ns(env_posix()), (long)getpid());
}

static int delete_on_rados(const char *store, const char *name, struct why *why)
{
    char dir[PATH_MAX + 16], going[NAME_MAX + 32];
    int err;

    going_name(going);
    snprintf(dir, sizeof(dir), "%s/" DIRECTORY, store);
    err = rados_snapshot_delete(dir, name, going, GOING);
    if (err == -EBUSY)
        return why_set(why, -EBUSY, "snapshot \"%s\" is in use; unmount it first", name);
    return err ? why_set(why, err, "%s/%s: cannot be deleted: %s", dir, name, strerror(-err))
               : 0;
}

int snapshot_delete(const char *store, const char *name, struct why *why)
{
    char path[PATH_MAX], dir[PATH_MAX + 16], going[NAME_MAX + 32];
    int err = snapshot_find(store, name, path, why), fd, lock_fd;

    if (err)
        return err;
    if (env_is_rados(store))
        return delete_on_rados(store, name, why);
    lock_fd = lock(path);
    if (lock_fd == -EBUSY)
        return why_set(why, -EBUSY, "snapshot \"%s\" is in use; unmount it first", name);
    if (lock_fd < 0)
        return why_set(why, lock_fd, "%s: %s", path, strerror(-lock_fd));
    snprintf(dir, sizeof(dir), "%s/" DIRECTORY, store);
    going_name(going);
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    /* From here on it is none, whatever happens. */
    if (fd < 0 || renameat(fd, name, fd, going) < 0 || fsync(fd) < 0)
        err = -errno;
    if (!err)
        err = remove_going(fd);
    else if (fd >= 0)
        close(fd);
    close(lock_fd);
    return err ? why_set(why, err, "%s: cannot be deleted: %s", path, strerror(-err)) : 0;
}

/* ---- listing ---- */

struct found {
    char name[SNAPSHOT_NAME_MAX + 1];
    struct snapshot s;
};

static void measure(int fd, struct snapshot *s)
{
    DIR *d = fdopendir(fd);
    struct dirent *e;
    struct stat st;

    if (!d) {
        close(fd);
        return;
    }
    while ((e = readdir(d))) {
        if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        s->bytes += (uint64_t)st.st_blocks * 512;
        if (st.st_nlink == 1)
            s->own += (uint64_t)st.st_blocks * 512;
        if (strcmp(e->d_name, "CURRENT") == 0)
            s->made = st.st_mtim;
    }
    closedir(d);
}

static int by_age(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    if (x->s.made.tv_sec != y->s.made.tv_sec)
        return x->s.made.tv_sec < y->s.made.tv_sec ? -1 : 1;
    if (x->s.made.tv_nsec != y->s.made.tv_nsec)
        return x->s.made.tv_nsec < y->s.made.tv_nsec ? -1 : 1;
    return strcmp(x->name, y->name);
}

struct collected {
    struct found *list;
    size_t n, cap;
};

static int collect(void *arg, const struct snapshot *s)
{
    struct collected *c = arg;

    if (!is_name(s->name))
        return 0;
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 16;
        void *p = realloc(c->list, cap * sizeof(*c->list));

        if (!p)
            return -ENOMEM;
        c->list = p;
        c->cap = cap;
    }
    strcpy(c->list[c->n].name, s->name);
    c->list[c->n++].s = *s;
    return 0;
}

static int find_all_on_rados(const char *dir, struct found **list, size_t *n)
{
    struct collected c = {0};
    int err = rados_snapshot_list(dir, collect, &c);

    *list = c.list;
    *n = c.n;
    return err;
}

static int find_all(DIR *d, struct found **list, size_t *n)
{
    struct dirent *e;
    size_t cap = 0;
    int fd;

    while ((e = readdir(d))) {
        if (!is_name(e->d_name))
            continue;
        fd = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (*n == cap) {
            void *p = realloc(*list, (cap = cap ? 2 * cap : 16) * sizeof(**list));

            if (!p) {
                close(fd);
                return -ENOMEM;
            }
            *list = p;
        }
        memset(&(*list)[*n], 0, sizeof(**list));
        strcpy((*list)[*n].name, e->d_name);
        measure(fd, &(*list)[(*n)++].s);
    }
    return 0;
}

int snapshot_list(const char *store, snapshot_fn *fn, void *arg)
{
    struct found *list = NULL;
    char dir[PATH_MAX + 16];
    size_t n = 0, i;
    DIR *d;
    int err;

    snprintf(dir, sizeof(dir), "%s/" DIRECTORY, store);
    d = env_is_rados(store) ? NULL : opendir(dir);
    if (!d && !env_is_rados(store))
        return errno == ENOENT ? 0 : -errno;
    err = d ? find_all(d, &list, &n) : find_all_on_rados(dir, &list, &n);
    if (d)
        closedir(d);
    if (n)
        qsort(list, n, sizeof(*list), by_age);
    for (i = 0; i < n && !err; i++) {
        list[i].s.name = list[i].name;
        err = fn(arg, &list[i].s);
    }
    free(list);
    return err;
}

/* ---- settling ---- */

struct logs {
    const char *path;
    bool any, open; /* some are still being written: not here */
};

static int note_log(void *arg, const struct lsm_file *f)
{
    struct env_rados_file its = {0};
    struct logs *l = arg;
    char path[PATH_MAX + 64];

    l->any |= f->kind == LSM_FILE_LOG;
    if (!env_is_rados(l->path))
        return 0;
    if (snprintf(path, sizeof(path), "%s/%s", l->path, f->name) >= (int)sizeof(path) ||
        env_rados_file(path, &its) || its.open)
        l->open = true;
    return 0;
}

/* On RADOS who opens a store to write seals what another writes: so there must be none. */
static bool has_logs(const char *path, struct lsm_options o)
{
    struct logs l = {.path = path};
    struct lsm *db;

    o.read_only = true;
    if (lsm_open(path, &o, &db))
        return false;
    lsm_files(db, note_log, &l);
    lsm_close(db); /* read only: nothing to lose */
    return l.any && !l.open;
}

/* Its sums are of the files that came: they stay. */
static bool was_carried(const char *path)
{
    char sums[PATH_MAX + 16];
    uint64_t size;

    snprintf(sums, sizeof(sums), "%s/" SUMS_NAME, path);
    return env_stat(env_for(path), sums, &size) == 0;
}

/* The time of CURRENT stays what tells when the snapshot was made. */
void snapshot_settle(const char *path)
{
    struct timespec made;
    struct lsm_options o;
    struct lsm *db;

    lsm_options_init(&o);
    o.verify_bytes = 0; /* who opens it next reads it */
    if (made_when(path, &made) || was_carried(path) || !has_logs(path, o) ||
        lsm_open(path, &o, &db))
        return;
    store_mark(path, "closing"); /* who wants it meanwhile waits */
    if (lsm_close(db))
        return;
    (void)set_made(path, &made);
}
