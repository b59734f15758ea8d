/*
 * version.h - which tables make up the store at one moment, level by level.
 *
 * L0 tables overlap and stand newest first; the tables of a lower level do not
 * overlap and stand in key order. A version is immutable and counted; an edit
 * makes a new one from an old one, sharing the tables.
 */
#ifndef LSM_VERSION_H
#define LSM_VERSION_H

#include "arena.h"
#include "arena.h"
#include "edit.h"
#include "lsm.h"
#include "rangedel.h"
#include "table_cache.h"

struct version {
    _Atomic unsigned refs;
    struct tfile **file[LSM_LEVELS];
    size_t n[LSM_LEVELS];
    uint64_t bytes[LSM_LEVELS];
    uint64_t ref_bytes[LSM_LEVELS]; /* of the value log that tables refer to */
    uint64_t entries[LSM_LEVELS], deletes[LSM_LEVELS]; /* points */
    bool has_ranges[LSM_LEVELS]; /* some table holds range deletes */
};

/* Empty; one reference is the caller's. */
struct version *version_new(void);
void version_ref(struct version *v);
void version_unref(struct version *v);

/*
 * base with the edit's tables added and removed. -EUCLEAN (logged under `where`)
 * when the edit does not fit: a table removed that is not there, tables that
 * overlap below L0, a level that does not exist.
 */
int version_apply(struct version *base, const struct edit *e, struct table_cache *tables,
                  const char *where, struct version **out);

/* A search for the newest version of a key at or before seq. */
struct lookup {
    struct slice user;
    struct slice ikey; /* ikey_append_seek(user, seq) */
    uint64_t hash;     /* hash_key(user) */
    uint64_t seq;
    uint64_t deleted_at; /* newest range delete seen so far that covers it */
    uint64_t trailer;    /* found: sequence and type */
    struct slice value;  /* found: borrowed from pin or from a memtable */
    struct table_pin pin;
    bool pins; /* the reader is not announced: see table_cache.h */
    /* Counted up: tables searched, filters asked, how many said no, how many let a
     * search pass that was in vain. */
    unsigned searched, filter_checked, filter_rejected, filter_false;
};

/* 0: found, look at trailer and deleted_at; -ENOENT; or an error. */
int version_lookup(struct version *v, struct lookup *l);

/* Is key before, inside (0) or behind the table's range? */
int table_range_cmp(const struct table_meta *m, struct slice key);
/* Do the ranges of two tables share a key? */
bool table_ranges_overlap(const struct table_meta *a, const struct table_meta *b);

/* A range of user keys; hi is exclusive when hi_open. */
struct key_range {
    struct slice lo, hi;
    bool hi_open;
};
void key_range_of(struct key_range *r, const struct table_meta *m);
/* Grow r (or set it, when *empty) to cover m. */
void key_range_add(struct key_range *r, bool *empty, const struct table_meta *m);
bool key_range_touches(const struct key_range *r, const struct table_meta *m);

/* The tables [*first, *end) of a level below L0 that share keys with r. */
void version_overlap(const struct version *v, unsigned level, const struct key_range *r,
                     size_t *first, size_t *end);

/* Index of the table of a level below L0 whose range ends at or after key. */
size_t version_find(const struct version *v, unsigned level, struct slice key);

/* What the range deletes of one table say of key; the span borrows from it. For
 * short readers and those with a pin. */
int tfile_ask_range(struct tfile *f, struct slice key, uint64_t seq,
                    struct rangedel_span *span);

/*
 * Over the points of files[0..n), sorted and disjoint (a level, or part of
 * one), which the caller keeps alive. upper (may be NULL) is a user key at
 * which it may stop. NULL: no memory.
 */
struct iter *level_iter_new(struct tfile **files, size_t n, enum table_iter_use use,
                            const struct slice *upper);

/* Range deletes of several tables, copied: any number of tables may have some, and they
 * need not stay open for it. */
struct range_list {
    struct range_tombstone *list;
    size_t n, cap;
    struct arena keys;
};
void range_list_init(struct range_list *l);
void range_list_release(struct range_list *l);
/* Append those of f. -ENOMEM, or what opening it gave. */
int range_list_add(struct range_list *l, struct tfile *f);

#endif
