/*
 * paths.h - from inode numbers to paths, for those who report on a store.
 *
 * Nothing in the store leads from a file to its name: an entry knows its inode, not
 * the inode its entry. So the wanted ones are said first, and one scan of all entries
 * finds them. Directories know their parent and need no scan.
 */
#ifndef FS_PATHS_H
#define FS_PATHS_H

#include "../lsm/lsm.h"

struct wanted {
    uint64_t lo, hi; /* inode numbers, inclusive */
};

struct named {
    uint64_t ino, parent;
    char *name; /* escaped */
};

/* Zeroed is none. */
struct paths {
    struct lsm *db;
    struct wanted *want;
    size_t n_want;
    struct named *named; /* by inode, once filled; one name of each */
    size_t n_named;
    bool more; /* there are more than it keeps */
};

void paths_init(struct paths *p, struct lsm *db);
void paths_release(struct paths *p);

/* -ENOMEM. */
int paths_want(struct paths *p, uint64_t lo, uint64_t hi);

/*
 * Scan the entries. Where they cannot be read, `skip` is asked: given the last key
 * read, it puts the key to go on from into *next, or says false. What is lost stays
 * unnamed. -ENOMEM.
 */
typedef bool paths_skip_fn(void *arg, struct slice key, struct buf *next);
int paths_fill(struct paths *p, paths_skip_fn *skip, void *arg);

/* The wanted inodes in [lo, hi] that have names: the first at or after *i. */
const struct named *paths_next(const struct paths *p, size_t *i, uint64_t lo,
                               uint64_t hi);

/* Append name with control characters and backslashes as \ooo. */
void paths_escape(struct buf *to, struct slice name);

/*
 * The path of inode ino from the root of the filesystem, into `to`, as a string, with
 * control characters and backslashes as \ooo. "inode 123" when it has no name (a
 * deleted file in use is told as that) or that cannot be read; then false.
 */
bool paths_of(const struct paths *p, uint64_t ino, struct buf *to);

#endif
