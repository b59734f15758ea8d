/*
 * rangedel.h - range tombstones cut into fragments, and questions to them.
 *
 * Overlapping tombstones are cut at each other's ends, so that two fragments
 * are equal in [start, end) or do not overlap; equal ones stand together, the
 * newest first. A question is then one binary search. The same form stands in
 * tables (RocksDB's fragmented range tombstones).
 */
#ifndef LSM_RANGEDEL_H
#define LSM_RANGEDEL_H

#include "slice.h"

/* User keys in [start, end) that are older than seq are deleted. */
struct range_tombstone {
    struct slice start;
    struct slice end;
    uint64_t seq;
};

/* Owns everything its fragments point to. Immutable. */
struct rangedel_set {
    struct range_tombstone *list;
    size_t n;
};

/*
 * Fragment n tombstones in any order into a new set; their keys must outlive it. Those
 * with start >= end vanish. Snapshots, ascending, cut the sequence numbers into
 * stripes; who reads at a snapshot, or at what is newer than all, finds the newest
 * there is for him, and of what covers a key only the newest of each stripe is kept. So
 * there are at most two fragments for each tombstone and stripe, however they overlap.
 * -ENOMEM.
 */
int rangedel_build(const struct range_tombstone *in, size_t n, const uint64_t *snaps,
                   size_t n_snaps, struct rangedel_set **out);
void rangedel_free(struct rangedel_set *s); /* NULL is fine */

/*
 * What holds around a key: seq is the newest tombstone at or before the
 * question's sequence that covers it, 0 if none; the same is true for every key
 * in [lo, hi). Borrowed from the fragments asked.
 */
struct rangedel_span {
    uint64_t seq;
    struct slice lo, hi;
    bool has_lo, has_hi; /* false: unbounded */
};

/* A span that holds everywhere: ask sources into it one after the other. */
static inline void rangedel_span_init(struct rangedel_span *s)
{
    memset(s, 0, sizeof(*s));
}

/* Add what the fragments know of key to *s: the greater seq, narrower bounds. */
void rangedel_ask(const struct range_tombstone *list, size_t n, struct slice key,
                  uint64_t seq, struct rangedel_span *s);

/* What is known ends there. */
void rangedel_narrow_lo(struct rangedel_span *s, struct slice lo);
void rangedel_narrow_hi(struct rangedel_span *s, struct slice hi);

/* Add one tombstone that is not in a set. */
void rangedel_ask_one(const struct range_tombstone *t, struct slice key, uint64_t seq,
                      struct rangedel_span *s);

#endif
