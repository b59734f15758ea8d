/*
 * test_db_gaps.c - iterators over runs of deleted keys: that they jump over gaps
 * which others found (lsm/gaps.h), and never over a key. What is put into a gap is
 * found, in every way there is to put; older snapshots and earlier iterators see what
 * they should. (Threads: test_gaps_threads.c.)
 */
#include "tests/env_mem.h"
#include "tests/test.h"

#include <stdlib.h>

enum { KEYS = 1000, FROM = 200, TO = 800, LARGE = 5000 };

static struct env *env;
static struct lsm *db;

static struct slice key_of(int i, char to[16])
{
    snprintf(to, 16, "k%06d", i);
    return slice_str(to);
}

static void put(int i)
{
    char k[16];

    ck_ok(lsm_put(db, key_of(i, k), slice_str("v")));
}

static void delete (int i)
{
    char k[16];

    ck_ok(lsm_delete(db, key_of(i, k)));
}

static void delete_run(int from, int to)
{
    for (; from < to; from++)
        delete (from);
}

static void delete_range(int from, int to)
{
    struct lsm_batch *b = lsm_batch_new();
    char k[16], k2[16];

    lsm_batch_delete_range(b, key_of(from, k), key_of(to, k2));
    ck_ok(lsm_write(db, b, LSM_NOSYNC));
    lsm_batch_free(b);
}

static void open_store(void)
{
    struct lsm_options o;
    int i;

    env = env_mem_new(test_seed());
    lsm_options_init(&o);
    o.env = env;
    o.create = true;
    o.workers = 0;
    o.sync_interval_ms = 0;
    ck_ok(lsm_open("/s", &o, &db));
    for (i = 0; i < KEYS; i++)
        put(i);
}

static void close_store(void)
{
    ck_ok(lsm_verify(db));
    ck_ok(lsm_close(db));
    env_mem_free(env);
}

static uint64_t jumps(void)
{
    struct lsm_stats s;

    lsm_get_stats(db, &s);
    return s.gap_jumps;
}

/* The key an iterator stands on; -1: none. */
static int at(struct lsm_iter *it)
{
    char k[16] = "";

    ck_ok(lsm_iter_error(it));
    if (!lsm_iter_valid(it))
        return -1;
    ck_assert_uint_eq(lsm_iter_key(it).len, 7);
    memcpy(k, lsm_iter_key(it).data, 7);
    return atoi(k + 1);
}

static struct lsm_iter *new_iter(const struct lsm_snapshot *snap)
{
    struct lsm_iter_options o = {.snap = snap};
    struct lsm_iter *it;

    ck_ok(lsm_iter_new(db, &o, &it));
    return it;
}

static int seek(int i)
{
    struct lsm_iter *it = new_iter(NULL);
    char k[16];
    int found;

    lsm_iter_seek(it, key_of(i, k));
    found = at(it);
    lsm_iter_free(it);
    return found;
}

static int seek_prev(int i)
{
    struct lsm_iter *it = new_iter(NULL);
    char k[16];
    int found;

    lsm_iter_seek_prev(it, key_of(i, k));
    found = at(it);
    lsm_iter_free(it);
    return found;
}

/* ---- jumping ---- */

START_TEST(the_second_seek_over_deleted_keys_jumps)
{
    open_store();
    delete_run(FROM, TO);
    ck_assert_int_eq(seek(FROM), TO);
    ck_assert_uint_eq(jumps(), 0);
    ck_assert_int_eq(seek(FROM), TO);
    ck_assert_uint_eq(jumps(), 1);
    ck_assert_int_eq(seek(FROM + 300), TO);
    ck_assert_int_eq(seek_prev(TO - 1), FROM - 1);
    ck_assert_int_eq(seek_prev(FROM + 300), FROM - 1);
    ck_assert_uint_eq(jumps(), 4);
    close_store();
}
END_TEST

