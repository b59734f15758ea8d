/*
 * key_index.h - where the node of each user key of a skiplist is, by the key's hash: one
 * cache miss tells that a key is not there, two find it.
 *
 * Of fixed size. A key that finds no room near its place is not in it, and from then on
 * not to be found says nothing: is_full. Any number of threads add and look at once.
 */
#ifndef LSM_KEY_INDEX_H
#define LSM_KEY_INDEX_H

#include "skiplist.h"
#include "spare.h"

struct key_index {
    _Atomic uint64_t *slot; /* a node, and in the upper bits some of the hash */
    uint64_t mask;          /* slots - 1 */
    _Atomic bool full;
    struct spare *spare; /* where its memory comes from, and goes; or NULL */
};

/* -ENOMEM. */
int key_index_init(struct key_index *x, uint64_t keys, struct spare *spare);
void key_index_release(struct key_index *x);
size_t key_index_bytes(const struct key_index *x);

/* The node of node's key that is in the index now: this one, or another that came first;
 * NULL: there is no room. hash: hash_key. */
const struct skip_node *key_index_add(struct key_index *x, uint64_t hash,
                                      const struct skip_node *node);
/* NULL: it is not there, unless *x is full. */
const struct skip_node *key_index_find(const struct key_index *x, uint64_t hash,
                                       struct slice user);
static inline bool key_index_is_full(const struct key_index *x)
{
    return atomic_load_explicit(&x->full, memory_order_relaxed);
}

/* Hints that one of these is to come, in this order: what they fetch would be waited for
 * one after the other. */
static inline void key_index_fetch(const struct key_index *x, uint64_t hash)
{
    __builtin_prefetch((const void *)&x->slot[hash & x->mask]);
}
/* The node that it fetches, which may be another key's; NULL: none. */
const struct skip_node *key_index_fetch_node(const struct key_index *x, uint64_t hash);

#endif
