/*
 * db_bg.c - the background: one thread flushes, `workers` threads compact
 * (db_compact.c), one keeps time (periodic sync, idle flush, deleting files). With
 * workers == 0 there are no threads, and db_bg_inline does all that is due.
 *
 * Deleting value-log segments takes `values` for writing; no writer waits for the
 * background while it holds that.
 */
#include <stdlib.h>

#include "db_impl.h"

enum {
    TICK_MS = 200,
    IDLE_TICKS = 15,         /* without a write: the store rests */
    SPARE_TICKS = 50,        /* without a flush: what it left is not needed */
    TOMBSTONES_MIN = 32,     /* deletes in a resting memtable worth a flush; */
    DELETED_MIN = 1 << 20,   /* or the bytes of values that they delete */
    UNSYNCED_MAX = 64 << 20, /* bytes of values that start a sync early */
    MEMTABLE_AGE_S = 30,     /* deletes do not wait longer for their effect */
    INLINE_ROUNDS = 1000,
    RETRY_NS = 1000000000,
    ASK_AGAIN_NS = 500000000, /* whether a compaction is still wanted */
};

/* Not over it: who takes a snapshot now reads at what is visible now. */
static uint64_t oldest_read(struct lsm *db)
{
    uint64_t seq = atomic_load(&db->publisher.visible);

    mutex_lock(&db->snap_mu);
    if (db->snaps.next != &db->snaps && db->snaps.next->seq < seq)
        seq = db->snaps.next->seq;
    mutex_unlock(&db->snap_mu);
    return seq;
}

struct pick_options db_pick_options(struct lsm *db)
{
    return (struct pick_options){
        .strategy = db->o.strategy,
        .l0_trigger = db->o.l0_trigger,
        .level_ratio = db->o.level_ratio,
        .l1_bytes = db->o.l1_bytes,
        .table_bytes = db->o.table_bytes,
        .recompress = atomic_load(&db->live.compression[LSM_LEVELS - 2]) !=
                      atomic_load(&db->live.compression[LSM_LEVELS - 1]),
        .at_rest = atomic_load(&db->at_rest) || atomic_load(&db->urgent),
        .left_out =
            atomic_load(&db->damaged_tables) || atomic_load(&db->unreadable_tables),
        .oldest_seq = oldest_read(db),
        .l0_ref_bytes = db->o.garbage_ratio > 0 ? db->o.memtable_bytes : 0,
    };
}

void db_bg_wake_locked(struct lsm *db)
{
    pthread_cond_broadcast(&db->work);
}

/* ---- flush ---- */

static int run_flush(struct lsm *db, struct memtable *m, struct version *v,
                     uint64_t log_number)
{
    struct edit e = {.has_log_number = true, .log_number = log_number};
    struct compact_job job = {
        .db = db, .flush = m, .separate = true, .version = v, .e = &e};
    uint64_t start = env_now_ns(db->env), bytes = memtable_bytes(m), took;
    struct range_tombstone *ranges = NULL;
    bool unsure = false;
    int rc;

    publish_wait(&db->publisher, memtable_place(m)->last_seq);
    /* What the table points to must last before the table does. */
    rc = vlog_sync(db->vlog);
    if (rc)
        return db_fail(db, rc, "syncing the value log");
    job.input = memtable_iter_new(m);
    rc = job.input ? memtable_range_deletes(m, &ranges, &job.n_ranges) : -ENOMEM;
    job.ranges = ranges;
    if (!rc)
        rc = compact_run(&job);
    KILL_POINT("flush-table-written");
    /* Also the name of the log that the edit will begin with. */
    if (!rc)
        rc = compact_make_durable(db, false);
    if (!rc) {
        rc = db_install(db, &e, m);
        unsure = rc != -ENOSPC; /* the edit may have reached the disk */
    }
    if (rc && !unsure)
        compact_undo(db, &e);
    iter_free(job.input);
    free(ranges);
    edit_release(&e);
    if (rc)
        return rc;
    took = env_now_ns(db->env) - start;
    db_took(db, LSM_TIME_FLUSH, took);
    db_note_flush(db, bytes, took);
    atomic_fetch_add(&db->count.flushes, 1);
    atomic_fetch_add(&db->count.flush_bytes, job.written);
    atomic_fetch_add(&db->count.level_written[0], job.written);
    KILL_POINT("flush-installed");
    /* A spare one is only room taken when there is none, or nothing to write over. */
    db_drop_logs(db, log_number,
                 bytes >= db->o.memtable_bytes / 2 && !atomic_load(&db->low_space) &&
                     !db->env->appends_in_memory);
    return 0;
}

