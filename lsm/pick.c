/*
 * pick.c - see pick.h. Leveled compaction: all of overlapping L0 into the base
 * level; below, one table and what it overlaps in the next level, the one that
 * moves the fewest bytes of the next level for each byte of its own (RocksDB's
 * kMinOverlappingRatio), tables full of tombstones first.
 */
#include "pick.h"

#include <stdlib.h>

enum {
    /* A table with this share of tombstones (in percent), and at least so many,
     * is compacted on its own account. */
    TOMBSTONE_PERCENT = 25,
    TOMBSTONE_MIN = 64,
    /* A range delete stands for many points. */
    RANGE_DELETE_WEIGHT = 64,
    /* L0 may point to this part of what the levels below point to. */
    L0_REF_SHARE = 10,
};

void pick_targets(const struct version *v, const struct pick_options *o,
                  struct level_targets *t)
{
    uint64_t least = o->l1_bytes / o->level_ratio;
    uint64_t size = v->bytes[LSM_LEVELS - 1];
    unsigned level = LSM_LEVELS - 1, first;

    memset(t, 0, sizeof(*t));
    if (size < o->l1_bytes)
        size = o->l1_bytes;
    for (first = 1; first < level && !v->n[first]; first++)
        ;
    /* Never below the first level that holds data: what comes from L0 is newer. */
    while (level > 1 && (size > o->l1_bytes || level > first)) {
        t->bytes[level--] = size;
        size /= o->level_ratio;
        if (size < least)
            size = least;
    }
    t->base = level;
    t->bytes[level] = size;
}

static uint64_t tombstones(const struct table_meta *m)
{
    return m->deletes + m->range_deletes * RANGE_DELETE_WEIGHT;
}

static bool any_compacting(struct tfile *const *files, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (files[i]->compacting)
            return true;
    return false;
}

/*
 * By number, and by the values that its tables point to: what they overwrote
 * counts as live until L0 has met it below.
 */
static double l0_score(const struct version *v, const struct pick_options *o)
{
    double by_number = (double)v->n[0] / o->l0_trigger, by_refs;
    uint64_t below = 0, allowed;
    unsigned level;

    if (!o->l0_ref_bytes)
        return by_number;
    for (level = 1; level < LSM_LEVELS; level++)
        below += v->ref_bytes[level];
    allowed = below / L0_REF_SHARE;
    if (allowed < o->l0_ref_bytes)
        allowed = o->l0_ref_bytes;
    by_refs = (double)v->ref_bytes[0] / (double)allowed;
    return by_number > by_refs ? by_number : by_refs;
}

double pick_score(const struct version *v, const struct pick_options *o,
                  const struct level_targets *t, unsigned level)
{
    if (level == 0)
        return l0_score(v, o);
    if (level == LSM_LEVELS - 1 || !v->n[level])
        return 0;
    return (double)v->bytes[level] / (double)(t->bytes[level] + 1);
}

void segment_set_release(struct segment_set *s)
{
    free(s->number);
    memset(s, 0, sizeof(*s));
}

