/*
 * verify.c - reading every byte that counts. See lsm_verify in lsm.h.
 */
#include "db_impl.h"

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
    int rc = tfile_table(f, &t);

    if (!rc)
        rc = table_verify(t);
    if (rc || !f->meta.n_refs)
        return rc;
    it = table_iter_new(t, TABLE_ITER_COMPACT);
    rc = it ? verify_values(db, it) : -ENOMEM;
    iter_free(it);
    return rc;
}

static int verify_memtable(struct lsm *db, struct memtable *m)
{
    struct iter *it = memtable_iter_new(m);
    int rc = it ? verify_values(db, it) : -ENOMEM;

    iter_free(it);
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
    return rc;
}
