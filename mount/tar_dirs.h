/*
 * tar_dirs.h - the directories below which an archive is imported, by fs.h.
 *
 * Names are walked from a base on through directories only: there is no way out, by ".."
 * or a symbolic link, whatever an archive says. The directory of the last name is kept,
 * as neighbours in an archive mostly have the same.
 */
#ifndef MOUNT_TAR_DIRS_H
#define MOUNT_TAR_DIRS_H

#include "../fs/fs.h"
#include "../lsm/lsm.h"

struct tar_dirs {
    struct fs *fs;
    uint64_t base;
    struct buf name; /* of the directory at hand, with a NUL; empty: there is none */
    uint64_t ino;
    bool acl; /* what is made in it inherits an ACL */
};

/* A directory that is missing on the way is made, or not. */
enum missing { MISSING_MADE, MISSING_REFUSED };

/* "a/b" of "/a/./b/". The caller's to free; -EXDEV: it leads upward. */
int tar_clean_path(const char *path, char **out);

/* The base is what path says, and is made where it is missing. -EXDEV: it leads upward.
 */
int tar_dirs_init(struct tar_dirs *d, struct fs *fs, const char *path);
void tar_dirs_release(struct tar_dirs *d);

/* The directory of a clean path is at hand; *last: its last word. -ELOOP: the path leads
 * through a symbolic link. */
int tar_dirs_enter(struct tar_dirs *d, const char *path, const char **last,
                   enum missing missing);
/* There is none at hand. */
void tar_dirs_forget(struct tar_dirs *d);
/* Give up a reference to an inode, which may be the base. */
void tar_dirs_leave(struct tar_dirs *d, uint64_t ino);

#endif