START_TEST(what_a_backward_walk_found_serves_a_forward_one)
{
    struct lsm_iter *it;

    open_store();
    delete_run(FROM, TO);
    ck_assert_int_eq(seek_prev(TO - 1), FROM - 1);
    ck_assert_uint_eq(jumps(), 0);
    it = new_iter(NULL);
    for (lsm_iter_first(it); at(it) >= 0 && at(it) < FROM - 1; lsm_iter_next(it))
        ;
    lsm_iter_next(it);
    ck_assert_int_eq(at(it), TO);
    lsm_iter_prev(it);
    ck_assert_int_eq(at(it), FROM - 1);
    lsm_iter_next(it);
    ck_assert_int_eq(at(it), TO);
    lsm_iter_next(it);
    ck_assert_int_eq(at(it), TO + 1);
    lsm_iter_prev(it);
    ck_assert_int_eq(at(it), TO);
    ck_assert_uint_ge(jumps(), 3);
    lsm_iter_free(it);
    close_store();
}
END_TEST

START_TEST(the_ends_of_the_store_are_gaps_too)
{
    struct lsm_iter *it;
    int i;

    open_store();
    delete_run(0, FROM);
    delete_run(TO, KEYS);
    for (i = 0; i < 2; i++) {
        it = new_iter(NULL);
        lsm_iter_first(it);
        ck_assert_int_eq(at(it), FROM);
        lsm_iter_last(it);
        ck_assert_int_eq(at(it), TO - 1);
        lsm_iter_next(it);
        ck_assert_int_eq(at(it), -1);
        lsm_iter_first(it);
        lsm_iter_prev(it);
        ck_assert_int_eq(at(it), -1);
        ck_assert_int_eq(seek(TO), -1);
        ck_assert_int_eq(seek_prev(FROM - 1), -1);
        lsm_iter_free(it);
    }
    ck_assert_uint_ge(jumps(), 6);
    put(KEYS + 5);
    ck_assert_int_eq(seek(TO), KEYS + 5);
    ck_assert_int_eq(seek(KEYS + 6), -1);
    put(3);
    ck_assert_int_eq(seek(0), 3);
    close_store();
}
END_TEST

START_TEST(a_queue_jumps_over_what_was_taken)
{
    struct lsm_iter *it;
    int head = 0, tail = KEYS;

    open_store();
    while (head < 5000) {
        if (tail < 4000)
            put(tail++);
        it = new_iter(NULL);
        lsm_iter_first(it);
        ck_assert_int_eq(at(it), head < tail ? head : -1);
        lsm_iter_free(it);
        if (head < tail)
            delete (head);
        head++;
    }
    ck_assert_uint_ge(jumps(), 4800);
    close_store();
}
END_TEST

START_TEST(gaps_hold_across_flush_compaction_and_are_gone_after_reopening)
{
    struct lsm_options o;
    uint64_t before;

    open_store();
    ck_ok(lsm_flush(db));
    delete_run(FROM, TO);
    ck_assert_int_eq(seek(FROM), TO);
    ck_ok(lsm_flush(db));
    ck_assert_int_eq(seek(FROM), TO);
    ck_assert_uint_ge(jumps(), 1);
    put(500);
    ck_assert_int_eq(seek(FROM), 500);
    ck_assert_int_eq(seek(501), TO);
    ck_ok(lsm_compact(db, true));
    before = jumps();
    ck_assert_int_eq(seek(FROM), 500);
    ck_assert_int_eq(seek_prev(TO - 1), 500);
    ck_assert_uint_eq(jumps(), before); /* nothing is left to jump over */
    ck_ok(lsm_close(db));
    lsm_options_init(&o);
    o.env = env;
    ck_ok(lsm_open("/s", &o, &db));
    ck_assert_int_eq(seek(FROM), 500);
    ck_assert_int_eq(seek(501), TO);
    close_store();
}
END_TEST

/* ---- what comes back ---- */

static void write_batch_of(int i)
{
    struct lsm_batch *b = lsm_batch_new();
    char k[16];

    lsm_batch_delete(b, key_of(i - 1, k));
    lsm_batch_put(b, key_of(i, k), slice_str("again"));
    ck_ok(lsm_write(db, b, LSM_SYNC));
    lsm_batch_free(b);
}

