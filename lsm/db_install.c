/*
 * db_install.c - changing what the store consists of, and deleting what it no
 * longer consists of.
 *
 * Order: new files are synced and named before db_install; it writes the edit
 * and syncs it; only then is the version current, and only after that may
 * anything be deleted.
 */
#include <stdlib.h>

#include "db_impl.h"
#include "search.h"

enum { MANIFEST_ROLL_BYTES = 4 << 20 };

/* ---- installing ---- */

static size_t sealed_place(const struct lsm *db, uint64_t number)
{
    return search_records(db->sealed, db->n_sealed, sizeof(*db->sealed), number);
}

const struct edit_segment *db_find_sealed(const struct lsm *db, uint64_t number)
{
    size_t i = sealed_place(db, number);

    return i < db->n_sealed && db->sealed[i].number == number ? &db->sealed[i] : NULL;
}

static int remember_sealed(struct lsm *db, uint64_t number, uint64_t size)
{
    void *p = realloc(db->sealed, (db->n_sealed + 1) * sizeof(*db->sealed));
    size_t i;

    if (!p)
        return -ENOMEM;
    db->sealed = p;
    i = sealed_place(db, number);
    memmove(db->sealed + i + 1, db->sealed + i, (db->n_sealed - i) * sizeof(*db->sealed));
    db->sealed[i] = (struct edit_segment){number, size};
    db->n_sealed++;
    return 0;
}

static void forget_sealed(struct lsm *db, uint64_t number)
{
    size_t i = sealed_place(db, number);

    if (!db_find_sealed(db, number))
        return;
    db->n_sealed--;
    memmove(db->sealed + i, db->sealed + i + 1, (db->n_sealed - i) * sizeof(*db->sealed));
}

/* Segments that have become final and durable since the last edit: their size goes
 * into this one. The others can wait, and no edit for them. */
static int add_sealed(struct lsm *db, struct edit *e)
{
    struct vlog_segment *list = NULL;
    size_t n, i;
    int rc = vlog_segments(db->vlog, &list, &n);

    for (i = 0; i < n && !rc; i++) {
        if (!list[i].durable || db_find_sealed(db, list[i].number))
            continue;
        rc = edit_seal_segment(e, list[i].number, list[i].size);
    }
    free(list);
    return rc;
}

/* The manifest has taken e: what it says of segments is known from now on. */
static int learn_sealed(struct lsm *db, const struct edit *e)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < e->n_sealed && !rc; i++)
        rc = remember_sealed(db, e->sealed[i].number, e->sealed[i].size);
    for (i = 0; i < e->n_dropped; i++)
        forget_sealed(db, e->dropped[i]);
    return rc;
}

/* The logs from `number` on of which more is durable than the manifest tells; `all`:
 * whatever it tells. */
static int add_logs(struct lsm *db, uint64_t number, bool all, struct edit *e)
{
    const struct log *l;
    int rc = 0;

    mutex_lock(&db->sync_mu);
    for (l = db->logs; l && !rc; l = l->next)
        if (l->number >= number && l->durable && (all || l->durable > l->noted))
            rc = edit_note_log(e, l->number, l->durable);
    mutex_unlock(&db->sync_mu);
    return rc;
}

void db_learn_logs(struct lsm *db, const struct edit *e)
{
    struct log *l;
    size_t i;

    mutex_lock(&db->sync_mu);
    for (i = 0; i < e->n_logs; i++)
        for (l = db->logs; l; l = l->next)
            if (l->number == e->logs[i].number)
                l->noted = e->logs[i].durable;
    mutex_unlock(&db->sync_mu);
}

void db_note_logs(struct lsm *db)
{
    struct edit e = {0};
    int rc;

    mutex_lock(&db->manifest_mu);
    rc = atomic_load(&db->error) ? 0 : add_logs(db, db->manifest_log, false, &e);
    if (!rc && e.n_logs)
        rc = manifest_append(db->manifest, &e);
    if (!rc)
        db_learn_logs(db, &e);
    mutex_unlock(&db->manifest_mu);
    edit_release(&e);
    if (rc && rc != -ENOSPC && rc != -ENOMEM)
        db_fail(db, rc, "writing the manifest");
}

int db_snapshot_edit(struct lsm *db, const struct version *v, uint64_t log_number,
                     struct edit *e)
{
    unsigned level;
    size_t i;
    int rc = 0;

