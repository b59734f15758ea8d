/*
 * db_write.c - the commit path: values to the value log, the batch to the WAL,
 * its operations to the memtable, its sequence numbers visible in order.
 *
 * A short mutex gives a batch its sequence numbers and its place in the log
 * (Pebble's commit pipeline); inserting into the memtable happens outside, in
 * parallel; then each batch waits for its predecessor to be visible. Syncs:
 * db_sync.c.
 */
#include <stdlib.h>

#include "db_impl.h"

enum {
    LOG_CHUNK = 4 << 20,  /* preallocated at a time */
    SOME_BYTES = 1 << 20, /* of large values that are written together */
    DELETE_PAUSE_NS = 20000000,
};

/* On a full disk, for room to delete, at most. */
static const uint64_t DELETE_WAIT_NS = 10000000000;

/* ---- logs and memtables ---- */

/* Turn the spare log into path; 0 when there was one. */
static int recycle_log(struct lsm *db, const char *path)
{
    uint64_t spare;
    char *old;
    int rc;

    mutex_lock(&db->sync_mu);
    spare = db->spare_log;
    db->spare_log = 0;
    mutex_unlock(&db->sync_mu);
    if (!spare)
        return -ENOENT;
    old = file_path(db->dir, FILE_LOG, spare);
    rc = old ? env_rename(db->env, old, path) : -ENOMEM;
    free(old);
    KILL_POINT("log-recycled");
    return rc;
}

uint64_t db_log_chunk(const struct lsm_options *o)
{
    return o->memtable_bytes < LOG_CHUNK ? o->memtable_bytes : LOG_CHUNK;
}

int db_new_log_locked(struct lsm *db)
{
    struct log *log = calloc(1, sizeof(*log)), **tail;
    struct wal_create c = {.env = db->env, .number = db_new_number(db)};
    char *path = file_path(db->dir, FILE_LOG, c.number);
    int rc = -ENOMEM;

    if (!log || !path)
        goto out;
    c.path = path;
    /* On a full disk what is left is for tables, which make room. */
    c.preallocate = atomic_load(&db->low_space) ? 0 : db_log_chunk(&db->o);
    c.reuse = recycle_log(db, path) == 0;
    mutex_lock(&db->sync_mu);
    for (tail = &db->logs; *tail; tail = &(*tail)->next) {
        c.prev_number = (*tail)->number;
        c.prev_length = (*tail)->wal ? wal_length((*tail)->wal) : (*tail)->bytes;
    }
    mutex_unlock(&db->sync_mu);
    rc = wal_create(&c, &log->wal);
    if (rc)
        goto out;
    KILL_POINT("log-created");
    log->number = c.number;
    mutex_lock(&db->sync_mu);
    for (tail = &db->logs; *tail; tail = &(*tail)->next)
        ;
    *tail = log;
    db->dir_dirty = true;
    db->wal = log->wal;
    db->log_end = wal_length(log->wal);
    log = NULL;
    mutex_unlock(&db->sync_mu);
    wal_often_synced(db->wal, atomic_load(&db->often_synced));
out:
    free(log);
    free(path);
    return rc;
}

int db_switch_locked(struct lsm *db)
{
    struct memtable *imm[IMM_MAX], *fresh;
    struct view *old, *new = NULL;
    bool full;
    int rc;

    mutex_lock(&db->state_mu);
    full = atomic_load(&db->view)->n_imm + 1 >= db->o.memtables;
    /* In the same breath: a flush that ends after it was looked takes it back. */
    if (full)
        atomic_store(&db->need_room, true);
    mutex_unlock(&db->state_mu);
    if (full)
        return -EAGAIN;
    fresh = db_memtable_new(db, db->o.memtable_bytes);
    if (!fresh)
        return -ENOMEM;
    rc = db_new_log_locked(db);
    if (rc) {
        memtable_unref(fresh);
        return rc;
    }
    memtable_place(db->mem)->last_seq = db->last_seq;
    memtable_place(fresh)->log_number = wal_number(db->wal);
    memtable_place(fresh)->born_ns = env_now_ns(db->env);
    mutex_lock(&db->state_mu);
    old = atomic_load(&db->view);
    imm[0] = db->mem;
    memcpy(imm + 1, old->imm, old->n_imm * sizeof(*imm));
    new = db_view_new(fresh, imm, old->n_imm + 1, old->version);
    if (new) {
        db->mem = fresh;
        db->mem_user_bytes = 0;
        db_view_install_locked(db, new);
        db_count_waiting_locked(db);
        db_bg_wake_locked(db);
    }
    mutex_unlock(&db->state_mu);
    memtable_unref(fresh); /* the view has it */
    KILL_POINT("memtable-switched");
    return new ? 0 : db_fail(db, -ENOMEM, "changing memtables");
}

