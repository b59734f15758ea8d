/*
 * ops_files.c - operations on inodes: attributes, contents, space. See ops.h.
 */
#include "ops_impl.h"

#include "later.h"
#include "session.h"
#include "wire.h"

enum { NOBODY = 65534 }; /* the kernel's overflow uid */

/* ---- attributes ---- */

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct ops *o = ops_of(req);
    struct fs_attr attr;
    int err;

    if (control_owns(ino))
        err = control_getattr(o, ino, &attr);
    else
        err = fs_getattr(o->fs, ino, &attr);
    reply_uncounted(o, err, &attr);
    if (err || !wire_reply_statx(req, &attr, o->options->attr_timeout))
        reply_attr(req, err, &attr);
}

static unsigned what_to_set(int to_set)
{
    static const struct {
        int fuse;
        unsigned fs;
    } map[] = {
        {FUSE_SET_ATTR_MODE, FS_SET_MODE},   {FUSE_SET_ATTR_UID, FS_SET_UID},
        {FUSE_SET_ATTR_GID, FS_SET_GID},     {FUSE_SET_ATTR_SIZE, FS_SET_SIZE},
        {FUSE_SET_ATTR_ATIME, FS_SET_ATIME}, {FUSE_SET_ATTR_MTIME, FS_SET_MTIME},
        {FUSE_SET_ATTR_CTIME, FS_SET_CTIME},
    };
    unsigned set = 0;

    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        if (to_set & map[i].fuse)
            set |= map[i].fs;
    }
    /* "Now" comes beside the time's own bit, and replaces it. */
    if (to_set & FUSE_SET_ATTR_ATIME_NOW)
        set = (set & ~FS_SET_ATIME) | FS_SET_ATIME_NOW;
    if (to_set & FUSE_SET_ATTR_MTIME_NOW)
        set = (set & ~FS_SET_MTIME) | FS_SET_MTIME_NOW;
    return set;
}

/*
 * Before a write to a file with suid or sgid by somebody who may not keep them,
 * and at chown(-1, -1), the kernel sends a SETATTR that sets nothing, and takes
 * the mode from the reply. A change of owner, to the same, clears both.
 */
static int clear_suid(struct fs *fs, const struct caller *c, fuse_ino_t ino,
                      struct fs_attr *attr)
{
    int err = fs_getattr(fs, ino, attr);

    if (err || !S_ISREG(attr->st.st_mode) || !(attr->st.st_mode & (S_ISUID | S_ISGID)))
        return err;
    return fs_setattr(fs, &c->cred, ino, FS_SET_UID, &attr->st, attr);
}

/*
 * Whether a truncation clears suid and sgid is up to what the caller may do, of which the
 * kernel tells the outcome.
 */
static void judge_truncation(struct fs_cred *c, bool kills)
{
    if (!kills)
        c->uid = 0; /* whom fs_setattr leaves both */
    else if (c->uid == 0)
        c->uid = NOBODY; /* root, but without the capability */
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
                struct fuse_file_info *fi)
{
    unsigned set = what_to_set(to_set);
    struct fs *fs = ops_of(req)->fs;
    struct fs_attr attr;
    struct caller c;
    int err;

    caller_init(&c, req);
    if ((set & FS_SET_SIZE) && !(set & FS_SET_MODE))
        judge_truncation(&c.cred,
                         wire_truncate_kills(session_request(), fuse_req_ctx(req)));
    if (control_owns(ino))
        err = control_refusal(ino);
    else if (!set)
        err = clear_suid(fs, &c, ino, &attr);
    else
        err = fs_setattr(fs, &c.cred, ino, set, st, &attr);
    reply_attr(req, err, &attr);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    char target[FS_SYMLINK_MAX + 1];
    struct ops *o = ops_of(req);
    int err = control_owns(ino) ? control_readlink(o, ino, target)
                                : fs_readlink(o->fs, ino, target);

    if (err)
        reply_err(req, err);
    else
        fuse_reply_readlink(req, target);
}

/* ---- contents ---- */

/*
 * The kernel never asks again, nor does it tell when files are closed. There is nothing
 * to keep for an open file: it lives as long as the kernel knows its inode. Unless we
 * have to hear of each reader: then opening makes it drop what it has read (no
 * keep_cache).
 */
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (kernel_may_answer(ops_of(req)))
        reply_err(req, -ENOSYS);
    else
        fuse_reply_open(req, fi);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
             struct fuse_file_info *fi)
{
    struct ops *o = ops_of(req);
    void *buf;
    size_t got;
    int err;

