/*
 * test_cache.c - lsm/cache.h.
 */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lsm/cache.h"

static struct cache_entry *put(struct cache *c, uint64_t file, uint64_t offset,
                               uint64_t value, size_t size)
{
    struct cache_entry *e = cache_reserve(c, file, offset, size);

    ck_assert_ptr_nonnull(e);
    *(uint64_t *)cache_value(e) = value;
    return cache_insert(c, e);
}

static uint64_t value(const struct cache_entry *e)
{
    return *(uint64_t *)cache_value(e);
}

static bool has(struct cache *c, uint64_t file, uint64_t offset)
{
    struct cache_entry *e = cache_get(c, file, offset);

    if (e)
        cache_unpin(c, e);
    return e != NULL;
}

static struct cache_stats stats(struct cache *c)
{
    struct cache_stats s;

    cache_get_stats(c, &s);
    return s;
}

START_TEST(what_is_put_is_found)
{
    struct cache *c = cache_new(1 << 20);
    struct cache_entry *e;
    uint64_t i;

    for (i = 0; i < 100; i++)
        cache_unpin(c, put(c, i % 7, i * 4096, i, 100));
    for (i = 0; i < 100; i++) {
        e = cache_get(c, i % 7, i * 4096);
        ck_assert_ptr_nonnull(e);
        ck_assert_uint_eq(value(e), i);
        cache_unpin(c, e);
    }
    ck_assert(!has(c, 3, 4));
    ck_assert_uint_eq(stats(c).hits, 100);
    ck_assert_uint_eq(stats(c).misses, 1);
    ck_assert_uint_ge(stats(c).bytes, 100 * 100);
    ck_assert_uint_eq(stats(c).pinned, 0);
    cache_free(c);
    cache_free(NULL);
}
END_TEST

static bool has_at(struct cache *c, struct cache_place *place, uint64_t i)
{
    struct cache_entry *e = cache_get_at(c, place, 1, i);

    if (!e)
        return false;
    ck_assert_uint_eq(value(e), i);
    cache_unpin(c, e);
    return true;
}

/* Evicted blocks' entries and memory are other blocks' by then. */
START_TEST(a_remembered_place_finds_its_block_or_none)
{
    enum { N = 3000, SIZE = 4096 };
    struct cache *c = cache_new(2 << 20);
    static struct cache_place place[N];
    unsigned found = 0;
    struct cache_entry *e;
    uint64_t i;

    memset(place, 0, sizeof(place));
    for (i = 0; i < N; i++) {
        ck_assert(!has_at(c, &place[i], i));
        e = put(c, 1, i, i, SIZE);
        cache_remember(&place[i], e);
        cache_unpin(c, e);
        ck_assert(has_at(c, &place[i], i));
    }
    for (i = 0; i < N; i++) {
        bool there = has(c, 1, i);

        ck_assert(has_at(c, &place[i], i) == there);
        found += there;
    }
    ck_assert_uint_gt(found, 0);
    ck_assert_uint_lt(found, N);
    cache_free(c);
}
END_TEST

START_TEST(capacity_holds)
{
    enum { CAPACITY = 4 << 20, CHARGE = 4096, N = 10000 };
    struct cache *c = cache_new(CAPACITY);
    unsigned found = 0;
    uint64_t i;

    for (i = 0; i < N; i++) {
        cache_unpin(c, put(c, 1, i, i, CHARGE));
        ck_assert_uint_le(stats(c).bytes, CAPACITY);
    }
    for (i = 0; i < N; i++)
        found += has(c, 1, i);
    /* Shards are not filled quite evenly. */
    ck_assert_uint_ge(found * (size_t)CHARGE, CAPACITY / 10 * 8);
    cache_free(c);
}
END_TEST

START_TEST(capacity_holds_for_blocks_of_all_sizes)
{
    enum { CAPACITY = 8 << 20, N = 20000 };
    struct cache *c = cache_new(CAPACITY);
    uint64_t r = test_seed(), sum = 0, i;

    for (i = 0; i < N; i++) {
        size_t size = 8 + test_below(&r, test_below(&r, 100) ? 6000 : 120000);
        struct cache_entry *e = put(c, 1, i, i, size);

        memset((uint8_t *)cache_value(e) + 8, (int)i, size - 8);
        cache_unpin(c, e);
        ck_assert_uint_le(stats(c).bytes, CAPACITY);
    }
    for (i = 0; i < N; i++) {
        struct cache_entry *e = cache_get(c, 1, i);

        if (!e)
            continue;
        ck_assert_uint_eq(value(e), i);
        sum++;
        cache_unpin(c, e);
    }
    ck_assert_uint_ge(sum, CAPACITY / 3500 /
                               3); /* and it is used, by the usual sizes better */
    cache_free(c);
}
END_TEST

