/*
 * table_cache.h - table files that are alive, opened when first read.
 *
 * A tfile is one table of one or more versions. It is counted; when the last
 * reference goes and it was marked obsolete, it is handed to the owner, who
 * deletes the file.
 */
#ifndef LSM_TABLE_CACHE_H
#define LSM_TABLE_CACHE_H

#include <stdatomic.h>

#include "table.h"

struct tfile {
    _Atomic unsigned refs;
    struct table_meta meta;
    _Atomic(struct table *) table;
    struct table_cache *home;
    _Atomic bool obsolete;
    bool compacting;           /* under the database's state lock */
    struct tfile *next, *prev; /* all alive; under home->mu */
};

struct table_cache {
    struct env *env;
    const char *dir;
    struct cache *blocks;
    /* The last reference to an obsolete file went: takes its number. Called
     * without locks of ours, on any thread. */
    void (*dead)(void *arg, uint64_t number);
    void *arg;
    struct mutex mu; /* LOCK_TABLE_CACHE */
    struct tfile *alive;
};

void table_cache_init(struct table_cache *c, struct env *env, const char *dir,
                      struct cache *blocks, void (*dead)(void *arg, uint64_t number),
                      void *arg);
void table_cache_release(struct table_cache *c);

/* Copies meta; one reference is the caller's. -ENOMEM. */
int tfile_new(struct table_cache *c, const struct table_meta *meta, struct tfile **out);
void tfile_ref(struct tfile *f);
void tfile_unref(struct tfile *f);

/* The open table, borrowed from f. Opens it if need be: -EUCLEAN, -EIO ... */
int tfile_table(struct tfile *f, struct table **out);

/* fn for each value-log segment that a live table refers to, with repetitions,
 * and the bytes it refers to; under c->mu. */
typedef void segment_fn(void *arg, uint64_t segment, uint64_t bytes);
void table_cache_segments(struct table_cache *c, segment_fn *fn, void *arg);

#endif
