/*
 * stats_segments.c - how much of each value-log segment is garbage.
 *
 * Derived as the collector does (vlog_gc.h), from the tables of the current version.
 * What memtables and running compactions refer to is not counted anywhere, so of
 * their segments nothing is said. (A value that is written at this very moment, and not
 * in a memtable yet, may pass for garbage if its segment has just been sealed.)
 */
#include <stdlib.h>

#include "db_impl.h"
#include "search.h"
#include "stats_impl.h"

struct found {
    struct lsm_segment_stats *list; /* ascending */
    size_t n;
};

static void mark_pending(void *arg, uint64_t segment, uint64_t bytes)
{
    struct found *f = arg;
    size_t i = search_records(f->list, f->n, sizeof(*f->list), segment);

    (void)bytes;
    if (i < f->n && f->list[i].number == segment)
        f->list[i].pending = true;
}

static void mark_moving(struct lsm *db, const struct vlog_segment *list, struct found *f)
{
    size_t i;

    mutex_lock(&db->state_mu);
    for (i = 0; i < f->n; i++)
        f->list[i].pending |= db_is_moved_to_locked(db, &list[i]);
    mutex_unlock(&db->state_mu);
}

static int count_live(const struct version *v, struct found *f)
{
    struct segment_use *uses = calloc(f->n + 1, sizeof(*uses));
    size_t i;

    if (!uses)
        return -ENOMEM;
    for (i = 0; i < f->n; i++)
        uses[i].number = f->list[i].number;
    segment_uses(v, uses, f->n);
    for (i = 0; i < f->n; i++)
        f->list[i].live = uses[i].live;
    free(uses);
    return 0;
}

static int find(struct lsm *db, struct found *f)
{
    struct vlog_segment *list;
    struct view *v;
    unsigned j;
    size_t i;
    int rc = vlog_segments(db->vlog, &list, &f->n);

    if (rc)
        return rc;
    f->list = calloc(f->n + 1, sizeof(*f->list));
    if (!f->list) {
        free(list);
        return -ENOMEM;
    }
    for (i = 0; i < f->n; i++)
        f->list[i] = (struct lsm_segment_stats){
            .number = list[i].number, .size = list[i].size, .pending = list[i].active};
    /* Moves before the view: those that end in between have become tables of it. */
    mark_moving(db, list, f);
    free(list);
    v = db_view_ref(db);
    memtable_segments(v->mem, mark_pending, f);
    for (j = 0; j < v->n_imm; j++)
        memtable_segments(v->imm[j], mark_pending, f);
    rc = count_live(v->version, f);
    db_view_unref(v);
    for (i = 0; i < f->n; i++) {
        struct lsm_segment_stats *s = &f->list[i];

        if (!s->pending && s->size > s->live)
            s->garbage = s->size - s->live;
    }
    return rc;
}

int lsm_segments(struct lsm *db, lsm_segment_fn *fn, void *arg)
{
    struct found f = {0};
    size_t i;
    int rc = find(db, &f);

    for (i = 0; i < f.n && !rc; i++)
        rc = fn(arg, &f.list[i]);
    free(f.list);
    return rc;
}

static int by_garbage(const void *a, const void *b)
{
    const struct lsm_segment_stats *x = a, *y = b;

    if (x->garbage != y->garbage)
        return x->garbage > y->garbage ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

void stats_add_segments(struct lsm *db, struct lsm_stats *s)
{
    struct found f = {0};
    size_t i;

    if (find(db, &f) == 0) {
        s->segments = f.n;
        for (i = 0; i < f.n; i++) {
            s->segment_bytes += f.list[i].size;
            s->segment_live += f.list[i].live;
            s->segment_garbage += f.list[i].garbage;
            if (f.list[i].pending && f.list[i].size > f.list[i].live)
                s->live_bytes += f.list[i].size - f.list[i].live;
        }
        qsort(f.list, f.n, sizeof(*f.list), by_garbage);
        for (i = 0; i < f.n && i < LSM_SEGMENTS_LISTED; i++)
            s->segment[s->segments_listed++] = f.list[i];
    }
    free(f.list);
}
