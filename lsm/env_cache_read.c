/*
 * env_cache_read.c - reading bytes that do not change, of a file of which blocks are
 * kept; see env_cache_file.h.
 *
 * A read is answered block by block: from a slot, from a block on its way, or from the
 * store, which is then asked for whole blocks, as many neighbours at once as are wanted.
 * No lock is held over any of it.
 */
#include "env_cache_file.h"

#include "coding.h"
#include "hash.h"

#include <stdlib.h>

enum { SMALL_PAGES = 4 /* read on the stack */ };

/* The thread's work can wait (env_background), and so do others not for its sake. */
static _Thread_local bool in_background;

void cache_in_background(void)
{
    in_background = true;
}

uint64_t cached_block_key(const struct cached_file *f, uint64_t block)
{
    uint8_t bytes[8];
    uint64_t key;

    store_le64(bytes, block);
    key = hash_bytes(bytes, sizeof(bytes), f->key_seed);
    return key ? key : 1;
}

static size_t block_len(uint64_t size, uint64_t block)
{
    uint64_t rest = size - block * CACHE_BLOCK;

    return rest < CACHE_BLOCK ? (size_t)rest : CACHE_BLOCK;
}

/* A read, or what is left of it: of bytes that do not change, and at least one. */
struct reading {
    struct cached_file *f;
    uint64_t off;
    uint8_t *to;
    size_t len;
    uint64_t size; /* of what does not change */
};

static uint64_t first_block(const struct reading *r)
{
    return r->off / CACHE_BLOCK;
}

/* Of it, how much is in the block at its beginning. */
static size_t in_block(const struct reading *r)
{
    size_t left = CACHE_BLOCK - (size_t)(r->off % CACHE_BLOCK);

    return r->len < left ? r->len : left;
}

static void advance(struct reading *r, size_t n)
{
    r->off += n;
    r->to += n;
    r->len -= n;
}

/* From the store alone. *n < r->len only at the end of what is there. */
static int read_under(struct reading *r, size_t len, size_t *n)
{
    int rc = env_file_pread(r->f->under, r->off, r->to, len, n);

    if (!rc)
        atomic_fetch_add(&r->f->c->count.fetched_bytes, *n);
    return rc;
}

/* 0; -EUCLEAN (unlogged): the slot has something else in it; -errno of its disk. */
static int copy_from_slot(struct reading *r, uint32_t slot, size_t len)
{
    size_t at = (size_t)(r->off % CACHE_BLOCK), done = 0, skip = at % CACHE_PAGE;
    unsigned page = (unsigned)(at / CACHE_PAGE), i;
    unsigned n = (unsigned)((at + len - 1) / CACHE_PAGE) - page + 1;
    uint8_t small[SMALL_PAGES * STORED_PAGE], *stored = small, *owned = NULL;
    int rc;

    if (n > SMALL_PAGES)
        stored = owned = malloc((size_t)n * STORED_PAGE);
    rc = stored ? shelf_read(&r->f->c->shelves, slot, page, n, stored) : -ENOMEM;
    if (rc == -ENODATA)
        rc = -EUCLEAN;
    for (i = 0; i < n && !rc; i++) {
        const uint8_t *p = stored + (size_t)i * STORED_PAGE;
        size_t take = CACHE_PAGE - skip;

        take = len - done < take ? len - done : take;
        if (!page_sound(p, hash_place(r->f->page_seed, r->off / CACHE_PAGE + i)))
            rc = -EUCLEAN;
        else
            memcpy(r->to + done, p + skip, take);
        done += take;
        skip = 0;
    }
    free(owned);
    return rc;
}

/* The slot was not good. If nobody has used it for another block since, it is damaged. */
static void note_bad_slot(struct cache *c, uint64_t key, uint32_t slot, int rc)
{
    uint32_t now;
    bool bad;

    if (rc == -ENOMEM)
        return;
    if (rc != -EUCLEAN) {
        cache_turn_off(c, strerror(-rc));
        return;
    }
    mutex_lock(&c->mu);
    bad = slots_find(&c->slots, key, &now) && now == slot;
    if (bad)
        slots_drop(&c->slots, slot);
    mutex_unlock(&c->mu);
    if (bad) {
        shelf_erase(&c->shelves, slot);
        atomic_fetch_add(&c->count.damaged, 1);
    }
}

/* Drops mu while it waits. True when the block has come. */
static bool await_locked(struct cache *c, struct on_way *w)
{
    w->refs++;
    if (w->state == WAY_FETCHING) {
        mutex_unlock(&c->mu);
        env_about_to_block();
        mutex_lock(&c->mu);
    }
    while (w->state == WAY_FETCHING)
        cond_wait(&c->arrived, &c->mu);
    if (w->state == WAY_HERE)
        return true;
    way_put_locked(c, w);
    return false;
}

static void count_hit(struct cache *c, size_t bytes)
{
    atomic_fetch_add_explicit(&c->count.hits, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->count.hit_bytes, bytes, memory_order_relaxed);
}

/*
 * The part of r in its first block, if that is here or about to be: *n bytes, and mu is
 * dropped. *n = 0: it is to be had from the store, and mu is held still, or again: who
 * was told so can claim the block before anybody else does.
 */
