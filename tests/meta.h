/*
 * meta.h - operations drawn at random, done to a store, and what it answers.
 *
 * An operation is a kind and a seed, from which all else about it is drawn: it means
 * the same wherever it stands in a list, so that a list may be cut anywhere. (One on
 * a snapshot that is not there answers just that.) Two stores given the same list must
 * answer the same, whatever their options.
 */
#ifndef META_H
#define META_H

#include "tests/env_mem.h"
#include "tests/test.h"

enum meta_kind {
    META_GET,        /* one key, now or at a snapshot */
    META_WRITE,      /* a batch: puts, deletes, range deletes, shares */
    META_DELETE_RUN, /* neighbouring keys, one by one */
    META_SNAPSHOT,   /* take one, or give it back */
    META_ITER,       /* open one, with bounds, of now, of a snapshot or a transaction */
    META_MOVE,       /* an open iterator: to a place, and some steps from there */
    META_BEGIN,      /* a transaction; or give one up */
    META_TXN_WRITE,
    META_TXN_GET,
    META_COMMIT,
    META_FLUSH,
    META_COMPACT,
    META_SCAN, /* all keys and values, both ways */
    META_REOPEN,
    META_CHECKPOINT, /* and look into it */
    META_VERIFY,
    META_KINDS,
};

struct meta_op {
    enum meta_kind kind;
    uint64_t seed;
};

const char *meta_name(enum meta_kind kind);
void meta_draw(struct meta_op *ops, unsigned n, uint64_t seed);

/* How a store is to be opened. */
struct meta_setup {
    uint64_t options_seed;
    bool redraw;     /* other options at each opening */
    unsigned how;    /* of options_draw */
    struct env *env; /* NULL: one in memory */
    const char *path;
};

/* The answers, as lines of text. */
struct transcript {
    struct buf text;
    size_t *end; /* of each operation's answer */
    unsigned n;
};

/* Do them all to a new store; it must be sound in the end. */
void meta_run(const struct meta_setup *setup, const struct meta_op *ops, unsigned n,
              struct transcript *t);
struct slice transcript_answer(const struct transcript *t, unsigned i);
uint64_t transcript_hash(const struct transcript *t);
/* The first operation with different answers; n when there is none. */
unsigned transcript_difference(const struct transcript *a, const struct transcript *b);
void transcript_release(struct transcript *t);

/*
 * Leave out what is not needed for fails(arg, ops, n) to stay true, within so many
 * calls of it; returns how many operations are left.
 */
typedef bool meta_fails(void *arg, const struct meta_op *ops, unsigned n);
unsigned meta_shrink(struct meta_op *ops, unsigned n, meta_fails *fails, void *arg,
                     unsigned calls);

#endif
