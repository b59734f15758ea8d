/*
 * number.c - from a number alone to its inode: what file handles ask for
 * (open_by_handle_at, NFS) when the kernel has forgotten the inode meanwhile.
 *
 * Nothing leads from a number to the entry that embeds the inode, but the place of that
 * entry in its directory is the number itself. So the directories are asked for it, one
 * after the other, the latest before the inode first, as it was mostly made there. One
 * get each, which the bloom filters answer nearly always: 1,000 directories cost about
 * what a read from a disk does, and who makes no handles pays nothing.
 */
#include "entry.h"

/* Adds a lookup, unless nothing is left of it in the store. Under the lock by which
 * unlink and inode_settle decide whether anybody refers to it. */
static int take_lookup(struct fs *fs, struct inode *in)
{
    int rc;

    inode_read_nested(in);
    rc = in->state & INODE_GONE ? -ESTALE : 0;
    if (!rc)
        itable_add_lookup(&fs->inodes, in);
    rwlock_unlock(&in->lock);
    return rc;
}

/* Who makes a directory writes it before he makes it live, under the lock of the
 * directory above: nobody can ask for it by name. By a number that was guessed one can.
 * So that it is not made live twice, wait until he is done. */
static int wait_for_maker(struct fs *fs, uint64_t ino)
{
    struct lsm_value value = {0};
    struct inode *above = NULL;
    struct record rec;
    struct key k;
    int rc = lsm_get(fs->db, NULL, key_inode(&k, ino), &value);

    if (!rc && record_decode(value.value, &rec))
        rc = fs_corrupt("bad inode record", ino, 0);
    if (!rc && record_is_dir(&rec) && ino != FS_ROOT)
        rc = inode_get(fs, rec.dir.parent, &above);
    if (above) {
        rwlock_read(&above->lock);
        rwlock_unlock(&above->lock);
        inode_put(fs, above);
    }
    lsm_value_release(&value);
    return rc == -ENOENT ? -ESTALE : rc;
}

static int live_or_own_key(struct fs *fs, uint64_t ino, struct inode **out)
{
    int rc = 0;

    *out = itable_find(&fs->inodes, ino);
    if (!*out)
        rc = wait_for_maker(fs, ino);
    if (!rc && !*out)
        rc = inode_get(fs, ino, out);
    if (rc)
        return rc;
    rc = take_lookup(fs, *out);
    if (rc) {
        inode_put(fs, *out);
        *out = NULL;
    }
    return rc;
}

/* ---- which directory ---- */

/* Does the directory under this key embed the inode? -ESTALE: no. Not all that have such
 * a key are directories; the others have no entries. */
static int ask(struct fs *fs, const struct lsm_snapshot *snap, struct slice key,
               uint64_t ino, uint64_t *dir)
{
    struct key k;
    int rc = key_parse_one(key, KEY_INODE, dir)
                 ? lsm_exists(fs->db, snap, key_dentry(&k, *dir, ino))
                 : -ENOENT;

    return rc == -ENOENT ? -ESTALE : rc;
}

/* All that have a key, away from `middle`, until one has it. */
static int ask_around(struct fs *fs, const struct lsm_snapshot *snap, struct lsm_iter *it,
                      uint64_t ino, uint64_t *dir)
{
    struct key k;
    struct slice middle = key_inode(&k, ino);
    int rc = -ESTALE;

    for (lsm_iter_seek_prev(it, middle); rc == -ESTALE && lsm_iter_valid(it);
         lsm_iter_prev(it))
        rc = ask(fs, snap, lsm_iter_key(it), ino, dir);
    if (rc == -ESTALE && lsm_iter_error(it))
        return lsm_iter_error(it);
    for (lsm_iter_seek(it, middle); rc == -ESTALE && lsm_iter_valid(it);
         lsm_iter_next(it))
        rc = ask(fs, snap, lsm_iter_key(it), ino, dir);
    return rc == -ESTALE && lsm_iter_error(it) ? lsm_iter_error(it) : rc;
}

/* The directory that embeds it in the store of one moment, so that none is missed that
 * gets it by a rename meanwhile. -ESTALE only when all said no. */
static int find_home(struct fs *fs, uint64_t ino, uint64_t *dir)
{
    struct key from, to;
    struct slice lower = key_inode(&from, 0), upper = key_inode(&to, INO_MAX + 1);
    struct lsm_iter_options o = {.lower = &lower, .upper = &upper};
    struct lsm_snapshot *snap = lsm_snapshot_new(fs->db);
    struct lsm_iter *it;
    int rc;

    if (!snap)
        return -ENOMEM;
    o.snap = snap;
    rc = lsm_iter_new(fs->db, &o, &it);
    if (!rc) {
        rc = ask_around(fs, snap, it, ino, dir);
        lsm_iter_free(it);
    }
    lsm_snapshot_free(fs->db, snap);
    return rc;
}

/* ---- the inode in it ---- */

/* Needs the directory's lock. -EAGAIN: it is not there any more. */
static int take_entry(struct fs *fs, struct inode *dir, uint64_t ino, struct inode **out)
{
    uint64_t sample = itable_sample(&fs->inodes, dir->ino);
    struct lsm_value value = {0};
    struct dentry d;
    struct key k;
    int rc;

    if (dir_check(dir))
        return -EAGAIN;
    rc = lsm_get(fs->db, NULL, key_dentry(&k, dir->ino, ino), &value);
    if (rc)
        return rc == -ENOENT ? -EAGAIN : rc;
    if (dentry_decode_name(value.value, &d) || d.ino == dir->ino ||
        (d.embedded && d.ino != ino))
        rc = fs_corrupt("bad directory entry", dir->ino, ino);
    else if (d.embedded)
        rc = entry_load(fs, dir->ino, ino, &d, sample, &value, out);
    else /* it got a second name, or is one, and no inode's number */
        rc = d.ino == ino ? -EAGAIN : -ESTALE;
    lsm_value_release(&value);
    return rc;
}

static int take_in(struct fs *fs, uint64_t dir_ino, uint64_t ino, struct inode **out)
{
    struct inode *dir;
    int rc = inode_get(fs, dir_ino, &dir);

    *out = NULL;
    if (rc)
        return rc == -ESTALE ? -EAGAIN : rc;
    rwlock_read(&dir->lock);
    rc = take_entry(fs, dir, ino, out);
    if (!rc)
        rc = take_lookup(fs, *out);
    rwlock_unlock(&dir->lock);
    inode_put(fs, dir);
    if (rc) {
        inode_put(fs, *out);
        *out = NULL;
    }
    return rc;
}

static int search(struct fs *fs, uint64_t ino, struct inode **out)
{
    uint64_t dir;
    int rc = find_home(fs, ino, &dir);

    return rc ? rc : take_in(fs, dir, ino, out);
}

int number_lookup(struct fs *fs, uint64_t ino, struct inode **out)
{
    int rc = ino > INO_MAX ? -ESTALE : live_or_own_key(fs, ino, out);

    if (rc != -ESTALE || ino < INO_FIRST || ino > INO_MAX)
        return rc;
    rc = search(fs, ino, out);
    if (rc == -EAGAIN) { /* not between directories, now */
        mutex_lock(&fs->rename);
        rc = search(fs, ino, out);
        mutex_unlock(&fs->rename);
    }
    /* With a second name it has its own key from then on. */
    return rc == -EAGAIN || rc == -ESTALE ? live_or_own_key(fs, ino, out) : rc;
}
