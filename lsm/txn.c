/*
 * txn.c - optimistic transactions: reads from a snapshot, own writes in memory,
 * and at commit the question whether others wrote the same keys meanwhile.
 *
 * Own writes lie in a private memtable, numbered from TXN_SEQ on, so that an
 * iterator merges them like any other source, and one made earlier does not see
 * later ones. At commit each key's last one goes into a batch, and the batch
 * through lsm_write's own path: only there do large values reach the value log.
 *
 * The question is asked twice: at leisure, of all that was written since the
 * snapshot; then under write_mu, where nobody gets in between, of what has come
 * since the first time. That is nearly always in the active memtable: tables are
 * known by their greatest sequence number and not touched. So a transaction that
 * lasted long does not make writers wait for its disk reads.
 *
 * Every write since the snapshot leaves a trace to be found, deletes too. The
 * snapshot is registered until the end, so a flush or compaction either lists it
 * among its stripes (compact.c) or lists moments only at which it was not there
 * yet, which then is newer than all that is in its input. What is newer than the
 * snapshot therefore is either not in that input or not in the oldest stripe: and
 * it is left out only in favour of something newer still; a tombstone without
 * successor, point or range, only when it is in the oldest stripe.
 */
#include <stdlib.h>

#include "db_impl.h"

enum {
    OWN_BYTES = 128 * 1024, /* sizes the memtable's filter and chunks; no limit */
};

struct lsm_txn {
    struct lsm *db;
    struct lsm_snapshot *snap; /* NULL: it is over */
    struct memtable *own;      /* NULL: nothing written */
    uint64_t own_seq;          /* of the last own write */
    int err;                   /* sticky: a write that is not all in own */
};

int lsm_txn_begin(struct lsm *db, struct lsm_txn **out)
{
    struct lsm_txn *t = calloc(1, sizeof(*t));

    if (t)
        t->snap = lsm_snapshot_new(db);
    if (!t || !t->snap) {
        free(t);
        return -ENOMEM;
    }
    t->db = db;
    t->own_seq = TXN_SEQ;
    *out = t;
    return 0;
}

void lsm_txn_rollback(struct lsm_txn *t)
{
    if (!t->snap)
        return;
    lsm_snapshot_free(t->db, t->snap);
    memtable_unref(t->own);
    t->snap = NULL;
    t->own = NULL;
}

void lsm_txn_free(struct lsm_txn *t)
{
    if (t)
        lsm_txn_rollback(t);
    free(t);
}

/* ---- own writes ---- */

static int add(struct lsm_txn *t, enum ikey_type type, struct slice key,
               struct slice value)
{
    int rc;

    if (!t->snap || key.len > LSM_KEY_MAX || value.len > LSM_VALUE_MAX)
        return -EINVAL;
    if (!t->own)
        t->own = db_memtable_new(t->db, OWN_BYTES);
    if (!t->own || t->err)
        return t->err ? t->err : -ENOMEM;
    rc = memtable_insert(t->own, type, key, t->own_seq + 1, value);
    if (rc)
        t->err = rc;
    else
        t->own_seq++;
    return rc;
}

int lsm_txn_put(struct lsm_txn *t, struct slice key, struct slice value)
{
    return add(t, IKEY_PUT, key, value);
}

int lsm_txn_delete(struct lsm_txn *t, struct slice key)
{
    return add(t, IKEY_DELETE, key, slice_of(NULL, 0));
}

int lsm_txn_delete_range(struct lsm_txn *t, struct slice from, struct slice to)
{
    if (!t->snap || to.len > LSM_KEY_MAX)
        return -EINVAL;
    return slice_cmp(from, to) < 0 ? add(t, IKEY_RANGE_DELETE, from, to) : 0;
}

/* ---- reading ---- */

/* The newest own range delete over key; 0: none. */
static uint64_t own_cover(const struct lsm_txn *t, struct slice key)
{
    struct rangedel_span span;

    rangedel_span_init(&span);
    memtable_ask_range(t->own, key, t->own_seq, &span);
    return span.seq;
}

/* 0: put, with its value; -ENOENT: deleted; 1: key was not written. */
static int find_own(const struct lsm_txn *t, struct slice key, struct slice *value)
{
    uint64_t trailer = 0, cover;
    int rc;

    if (!t->own)
        return 1;
    rc = memtable_get(t->own, key, hash_key(key), t->own_seq, &trailer, value);
    cover = own_cover(t, key);
    if (rc == -ENOENT && !cover)
        return 1;
    if (rc || (trailer & 0xff) == IKEY_DELETE || trailer >> 8 < cover)
        return -ENOENT;
    return 0;
}

