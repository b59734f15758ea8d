/*
 * env_inside.c - see env_inside.h.
 */
#include "tests/env_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct env *to(struct env *e)
{
    return ((struct env_inside *)e)->to;
}

/* The directory itself, or below it names that are names. */
static const char *inside(struct env *e, const char *path)
{
    const char *dir = ((struct env_inside *)e)->dir, *at = path + strlen(dir);
    bool good = strncmp(path, dir, strlen(dir)) == 0;

    while (good && *at) {
        size_t len = strcspn(at + 1, "/");

        good = *at == '/' && len > 0 && !(len == 1 && at[1] == '.') &&
               !(len == 2 && at[1] == '.' && at[2] == '.');
        at += 1 + len;
    }
    if (!good) {
        fprintf(stderr, "a path leaves the store: \"%s\"\n", path);
        abort();
    }
    return path;
}

static int inside_open(struct env *e, const char *path, enum env_mode mode,
                       uint64_t preallocate, struct env_file **out)
{
    return env_open(to(e), inside(e, path), mode, preallocate, out);
}

static int inside_rename(struct env *e, const char *from, const char *dest)
{
    return env_rename(to(e), inside(e, from), inside(e, dest));
}

static int inside_unlink(struct env *e, const char *path)
{
    return env_unlink(to(e), inside(e, path));
}

static int inside_link(struct env *e, const char *from, const char *dest)
{
    return env_link(to(e), inside(e, from), inside(e, dest));
}

static int inside_mkdir(struct env *e, const char *path)
{
    return env_mkdir(to(e), inside(e, path));
}

static int inside_rmdir(struct env *e, const char *path)
{
    return env_rmdir(to(e), inside(e, path));
}

static int inside_list(struct env *e, const char *path, env_list_fn *fn, void *arg)
{
    return env_list(to(e), inside(e, path), fn, arg);
}

static int inside_sync_dir(struct env *e, const char *path)
{
    return env_sync_dir(to(e), *path && path[1] ? inside(e, path) : path);
}

static int inside_stat(struct env *e, const char *path, uint64_t *size)
{
    return env_stat(to(e), inside(e, path), size);
}

static int inside_same(struct env *e, const char *a, const char *b)
{
    char *first = strdup(inside(e, a));
    int rc = first ? env_same(to(e), first, inside(e, b)) : -ENOMEM;

    free(first);
    return rc;
}

static int inside_lock(struct env *e, const char *path, bool shared,
                       struct env_lock **out)
{
    return env_lock(to(e), inside(e, path), shared, out);
}

static void inside_unlock(struct env *e, struct env_lock *l)
{
    env_unlock(to(e), l);
}

static int inside_space(struct env *e, const char *path, uint64_t *total, uint64_t *avail)
{
    return env_space(to(e), inside(e, path), total, avail);
}

static uint64_t inside_now_ns(struct env *e)
{
    return env_now_ns(to(e));
}

static void inside_sleep_ns(struct env *e, uint64_t ns)
{
    env_sleep_ns(to(e), ns);
}

static void inside_background(struct env *e)
{
    env_background(to(e));
}

void env_inside_init(struct env_inside *e, struct env *under, const char *dir)
{
    static const struct env_ops ops = {
        .open = inside_open,
        .rename = inside_rename,
        .unlink = inside_unlink,
        .link = inside_link,
        .mkdir = inside_mkdir,
        .rmdir = inside_rmdir,
        .list = inside_list,
        .sync_dir = inside_sync_dir,
        .stat = inside_stat,
        .same = inside_same,
        .lock = inside_lock,
        .unlock = inside_unlock,
        .space = inside_space,
        .now_ns = inside_now_ns,
        .sleep_ns = inside_sleep_ns,
        .background = inside_background,
    };

    *e = (struct env_inside){.base = {.ops = &ops}, .to = under, .dir = dir};
}
