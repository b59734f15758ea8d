/*
 * transfer.h - the files of a store that nobody writes to, brought to another directory:
 * each file that is there already, in one of the stores beside it, is linked, all others
 * are copied, synced, read back and compared.
 *
 * A file is the same when the sum of all its bytes is. A number alone does not tell: two
 * clones of a store both give it out. What was copied from a file that is still there,
 * the same inode with the same time, need not be summed again. With each store goes a
 * file SUMS (files.h), by which that is known, and it is verified when it is brought
 * back.
 *
 * Interrupted, it is done again: what came over whole stays where it is.
 */
#ifndef MOUNT_TRANSFER_H
#define MOUNT_TRANSFER_H

#include "../lsm/lsm.h"
#include "say.h"

struct transfer {
    const char *from; /* the store's directory */
    const char *to;   /* a directory to be, in one that is there */
    const char *part; /* beside `to`: where it is built */
    /* NULL, or a directory of stores: files are looked for in each of them. */
    const char *others;
    /* A directory whose OPTIONS (settings.h) go along. */
    const char *settings;
    bool verify; /* `from` has SUMS: every byte read must match them */
    lsm_progress_fn *progress;
    void *arg;

    uint64_t files, bytes; /* results: of the store */
    uint64_t copied_files, copied_bytes;
};

/* -EEXIST: there is a `to`; -EUCLEAN: not the bytes that SUMS tells; or what `progress`
 * returned. */
int transfer(struct transfer *t, struct why *why);

#endif
