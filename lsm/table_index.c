/*
 * table_index.c - a table's index in memory: made once, searched by every get.
 *
 * A search compares 8-byte integers that lie densely, and looks at whole keys
 * only where those are equal. What all keys begin with is left out of the
 * integers, so that they tell keys apart even when all begin alike.
 */
#include "table_impl.h"

/* The 8 bytes of user from `from`, padded with zeros. Shorter keys sort first,
 * and equal integers are looked at again, so padding is harmless. */
static uint64_t prefix_of(struct slice user, size_t from)
{
    uint64_t v = 0;
    size_t i;

    if (user.len >= from + 8)
        return load_be64(user.data + from);
    for (i = 0; i < 8; i++)
        v = v << 8 | (from + i < user.len ? user.data[from + i] : 0);
    return v;
}

static int make_room(struct table_index *x, uint32_t n, size_t key_bytes,
                     uint32_t n_dicts)
{
    uint8_t *p;

    x->bytes = (size_t)n_dicts * sizeof(*x->dict) + (size_t)n * (sizeof(*x->cached) + 8) +
               ((size_t)n + 1) * 12 + key_bytes;
    p = env_alloc(x->bytes);
    if (!p)
        return -ENOMEM;
    x->memory = p;
    x->n = n;
    x->n_dicts = 0; /* taken below */
    x->dict = (struct table_dict *)p;
    x->cached = (struct cache_place *)(x->dict + n_dicts);
    memset(x->cached, 0, (size_t)n * sizeof(*x->cached));
    x->prefix = (uint64_t *)(x->cached + n);
    x->at = x->prefix + n;
    x->key_at = (uint32_t *)(x->at + n + 1);
    x->keys = (uint8_t *)(x->key_at + n + 1);
    return 0;
}

void table_index_append(struct buf *to, struct slice ikey, uint64_t size)
{
    put_bytes(to, ikey);
    put_varint(to, size);
}

void table_dict_append(struct buf *to, uint64_t block, uint64_t size)
{
    put_varint(to, block);
    put_varint(to, size);
}

/* How many entries there are, and how long their keys are. False: damaged. */
static bool measure(struct slice in, uint32_t *n, size_t *key_bytes)
{
    struct slice key;
    uint64_t size;

    *n = 0;
    *key_bytes = 0;
    while (in.len) {
        if (!get_bytes(&in, &key) || !get_varint(&in, &size) || !ikey_valid(key))
            return false;
        ++*n;
        *key_bytes += key.len;
    }
    return true;
}

/* The encoded dictionaries at the begin of in, which is moved behind them. */
static bool split(struct slice *in, uint32_t version, struct slice *dicts, uint32_t *n)
{
    struct slice from;
    uint64_t block, size;
    uint32_t i;

    *n = 0;
    *dicts = slice_of(in->data, 0);
    if (version < TABLE_VERSION_DICT)
        return true;
    if (!get_varint32(in, n))
        return false;
    from = *in;
    for (i = 0; i < *n; i++)
        if (!get_varint(in, &block) || !get_varint(in, &size))
            return false;
    *dicts = slice_of(from.data, from.len - in->len);
    return true;
}

/* If a dictionary stands at *at, before block i, note it and step over it. */
static bool take_dict(struct table_index *x, struct slice *dicts, uint32_t i,
                      uint64_t data_end, uint64_t *at)
{
    struct slice in = *dicts;
    uint64_t block, size;

    if (!get_varint(&in, &block) || block != i)
        return true;
    if (!get_varint(&in, &size) || size <= TABLE_BLOCK_TRAILER ||
        size > DICT_MAX + TABLE_BLOCK_TRAILER || size > data_end - *at)
        return false;
    *dicts = in;
    x->dict[x->n_dicts++] = (struct table_dict){*at, i};
    *at += size;
    return true;
}

/* Keys must ascend; sizes must be of blocks, and end where the data end; dictionaries
 * must stand before blocks. */
static bool take_entries(struct table_index *x, struct slice in, struct slice dicts,
                         uint64_t data_end)
{
    uint64_t at = 0, size;
    struct slice key;
    uint32_t i;

    x->key_at[0] = 0;
    for (i = 0; i < x->n; i++) {
        if (!take_dict(x, &dicts, i, data_end, &at) || !get_bytes(&in, &key) ||
            !get_varint(&in, &size) || size <= TABLE_BLOCK_TRAILER ||
            size > TABLE_DATA_MAX + TABLE_BLOCK_TRAILER || size > data_end - at)
            return false;
        memcpy(x->keys + x->key_at[i], key.data, key.len);
        x->key_at[i + 1] = x->key_at[i] + (uint32_t)key.len;
        x->at[i] = at;
        at += size;
        if (i > 0 && ikey_cmp(table_index_key(x, i - 1), table_index_key(x, i)) >= 0)
            return false;
    }
    x->at[x->n] = at;
    return at == data_end && dicts.len == 0;
}

