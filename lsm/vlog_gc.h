/*
 * vlog_gc.h - which value-log segments to empty, and by which compaction. Pure
 * policy, as pick.h.
 *
 * Garbage is derived: a segment's size less what the tables of the version refer
 * to. Segments that are mostly garbage become *victims*; every compaction moves
 * the values of victims that pass through it to the active segment, and tables
 * that point into victims are compacted on that account. The internal keys stay
 * as they are, so a deleted key cannot come back. A victim that nothing refers
 * to any more is deleted like any other segment.
 */
#ifndef LSM_VLOG_GC_H
#define LSM_VLOG_GC_H

#include "pick.h"

struct segment_use {
    uint64_t number;
    uint64_t size; /* bytes in the segment */
    uint64_t live; /* bytes that the tables refer to */
};

/* Fill `live` of uses[0..n), ascending by number, from v's tables. Returns the
 * bytes referred to in all, also in segments not listed. */
uint64_t segment_uses(const struct version *v, struct segment_use *uses, size_t n);

/*
 * Choose victims so that garbage stays within ratio times the live bytes; the
 * emptiest first, and no more than a round of moderate size. slack bytes of garbage are always allowed. ratio 0: none.
 * *out is malloc'ed, ascending; may be empty. -ENOMEM.
 */
int vlog_gc_victims(const struct segment_use *uses, size_t n, double ratio,
                    uint64_t slack, struct segment_set *out);

/* Garbage beyond what is allowed, over what is allowed; 0 when within. */
double vlog_gc_debt(const struct segment_use *uses, size_t n, double ratio,
                    uint64_t slack);

/*
 * A compaction that empties victims: L0 as a whole when it points into them,
 * else the table that points to most of their bytes, rewritten in its level.
 * PICK_NOTHING when there is none, or only ones being compacted.
 */
int vlog_gc_pick(const struct version *v, const struct pick_options *o,
                 const struct segment_set *victims, struct compaction *c);

#endif
