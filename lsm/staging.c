/*
 * staging.c - see staging.h.
 */
#include "staging.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "names.h"

static int sync_parent(struct env *env, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = !slash          ? strdup(".")
                   : slash == path ? strdup("/")
                                   : strndup(path, (size_t)(slash - path));
    int rc = parent ? env_sync_dir(env, parent) : -ENOMEM;

    free(parent);
    return rc;
}

static int stop_at_first(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return 1;
}

static int check_absent(struct env *env, const char *path)
{
    int rc = env_list(env, path, stop_at_first, NULL);

    return rc == -ENOENT ? 0 : rc == -ENOTDIR || rc >= 0 ? -EEXIST : rc;
}

struct leftover {
    bool opened;
    enum file_kind *kind;
    uint64_t *number;
    size_t n;
};

static int note_leftover(void *arg, const char *name)
{
    struct leftover *l = arg;
    uint64_t number = 0;
    enum file_kind kind = file_parse(name, &number);
    void *p;

    if (kind == FILE_OTHER || (!l->opened && kind == FILE_LOCK))
        return -EEXIST;
    p = realloc(l->kind, (l->n + 1) * sizeof(*l->kind));
    if (!p)
        return -ENOMEM;
    l->kind = p;
    p = realloc(l->number, (l->n + 1) * sizeof(*l->number));
    if (!p)
        return -ENOMEM;
    l->number = p;
    l->kind[l->n] = kind;
    l->number[l->n++] = number;
    return 0;
}

/* Delete what an earlier attempt, or this one, left in tmp. */
static int empty(struct staging *s)
{
    struct leftover l = {.opened = s->opened};
    int rc = env_list(s->env, s->tmp, note_leftover, &l);
    size_t i;

    for (i = 0; i < l.n && !rc; i++) {
        char *path = file_path(s->tmp, l.kind[i], l.number[i]);

        rc = path ? env_unlink(s->env, path) : -ENOMEM;
        free(path);
    }
    free(l.kind);
    free(l.number);
    return rc;
}

/* What is there is taken over if it is a directory: a link to one may have been planted,
 * and emptying that would empty another's store. */
static int make(struct staging *s)
{
    int rc = env_mkdir(s->env, s->tmp);

    if (rc != -EEXIST)
        return rc;
    rc = env_rmdir(s->env, s->tmp);
    if (rc == -ENOTDIR)
        return -EEXIST;
    if (rc == -ENOTEMPTY || rc == -EEXIST)
        return empty(s);
    return rc ? rc : env_mkdir(s->env, s->tmp);
}

int staging_begin(struct staging *s, struct env *env, const char *path,
                  const char *suffix)
{
    size_t len = strlen(path);
    int rc;

    s->env = env;
    while (len > 1 && path[len - 1] == '/')
        len--;
    s->path = strndup(path, len);
    if (!s->path || asprintf(&s->tmp, "%s%s", s->path, suffix) < 0) {
        s->tmp = NULL;
        return -ENOMEM;
    }
    rc = check_absent(env, s->path);
    if (!rc)
        rc = make(s);
    return rc ? rc : sync_parent(env, s->path);
}

int staging_commit(struct staging *s)
{
    int rc = env_rename(s->env, s->tmp, s->path);

    return rc ? rc : sync_parent(s->env, s->path);
}

int staging_drop(struct staging *s)
{
    int rc = empty(s);

    return rc ? rc : env_rmdir(s->env, s->tmp);
}

void staging_release(struct staging *s)
{
    free(s->path);
    free(s->tmp);
    s->path = s->tmp = NULL;
}
