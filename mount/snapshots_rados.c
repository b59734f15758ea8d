/*
 * snapshots_rados.c - see snapshots_rados.h.
 */
#include "snapshots_rados.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int stop_at_first(void *arg, const char *name)
{
    return 1;
}

int rados_snapshot_there(const char *path)
{
    int rc = env_list(env_for(path), path, stop_at_first, NULL);

    return rc < 0 ? rc : 0;
}

/* ---- deleting ---- */

static int remove_file(void *arg, const char *name)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/%s", (const char *)arg, name) >= PATH_MAX)
        return -ENAMETOOLONG;
    return env_unlink(env_for(path), path);
}

struct going {
    const char *dir, *prefix;
    int err;
};

/* A store's directory has no others in it. */
static int remove_store(void *arg, const char *name)
{
    struct going *g = arg;
    char path[PATH_MAX];
    int err;

    if (strncmp(name, g->prefix, strlen(g->prefix)) != 0 ||
        snprintf(path, sizeof(path), "%s/%s", g->dir, name) >= PATH_MAX)
        return 0;
    err = env_list(env_for(path), path, remove_file, path);
    if (!err)
        err = env_rmdir(env_for(path), path);
    if (err && err != -ENOENT && !g->err) /* another deletes, too */
        g->err = err;
    return 0;
}

int rados_snapshot_delete(const char *dir, const char *name, const char *going,
                          const char *prefix)
{
    struct going g = {.dir = dir, .prefix = prefix};
    struct env *env = env_for(dir);
    char from[PATH_MAX], to[PATH_MAX], lock_path[PATH_MAX + 8];
    struct env_lock *lock;
    int err;

    if (snprintf(from, sizeof(from), "%s/%s", dir, name) >= PATH_MAX ||
        snprintf(to, sizeof(to), "%s/%s", dir, going) >= PATH_MAX)
        return -ENAMETOOLONG;
    snprintf(lock_path, sizeof(lock_path), "%s/LOCK", from);
    err = env_lock(env, lock_path, false, &lock);
    if (err)
        return err == -EWOULDBLOCK ? -EBUSY : err;
    err = env_rename(env, from, to);
    if (!err)
        err = env_list(env, dir, remove_store, &g);
    if (!err)
        err = env_sync_dir(env, dir);
    env_unlock(env, lock);
    return err ? err : g.err;
}

/* ---- listing ---- */

struct measuring {
    const char *dir;
    struct snapshot s;
};

static int measure(void *arg, const char *name)
{
    struct measuring *m = arg;
    struct env_rados_file f;
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/%s/%s", m->dir, m->s.name, name) >= PATH_MAX ||
        env_rados_file(path, &f))
        return 0;
    m->s.bytes += f.size;
    if (f.links == 1)
        m->s.own += f.size;
    if (strcmp(name, "CURRENT") == 0)
        m->s.made = (struct timespec){.tv_sec = (time_t)(f.closed_ns / 1000000000),
                                      .tv_nsec = (long)(f.closed_ns % 1000000000)};
    return 0;
}

struct listing {
    const char *dir;
    snapshot_fn *fn;
    void *arg;
};

static int list_one(void *arg, const char *name)
{
    struct listing *l = arg;
    struct measuring m = {.dir = l->dir, .s.name = name};
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/%s", l->dir, name) >= PATH_MAX ||
        env_list(env_for(path), path, measure, &m))
        return 0; /* it is gone, or no directory */
    return l->fn(l->arg, &m.s);
}

int rados_snapshot_list(const char *dir, snapshot_fn *fn, void *arg)
{
    struct listing l = {.dir = dir, .fn = fn, .arg = arg};
    int rc = env_list(env_for(dir), dir, list_one, &l);

    return rc == -ENOENT ? 0 : rc;
}
