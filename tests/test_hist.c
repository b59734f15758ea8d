/*
 * test_hist.c - hist.h: every number lands where its quantile says, merged or not.
 */
#include "lsm/hist.h"
#include "tests/test.h"

#include <pthread.h>
#include <stdlib.h>

enum { NUMBERS = 20000, THREADS = 4 };

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Of all sizes alike, as durations are. */
static uint64_t random_number(uint64_t *state)
{
    return test_random(state) >> (25 + test_below(state, 38));
}

static void expect_near(uint64_t got, uint64_t want)
{
    uint64_t off = got > want ? got - want : want - got;

    ck_assert_msg(off * 16 <= want, "%llu for %llu", (unsigned long long)got,
                  (unsigned long long)want);
}

START_TEST(an_empty_one_is_zero)
{
    static struct hist h;
    struct hist_sum s = {0};

    hist_sum_add(&s, &h);
    ck_assert_uint_eq(s.count, 0);
    ck_assert_uint_eq(s.max, 0);
    ck_assert_uint_eq(hist_quantile(&s, 0.5), 0);
    ck_assert_uint_eq(hist_below(&s, 39), 0);
}
END_TEST

START_TEST(one_number_is_every_quantile)
{
    uint64_t value;

    for (value = 0; value < 1ull << 42; value = value * 3 / 2 + 1) {
        struct hist h = {0};
        struct hist_sum s = {0};

        hist_add(&h, value);
        hist_sum_add(&s, &h);
        ck_assert_uint_eq(s.count, 1);
        ck_assert_uint_eq(s.sum, value);
        ck_assert_uint_eq(s.max, value);
        expect_near(hist_quantile(&s, 0), value);
        expect_near(hist_quantile(&s, 0.5), value);
        expect_near(hist_quantile(&s, 1), value);
        if (value < 16)
            ck_assert_uint_eq(hist_quantile(&s, 0.5), value);
    }
}
END_TEST

START_TEST(quantiles_are_within_a_sixteenth)
{
    static const double q[] = {0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
    static struct hist h;
    uint64_t state = test_seed(), *all = malloc(NUMBERS * sizeof(*all)), sum = 0;
    struct hist_sum s = {0};
    unsigned i, bits;

    for (i = 0; i < NUMBERS; i++) {
        sum += all[i] = random_number(&state);
        hist_add(&h, all[i]);
    }
    qsort(all, NUMBERS, sizeof(*all), by_value);
    hist_sum_add(&s, &h);
    ck_assert_uint_eq(s.count, NUMBERS);
    ck_assert_uint_eq(s.sum, sum);
    ck_assert_uint_eq(s.max, all[NUMBERS - 1]);
    for (i = 0; i < sizeof(q) / sizeof(q[0]); i++) {
        double rank = q[i] * NUMBERS;
        unsigned at = (unsigned)rank;

        at += at < rank;
        expect_near(hist_quantile(&s, q[i]), all[at ? at - 1 : 0]);
    }
    for (bits = HIST_SUB_BITS; bits < HIST_TOP_BITS; bits++) {
        for (i = 0; i < NUMBERS && all[i] < 1ull << bits; i++)
            ;
        ck_assert_uint_eq(hist_below(&s, bits), i);
    }
    free(all);
}
END_TEST

START_TEST(what_is_beyond_the_last_bucket_reads_as_max)
{
    static struct hist h;
    struct hist_sum s = {0};

    hist_add(&h, 1);
    hist_add(&h, UINT64_MAX / 4);
    hist_add(&h, 1ull << 40);
    hist_sum_add(&s, &h);
    ck_assert_uint_eq(s.count, 3);
    ck_assert_uint_eq(hist_quantile(&s, 0.5), UINT64_MAX / 4);
    ck_assert_uint_eq(hist_quantile(&s, 1), UINT64_MAX / 4);
    ck_assert_uint_eq(hist_below(&s, 39), 1);
}
END_TEST

START_TEST(merging_is_as_if_one_had_taken_all)
{
    static struct hist whole, part[3];
    struct hist_sum a = {0}, b = {0}, c = {0};
    uint64_t state = test_seed();
    unsigned i;

    for (i = 0; i < NUMBERS; i++) {
        uint64_t value = random_number(&state);

        hist_add(&whole, value);
        hist_add(&part[test_below(&state, 3)], value);
    }
    hist_sum_add(&a, &whole);
    hist_sum_add(&b, &part[0]);
    hist_sum_add(&b, &part[1]);
    hist_sum_add(&c, &part[2]);
    hist_sum_merge(&c, &b);
    ck_assert_mem_eq(&a, &c, sizeof(a));
}
END_TEST

static struct hist shared;

static void *add_many(void *arg)
{
    uint64_t i;

    for (i = 0; i < NUMBERS; i++)
        hist_add(&shared, (uint64_t)(uintptr_t)arg * NUMBERS + i);
    return NULL;
}

START_TEST(threads_lose_no_number)
{
    struct hist_sum s = {0};
    uint64_t all = (uint64_t)THREADS * NUMBERS;
    pthread_t t[THREADS];
    uintptr_t i;

    for (i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, add_many, (void *)i), 0);
    for (i = 0; i < 100; i++) {
        struct hist_sum now = {0};

        hist_sum_add(&now, &shared);
        ck_assert_uint_ge(now.count, s.count);
        ck_assert_uint_le(hist_quantile(&now, 0.5), all);
        s = now;
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    s = (struct hist_sum){0};
    hist_sum_add(&s, &shared);
    ck_assert_uint_eq(s.count, all);
    ck_assert_uint_eq(s.sum, all * (all - 1) / 2);
    ck_assert_uint_eq(s.max, all - 1);
}
END_TEST

TEST_MAIN("hist", TEST_CASE_ALONE(an_empty_one_is_zero),
          TEST_CASE_ALONE(one_number_is_every_quantile),
          TEST_CASE_ALONE(quantiles_are_within_a_sixteenth),
          TEST_CASE_ALONE(what_is_beyond_the_last_bucket_reads_as_max),
          TEST_CASE_ALONE(merging_is_as_if_one_had_taken_all),
          TEST_CASE(threads_lose_no_number))
