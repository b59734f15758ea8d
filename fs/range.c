/*
 * range.c - operations on ranges of a file: fallocate, SEEK_HOLE and SEEK_DATA,
 * copy_file_range. None of them reads or writes contents.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "extent.h"
#include "xattr.h"

static int range_check(const struct inode *in)
{
    if (record_is_dir(&in->rec))
        return -EISDIR;
    if (!record_is_file(&in->rec))
        return -EINVAL;
    return in->state & INODE_GONE ? -ESTALE : 0;
}

/* ---- fallocate ---- */

/* As Linux has it, in its order. */
static int fallocate_check(const struct inode *in, int mode, uint64_t off, uint64_t len)
{
    static const int modes[] = {
        0,
        FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_ZERO_RANGE,
        FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_COLLAPSE_RANGE,
        FALLOC_FL_INSERT_RANGE,
    };
    uint64_t size = in->rec.file.size;
    size_t i = 0, n = sizeof(modes) / sizeof(modes[0]);

    if (off > FS_SIZE_MAX || len > FS_SIZE_MAX || !len)
        return -EINVAL;
    while (i < n && modes[i] != mode)
        i++;
    if (i == n)
        return -EOPNOTSUPP;
    if (S_ISFIFO(in->rec.mode))
        return -ESPIPE;
    if (record_is_dir(&in->rec))
        return -EISDIR;
    if (!record_is_file(&in->rec))
        return -ENODEV;
    if (in->state & INODE_GONE)
        return -ESTALE;
    if (len > FS_SIZE_MAX - off)
        return -EFBIG;
    if (mode == FALLOC_FL_COLLAPSE_RANGE && off + len >= size)
        return -EINVAL;
    if (mode == FALLOC_FL_INSERT_RANGE && off >= size)
        return -EINVAL;
    return mode == FALLOC_FL_INSERT_RANGE && len > FS_SIZE_MAX - size ? -EFBIG : 0;
}

/* Has the disk, now, the room that the holes in [off, off + len) would take? */
static int room_check(struct fs *fs, const struct inode *in, uint64_t off, uint64_t len)
{
    uint64_t total, avail, there;
    int rc = lsm_space(fs->db, &total, &avail);

    if (rc || len <= avail)
        return rc;
    rc = extent_bytes(fs, in->ino, &in->rec, off, off + len, &there);
    return !rc && len - there > avail ? -ENOSPC : rc;
}

static int fallocate_fill(struct fs *fs, struct txn *t, const struct inode *in,
                          struct record *rec, int mode, uint64_t off, uint64_t len)
{
    uint64_t end = off + len;
    int rc;

    if (mode == FALLOC_FL_COLLAPSE_RANGE)
        return extent_shift(fs, t, in->ino, rec, end, off);
    if (mode == FALLOC_FL_INSERT_RANGE)
        return extent_shift(fs, t, in->ino, rec, off, end);
    if (mode & FALLOC_FL_PUNCH_HOLE)
        return extent_punch(fs, t, in->ino, rec, off, end);
    rc = room_check(fs, in, off, len);
    if (!rc && (mode & FALLOC_FL_ZERO_RANGE))
        rc = unwritten_replace(fs, t, in->ino, rec, off, end);
    else if (!rc)
        rc = unwritten_fill(fs, t, in->ino, rec, off, end);
    if (!rc && !(mode & FALLOC_FL_KEEP_SIZE) && end > rec->file.size)
        rc = extent_truncate(fs, t, in->ino, rec, end);
    return rc;
}

/* Needs the lock exclusively. */
static int fallocate_locked(struct fs *fs, struct inode *in, int mode, uint64_t off,
                            uint64_t len)
{
    struct record rec = in->rec;
    struct txn *t;
    int rc = fallocate_check(in, mode, off, len);

    if (rc)
        return rc;
    t = txn_begin(fs);
    if (!t)
        return -ENOMEM;
    txn_of(fs, t, in);
    rc = fallocate_fill(fs, t, in, &rec, mode, off, len);
    if (!rc)
        rc = xattr_drop_capability(fs, t, in->ino, &rec);
    rec.mtime = rec.ctime = stamp_now();
    txn_put_inode(t, in, &rec);
    rc = txn_end(fs, t, rc);
    if (!rc)
        inode_set(in, &rec);
    return rc;
}

