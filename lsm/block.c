/*
 * block.c - see block.h. Bytes: FORMAT.md, "Block".
 *
 * Searching avoids building keys. While the walk is below the target, it knows
 * how many bytes the last user key and the target have in common: an entry that
 * shares more than those with its predecessor is below the target as well, and
 * needs no look at its key.
 */
#include "block_entry.h"

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

/* Where the prepared offsets are. */
static const uint32_t *offsets(const struct block *b)
{
    return (const uint32_t *)(b->prefix + b->n_restarts);
}

static uint32_t restart_at(const struct block *b, uint32_t i)
{
    if (b->prefix)
        return offsets(b)[i];
    return load_le32(b->data.data + b->entries_len + 4 * (size_t)i);
}

int block_init(struct block *b, struct slice data)
{
    uint32_t n, i, at;
    uint64_t before = 0;

    if (data.len < 4 || data.len > UINT32_MAX)
        return -EUCLEAN;
    n = load_le32(data.data + data.len - 4);
    if (n > (data.len - 4) / 4)
        return -EUCLEAN;
    memset(b, 0, sizeof(*b));
    b->data = data;
    b->n_restarts = n;
    b->entries_len = (uint32_t)(data.len - 4 - 4 * (size_t)n);
    if ((n == 0) != (b->entries_len == 0))
        return -EUCLEAN;
    for (i = 0; i < n; i++) {
        at = restart_at(b, i);
        if (i == 0 ? at != 0 : at < before + BLOCK_ENTRY_MIN)
            return -EUCLEAN;
        before = at;
    }
    return before < b->entries_len || n == 0 ? 0 : -EUCLEAN;
}

bool block_entry_header(const uint8_t *p, const uint8_t *end, struct block_entry *e)
{
    struct slice in = slice_of(p, (size_t)(end - p));

    if (!get_varint32(&in, &e->shared) || !get_varint32(&in, &e->unshared) ||
        !get_varint32(&in, &e->value_len))
        return false;
    e->key = in.data;
    return true;
}

/* ---- search ---- */

/* Bytes that a and b have in common from the start, at most n. */
static inline size_t common_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
    size_t i = 0;

    while (i < n && a[i] == b[i])
        i++;
    return i;
}

/* The 8 bytes of user from `from`, padded with zeros: not greater than those of a
 * greater key. */
static inline uint64_t prefix_of(struct slice user, size_t from)
{
    uint64_t v = 0;
    size_t i;

    if (__builtin_expect(user.len >= from + 8, 1))
        return load_be64(user.data + from);
    for (i = from; i < from + 8; i++)
        v = v << 8 | (i < user.len ? user.data[i] : 0);
    return v;
}

/* The user key at a restart point. False: damaged. */
static bool restart_user(const struct block *b, uint32_t i, struct slice *user)
{
    const uint8_t *base = b->data.data;
    struct block_entry e;

    if (!block_entry_parse(base + restart_at(b, i), base + b->entries_len, &e) ||
        e.shared)
        return false;
    *user = slice_of(e.key, e.unshared - IKEY_TRAILER);
    return true;
}

/*
 * The last restart point, of those before n, whose user key is not above user, or
 * else the first: *restart. All versions of user are at it or after it, since no
 * user key's versions lie on both sides of a point. False: damaged.
 */
static bool search_restarts(const struct block *b, struct slice user, uint32_t n,
                            uint32_t *restart)
{
    uint32_t lo = 0;
    struct slice at;

    while (n > 1) { /* the answer is in [lo, lo + n) */
        uint32_t half = n / 2;

        if (!restart_user(b, lo + half, &at))
            return false;
        if (key_cmp(at, user) <= 0) {
            lo += half;
            n -= half;
        } else {
            n = half;
        }
    }
    *restart = lo;
    return true;
}

/*
 * The same for a prepared block. A user key that does not begin as all others do
 * is led astray; that is good enough for block_get, which will not find it.
 */
