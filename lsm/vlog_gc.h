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

/* Fill `live` of uses[0..n), ascending by number, from v's tables. */
void segment_uses(const struct version *v, struct segment_use *uses, size_t n);

/* Options that decide. */
struct vlog_gc_options {
    double ratio;       /* garbage over live bytes, at most; 0: no collection */
    uint64_t memtables; /* bytes of all memtables, values that they point to included */
    uint64_t memtable;  /* of one of them */
    uint64_t segment_bytes; /* of a segment, at most */
    bool far;               /* to begin a segment is a round trip */
    uint64_t room;          /* for what a round moves, before it gives any back */
};

/* Segments are a small part of the live bytes each, so that choosing between them
 * means something, and a half-empty one is no loss. */
uint64_t vlog_gc_segment_bytes(const struct vlog_gc_options *o, uint64_t live);

/*
 * What the tables know to be garbage may grow to this. hidden: bytes that memtables
 * and upper levels point to; as much below may be garbage and not known yet.
 */
uint64_t vlog_gc_allowed(const struct vlog_gc_options *o, uint64_t live, uint64_t hidden);

/*
 * Writers stop while the log is larger than this: ratio times the live bytes over them,
 * the memtables, an L0 as large as one, and the active segments.
 */
uint64_t vlog_gc_writer_limit(const struct vlog_gc_options *o, uint64_t live);
/* The log is never larger than this: a round of moved values may come on top. */
uint64_t vlog_gc_limit(const struct vlog_gc_options *o, uint64_t live);

/* Nanoseconds that a KiB costs a writer while the log has so many bytes: nothing up
 * to the middle between what is aimed at and the writers' limit, and from there ever
 * more. */
uint64_t vlog_gc_price(const struct vlog_gc_options *o, uint64_t live, uint64_t bytes);

/*
 * Choose victims so that garbage stays within `allowed`; the emptiest first, and no
 * more than a round of moderate size for which there is room. *out is malloc'ed,
 * ascending; may be empty.
 * -ENOMEM.
 */
int vlog_gc_victims(const struct vlog_gc_options *o, const struct segment_use *uses,
                    size_t n, uint64_t live, uint64_t allowed, struct segment_set *out);

/*
 * A compaction that empties victims: the table that points to most of their bytes,
 * rewritten in its level; or L0 as a whole, when it points into them or would
 * rewrite that table anyway. PICK_NOTHING when there is none, or only ones being
 * compacted.
 */
int vlog_gc_pick(const struct version *v, const struct pick_options *o,
                 const struct segment_set *victims, struct compaction *c);

#endif
