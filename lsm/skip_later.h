/*
 * skip_later.h - nodes that wait to be put into a skiplist, several at once.
 *
 * The way to a random key's place is one cache miss after the other, and the processor
 * waits for each. The ways of several keys do not depend on each other: taken step by
 * step in turns, their misses overlap. So a node waits here until there are SKIP_LATER
 * of them, or until somebody wants to see the list in order: skip_later_all first.
 *
 * Any number of threads at once.
 */
#ifndef LSM_SKIP_LATER_H
#define LSM_SKIP_LATER_H

#include "lock.h"
#include "skiplist.h"

enum { SKIP_LATER = 16 };

struct skip_later {
    struct skiplist *list;
    _Atomic uint64_t waiting; /* the newest; in the upper bits how many there are */
    _Atomic bool busy;        /* some that waited are on their way into the list */
    struct mutex mu;          /* LOCK_SKIP_LATER: who takes them puts them in */
};

void skip_later_init(struct skip_later *w, struct skiplist *list);
void skip_later_release(struct skip_later *w);

/* n of skiplist_make, of a key of which the list has no node that is newer; it comes into
 * the list before older ones, as a node of its own. */
void skip_later_put(struct skip_later *w, struct skip_node *n);
/* What was put before, by whom the caller has heard of it, is in the list. */
void skip_later_all(struct skip_later *w);

#endif
