/*
 * test_publish.c - lsm/publish.h: what is visible is a prefix of what was numbered, and a
 * batch that was published is seen.
 */
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "lsm/publish.h"

enum { THREADS = 6, BATCHES = 4000, MOST = 3 }; /* each: batches, numbers of a batch */

static struct {
    struct publisher p;
    pthread_mutex_t mu;
    uint64_t last;
    uint8_t there[THREADS * BATCHES * MOST + 1]; /* not atomic: publishing orders them */
} all;

/* Everything up to what is visible now is there. */
static void check_prefix(uint64_t from)
{
    uint64_t seen = atomic_load_explicit(&all.p.visible, memory_order_acquire);

    ck_assert_uint_ge(seen, from);
    for (; from < seen; seen--)
        ck_assert(all.there[seen]);
}

static void *write_batches(void *arg)
{
    uint64_t r = *(uint64_t *)arg;

    for (int i = 0; i < BATCHES; i++) {
        uint64_t n = 1 + test_below(&r, MOST), ticket, last, before;

        pthread_mutex_lock(&all.mu);
        before = all.last;
        last = all.last += n;
        ticket = publish_ticket(&all.p);
        pthread_mutex_unlock(&all.mu);
        if (test_below(&r, 20) == 0)
            sched_yield();
        for (uint64_t seq = last - n + 1; seq <= last; seq++)
            all.there[seq] = 1;
        publish(&all.p, ticket, last);
        check_prefix(test_below(&r, 50) ? before : before - before / 4);
    }
    return NULL;
}

START_TEST(what_is_visible_is_a_prefix_whoever_is_done_first)
{
    pthread_t threads[THREADS];
    uint64_t r = test_seed(), seed[THREADS];

    memset(&all, 0, sizeof(all));
    pthread_mutex_init(&all.mu, NULL);
    for (int i = 0; i < THREADS; i++) {
        seed[i] = test_random(&r) | 1;
        ck_ok(pthread_create(&threads[i], NULL, write_batches, &seed[i]));
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    publish_wait(&all.p, all.last);
    ck_assert_uint_eq(atomic_load(&all.p.visible), all.last);
    ck_assert_uint_eq(atomic_load(&all.p.next), THREADS * BATCHES);
    pthread_mutex_destroy(&all.mu);
}
END_TEST

/* One that is late is published by whoever comes last, with all behind it. */
START_TEST(a_batch_that_is_late_holds_back_those_behind_it)
{
    struct publisher *p = &all.p;
    uint64_t first, second;

    memset(&all, 0, sizeof(all));
    first = publish_ticket(p);
    second = publish_ticket(p);
    atomic_store(&p->done[second % PUBLISH_NOTES], 5); /* its thread waits */
    ck_assert_uint_eq(atomic_load(&p->visible), 0);
    publish(p, first, 3);
    ck_assert_uint_eq(atomic_load(&p->visible), 5);
    for (uint64_t i = 0; i < 3 * PUBLISH_NOTES; i++) {
        publish(p, publish_ticket(p), 6 + i);
        ck_assert_uint_eq(atomic_load(&p->visible), 6 + i);
    }
}
END_TEST

TEST_MAIN("publish", TEST_CASE(what_is_visible_is_a_prefix_whoever_is_done_first),
          TEST_CASE_ALONE(a_batch_that_is_late_holds_back_those_behind_it))
