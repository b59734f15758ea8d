/*
 * cache_evict.c - making room in a shard of the block cache.
 *
 * The clock hand walks over the slabs of entries. An entry starts unvisited, so that a
 * scan that touches each block once does not drive out what is used again.
 *
 * What counts is the memory that the shard has from the system (cache_room.h), not
 * what is used of it. To make room, the hand evicts until a slot of the right size is
 * free. When that takes long, or the shard has to shrink, the region of what was
 * evicted last is emptied: a few blocks that might have stayed go with it. And when too
 * much lies idle in slots of other sizes, the emptiest region is.
 */
#include "cache_impl.h"

enum {
    EVICT_MAX = 8,  /* evicted in vain before a region is emptied */
    FREE_SHARE = 8, /* at most a part in so many lies idle in free slots */
};

void cache_release_locked(struct shard *s, struct cache_entry *e, bool detached)
{
    if (e->region) {
        room_give(&s->room, e->region, e->value);
    } else {
        e->free_value(e->value);
        s->foreign -= detached ? 0 : e->size;
    }
    e->value = NULL;
    e->region = NULL;
    atomic_store_explicit(&e->state, 0, memory_order_relaxed);
    note_bytes_locked(s);
    push_free_locked(s, e);
}

static void unlink_locked(struct shard *s, struct cache_entry *e)
{
    struct cache_entry *_Atomic *at =
        bucket_of(s, mix(atomic_load(&e->file), atomic_load(&e->offset)));

    while (atomic_load(at) != e)
        at = &atomic_load(at)->next;
    atomic_store(at, atomic_load(&e->next));
}

/* True, and the entry is ours, when it was alive, unpinned and not visited. */
static bool try_kill(struct cache_entry *e, bool visited_too)
{
    uint32_t old = atomic_load_explicit(&e->state, memory_order_relaxed);

    if (!(old & STATE_ALIVE) || old >= STATE_PIN || (old & STATE_DETACHED))
        return false;
    if (old & STATE_VISITED && !visited_too) {
        /* A lost race means it was used just now: let it be. */
        atomic_compare_exchange_strong_explicit(
            &e->state, &old, old & ~(uint32_t)STATE_VISITED, memory_order_relaxed,
            memory_order_relaxed);
        return false;
    }
    return atomic_compare_exchange_strong_explicit(
        &e->state, &old, 0, memory_order_acquire, memory_order_relaxed);
}

static void evict_locked(struct shard *s, struct cache_entry *e)
{
    unlink_locked(s, e);
    cache_release_locked(s, e, false);
}

void cache_empty_region_locked(struct shard *s, struct region *g)
{
    unsigned i, slots = g->slots, left = 0;

    for (i = 0; i < slots; i++)
        left += region_owner(g, i) != NULL;
    for (i = 0; i < slots && left > 0; i++) {
        struct cache_entry *e = region_owner(g, i);

        if (!e)
            continue;
        left--;
        if (try_kill(e, true))
            evict_locked(s, e); /* the last one frees g: then nothing is left */
    }
}

/* Where the hand comes upon an entry that it may evict; NULL when it has gone around
 * twice (`*steps` begins at 0). */
static struct cache_entry *next_cold_locked(struct shard *s, size_t *steps)
{
    size_t n_entries = s->n_slabs * SLAB_ENTRIES;

    while ((*steps)++ < 2 * n_entries) {
        struct cache_entry *e;

        s->hand = s->hand + 1 < n_entries ? s->hand + 1 : 0;
        e = &s->slabs[s->hand / SLAB_ENTRIES]->entries[s->hand % SLAB_ENTRIES];
        if (try_kill(e, false))
            return e;
    }
    return NULL;
}

/* Evict e, and what else is in its region. */
static void evict_with_region_locked(struct shard *s, struct cache_entry *e)
{
    struct region *g = e->region;
    bool alone = !g || region_is_last(g);

    evict_locked(s, e);
    if (!alone)
        cache_empty_region_locked(s, g);
}

void cache_shrink_locked(struct shard *s)
{
    struct cache_entry *e;
    size_t steps = 0;

    while (is_over(s) && (e = next_cold_locked(s, &steps)) != NULL)
        evict_with_region_locked(s, e);
}

/* Much of the memory is in free slots of other sizes: give a region of them up. */
static bool join_free_locked(struct shard *s, size_t capacity)
{
    size_t before = s->room.bytes;
    struct region *g;

    if (before - s->room.used <= capacity / FREE_SHARE)
        return false;
    g = room_emptiest(&s->room);
    if (g)
        cache_empty_region_locked(s, g);
    return s->room.bytes < before;
}

void *cache_find_room_locked(struct shard *s, struct cache_entry *e, size_t size)
{
    size_t capacity = atomic_load_explicit(&s->capacity, memory_order_relaxed);
    size_t target = s->region_bytes < capacity / 4 ? s->region_bytes : capacity / 4;
    size_t more = room_growth(size, target), steps = 0;
    unsigned evicted = 0;
    void *p;

    while (!(p = room_take(&s->room, size, e, &e->region))) {
        struct cache_entry *cold = NULL;

        if (s->room.bytes + s->foreign + more > capacity) {
            if (join_free_locked(s, capacity))
                continue;
            cold = next_cold_locked(s, &steps);
        }
        if (!cold) {
            p = room_grow(&s->room, size, target, e, &e->region);
            break;
        }
        if (++evicted % EVICT_MAX == 0)
            evict_with_region_locked(s, cold);
        else
            evict_locked(s, cold);
    }
    note_bytes_locked(s);
    return p;
}
