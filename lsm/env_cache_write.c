/*
 * env_cache_write.c - the thread that puts blocks into slots, and looks after the room
 * that they take; see env_cache_impl.h.
 *
 * A slot is out of the index while it is written to. A reader that has found it before
 * reads what is half of one block and half of another; the checksums, which are seeded
 * with the file and the page, tell him.
 */
#include "env_cache_impl.h"

#include "err.h"
#include "hash.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    GROW_SLOTS = 256, /* 16 MiB: before the free space is asked for again */
    FREE_PART = 20,   /* of the filesystem stays free */
};

void cache_turn_off(struct cache *c, const char *why)
{
    uint32_t held;

    mutex_lock(&c->mu);
    held = c->slots.live;
    if (!atomic_exchange(&c->off, true))
        slots_cut(&c->slots, 0);
    else
        why = NULL;
    mutex_unlock(&c->mu);
    if (why)
        err_log("%s: the local cache is turned off, with %u blocks in it: %s", c->dir,
                (unsigned)held, why);
}

/* ---- room ---- */

/* Bytes that may still be taken; less than 0: too many are. */
static int64_t spare_bytes(struct cache *c)
{
    uint64_t total, avail, keep;

    if (shelves_space(&c->shelves, &total, &avail))
        return 0;
    keep = c->keep_free ? c->keep_free : total / FREE_PART;
    return (int64_t)(avail - keep);
}

/* On a disk that others have filled, the slots written last are given back. */
static void shrink(struct cache *c, uint64_t bytes)
{
    uint64_t n = bytes / SLOT_BYTES + 1;
    uint32_t left;
    int rc;

    mutex_lock(&c->mu);
    left = c->slots.used > n ? c->slots.used - (uint32_t)n : 0;
    slots_cut(&c->slots, left);
    c->grow_to = left;
    mutex_unlock(&c->mu);
    rc = shelves_cut(&c->shelves, left);
    if (rc)
        cache_turn_off(c, strerror(-rc));
}

/* Is there room for slots that were never used? Asked now and then only. */
static void look_for_room(struct cache *c)
{
    int64_t spare = spare_bytes(c);
    uint64_t n = spare > 0 ? (uint64_t)spare / SLOT_BYTES : 0,
             now = env_now_ns(env_posix());

    mutex_lock(&c->mu);
    n = n < GROW_SLOTS ? n : GROW_SLOTS;
    n += c->slots.used;
    c->grow_to = n < c->slots.max ? (uint32_t)n : c->slots.max;
    c->look_ns = c->grow_to > c->slots.used ? now : now + c->look_after_ns;
    mutex_unlock(&c->mu);
}

/* At rest: is all as it was? */
static void look_after(struct cache *c)
{
    int64_t spare;

    if (atomic_load(&c->off))
        return;
    if (shelves_gone(&c->shelves)) {
        cache_turn_off(c, "it was removed");
        (void)shelves_cut(&c->shelves, 0);
        return;
    }
    spare = spare_bytes(c);
    if (spare < 0)
        shrink(c, (uint64_t)-spare);
}

/* A slot to write to, out of the index; false: there is none. Not under mu. */
static bool take_slot(struct cache *c, uint32_t *slot)
{
    uint64_t now = env_now_ns(env_posix());
    bool grow, look, have = true;

    mutex_lock(&c->mu); /* a reader may turn the cache off */
    look = c->slots.used >= c->grow_to && c->slots.used < c->slots.max &&
           now >= c->look_ns;
    mutex_unlock(&c->mu);
    if (look)
        look_for_room(c);
    mutex_lock(&c->mu);
    grow = c->slots.used < c->grow_to;
    if (grow)
        *slot = c->slots.used++;
    else if (c->slots.used)
        *slot = slots_victim(&c->slots);
    else
        have = false;
    mutex_unlock(&c->mu);
    return have;
}

/* ---- one block ---- */

static void seal(const struct on_way *w, uint8_t *stored, unsigned *n)
{
    size_t at;

    for (*n = 0, at = 0; at < w->len; ++*n, at += CACHE_PAGE) {
        size_t len = w->len - at < CACHE_PAGE ? w->len - at : CACHE_PAGE;

        page_seal(stored + (size_t)*n * STORED_PAGE, w->run->data + w->at + at, len,
                  hash_place(w->page_seed, w->first_page + *n));
    }
}

/* The disk has no room: so much and no more, for the time being. */
static void stay_small(struct cache *c, uint32_t slot)
{
    mutex_lock(&c->mu);
    if (slot + 1 == c->slots.used)
        c->slots.used--;
    c->grow_to = c->slots.used;
    c->look_ns = env_now_ns(env_posix()) + c->look_after_ns;
    mutex_unlock(&c->mu);
}

static void store(struct cache *c, struct on_way *w, uint8_t *stored)
{
    uint32_t slot;
    unsigned n;
    int rc;

    if (atomic_load(&c->off) || !take_slot(c, &slot))
        return;
    seal(w, stored, &n);
    rc = shelf_write(&c->shelves, slot, w->key, stored, n);
    if (rc == -ENOSPC || rc == -EDQUOT) {
        stay_small(c, slot);
    } else if (rc) {
        cache_turn_off(c, shelves_gone(&c->shelves) ? "it was removed" : strerror(-rc));
    } else {
        bool kept;

        atomic_fetch_add(&c->count.stored_bytes, (uint64_t)n * STORED_PAGE);
        mutex_lock(&c->mu);
        kept = w->listed && !atomic_load(&c->off) &&
               slots_put(&c->slots, slot, w->key, w->heat);
        mutex_unlock(&c->mu);
        if (!kept)
            shelf_erase(&c->shelves, slot);
    }
}

/* ---- the thread ---- */

static struct on_way *dequeue_locked(struct cache *c)
{
    struct on_way *w = c->first;

    if (w && !(c->first = w->later))
        c->last = &c->first;
    return w;
}

static void *writer(void *arg)
{
    struct cache *c = arg;
    uint64_t look_ns = env_now_ns(env_posix()) + c->look_after_ns;
    uint8_t *stored = malloc(SLOT_BYTES);
    struct on_way *w;

    if (!stored)
        cache_turn_off(c, strerror(ENOMEM));
    mutex_lock(&c->mu);
    for (;;) {
        w = dequeue_locked(c);
        if (!w && c->stop)
            break;
        if (!w)
            (void)cond_wait_ns(&c->queued, &c->mu, c->look_after_ns);
        mutex_unlock(&c->mu);
        if (env_now_ns(env_posix()) >= look_ns) {
            look_after(c);
            look_ns = env_now_ns(env_posix()) + c->look_after_ns;
        }
        if (w)
            store(c, w, stored);
        mutex_lock(&c->mu);
        if (!w)
            continue;
        way_put_locked(c, w);
        c->n_queued--;
        if (c->n_queued <= QUEUE_BLOCKS / 2)
            c->behind = false;
        pthread_cond_broadcast(&c->written);
    }
    mutex_unlock(&c->mu);
    free(stored);
    return NULL;
}

int cache_start_writer(struct cache *c)
{
    return -pthread_create(&c->writer, NULL, writer, c);
}

void cache_stop_writer(struct cache *c)
{
    mutex_lock(&c->mu);
    c->stop = true;
    pthread_cond_signal(&c->queued);
    mutex_unlock(&c->mu);
    pthread_join(c->writer, NULL);
}
