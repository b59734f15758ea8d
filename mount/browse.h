/*
 * browse.h - `.siltfs/snapshots/NAME`: the snapshots of the mounted store, as
 * directories that can only be read.
 *
 * Each is opened when its name is looked up, as a filesystem of its own beside the
 * mounted one, and closed when the kernel has forgotten all of it. Who does not use one
 * for a while makes the kernel do so. Its inodes are those of its filesystem, with the
 * number of its place among the open ones above (bits 48 to 62).
 */
#ifndef MOUNT_BROWSE_H
#define MOUNT_BROWSE_H

#include "ops.h"

#define BROWSE_NAME "snapshots"

enum { BROWSE_INO_BITS = 48 };

struct browse;

static inline bool browse_owns(fuse_ino_t ino)
{
    return (ino >> BROWSE_INO_BITS) > 1u << (63 - BROWSE_INO_BITS);
}

/* Of the mount whose ops these are; `dir` is the inode of the directory of names. */
int browse_new(const struct ops *o, fuse_ino_t dir, struct browse **out);
/* Nobody asks any more. NULL is fine. */
void browse_free(struct browse *b);

/* The root directory of a snapshot; counts as a lookup. -ENOENT; -ENFILE: too many are
 * in use. */
int browse_root(struct browse *b, const char *name, struct fs_attr *out);
/* fn for each name after `cookie` >= 2, as fs_readdir has it; st_nlink is 0: no more
 * than name and type is told. */
int browse_names(const struct browse *b, uint64_t cookie, fs_dirent_fn *fn, void *arg);
/* Let go of it, waiting a second until the kernel has; then it can be deleted.
 * Not on a thread that serves requests. -EBUSY: it is in use. */
int browse_close(struct browse *b, const char *name);

/* The calls of fs.h of these names, for inodes that browse_owns. */
int browse_lookup(struct browse *b, fuse_ino_t parent, const char *name,
                  struct fs_attr *out);
void browse_forget(struct browse *b, fuse_ino_t ino, uint64_t lookups);
int browse_getattr(struct browse *b, fuse_ino_t ino, struct fs_attr *out);
int browse_readlink(struct browse *b, fuse_ino_t ino, char *to);
int browse_readdir(struct browse *b, fuse_ino_t ino, uint64_t cookie, bool plus,
                   fs_dirent_fn *fn, void *arg);
int browse_read(struct browse *b, fuse_ino_t ino, uint64_t off, size_t len, void *to,
                size_t *got);
int browse_lseek(struct browse *b, fuse_ino_t ino, uint64_t off, int whence,
                 uint64_t *out);
int browse_getxattr(struct browse *b, fuse_ino_t ino, const char *name, void *to,
                    size_t size, size_t *len);
int browse_listxattr(struct browse *b, const struct fs_cred *c, fuse_ino_t ino, char *to,
                     size_t size, size_t *len);

#endif