static bool search_prefixes(const struct block *b, struct slice user, uint32_t *restart)
{
    uint64_t want = prefix_of(user, b->common);
    uint32_t n = b->n_restarts;
    const uint64_t *p = b->prefix;
    uint32_t above; /* points whose prefix is not above */
    struct slice at;

    while (n > 1) {
        uint32_t half = n / 2;

        p += half & -(uint32_t)(p[half - 1] <= want);
        n -= half;
    }
    above = (uint32_t)(p - b->prefix) + (*p <= want);
    *restart = above ? above - 1 : 0;
    if (above < 2 || b->prefix[above - 1] != want)
        return true;
    /* The user key itself, mostly; only whole keys tell. */
    if (!restart_user(b, above - 1, &at))
        return false;
    return key_cmp(at, user) <= 0 || search_restarts(b, user, above - 1, restart);
}

/* As search_restarts, the quickest way. */
static bool find_restart(const struct block *b, struct slice user, uint32_t *restart)
{
    struct slice first;
    size_t n;
    int c;

    if (!b->prefix)
        return search_restarts(b, user, b->n_restarts, restart);
    if (!restart_user(b, 0, &first))
        return false;
    n = user.len < b->common ? user.len : b->common;
    c = n ? memcmp(user.data, first.data, n) : 0;
    if (c == 0 && n == b->common)
        return search_prefixes(b, user, restart);
    *restart = c > 0 ? b->n_restarts - 1 : 0;
    return true;
}

/* Where a walk stands relative to its target. */
struct probe {
    struct slice user;
    uint64_t trailer;
    size_t matched; /* bytes that user and the entry's user key have in common */
};

static struct probe probe_for(struct slice ikey)
{
    return (struct probe){ikey_user(ikey), ikey_trailer(ikey), 0};
}

enum place { BELOW, SAME_USER, ABOVE };

/* e follows an entry below the target. SAME_USER: at the target or older. */
static inline enum place place_entry(const struct block_entry *e, struct probe *p)
{
    size_t mine = e->unshared - IKEY_TRAILER;
    size_t theirs, n, same;

    if (e->shared > p->matched)
        return BELOW;
    theirs = p->user.len - e->shared;
    n = mine < theirs ? mine : theirs;
    same = common_bytes(e->key, p->user.data + e->shared, n);
    if (same < n ? e->key[same] > p->user.data[e->shared + same] : mine > theirs)
        return ABOVE;
    p->matched = e->shared + same;
    if (same < n || mine < theirs)
        return BELOW;
    return load_le64(e->key + mine) > p->trailer ? BELOW : SAME_USER;
}

/* What a walk from a restart point will touch, fetched at once. */
static inline void fetch_interval(const struct block *b, uint32_t restart)
{
    enum { LINE = 64, LINES_MAX = 8 };
    uint32_t end =
        restart + 1 < b->n_restarts ? restart_at(b, restart + 1) : b->entries_len;
    const uint8_t *p = b->data.data + restart_at(b, restart);
    const uint8_t *stop = b->data.data + end;
    int i;

    for (i = 0; i < LINES_MAX && p < stop; i++, p += LINE)
        __builtin_prefetch(p);
}

static int walk_to(const struct block *b, uint32_t restart, struct probe *probe,
                   uint64_t *trailer, struct slice *value)
{
    const uint8_t *p = b->data.data + restart_at(b, restart);
    const uint8_t *end = b->data.data + b->entries_len;
    struct block_entry e;
    size_t user_len = 0;

    for (; p < end; p = block_entry_next(&e)) {
        if (!block_entry_parse(p, end, &e) || e.shared > user_len)
            return -EUCLEAN;
        user_len = (size_t)e.shared + e.unshared - IKEY_TRAILER;
        switch (place_entry(&e, probe)) {
        case BELOW:
            continue;
        case ABOVE:
            return -ENOENT;
        case SAME_USER:
            *trailer = load_le64(e.key + e.unshared - IKEY_TRAILER);
            *value = slice_of(e.key + e.unshared, e.value_len);
            return (*trailer & 0xff) <= IKEY_TYPE_LAST ? 0 : -EUCLEAN;
        }
    }
    return -ENOENT;
}

