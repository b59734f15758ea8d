/*
 * db_iter_impl.h - the inside of struct lsm_iter, for the db_iter*.c files only.
 */
#ifndef LSM_DB_ITER_IMPL_H
#define LSM_DB_ITER_IMPL_H

#include "db_impl.h"

/* One source of range deletes; `index` is its child's in the merge. */
struct range_source {
    unsigned index;
    struct memtable *mem; /* either a memtable, */
    struct tfile *file;   /* or an L0 table, */
    unsigned level;       /* or a level below */
};

struct lsm_iter {
    struct lsm *db;
    struct view *view;
    uint64_t seq;
    struct memtable *own; /* a transaction's writes; else NULL */
    uint64_t own_seq;     /* seen up to here; without own: seq */
    struct merge *merge;
    struct iter *in;
    struct range_source *ranges;
    unsigned n_ranges;

    struct buf lower, upper;
    bool has_lower, has_upper;

    bool valid;
    bool backward;
    int err;
    struct slice ukey;  /* of the current entry */
    struct slice value; /* inline value, or an encoded pointer */
    enum ikey_type type;

    struct buf key;       /* copy of ukey, or a key to pass */
    struct buf copy;      /* copy of value */
    struct buf target;    /* scratch for seeks */
    struct buf separated; /* a value read from the value log */

    struct rangedel_span span; /* what the range deletes say around the last key */
    bool has_span;
    unsigned cover; /* the newest source that covers it */
};

static inline void iter_fail(struct lsm_iter *it, int err)
{
    it->valid = false;
    if (err && !it->err)
        it->err = err;
}

/* ---- db_iter_hidden.c ---- */

/* The newest visible range delete that covers key; 0 if none. */
uint64_t iter_cover(struct lsm_iter *it, struct slice key);

#endif
