/*
 * attr.c - attributes: getattr, setattr, readlink.
 */
#include "extent.h"
#include "xattr.h"

int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *out)
{
    struct inode *in;
    int rc = inode_get(fs, ino, &in);

    if (rc)
        return rc;
    inode_attr(fs, in, out);
    inode_put(fs, in);
    return 0;
}

int fs_readlink(struct fs *fs, uint64_t ino, char *to)
{
    struct stamp now = stamp_now();
    struct inode *in;
    bool touch = false;
    int rc = inode_get(fs, ino, &in);

    if (rc)
        return rc;
    rwlock_read(&in->lock);
    if (S_ISLNK(in->rec.mode)) {
        memcpy(to, in->rec.target.data, in->rec.target.len);
        to[in->rec.target.len] = 0;
        touch = atime_wanted(fs, in, now);
    } else {
        rc = -EINVAL;
    }
    rwlock_unlock(&in->lock);
    if (touch)
        inode_accessed(fs, in, now);
    inode_put(fs, in);
    return rc;
}

/* ---- setattr ---- */

static bool nsec_valid(struct timespec t)
{
    return t.tv_nsec >= 0 && t.tv_nsec < 1000000000;
}

static int set_check(const struct record *rec, unsigned set, const struct stat *st)
{
    if ((set & FS_SET_ATIME) && !nsec_valid(st->st_atim))
        return -EINVAL;
    if ((set & FS_SET_MTIME) && !nsec_valid(st->st_mtim))
        return -EINVAL;
    if ((set & FS_SET_CTIME) && !nsec_valid(st->st_ctim))
        return -EINVAL;
    if (!(set & FS_SET_SIZE))
        return 0;
    if (record_is_dir(rec))
        return -EISDIR;
    return record_is_file(rec) && st->st_size >= 0 ? 0 : -EINVAL;
}

static void set_owner(struct record *rec, const struct fs_cred *c, unsigned set,
                      const struct stat *st)
{
    /* Whatever the old mode let run with the old owner's rights must not run with the
     * new one's; for root's own chown as well. */
    if (!record_is_dir(rec))
        rec->mode = mode_without_suid(rec->mode, rec->gid, c);
    if (set & FS_SET_UID)
        rec->uid = st->st_uid;
    if (set & FS_SET_GID)
        rec->gid = st->st_gid;
}

static void set_mode(struct record *rec, const struct fs_cred *c, const struct stat *st)
{
    rec->mode = (rec->mode & S_IFMT) | (st->st_mode & 07777);
    if (!cred_in_group(c, rec->gid)) /* of a directory too, as Linux has it */
        rec->mode &= ~(uint32_t)S_ISGID;
}

static void set_times(struct record *rec, unsigned set, const struct stat *st,
                      struct stamp now)
{
    if (set & FS_SET_ATIME_NOW)
        rec->atime = now;
    else if (set & FS_SET_ATIME)
        rec->atime = stamp_of(st->st_atim);
    if (set & FS_SET_MTIME_NOW)
        rec->mtime = now;
    else if (set & FS_SET_MTIME)
        rec->mtime = stamp_of(st->st_mtim);
    rec->ctime = set & FS_SET_CTIME ? stamp_of(st->st_ctim) : now;
}

/* What the new record asks of contents and attributes. */
static int set_rest(struct fs *fs, struct txn *t, uint64_t ino, unsigned set,
                    const struct stat *st, struct record *rec)
{
    int rc = 0;

    if (set & (FS_SET_UID | FS_SET_GID | FS_SET_SIZE))
        rc = xattr_drop_capability(fs, t, ino, rec);
    if (!rc && (set & FS_SET_MODE))
        rc = xattr_follow_mode(fs, t, ino, rec);
    if (!rc && (set & FS_SET_SIZE))
        rc = extent_truncate(fs, t, ino, rec, (uint64_t)st->st_size);
    return rc;
}

/* Needs the lock exclusively. */
static int set_locked(struct fs *fs, const struct fs_cred *c, struct inode *in,
                      unsigned set, const struct stat *st)
{
    struct stamp now = stamp_now();
    struct record rec = in->rec;
    bool unasked = in->state & INODE_MODE;
    struct txn *t;
    int rc = set_check(&rec, set, st);

    if (rc)
        return rc;
    if (set & (FS_SET_UID | FS_SET_GID))
        set_owner(&rec, c, set, st);
    if (set & FS_SET_SIZE) {
        rec.mtime = now; /* even when the size is the same */
        if (c && c->uid)
            rec.mode = mode_without_suid(rec.mode, rec.gid, c);
    }
    if (set & FS_SET_MODE)
        set_mode(&rec, c, st);
    set_times(&rec, set, st, now);
    if (in->state & INODE_GONE)
        return set & FS_SET_SIZE ? -ESTALE : inode_write(fs, in, &rec);
    t = txn_begin(fs);
    if (!t)
        return -ENOMEM;
    txn_of(fs, t, in);
    rc = set_rest(fs, t, in->ino, set, st, &rec);
    txn_put_inode(t, in, &rec);
    rc = txn_end(fs, t, rc);
    if (rc)
        return rc;
    inode_set(in, &rec);
    if ((set & FS_SET_MODE) && !unasked)
        in->state &= ~(unsigned)INODE_MODE;
    return 0;
}

int fs_setattr(struct fs *fs, const struct fs_cred *c, uint64_t ino, unsigned set,
               const struct stat *st, struct fs_attr *out)
{
    struct inode *in;
    int rc;

    if (set && fs->options.read_only)
        return -EROFS;
    rc = inode_get(fs, ino, &in);
    if (rc)
        return rc;
    rwlock_write(&in->lock);
    if (set)
        rc = set_locked(fs, c, in, set, st);
    if (!rc)
        inode_attr_locked(fs, in, out);
    rwlock_unlock(&in->lock);
    inode_put(fs, in);
    return rc;
}
