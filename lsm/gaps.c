/*
 * gaps.c - see gaps.h. A sorted array under a mutex: it is asked only by iterators
 * that are among hidden entries, and by writers whose keys lie near a gap.
 */
#include "gaps.h"

void gaps_init(struct gaps *g)
{
    memset(g, 0, sizeof(*g));
    atomic_init(&g->lo, UINT64_MAX);
    atomic_init(&g->hi, 0);
    mutex_init(&g->mu, LOCK_GAPS);
}

static void gap_release(struct gap *p)
{
    buf_release(&p->from);
    buf_release(&p->to);
}

void gaps_release(struct gaps *g)
{
    unsigned i;

    for (i = 0; i < g->n; i++)
        gap_release(&g->list[i]);
    mutex_release(&g->mu);
}

/* ---- the array ---- */

static bool ends_after(const struct gap *p, struct slice key)
{
    return p->open || slice_cmp(buf_slice(&p->to), key) > 0;
}

/* The first gap that ends after key; n if none does. */
static unsigned find_locked(const struct gaps *g, struct slice key)
{
    unsigned lo = 0, hi = g->n;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;

        if (ends_after(&g->list[mid], key))
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

/* The gap that holds key, or NULL. */
static struct gap *holder_locked(struct gaps *g, struct slice key)
{
    unsigned i = find_locked(g, key);

    if (i == g->n || slice_cmp(buf_slice(&g->list[i].from), key) > 0)
        return NULL;
    return &g->list[i];
}

static void remove_locked(struct gaps *g, unsigned i)
{
    gap_release(&g->list[i]);
    g->n--;
    memmove(&g->list[i], &g->list[i + 1], (g->n - i) * sizeof(*g->list));
}

/* Room for one at i, zeroed. */
static struct gap *insert_locked(struct gaps *g, unsigned i)
{
    struct gap *p = &g->list[i];

    memmove(p + 1, p, (g->n - i) * sizeof(*p));
    memset(p, 0, sizeof(*p));
    g->n++;
    return p;
}

static void drop_unused_locked(struct gaps *g)
{
    while (g->n > GAPS_MAX) {
        unsigned i, oldest = 0;

        for (i = 1; i < g->n; i++)
            if (g->list[i].used < g->list[oldest].used)
                oldest = i;
        remove_locked(g, oldest);
    }
}

static void set_bounds_locked(struct gaps *g)
{
    uint64_t lo = UINT64_MAX, hi = 0;

    if (g->n) {
        const struct gap *last = &g->list[g->n - 1];

        lo = gaps_prefix(buf_slice(&g->list[0].from));
        hi = last->open ? UINT64_MAX : gaps_prefix(buf_slice(&last->to));
    }
    atomic_store_explicit(&g->lo, lo, memory_order_relaxed);
    atomic_store_explicit(&g->hi, hi, memory_order_relaxed);
}

/* ---- adding ---- */

/* What p has in common with r, which it meets. False: no memory. */
static bool trim(struct gap *p, const struct gap_range *r)
{
    if (slice_cmp(buf_slice(&p->from), r->from) < 0)
        buf_assign(&p->from, r->from);
    if (!r->open && ends_after(p, r->to)) {
        buf_assign(&p->to, r->to);
        p->open = false;
    }
    return !p->from.failed && !p->to.failed;
}

/* Candidates in r that the iterator's number is high enough for. */
static void confirm_locked(struct gaps *g, const struct gap_range *r, uint64_t seq)
{
    unsigned i = find_locked(g, r->from);

    while (i < g->n) {
        struct gap *p = &g->list[i];

        if (!r->open && slice_cmp(buf_slice(&p->from), r->to) >= 0)
            return;
        i++;
        if (p->known || seq < p->since)
            continue;
        if (!trim(p, r)) {
            remove_locked(g, --i);
            continue;
        }
        p->known = true;
        p->seq = seq;
    }
}

/* A new gap at i from `from` to where the next one or r ends it. */
static struct gap *fill_locked(struct gaps *g, unsigned i, struct slice from,
                               const struct gap_range *r)
{
    struct gap *p = insert_locked(g, i);

    buf_assign(&p->from, from);
    p->open = r->open;
    if (!r->open)
        buf_assign(&p->to, r->to);
    if (i + 1 < g->n && ends_after(p, buf_slice(&p[1].from))) {
        buf_assign(&p->to, buf_slice(&p[1].from));
        p->open = false;
    }
    if (!p->from.failed && !p->to.failed)
        return p;
    remove_locked(g, i);
    return NULL;
}

/* Those of r's keys that are in no gap yet get one. */
static void fill_holes_locked(struct gaps *g, const struct gap_range *r,
                              const struct gap *like)
{
    unsigned i = find_locked(g, r->from);
    struct slice at = r->from;

    while (r->open || slice_cmp(at, r->to) < 0) {
        struct gap *p = &g->list[i];

        if (i == g->n || slice_cmp(buf_slice(&p->from), at) > 0) {
            p = fill_locked(g, i, at, r);
            if (!p)
                return;
            p->known = like->known;
            p->since = like->since;
            p->seq = like->seq;
            p->weight = like->weight;
        }
        p->used = g->clock;
        if (p->open)
            return;
        at = buf_slice(&p->to); /* its bytes stay where they are */
        i++;
    }
}

static void join_locked(struct gaps *g)
{
    unsigned i = 0;

    while (i + 1 < g->n) {
        struct gap *a = &g->list[i], *b = a + 1;

        if (a->known != b->known || !slice_eq(buf_slice(&a->to), buf_slice(&b->from))) {
            i++;
            continue;
        }
        buf_release(&a->to);
        a->to = b->to;
        b->to = (struct buf){0};
        a->open = b->open;
        a->since = a->since > b->since ? a->since : b->since;
        a->seq = a->seq > b->seq ? a->seq : b->seq;
        a->used = a->used > b->used ? a->used : b->used;
        a->weight += b->weight;
        remove_locked(g, i + 1);
    }
}

void gaps_add(struct gaps *g, const struct gap_range *r, uint64_t seq, uint64_t last,
              uint64_t weight)
{
    struct gap like = {.known = seq >= last, .since = last, .seq = seq, .weight = weight};

    if (r->from.len > GAPS_KEY_MAX || (!r->open && r->to.len > GAPS_KEY_MAX))
        return;
    mutex_lock(&g->mu);
    g->clock++;
    confirm_locked(g, r, seq);
    fill_holes_locked(g, r, &like);
    join_locked(g);
    drop_unused_locked(g);
    set_bounds_locked(g);
    mutex_unlock(&g->mu);
}

/* ---- cutting ---- */

static struct slice rest_after(struct slice s, size_t n)
{
    return s.len > n ? slice_of(s.data + n, s.len - n) : slice_of(NULL, 0);
}

/*
 * The part of the gap's weight that lies before key, as if its entries were spread
 * evenly. What comes to an open one is usually put behind all there is.
 */
static uint64_t weight_before(const struct gap *p, struct slice key)
{
    struct slice from = buf_slice(&p->from), to = buf_slice(&p->to);
    double lo, hi, at;
    size_t same = 0;

    if (p->open)
        return p->weight;
    while (same < from.len && same < to.len && from.data[same] == to.data[same])
        same++;
    lo = (double)gaps_prefix(rest_after(from, same));
    hi = (double)gaps_prefix(rest_after(to, same));
    at = (double)gaps_prefix(rest_after(key, same));
    if (at <= lo || hi <= lo)
        return 0;
    return at >= hi ? p->weight : (uint64_t)((at - lo) / (hi - lo) * (double)p->weight);
}

/* The gap at i goes on behind key only. */
static bool begin_behind(struct gap *p, struct slice key)
{
    buf_assign(&p->from, key);
    buf_append(&p->from, "", 1); /* the least key that is greater */
    return !p->from.failed && ends_after(p, buf_slice(&p->from));
}

static bool end_at(struct gap *p, struct slice key)
{
    buf_assign(&p->to, key);
    p->open = false;
    return !p->to.failed && slice_cmp(buf_slice(&p->from), key) < 0;
}

static void cut_locked(struct gaps *g, unsigned i, struct slice key)
{
    struct gap *p = &g->list[i], *left;
    uint64_t weight = p->weight, before = weight_before(p, key);

    if (key.len >= GAPS_KEY_MAX) {
        remove_locked(g, i);
        return;
    }
    if (before >= GAPS_WEIGHT_MIN) {
        left = insert_locked(g, i++);
        p = left + 1;
        *left = *p;
        left->to = (struct buf){0};
        left->weight = before;
        p->from = (struct buf){0};
        if (!end_at(left, key))
            remove_locked(g, --i);
        p = &g->list[i];
    }
    p->weight = weight - before;
    if (p->weight < GAPS_WEIGHT_MIN || !begin_behind(p, key))
        remove_locked(g, i);
}

void gaps_cut(struct gaps *g, struct slice key)
{
    struct gap *p;

    if (!gaps_touch(g, key))
        return;
    mutex_lock(&g->mu);
    p = holder_locked(g, key);
    if (p) {
        cut_locked(g, (unsigned)(p - g->list), key);
        drop_unused_locked(g);
        set_bounds_locked(g);
    }
    mutex_unlock(&g->mu);
}

/* ---- asking ---- */

/* With mu held on true. */
static struct gap *usable(struct gaps *g, struct slice key, uint64_t seq)
{
    struct gap *p;

    mutex_lock(&g->mu);
    p = holder_locked(g, key);
    if (p && p->known && seq >= p->seq) {
        p->used = ++g->clock;
        return p;
    }
    mutex_unlock(&g->mu);
    return NULL;
}

bool gaps_after(struct gaps *g, struct slice key, uint64_t seq, struct buf *to,
                bool *open)
{
    struct gap *p = gaps_touch(g, key) ? usable(g, key, seq) : NULL;

    if (!p)
        return false;
    *open = p->open;
    buf_assign(to, buf_slice(&p->to));
    mutex_unlock(&g->mu);
    return !to->failed;
}

bool gaps_before(struct gaps *g, struct slice key, uint64_t seq, struct buf *from)
{
    struct gap *p = gaps_touch(g, key) ? usable(g, key, seq) : NULL;

    if (!p)
        return false;
    buf_assign(from, buf_slice(&p->from));
    mutex_unlock(&g->mu);
    return !from->failed;
}
