/*
 * merge.h - many sorted iterators as one, in both directions.
 *
 * Children are given from the newest source to the oldest; their index is told,
 * so that the reader can let an old source skip what a newer one deleted.
 */
#ifndef LSM_MERGE_H
#define LSM_MERGE_H

#include "iter.h"

struct merge;

/* Takes the n children (also on failure). NULL: no memory. */
struct merge *merge_new(struct iter **children, unsigned n);
struct iter *merge_iter(struct merge *m); /* freed by iter_free */
/* What to move and to look at instead: if there is a single child, itself, which is
 * quicker. Not to be freed. */
struct iter *merge_reader(struct merge *m);

/* Which child the current entry comes from. */
unsigned merge_source(const struct merge *m);

/*
 * Going forward: let every child from index `from` on that stands before ikey
 * seek to it; others stay.
 */
void merge_skip(struct merge *m, unsigned from, struct slice ikey);
/* Going backward: the same for those that stand behind ikey. */
void merge_skip_back(struct merge *m, unsigned from, struct slice ikey);

#endif
