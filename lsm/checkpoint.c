/*
 * checkpoint.c - a second store made of links to this one's files, and the list
 * of files. See lsm_checkpoint and lsm_files in lsm.h.
 *
 * The moment is the one in which the active log is replaced, under write_mu: the
 * tables of the version and the logs that they do not cover hold together what
 * was written before it. manifest_mu, held from then until all is linked, keeps
 * the version, its logs and the segments where they are: whatever deletes them
 * installs an edit first. Writers do not wait for it; flushes that end meanwhile do.
 *
 * What is linked is immutable: tables always, segments once sealed, logs once
 * replaced, if they are never recycled (struct log, `linked`).
 */
#include <stdio.h>
#include <stdlib.h>

#include "db_impl.h"
#include "staging.h"
#include "wal_format.h"

/* Each checkpoint adds a log until the memtable is flushed: rather flush it then. */
enum { LOGS_MAX = 8 };

struct checkpoint {
    struct lsm *db;
    struct staging to;
    struct edit e;   /* what it consists of */
    uint64_t number; /* of its manifest */
};

/* ---- the moment ---- */

/* Ends the active log. *seq: of the last batch before; *active: the log after it. */
static int roll_log(struct lsm *db, uint64_t *seq, uint64_t *active)
{
    int rc = 0;

    mutex_lock(&db->write_mu);
    if (db->log_end > WAL_FRAME_HEADER + WAL_HEADER_PAYLOAD)
        rc = db_new_log_locked(db);
    *seq = db->last_seq;
    *active = wal_number(db->wal);
    mutex_unlock(&db->write_mu);
    return rc;
}

static int link_file(struct checkpoint *c, enum file_kind kind, uint64_t number)
{
    char *from = file_path(c->db->dir, kind, number);
    char *to = file_path(c->to.tmp, kind, number);
    int rc = from && to ? env_link(c->db->env, from, to) : -ENOMEM;

    free(from);
    free(to);
    return rc;
}

static int link_tables(struct checkpoint *c, const struct version *v)
{
    unsigned level;
    size_t i;
    int rc = 0;

    for (level = 0; level < LSM_LEVELS; level++)
        for (i = 0; i < v->n[level] && !rc; i++)
            rc = link_file(c, FILE_TABLE, v->file[level][i]->meta.number);
    return rc;
}

/*
 * All values of the moment are in segments that are ended: it was before the seal.
 * Writers may have begun and ended more since; they do no harm, but must be synced.
 */
static int link_segments(struct checkpoint *c)
{
    struct vlog_segment *list = NULL;
    size_t n, i;
    int rc = vlog_seal(c->db->vlog);

    if (!rc)
        rc = vlog_segments(c->db->vlog, &list, &n);
    if (!rc)
        rc = vlog_sync(c->db->vlog);
    if (rc && rc != -ENOMEM)
        db_fail(c->db, rc, "sealing the value log");
    for (i = 0; !rc && i < n; i++) {
        if (list[i].active)
            continue;
        rc = edit_seal_segment(&c->e, list[i].number, list[i].size);
        if (!rc)
            rc = link_file(c, FILE_SEGMENT, list[i].number);
    }
    free(list);
    return rc;
}

/* The logs from the manifest's log number to the one before `active`. */
static int link_logs(struct checkpoint *c, uint64_t active)
{
    struct lsm *db = c->db;
    uint64_t number = 0, length = 0;
    int rc = 0;

    c->e.log_number = NO_LOG;
    while (!rc) {
        struct log *l;

        mutex_lock(&db->sync_mu);
        for (l = db->logs; l && (l->number <= number || l->number < db->manifest_log);)
            l = l->next;
        if (l && l->number < active) {
            l->linked = true;
            number = l->number;
            length = l->wal ? wal_length(l->wal) : l->bytes;
        } else {
            number = 0;
        }
        mutex_unlock(&db->sync_mu);
        if (!number)
            break;
        if (c->e.log_number == NO_LOG)
            c->e.log_number = number;
        /* All of it was synced, and is as long as it will be. */
        rc = edit_note_log(&c->e, number, length);
        if (!rc)
            rc = link_file(c, FILE_LOG, number);
    }
    return rc;
}

/* Under manifest_mu: see the top of the file. */
static int link_moment(struct checkpoint *c)
{
    struct lsm *db = c->db;
    struct view *view;
    uint64_t seq, active;
    int rc = roll_log(db, &seq, &active);

    if (!rc)
        rc = db_sync_to(db, seq);
    if (rc)
        return rc;
    c->number = db_new_number(db);
    view = db_view_ref(db);
    rc = db_snapshot_edit(db, view->version, NO_LOG, &c->e);
    c->e.last_seq = seq;
    c->e.n_sealed = 0; /* what the manifest knows: link_segments knows better */
    if (!rc)
        rc = link_tables(c, view->version);
    if (!rc)
        rc = link_segments(c);
    if (!rc)
        rc = link_logs(c, active);
    c->e.next_number = atomic_load(&db->next_number);
    db_view_unref(view);
    return rc;
}

/* ---- all of it ---- */

