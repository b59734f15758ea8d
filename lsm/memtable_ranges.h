/*
 * memtable_ranges.h - the range deletes of a memtable.
 *
 * As long as they do not overlap, they stand in a skiplist by their start, where one
 * search finds the only one that can cover a key. One that overlaps another goes to a
 * list; the list is cut into runs, each with a tree (rangedel_tree.h), and a few loose
 * ones at its end. Four runs of a size become one, so that there are O(log n) of them,
 * and each range delete is sorted O(log n) times. Old trees live as long as the
 * memtable, since readers hold no count on them; all of it is O(n log^2 n) at worst.
 *
 * One thread at a time inserts, under the memtable's mutex; any number asks.
 */
#ifndef LSM_MEMTABLE_RANGES_H
#define LSM_MEMTABLE_RANGES_H

#include "rangedel.h"
#include "skiplist.h"

struct memtable_ranges {
    struct arena *arena;
    struct skiplist apart;
    _Atomic uint64_t n;   /* all that were inserted, empty ones too */
    _Atomic size_t bytes; /* beside the arena */

    _Atomic(struct overlapping *) first;
    _Atomic(struct ranges_run *) newest;
    struct overlapping *last; /* these are the inserter's */
    size_t n_loose;
    struct ranges_run *all_runs; /* to be freed */
};

int memtable_ranges_init(struct memtable_ranges *r, struct arena *arena);
void memtable_ranges_release(struct memtable_ranges *r);

/* The keys are copied. -ENOMEM. */
int memtable_ranges_insert(struct memtable_ranges *r, struct slice start, uint64_t seq,
                           struct slice end);
void memtable_ranges_ask(struct memtable_ranges *r, struct slice key, uint64_t seq,
                         struct rangedel_span *span);

/* All of them in any order, in *list (to be freed); their keys are the memtable's. Not
 * while one is inserted. */
int memtable_ranges_list(struct memtable_ranges *r, struct range_tombstone **list,
                         size_t *n);

#endif