/* The oldest memtable that waits, or NULL; nobody else flushes until end_flush. */
static void begin_flush(struct lsm *db, struct memtable **oldest,
                        struct version **version, uint64_t *log_number)
{
    struct view *v;

    *oldest = NULL;
    *version = NULL;
    mutex_lock(&db->state_mu);
    while (db->flushing)
        cond_wait(&db->room, &db->state_mu);
    v = atomic_load(&db->view);
    if (v->n_imm) {
        struct memtable *after = v->n_imm > 1 ? v->imm[v->n_imm - 2] : v->mem;

        *oldest = v->imm[v->n_imm - 1];
        *log_number = memtable_place(after)->log_number;
        db->flushing = true;
        /* Not the view: segments that it reads would be kept. */
        memtable_ref(*oldest);
        version_ref(*version = v->version);
    }
    mutex_unlock(&db->state_mu);
}

static void end_flush(struct lsm *db, struct memtable *oldest, int rc)
{
    mutex_lock(&db->state_mu);
    if (oldest)
        db->flushing = false;
    db->flush_error = rc;
    if (rc)
        atomic_fetch_add(&db->count.failures, 1);
    pthread_cond_broadcast(&db->room);
    mutex_unlock(&db->state_mu);
}

/* What it moved, values that are in the memtable, is nobody's until it is done. What it
 * had moved when it found no room goes at once: the next try needs that room. *again: so
 * soon, with what was set aside. */
static int try_flush(struct lsm *db, struct memtable *m, struct version *v,
                     uint64_t log_number, bool *again)
{
    uint64_t floor;
    int rc;

    mutex_lock(&db->state_mu);
    rc = db_moving_begin_locked(db, &floor);
    mutex_unlock(&db->state_mu);
    if (rc)
        return rc;
    rc = run_flush(db, m, v, log_number);
    atomic_store(&db->flush_done_bytes, 0);
    if (rc == -ENOSPC) {
        *again = db_reserve_release(db);
        (void)vlog_retire_moved(db->vlog); /* else it is garbage until it is full */
    }
    mutex_lock(&db->state_mu);
    db_moving_end_locked(db, floor);
    mutex_unlock(&db->state_mu);
    if (rc == -ENOSPC)
        db_purge(db);
    return rc;
}

int db_flush_one(struct lsm *db)
{
    struct memtable *oldest;
    struct version *version;
    uint64_t log_number = 0;
    bool again = false;
    int rc = 0;

    begin_flush(db, &oldest, &version, &log_number);
    if (oldest)
        rc = try_flush(db, oldest, version, log_number, &again);
    if (again)
        rc = try_flush(db, oldest, version, log_number, &again);
    memtable_unref(oldest);
    version_unref(version);
    end_flush(db, oldest, rc);
    if (rc && rc != -ENOSPC && rc != -EROFS)
        db_fail(db, rc, "flushing");
    return rc;
}

/* ---- threads ---- */

static void *flusher(void *arg)
{
    struct lsm *db = arg;

    mutex_lock(&db->state_mu);
    while (!atomic_load(&db->closing)) {
        bool work = atomic_load(&db->view)->n_imm > 0 && !atomic_load(&db->error);
        int rc;

        if (!work) {
            cond_wait(&db->work, &db->state_mu);
            continue;
        }
        mutex_unlock(&db->state_mu);
        rc = db_flush_one(db);
        mutex_lock(&db->state_mu);
        if (rc && !atomic_load(&db->closing))
            cond_wait_ns(&db->work, &db->state_mu, RETRY_NS);
    }
    mutex_unlock(&db->state_mu);
    return NULL;
}

