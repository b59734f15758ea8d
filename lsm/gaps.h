/*
 * gaps.h - stretches of keys known to hold nothing a reader can see, so that an
 * iterator need not step over the same tombstones again.
 *
 * An iterator that has passed a long run of hidden entries offers the stretch; the
 * next one that gets there jumps over it. Who puts a key cuts the stretch first.
 *
 * A gap is [from, to) and two sequence numbers, for which this holds:
 *
 *   (1) who puts a key of the gap with a number above `since` takes the key out of
 *       the gap (gaps_cut) before that number becomes visible;
 *   (2) no key of the gap is visible at `seq`; and seq >= since.
 *
 * So a reader of any number r >= seq that finds the gap here sees no key of it: by
 * (2) it would have to be put with a number above seq, so above since, and at or
 * below r; that was visible when the reader began; so the key was cut out before,
 * and the reader finds it outside. Deletes only make gaps truer. A reader with
 * r < seq may see what was deleted after r, and is told nothing.
 *
 * (1) is the caller's: gaps_add and the numbering of writes stand under one mutex
 * (write_mu), and a writer asks gaps_touch after it got its number there. `last` of
 * gaps_add is the last number given out at that moment: who has a greater one got it
 * later, and sees the gap. Who has a smaller one may have asked before there was a
 * gap. If the iterator's own number is `last`, there is no such writer, and (2) holds
 * at once. Else the gap is only a candidate, with since = last, which is not used
 * until another iterator with a number >= since has passed it and seen nothing.
 *
 * Neighbouring gaps become one, with the greater since and seq: (1) and (2) stay true
 * of both parts when these grow. So the gap at the head of a queue grows with it.
 *
 * There are GAPS_MAX of them; who was not used for longest goes. `weight` guesses how
 * many hidden entries a gap spares: it is divided when a gap is cut, and what has
 * become light is dropped, so that the puts into a gap are not cut out for ever.
 *
 * Safe from any thread. Takes no other lock.
 */
#ifndef LSM_GAPS_H
#define LSM_GAPS_H

#include <stdatomic.h>

#include "coding.h"
#include "lock.h"

enum {
    GAPS_MAX = 64,
    GAPS_KEY_MAX = 1024, /* gaps that begin or end with longer keys are not kept */
    GAPS_WEIGHT_MIN = 8,
};

struct gap {
    struct buf from, to;
    bool open;  /* no end: to is not used */
    bool known; /* else a candidate, and seq is not set */
    uint64_t since, seq;
    uint64_t weight;
    uint64_t used; /* the set's clock when it last was */
};

struct gaps {
    /* Of all keys in gaps, the least and greatest first 8 bytes. Empty: lo > hi. */
    _Atomic uint64_t lo, hi;

    struct mutex mu;                   /* protects what follows */
    struct gap list[2 * GAPS_MAX + 2]; /* ascending, disjoint; room for gaps_add */
    unsigned n;
    uint64_t clock;
};

void gaps_init(struct gaps *g);
void gaps_release(struct gaps *g);

/* [from, to), or with `open` all keys at or after from. */
struct gap_range {
    struct slice from, to;
    bool open;
};

/*
 * An iterator that sees all of what is numbered up to seq, and nothing else, saw no
 * key in r. Under the mutex that gives out numbers, of which `last` is the last one.
 */
void gaps_add(struct gaps *g, const struct gap_range *r, uint64_t seq, uint64_t last,
              uint64_t weight);

/* Take key out of the gap it is in, if any. */
void gaps_cut(struct gaps *g, struct slice key);

/*
 * Is key in a gap for readers of seq? Then *to is its end (gaps_after; *open: there
 * is none), *from its start (gaps_before). Copied; false also for want of memory.
 */
bool gaps_after(struct gaps *g, struct slice key, uint64_t seq, struct buf *to,
                bool *open);
bool gaps_before(struct gaps *g, struct slice key, uint64_t seq, struct buf *from);

/* The first 8 bytes: in the order of the keys, as far as they go. */
static inline uint64_t gaps_prefix(struct slice key)
{
    uint8_t first[8] = {0};

    if (key.len >= 8)
        return load_be64(key.data);
    if (key.len)
        memcpy(first, key.data, key.len);
    return load_be64(first);
}

/*
 * May key be in a gap? Without a lock. A bound that is read while the set changes is
 * that of before or after; either holds for every gap that is there all the while.
 */
static inline bool gaps_touch(struct gaps *g, struct slice key)
{
    uint64_t lo = atomic_load_explicit(&g->lo, memory_order_relaxed);
    uint64_t hi = atomic_load_explicit(&g->hi, memory_order_relaxed);
    uint64_t at;

    if (lo > hi)
        return false;
    at = gaps_prefix(key);
    return at >= lo && at <= hi;
}

#endif
