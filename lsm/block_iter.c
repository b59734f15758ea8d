/*
 * block_iter.c - see block.h: a block, entry by entry, in both directions.
 */
#include "block_search.h"

#include <stdlib.h>

/*
 * Entries do not tell where the one before begins, so a step back walks from a restart
 * point. What it passes is kept for the steps to come: entries that follow each other,
 * the last of which ends where the current one begins.
 */
struct block_passed {
    unsigned n;
    struct passed_entry {
        uint32_t at, end;
        uint32_t value_at;
        uint32_t key_at, key_len; /* in keys */
    } entry[BLOCK_PASSED];
    struct buf keys;
};

bool block_iter_grow(struct block_iter *bi, size_t n)
{
    bi->key.len = 0;
    bi->key.failed = false;
    /* realloc keeps the bytes of the key before, which the next one may share. */
    if (!buf_reserve(&bi->key, n + BLOCK_COPY + 64)) {
        iter_stop(&bi->it, -ENOMEM);
        return false;
    }
    return true;
}

/* Before the entry at a restart point; block_iter_step goes there. */
static void stand_before(struct block_iter *bi, uint32_t restart)
{
    bi->restart = restart;
    bi->next_at = block_restart_at(&bi->block, restart);
    bi->it.key.len = IKEY_TRAILER;
    bi->it.valid = false;
}

/* False when there is nothing to walk. */
static bool may_walk(struct block_iter *bi)
{
    bi->it.valid = false;
    return !bi->it.err && bi->block.n_restarts > 0;
}

/* Step until the entry that ends at `end`. */
static void walk_to_end(struct block_iter *bi, uint32_t end)
{
    do {
        block_iter_step(bi);
        if (!bi->it.valid)
            return;
    } while (bi->next_at < end);
    /* No entry ends there: the restart point was not at an entry. */
    if (bi->next_at > end)
        iter_stop(&bi->it, -EUCLEAN);
}

static void forget_passed(struct block_iter *bi)
{
    if (bi->passed) {
        bi->passed->n = 0;
        buf_clear(&bi->passed->keys);
    }
}

/* The current entry is passed. Without room, those before it are forgotten. */
static void note_passed(struct block_iter *bi)
{
    struct block_passed *p = bi->passed;
    struct slice key = bi->it.key;
    struct passed_entry *e;
    uint8_t *to;

    if (p->n == BLOCK_PASSED)
        forget_passed(bi);
    to = buf_reserve(&p->keys, key.len);
    if (!to) {
        forget_passed(bi);
        return;
    }
    e = &p->entry[p->n++];
    e->at = bi->at;
    e->end = bi->next_at;
    e->value_at = (uint32_t)(bi->it.value.data - bi->block.data.data);
    e->key_at = (uint32_t)p->keys.len;
    e->key_len = (uint32_t)key.len;
    key_bytes_copy(to, key.data, key.len);
    p->keys.len += key.len;
}

/* As walk_to_end, and what comes before that entry is kept. */
static void walk_noting(struct block_iter *bi, uint32_t end)
{
    if (!bi->passed) {
        walk_to_end(bi, end);
        return;
    }
    forget_passed(bi);
    for (;;) {
        block_iter_step(bi);
        if (!bi->it.valid || bi->next_at >= end)
            break;
        note_passed(bi);
    }
    if (bi->it.valid && bi->next_at > end)
        iter_stop(&bi->it, -EUCLEAN);
}

/* Back to the entry before the current one, if that is kept. */
static bool step_to_passed(struct block_iter *bi)
{
    struct block_passed *p = bi->passed;
    const uint8_t *base = bi->block.data.data;
    const struct passed_entry *e;

    if (!p || !p->n || p->entry[p->n - 1].end != bi->at)
        return false;
    e = &p->entry[--p->n];
    /* Processors foresee ascending addresses better than descending ones. */
    if (e->at > BLOCK_FETCH_BACK) {
        __builtin_prefetch(base + e->at - BLOCK_FETCH_BACK);
        __builtin_prefetch(base + e->at - BLOCK_FETCH_BACK + 64);
    }
    if (e->key_len + BLOCK_COPY > bi->key.cap && !block_iter_grow(bi, e->key_len))
        return true;
    key_bytes_copy(bi->key.data, p->keys.data + e->key_at, e->key_len);
    p->keys.len = e->key_at;
    bi->at = e->at;
    bi->next_at = e->end;
    bi->it.key = slice_of(bi->key.data, e->key_len);
    bi->it.value = slice_of(base + e->value_at, e->end - e->value_at);
    bi->it.valid = true;
    return true;
}

void block_iter_first(struct block_iter *bi)
{
    if (!may_walk(bi))
        return;
    stand_before(bi, 0);
    block_iter_step(bi);
}

void block_iter_last(struct block_iter *bi)
{
    if (!may_walk(bi))
        return;
    stand_before(bi, bi->block.n_restarts - 1);
    walk_noting(bi, bi->block.entries_len);
}

void block_iter_next(struct block_iter *bi)
{
    block_iter_step(bi);
}