/* A failure is logged where it is found; the tables stay, to be compacted some day. */
static void drop_covered(struct lsm *db)
{
    if (!db_writable(db))
        (void)db_drop_covered(db);
}

static void *worker(void *arg)
{
    struct lsm *db = arg;

    env_background(db->env);
    mutex_lock(&db->state_mu);
    while (!atomic_load(&db->closing)) {
        struct compaction c;
        struct version *v;

        if (db_help_locked(db))
            continue;
        if (db_look_due_locked(db)) {
            mutex_unlock(&db->state_mu);
            db_look_again(db);
            mutex_lock(&db->state_mu);
            continue;
        }
        /* First: what goes unread need not be compacted. */
        if (atomic_exchange(&db->covered_due, false)) {
            mutex_unlock(&db->state_mu);
            drop_covered(db);
            mutex_lock(&db->state_mu);
            continue;
        }
        if (db_paused_locked(db) || !db_choose_locked(db, false, &v, &c)) {
            cond_wait_ns(&db->work, &db->state_mu, RETRY_NS);
            continue;
        }
        mutex_unlock(&db->state_mu);
        db_compact_one(db, v, &c);
        mutex_lock(&db->state_mu);
    }
    mutex_unlock(&db->state_mu);
    return NULL;
}

/* Deletes free space only when they reach what they delete: do not let them lie
 * in a memtable that nobody fills. */
static void flush_resting(struct lsm *db, unsigned idle_ticks)
{
    struct memtable *m;
    uint64_t age;

    mutex_lock(&db->write_mu);
    m = db->mem;
    age = env_now_ns(db->env) - memtable_place(m)->born_ns;
    if (memtable_deletes(m) && (atomic_load(&db->low_space) || db_memtable_full(db)))
        (void)db_switch_locked(db);
    else if ((memtable_deletes(m) >= TOMBSTONES_MIN || memtable_has_range_deletes(m) ||
              atomic_load(&memtable_place(m)->deleted_bytes) >= DELETED_MIN) &&
             (idle_ticks >= IDLE_TICKS || age > MEMTABLE_AGE_S * 1000000000ull))
        (void)db_switch_locked(db); /* if it cannot be now, then later */
    mutex_unlock(&db->write_mu);
}

struct timekeeping {
    uint64_t seen_seq;
    uint64_t unsynced_since;
    unsigned idle_ticks;
    double user_per_s;           /* written, of late */
    uint64_t rate_ns, rate_user; /* as of the last look */
};

/* What compactions may write, from what is being written and what is due. */
static void set_rate(struct lsm *db, struct timekeeping *t, uint64_t now)
{
    uint64_t user = atomic_load(&db->count.user_bytes), worst = 0;
    double per_s = 0;
    unsigned level;

    if (atomic_load(&db->live.background_bytes_per_s))
        return;
    if (t->rate_ns && now > t->rate_ns)
        per_s = (double)(user - t->rate_user) * 1e9 / (double)(now - t->rate_ns);
    t->user_per_s = t->user_per_s * 0.9 + per_s * 0.1;
    t->rate_ns = now;
    t->rate_user = user;
    for (level = 0; level < LSM_LEVELS; level++) {
        uint64_t score = atomic_load(&db->level_score_permille[level]);

        worst = score > worst ? score : worst;
    }
    if (!atomic_load(&db->urgent))
        rate_set(&db->rate,
                 rate_automatic((uint64_t)t->user_per_s, (double)worst / 1000));
}

/* A log that the manifest knows nothing of could be lost without a trace, so that is
 * soon mended; for how long it is, there is time until the store rests. */
static void note_logs(struct lsm *db, bool resting)
{
    const struct log *l;
    bool unknown = false;

    mutex_lock(&db->sync_mu);
    for (l = db->logs; l; l = l->next)
        unknown |= l->durable && !l->noted;
    mutex_unlock(&db->sync_mu);
    if (unknown || resting)
        db_note_logs(db);
}

/* Which segments can be emptied depends on the room there is: so that is chosen anew,
 * also when the disk is full no more. */