/* ---- values ---- */

static bool is_large(const struct lsm *db, const struct batch_op *op)
{
    return op->kind == BATCH_PUT && db->o.separate_bytes &&
           op->value_len >= db->o.separate_bytes;
}

/* Does op's value go to the value log now? in_log: large ones travel in the log, but
 * those of which somebody chose how they are compressed: the log would not know. */
static bool is_to_be_separated(const struct lsm *db, const struct batch_op *op,
                               bool in_log)
{
    return (!in_log || op->vlog >= 0) && is_large(db, op);
}

/* Does b write values to the value log, or read where some are? */
static bool touches_values(const struct lsm *db, const struct lsm_batch *b, bool in_log)
{
    size_t i;

    for (i = 0; i < b->n; i++)
        if (b->ops[i].kind == BATCH_SHARE || is_to_be_separated(db, &b->ops[i], in_log))
            return true;
    return false;
}

static int set_pointer(struct lsm_batch *b, struct batch_op *op, const struct vptr *p)
{
    struct buf enc = {0};

    vptr_append(&enc, p);
    batch_set_value(b, op, BATCH_POINTER, buf_slice(&enc));
    buf_release(&enc);
    return b->err;
}

/* Some large ones that lie together. */
struct large {
    struct batch_op *op[VLOG_SOME];
    unsigned n;
    size_t bytes;
};

/* The values are written before any of them becomes a pointer: then the batch's bytes
 * move. */
static int separate_some(struct lsm *db, struct lsm_batch *b, struct large *l)
{
    struct slice value[VLOG_SOME];
    struct vptr p[VLOG_SOME];
    int kind[VLOG_SOME], rc = 0;
    unsigned i;

    for (i = 0; i < l->n; i++) {
        value[i] = batch_value(b, l->op[i]);
        kind[i] = l->op[i]->vlog;
    }
    if (l->n) {
        rc = vlog_append_some(db->vlog, value, kind, l->n, p);
        KILL_POINT("value-written");
    }
    for (i = 0; i < l->n && !rc; i++)
        rc = set_pointer(b, l->op[i], &p[i]);
    l->n = 0;
    l->bytes = 0;
    return rc;
}

/* op is one more of them; there may be too many now. */
static int add_large(struct lsm *db, struct lsm_batch *b, struct large *l,
                     struct batch_op *op)
{
    size_t len = op->value_len;
    int rc = 0;

    if (l->n == VLOG_SOME || (l->n && l->bytes + len > SOME_BYTES))
        rc = separate_some(db, b, l);
    l->op[l->n++] = op;
    l->bytes += len;
    return rc;
}

static int separate(struct lsm *db, struct lsm_batch *b, struct batch_op *op,
                    struct slice value)
{
    struct vptr p;
    int rc = vlog_append(db->vlog, value, op->vlog, &p);

    return rc ? rc : set_pointer(b, op, &p);
}

/* ---- shares ---- */

/* The record of which a share took the last part for another key than its own. */
struct split {
    uint64_t segment, offset, bytes;
};

/*
 * A pointer in a memtable may hide a value as large below, which is garbage that no table
 * knows of (db_space.c). But of a value that gets smaller under its own key, a part of it
 * gone to another key perhaps, only what is lost is: not the part that stays.
 */
static void note_kept(struct lsm_batch *b, struct split *s, const struct vptr *whole,
                      const struct vptr *part, bool own_key)
{
    uint64_t kept = vptr_stored(part), all = vptr_stored(whole), lost;

    if (!own_key) {
        *s = (struct split){whole->segment, whole->offset, kept};
        return;
    }
    if (s->segment == whole->segment && s->offset == whole->offset)
        kept += s->bytes;
    lost = all > kept ? all - kept : 0;
    b->kept_bytes += kept > lost ? kept - lost : 0;
    s->bytes = 0;
}

