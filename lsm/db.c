/*
 * db.c - opening and closing a store, its errors.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "db_impl.h"
#include "doubt.h"

enum {
    TABLES_OPEN_MAX = 1000,
    FILES_SHARE =
        4, /* of the descriptors that there are, a part in so many is for tables */
};

uint64_t db_new_number(struct lsm *db)
{
    return atomic_fetch_add(&db->next_number, 1);
}

struct memtable *db_memtable_new(struct lsm *db, size_t budget_bytes)
{
    return memtable_new(budget_bytes, &db->memory);
}

int db_fail(struct lsm *db, int rc, const char *what)
{
    int none = 0;

    if (!atomic_compare_exchange_strong(&db->error, &none, rc))
        return rc;
    err_log("%s: %s failed: %s; the store is read-only: look at the disk, then open "
            "(mount) it again",
            db->dir, what, strerror(-rc));
    vlog_set_doubt(db->vlog, true);
    doubt_note(db->env, db->dir);
    return rc;
}

int db_sync_names(struct lsm *db)
{
    int rc;

    env_about_to_block();
    mutex_lock(&db->names_mu);
    rc = atomic_load(&db->error);
    if (!rc && (rc = env_sync_dir(db->env, db->dir)))
        db_fail(db, rc, "syncing the directory");
    mutex_unlock(&db->names_mu);
    return rc;
}

int db_writable(struct lsm *db)
{
    return db->o.read_only || atomic_load_explicit(&db->error, memory_order_relaxed)
               ? -EROFS
               : 0;
}

bool lsm_is_store(struct env *env, const char *path)
{
    char *current = file_path(path, FILE_CURRENT, 0);
    uint64_t size;
    struct env *in = env ? env : env_for(path);
    bool is = current && in && env_stat(in, current, &size) == 0;

    free(current);
    return is;
}

const char *lsm_path(const struct lsm *db)
{
    return db->dir;
}

int lsm_space(struct lsm *db, uint64_t *total, uint64_t *avail)
{
    int rc = env_space(db->env, db->dir, total, avail);

    if (atomic_load(&db->low_space))
        *avail = 0;
    return rc;
}

static uint64_t log_disk_bytes(struct lsm *db)
{
    uint64_t bytes = 0, least = db_log_chunk(&db->o);
    struct log *log;

    mutex_lock(&db->sync_mu);
    for (log = db->logs; log; log = log->next) {
        uint64_t length = log->wal ? wal_length(log->wal) : log->bytes;

        bytes += log->wal && length < least ? least : length;
    }
    if (db->spare_log)
        bytes += least;
    mutex_unlock(&db->sync_mu);
    return bytes;
}

uint64_t lsm_disk_bytes(struct lsm *db)
{
    uint64_t bytes = vlog_bytes(db->vlog) + log_disk_bytes(db);
    struct view *v = db_view_ref(db);
    unsigned level;

    for (level = 0; level < LSM_LEVELS; level++)
        bytes += v->version->bytes[level];
    db_view_unref(v);
    return bytes + (atomic_load(&db->has_reserve) ? db_reserve_bytes(&db->o) : 0);
}

static void table_dead(void *arg, uint64_t number)
{
    struct lsm *db = arg;

    mutex_lock(&db->dead_mu);
    if (db->n_dead == db->cap_dead) {
        size_t cap = db->cap_dead ? 2 * db->cap_dead : 16;
        void *p = realloc(db->dead, cap * sizeof(*db->dead));

        if (p) {
            db->dead = p;
            db->cap_dead = cap;
        }
    }
    if (db->n_dead < db->cap_dead) /* else the next open deletes it */
        db->dead[db->n_dead++] = number;
    mutex_unlock(&db->dead_mu);
}

static void init_locks(struct lsm *db)
{
    mutex_init(&db->manifest_mu, LOCK_DB_MANIFEST);
    rwlock_init(&db->values, LOCK_DB_VALUES);
    mutex_init(&db->write_mu, LOCK_DB_WRITE);
    gaps_init(&db->gaps);
    mutex_init(&db->sync_mu, LOCK_DB_SYNC);
    mutex_init(&db->names_mu, LOCK_DB_NAMES);
    mutex_init(&db->state_mu, LOCK_DB_STATE);
    mutex_init(&db->snap_mu, LOCK_SNAPSHOTS);
    mutex_init(&db->dead_mu, LOCK_DB_DEAD);
    cond_init(&db->sync_ended);
    cond_init(&db->sync_wanted);
    db->sync_waiters_end = &db->sync_waiters;
    db->sync_requests_end = &db->sync_requests;
    cond_init(&db->work);
    cond_init(&db->room);
    cond_init(&db->tick);
    db->snaps.next = db->snaps.prev = &db->snaps;
}

