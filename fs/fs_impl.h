/*
 * fs_impl.h - what the files of fs/ share and nobody else sees.
 *
 * The layers, from the bottom: keys and record (bytes); itable (live inodes);
 * txn (one operation, one batch); inode (a live inode from its number, its
 * record back to the store); extent with extent_move, unwritten and around (contents
 * of files), acl and xattr (what else an inode has); entry (names in directories);
 * number (an inode by that alone); then the operations: dir, rename, readdir, attr,
 * file, range, xattr_ops; and
 * super, usage, lazy, orphan around them. Beside all this check, and mend below it,
 * which work on a store that nobody has mounted, and scrub, with paths, which works on
 * any. A file calls only those before it.
 *
 * Every operation goes the same way: pin the inodes, lock them, compute the new
 * records in copies, fill a batch, write it, and only when that succeeded copy
 * the records into the live inodes. So a failed write leaves memory as it was.
 *
 * Locks, beyond what fs.h says. An entry (D key) that embeds an inode is
 * written under that inode's lock: by the inode's own operations under it
 * alone, by rename, link and unlink as well. An entry that refers to an inode
 * is written under the directory's and the inode's. The name index (N keys) is
 * written under the directory's lock. So whoever holds a directory's lock
 * shared sees its names and numbers stand still, but not the records embedded
 * in them; for those there is itable_sample.
 */
#ifndef FS_IMPL_H
#define FS_IMPL_H

#include "around.h"
#include "fs.h"
#include "itable.h"
#include "keys.h"
#include "record.h"

enum {
    NUMBERS_STEP = 4096, /* inode numbers reserved at a time */
    LAZY_MAX = 4096,     /* inodes that wait for their atime to be written */
    FEW_EXTENTS = 32,    /* up to so many are deleted one by one, more as a range */
    RELATIME_S = 24 * 60 * 60,
    DEAD_MAX = 64, /* inodes deleted at once */
    LOST_NAMES = 256,
    LOST_NAME_MS = 1000, /* fs_attr.lost_name */
};

struct txn;

/* What is used; usage.c. */
struct usage {
    struct fs_limits limits;     /* constant while mounted */
    _Atomic int64_t bytes;       /* counted only when there is a limit */
    _Atomic int64_t inodes;      /* always */
    _Atomic bool lost;           /* what was deleted could not be counted */
    _Atomic bool exact;          /* else both begin with what a crash left... */
    struct lsm_iter *recount;    /* ...until this was read, which sees the store of */
    int64_t at_bytes, at_inodes; /* the moment when they were so much */
    struct mutex writing;        /* over the following, and held over writing them */
    uint64_t stored_bytes, stored_inodes;
};

/* The quotas of directory trees; quota.h. */
struct quota_table { /* ascending by tree */
    struct quota **at;
    unsigned n;
};

struct quotas {
    _Atomic bool any;   /* there are some, or were since the mount */
    _Atomic bool exact; /* else they begin with what a crash left */
    /* While a tree is walked, no directory goes from one that this is said of to another.
     */
    _Atomic bool walking;
    _Atomic uint64_t walking_to;
    struct quota_table table; /* changed under mu, while operations are stopped */
    struct mutex mu;
    bool in_super; /* the superblock tells of them; under mu, like: */
    bool at_work;  /* quota_work knows some: none is to be forgotten */
};

/* An inode that nobody refers to, with its record, still to be deleted. */
struct dead {
    uint64_t ino;
    uint64_t tree;     /* quota.h */
    struct record rec; /* without a symlink's target */
};

struct fs {
    struct lsm *db;
    struct fs_options options;
    struct inode *root; /* pinned while mounted */
    struct itable inodes;
    struct mutex rename;
    uint64_t orphans_removed;
    struct usage usage;
    struct quotas quotas;
    struct around around;
    /* When a file lost a name and kept others, by its number: ms of the monotonic clock.
     * Two that share a place are doubted longer than need be. */
    _Atomic int64_t lost_name[LOST_NAMES];

    struct mutex state; /* over the following */
    uint64_t next;      /* number to give out */
    uint64_t ceiling;   /* numbers below it are reserved in the store */
    struct txn *free_txns;
    unsigned in_txns; /* operations between txn_begin and txn_end */
    bool stopped;     /* by txn_stop, */
    uint64_t stops;   /* so many times */
    pthread_cond_t txn_wake;

    struct mutex lazy_mu; /* over the following; lazy.c */
    pthread_cond_t lazy_wake;
    pthread_t lazy_thread;
    bool lazy_running;
    bool lazy_stop;
    unsigned n_lazy;
    uint64_t *lazy;

    struct mutex deleting; /* held while dead inodes are deleted */
    struct mutex dead_mu;  /* over the following; orphan.c */
    unsigned n_dead;
    struct dead dead[DEAD_MAX];
};

/* ---- super.c ---- */

/* A number never given out before. May write to the store. */
int fs_new_number(struct fs *fs, uint64_t *ino);
/* Damage, or a disk that cannot read it: no reason not to delete it. */
static inline bool is_unreadable(int rc)
{
    return rc == -EUCLEAN || rc == -EIO;
}
/* What the store cannot hold: logs why, with the numbers, and returns -EUCLEAN. */
int fs_corrupt(const char *why, uint64_t a, uint64_t b);

/* The superblock; -ENODATA when there is none. */
int super_read(struct lsm *db, struct super *super);
int super_put(struct lsm_batch *b, const struct super *super);

/* ---- usage.c: what is used, and its limits ---- */

/* What an inode, and an extended attribute, use of a limit (FORMAT.md, "Limits"). */
uint64_t usage_of(const struct record *rec);
int64_t usage_of_xattr(size_t name_len, size_t value_len);

