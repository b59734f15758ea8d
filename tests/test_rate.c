/*
 * test_rate.c - lsm/rate.h: what is taken keeps to the rate, and what the automatic
 * rate is. On a clock of its own: no time passes but by sleeping.
 */
#include "test.h"

#include "lsm/rate.h"

static uint64_t clock_ns;

static uint64_t now(struct env *e)
{
    (void)e;
    return clock_ns;
}

static void asleep(struct env *e, uint64_t ns)
{
    (void)e;
    clock_ns += ns;
}

static const struct env_ops clock_ops = {.now_ns = now, .sleep_ns = asleep};
static struct env clock_env = {.ops = &clock_ops};

enum { SECOND = 1000000000, MB = 1000000 };

static void begin(struct rate *r, uint64_t bytes_per_s)
{
    clock_ns = 5ull * SECOND;
    rate_init(r, &clock_env, bytes_per_s);
}

START_TEST(many_small_takes_last_as_long_as_the_rate_says)
{
    struct rate r;
    int i;

    begin(&r, 10 * MB);
    for (i = 0; i < 1000; i++)
        rate_take(&r, MB / 10);
    /* 100 MB: ten seconds, less the burst. */
    ck_assert_uint_ge(clock_ns, 5ull * SECOND + 9900000000);
    ck_assert_uint_le(clock_ns, 5ull * SECOND + 10000000000);
}
END_TEST

START_TEST(no_single_sleep_is_longer_than_a_tenth_of_a_second)
{
    struct rate r;

    begin(&r, MB);
    rate_take(&r, 100 * MB);
    ck_assert_uint_eq(clock_ns, 5ull * SECOND + SECOND / 10);
}
END_TEST

START_TEST(what_was_not_used_is_not_saved_up_for_long)
{
    struct rate r;
    uint64_t start;

    begin(&r, 10 * MB);
    rate_take(&r, MB);
    clock_ns += 100ull * SECOND;
    start = clock_ns;
    rate_take(&r, MB); /* a tenth of a second's, half of it from the burst */
    ck_assert_uint_eq(clock_ns - start, SECOND / 20);
}
END_TEST

START_TEST(without_a_limit_nobody_sleeps)
{
    struct rate r;

    begin(&r, RATE_UNLIMITED);
    rate_take(&r, UINT64_MAX / 4);
    ck_assert_uint_eq(clock_ns, 5ull * SECOND);
}
END_TEST

START_TEST(the_automatic_rate_rises_with_the_load_and_with_the_debt)
{
    uint64_t rest = rate_automatic(0, 0), before = 0;
    double debt;

    ck_assert_uint_ge(rest, 16 * MB);
    ck_assert_uint_lt(rest, 200 * MB);
    ck_assert_uint_eq(rate_automatic(100 * MB, 0.5), 1600ull * MB);
    for (debt = 0; debt < 2; debt += 0.01) {
        uint64_t rate = rate_automatic(10 * MB, debt);

        ck_assert_uint_ge(rate, before);
        before = rate;
    }
    ck_assert(rate_automatic(0, 2.0) == RATE_UNLIMITED);
}
END_TEST

TEST_MAIN("rate", TEST_CASE(many_small_takes_last_as_long_as_the_rate_says),
          TEST_CASE(no_single_sleep_is_longer_than_a_tenth_of_a_second),
          TEST_CASE(what_was_not_used_is_not_saved_up_for_long),
          TEST_CASE(without_a_limit_nobody_sleeps),
          TEST_CASE(the_automatic_rate_rises_with_the_load_and_with_the_debt))