static uint64_t number_for_vlog(void *arg)
{
    return db_new_number(arg);
}

static int names_for_vlog(void *arg)
{
    return db_sync_names(arg);
}

/* Without slashes at its end, so that the parent is what it looks like. */
static char *copy_dir(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    return strndup(path, n);
}

static void init_tables(struct lsm *db)
{
    unsigned files = env_files_max() / FILES_SHARE;

    struct table_cache_limits limits = {
        .memory = &db->memory,
        .max_open = files < TABLES_OPEN_MAX ? files : TABLES_OPEN_MAX,
        .note_readers = db_note_readers,
        .readers_left = db_readers_left,
    };

    table_cache_init(&db->tables, db->env, db->dir, db->cache, table_dead, db);
    table_cache_limit(&db->tables, &limits);
}

static void set_live(struct lsm *db, const struct lsm_options *o)
{
    unsigned level;

    atomic_store(&db->live.sync_interval_ms, o->sync_interval_ms);
    atomic_store(&db->live.background_bytes_per_s, o->background_bytes_per_s);
    for (level = 0; level < LSM_LEVELS; level++)
        atomic_store(&db->live.compression[level], (int)o->compression[level]);
    rate_set(&db->rate,
             o->background_bytes_per_s ? o->background_bytes_per_s : RATE_UNLIMITED);
}

static struct lsm *db_new(const char *path, const struct lsm_options *o)
{
    struct lsm *db = aligned_alloc(64, (sizeof(*db) + 63) / 64 * 64);

    if (!db)
        return NULL;
    memset(db, 0, sizeof(*db));
    db->o = *o;
    format_init(&db->format);
    db->env = db->o.env = o->env ? o->env : env_for(path);
    db->dir = copy_dir(path);
    db->o.memtable_bytes = options_memtable_bytes(o);
    db->o.dictionary_bytes = options_dictionary_bytes(o);
    /* No memory: no cache, which lsm_open looks at. */
    (void)memory_init(&db->memory, o->memory_bytes,
                      db->o.memtables * db->o.memtable_bytes);
    db->cache = db->memory.cache;
    atomic_init(&db->next_number, 1);
    init_locks(db);
    init_tables(db);
    rate_init(&db->rate, db->env, RATE_UNLIMITED);
    set_live(db, o);
    return db;
}

/* Everything but the threads and the files' last state. */
static void db_free(struct lsm *db)
{
    db_view_install_locked(db, NULL);
    db_view_reap(db);
    while (db->logs) {
        struct log *next = db->logs->next;

        wal_close(db->logs->wal, true);
        free(db->logs);
        db->logs = next;
    }
    manifest_close(db->manifest, false);
    if (db->vlog)
        vlog_close(db->vlog);
    table_cache_release(&db->tables);
    memory_release(&db->memory);
    env_unlock(db->env, db->lock);
    rwlock_release(&db->values);
    mutex_release(&db->manifest_mu);
    mutex_release(&db->write_mu);
    gaps_release(&db->gaps);
    mutex_release(&db->sync_mu);
    mutex_release(&db->names_mu);
    mutex_release(&db->state_mu);
    mutex_release(&db->snap_mu);
    mutex_release(&db->dead_mu);
    segment_set_release(&db->victims);
    segment_set_release(&db->unmovable);
    db_times_free(db);
    free(db->moving_floor);
    free(db->sealed);
    free(db->dead);
    free(db->dir);
    free(db);
}

/* The store's own name must last, too. */
static int sync_parent(struct lsm *db)
{
    const char *slash = strrchr(db->dir, '/');
    char *parent = !slash             ? strdup(".")
                   : slash == db->dir ? strdup("/")
                                      : strndup(db->dir, (size_t)(slash - db->dir));
    int rc = parent ? env_sync_dir(db->env, parent) : -ENOMEM;

    free(parent);
    /* A directory that we may write but not read cannot be synced. */
    return rc == -EACCES ? 0 : rc;
}

