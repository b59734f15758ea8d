/*
 * arena.c - see arena.h. Chunks of fixed size; what is large beside a chunk
 * gets one of its own, so that little is wasted at a chunk's end.
 */
#include "arena.h"

#include "env.h"
#include "spare.h"

struct arena_chunk {
    struct arena_chunk *next;
    size_t cap;
    _Atomic size_t used; /* may run past cap: then the chunk is full */
    _Alignas(16) uint8_t data[];
};

/* What one stream takes of a chunk at a time. */
struct arena_slab {
    size_t cap;
    _Atomic size_t used;
    _Alignas(16) uint8_t data[];
};

enum { SLABS = 16 /* in one of the first chunks */ };

void arena_init(struct arena *a, size_t chunk_bytes, struct spare *spare)
{
    for (unsigned i = 0; i < ARENA_STREAMS; i++)
        atomic_init(&a->slab[i], NULL);
    atomic_init(&a->current, NULL);
    atomic_init(&a->bytes, 0);
    mutex_init(&a->mu, LOCK_ARENA);
    a->chunks = NULL;
    atomic_init(&a->chunk_bytes, chunk_bytes);
    a->spare = spare;
    a->slab_bytes = chunk_bytes / SLABS;
}

void arena_set_chunk(struct arena *a, size_t chunk_bytes)
{
    atomic_store_explicit(&a->chunk_bytes, chunk_bytes, memory_order_relaxed);
}

static size_t chunk_bytes(struct arena *a)
{
    return atomic_load_explicit(&a->chunk_bytes, memory_order_relaxed);
}

void arena_release(struct arena *a)
{
    struct arena_chunk *c = a->chunks;

    while (c) {
        struct arena_chunk *next = c->next;

        spare_free(a->spare, c, sizeof(*c) + c->cap);
        c = next;
    }
    mutex_release(&a->mu);
}

static struct arena_chunk *add_chunk_locked(struct arena *a, size_t bytes)
{
    struct arena_chunk *c = bytes < ENV_HUGE ? spare_alloc_pages(a->spare, bytes)
                                             : spare_alloc(a->spare, bytes);

    if (!c)
        return NULL;
    c->cap = bytes - sizeof(*c);
    atomic_init(&c->used, 0);
    c->next = a->chunks;
    a->chunks = c;
    atomic_fetch_add_explicit(&a->bytes, bytes, memory_order_relaxed);
    return c;
}

/* n bytes of data[cap], of which *used are taken; NULL when there are not so many. */
static void *take(uint8_t *data, size_t cap, _Atomic size_t *used, size_t n)
{
    size_t at;

    /* Checked first, so that what is full does not count on and on. */
    if (atomic_load_explicit(used, memory_order_relaxed) > cap)
        return NULL;
    at = atomic_fetch_add_explicit(used, n, memory_order_relaxed);
    return at + n <= cap ? data + at : NULL;
}

static void *take_of_chunk(struct arena_chunk *c, size_t n)
{
    return take(c->data, c->cap, &c->used, n);
}

static void *alloc_slow(struct arena *a, size_t n)
{
    size_t bytes = chunk_bytes(a); /* once: it may change */
    struct arena_chunk *c;
    void *p = NULL;

    mutex_lock(&a->mu);
    if (n > bytes / 4) {
        c = add_chunk_locked(a, sizeof(*c) + n);
        if (c) {
            atomic_store_explicit(&c->used, n, memory_order_relaxed);
            p = c->data;
        }
        goto out;
    }
    c = atomic_load_explicit(&a->current, memory_order_acquire);
    if (c)
        p = take_of_chunk(c, n); /* another thread may have replaced it meanwhile */
    if (!p) {
        c = add_chunk_locked(a, bytes);
        if (c) {
            p = take_of_chunk(c, n);
            atomic_store_explicit(&a->current, c, memory_order_release);
        }
    }
out:
    mutex_unlock(&a->mu);
    return p;
}

static void *alloc_of_chunk(struct arena *a, size_t n)
{
    struct arena_chunk *c = atomic_load_explicit(&a->current, memory_order_acquire);
    void *p = NULL;

    n = (n + 15) & ~(size_t)15;
    if (c && n <= chunk_bytes(a) / 4)
        p = take_of_chunk(c, n);
    return p ? p : alloc_slow(a, n);
}

/* A new slab for the stream, and n bytes of it. Another thread's, made meanwhile, is
 * given up with what is left of it. */
static void *alloc_of_new_slab(struct arena *a, unsigned stream, size_t n)
{
    struct arena_slab *s = alloc_of_chunk(a, a->slab_bytes);

    if (!s)
        return NULL;
    s->cap = a->slab_bytes - sizeof(*s);
    atomic_init(&s->used, n);
    atomic_store_explicit(&a->slab[stream], s, memory_order_release);
    return s->data;
}

void *arena_alloc(struct arena *a, unsigned stream, size_t n)
{
    struct arena_slab *s = atomic_load_explicit(&a->slab[stream], memory_order_acquire);
    void *p = NULL;

    n = (n + 7) & ~(size_t)7;
    if (n > a->slab_bytes / 4)
        return alloc_of_chunk(a, n);
    if (s)
        p = take(s->data, s->cap, &s->used, n);
    return p ? p : alloc_of_new_slab(a, stream, n);
}
