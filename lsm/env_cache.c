/*
 * env_cache.c - the env of a local cache: what is kept, its life and its counts. See
 * env_cache.h; its files are in env_cache_file.c, blocks on their way in env_cache_way.c,
 * writing them in env_cache_write.c.
 */
#include "env_cache_impl.h"

#include "err.h"
#include "hash.h"
#include "names.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOOK_MS = 10 * 1000 };

static struct cache *cache_of(struct env *e)
{
    return (struct cache *)e;
}

static struct env *under(struct env *e)
{
    return ((struct cache *)e)->under;
}

/* ---- opening ---- */

static const char *last_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static bool is_kept(const char *name)
{
    uint64_t number;
    enum file_kind kind = file_parse(name, &number);

    return kind == FILE_TABLE || kind == FILE_SEGMENT;
}

static int cached_open(struct env *e, const char *path, enum env_mode mode,
                       uint64_t preallocate, struct env_file **out)
{
    struct cache *c = cache_of(e);
    const char *name = last_name(path);
    int rc = env_open(c->under, path, mode, preallocate, out);

    if (!rc && mode != ENV_REUSE && !preallocate && is_kept(name) &&
        !atomic_load(&c->off))
        *out = cached_file_new(c, *out, name, mode == ENV_CREATE);
    return rc;
}

static int cached_rename(struct env *e, const char *from, const char *to)
{
    return env_rename(under(e), from, to);
}

static int cached_unlink(struct env *e, const char *path)
{
    return env_unlink(under(e), path);
}

static int cached_link(struct env *e, const char *from, const char *to)
{
    return env_link(under(e), from, to);
}

static int cached_mkdir(struct env *e, const char *path)
{
    return env_mkdir(under(e), path);
}

static int cached_rmdir(struct env *e, const char *path)
{
    return env_rmdir(under(e), path);
}

static int cached_list(struct env *e, const char *path, env_list_fn *fn, void *arg)
{
    return env_list(under(e), path, fn, arg);
}

static int cached_sync_dir(struct env *e, const char *path)
{
    return env_sync_dir(under(e), path);
}

static int cached_stat(struct env *e, const char *path, uint64_t *size)
{
    return env_stat(under(e), path, size);
}

static int cached_same(struct env *e, const char *a, const char *b)
{
    return env_same(under(e), a, b);
}

static int cached_lock(struct env *e, const char *path, bool shared,
                       struct env_lock **out)
{
    return env_lock(under(e), path, shared, out);
}

static void cached_unlock(struct env *e, struct env_lock *l)
{
    env_unlock(under(e), l);
}

static int cached_space(struct env *e, const char *path, uint64_t *total, uint64_t *avail)
{
    return env_space(under(e), path, total, avail);
}

static bool cached_full(struct env *e)
{
    return env_full(under(e));
}

static uint64_t cached_now_ns(struct env *e)
{
    return env_now_ns(under(e));
}

static void cached_sleep_ns(struct env *e, uint64_t ns)
{
    env_sleep_ns(under(e), ns);
}

static void cached_background(struct env *e)
{
    cache_in_background();
    env_background(under(e));
}

static const struct env_ops cache_ops = {
    .open = cached_open,
    .rename = cached_rename,
    .unlink = cached_unlink,
    .link = cached_link,
    .mkdir = cached_mkdir,
    .rmdir = cached_rmdir,
    .list = cached_list,
    .sync_dir = cached_sync_dir,
    .stat = cached_stat,
    .same = cached_same,
    .lock = cached_lock,
    .unlock = cached_unlock,
    .space = cached_space,
    .full = cached_full,
    .now_ns = cached_now_ns,
    .sleep_ns = cached_sleep_ns,
    .background = cached_background,
};

/* ---- life ---- */

/* Of two slots that say they have the same block one is enough. */
static void note_slot(void *arg, uint32_t slot, uint64_t key)
{
    struct slots *s = arg;

    if (slot < s->max)
        slots_put(s, slot, key, SLOT_READ);
}

static void cache_free(struct cache *c)
{
    shelves_close(&c->shelves);
    slots_release(&c->slots);
    pthread_cond_destroy(&c->queued);
    pthread_cond_destroy(&c->arrived);
    pthread_cond_destroy(&c->written);
    mutex_release(&c->mu);
    free(c->dir);
    free(c);
}

static struct cache *cache_new(struct env *to, const struct env_cache_options *o)
{
    struct cache *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->base = *to; /* what it says of itself is true of this one */
    c->base.ops = &cache_ops;
    c->under = to;
    c->keep_free = o->keep_free;
    c->look_after_ns = (o->look_ms ? o->look_ms : LOOK_MS) * 1000000ull;
    c->last = &c->first;
    c->shelves.dir = c->shelves.lock = -1;
    mutex_init(&c->mu, LOCK_ENV_CACHE);
    cond_init(&c->queued);
    cond_init(&c->arrived);
    cond_init(&c->written);
    c->dir = strdup(o->dir);
    return c;
}

static int cache_load(struct cache *c, const struct env_cache_options *o)
{
    uint32_t max = shelf_slots(o->bytes), used = 0;
    char name[32];
    int rc;

    if (o->bytes < ENV_CACHE_LEAST)
        return -EINVAL;
    snprintf(name, sizeof(name), "%016llx",
             (unsigned long long)hash_bytes(o->store, strlen(o->store), 0));
    rc = slots_init(&c->slots, max);
    if (!rc)
        rc = shelves_open(&c->shelves, c->dir, name, max, note_slot, &c->slots, &used);
    c->slots.used = c->grow_to = used;
    return rc ? rc : cache_start_writer(c);
}

int env_cache_open(struct env *to, const struct env_cache_options *o, struct env **out)
{
    struct cache *c = cache_new(to, o);
    int rc = c && c->dir ? cache_load(c, o) : -ENOMEM;

    if (!rc) {
        *out = &c->base;
        return 0;
    }
    if (c)
        cache_free(c);
    err_log("%s: cannot be used as a local cache: %s", o->dir,
            rc == -EBUSY   ? "another process does, for the same store"
            : rc == -EPERM ? "it must be ours, and nobody else may write to it"
                           : strerror(-rc));
    return rc;
}

void env_cache_close(struct env *e)
{
    if (!e)
        return;
    cache_stop_writer(cache_of(e));
    cache_free(cache_of(e));
}

bool env_cache_get_stats(const struct env *e, struct env_cache_stats *out)
{
    struct cache *c = (struct cache *)(uintptr_t)e;

    *out = (struct env_cache_stats){0};
    if (e->ops != &cache_ops)
        return false;
    mutex_lock(&c->mu);
    if (!atomic_load(&c->off))
        out->limit_bytes = (uint64_t)c->slots.max * SLOT_BYTES;
    out->bytes = (uint64_t)c->slots.live * SLOT_BYTES;
    mutex_unlock(&c->mu);
    out->hits = atomic_load(&c->count.hits);
    out->misses = atomic_load(&c->count.misses);
    out->hit_bytes = atomic_load(&c->count.hit_bytes);
    out->fetched_bytes = atomic_load(&c->count.fetched_bytes);
    out->stored_bytes = atomic_load(&c->count.stored_bytes);
    out->skipped = atomic_load(&c->count.skipped);
    out->damaged = atomic_load(&c->count.damaged);
    return true;
}
