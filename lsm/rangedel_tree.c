/*
 * rangedel_tree.c - see rangedel_tree.h. Nodes are numbered as in a heap: the leaves,
 * one for each interval, from `leaves` on, and the parent of i is i / 2. (That works
 * for any number of leaves, as long as the nodes are only asked from a leaf upward.)
 */
#include "rangedel_tree.h"

#include <errno.h>
#include <stdlib.h>

struct rangedel_tree {
    struct slice *cuts; /* ascending; interval i is from cuts[i] to cuts[i + 1] */
    size_t leaves;
    uint32_t *at; /* node i's numbers are seq[at[i]] to seq[at[i + 1]], descending */
    uint64_t *seq;
    size_t bytes;
};

static int by_key(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static int by_seq_descending(const void *a, const void *b)
{
    const struct range_tombstone *x = a, *y = b;

    return (x->seq < y->seq) - (x->seq > y->seq);
}

/* How many cuts are at or before key. */
static size_t cuts_upto(const struct rangedel_tree *t, struct slice key)
{
    size_t lo = 0, hi = t->leaves + 1;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (slice_cmp(t->cuts[mid], key) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The nodes that make up r; returns how many. */
static size_t nodes_of(const struct rangedel_tree *t, const struct range_tombstone *r,
                       size_t node[2 * 64])
{
    size_t lo = t->leaves + cuts_upto(t, r->start) - 1;
    size_t hi = t->leaves + cuts_upto(t, r->end) - 1;
    size_t n = 0;

    for (; lo < hi; lo /= 2, hi /= 2) {
        if (lo % 2)
            node[n++] = lo++;
        if (hi % 2)
            node[n++] = --hi;
    }
    return n;
}

static int make_cuts(struct rangedel_tree *t, const struct range_tombstone *in, size_t n)
{
    size_t i, m = 0;

    t->cuts = malloc(2 * n * sizeof(*t->cuts));
    if (!t->cuts)
        return -ENOMEM;
    for (i = 0; i < n; i++) {
        t->cuts[2 * i] = in[i].start;
        t->cuts[2 * i + 1] = in[i].end;
    }
    qsort(t->cuts, 2 * n, sizeof(*t->cuts), by_key);
    for (i = 0; i < 2 * n; i++)
        if (m == 0 || !slice_eq(t->cuts[m - 1], t->cuts[i]))
            t->cuts[m++] = t->cuts[i];
    t->leaves = m - 1;
    return 0;
}

/* in: the newest first, so that each node gets its numbers in that order. */
static int hang(struct rangedel_tree *t, const struct range_tombstone *in, size_t n)
{
    size_t nodes = 2 * t->leaves, node[2 * 64], i, k;
    uint32_t *end;

    t->at = calloc(nodes + 1, sizeof(*t->at));
    end = calloc(nodes + 1, sizeof(*end));
    if (!t->at || !end) {
        free(end);
        return -ENOMEM;
    }
    for (i = 0; i < n; i++)
        for (k = nodes_of(t, &in[i], node); k-- > 0;)
            t->at[node[k] + 1]++;
    for (i = 0; i < nodes; i++)
        end[i + 1] = t->at[i + 1] += t->at[i];
    t->seq = malloc((t->at[nodes] + 1) * sizeof(*t->seq));
    if (!t->seq) {
        free(end);
        return -ENOMEM;
    }
    for (i = 0; i < n; i++)
        for (k = nodes_of(t, &in[i], node); k-- > 0;)
            t->seq[end[node[k]]++] = in[i].seq;
    free(end);
    t->bytes = sizeof(*t) + 2 * n * sizeof(*t->cuts) + (nodes + 1) * sizeof(*t->at) +
               (t->at[nodes] + 1) * sizeof(*t->seq);
    return 0;
}

struct rangedel_tree *rangedel_tree_new(const struct range_tombstone *in, size_t n)
{
    struct rangedel_tree *t = calloc(1, sizeof(*t));
    struct range_tombstone *sorted = malloc((n + 1) * sizeof(*sorted));

    if (n > UINT32_MAX / (2 * 64)) { /* `at` counts with 32 bits */
        free(t);
        t = NULL;
    } else if (t && sorted && n) {
        memcpy(sorted, in, n * sizeof(*sorted));
        qsort(sorted, n, sizeof(*sorted), by_seq_descending);
        if (make_cuts(t, sorted, n) || hang(t, sorted, n)) {
            rangedel_tree_free(t);
            t = NULL;
        }
    } else if (!sorted) {
        free(t);
        t = NULL;
    }
    free(sorted);
    return t;
}

void rangedel_tree_free(struct rangedel_tree *t)
{
    if (!t)
        return;
    free(t->cuts);
    free(t->at);
    free(t->seq);
    free(t);
}

size_t rangedel_tree_bytes(const struct rangedel_tree *t)
{
    return t->bytes;
}

/* The newest number of the node that is not above seq; 0: none. */
static uint64_t newest_upto(const struct rangedel_tree *t, size_t node, uint64_t seq)
{
    uint32_t lo = t->at[node], end = t->at[node + 1], hi = end;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (t->seq[mid] > seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < end ? t->seq[lo] : 0;
}

void rangedel_tree_ask(const struct rangedel_tree *t, struct slice key, uint64_t seq,
                       struct rangedel_span *s)
{
    size_t i, node;

    if (!t->leaves)
        return;
    i = cuts_upto(t, key);
    if (i > 0)
        rangedel_narrow_lo(s, t->cuts[i - 1]);
    if (i <= t->leaves)
        rangedel_narrow_hi(s, t->cuts[i]);
    if (i == 0 || i > t->leaves)
        return;
    for (node = t->leaves + i - 1; node > 0; node /= 2) {
        uint64_t newest = newest_upto(t, node, seq);

        if (newest > s->seq)
            s->seq = newest;
    }
}
