/*
 * block_entry.h - one entry of a block, and the step to the next: the inner loop
 * of every scan. Private to block*.c and table*.c. Bytes: FORMAT.md, "Block".
 */
#ifndef LSM_BLOCK_ENTRY_H
#define LSM_BLOCK_ENTRY_H

#include "block.h"

enum {
    BLOCK_ENTRY_MIN = 3 + IKEY_TRAILER, /* three varints and a trailer */
    BLOCK_COPY = 32,                    /* short keys are copied as so many bytes */
    BLOCK_FETCH_BACK = 2048,            /* bytes ahead of steps back */
    BLOCK_PASSED = 32, /* entries kept for steps back: twice what an interval has */
};

struct block_entry {
    uint32_t shared;   /* bytes of the user key taken from the entry before */
    uint32_t unshared; /* bytes at key: the rest of the user key, and the trailer */
    uint32_t value_len;
    const uint8_t *key; /* the value follows */
};

/* The general case of block_entry_parse: at least BLOCK_ENTRY_MIN bytes. */
bool block_entry_header(const uint8_t *p, const uint8_t *end, struct block_entry *e);

/* The entry at p; false when there is no room before end for it. */
static inline bool block_entry_parse(const uint8_t *p, const uint8_t *end,
                                     struct block_entry *e)
{
    uint32_t w;

    if (__builtin_expect(end - p < BLOCK_ENTRY_MIN, 0))
        return false;
    w = load_le32(p);
    if (__builtin_expect((w & 0x808080) == 0, 1)) { /* lengths under 128 */
        e->shared = w & 0x7f;
        e->unshared = w >> 8 & 0x7f;
        e->value_len = w >> 16 & 0x7f;
        e->key = p + 3;
    } else if ((w & 0x80808080) == 0x800000) { /* a value under 16 KiB */
        e->shared = w & 0x7f;
        e->unshared = w >> 8 & 0x7f;
        e->value_len = (w >> 16 & 0x7f) | (w >> 24) << 7;
        e->key = p + 4;
    } else if (!block_entry_header(p, end, e)) {
        return false;
    }
    return e->unshared >= IKEY_TRAILER &&
           (uint64_t)e->unshared + e->value_len <= (uint64_t)(end - e->key);
}

static inline const uint8_t *block_entry_next(const struct block_entry *e)
{
    return e->key + e->unshared + e->value_len;
}

/* Room for n bytes of key, for short copies, and to spare. False, and the
 * iterator stopped, when memory is out. */
bool block_iter_grow(struct block_iter *bi, size_t n);

/*
 * Go to the entry at next_at. it.key is the key before it, or, at a restart
 * point, a key of IKEY_TRAILER bytes, so that nothing can be shared.
 */
static inline void block_iter_step(struct block_iter *bi)
{
    const uint8_t *base = bi->block.data.data;
    const uint8_t *end = base + bi->block.entries_len;
    struct block_entry e;
    size_t key_len;
    uint8_t *to;

    if (bi->next_at >= bi->block.entries_len) {
        bi->at = bi->next_at;
        iter_stop(&bi->it, 0);
        return;
    }
    if (__builtin_expect(!block_entry_parse(base + bi->next_at, end, &e) ||
                             e.shared > bi->it.key.len - IKEY_TRAILER,
                         0)) {
        iter_stop(&bi->it, -EUCLEAN);
        return;
    }
    key_len = (size_t)e.shared + e.unshared;
    if (__builtin_expect(key_len + BLOCK_COPY > bi->key.cap, 0) &&
        !block_iter_grow(bi, key_len))
        return;
    to = bi->key.data + e.shared;
    if (__builtin_expect(e.unshared <= BLOCK_COPY &&
                             base + bi->block.data.len - e.key >= BLOCK_COPY,
                         1))
        memcpy(to, e.key, BLOCK_COPY);
    else
        memcpy(to, e.key, e.unshared);
    bi->at = bi->next_at;
    bi->next_at = (uint32_t)(block_entry_next(&e) - base);
    bi->it.key = slice_of(bi->key.data, key_len);
    bi->it.value = slice_of(e.key + e.unshared, e.value_len);
    bi->it.valid = true;
    if (__builtin_expect(to[e.unshared - IKEY_TRAILER] > IKEY_TYPE_LAST, 0))
        iter_stop(&bi->it, -EUCLEAN);
}

#endif