    buf = scratch(size);
    if (!buf)
        err = -ENOMEM;
    else if (control_owns(ino))
        err = control_read(o, ino, (uint64_t)off, size, buf, &got);
    else if (fi->flags & O_NOATIME)
        err = fs_read_noatime(o->fs, ino, (uint64_t)off, size, buf, &got);
    else
        err = fs_read(o->fs, ino, (uint64_t)off, size, buf, &got);
    if (err) {
        reply_err(req, err);
        return;
    }
    atomic_fetch_add_explicit(&o->meter.read_bytes, got, memory_order_relaxed);
    fuse_reply_buf(req, buf, got);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
              struct fuse_file_info *fi)
{
    bool kills = wire_write_kills(session_request(), fuse_req_ctx(req));
    struct ops *o = ops_of(req);
    struct fs *fs = o->fs;
    uint64_t room;
    int err;

    if (control_owns(ino))
        err = control_write(o, ino, slice_of(data, size));
    else
        err = fs_write(fs, ino, (uint64_t)off, slice_of(data, size), kills);
    /* At a limit, as much as there is room for, as write(2) has it. Not of the kernel's
     * dirty pages: it would take the rest for written, too. */
    if ((err == -ENOSPC || err == -EDQUOT) && !fi->writepage &&
        (room = fs_room(fs, ino)) && room < size) {
        size = (size_t)room;
        err = fs_write(fs, ino, (uint64_t)off, slice_of(data, size), kills);
    }
    if (!err)
        err = fs_settle(fs);
    if (err) {
        reply_err(req, err);
        return;
    }
    atomic_fetch_add_explicit(&o->meter.write_bytes, size, memory_order_relaxed);
    fuse_reply_write(req, size);
}

/*
 * The kernel writes its dirty pages of the range back first, has suid and sgid
 * cleared by a SETATTR, and drops its pages afterwards; it passes no other modes
 * than plain, PUNCH_HOLE and ZERO_RANGE.
 */
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                  struct fuse_file_info *fi)
{
    int err = -EPERM;

    if (!control_owns(ino))
        err = fs_fallocate(ops_of(req)->fs, ino, mode, (uint64_t)off, (uint64_t)len);
    reply_err(req, err);
}

/*
 * With its writeback cache the kernel asks this without writing its dirty pages
 * back: what we would call a hole may have data there. So then it is told, by
 * ENOSYS, to take the whole file for data.
 */
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
              struct fuse_file_info *fi)
{
    struct ops *o = ops_of(req);
    uint64_t found;
    int err;

    if (o->options->writeback)
        err = -ENOSYS;
    else if (control_owns(ino))
        err = control_lseek(o, ino, (uint64_t)off, whence, &found);
    else
        err = fs_lseek(o->fs, ino, (uint64_t)off, whence, &found);
    if (err)
        reply_err(req, err);
    else
        fuse_reply_lseek(req, (off_t)found);
}

/* EXDEV makes the kernel copy by itself: control files have no extents. */
void op_copy_file_range(fuse_req_t req, fuse_ino_t from_ino, off_t from,
                        struct fuse_file_info *from_fi, fuse_ino_t to_ino, off_t to,
                        struct fuse_file_info *to_fi, size_t len, int flags)
{
    static const size_t reply_max = UINT32_MAX & ~(size_t)4095; /* it has 32 bits */
    uint64_t copied;
    int err;

    if (flags)
        err = -EINVAL;
    else if (control_owns(from_ino) || control_owns(to_ino))
        err = -EXDEV;
    else
        err = fs_copy_range(ops_of(req)->fs, from_ino, (uint64_t)from, to_ino,
                            (uint64_t)to, len < reply_max ? len : reply_max, &copied);
    if (err)
        reply_err(req, err);
    else
        fuse_reply_write(req, copied);
}

/* Also of directories: the log that is synced is one. */
void op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    struct fs *fs = ops_of(req)->fs;
    struct later *l = control_owns(ino) ? NULL : later_begin(req);

    if (l)
        fs_fsync_notify(fs, ino, &l->sync);
    else
        reply_err(req, control_owns(ino) ? 0 : fs_fsync(fs, ino));
}

/* ---- space ---- */

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct fs_statfs s;
    struct statvfs v;
    int err = fs_statfs(ops_of(req)->fs, control_owns(ino) ? FS_ROOT : ino, &s);

    if (err) {
        reply_err(req, err);
        return;
    }
    v = (struct statvfs){
        .f_bsize = s.block_bytes,
        .f_frsize = s.block_bytes,
        .f_blocks = s.blocks,
        .f_bfree = s.blocks_free,
        .f_bavail = s.blocks_avail,
        .f_files = s.files,
        .f_ffree = s.files_free,
        .f_favail = s.files_free,
        .f_namemax = FS_NAME_MAX,
    };
    fuse_reply_statfs(req, &v);
}
