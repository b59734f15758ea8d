/*
 * pick.c - see pick.h: targets and scores, and what the strategies share.
 *
 * Leveled (pick_leveled.c): all of overlapping L0 into the base level; below, one
 * table and what it overlaps in the next level. Tiered and hybrid: pick_tiered.c.
 */
#include "pick_impl.h"

#include <stdlib.h>

#include "search.h"

enum {
    /* A table with this share of tombstones (in percent), and at least so many,
     * is compacted on its own account. */
    TOMBSTONE_PERCENT = 25,
    TOMBSTONE_MIN = 64,
    /* Or with a stretch that has so many more of them than other points: scans step
     * over each (RocksDB's CompactOnDeletionCollector). */
    DELETE_RUN = 512,
    /* A range delete stands for many points. */
    RANGE_DELETE_WEIGHT = 64,
    /* L0 may point to this part of what the levels below point to. */
    L0_REF_SHARE = 10,
    /* For each byte of L0 a resting store rewrites so many of the level below at most. */
    REST_COST = 4,
};

/* ---- targets and scores ---- */

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

/* Bytes of values that the tables of L0 point to or delete: what they overwrote and
 * deleted counts as live until L0 has met it below. */
static double l0_hides(const struct version *v, uint64_t below, uint64_t entries)
{
    double points = (double)v->deletes[0] * (double)below / (double)entries;
    uint64_t told = 0;
    size_t i;

    for (i = 0; i < v->n[0]; i++)
        told += atomic_load(&v->file[0][i]->deleted_bytes);
    return (double)v->ref_bytes[0] + (points > (double)told ? points : (double)told);
}

static double ref_score(const struct version *v, const struct pick_options *o)
{
    uint64_t below = 0, entries = 1, allowed;
    unsigned level;

    if (!o->l0_ref_bytes)
        return 0;
    if (o->at_rest && v->ref_bytes[0])
        return 1;
    for (level = 1; level < LSM_LEVELS; level++) {
        below += v->ref_bytes[level];
        entries += v->entries[level];
    }
    allowed = below / L0_REF_SHARE;
    if (allowed < o->l0_ref_bytes)
        allowed = o->l0_ref_bytes;
    return l0_hides(v, below, entries) / (double)allowed;
}

static bool any_left_out(struct tfile *const *files, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (atomic_load(&files[i]->left_out))
            return true;
    return false;
}

static bool overlaps_left_out(const struct version *v, unsigned level,
                              const struct key_range *r)
{
    size_t first, end;

    version_overlap(v, level, r, &first, &end);
    return any_left_out(v->file[level] + first, end - first);
}

bool pick_l0_is_blocked(const struct version *v, const struct pick_options *o,
                        const struct level_targets *t)
{
    struct key_range r = {0};
    bool empty = true;
    size_t i;

    if (!o->left_out || !v->n[0])
        return false;
    for (i = 0; i < v->n[0]; i++)
        key_range_add(&r, &empty, &v->file[0][i]->meta);
    return any_left_out(v->file[0], v->n[0]) ||
           overlaps_left_out(v, pick_next_level(t, 0), &r);
}

/* Of a level, the bytes of tables that can go down some time: neither they nor what they
 * would meet there are left out. For the others nobody can do anything, nor is to wait.
 */
static uint64_t movable_bytes(const struct version *v, const struct pick_options *o,
                              unsigned level)
{
    uint64_t bytes = 0;
    struct key_range r;
    size_t i;

    if (!o->left_out)
        return v->bytes[level];
    for (i = 0; i < v->n[level]; i++) {
        const struct tfile *f = v->file[level][i];

        key_range_of(&r, &f->meta);
        if (!atomic_load(&f->left_out) && !overlaps_left_out(v, level + 1, &r))
            bytes += f->meta.size;
    }
    return bytes;
}

/* A store that rests has the time to become one run, which is read twice as fast as
 * three, if there is not much to be rewritten for it. */
static bool is_worth_a_rest(const struct version *v, const struct pick_options *o,
                            const struct level_targets *t)
{
    return o->at_rest && o->strategy == LSM_LEVELED && v->n[0] &&
           (v->n[0] > 1 || v->n[t->base]) && v->bytes[t->base] <= REST_COST * v->bytes[0];
}

