/*
 * bloom.c - see bloom.h. Bytes: FORMAT.md, "Bloom filter".
 *
 * The upper half of the hash picks the line, the lower half the bits in it: each
 * probe multiplies it by an odd constant and takes the nine highest bits.
 */
#include "bloom.h"

enum { BIT_SHIFT = 32 - 9 }; /* a line has 512 bits */

#define REMIX 0x9E3779B9u

size_t bloom_bytes(uint64_t n_keys, double bits_per_key)
{
    uint64_t bits = (uint64_t)((double)n_keys * bits_per_key);
    uint64_t lines = (bits + BLOOM_LINE * 8 - 1) / (BLOOM_LINE * 8);

    return (size_t)(lines ? lines : 1) * BLOOM_LINE;
}

/* Fewer than the textbook's 0.69 per bit: the bits share one line. */
unsigned bloom_probes(double bits_per_key)
{
    static const uint8_t probes[] = {1, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6, 7, 7};
    unsigned bits = (unsigned)(bits_per_key + 0.5);

    if (bits < sizeof(probes))
        return probes[bits];
    return bits < 15 ? 8 : bits < 17 ? 9 : bits < 19 ? 10 : bits < 23 ? 11 : 12;
}

/* Counted with random hashes; test_bloom counts again. A line holds 512/bits keys on
 * the average, and as many more or less as Poisson says: so from some 14 bits on it is
 * worse than a filter without lines, twice at 18. */
double bloom_rate(double bits_per_key)
{
    static const double rate[] = {
        1,        0.632,    0.3935,   0.2369,   0.1555,   0.0930,   0.0577,
        0.0373,   0.0231,   0.0153,   0.00962,  0.00624,  0.00412,  0.00270,
        0.00182,  0.00123,  0.00083,  0.00058,  0.000405, 0.000276, 0.000198,
        0.000140, 0.000102, 0.000073, 0.000054,
    };
    enum { LAST = sizeof(rate) / sizeof(rate[0]) - 1 };
    unsigned whole;

    if (bits_per_key >= LAST)
        return rate[LAST];
    whole = (unsigned)bits_per_key;
    return rate[whole] + (bits_per_key - whole) * (rate[whole + 1] - rate[whole]);
}

static inline size_t line_at(size_t bytes, uint64_t hash)
{
    uint64_t lines = bytes / BLOOM_LINE;

    return (size_t)((hash >> 32) * lines >> 32) * BLOOM_LINE;
}

void bloom_add(uint8_t *lines, size_t bytes, unsigned probes, uint64_t hash)
{
    uint8_t *line = lines + line_at(bytes, hash);
    uint32_t h = (uint32_t)hash;

    for (; probes; probes--) {
        uint32_t bit;

        h *= REMIX;
        bit = h >> BIT_SHIFT;
        line[bit >> 3] |= (uint8_t)(1u << (bit & 7));
    }
}

void bloom_fetch(const uint8_t *lines, size_t bytes, uint64_t hash)
{
    __builtin_prefetch(lines + line_at(bytes, hash));
}

/* All probes, without a branch among them: they hit the same line, and a wrongly
 * predicted early exit costs more than the loads it saves. */
bool bloom_may_contain(const uint8_t *lines, size_t bytes, unsigned probes, uint64_t hash)
{
    const uint8_t *line = lines + line_at(bytes, hash);
    uint32_t h = (uint32_t)hash;
    unsigned all = 1;

    for (; probes; probes--) {
        uint32_t bit;

        h *= REMIX;
        bit = h >> BIT_SHIFT;
        all &= (unsigned)__atomic_load_n(&line[bit >> 3], __ATOMIC_RELAXED) >> (bit & 7);
    }
    return all & 1;
}