static void share_to(int i)
{
    struct lsm_batch *b = lsm_batch_new();
    char k[16], k2[16];

    lsm_batch_share(b, key_of(i, k), key_of(0, k2), 0, 1);
    ck_ok(lsm_write(db, b, LSM_NOSYNC));
    lsm_batch_free(b);
}

static void put_large(int i)
{
    uint8_t value[LARGE] = {1};
    char k[16];

    ck_ok(lsm_put(db, key_of(i, k), slice_of(value, sizeof(value))));
}

static void commit_put(int i)
{
    struct lsm_txn *t;
    char k[16];

    ck_ok(lsm_txn_begin(db, &t));
    ck_ok(lsm_txn_put(t, key_of(i, k), slice_str("t")));
    ck_assert_int_ne(seek(i), i);
    ck_ok(lsm_txn_commit(t, LSM_NOSYNC));
    lsm_txn_free(t);
}

START_TEST(what_is_put_into_a_gap_in_any_way_is_found)
{
    void (*const ways[])(int) = {put, write_batch_of, share_to, put_large, commit_put};
    const int n = (int)(sizeof(ways) / sizeof(ways[0]));
    uint64_t rng = test_seed() | 1;
    int i;

    open_store();
    delete_run(FROM, TO);
    for (i = 0; i < 20 * n; i++) {
        int place = FROM + 1 + (int)test_below(&rng, TO - FROM - 1);

        ck_assert_int_eq(seek(FROM), TO);
        ck_assert_int_eq(seek_prev(TO - 1), FROM - 1);
        ways[i % n](place);
        ck_assert_int_eq(seek(FROM), place);
        ck_assert_int_eq(seek(place), place);
        ck_assert_int_eq(seek(place + 1), TO);
        ck_assert_int_eq(seek_prev(TO - 1), place);
        ck_assert_int_eq(seek_prev(place - 1), FROM - 1);
        delete (place);
    }
    ck_assert_uint_ge(jumps(), 20 * (uint64_t)n);
    close_store();
}
END_TEST

START_TEST(older_readers_see_what_was_deleted_since)
{
    struct lsm_snapshot *full, *half;
    struct lsm_iter *early, *it;
    int i;

    open_store();
    full = lsm_snapshot_new(db);
    early = new_iter(NULL);
    delete_run(FROM, 500);
    half = lsm_snapshot_new(db);
    delete_run(500, TO);
    ck_assert_int_eq(seek(FROM), TO);
    ck_assert_int_eq(seek(FROM), TO);
    ck_assert_uint_eq(jumps(), 1);
    it = new_iter(full);
    for (lsm_iter_first(it), i = 0; lsm_iter_valid(it); lsm_iter_next(it), i++)
        ck_assert_int_eq(at(it), i);
    ck_assert_int_eq(i, KEYS);
    for (lsm_iter_last(early); lsm_iter_valid(early); lsm_iter_prev(early))
        ck_assert_int_eq(at(early), --i);
    ck_assert_int_eq(i, 0);
    lsm_iter_free(early);
    lsm_iter_free(it);
    for (i = 0; i < 3; i++) {
        char k[16];

        it = new_iter(half);
        lsm_iter_seek(it, key_of(FROM, k));
        ck_assert_int_eq(at(it), 500);
        lsm_iter_free(it);
    }
    ck_assert_uint_eq(jumps(), 1);
    ck_assert_int_eq(seek(FROM), TO);
    lsm_snapshot_free(db, full);
    lsm_snapshot_free(db, half);
    close_store();
}
END_TEST

