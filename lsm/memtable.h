/*
 * memtable.h - the newest writes, in memory: a skiplist of points and an index of its
 * keys, the range deletes, and the value-log segments that the points refer to.
 *
 * Any number of threads insert and read at once. What was inserted is visible
 * at once to those who ask with its sequence, and to iterators when they are asked for a
 * place; the commit order (db_write.c) decides which sequence that is.
 */
#ifndef LSM_MEMTABLE_H
#define LSM_MEMTABLE_H

#include "iter.h"
#include "memory.h"
#include "rangedel.h"
#include "skiplist.h"

struct memtable;

/* One reference is the caller's. budget_bytes sizes the index. What it takes is counted
 * in memory, which may be NULL, until it is freed. NULL: no memory. */
struct memtable *memtable_new(size_t budget_bytes, struct memory *memory);
void memtable_ref(struct memtable *m);
void memtable_unref(struct memtable *m);

/* type IKEY_RANGE_DELETE: key is the start, value the end. -ENOMEM. */
int memtable_insert(struct memtable *m, enum ikey_type type, struct slice key,
                    uint64_t seq, struct slice value);

/* Something to insert. */
struct memtable_entry {
    enum ikey_type type;
    struct slice key, value;
    uint64_t seq;
    uint64_t hash; /* hash_key of the key */
};
/* The same for up to MEMTABLE_AT_ONCE, in less time: what they need is fetched at once.
 * The first error; what comes after it is not inserted. */
enum { MEMTABLE_AT_ONCE = 16 };
/* A hint, some time before. */
void memtable_fetch(const struct memtable *m, uint64_t hash);
int memtable_insert_all(struct memtable *m, const struct memtable_entry *e, size_t n);

/*
 * Newest point version of key at or before seq; *value is borrowed from m.
 * hash: hash_key(key). 0 or -ENOENT.
 */
int memtable_get(struct memtable *m, struct slice key, uint64_t hash, uint64_t seq,
                 uint64_t *trailer, struct slice *value);

/* What m's range deletes say of key: see rangedel.h. Cheap when there are none. */
void memtable_ask_range(struct memtable *m, struct slice key, uint64_t seq,
                        struct rangedel_span *span);
bool memtable_has_range_deletes(const struct memtable *m);
/* All of them in any order, in *list (to be freed, on failure too); the keys are m's. */
int memtable_range_deletes(struct memtable *m, struct range_tombstone **list, size_t *n);

/* Over the points. m must outlive it. NULL: no memory. */
struct iter *memtable_iter_new(struct memtable *m);
/* From an entry of such an iterator to the first behind all older versions of its key:
 * as many calls of iter_next would, but looks at none of them. (Where threads wrote the
 * key at once some may come all the same.) */
void memtable_iter_next_key(struct iter *it);

size_t memtable_bytes(struct memtable *m);
uint64_t memtable_entries(const struct memtable *m);
uint64_t memtable_keys(const struct memtable *m); /* user keys of points */
uint64_t memtable_deletes(struct memtable *m);    /* points and ranges */
/* Bytes of the value log that its points refer to. */
uint64_t memtable_ref_bytes(struct memtable *m);
/* So many of the bytes that m was told of are none of them: they hide nothing. */
void memtable_less_refs(struct memtable *m, uint64_t bytes);
/* More than MEMTABLE_RANGES_MAX range deletes, too many to stay cheap: time to flush. */
enum { MEMTABLE_RANGES_MAX = 16384 };
bool memtable_crowded(struct memtable *m);

/* fn for each value-log segment that m refers to (bytes 0: not counted). */
void memtable_segments(struct memtable *m,
                       void (*fn)(void *arg, uint64_t segment, uint64_t bytes),
                       void *arg);

/* For its owner, the database: under its locks. */
struct memtable_place {
    uint64_t log_number; /* the first log that holds what is in m */
    uint64_t last_seq;   /* once no new batch goes to it */
    uint64_t born_ns;
    _Atomic uint64_t deleted_bytes; /* of separated values below, about */
};
struct memtable_place *memtable_place(struct memtable *m);

#endif
