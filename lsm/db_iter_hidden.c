/*
 * db_iter_hidden.c - how an iterator passes what is hidden: the entries that range
 * deletes cover, and the gaps that others found (gaps.h), or that it offers itself.
 *
 * An iterator's number stands for all that is in its view up to that number, and a
 * gap is a statement about such a number: db_iter_new sees to it that nothing up to
 * it->seq is outside of the view. A transaction's iterator sees writes that others
 * do not, and has no part in this.
 */
#include "db_iter_impl.h"

enum {
    COVERED_STEPS = 4, /* covered entries to step over before sources seek */
};

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

/* Until the source is asked again: what it says is borrowed from the table. An L0
 * table is kept open by its iterator. */
static int keep_open(struct range_source *r, struct tfile *f)
{
    struct table *t;
    int rc;

    if (!f->meta.range_deletes || r->pinned == f)
        return 0;
    if (r->pinned)
        tfile_unpin(r->pinned);
    rc = tfile_pin(f, TABLE_ITER_READ, &t);
    r->pinned = rc ? NULL : f;
    return rc;
}

static int ask_level(struct lsm_iter *it, struct range_source *r, struct slice key,
                     struct rangedel_span *s)
{
    const struct version *v = it->view->version;
    size_t at = version_find(v, r->level, key);
    int rc;

    if (at > 0)
        narrow_to_gap(&v->file[r->level][at - 1]->meta, key, s);
    if (at == v->n[r->level])
        return 0;
    rc = keep_open(r, v->file[r->level][at]);
    return rc ? rc : ask_file(it, v->file[r->level][at], key, s);
}

/* What s says is borrowed from the source, until that is asked again. */
static int ask_source(struct lsm_iter *it, struct range_source *r, struct slice key,
                      struct rangedel_span *s)
{
    if (r->mem) {
        memtable_ask_range(r->mem, key, r->mem == it->own ? it->own_seq : it->seq, s);
        return 0;
    }
    return r->file ? ask_file(it, r->file, key, s) : ask_level(it, r, key, s);
}

/* Is [lo, hi) known to hold key? An empty span (lo == hi) never does. */
static bool span_holds(const struct lsm_iter *it, struct slice key)
{
    const struct rangedel_span *s = &it->span;

    return it->has_span && (!s->has_lo || slice_cmp(key, s->lo) >= 0) &&
           (!s->has_hi || slice_cmp(key, s->hi) < 0);
}

static int own_span(struct lsm_iter *it)
{
    struct rangedel_span *s = &it->span;

    if (s->has_lo) {
        buf_assign(&it->span_lo, s->lo);
        s->lo = buf_slice(&it->span_lo);
    }
    if (s->has_hi) {
        buf_assign(&it->span_hi, s->hi);
        s->hi = buf_slice(&it->span_hi);
    }
    return buf_error(&it->span_lo) ? -ENOMEM : buf_error(&it->span_hi);
}

static int ask_sources(struct lsm_iter *it, struct slice key)
{
    unsigned i;
    int rc = 0;

    it->cover = NULL;
    /* Sources are asked newest first: the first that covers is the newest, and the
     * others can say nothing that matters as long as it does. */
    for (i = 0; i < it->n_ranges && !rc && !it->cover; i++) {
        rc = ask_source(it, &it->ranges[i], key, &it->span);
        if (it->span.seq)
            it->cover = &it->ranges[i];
    }
    return rc ? rc : own_span(it);
}

uint64_t iter_ask_cover(struct lsm_iter *it, struct slice key)
{
    const struct range_source *before = it->cover;
    int rc;

    if (span_holds(it, key))
        return it->span.seq;
    rangedel_span_init(&it->span);
    it->span_steps = 0;
    rc = ask_sources(it, key);
    it->has_span = rc == 0;
    if (it->cover != before)
        it->cover_steps = 0;
    if (!rc)
        return it->span.seq;
    iter_fail(it, rc);
    return 0;
}

/* Has the current entry's source to be asked to jump? */
static bool can_jump(const struct lsm_iter *it)
{
    return merge_source(it->merge) > it->cover->index;
}

/* Where the range deletes of the covering source end that follow each other without a
 * gap: all that is in older sources up to there is older than they are. */
static struct slice cover_end(struct lsm_iter *it)
{
    struct buf *end = &it->cover_end;
    struct rangedel_span s;
    int rc;

