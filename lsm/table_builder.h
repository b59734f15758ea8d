/*
 * table_builder.h - writing a table: data blocks, filter, range deletes,
 * properties, index, footer. Bytes: FORMAT.md, "Table".
 */
#ifndef LSM_TABLE_BUILDER_H
#define LSM_TABLE_BUILDER_H

#include "compress.h"
#include "env.h"
#include "ikey.h"
#include "memory.h"

enum { TABLE_HELD_DICTS = 32 };

struct table_builder_options {
    struct env *env;
    const char *path; /* copied */
    uint64_t number;
    size_t block_bytes;
    double filter_bits; /* per key; 0: no filter */
    enum compression compression;
    size_t dictionary_bytes; /* of one dictionary, at most (DICT_MAX), when compression
                                is ZSTD; 0: none. TABLE_HELD_DICTS times as much raw
                                content is held in memory */
    struct memory *memory;   /* counts what is buffered; NULL: nobody does */
    /* Called after so many bytes were written; may sleep. NULL: nobody is interested. */
    void (*wrote)(void *arg, uint64_t bytes);
    void *arg;
};

/* Bytes that a table refers to in one value-log segment. */
struct segment_ref {
    uint64_t segment;
    uint64_t bytes; /* of the segment: vptr_stored of each pointer, in sum; of the
                       shared ones to a record no more than it has */
};

/* What is told of a table in its properties and in the manifest. Keys are user
 * keys and cover range deletes: every key the table speaks of is in
 * [smallest, largest], or, when largest_open, in [smallest, largest). */
struct table_meta {
    uint64_t number;
    uint64_t size; /* of the file */
    struct buf smallest;
    struct buf largest;
    bool largest_open;
    uint64_t seq_min, seq_max;
    uint64_t entries; /* points, tombstones included */
    uint64_t deletes; /* point tombstones */
    uint64_t range_deletes;
    uint64_t raw_bytes; /* keys and values before compression */
    /* Not in the encoding; the manifest tells them beside. 0: none, or not known. */
    uint64_t filter_bytes;    /* of its filter */
    uint64_t delete_run;      /* in some stretch of the table, so many more tombstones
                                 than other points */
    struct segment_ref *refs; /* ascending by segment, owned */
    size_t n_refs;
};

void table_meta_release(struct table_meta *m);
/* Deep copy into a zeroed *to. -ENOMEM. */
int table_meta_copy(struct table_meta *to, const struct table_meta *from);
/* In all that is encoded. */
bool table_meta_same(const struct table_meta *a, const struct table_meta *b);
/* The encoding that properties and the manifest share. */
void table_meta_append(struct buf *to, const struct table_meta *m);
/* Into a zeroed *m; false (m released) when damaged. Consumes from in. */
bool table_meta_decode(struct slice *in, struct table_meta *m);

struct table_builder;

int table_builder_open(const struct table_builder_options *o, struct table_builder **out);

/* ikey in strictly ascending order; type is not IKEY_RANGE_DELETE. Bytes that an
 * IKEY_PUT_REF value refers to are counted into the refs. */
int table_builder_add(struct table_builder *tb, struct slice ikey, struct slice value);

/* Fragments, ascending by (start, seq descending): two of them are equal in
 * [start, end) or do not overlap. Any time before finish. */
int table_builder_add_range_delete(struct table_builder *tb, struct slice start,
                                   struct slice end, uint64_t seq);

/* File bytes so far, about: with the blocks not yet compressed, and the unfinished one.
 */
uint64_t table_builder_size(const struct table_builder *tb);
uint64_t table_builder_entries(const struct table_builder *tb); /* of both kinds */

/*
 * Write the rest, sync and close the file; fills a zeroed *meta. Frees tb in
 * any case; on error the file is removed. The name is not durable before an
 * env_sync_dir.
 */
int table_builder_finish(struct table_builder *tb, struct table_meta *meta);
/* Drop everything, the file too. NULL is fine. */
void table_builder_abandon(struct table_builder *tb);

#endif
