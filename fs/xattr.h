/*
 * xattr.h - the extended attributes of an inode as they lie in the store, and
 * what two of them have to do with its mode: POSIX ACLs, which are kept in step
 * with it, and security.capability, which goes when suid goes.
 *
 * All of these need the inode's lock: shared to read, else exclusively. Those
 * that change something fill t and account for it in rec->flags, which the
 * caller puts in the same batch. An inode without attributes costs a look at
 * the flags; one batch deletes at most one attribute.
 */
#ifndef FS_XATTR_H
#define FS_XATTR_H

#include "acl.h"
#include "txn.h"

/* The flag that tells of this attribute beside REC_XATTR; 0 for all but a few. */
uint32_t xattr_flag(struct slice name);

/* -ENODATA when there is none. */
int xattr_read(struct fs *fs, uint64_t ino, const struct record *rec, const char *name,
               struct lsm_value *value);

/* flags as for fs_setxattr, and its errors. */
int xattr_put(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
              const char *name, struct slice value, int flags);
/* -ENODATA when there is none. */
int xattr_remove(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                 const char *name);
/* Of an inode that is going away. Leaves rec alone. */
int xattr_remove_all(struct fs *fs, struct txn *t, uint64_t ino,
                     const struct record *rec);

/* Tell fn each name in order, until it returns other than 0, which is returned. */
typedef int xattr_name_fn(void *arg, struct slice name, size_t value_len);
int xattr_names(struct fs *fs, uint64_t ino, xattr_name_fn *fn, void *arg);

/* The value of FS_COMPRESSION_NAME; NULL: it is not set. */
const char *xattr_compression(const struct record *rec);

/* Contents or owner change: no file capability survives that. */
int xattr_drop_capability(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec);

/* ---- ACLs ---- */

/* Make a the access or default list and, for the access list, rec->mode what it says;
 * an empty one removes it, and it is no error when there is none. */
int xattr_put_acl(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                  const char *name, const struct acl *a);

/* rec->mode was changed: the access list, if there is one, follows. */
int xattr_follow_mode(struct fs *fs, struct txn *t, uint64_t ino,
                      const struct record *rec);

/* What a new inode gets from its directory; empty: nothing. */
struct inherited {
    struct buf access, deflt;
};

/*
 * The new inode's mode, as asked for, into what it gets: without the umask's
 * bits, or changed by the directory's default list. Release *out in any case.
 */
int xattr_inherit(struct fs *fs, const struct inode *dir, mode_t umask,
                  struct record *rec, struct inherited *out);
void xattr_put_inherited(struct txn *t, uint64_t ino, const struct inherited *inherited);
void inherited_release(struct inherited *inherited);

#endif
