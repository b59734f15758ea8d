/*
 * db_sync.c - what was written is made durable: one thread syncs for all who wait.
 *
 * And how often that is asked for. While syncs are near, with little written between
 * them, large values travel in the log, so that there is one file to sync instead of two,
 * and the log is written so that a sync is cheap (env_file_often_synced). They are
 * separated when the memtable is flushed. Between rare syncs that would only write
 * everything twice.
 */
#include "db_impl.h"

enum {
    SYNC_AHEAD = 256, /* logs that one sync covers */
    NEAR = 128 << 10, /* users' bytes between two syncs: no more than a second file to
                         sync would cost */
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
    if (unsynced > NEAR)
        set_often_locked(db, false);
}

/* A sync is asked for, not only due. */
static void note_asked_locked(struct lsm *db)
{
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
    int rc = vlog_sync(db->vlog);

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
        rc = env_sync_dir(db->env, db->dir);
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

static int sync_to(struct lsm *db, uint64_t seq, bool asked)
{
    uint64_t target, end, start;
    struct wal *active;
    bool dir_dirty;
    int rc;

    mutex_lock(&db->sync_mu);
    while (db->syncing && db->synced_seq < seq) {
        mutex_unlock(&db->sync_mu);
        env_about_to_block();
        mutex_lock(&db->sync_mu);
        if (db->syncing && db->synced_seq < seq)
            cond_wait(&db->sync_done, &db->sync_mu);
    }
    rc = atomic_load(&db->error);
    if (rc || db->synced_seq >= seq) {
        mutex_unlock(&db->sync_mu);
        return rc;
    }
    db->syncing = true;
    mutex_unlock(&db->sync_mu);

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
    start = env_now_ns(db->env);
    rc = sync_all(db, end, active, dir_dirty);
    KILL_POINT("log-synced");
    db_took(db, LSM_TIME_SYNC, env_now_ns(db->env) - start);
    atomic_fetch_add(&db->count.syncs, 1);
    if (rc)
        db_fail(db, rc, "syncing");

    mutex_lock(&db->sync_mu);
    db->syncing = false;
    if (!rc) {
        db->synced_seq = target;
        note_durable_locked(db, active, end);
    }
    pthread_cond_broadcast(&db->sync_done);
    mutex_unlock(&db->sync_mu);
    return rc;
}

int db_sync_to(struct lsm *db, uint64_t seq)
{
    return sync_to(db, seq, false);
}

int db_sync_asked(struct lsm *db, uint64_t seq)
{
    return sync_to(db, seq, true);
}

int lsm_sync(struct lsm *db)
{
    if (db->o.read_only)
        return 0;
    return db_sync_asked(db, atomic_load(&db->visible_seq));
}