START_TEST(what_a_snapshot_found_does_not_hide_what_came_after_it)
{
    struct lsm_snapshot *s;
    struct lsm_iter *it;
    char k[16];
    int i;

    open_store();
    delete_run(FROM, TO);
    s = lsm_snapshot_new(db);
    put(400);
    for (i = 0; i < 3; i++) {
        it = new_iter(s);
        lsm_iter_seek(it, key_of(FROM, k));
        ck_assert_int_eq(at(it), TO);
        lsm_iter_free(it);
        ck_assert_int_eq(seek(FROM), 400);
        ck_assert_int_eq(seek_prev(TO - 1), 400);
    }
    put(300);
    ck_assert_int_eq(seek(FROM), 300);
    lsm_snapshot_free(db, s);
    close_store();
}
END_TEST

START_TEST(a_transaction_sees_its_own_writes_in_a_gap)
{
    struct lsm_iter *it;
    struct lsm_txn *t;
    char k[16];

    open_store();
    delete_run(FROM, TO);
    seek(FROM);
    ck_assert_int_eq(seek(FROM), TO);
    ck_ok(lsm_txn_begin(db, &t));
    ck_ok(lsm_txn_put(t, key_of(600, k), slice_str("mine")));
    ck_ok(lsm_txn_iter_new(t, NULL, &it));
    lsm_iter_seek(it, key_of(FROM, k));
    ck_assert_int_eq(at(it), 600);
    lsm_iter_next(it);
    ck_assert_int_eq(at(it), TO);
    lsm_iter_prev(it);
    ck_assert_int_eq(at(it), 600);
    lsm_iter_prev(it);
    ck_assert_int_eq(at(it), FROM - 1);
    lsm_iter_free(it);
    ck_assert_int_eq(seek(FROM), TO);
    /* Nor does it tell others that what it deletes is gone. */
    ck_ok(lsm_txn_delete_range(t, key_of(0, k), slice_str("z")));
    ck_ok(lsm_txn_iter_new(t, NULL, &it));
    lsm_iter_first(it);
    ck_assert_int_eq(at(it), -1);
    lsm_iter_free(it);
    ck_assert_int_eq(seek(0), 0);
    lsm_txn_free(t);
    ck_assert_int_eq(seek(0), 0);
    close_store();
}
END_TEST

START_TEST(bounds_within_and_across_a_gap_hold)
{
    static const int bound[][2] = {{100, 900}, {300, 700},     {100, 500},    {500, 900},
                                   {FROM, TO}, {FROM, TO + 1}, {FROM - 1, TO}};
    size_t i, round;

    open_store();
    delete_run(FROM, TO);
    for (round = 0; round < 3; round++)
        for (i = 0; i < sizeof(bound) / sizeof(bound[0]); i++) {
            char kl[16], kh[16];
            struct slice lo = key_of(bound[i][0], kl), hi = key_of(bound[i][1], kh);
            struct lsm_iter_options o = {.lower = &lo, .upper = &hi};
            int first = bound[i][0], last = bound[i][1] - 1, n = 0;
            struct lsm_iter *it;

            first = first >= FROM && first < TO ? TO : first;
            last = last >= FROM && last < TO ? FROM - 1 : last;
            if (first > last)
                first = last = -1;
            ck_ok(lsm_iter_new(db, &o, &it));
            lsm_iter_first(it);
            ck_assert_int_eq(at(it), first);
            for (; lsm_iter_valid(it); lsm_iter_next(it))
                n++;
            ck_assert_int_eq(at(it), -1);
            lsm_iter_last(it);
            ck_assert_int_eq(at(it), last);
            for (; lsm_iter_valid(it); lsm_iter_prev(it))
                n--;
            ck_assert_int_eq(n, 0);
            lsm_iter_free(it);
        }
    ck_assert_uint_ge(jumps(), 10);
    ck_assert_int_eq(seek(FROM), TO);
    ck_assert_int_eq(seek(0), 0);
    ck_assert_int_eq(seek(TO), TO);
    close_store();
}
END_TEST

/* ---- range deletes ---- */

static void check_hole(int from, int to)
{
    int i;

    for (i = 0; i < 3; i++) {
        ck_assert_int_eq(seek(from), to);
        ck_assert_int_eq(seek((from + to) / 2), to);
        ck_assert_int_eq(seek_prev(to - 1), from - 1);
        ck_assert_int_eq(seek_prev((from + to) / 2), from - 1);
    }
}

