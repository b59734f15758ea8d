/*
 * orphan.c - inodes without a name that are still open.
 *
 * Unlinking an open file keeps its record and contents, and notes it under O
 * in the same batch. Closing it deletes all three. If that never happens,
 * because the process died first, the next mount does it.
 */
#include "extent.h"

int orphan_reclaim(struct fs *fs, struct inode *in)
{
    struct txn *t = txn_begin(fs);
    struct key k;
    int rc;

    if (!t)
        return -ENOMEM;
    lsm_batch_delete(t->batch, key_orphan(&k, in->ino));
    lsm_batch_delete(t->batch, key_inode(&k, in->ino));
    rc = extent_remove_all(fs, t, in->ino, &in->rec);
    rc = txn_end(fs, t, rc);
    if (rc)
        return rc;
    in->state = (in->state & ~(unsigned)(INODE_ORPHAN | INODE_ATIME)) | INODE_GONE;
    atomic_fetch_sub(&fs->count, 1);
    return 0;
}

/* Everything that could be there, for an inode whose record tells nothing. */
static void remove_blindly(struct txn *t, uint64_t ino)
{
    struct key a, b;

    lsm_batch_delete_range(t->batch, key_extent(&a, ino, 0), key_extent(&b, ino + 1, 0));
    lsm_batch_delete_range(t->batch, key_one(&a, KEY_XATTR, ino),
                           key_one(&b, KEY_XATTR, ino + 1));
}

static int remove_one(struct fs *fs, uint64_t ino)
{
    struct lsm_value v = {0};
    struct record rec;
    struct txn *t;
    struct key k;
    int rc = lsm_get(fs->db, NULL, key_inode(&k, ino), &v);

    if (!rc)
        rc = record_decode(v.value, &rec);
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
        rc = extent_remove_all(fs, t, ino, &rec);
    } else if (rc == -ENOENT || rc == -EUCLEAN) {
        remove_blindly(t, ino);
        rc = 0;
    }
    rc = txn_end(fs, t, rc);
    lsm_value_release(&v);
    if (rc)
        return rc;
    fs->orphans_removed++;
    atomic_fetch_sub(&fs->count, 1);
    return 0;
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
    if (!rc)
        rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}
