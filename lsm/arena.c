/*
 * arena.c - see arena.h. Chunks of fixed size; what is large beside a chunk
 * gets one of its own, so that little is wasted at a chunk's end.
 */
#include "arena.h"

#include "env.h"

struct arena_chunk {
    struct arena_chunk *next;
    size_t cap;
    _Atomic size_t used; /* may run past cap: then the chunk is full */
    _Alignas(16) uint8_t data[];
};

void arena_init(struct arena *a, size_t chunk_bytes)
{
    atomic_init(&a->current, NULL);
    atomic_init(&a->bytes, 0);
    mutex_init(&a->mu, LOCK_ARENA);
    a->chunks = NULL;
    a->chunk_bytes = chunk_bytes;
}

void arena_release(struct arena *a)
{
    struct arena_chunk *c = a->chunks;

    while (c) {
        struct arena_chunk *next = c->next;

        env_free(c, sizeof(*c) + c->cap);
        c = next;
    }
    mutex_release(&a->mu);
}

static struct arena_chunk *add_chunk_locked(struct arena *a, size_t cap)
{
    struct arena_chunk *c = env_alloc(sizeof(*c) + cap);

    if (!c)
        return NULL;
    c->cap = cap;
    atomic_init(&c->used, 0);
    c->next = a->chunks;
    a->chunks = c;
    atomic_fetch_add_explicit(&a->bytes, sizeof(*c) + cap, memory_order_relaxed);
    return c;
}

static void *take(struct arena_chunk *c, size_t n)
{
    size_t at;

    /* Checked first, so that a full chunk's counter cannot run away. */
    if (atomic_load_explicit(&c->used, memory_order_relaxed) > c->cap)
        return NULL;
    at = atomic_fetch_add_explicit(&c->used, n, memory_order_relaxed);
    return at + n <= c->cap ? c->data + at : NULL;
}

static void *alloc_slow(struct arena *a, size_t n)
{
    struct arena_chunk *c;
    void *p = NULL;

    mutex_lock(&a->mu);
    if (n > a->chunk_bytes / 4) {
        c = add_chunk_locked(a, n);
        if (c) {
            atomic_store_explicit(&c->used, n, memory_order_relaxed);
            p = c->data;
        }
        goto out;
    }
    c = atomic_load_explicit(&a->current, memory_order_acquire);
    if (c)
        p = take(c, n); /* another thread may have replaced it meanwhile */
    if (!p) {
        c = add_chunk_locked(a, a->chunk_bytes);
        if (c) {
            p = take(c, n);
            atomic_store_explicit(&a->current, c, memory_order_release);
        }
    }
out:
    mutex_unlock(&a->mu);
    return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
    struct arena_chunk *c = atomic_load_explicit(&a->current, memory_order_acquire);
    void *p = NULL;

    n = (n + 7) & ~(size_t)7;
    if (c && n <= a->chunk_bytes / 4)
        p = take(c, n);
    return p ? p : alloc_slow(a, n);
}
