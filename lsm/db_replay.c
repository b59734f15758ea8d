/*
 * db_replay.c - recovery's logs: which of them follow each other, and their batches into
 * the memtable. See db_recover.c.
 */
#include "db_recover_impl.h"

#include <inttypes.h>
#include <stdlib.h>

/* No logs hold more range deletes: a memtable is flushed before it has so many that it is
 * crowded and one batch more. They take much more memory than they take in a log. */
enum {
    RANGES_LOGGED = (MEMTABLES_MAX + 1) * (MEMTABLE_RANGES_MAX + LSM_BATCH_RANGES_MAX)
};

int recovery_log_order(const void *a, const void *b)
{
    const struct edit_log *x = a, *y = b;

    return x->number < y->number ? -1 : x->number > y->number;
}

static int ignore_payload(void *arg, struct slice payload, uint64_t end)
{
    (void)arg;
    (void)payload;
    (void)end;
    return 0;
}

static uint64_t durable_length(const struct recovery *r, uint64_t number)
{
    struct edit_log key = {.number = number};
    const struct edit_log *log = NULL;

    if (r->n_durable)
        log = bsearch(&key, r->durable, r->n_durable, sizeof(key), recovery_log_order);
    return log ? log->durable : 0;
}

/* The manifest may know of more than the frames of the log itself. */
static int check_durable(const struct recovery *r, struct wal_replay *w)
{
    uint64_t durable = durable_length(r, w->number);

    if (w->length < durable)
        return recovery_damaged(r, FILE_LOG, w->number, w->length,
                                "log frames are damaged or missing that were synced");
    if (w->synced < durable)
        w->synced = durable;
    return 0;
}

static int check_durable_there(const struct recovery *r)
{
    size_t i;

    for (i = 0; i < r->n_durable; i++)
        if (!recovery_find(r, FILE_LOG, r->durable[i].number))
            return recovery_damaged(r, FILE_LOG, r->durable[i].number, 0,
                                    "the log is missing");
    return 0;
}

static int scan_log(struct recovery *r, const struct found_file *f, struct found_log *log)
{
    int rc;

    memset(log, 0, sizeof(*log));
    log->r.number = f->number;
    log->size = f->size;
    log->path = file_path(r->db->dir, FILE_LOG, f->number);
    if (!log->path)
        return -ENOMEM;
    rc = wal_replay(r->db->env, log->path, &log->r, ignore_payload, NULL);
    if (!rc)
        rc = check_durable(r, &log->r);
    if (rc)
        free(log->path);
    return rc;
}

/* Put log in front of the chain. */
static int push_log(struct recovery *r, struct found_log *log)
{
    void *p = realloc(r->log, (r->n_logs + 1) * sizeof(*r->log));

    if (!p) {
        free(log->path);
        return -ENOMEM;
    }
    r->log = p;
    memmove(r->log + 1, r->log, r->n_logs * sizeof(*r->log));
    r->log[0] = *log;
    r->n_logs++;
    return 0;
}

/*
 * A log that the chain needs is not there, or has no header. That is a tear at
 * its very start, and what was logged after it goes too; unless that was synced.
 */
static int break_chain(struct recovery *r, uint64_t number)
{
    size_t i;

    for (i = 0; i < r->n_logs; i++)
        if (r->log[i].r.synced)
            return recovery_damaged(r, FILE_LOG, number, 0,
                                    "the log is missing, but a later log was synced");
    while (r->n_logs) {
        r->n_logs--;
        r->db->torn_bytes += r->log[r->n_logs].r.length;
        free(r->log[r->n_logs].path);
    }
    return 0;
}

/*
 * From the newest log with a header back along the headers to the manifest's
 * log number. A newest log without header had nothing in it yet. Logs that the
 * chain passes by are from before an earlier recovery.
 */
int replay_find_chain(struct recovery *r)
{
    uint64_t want = 0, limit = UINT64_MAX;
    size_t i;
    int rc = 0;

    if (r->log_number != NO_LOG && !recovery_find(r, FILE_LOG, r->log_number))
        return recovery_damaged(r, FILE_LOG, r->log_number, 0, "the log is missing");
    rc = check_durable_there(r);
    for (i = r->n_files; i-- > 0 && !rc;) {
        const struct found_file *f = &r->file[i];
        struct found_log log;

        if (f->kind != FILE_LOG || f->number < r->log_number ||
            (want && f->number > want))
            continue;
        if (want && f->number < want) {
            rc = break_chain(r, want);
            want = 0;
            limit = UINT64_MAX;
        }
        if (!rc)
            rc = scan_log(r, f, &log);
        if (rc)
            break;
        if (!log.r.have_header) {
            free(log.path);
            rc = break_chain(r, f->number);
            want = 0;
            limit = UINT64_MAX;
            continue;
        }
        log.limit = limit;
        limit = log.r.prev_length;
        want = log.r.prev_number;
        rc = push_log(r, &log);
        if (!rc && want < r->log_number)
            return 0;
    }
    return rc || !want ? rc : break_chain(r, want);
}

/* Are all values that the batch points to there? Decodes it fully, too. */
static int check_batch(struct recovery *r, struct slice wire, bool check_values,
                       uint64_t *last)
{
    struct batch_reader reader;
    struct batch_entry e;
    int rc;

    if (!batch_reader_init(&reader, wire) || reader.first_seq <= r->replayed_seq)
        return -EUCLEAN;
    while ((rc = batch_reader_next(&reader, &e)) > 0) {
        struct vptr p;

        if (e.type != IKEY_PUT_REF)
            continue;
        if (!vptr_decode(&e.value, &p) || e.value.len)
            return -EUCLEAN;
        if (check_values && (rc = vlog_check(r->db->vlog, &p, true)))
            return rc == -EUCLEAN ? WAL_STOP : rc; /* it may be there */
    }
    *last = reader.first_seq + reader.count - 1;
    r->n_ranges += reader.n_ranges;
    return rc ? rc : r->n_ranges > RANGES_LOGGED ? -EUCLEAN : 0;
}

