/*
 * env_cache_file.c - a file of which blocks are kept, as the engine sees it: appending to
 * it, and what of it is read from where; see env_cache_impl.h.
 */
#include "env_cache_file.h"

#include "hash.h"
#include "names.h"

#include <stdlib.h>

/* What this thread reads of these bytes is not to come from here, nor to be brought. */
static _Thread_local struct {
    const struct cached_file *f;
    uint64_t off, end;
} asked;

static struct cached_file *cached_file(struct env_file *f)
{
    return (struct cached_file *)f;
}

/* ---- reading ---- */

static uint64_t unchanging(const struct cached_file *f)
{
    return __atomic_load_n(&f->size, __ATOMIC_ACQUIRE);
}

static int cached_pread(struct env_file *file, uint64_t off, void *to, size_t len,
                        size_t *got)
{
    struct cached_file *f = cached_file(file);
    uint64_t size = unchanging(f);
    bool off_now = atomic_load_explicit(&f->c->off, memory_order_relaxed);
    size_t here = 0, n;
    int rc;

    *got = 0;
    if (asked.f == f && off >= asked.off && off <= asked.end && len <= asked.end - off) {
        rc = env_file_pread(f->under, off, to, len, got);
        if (!rc)
            atomic_fetch_add(&f->c->count.fetched_bytes, *got);
        return rc;
    }
    if (off < size && !off_now)
        here = len < size - off ? len : (size_t)(size - off);
    rc = here ? cached_read(f, off, to, here, size, got) : 0;
    if (rc || *got < here || *got == len || !(f->appended || off_now))
        return rc;
    /* What may still change, and what is not kept. */
    rc = env_file_pread(f->under, off + here, (uint8_t *)to + here, len - here, &n);
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
        uint64_t key = cached_block_key(f, b);
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
        uint64_t key = cached_block_key(f, b);
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
    uint64_t block = (f->pos - len) / CACHE_BLOCK, key = cached_block_key(f, block);
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
