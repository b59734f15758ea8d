/*
 * env_cache_file.c - reading and appending to a file of which blocks are kept; see
 * env_cache_impl.h.
 *
 * A read is answered block by block: from a slot, from a block on its way, or from the
 * store, which is then asked for whole blocks, as many neighbours at once as are wanted.
 * No lock is held over any of it.
 */
#include "env_cache_impl.h"

#include "coding.h"
#include "hash.h"
#include "names.h"

#include <stdlib.h>

enum { SMALL_PAGES = 4 /* read on the stack */ };

struct cached_file {
    struct env_file base;
    struct cache *c;
    struct env_file *under;
    uint64_t key_seed, page_seed; /* who it is */
    uint64_t
        size; /* its bytes before here never change; atomic while it is appended to */
    bool appended;
    bool cut;         /* by a truncate: no more is kept */
    uint64_t pos;     /* of the next append, unless cut */
    struct run *tail; /* what was appended to the block at pos; NULL: it is not kept */
};

/* The thread's work can wait (env_background), and so do others not for its sake. */
static _Thread_local bool in_background;

void cache_in_background(void)
{
    in_background = true;
}

/* What this thread reads of these bytes is not to come from here, nor to be brought. */
static _Thread_local struct {
    const struct cached_file *f;
    uint64_t off, end;
} asked;

static struct cached_file *cached_file(struct env_file *f)
{
    return (struct cached_file *)f;
}

static uint64_t block_key(const struct cached_file *f, uint64_t block)
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

/* ---- reading ---- */

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
    uint64_t key = block_key(r->f, first_block(r));
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
        uint64_t key = block_key(r->f, b);

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
        struct on_way *w = way_begin_locked(c, block_key(r->f, block), f->run);

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

static uint64_t unchanging(const struct cached_file *f)
{
    return __atomic_load_n(&f->size, __ATOMIC_ACQUIRE);
}

static int cached_pread(struct env_file *file, uint64_t off, void *to, size_t len,
                        size_t *got)
{
    struct cached_file *f = cached_file(file);
    struct reading r = {.f = f, .off = off, .to = to, .size = unchanging(f)};
    bool off_now = atomic_load_explicit(&f->c->off, memory_order_relaxed);
    size_t n = 1;
    int rc = 0;

    *got = 0;
    if (asked.f == f && off >= asked.off && off <= asked.end && len <= asked.end - off) {
        r.len = len;
        return read_under(&r, len, got);
    }
    if (off < r.size && !off_now)
        r.len = len < r.size - off ? len : (size_t)(r.size - off);
    while (r.len && n && !rc) {
        rc = read_some(&r, &n);
        if (!rc) {
            advance(&r, n);
            *got += n;
        }
    }
    if (rc || r.len || *got == len || !(f->appended || off_now))
        return rc;
    /* What may still change, and what is not kept. */
    rc = env_file_pread(f->under, r.off, r.to, len - *got, &n);
    *got += rc ? 0 : n;
    return rc;
}

static void cached_readahead(struct env_file *file, uint64_t off, size_t len)
{
    struct cached_file *f = cached_file(file);
    struct cache *c = f->c;
    uint64_t size = unchanging(f), b, from = UINT64_MAX, to = 0;
    uint32_t slot;

    if (off >= size || !len || atomic_load(&c->off)) {
        env_file_readahead(f->under, off, len);
        return;
    }
    len = len < size - off ? len : (size_t)(size - off);
    for (b = off / CACHE_BLOCK; b <= (off + len - 1) / CACHE_BLOCK; b++) {
        uint64_t key = block_key(f, b);
        bool way, here;

        mutex_lock(&c->mu);
        way = way_find_locked(c, key) != NULL;
        here = !way && slots_find(&c->slots, key, &slot);
        mutex_unlock(&c->mu);
        if (here)
            shelf_readahead(&c->shelves, slot);
        if (way || here)
            continue;
        from = from == UINT64_MAX ? b : from;
        to = b + 1;
    }
    /* One question for all that is missing, and what lies between. */
    if (to) {
        to = to * CACHE_BLOCK < size ? to * CACHE_BLOCK : size;
        env_file_readahead(f->under, from * CACHE_BLOCK,
                           (size_t)(to - from * CACHE_BLOCK));
    }
}

/* The blocks that hold these bytes are not to be found any more. */
static void forget_blocks(struct cached_file *f, uint64_t off, uint64_t end)
{
    struct cache *c = f->c;
    uint64_t b;

    for (b = off / CACHE_BLOCK; b * CACHE_BLOCK < end; b++) {
        uint64_t key = block_key(f, b);
        struct on_way *w;
        uint32_t slot;
        bool here;

        mutex_lock(&c->mu);
        w = way_find_locked(c, key);
        if (w)
            way_forget_locked(c, w);
        here = slots_find(&c->slots, key, &slot);
        if (here)
            slots_drop(&c->slots, slot);
        mutex_unlock(&c->mu);
        if (here)
            shelf_erase(&c->shelves, slot);
    }
}

static void cached_forget(struct env_file *file, uint64_t off, size_t len)
{
    struct cached_file *f = cached_file(file);
    uint64_t size = unchanging(f);

    if (off < size)
        forget_blocks(f, off, len < size - off ? off + len : size);
    env_file_forget(f->under, off, len);
}

