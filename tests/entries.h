/*
 * entries.h - sorted arrays of internal keys and values, and the checks that an
 * iterator or a lookup tells the same.
 */
#ifndef TEST_ENTRIES_H
#define TEST_ENTRIES_H

#include "lsm/iter.h"

struct entry {
    struct buf ikey;
    struct buf value;
};

/* Zeroed is empty. */
struct entries {
    struct entry *e;
    size_t n;
    size_t cap;
};

void entries_free(struct entries *es);
/* The caller keeps the order. */
void entries_add(struct entries *es, struct slice user, uint64_t seq, enum ikey_type type,
                 struct slice value);
/*
 * At most n, sorted, no two alike: many versions of a key, keys that are prefixes
 * of others, the empty key, bytes of 0 and 255, values that are pointers.
 */
struct entries entries_random(uint64_t *r, size_t n, size_t max_key, size_t max_value);
/* n bytes from the alphabet's first letters. */
void entries_random_bytes(struct buf *b, uint64_t *r, size_t n, unsigned alphabet);

/* The first at or after ikey; n: none. */
size_t entries_find(const struct entries *es, struct slice ikey);
/* The one that a get of ikey gives; n: none. */
size_t entries_get(const struct entries *es, struct slice ikey);

/* it stands at entry i; or, i >= n, nowhere, without error. */
void entries_check_at(const struct iter *it, const struct entries *es, size_t i);
/* Walks it both ways. */
void entries_check_walks(struct iter *it, const struct entries *es);

/* Calls fn for every key, its neighbours, and some others. */
typedef void entries_probe_fn(void *arg, const struct entries *es, struct slice ikey);
void entries_probe(const struct entries *es, uint64_t *r, entries_probe_fn *fn,
                   void *arg);
/* Seeks to ikey both ways and checks; arg: the struct iter. */
void entries_check_seek(void *arg, const struct entries *es, struct slice ikey);

#endif