int fs_fallocate(struct fs *fs, uint64_t ino, int mode, uint64_t off, uint64_t len)
{
    struct inode *in;
    int rc;

    rc = inode_begin(fs, ino, &in);
    if (rc)
        return rc;
    rc = fallocate_locked(fs, in, mode, off, len);
    inode_end(fs, in);
    return rc;
}

/* ---- holes and data ---- */

/* Needs the lock shared. */
static int lseek_locked(struct fs *fs, const struct inode *in, uint64_t off, int whence,
                        uint64_t *out)
{
    int rc = range_check(in);

    if (rc)
        return rc;
    if (off >= in->rec.file.size)
        return -ENXIO;
    if (whence == SEEK_HOLE)
        return extent_find_hole(fs, in->ino, &in->rec, off, out);
    rc = extent_find_data(fs, in->ino, &in->rec, off, out);
    return !rc && *out == in->rec.file.size ? -ENXIO : rc;
}

int fs_lseek(struct fs *fs, uint64_t ino, uint64_t off, int whence, uint64_t *out)
{
    struct inode *in;
    int rc;

    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return -EINVAL;
    rc = inode_get(fs, ino, &in);
    if (rc)
        return rc;
    rwlock_read(&in->lock);
    rc = lseek_locked(fs, in, off, whence, out);
    rwlock_unlock(&in->lock);
    inode_put(fs, in);
    return rc;
}

/* ---- copying ---- */

/* Two files, by number: the one copied from shared, the other exclusively. */
static void lock_both(struct inode *from, struct inode *to)
{
    if (from == to) {
        rwlock_write(&to->lock);
    } else if (from->ino < to->ino) {
        rwlock_read(&from->lock);
        rwlock_write_nested(&to->lock);
    } else {
        rwlock_write(&to->lock);
        inode_read_nested(from);
    }
}

static void unlock_both(struct inode *from, struct inode *to)
{
    rwlock_unlock(&to->lock);
    if (from != to)
        rwlock_unlock(&from->lock);
}

/* Leaves in *len what is to be copied. */
static int copy_check(const struct inode *src, uint64_t from, const struct inode *dst,
                      uint64_t to, uint64_t *len)
{
    uint64_t size = src->rec.file.size;
    int rc = range_check(src);

    if (!rc)
        rc = range_check(dst);
    if (rc)
        return rc;
    if (*len && to >= FS_SIZE_MAX)
        return -EFBIG;
    if (from >= size)
        *len = 0;
    else if (*len > size - from)
        *len = size - from;
    if (*len > FS_SIZE_MAX - to)
        *len = FS_SIZE_MAX - to;
    if (src == dst && from < to + *len && to < from + *len)
        return -EINVAL;
    return 0;
}

/* Needs both locks. */
static int copy_locked(struct fs *fs, struct inode *src, uint64_t from, struct inode *dst,
                       uint64_t to, uint64_t *len)
{
    struct record rec = dst->rec;
    struct txn *t;
    int rc = copy_check(src, from, dst, to, len);

    if (rc || !*len)
        return rc;
    t = txn_begin(fs);
    if (!t)
        return -ENOMEM;
    txn_of(fs, t, dst);
    rc = extent_copy(fs, t, (struct extent_place){src->ino, from}, &src->rec,
                     (struct extent_place){dst->ino, to}, &rec, len);
    if (!rc)
        rc = xattr_drop_capability(fs, t, dst->ino, &rec);
    rec.mtime = rec.ctime = stamp_now();
    txn_put_inode(t, dst, &rec);
    rc = txn_end(fs, t, rc);
    if (!rc)
        inode_set(dst, &rec);
    return rc;
}

int fs_copy_range(struct fs *fs, uint64_t from_ino, uint64_t from, uint64_t to_ino,
                  uint64_t to, uint64_t len, uint64_t *copied)
{
    struct inode *src, *dst;
    int rc;

    *copied = 0;
    if (fs->options.read_only)
        return -EROFS;
    rc = inode_get(fs, from_ino, &src);
    if (rc)
        return rc;
    rc = inode_get(fs, to_ino, &dst);
    if (!rc) {
        lock_both(src, dst);
        rc = copy_locked(fs, src, from, dst, to, &len);
        unlock_both(src, dst);
        inode_put(fs, dst);
    }
    inode_put(fs, src);
    if (!rc)
        *copied = len;
    return rc;
}
