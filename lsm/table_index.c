/*
 * table_index.c - a table's index in memory: made once, searched by every get.
 *
 * A search compares 8-byte integers that lie densely, and looks at whole keys
 * only where those are equal. What all keys begin with is left out of the
 * integers, so that they tell keys apart even when all begin alike.
 */
#include "table_impl.h"

#include <stdlib.h>

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

static int make_room(struct table_index *x, uint32_t n, size_t key_bytes)
{
    uint8_t *p;

    x->bytes = (size_t)n * 8 + ((size_t)n + 1) * 12 + key_bytes;
    p = malloc(x->bytes);
    if (!p)
        return -ENOMEM;
    x->memory = p;
    x->n = n;
    x->prefix = (uint64_t *)p;
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

/* Keys must ascend; sizes must be of blocks, and end where the data end. */
static bool take_entries(struct table_index *x, struct slice in, uint64_t data_end)
{
    struct slice key;
    uint64_t size;
    uint32_t i;

    x->at[0] = 0;
    x->key_at[0] = 0;
    for (i = 0; i < x->n; i++) {
        if (!get_bytes(&in, &key) || !get_varint(&in, &size) ||
            size <= TABLE_BLOCK_TRAILER || size > data_end - x->at[i])
            return false;
        memcpy(x->keys + x->key_at[i], key.data, key.len);
        x->key_at[i + 1] = x->key_at[i] + (uint32_t)key.len;
        x->at[i + 1] = x->at[i] + size;
        if (i > 0 && ikey_cmp(table_index_key(x, i - 1), table_index_key(x, i)) >= 0)
            return false;
    }
    return x->at[x->n] == data_end;
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

int table_index_init(struct table_index *x, struct slice in, uint64_t data_end)
{
    size_t key_bytes;
    uint32_t n;
    int rc;

    memset(x, 0, sizeof(*x));
    if (!measure(in, &n, &key_bytes) || (n == 0 && data_end))
        return -EUCLEAN;
    if (n == 0)
        return 0;
    rc = make_room(x, n, key_bytes);
    if (rc)
        return rc;
    if (!take_entries(x, in, data_end)) {
        table_index_release(x);
        return -EUCLEAN;
    }
    make_prefixes(x);
    return 0;
}

void table_index_release(struct table_index *x)
{
    free(x->memory);
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
    int c = common ? memcmp(user.data, x->keys, common) : 0;
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