/*
 * The part [off, off + len) of what a lookup found becomes op's value. A large one that
 * is in a memtable itself is written: a batch of shares stays small.
 */
static int take_part(struct lsm *db, struct lsm_batch *b, struct batch_op *op,
                     const struct lookup *l, struct split *s)
{
    size_t off = op->share_off, len = op->share_len;
    struct slice in = l->value, part;
    struct vptr p, whole;

    if ((l->trailer & 0xff) != IKEY_PUT_REF) {
        if (off > in.len || len > in.len - off)
            return -EINVAL;
        part = slice_of(in.data + off, len);
        if (db->o.separate_bytes && len >= db->o.separate_bytes)
            return separate(db, b, op, part);
        batch_set_value(b, op, BATCH_PUT, part);
        return b->err;
    }
    if (!vptr_decode(&in, &p))
        return -EUCLEAN;
    if (off > p.len || len > p.len - off)
        return -EINVAL;
    whole = p;
    p.off += (uint32_t)off;
    p.len = (uint32_t)len;
    p.shared = true;
    note_kept(b, s, &whole, &p, slice_cmp(l->user, batch_key(b, op)) == 0);
    return set_pointer(b, op, &p);
}

static int resolve_share(struct lsm *db, struct lsm_batch *b, struct batch_op *op,
                         struct split *split)
{
    struct slot *s = db_slot(db);
    struct view *v = db_view(db, s);
    struct slice src = batch_value(b, op);
    struct buf key = {0}, src_copy = {0};
    struct lookup l = {.seq = atomic_load(&db->publisher.visible), .pins = !s};
    int rc;

    /* The batch's bytes move when the value is set. */
    buf_assign(&src_copy, src);
    l.user = buf_slice(&src_copy);
    ikey_append_seek(&key, l.user, l.seq);
    l.ikey = buf_slice(&key);
    l.hash = hash_key(l.user);
    rc = buf_error(&key) ? -ENOMEM : buf_error(&src_copy);
    if (!rc)
        rc = db_find(v, &l);
    if (!rc)
        rc = take_part(db, b, op, &l, split);
    table_unpin(&l.pin);
    db_view_done(s, v);
    buf_release(&key);
    buf_release(&src_copy);
    return rc;
}

/* Shares and, unless they travel in the log, large values become pointers. `values` is
 * held. */
static int resolve_values(struct lsm *db, struct lsm_batch *b, bool in_log)
{
    struct large large = {.n = 0};
    struct split split = {0};
    size_t i;
    int rc = 0;

    for (i = 0; i < b->n && !rc; i++) {
        struct batch_op *op = &b->ops[i];

        if (op->kind == BATCH_SHARE)
            rc = resolve_share(db, b, op, &split);
        else if (is_to_be_separated(db, op, in_log))
            rc = add_large(db, b, &large, op);
    }
    return rc ? rc : separate_some(db, b, &large);
}

/* ---- commit ---- */

/* What was encoded for the log, without decoding it; first: the first one's sequence. */
static int insert_batch(struct memtable *m, const struct lsm_batch *b, uint64_t first)
{
    struct memtable_entry some[MEMTABLE_AT_ONCE];
    size_t i = 0, n;
    int rc = 0;

    while (i < b->n && !rc) {
        for (n = 0; n < MEMTABLE_AT_ONCE && i < b->n; n++, i++) {
            const struct batch_op *op = &b->ops[i];

            some[n] = (struct memtable_entry){batch_type(op), batch_key(b, op),
                                              batch_value(b, op), first + i, op->hash};
            if (i >= MEMTABLE_AT_ONCE)
                memtable_fetch(m, op->hash);
        }
        rc = memtable_insert_all(m, some, n);
    }
    return rc;
}

/*
 * Batches that have their numbers but are not in the memtable yet count too.
 * They need no lock of ours to get there, so waiting for them here is safe, and
 * short; nobody gets in between, so what holds now holds when b gets its numbers.
 */
static int find_conflict_locked(struct lsm *db, const struct lsm_batch *b, uint64_t since)
{
    publish_wait(&db->publisher, db->last_seq);
    return db_find_conflict(db, b, since);
}