/* ---- more than memory is to hold ---- */

/* A store's own logs hold no more than its memtables did, and a batch each. Others do
 * that were written with larger ones, or to harm: they hold keys so small that they take
 * twenty times their bytes here. */
static bool is_too_much(const struct recovery *r)
{
    const struct lsm_options *o = &r->db->o;

    return !r->stay && memtable_bytes(r->mem) > (o->memtables + 1) * o->memtable_bytes;
}

static int write_tables(struct recovery *r, struct edit *e)
{
    struct compact_job job = {
        .db = r->db, .flush = r->mem, .version = r->version, .e = e};
    struct range_tombstone *ranges = NULL;
    int rc;

    job.input = memtable_iter_new(r->mem);
    rc = job.input ? memtable_range_deletes(r->mem, &ranges, &job.n_ranges) : -ENOMEM;
    job.ranges = ranges;
    if (!rc)
        rc = compact_run(&job);
    iter_free(job.input);
    free(ranges);
    return rc;
}

/* r->mem becomes a table in front of r->version's, and is empty. */
static int spill(struct recovery *r)
{
    struct lsm *db = r->db;
    struct memtable *fresh = db_memtable_new(db, db->o.memtable_bytes);
    struct version *v = NULL;
    struct edit e = {0};
    size_t i;
    int rc = fresh ? 0 : -ENOMEM;

    atomic_store(&db->next_number, r->next_number);
    atomic_store(&db->publisher.visible, r->replayed_seq);
    if (!rc)
        rc = write_tables(r, &e);
    r->next_number = atomic_load(&db->next_number);
    if (!rc)
        rc = version_apply(r->version, &e, &db->tables, db->dir, &v);
    for (i = 0; i < e.n_added && !rc; i++)
        rc = edit_add_table(&r->made, e.added[i].level, &e.added[i].meta);
    if (rc) {
        compact_undo(db, &e);
        memtable_unref(fresh);
        version_unref(v);
    } else {
        memtable_unref(r->mem);
        r->mem = fresh;
        version_unref(r->version);
        r->version = v;
    }
    edit_release(&e);
    atomic_store(&db->flush_done_bytes, 0);
    KILL_POINT("recovery-spilled");
    return rc;
}

static int apply(struct memtable *m, struct slice wire)
{
    struct memtable_entry some[MEMTABLE_AT_ONCE];
    struct batch_reader r;
    struct batch_entry e;
    size_t n;
    int rc, more;

    if (!batch_reader_init(&r, wire))
        return -EUCLEAN;
    do {
        n = 0;
        while (n < MEMTABLE_AT_ONCE && (more = batch_reader_next(&r, &e)) > 0) {
            uint64_t hash = hash_key(e.key);

            memtable_fetch(m, hash);
            some[n++] = (struct memtable_entry){e.type, e.key, e.value, e.seq, hash};
        }
        rc = memtable_insert_all(m, some, n);
        if (rc)
            return rc == -EINVAL ? -EUCLEAN : rc;
    } while (more > 0);
    return more;
}

static int replay_batch(void *arg, struct slice payload, uint64_t end)
{
    struct recovery *r = arg;
    uint64_t last = 0;
    int rc;

    if (end > r->now->limit)
        return WAL_STOP;
    rc = check_batch(r, payload, end > r->now->r.synced, &last);
    if (!rc)
        rc = apply(r->mem, payload);
    if (rc == -EUCLEAN)
        return err_corrupt(r->now->path, end, "a batch that ends here makes no sense");
    if (rc)
        return rc;
    KILL_POINT("recovery-replays");
    r->replayed_seq = last;
    if (last > r->last_seq)
        r->last_seq = last;
    r->db->recovered_batches++;
    r->db->recovered_bytes += payload.len;
    if (!is_too_much(r))
        return 0;
    rc = spill(r);
    if (rc != -ENOSPC || r->made.n_added)
        return rc;
    r->stay = true; /* it may fit all the same */
    return 0;
}

/* A later log may not claim to be synced when an earlier one is torn. */
static int check_nothing_synced_after(const struct recovery *r, size_t torn,
                                      uint64_t offset)
{
    size_t i;

    for (i = torn + 1; i < r->n_logs; i++)
        if (r->log[i].r.synced)
            return err_corrupt(r->log[torn].path, offset,
                               "the log ends here, but a later log was synced");
    return 0;
}

int replay_run(struct recovery *r)
{
    struct lsm *db = r->db;
    size_t i, j;
    int rc = 0;

    for (i = 0; i < r->n_logs && !rc; i++) {
        struct wal_replay again = {.number = r->log[i].r.number};
        struct found_log *log = &r->log[i];

        r->now = log;
        rc = wal_replay(db->env, log->path, &again, replay_batch, r);
        if (rc)
            return rc;
        db->recovered_logs++;
        log->r.length = again.length;
        if (log->limit == UINT64_MAX) {
            db->torn_bytes += again.torn_bytes;
        } else if (again.length < log->limit) {
            rc = check_nothing_synced_after(r, i, again.length);
            for (j = i + 1; j < r->n_logs; j++) {
                db->torn_bytes += r->log[j].r.length;
                free(r->log[j].path);
            }
            r->n_logs = i + 1;
        } else {
            log->r.length = log->limit;
        }
    }
    /* What is left becomes a table too: no log number says where it begins in a log. */
    return !rc && r->made.n_added ? spill(r) : rc;
}
