/*
 * txn.h - one operation, one batch.
 *
 *     t = txn_begin(fs);
 *     if (!t)
 *         return -ENOMEM;
 *     txn_put_record(t, ...);
 *     rc = txn_end(fs, t, rc);
 *
 * Filling cannot fail: trouble is kept and told by txn_end. Batches are reused,
 * so that an operation allocates nothing once warm.
 */
#ifndef FS_TXN_H
#define FS_TXN_H

#include "fs_impl.h"

struct txn {
    struct txn *next;
    struct lsm_batch *batch;
    struct buf scratch; /* the value being encoded */
    uint64_t bytes;     /* that the operation adds to what is used (usage.c); modulo
                           2^64, for it may be less than nothing, */
    int64_t inodes;     /* and inodes that it makes or deletes */
    int error;
};

struct txn *txn_begin(struct fs *fs);
/* Write the batch when rc is 0, else drop it; frees t. Returns the first error; -ENOSPC
 * when the operation adds something and a limit is reached. */
int txn_end(struct fs *fs, struct txn *t, int rc);
/* At unmount: free the batches kept. */
void txn_free_all(struct fs *fs);

/* The record of an inode that is being made, at that home. */
void txn_put_new(struct txn *t, uint64_t ino, const struct home *home,
                 const struct record *rec);
/* rec in place of the live inode's record, at that home... */
void txn_put_record(struct txn *t, const struct inode *in, const struct home *home,
                    const struct record *rec);
/* ... and where it is now. */
void txn_put_inode(struct txn *t, const struct inode *in, const struct record *rec);
/* An inode with this record is deleted: it is counted here, the caller deletes the keys.
 */
void txn_note_gone(struct txn *t, const struct record *rec);
/* An entry that refers to ino. */
void txn_put_ref(struct txn *t, uint64_t parent, uint64_t seq, const char *name,
                 uint64_t ino, uint32_t type);
void txn_delete_dentry(struct txn *t, uint64_t parent, uint64_t seq);
/* The names with that hash; no key when there are none. */
void txn_put_seqs(struct txn *t, uint64_t parent, uint64_t hash, const struct seqs *s);
void txn_put_orphan(struct txn *t, uint64_t ino);
void txn_delete_orphan(struct txn *t, uint64_t ino);
void txn_put_counter(struct txn *t, struct slice key, uint64_t v);

#endif
