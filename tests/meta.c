/*
 * meta.c - see meta.h: lists of operations, transcripts, and shrinking.
 */
#include "tests/meta.h"

#include <stdlib.h>
#include <xxhash.h>

static const struct {
    const char *name;
    unsigned weight;
} kinds[META_KINDS] = {
    [META_GET] = {"get", 200},
    [META_WRITE] = {"write", 400},
    [META_DELETE_RUN] = {"run", 4},
    [META_SNAPSHOT] = {"snapshot", 12},
    [META_ITER] = {"iter", 40},
    [META_MOVE] = {"move", 160},
    [META_BEGIN] = {"begin", 30},
    [META_TXN_WRITE] = {"txn write", 80},
    [META_TXN_GET] = {"txn get", 60},
    [META_COMMIT] = {"commit", 20},
    [META_FLUSH] = {"flush", 4},
    [META_COMPACT] = {"compact", 2},
    [META_SCAN] = {"scan", 4},
    [META_REOPEN] = {"reopen", 2},
    [META_CHECKPOINT] = {"checkpoint", 1},
    [META_VERIFY] = {"verify", 1},
};

const char *meta_name(enum meta_kind kind)
{
    return kinds[kind].name;
}

void meta_draw(struct meta_op *ops, unsigned n, uint64_t seed)
{
    uint64_t rng = seed | 1, all = 0, at;
    unsigned i, k;

    for (k = 0; k < META_KINDS; k++)
        all += kinds[k].weight;
    for (i = 0; i < n; i++) {
        at = test_below(&rng, all);
        for (k = 0; at >= kinds[k].weight; k++)
            at -= kinds[k].weight;
        ops[i] = (struct meta_op){.kind = (enum meta_kind)k, .seed = test_random(&rng)};
    }
}

/* ---- transcripts ---- */

struct slice transcript_answer(const struct transcript *t, unsigned i)
{
    size_t from = i ? t->end[i - 1] : 0;

    return slice_of(t->text.data + from, t->end[i] - from);
}

uint64_t transcript_hash(const struct transcript *t)
{
    return XXH3_64bits(t->text.data, t->text.len);
}

unsigned transcript_difference(const struct transcript *a, const struct transcript *b)
{
    unsigned i;

    for (i = 0; i < a->n && i < b->n; i++)
        if (!slice_eq(transcript_answer(a, i), transcript_answer(b, i)))
            break;
    return i;
}

void transcript_release(struct transcript *t)
{
    buf_release(&t->text);
    free(t->end);
    *t = (struct transcript){0};
}

/* ---- shrinking ---- */

/* Try pieces, ever smaller ones, from the end on: what comes late decides least. */
unsigned meta_shrink(struct meta_op *ops, unsigned n, meta_fails *fails, void *arg,
                     unsigned calls)
{
    struct meta_op *less = malloc((n + 1) * sizeof(*less));
    unsigned piece, at;

    for (piece = (n + 1) / 2; piece && less; piece = piece == 1 ? 0 : (piece + 1) / 2)
        for (at = n; at > 0 && calls > 0;) {
            unsigned from = at > piece ? at - piece : 0;

            memcpy(less, ops, from * sizeof(*ops));
            memcpy(less + from, ops + at, (n - at) * sizeof(*ops));
            calls--;
            if (fails(arg, less, n - (at - from))) {
                n -= at - from;
                memcpy(ops, less, n * sizeof(*ops));
            }
            at = from;
        }
    free(less);
    return n;
}
