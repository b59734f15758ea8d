/*
 * verify.c - reading every byte that counts. See lsm_verify in lsm.h.
 */
#include <stdlib.h>

#include "db_impl.h"
#include "wal_format.h"

/* Every value that it points to, each record once for a run of its parts. */
static int verify_values(struct lsm *db, struct iter *it)
{
    struct vptr last = {0};
    int rc = 0;

    for (iter_first(it); it->valid; iter_next(it)) {
        struct slice in = it->value;
        struct vptr p;
        int one;

        if (ikey_type(it->key) != IKEY_PUT_REF)
            continue;
        if (!vptr_decode(&in, &p)) {
            rc = err_corrupt(db->dir, 0, "a value is not a pointer");
            continue;
        }
        if (p.segment == last.segment && p.offset == last.offset && last.stored)
            continue;
        last = p;
        one = vlog_check(db->vlog, &p, false);
        rc = rc ? rc : one;
    }
    return rc ? rc : it->err;
}

static int verify_table(struct lsm *db, struct tfile *f)
{
    struct table *t;
    struct iter *it;
    int rc = tfile_pin(f, TABLE_ITER_COMPACT, &t);

    if (rc)
        return rc;
    rc = table_verify(t);
    if (!rc && f->meta.n_refs) {
        rc = tfile_iter(f, TABLE_ITER_COMPACT, &it);
        if (!rc) {
            rc = verify_values(db, it);
            iter_free(it);
        }
    }
    tfile_unpin(f);
    return rc;
}

static int verify_memtable(struct lsm *db, struct memtable *m)
{
    struct iter *it = memtable_iter_new(m);
    int rc = it ? verify_values(db, it) : -ENOMEM;

    iter_free(it);
    return rc;
}

/* ---- manifest and logs ---- */

static int ignore_edit(void *arg, struct edit *e, const char *path)
{
    (void)arg;
    (void)e;
    (void)path;
    return 0;
}

/* Under manifest_mu, so that nothing is appended meanwhile. */
static int verify_manifest_locked(struct lsm *db)
{
    uint64_t number, length;
    char *path;
    int rc = manifest_read(db->env, db->dir, ignore_edit, NULL, &number, &length);

    if (rc || length == manifest_bytes(db->manifest))
        return rc;
    path = file_path(db->dir, FILE_MANIFEST, manifest_number(db->manifest));
    rc = err_corrupt(path ? path : db->dir, length, "an edit is damaged");
    free(path);
    return rc;
}

enum { ALL_SEEN = 2 };

static int until_all_seen(void *arg, struct slice payload, uint64_t end)
{
    const uint64_t *length = arg;

    (void)payload;
    return end >= *length ? ALL_SEEN : 0;
}

/* The frames up to length: behind it a writer may be at work. */
static int verify_log(struct lsm *db, uint64_t number, uint64_t length)
{
    struct wal_replay r = {.number = number};
    char *path = file_path(db->dir, FILE_LOG, number);
    int rc = path ? wal_replay(db->env, path, &r, until_all_seen, &length) : -ENOMEM;

    if (rc == ALL_SEEN)
        rc = 0;
    else if (rc == -ENOENT)
        rc = err_corrupt(path, 0, "the log is missing");
    else if (!rc && r.length < length)
        rc = err_corrupt(path, r.length, "a frame is damaged");
    free(path);
    return rc;
}

/*
 * Those that are needed. manifest_mu keeps them from being dropped and recycled.
 * An active log with nothing in it yet is passed by: where its end is cannot be
 * told from a frame being written.
 */
static int verify_logs_locked(struct lsm *db)
{
    uint64_t number = 0, length;
    int rc = 0, one;

    for (;;) {
        const struct log *l;

        mutex_lock(&db->sync_mu);
        for (l = db->logs; l && (l->number <= number || l->number < db->manifest_log);)
            l = l->next;
        number = l ? l->number : 0;
        length = !l ? 0 : l->wal ? wal_length(l->wal) : l->bytes;
        mutex_unlock(&db->sync_mu);
        if (!number)
            return rc;
        if (length <= WAL_FRAME_HEADER + WAL_HEADER_PAYLOAD)
            continue;
        one = verify_log(db, number, length);
        rc = rc ? rc : one;
    }
}

/* What an open store has read already is not read again before it is running. */
static int verify_files(struct lsm *db)
{
    int rc = 0, one;

    mutex_lock(&db->manifest_mu);
    if (db->manifest) {
        rc = verify_manifest_locked(db);
        one = verify_logs_locked(db);
        rc = rc ? rc : one;
    }
    mutex_unlock(&db->manifest_mu);
    return rc;
}

int lsm_verify(struct lsm *db)
{
    struct view *v = db_view_ref(db);
    unsigned level, i;
    size_t j;
    int rc = verify_memtable(db, v->mem), one;

    for (i = 0; i < v->n_imm; i++) {
        one = verify_memtable(db, v->imm[i]);
        rc = rc ? rc : one;
    }
    for (level = 0; level < LSM_LEVELS; level++) {
        for (j = 0; j < v->version->n[level]; j++) {
            one = verify_table(db, v->version->file[level][j]);
            rc = rc ? rc : one;
        }
    }
    db_view_unref(v);
    one = verify_files(db);
    return rc ? rc : one;
}
