/*
 * db_sync.c - what was written is made durable: one thread syncs for all who wait.
 *
 * And how often that is asked for. While syncs are near, with little written between
 * them, large values travel in the log, so that there is one file to sync instead of two,
 * and the log is written so that a sync is cheap (env_file_often_synced). They are
 * separated when the memtable is flushed. Between rare syncs that would only write
 * everything twice.
 */
#include <semaphore.h>

#include "db_impl.h"

enum {
    SYNC_AHEAD = 256, /* logs that one sync covers */
    NEAR = 128 << 10, /* users' bytes between two syncs: no more than a second file to
                         sync would cost */
    CROWD = 4,        /* who ask for a sync, again and again: worth waiting for */
    PATIENCE_SYNCS = 4,
    PATIENCE_MOST_NS = 1000000,
};

/* ---- how often ---- */

bool db_sync_is_near(struct lsm *db, const struct lsm_batch *b, enum lsm_durability d)
{
    uint64_t unsynced = d == LSM_SYNC ? 0 : atomic_load(&db->unsynced_bytes);

    return (d == LSM_SYNC || atomic_load(&db->often_synced)) &&
           unsynced + b->user_bytes <= NEAR;
}

static void set_often_locked(struct lsm *db, bool often)
{
    if (atomic_load(&db->often_synced) == often)
        return;
    atomic_store(&db->often_synced, often);
    wal_often_synced(db->wal, often);
}

void db_note_unsynced_locked(struct lsm *db, size_t bytes)
{
    uint64_t unsynced = atomic_load(&db->unsynced_bytes) + bytes;

    atomic_store(&db->unsynced_bytes, unsynced);
    db->unsynced_batches++;
    if (unsynced > NEAR)
        set_often_locked(db, false);
}

/* The active log stays open until put_log. */
static struct log *take_log_locked(struct lsm *db)
{
    struct log *log;

    mutex_lock(&db->sync_mu);
    for (log = db->logs; log->next; log = log->next)
        ;
    log->users++;
    mutex_unlock(&db->sync_mu);
    return log;
}

static void put_log(struct lsm *db, struct log *log)
{
    mutex_lock(&db->sync_mu);
    if (--log->users == 0)
        pthread_cond_broadcast(&db->sync_ended);
    mutex_unlock(&db->sync_mu);
}

/*
 * As many batches are unsynced as were before the last sync: the next one is asked for in
 * a moment, and the disk begins meanwhile. It may have so much to do that this waits: not
 * under the lock that writers need.
 */
void db_expect_sync(struct lsm *db)
{
    struct log *log = NULL;

    if (!atomic_load(&db->often_synced))
        return;
    mutex_lock(&db->write_mu);
    if (db->unsynced_batches == db->usual_batches)
        log = take_log_locked(db);
    mutex_unlock(&db->write_mu);
    if (log) {
        wal_begin_sync(log->wal);
        put_log(db, log);
    }
}

/* A sync is asked for, not only due. */
static void note_asked_locked(struct lsm *db)
{
    db->usual_batches = db->unsynced_batches;
    db->unsynced_batches = 0;
    set_often_locked(db, atomic_load(&db->unsynced_bytes) <= NEAR);
    atomic_store(&db->unsynced_bytes, 0);
}

/* ---- syncing ---- */

/*
 * What was appended up to now: the values, then the logs in order, then the
 * active log. Frames claim to be synced only up to `end`, the length before the
 * values were synced. The leader alone runs this; logs are not dropped
 * meanwhile (db_drop_logs waits).
 */
static int sync_all(struct lsm *db, uint64_t end, struct wal *active, bool dir_dirty)
{
    struct log *log[SYNC_AHEAD];
    size_t n = 0, i;
    int rc;

    /* Far away each sync is a round trip: the two are made at once. What comes of the log
     * alone is as if torn (frames above `synced` are replayed if their values are there).
     */
    if (db->env->appends_in_memory)
        wal_begin_sync(active);
    rc = vlog_sync(db->vlog);
    KILL_POINT("values-synced");
    mutex_lock(&db->sync_mu);
    for (struct log *l = db->logs; l && n < SYNC_AHEAD && l->wal != active; l = l->next)
        if (!l->synced)
            log[n++] = l;
    mutex_unlock(&db->sync_mu);
    for (i = 0; i < n && !rc; i++) {
        if (log[i]->wal)
            rc = wal_sync(log[i]->wal);
        log[i]->synced = rc == 0;
    }
    if (!rc && dir_dirty)
        rc = db_sync_names(db);
    return rc ? rc : wal_sync_upto(active, end);
}

/* A sync came to its end, which covered the active log up to `end`. */
static void note_durable_locked(struct lsm *db, const struct wal *active, uint64_t end)
{
    struct log *l;

    for (l = db->logs; l && l->wal != active; l = l->next)
        if (l->synced && l->wal)
            l->durable = wal_length(l->wal);
    if (l)
        l->durable = end;
}

/* ---- who syncs ---- */

