/*
 * memory.c - see memory.h.
 */
#include "memory.h"

#include <errno.h>

enum {
    UNCOUNTED_SHARE = 32, /* for stacks, contexts, lists, what malloc wastes on them */
    CACHE_SHARE = 8,      /* tables leave a part in so many to the cache */
    LEAST_SHARE = 64,     /* with memory all gone, tables and cache still work */
    WINDOW_SHARE = 512,   /* a compaction of many tables has many windows */
    WINDOW_MIN = 16 * 1024,
    WINDOW_MAX = 256 * 1024,
    MEMTABLE_MIN = 4096,
    MEMTABLE_MAX = 64 << 20, /* longer logs are slower to recover */
};

static size_t max(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t rest(size_t of, size_t taken)
{
    return of > taken ? of - taken : 0;
}

struct memory_plan memory_plan(const struct memory_use *u)
{
    size_t budget = u->budget - u->budget / UNCOUNTED_SHARE;
    size_t left = rest(budget, max(u->reserved, u->used[MEMORY_MEMTABLES]));
    size_t taken = u->used[MEMORY_TABLES] + u->used[MEMORY_WORK];
    size_t least = u->budget / LEAST_SHARE;

    return (struct memory_plan){
        .tables = max(left - left / CACHE_SHARE, least),
        .cache = max(rest(left, taken), least),
    };
}

size_t memory_window(const struct memory *m)
{
    return m ? min(max(m->budget / WINDOW_SHARE, WINDOW_MIN), WINDOW_MAX) : WINDOW_MAX;
}

size_t memory_memtable_bytes(size_t budget, unsigned memtables)
{
    return min(max(budget / 2 / memtables, MEMTABLE_MIN), MEMTABLE_MAX);
}

bool memory_suffices(size_t budget, unsigned memtables, size_t memtable_bytes)
{
    return memtable_bytes <= (budget - budget / 8) / memtables;
}

/* ---- counting ---- */

int memory_init(struct memory *m, size_t budget, size_t reserved)
{
    struct memory_use u = {.budget = budget, .reserved = reserved};
    unsigned i;

    m->budget = budget;
    m->reserved = reserved;
    for (i = 0; i < MEMORY_KINDS; i++)
        atomic_init(&m->used[i], 0);
    spare_init(&m->spare);
    m->cache = cache_new(memory_plan(&u).cache);
    return m->cache ? 0 : -ENOMEM;
}

void memory_release(struct memory *m)
{
    spare_release(&m->spare);
    cache_free(m->cache);
    m->cache = NULL;
}

void memory_get(struct memory *m, struct memory_use *u)
{
    unsigned i;

    u->budget = m->budget;
    u->reserved = m->reserved;
    for (i = 0; i < MEMORY_KINDS; i++)
        u->used[i] = atomic_load(&m->used[i]);
    u->used[MEMORY_MEMTABLES] += spare_bytes(&m->spare);
}

/* Who sets an old capacity after another has set a new one sees so, and does it again. */
static void adjust_cache(struct memory *m)
{
    struct memory_use u;
    size_t capacity;

    do {
        memory_get(m, &u);
        capacity = memory_plan(&u).cache;
        cache_set_capacity(m->cache, capacity);
        memory_get(m, &u);
    } while (memory_plan(&u).cache != capacity);
}

void memory_take(struct memory *m, enum memory_kind kind, size_t bytes)
{
    if (!m)
        return;
    atomic_fetch_add(&m->used[kind], bytes);
    if (m->cache)
        adjust_cache(m);
}

void memory_give(struct memory *m, enum memory_kind kind, size_t bytes)
{
    if (!m)
        return;
    atomic_fetch_sub(&m->used[kind], bytes);
    if (m->cache)
        adjust_cache(m);
}