    buf_assign(end, it->span.hi);
    for (;;) {
        rangedel_span_init(&s);
        rc = buf_error(end);
        if (!rc)
            rc = ask_source(it, it->cover, buf_slice(end), &s);
        if (rc)
            iter_fail(it, rc);
        if (rc || !s.seq || !s.has_hi || slice_cmp(s.hi, buf_slice(end)) <= 0)
            return buf_slice(end);
        buf_assign(end, s.hi);
        it->passed++; /* it is as much work as to step over a key */
    }
}

void iter_pass_covered(struct lsm_iter *it)
{
    struct slice end;

    if (!it->span.has_hi || !can_jump(it) || ++it->cover_steps <= COVERED_STEPS) {
        iter_next(it->in);
        return;
    }
    end = cover_end(it);
    if (slice_cmp(end, ikey_user(it->in->key)) <= 0) {
        iter_next(it->in); /* the span is empty: see ask_file */
        return;
    }
    buf_clear(&it->target);
    ikey_append_seek(&it->target, end, IKEY_SEQ_MAX);
    if (buf_error(&it->target))
        iter_fail(it, -ENOMEM);
    else
        merge_skip(it->merge, it->cover->index + 1, buf_slice(&it->target));
}

bool iter_pass_covered_back(struct lsm_iter *it)
{
    if (!it->span.has_lo || !can_jump(it) || ++it->span_steps <= COVERED_STEPS)
        return false;
    buf_clear(&it->target);
    buf_append_slice(&it->target, it->span.lo);
    put_le64(&it->target, UINT64_MAX); /* before every version */
    if (buf_error(&it->target))
        iter_fail(it, -ENOMEM);
    else
        merge_skip_back(it->merge, it->cover->index + 1, buf_slice(&it->target));
    return true;
}

/* ---- gaps ---- */

static void note_jump(struct lsm_iter *it)
{
    struct slot *s = db_slot(it->db), *c = db_counts(it->db, s);

    it->jumped = true;
    it->look_at = it->passed + GAP_LOOK;
    db_tally(s, &c->gap_jumps, 1);
}

bool iter_jump(struct lsm_iter *it, struct slice key)
{
    bool open;

    if (!gaps_after(&it->db->gaps, key, it->seq, &it->target, &open)) {
        it->look_at = 2 * it->passed;
        return false;
    }
    note_jump(it);
    if (open) {
        iter_stop(it->in, 0);
        return true;
    }
    put_le64(&it->target, it->seq << 8 | 0xff);
    if (buf_error(&it->target))
        iter_fail(it, -ENOMEM);
    else
        merge_skip(it->merge, 0, buf_slice(&it->target));
    return true;
}

bool iter_jump_back(struct lsm_iter *it, struct slice key)
{
    if (!gaps_before(&it->db->gaps, key, it->seq, &it->target)) {
        it->look_at = 2 * it->passed;
        return false;
    }
    note_jump(it);
    put_le64(&it->target, UINT64_MAX); /* before every version */
    if (buf_error(&it->target))
        iter_fail(it, -ENOMEM);
    else
        merge_skip_back(it->merge, 0, buf_slice(&it->target));
    return true;
}

/* Under write_mu, so that last_seq tells whose writes were not seen. */
static void offer(struct lsm_iter *it, const struct gap_range *r)
{
    struct lsm *db = it->db;

    mutex_lock(&db->write_mu);
    gaps_add(&db->gaps, r, it->seq, db->last_seq, it->passed);
    mutex_unlock(&db->write_mu);
}

static bool worth_offering(const struct lsm_iter *it)
{
    return !it->own && !it->err && !buf_error(&it->run) &&
           (it->jumped || it->passed >= GAP_FRESH);
}

void iter_offer_run(struct lsm_iter *it, const struct slice *to)
{
    struct gap_range r = {.from = buf_slice(&it->run)};

    if (!worth_offering(it))
        return;
    if (to)
        r.to = *to;
    else if (it->has_upper)
        r.to = buf_slice(&it->upper);
    else
        r.open = true;
    offer(it, &r);
}

void iter_offer_run_back(struct lsm_iter *it, const struct slice *from)
{
    struct gap_range r = {0};

    if (!worth_offering(it))
        return;
    /* The least key that is greater than another: that with a zero byte more. */
    buf_append(&it->run, "", 1);
    r.to = buf_slice(&it->run);
    buf_clear(&it->target);
    if (from) {
        buf_append_slice(&it->target, *from);
        buf_append(&it->target, "", 1);
        r.from = buf_slice(&it->target);
    } else if (it->has_lower) {
        r.from = buf_slice(&it->lower);
    }
    if (!buf_error(&it->run) && !buf_error(&it->target))
        offer(it, &r);
}