static void cached_ask_store(struct env_file *file, uint64_t off, size_t len)
{
    struct cached_file *f = cached_file(file);

    asked.f = f;
    asked.off = off;
    asked.end = off + len;
    env_file_ask_store(f->under, off, len);
}

/* ---- appending ---- */

static void keep_tail(struct cached_file *f, size_t len)
{
    struct cache *c = f->c;
    uint64_t block = (f->pos - len) / CACHE_BLOCK, key = block_key(f, block);
    struct on_way *w = NULL;

    mutex_lock(&c->mu);
    if (!way_find_locked(c, key))
        w = way_begin_locked(c, key, f->tail);
    if (w) {
        w->page_seed = f->page_seed;
        w->first_page = block * CACHE_PAGES;
        w->len = len;
        way_end_locked(c, w, SLOT_COLD);
    }
    run_put_locked(f->tail);
    mutex_unlock(&c->mu);
    f->tail = NULL;
}

/* These bytes were appended; what of them fills a block goes on its way. */
static void note_appended(struct cached_file *f, struct slice part)
{
    while (part.len) {
        size_t at = (size_t)(f->pos % CACHE_BLOCK), n = CACHE_BLOCK - at;

        n = part.len < n ? part.len : n;
        if (at == 0 && !f->tail && !atomic_load(&f->c->off))
            f->tail = run_new(1);
        if (f->tail)
            memcpy(f->tail->data + at, part.data, n);
        f->pos += n;
        part = slice_of(part.data + n, part.len - n);
        if (at + n == CACHE_BLOCK && f->tail)
            keep_tail(f, CACHE_BLOCK);
    }
}

static int cached_append(struct env_file *file, const struct slice *parts, unsigned n)
{
    struct cached_file *f = cached_file(file);
    int rc = env_file_append(f->under, parts, n);
    unsigned i;

    if (rc || f->cut)
        return rc;
    for (i = 0; i < n; i++)
        note_appended(f, parts[i]);
    __atomic_store_n(&f->size, f->pos - f->pos % CACHE_BLOCK, __ATOMIC_RELEASE);
    return rc;
}

static void drop_tail(struct cached_file *f)
{
    free(f->tail); /* nobody else has it yet */
    f->tail = NULL;
}

/* Where the next append goes then is the env's to know: no more of the file is kept. */
static int cached_truncate(struct env_file *file, uint64_t size)
{
    struct cached_file *f = cached_file(file);
    uint64_t stays = size - size % CACHE_BLOCK;
    int rc = env_file_truncate(f->under, size);

    if (!f->appended || size == f->pos)
        return rc;
    drop_tail(f);
    f->cut = true;
    if (stays < f->size) {
        forget_blocks(f, stays, f->size);
        __atomic_store_n(&f->size, stays, __ATOMIC_RELEASE);
    }
    return rc;
}

/* ---- what is passed on ---- */

static int cached_sync(struct env_file *file)
{
    return env_file_sync(cached_file(file)->under);
}

static int cached_size(struct env_file *file, uint64_t *size)
{
    return env_file_size(cached_file(file)->under, size);
}

static void cached_writeback(struct env_file *file, uint64_t off, size_t len)
{
    env_file_writeback(cached_file(file)->under, off, len);
}

static uint64_t cached_next_data(struct env_file *file, uint64_t off)
{
    return env_file_next_data(cached_file(file)->under, off);
}

static void cached_often_synced(struct env_file *file, bool often)
{
    env_file_often_synced(cached_file(file)->under, often);
}

static int cached_identity(struct env_file *file, uint8_t id[ENV_IDENTITY])
{
    return env_file_identity(cached_file(file)->under, id);
}

static int cached_close(struct env_file *file)
{
    struct cached_file *f = cached_file(file);
    int rc = env_file_close(f->under);

    if (f->tail && !rc)
        keep_tail(f, (size_t)(f->pos % CACHE_BLOCK));
    drop_tail(f);
    if (asked.f == f)
        asked.f = NULL;
    free(f);
    return rc;
}

static const struct env_file_ops file_ops = {
    .pread = cached_pread,
    .append = cached_append,
    .sync = cached_sync,
    .truncate = cached_truncate,
    .size = cached_size,
    .readahead = cached_readahead,
    .writeback = cached_writeback,
    .next_data = cached_next_data,
    .forget = cached_forget,
    .ask_store = cached_ask_store,
    .often_synced = cached_often_synced,
    .identity = cached_identity,
    .close = cached_close,
};

/* ---- opening ---- */

/* The identity, and the name: numbers of a store's files are not given twice. */
static int identify(struct cached_file *f, const char *name)
{
    uint8_t who[ENV_IDENTITY + NAME_BYTES] = {0};
    int rc = env_file_identity(f->under, who);

    if (rc)
        return rc;
    memcpy(who + ENV_IDENTITY, name, strnlen(name, NAME_BYTES));
    f->key_seed = hash_bytes(who, sizeof(who), 1);
    f->page_seed = hash_bytes(who, sizeof(who), 2);
    return 0;
}

struct env_file *cached_file_new(struct cache *c, struct env_file *under,
                                 const char *name, bool appended)
{
    struct cached_file *f = calloc(1, sizeof(*f));

    if (!f)
        return under; /* it is read without */
    f->base.ops = &file_ops;
    f->c = c;
    f->under = under;
    f->appended = appended;
    if (identify(f, name) || (!appended && env_file_size(under, &f->size))) {
        free(f);
        return under;
    }
    return &f->base;
}