static void count_batch_locked(struct lsm *db, const struct lsm_batch *b)
{
    struct counters *c = &db->count;
    uint64_t puts = 0, deletes = 0, ranges = 0;
    size_t i;

    for (i = 0; i < b->n; i++) {
        puts += b->ops[i].kind == BATCH_PUT || b->ops[i].kind == BATCH_POINTER;
        deletes += b->ops[i].kind == BATCH_DELETE;
        ranges += b->ops[i].kind == BATCH_DELETE_RANGE;
    }
    db_count(&c->batches, 1);
    db_count(&c->puts, puts);
    db_count(&c->deletes, deletes);
    db_count(&c->range_deletes, ranges);
    db_count(&c->user_bytes, b->user_bytes);
    db_count(&c->wal_bytes, b->wire.len);
}

/* What insert_batch will look at comes while the log is written. */
static void fetch_places(const struct memtable *m, const struct lsm_batch *b)
{
    for (size_t i = 0; i < b->n && i < MEMTABLE_AT_ONCE; i++)
        memtable_fetch(m, b->ops[i].hash);
}

/* Sequence numbers, of which *last is the last, and a place in the log. */
static int enter_log(struct lsm *db, struct lsm_batch *b, uint64_t since,
                     uint64_t *ticket, uint64_t *last, struct memtable **mem)
{
    struct slice part;
    int rc = 0;

    mutex_lock(&db->write_mu);
    if (db_memtable_full(db))
        rc = db_switch_locked(db);
    if (rc == -EAGAIN)
        rc = 0; /* over the limit by what is in flight; the next ones wait first */
    if (!rc)
        rc = db_writable(db);
    if (!rc && since < db->last_seq)
        rc = find_conflict_locked(db, b, since);
    if (!rc) {
        fetch_places(db->mem, b);
        batch_stamp(b, db->last_seq + 1);
        part = buf_slice(&b->wire);
        rc = wal_append(db->wal, &part, 1, &db->log_end);
        KILL_POINT("log-written");
    }
    if (!rc) {
        db->last_seq += b->n;
        *last = db->last_seq;
        *ticket = publish_ticket(&db->publisher);
        *mem = db->mem;
        count_batch_locked(db, b);
        db_price_flush_locked(db, b->user_bytes);
        db_note_unsynced_locked(db, b->user_bytes);
    }
    mutex_unlock(&db->write_mu);
    return rc;
}

/* What b puts is in no gap any more: after it got its numbers, and before anybody
 * can see it (gaps.h). */
static void cut_gaps(struct lsm *db, const struct lsm_batch *b)
{
    size_t i;

    for (i = 0; i < b->n; i++) {
        struct slice key = batch_key(b, &b->ops[i]);

        if ((b->ops[i].kind == BATCH_PUT || b->ops[i].kind == BATCH_POINTER) &&
            gaps_touch(&db->gaps, key))
            gaps_cut(&db->gaps, key);
    }
}

static int commit(struct lsm *db, struct lsm_batch *b, uint64_t since, uint64_t *last)
{
    uint64_t ticket, deletes = db_space_deletes(db, b);
    struct memtable *mem;
    int rc = batch_encode(b);

    if (!rc)
        rc = enter_log(db, b, since, &ticket, last, &mem);
    if (rc)
        return rc;
    cut_gaps(db, b);
    /* mem stays: it is not flushed before our numbers are visible. */
    rc = insert_batch(mem, b, *last - b->n + 1);
    if (rc)
        db_fail(db, rc, "filling the memtable"); /* the log has it: reopen to see it */
    else if (b->kept_bytes)
        memtable_less_refs(mem, b->kept_bytes);
    db_space_note(db, mem, deletes);
    publish(&db->publisher, ticket, *last);
    return rc;
}

static int resolve_and_commit(struct lsm *db, struct lsm_batch *b, bool values,
                              bool in_log, uint64_t since, uint64_t *last)
{
    int rc = values ? resolve_values(db, b, in_log) : 0;

    return rc ? rc : commit(db, b, since, last);
}

/*
 * The room that is left is in other hands for a while: of a compaction that gives back
 * more than it takes, or fails and gives back that. False: of nobody's, as it is always
 * where there are no workers: what is due is done when the write is over.
 */
