/*
 * block.c - see block.h: a block, searched for one key. Bytes: FORMAT.md, "Block".
 */
#include "block_search.h"

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
        at = block_restart_at(b, i);
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

bool block_restart_user(const struct block *b, uint32_t i, struct slice *user)
{
    const uint8_t *base = b->data.data;
    struct block_entry e;

    if (!block_entry_parse(base + block_restart_at(b, i), base + b->entries_len, &e) ||
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

        if (!block_restart_user(b, lo + half, &at))
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

/* What a walk from a restart point will touch, fetched at once. */
static inline void fetch_interval(const struct block *b, uint32_t restart)
{
    enum { LINE = 64, LINES_MAX = 8 };
    uint32_t end =
        restart + 1 < b->n_restarts ? block_restart_at(b, restart + 1) : b->entries_len;
    const uint8_t *p = b->data.data + block_restart_at(b, restart);
    const uint8_t *stop = b->data.data + end;
    int i;

    for (i = 0; i < LINES_MAX && p < stop; i++, p += LINE)
        __builtin_prefetch(p);
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
    fetch_interval(b, *restart);
    if (above < 2 || b->prefix[above - 1] != want)
        return true;
    /* The user key itself, mostly; only whole keys tell. */
    if (!block_restart_user(b, above - 1, &at))
        return false;
    return key_cmp(at, user) <= 0 || search_restarts(b, user, above - 1, restart);
}

bool block_find_restart(const struct block *b, struct slice user, uint32_t *restart)
{
    struct slice first;
    size_t n;
    int c;

    if (!b->prefix)
        return search_restarts(b, user, b->n_restarts, restart);
    if (!block_restart_user(b, 0, &first))
        return false;
    n = user.len < b->common ? user.len : b->common;
    c = n ? memcmp(user.data, first.data, n) : 0;
    if (c == 0 && n == b->common)
        return search_prefixes(b, user, restart);
    *restart = c > 0 ? b->n_restarts - 1 : 0;
    return true;
}

static int walk_to(const struct block *b, uint32_t restart, struct block_probe *probe,
                   uint64_t *trailer, struct slice *value)
{
    const uint8_t *p = b->data.data + block_restart_at(b, restart);
    const uint8_t *end = b->data.data + b->entries_len;
    struct block_entry e;
    size_t user_len = 0;

    for (; p < end; p = block_entry_next(&e)) {
        if (!block_entry_parse(p, end, &e) || e.shared > user_len)
            return -EUCLEAN;
        user_len = (size_t)e.shared + e.unshared - IKEY_TRAILER;
        switch (block_place_entry(&e, probe)) {
        case BLOCK_BELOW:
            continue;
        case BLOCK_ABOVE:
            return -ENOENT;
        case BLOCK_SAME_USER:
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
    struct block_probe probe = block_probe_for(ikey);
    uint32_t restart;

    if (b->n_restarts == 0)
        return -ENOENT;
    if (!(b->prefix ? search_prefixes(b, probe.user, &restart)
                    : search_restarts(b, probe.user, b->n_restarts, &restart)))
        return -EUCLEAN;
    return walk_to(b, restart, &probe, trailer, value);
}

/* ---- preparing ---- */

/* How many bytes all user keys begin with: those that first and last share. The
 * last key is followed through its interval without building it. */
static bool find_common(const struct block *b, uint32_t *common)
{
    const uint8_t *p = b->data.data + block_restart_at(b, b->n_restarts - 1);
    const uint8_t *end = b->data.data + b->entries_len;
    size_t same = 0;
    size_t user_len = 0;
    struct slice first;

    if (!block_restart_user(b, 0, &first))
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
            same = e.shared + block_common_bytes(e.key, first.data + e.shared, rest);
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
        if (!block_restart_user(b, i, &user))
            return -EUCLEAN;
        /* Out of order, a key may be shorter than what "all" have in common. */
        prefix[i] = prefix_of(user, b->common);
        offset[i] = block_restart_at(b, i);
    }
    b->prefix = prefix;
    return 0;
}
