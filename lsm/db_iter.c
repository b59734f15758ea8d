/*
 * db_iter.c - the public iterator: from internal versions of all sources to the
 * user keys that are visible at one sequence, in both directions.
 *
 * Going forward, `in` stands on the current entry, and key and value are
 * borrowed from it. Going backward, the newest visible version of a key is only
 * known when all its versions have been passed, so the entry is copied and `in`
 * stands before it.
 */
#include <stdlib.h>

#include "db_impl.h"

enum {
    SKIP_MAX = 8, /* hidden versions of one key to step over before seeking */
};

/* One source of range deletes; `index` is its child's in the merge. */
struct range_source {
    unsigned index;
    struct memtable *mem; /* either a memtable, */
    struct tfile *file;   /* or an L0 table, */
    unsigned level;       /* or a level below */
};

struct lsm_iter {
    struct lsm *db;
    struct view *view;
    uint64_t seq;
    struct memtable *own; /* a transaction's writes; else NULL */
    uint64_t own_seq;     /* seen up to here; without own: seq */
    struct merge *merge;
    struct iter *in;
    struct range_source *ranges;
    unsigned n_ranges;

    struct buf lower, upper;
    bool has_lower, has_upper;

    bool valid;
    bool backward;
    int err;
    struct slice ukey;  /* of the current entry */
    struct slice value; /* inline value, or an encoded pointer */
    enum ikey_type type;

    struct buf key;       /* copy of ukey, or a key to pass */
    struct buf copy;      /* copy of value */
    struct buf target;    /* scratch for seeks */
    struct buf separated; /* a value read from the value log */

    struct rangedel_span span; /* what the range deletes say around the last key */
    bool has_span;
    unsigned cover; /* the newest source that covers it */
};

static void stop(struct lsm_iter *it, int err)
{
    it->valid = false;
    if (err && !it->err)
        it->err = err;
}

/* A transaction's own writes have the highest numbers, whatever its snapshot is. */
static inline bool sees(const struct lsm_iter *it, uint64_t seq)
{
    return seq <= it->seq || (seq >= TXN_SEQ && seq <= it->own_seq);
}

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

/* The newest visible range delete that covers key; 0 if none. */
static uint64_t covered_at(struct lsm_iter *it, struct slice key)
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
            stop(it, rc);
            return 0;
        }
        /* Sources are asked newest first: the first that covers is the newest. */
        if (it->span.seq > before && it->cover == UINT32_MAX)
            it->cover = it->ranges[i].index;
    }
    return it->span.seq;
}

/* ---- forward ---- */

static bool reached_upper(const struct lsm_iter *it, struct slice ukey)
{
    return it->has_upper && slice_cmp(ukey, buf_slice(&it->upper)) >= 0;
}

static void seek_past(struct lsm_iter *it, struct slice ukey)
{
    buf_clear(&it->target);
    buf_append_slice(&it->target, ukey);
    put_le64(&it->target, 0); /* behind every version */
    if (buf_error(&it->target))
        stop(it, -ENOMEM);
    else
        iter_seek(it->in, buf_slice(&it->target));
}

/* A covered entry: pass it, and let sources that are older than the range delete
 * jump to its end. */
static void pass_covered(struct lsm_iter *it)
{
    if (!it->span.has_hi || merge_source(it->merge) <= it->cover ||
        slice_cmp(it->span.hi, ikey_user(it->in->key)) <= 0) {
        iter_next(it->in);
        return;
    }
    buf_clear(&it->target);
    ikey_append_seek(&it->target, it->span.hi, IKEY_SEQ_MAX);
    if (buf_error(&it->target))
        stop(it, -ENOMEM);
    else
        merge_skip(it->merge, it->cover + 1, buf_slice(&it->target));
}

/*
 * From where `in` stands to the next visible entry. With `pass`, versions of
 * the user key in it->key are not wanted.
 */
static void find_forward(struct lsm_iter *it, bool pass)
{
    struct iter *in = it->in;
    unsigned passed = 0;

    it->valid = false;
    while (in->valid && !it->err) {
        struct slice ukey = ikey_user(in->key);
        uint64_t trailer = ikey_trailer(in->key);

        if (reached_upper(it, ukey))
            return;
        if (!sees(it, trailer >> 8)) {
            iter_next(in);
            continue;
        }
        if (pass && slice_eq(ukey, buf_slice(&it->key))) {
            if (++passed > SKIP_MAX) {
                seek_past(it, buf_slice(&it->key));
                passed = 0;
            } else {
                iter_next(in);
            }
            continue;
        }
        it->type = (enum ikey_type)(trailer & 0xff);
        if (it->type == IKEY_DELETE || trailer >> 8 < covered_at(it, ukey)) {
            buf_assign(&it->key, ukey);
            pass = true;
            passed = 0;
            if (it->type == IKEY_DELETE)
                iter_next(in);
            else
                pass_covered(it);
            continue;
        }
        it->ukey = ukey;
        it->value = in->value;
        it->valid = !it->err;
        return;
    }
    if (in->err || buf_error(&it->key))
        stop(it, in->err ? in->err : -ENOMEM);
}