/* Keys ascend, so what the first and the last have in common, all have. */
static void make_prefixes(struct table_index *x)
{
    struct slice first = ikey_user(table_index_key(x, 0));
    struct slice last = ikey_user(table_index_key(x, x->n - 1));
    size_t n = first.len < last.len ? first.len : last.len;
    uint32_t i;

    while (x->common < n && first.data[x->common] == last.data[x->common])
        x->common++;
    for (i = 0; i < x->n; i++)
        x->prefix[i] = prefix_of(ikey_user(table_index_key(x, i)), x->common);
}

int table_index_init(struct table_index *x, struct slice in, const struct table_layout *l)
{
    uint32_t n, n_dicts = 0;
    struct slice dicts = {0};
    size_t key_bytes;
    int rc;

    memset(x, 0, sizeof(*x));
    if (in.len && !split(&in, l->version, &dicts, &n_dicts))
        return -EUCLEAN;
    if (!measure(in, &n, &key_bytes) || (n == 0 && (l->filter || n_dicts)))
        return -EUCLEAN;
    if (n == 0)
        return 0;
    rc = make_room(x, n, key_bytes, n_dicts);
    if (rc)
        return rc;
    if (!take_entries(x, in, dicts, l->filter)) {
        table_index_release(x);
        return -EUCLEAN;
    }
    make_prefixes(x);
    return 0;
}

uint32_t table_index_dicts(const struct table_index *x, uint32_t i)
{
    uint32_t lo = 0, hi = x->n_dicts;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (x->dict[mid].block <= i)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

size_t table_index_size(const struct table_index *x, uint32_t i)
{
    uint32_t k = table_index_dicts(x, i);
    uint64_t end = x->at[i + 1];

    if (k < x->n_dicts && x->dict[k].block == i + 1)
        end = x->dict[k].at;
    return (size_t)(end - x->at[i]);
}

void table_index_release(struct table_index *x)
{
    env_free(x->memory, x->bytes);
    memset(x, 0, sizeof(*x));
}

/* The first of n ascending integers that is not below want. No branch depends on
 * the comparison: it could not be predicted. */
static uint32_t lower_bound(const uint64_t *prefix, uint32_t n, uint64_t want)
{
    const uint64_t *p = prefix;

    if (n == 0)
        return 0;
    while (n > 1) {
        uint32_t half = n / 2;

        p += half & -(uint32_t)(p[half - 1] < want);
        n -= half;
    }
    return (uint32_t)(p - prefix) + (*p < want);
}

uint32_t table_index_find(const struct table_index *x, struct slice ikey)
{
    struct slice user = ikey_user(ikey);
    size_t common = user.len < x->common ? user.len : x->common;
    int c = key_bytes_cmp(user.data, x->keys, common);
    uint64_t want;
    uint32_t lo, hi;

    if (c > 0)
        return x->n;
    if (c < 0 || user.len < x->common)
        return 0;
    want = prefix_of(user, x->common);
    lo = lower_bound(x->prefix, x->n, want);
    if (lo == x->n || x->prefix[lo] != want)
        return lo;
    hi = lo + 1; /* mostly there is no other */
    if (hi < x->n && x->prefix[hi] == want)
        hi = want == UINT64_MAX ? x->n
                                : lo + lower_bound(x->prefix + lo, x->n - lo, want + 1);
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (ikey_cmp(table_index_key(x, mid), ikey) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* How far from a to b k is, 0 to 1, as if keys were evenly spread; a <= k <= b. Of the
 * bytes after what a and b begin with, 8 are looked at. */
static double way_between(struct slice a, struct slice b, struct slice k)
{
    size_t n = a.len < b.len ? a.len : b.len, common = 0;
    uint64_t from, to, at;

    while (common < n && a.data[common] == b.data[common])
        common++;
    from = prefix_of(a, common);
    to = prefix_of(b, common);
    at = prefix_of(k, common);
    return at > from ? (double)(at - from) / (double)(to - from) : 0;
}

double table_index_part(const struct table_index *x, struct slice least,
                        struct slice user)
{
    uint32_t lo = 0, hi = x->n;
    struct slice below;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (slice_cmp(ikey_user(table_index_key(x, mid)), user) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == x->n)
        return 1;
    below = lo ? ikey_user(table_index_key(x, lo - 1)) : least;
    if (slice_cmp(user, below) <= 0)
        return (double)lo / x->n;
    return (lo + way_between(below, ikey_user(table_index_key(x, lo)), user)) / x->n;
}
