/*
 * control.h - `.siltfs`, the directory at the root of a mount that no listing
 * shows: how a mount tells about itself. Its files are made when opened and are
 * for root and whoever mounted.
 */
#ifndef MOUNT_CONTROL_H
#define MOUNT_CONTROL_H

#include "ops.h"

#define CONTROL_NAME ".siltfs"

/* Its inodes have numbers that fs/ will never reach. */
static inline bool control_owns(fuse_ino_t ino)
{
    return ino >> 63;
}

/* The calls of fs/fs.h of these names, for the control directory and its files. */
int control_lookup(const struct ops *o, fuse_ino_t parent, const char *name,
                   struct fs_attr *out);
int control_getattr(const struct ops *o, fuse_ino_t ino, struct fs_attr *out);
int control_readdir(const struct ops *o, fuse_ino_t ino, uint64_t cookie,
                    fs_dirent_fn *fn, void *arg);

/* Makes the content, which fi carries until release. */
int control_open(const struct ops *o, fuse_ino_t ino, struct fuse_file_info *fi);
/* Borrowed until release. */
struct slice control_read(const struct fuse_file_info *fi, uint64_t off, size_t len);
void control_release(struct fuse_file_info *fi);

#endif
