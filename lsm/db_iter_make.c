/*
 * db_iter_make.c - making an iterator: its bounds, its view, and the sources of
 * that which can hold a key within the bounds.
 */
#include <stdlib.h>

#include "db_iter_impl.h"

enum { FEW = 24 }; /* children, for which no memory is asked */

/* The children of the merge, newest first, and the sources of range deletes. */
struct gathering {
    struct iter **child;
    unsigned n;
    struct range_source *ranges; /* NULL until there is one */
    unsigned n_ranges;
    size_t max;              /* of both */
    struct key_range bounds; /* lo and hi (open), when given */
    bool has_lo, has_hi;
};

static bool in_bounds(const struct gathering *g, const struct table_meta *m)
{
    if (g->has_lo && table_range_cmp(m, g->bounds.lo) > 0)
        return false;
    return !g->has_hi || slice_cmp(buf_slice(&m->smallest), g->bounds.hi) < 0;
}

static int add_child(struct gathering *g, struct iter *it, struct range_source source,
                     bool has_ranges)
{
    if (!it)
        return -ENOMEM;
    source.index = g->n;
    g->child[g->n++] = it;
    if (has_ranges && !g->ranges)
        g->ranges = calloc(g->max, sizeof(*g->ranges));
    if (has_ranges && !g->ranges)
        return -ENOMEM;
    if (has_ranges)
        g->ranges[g->n_ranges++] = source;
    return 0;
}

static int add_memtable(struct gathering *g, struct memtable *m)
{
    if (!memtable_entries(m) && !memtable_has_range_deletes(m))
        return 0;
    /* A range delete that comes later is newer than we see. */
    return add_child(g, memtable_iter_new(m), (struct range_source){.mem = m},
                     memtable_has_range_deletes(m));
}

static int add_l0(struct gathering *g, struct tfile *f)
{
    struct iter *it;
    int rc;

    if (!in_bounds(g, &f->meta))
        return 0;
    rc = tfile_iter(f, TABLE_ITER_READ, &it);
    if (rc)
        return rc;
    return add_child(g, it, (struct range_source){.file = f}, f->meta.range_deletes > 0);
}

static int add_level(struct gathering *g, const struct version *v, unsigned level)
{
    size_t first = 0, end = v->n[level];

    if (g->has_lo)
        first = version_find(v, level, g->bounds.lo);
    while (g->has_hi && end > first && !in_bounds(g, &v->file[level][end - 1]->meta))
        end--;
    if (first == end)
        return 0;
    return add_child(g,
                     level_iter_new(v->file[level] + first, end - first, TABLE_ITER_READ,
                                    g->has_hi ? &g->bounds.hi : NULL),
                     (struct range_source){.level = level}, v->has_ranges[level]);
}

static int gather(struct gathering *g, struct memtable *own, const struct view *v)
{
    unsigned i;
    size_t j;
    int rc = own ? add_memtable(g, own) : 0;

    if (!rc)
        rc = add_memtable(g, v->mem);
    for (i = 0; i < v->n_imm && !rc; i++)
        rc = add_memtable(g, v->imm[i]);
    for (j = 0; j < v->version->n[0] && !rc; j++)
        rc = add_l0(g, v->version->file[0][j]);
    for (i = 1; i < LSM_LEVELS && !rc; i++)
        rc = add_level(g, v->version, i);
    return rc;
}

static int set_bounds(struct lsm_iter *it, const struct lsm_iter_options *o,
                      struct gathering *g)
{
    if (o->lower) {
        buf_assign(&it->lower, *o->lower);
        it->has_lower = g->has_lo = true;
        g->bounds.lo = buf_slice(&it->lower);
    }
    if (o->upper) {
        buf_assign(&it->upper, *o->upper);
        it->has_upper = g->has_hi = true;
        g->bounds.hi = buf_slice(&it->upper);
    }
    return buf_error(&it->lower) ? -ENOMEM : buf_error(&it->upper);
}

static int set_sources(struct lsm_iter *it, struct gathering *g)
{
    struct iter *few[FEW], **many = NULL;
    unsigned i;
    int rc = -ENOMEM;

    g->max = 2 + it->view->n_imm + it->view->version->n[0] + LSM_LEVELS;
    if (g->max > FEW)
        many = malloc(g->max * sizeof(*many));
    g->child = g->max > FEW ? many : few;
    if (g->child)
        rc = gather(g, it->own, it->view);
    if (!rc) {
        it->merge = merge_new(g->child, g->n);
        rc = it->merge ? 0 : -ENOMEM;
        g->n = 0; /* taken, either way */
    }
    for (i = 0; i < g->n; i++)
        iter_free(g->child[i]);
    free(many);
    it->ranges = g->ranges;
    it->n_ranges = g->n_ranges;
    if (!rc)
        it->in = merge_reader(it->merge);
    return rc;
}

/*
 * The view first, the sequence second, as everywhere. If the view is the current one
 * still, all that is visible at the sequence is in it; else a part may be in a newer
 * memtable, which would be no harm to who reads but to what it tells others (gaps.h).
 */
static void read_now(struct lsm_iter *it, const struct lsm_snapshot *snap)
{
    do {
        db_view_unref(it->view);
        it->view = db_view_ref(it->db);
        it->seq = snap ? snap->seq : atomic_load(&it->db->publisher.visible);
    } while (it->view != atomic_load(&it->db->view));
}

int db_iter_new(struct lsm *db, const struct lsm_iter_options *o, struct memtable *own,
                uint64_t own_seq, struct lsm_iter **out)
{
    static const struct lsm_iter_options none;
    struct lsm_iter *it = iter_alloc(sizeof(*it));
    struct gathering g = {0};
    int rc;

    if (!it)
        return -ENOMEM;
    o = o ? o : &none;
    it->db = db;
    it->drawn = it->steps_left =
        db_draw_first(db, db_counts(db, db_slot(db)), LSM_TIME_NEXT);
    read_now(it, o->snap);
    it->own_seq = own ? own_seq : it->seq;
    it->own = own;
    if (own)
        memtable_ref(own);
    rc = set_bounds(it, o, &g);
    if (!rc)
        rc = set_sources(it, &g);
    if (rc) {
        lsm_iter_free(it);
        return rc;
    }
    *out = it;
    return 0;
}

int lsm_iter_new(struct lsm *db, const struct lsm_iter_options *o, struct lsm_iter **out)
{
    return db_iter_new(db, o, NULL, 0, out);
}

void lsm_iter_free(struct lsm_iter *it)
{
    unsigned i;

    if (!it)
        return;
    iter_count_steps(it);
    if (it->merge)
        iter_free(merge_iter(it->merge));
    for (i = 0; i < it->n_ranges; i++)
        if (it->ranges[i].pinned)
            tfile_unpin(it->ranges[i].pinned);
    free(it->ranges);
    buf_release(&it->span_lo);
    buf_release(&it->span_hi);
    buf_release(&it->cover_end);
    buf_release(&it->lower);
    buf_release(&it->upper);
    buf_release(&it->key);
    buf_release(&it->copy);
    buf_release(&it->target);
    buf_release(&it->separated);
    buf_release(&it->run);
    memtable_unref(it->own);
    db_view_unref(it->view);
    free(it);
}