enum { FIRST_MANIFEST = 1 };

static int make_dir(struct lsm *db)
{
    int rc = env_mkdir(db->env, db->dir);

    return rc && rc != -EEXIST ? rc : sync_parent(db);
}

/* Files that no creation leaves behind: a store's whose CURRENT is lost. */
static int note_foreign(void *arg, const char *name)
{
    bool *lost = arg;
    uint64_t number;

    switch (file_parse(name, &number)) {
    case FILE_MANIFEST:
        *lost |= number != FIRST_MANIFEST;
        break;
    case FILE_LOG:
    case FILE_TABLE:
    case FILE_SEGMENT:
        *lost = true;
        break;
    default:
        break;
    }
    return 0;
}

/* Anything but what a creation leaves; it has the lock first. */
static int note_unfinished(void *arg, const char *name)
{
    bool *locked = arg;
    uint64_t number;
    enum file_kind kind = file_parse(name, &number);

    *locked |= kind == FILE_LOCK;
    return kind == FILE_LOCK || kind == FILE_TEMP ||
                   (kind == FILE_MANIFEST && number == FIRST_MANIFEST)
               ? 0
               : 1;
}

bool lsm_is_unfinished(struct env *env, const char *path)
{
    bool locked = false;

    env = env ? env : env_for(path);
    return env && env_list(env, path, note_unfinished, &locked) == 0 && locked;
}

/* A directory without CURRENT: of no store, or of one that lost it? */
static int check_lost(struct lsm *db)
{
    bool lost = false;
    int rc = env_list(db->env, db->dir, note_foreign, &lost);

    if (!rc && lost)
        rc = err_corrupt(db->dir, 0, "files of a store, and no CURRENT: lsm_repair");
    return rc;
}

/* What a crash in an earlier creation left. */
static int clear_creation(struct lsm *db)
{
    char *path = file_path(db->dir, FILE_MANIFEST, FIRST_MANIFEST);
    int rc = path ? check_lost(db) : -ENOMEM;

    if (!rc)
        rc = env_unlink(db->env, path);
    free(path);
    return rc == -ENOENT ? 0 : rc;
}

/* A manifest that says "empty". Under the lock; who had it before may have made one. */
static int make_store(struct lsm *db)
{
    struct edit empty = {.has_next_number = true,
                         .has_log_number = true,
                         .has_last_seq = true,
                         .next_number = FIRST_MANIFEST + 1,
                         .log_number = NO_LOG,
                         .has_options = true};
    struct store_format format = db->format;
    struct manifest *m;
    int rc;

    if (lsm_is_store(db->env, db->dir))
        return db->o.must_be_new ? -EEXIST : 0;
    rc = format_accept(&format, db->o.format, db->dir);
    if (rc)
        return rc;
    format_encode(&empty.options, &format);
    rc = buf_error(&empty.options);
    if (!rc)
        rc = clear_creation(db);
    if (!rc)
        rc = manifest_create(db->env, db->dir, FIRST_MANIFEST, &empty, &m);
    edit_release(&empty);
    return rc ? rc : manifest_close(m, true);
}

static int take_lock(struct lsm *db)
{
    char *path = file_path(db->dir, FILE_LOCK, 0);
    int rc = path ? env_lock(db->env, path, db->o.read_only, &db->lock) : -ENOMEM;

    free(path);
    if (rc == -EWOULDBLOCK)
        return -EBUSY;
    /* A store on read-only media can have no writer. */
    if (db->o.read_only && (rc == -EROFS || rc == -EACCES))
        return 0;
    return rc;
}

static int open_files(struct lsm *db)
{
    bool exists = lsm_is_store(db->env, db->dir);
    struct vlog_options vo = {
        .env = db->env,
        .dir = db->dir,
        .segment_bytes = db->o.segment_bytes,
        .compression = (enum compression)db->o.vlog,
        .second_thread = db->o.workers && !db->o.read_only,
        .next_number = number_for_vlog,
        .sync_names = names_for_vlog,
        .arg = db,
    };
    int rc = 0;

    if (exists && db->o.create && db->o.must_be_new)
        return -EEXIST;
    if (!exists && !db->o.create)
        return check_lost(db) == -EUCLEAN ? -EUCLEAN : -ENOENT;
    if (!exists)
        rc = make_dir(db);
    if (!rc)
        rc = take_lock(db);
    if (!rc && !exists)
        rc = make_store(db);
    if (!rc)
        rc = vlog_open(&vo, &db->vlog);
    if (!rc)
        rc = db_recover(db);
    return rc;
}