static bool wait_for_room_to_delete(struct lsm *db, uint64_t until_ns)
{
    bool coming;

    if (!db->o.workers)
        return false;
    env_about_to_block();
    mutex_lock(&db->state_mu);
    coming = db_space_coming_locked(db) && env_now_ns(db->env) < until_ns;
    if (coming)
        cond_wait_ns(&db->room, &db->state_mu, DELETE_PAUSE_NS);
    mutex_unlock(&db->state_mu);
    return coming;
}

/*
 * Nothing was applied after -ENOSPC: a batch that deletes gets a second chance, with the
 * room that was set aside, and further ones as long as more is coming. `values` is held
 * over the first two: what the batch points to since the first one must still be there in
 * the second. (Held any longer, it would keep those from purging who make room.)
 */
static int write_values_and_commit(struct lsm *db, struct lsm_batch *b,
                                   enum lsm_durability d, uint64_t since, uint64_t *last)
{
    bool in_log = db_sync_is_near(db, b, d), values = touches_values(db, b, in_log);
    int rc;

    if (values)
        rwlock_read(&db->values);
    rc = resolve_and_commit(db, b, values, in_log, since, last);
    if (rc == -ENOSPC && db_reserve_release(db) && db_reserve_admits(db, b))
        rc = resolve_and_commit(db, b, values, in_log, since, last);
    if (values)
        rwlock_unlock(&db->values);
    if (rc == -ENOSPC && !values && db_reserve_admits(db, b)) {
        uint64_t until = env_now_ns(db->env) + DELETE_WAIT_NS;

        while (rc == -ENOSPC && wait_for_room_to_delete(db, until))
            rc = resolve_and_commit(db, b, values, in_log, since, last);
    }
    return rc;
}

static int write_batch(struct lsm *db, struct lsm_batch *b, enum lsm_durability d,
                       uint64_t since)
{
    bool later = d == LSM_LATER;
    uint64_t last = 0;
    int rc = b->err ? b->err : db_writable(db);

    if (rc)
        return rc;
    if (!b->n)
        return d == LSM_SYNC ? lsm_sync(db) : 0;
    if (db_syncs_each(db))
        d = LSM_SYNC;
    if (env_full(db->env) && !atomic_load(&db->low_space))
        db_reserve_release(db); /* what is set aside is for who makes room */
    if (!db->o.workers && !db_reserve_admits(db, b))
        db_bg_inline(db); /* there may be room again, and nobody else looks */
    if (!db_reserve_admits(db, b))
        return -ENOSPC;
    db_throttle(db, b);
    if (atomic_load_explicit(&db->need_room, memory_order_relaxed))
        rc = db_wait_for_room(db);
    if (rc)
        return rc;
    rc = write_values_and_commit(db, b, d, since, &last);
    if (!rc && d == LSM_SYNC && !later)
        rc = db_sync_asked(db, last);
    else if (!rc && d != LSM_SYNC)
        db_expect_sync(db);
    if (!db->o.workers)
        db_bg_inline(db);
    return rc;
}

int db_write(struct lsm *db, struct lsm_batch *b, enum lsm_durability d, uint64_t since)
{
    struct slot *s = db_slot(db);
    uint64_t start = db_timed_begin(db, s, LSM_TIME_WRITE);
    int rc = write_batch(db, b, d, since);

    db_timed_end(db, s, LSM_TIME_WRITE, start);
    return rc;
}

int lsm_write(struct lsm *db, struct lsm_batch *b, enum lsm_durability d)
{
    return db_write(db, b, d, IKEY_SEQ_MAX);
}

static int write_one(struct lsm *db, struct slice key, const struct slice *value)
{
    struct lsm_batch b = {0};
    struct batch_op op[1];
    int rc;

    b.ops = op;
    b.cap = 1;
    if (value)
        lsm_batch_put_ref(&b, key, *value);
    else
        lsm_batch_delete(&b, key);
    rc = lsm_write(db, &b, LSM_NOSYNC);
    buf_release(&b.bytes);
    buf_release(&b.wire);
    return rc;
}

int lsm_put(struct lsm *db, struct slice key, struct slice value)
{
    return write_one(db, key, &value);
}

int lsm_delete(struct lsm *db, struct slice key)
{
    return write_one(db, key, NULL);
}
