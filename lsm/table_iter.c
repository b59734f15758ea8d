/*
 * table_iter.c - iterating a table: a block iterator that is moved from block to
 * block. It is the block iterator's own struct iter that the caller holds, so
 * that a step within a block costs no copying.
 *
 * A compaction reads through a window of the file and leaves the cache alone. So
 * does a read once it misses the cache block after block; what it loads goes to
 * the cache all the same.
 */
#include "block_entry.h"
#include "table_impl.h"

#include <stdlib.h>

enum {
    WINDOW_MIN = 16 * 1024,
    FOLLOWING_LINES = 16, /* of the processor's cache */
};

struct table_iter {
    struct block_iter bi; /* first: its iter is ours */
    struct table *t;
    enum table_iter_use use;
    uint32_t at; /* the block that bi stands in; index.n: none */
    struct table_pin pin;
    struct loaded_block *own; /* instead of pin, for TABLE_ITER_COMPACT */
    struct table_dict_ref dict;
    uint8_t *window; /* bytes of the file */
    size_t window_cap;
    size_t window_len;
    uint64_t window_at;
    size_t ahead;       /* how much to read at once; 0: a block */
    uint32_t next_miss; /* the block whose absence would show a sequence */
    void (*on_free)(void *arg);
    void *arg;
};

static struct table_iter *of(struct iter *it)
{
    return (struct table_iter *)it; /* by way of bi.it */
}

/* ---- getting a block ---- */

static bool in_window(const struct table_iter *ti, uint64_t at, size_t size)
{
    return at >= ti->window_at && size <= ti->window_len &&
           at - ti->window_at <= ti->window_len - size;
}

static void drop_window(struct table_iter *ti)
{
    if (!ti->window)
        return;
    env_free(ti->window, ti->window_cap);
    memory_give(ti->t->memory, MEMORY_WORK, ti->window_cap);
    ti->window = NULL;
    ti->window_cap = 0;
}

/* At least size bytes at `at`, and as much after them as may be worth it. */
static int fill_window(struct table_iter *ti, uint64_t at, size_t size)
{
    uint64_t rest = ti->t->layout.filter - at; /* of the data blocks */
    size_t len = size > ti->ahead ? size : ti->ahead;
    int rc;

    if (len > rest)
        len = (size_t)rest;
    ti->window_len = 0;
    if (len > ti->window_cap) {
        drop_window(ti);
        ti->window = env_alloc(len);
        if (!ti->window)
            return -ENOMEM;
        ti->window_cap = len;
        memory_take(ti->t->memory, MEMORY_WORK, len);
    }
    rc = table_read(ti->t, at, ti->window, len);
    if (rc)
        return rc;
    ti->window_at = at;
    ti->window_len = len;
    if (len < rest)
        env_file_readahead(ti->t->file, at + len, ti->ahead);
    return 0;
}

static int load_block(struct table_iter *ti, uint32_t i, struct loaded_block **out)
{
    enum table_block_use use =
        ti->use == TABLE_ITER_READ && ti->t->cache ? TABLE_BLOCK_KEEP : TABLE_BLOCK_ONCE;
    uint64_t at = ti->t->index.at[i];
    size_t size = table_block_size(ti->t, i);
    int rc = 0;

    if (ti->ahead == 0)
        return table_load_block(ti->t, i, use, &ti->dict, out);
    if (!in_window(ti, at, size))
        rc = fill_window(ti, at, size);
    if (rc)
        return rc;
    return table_unpack_block(ti->t, i, slice_of(ti->window + (at - ti->window_at), size),
                              use, &ti->dict, out);
}

/* A read that misses block after block reads ahead, more and more. */
static void watch_sequence(struct table_iter *ti, uint32_t i)
{
    size_t most = memory_window(ti->t->memory);

    if (ti->use == TABLE_ITER_COMPACT) {
        ti->ahead = most;
        return;
    }
    if (i != ti->next_miss)
        ti->ahead = 0;
    else if (!in_window(ti, ti->t->index.at[i], table_block_size(ti->t, i)))
        ti->ahead = ti->ahead == 0         ? WINDOW_MIN
                    : ti->ahead < most / 2 ? 2 * ti->ahead
                                           : most;
    ti->next_miss = i + 1;
}

static void drop_block(struct table_iter *ti)
{
    table_unpin(&ti->pin);
    free(ti->own);
    ti->own = NULL;
    ti->at = ti->t->index.n;
}

static int get_block(struct table_iter *ti, uint32_t i, const struct block **out)
{
    struct table *t = ti->t;
    struct loaded_block *lb;
    int rc;

    if (ti->use == TABLE_ITER_READ) {
        *out = table_pin_cached(t, i, &ti->pin);
        if (*out) {
            ti->next_miss += i == ti->next_miss;
            return 0;
        }
    }
    watch_sequence(ti, i);
    rc = load_block(ti, i, &lb);
    if (rc)
        return rc;
    if (ti->use == TABLE_ITER_READ)
        return table_pin_loaded(t, i, lb, out, &ti->pin);
    ti->own = lb;
    *out = &lb->block;
    return 0;
}

/* Blocks are passed one after the other: have the next ones fetched. */
static void fetch_ahead(const struct table_iter *ti, uint32_t i, bool back)
{
    struct cache_place *cached = ti->t->index.cached;
    uint32_t left = back ? i : ti->t->index.n - 1 - i;

    if (left >= 2)
        cache_fetch_entry(back ? &cached[i - 2] : &cached[i + 2]);
    if (left >= 1 && back)
        cache_fetch_value(&cached[i - 1], CACHE_ENDS);
    else if (left >= 1)
        cache_fetch_value(&cached[i + 1], CACHE_BEGIN);
}

