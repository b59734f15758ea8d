/*
 * ops_impl.h - what the files of the operations share: ops.c (the table, INIT,
 * replies), ops_names.c, ops_files.c, ops_xattr.c.
 */
#ifndef MOUNT_OPS_IMPL_H
#define MOUNT_OPS_IMPL_H

#include "control.h"
#include "ops.h"

/* The asker, for calls that make something or judge rights. */
struct caller {
    struct fs_cred cred;
    fuse_req_t req; /* answers for groups while it is not replied to */
};

static inline struct ops *ops_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

/* May the kernel answer who opens a file (a directory, a symbolic link) from what it has
 * read before? With strictatime we have to hear of each. */
static inline bool kernel_may_answer(const struct ops *o)
{
    return o->options->fs.atime != FS_STRICTATIME;
}

void caller_init(struct caller *c, fuse_req_t req);

/* err is 0 or -errno, as fs/ gives it. */
void reply_err(fuse_req_t req, int err);
/* What it tells the kernel. "Structure needs cleaning" tells a user nothing; the log has
 * the place. */
static inline int reply_errno(int err)
{
    return err == -EUCLEAN ? EIO : -err;
}
void reply_attr(fuse_req_t req, int err, const struct fs_attr *attr);
/*
 * An entry that counts as a lookup. If the kernel does not take it, and so will
 * never forget it, that is done here.
 */
void reply_entry(fuse_req_t req, int err, const struct fs_attr *attr);
/*
 * Before a reply with attributes to a GETATTR or LOOKUP. The kernel counts names by
 * itself, too: when its UNLINK (or RENAME) has returned it takes one off. If it took our
 * count, which is without that name, between our reply and then, it comes to one too
 * few, and link(2) of a file with one name left fails with ENOENT without asking us. So
 * it is told beforehand that what it has asked for is out of date: it passes the reply on
 * to who asked, and keeps its own count.
 */
void reply_uncounted(struct ops *o, int err, const struct fs_attr *attr);
void entry_fill(const struct ops *o, const struct fs_attr *attr,
                struct fuse_entry_param *e);

/* This thread's buffer of at least size bytes, until its next call; NULL: no memory. */
void *scratch(size_t size);

/* ops_names.c */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
              dev_t dev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *fi);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
               const char *new_name, unsigned flags);
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                    struct fuse_file_info *fi);

/* ops_files.c */
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
                struct fuse_file_info *fi);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
             struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
              struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                  struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
              struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t from_ino, off_t from,
                        struct fuse_file_info *from_fi, fuse_ino_t to_ino, off_t to,
                        struct fuse_file_info *to_fi, size_t len, int flags);
void op_statfs(fuse_req_t req, fuse_ino_t ino);

/* ops_xattr.c */
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                 size_t size, int flags);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

#endif
