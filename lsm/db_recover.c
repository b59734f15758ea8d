/*
 * db_recover.c - from the files of a directory to a running store.
 *
 * The manifest tells which tables and sealed segments there are; all of them
 * must be there, whole. The logs from the manifest's log number on are replayed
 * into a memtable. Each log's header names the log before it and how far that
 * one reached, so the logs form a chain: replay ends at the first tear, and
 * nothing later is taken, unless a later frame proves that what is torn had
 * been synced: then it is damage, and the store is not opened (db_replay.c).
 *
 * Nothing of the store is changed before all that has succeeded, and the user (o.accept)
 * wants it. (Logs that hold more than memory may are made tables of meanwhile, which go
 * again if not.) Then: what was replayed is synced, a new log and a new manifest are
 * started, and files that are not part of the store are deleted.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "db_recover_impl.h"
#include "doubt.h"

/* ---- manifest ---- */

static int apply_format(struct lsm *db, struct slice in, const char *path)
{
    int rc = format_decode(in, &db->format);

    if (rc == -EUCLEAN)
        return err_corrupt(path, 0, "options that fix the format make no sense");
    if (rc == -EPROTONOSUPPORT)
        err_log("%s: a format that is fixed by a newer option", path);
    return rc;
}

static int note_durable(struct recovery *r, const struct edit_log *log)
{
    if (r->n_durable == r->cap_durable) {
        size_t cap = r->cap_durable ? 2 * r->cap_durable : 16;
        void *p = realloc(r->durable, cap * sizeof(*r->durable));

        if (!p)
            return -ENOMEM;
        r->durable = p;
        r->cap_durable = cap;
    }
    r->durable[r->n_durable++] = *log;
    return 0;
}

static int apply_edit(void *arg, struct edit *e, const char *path)
{
    struct recovery *r = arg;
    int rc = tally_apply(&r->tally, e, path);
    size_t i;

    if (rc)
        return rc;
    if (e->has_last_seq && e->last_seq > IKEY_SEQ_STORED)
        return err_corrupt(path, 0, "the last sequence, %" PRIu64, e->last_seq);
    if (e->has_next_number && e->next_number > FILE_NUMBER_MAX)
        return err_corrupt(path, 0, "the next number, %" PRIu64, e->next_number);
    if (e->has_options)
        rc = apply_format(r->db, buf_slice(&e->options), path);
    if (rc)
        return rc;
    if (e->has_next_number)
        r->next_number = e->next_number;
    if (e->has_log_number)
        r->log_number = e->log_number;
    if (e->has_last_seq && e->last_seq > r->last_seq)
        r->last_seq = e->last_seq;
    for (i = 0; i < e->n_logs && !rc; i++)
        rc = note_durable(r, &e->logs[i]);
    return rc;
}

/* One of each log, the greatest, in order. Those that are not needed any more go. */
static void settle_durable(struct recovery *r)
{
    size_t i, n = 0;

    if (r->n_durable)
        qsort(r->durable, r->n_durable, sizeof(*r->durable), recovery_log_order);
    for (i = 0; i < r->n_durable; i++) {
        const struct edit_log *log = &r->durable[i];

        if (log->number < r->log_number)
            continue;
        if (!n || r->durable[n - 1].number != log->number)
            r->durable[n++] = *log;
        else if (r->durable[n - 1].durable < log->durable)
            r->durable[n - 1].durable = log->durable;
    }
    r->n_durable = n;
}

static int read_manifest(struct recovery *r)
{
    struct lsm *db = r->db;
    char *path = NULL;
    int rc = manifest_read(db->env, db->dir, apply_edit, r, &r->old_manifest,
                           &r->manifest_length);

    if (!rc && !(path = file_path(db->dir, FILE_MANIFEST, r->old_manifest)))
        rc = -ENOMEM;
    if (!rc)
        rc = tally_version(&r->tally, &db->tables, path, &r->version);
    if (!rc)
        rc = tally_segments(&r->tally, &db->sealed, &db->n_sealed);
    settle_durable(r);
    free(path);
    tally_release(&r->tally);
    return rc;
}