static inline bool usage_limited(const struct fs *fs)
{
    return fs->usage.limits.bytes || fs->usage.limits.inodes;
}

/* Does anybody want to know what attributes use? */
static inline bool usage_wanted(struct fs *fs)
{
    return usage_limited(fs) ||
           atomic_load_explicit(&fs->quotas.any, memory_order_relaxed);
}

/* Add to what is used; false when it would be more than the limit (0: none). */
bool usage_grow(_Atomic int64_t *used, uint64_t limit, int64_t more);

/*
 * An operation is about to add that many bytes and inodes (or take them away, when
 * negative). What it adds is taken before: -ENOSPC at a limit, and nothing was taken.
 * What it takes away is given when its batch was written; if that failed, untake.
 */
int usage_take(struct fs *fs, int64_t bytes, int64_t inodes);
void usage_untake(struct fs *fs, int64_t bytes, int64_t inodes);
void usage_give(struct fs *fs, int64_t bytes, int64_t inodes);

/* What is being deleted cannot all be read: the next mount counts anew. */
void usage_lose(struct fs *fs);

uint64_t usage_bytes(struct fs *fs);
uint64_t usage_inodes(struct fs *fs);

/* Put the figures of a filesystem with a limit into b. */
int usage_put(struct lsm_batch *b, uint64_t bytes, uint64_t inodes, bool exact);
/* At mount, before anything is written. */
int usage_open(struct fs *fs, const struct super *super);
/* Orphans are removed: begin a recount, if one is due. */
int usage_begin_recount(struct fs *fs);
/* Do the one begun: takes as long as listing all files. Given up at lazy_stop; then, or
 * when reading failed, which is logged, the next mount does it. */
void usage_recount(struct fs *fs);
/* Write the figures to the store, if they changed; `last`: nothing more will be. */
int usage_write(struct fs *fs, bool last);
void usage_close(struct fs *fs);

/* ---- inode.c ---- */

struct stamp stamp_now(void);
struct stamp stamp_of(struct timespec t);

/* For a second inode lock, shared, below an exclusive or shared one. */
static inline void inode_read_nested(struct inode *in)
{
    lock_note_take(LOCK_RANK(&in->lock), 1);
    pthread_rwlock_rdlock(&in->lock.l);
}

/* The inode, pinned; -ESTALE when there is none. Reads its own key when it is not
 * live: inodes that entries embed are known only while they are live. */
int inode_get(struct fs *fs, uint64_t ino, struct inode **out);
/* For a change: pinned and locked exclusively; -EROFS. Undo with inode_end. */
int inode_begin(struct fs *fs, uint64_t ino, struct inode **out);
void inode_end(struct fs *fs, struct inode *in);
/* Give the pin back, and do what the last reference has to do. NULL is fine. */
void inode_put(struct fs *fs, struct inode *in);
/* The same, except to give the pin back; returns the first error. */
int inode_settle(struct fs *fs, struct inode *in);

/* After rec was written: it is the inode's. Needs the lock exclusively. */
void inode_set(struct inode *in, const struct record *rec);

/* Write the inode's record alone, and set it; only set it when the inode is gone from
 * the store. Needs the lock exclusively. */
int inode_write(struct fs *fs, struct inode *in, const struct record *rec);

/* Write a pending time of access, if there is one. A full disk is no error: it stays in
 * memory, for the next change to take. Needs the lock exclusively. */
int inode_write_atime(struct fs *fs, struct inode *in);

/* Attributes from a record. */
void attr_fill(struct fs_attr *out, uint64_t ino, const struct record *rec);
/* Attributes of a live inode; takes its lock. */
void inode_attr(struct fs *fs, struct inode *in, struct fs_attr *out);
void inode_attr_locked(struct fs *fs, const struct inode *in, struct fs_attr *out);
/* It lost a name and has others. Needs the lock exclusively. */
void inode_lost_name(struct fs *fs, const struct inode *in);

/* Is a user of these credentials free to keep sgid of that group? */
bool cred_in_group(const struct fs_cred *c, gid_t gid);
/* mode of a non-directory without the bits that a change of content or owner clears. */
uint32_t mode_without_suid(uint32_t mode, uint32_t gid, const struct fs_cred *c);

/* ---- number.c ---- */

/* The inode of that number, pinned, and with one lookup more, wherever its record is;
 * -ESTALE when there is none. Takes locks of inodes. */
int number_lookup(struct fs *fs, uint64_t ino, struct inode **out);

/* ---- lazy.c ---- */

int lazy_start(struct fs *fs);
/* Stops the thread; what waits stays waiting. */
void lazy_stop(struct fs *fs);
/* Is it to stop? */
bool lazy_stopping(struct fs *fs);
/* Does a read at `now` want a new atime? Needs the lock shared. */
bool atime_wanted(struct fs *fs, const struct inode *in, struct stamp now);
/* Give it one, in memory. Takes the lock exclusively. */
void inode_accessed(struct fs *fs, struct inode *in, struct stamp now);
/* Write every pending atime and the count of inodes, and delete dead inodes. */
int lazy_write(struct fs *fs);

/* ---- orphan.c ---- */

/* Remove what the last mount left. */
int orphans_remove(struct fs *fs);
/* Nobody refers to the orphan any more: it is to be deleted, soon. Needs the lock
 * exclusively. */
int orphan_retire(struct fs *fs, struct inode *in);
/* Delete those now: when it returns, what they used is given back, also of those that
 * another thread was deleting. */
int orphans_flush(struct fs *fs);

#endif