/* Who seeks mostly reads on: have what comes after the entry fetched, in block i and,
 * near its end, in the next one. */
static void fetch_following(const struct table_iter *ti, uint32_t i)
{
    const struct block *b = &ti->bi.block;
    const uint8_t *p = b->data.data + ti->bi.next_at;
    const uint8_t *end = b->data.data + b->entries_len;
    unsigned n;

    for (n = 0; n < FOLLOWING_LINES && p < end; n++, p += 64)
        __builtin_prefetch(p);
    if (n < FOLLOWING_LINES && i + 1 < ti->t->index.n) {
        cache_fetch_entry(&ti->t->index.cached[i + 1]);
        cache_fetch_hinted(&ti->t->index.cached[i + 1]);
    }
}

/* Stand nowhere in block i. False: the iterator is stopped, with its error. */
static bool enter_block(struct table_iter *ti, uint32_t i)
{
    const struct block *b;
    uint32_t from = ti->at;
    int rc;

    if (ti->bi.it.err) {
        ti->bi.it.valid = false;
        return false;
    }
    if (i == ti->at) {
        block_iter_reset(&ti->bi, &ti->bi.block);
        return true;
    }
    drop_block(ti);
    rc = get_block(ti, i, &b);
    if (rc) {
        iter_stop(&ti->bi.it, rc);
        return false;
    }
    ti->at = i;
    block_iter_reset(&ti->bi, b);
    if (ti->use == TABLE_ITER_READ && (i == from + 1 || from == i + 1))
        fetch_ahead(ti, i, i < from);
    return true;
}

/* ---- moving ---- */

/* True when the move within the block was the last word: an entry, or an error,
 * which is logged here. */
static bool settled(struct table_iter *ti)
{
    struct iter *it = &ti->bi.it;

    if (it->valid)
        return true;
    if (it->err == -EUCLEAN)
        table_bad_block(ti->t, ti->at);
    return it->err != 0;
}

static void first_from(struct table_iter *ti, uint32_t i)
{
    for (; i < ti->t->index.n; i++) {
        if (!enter_block(ti, i))
            return;
        block_iter_first(&ti->bi);
        if (settled(ti))
            return;
    }
    iter_stop(&ti->bi.it, 0);
}

/* The last entry of the blocks before n. */
static void last_before(struct table_iter *ti, uint32_t n)
{
    while (n-- > 0) {
        if (!enter_block(ti, n))
            return;
        block_iter_last(&ti->bi);
        if (settled(ti))
            return;
    }
    iter_stop(&ti->bi.it, 0);
}

static void op_first(struct iter *it)
{
    first_from(of(it), 0);
}

static void op_last(struct iter *it)
{
    last_before(of(it), of(it)->t->index.n);
}

static void op_seek(struct iter *it, struct slice ikey)
{
    struct table_iter *ti = of(it);
    uint32_t i = table_index_find(&ti->t->index, ikey);

    if (i == ti->t->index.n) {
        iter_stop(it, 0);
        return;
    }
    if (!enter_block(ti, i))
        return;
    block_iter_seek(&ti->bi, ikey);
    /* A separator may be greater than all keys of its block. */
    if (!settled(ti))
        first_from(ti, i + 1);
    else if (ti->use == TABLE_ITER_READ)
        fetch_following(ti, i);
}

static void op_seek_prev(struct iter *it, struct slice ikey)
{
    struct table_iter *ti = of(it);
    uint32_t i = table_index_find(&ti->t->index, ikey);

    if (i == ti->t->index.n) {
        last_before(ti, i);
        return;
    }
    if (!enter_block(ti, i))
        return;
    block_iter_seek_prev(&ti->bi, ikey);
    if (!settled(ti))
        last_before(ti, i);
}

static void op_next(struct iter *it)
{
    struct table_iter *ti = of(it);

    block_iter_step(&ti->bi);
    if (__builtin_expect(it->valid, 1))
        return;
    if (!settled(ti))
        first_from(ti, ti->at + 1);
}

static void op_prev(struct iter *it)
{
    struct table_iter *ti = of(it);

    block_iter_prev(&ti->bi);
    if (!settled(ti))
        last_before(ti, ti->at);
}

static void op_free(struct iter *it)
{
    struct table_iter *ti = of(it);

    drop_block(ti);
    table_dict_release(ti->t, &ti->dict);
    block_iter_release(&ti->bi);
    drop_window(ti);
    if (ti->on_free)
        ti->on_free(ti->arg);
    free(ti);
}

static const struct iter_ops table_iter_ops = {
    .first = op_first,
    .last = op_last,
    .seek = op_seek,
    .seek_prev = op_seek_prev,
    .next = op_next,
    .prev = op_prev,
    .free = op_free,
};

struct iter *table_iter_new(struct table *t, enum table_iter_use use)
{
    struct table_iter *ti = iter_alloc(sizeof(*ti));

    if (!ti)
        return NULL;
    ti->bi.it.ops = &table_iter_ops;
    ti->t = t;
    ti->use = use;
    ti->dict.aside = use == TABLE_ITER_COMPACT;
    ti->at = t->index.n;
    return &ti->bi.it;
}

void table_iter_on_free(struct iter *it, void (*fn)(void *arg), void *arg)
{
    of(it)->on_free = fn;
    of(it)->arg = arg;
}