int lsm_change_options(struct lsm *db, const struct lsm_options *o)
{
    struct lsm_options all = db->o;
    int rc;

    all.sync_interval_ms = o->sync_interval_ms;
    all.background_bytes_per_s = o->background_bytes_per_s;
    memcpy(all.compression, o->compression, sizeof(all.compression));
    all.vlog = o->vlog;
    rc = lsm_options_check(&all);
    if (rc)
        return rc;
    set_live(db, &all);
    vlog_set_compression(db->vlog, (enum compression)o->vlog);
    return 0;
}

int lsm_open(const char *path, const struct lsm_options *o, struct lsm **out)
{
    struct lsm *db;
    uint64_t start;
    int rc = lsm_options_check(o);

    if (!rc && !o->env && !env_for(path))
        rc = -EOPNOTSUPP;
    if (rc)
        return rc;
    db = db_new(path, o);
    if (!db)
        return -ENOMEM;
    start = env_now_ns(db->env);
    rc = db->dir && db->cache ? open_files(db) : -ENOMEM;
    if (!rc && !o->read_only)
        rc = db_space_again(db);
    if (!rc && !o->read_only)
        db_reserve_take(db);
    if (!rc)
        rc = db_bg_start(db);
    if (rc) {
        db_free(db);
        return rc;
    }
    db->o.format = NULL; /* the caller's; db->format has it */
    db->o.accept = NULL;
    db->recovery_ns = env_now_ns(db->env) - start;
    *out = db;
    return 0;
}

static int install_end(struct lsm *db)
{
    struct edit e = {.has_log_number = true, .log_number = NO_LOG};
    int rc = db_install(db, &e, NULL);

    edit_release(&e);
    return rc;
}

/* The manifest's end. Without room for CURRENT to note it all is there nevertheless. */
static int close_manifest(struct lsm *db)
{
    int rc = manifest_close(db->manifest, true);

    db->manifest = NULL;
    return rc && rc != -ENOSPC ? db_fail(db, rc, "closing the manifest") : 0;
}

/*
 * A clean end: no log to replay, no preallocated space. The last edit says that
 * no log is needed; CURRENT notes the manifest's final length. Where the disk has no room
 * for that it ends as a crash would end it: the logs hold what the tables do not.
 */
static int close_clean(struct lsm *db)
{
    int rc = lsm_flush(db);

    if (rc == -ENOSPC && db_reserve_release(db))
        rc = lsm_flush(db);
    if (rc == -ENOSPC) {
        rc = lsm_sync(db);
        db_bg_stop(db);
        return rc;
    }
    db_bg_stop(db);
    if (rc)
        return rc;
    KILL_POINT("close-flushed");
    rc = vlog_seal(db->vlog);
    if (!rc)
        rc = db_sync_names(db);
    if (rc)
        return db_fail(db, rc, "sealing the value log");
    KILL_POINT("close-sealed");
    rc = install_end(db);
    if (rc == -ENOSPC && db_reserve_release(db))
        rc = install_end(db);
    if (rc)
        return rc == -ENOSPC ? lsm_sync(db) : rc;
    KILL_POINT("close-installed");
    db_drop_logs(db, NO_LOG, false);
    db_reserve_drop(db);
    db_purge(db);
    KILL_POINT("close-purged");
    /* What purging noted in the manifest may have failed. */
    rc = atomic_load(&db->error);
    return rc ? rc : close_manifest(db);
}

int lsm_close(struct lsm *db)
{
    int rc = 0;

    if (!db)
        return 0;
    if (db->o.read_only)
        db_bg_stop(db);
    else if (atomic_load(&db->error))
        rc = atomic_load(&db->error);
    else
        rc = close_clean(db);
    db_bg_stop(db);
    db_free(db);
    return rc;
}