static int build(struct checkpoint *c)
{
    struct lsm *db = c->db;
    struct manifest *m;
    int rc;

    mutex_lock(&db->manifest_mu);
    rc = link_moment(c);
    mutex_unlock(&db->manifest_mu);
    /* Syncs tmp after the links are made, and again after CURRENT. */
    if (!rc)
        rc = manifest_create(db->env, c->to.tmp, c->number, &c->e, &m);
    return rc ? rc : manifest_close(m, true);
}

static bool many_logs(struct lsm *db)
{
    const struct log *l;
    unsigned n = 0;

    mutex_lock(&db->sync_mu);
    for (l = db->logs; l; l = l->next)
        n++;
    mutex_unlock(&db->sync_mu);
    return n > LOGS_MAX;
}

static int make(struct checkpoint *c, const char *path)
{
    struct lsm *db = c->db;
    int rc = staging_begin(&c->to, db->env, path, ".checkpoint-tmp");

    if (rc)
        return rc;
    /* The long syncs before manifest_mu is taken, so that little is left then. */
    rc = many_logs(db) ? lsm_flush(db) : lsm_sync(db);
    if (!rc)
        rc = build(c);
    if (!rc)
        rc = staging_commit(&c->to);
    if (rc)
        (void)staging_drop(&c->to); /* else the next attempt does */
    return rc;
}

int lsm_checkpoint(struct lsm *db, const char *path)
{
    struct checkpoint c = {.db = db};
    int rc = db_writable(db);

    if (rc)
        return rc;
    if (atomic_exchange(&db->checkpointing, true))
        return -EBUSY;
    rc = make(&c, path);
    edit_release(&c.e);
    staging_release(&c.to);
    atomic_store(&db->checkpointing, false);
    return rc;
}

/* ---- the list of files ---- */

struct listing {
    struct lsm *db;
    struct version *version;
    struct vlog_segment *segment;
    size_t n_segments;
    uint64_t active_log, manifest;
    struct listed {
        char name[NAME_BYTES];
        struct lsm_file f;
    } * file;
    size_t n, cap;
};

static bool in_version(const struct version *v, uint64_t number)
{
    unsigned level;
    size_t i;

    for (level = 0; level < LSM_LEVELS; level++)
        for (i = 0; i < v->n[level]; i++)
            if (v->file[level][i]->meta.number == number)
                return true;
    return false;
}

/* Does the file belong to the store? Then what it is. */
static bool classify(const struct listing *l, enum file_kind kind, uint64_t number,
                     struct lsm_file *f)
{
    bool still = l->db->o.read_only;
    size_t i;

    switch (kind) {
    case FILE_TABLE:
        f->kind = LSM_FILE_TABLE;
        f->immutable = true;
        return in_version(l->version, number);
    case FILE_SEGMENT:
        f->kind = LSM_FILE_SEGMENT;
        for (i = 0; i < l->n_segments && l->segment[i].number != number; i++)
            ;
        f->immutable = i < l->n_segments && !l->segment[i].active;
        return i < l->n_segments;
    case FILE_LOG:
        f->kind = LSM_FILE_LOG;
        f->immutable = still || number != l->active_log;
        return number >= l->db->manifest_log;
    case FILE_MANIFEST:
        f->kind = LSM_FILE_MANIFEST;
        f->immutable = still;
        return number == l->manifest;
    case FILE_CURRENT:
        f->kind = LSM_FILE_CURRENT;
        f->immutable = still;
        return true;
    default:
        return false;
    }
}

static int list_name(void *arg, const char *name)
{
    struct listing *l = arg;
    struct lsm_file f = {0};
    uint64_t number = 0;
    enum file_kind kind = file_parse(name, &number);
    char *path;
    int rc;

    if (!classify(l, kind, number, &f))
        return 0;
    path = file_path(l->db->dir, kind, number);
    rc = path ? env_stat(l->db->env, path, &f.size) : -ENOMEM;
    free(path);
    if (rc)
        return rc;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        void *p = realloc(l->file, cap * sizeof(*l->file));

        if (!p)
            return -ENOMEM;
        l->file = p;
        l->cap = cap;
    }
    l->file[l->n].f = f;
    file_name(l->file[l->n++].name, kind, number);
    return 0;
}

int lsm_files(struct lsm *db, lsm_file_fn *fn, void *arg)
{
    struct listing l = {.db = db};
    struct view *view;
    size_t i;
    int rc;

    mutex_lock(&db->manifest_mu);
    view = db_view_ref(db);
    l.version = view->version;
    l.manifest = db->manifest ? manifest_number(db->manifest) : db->old_manifest;
    rc = vlog_segments(db->vlog, &l.segment, &l.n_segments);
    if (!db->o.read_only) {
        mutex_lock(&db->write_mu);
        l.active_log = wal_number(db->wal);
        mutex_unlock(&db->write_mu);
    }
    if (!rc)
        rc = env_list(db->env, db->dir, list_name, &l);
    mutex_unlock(&db->manifest_mu);
    for (i = 0; i < l.n && !rc; i++) {
        l.file[i].f.name = l.file[i].name;
        rc = fn(arg, &l.file[i].f);
    }
    db_view_unref(view);
    free(l.segment);
    free(l.file);
    return rc;
}
