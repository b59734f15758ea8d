/*
 * db_read.c - point reads and snapshots.
 *
 * A view first, the sequence second: then everything in the view's tables that
 * was dropped in favour of newer versions was dropped in favour of versions we
 * see.
 */
#include <stdlib.h>

#include "db_impl.h"

enum { STACK_KEY = 256 };

/* Memtables from the newest on. */
static int find_in_memory(struct memtable *m, struct lookup *l)
{
    struct rangedel_span span;

    if (memtable_has_range_deletes(m)) {
        rangedel_span_init(&span);
        memtable_ask_range(m, l->user, l->seq, &span);
        if (span.seq > l->deleted_at)
            l->deleted_at = span.seq;
    }
    return memtable_get(m, l->user, l->hash, l->seq, &l->trailer, &l->value);
}

int db_find(struct view *v, struct lookup *l)
{
    unsigned i;
    int rc = find_in_memory(v->mem, l);

    for (i = 0; i < v->n_imm && rc == -ENOENT && !l->deleted_at; i++)
        rc = find_in_memory(v->imm[i], l);
    if (rc == -ENOENT && !l->deleted_at)
        rc = version_lookup(v->version, l);
    if (rc)
        return rc;
    if ((l->trailer & 0xff) == IKEY_DELETE || l->trailer >> 8 < l->deleted_at)
        return -ENOENT;
    return 0;
}

/* Room for len bytes in v. */
static uint8_t *value_room(struct lsm_value *v, size_t len)
{
    if (len <= sizeof(v->small))
        return v->small;
    if (v->cap < len) {
        uint8_t *p = realloc(v->owned, len);

        if (!p)
            return NULL;
        v->owned = p;
        v->cap = len;
    }
    return v->owned;
}

void lsm_value_release(struct lsm_value *v)
{
    free(v->owned);
    v->owned = NULL;
    v->cap = 0;
    v->value = slice_of(NULL, 0);
}

static int pointer_of(struct lsm *db, const struct lookup *l, struct vptr *p)
{
    struct slice in = l->value;

    if (!vptr_decode(&in, p) || in.len)
        return err_corrupt(db->dir, 0, "a value is not a pointer");
    return 0;
}

static int copy_value(struct lsm *db, const struct lookup *l, struct lsm_value *out)
{
    struct slice in = l->value;
    struct vptr p;
    uint8_t *to;
    int rc;

    if ((l->trailer & 0xff) != IKEY_PUT_REF) {
        to = value_room(out, in.len);
        if (!to)
            return -ENOMEM;
        if (in.len)
            memcpy(to, in.data, in.len);
        out->value = slice_of(to, in.len);
        return 0;
    }
    rc = pointer_of(db, l, &p);
    if (rc)
        return rc;
    to = value_room(out, p.len);
    if (!to)
        return -ENOMEM;
    rc = vlog_read(db->vlog, &p, 0, p.len, to);
    if (!rc)
        out->value = slice_of(to, p.len);
    return rc;
}

static int value_len(struct lsm *db, const struct lookup *l, size_t *len)
{
    struct vptr p = {.len = 0};
    bool is_pointer = (l->trailer & 0xff) == IKEY_PUT_REF;
    int rc = is_pointer ? pointer_of(db, l, &p) : 0;

    *len = is_pointer ? p.len : l->value.len;
    return rc;
}

static void count_get(struct lsm *db, struct slot *s, const struct lookup *l, bool hit)
{
    struct slot *c = db_counts(db, s);

    if (hit)
        db_tally(s, &c->hits, 1);
    if (l->searched)
        db_tally(s, &c->tables_searched, l->searched);
    if (!l->filter_checked)
        return;
    db_tally(s, &c->filter_checked, l->filter_checked);
    db_tally(s, &c->filter_rejected, l->filter_rejected);
    db_tally(s, &c->filter_false, l->filter_false);
}

