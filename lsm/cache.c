/*
 * cache.c - see cache.h.
 *
 * Each shard is a hash table of chained entries under a mutex; but a hit takes
 * no lock. That works because entries are never given back to malloc before
 * cache_free, only reused: a reader that stands on a reused entry sees a wrong
 * key, or a chain that is not its own, and then asks again under the mutex.
 *
 * An entry's state holds its pins and the bits below. A reader pins with one
 * compare-and-swap, and only an entry that is ALIVE; eviction is the
 * compare-and-swap of an unpinned state to 0. So whoever has the pin has the
 * value. Hash chains, the free list and the slabs change under the mutex.
 */
#include "cache_impl.h"

#include <stdlib.h>

enum {
    SHARD_BITS = 4,
    SHARD_MIN_BYTES = 1024 * 1024, /* fewer shards rather than smaller ones */
    BUCKET_BYTES = 4096,           /* a bucket for so many bytes of capacity */
    CACHE_LINE = 64,
    FETCH_BEGIN = 4, /* lines of a value */
    FETCH_END = 16,
    CHAIN_MAX = 32,    /* steps without the lock before asking with it */
    REGION_SHARE = 32, /* a shard has about so many regions */
    REGION_MIN = 32 * 1024,
    REGION_MAX = 64 * 1024, /* but for huge caches: mappings are not for nothing */
    REGIONS_MAX = 4096,     /* of a shard, about */
    STRIPES = 16,           /* of counters */
};

struct stripe {
    _Atomic uint64_t hits;
    _Atomic uint64_t misses;
} __attribute__((aligned(64)));

struct cache {
    struct shard *shards;
    unsigned n_shards; /* a power of two */
    struct stripe stripes[STRIPES];
};

/* ---- counting ---- */

static struct stripe *my_stripe(struct cache *c)
{
    static _Atomic unsigned next;
    static __thread unsigned mine;

    if (!mine)
        mine = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % STRIPES + 1;
    return &c->stripes[mine - 1];
}