int block_get(const struct block *b, struct slice ikey, uint64_t *trailer,
              struct slice *value)
{
    struct probe probe = probe_for(ikey);
    uint32_t restart;

    if (b->n_restarts == 0)
        return -ENOENT;
    if (!b->prefix) {
        if (!search_restarts(b, probe.user, b->n_restarts, &restart))
            return -EUCLEAN;
    } else {
        if (!search_prefixes(b, probe.user, &restart))
            return -EUCLEAN;
        fetch_interval(b, restart);
    }
    return walk_to(b, restart, &probe, trailer, value);
}

/* ---- preparing ---- */

/* How many bytes all user keys begin with: those that first and last share. The
 * last key is followed through its interval without building it. */
static bool find_common(const struct block *b, uint32_t *common)
{
    const uint8_t *p = b->data.data + restart_at(b, b->n_restarts - 1);
    const uint8_t *end = b->data.data + b->entries_len;
    size_t same = 0;
    size_t user_len = 0;
    struct slice first;

    if (!restart_user(b, 0, &first))
        return false;
    while (p < end) {
        struct block_entry e;

        if (!block_entry_parse(p, end, &e) || e.shared > user_len)
            return false;
        user_len = (size_t)e.shared + e.unshared - IKEY_TRAILER;
        if (e.shared <= same && e.shared <= first.len) {
            size_t rest = user_len - e.shared;

            if (rest > first.len - e.shared)
                rest = first.len - e.shared;
            same = e.shared + common_bytes(e.key, first.data + e.shared, rest);
        }
        p = block_entry_next(&e);
    }
    *common = (uint32_t)same;
    return true;
}

int block_prepare(struct block *b, void *memory)
{
    uint64_t *prefix = memory;
    uint32_t *offset = (uint32_t *)(prefix + b->n_restarts);
    struct slice user;
    uint32_t i;

    if (b->n_restarts == 0)
        return 0;
    if (!find_common(b, &b->common))
        return -EUCLEAN;
    for (i = 0; i < b->n_restarts; i++) {
        if (!restart_user(b, i, &user))
            return -EUCLEAN;
        /* Out of order, a key may be shorter than what "all" have in common. */
        prefix[i] = prefix_of(user, b->common);
        offset[i] = restart_at(b, i);
    }
    b->prefix = prefix;
    return 0;
}

/* ---- iterating ---- */

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
    bi->next_at = restart_at(&bi->block, restart);
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
    if (restart_at(&bi->block, bi->restart) < at &&
        (bi->restart + 1 == n || restart_at(&bi->block, bi->restart + 1) >= at)) {
        lo = bi->restart;
        n = 1;
    }
    while (n > 1) { /* the last point before `at` is in [lo, lo + n) */
        uint32_t half = n / 2;

        if (restart_at(&bi->block, lo + half) < at) {
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
    struct probe probe = probe_for(ikey);
    uint32_t restart;

    if (!may_walk(bi))
        return;
    if (!find_restart(&bi->block, probe.user, &restart)) {
        iter_stop(&bi->it, -EUCLEAN);
        return;
    }
    stand_before(bi, restart);
    for (;;) {
        struct block_entry e;
        /* Read before the step, which has checked it when it succeeds. */
        bool parsed = block_entry_parse(base + bi->next_at, end, &e);

        block_iter_step(bi);
        if (!bi->it.valid || !parsed || place_entry(&e, &probe) != BELOW)
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

    if (*i == b->n_restarts || restart_at(b, *i) > at)
        return true;
    if (restart_at(b, *i) < at || !restart_user(b, *i, &user))
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