static void look_for_room(struct lsm *db)
{
    db_reserve_take(db);
    (void)db_space_again(db); /* if not now, then soon */
    mutex_lock(&db->state_mu);
    if (db->victims.n && atomic_load(&db->low_space))
        db_bg_wake_locked(db);
    mutex_unlock(&db->state_mu);
}

static void tick(struct lsm *db, struct timekeeping *t)
{
    uint64_t seq = atomic_load(&db->publisher.visible), now = env_now_ns(db->env), synced;
    unsigned interval_ms = atomic_load(&db->live.sync_interval_ms);

    set_rate(db, t, now);
    t->idle_ticks = seq == t->seen_seq ? t->idle_ticks + 1 : 0;
    t->seen_seq = seq;
    mutex_lock(&db->sync_mu);
    synced = db->synced_seq;
    mutex_unlock(&db->sync_mu);
    if (seq <= synced || !t->unsynced_since)
        t->unsynced_since = now;
    if (interval_ms && seq > synced && !atomic_load(&db->error) &&
        (now - t->unsynced_since >= interval_ms * 1000000ull ||
         vlog_unsynced(db->vlog) > UNSYNCED_MAX)) {
        db_sync_to(db, seq);
        t->unsynced_since = 0;
    }
    if (!db_writable(db))
        flush_resting(db, t->idle_ticks);
    atomic_store(&db->at_rest, t->idle_ticks >= IDLE_TICKS);
    note_logs(db, t->idle_ticks >= IDLE_TICKS && seq <= synced);
    if (t->idle_ticks == IDLE_TICKS) {
        db_drop_spare(db);
        spare_drop(&db->memory.spare);
        mutex_lock(&db->state_mu);
        db_bg_wake_locked(db);
        mutex_unlock(&db->state_mu);
    }
    spare_tend(&db->memory.spare, SPARE_TICKS);
    table_cache_tend(&db->tables);
    if (atomic_exchange(&db->purge_due, false))
        db_purge(db);
    if (atomic_load(&db->low_space) && !db_writable(db))
        look_for_room(db);
    else if (!db_writable(db))
        db_reserve_take(db);
}

static void *timer(void *arg)
{
    struct lsm *db = arg;
    struct timekeeping t = {0};

    mutex_lock(&db->state_mu);
    while (!atomic_load(&db->closing)) {
        bool replaced;

        cond_wait_ns(&db->tick, &db->state_mu, TICK_MS * 1000000ull);
        replaced = db->replaced != NULL; /* iterators may have let go of it */
        mutex_unlock(&db->state_mu);
        if (replaced)
            atomic_store(&db->purge_due, true);
        tick(db, &t);
        mutex_lock(&db->state_mu);
    }
    mutex_unlock(&db->state_mu);
    return NULL;
}

int db_bg_start(struct lsm *db)
{
    int rc;

    if (!db->o.workers || db->o.read_only)
        return 0;
    db->worker = calloc(db->o.workers, sizeof(*db->worker));
    if (!db->worker)
        return -ENOMEM;
    rc = pthread_create(&db->flusher, NULL, flusher, db);
    db->has_flusher = rc == 0;
    if (!rc)
        rc = pthread_create(&db->timer, NULL, timer, db);
    db->has_timer = rc == 0 && db->has_flusher;
    if (db->has_timer) /* who drops it */
        spare_set_limit(&db->memory.spare, db->o.memtable_bytes);
    if (!rc)
        rc = db_syncer_start(db);
    while (!rc && db->n_workers < db->o.workers) {
        rc = pthread_create(&db->worker[db->n_workers], NULL, worker, db);
        db->n_workers += rc == 0;
    }
    if (rc)
        db_bg_stop(db);
    return -rc;
}

void db_bg_stop(struct lsm *db)
{
    mutex_lock(&db->state_mu);
    atomic_store(&db->closing, true);
    pthread_cond_broadcast(&db->work);
    pthread_cond_broadcast(&db->room);
    pthread_cond_broadcast(&db->tick);
    mutex_unlock(&db->state_mu);
    if (db->has_flusher)
        pthread_join(db->flusher, NULL);
    if (db->has_timer)
        pthread_join(db->timer, NULL);
    while (db->n_workers)
        pthread_join(db->worker[--db->n_workers], NULL);
    db_syncer_stop(db);
    db->has_flusher = db->has_timer = false;
    free(db->worker);
    db->worker = NULL;
}

