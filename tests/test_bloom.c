/*
 * test_bloom.c - lsm/bloom.h. Bytes: lsm/FORMAT.md, "Bloom filter".
 */
#include "test.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "lsm/bloom.h"
#include "lsm/hash.h"

static uint64_t hash_number(uint64_t n)
{
    uint8_t key[8];

    store_be64(key, n);
    return hash_key(slice_of(key, sizeof(key)));
}

static void check_bits(const uint8_t *line, const unsigned *bits, unsigned n)
{
    uint8_t want[BLOOM_LINE] = {0};
    unsigned i;

    for (i = 0; i < n; i++)
        want[bits[i] / 8] |= (uint8_t)(1 << bits[i] % 8);
    ck_assert_mem_eq(line, want, BLOOM_LINE);
}

/* Never changed: filters on disk hold these bits. */
START_TEST(golden_bits)
{
    static const unsigned silt[] = {118, 257, 330, 447, 470, 506};
    static const unsigned loam[] = {27, 248, 264, 270, 285, 446};
    uint8_t lines[2 * BLOOM_LINE] = {0};

    ck_assert_uint_eq(hash_key(slice_str("silt")), 0x1bfb5e2e22c5138a);
    bloom_add(lines, sizeof(lines), 6, hash_key(slice_str("silt")));
    bloom_add(lines, sizeof(lines), 6, hash_key(slice_str("loam")));
    check_bits(lines, silt, 6);
    check_bits(lines + BLOOM_LINE, loam, 6);
}
END_TEST

static double false_positives(double bits, uint64_t n)
{
    unsigned probes = bloom_probes(bits);
    size_t bytes = bloom_bytes(n, bits);
    uint8_t *lines = calloc(1, bytes);
    uint64_t i, wrong = 0;
    enum { ASKED = 400000 };

    for (i = 0; i < n; i++)
        bloom_add(lines, bytes, probes, hash_number(i));
    for (i = 0; i < n; i++)
        ck_assert(bloom_may_contain(lines, bytes, probes, hash_number(i)));
    for (i = 0; i < ASKED; i++)
        wrong += bloom_may_contain(lines, bytes, probes, hash_number(n + i));
    free(lines);
    return (double)wrong / ASKED;
}

START_TEST(ten_bits_err_in_one_percent)
{
    double rate = false_positives(10, 200000);

    printf("bloom: 10 bits: %.3f %% false positives\n", rate * 100);
    ck_assert_double_le(rate, 0.011);
    ck_assert_double_le(false_positives(10, 1000), 0.013);
}
END_TEST

START_TEST(more_bits_err_less)
{
    double last = 1;
    unsigned bits;

    for (bits = 2; bits <= 22; bits += 2) {
        double rate = false_positives(bits, 50000);

        ck_assert_double_lt(rate, last);
        last = rate;
    }
    ck_assert_double_le(last, 0.0002);
}
END_TEST

/* The allotment of bits to levels is as good as these figures are. */
START_TEST(the_rate_that_is_told_is_the_rate)
{
    double bits;

    ck_assert(bloom_rate(0) == 1);
    ck_assert(bloom_rate(24) == bloom_rate(100));
    for (bits = 1; bits <= 24; bits += 0.5) {
        double told = bloom_rate(bits), rate = false_positives(bits, 100000);
        double noise = 5 * sqrt(told / 400000);

        ck_assert_msg(rate <= 1.12 * told + noise && rate >= 0.85 * told - noise,
                      "%g bits: %g, told %g", bits, rate, told);
    }
}
END_TEST

START_TEST(each_bit_saves_less_than_the_one_before)
{
    unsigned bits;

    for (bits = 0; bits + 2 <= 24; bits++)
        ck_assert_double_lt(bloom_rate(bits + 1) - bloom_rate(bits + 2),
                            bloom_rate(bits) - bloom_rate(bits + 1));
}
END_TEST

START_TEST(sizes_are_whole_lines)
{
    unsigned bits;

    ck_assert_uint_eq(bloom_bytes(0, 10), BLOOM_LINE);
    ck_assert_uint_eq(bloom_bytes(1, 10), BLOOM_LINE);
    ck_assert_uint_eq(bloom_bytes(51, 10), BLOOM_LINE);
    ck_assert_uint_eq(bloom_bytes(52, 10), 2 * BLOOM_LINE);
    ck_assert_uint_eq(bloom_bytes(1000000, 10) % BLOOM_LINE, 0);
    for (bits = 0; bits < 100; bits++)
        ck_assert(bloom_probes(bits) >= 1 && bloom_probes(bits) <= 15);
}
END_TEST

TEST_MAIN("bloom", TEST_CASE_ALONE(golden_bits),
          TEST_CASE_ALONE(ten_bits_err_in_one_percent),
          TEST_CASE_ALONE(more_bits_err_less),
          TEST_CASE_ALONE(the_rate_that_is_told_is_the_rate),
          TEST_CASE_ALONE(each_bit_saves_less_than_the_one_before),
          TEST_CASE_ALONE(sizes_are_whole_lines))