enum { SYNC_LEAD = 1 }; /* told to a thread that waits: do the next one */

/* A thread that waits while another syncs. */
struct sync_waiter {
    struct sync_waiter *next;
    uint64_t seq;
    sem_t told;
    int rc;
};

static void tell(struct sync_waiter *w, int rc)
{
    w->rc = rc;
    sem_post(&w->told); /* it may be gone */
}

/* Take sync_mu's list of those that the last sync covered, in order; all when it failed.
 */
static struct sync_waiter *take_covered_locked(struct lsm *db, int rc)
{
    struct sync_waiter *covered = NULL, **to = &covered, **at = &db->sync_waiters, *w;

    while ((w = *at)) {
        if (rc || w->seq <= db->synced_seq) {
            *at = w->next;
            w->next = NULL;
            *to = w;
            to = &w->next;
        } else {
            at = &w->next;
        }
    }
    db->sync_waiters_end = at;
    return covered;
}

/* The sync is over: the first who still waits does the next, which begins before the
 * others are told. No thread is woken for nothing. */
static void pass_on(struct lsm *db, uint64_t target, const struct wal *active,
                    uint64_t end, int rc)
{
    struct sync_waiter *covered, *next;

    mutex_lock(&db->sync_mu);
    if (!rc) {
        db->synced_seq = target;
        note_durable_locked(db, active, end);
    }
    covered = take_covered_locked(db, rc);
    next = db->sync_waiters;
    if (next) {
        db->sync_waiters = next->next;
        if (!next->next)
            db->sync_waiters_end = &db->sync_waiters;
        db->syncs_begun++;
    }
    db->syncing = next != NULL;
    pthread_cond_broadcast(&db->sync_ended);
    if (db->sync_requests && !db->sync_taken)
        pthread_cond_signal(&db->sync_wanted);
    mutex_unlock(&db->sync_mu);
    if (next)
        tell(next, SYNC_LEAD);
    while (covered) {
        next = covered->next;
        tell(covered, rc);
        covered = next;
    }
}

/* For this thread and all who wait. */
static int lead(struct lsm *db, bool asked)
{
    uint64_t target, end, start;
    struct wal *active;
    bool dir_dirty;
    int rc;

    mutex_lock(&db->write_mu);
    target = db->last_seq;
    active = db->wal;
    end = db->log_end;
    if (asked)
        note_asked_locked(db);
    mutex_lock(&db->sync_mu);
    dir_dirty = db->dir_dirty;
    db->dir_dirty = false;
    mutex_unlock(&db->sync_mu);
    mutex_unlock(&db->write_mu);
    /* Others sync, too, the directory for one. What failed for them is not to be made
     * good by this one: neither before it, while this thread waited for its turn, nor
     * beside. */
    rc = atomic_load(&db->error);
    if (!rc) {
        start = env_now_ns(db->env);
        rc = sync_all(db, end, active, dir_dirty);
        KILL_POINT("log-synced");
        db_took(db, LSM_TIME_SYNC, env_now_ns(db->env) - start);
        atomic_fetch_add(&db->count.syncs, 1);
        rc = rc ? db_fail(db, rc, "syncing") : atomic_load(&db->error);
    }
    pass_on(db, target, active, end, rc);
    return rc;
}

/* Wait for another thread's sync; SYNC_LEAD: it is this one's turn. Drops sync_mu. */
static int wait_turn(struct lsm *db, uint64_t seq)
{
    struct sync_waiter w = {.seq = seq};

    sem_init(&w.told, 0, 0);
    *db->sync_waiters_end = &w;
    db->sync_waiters_end = &w.next;
    mutex_unlock(&db->sync_mu);
    env_about_to_block();
    while (sem_wait(&w.told) < 0) /* a signal */
        ;
    sem_destroy(&w.told);
    return w.rc;
}

static int sync_to(struct lsm *db, uint64_t seq, bool asked)
{
    int rc;

    mutex_lock(&db->sync_mu);
    rc = atomic_load(&db->error);
    if (rc || db->synced_seq >= seq) {
        mutex_unlock(&db->sync_mu);
        return rc;
    }
    if (db->syncing) {
        rc = wait_turn(db, seq);
        return rc == SYNC_LEAD ? lead(db, asked) : rc;
    }
    db->syncing = true;
    db->syncs_begun++;
    mutex_unlock(&db->sync_mu);
    return lead(db, asked);
}

int db_sync_to(struct lsm *db, uint64_t seq)
{
    return sync_to(db, seq, false);
}

int db_sync_asked(struct lsm *db, uint64_t seq)
{
    return sync_to(db, seq, true);
}

bool db_syncs_each(const struct lsm *db)
{
    return db->env->appends_in_memory && !db->o.ack_early;
}

int lsm_settle(struct lsm *db)
{
    return db_syncs_each(db) ? lsm_sync(db) : 0;
}

int lsm_sync(struct lsm *db)
{
    if (db->o.read_only)
        return 0;
    return db_sync_asked(db, atomic_load(&db->publisher.visible));
}