void block_iter_prev(struct block_iter *bi)
{
    uint32_t at = bi->at;
    uint32_t lo = 0;
    uint32_t n = bi->block.n_restarts;

    if (!may_walk(bi) || at == 0 || step_to_passed(bi))
        return;
    if (!bi->passed) /* without it, each step is a walk */
        bi->passed = calloc(1, sizeof(*bi->passed));
    /* After a step back the point found last is still the right one, mostly. */
    if (block_restart_at(&bi->block, bi->restart) < at &&
        (bi->restart + 1 == n || block_restart_at(&bi->block, bi->restart + 1) >= at)) {
        lo = bi->restart;
        n = 1;
    }
    while (n > 1) { /* the last point before `at` is in [lo, lo + n) */
        uint32_t half = n / 2;

        if (block_restart_at(&bi->block, lo + half) < at) {
            lo += half;
            n -= half;
        } else {
            n = half;
        }
    }
    stand_before(bi, lo);
    walk_noting(bi, at);
}

void block_iter_seek(struct block_iter *bi, struct slice ikey)
{
    const uint8_t *base = bi->block.data.data;
    const uint8_t *end = base + bi->block.entries_len;
    struct block_probe probe = block_probe_for(ikey);
    uint32_t restart;

    if (!may_walk(bi))
        return;
    if (!block_find_restart(&bi->block, probe.user, &restart)) {
        iter_stop(&bi->it, -EUCLEAN);
        return;
    }
    stand_before(bi, restart);
    for (;;) {
        struct block_entry e;
        /* Read before the step, which has checked it when it succeeds. */
        bool parsed = block_entry_parse(base + bi->next_at, end, &e);

        block_iter_step(bi);
        if (!bi->it.valid || !parsed || block_place_entry(&e, &probe) != BLOCK_BELOW)
            return;
    }
}

void block_iter_seek_prev(struct block_iter *bi, struct slice ikey)
{
    block_iter_seek(bi, ikey);
    if (bi->it.valid && ikey_cmp(bi->it.key, ikey) > 0)
        block_iter_prev(bi);
    else if (!bi->it.valid)
        block_iter_last(bi);
}

void block_iter_reset(struct block_iter *bi, const struct block *b)
{
    bi->block = *b;
    bi->at = 0;
    bi->next_at = 0;
    bi->restart = 0;
    bi->it.valid = false;
    forget_passed(bi);
}

void block_iter_release(struct block_iter *bi)
{
    buf_release(&bi->key);
    if (bi->passed)
        buf_release(&bi->passed->keys);
    free(bi->passed);
    bi->passed = NULL;
    bi->it.valid = false;
}

/* ---- verifying ---- */

/* Restart points must be where entries begin that share nothing, not even the user
 * key. *i: the first one not seen yet; entry `at` is the next, after key before. */
static bool restart_fits(const struct block *b, uint32_t at, struct slice before,
                         uint32_t *i)
{
    struct slice user;

    if (*i == b->n_restarts || block_restart_at(b, *i) > at)
        return true;
    if (block_restart_at(b, *i) < at || !block_restart_user(b, *i, &user))
        return false;
    ++*i;
    return before.len == 0 || !key_eq(user, ikey_user(before));
}

int block_verify(const struct block *b, block_entry_fn *fn, void *arg)
{
    struct block_iter bi;
    struct buf before = {0};
    uint32_t restart = 0;
    int rc = 0;

    block_iter_init(&bi, b);
    for (block_iter_first(&bi); bi.it.valid && !rc; block_iter_next(&bi)) {
        if (!restart_fits(b, bi.at, buf_slice(&before), &restart) ||
            (before.len && ikey_cmp(buf_slice(&before), bi.it.key) >= 0))
            rc = -EUCLEAN;
        else if (fn)
            rc = fn(arg, bi.it.key, bi.it.value);
        buf_assign(&before, bi.it.key);
        if (!rc)
            rc = buf_error(&before);
    }
    if (!rc)
        rc = bi.it.err;
    if (!rc && restart != b->n_restarts)
        rc = -EUCLEAN;
    block_iter_release(&bi);
    buf_release(&before);
    return rc;
}

/* ---- as an iterator ---- */

static struct block_iter *of(struct iter *it)
{
    return (struct block_iter *)it; /* its first member */
}

static void op_first(struct iter *it)
{
    block_iter_first(of(it));
}

static void op_last(struct iter *it)
{
    block_iter_last(of(it));
}

static void op_seek(struct iter *it, struct slice ikey)
{
    block_iter_seek(of(it), ikey);
}

static void op_seek_prev(struct iter *it, struct slice ikey)
{
    block_iter_seek_prev(of(it), ikey);
}

static void op_next(struct iter *it)
{
    block_iter_next(of(it));
}

static void op_prev(struct iter *it)
{
    block_iter_prev(of(it));
}

static void op_free(struct iter *it)
{
    block_iter_release(of(it));
}

static const struct iter_ops block_iter_ops = {
    .first = op_first,
    .last = op_last,
    .seek = op_seek,
    .seek_prev = op_seek_prev,
    .next = op_next,
    .prev = op_prev,
    .free = op_free,
};

void block_iter_init(struct block_iter *bi, const struct block *b)
{
    memset(bi, 0, sizeof(*bi));
    bi->it.ops = &block_iter_ops;
    bi->block = *b;
}
