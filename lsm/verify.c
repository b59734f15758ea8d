/*
 * verify.c - reading every byte that counts. See lsm_verify_with in lsm.h.
 *
 * Tables are visited in the order of their numbers, each as of the version that is
 * current then, and no version is held longer: a slow scrub of a store in use keeps few
 * files alive. What compactions made of tables not yet visited has greater numbers, and
 * comes in another pass. So the number of the last table is a position to go on from.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "db_impl.h"
#include "wal_format.h"

enum {
    PASSES = 4, /* over what was made in the pass before; under load it would not end */
    PROGRESS_BYTES = 1 << 20,
};

struct verifying {
    struct lsm *db;
    const struct lsm_verify_options *o;
    struct rate rate;
    uint64_t done, told;
    uint64_t position; /* the last table that is done */
    int rc;            /* the first damage */
    int stop;          /* why it ends early */
    const char *file;  /* of the table under way; its name */
    struct vptr last;  /* of the value looked at last */
};

/* ---- what is found ---- */

/* Only damage goes on; other errors (no memory) end it. */
static void note(struct verifying *v, int rc)
{
    if (rc != -EUCLEAN && rc != -EIO)
        v->stop = v->stop ? v->stop : rc;
    else if (!v->rc)
        v->rc = rc;
}

static void tell(struct verifying *v, int rc, const char *file, uint64_t offset,
                 enum lsm_lost lost, struct slice first, struct slice last)
{
    struct lsm_damage d = {
        .offset = offset, .err = rc, .lost = lost, .first = first, .last = last};

    note(v, rc);
    if (v->stop || !v->o->damage)
        return;
    snprintf(d.file, sizeof(d.file), "%s", file);
    v->o->damage(v->o->arg, &d);
}

static uint64_t total_bytes(struct lsm *db)
{
    struct view *view = db_view_ref(db);
    uint64_t sum = 0;
    unsigned level;

    for (level = 0; level < LSM_LEVELS; level++)
        sum += view->version->bytes[level] + view->version->ref_bytes[level];
    db_view_unref(view);
    return sum;
}

/* Who is slow tells it each second nevertheless: that is when it can be stopped. */
static uint64_t progress_bytes(const struct verifying *v)
{
    uint64_t rate = v->o->bytes_per_s;

    return rate && rate < PROGRESS_BYTES ? rate : PROGRESS_BYTES;
}

static int took(void *arg, uint64_t bytes)
{
    struct verifying *v = arg;

    v->done += bytes;
    if (v->o->bytes_per_s)
        rate_take(&v->rate, bytes);
    if (!v->stop && v->o->progress && v->done - v->told >= progress_bytes(v)) {
        v->told = v->done;
        v->stop = v->o->progress(v->o->arg, v->done, total_bytes(v->db), v->position);
    }
    return v->stop;
}

/* ---- values ---- */

/* The value that an entry points to; once for a run of parts of one. */
static void verify_value(void *arg, struct slice ikey, struct slice in)
{
    struct verifying *v = arg;
    struct slice user = ikey_user(ikey);
    char name[NAME_BYTES];
    struct vptr p;
    int rc;

    if (ikey_type(ikey) != IKEY_PUT_REF || v->stop)
        return;
    if (!vptr_decode(&in, &p)) {
        rc = err_corrupt(v->db->dir, 0, "a value is not a pointer");
        tell(v, rc, v->file, 0, LSM_LOST_VALUE, user, user);
        return;
    }
    if (p.segment == v->last.segment && p.offset == v->last.offset && v->last.stored)
        return;
    v->last = p;
    rc = vlog_check(v->db->vlog, &p, false);
    file_name(name, FILE_SEGMENT, p.segment);
    if (rc) {
        tell(v, rc, name, p.offset, LSM_LOST_VALUE, user, user);
        v->last.stored = 0; /* whoever has a part of it is told, too */
    }
    took(v, vptr_stored(&p));
}

static void verify_memtable(struct verifying *v, struct memtable *m)
{
    struct iter *it = memtable_iter_new(m);

    if (!it) {
        note(v, -ENOMEM);
        return;
    }
    v->file = "memory";
    for (iter_first(it); it->valid && !v->stop; iter_next(it))
        verify_value(v, it->key, it->value);
    iter_free(it);
}

static void verify_memtables(struct verifying *v)
{
    struct view *view = db_view_ref(v->db);
    unsigned i;

    verify_memtable(v, view->mem);
    for (i = 0; i < view->n_imm; i++)
        verify_memtable(v, view->imm[i]);
    db_view_unref(view);
}

/* ---- tables ---- */

