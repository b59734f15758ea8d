/*
 * table_hold.c - see table_hold.h.
 *
 * A region, so many blocks that training is worth its time, is held at a time: so memory
 * is bounded, and content that changes along the keys (fs/ has all names before all
 * contents) gets another dictionary, or none. Whether one pays is tried on some blocks of
 * the region, as they would be stored. The last dictionary stays in use while it does
 * about as well as when it was made: each is read into the block cache one day, and costs
 * memory there. After training in vain it is tried after twice as many regions as before.
 */
#include "table_hold.h"

#include <stdlib.h>

#include "dict_train.h"
#include "table_builder.h"

enum {
    LEAST = 2,  /* times the size of a dictionary: less is not worth one */
    TRIED = 24, /* blocks of a region */
    WORTH = 32, /* a new one must save this part of the region's bytes */
    PAUSE = 4,  /* regions without training, at most */
};
#define FALLEN_OFF 0.03 /* the last one no longer does as well */

void table_hold_release(struct table_hold *h)
{
    buf_release(&h->raw);
    buf_release(&h->keys);
    buf_release(&h->dict_raw);
    buf_release(&h->scratch);
    compress_dict_free(h->dict);
    free(h->block);
}

size_t table_hold_max(const struct table_hold *h)
{
    return h->dict_bytes;
}

bool table_hold_full(const struct table_hold *h)
{
    return h->raw.len >= TABLE_HELD_DICTS * h->dict_bytes;
}

int table_hold_add(struct table_hold *h, struct slice raw)
{
    if (h->n == h->cap) {
        size_t cap = h->cap ? 2 * h->cap : 64;
        void *p = realloc(h->block, cap * sizeof(*h->block));

        if (!p)
            return -ENOMEM;
        h->block = p;
        h->cap = cap;
    }
    buf_append_slice(&h->raw, raw);
    h->block[h->n++] = (struct held_block){.raw_len = raw.len};
    return buf_error(&h->raw);
}

int table_hold_add_key(struct table_hold *h, struct slice ikey)
{
    buf_append_slice(&h->keys, ikey);
    h->block[h->n - 1].key_len = ikey.len;
    return buf_error(&h->keys);
}

void table_hold_clear(struct table_hold *h)
{
    buf_clear(&h->raw);
    buf_clear(&h->keys);
    h->n = 0;
}

/* ---- choosing ---- */

static enum compression pack(const struct compress_dict *d, struct slice raw,
                             struct buf *out)
{
    return d ? compress_with_dict(d, raw, out) : compress(COMPRESS_ZSTD, raw, out);
}

/* Bytes that the region would take, going by every n-th block. */
static double estimate(struct table_hold *h, const struct compress_dict *d)
{
    size_t every = h->n / TRIED + 1, at = 0, raw = 0, stored = 0, i;

    for (i = 0; i < h->n; at += h->block[i++].raw_len) {
        struct slice block = slice_of(h->raw.data + at, h->block[i].raw_len);

        if (i % every != every / 2)
            continue;
        raw += block.len;
        stored +=
            pack(d, block, &h->scratch) == COMPRESS_RAW ? block.len : h->scratch.len;
    }
    return raw ? (double)stored / (double)raw * (double)h->raw.len : 0;
}

/* Half of the blocks are samples enough. */
static int train(struct table_hold *h, struct buf *dict)
{
    size_t *len = malloc((h->n / 2 + 1) * sizeof(*len)), at = 0, i;
    unsigned n = 0;
    int rc = len ? 0 : -ENOMEM;

    buf_clear(&h->scratch);
    for (i = 0; i < h->n && !rc; at += h->block[i++].raw_len) {
        if (i % 4)
            continue;
        buf_append(&h->scratch, h->raw.data + at, h->block[i].raw_len);
        len[n++] = h->block[i].raw_len;
    }
    if (!rc)
        rc = buf_error(&h->scratch);
    if (!rc)
        rc = dict_train(buf_slice(&h->scratch), len, n, h->dict_bytes, dict);
    free(len);
    return rc;
}

static int try_new(struct table_hold *h, double plain, double best, bool *fresh)
{
    struct compress_dict *d;
    struct buf bytes = {0};
    double with;
    int rc = train(h, &bytes);

    h->pause = h->pause ? 2 * h->pause : 1;
    h->wait = h->pause = h->pause < PAUSE ? h->pause : PAUSE;
    if (rc || bytes.len == 0)
        goto out;
    d = compress_dict_new(buf_slice(&bytes));
    if (!d) {
        rc = -ENOMEM;
        goto out;
    }
    with = estimate(h, d);
    if (with + (double)bytes.len > best - best / WORTH) {
        compress_dict_free(d);
        goto out;
    }
    h->wait = h->pause = 0;
    compress_dict_free(h->dict);
    h->dict = d;
    buf_release(&h->dict_raw);
    h->dict_raw = bytes;
    h->gain = with / plain;
    h->use_dict = *fresh = true;
    return 0;
out:
    buf_release(&bytes);
    return rc;
}

int table_hold_choose(struct table_hold *h, bool *fresh)
{
    double raw = (double)h->raw.len, plain, best;

    *fresh = h->use_dict = false;
    if (h->raw.len < LEAST * h->dict_bytes && !h->dict)
        return 0;
    best = plain = estimate(h, NULL);
    if (h->dict) {
        double with = estimate(h, h->dict);

        h->use_dict = with < plain;
        best = h->use_dict ? with : plain;
        if (h->use_dict && with / plain <= h->gain + FALLEN_OFF)
            return 0;
    }
    if (h->raw.len < LEAST * h->dict_bytes || plain > raw - raw / 8)
        return 0;
    if (h->wait > 0) {
        h->wait--;
        return 0;
    }
    return try_new(h, plain, best, fresh);
}

enum compression table_hold_compress(const struct table_hold *h, struct slice raw,
                                     struct buf *out)
{
    return pack(h->use_dict ? h->dict : NULL, raw, out);
}