/* ---- without threads, and on demand ---- */

/* Who asks for a compaction, and may call it off; zeroed: nobody did, it is due. */
struct asker {
    bool asked;               /* also right after one that failed */
    bool (*go_on)(void *arg); /* NULL: nobody calls it off */
    void *arg;
};

static bool called_off(const struct asker *a)
{
    return a->go_on && !a->go_on(a->arg);
}

/* True: something was done. *rc: what became of it; *busy: others compact, after which
 * there may be more to do. */
static bool compact_here(struct lsm *db, bool full, const struct asker *a, int *rc,
                         bool *busy)
{
    struct compaction c;
    struct version *v;
    bool some;

    if (atomic_exchange(&db->covered_due, false))
        drop_covered(db);
    mutex_lock(&db->state_mu);
    if (db_look_due_locked(db)) {
        mutex_unlock(&db->state_mu);
        db_look_again(db);
        mutex_lock(&db->state_mu);
    }
    some = (a->asked || !db_paused_locked(db)) && db_choose_locked(db, full, &v, &c);
    *busy = db->compactions_running > 0;
    mutex_unlock(&db->state_mu);
    c.go_on = a->go_on;
    c.go_on_arg = a->arg;
    *rc = some ? db_compact_one(db, v, &c) : 0;
    return some && *rc == 0;
}

void db_bg_inline(struct lsm *db)
{
    static const struct asker nobody;
    unsigned round;
    bool more = true, busy;
    int rc; /* logged, and tried again */

    for (round = 0; more && round < INLINE_ROUNDS; round++) {
        mutex_lock(&db->state_mu);
        more = atomic_load(&db->view)->n_imm > 0;
        mutex_unlock(&db->state_mu);
        if (more)
            more = db_flush_one(db) == 0;
        more = compact_here(db, false, &nobody, &rc, &busy) || more;
    }
    if (atomic_exchange(&db->purge_due, false))
        db_purge(db);
    if (atomic_load(&db->low_space))
        look_for_room(db);
}

int lsm_flush(struct lsm *db)
{
    uint64_t target;
    int rc = db_writable(db);

    if (rc)
        return rc;
    mutex_lock(&db->write_mu);
    while (memtable_entries(db->mem) || memtable_has_range_deletes(db->mem)) {
        rc = db_switch_locked(db);
        if (rc != -EAGAIN)
            break;
        mutex_unlock(&db->write_mu);
        rc = db_flush_one(db);
        mutex_lock(&db->write_mu);
        if (rc)
            break;
    }
    target = db->last_seq;
    mutex_unlock(&db->write_mu);
    while (!rc) {
        struct view *v = db_view_ref(db);
        bool done = !v->n_imm || memtable_place(v->imm[v->n_imm - 1])->last_seq > target;

        db_view_unref(v);
        if (done)
            break;
        rc = db_flush_one(db);
    }
    return rc;
}

int lsm_compact(struct lsm *db, bool full)
{
    return lsm_compact_while(db, full, NULL, NULL);
}

int lsm_compact_while(struct lsm *db, bool full, bool (*go_on)(void *arg), void *arg)
{
    struct asker a = {.asked = true, .go_on = go_on, .arg = arg};
    int rc = lsm_flush(db);

    atomic_fetch_add(&db->urgent, 1);
    if (!atomic_load(&db->live.background_bytes_per_s))
        rate_set(&db->rate, RATE_UNLIMITED);
    while (!rc) {
        int failed;
        bool busy, worked = compact_here(db, full, &a, &failed, &busy);

        mutex_lock(&db->state_mu);
        if (!worked && db->compactions_running)
            (void)cond_wait_ns(&db->room, &db->state_mu, ASK_AGAIN_NS);
        mutex_unlock(&db->state_mu);
        rc = failed ? failed : called_off(&a) ? -ECANCELED : db_writable(db);
        if (!worked && !busy)
            break;
    }
    atomic_fetch_sub(&db->urgent, 1);
    if (!rc)
        db_purge(db);
    return rc;
}