/* ---- files ---- */

static int note_file(void *arg, const char *name)
{
    struct recovery *r = arg;
    struct found_file f = {0};
    char *path;
    int rc;

    f.kind = file_parse(name, &f.number);
    if (f.kind == FILE_OTHER || f.kind == FILE_CURRENT || f.kind == FILE_LOCK ||
        f.kind == FILE_RESERVE)
        return 0;
    path = file_path(r->db->dir, f.kind, f.number);
    rc = path ? env_stat(r->db->env, path, &f.size) : -ENOMEM;
    free(path);
    if (f.number >= r->next_number)
        r->next_number = f.number + 1;
    if (rc) /* -ENOENT: no regular file, so it is missing; but its number is taken */
        return rc == -ENOENT ? 0 : rc;
    if (r->n_files == r->cap_files) {
        size_t cap = r->cap_files ? 2 * r->cap_files : 64;
        void *p = realloc(r->file, cap * sizeof(*r->file));

        if (!p)
            return -ENOMEM;
        r->file = p;
        r->cap_files = cap;
    }
    r->file[r->n_files++] = f;
    return 0;
}

static int file_order(const void *a, const void *b)
{
    const struct found_file *x = a, *y = b;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

struct found_file *recovery_find(const struct recovery *r, enum file_kind kind,
                                 uint64_t number)
{
    struct found_file key = {.kind = kind, .number = number};

    return r->n_files ? bsearch(&key, r->file, r->n_files, sizeof(*r->file), file_order)
                      : NULL; /* r->file, too: not for bsearch */
}

/* A manifest whose last edit is not good ends before it: as a rule a crash cut it off.
 * If then something is wrong with the rest, it may be that edit which knew of it. */
int recovery_damaged(const struct recovery *r, enum file_kind kind, uint64_t number,
                     uint64_t offset, const char *why)
{
    const struct found_file *m = recovery_find(r, FILE_MANIFEST, r->old_manifest);
    char *path = file_path(r->db->dir, kind, number);
    const char *where = path ? path : r->db->dir;
    char name[NAME_BYTES];
    int rc;

    if (m && m->size > r->manifest_length) {
        file_name(name, FILE_MANIFEST, m->number);
        rc = err_corrupt(where, offset, "%s, or %s is damaged at offset %" PRIu64, why,
                         name, r->manifest_length);
    } else {
        rc = err_corrupt(where, offset, "%s", why);
    }
    free(path);
    return rc;
}

static int check_tables(struct recovery *r)
{
    unsigned level;
    size_t i;

    for (level = 0; level < LSM_LEVELS; level++) {
        for (i = 0; i < r->version->n[level]; i++) {
            const struct table_meta *m = &r->version->file[level][i]->meta;
            struct found_file *f = recovery_find(r, FILE_TABLE, m->number);

            if (!f)
                return recovery_damaged(r, FILE_TABLE, m->number, 0,
                                        "the table is missing");
            if (f->size != m->size)
                return recovery_damaged(
                    r, FILE_TABLE, m->number, f->size,
                    "the table does not have the size it was written with");
            f->wanted = true;
            if (m->seq_max > r->last_seq) /* what is there is to be seen */
                r->last_seq = m->seq_max;
        }
    }
    return 0;
}

struct missing {
    const struct recovery *r;
    int rc;
};

static void check_ref(void *arg, uint64_t segment, uint64_t bytes)
{
    struct missing *m = arg;

    (void)bytes;
    if (!m->rc && !recovery_find(m->r, FILE_SEGMENT, segment))
        m->rc =
            recovery_damaged(m->r, FILE_SEGMENT, segment, 0, "the segment is missing");
}

/* Sealed segments have their size from the manifest, others from the file. */
static int add_segments(struct recovery *r)
{
    struct lsm *db = r->db;
    struct missing m = {.r = r};
    size_t i;
    int rc = 0;

    for (i = 0; i < db->n_sealed; i++) {
        const struct found_file *f = recovery_find(r, FILE_SEGMENT, db->sealed[i].number);

        if (!f)
            return recovery_damaged(r, FILE_SEGMENT, db->sealed[i].number, 0,
                                    "the segment is missing");
        if (f->size < db->sealed[i].size)
            return recovery_damaged(r, FILE_SEGMENT, f->number, f->size,
                                    "the segment is cut short");
    }
    table_cache_segments(&db->tables, check_ref, &m);
    for (i = 0; i < r->n_files && !m.rc && !rc; i++) {
        const struct edit_segment *sealed;

        if (r->file[i].kind != FILE_SEGMENT)
            continue;
        sealed = db_find_sealed(db, r->file[i].number);
        rc = vlog_add_segment(db->vlog, r->file[i].number,
                              sealed ? sealed->size : r->file[i].size);
    }
    return m.rc ? m.rc : rc;
}

/* ---- becoming a running store ---- */

static bool is_in_doubt(const struct recovery *r)
{
    return recovery_find(r, FILE_DOUBT, 0) != NULL;
}

static int sync_file(const struct recovery *r, enum file_kind kind, uint64_t number,
                     uint64_t bytes)
{
    const struct doubt_file f = {kind, number, bytes};

    return doubt_sync(r->db->env, r->db->dir, &f, is_in_doubt(r));
}

/* What was replayed may be in the page cache only; later syncs do not cover it. */
static int make_durable(struct recovery *r)
{
    struct lsm *db = r->db;
    struct log **tail = &db->logs;
    size_t i;
    int rc = 0;

    vlog_close_idle(db->vlog); /* segments that are replaced here */
    for (i = 0; i < r->n_files && !rc; i++) {
        if (r->file[i].kind != FILE_SEGMENT)
            continue;
        if (!db_find_sealed(db, r->file[i].number))
            rc = sync_file(r, FILE_SEGMENT, r->file[i].number, r->file[i].size);
    }
    for (i = 0; i < r->n_logs && !rc; i++) {
        struct log *log = calloc(1, sizeof(*log));

        if (!log)
            return -ENOMEM;
        log->number = r->log[i].r.number;
        log->bytes = log->durable = r->log[i].r.length;
        log->synced = true;
        *tail = log;
        tail = &log->next;
        rc = sync_file(r, FILE_LOG, log->number, log->bytes);
    }
    return rc ? rc : env_sync_dir(db->env, db->dir);
}

static int start_manifest(struct recovery *r, uint64_t log_number)
{
    struct lsm *db = r->db;
    struct vlog_segment *list = NULL;
    struct edit e = {0};
    size_t n, i;
    int rc = vlog_segments(db->vlog, &list, &n);

    free(db->sealed);
    db->n_sealed = 0;
    db->sealed = calloc(n + 1, sizeof(*db->sealed));
    if (!rc && !db->sealed)
        rc = -ENOMEM;
    for (i = 0; i < n && !rc; i++)
        db->sealed[db->n_sealed++] = (struct edit_segment){list[i].number, list[i].size};
    free(list);
    if (!rc)
        rc = db_snapshot_edit(db, r->version, log_number, &e);
    if (!rc)
        rc = manifest_create(db->env, db->dir, db_new_number(db), &e, &db->manifest);
    if (!rc)
        db_learn_logs(db, &e);
    edit_release(&e);
    db->manifest_log = log_number;
    return rc;
}

static bool is_wanted(const struct recovery *r, const struct found_file *f)
{
    size_t i;

    switch (f->kind) {
    case FILE_SEGMENT:
        return true; /* db_purge decides */
    case FILE_LOG:
        for (i = 0; i < r->n_logs; i++)
            if (r->log[i].r.number == f->number)
                return true;
        return false;
    case FILE_TABLE:
        return f->wanted;
    default:
        return false; /* older manifests, temporaries */
    }
}

static void remove_unwanted(const struct recovery *r)
{
    size_t i;

    for (i = 0; i < r->n_files; i++) {
        char *path;
        int rc;

        if (is_wanted(r, &r->file[i]))
            continue;
        KILL_POINT("recovery-removes");
        path = file_path(r->db->dir, r->file[i].kind, r->file[i].number);
        rc = path ? env_unlink(r->db->env, path) : -ENOMEM;
        if (rc && rc != -ENOENT) /* a temporary may have become what it was to become */
            err_log("%s: left over, and cannot be deleted", path ? path : r->db->dir);
        free(path);
    }
}

static int start_writing(struct recovery *r)
{
    bool logs_needed = r->n_logs && !r->made.n_added;
    struct lsm *db = r->db;
    uint64_t log_number;
    int rc;

    r->begun = true;
    db_reserve_open(db); /* before what is in doubt is copied */
    rc = make_durable(r);
    KILL_POINT("recovery-synced");
    if (!rc)
        rc = db_new_log_locked(db);
    if (rc)
        return rc;
    r->made_durable = true;
    vlog_set_doubt(db->vlog, false);
    log_number = logs_needed ? r->log[0].r.number : wal_number(db->wal);
    memtable_place(r->mem)->log_number = log_number;
    rc = start_manifest(r, log_number);
    if (rc)
        return rc;
    KILL_POINT("recovery-manifest");
    remove_unwanted(r);
    /* Not before: until the manifest says so the new log's header leads to them. */
    if (r->made.n_added)
        db_drop_logs(db, log_number, false);
    atomic_store(&db->purge_due, true);
    return 0;
}

static int make_view(struct recovery *r)
{
    struct lsm *db = r->db;
    struct view *v = db_view_new(r->mem, NULL, 0, r->version);

    if (!v)
        return -ENOMEM;
    memtable_place(r->mem)->born_ns = env_now_ns(db->env);
    db->mem = r->mem;
    db->last_seq = r->last_seq;
    db->synced_seq = r->last_seq;
    db->manifest_log = r->log_number;
    db->old_manifest = r->old_manifest;
    atomic_store(&db->publisher.visible, r->last_seq);
    atomic_store(&db->next_number, r->next_number);
    atomic_store(&db->view, v);
    return 0;
}

static int verify_small(struct recovery *r)
{
    uint64_t bytes = 0;
    size_t i;

    for (i = 0; i < r->n_files; i++)
        if (r->file[i].kind == FILE_TABLE || r->file[i].kind == FILE_SEGMENT)
            bytes += r->file[i].size;
    return r->db->o.verify_bytes && bytes <= r->db->o.verify_bytes ? lsm_verify(r->db)
                                                                   : 0;
}

static void recovery_release(struct recovery *r)
{
    size_t i;

    for (i = 0; i < r->n_logs; i++)
        free(r->log[i].path);
    free(r->log);
    free(r->durable);
    free(r->file);
    tally_release(&r->tally);
    edit_release(&r->made);
    memtable_unref(r->mem);
    version_unref(r->version);
}

int db_recover(struct lsm *db)
{
    struct recovery r = {.db = db, .next_number = 2, .stay = db->o.read_only};
    int rc;

    r.mem = db_memtable_new(db, db->o.memtable_bytes);
    rc = r.mem ? read_manifest(&r) : -ENOMEM;
    if (!rc)
        rc = format_accept(&db->format, db->o.format, db->dir);
    if (!rc)
        rc = env_list(db->env, db->dir, note_file, &r);
    if (r.n_files)
        qsort(r.file, r.n_files, sizeof(*r.file), file_order);
    vlog_set_doubt(db->vlog, is_in_doubt(&r)); /* before anything is verified */
    if (!rc)
        rc = check_tables(&r);
    if (!rc)
        rc = add_segments(&r);
    if (!rc)
        rc = replay_find_chain(&r);
    if (!rc)
        rc = replay_run(&r);
    if (!rc)
        rc = make_view(&r);
    if (!rc)
        rc = verify_small(&r);
    if (!rc && db->o.accept)
        rc = db->o.accept(db->o.accept_arg, db);
    if (!rc && !db->o.read_only)
        rc = start_writing(&r);
    if (rc && r.begun && rc != -ENOSPC && rc != -ENOMEM)
        doubt_note(db->env, db->dir); /* perhaps a sync */
    if (rc && !r.made_durable)
        compact_undo(db, &r.made);
    recovery_release(&r);
    return rc;
}
