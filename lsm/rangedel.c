/*
 * rangedel.c - see rangedel.h.
 */
#include "rangedel.h"

#include <errno.h>
#include <stdlib.h>

#include "search.h"

static int by_start(const void *a, const void *b)
{
    const struct range_tombstone *x = a, *y = b;

    return slice_cmp(x->start, y->start);
}

static int by_key(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
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

/* ---- fragmenting ---- */

/* The tombstones of one stripe that cover the current interval, and some that did
 * once: a heap, the newest on top. */
struct stripe {
    struct range_tombstone *heap;
    size_t n;
    bool live; /* in sweep's list */
};

struct sweep {
    const uint64_t *snaps;
    size_t n_snaps;
    struct stripe *stripe; /* n_snaps + 1 */
    size_t *live;          /* those with tombstones, the newest first */
    size_t n_live;
    struct range_tombstone *room; /* the heaps lie in it */

    struct range_tombstone *out;
    size_t n, cap;
    size_t group; /* where the fragments of the last interval begin */
};

static size_t stripe_of(const struct sweep *w, uint64_t seq)
{
    return search_numbers(w->snaps, w->n_snaps, seq);
}

static void heap_add(struct stripe *s, struct range_tombstone t)
{
    size_t at = s->n++;

    for (; at > 0 && s->heap[(at - 1) / 2].seq < t.seq; at = (at - 1) / 2)
        s->heap[at] = s->heap[(at - 1) / 2];
    s->heap[at] = t;
}

static void heap_drop_top(struct stripe *s)
{
    struct range_tombstone t = s->heap[--s->n];
    size_t at = 0, kid;

    while ((kid = 2 * at + 1) < s->n) {
        if (kid + 1 < s->n && s->heap[kid + 1].seq > s->heap[kid].seq)
            kid++;
        if (s->heap[kid].seq <= t.seq)
            break;
        s->heap[at] = s->heap[kid];
        at = kid;
    }
    s->heap[at] = t;
}

static void begin_tombstone(struct sweep *w, struct range_tombstone t)
{
    size_t i = stripe_of(w, t.seq), at;

    heap_add(&w->stripe[i], t);
    if (w->stripe[i].live)
        return;
    w->stripe[i].live = true;
    for (at = w->n_live++; at > 0 && w->live[at - 1] < i; at--)
        w->live[at] = w->live[at - 1];
    w->live[at] = i;
}

static int push(struct sweep *w, struct range_tombstone t)
{
    if (w->n == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 16;
        void *p = realloc(w->out, cap * sizeof(*w->out));

        if (!p)
            return -ENOMEM;
        w->out = p;
        w->cap = cap;
    }
    w->out[w->n++] = t;
    return 0;
}

/* The fragments from `group` on and those from `at` on say the same, and the ones go on
 * where the others end: they become one. */
static bool continues(struct sweep *w, size_t at)
{
    size_t n = w->n - at, i;

    if (n == 0 || at - w->group != n || !slice_eq(w->out[w->group].end, w->out[at].start))
        return false;
    for (i = 0; i < n; i++)
        if (w->out[w->group + i].seq != w->out[at + i].seq)
            return false;
    for (i = 0; i < n; i++)
        w->out[w->group + i].end = w->out[at].end;
    w->n = at;
    return true;
}

/* The newest of each stripe for the interval from start to end. */
static int emit(struct sweep *w, struct slice start, struct slice end)
{
    size_t i, kept = 0, at = w->n;
    int rc = 0;

    for (i = 0; i < w->n_live && !rc; i++) {
        struct stripe *s = &w->stripe[w->live[i]];

        while (s->n && slice_cmp(s->heap[0].end, start) <= 0)
            heap_drop_top(s);
        s->live = s->n > 0;
        if (!s->live)
            continue;
        w->live[kept++] = w->live[i];
        rc = push(w, (struct range_tombstone){start, end, s->heap[0].seq});
    }
    if (rc)
        return rc;
    w->n_live = kept;
    if (!continues(w, at))
        w->group = at;
    return 0;
}

/* Give each stripe the room that its tombstones need. */
static void share_room(struct sweep *w, const struct range_tombstone *in, size_t n)
{
    struct range_tombstone *at = w->room;
    size_t i;

    for (i = 0; i < n; i++)
        w->stripe[stripe_of(w, in[i].seq)].n++;
    for (i = 0; i <= w->n_snaps; i++) {
        w->stripe[i].heap = at;
        at += w->stripe[i].n;
        w->stripe[i].n = 0;
    }
}

/* in is sorted by start. */
static int sweep(struct sweep *w, const struct range_tombstone *in, size_t n,
                 const struct slice *cuts, size_t n_cuts)
{
    size_t next = 0, c;
    int rc = 0;

    share_room(w, in, n);
    for (c = 0; c + 1 < n_cuts && !rc; c++) {
        for (; next < n && slice_cmp(in[next].start, cuts[c]) <= 0; next++)
            begin_tombstone(w, in[next]);
        rc = emit(w, cuts[c], cuts[c + 1]);
    }
    return rc;
}

int rangedel_build(const struct range_tombstone *in, size_t n, const uint64_t *snaps,
                   size_t n_snaps, struct rangedel_set **out)
{
    struct sweep w = {.snaps = snaps, .n_snaps = n_snaps};
    struct range_tombstone *sorted = malloc((n + 1) * sizeof(*sorted));
    struct slice *cuts = malloc((2 * n + 1) * sizeof(*cuts));
    struct rangedel_set *set = calloc(1, sizeof(*set));
    size_t i, m = 0;
    int rc = -ENOMEM;

    w.stripe = calloc(n_snaps + 1, sizeof(*w.stripe));
    w.live = malloc((n_snaps + 1) * sizeof(*w.live));
    w.room = malloc((n + 1) * sizeof(*w.room));
    if (!sorted || !cuts || !set || !w.stripe || !w.live || !w.room)
        goto out;
    for (i = 0; i < n; i++)
        if (slice_cmp(in[i].start, in[i].end) < 0)
            sorted[m++] = in[i];
    qsort(sorted, m, sizeof(*sorted), by_start);
    rc = sweep(&w, sorted, m, cuts, cut_points(sorted, m, cuts));
out:
    free(sorted);
    free(cuts);
    free(w.stripe);
    free(w.live);
    free(w.room);
    if (rc) {
        free(w.out);
        free(set);
        return rc;
    }
    set->list = w.out;
    set->n = w.n;
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

/* ---- asking ---- */

void rangedel_narrow_lo(struct rangedel_span *s, struct slice lo)
{
    if (!s->has_lo || slice_cmp(lo, s->lo) > 0)
        s->lo = lo;
    s->has_lo = true;
}

void rangedel_narrow_hi(struct rangedel_span *s, struct slice hi)
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
        rangedel_narrow_lo(s, list[lo - 1].end);
    if (lo == n)
        return;
    if (slice_cmp(list[lo].start, key) > 0) {
        rangedel_narrow_hi(s, list[lo].start);
        return;
    }
    rangedel_narrow_lo(s, list[lo].start);
    rangedel_narrow_hi(s, list[lo].end);
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
        rangedel_narrow_lo(s, t->end);
    } else if (slice_cmp(t->start, key) > 0) {
        rangedel_narrow_hi(s, t->start);
    } else {
        rangedel_narrow_lo(s, t->start);
        rangedel_narrow_hi(s, t->end);
        if (t->seq <= seq && t->seq > s->seq)
            s->seq = t->seq;
    }
}
