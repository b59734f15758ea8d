/*
 * test_haste.c - lsm/haste.h, and what compress.h makes of it.
 */
#include "test.h"

#include <stdlib.h>

#include "lsm/compress.h"
#include "lsm/haste.h"

enum { PIECE = HASTE_MAX, HALF = 50 };

/* Pieces that become `close` or `quick` bytes; how many of n are tried. */
static unsigned tried(struct haste *h, unsigned n, size_t close, size_t quick)
{
    unsigned count = 0;

    while (n--) {
        if (!haste_try(h, PIECE, h->quick ? quick : close))
            continue;
        haste_learn(h, PIECE, close, quick);
        count++;
    }
    return count;
}

START_TEST(the_first_piece_decides_and_few_are_tried_after_it)
{
    struct haste h = {.quick = false};

    ck_assert_uint_eq(tried(&h, 1, 8000, 8100), 1);
    ck_assert(h.quick);
    ck_assert_uint_eq(tried(&h, 3200, 8000, 8100), 100);
    ck_assert(h.quick);
    h = (struct haste){.quick = false};
    ck_assert_uint_eq(tried(&h, 1, 8000, 8300), 1);
    ck_assert(!h.quick);
    ck_assert_uint_eq(tried(&h, 6400, 8000, 8300), 100);
    ck_assert(!h.quick);
}
END_TEST

START_TEST(other_data_are_noticed_by_how_much_they_shrink)
{
    struct haste h = {.quick = false};

    tried(&h, 10, 8000, 8000);
    ck_assert(h.quick);
    ck_assert_uint_eq(tried(&h, 1, 4000, 5000), 1);
    ck_assert(!h.quick);
    /* Each another than the one before, and always quick enough: one in four. */
    h = (struct haste){.quick = false};
    tried(&h, 1, 8000, 8000);
    for (size_t i = 0, n = 0; i < 400; i++) {
        n += tried(&h, 1, 1000 + i % 7 * 2000, 1000 + i % 7 * 2000);
        ck_assert_uint_le(n, 1 + i / 4);
    }
}
END_TEST

START_TEST(what_does_not_shrink_either_way_is_quick)
{
    struct haste h = {.quick = false};

    ck_assert_uint_eq(tried(&h, 1, 0, 0), 1);
    ck_assert(h.quick);
    h = (struct haste){.quick = false};
    ck_assert_uint_eq(tried(&h, 1, 8000, 0), 1);
    ck_assert(!h.quick);
}
END_TEST

/* Long repeats, among bytes without any. */
static void fill_halves(uint8_t *p, uint64_t *state)
{
    for (size_t i = 0; i < PIECE; i++)
        p[i] = i % (2 * HALF) < HALF ? (uint8_t)test_random(state) : p[i - HALF];
}

/* Short ones, from all over. */
static void fill_words(uint8_t *p, uint64_t *state)
{
    for (size_t i = 0; i < PIECE; i++)
        p[i] = i % 5 == 0 ? (uint8_t)test_below(state, 200)
                          : (uint8_t)(p[i - i % 5] * (i % 5 + 3));
}

START_TEST(whatever_follows_what_comes_back_and_little_is_lost)
{
    uint64_t r = test_seed();
    struct buf alone = {0}, out = {0};
    uint8_t p[PIECE], back[PIECE];
    size_t close = 0;

    fill_words(p, &r);
    ck_assert_int_eq(compress(COMPRESS_LZ4, slice_of(p, PIECE), &alone), COMPRESS_LZ4);
    for (int i = 0; i < 300; i++) {
        bool words = i / 10 % 2;
        enum compression did;

        if (words)
            fill_words(p, &r);
        else
            fill_halves(p, &r);
        did = compress(COMPRESS_LZ4, slice_of(p, PIECE), &out);
        ck_assert_int_eq(did, COMPRESS_LZ4);
        ck_ok(decompress(did, buf_slice(&out), back, PIECE));
        ck_assert_mem_eq(back, p, PIECE);
        close += words ? out.len : 0;
    }
    ck_assert_uint_le(close, 150 * (alone.len + alone.len / 12));
    buf_release(&alone);
    buf_release(&out);
}
END_TEST

TEST_MAIN("haste", TEST_CASE(the_first_piece_decides_and_few_are_tried_after_it),
          TEST_CASE(other_data_are_noticed_by_how_much_they_shrink),
          TEST_CASE(what_does_not_shrink_either_way_is_quick),
          TEST_CASE(whatever_follows_what_comes_back_and_little_is_lost))