void db_wait_sync_locked(struct lsm *db)
{
    uint64_t running = db->syncs_begun;

    while (db->syncing && db->syncs_begun == running)
        cond_wait(&db->sync_ended, &db->sync_mu);
}

/*
 * ---- for those who wait for no other ----
 *
 * Who finds that no sync runs does one; no other thread is woken first. What is asked
 * meanwhile is the syncer's: it takes all there is, syncs once, and answers. So of many
 * who ask no thread waits here, and none is woken for each.
 *
 * Those who were answered together come again together. If the first of them had its sync
 * at once, the others would wait for that one, idle, and then for theirs. So where a
 * crowd asked, the syncer gathers most of it anew before it syncs.
 */

enum outcome { KNOWN, TO_DO, ASKED };

static unsigned most_of_crowd(const struct lsm *db)
{
    return db->sync_crowd - db->sync_crowd / 4;
}

static enum outcome ask_locked(struct lsm *db, struct lsm_sync_request *r, int *rc)
{
    *rc = atomic_load(&db->error);
    if (*rc || db->synced_seq >= r->seq)
        return KNOWN;
    if (!db->has_syncer ||
        (!db->syncing && !db->sync_taken && !db->sync_requests && !db->sync_gathers))
        return TO_DO;
    r->next = NULL;
    *db->sync_requests_end = r;
    db->sync_requests_end = &r->next;
    db->n_sync_requests++;
    if (db->sync_gathers && db->n_sync_requests == most_of_crowd(db))
        pthread_cond_signal(&db->sync_wanted);
    return ASKED; /* or the end of what runs wakes the syncer */
}

void lsm_sync_notify(struct lsm *db, struct lsm_sync_request *r)
{
    enum outcome o = KNOWN;
    int rc = 0;

    if (!db->o.read_only) {
        r->seq = atomic_load(&db->publisher.visible);
        mutex_lock(&db->sync_mu);
        o = ask_locked(db, r, &rc);
        mutex_unlock(&db->sync_mu);
    }
    if (o == TO_DO)
        rc = db_sync_asked(db, r->seq);
    if (o != ASKED)
        r->done(r, rc);
}

/* Wait for most of the crowd, some syncs' time at the longest. */
static void gather_locked(struct lsm *db)
{
    uint64_t patience_ns = db->sync_took_ns * PATIENCE_SYNCS;
    int rc = 0;

    patience_ns = patience_ns < PATIENCE_MOST_NS ? patience_ns : PATIENCE_MOST_NS;
    while (!rc && db->n_sync_requests < most_of_crowd(db) && !atomic_load(&db->closing))
        rc = cond_wait_ns(&db->sync_wanted, &db->sync_mu, patience_ns);
    db->sync_gathers = false;
}

/* All that is asked; NULL: nothing, and the store closes. */
static struct lsm_sync_request *take_requests(struct lsm *db)
{
    struct lsm_sync_request *list;

    mutex_lock(&db->sync_mu);
    if (db->sync_gathers)
        gather_locked(db);
    while (!db->sync_requests && !atomic_load(&db->closing))
        cond_wait(&db->sync_wanted, &db->sync_mu);
    list = db->sync_requests;
    db->sync_requests = NULL;
    db->sync_requests_end = &db->sync_requests;
    db->sync_crowd = db->n_sync_requests; /* so far */
    db->n_sync_requests = 0;
    db->sync_taken = list != NULL;
    mutex_unlock(&db->sync_mu);
    return list;
}

/* One sync for all of them. */
static void answer(struct lsm *db, struct lsm_sync_request *list)
{
    struct lsm_sync_request *r, *next;
    uint64_t seq = 0, start = env_now_ns(db->env);
    int rc;

    for (r = list; r; r = r->next)
        seq = r->seq > seq ? r->seq : seq;
    rc = db_sync_asked(db, seq);
    mutex_lock(&db->sync_mu);
    db->sync_taken = false; /* who asks from now on need not wait for the answers */
    db->sync_took_ns = env_now_ns(db->env) - start;
    db->sync_crowd += db->n_sync_requests;
    db->sync_gathers = db->sync_crowd >= CROWD;
    mutex_unlock(&db->sync_mu);
    for (r = list; r; r = next) {
        next = r->next;
        r->done(r, rc);
    }
}

static void *syncer(void *arg)
{
    struct lsm *db = arg;
    struct lsm_sync_request *list;

    while ((list = take_requests(db)))
        answer(db, list);
    return NULL;
}

int db_syncer_start(struct lsm *db)
{
    int rc = pthread_create(&db->syncer, NULL, syncer, db);

    db->has_syncer = rc == 0;
    return rc;
}

void db_syncer_stop(struct lsm *db)
{
    if (!db->has_syncer)
        return;
    mutex_lock(&db->sync_mu);
    pthread_cond_signal(&db->sync_wanted);
    mutex_unlock(&db->sync_mu);
    pthread_join(db->syncer, NULL);
    db->has_syncer = false;
}
