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
struct spare;

enum { ARENA_STREAMS = 8 };

struct arena {
    _Atomic(struct arena_slab *) slab[ARENA_STREAMS]; /* parts of chunks */
    _Atomic(struct arena_chunk *) current;
    _Atomic size_t bytes; /* of all chunks */
    struct mutex mu;      /* protects the list of chunks */
    struct arena_chunk *chunks;
    _Atomic size_t chunk_bytes;
    size_t slab_bytes;
    struct spare *spare;
};

/* Chunks have chunk_bytes in all, of spare memory (NULL: of the system's); in small pages
 * if that is less than a huge one. */
void arena_init(struct arena *a, size_t chunk_bytes, struct spare *spare);
/* The chunks to come have so many bytes; not fewer than the first ones. */
void arena_set_chunk(struct arena *a, size_t chunk_bytes);
void arena_release(struct arena *a);

/* n bytes, aligned to 8, not zeroed; NULL when memory is out. */
void *arena_alloc(struct arena *a, unsigned stream, size_t n);

/* Memory taken from the system. */
static inline size_t arena_bytes(struct arena *a)
{
    return atomic_load_explicit(&a->bytes, memory_order_relaxed);
}

#endif