/* A copy, as lsm_get gives one: v may outlive the transaction. */
static int copy_value(struct lsm_value *v, struct slice in)
{
    uint8_t *to = v->small;

    if (in.len > sizeof(v->small)) {
        if (v->cap < in.len) {
            to = realloc(v->owned, in.len);
            if (!to)
                return -ENOMEM;
            v->owned = to;
            v->cap = in.len;
        }
        to = v->owned;
    }
    if (in.len)
        memcpy(to, in.data, in.len);
    v->value = slice_of(to, in.len);
    return 0;
}

int lsm_txn_get(struct lsm_txn *t, struct slice key, struct lsm_value *v)
{
    struct slice own;
    int rc;

    if (!t->snap)
        return -EINVAL;
    rc = find_own(t, key, &own);
    if (rc == 0)
        return copy_value(v, own);
    return rc == 1 ? lsm_get(t->db, t->snap, key, v) : rc;
}

int lsm_txn_exists(struct lsm_txn *t, struct slice key)
{
    struct slice own;
    int rc;

    if (!t->snap)
        return -EINVAL;
    rc = find_own(t, key, &own);
    return rc == 1 ? lsm_exists(t->db, t->snap, key) : rc;
}

int lsm_txn_iter_new(struct lsm_txn *t, const struct lsm_iter_options *o,
                     struct lsm_iter **out)
{
    struct lsm_iter_options mine = {0};

    if (o)
        mine = *o;
    if (!t->snap || mine.snap)
        return -EINVAL;
    mine.snap = t->snap;
    return db_iter_new(t->db, &mine, t->own, t->own_seq, out);
}

/* ---- was it written meanwhile? ---- */

/* Is something in `keys` newer than since? A point has keys.lo == keys.hi. */
struct probe {
    struct key_range keys;
    uint64_t since;
    uint64_t hash;     /* of a point */
    struct slice ikey; /* where the versions of keys.lo begin */
};

static bool is_range(const struct probe *p)
{
    return p->keys.hi_open;
}

static int judge(const struct probe *p, uint64_t seq)
{
    return seq > p->since ? -ECANCELED : 0;
}

/* The points of one source in the range. Takes it (NULL: no memory). */
static int scan_points(struct iter *it, const struct probe *p)
{
    int rc = 0;

    if (!it)
        return -ENOMEM;
    iter_seek(it, p->ikey);
    while (!rc && it->valid && slice_cmp(ikey_user(it->key), p->keys.hi) < 0) {
        rc = judge(p, ikey_seq(it->key));
        iter_next(it);
    }
    if (!rc)
        rc = it->err;
    iter_free(it);
    return rc;
}

/*
 * The range deletes of one source, either a memtable or a table, that touch the
 * point or range: from span to span.
 */
static int ask_range_deletes(struct memtable *m, struct tfile *f, const struct probe *p)
{
    struct slice at = p->keys.lo;
    struct rangedel_span s;
    int rc = 0;

    do {
        rangedel_span_init(&s);
        if (m)
            memtable_ask_range(m, at, IKEY_SEQ_MAX, &s);
        else
            rc = tfile_ask_range(f, at, IKEY_SEQ_MAX, &s);
        if (!rc)
            rc = judge(p, s.seq);
        at = s.hi;
    } while (!rc && is_range(p) && s.has_hi && slice_cmp(at, p->keys.hi) < 0);
    return rc;
}

static int ask_memtable(struct memtable *m, const struct probe *p)
{
    struct slice value;
    uint64_t trailer;
    int rc = ask_range_deletes(m, NULL, p);

    if (rc)
        return rc;
    if (is_range(p))
        return scan_points(memtable_iter_new(m), p);
    rc = memtable_get(m, p->keys.lo, p->hash, IKEY_SEQ_MAX, &trailer, &value);
    return rc ? 0 : judge(p, trailer >> 8);
}

static int ask_pinned(struct tfile *f, struct table *t, const struct probe *p)
{
    struct table_pin pin = {0};
    struct slice value;
    uint64_t trailer;
    int rc = ask_range_deletes(NULL, f, p);

    if (rc)
        return rc;
    if (is_range(p))
        return scan_points(table_iter_new(t, TABLE_ITER_READ), p);
    if (!table_may_contain(t, p->hash))
        return 0;
    rc = table_get(t, p->ikey, &trailer, &value, &pin);
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    table_unpin(&pin);
    return judge(p, trailer >> 8);
}

static int ask_table(struct tfile *f, const struct probe *p)
{
    struct table *t;
    int rc;

    if (f->meta.seq_max <= p->since || !key_range_touches(&p->keys, &f->meta))
        return 0;
    rc = tfile_pin(f, TABLE_ITER_READ, &t);
    if (rc)
        return rc;
    rc = ask_pinned(f, t, p);
    tfile_unpin(f);
    return rc;
}