/* Not a fetch_add: a count lost when two threads share a stripe is no matter. */
static void count(_Atomic uint64_t *n)
{
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* ---- making and freeing ---- */

static int shard_init(struct shard *s, size_t capacity)
{
    size_t buckets = 64;

    while (buckets * BUCKET_BYTES < capacity)
        buckets *= 2;
    s->buckets = calloc(buckets, sizeof(*s->buckets));
    if (!s->buckets)
        return -1;
    s->mask = buckets - 1;
    atomic_init(&s->capacity, capacity);
    s->region_bytes = capacity / REGION_SHARE;
    if (s->region_bytes < REGION_MIN)
        s->region_bytes = REGION_MIN;
    if (s->region_bytes > REGION_MAX)
        s->region_bytes = REGION_MAX;
    if (s->region_bytes < capacity / REGIONS_MAX)
        s->region_bytes = capacity / REGIONS_MAX;
    mutex_init(&s->mu, LOCK_CACHE);
    return 0;
}

static void shard_release(struct shard *s)
{
    size_t i, k;

    for (i = 0; i < s->n_slabs; i++) {
        for (k = 0; k < SLAB_ENTRIES; k++) {
            struct cache_entry *e = &s->slabs[i]->entries[k];

            uint32_t state = atomic_load(&e->state);

            if (state)
                cache_release_locked(s, e, state & STATE_DETACHED);
        }
        free(s->slabs[i]);
    }
    free(s->slabs);
    free(s->buckets);
    mutex_release(&s->mu);
}

struct cache *cache_new(size_t capacity_bytes)
{
    struct cache *c = aligned_alloc(64, sizeof(*c));
    unsigned n = 1;
    unsigned i;

    if (!c)
        return NULL;
    memset(c, 0, sizeof(*c));
    while (n < 1u << SHARD_BITS && capacity_bytes / n >= 2 * (size_t)SHARD_MIN_BYTES)
        n *= 2;
    c->shards = aligned_alloc(64, n * sizeof(*c->shards));
    if (!c->shards) {
        free(c);
        return NULL;
    }
    memset(c->shards, 0, n * sizeof(*c->shards));
    for (i = 0; i < n; i++, c->n_shards++) {
        if (shard_init(&c->shards[i], capacity_bytes / n) != 0) {
            cache_free(c);
            return NULL;
        }
    }
    return c;
}

void cache_free(struct cache *c)
{
    unsigned i;

    if (!c)
        return;
    for (i = 0; i < c->n_shards; i++)
        shard_release(&c->shards[i]);
    free(c->shards);
    free(c);
}

/* ---- entries ---- */

static inline struct shard *shard_of(struct cache *c, uint64_t hash)
{
    return &c->shards[hash >> 48 & (c->n_shards - 1)];
}

static inline bool has_key(struct cache_entry *e, uint64_t file, uint64_t offset)
{
    return atomic_load_explicit(&e->offset, memory_order_relaxed) == offset &&
           atomic_load_explicit(&e->file, memory_order_relaxed) == file;
}

/* False: the entry is dead, or dying. */
static inline bool try_pin(struct cache_entry *e)
{
    uint32_t old = atomic_load_explicit(&e->state, memory_order_relaxed);

    while (old & STATE_ALIVE)
        if (atomic_compare_exchange_weak_explicit(
                &e->state, &old, (old + STATE_PIN) | STATE_VISITED, memory_order_acquire,
                memory_order_relaxed))
            return true;
    return false;
}

static struct cache_entry *find_locked(struct shard *s, uint64_t hash, uint64_t file,
                                       uint64_t offset)
{
    struct cache_entry *e = atomic_load(bucket_of(s, hash));

    for (; e; e = atomic_load(&e->next))
        if (has_key(e, file, offset) && try_pin(e))
            return e;
    return NULL;
}

static int grow_locked(struct cache *c, struct shard *s)
{
    struct slab **slabs = realloc(s->slabs, (s->n_slabs + 1) * sizeof(*slabs));
    struct slab *slab;
    unsigned i;

    if (!slabs)
        return -1;
    s->slabs = slabs;
    slab = aligned_alloc(64, sizeof(*slab));
    if (!slab)
        return -1;
    memset(slab, 0, sizeof(*slab));
    s->slabs[s->n_slabs++] = slab;
    for (i = 0; i < SLAB_ENTRIES; i++) {
        slab->entries[i].shard = (uint32_t)(s - c->shards);
        push_free_locked(s, &slab->entries[i]);
    }
    return 0;
}

static struct cache_entry *take_free_locked(struct cache *c, struct shard *s)
{
    struct cache_entry *e;

    if (!s->free_list && grow_locked(c, s) != 0)
        return NULL;
    e = s->free_list;
    s->free_list = atomic_load(&e->next);
    return e;
}

/* ---- the interface ---- */

struct cache_entry *cache_get(struct cache *c, uint64_t file, uint64_t offset)
{
    uint64_t hash = mix(file, offset);
    struct shard *s = shard_of(c, hash);
    struct cache_entry *e =
        atomic_load_explicit(bucket_of(s, hash), memory_order_acquire);
    unsigned steps;

    for (steps = 0; e && steps < CHAIN_MAX; steps++) {
        if (has_key(e, file, offset) && try_pin(e)) {
            if (has_key(e, file, offset)) {
                count(&my_stripe(c)->hits);
                return e;
            }
            cache_unpin(c, e); /* it was reused before we had the pin */
            break;
        }
        e = atomic_load_explicit(&e->next, memory_order_acquire);
    }
    mutex_lock(&s->mu);
    e = find_locked(s, hash, file, offset);
    mutex_unlock(&s->mu);
    count(e ? &my_stripe(c)->hits : &my_stripe(c)->misses);
    return e;
}

void cache_remember(struct cache_place *place, struct cache_entry *e)
{
    atomic_store_explicit(&place->value, e->value, memory_order_relaxed);
    atomic_store_explicit(&place->entry, e, memory_order_release);
}

static inline void fetch_begin(const char *value)
{
    uintptr_t at = (uintptr_t)value; /* NULL may not be added to */
    int i;

    for (i = 0; i < FETCH_BEGIN; i++)
        __builtin_prefetch((const void *)(at + (uintptr_t)(CACHE_LINE * i)));
}

void cache_fetch_hinted(struct cache_place *place)
{
    fetch_begin(atomic_load_explicit(&place->value, memory_order_relaxed));
}

/* The value is fetched before the entry, which tells where it is, has come: two misses
 * of the processor's cache at once. */
struct cache_entry *cache_get_at(struct cache *c, struct cache_place *place,
                                 uint64_t file, uint64_t offset)
{
    struct cache_entry *e = atomic_load_explicit(&place->entry, memory_order_acquire);

    cache_fetch_hinted(place);
    if (e && has_key(e, file, offset) && try_pin(e)) {
        if (has_key(e, file, offset)) {
            count(&my_stripe(c)->hits);
            return e;
        }
        cache_unpin(c, e);
    }
    e = cache_get(c, file, offset);
    if (e)
        cache_remember(place, e);
    return e;
}

void cache_fetch_entry(struct cache_place *place)
{
    __builtin_prefetch(atomic_load_explicit(&place->entry, memory_order_relaxed));
}

/* Whose value it is by now does not matter. */
void cache_fetch_value(struct cache_place *place, enum cache_part part)
{
    struct cache_entry *e = atomic_load_explicit(&place->entry, memory_order_acquire);
    const char *value = e ? atomic_load_explicit(&e->value, memory_order_relaxed) : NULL;
    size_t size, i;

    if (!value)
        return;
    fetch_begin(value);
    size = atomic_load_explicit(&e->size, memory_order_relaxed);
    for (i = 0; part == CACHE_ENDS && i < FETCH_END; i++)
        __builtin_prefetch(value + size - CACHE_LINE * i - 1);
}

/* An entry for the key that nobody can pin, being not alive, and nobody evict. */
static struct cache_entry *begin_locked(struct cache *c, struct shard *s, uint64_t file,
                                        uint64_t offset, size_t size, bool keep)
{
    struct cache_entry *e = take_free_locked(c, s);

    if (!e)
        return NULL;
    atomic_store_explicit(&e->state, STATE_PIN | (keep ? 0 : STATE_DETACHED),
                          memory_order_relaxed);
    atomic_store_explicit(&e->file, file, memory_order_relaxed);
    atomic_store_explicit(&e->offset, offset, memory_order_relaxed);
    e->size = size;
    return e;
}

static bool is_kept(const struct shard *s, size_t size)
{
    return size <= atomic_load_explicit(&s->capacity, memory_order_relaxed) / 4;
}

struct cache_entry *cache_reserve(struct cache *c, uint64_t file, uint64_t offset,
                                  size_t size)
{
    struct shard *s = shard_of(c, mix(file, offset));
    bool keep = is_kept(s, size);
    struct cache_entry *e;

    mutex_lock(&s->mu);
    e = begin_locked(c, s, file, offset, size, keep);
    if (e) {
        e->free_value = free;
        e->value = keep ? cache_find_room_locked(s, e, size) : NULL;
        if (!e->value) { /* too large; or the system has no room for a region */
            atomic_store_explicit(&e->state, STATE_PIN | STATE_DETACHED,
                                  memory_order_relaxed);
            e->value = malloc(size);
        }
        if (!e->value) {
            cache_release_locked(s, e, true);
            e = NULL;
        }
    }
    mutex_unlock(&s->mu);
    return e;
}

static bool is_detached(const struct cache_entry *e)
{
    return atomic_load_explicit(&e->state, memory_order_relaxed) & STATE_DETACHED;
}

void cache_abandon(struct cache *c, struct cache_entry *e)
{
    struct shard *s = &c->shards[e->shard];

    mutex_lock(&s->mu);
    cache_release_locked(s, e, is_detached(e));
    mutex_unlock(&s->mu);
}

static void link_locked(struct shard *s, uint64_t hash, struct cache_entry *e)
{
    struct cache_entry *_Atomic *bucket = bucket_of(s, hash);

    atomic_store(&e->next, atomic_load(bucket));
    atomic_store_explicit(bucket, e, memory_order_release);
}

static struct cache_entry *insert_locked(struct shard *s, uint64_t hash,
                                         struct cache_entry *e)
{
    uint32_t state = atomic_load_explicit(&e->state, memory_order_relaxed);
    struct cache_entry *first =
        find_locked(s, hash, atomic_load_explicit(&e->file, memory_order_relaxed),
                    atomic_load_explicit(&e->offset, memory_order_relaxed));

    if (first) {
        cache_release_locked(s, e, state & STATE_DETACHED);
        return first;
    }
    atomic_store_explicit(&e->state, state | STATE_ALIVE, memory_order_release);
    if (!(state & STATE_DETACHED))
        link_locked(s, hash, e);
    return e;
}

struct cache_entry *cache_insert(struct cache *c, struct cache_entry *e)
{
    struct shard *s = &c->shards[e->shard];

    mutex_lock(&s->mu);
    e = insert_locked(s,
                      mix(atomic_load_explicit(&e->file, memory_order_relaxed),
                          atomic_load_explicit(&e->offset, memory_order_relaxed)),
                      e);
    mutex_unlock(&s->mu);
    return e;
}

struct cache_entry *cache_put(struct cache *c, uint64_t file, uint64_t offset,
                              void *value, size_t size, void (*free_value)(void *))
{
    uint64_t hash = mix(file, offset);
    struct shard *s = shard_of(c, hash);
    bool keep = is_kept(s, size);
    struct cache_entry *e;

    mutex_lock(&s->mu);
    e = begin_locked(c, s, file, offset, size, keep);
    if (e) {
        e->value = value;
        e->free_value = free_value;
        s->foreign += keep ? size : 0;
        note_bytes_locked(s);
        e = insert_locked(s, hash, e);
        cache_shrink_locked(s);
    } else {
        free_value(value);
    }
    mutex_unlock(&s->mu);
    return e;
}

void *cache_value(const struct cache_entry *e)
{
    return e->value;
}

/* A reader may have come upon the entry by a stale chain and have pinned it since:
 * then it stays alive, and that reader frees it. */
static void free_detached(struct shard *s, struct cache_entry *e)
{
    uint32_t old;

    mutex_lock(&s->mu);
    old = atomic_load_explicit(&e->state, memory_order_relaxed);
    if ((old & STATE_ALIVE) && (old & STATE_DETACHED) && old < STATE_PIN &&
        atomic_compare_exchange_strong_explicit(&e->state, &old, 0, memory_order_acquire,
                                                memory_order_relaxed))
        cache_release_locked(s, e, true);
    mutex_unlock(&s->mu);
}

void cache_unpin(struct cache *c, struct cache_entry *e)
{
    struct shard *s = &c->shards[e->shard];
    uint32_t old = atomic_fetch_sub_explicit(&e->state, STATE_PIN, memory_order_acq_rel);

    if (old >= 2 * STATE_PIN)
        return;
    if (old & STATE_DETACHED) {
        free_detached(s, e);
        return;
    }
    if (!is_over(s))
        return;
    mutex_lock(&s->mu);
    if (e->region) /* else it was evicted in between, or is of another kind */
        cache_empty_region_locked(s, e->region);
    else
        cache_shrink_locked(s);
    mutex_unlock(&s->mu);
}

void cache_set_capacity(struct cache *c, size_t capacity_bytes)
{
    unsigned i;

    for (i = 0; i < c->n_shards; i++) {
        struct shard *s = &c->shards[i];

        atomic_store_explicit(&s->capacity, capacity_bytes / c->n_shards,
                              memory_order_relaxed);
        if (!is_over(s))
            continue;
        mutex_lock(&s->mu);
        cache_shrink_locked(s);
        mutex_unlock(&s->mu);
    }
}

void cache_get_stats(struct cache *c, struct cache_stats *out)
{
    unsigned i;
    size_t k;

    memset(out, 0, sizeof(*out));
    for (i = 0; i < STRIPES; i++) {
        out->hits += atomic_load_explicit(&c->stripes[i].hits, memory_order_relaxed);
        out->misses += atomic_load_explicit(&c->stripes[i].misses, memory_order_relaxed);
    }
    for (i = 0; i < c->n_shards; i++) {
        struct shard *s = &c->shards[i];

        mutex_lock(&s->mu);
        out->bytes += atomic_load_explicit(&s->bytes, memory_order_relaxed);
        for (k = 0; k < s->n_slabs * SLAB_ENTRIES; k++) {
            struct cache_entry *e =
                &s->slabs[k / SLAB_ENTRIES]->entries[k % SLAB_ENTRIES];

            if (e->value && !is_detached(e))
                out->used += e->size;
            if (atomic_load_explicit(&e->state, memory_order_relaxed) >= STATE_PIN)
                out->pinned += e->size;
        }
        mutex_unlock(&s->mu);
    }
}
