/*
 * memory.h - one budget for what the engine keeps in memory: memtables, open
 * tables (index, filter, range deletes), what iterators read ahead and tables that
 * are being written, and the block cache.
 *
 * Each tells what it takes; the cache gets what is left, at
 * once. What memtables are configured to take is set aside for them, so that the
 * cache need not breathe with each one that fills and is flushed: what it gives
 * up in pieces of a block, malloc would not find again as a memtable.
 *
 * Counting is two atomic operations, and no lock unless the cache has to shrink.
 */
#ifndef LSM_MEMORY_H
#define LSM_MEMORY_H

#include <stdatomic.h>

#include "cache.h"
#include "spare.h"

enum memory_kind {
    MEMORY_MEMTABLES,
    MEMORY_TABLES,
    MEMORY_WORK, /* windows of iterators, buffers of tables being written */
    MEMORY_KINDS,
};

struct memory_use {
    size_t budget;
    size_t reserved; /* for memtables, whether they take it or not */
    size_t used[MEMORY_KINDS];
};

/* What the kinds may have. Pure. */
struct memory_plan {
    size_t tables; /* open tables beyond it should be closed */
    size_t cache;  /* the block cache's capacity */
};
struct memory_plan memory_plan(const struct memory_use *u);

/* The size of a memtable nobody chose: half of the budget goes to memtables. */
size_t memory_memtable_bytes(size_t budget, unsigned memtables);
/* Do so many memtables leave enough of the budget to the rest? */
bool memory_suffices(size_t budget, unsigned memtables, size_t memtable_bytes);

struct memory {
    size_t budget, reserved;
    struct cache *cache; /* NULL: nothing to adjust */
    _Atomic size_t used[MEMORY_KINDS];
    struct spare spare; /* of memtables; counted as theirs */
};

/* Makes m->cache, with what there is to have. -ENOMEM. */
int memory_init(struct memory *m, size_t budget, size_t reserved);
void memory_release(struct memory *m);

/* How much of a file is read or written at once, where that is sequential. */
size_t memory_window(const struct memory *m);

/* m may be NULL: nobody counts. Not under a lock of rank LOCK_CACHE or above. */
void memory_take(struct memory *m, enum memory_kind kind, size_t bytes);
void memory_give(struct memory *m, enum memory_kind kind, size_t bytes);

/* Of all kinds but the cache, as of now. */
void memory_get(struct memory *m, struct memory_use *u);

#endif
