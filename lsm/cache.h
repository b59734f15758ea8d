/*
 * cache.h - the block cache: sharded CLOCK over (file number, offset).
 *
 * An entry found or put is pinned until cache_unpin; pinned entries are never
 * evicted, so the cache may be over its capacity by what is pinned. Entries of
 * deleted files age out. Safe from any thread.
 */
#ifndef LSM_CACHE_H
#define LSM_CACHE_H

#include "lock.h"
#include "slice.h"

struct cache;
struct cache_entry;

struct cache_stats {
    uint64_t hits, misses;
    uint64_t bytes;  /* charged */
    uint64_t pinned; /* of them */
};

/* NULL: no memory. */
struct cache *cache_new(size_t capacity_bytes);
/* Evicts at once what no longer fits. How many shards and buckets there are was
 * settled by cache_new: begin with the most that may come. */
void cache_set_capacity(struct cache *c, size_t capacity_bytes);
void cache_free(struct cache *c); /* nothing may be pinned */

/* NULL: not there. */
struct cache_entry *cache_get(struct cache *c, uint64_t file, uint64_t offset);

/*
 * Takes value, which free_value will free when the entry is evicted; charge is
 * its size in bytes. If another thread put the same key first, value is freed
 * and the first one returned. NULL, with value freed, when memory is out.
 */
struct cache_entry *cache_put(struct cache *c, uint64_t file, uint64_t offset,
                              void *value, size_t charge, void (*free_value)(void *));

void *cache_value(const struct cache_entry *e);
void cache_unpin(struct cache *c, struct cache_entry *e);
void cache_get_stats(struct cache *c, struct cache_stats *out);

#endif
