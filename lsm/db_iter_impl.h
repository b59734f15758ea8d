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
    struct tfile *pinned; /* of that level, the table that was asked last */
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

    struct rangedel_span span;   /* what the range deletes say around the last key */
    struct buf span_lo, span_hi; /* its bounds: tables that said so may be closed */
    bool has_span;
    struct range_source *cover; /* the newest source that covers it */
    struct buf cover_end;       /* scratch */
    unsigned span_steps;        /* covered entries stepped over in the span */
    unsigned cover_steps;       /* and in all spans since that was the source */

    /* The hidden keys passed since the last move began (db_iter_hidden.c). */
    struct buf run; /* the first of them */
    uint64_t passed;
    uint64_t look_at; /* how many it takes to look for a gap */
    bool jumped;      /* over a gap */

    unsigned drawn, steps_left; /* to the step to be measured: when drawn, and now */
};

enum {
    GAP_LOOK = 4,    /* hidden keys to pass before a gap is looked for */
    GAP_FRESH = 64,  /* a run that is worth being remembered */
    GAP_EXTEND = 12, /* one around a gap that is */
};

static inline void iter_fail(struct lsm_iter *it, int err)
{
    it->valid = false;
    if (err && !it->err)
        it->err = err;
}

/* ---- db_iter.c ---- */

/* Hand the steps since the last time on to the thread's counter. */
void iter_count_steps(struct lsm_iter *it);

/* ---- db_iter_hidden.c ---- */

/* The newest visible range delete that covers key; 0 if none. */
uint64_t iter_ask_cover(struct lsm_iter *it, struct slice key);

static inline uint64_t iter_cover(struct lsm_iter *it, struct slice key)
{
    return it->n_ranges ? iter_ask_cover(it, key) : 0;
}

/*
 * `in` stands on an entry of which iter_cover has just said that it is covered: go
 * on from it, one step, or to the end (the start) of the range delete in all sources
 * that are older. Back: false when it was neither, being for the caller to step.
 */
void iter_pass_covered(struct lsm_iter *it);
bool iter_pass_covered_back(struct lsm_iter *it);

static inline void iter_run_begin(struct lsm_iter *it)
{
    it->passed = 0;
    it->look_at = it->own ? UINT64_MAX : GAP_LOOK;
    it->jumped = false;
}

/* key is hidden. True: so many are by now that a gap may help. */
static inline bool iter_run_pass(struct lsm_iter *it, struct slice key)
{
    if (!it->passed++)
        buf_assign(&it->run, key);
    return it->passed >= it->look_at;
}

/* True when key was in a gap: `in` stands where that ends, or nowhere, if there is
 * nothing to come within the bounds. */
bool iter_jump(struct lsm_iter *it, struct slice key);
bool iter_jump_back(struct lsm_iter *it, struct slice key);

/* The run ended before the key `to`, behind the key `from`; NULL: at the bound. */
void iter_offer_run(struct lsm_iter *it, const struct slice *to);
void iter_offer_run_back(struct lsm_iter *it, const struct slice *from);

static inline void iter_run_end(struct lsm_iter *it, const struct slice *to)
{
    if (it->passed >= GAP_EXTEND)
        iter_offer_run(it, to);
}

static inline void iter_run_end_back(struct lsm_iter *it, const struct slice *from)
{
    if (it->passed >= GAP_EXTEND)
        iter_offer_run_back(it, from);
}

#endif
