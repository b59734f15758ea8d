/*
 * test_vlog_gc.c - lsm/vlog_gc.h: how much garbage is allowed, what a writer pays, and
 * which segments are emptied. What becomes of it: test_vlog_space.c.
 */
#include "tests/test.h"

#include <stdlib.h>

#include "lsm/vlog_gc.h"

enum { MB = 1 << 20 };

static const struct vlog_gc_options options = {
    .ratio = 0.5,
    .memtables = 3ull * 64 * MB,
    .memtable = 64 * MB,
    .segment_bytes = 64 * MB,
    .room = UINT64_MAX,
};

START_TEST(segments_are_a_small_part_of_what_is_live)
{
    uint64_t live;

    ck_assert_uint_eq(vlog_gc_segment_bytes(&options, 0), 4 * MB);
    ck_assert_uint_eq(vlog_gc_segment_bytes(&options, 1024ull * MB), 16 * MB);
    ck_assert_uint_eq(vlog_gc_segment_bytes(&options, 1ull << 40), 64 * MB);
    for (live = 256ull * MB; live < 1ull << 42; live *= 2)
        ck_assert_uint_le(vlog_gc_segment_bytes(&options, live), live / 64);
}
END_TEST

START_TEST(the_limit_is_the_ratio_the_memtables_and_one_round)
{
    uint64_t live = 6400ull * MB, segment = 64 * MB;

    ck_assert_uint_eq(vlog_gc_limit(&options, live),
                      live + live / 2 + 3 * 64ull * MB /* memtables */
                          + 64ull * MB                 /* L0 */
                          + live / 20 + segment        /* what a round moves */
                          + 2 * segment);              /* the active ones */
    ck_assert_uint_eq(vlog_gc_limit(&options, 0),
                      3 * 64ull * MB + 64ull * MB + 3 * 4ull * MB);
}
END_TEST

START_TEST(what_is_hidden_beyond_the_memtables_is_not_allowed_as_garbage)
{
    uint64_t live = 6400ull * MB, segment = 64 * MB, memtables = options.memtables;

    ck_assert_uint_eq(vlog_gc_allowed(&options, live, 0), live / 2 - segment);
    ck_assert_uint_eq(vlog_gc_allowed(&options, live, memtables), live / 2 - segment);
    ck_assert_uint_eq(vlog_gc_allowed(&options, live, memtables + 100ull * MB),
                      live / 2 - segment - 100ull * MB);
    ck_assert_uint_eq(vlog_gc_allowed(&options, live, live), live / 8);
    /* Where segments are not small: */
    ck_assert_uint_eq(vlog_gc_allowed(&options, 16 * MB, 0), 8 * MB - MB);
}
END_TEST

/* No cliff: from nothing, by small steps, to the dearest. */
START_TEST(the_price_rises_smoothly_to_the_limit)
{
    uint64_t live = 1024ull * MB, limit = vlog_gc_writer_limit(&options, live);
    uint64_t last = 0, bytes;

    ck_assert_uint_eq(vlog_gc_price(&options, live, live + live / 2), 0);
    ck_assert_uint_eq(vlog_gc_price(&options, live, limit), 1000000);
    ck_assert_uint_eq(vlog_gc_price(&options, live, 100 * limit), 1000000);
    for (bytes = live; bytes < limit; bytes += MB) {
        uint64_t price = vlog_gc_price(&options, live, bytes);

        ck_assert_uint_ge(price, last);
        if (price < 300000) /* up to 3 MB/s */
            ck_assert_uint_le(price, last * 3 / 2 + 1000);
        last = price;
    }
}
END_TEST

START_TEST(without_a_ratio_nothing_is_paid_or_emptied)
{
    struct vlog_gc_options o = options;
    struct segment_use use = {1, 64 * MB, MB};
    struct segment_set set;

    o.ratio = 0;
    ck_assert_uint_eq(vlog_gc_price(&o, MB, 1ull << 40), 0);
    ck_ok(vlog_gc_victims(&o, &use, 1, MB, 0, &set));
    ck_assert_uint_eq(set.n, 0);
    segment_set_release(&set);
}
END_TEST

/* Segments of 10 MB, n of them: i's live part is i/n. */
static void check_victims(uint64_t allowed)
{
    enum { N = 100, SIZE = 10 * MB };
    struct segment_use use[N];
    uint64_t live = 0, garbage = 0, moved = 0, i;
    struct segment_set set;

    for (i = 0; i < N; i++) {
        use[i] = (struct segment_use){i + 1, SIZE, SIZE / N * (N - 1 - i)};
        live += use[i].live;
        garbage += use[i].live ? SIZE - use[i].live : 0;
    }
    ck_ok(vlog_gc_victims(&options, use, N, live, allowed, &set));
    ck_assert_uint_eq(set.n == 0, garbage <= allowed);
    for (i = 0; i < set.n; i++) {
        /* The emptiest: the last ones, but for the very last, which goes by itself. */
        ck_assert_uint_eq(set.number[i], N - set.n + i);
        moved += use[set.number[i] - 1].live;
    }
    ck_assert_uint_le(moved,
                      live / 20 + 2 * vlog_gc_segment_bytes(&options, live) + SIZE);
    segment_set_release(&set);
}

START_TEST(the_emptiest_are_emptied_in_rounds)
{
    check_victims(0);
    check_victims(100 * MB);
    check_victims(490 * MB);
    check_victims(500ull * MB);
    check_victims(1000ull * MB);
}
END_TEST

START_TEST(what_is_shared_beyond_its_size_and_what_is_full_is_no_victim)
{
    struct segment_use use[] = {
        {1, 10 * MB, 30 * MB}, {2, 10 * MB, 10 * MB - 1}, {3, 10 * MB, 0}};
    struct segment_set set;

    ck_ok(vlog_gc_victims(&options, use, 3, 20 * MB, 0, &set));
    ck_assert_uint_eq(set.n, 0);
    segment_set_release(&set);
}
END_TEST

START_TEST(what_there_is_no_room_for_is_not_moved)
{
    struct vlog_gc_options o = options;
    struct segment_use use[] = {
        {1, 20 * MB, 6 * MB}, {2, 10 * MB, 4 * MB}, {3, 9 * MB, 4 * MB}};
    struct segment_set set;

    o.room = 5 * MB;
    ck_ok(vlog_gc_victims(&o, use, 3, 1000ull * MB, 0, &set));
    ck_assert_uint_eq(set.n, 1);
    ck_assert_uint_eq(set.number[0], 2);
    segment_set_release(&set);
    o.room = 4 * MB - 1;
    ck_ok(vlog_gc_victims(&o, use, 3, 1000ull * MB, 0, &set));
    ck_assert_uint_eq(set.n, 0);
    segment_set_release(&set);
}
END_TEST

TEST_MAIN("vlog gc", TEST_CASE(segments_are_a_small_part_of_what_is_live),
          TEST_CASE(the_limit_is_the_ratio_the_memtables_and_one_round),
          TEST_CASE(what_is_hidden_beyond_the_memtables_is_not_allowed_as_garbage),
          TEST_CASE(the_price_rises_smoothly_to_the_limit),
          TEST_CASE(without_a_ratio_nothing_is_paid_or_emptied),
          TEST_CASE(the_emptiest_are_emptied_in_rounds),
          TEST_CASE(what_is_shared_beyond_its_size_and_what_is_full_is_no_victim),
          TEST_CASE(what_there_is_no_room_for_is_not_moved))
