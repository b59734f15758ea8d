/*
 * cache_room.h - where the block cache keeps its values: memory from the system, in
 * regions of slots of one size, so that what the cache gives up goes back at once.
 *
 * malloc would keep it: blocks of some 4 KiB, given back in no order, leave holes all
 * over the heaps of all threads. A region that is emptied is unmapped. The cache sees
 * to that by evicting by regions when it has to shrink.
 *
 * Not thread-safe: a shard's is under the shard's mutex.
 */
#ifndef LSM_CACHE_ROOM_H
#define LSM_CACHE_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REGION_SLOTS = 64, /* at most */
    ROOM_CLASSES = 57,
};

struct region {
    struct region *next, *prev; /* with a free slot and of this class */
    uint8_t *memory;
    size_t bytes;
    size_t slot_bytes;
    unsigned class; /* 0: one slot of its own size */
    unsigned slots;
    uint64_t free; /* one bit a slot */
    void *owner[]; /* of each slot in use */
};

struct room {
    struct region *partial[ROOM_CLASSES]; /* regions with free slots */
    size_t bytes;                         /* of all regions */
    size_t used;                          /* of them, by slots in use */
};

/* A free slot for size bytes, given to owner; NULL: none, or out of memory. */
void *room_take(struct room *r, size_t size, void *owner, struct region **region);
/* What a region for such a slot takes, if it is to take about `target` bytes. */
size_t room_growth(size_t size, size_t target);
/* As room_take, in a new region. */
void *room_grow(struct room *r, size_t size, size_t target, void *owner,
                struct region **region);
/* Of the regions with free slots, the one that the least is used of; NULL: none. */
struct region *room_emptiest(const struct room *r);
/* Unmaps the region with its last slot. */
void room_give(struct room *r, struct region *region, void *slot);

/* The owner of slot i; NULL: it is free. */
static inline void *region_owner(const struct region *g, unsigned i)
{
    return g->free >> i & 1 ? NULL : g->owner[i];
}

/* Is only one slot in use? Then the region goes with it. */
static inline bool region_is_last(const struct region *g)
{
    return (unsigned)__builtin_popcountll(g->free) + 1 == g->slots;
}

#endif