/* ---- backward ---- */

static bool below_lower(const struct lsm_iter *it, struct slice ukey)
{
    return it->has_lower && slice_cmp(ukey, buf_slice(&it->lower)) < 0;
}

/*
 * `in` stands on the last version to consider. Collect the versions of one user
 * key, which come oldest first; true when the key is visible.
 */
static bool collect_backward(struct lsm_iter *it)
{
    struct iter *in = it->in;
    bool alive = false;

    buf_assign(&it->key, ikey_user(in->key));
    while (in->valid && !it->err) {
        struct slice ukey = ikey_user(in->key);
        uint64_t trailer = ikey_trailer(in->key);

        if (!slice_eq(ukey, buf_slice(&it->key)))
            break;
        if (sees(it, trailer >> 8)) {
            it->type = (enum ikey_type)(trailer & 0xff);
            alive = it->type != IKEY_DELETE && trailer >> 8 >= covered_at(it, ukey);
            if (alive)
                buf_assign(&it->copy, in->value);
        }
        iter_prev(in);
    }
    return alive;
}

static void find_backward(struct lsm_iter *it)
{
    struct iter *in = it->in;

    it->valid = false;
    while (in->valid && !it->err) {
        if (below_lower(it, ikey_user(in->key)))
            return;
        if (collect_backward(it) && !in->err && !it->err) {
            if (buf_error(&it->key) || buf_error(&it->copy))
                break;
            it->ukey = buf_slice(&it->key);
            it->value = buf_slice(&it->copy);
            it->valid = true;
            return;
        }
    }
    if (in->err || buf_error(&it->key) || buf_error(&it->copy))
        stop(it, in->err ? in->err : -ENOMEM);
}

/* ---- moving ---- */

static void seek_forward(struct lsm_iter *it, struct slice ukey)
{
    struct slot *s = db_slot(it->db);

    if (s)
        db_count(&s->seeks, 1);
    it->backward = false;
    it->valid = false;
    buf_clear(&it->target);
    ikey_append_seek(&it->target, ukey, it->own_seq);
    if (buf_error(&it->target)) {
        stop(it, -ENOMEM);
        return;
    }
    iter_seek(it->in, buf_slice(&it->target));
    find_forward(it, false);
}

/* The last key before ukey, or at it. */
static void seek_backward(struct lsm_iter *it, struct slice ukey, bool inclusive)
{
    struct slot *s = db_slot(it->db);

    if (s)
        db_count(&s->seeks, 1);
    it->backward = true;
    it->valid = false;
    buf_clear(&it->target);
    buf_append_slice(&it->target, ukey);
    put_le64(&it->target, inclusive ? 0 : UINT64_MAX);
    if (buf_error(&it->target)) {
        stop(it, -ENOMEM);
        return;
    }
    iter_seek_prev(it->in, buf_slice(&it->target));
    find_backward(it);
}

void lsm_iter_first(struct lsm_iter *it)
{
    if (it->has_lower) {
        seek_forward(it, buf_slice(&it->lower));
        return;
    }
    it->backward = false;
    iter_first(it->in);
    find_forward(it, false);
}

void lsm_iter_last(struct lsm_iter *it)
{
    if (it->has_upper) {
        seek_backward(it, buf_slice(&it->upper), false);
        return;
    }
    it->backward = true;
    iter_last(it->in);
    find_backward(it);
}

void lsm_iter_seek(struct lsm_iter *it, struct slice key)
{
    if (it->has_lower && slice_cmp(key, buf_slice(&it->lower)) < 0)
        key = buf_slice(&it->lower);
    seek_forward(it, key);
}

void lsm_iter_seek_prev(struct lsm_iter *it, struct slice key)
{
    if (reached_upper(it, key))
        seek_backward(it, buf_slice(&it->upper), false);
    else
        seek_backward(it, key, true);
}

void lsm_iter_next(struct lsm_iter *it)
{
    struct slot *s = db_slot(it->db);

    if (s)
        db_count(&s->nexts, 1);
    if (it->backward) {
        /* `in` stands before the current key, or nowhere. */
        it->backward = false;
        seek_past(it, buf_slice(&it->key));
        find_forward(it, false);
        return;
    }
    buf_assign(&it->key, it->ukey);
    iter_next(it->in);
    find_forward(it, true);
}

