/*
 * db_damage.c - tables that compactions cannot read.
 *
 * A damaged block has no right answer, so a compaction that meets one fails and changes
 * nothing. Its table is found then, and stays out of compactions until the store is
 * opened again: what can be read of it is still read, what lies beside it goes on being
 * compacted, and when the way down from L0 is blocked by it, L0 is compacted within
 * itself (pick_leveled.c). It vanishes like any other once a range delete hides all of
 * it; lsm_repair makes the store without it.
 */
#include "db_impl.h"

#include <inttypes.h>

/* Each bad block is logged. */
static bool is_damaged(struct tfile *f)
{
    struct table *t;
    int rc = tfile_pin(f, TABLE_ITER_COMPACT, &t);

    if (rc)
        return rc == -EUCLEAN;
    rc = table_verify(t, NULL);
    tfile_unpin(f);
    return rc == -EUCLEAN;
}

unsigned db_find_damage(struct lsm *db, const struct compaction *c)
{
    unsigned level, found = 0;
    char name[NAME_BYTES];
    size_t i;

    for (level = 0; level < LSM_LEVELS; level++) {
        for (i = 0; i < c->n[level]; i++) {
            struct tfile *f = c->inputs[level][i];

            if (atomic_load(&f->damaged) || !is_damaged(f))
                continue;
            atomic_store(&f->damaged, true);
            atomic_fetch_add(&db->damaged_tables, 1);
            found++;
            file_name(name, FILE_TABLE, f->meta.number);
            err_log(
                "%s/%s: damaged: it stays out of compactions, which go on without it; "
                "lsm_repair (siltfs fsck --repair) makes the store anew",
                db->dir, name);
        }
    }
    return found;
}