static void read_here_locked(struct reading *r, size_t *n)
{
    struct cache *c = r->f->c;
    uint64_t key = cached_block_key(r->f, first_block(r));
    struct on_way *w = way_find_locked(c, key);
    size_t len = in_block(r), at = (size_t)(r->off % CACHE_BLOCK);
    uint32_t slot;
    int rc;

    *n = 0;
    if (w && await_locked(c, w)) {
        mutex_unlock(&c->mu);
        if (at + len <= w->len) {
            memcpy(r->to, w->run->data + w->at + at, len);
            *n = len;
        }
        mutex_lock(&c->mu);
        way_put_locked(c, w);
    } else if (!w && slots_find(&c->slots, key, &slot)) {
        slots_warm(&c->slots, slot);
        mutex_unlock(&c->mu);
        rc = copy_from_slot(r, slot, len);
        if (rc)
            note_bad_slot(c, key, slot, rc);
        else
            *n = len;
        mutex_lock(&c->mu);
    }
    if (*n) {
        mutex_unlock(&c->mu);
        count_hit(c, *n);
    }
}

/* How many blocks of r, from its first on, are neither here nor on their way. */
static unsigned missing_locked(const struct reading *r, unsigned most)
{
    struct cache *c = r->f->c;
    uint64_t first = first_block(r), last = (r->off + r->len - 1) / CACHE_BLOCK, b;
    uint32_t slot;

    for (b = first; b <= last && b - first < most; b++) {
        uint64_t key = cached_block_key(r->f, b);

        if (way_find_locked(c, key) || slots_find(&c->slots, key, &slot))
            break;
    }
    return (unsigned)(b - first);
}

/* n blocks of which r wants the first, and some or all of the others. */
struct fetch {
    struct run *run;
    struct on_way *way[RUN_BLOCKS];
    unsigned n;
};

/* Claims the blocks that are missing; false: none, or no memory. */
static bool fetch_begin_locked(const struct reading *r, struct fetch *f)
{
    struct cache *c = r->f->c;
    unsigned n = missing_locked(r, RUN_BLOCKS), i;

    f->n = 0;
    f->run = n ? run_new(n) : NULL;
    if (!f->run)
        return false;
    for (i = 0; i < n; i++) {
        uint64_t block = first_block(r) + i;
        struct on_way *w = way_begin_locked(c, cached_block_key(r->f, block), f->run);

        if (!w)
            break;
        w->page_seed = r->f->page_seed;
        w->first_page = block * CACHE_PAGES;
        w->at = (size_t)i * CACHE_BLOCK;
        w->len = block_len(r->size, block);
        f->way[f->n++] = w;
    }
    if (f->n)
        return true;
    run_put_locked(f->run);
    return false;
}

/* Reads what was claimed, and copies what of it r wants, *n bytes. */
static int fetch_run(struct reading *r, struct fetch *f, size_t *n)
{
    struct cache *c = r->f->c;
    uint64_t start = first_block(r) * CACHE_BLOCK;
    size_t skip = (size_t)(r->off - start), got = 0, want;
    struct on_way *last = f->way[f->n - 1];
    unsigned i;
    int rc;

    want = last->at + last->len;
    rc = env_file_pread(r->f->under, start, f->run->data, want, &got);
    if (rc)
        got = 0;
    *n = got > skip ? got - skip : 0;
    *n = *n < r->len ? *n : r->len;
    memcpy(r->to, f->run->data + skip, *n);
    atomic_fetch_add(&c->count.fetched_bytes, got);
    atomic_fetch_add(&c->count.misses, f->n);
    mutex_lock(&c->mu);
    for (i = 0; i < f->n; i++) {
        struct on_way *w = f->way[i];

        way_end_locked(c, w, w->at + w->len <= got ? SLOT_READ : -1);
    }
    run_put_locked(f->run);
    mutex_unlock(&c->mu);
    return rc;
}

/* Some of r, at least a byte of it unless the file ends: *n. */
static int read_some(struct reading *r, size_t *n)
{
    struct cache *c = r->f->c;
    struct fetch f;
    size_t len;

    mutex_lock(&c->mu);
    read_here_locked(r, n);
    if (*n)
        return 0;
    if (!in_background && fetch_begin_locked(r, &f)) {
        mutex_unlock(&c->mu);
        return fetch_run(r, &f, n);
    }
    len = (size_t)missing_locked(r, UINT32_MAX) * CACHE_BLOCK;
    mutex_unlock(&c->mu);
    /* At least a block, which is then damaged or was not to be had. */
    len = len ? len - (size_t)(r->off % CACHE_BLOCK) : in_block(r);
    atomic_fetch_add(&c->count.misses, 1);
    return read_under(r, len < r->len ? len : r->len, n);
}

int cached_read(struct cached_file *f, uint64_t off, void *to, size_t len, uint64_t size,
                size_t *got)
{
    struct reading r = {.f = f, .off = off, .to = to, .len = len, .size = size};
    size_t n = 1;
    int rc = 0;

    while (r.len && n && !rc) {
        rc = read_some(&r, &n);
        if (!rc)
            advance(&r, n);
    }
    *got = len - r.len;
    return rc;
}
