/*
 * iter.h - the internal iterator: internal keys in ikey_cmp order.
 *
 * key and value are kept in the struct, so that reading them costs no call;
 * both are borrowed until the iterator moves. valid is false at either end and
 * after an error; err, once set, stays. A new iterator stands nowhere: position
 * it before use. After the end (or before the start) only a positioning call
 * is allowed.
 */
#ifndef LSM_ITER_H
#define LSM_ITER_H

#include <stdlib.h>

#include "ikey.h"

struct iter {
    const struct iter_ops *ops;
    struct slice key;
    struct slice value;
    bool valid;
    int err;
};

struct iter_ops {
    void (*first)(struct iter *it);
    void (*last)(struct iter *it);
    void (*seek)(struct iter *it, struct slice ikey);      /* first >= ikey */
    void (*seek_prev)(struct iter *it, struct slice ikey); /* last <= ikey */
    void (*next)(struct iter *it);
    void (*prev)(struct iter *it);
    void (*free)(struct iter *it);
};

static inline void iter_first(struct iter *it)
{
    it->ops->first(it);
}

static inline void iter_last(struct iter *it)
{
    it->ops->last(it);
}

static inline void iter_seek(struct iter *it, struct slice ikey)
{
    it->ops->seek(it, ikey);
}

static inline void iter_seek_prev(struct iter *it, struct slice ikey)
{
    it->ops->seek_prev(it, ikey);
}

static inline void iter_next(struct iter *it)
{
    it->ops->next(it);
}

static inline void iter_prev(struct iter *it)
{
    it->ops->prev(it);
}

static inline void iter_free(struct iter *it)
{
    if (it)
        it->ops->free(it);
}

/*
 * Zeroed memory for an iterator, or NULL; free() it. An iterator that is made for one
 * seek costs its allocations, and calloc passes by the pieces that glibc keeps at hand
 * for each thread. (Compilers make calloc of malloc and memset when they see both.)
 */
static inline void *iter_alloc(size_t size)
{
    void *p = malloc(size);

    __asm__("" : "+r"(p));
    return p ? memset(p, 0, size) : NULL;
}

/* Ends the iteration; err 0 is a plain end. */
static inline void iter_stop(struct iter *it, int err)
{
    it->valid = false;
    if (err && !it->err)
        it->err = err;
}

#endif
