/*
 * cache.h - the block cache: sharded CLOCK over (file number, offset).
 *
 * An entry found or put is pinned until cache_unpin; pinned entries are never
 * evicted, so the cache may be over its capacity by what is pinned. Entries of
 * deleted files age out. The cache has the blocks' memory from the system, and gives it
 * back when it shrinks. Safe from any thread.
 */
#ifndef LSM_CACHE_H
#define LSM_CACHE_H

#include "lock.h"
#include "slice.h"

struct cache;
struct cache_entry;

struct cache_stats {
    uint64_t hits, misses;
    uint64_t bytes;  /* from the system, for what is kept */
    uint64_t used;   /* of it, by blocks */
    uint64_t pinned; /* in pinned entries */
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
 * The same, with a place of the caller's, zeroed to begin with, where it is remembered
 * which entry that was: asked again it is found without a search, and the value's begin
 * is fetched into the processor's cache. May be shared by threads, and stand there as
 * long as the cache.
 */
struct cache_place {
    struct cache_entry *_Atomic entry;
    _Atomic(const void *) value; /* where it was: a hint, only to be fetched */
};
struct cache_entry *cache_get_at(struct cache *c, struct cache_place *place,
                                 uint64_t file, uint64_t offset);
/* e, which the caller has pinned, is what is to be remembered. */
void cache_remember(struct cache_place *place, struct cache_entry *e);

/*
 * To put a block: reserve memory for it, which is nobody else's, fill cache_value, and
 * insert or abandon it. NULL: no memory. insert gives what is to be used, pinned: if
 * another thread was first, its entry, and ours is gone. What is too large beside the
 * capacity goes with its last pin.
 */
struct cache_entry *cache_reserve(struct cache *c, uint64_t file, uint64_t offset,
                                  size_t size);
struct cache_entry *cache_insert(struct cache *c, struct cache_entry *e);
void cache_abandon(struct cache *c, struct cache_entry *e);

/*
 * The same for a value of another kind, made elsewhere: takes value, which free_value
 * will free (not under locks of its own); size is what it takes. NULL, with value
 * freed, when memory is out.
 */
struct cache_entry *cache_put(struct cache *c, uint64_t file, uint64_t offset,
                              void *value, size_t size, void (*free_value)(void *));

/*
 * Hints that what is at a place will be asked for soon: fetch it into the processor's
 * cache. First the entry; some time later the value, its begin, or its begin and end.
 */
void cache_fetch_entry(struct cache_place *place);
enum cache_part { CACHE_BEGIN, CACHE_ENDS };
void cache_fetch_value(struct cache_place *place, enum cache_part part);
/* Its begin, where the place says it was: at the same time as the entry. */
void cache_fetch_hinted(struct cache_place *place);
void *cache_value(const struct cache_entry *e);
void cache_unpin(struct cache *c, struct cache_entry *e);
void cache_get_stats(struct cache *c, struct cache_stats *out);

#endif
