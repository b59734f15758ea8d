/*
 * db_iter_hidden.c - what an iterator need not look at: what range deletes cover.
 */
#include "db_iter_impl.h"

/* ---- range deletes ---- */

/* A table speaks only of its range: on this side of it nothing changes. */
static void narrow_to_gap(const struct table_meta *m, struct slice key,
                          struct rangedel_span *s)
{
    struct slice lo = buf_slice(&m->smallest), hi = buf_slice(&m->largest);
    int where = table_range_cmp(m, key);

    if (where < 0 && (!s->has_hi || slice_cmp(lo, s->hi) < 0)) {
        s->hi = lo;
        s->has_hi = true;
    } else if (where > 0 && (!s->has_lo || slice_cmp(hi, s->lo) > 0)) {
        s->lo = hi;
        s->has_lo = true;
    }
}

static int ask_file(struct lsm_iter *it, struct tfile *f, struct slice key,
                    struct rangedel_span *s)
{
    struct slice lo = buf_slice(&f->meta.smallest), hi = buf_slice(&f->meta.largest);

    if (table_range_cmp(&f->meta, key) != 0) {
        narrow_to_gap(&f->meta, key, s);
        return 0;
    }
    if (!s->has_lo || slice_cmp(lo, s->lo) > 0)
        s->lo = lo;
    s->has_lo = true;
    /* At the table's last key, included, the span is empty: good for this key only. */
    if (!s->has_hi || slice_cmp(hi, s->hi) < 0)
        s->hi = hi;
    s->has_hi = true;
    return tfile_ask_range(f, key, it->seq, s);
}

static int ask_level(struct lsm_iter *it, unsigned level, struct slice key,
                     struct rangedel_span *s)
{
    const struct version *v = it->view->version;
    size_t at = version_find(v, level, key);

    if (at > 0)
        narrow_to_gap(&v->file[level][at - 1]->meta, key, s);
    return at < v->n[level] ? ask_file(it, v->file[level][at], key, s) : 0;
}

static int ask_source(struct lsm_iter *it, const struct range_source *r, struct slice key,
                      struct rangedel_span *s)
{
    if (r->mem) {
        memtable_ask_range(r->mem, key, r->mem == it->own ? it->own_seq : it->seq, s);
        return 0;
    }
    return r->file ? ask_file(it, r->file, key, s) : ask_level(it, r->level, key, s);
}

/* Is [lo, hi) known to hold key? An empty span (lo == hi) never does. */
static bool span_holds(const struct lsm_iter *it, struct slice key)
{
    const struct rangedel_span *s = &it->span;

    return it->has_span && (!s->has_lo || slice_cmp(key, s->lo) >= 0) &&
           (!s->has_hi || slice_cmp(key, s->hi) < 0);
}

uint64_t iter_cover(struct lsm_iter *it, struct slice key)
{
    unsigned i;
    int rc;

    if (!it->n_ranges)
        return 0;
    if (span_holds(it, key))
        return it->span.seq;
    rangedel_span_init(&it->span);
    it->cover = UINT32_MAX;
    it->has_span = true;
    for (i = 0; i < it->n_ranges; i++) {
        uint64_t before = it->span.seq;

        rc = ask_source(it, &it->ranges[i], key, &it->span);
        if (rc) {
            it->has_span = false;
            iter_fail(it, rc);
            return 0;
        }
        /* Sources are asked newest first: the first that covers is the newest. */
        if (it->span.seq > before && it->cover == UINT32_MAX)
            it->cover = it->ranges[i].index;
    }
    return it->span.seq;
}

