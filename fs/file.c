/*
 * file.c - contents of files: read, write, fsync.
 */
#include "extent.h"
#include "xattr.h"

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

static int read_file(struct fs *fs, uint64_t ino, uint64_t off, size_t len, void *to,
                     size_t *got, bool noatime)
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
    touch = *got && !noatime && atime_wanted(fs, in, now);
    rwlock_unlock(&in->lock);
    if (touch)
        inode_accessed(fs, in, now);
    inode_put(fs, in);
    return rc;
}

int fs_read(struct fs *fs, uint64_t ino, uint64_t off, size_t len, void *to, size_t *got)
{
    return read_file(fs, ino, off, len, to, got, false);
}

int fs_read_noatime(struct fs *fs, uint64_t ino, uint64_t off, size_t len, void *to,
                    size_t *got)
{
    return read_file(fs, ino, off, len, to, got, true);
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
    rc = txn_end_later(fs, t, rc);
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

/* What is only in memory goes to the store. */
static int fsync_begin(struct fs *fs, uint64_t ino)
{
    struct inode *in;
    int rc = inode_get(fs, ino, &in);

    if (rc)
        return rc;
    rwlock_write(&in->lock);
    rc = inode_write_atime(fs, in);
    rwlock_unlock(&in->lock);
    inode_put(fs, in);
    return rc;
}

int fs_fsync(struct fs *fs, uint64_t ino)
{
    int rc = fs->options.read_only ? 0 : fsync_begin(fs, ino);

    return rc ? rc : lsm_sync(fs->db);
}

void fs_fsync_notify(struct fs *fs, uint64_t ino, struct lsm_sync_request *r)
{
    int rc = fs->options.read_only ? 0 : fsync_begin(fs, ino);

    if (rc)
        r->done(r, rc);
    else
        lsm_sync_notify(fs->db, r);
}

int fs_settle(struct fs *fs)
{
    return lsm_settle(fs->db);
}

int fs_sync(struct fs *fs)
{
    int rc;

    if (fs->options.read_only)
        return 0;
    rc = lazy_write(fs);
    return rc ? rc : lsm_sync(fs->db);
}