static double l0_score(const struct version *v, const struct pick_options *o,
                       const struct level_targets *t)
{
    double by_refs, by_size;

    if (pick_l0_is_blocked(v, o, t))
        return (double)pick_count_l0_runs(v) / o->l0_trigger;
    by_refs = ref_score(v, o);
    if (is_worth_a_rest(v, o, t) && by_refs < 1)
        by_refs = 1;
    by_size = o->strategy == LSM_HYBRID
                  ? (double)v->bytes[0] / ((double)o->l0_trigger * (double)o->l1_bytes)
                  : (double)v->n[0] / o->l0_trigger;
    return by_size > by_refs ? by_size : by_refs;
}

double pick_score(const struct version *v, const struct pick_options *o,
                  const struct level_targets *t, unsigned level)
{
    if (o->strategy == LSM_TIERED)
        return level ? 0 : (double)pick_count_runs(v) / (o->l0_trigger + 1);
    if (level == 0)
        return l0_score(v, o, t);
    if (level == LSM_LEVELS - 1 || !v->n[level])
        return 0;
    return (double)movable_bytes(v, o, level) / (double)(t->bytes[level] + 1);
}

/* ---- sets of segments ---- */

void segment_set_release(struct segment_set *s)
{
    free(s->number);
    memset(s, 0, sizeof(*s));
}

bool segment_set_has(const struct segment_set *s, uint64_t number)
{
    size_t i = search_numbers(s->number, s->n, number);

    return i < s->n && s->number[i] == number;
}

