/*
 * dict_train.c - see dict_train.h.
 *
 * The pieces of the samples whose short strings are the most frequent in all of them,
 * one from each stretch of the samples, so that every part of them is heard; what a
 * piece has is then worth nothing in the next ones. (COVER by Liao, Petri, Moffat and
 * Wirth, in the manner of ZDICT's fastCover.) ZDICT's own trainer compresses the samples
 * again and again to find the best length of pieces: ten times the time and more, for
 * the same result: DESIGN.md. ZDICT adds the statistics.
 */
#include "dict_train.h"

#include <stdlib.h>
#include <zdict.h>

#include "coding.h"

enum {
    PIECE = 128,               /* bytes */
    STRING = 6,                /* bytes of a string that is counted */
    COUNTERS = 17,             /* log2 of how many */
    LEAST = PIECE + PIECE / 8, /* what a piece must count: more than itself */
    STATISTICS = 64,           /* samples that the statistics are made of */
    LEVEL = 3,                 /* and what they are made for: as compress.c uses it */
    ID = 0x53494C54,           /* nobody asks for it */
};

struct cover {
    struct slice in;
    size_t strings;   /* that begin in it */
    uint16_t *count;  /* of strings in all samples */
    uint16_t *inside; /* in the piece looked at */
};

static uint32_t string_at(const struct cover *c, size_t at)
{
    uint64_t v = load_le64(c->in.data + at) << (64 - 8 * STRING);

    return (uint32_t)((v * 0x9E3779B97F4A7C15) >> (64 - COUNTERS));
}

static void count_strings(struct cover *c)
{
    size_t i;

    for (i = 0; i < c->strings; i++) {
        uint16_t *n = &c->count[string_at(c, i)];

        *n += *n < UINT16_MAX;
    }
}

/* Where the best piece that begins in [from, to) begins. 0: none has what is elsewhere.
 */
static uint64_t best_piece(struct cover *c, size_t from, size_t to, size_t *best)
{
    uint64_t sum = 0, most = 0;
    size_t first = from, i;

    for (i = from; i < to; i++) {
        uint32_t s = string_at(c, i);

        if (c->inside[s]++ == 0)
            sum += c->count[s];
        if (i - first > PIECE - STRING) {
            s = string_at(c, first++);
            if (--c->inside[s] == 0)
                sum -= c->count[s];
        }
        if (sum > most) {
            most = sum;
            *best = first;
        }
    }
    for (; first < to; first++)
        c->inside[string_at(c, first)]--;
    return most > LEAST ? most : 0;
}

static void take_piece(struct cover *c, size_t at)
{
    size_t i;

    for (i = at; i < at + PIECE - STRING && i < c->strings; i++)
        c->count[string_at(c, i)] = 0;
}

/* Fill `bytes` at to from the end, where a reference costs least; the first pieces are
 * the best. Returns how many were used. */
static size_t take_pieces(struct cover *c, uint8_t *to, size_t bytes)
{
    size_t stretches = bytes / PIECE + 1;
    size_t step = c->strings / stretches, left = bytes, barren = 0, i;

    for (i = 0; left >= PIECE && barren < stretches; i = (i + 1) % stretches) {
        size_t at = 0, len;

        if (!best_piece(c, i * step, (i + 1) * step, &at)) {
            barren++;
            continue;
        }
        barren = 0;
        take_piece(c, at);
        len = c->in.len - at < PIECE ? c->in.len - at : PIECE;
        left -= len;
        memcpy(to + left, c->in.data + at, len);
    }
    return bytes - left;
}

static void finish(struct slice in, const size_t *len, unsigned n, size_t bytes,
                   struct slice pieces, struct buf *out)
{
    ZDICT_params_t params = {.compressionLevel = LEVEL, .dictID = ID};
    size_t done;

    done = ZDICT_finalizeDictionary(out->data, bytes, pieces.data, pieces.len, in.data,
                                    len, n < STATISTICS ? n : STATISTICS, params);
    out->len = ZDICT_isError(done) ? 0 : done;
}

int dict_train(struct slice in, const size_t *len, unsigned n, size_t bytes,
               struct buf *out)
{
    struct cover c = {.in = in, .strings = in.len < 8 ? 0 : in.len - 7};
    uint8_t *pieces = malloc(bytes);
    size_t used;
    int rc = -ENOMEM;

    buf_clear(out);
    c.count = calloc((size_t)2 << COUNTERS, sizeof(*c.count));
    if (!pieces || !c.count || !buf_reserve(out, bytes))
        goto out;
    c.inside = c.count + ((size_t)1 << COUNTERS);
    count_strings(&c);
    used = take_pieces(&c, pieces, bytes);
    if (used >= PIECE)
        finish(in, len, n, bytes, slice_of(pieces + bytes - used, used), out);
    rc = 0;
out:
    free(pieces);
    free(c.count);
    return rc;
}
