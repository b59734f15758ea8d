/*
 * reserve.c - room kept for the moment the disk is full.
 *
 * Deleting needs space before it gives any back: a place in the log, a table for
 * the tombstones, the outputs of the compaction that drops what they delete. So
 * a preallocated file RESERVE lies in the open store. At the first ENOSPC it is
 * deleted, and until there is room again only batches that delete are taken:
 * they and the background live on what it left. What is moved to empty segments takes
 * half of it at most, and one that deletes waits for who has the rest for a while.
 * (RocksDB latches instead; its users delete files and then have to reopen.)
 */
#include <stdlib.h>

#include "db_impl.h"

enum {
    RESERVE_BYTES = 8 << 20,
    ROOM_FACTOR = 4,    /* so many reserves free: there is room again */
    SMALL_BATCH = 2048, /* bytes of a batch that deletes more than it adds */
};

uint64_t db_reserve_bytes(const struct lsm_options *o)
{
    /* A chunk or two of log, tables, and something for a compaction. */
    uint64_t bytes = 3 * (uint64_t)o->memtable_bytes;

    return bytes < RESERVE_BYTES ? bytes : RESERVE_BYTES;
}

/* It is whole, or not there: an env may find only at the close that there is no room. */
static int make_reserve(struct lsm *db, const char *path, uint64_t bytes)
{
    struct env_file *f;
    int rc = env_open(db->env, path, ENV_CREATE, bytes, &f), rc2;

    if (rc)
        return rc;
    rc = env_file_close(f);
    if (rc && (rc2 = env_unlink(db->env, path)))
        err_log("%s: %s", path, strerror(-rc2));
    return rc;
}

void db_reserve_take(struct lsm *db)
{
    uint64_t total, avail, size, bytes = db_reserve_bytes(&db->o);
    char *path;
    int rc = -ENOSPC;

    if (atomic_load(&db->has_reserve) && !atomic_load(&db->low_space))
        return;
    path = file_path(db->dir, FILE_RESERVE, 0);
    if (!path)
        return;
    if (env_stat(db->env, path, &size) == 0) {
        rc = 0; /* of a crash, or of another try */
    } else if (env_space(db->env, db->dir, &total, &avail) == 0 &&
               avail >= ROOM_FACTOR * bytes && !env_full(db->env)) {
        rc = make_reserve(db, path, bytes);
    }
    free(path);
    atomic_store(&db->has_reserve, rc == 0);
    if (atomic_exchange(&db->low_space, rc == -ENOSPC) && rc != -ENOSPC)
        err_log("%s: there is room again: writing goes on", db->dir);
}

void db_reserve_open(struct lsm *db)
{
    uint64_t total, avail, size;
    char *path = file_path(db->dir, FILE_RESERVE, 0);

    if (path && env_stat(db->env, path, &size) == 0 &&
        env_space(db->env, db->dir, &total, &avail) == 0 &&
        avail < db_reserve_bytes(&db->o)) {
        atomic_store(&db->has_reserve, true);
        db_reserve_release(db);
    }
    free(path);
}

bool db_reserve_release(struct lsm *db)
{
    char *path;
    bool had = atomic_exchange(&db->has_reserve, false);

    if (!atomic_exchange(&db->low_space, true))
        err_log("%s: the disk is full; only deleting is possible until there is room",
                db->dir);
    /* Victims that were chosen as if there were room: what they move would take all that
     * there is, fail for the rest, and leave nothing to delete with. After low_space: who
     * counts before this looks before at the room, and chooses anew. */
    atomic_fetch_add(&db->room_count, 1);
    if (!had)
        return false;
    path = file_path(db->dir, FILE_RESERVE, 0);
    had = path && env_unlink(db->env, path) == 0;
    free(path);
    return had;
}

void db_reserve_drop(struct lsm *db)
{
    uint64_t total, avail, bytes = db_reserve_bytes(&db->o);
    char *path = file_path(db->dir, FILE_RESERVE, 0);
    bool has = atomic_exchange(&db->has_reserve, false);

    /* Without it, nobody could open the store on a full disk, to delete from it. */
    if (path && env_space(db->env, db->dir, &total, &avail) == 0 &&
        avail < ROOM_FACTOR * bytes) {
        if (!has)
            (void)make_reserve(db, path, bytes); /* then there is none */
    } else if (path && has) {
        env_unlink(db->env, path); /* if not now, the next close does */
    }
    free(path);
}

uint64_t db_reserve_room(struct lsm *db)
{
    uint64_t total, avail, keep = db_reserve_bytes(&db->o) / 2;

    if (atomic_load(&db->has_reserve) && !atomic_load(&db->low_space))
        return UINT64_MAX;
    if (env_space(db->env, db->dir, &total, &avail))
        return 0;
    return avail > keep ? avail - keep : 0;
}

bool db_reserve_admits(const struct lsm *db, const struct lsm_batch *b)
{
    bool deletes = false;
    size_t i;

    if (!atomic_load_explicit(&db->low_space, memory_order_relaxed))
        return true;
    for (i = 0; i < b->n; i++)
        deletes |= b->ops[i].kind == BATCH_DELETE || b->ops[i].kind == BATCH_DELETE_RANGE;
    return deletes && (b->user_bytes <= SMALL_BATCH || b->n > SMALL_BATCH / 64);
}