    e->has_next_number = e->has_log_number = e->has_last_seq = e->has_options = true;
    e->next_number = atomic_load(&db->next_number);
    e->log_number = log_number;
    e->last_seq = atomic_load(&db->publisher.visible);
    format_encode(&e->options, &db->format);
    rc = buf_error(&e->options);
    for (level = 0; level < LSM_LEVELS && !rc; level++) {
        for (i = 0; i < v->n[level] && !rc; i++) {
            struct table_meta copy = {0};

            rc = table_meta_copy(&copy, &v->file[level][i]->meta);
            if (!rc)
                rc = edit_add_table(e, level, &copy);
            table_meta_release(&copy);
        }
    }
    for (i = 0; i < db->n_sealed && !rc; i++)
        rc = edit_seal_segment(e, db->sealed[i].number, db->sealed[i].size);
    return rc ? rc : add_logs(db, log_number, true, e);
}

/* It syncs the directory, as db_sync_names does. */
static int make_manifest(struct lsm *db, const struct edit *e, struct manifest **m)
{
    int rc;

    mutex_lock(&db->names_mu);
    rc = atomic_load(&db->error);
    if (!rc)
        rc = manifest_create(db->env, db->dir, db_new_number(db), e, m);
    if (rc && rc != -ENOSPC)
        db_fail(db, rc, "beginning a manifest");
    mutex_unlock(&db->names_mu);
    return rc;
}

/* A new manifest when the old one has grown by many edits. */
static int roll_manifest(struct lsm *db, const struct version *v, uint64_t log_number)
{
    uint64_t old_number = manifest_number(db->manifest);
    struct manifest *m;
    struct edit e = {0};
    char *path;
    int rc = db_snapshot_edit(db, v, log_number, &e);

    if (!rc)
        rc = make_manifest(db, &e, &m);
    edit_release(&e);
    if (rc)
        return rc;
    manifest_close(db->manifest, false);
    db->manifest = m;
    KILL_POINT("manifest-rolled");
    path = file_path(db->dir, FILE_MANIFEST, old_number);
    if (path)
        env_unlink(db->env, path); /* else the next open removes it */
    free(path);
    return 0;
}

static void mark_obsolete(const struct version *base, const struct version *v)
{
    unsigned level, l;
    size_t i, j;

    for (level = 0; level < LSM_LEVELS; level++) {
        for (i = 0; i < base->n[level]; i++) {
            struct tfile *f = base->file[level][i];
            bool kept = false;

            for (l = 0; l < LSM_LEVELS && !kept; l++) {
                if (l == 0) {
                    for (j = 0; j < v->n[0] && !kept; j++)
                        kept = v->file[0][j] == f;
                } else {
                    j = version_find(v, l, buf_slice(&f->meta.smallest));
                    kept = j < v->n[l] && v->file[l][j] == f;
                }
            }
            if (!kept)
                atomic_store(&f->obsolete, true);
        }
    }
}

/* The view with the new version, and without imm; victims move into db. */
static int swap_view(struct lsm *db, struct version *v, const struct memtable *imm,
                     struct segment_set *victims, uint64_t count)
{
    struct memtable *left[IMM_MAX];
    struct view *old, *new;
    unsigned i, n = 0;

    mutex_lock(&db->state_mu);
    old = atomic_load(&db->view);
    for (i = 0; i < old->n_imm; i++)
        if (old->imm[i] != imm)
            left[n++] = old->imm[i];
    new = db_view_new(old->mem, left, n, v);
    if (new) {
        db_view_install_locked(db, new);
        segment_set_release(&db->victims);
        db->victims = *victims;
        db->victims_count = count;
        memset(victims, 0, sizeof(*victims));
        db_count_waiting_locked(db);
        db_set_delay_locked(db);
        db_bg_wake_locked(db);
        if (n + 1 < db->o.memtables)
            atomic_store(&db->need_room, false);
        pthread_cond_broadcast(&db->room);
    }
    mutex_unlock(&db->state_mu);
    return new ? 0 : -ENOMEM;
}

