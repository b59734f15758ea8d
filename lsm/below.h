/*
 * below.h - may a key be in the tables of a version? By their ranges, and by the filters
 * of those that happen to be open: nothing is read for it.
 *
 * For keys that ascend, as a flush asks: of each level below L0 one table is held at a
 * time. A false "no" there is not; a false "yes" now and then. For one thread.
 */
#ifndef LSM_BELOW_H
#define LSM_BELOW_H

#include "version.h"

enum { BELOW_L0_MAX = 32 }; /* of more tables in L0 the others are not held */

struct below {
    const struct version *version;
    struct tfile *file[LSM_LEVELS]; /* where the last key was looked for, or NULL; */
    struct table *table[LSM_LEVELS]; /* pinned; NULL: it is not open */
    struct table *l0[BELOW_L0_MAX];
};

/* Keeps tables of v open, which the caller keeps, until it is released. */
void below_init(struct below *b, const struct version *v);
void below_release(struct below *b);
bool below_may_hold(struct below *b, struct slice user);

#endif
