/*
 * table_impl.h - what the table*.c files share. Bytes: FORMAT.md, "Table".
 */
#ifndef LSM_TABLE_IMPL_H
#define LSM_TABLE_IMPL_H

#include "block.h"
#include "err.h"
#include "lsm.h"
#include "table.h"

/* On disk: never renumber. */
enum {
    TABLE_VERSION_PLAIN = 1,
    TABLE_VERSION_DICT = 2,   /* the index begins with the dictionaries */
    TABLE_FOOTER = 48,        /* bytes */
    TABLE_BLOCK_TRAILER = 13, /* compression, raw length, checksum */
    TABLE_FILTER_TAIL = 1,    /* the number of probes, after the filter's lines */
};
#define TABLE_MAGIC 0x5354424Cu

/* Entries between restart points, at most. */
enum { TABLE_RESTART = 16 };

/* An uncompressed block is at most this. */
#define TABLE_RAW_MAX ((size_t)1 << 30)
/* A data block: it holds one entry at least, and no more once it has block_bytes. */
#define TABLE_DATA_MAX ((size_t)LSM_VALUE_MAX + 2 * LSM_KEY_MAX)
/* The other parts, which lie in memory while the table is open, may take the whole budget
 * of memory, or so much where that is small; not more, whatever a table says. */
#define TABLE_PARTS_MIN ((size_t)64 << 20)

/* The parts of the file, one after the other without gaps, in this order; data
 * begins at 0. A part of no bytes is absent. */
struct table_layout {
    uint32_t version; /* the least that holds what is there */
    uint64_t filter;
    uint64_t range_deletes;
    uint64_t index;
    uint64_t properties;
    uint64_t end; /* where the footer begins */
};

void table_layout_append(struct buf *to, const struct table_layout *l, uint64_t number);
/* bytes: TABLE_FOOTER of them, from offset l->end, which is given.
 * 0, -EUCLEAN (logged) or -EPROTONOSUPPORT (logged). */
int table_layout_decode(const uint8_t *bytes, const char *path, uint64_t number,
                        struct table_layout *l);

/* ---- blocks in the file: payload and trailer ---- */

/* May a part of the table take so many bytes of memory? Else -ENOMEM (logged). */
int table_affords(const struct table *t, uint64_t offset, uint64_t bytes);

/* Append block and its trailer; offset is where they will lie in the file. */
void table_block_append(struct buf *to, struct slice payload, enum compression type,
                        size_t raw_len, uint64_t number, uint64_t offset);

struct table_payload {
    enum compression type;
    size_t raw_len;
    struct slice bytes; /* compressed so */
};
/* Check a block as read from offset, trailer included. 0 or -EUCLEAN (logged). */
int table_block_open(struct slice block, const char *path, uint64_t number,
                     uint64_t offset, struct table_payload *out);

/* A part of the file in memory: its content is block.data. The cache holds data
 * blocks so, with what block_prepare made first in bytes. */
struct loaded_block {
    struct block block;
    struct cache_entry *entry; /* reserved for it; NULL: free() it */
    uint8_t bytes[];
};

static inline size_t loaded_block_bytes(const struct loaded_block *lb)
{
    return (size_t)(lb->block.data.data + lb->block.data.len - (const uint8_t *)lb);
}

/* ---- the index, taken apart for searching ---- */

/* A dictionary: for the blocks from `block` on, up to the next dictionary. It ends where
 * that block begins. */
struct table_dict {
    uint64_t at;
    uint32_t block;
};

/*
 * Block i holds the internal keys in (key i-1, key i]. If no later block has
 * block i's last user key, key i's user key is less than all of theirs: so who
 * looks for a user key needs to see one block only.
 */
struct table_index {
    uint32_t n;
    uint32_t n_dicts;
    struct table_dict *dict;    /* n_dicts, ascending */
    size_t common;              /* bytes that all user keys begin with */
    struct cache_place *cached; /* n: where block i is cached */
    uint64_t *prefix;           /* n: the 8 bytes after those, big-endian */
    uint64_t *at;               /* n + 1: offset of block i; at[n] is the end of the data.
                                   A dictionary may lie between two blocks */
    uint32_t *key_at;           /* n + 1: where key i begins in keys */
    uint8_t *keys;              /* internal keys */
    void *memory;               /* the arrays are parts of it */
    size_t bytes;               /* of memory */
};

