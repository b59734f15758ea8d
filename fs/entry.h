/*
 * entry.h - names in a directory: finding one, the inode behind it, and what
 * making and removing one puts into a batch.
 *
 * All of these need the directory's lock: shared to look, exclusively to
 * change.
 */
#ifndef FS_ENTRY_H
#define FS_ENTRY_H

#include "txn.h"

/* The answer to: has this directory that name? */
struct entry {
    const char *name; /* asked for; borrowed */
    uint64_t dir;
    uint64_t hash;
    struct seqs seqs; /* all entries with that hash, if they are known; entry_seqs */
    bool seqs_known;
    bool found;
    uint64_t seq; /* these when found; of d only ino and type when live */
    struct dentry d;
    struct inode *live;     /* found in memory; pinned */
    uint64_t sample;        /* else: of dir, from before d was read; itable.h */
    struct lsm_value value; /* d borrows from it */
};

/* 0 whether there is one or not. Release e in any case. */
int entry_find(struct fs *fs, struct inode *dir, const char *name, struct entry *e);
void entry_release(struct fs *fs, struct entry *e);

/* Make e->seqs known, for a change. */
int entry_seqs(struct fs *fs, struct entry *e);

/* The inode of a found entry, pinned. Once. */
int entry_inode(struct fs *fs, struct entry *e, struct inode **out);

/* Put into t which entries of dir have that hash from now on. */
void entry_put_seqs(struct fs *fs, struct txn *t, struct inode *dir, uint64_t hash,
                    const struct seqs *s);

/* The same for an entry read elsewhere: d at (dir, seq), read after the sample. Reads it
 * again, into *value, when it must. */
int entry_load(struct fs *fs, uint64_t dir, uint64_t seq, struct dentry *d,
               uint64_t sample, struct lsm_value *value, struct inode **out);

/* A directory an operation is about to change: pinned, locked exclusively, not removed.
 * -ENOTDIR, -ENOENT when it was removed, -EROFS. Undo with dir_end. */
int dir_begin(struct fs *fs, uint64_t ino, struct inode **out);
void dir_end(struct fs *fs, struct inode *dir);
/* The part that needs the lock: -ENOTDIR, -ENOENT. */
int dir_check(const struct inode *dir);

/* Name and number of entries and subdirectories of a directory change. */
void dir_changed(struct record *rec, struct stamp now, int entries, int subdirs);

/* What becomes of an inode that loses a name. */
enum fate {
    FATE_LINKED, /* has other names */
    FATE_ORPHAN, /* is referred to: lives on until it is closed and forgotten */
    FATE_GONE,   /* deleted in this batch */
};

/*
 * Put into t what taking one name from `in` means, and its new record into
 * *rec. Needs the inode's lock exclusively.
 */
int unlink_inode(struct fs *fs, struct txn *t, struct inode *in, struct stamp now,
                 struct record *rec, enum fate *fate);
/* After t was written. */
void unlink_done(struct fs *fs, struct inode *in, const struct record *rec,
                 enum fate fate);

#endif
