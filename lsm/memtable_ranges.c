/*
 * memtable_ranges.c - see memtable_ranges.h.
 */
#include "memtable_ranges.h"

#include <errno.h>
#include <stdlib.h>

#include "rangedel_tree.h"

enum {
    LOOSE_MAX = 16, /* so many are looked at one by one */
    SAME_SIZE = 4,  /* runs that become one */
};

struct overlapping {
    struct range_tombstone t;
    _Atomic(struct overlapping *) next;
};

/* The range deletes from first to last of the list. */
struct ranges_run {
    struct rangedel_tree *tree;
    struct overlapping *first, *last;
    size_t n;
    struct ranges_run *below; /* the run before it in the list */
    struct ranges_run *made_before;
};

int memtable_ranges_init(struct memtable_ranges *r, struct arena *arena)
{
    r->arena = arena;
    return skiplist_init(&r->apart, arena);
}

void memtable_ranges_release(struct memtable_ranges *r)
{
    while (r->all_runs) {
        struct ranges_run *run = r->all_runs;

        r->all_runs = run->made_before;
        rangedel_tree_free(run->tree);
        free(run);
    }
}

/* ---- inserting ---- */

static struct slice arena_copy(struct arena *a, struct slice s)
{
    uint8_t *p = arena_alloc(a, 0, s.len + 1);

    if (p && s.len)
        memcpy(p, s.data, s.len);
    return slice_of(p, s.len);
}

static struct slice node_start(const struct skip_node *n)
{
    return ikey_user(skip_node_key(n));
}

/* The last one apart that starts at or before key; NULL if none does. */
static const struct skip_node *before(const struct memtable_ranges *r, struct slice key)
{
    return skiplist_before(&r->apart, key, 0);
}

static const struct skip_node *after(const struct memtable_ranges *r,
                                     const struct skip_node *n)
{
    return n ? skip_node_next(n) : skiplist_first(&r->apart);
}

static bool is_apart(const struct memtable_ranges *r, struct slice start,
                     struct slice end)
{
    const struct skip_node *p = before(r, start), *n = after(r, p);

    return (!p || slice_cmp(skip_node_value(p), start) <= 0) &&
           (!n || slice_cmp(node_start(n), end) >= 0);
}

/* The loose ones become a run, together with the newest runs if these are many. */
static int add_run(struct memtable_ranges *r)
{
    struct ranges_run *top = atomic_load(&r->newest), *run = calloc(1, sizeof(*run));
    struct range_tombstone *all = NULL;
    struct overlapping *o;
    size_t i = 0, same;

    if (!run)
        return -ENOMEM;
    run->first = top ? atomic_load(&top->last->next) : atomic_load(&r->first);
    run->last = r->last;
    run->n = r->n_loose;
    run->below = top;
    do {
        struct ranges_run *last = NULL;
        size_t n = 0;

        for (same = 1, top = run->below; top && top->n < SAME_SIZE * run->n;
             top = top->below, same++) {
            last = top;
            n += top->n;
        }
        if (same >= SAME_SIZE) {
            run->n += n;
            run->first = last->first;
            run->below = last->below;
        }
    } while (same >= SAME_SIZE);
    all = malloc(run->n * sizeof(*all));
    for (o = run->first; all && i < run->n; o = atomic_load(&o->next))
        all[i++] = o->t;
    run->tree = all ? rangedel_tree_new(all, run->n) : NULL;
    free(all);
    if (!run->tree) {
        free(run);
        return -ENOMEM;
    }
    run->made_before = r->all_runs;
    r->all_runs = run;
    r->n_loose = 0;
    atomic_fetch_add(&r->bytes, rangedel_tree_bytes(run->tree));
    atomic_store_explicit(&r->newest, run, memory_order_release);
    return 0;
}

static int insert_overlapping(struct memtable_ranges *r, struct slice start, uint64_t seq,
                              struct slice end)
{
    struct overlapping *o = arena_alloc(r->arena, 0, sizeof(*o));

    if (!o)
        return -ENOMEM;
    o->t.start = arena_copy(r->arena, start);
    o->t.end = arena_copy(r->arena, end);
    o->t.seq = seq;
    atomic_init(&o->next, NULL);
    if (!o->t.start.data || !o->t.end.data)
        return -ENOMEM;
    atomic_store_explicit(r->last ? &r->last->next : &r->first, o, memory_order_release);
    r->last = o;
    return ++r->n_loose < LOOSE_MAX ? 0 : add_run(r);
}

int memtable_ranges_insert(struct memtable_ranges *r, struct slice start, uint64_t seq,
                           struct slice end)
{
    int rc = 0;

    if (slice_cmp(start, end) < 0)
        rc = is_apart(r, start, end)
                 ? skiplist_insert(&r->apart, start, ikey_pack(seq, IKEY_RANGE_DELETE),
                                   end)
                 : insert_overlapping(r, start, seq, end);
    if (!rc)
        atomic_fetch_add_explicit(&r->n, 1, memory_order_release);
    return rc;
}

/* ---- asking ---- */

static void ask_apart(const struct memtable_ranges *r, struct slice key, uint64_t seq,
                      struct rangedel_span *span)
{
    const struct skip_node *p = before(r, key), *n;

    if (p && slice_cmp(skip_node_value(p), key) > 0) {
        rangedel_narrow_lo(span, node_start(p));
        rangedel_narrow_hi(span, skip_node_value(p));
        if (ikey_seq(skip_node_key(p)) <= seq && ikey_seq(skip_node_key(p)) > span->seq)
            span->seq = ikey_seq(skip_node_key(p));
        return;
    }
    if (p)
        rangedel_narrow_lo(span, skip_node_value(p));
    /* What was inserted behind p since, up to key, is newer than who asks can see. */
    for (n = after(r, p); n && slice_cmp(node_start(n), key) <= 0; n = skip_node_next(n))
        ;
    if (n)
        rangedel_narrow_hi(span, node_start(n));
}

void memtable_ranges_ask(struct memtable_ranges *r, struct slice key, uint64_t seq,
                         struct rangedel_span *span)
{
    struct ranges_run *newest = atomic_load_explicit(&r->newest, memory_order_acquire),
                      *run;
    struct overlapping *o;

    ask_apart(r, key, seq, span);
    for (run = newest; run; run = run->below)
        rangedel_tree_ask(run->tree, key, seq, span);
    o = atomic_load_explicit(newest ? &newest->last->next : &r->first,
                             memory_order_acquire);
    for (; o; o = atomic_load_explicit(&o->next, memory_order_acquire))
        rangedel_ask_one(&o->t, key, seq, span);
}

int memtable_ranges_list(struct memtable_ranges *r, struct range_tombstone **list,
                         size_t *n)
{
    struct range_tombstone *to = malloc((atomic_load(&r->n) + 1) * sizeof(*to));
    const struct skip_node *node;
    struct overlapping *o;

    *list = to;
    *n = 0;
    if (!to)
        return -ENOMEM;
    for (node = skiplist_first(&r->apart); node; node = skip_node_next(node))
        to[(*n)++] = (struct range_tombstone){node_start(node), skip_node_value(node),
                                              ikey_seq(skip_node_key(node))};
    for (o = atomic_load(&r->first); o; o = atomic_load(&o->next))
        to[(*n)++] = o->t;
    return 0;
}
