/*
 * rangedel_tree.h - range tombstones that overlap as they like, for readers of any
 * sequence number.
 *
 * Fragments (rangedel.h) would be as many as there are pairs. This is a segment tree:
 * the ends of the tombstones cut the keys into intervals, and each tombstone stands at
 * the O(log n) nodes that together make up its intervals. n tombstones take O(n log n)
 * room and time to build, and a question O(log n) nodes, with a binary search in those
 * that hold many.
 */
#ifndef LSM_RANGEDEL_TREE_H
#define LSM_RANGEDEL_TREE_H

#include "rangedel.h"

struct rangedel_tree;

/* Of n tombstones with start < end, whose keys must outlive it. NULL: no memory. */
struct rangedel_tree *rangedel_tree_new(const struct range_tombstone *in, size_t n);
void rangedel_tree_free(struct rangedel_tree *t);
size_t rangedel_tree_bytes(const struct rangedel_tree *t);

/* As rangedel_ask. Immutable: from any thread. */
void rangedel_tree_ask(const struct rangedel_tree *t, struct slice key, uint64_t seq,
                       struct rangedel_span *s);

#endif
