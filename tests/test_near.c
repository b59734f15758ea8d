/*
 * test_near.c - a thread beside its client does not wait for a request for ever.
 */
#include "test.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mount/cpus.h"
#include "mount/near.h"

#define NOT_HERE "no thread can become near: no SCHED_IDLE, or no timer of a thread"

static void do_nothing(int sig)
{
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* This thread serves itself; false where the kernel does not tell what is needed. */
static bool begin(struct near *n)
{
    const struct sigaction kick = {.sa_handler = do_nothing};
    bool able;

    sigaction(SIGUSR1, &kick, NULL);
    cpus_learn();
    able =
        near_become(n, SIGUSR1) && near_begin(n, (uint32_t)syscall(SYS_gettid), now_ns());
    near_not(); /* the test is not to starve on a busy machine */
    return able;
}

START_TEST(a_read_that_nothing_comes_to_ends_when_the_thread_was_idle_for_long)
{
    struct near n = {0};
    int ends[2];
    char c;

    ck_assert_int_eq(pipe(ends), 0);
    if (!begin(&n)) {
        ck_skipped(NOT_HERE);
        return;
    }
    ck_assert(!near_idle(&n, n.last_ns));
    do {
        ck_assert_int_eq(read(ends[0], &c, 1), -1);
        ck_assert_int_eq(errno, EINTR);
    } while (!near_idle(&n, now_ns()));
    near_end(&n);
    near_retire(&n);
}
END_TEST

START_TEST(a_request_makes_it_busy_again)
{
    struct near n = {0};

    if (!begin(&n)) {
        ck_skipped(NOT_HERE);
        return;
    }
    n.next_ns = UINT64_MAX; /* how the client does is not asked here */
    ck_assert(near_idle(&n, n.last_ns + 1000000000));
    ck_assert_int_eq(near_look(&n, n.last_ns + 1000000000), NEAR_WELL);
    ck_assert(!near_idle(&n, n.last_ns));
    near_end(&n);
    near_retire(&n);
}
END_TEST

/* A request that came so long after the last answer. */
static void request_after(struct near *n, uint64_t waited_ns)
{
    near_answered(n, n->last_ns);
    ck_assert_int_eq(near_look(n, n->last_ns + waited_ns), NEAR_WELL);
}

START_TEST(who_waits_for_three_requests_in_a_row_looks_where_the_client_is)
{
    struct near n = {0};

    if (!begin(&n)) {
        ck_skipped(NOT_HERE);
        return;
    }
    n.next_ns = UINT64_MAX; /* no look is due */
    n.cpu = -2;
    for (unsigned i = 0; i < 8; i++)
        request_after(&n, 1000);
    for (unsigned i = 0; i < 8; i++)
        request_after(&n, i % 3 ? 40000 : 1000);
    ck_assert_int_eq(n.cpu, -2);
    request_after(&n, 40000);
    request_after(&n, 1000);
    request_after(&n, 40000);
    request_after(&n, 40000);
    ck_assert_int_eq(n.cpu, -2);
    request_after(&n, 40000);
    ck_assert_int_ge(n.cpu, 0);
    near_end(&n);
    near_retire(&n);
    cpus_unbind();
}
END_TEST

START_TEST(who_has_left_its_client_is_not_interrupted)
{
    struct itimerspec t;
    struct near n = {0};

    if (!begin(&n)) {
        ck_skipped(NOT_HERE);
        return;
    }
    ck_assert_int_eq(timer_gettime(n.alarm, &t), 0);
    ck_assert(t.it_interval.tv_nsec > 0);
    near_end(&n);
    ck_assert_int_eq(timer_gettime(n.alarm, &t), 0);
    ck_assert(t.it_value.tv_sec == 0 && t.it_value.tv_nsec == 0);
    near_retire(&n);
}
END_TEST

TEST_MAIN("near",
          TEST_CASE(a_read_that_nothing_comes_to_ends_when_the_thread_was_idle_for_long),
          TEST_CASE(a_request_makes_it_busy_again),
          TEST_CASE(who_waits_for_three_requests_in_a_row_looks_where_the_client_is),
          TEST_CASE(who_has_left_its_client_is_not_interrupted))
