/*
 * arena.h - memory that is given out piece by piece and freed as a whole.
 *
 * arena_alloc is safe from any thread and mostly one atomic add. What is taken from
 * one stream lies together in memory, in the order it was taken: a search among things
 * of one kind meets few pages, however many of other kinds are made between.
 */
#ifndef LSM_ARENA_H
#define LSM_ARENA_H

#include <stdatomic.h>

#include "lock.h"
#include "slice.h"

struct arena_chunk;
struct arena_slab;

enum { ARENA_STREAMS = 8 };

struct arena {
    _Atomic(struct arena_slab *) slab[ARENA_STREAMS]; /* parts of chunks */
    _Atomic(struct arena_chunk *) current;
    _Atomic size_t bytes; /* of all chunks */
    struct mutex mu;      /* protects the list of chunks */
    struct arena_chunk *chunks;
    size_t chunk_bytes;
};

/* Chunks come from the system, each of chunk_bytes in all. */
void arena_init(struct arena *a, size_t chunk_bytes);
void arena_release(struct arena *a);

/* n bytes, aligned to 8, not zeroed; NULL when memory is out. */
void *arena_alloc(struct arena *a, unsigned stream, size_t n);

/* Memory taken from the system. */
static inline size_t arena_bytes(struct arena *a)
{
    return atomic_load_explicit(&a->bytes, memory_order_relaxed);
}

#endif