bool segment_set_has(const struct segment_set *s, uint64_t number)
{
    size_t lo = 0, hi = s->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (s->number[mid] < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < s->n && s->number[lo] == number;
}

int segment_set_copy(struct segment_set *to, const struct segment_set *from)
{
    memset(to, 0, sizeof(*to));
    if (!from->n)
        return 0;
    to->number = malloc(from->n * sizeof(*to->number));
    if (!to->number)
        return -ENOMEM;
    memcpy(to->number, from->number, from->n * sizeof(*to->number));
    to->n = from->n;
    return 0;
}

void compaction_release(struct compaction *c)
{
    free(c->inputs[0]);
    free(c->inputs[1]);
    segment_set_release(&c->victims);
    memset(c, 0, sizeof(*c));
}

static int add_input(struct compaction *c, unsigned which, struct tfile *f)
{
    void *p = realloc(c->inputs[which], (c->n[which] + 1) * sizeof(*c->inputs[which]));

    if (!p)
        return -ENOMEM;
    c->inputs[which] = p;
    c->inputs[which][c->n[which]++] = f;
    return 0;
}

/*
 * Complete c, whose inputs[0] and levels are set, with what inputs[0] overlaps
 * in the output level. PICK_NOTHING when something there is being compacted.
 */
static int complete(const struct version *v, struct compaction *c)
{
    struct key_range r = {0};
    bool empty = true;
    size_t i, first, end;
    int rc = 0;

    for (i = 0; i < c->n[0]; i++)
        key_range_add(&r, &empty, &c->inputs[0][i]->meta);
    version_overlap(v, c->output_level, &r, &first, &end);
    if (any_compacting(v->file[c->output_level] + first, end - first)) {
        compaction_release(c);
        return 0;
    }
    for (i = first; i < end && !rc; i++)
        rc = add_input(c, 1, v->file[c->output_level][i]);
    /* Tombstones at the bottom are dropped by rewriting, not moved. */
    c->move = c->n[0] == 1 && c->n[1] == 0 &&
              !(tombstones(&c->inputs[0][0]->meta) && pick_is_bottom(v, c, &r));
    return rc;
}

/* The level that tables of `level` go to. */
static unsigned next_level(const struct level_targets *t, unsigned level)
{
    return level ? level + 1 : t->base;
}

/*
 * All of L0: older tables may not stay above while newer ones sink, so either
 * everything goes or, when an L0 compaction is under way, nothing.
 */
static int pick_l0(const struct version *v, const struct level_targets *t,
                   enum pick_reason reason, struct compaction *c)
{
    size_t i;
    int rc = 0;

    if (!v->n[0] || any_compacting(v->file[0], v->n[0]))
        return 0;
    c->reason = reason;
    c->output_level = next_level(t, 0);
    for (i = 0; i < v->n[0] && !rc; i++)
        rc = add_input(c, 0, v->file[0][i]);
    return rc ? rc : complete(v, c);
}

static bool mostly_tombstones(const struct table_meta *m)
{
    uint64_t t = tombstones(m);

    return m->range_deletes ||
           (t >= TOMBSTONE_MIN && t * 100 >= m->entries * TOMBSTONE_PERCENT);
}

/* Bytes of the next level to rewrite for a byte of f's; tombstones count as
 * the bytes they will free. */
static double move_cost(const struct version *v, unsigned below, const struct tfile *f)
{
    struct key_range r;
    size_t first, end, i;
    uint64_t overlap = 0;

    key_range_of(&r, &f->meta);
    version_overlap(v, below, &r, &first, &end);
    for (i = first; i < end; i++) {
        if (v->file[below][i]->compacting)
            return -1;
        overlap += v->file[below][i]->meta.size;
    }
    return (double)overlap /
           ((double)f->meta.size * (1.0 + 4.0 * (double)tombstones(&f->meta) /
                                              (double)(f->meta.entries + 1)));
}

/* The cheapest table of a level to move down; only tombstone-laden ones, or any. */
static struct tfile *cheapest(const struct version *v, unsigned level, unsigned below,
                              bool tombstones_only)
{
    struct tfile *best = NULL;
    double best_cost = 0;
    size_t i;

    for (i = 0; i < v->n[level]; i++) {
        struct tfile *f = v->file[level][i];
        double cost;

        if (f->compacting || (tombstones_only && !mostly_tombstones(&f->meta)))
            continue;
        cost = move_cost(v, below, f);
        if (cost >= 0 && (!best || cost < best_cost)) {
            best = f;
            best_cost = cost;
        }
    }
    return best;
}

static int pick_from_level(const struct version *v, const struct level_targets *t,
                           unsigned level, enum pick_reason reason, struct compaction *c)
{
    unsigned below = next_level(t, level);
    struct tfile *f = cheapest(v, level, below, reason == PICK_TOMBSTONES);
    int rc;

    if (!f)
        return 0;
    c->reason = reason;
    c->level = level;
    c->output_level = below;
    rc = add_input(c, 0, f);
    return rc ? rc : complete(v, c);
}

/*
 * Tombstones sink on their own account until they meet what they delete: L0 as
 * a whole when one of its tables is mostly tombstones, else table by table.
 */
static int pick_tombstones(const struct version *v, const struct level_targets *t,
                           struct compaction *c)
{
    unsigned level;
    size_t i;
    int rc = 0;

    for (i = 0; i < v->n[0]; i++) {
        if (!mostly_tombstones(&v->file[0][i]->meta))
            continue;
        rc = pick_l0(v, t, PICK_TOMBSTONES, c);
        break; /* if L0 must wait, the levels below need not */
    }
    for (level = 1; level + 1 < LSM_LEVELS && !rc && !c->reason; level++)
        rc = pick_from_level(v, t, level, PICK_TOMBSTONES, c);
    return rc;
}

int pick_compaction(const struct version *v, const struct pick_options *o,
                    struct compaction *c)
{
    struct level_targets t;
    bool tried[LSM_LEVELS] = {false};
    unsigned round, level, best;
    int rc;

    pick_targets(v, o, &t);
    for (round = 0; round < LSM_LEVELS; round++) {
        double best_score = 1.0;

        best = LSM_LEVELS;
        for (level = 0; level < LSM_LEVELS; level++) {
            double score = pick_score(v, o, &t, level);

            if (!tried[level] && score >= best_score) {
                best = level;
                best_score = score;
            }
        }
        if (best == LSM_LEVELS)
            break;
        tried[best] = true;
        rc = best ? pick_from_level(v, &t, best, PICK_SIZE, c) : pick_l0(v, &t, PICK_L0, c);
        if (rc || c->reason)
            return rc;
    }
    return pick_tombstones(v, &t, c);
}

int pick_whole_l0(const struct version *v, const struct pick_options *o,
                  enum pick_reason reason, struct compaction *c)
{
    struct level_targets t;

    pick_targets(v, o, &t);
    return pick_l0(v, &t, reason, c);
}

int pick_rewrite(struct tfile *f, unsigned level, enum pick_reason reason,
                 struct compaction *c)
{
    int rc = add_input(c, 0, f);

    if (rc)
        return rc;
    c->reason = reason;
    c->level = c->output_level = level;
    return 0;
}

int pick_full(const struct version *v, const struct pick_options *o,
              struct compaction *c)
{
    struct level_targets t;
    unsigned level, below;
    size_t i;
    int rc = 0;

    pick_targets(v, o, &t);
    for (level = 0; level < LSM_LEVELS && !v->n[level]; level++)
        ;
    if (level >= LSM_LEVELS - 1)
        return 0;
    below = next_level(&t, level);
    while (level > 0 && below < LSM_LEVELS && !v->n[below])
        below++;
    if (below == LSM_LEVELS)
        return 0; /* nothing further down */
    if (any_compacting(v->file[level], v->n[level]))
        return 0;
    c->reason = PICK_MANUAL;
    c->level = level;
    c->output_level = below;
    for (i = 0; i < v->n[level] && !rc; i++)
        rc = add_input(c, 0, v->file[level][i]);
    return rc ? rc : complete(v, c);
}

bool pick_is_bottom(const struct version *v, const struct compaction *c,
                    const struct key_range *r)
{
    unsigned level;
    size_t first, end;

    for (level = c->output_level + 1; level < LSM_LEVELS; level++) {
        version_overlap(v, level, r, &first, &end);
        if (first != end)
            return false;
    }
    return true;
}