void lsm_iter_prev(struct lsm_iter *it)
{
    struct slot *s = db_slot(it->db);

    if (s)
        db_count(&s->nexts, 1);
    if (!it->backward) {
        buf_assign(&it->key, it->ukey);
        seek_backward(it, buf_slice(&it->key), false);
        return;
    }
    find_backward(it);
}

/* ---- the entry ---- */

bool lsm_iter_valid(const struct lsm_iter *it)
{
    return it->valid;
}

int lsm_iter_error(const struct lsm_iter *it)
{
    return it->err;
}

struct slice lsm_iter_key(const struct lsm_iter *it)
{
    return it->ukey;
}

/* The pointer of a separated value; -EUCLEAN when it is none. */
static int pointer(const struct lsm_iter *it, struct vptr *p)
{
    struct slice in = it->value;

    if (!vptr_decode(&in, p) || in.len)
        return err_corrupt(it->db->dir, 0, "a value is not a pointer");
    return 0;
}

size_t lsm_iter_value_len(const struct lsm_iter *it)
{
    struct vptr p;

    if (it->type != IKEY_PUT_REF)
        return it->value.len;
    return pointer(it, &p) ? 0 : p.len;
}

int lsm_iter_value(struct lsm_iter *it, struct slice *value)
{
    struct vptr p;
    uint8_t *to;
    int rc;

    if (it->type != IKEY_PUT_REF) {
        *value = it->value;
        return 0;
    }
    rc = pointer(it, &p);
    if (rc)
        return rc;
    buf_clear(&it->separated);
    to = buf_reserve(&it->separated, p.len ? p.len : 1);
    if (!to)
        return -ENOMEM;
    rc = vlog_read(it->db->vlog, &p, 0, p.len, to);
    if (!rc)
        *value = slice_of(to, p.len);
    return rc;
}

int lsm_iter_read(struct lsm_iter *it, size_t off, size_t len, void *to)
{
    struct vptr p;
    int rc;

    if (it->type == IKEY_PUT_REF) {
        rc = pointer(it, &p);
        return rc ? rc : vlog_read(it->db->vlog, &p, off, len, to);
    }
    if (off > it->value.len || len > it->value.len - off)
        return -EINVAL;
    if (len)
        memcpy(to, it->value.data + off, len);
    return 0;
}

/* ---- making ---- */

/* The children of the merge, newest first, and the sources of range deletes. */
struct gathering {
    struct iter **child;
    unsigned n;
    struct range_source *ranges;
    unsigned n_ranges;
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
    if (has_ranges)
        g->ranges[g->n_ranges++] = source;
    g->child[g->n++] = it;
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
    struct table *t;
    int rc;

    if (!in_bounds(g, &f->meta))
        return 0;
    rc = tfile_table(f, &t);
    if (rc)
        return rc;
    return add_child(g, table_iter_new(t, TABLE_ITER_READ),
                     (struct range_source){.file = f}, f->meta.range_deletes > 0);
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
    size_t max = 2 + it->view->n_imm + it->view->version->n[0] + LSM_LEVELS;
    unsigned i;
    int rc = -ENOMEM;

    g->child = calloc(max, sizeof(*g->child));
    g->ranges = calloc(max, sizeof(*g->ranges));
    if (g->child && g->ranges)
        rc = gather(g, it->own, it->view);
    if (!rc) {
        it->merge = merge_new(g->child, g->n);
        rc = it->merge ? 0 : -ENOMEM;
        g->n = 0; /* taken, either way */
    }
    for (i = 0; i < g->n; i++)
        iter_free(g->child[i]);
    free(g->child);
    it->ranges = g->ranges;
    it->n_ranges = g->n_ranges;
    if (!rc)
        it->in = merge_iter(it->merge);
    return rc;
}

int db_iter_new(struct lsm *db, const struct lsm_iter_options *o, struct memtable *own,
                uint64_t own_seq, struct lsm_iter **out)
{
    static const struct lsm_iter_options none;
    struct lsm_iter *it = calloc(1, sizeof(*it));
    struct gathering g = {0};
    int rc;

    if (!it)
        return -ENOMEM;
    o = o ? o : &none;
    it->db = db;
    it->view = db_view_ref(db);
    it->seq = o->snap ? o->snap->seq : atomic_load(&db->visible_seq);
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
    if (!it)
        return;
    iter_free(it->in);
    free(it->ranges);
    buf_release(&it->lower);
    buf_release(&it->upper);
    buf_release(&it->key);
    buf_release(&it->copy);
    buf_release(&it->target);
    buf_release(&it->separated);
    memtable_unref(it->own);
    db_view_unref(it->view);
    free(it);
}
