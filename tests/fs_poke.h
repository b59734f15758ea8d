/*
 * fs_poke.h - use a filesystem about which nothing is known: walk all that can be
 * reached, read it, then change it as some bytes say. For fuzzers.
 */
#ifndef TEST_FS_POKE_H
#define TEST_FS_POKE_H

#include <stdio.h>
#include <stdlib.h>

#include "fs/fs.h"

/* Fuzzers have no Check running. */
#define POKE_CHECK(condition)                                                            \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                     \
        }                                                                                \
    } while (0)

/*
 * ops: 4 bytes each, an operation and what it is done to. sound: fs_check found nothing;
 * then no call may say -EUCLEAN. Leaves references behind.
 */
void fs_poke(struct fs *fs, struct slice ops, bool sound);

#endif
