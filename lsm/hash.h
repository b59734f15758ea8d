/*
 * hash.h - the one hash of siltfs: xxh3, 64 bits.
 *
 * Checksums are seeded with where the bytes live, so that a block read from
 * the wrong file or the wrong offset fails its check like a damaged one.
 */
#ifndef LSM_HASH_H
#define LSM_HASH_H

#include <xxhash.h>

#include "slice.h"

static inline uint64_t hash_bytes(const void *data, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, len, seed);
}

/* Never changed: filters on disk hold it. */
static inline uint64_t hash_key(struct slice key)
{
    return XXH3_64bits(key.data, key.len);
}

/* The seed of a checksum over bytes at `offset` of file `number`. */
static inline uint64_t hash_place(uint64_t number, uint64_t offset)
{
    return number * 0x9E3779B97F4A7C15ull ^ offset;
}

#endif