START_TEST(a_smaller_capacity_gives_memory_back_at_once)
{
    enum { CAPACITY = 16 << 20, SIZE = 4400 };
    struct cache *c = cache_new(CAPACITY);
    size_t capacity;
    uint64_t i;

    for (i = 0; i < 2 * CAPACITY / SIZE; i++)
        cache_unpin(c, put(c, 1, i, i, SIZE));
    ck_assert_uint_gt(stats(c).bytes, CAPACITY / 10 * 9);
    for (capacity = CAPACITY; capacity >= 1 << 20; capacity -= 1 << 20) {
        cache_set_capacity(c, capacity);
        ck_assert_uint_le(stats(c).bytes, capacity);
        ck_assert_uint_ge(stats(c).bytes, capacity / 10 * 7);
    }
    cache_set_capacity(c, 0);
    ck_assert_uint_eq(stats(c).bytes, 0);
    cache_set_capacity(c, CAPACITY);
    for (i = 0; i < 2 * CAPACITY / SIZE; i++)
        cache_unpin(c, put(c, 1, i, i, SIZE));
    ck_assert_uint_gt(stats(c).bytes, CAPACITY / 10 * 9);
    cache_free(c);
}
END_TEST

static unsigned freed;

static void free_counted(void *p)
{
    freed++;
    free(p);
}

START_TEST(values_made_elsewhere_count_and_are_freed)
{
    enum { CAPACITY = 1 << 20, SIZE = 60000, N = 100 };
    struct cache *c = cache_new(CAPACITY);
    struct cache_entry *a, *b;
    unsigned i, found = 0;

    a = cache_put(c, 1, 1, malloc(SIZE), SIZE, free_counted);
    b = cache_put(c, 1, 1, malloc(SIZE), SIZE, free_counted);
    ck_assert_ptr_eq(a, b);
    ck_assert_uint_eq(freed, 1);
    cache_unpin(c, a);
    cache_unpin(c, b);
    ck_assert_uint_eq(stats(c).bytes, SIZE);
    for (i = 0; i < N; i++) {
        cache_unpin(c, cache_put(c, 2, i, malloc(SIZE), SIZE, free_counted));
        cache_unpin(c, put(c, 3, i, i, 4000));
        ck_assert_uint_le(stats(c).bytes, CAPACITY);
    }
    for (i = 0; i < N; i++)
        found += has(c, 2, i);
    ck_assert_uint_gt(found, 3);
    ck_assert_uint_ge(freed, N + 1 - found);
    cache_unpin(c, cache_put(c, 2, N, malloc(CAPACITY), CAPACITY, free_counted));
    ck_assert(!has(c, 2, N));
    cache_free(c);
    ck_assert_uint_eq(freed, N + 3);
}
END_TEST

START_TEST(what_is_abandoned_is_not_found_and_takes_nothing)
{
    struct cache *c = cache_new(1 << 20);
    struct cache_entry *e = cache_reserve(c, 1, 2, 1000);

    ck_assert(!has(c, 1, 2));
    cache_abandon(c, e);
    ck_assert(!has(c, 1, 2));
    e = cache_reserve(c, 1, 2, 64 << 20);
    cache_abandon(c, e);
    ck_assert_uint_eq(stats(c).bytes, 0);
    cache_free(c);
}
END_TEST

START_TEST(pinned_stays_and_is_given_up_when_unpinned)
{
    enum { CAPACITY = 256 << 10, CHARGE = 4096, N = 256 };
    struct cache *c = cache_new(CAPACITY);
    struct cache_entry *e[N];
    uint64_t i;

    for (i = 0; i < N; i++)
        e[i] = put(c, 1, i, i, CHARGE);
    ck_assert_uint_eq(stats(c).pinned, N * CHARGE);
    for (i = 0; i < N; i++)
        ck_assert_uint_eq(value(e[i]), i);
    for (i = 0; i < N; i++)
        cache_unpin(c, e[i]);
    ck_assert_uint_le(stats(c).bytes, CAPACITY);
    ck_assert_uint_eq(stats(c).pinned, 0);
    cache_free(c);
}
END_TEST

START_TEST(the_first_of_two_puts_wins)
{
    struct cache *c = cache_new(1 << 20);
    struct cache_entry *a = put(c, 1, 2, 10, 100);
    struct cache_entry *b = put(c, 1, 2, 20, 100);

    ck_assert_ptr_eq(a, b);
    ck_assert_uint_eq(value(b), 10);
    cache_unpin(c, a);
    cache_unpin(c, b);
    cache_free(c);
}
END_TEST

