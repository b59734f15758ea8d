/*
 * quota.h - quotas of directory trees: what they are, and what each operation does
 * about them (quota.c); how a tree becomes one, and how it is counted (quota_tree.c).
 *
 * A *tree* is all that is below a directory with a quota, without the directory itself;
 * its number is the directory's. What is below says so: the records of directories, and
 * of files that have a key of their own, have the number of the tree they are in, the
 * innermost; an inode that its entry embeds is in that of the directory. Of a directory
 * the number is that of what it *holds*: its own, if it has a quota. A tree in another
 * one counts there, too (`outer`). So an operation needs no walk up: it finds the number,
 * and takes what it adds from as many quotas as are nested there.
 *
 * Files go from one tree to another by rename: their record is written anyhow.
 * Directories cannot, nor can files with several names: -EXDEV, as with the project
 * quotas of XFS and ext4.
 *
 * Figures are kept as those of a limit of the whole filesystem are (usage.c): in memory,
 * exact with each batch; in the store now and then, and counted anew after a crash.
 *
 * Which tree an inode is in is asked, and the figures change, only between txn_begin and
 * txn_end. txn_stop waits until nobody is there and keeps everybody from it: what was
 * said before it, nobody goes by after it. That is the moment as of which a tree is
 * counted, and at which the table changes.
 *
 * Locks: `mu`, below those of inodes, is for those outside of that: over the table, the
 * limits and what is stored. Who has it may txn_stop; nobody takes it within a txn.
 */
#ifndef FS_QUOTA_H
#define FS_QUOTA_H

#include "fs_impl.h"

struct quota {
    uint64_t tree; /* number of its directory */
    _Atomic(struct quota *) outer;
    _Atomic uint64_t limit_bytes, limit_inodes; /* 0: none */
    _Atomic int64_t bytes, inodes;              /* used */
    _Atomic int state;                          /* enum quota_state */
    bool walked; /* all that is in the tree says so, or says no more so; under mu */
    bool over;   /* it is to be forgotten; under mu */
    bool counting;
    bool seen;    /* its directory was, while counting */
    int at_state; /* these are as of the moment as of which is counted */
    int64_t at_bytes, at_inodes;
    uint64_t sum_bytes;         /* what is in this tree, and in none further in; of a */
    int64_t sum_inodes;         /* hostile store modulo 2^64 */
    struct quota_record stored; /* what the store says; under mu */
};

struct quota *quota_find(const struct quota_table *t, uint64_t tree);
/* Is it that, or in it, by `outer`? Before one is put around another: a hostile store may
 * say so of two each way, and none may lie in itself. */
bool quota_lies_in(struct quota *q, const struct quota *outer);
/* In no table; NULL: no memory. */
struct quota *quota_new(uint64_t tree, const struct quota_record *rec);
/* Takes q, if it returns 0. */
int quota_table_add(struct quota_table *t, struct quota *q);

/* ---- reading and counting: also for fs_check ---- */

/* Those in the store. A record that cannot be told to `bad` (may be NULL) with its key; a
 * tree that is said to lie in one that is not there, or in itself, lies in none, and
 * *doubt is set. Release in any case. */
typedef int quota_bad_fn(void *arg, struct slice key);
int quota_load(struct lsm *db, struct quota_table *t, bool *doubt, quota_bad_fn *bad,
               void *arg);
void quota_table_release(struct quota_table *t);
/* What the store says of their exactness; false when that is missing or damaged. */
int quota_read_exact(struct lsm *db, bool *exact);

/*
 * Count into sum_bytes and sum_inodes all that is in trees, as of snap, those further in
 * included. fs (may be NULL): -ECANCELED when it is unmounted meanwhile. A damaged record
 * is logged and counts nothing.
 */
int quota_count(struct fs *fs, struct lsm *db, const struct lsm_snapshot *snap,
                struct quota_table *t);

/* What the store would have to say of q. */
struct quota_record quota_record_of(struct quota *q);
int quota_put(struct lsm_batch *b, uint64_t tree, const struct quota_record *rec);
void quota_put_exact(struct lsm_batch *b, bool exact);

/* ---- operations: within a txn ---- */

/* The tree that what is in this directory is in, or that `in` is; 0: none. */
int quota_tree_under(struct fs *fs, uint64_t dir, uint64_t *tree);
int quota_tree_of(struct fs *fs, const struct inode *in, uint64_t *tree);

/* An operation changes what is used in a quota by so much. */
struct charge {
    struct quota *q;
    int64_t bytes, inodes;
};

/* Add to a list of charges what a change in that tree means; -ENOMEM. */
struct charges {
    struct charge *at;
    unsigned n, room;
};
int charges_add(struct fs *fs, struct charges *c, uint64_t tree, int64_t bytes,
                int64_t inodes);
/* As usage_take and its kin; -EDQUOT. */
int charges_take(const struct charges *c);
void charges_untake(const struct charges *c);
void charges_give(const struct charges *c);

/* Wait until no operation is between txn_begin and txn_end, and let none begin one, until
 * txn_go_on. */
void txn_stop(struct fs *fs);
void txn_go_on(struct fs *fs);

/* Of all quotas that hold for what is in the directory ino, or for the file: the limits
 * that have the least left, and what is used of them. 0: none. */
void quota_tightest(struct fs *fs, uint64_t ino, struct fs_limits *tight,
                    struct fs_limits *used);

/* The attributes that say what is used in the tree of a directory with a quota. */
bool quota_owns_xattr(const char *name);
/* As fs_getxattr, of one of those. -ENODATA when it has none. */
int quota_getxattr(struct fs *fs, uint64_t ino, const char *name, void *to, size_t size,
                   size_t *len);

/* The directory of a tree was removed. */
void quota_dir_gone(struct fs *fs, uint64_t tree);

/* ---- the mount ---- */

/* Before anything is written. */
int quota_open(struct fs *fs, const struct super *super);
/* Do what a set or clear, or a crash, left to do: takes as long as listing the trees.
 * Given up at lazy_stop, or when reading fails, which is logged: then the next mount does
 * it. */
void quota_work(struct fs *fs);
/* Write the figures to the store, if they changed; `last`: nothing more will be. */
int quota_write(struct fs *fs, bool last);
void quota_close(struct fs *fs);

#endif
