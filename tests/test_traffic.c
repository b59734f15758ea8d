/*
 * test_traffic.c - which requests are a lone client's, which several clients', and when
 * to try the near thread again.
 */
#include "test.h"

#include "mount/traffic.h"

#define MS 1000000ull

/* n windows of `pattern`, over and over; what the last one showed. */
static struct traffic_seen see(const uint32_t *pattern, unsigned len, bool bulky)
{
    struct traffic t = {0};
    struct traffic_seen seen = {0};
    unsigned i = 0;

    while (!traffic_add(&t, pattern[i % len], bulky, &seen))
        i++;
    return seen;
}

START_TEST(one_thread_that_sends_all_is_lone)
{
    const uint32_t one[] = {7};
    struct traffic_seen seen = see(one, 1, false);

    ck_assert_uint_eq(seen.lone, 7);
    ck_assert_uint_eq(seen.clients, 1);
}
END_TEST

START_TEST(a_stray_request_now_and_then_leaves_a_client_lone)
{
    const uint32_t mostly[] = {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 9};
    struct traffic_seen seen = see(mostly, 16, false);

    ck_assert_uint_eq(seen.lone, 7);
    ck_assert_uint_eq(seen.clients, 1);
}
END_TEST

START_TEST(several_at_once_are_counted_and_none_is_lone)
{
    const uint32_t four[] = {1, 2, 3, 4}, two[] = {5, 5, 5, 6};

    ck_assert_uint_eq(see(four, 4, false).clients, 4);
    ck_assert_uint_eq(see(four, 4, false).lone, 0);
    ck_assert_uint_eq(see(two, 4, false).clients, 2);
    ck_assert_uint_eq(see(two, 4, false).lone, 0);
}
END_TEST

START_TEST(processes_that_come_and_go_are_no_clients)
{
    struct traffic t = {0};
    struct traffic_seen seen;
    uint32_t pid = 1;

    while (!traffic_add(&t, pid, false, &seen))
        pid++;
    ck_assert_uint_eq(seen.clients, 0);
    ck_assert_uint_eq(seen.lone, 0);
}
END_TEST

START_TEST(who_sends_much_data_is_not_lone)
{
    const uint32_t one[] = {7};
    struct traffic_seen seen = see(one, 1, true);

    ck_assert_uint_eq(seen.lone, 0);
    ck_assert_uint_eq(seen.clients, 1);
}
END_TEST

START_TEST(the_kernels_own_requests_do_not_count)
{
    struct traffic t = {0};
    struct traffic_seen seen;
    unsigned n;

    for (n = 0; n < 10 * TRAFFIC_WINDOW; n++)
        ck_assert(!traffic_add(&t, 0, false, &seen));
    for (n = 1; !traffic_add(&t, 7, false, &seen); n++)
        ;
    ck_assert_uint_eq(n, TRAFFIC_WINDOW);
    ck_assert_uint_eq(seen.lone, 7);
}
END_TEST

START_TEST(slow_requests_are_not_worth_a_trial)
{
    struct trial t = {0};

    ck_assert(trial_may_begin(&t, 1000 * MS, 2 * MS));
    ck_assert(!trial_may_begin(&t, 1000 * MS, 100 * MS));
}
END_TEST

START_TEST(a_trial_that_is_slower_than_before_does_not_pay)
{
    struct trial fast = {0}, slow = {0};
    uint64_t now = 1000 * MS;
    bool pays = true;

    trial_begin(&fast, now, 2 * MS);
    trial_begin(&slow, now, 2 * MS);
    for (unsigned i = 1; i <= 100; i++) {
        ck_assert(trial_pays(&fast, now + i * MS));
        if (pays)
            pays = trial_pays(&slow, now + i * 3 * MS);
    }
    ck_assert(!pays);
}
END_TEST

START_TEST(failures_one_after_the_other_make_the_pauses_longer_up_to_seconds)
{
    struct trial t = {0};
    uint64_t now = 1000 * MS, last = 0, pause = 0;

    for (unsigned i = 0; i < 20; i++) {
        trial_begin(&t, now, 2 * MS);
        trial_end(&t, now + 5 * MS, true);
        now += 5 * MS;
        for (pause = 0; !trial_may_begin(&t, now + pause, 2 * MS); pause += MS)
            ;
        ck_assert_uint_ge(pause, last);
        last = pause;
        now += pause;
    }
    ck_assert_uint_ge(last, 1000 * MS);
    ck_assert_uint_le(last, 10000 * MS);
    /* One that went well for long is a new beginning. */
    trial_begin(&t, now, 2 * MS);
    trial_end(&t, now + 5000 * MS, false);
    ck_assert(trial_may_begin(&t, now + 5000 * MS, 2 * MS));
    trial_begin(&t, now + 5000 * MS, 2 * MS);
    trial_end(&t, now + 5005 * MS, true);
    ck_assert(trial_may_begin(&t, now + 5100 * MS, 2 * MS));
}
END_TEST

START_TEST(short_waits_are_borne_once_some_were_seen_and_long_ones_never)
{
    struct patience fast = {0}, slow = {0};
    unsigned n;

    ck_assert(!patience_has(&fast));
    for (n = 0; n < 100; n++) {
        patience_note(&fast, MS / 10);
        patience_note(&slow, 8 * MS);
        ck_assert(!patience_has(&slow));
        ck_assert(n < 20 || patience_has(&fast));
    }
    /* One long one in between is forgotten; several are not. */
    patience_note(&fast, 2 * MS);
    ck_assert(patience_has(&fast));
    for (n = 0; n < 8; n++)
        patience_note(&fast, 2 * MS);
    ck_assert(!patience_has(&fast));
}
END_TEST

TEST_MAIN("traffic", TEST_CASE(one_thread_that_sends_all_is_lone),
          TEST_CASE(a_stray_request_now_and_then_leaves_a_client_lone),
          TEST_CASE(several_at_once_are_counted_and_none_is_lone),
          TEST_CASE(processes_that_come_and_go_are_no_clients),
          TEST_CASE(who_sends_much_data_is_not_lone),
          TEST_CASE(the_kernels_own_requests_do_not_count),
          TEST_CASE(slow_requests_are_not_worth_a_trial),
          TEST_CASE(a_trial_that_is_slower_than_before_does_not_pay),
          TEST_CASE(short_waits_are_borne_once_some_were_seen_and_long_ones_never),
          TEST_CASE(failures_one_after_the_other_make_the_pauses_longer_up_to_seconds))