static int install_locked(struct lsm *db, struct edit *e, struct memtable *imm)
{
    /* Only this function replaces the version, so it stays while we hold the lock. */
    struct view *view = db_view_ref(db);
    struct version *v = NULL;
    struct segment_set victims = {0};
    uint64_t count = 0;
    int rc;

    e->has_next_number = e->has_last_seq = true;
    e->next_number = atomic_load(&db->next_number);
    e->last_seq = atomic_load(&db->publisher.visible);
    rc = add_sealed(db, e);
    if (!rc)
        rc = add_logs(db, e->has_log_number ? e->log_number : db->manifest_log, false, e);
    if (!rc)
        rc = version_apply(view->version, e, &db->tables, db->dir, &v);
    if (!rc)
        rc = db_space_account(db, v, view, imm, &victims, &count);
    if (!rc)
        rc = manifest_append(db->manifest, e);
    KILL_POINT("edit-appended");
    if (!rc) {
        db_learn_logs(db, e);
        rc = learn_sealed(db, e);
    }
    if (!rc)
        rc = swap_view(db, v, imm, &victims, count);
    if (!rc) {
        mark_obsolete(view->version, v);
        if (e->has_log_number)
            db->manifest_log = e->log_number;
        if (manifest_bytes(db->manifest) > MANIFEST_ROLL_BYTES)
            rc = roll_manifest(db, v, db->manifest_log);
        /* The edit is in the old one, which goes on: the next edit tries again. */
        if (rc == -ENOSPC)
            rc = 0;
    }
    segment_set_release(&victims);
    version_unref(v);
    db_view_unref(view);
    return rc;
}

int db_install_locked(struct lsm *db, struct edit *e, struct memtable *imm)
{
    int rc = atomic_load(&db->error) ? -EROFS : install_locked(db, e, imm);

    /* A full disk leaves everything as it was: to be tried again. */
    if (rc && rc != -EROFS && rc != -ENOSPC)
        db_fail(db, rc, "writing the manifest");
    return rc;
}

int db_install(struct lsm *db, struct edit *e, struct memtable *imm)
{
    int rc;

    mutex_lock(&db->manifest_mu);
    rc = db_install_locked(db, e, imm);
    mutex_unlock(&db->manifest_mu);
    db_view_reap(db);
    atomic_store(&db->purge_due, true);
    if (e->n_added)
        atomic_store(&db->covered_due, true);
    return rc;
}

/* ---- deleting ---- */

static void remove_file(struct lsm *db, enum file_kind kind, uint64_t number)
{
    char *path = file_path(db->dir, kind, number);
    int rc = path ? env_unlink(db->env, path) : -ENOMEM;

    if (rc && rc != -ENOENT)
        err_log("%s: cannot be deleted: %s; the next open will", path ? path : db->dir,
                strerror(-rc));
    free(path);
}

static void purge_tables(struct lsm *db)
{
    for (;;) {
        uint64_t number = 0;

        mutex_lock(&db->dead_mu);
        if (db->n_dead)
            number = db->dead[--db->n_dead];
        mutex_unlock(&db->dead_mu);
        if (!number)
            return;
        KILL_POINT("table-deleted");
        remove_file(db, FILE_TABLE, number);
    }
}

void db_purge(struct lsm *db)
{
    bool busy;

    db_view_reap(db);
    mutex_lock(&db->dead_mu);
    busy = db->purging;
    db->purging = true;
    mutex_unlock(&db->dead_mu);
    if (busy) {
        atomic_store(&db->purge_due, true); /* it may have looked too early */
        return;
    }
    purge_tables(db);
    if (!db_writable(db))
        db_purge_segments(db);
    mutex_lock(&db->dead_mu);
    db->purging = false;
    mutex_unlock(&db->dead_mu);
}

/* ---- logs ---- */

void db_drop_logs(struct lsm *db, uint64_t number, bool keep_spare)
{
    struct log *gone = NULL, **tail = &gone, *log;

    mutex_lock(&db->sync_mu);
    while (db->logs && db->logs->number < number) {
        *tail = db->logs;
        tail = &db->logs->next;
        db->logs = db->logs->next;
        *tail = NULL;
    }
    if (gone)
        db_wait_sync_locked(db);
    for (log = gone; log; log = log->next)
        while (log->users)
            cond_wait(&db->sync_ended, &db->sync_mu);
    mutex_unlock(&db->sync_mu);
    while (gone) {
        struct log *next = gone->next;
        bool spare = false;

        /* What is in it has become tables: an error to close it loses nothing. */
        wal_close(gone->wal, false);
        mutex_lock(&db->sync_mu);
        if (keep_spare && gone->wal && !gone->linked && !db->spare_log) {
            db->spare_log = gone->number;
            spare = true;
        }
        mutex_unlock(&db->sync_mu);
        KILL_POINT("log-dropped");
        if (!spare)
            remove_file(db, FILE_LOG, gone->number);
        free(gone);
        gone = next;
    }
    if (!keep_spare)
        db_drop_spare(db);
}

void db_drop_spare(struct lsm *db)
{
    uint64_t number;

    mutex_lock(&db->sync_mu);
    number = db->spare_log;
    db->spare_log = 0;
    mutex_unlock(&db->sync_mu);
    if (number)
        remove_file(db, FILE_LOG, number);
}
