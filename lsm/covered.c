/*
 * covered.c - see covered.h.
 *
 * From the newest table to the oldest: each is asked against the range deletes of
 * those before it, then adds its own. The tables of a level below L0 are disjoint and
 * take no part in each other. What a hidden table itself deletes lies in its own range
 * of keys, and there the newer delete hides it as well.
 */
#include "covered.h"

#include <stdlib.h>

#include "pick_impl.h"
#include "search.h"

struct cover {
    const uint64_t *snaps;
    size_t n_snaps;
    struct range_list ranges; /* of newer tables */
    struct rangedel_set *set; /* of them, when it is up to date */
};

/* Is there a snapshot s with from <= s < to? It would see the one and not the other. */
static bool snapshot_between(const struct cover *k, uint64_t from, uint64_t to)
{
    size_t i = search_numbers(k->snaps, k->n_snaps, from);

    return i < k->n_snaps && k->snaps[i] < to;
}

/* Fragments [i, end) are of one range, newest first. Does one of them hide m? */
static bool hides(const struct cover *k, size_t i, size_t end, const struct table_meta *m)
{
    /* The oldest that is newer than m: the fewest snapshots can stand between. */
    while (end > i && k->set->list[end - 1].seq <= m->seq_max)
        end--;
    return end > i && !snapshot_between(k, m->seq_min, k->set->list[end - 1].seq);
}

/* The first fragment that ends behind key. */
static size_t first_behind(const struct rangedel_set *s, struct slice key)
{
    size_t lo = 0, hi = s->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (slice_cmp(s->list[mid].end, key) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool is_hidden(const struct cover *k, const struct table_meta *m)
{
    struct slice at = buf_slice(&m->smallest), largest = buf_slice(&m->largest);
    const struct range_tombstone *list = k->set->list;
    size_t i = first_behind(k->set, at), end;

    for (; i < k->set->n; i = end) {
        int past;

        for (end = i + 1; end < k->set->n && slice_eq(list[end].start, list[i].start);
             end++)
            ;
        if (slice_cmp(list[i].start, at) > 0 || !hides(k, i, end, m))
            return false;
        at = list[i].end;
        past = slice_cmp(at, largest);
        if (past > 0 || (past == 0 && m->largest_open))
            return true;
    }
    return false;
}

static int add_ranges(struct cover *k, struct tfile *f)
{
    rangedel_free(k->set);
    k->set = NULL;
    return range_list_add(&k->ranges, f);
}

/* Ask for tables [first, end) of a level, then take in what they delete. */
static int pass(struct cover *k, const struct version *v, unsigned level, size_t first,
                size_t end, struct compaction *c)
{
    size_t i;
    int rc = 0;

    if (k->ranges.n && !k->set)
        rc = rangedel_build(k->ranges.list, k->ranges.n, k->snaps, k->n_snaps, &k->set);
    for (i = first; i < end && !rc && k->ranges.n; i++) {
        struct tfile *f = v->file[level][i];

        if (is_hidden(k, &f->meta))
            rc = compaction_add(c, level, f);
    }
    for (i = first; i < end && !rc; i++)
        if (v->file[level][i]->meta.range_deletes)
            rc = add_ranges(k, v->file[level][i]);
    return rc;
}

int covered_find(const struct version *v, const uint64_t *snaps, size_t n_snaps,
                 struct compaction *c)
{
    struct cover k = {.snaps = snaps, .n_snaps = n_snaps};
    unsigned level;
    size_t i;
    int rc = 0;

    range_list_init(&k.ranges);
    for (i = 0; i < v->n[0] && !rc; i++)
        rc = pass(&k, v, 0, i, i + 1, c);
    for (level = 1; level < LSM_LEVELS && !rc; level++)
        rc = pass(&k, v, level, 0, v->n[level], c);
    if (rc) {
        compaction_release(c);
    } else if (compaction_tables(c)) {
        c->reason = PICK_COVERED;
        c->drop = true;
    }
    range_list_release(&k.ranges);
    rangedel_free(k.set);
    return rc;
}
