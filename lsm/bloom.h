/*
 * bloom.h - cache-line-blocked bloom filter over 64-bit key hashes (hash_key).
 *
 * One hash chooses a line of 64 bytes and the bits in it, so a question costs
 * one cache miss. About 1 % false positives at 10 bits per key. (Putze,
 * Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters; RocksDB's
 * FastLocalBloom.) The bits are an on-disk format: see FORMAT.md.
 */
#ifndef LSM_BLOOM_H
#define LSM_BLOOM_H

#include "slice.h"

enum { BLOOM_LINE = 64 };

/* Bits per key need not be whole numbers. */

/* Bytes for n keys, a multiple of BLOOM_LINE, at least one line. */
size_t bloom_bytes(uint64_t n_keys, double bits_per_key);

/* Probes that suit bits_per_key; stored beside the filter. 1..15 */
unsigned bloom_probes(double bits_per_key);
/* The share of strangers that pass: 1 without a filter. Straight between whole bits,
 * convex, and for more than 24 bits what it is at 24. */
double bloom_rate(double bits_per_key);

/* lines: bloom_bytes() zeroed bytes to begin with. Not for concurrent callers. */
void bloom_add(uint8_t *lines, size_t bytes, unsigned probes, uint64_t hash);
/* Who knows early what it will ask says so: that spares the miss. */
void bloom_fetch(const uint8_t *lines, size_t bytes, uint64_t hash);
bool bloom_may_contain(const uint8_t *lines, size_t bytes, unsigned probes,
                       uint64_t hash);

#endif
