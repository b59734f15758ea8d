/*
 * fs_harm.h - records of a filesystem at rest, read and written past the filesystem:
 * how tests damage one, and what damage leaves consistent.
 */
#ifndef FS_HARM_H
#define FS_HARM_H

#include "fs/fs.h"
#include "fs/keys.h"
#include "fs/record.h"

struct harm {
    struct lsm *db;
    uint64_t seed; /* of name hashes */
    struct buf buf;
    struct lsm_value value;
};

void harm_begin(struct harm *h, struct lsm *db);
void harm_end(struct harm *h);

void harm_put(struct harm *h, struct slice key, const char *text);
void harm_drop(struct harm *h, struct slice key);

/* Records. Those of harm_get_* are valid until the next call. */
struct record harm_get_inode(struct harm *h, uint64_t ino);
void harm_put_inode(struct harm *h, uint64_t ino, const struct record *rec);
struct dentry harm_get_dentry(struct harm *h, uint64_t dir, uint64_t seq);
void harm_put_ref(struct harm *h, uint64_t dir, uint64_t seq, const char *name,
                  uint64_t ino, uint32_t type);
void harm_put_embedded(struct harm *h, uint64_t dir, uint64_t seq, struct slice name,
                       uint64_t ino, const struct record *rec);
/* The record of an embedded inode, as fn makes it. */
typedef void harm_fn(struct record *rec);
void harm_embedded(struct harm *h, uint64_t dir, uint64_t ino, harm_fn *fn);
void harm_inode(struct harm *h, uint64_t ino, harm_fn *fn);

/* The list of the name, of one seq; 0: no list. */
void harm_index(struct harm *h, uint64_t dir, const char *name, uint64_t seq);
/* Entries and subdirectories of a directory, more or less. */
void harm_counts(struct harm *h, uint64_t dir, int entries, int subdirs);

/* A reference, indexed and counted: all that is wrong about it is where it leads. */
void harm_add_name(struct harm *h, uint64_t dir, uint64_t seq, const char *name,
                   uint64_t ino, uint32_t type);
/* A name goes without a trace; what it led to stays. */
void harm_remove_name(struct harm *h, uint64_t dir, uint64_t seq);

void harm_put_extent(struct harm *h, uint64_t ino, uint64_t end, const char *text);
void harm_put_unwritten(struct harm *h, uint64_t ino, uint64_t end, uint64_t len);
void harm_put_xattr(struct harm *h, uint64_t ino, const char *name, struct slice value);
void harm_put_counter(struct harm *h, struct slice key, uint64_t v);

#endif
