/*
 * cache_impl.h - the inside of the block cache: entries and shards (cache.c), and what
 * makes room in a shard (cache_evict.c).
 */
#ifndef LSM_CACHE_IMPL_H
#define LSM_CACHE_IMPL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "cache.h"
#include "cache_room.h"

enum { SLAB_ENTRIES = 128 };

enum {
    STATE_ALIVE = 1,
    STATE_VISITED = 2,
    STATE_DETACHED = 4, /* too large to keep: malloc'ed, in no chain, freed by unpin */
    STATE_PIN = 8,      /* times the number of pins */
};

struct cache_entry {
    _Atomic uint32_t state;
    uint32_t shard;
    _Atomic uint64_t file;
    _Atomic uint64_t offset;
    struct cache_entry *_Atomic next; /* in its chain, or the free list */
    _Atomic(void *) value; /* this and size: cache_fetch_value looks without a pin */
    _Atomic size_t size;
    struct region *region; /* that value is in; or */
    void (*free_value)(void *);
} __attribute__((aligned(64)));

struct slab {
    struct cache_entry entries[SLAB_ENTRIES];
};

struct shard {
    struct cache_entry *_Atomic *buckets;
    uint64_t mask;
    _Atomic size_t capacity;
    _Atomic size_t bytes; /* of room, and foreign ones; changed under mu */
    struct mutex mu;
    struct room room;
    size_t foreign; /* bytes of values made elsewhere */
    size_t region_bytes;
    struct slab **slabs;
    size_t n_slabs;
    struct cache_entry *free_list;
    size_t hand; /* index over all slabs' entries */
} __attribute__((aligned(64)));

static inline uint64_t mix(uint64_t file, uint64_t offset)
{
    uint64_t h = file * 0x9E3779B97F4A7C15ull ^ offset;

    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93ull;
    return h ^ h >> 32;
}

static inline struct cache_entry *_Atomic *bucket_of(struct shard *s, uint64_t hash)
{
    return &s->buckets[hash & s->mask];
}

static inline bool is_over(const struct shard *s)
{
    return atomic_load_explicit(&s->bytes, memory_order_relaxed) >
           atomic_load_explicit(&s->capacity, memory_order_relaxed);
}

static inline void note_bytes_locked(struct shard *s)
{
    atomic_store_explicit(&s->bytes, s->room.bytes + s->foreign, memory_order_relaxed);
}

static inline void push_free_locked(struct shard *s, struct cache_entry *e)
{
    atomic_store(&e->next, s->free_list);
    s->free_list = e;
}

/* ---- cache_evict.c ---- */

/* The entry is nobody's and in no chain: its memory, and itself, to be used again.
 * detached: it was not counted. */
void cache_release_locked(struct shard *s, struct cache_entry *e, bool detached);

/* Evict what is in the region, so that it goes. Pinned entries, and with them the
 * region, stay. */
void cache_empty_region_locked(struct shard *s, struct region *g);
/* Evict until the shard is within its capacity, or all that is left is pinned. */
void cache_shrink_locked(struct shard *s);
/* Memory for e, within the capacity unless all is pinned. NULL: there is none. */
void *cache_find_room_locked(struct shard *s, struct cache_entry *e, size_t size);

#endif