/* Where the range delete is: beside the keys, above them, in the level below. */
START_TEST(range_deletes_are_passed_both_ways_wherever_they_are)
{
    int where;

    for (where = 0; where < 4; where++) {
        struct lsm_snapshot *s = NULL;

        open_store();
        if (where > 0)
            ck_ok(lsm_compact(db, true));
        s = lsm_snapshot_new(db); /* keeps what is covered */
        delete_range(FROM, 500);
        delete_range(500, TO);
        if (where > 1)
            ck_ok(lsm_flush(db));
        if (where > 2)
            ck_ok(lsm_compact(db, true));
        check_hole(FROM, TO);
        put(500);
        check_hole(FROM, 500);
        check_hole(501, TO);
        delete (500);
        check_hole(FROM, TO);
        lsm_snapshot_free(db, s);
        close_store();
    }
}
END_TEST

START_TEST(many_small_range_deletes_are_passed_both_ways)
{
    struct lsm_iter *it;
    int i, round;

    open_store();
    ck_ok(lsm_flush(db));
    for (i = 0; i < KEYS; i += 10)
        delete_range(i, i + 9);
    for (round = 0; round < 3; round++) {
        it = new_iter(NULL);
        for (lsm_iter_first(it), i = 9; i < KEYS; i += 10, lsm_iter_next(it))
            ck_assert_int_eq(at(it), i);
        ck_assert_int_eq(at(it), -1);
        for (lsm_iter_last(it), i = KEYS - 1; i >= 0; i -= 10, lsm_iter_prev(it))
            ck_assert_int_eq(at(it), i);
        ck_assert_int_eq(at(it), -1);
        lsm_iter_free(it);
        ck_ok(lsm_flush(db));
    }
    close_store();
}
END_TEST

/* They were a fragment for each pair of them once. */
START_TEST(a_batch_of_many_thousand_overlapping_range_deletes_is_no_burden)
{
    enum { N = 20000 };
    struct lsm_batch *b = lsm_batch_new();
    struct lsm_snapshot *s;
    char k[16], k2[16];
    int i;

    open_store();
    s = lsm_snapshot_new(db);
    for (i = 0; i < N; i++)
        lsm_batch_delete_range(b, key_of(FROM + i, k), key_of(3 * N - i, k2));
    ck_ok(lsm_write(db, b, LSM_NOSYNC));
    ck_ok(lsm_flush(db));
    ck_assert_int_eq(seek(FROM), -1);
    ck_assert_int_eq(seek_prev(2 * N), FROM - 1);
    ck_ok(lsm_compact(db, true));
    ck_assert_int_eq(seek(FROM), -1);
    ck_assert_int_eq(seek_prev(2 * N), FROM - 1);
    lsm_snapshot_free(db, s);
    lsm_batch_free(b);
    close_store();
}
END_TEST

TEST_MAIN("db gaps", TEST_CASE(the_second_seek_over_deleted_keys_jumps),
          TEST_CASE(what_a_backward_walk_found_serves_a_forward_one),
          TEST_CASE(the_ends_of_the_store_are_gaps_too),
          TEST_CASE(a_queue_jumps_over_what_was_taken),
          TEST_CASE(gaps_hold_across_flush_compaction_and_are_gone_after_reopening),
          TEST_CASE(what_is_put_into_a_gap_in_any_way_is_found),
          TEST_CASE(older_readers_see_what_was_deleted_since),
          TEST_CASE(what_a_snapshot_found_does_not_hide_what_came_after_it),
          TEST_CASE(a_transaction_sees_its_own_writes_in_a_gap),
          TEST_CASE(bounds_within_and_across_a_gap_hold),
          TEST_CASE(range_deletes_are_passed_both_ways_wherever_they_are),
          TEST_CASE(many_small_range_deletes_are_passed_both_ways),
          TEST_CASE(a_batch_of_many_thousand_overlapping_range_deletes_is_no_burden))
