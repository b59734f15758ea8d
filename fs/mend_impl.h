/*
 * mend_impl.h - inside mend.c and mend_names.c: parts of a batch. Those named batch_
 * add to c->batch and read the store as it was before it: no two of a batch may
 * want the same key.
 */
#ifndef FS_MEND_IMPL_H
#define FS_MEND_IMPL_H

#include "mend.h"

/* Write the batch if rc is 0, and empty it. Returns the first error. */
int mend_commit(struct check *c, int rc);

void batch_record(struct check *c, uint64_t ino, const struct record *rec, uint64_t tree);
int batch_number(struct check *c, uint64_t *n);
/* A directory has so many entries, and of them directories, more or less. */
int batch_dir_counts(struct check *c, uint64_t dir, int entries, int subdirs);

/* ---- mend_names.c ---- */

/* -EEXIST when an entry has that name, else 0. */
int name_taken(struct check *c, uint64_t dir, struct slice name);
/* A reference with the inode's own number for a seq, indexed and counted. */
int batch_new_name(struct check *c, uint64_t dir, struct slice name, uint64_t ino,
                   uint32_t type);
/* That reference goes. */
int batch_old_name(struct check *c, uint64_t dir, uint64_t ino, uint32_t type);

#endif
