/*
 * orphan.c - inodes without a name that somebody still refers to.
 *
 * Unlinking such a file keeps its contents, and its record goes under O in
 * the same batch; when the last reference goes, both are deleted. The
 * kernel refers to nearly every file at the moment it is unlinked, and lets go
 * right after: so inodes to be deleted are gathered, and one batch deletes many.
 * If that never happens, because the process died first, the next mount does it.
 */
#include "extent.h"
#include "xattr.h"

/* Delete what the store holds of them, in one batch. */
static int delete_dead(struct fs *fs, const struct dead *dead, unsigned n)
{
    struct txn *t = n ? txn_begin(fs) : NULL;
    struct key k;
    unsigned i;
    int rc = 0;

    if (!t)
        return n ? -ENOMEM : 0;
    for (i = 0; i < n && !rc; i++) {
        lsm_batch_delete(t->batch, key_orphan(&k, dead[i].ino));
        if (t->trees)
            txn_of_tree(fs, t, dead[i].tree);
        txn_note_gone(t, &dead[i].rec);
        rc = xattr_remove_all(fs, t, dead[i].ino, &dead[i].rec);
        if (!rc)
            rc = extent_remove_all(fs, t, dead[i].ino, &dead[i].rec);
    }
    return txn_end(fs, t, rc);
}

/* Put back what could not be deleted, as far as there is room; the rest is left to
 * the next mount. */
static void put_back(struct fs *fs, const struct dead *dead, unsigned n)
{
    mutex_lock(&fs->dead_mu);
    while (n && fs->n_dead < DEAD_MAX)
        fs->dead[fs->n_dead++] = dead[--n];
    mutex_unlock(&fs->dead_mu);
}

int orphans_flush(struct fs *fs)
{
    struct dead dead[DEAD_MAX];
    unsigned n;
    int rc;

    mutex_lock(&fs->deleting);
    mutex_lock(&fs->dead_mu);
    n = fs->n_dead;
    memcpy(dead, fs->dead, n * sizeof(*dead));
    fs->n_dead = 0;
    mutex_unlock(&fs->dead_mu);
    KILL_POINT("orphans-gathered");
    rc = delete_dead(fs, dead, n);
    KILL_POINT("orphans-deleted");
    if (rc)
        put_back(fs, dead, n);
    mutex_unlock(&fs->deleting);
    return rc;
}

/* False: there is no room. */
static bool gather(struct fs *fs, const struct inode *in)
{
    bool room;

    mutex_lock(&fs->dead_mu);
    room = fs->n_dead < DEAD_MAX;
    if (room)
        fs->dead[fs->n_dead++] = (struct dead){in->ino, atomic_load(&in->tree), in->rec};
    mutex_unlock(&fs->dead_mu);
    return room;
}

int orphan_retire(struct fs *fs, struct inode *in)
{
    int rc = 0;

    /* Others may fill the room that a flush made. Where nothing can be deleted, this one
     * is left to the next mount. */
    while (!rc && !gather(fs, in))
        rc = orphans_flush(fs);
    in->state = (in->state & ~(unsigned)(INODE_ORPHAN | INODE_ATIME)) | INODE_GONE;
    return rc;
}

/* Everything that could be there, for an inode whose record tells nothing. */
static void remove_blindly(struct txn *t, uint64_t ino)
{
    struct key a, b;

    lsm_batch_delete_range(t->batch, key_extent(&a, ino, 0), key_extent(&b, ino + 1, 0));
    lsm_batch_delete_range(t->batch, key_unwritten(&a, ino, 0),
                           key_unwritten(&b, ino + 1, 0));
    lsm_batch_delete_range(t->batch, key_one(&a, KEY_XATTR, ino),
                           key_one(&b, KEY_XATTR, ino + 1));
}

/* Its record; of what older versions left that is under I. One there goes first in any
 * case: a file that got a name is not to be lost for what damage brought back under O. */
static int read_orphan(struct fs *fs, uint64_t ino, struct record *rec, uint64_t *tree,
                       struct lsm_value *v)
{
    struct key k;
    int rc = lsm_get(fs->db, NULL, key_inode(&k, ino), v);

    if (rc != -ENOENT)
        return rc ? rc : record_decode_tree(v->value, rec, tree);
    rc = lsm_get(fs->db, NULL, key_orphan(&k, ino), v);
    if (!rc)
        rc = orphan_decode(v->value, rec, tree);
    return rc == -ENODATA ? -ENOENT : rc;
}

static int remove_one(struct fs *fs, uint64_t ino)
{
    struct lsm_value v = {0};
    struct record rec;
    uint64_t tree;
    struct txn *t;
    struct key k;
    int rc = read_orphan(fs, ino, &rec, &tree, &v);

    if (rc == -EIO) { /* perhaps it can be read another day; no reason not to mount */
        err_log("orphan %llu cannot be read; it stays", (unsigned long long)ino);
        return 0;
    }
    if (!rc && rec.nlink) {
        lsm_value_release(&v);
        fs_corrupt("an orphan has names; it stays", ino, rec.nlink);
        return 0;
    }
    t = txn_begin(fs);
    if (!t) {
        lsm_value_release(&v);
        return -ENOMEM;
    }
    lsm_batch_delete(t->batch, key_orphan(&k, ino));
    lsm_batch_delete(t->batch, key_inode(&k, ino));
    if (!rc) {
        if (t->trees)
            txn_of_tree(fs, t, tree);
        txn_note_gone(t, &rec);
        rc = xattr_remove_all(fs, t, ino, &rec);
        if (!rc)
            rc = extent_remove_all(fs, t, ino, &rec);
    } else if (rc == -ENOENT || rc == -EUCLEAN) {
        remove_blindly(t, ino);
        t->inodes--;
        /* What it used, its record would have told. */
        fs->usage.exact = false;
        fs->quotas.exact = false;
        rc = 0;
    }
    rc = txn_end(fs, t, rc);
    lsm_value_release(&v);
    KILL_POINT("orphan-removed");
    if (!rc)
        fs->orphans_removed++;
    return rc;
}

int orphans_remove(struct fs *fs)
{
    struct lsm_iter_options o = {0};
    struct key from, to;
    struct slice lower = key_one(&from, KEY_ORPHAN, 0);
    struct slice upper = key_one(&to, KEY_ORPHAN, INO_MAX + 1);
    struct lsm_iter *it;
    uint64_t ino;
    int rc;

    o.lower = &lower;
    o.upper = &upper;
    rc = lsm_iter_new(fs->db, &o, &it);
    if (rc)
        return rc;
    for (lsm_iter_first(it); !rc && lsm_iter_valid(it); lsm_iter_next(it)) {
        if (key_parse_one(lsm_iter_key(it), KEY_ORPHAN, &ino))
            rc = remove_one(fs, ino);
    }
    if (!rc && is_unreadable(lsm_iter_error(it))) /* likewise */
        err_log("some orphans cannot be read; they stay");
    else if (!rc)
        rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}