static void bad_table(void *arg, int err, uint64_t offset, struct slice first,
                      struct slice last)
{
    struct verifying *v = arg;
    bool none = !first.len && !last.len;

    tell(v, err, v->file, offset, none ? LSM_LOST_NOTHING : LSM_LOST_RANGE, first, last);
}

static void verify_table(struct verifying *v, struct tfile *f)
{
    struct table_check check = {
        .bad = bad_table, .entry = verify_value, .took = took, .arg = v};
    char name[NAME_BYTES];
    struct table *t;
    int rc = tfile_pin(f, TABLE_ITER_COMPACT, &t);

    file_name(name, FILE_TABLE, f->meta.number);
    v->file = name;
    v->last.stored = 0;
    if (rc) {
        tell(v, rc, name, 0, LSM_LOST_RANGE, buf_slice(&f->meta.smallest),
             buf_slice(&f->meta.largest));
    } else {
        rc = table_verify(t, &check);
        if (rc && !v->stop)
            note(v, rc);
        tfile_unpin(f);
    }
    v->file = "";
}

/* The table of a view with the least number above the position and below the limit;
 * NULL: there is none. */
static struct tfile *next_table(const struct verifying *v, const struct view *view,
                                uint64_t limit)
{
    struct tfile *next = NULL;
    unsigned level;
    size_t i;

    for (level = 0; level < LSM_LEVELS; level++) {
        for (i = 0; i < view->version->n[level]; i++) {
            struct tfile *f = view->version->file[level][i];

            if (f->meta.number > v->position && f->meta.number < limit &&
                (!next || f->meta.number < next->meta.number))
                next = f;
        }
    }
    return next;
}

/* The next one, held by a view: a table alone does not keep its segments. False: there is
 * none, or it is to end. */
static bool verify_next(struct verifying *v, uint64_t limit)
{
    struct view *view = db_view_ref(v->db);
    struct tfile *f = next_table(v, view, limit);

    if (f) {
        verify_table(v, f);
        if (!v->stop)
            v->position = f->meta.number;
    }
    db_view_unref(view);
    return f && !v->stop;
}

static void verify_tables(struct verifying *v)
{
    unsigned pass;

    for (pass = 0; pass < PASSES && !v->stop; pass++) {
        uint64_t limit = atomic_load(&v->db->next_number);

        if (!verify_next(v, limit))
            return;
        while (verify_next(v, limit))
            ;
    }
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
static void verify_logs_locked(struct verifying *v)
{
    const struct slice none = slice_of(NULL, 0);
    struct lsm *db = v->db;
    uint64_t number = 0, length;
    char name[NAME_BYTES];
    int rc;

    for (;;) {
        const struct log *l;

        mutex_lock(&db->sync_mu);
        for (l = db->logs; l && (l->number <= number || l->number < db->manifest_log);)
            l = l->next;
        number = l ? l->number : 0;
        length = !l ? 0 : l->wal ? wal_length(l->wal) : l->bytes;
        mutex_unlock(&db->sync_mu);
        if (!number)
            return;
        if (length <= WAL_FRAME_HEADER + WAL_HEADER_PAYLOAD)
            continue;
        rc = verify_log(db, number, length);
        file_name(name, FILE_LOG, number);
        if (rc)
            tell(v, rc, name, 0, LSM_LOST_FILE, none, none);
    }
}

/* What an open store has read already is not read again before it is running. */
static void verify_files(struct verifying *v)
{
    struct lsm *db = v->db;
    const struct slice none = slice_of(NULL, 0);
    char name[NAME_BYTES];
    int rc;

    mutex_lock(&db->manifest_mu);
    if (db->manifest) {
        rc = verify_manifest_locked(db);
        if (rc) {
            file_name(name, FILE_MANIFEST, manifest_number(db->manifest));
            tell(v, rc, name, 0, LSM_LOST_FILE, none, none);
        }
        verify_logs_locked(v);
    }
    mutex_unlock(&db->manifest_mu);
}

int lsm_verify_with(struct lsm *db, const struct lsm_verify_options *o)
{
    struct verifying v = {.db = db, .o = o, .position = o->after};

    rate_init(&v.rate, db->env, o->bytes_per_s);
    verify_memtables(&v);
    if (!v.stop)
        verify_tables(&v);
    if (!v.stop)
        verify_files(&v);
    if (!v.stop && o->progress)
        v.stop = o->progress(o->arg, v.done, v.done, v.position);
    return v.stop ? v.stop : v.rc;
}

int lsm_verify(struct lsm *db)
{
    struct lsm_verify_options all = {0};

    return lsm_verify_with(db, &all);
}