uint64_t segment_set_bytes(const struct segment_set *s, const struct table_meta *m)
{
    uint64_t bytes = 0;
    size_t i;

    for (i = 0; i < m->n_refs; i++)
        if (segment_set_has(s, m->refs[i].segment))
            bytes += m->refs[i].bytes;
    return bytes;
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

/* ---- building a compaction ---- */

void compaction_release(struct compaction *c)
{
    unsigned level;

    for (level = 0; level < LSM_LEVELS; level++)
        free(c->inputs[level]);
    segment_set_release(&c->victims);
    memset(c, 0, sizeof(*c));
}

size_t compaction_tables(const struct compaction *c)
{
    unsigned level;
    size_t n = 0;

    for (level = 0; level < LSM_LEVELS; level++)
        n += c->n[level];
    return n;
}

uint64_t compaction_bytes(const struct compaction *c)
{
    unsigned level;
    uint64_t bytes = 0;
    size_t i;

    for (level = 0; level < LSM_LEVELS; level++)
        for (i = 0; i < c->n[level]; i++)
            bytes += c->inputs[level][i]->meta.size;
    return bytes;
}

int compaction_add(struct compaction *c, unsigned level, struct tfile *f)
{
    void *p = realloc(c->inputs[level], (c->n[level] + 1) * sizeof(*c->inputs[level]));

    if (!p)
        return -ENOMEM;
    c->inputs[level] = p;
    c->inputs[level][c->n[level]++] = f;
    return 0;
}

bool pick_any_compacting(struct tfile *const *files, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (tfile_is_busy(files[i]))
            return true;
    return false;
}

uint64_t pick_tombstones_of(const struct table_meta *m)
{
    return m->deletes + m->range_deletes * RANGE_DELETE_WEIGHT;
}

bool pick_mostly_tombstones(const struct table_meta *m)
{
    uint64_t t = pick_tombstones_of(m);

    return m->delete_run >= DELETE_RUN ||
           (t >= TOMBSTONE_MIN && t * 100 >= m->entries * TOMBSTONE_PERCENT);
}

int pick_complete(const struct version *v, const struct pick_options *o,
                  struct compaction *c)
{
    unsigned in = c->level, out = c->output_level;
    struct key_range r = {0};
    bool empty = true;
    size_t i, first, end;
    int rc = 0;

    for (i = 0; i < c->n[in]; i++)
        key_range_add(&r, &empty, &c->inputs[in][i]->meta);
    version_overlap(v, out, &r, &first, &end);
    if (pick_any_compacting(v->file[out] + first, end - first)) {
        compaction_release(c);
        return 0;
    }
    for (i = first; i < end && !rc; i++)
        rc = compaction_add(c, out, v->file[out][i]);
    /* Tombstones at the bottom are dropped by rewriting, not moved; and where most of
     * the data ends up it is packed as tightly as it should be. */
    c->move = c->n[in] == 1 && c->n[out] == 0 &&
              !(o->recompress && out == LSM_LEVELS - 1) &&
              !(pick_tombstones_of(&c->inputs[in][0]->meta) && pick_is_bottom(v, c, &r));
    return rc;
}

unsigned pick_next_level(const struct level_targets *t, unsigned level)
{
    return level ? level + 1 : t->base;
}

/* ---- choices ---- */

/*
 * Older tables may not stay above while newer ones sink, so either everything goes
 * or, when some of it is being compacted, nothing.
 */
int pick_l0(const struct version *v, const struct pick_options *o,
            const struct level_targets *t, enum pick_reason reason, struct compaction *c)
{
    size_t i;
    int rc = 0;

    if (!v->n[0] || pick_any_compacting(v->file[0], v->n[0]))
        return 0;
    c->reason = reason;
    c->output_level = pick_next_level(t, 0);
    for (i = 0; i < v->n[0] && !rc; i++)
        rc = compaction_add(c, 0, v->file[0][i]);
    return rc ? rc : pick_complete(v, o, c);
}

int pick_compaction(const struct version *v, const struct pick_options *o,
                    struct compaction *c)
{
    struct level_targets t;
    int rc;

    pick_targets(v, o, &t);
    if (o->strategy == LSM_TIERED)
        rc = pick_tiered(v, o, c);
    else if (o->strategy == LSM_HYBRID)
        rc = pick_hybrid(v, o, &t, c);
    else
        rc = 0;
    if (!rc && !c->reason && o->strategy != LSM_TIERED)
        rc = pick_by_size(v, o, &t, c);
    if (!rc && !c->reason && o->strategy != LSM_TIERED)
        rc = pick_by_tombstones(v, o, &t, c);
    return rc || c->reason ? rc : pick_by_old_tombstones(v, o, c);
}

int pick_whole_l0(const struct version *v, const struct pick_options *o,
                  enum pick_reason reason, struct compaction *c)
{
    struct level_targets t;

    pick_targets(v, o, &t);
    return pick_l0(v, o, &t, reason, c);
}

int pick_rewrite(struct tfile *f, unsigned level, enum pick_reason reason,
                 struct compaction *c)
{
    int rc = compaction_add(c, level, f);

    if (rc)
        return rc;
    c->reason = reason;
    c->level = c->output_level = level;
    return 0;
}

int pick_full(const struct version *v, const struct pick_options *o, struct compaction *c)
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
    below = pick_next_level(&t, level);
    while (level > 0 && below < LSM_LEVELS && !v->n[below])
        below++;
    if (below == LSM_LEVELS)
        return 0; /* nothing further down */
    if (pick_any_compacting(v->file[level], v->n[level]))
        return 0;
    c->reason = PICK_MANUAL;
    c->level = level;
    c->output_level = below;
    for (i = 0; i < v->n[level] && !rc; i++)
        rc = compaction_add(c, level, v->file[level][i]);
    return rc ? rc : pick_complete(v, o, c);
}

/* Of L0, what is older than all inputs. */
static bool touches_older_l0(const struct version *v, const struct compaction *c,
                             const struct key_range *r)
{
    size_t i = v->n[0];

    while (i-- > 0 && (!c->n[0] || v->file[0][i] != c->inputs[0][c->n[0] - 1]))
        if (key_range_touches(r, &v->file[0][i]->meta))
            return true;
    return false;
}

bool pick_is_bottom(const struct version *v, const struct compaction *c,
                    const struct key_range *r)
{
    unsigned level;
    size_t first, end;

    if (c->output_level == 0 && touches_older_l0(v, c, r))
        return false;
    for (level = c->output_level + 1; level < LSM_LEVELS; level++) {
        version_overlap(v, level, r, &first, &end);
        if (first != end)
            return false;
    }
    return true;
}
