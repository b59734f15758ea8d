/*
 * spare.h - memory of memtables that were flushed, kept for those to come.
 *
 * Memory that is new to the process has to be cleared by the kernel and, in a virtual
 * machine whose host takes free memory back, to be found by the host, page by page: more
 * than all else that filling a memtable costs. So what one of them leaves is kept while
 * writes go on, up to a limit; its owner drops it when they do not.
 *
 * A piece goes to who wants just its size; who wants another size has as much of what is
 * kept given back: what is kept and what is in use never are more than was in use at
 * once. Safe from any thread.
 */
#ifndef LSM_SPARE_H
#define LSM_SPARE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "lock.h"

struct spare_piece;

struct spare {
    struct mutex mu;
    struct spare_piece *pieces;
    uint64_t gives; /* so many times something was kept */
    uint64_t seen;  /* of them, by spare_tend */
    unsigned quiet; /* times in a row that it saw no more */
    _Atomic size_t limit, bytes;
};

/* With a limit of 0: nothing is kept. */
void spare_init(struct spare *s);
void spare_release(struct spare *s);
void spare_set_limit(struct spare *s, size_t limit);

/* As env_alloc, env_alloc_pages and env_free. s may be NULL: the same as those. */
void *spare_alloc(struct spare *s, size_t bytes);
void *spare_alloc_pages(struct spare *s, size_t bytes);
void spare_free(struct spare *s, void *p, size_t bytes);

/* Gives all of it back to the system. */
void spare_drop(struct spare *s);
/* To be called now and then: drops it when nothing has come for `patience` calls. */
void spare_tend(struct spare *s, unsigned patience);

static inline size_t spare_bytes(struct spare *s)
{
    return atomic_load_explicit(&s->bytes, memory_order_relaxed);
}

#endif