START_TEST(too_large_is_handed_out_but_drives_nothing_out)
{
    struct cache *c = cache_new(1 << 20);
    struct cache_entry *e;

    cache_unpin(c, put(c, 1, 1, 1, 1000));
    e = put(c, 1, 2, 2, 64 << 20);
    ck_assert_uint_eq(value(e), 2);
    ck_assert(has(c, 1, 1));
    cache_unpin(c, e);
    ck_assert(!has(c, 1, 2));
    ck_assert(has(c, 1, 1));
    cache_free(c);

    c = cache_new(0);
    e = put(c, 1, 1, 7, 10);
    ck_assert_uint_eq(value(e), 7);
    cache_unpin(c, e);
    ck_assert(!has(c, 1, 1));
    cache_free(c);
}
END_TEST

START_TEST(a_scan_does_not_drive_out_what_is_used)
{
    enum { CAPACITY = 1 << 20, CHARGE = 4096, HOT = 64 };
    struct cache *c = cache_new(CAPACITY);
    unsigned kept = 0;
    uint64_t i;

    for (i = 0; i < HOT; i++)
        cache_unpin(c, put(c, 1, i, i, CHARGE));
    for (i = 0; i < 10000; i++) {
        if (!has(c, 1, i % HOT))
            cache_unpin(c, put(c, 1, i % HOT, i % HOT, CHARGE));
        cache_unpin(c, put(c, 2, i, i, CHARGE));
    }
    for (i = 0; i < HOT; i++)
        kept += has(c, 1, i);
    ck_assert_uint_ge(kept, HOT * 9 / 10);
    cache_free(c);
}
END_TEST

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 60000, KEYS = 3000 };

static struct cache_place places[KEYS]; /* all threads' */

struct worker {
    struct cache *c;
    uint64_t random;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct cache_entry *held[8] = {0};
    uint64_t held_key[8] = {0};
    int i;

    for (i = 0; i < ROUNDS; i++) {
        uint64_t key = test_below(&w->random, test_below(&w->random, KEYS) + 1);
        unsigned slot = (unsigned)test_below(&w->random, 8);

        if (held[slot]) {
            ck_assert_uint_eq(value(held[slot]), held_key[slot]);
            cache_unpin(w->c, held[slot]);
        }
        held[slot] = key % 2 ? cache_get(w->c, key % 5, key)
                             : cache_get_at(w->c, &places[key], key % 5, key);
        held_key[slot] = key;
        if (!held[slot]) {
            /* Some are too large to be kept. */
            held[slot] = put(w->c, key % 5, key, key, key % 50 ? 1024 : 1 << 20);
            cache_remember(&places[key], held[slot]);
        }
        ck_assert_uint_eq(value(held[slot]), key);
    }
    for (i = 0; i < 8; i++)
        if (held[i])
            cache_unpin(w->c, held[i]);
    return NULL;
}

START_TEST(threads_always_see_the_value_of_their_key)
{
    struct cache *c = cache_new(600 << 10);
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    uint64_t r = test_seed();
    int i;

    memset(places, 0, sizeof(places));
    for (i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){c, test_random(&r) | 1};
        ck_ok(pthread_create(&threads[i], NULL, work, &workers[i]));
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(stats(c).pinned, 0);
    ck_assert_uint_le(stats(c).bytes, 600 << 10);
    cache_free(c);
}
END_TEST

TEST_MAIN("cache", TEST_CASE_ALONE(what_is_put_is_found),
          TEST_CASE_ALONE(a_remembered_place_finds_its_block_or_none),
          TEST_CASE_ALONE(capacity_holds),
          TEST_CASE_ALONE(capacity_holds_for_blocks_of_all_sizes),
          TEST_CASE_ALONE(a_smaller_capacity_gives_memory_back_at_once),
          TEST_CASE_ALONE(values_made_elsewhere_count_and_are_freed),
          TEST_CASE_ALONE(what_is_abandoned_is_not_found_and_takes_nothing),
          TEST_CASE_ALONE(pinned_stays_and_is_given_up_when_unpinned),
          TEST_CASE_ALONE(the_first_of_two_puts_wins),
          TEST_CASE_ALONE(too_large_is_handed_out_but_drives_nothing_out),
          TEST_CASE_ALONE(a_scan_does_not_drive_out_what_is_used),
          TEST_CASE(threads_always_see_the_value_of_their_key))
