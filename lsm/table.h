/*
 * table.h - reading a table. Immutable once open; safe from any thread.
 * Bytes: FORMAT.md, "Table".
 */
#ifndef LSM_TABLE_H
#define LSM_TABLE_H

#include "cache.h"
#include "env.h"
#include "iter.h"
#include "rangedel.h"
#include "table_builder.h"

struct table;

struct table_open_options {
    struct env *env;
    const char *path; /* copied */
    uint64_t number;
    uint64_t size;         /* as the manifest has it; another size is -EUCLEAN */
    struct cache *cache;   /* NULL: blocks are read anew each time */
    struct memory *memory; /* counts what iterators read ahead; NULL: nobody does */
};

/* Reads footer, properties, index, filter and range deletes, and keeps them. Only the
 * filter may be damaged: then the table has none. */
int table_open(const struct table_open_options *o, struct table **out);
void table_free(struct table *t); /* NULL is fine */

const struct table_meta *table_meta(const struct table *t);
/* For its owner, who keeps lists of tables; NULL at first. */
struct table **table_link(struct table *t);
/* Memory held besides cached blocks. */
size_t table_memory(const struct table *t);

/* The range deletes of the table, borrowed from it. Sorted, see table_builder.h. NULL
 * and 0 when there are none. */
const struct range_tombstone *table_range_deletes(const struct table *t, size_t *n);

/* The user key of the entry at about part i of n of the data, i < n; borrowed from t.
 * They ascend with i, and some may be equal. */
struct slice table_key_near(const struct table *t, unsigned i, unsigned n);
/* Which part of the table's entries, 0 to 1, is before the user key: to a block exactly,
 * within it as if keys were evenly spread. */
double table_part_before(const struct table *t, struct slice user);

bool table_has_filter(const struct table *t);
/* May the table hold user key with this hash_key? Always true without filter. */
bool table_may_contain(const struct table *t, uint64_t hash);
void table_fetch_filter(const struct table *t, uint64_t hash); /* it is asked soon */

/*
 * Newest point version of ikey's user key at or before its sequence (ikey as
 * from ikey_append_seek). On 0 *found and *value are borrowed from *pin; call
 * cache_unpin, or table_unpin, when done. found: its internal key's trailer.
 * 0, -ENOENT, -EIO, -EUCLEAN (logged), -ENOMEM: then nothing is pinned. Does not
 * ask the filter.
 */
struct table_pin {
    struct cache *cache;
    struct cache_entry *entry; /* when the block is cached */
    uint8_t *owned;            /* otherwise */
};
int table_get(struct table *t, struct slice ikey, uint64_t *trailer, struct slice *value,
              struct table_pin *pin);
void table_unpin(struct table_pin *pin);

enum table_iter_use {
    TABLE_ITER_READ,    /* fills the cache */
    TABLE_ITER_COMPACT, /* reads ahead, leaves the cache alone */
};
/* Over the points. t must outlive it. NULL: no memory. */
struct iter *table_iter_new(struct table *t, enum table_iter_use use);
/* Call fn at the end of iter_free, when the table is no longer needed. */
void table_iter_on_free(struct iter *it, void (*fn)(void *arg), void *arg);

/* Who has a table checked hears of it; any of these may be NULL. */
struct table_check {
    /* What lies at offset cannot be read, and with it the user keys from first to last;
     * or no keys are lost, and both are empty. */
    void (*bad)(void *arg, int err, uint64_t offset, struct slice first,
                struct slice last);
    /* A point, in a block that is sound. */
    void (*entry)(void *arg, struct slice ikey, struct slice value);
    /* So many bytes were read. Non-zero ends it and is returned. */
    int (*took)(void *arg, uint64_t bytes);
    void *arg;
};

/* Check every block of the file. 0, -EIO or -EUCLEAN (each bad block logged).
 * check: NULL is one that hears nothing. */
int table_verify(struct table *t, const struct table_check *check);

#endif
