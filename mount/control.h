/*
 * control.h - `.siltfs`, the directory at the root of a mount that no listing
 * shows: how a mount tells about itself and is told what to do. Its files are for root
 * and whoever mounted; those to read are made when looked up, `command` is in orders.h.
 */
#ifndef MOUNT_CONTROL_H
#define MOUNT_CONTROL_H

#include "ops.h"
#include "report.h"

#define CONTROL_NAME ".siltfs"

/* Its inodes have numbers that fs/ will never reach. */
static inline bool control_owns(fuse_ino_t ino)
{
    return ino >> 63;
}

/* Show the snapshots, too. */
int control_browse(struct ops *o);
/* Nobody asks any more. */
void control_end(struct ops *o);

/* What such a file says now; *text is the caller's to free, also after an error. */
int control_report(struct ops *o, report_fn *report, char **text, size_t *len);

/* The calls of fs/fs.h of these names, for the control directory and all below it. */
int control_lookup(struct ops *o, fuse_ino_t parent, const char *name,
                   struct fs_attr *out);
void control_forget(struct ops *o, fuse_ino_t ino, uint64_t lookups);
int control_getattr(struct ops *o, fuse_ino_t ino, struct fs_attr *out);
int control_readdir(struct ops *o, fuse_ino_t ino, uint64_t cookie, bool plus,
                    fs_dirent_fn *fn, void *arg);
int control_readlink(const struct ops *o, fuse_ino_t ino, char *to);
int control_getxattr(const struct ops *o, fuse_ino_t ino, const char *name, void *to,
                     size_t size, size_t *len);
int control_listxattr(const struct ops *o, const struct fs_cred *c, fuse_ino_t ino,
                      char *to, size_t size, size_t *len);
int control_lseek(const struct ops *o, fuse_ino_t ino, uint64_t off, int whence,
                  uint64_t *out);

/* CREATE: the only file that can be made is for orders; it counts as a lookup. uid asks.
 */
int control_create(struct ops *o, uid_t uid, fuse_ino_t parent, const char *name,
                   struct fuse_file_info *fi, struct fs_attr *out);
/* Into `to`, of len bytes. */
int control_read(struct ops *o, fuse_ino_t ino, uint64_t off, size_t len, void *to,
                 size_t *got);
/* What a change of an inode gets. */
int control_refusal(fuse_ino_t ino);
/* All of data or nothing. */
int control_write(struct ops *o, fuse_ino_t ino, struct slice data);

#endif
