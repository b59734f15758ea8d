/*
 * mend.h - what a repair does about what a check found.
 *
 * Each function is one change, which leaves the rest of the store as consistent as it
 * was: an entry goes together with its place in the name index and the counts of
 * its directory. It is one batch, so that it happened or did not, whenever the
 * repair is cut off. None does anything unless c->repair; so what they return
 * besides errors is told by arguments, and callers need not ask.
 */
#ifndef FS_MEND_H
#define FS_MEND_H

#include "check_impl.h"

/* An entry: where it is and what it says. */
struct place {
    uint64_t dir;
    uint64_t seq;
    const struct dentry *d;
};

int mend_put(struct check *c, struct slice key, struct slice value);
int mend_drop(struct check *c, struct slice key);
int mend_seqs(struct check *c, uint64_t dir, uint64_t hash, const struct seqs *seqs);
int mend_counter(struct check *c, struct slice key, uint64_t v);
int mend_used(struct check *c, const struct used *used);
/* The store says of the quota what q does; that all are exact. */
struct quota;
int mend_quota(struct check *c, struct quota *q);
int mend_quotas_exact(struct check *c);
/* Another superblock; the index that its predecessor's seed made is worthless. */
int mend_super(struct check *c);

/* Of something that has to be made: it is the root's owner's. */
struct record new_record(const struct check *c, uint32_t mode);
/* s->rec is what the inode's record is to be. */
int mend_record(struct check *c, struct subject *s);
/* Put a record under I for a number that has none. */
int mend_new_record(struct check *c, uint64_t ino, const struct record *rec);
/* An extent. */
struct extent_key {
    uint64_t ino, end, len;
};
/* Of this extent [from, to) is kept, under a key of its own: for each piece in turn, and
 * then mend_pieces, told where the last one ends (0: there is none). */
void mend_piece(struct check *c, const struct extent_key *x, uint64_t from, uint64_t to);
int mend_pieces(struct check *c, const struct extent_key *x, uint64_t last_end);

/* The entry goes. An inode that it embeds goes under I, if that is free. */
int mend_remove(struct check *c, const struct place *p);
/*
 * The entry becomes a reference to p->d->ino, of that type, with a seq that is right for
 * it: its own unless fresh_seq. With rec, the record goes under I, with links; without,
 * the record there gets as many links more.
 */
int mend_refer(struct check *c, const struct place *p, uint32_t type, bool fresh_seq,
               const struct record *rec, uint32_t links);
/* An entry of a directory, with the wrong seq: it gets the directory's own number, where
 * there is no entry yet. */
int mend_dir_seq(struct check *c, const struct place *p);
/* The inode that an entry embeds goes under I; with this record, if it is a newer one. */
int mend_promote(struct check *c, uint64_t ino, const struct record *other);
/* The directory's record says that it lies in this one. */
int mend_parent(struct check *c, uint64_t ino, uint64_t dir);
/* The name is put into the index; when another entry has it, or the list is full, the
 * entry gets another name. */
int mend_index(struct check *c, const struct place *p);
int mend_rename(struct check *c, const struct place *p);
/* An inode under I without a name gets one in lost+found; a directory loses the one it
 * has in old_dir, if that is not 0. */
int mend_lost(struct check *c, uint64_t ino, uint64_t old_dir);

#endif
