/*
 * file.c - open files: open, release, read, write, fsync.
 */
#include "extent.h"
#include "xattr.h"

/* ---- open and release ---- */

static int open_check(const struct inode *in)
{
    if (in->state & INODE_GONE)
        return -ESTALE;
    if (record_is_dir(&in->rec))
        return -EISDIR;
    return S_ISLNK(in->rec.mode) ? -ELOOP : 0;
}

/* O_TRUNC. Needs the lock exclusively. */
static int open_truncate(struct fs *fs, struct inode *in)
{
    struct record rec = in->rec;
    struct txn *t;
    int rc;

    if (!record_is_file(&rec))
        return 0;
    if (fs->options.read_only)
        return -EROFS;
    t = txn_begin(fs);
    if (!t)
        return -ENOMEM;
    txn_of(fs, t, in);
    rec.mtime = rec.ctime = stamp_now();
    rec.mode = mode_without_suid(rec.mode, rec.gid, NULL);
    rc = xattr_drop_capability(fs, t, in->ino, &rec);
    if (!rc)
        rc = extent_truncate(fs, t, in->ino, &rec, 0);
    txn_put_inode(t, in, &rec);
    rc = txn_end(fs, t, rc);
    if (!rc)
        inode_set(in, &rec);
    return rc;
}

int fs_open(struct fs *fs, uint64_t ino, bool truncate)
{
    struct inode *in;
    int rc = inode_get(fs, ino, &in);

    if (rc)
        return rc;
    if (truncate)
        rwlock_write(&in->lock);
    else
        rwlock_read(&in->lock);
    rc = open_check(in);
    if (!rc && truncate)
        rc = open_truncate(fs, in);
    /* Under the lock: unlink decides by the references what becomes of the file. */
    if (!rc)
        itable_add_open(&fs->inodes, in);
    rwlock_unlock(&in->lock);
    inode_put(fs, in);
    return rc;
}

int fs_release(struct fs *fs, uint64_t ino)
{
    struct inode *in = itable_find(&fs->inodes, ino);
    int rc;

    if (!in)
        return -ESTALE;
    rc = itable_take_open(&fs->inodes, in);
    inode_put(fs, in);
    return rc;
}

/* ---- reading ---- */

/* Needs the lock shared. */
static int read_locked(struct fs *fs, struct inode *in, uint64_t off, size_t len,
                       void *to, size_t *got)
{
    const struct record *rec = &in->rec;
    int rc;

    if (record_is_dir(rec))
        return -EISDIR;
    if (!record_is_file(rec))
        return -EINVAL;
    if (in->state & INODE_GONE)
        return -ESTALE;
    if (off >= rec->file.size || !len)
        return 0;
    if (len > rec->file.size - off)
        len = (size_t)(rec->file.size - off);
    rc = extent_read(fs, in->ino, rec, off, len, to);
    if (!rc)
        *got = len;
    return rc;
}

int fs_read(struct fs *fs, uint64_t ino, uint64_t off, size_t len, void *to, size_t *got)
{
    struct stamp now = stamp_now();
    struct inode *in;
    bool touch;
    int rc;

    *got = 0;
    rc = inode_get(fs, ino, &in);
    if (rc)
        return rc;
    rwlock_read(&in->lock);
    rc = read_locked(fs, in, off, len, to, got);
    touch = *got && atime_wanted(fs, in, now);
    rwlock_unlock(&in->lock);
    if (touch)
        inode_accessed(fs, in, now);
    inode_put(fs, in);
    return rc;
}

/* ---- writing ---- */

static int write_check(const struct inode *in, uint64_t off, size_t len)
{
    if (record_is_dir(&in->rec))
        return -EISDIR;
    if (!record_is_file(&in->rec))
        return -EINVAL;
    if (in->state & INODE_GONE)
        return -ESTALE;
    return off > FS_SIZE_MAX || len > FS_SIZE_MAX - off ? -EFBIG : 0;
}

/* Needs the lock exclusively. */
static int write_locked(struct fs *fs, struct inode *in, uint64_t off, struct slice data,
                        bool clear_suid)
{
    struct record rec = in->rec;
    struct buf merged = {0};
    struct txn *t;
    int rc = write_check(in, off, data.len);

    if (rc || !data.len)
        return rc;
    t = txn_begin(fs);
    if (!t)
        return -ENOMEM;
    txn_of(fs, t, in);
    rc = extent_write(fs, t, in->ino, &rec, off, data, &merged);
    rec.mtime = rec.ctime = stamp_now();
    if (clear_suid)
        rec.mode = mode_without_suid(rec.mode, rec.gid, NULL);
    if (!rc)
        rc = xattr_drop_capability(fs, t, in->ino, &rec);
    txn_put_inode(t, in, &rec);
    rc = txn_end(fs, t, rc);
    buf_release(&merged);
    if (!rc)
        inode_set(in, &rec);
    return rc;
}

int fs_write(struct fs *fs, uint64_t ino, uint64_t off, struct slice data,
             bool clear_suid)
{
    struct inode *in;
    int rc;

    rc = inode_begin(fs, ino, &in);
    if (rc)
        return rc;
    rc = write_locked(fs, in, off, data, clear_suid);
    inode_end(fs, in);
    return rc;
}

/* ---- durability ---- */

int fs_fsync(struct fs *fs, uint64_t ino)
{
    struct inode *in;
    int rc;

    if (fs->options.read_only)
        return 0;
    rc = inode_get(fs, ino, &in);
    if (rc)
        return rc;
    rwlock_write(&in->lock);
    rc = inode_write_atime(fs, in);
    rwlock_unlock(&in->lock);
    inode_put(fs, in);
    return rc ? rc : lsm_sync(fs->db);
}

int fs_sync(struct fs *fs)
{
    int rc;

    if (fs->options.read_only)
        return 0;
    rc = lazy_write(fs);
    return rc ? rc : lsm_sync(fs->db);
}