static int ask_view(const struct view *v, const struct probe *p)
{
    size_t i, end;
    unsigned level;
    int rc = ask_memtable(v->mem, p);

    for (i = 0; i < v->n_imm && !rc; i++)
        if (memtable_place(v->imm[i])->last_seq > p->since)
            rc = ask_memtable(v->imm[i], p);
    for (i = 0; i < v->version->n[0] && !rc; i++)
        rc = ask_table(v->version->file[0][i], p);
    for (level = 1; level < LSM_LEVELS && !rc; level++) {
        if (!v->version->n[level])
            continue;
        version_overlap(v->version, level, &p->keys, &i, &end);
        for (; i < end && !rc; i++)
            rc = ask_table(v->version->file[level][i], p);
    }
    return rc;
}

int db_find_conflict(struct lsm *db, const struct lsm_batch *b, uint64_t since)
{
    /* Counted, not announced: closed tables wait for who is announced, and this may
     * ask for many keys. */
    struct view *v = db_view_ref(db);
    struct buf ikey = {0};
    size_t i;
    int rc = 0;

    for (i = 0; i < b->n && !rc; i++) {
        const struct batch_op *op = &b->ops[i];
        struct slice key = batch_key(b, op);
        bool range = op->kind == BATCH_DELETE_RANGE;
        struct probe p = {.keys = {key, range ? batch_value(b, op) : key, range},
                          .since = since,
                          .hash = range ? 0 : hash_key(key)};

        buf_clear(&ikey);
        ikey_append_seek(&ikey, key, IKEY_SEQ_MAX);
        p.ikey = buf_slice(&ikey);
        rc = buf_error(&ikey);
        if (!rc)
            rc = ask_view(v, &p);
    }
    db_view_unref(v);
    buf_release(&ikey);
    return rc;
}

/* ---- commit ---- */

/* All range deletes come before all points, so fragments that meet are one. */
static int collect_ranges(struct lsm_txn *t, struct lsm_batch *b)
{
    struct range_tombstone *all;
    struct rangedel_set *set = NULL;
    size_t n, i, last;
    int rc = memtable_range_deletes(t->own, &all, &n);

    if (!rc)
        rc = rangedel_build(all, n, NULL, 0, &set);
    for (i = 0; !rc && i < set->n; i = last + 1) {
        last = i;
        while (last + 1 < set->n &&
               slice_cmp(set->list[last + 1].start, set->list[last].end) <= 0)
            last++;
        lsm_batch_delete_range(b, set->list[i].start, set->list[last].end);
    }
    rangedel_free(set);
    free(all);
    return rc;
}

/* The last own write of each key, unless a later range delete covers it. */
static int collect_points(struct lsm_txn *t, struct lsm_batch *b)
{
    struct iter *it = memtable_iter_new(t->own);
    struct slice last = {0};

    if (!it)
        return -ENOMEM;
    for (iter_first(it); it->valid; iter_next(it)) {
        struct slice key = ikey_user(it->key);

        if (last.data && slice_eq(key, last))
            continue;
        last = key;
        if (ikey_seq(it->key) < own_cover(t, key))
            continue;
        if (ikey_type(it->key) == IKEY_DELETE)
            lsm_batch_delete(b, key);
        else
            lsm_batch_put_ref(b, key, it->value);
    }
    iter_free(it);
    return b->err;
}

static int commit(struct lsm_txn *t, enum lsm_durability d)
{
    struct lsm_batch *b = lsm_batch_new();
    uint64_t asked;
    int rc = b ? collect_ranges(t, b) : -ENOMEM;

    if (!rc)
        rc = collect_points(t, b);
    /* Before the view that is asked: what is visible now is in it. */
    asked = atomic_load_explicit(&t->db->publisher.visible, memory_order_acquire);
    if (!rc)
        rc = db_find_conflict(t->db, b, t->snap->seq);
    if (!rc)
        rc = db_write(t->db, b, d, asked);
    lsm_batch_free(b);
    return rc;
}

int lsm_txn_commit(struct lsm_txn *t, enum lsm_durability d)
{
    int rc;

    if (!t->snap)
        return -EINVAL;
    rc = t->err;
    if (!rc && t->own)
        rc = db_writable(t->db);
    if (!rc && t->own)
        rc = commit(t, d);
    else if (!rc && d == LSM_SYNC)
        rc = lsm_sync(t->db);
    lsm_txn_rollback(t); /* what is left of it */
    return rc;
}
