/*
 * rangedel.c - see rangedel.h.
 */
#include "rangedel.h"

#include <errno.h>
#include <stdlib.h>

static int by_start(const void *a, const void *b)
{
    const struct range_tombstone *x = a, *y = b;

    return slice_cmp(x->start, y->start);
}

static int by_key(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static int by_seq_descending(const void *a, const void *b)
{
    const struct range_tombstone *x = a, *y = b;

    return (x->seq < y->seq) - (x->seq > y->seq);
}

/* All starts and ends, sorted, each once. */
static size_t cut_points(const struct range_tombstone *in, size_t n, struct slice *cuts)
{
    size_t i, m = 0;

    for (i = 0; i < n; i++) {
        cuts[2 * i] = in[i].start;
        cuts[2 * i + 1] = in[i].end;
    }
    qsort(cuts, 2 * n, sizeof(*cuts), by_key);
    for (i = 0; i < 2 * n; i++)
        if (m == 0 || !slice_eq(cuts[m - 1], cuts[i]))
            cuts[m++] = cuts[i];
    return m;
}

struct growing {
    struct range_tombstone *list;
    size_t n, cap;
};

static int push(struct growing *g, struct range_tombstone t)
{
    if (g->n == g->cap) {
        size_t cap = g->cap ? 2 * g->cap : 16;
        void *p = realloc(g->list, cap * sizeof(*g->list));

        if (!p)
            return -ENOMEM;
        g->list = p;
        g->cap = cap;
    }
    g->list[g->n++] = t;
    return 0;
}

/*
 * Sweep over the cut points with the tombstones that cover the current gap in
 * `active`; each gap gets a fragment of every one of them.
 */
static int sweep(const struct range_tombstone *in, size_t n, const struct slice *cuts,
                 size_t n_cuts, struct range_tombstone *active, struct growing *out)
{
    size_t n_active = 0, next = 0, c, i, kept;
    int rc = 0;

    for (c = 0; c + 1 < n_cuts && !rc; c++) {
        for (i = kept = 0; i < n_active; i++)
            if (slice_cmp(active[i].end, cuts[c]) > 0)
                active[kept++] = active[i];
        n_active = kept;
        for (; next < n && slice_cmp(in[next].start, cuts[c]) <= 0; next++)
            active[n_active++] = in[next];
        qsort(active, n_active, sizeof(*active), by_seq_descending);
        for (i = 0; i < n_active && !rc; i++)
            rc = push(out, (struct range_tombstone){cuts[c], cuts[c + 1], active[i].seq});
    }
    return rc;
}

int rangedel_build(const struct range_tombstone *in, size_t n, struct rangedel_set **out)
{
    struct range_tombstone *sorted = malloc((n + 1) * sizeof(*sorted));
    struct range_tombstone *active = malloc((n + 1) * sizeof(*active));
    struct slice *cuts = malloc((2 * n + 1) * sizeof(*cuts));
    struct rangedel_set *set = calloc(1, sizeof(*set));
    struct growing g = {0};
    size_t i, m = 0;
    int rc = -ENOMEM;

    if (!sorted || !active || !cuts || !set)
        goto out;
    for (i = 0; i < n; i++)
        if (slice_cmp(in[i].start, in[i].end) < 0)
            sorted[m++] = in[i];
    qsort(sorted, m, sizeof(*sorted), by_start);
    rc = sweep(sorted, m, cuts, cut_points(sorted, m, cuts), active, &g);
out:
    free(sorted);
    free(active);
    free(cuts);
    if (rc) {
        free(g.list);
        free(set);
        return rc;
    }
    set->list = g.list;
    set->n = g.n;
    *out = set;
    return 0;
}

void rangedel_free(struct rangedel_set *s)
{
    if (!s)
        return;
    free(s->list);
    free(s);
}

static void narrow_lo(struct rangedel_span *s, struct slice lo)
{
    if (!s->has_lo || slice_cmp(lo, s->lo) > 0)
        s->lo = lo;
    s->has_lo = true;
}

static void narrow_hi(struct rangedel_span *s, struct slice hi)
{
    if (!s->has_hi || slice_cmp(hi, s->hi) < 0)
        s->hi = hi;
    s->has_hi = true;
}

void rangedel_ask(const struct range_tombstone *list, size_t n, struct slice key,
                  uint64_t seq, struct rangedel_span *s)
{
    size_t lo = 0, hi = n, i;

    /* The first fragment that ends after key: ends ascend as starts do. */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (slice_cmp(list[mid].end, key) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo > 0)
        narrow_lo(s, list[lo - 1].end);
    if (lo == n)
        return;
    if (slice_cmp(list[lo].start, key) > 0) {
        narrow_hi(s, list[lo].start);
        return;
    }
    narrow_lo(s, list[lo].start);
    narrow_hi(s, list[lo].end);
    for (i = lo; i < n && slice_eq(list[i].start, list[lo].start); i++) {
        if (list[i].seq > seq)
            continue;
        if (list[i].seq > s->seq)
            s->seq = list[i].seq;
        break;
    }
}

void rangedel_ask_one(const struct range_tombstone *t, struct slice key, uint64_t seq,
                      struct rangedel_span *s)
{
    if (slice_cmp(t->end, key) <= 0) {
        narrow_lo(s, t->end);
    } else if (slice_cmp(t->start, key) > 0) {
        narrow_hi(s, t->start);
    } else {
        narrow_lo(s, t->start);
        narrow_hi(s, t->end);
        if (t->seq <= seq && t->seq > s->seq)
            s->seq = t->seq;
    }
}