/* An entry of the index in the file. */
void table_index_append(struct buf *to, struct slice ikey, uint64_t size);
/* A dictionary, as the index of a TABLE_VERSION_DICT tells of it. */
void table_dict_append(struct buf *to, uint64_t block, uint64_t size);
/* Takes an index of layout l apart; its sizes must add up to l->filter.
 * 0, -EUCLEAN (not logged) or -ENOMEM. */
int table_index_init(struct table_index *x, struct slice in,
                     const struct table_layout *l);
void table_index_release(struct table_index *x);
/* The first block whose key is at or after ikey; n when there is none. */
uint32_t table_index_find(const struct table_index *x, struct slice ikey);
/* As table_part_before; least: the first user key of the table. */
double table_index_part(const struct table_index *x, struct slice least,
                        struct slice user);
/* How many dictionaries stand before block i; the last of them is its. */
uint32_t table_index_dicts(const struct table_index *x, uint32_t i);
/* Bytes of block i in the file, trailer included. */
size_t table_index_size(const struct table_index *x, uint32_t i);

static inline struct slice table_index_key(const struct table_index *x, uint32_t i)
{
    return slice_of(x->keys + x->key_at[i], x->key_at[i + 1] - x->key_at[i]);
}

/* ---- the table ---- */

struct table {
    struct env_file *file;
    struct table *link; /* for its owner */
    char *path;
    uint64_t number;
    struct cache *cache;
    struct memory *memory;
    struct table_layout layout;
    struct table_index index;
    uint8_t *filter; /* NULL: none; 64-byte aligned */
    size_t filter_bytes;
    size_t filter_alloc; /* with its block's trailer */
    unsigned probes;
    struct range_tombstone *range_deletes;
    size_t n_range_deletes;
    struct loaded_block *range_bytes; /* what range_deletes borrow from */
    struct table_meta meta;
};

/* Exactly len bytes. A file that ends earlier is -EUCLEAN (logged). */
int table_read(struct table *t, uint64_t offset, void *to, size_t len);

/* The part read from offset, checked and decompressed; free() it. dict: what a data
 * block may have been compressed with, or NULL. */
int table_unpack(const struct table *t, uint64_t offset, struct slice bytes,
                 const struct decompress_dict *dict, struct loaded_block **out);
/* Read the part of size bytes, trailer included, at offset, and unpack it. */
int table_load(struct table *t, uint64_t offset, size_t size, struct loaded_block **out);

/*
 * The dictionary of the block looked at last, for the next one. Zeroed it is none.
 * What is read often comes from the cache and stays there; `aside` leaves the cache
 * alone.
 */
struct table_dict_ref {
    bool aside;
    bool known; /* the rest is that of dictionary `at` */
    uint64_t at;
    int rc; /* why there is no dict; it was logged */
    struct decompress_dict *dict;
    struct cache_entry *entry; /* which holds it; NULL: it is ours */
};
void table_dict_release(struct table *t, struct table_dict_ref *ref);
/* Make dictionary k ref's. 0, or what was wrong (logged once as long as ref is kept). */
int table_dict_get(struct table *t, uint32_t k, struct table_dict_ref *ref);

enum table_block_use {
    TABLE_BLOCK_ONCE,
    TABLE_BLOCK_KEEP, /* in memory of the table's cache, which there must be, and
                         prepared, because it will be searched often */
};
/* Data block i of these bytes, or read from the file. Damage is logged. */
int table_unpack_block(struct table *t, uint32_t i, struct slice bytes,
                       enum table_block_use use, struct table_dict_ref *ref,
                       struct loaded_block **out);
int table_load_block(struct table *t, uint32_t i, enum table_block_use use,
                     struct table_dict_ref *ref, struct loaded_block **out);

static inline size_t table_block_size(const struct table *t, uint32_t i)
{
    return table_index_size(&t->index, i);
}

/* Pin data block i if it is cached; else NULL. */
const struct block *table_pin_cached(struct table *t, uint32_t i, struct table_pin *pin);
/* Hand data block i, just loaded, to the cache or the pin. Takes lb. */
int table_pin_loaded(struct table *t, uint32_t i, struct loaded_block *lb,
                     const struct block **out, struct table_pin *pin);

/* Log that the entries of data block i are damaged. -EUCLEAN. */
int table_bad_block(const struct table *t, uint32_t i);

#endif
