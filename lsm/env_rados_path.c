/*
 * env_rados_path.c - see env_rados_path.h.
 */
#if __has_include(<rados/librados.h>)

#include "env_rados_path.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The next component of *path into name. 0, or -ENOENT at the end. */
static int component(const char **path, char name[RADOS_NAME_MAX + 1])
{
    size_t len;

    *path += strspn(*path, "/");
    len = strcspn(*path, "/");
    if (!len)
        return -ENOENT;
    if (len > RADOS_NAME_MAX)
        return -ENAMETOOLONG;
    if (!rados_is_name(*path, len))
        return -EINVAL;
    memcpy(name, *path, len);
    name[len] = '\0';
    *path += len;
    return 0;
}

static bool at_end(const char *path)
{
    return !path[strspn(path, "/")];
}

int rados_know(struct names *n, uint64_t dir, enum rados_freshness f)
{
    bool known =
        n->loaded && !n->error && (names_holds(n, dir) || (f == RADOS_CACHED && n->held));

    if (n->error)
        return n->error;
    return known ? 0 : names_refresh_locked(n);
}

int rados_find_store(struct names *catalog, const char *pool, const char *name,
                     struct names **out)
{
    struct entry *e;
    uint64_t id;
    char *label;
    int rc = 0, tries;
    bool busy = false;

    for (tries = 0; tries < 2; tries++) {
        mutex_lock(&catalog->mu);
        if (tries || !catalog->loaded)
            rc = names_refresh_locked(catalog);
        e = rc ? NULL : names_find(catalog, RADOS_ROOT, name);
        if (!rc && e && e->is.kind != RADOS_STORE)
            rc = -EUCLEAN;
        id = e ? e->is.id : 0;
        mutex_unlock(&catalog->mu);
        if (rc || (!id && tries))
            return rc ? rc : -ENOENT;
        if (!id)
            continue;
        if (asprintf(&label, "rados:%s/%s", pool, name) < 0)
            return -ENOMEM;
        rc = names_get(pool, id, label, out);
        free(label);
        if (rc)
            return rc;
        mutex_lock(&(*out)->mu);
        busy = (*out)->held != NULL;
        mutex_unlock(&(*out)->mu);
        if (busy)
            break;
    }
    return 0;
}

/* The directory p->name in p->dir. */
static int enter(struct rados_place *p, enum rados_freshness f)
{
    struct entry *e;
    int rc;

    mutex_lock(&p->n->mu);
    rc = rados_know(p->n, p->dir, f);
    e = rc ? NULL : names_find(p->n, p->dir, p->name);
    if (!rc && (!e || e->is.kind != RADOS_DIR))
        rc = e ? -ENOTDIR : -ENOENT;
    if (!rc)
        p->dir = e->is.id;
    mutex_unlock(&p->n->mu);
    return rc;
}

int rados_find_place(const char *path, enum rados_freshness f, struct rados_place *p)
{
    char pool[RADOS_NAME_MAX + 1], label[RADOS_NAME_MAX + 16];
    struct names *catalog;
    int rc;

    memset(p, 0, sizeof(*p));
    if (!env_is_rados(path))
        return -EXDEV;
    path += strlen("rados:");
    rc = component(&path, pool);
    if (rc)
        return rc;
    snprintf(label, sizeof(label), "rados:%s", pool);
    rc = names_get(pool, 0, label, &catalog);
    p->n = catalog;
    p->dir = RADOS_ROOT;
    if (rc || at_end(path))
        return rc;
    rc = component(&path, p->name);
    if (rc || at_end(path))
        return rc;
    rc = rados_find_store(catalog, pool, p->name, &p->n);
    while (!rc && !(rc = component(&path, p->name)) && !at_end(path))
        rc = enter(p, f);
    return rc;
}

int rados_find_dir(const char *path, enum rados_freshness f, struct rados_place *p)
{
    int rc = rados_find_place(path, f, p);

    if (rc || !p->name[0])
        return rc;
    if (!p->n->store) {
        rc = rados_find_store(p->n, p->n->pool, p->name, &p->n);
        p->dir = RADOS_ROOT;
        return rc;
    }
    return enter(p, f);
}

int rados_find_file(const struct rados_place *p, struct node **out)
{
    struct entry *e = rados_entry_of(p);

    if (!e)
        return -ENOENT;
    if (e->is.kind != RADOS_FILE)
        return err_corrupt(p->n->label, 0, "%s: not a regular file", p->name);
    *out = names_node(p->n, e->is.id);
    if (!*out || !(*out)->known)
        return err_corrupt(p->n->label, 0, "%s: no record of file %" PRIx64, p->name,
                           e->is.id);
    return 0;
}

#endif
