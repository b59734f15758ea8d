/*
 * around.h - which files are read at random, and what of them to fetch with what was
 * asked for: policy, no I/O.
 *
 * A piece of 4 KiB that is not in memory costs a trip to the disk, and the record of
 * 128 KiB that it lies in little more. Who reads here and there in a file mostly comes
 * back to it (a database that was just opened, an image that a machine boots from), and
 * then finds the rest there: so from the AROUND_AFTERth such read on, a piece brings in
 * what lies around it. Once only: each AROUND_BYTES of a file are fetched so at most one
 * time, however often they leave memory again. So all that can be in vain is one reading
 * of the file.
 *
 * Few files are read so at a time; of more, those read longest ago are forgotten.
 * Safe from any thread.
 */
#ifndef FS_AROUND_H
#define FS_AROUND_H

#include "../lsm/lsm.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AROUND_BYTES =
        128 * 1024, /* of a file, fetched together: an extent of a large write */
    AROUND_SMALL = 16 * 1024, /* what is larger is read in order, by the kernel too */
    AROUND_AFTER = 16,        /* small reads, each not where the last one ended */
    AROUND_FILES = 16,
};

/* Of larger files nothing is fetched: 2^15 pieces, a bit each. */
#define AROUND_FILE_MAX ((uint64_t)AROUND_BYTES << 15)

struct around_file {
    uint64_t ino;     /* 0: none */
    uint64_t used;    /* when, by the clock below */
    uint64_t next;    /* where the last read ended */
    unsigned apart;   /* reads that did not begin there */
    uint64_t pieces;  /* of the file when the first of them was fetched */
    uint8_t *fetched; /* a bit each; NULL: none is yet */
};

struct around {
    struct mutex mu;
    uint64_t clock;
    struct around_file file[AROUND_FILES];
};

void around_init(struct around *a);
void around_release(struct around *a);

/* len bytes at off of a file of `size` bytes are about to be read: fetch what lies around
 * them? */
bool around_wants(struct around *a, uint64_t ino, uint64_t size, uint64_t off,
                  size_t len);

#endif
