/*
 * table_util.h - making tables from entries, for the table's tests.
 */
#ifndef TEST_TABLE_UTIL_H
#define TEST_TABLE_UTIL_H

#include "entries.h"
#include "lsm/table.h"

struct made_table {
    struct env *env;
    const char *path;
    uint64_t number;
    struct table_meta meta;
};

struct table_kind {
    size_t block_bytes;
    unsigned filter_bits;
    enum compression compression;
    size_t dictionary_bytes;
};

struct test_range {
    const char *start, *end;
    uint64_t seq;
};

/* Build the table of m->env, m->path, m->number, and fill in m->meta. */
void make_table(struct made_table *m, const struct table_kind *kind,
                const struct entries *es, const struct test_range *ranges,
                size_t n_ranges);
struct table_builder *begin_table(const struct made_table *m,
                                  const struct table_kind *kind);
int try_open_table(const struct made_table *m, struct cache *cache, struct table **out);
struct table *open_table(const struct made_table *m, struct cache *cache);
/* Release the meta and remove the file. */
void remove_table(struct made_table *m);

/* Every walk, seek and get of t tells the entries. */
void check_table(struct table *t, const struct entries *es, uint64_t *r);
/* table_get of ikey tells entry entries_get(es, ikey). arg: the struct table. */
void check_table_get(void *arg, const struct entries *es, struct slice ikey);

#endif
