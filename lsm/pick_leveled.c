/*
 * pick_leveled.c - see pick_impl.h: the levels below L0.
 *
 * From a level over its target goes the table that moves the fewest bytes of the
 * next level for each byte of its own (RocksDB's kMinOverlappingRatio), tables full
 * of tombstones first.
 */
#include "pick_impl.h"

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
        if (tfile_is_busy(v->file[below][i]))
            return -1;
        overlap += v->file[below][i]->meta.size;
    }
    return (double)overlap /
           ((double)f->meta.size * (1.0 + 4.0 * (double)pick_tombstones_of(&f->meta) /
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

        if (tfile_is_busy(f) || (tombstones_only && !f->meta.range_deletes &&
                                 !pick_mostly_tombstones(&f->meta)))
            continue;
        cost = move_cost(v, below, f);
        if (cost >= 0 && (!best || cost < best_cost)) {
            best = f;
            best_cost = cost;
        }
    }
    return best;
}

static int pick_from_level(const struct version *v, const struct pick_options *o,
                           const struct level_targets *t, unsigned level,
                           enum pick_reason reason, struct compaction *c)
{
    unsigned below = pick_next_level(t, level);
    struct tfile *f = cheapest(v, level, below, reason == PICK_TOMBSTONES);
    int rc;

    if (!f)
        return 0;
    c->reason = reason;
    c->level = level;
    c->output_level = below;
    rc = compaction_add(c, level, f);
    return rc ? rc : pick_complete(v, o, c);
}

/* The level that wants it most, and that something can be taken from. */
int pick_by_size(const struct version *v, const struct pick_options *o,
                 const struct level_targets *t, struct compaction *c)
{
    bool tried[LSM_LEVELS] = {false};
    unsigned round, level;
    int rc;

    for (round = 0; round < LSM_LEVELS; round++) {
        unsigned best = LSM_LEVELS;
        double best_score = 1.0;

        for (level = 0; level < LSM_LEVELS; level++) {
            double score = pick_score(v, o, t, level);

            if (!tried[level] && score >= best_score) {
                best = level;
                best_score = score;
            }
        }
        if (best == LSM_LEVELS)
            return 0;
        tried[best] = true;
        if (best)
            rc = pick_from_level(v, o, t, best, PICK_SIZE, c);
        else if (pick_l0_is_blocked(v, o, t))
            rc = pick_l0_runs(v, o, c);
        else
            rc = pick_l0(v, o, t, PICK_L0, c);
        if (rc || c->reason)
            return rc;
    }
    return 0;
}

/* In L0 a few range deletes among other things may wait for some more tables, or a
 * load that deletes files would compact L0 at every flush. */
static bool l0_may_wait(const struct version *v, const struct pick_options *o)
{
    size_t i;

    for (i = 0; i < v->n[0]; i++)
        if (pick_mostly_tombstones(&v->file[0][i]->meta))
            return false;
    return !v->has_ranges[0] || (!o->at_rest && v->n[0] * 2 < o->l0_trigger);
}

/*
 * Tombstones sink on their own account until they meet what they delete: L0 as a
 * whole, below table by table. A range delete may hide any amount of data.
 */
int pick_by_tombstones(const struct version *v, const struct pick_options *o,
                       const struct level_targets *t, struct compaction *c)
{
    unsigned level;
    int rc = 0;

    if (!l0_may_wait(v, o))
        rc = pick_l0(v, o, t, PICK_TOMBSTONES, c);
    /* If L0 must wait, the levels below need not. */
    for (level = 1; level + 1 < LSM_LEVELS && !rc && !c->reason; level++)
        rc = pick_from_level(v, o, t, level, PICK_TOMBSTONES, c);
    return rc;
}

int pick_by_old_tombstones(const struct version *v, const struct pick_options *o,
                           struct compaction *c)
{
    const unsigned last = LSM_LEVELS - 1;
    size_t i;

    for (i = 0; i < v->n[last]; i++) {
        struct tfile *f = v->file[last][i];

        /* All of its tombstones go then, so that this comes to an end. */
        if (!tfile_is_busy(f) &&
            (f->meta.range_deletes || pick_mostly_tombstones(&f->meta)) &&
            f->meta.seq_max <= o->oldest_seq)
            return pick_rewrite(f, last, PICK_TOMBSTONES, c);
    }
    return 0;
}
