/*
 * env_cache_way.c - blocks on their way from the store to a slot; see env_cache_impl.h.
 */
#include "env_cache_impl.h"

#include <stdlib.h>

enum { PATIENCE_MS = 10 };

struct run *run_new(unsigned blocks)
{
    struct run *r = malloc(sizeof(*r) + (size_t)blocks * CACHE_BLOCK);

    if (r)
        r->refs = 1;
    return r;
}

void run_put_locked(struct run *r)
{
    if (--r->refs == 0)
        free(r);
}

/* ---- the table ---- */

static struct on_way **bucket(struct cache *c, uint64_t key)
{
    return &c->bucket[key % WAY_BUCKETS];
}

struct on_way *way_find_locked(struct cache *c, uint64_t key)
{
    struct on_way *w = *bucket(c, key);

    while (w && w->key != key)
        w = w->next;
    return w;
}

void way_forget_locked(struct cache *c, struct on_way *w)
{
    struct on_way **at;

    if (!w->listed)
        return;
    for (at = bucket(c, w->key); *at != w; at = &(*at)->next)
        ;
    *at = w->next;
    w->listed = false;
}

struct on_way *way_begin_locked(struct cache *c, uint64_t key, struct run *run)
{
    struct on_way *w = calloc(1, sizeof(*w));

    if (!w)
        return NULL;
    w->key = key;
    w->run = run;
    run->refs++;
    w->refs = 1;
    w->listed = true;
    w->next = *bucket(c, key);
    *bucket(c, key) = w;
    return w;
}

void way_put_locked(struct cache *c, struct on_way *w)
{
    if (--w->refs)
        return;
    way_forget_locked(c, w);
    run_put_locked(w->run);
    free(w);
}

/* ---- the queue ---- */

/*
 * A disk that is as fast as the store is waited for, or much of what is read for the
 * first time would not be kept; one that has stopped is not: after the first wait in vain
 * blocks are left out until half of the queue is written.
 */
static bool have_room_locked(struct cache *c)
{
    if (c->n_queued >= QUEUE_BLOCKS && !c->behind) {
        mutex_unlock(&c->mu);
        env_about_to_block();
        mutex_lock(&c->mu);
        if (c->n_queued >= QUEUE_BLOCKS)
            (void)cond_wait_ns(&c->written, &c->mu, PATIENCE_MS * 1000000ull);
        c->behind = c->n_queued >= QUEUE_BLOCKS;
    }
    return c->n_queued < QUEUE_BLOCKS && !c->behind;
}

void way_end_locked(struct cache *c, struct on_way *w, int heat)
{
    w->state = heat < 0 ? WAY_FAILED : WAY_HERE;
    pthread_cond_broadcast(&c->arrived);
    if (heat < 0) {
        way_forget_locked(c, w);
    } else if (w->listed && !atomic_load(&c->off)) {
        if (have_room_locked(c)) {
            w->heat = (uint8_t)heat;
            w->later = NULL;
            *c->last = w;
            c->last = &w->later;
            c->n_queued++;
            pthread_cond_signal(&c->queued);
            return; /* the reference is the queue's */
        }
        atomic_fetch_add(&c->count.skipped, 1);
    }
    way_put_locked(c, w);
}