/* out, len: NULL when not asked for. */
static int get(struct lsm *db, const struct lsm_snapshot *snap, struct slice key,
               struct lsm_value *out, size_t *len)
{
    uint8_t stack[STACK_KEY + IKEY_TRAILER], *ikey = stack;
    struct lookup l = {.user = key};
    struct slot *s = db_slot(db);
    uint64_t start;
    struct view *v;
    int rc;

    l.pins = !s;
    if (key.len > LSM_KEY_MAX)
        return -ENOENT;
    start = db_timed_begin(db, s, LSM_TIME_GET);
    if (key.len > STACK_KEY) {
        ikey = malloc(key.len + IKEY_TRAILER);
        if (!ikey)
            return -ENOMEM;
    }
    v = db_view(db, s);
    l.seq =
        snap ? snap->seq : atomic_load_explicit(&db->publisher.visible, memory_order_acquire);
    if (key.len)
        memcpy(ikey, key.data, key.len);
    store_le64(ikey + key.len, l.seq << 8 | 0xff);
    l.ikey = slice_of(ikey, key.len + IKEY_TRAILER);
    l.hash = hash_key(key);
    rc = db_find(v, &l);
    if (!rc && out)
        rc = copy_value(db, &l, out);
    if (!rc && len)
        rc = value_len(db, &l, len);
    table_unpin(&l.pin);
    db_view_done(s, v);
    count_get(db, s, &l, rc == 0);
    db_timed_end(db, s, LSM_TIME_GET, start);
    if (ikey != stack)
        free(ikey);
    return rc;
}

int lsm_get(struct lsm *db, const struct lsm_snapshot *snap, struct slice key,
            struct lsm_value *v)
{
    return get(db, snap, key, v, NULL);
}

int lsm_exists(struct lsm *db, const struct lsm_snapshot *snap, struct slice key)
{
    return get(db, snap, key, NULL, NULL);
}

int lsm_get_len(struct lsm *db, const struct lsm_snapshot *snap, struct slice key,
                size_t *len)
{
    return get(db, snap, key, NULL, len);
}

/* ---- snapshots ---- */

struct lsm_snapshot *lsm_snapshot_new(struct lsm *db)
{
    struct lsm_snapshot *s = calloc(1, sizeof(*s)), *ring = &db->snaps;

    if (!s)
        return NULL;
    mutex_lock(&db->snap_mu);
    /* Under the lock, so that the ring stays in order, and so that a compaction
     * that lists the snapshots either lists this one or began after a moment at
     * which nothing it drops was visible to it. */
    s->seq = atomic_load(&db->publisher.visible);
    s->prev = ring->prev;
    s->next = ring;
    ring->prev->next = s;
    ring->prev = s;
    mutex_unlock(&db->snap_mu);
    return s;
}

void lsm_snapshot_free(struct lsm *db, struct lsm_snapshot *s)
{
    if (!s)
        return;
    mutex_lock(&db->snap_mu);
    s->prev->next = s->next;
    s->next->prev = s->prev;
    mutex_unlock(&db->snap_mu);
    atomic_store(&db->covered_due, true); /* what it alone saw may go */
    free(s);
}

int db_snapshots(struct lsm *db, uint64_t **seqs, size_t *n)
{
    struct lsm_snapshot *s;
    size_t count = 1;
    int rc = 0;

    mutex_lock(&db->snap_mu);
    for (s = db->snaps.next; s != &db->snaps; s = s->next)
        count++;
    *n = 0;
    *seqs = malloc(count * sizeof(**seqs));
    if (!*seqs)
        rc = -ENOMEM;
    for (s = db->snaps.next; s != &db->snaps && !rc; s = s->next)
        if (!*n || (*seqs)[*n - 1] != s->seq)
            (*seqs)[(*n)++] = s->seq;
    /* Now is a snapshot too: what is visible at this moment may be seen by
     * snapshots taken from now on; newer writes are not in the input. */
    if (!rc) {
        uint64_t now = atomic_load(&db->publisher.visible);

        if (!*n || (*seqs)[*n - 1] != now)
            (*seqs)[(*n)++] = now;
    }
    mutex_unlock(&db->snap_mu);
    return rc;
}
