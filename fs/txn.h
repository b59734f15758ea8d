/*
 * txn.h - one operation, one batch.
 *
 *     t = txn_begin(fs);
 *     if (!t)
 *         return -ENOMEM;
 *     txn_put_record(t, ...);
 *     rc = txn_end(fs, t, rc);
 *
 * With quotas (quota.h), what it adds must be known to belong to some tree: txn_of or
 * txn_under, before anything is put in.
 *
 * Filling cannot fail: trouble is kept and told by txn_end. Batches are reused,
 * so that an operation allocates nothing once warm.
 */
#ifndef FS_TXN_H
#define FS_TXN_H

#include "quota.h"

struct txn {
    struct txn *next;
    struct lsm_batch *batch;
    struct buf scratch; /* the value being encoded */
    uint64_t bytes;     /* that the operation adds to what is used (usage.c); modulo
                           2^64, for it may be less than nothing, */
    int64_t inodes;     /* and inodes that it makes or deletes */
    int error;
    enum lsm_durability durability;
    bool trees;          /* there are quotas */
    uint64_t tree;       /* the rest is charged to this one, */
    uint64_t told_bytes; /* which is what was added since there was so much */
    int64_t told_inodes;
    uint64_t stops; /* fs->stops when it began */
    struct charges charges;
};

struct txn *txn_begin(struct fs *fs);
/* Write the batch when rc is 0, else drop it; frees t. Returns the first error; -ENOSPC
 * when the operation adds something and a limit is reached, -EDQUOT when it is that of a
 * quota. */
int txn_end(struct fs *fs, struct txn *t, int rc);
/* The same of an operation whose caller settles (fs_options.told_later). */
int txn_end_later(struct fs *fs, struct txn *t, int rc);
/* At unmount: free the batches kept. */
void txn_free_all(struct fs *fs);

/* What is added from here on is of the tree that `in` is in (its lock is held), */
static inline void txn_of(struct fs *fs, struct txn *t, const struct inode *in);
/* or of that which what is in this directory is in. */
static inline void txn_under(struct fs *fs, struct txn *t, const struct inode *dir);
/* Likewise, of one that is known. */
void txn_of_tree(struct fs *fs, struct txn *t, uint64_t tree);

/* The record of an inode that is being made, at that home, after txn_under. (Here and in
 * what follows, a record without links that is not in an entry is put under O.) */
void txn_put_new(struct txn *t, uint64_t ino, const struct home *home,
                 const struct record *rec);
/* rec in place of the live inode's record, at that home... */
void txn_put_record(struct txn *t, const struct inode *in, const struct home *home,
                    const struct record *rec);
/* ... and where it is now, ... */
void txn_put_inode(struct txn *t, const struct inode *in, const struct record *rec);
/* ... which is not in an entry, and from now on it is in (a directory: holds) that tree.
 */
void txn_put_tree(struct txn *t, const struct inode *in, const struct record *rec,
                  uint64_t tree);
/* An inode with this record is deleted: it is counted here, the caller deletes the keys.
 */
void txn_note_gone(struct txn *t, const struct record *rec);
/* An entry that refers to ino. */
void txn_put_ref(struct txn *t, uint64_t parent, uint64_t seq, const char *name,
                 uint64_t ino, uint32_t type);
void txn_delete_dentry(struct txn *t, uint64_t parent, uint64_t seq);
/* The names with that hash; no key when there are none. */
void txn_put_seqs(struct txn *t, uint64_t parent, uint64_t hash, const struct seqs *s);
void txn_delete_orphan(struct txn *t, uint64_t ino);
void txn_put_counter(struct txn *t, struct slice key, uint64_t v);

void txn_find_tree(struct fs *fs, struct txn *t, const struct inode *in);

static inline void txn_of(struct fs *fs, struct txn *t, const struct inode *in)
{
    if (t->trees)
        txn_find_tree(fs, t, in);
}

static inline void txn_under(struct fs *fs, struct txn *t, const struct inode *dir)
{
    if (t->trees)
        txn_of_tree(fs, t, atomic_load(&dir->tree));
}

#endif
