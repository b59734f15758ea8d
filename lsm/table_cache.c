/*
 * table_cache.c - see table_cache.h.
 */
#include "table_cache.h"

#include <stdlib.h>

#include "err.h"
#include "names.h"

void table_cache_init(struct table_cache *c, struct env *env, const char *dir,
                      struct cache *blocks, void (*dead)(void *arg, uint64_t number),
                      void *arg)
{
    memset(c, 0, sizeof(*c));
    c->env = env;
    c->dir = dir;
    c->blocks = blocks;
    c->dead = dead;
    c->arg = arg;
    mutex_init(&c->mu, LOCK_TABLE_CACHE);
}

void table_cache_release(struct table_cache *c)
{
    mutex_release(&c->mu);
}

int tfile_new(struct table_cache *c, const struct table_meta *meta, struct tfile **out)
{
    struct tfile *f = calloc(1, sizeof(*f));
    int rc;

    if (!f)
        return -ENOMEM;
    rc = table_meta_copy(&f->meta, meta);
    if (rc) {
        free(f);
        return rc;
    }
    atomic_init(&f->refs, 1);
    f->home = c;
    mutex_lock(&c->mu);
    f->next = c->alive;
    if (c->alive)
        c->alive->prev = f;
    c->alive = f;
    mutex_unlock(&c->mu);
    *out = f;
    return 0;
}

void tfile_ref(struct tfile *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
}

void tfile_unref(struct tfile *f)
{
    struct table_cache *c = f->home;
    uint64_t number = f->meta.number;
    bool obsolete;

    if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    mutex_lock(&c->mu);
    if (f->prev)
        f->prev->next = f->next;
    else
        c->alive = f->next;
    if (f->next)
        f->next->prev = f->prev;
    mutex_unlock(&c->mu);
    obsolete = atomic_load(&f->obsolete);
    table_free(atomic_load(&f->table));
    table_meta_release(&f->meta);
    free(f);
    if (obsolete)
        c->dead(c->arg, number);
}

static int open_table(struct tfile *f, struct table **out)
{
    struct table_open_options o = {
        .env = f->home->env,
        .number = f->meta.number,
        .size = f->meta.size,
        .cache = f->home->blocks,
    };
    char *path = file_path(f->home->dir, FILE_TABLE, f->meta.number);
    int rc;

    if (!path)
        return -ENOMEM;
    o.path = path;
    rc = table_open(&o, out);
    if (rc == -ENOENT)
        rc = err_corrupt(path, 0, "the table is missing");
    free(path);
    return rc;
}

int tfile_table(struct tfile *f, struct table **out)
{
    struct table *t = atomic_load_explicit(&f->table, memory_order_acquire), *seen = NULL;
    int rc;

    if (t) {
        *out = t;
        return 0;
    }
    /* Opened without a lock: two threads may both do it, one of them in vain. */
    rc = open_table(f, &t);
    if (rc)
        return rc;
    if (!atomic_compare_exchange_strong(&f->table, &seen, t)) {
        table_free(t);
        t = seen;
    }
    *out = t;
    return 0;
}

void table_cache_segments(struct table_cache *c, segment_fn *fn, void *arg)
{
    struct tfile *f;
    size_t i;

    mutex_lock(&c->mu);
    for (f = c->alive; f; f = f->next)
        for (i = 0; i < f->meta.n_refs; i++)
            fn(arg, f->meta.refs[i].segment, f->meta.refs[i].bytes);
    mutex_unlock(&c->mu);
}
