/*
 * block.h - reading a block: sorted entries with shared prefixes and restart
 * points (LevelDB's layout). Bytes: FORMAT.md, "Block".
 *
 * Any byte may be wrong: every entry is checked when it is read, and -EUCLEAN
 * is the answer. What is not checked is the order of keys (block_verify does
 * that): out of order, some may not be found, but no walk is endless.
 */
#ifndef LSM_BLOCK_H
#define LSM_BLOCK_H

#include "iter.h"

/* Borrowed decompressed bytes, checked in outline. */
struct block {
    struct slice data;    /* entries, then restarts */
    uint32_t entries_len; /* bytes of entries */
    uint32_t n_restarts;
    uint32_t common;        /* see block_prepare */
    const uint64_t *prefix; /* NULL: not prepared */
};

/* -EUCLEAN when data cannot be a block. Not logged: the caller knows the place. */
int block_init(struct block *b, struct slice data);

/*
 * Prepare a block for many searches: afterwards they find their restart point
 * without touching the block. memory, of block_prepare_bytes(b) and aligned for
 * uint64_t, is borrowed: it holds, for each restart point, the 8 bytes of its
 * user key after the `common` ones that all keys begin with, and its offset.
 * 0 or -EUCLEAN (not logged).
 */
static inline size_t block_prepare_bytes(const struct block *b)
{
    return b->n_restarts * (sizeof(uint64_t) + sizeof(uint32_t));
}
int block_prepare(struct block *b, void *memory);

/*
 * The newest version of ikey's user key at or before its sequence, without an
 * iterator: *trailer of its internal key, and *value borrowed from the block.
 * 0, -ENOENT (also when ikey is past the end) or -EUCLEAN (not logged).
 */
int block_get(const struct block *b, struct slice ikey, uint64_t *trailer,
              struct slice *value);

/*
 * Check all that a reader takes on trust: keys strictly ascend, restart points
 * are at entries. 0 or -EUCLEAN (not logged); fn, which may be NULL, is called
 * for each entry and ends the walk with its non-zero result.
 */
typedef int block_entry_fn(void *arg, struct slice ikey, struct slice value);
int block_verify(const struct block *b, block_entry_fn *fn, void *arg);

/* An iterator in storage you bring; block_iter_release frees its key buffer.
 * Its ops->free is block_iter_release too. it->err is -EUCLEAN on damage, not
 * logged. */
struct block_passed;
struct block_iter {
    struct iter it;
    struct block block;
    uint32_t at;      /* offset of the current entry */
    uint32_t next_at; /* offset after it */
    uint32_t restart; /* a restart point at or before `at`; not always the nearest */
    struct buf key;
    struct block_passed *passed; /* made by the first step back (block_iter.c) */
};

void block_iter_init(struct block_iter *bi, const struct block *b);
void block_iter_release(struct block_iter *bi);
/* Stand nowhere in another block, keeping the key buffer. */
void block_iter_reset(struct block_iter *bi, const struct block *b);

/* What its ops do, for who embeds a block_iter in an iterator of his own. */
void block_iter_first(struct block_iter *bi);
void block_iter_last(struct block_iter *bi);
void block_iter_seek(struct block_iter *bi, struct slice ikey);
void block_iter_seek_prev(struct block_iter *bi, struct slice ikey);
void block_iter_next(struct block_iter *bi);
void block_iter_prev(struct block_iter *bi);

#endif
