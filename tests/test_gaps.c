/*
 * test_gaps.c - lsm/gaps.h: small facts, and a world of keys, writers that have
 * numbers and are not visible yet, and readers of every age, in which what the set
 * says of a key must be true.
 */
#include "test.h"

#include <stdlib.h>

#include "lsm/gaps.h"

static struct gaps g;
static struct buf answer;

static void add(const char *from, const char *to, uint64_t seq, uint64_t last)
{
    struct gap_range r = {slice_str(from), slice_str(to ? to : ""), !to};

    gaps_add(&g, &r, seq, last, 1000);
}

/* The end of the gap at key for readers of seq; NULL: none, "": it has no end. */
static const char *after(const char *key, uint64_t seq)
{
    bool open;

    if (!gaps_after(&g, slice_str(key), seq, &answer, &open))
        return NULL;
    if (open)
        return "";
    buf_append(&answer, "", 1);
    return (const char *)answer.data;
}

static const char *before(const char *key, uint64_t seq)
{
    if (!gaps_before(&g, slice_str(key), seq, &answer))
        return NULL;
    buf_append(&answer, "", 1);
    return (const char *)answer.data;
}

static void finish(void)
{
    gaps_release(&g);
    buf_release(&answer);
}

START_TEST(an_empty_set_is_touched_by_no_key)
{
    gaps_init(&g);
    ck_assert(!gaps_touch(&g, slice_str("")));
    ck_assert(!gaps_touch(&g, slice_str("\xff\xff\xff\xff\xff\xff\xff\xff\xff")));
    ck_assert_ptr_null(after("a", 9));
    finish();
}
END_TEST

START_TEST(what_the_newest_reader_saw_is_known_at_once)
{
    gaps_init(&g);
    add("b", "m", 7, 7);
    ck_assert_str_eq(after("b", 7), "m");
    ck_assert_str_eq(after("lzz", 8), "m");
    ck_assert_str_eq(before("c", 7), "b");
    ck_assert_ptr_null(after("a", 9));
    ck_assert_ptr_null(after("m", 9));
    ck_assert_ptr_null(after("c", 6));
    finish();
}
END_TEST

START_TEST(what_others_may_have_written_into_is_a_candidate_until_it_is_seen_again)
{
    gaps_init(&g);
    add("b", "m", 7, 9);
    ck_assert_ptr_null(after("c", 20));
    add("b", "m", 8, 10); /* this one does not see what 9 wrote either */
    ck_assert_ptr_null(after("c", 20));
    add("b", "h", 9, 12);
    ck_assert_str_eq(after("c", 9), "h");
    ck_assert_ptr_null(after("i", 20));
    finish();
}
END_TEST

START_TEST(neighbours_become_one_with_the_later_numbers)
{
    gaps_init(&g);
    add("b", "f", 5, 5);
    add("b", "k", 8, 8);
    ck_assert_str_eq(after("b", 8), "k");
    ck_assert_str_eq(before("j", 8), "b");
    ck_assert_ptr_null(after("b", 7));
    ck_assert_uint_eq(g.n, 1);
    add("d", NULL, 9, 9);
    ck_assert_str_eq(after("b", 9), "");
    ck_assert_uint_eq(g.n, 1);
    finish();
}
END_TEST

START_TEST(a_put_cuts_its_key_out_and_leaves_both_sides)
{
    gaps_init(&g);
    add("ba", "bz", 5, 5);
    gaps_cut(&g, slice_str("bm"));
    ck_assert_str_eq(after("bb", 5), "bm");
    ck_assert_ptr_null(after("bm", 5));
    ck_assert_str_eq(after("bn", 5), "bz");
    ck_assert_ptr_null(after("bz", 5));
    gaps_cut(&g, slice_str("ba"));
    ck_assert_ptr_null(after("ba", 5));
    gaps_cut(&g, slice_str("zz"));
    gaps_cut(&g, slice_str(""));
    ck_assert_str_eq(after("bn", 5), "bz");
    finish();
}
END_TEST

START_TEST(a_put_behind_all_there_is_ends_an_open_gap)
{
    gaps_init(&g);
    add("b", NULL, 5, 5);
    gaps_cut(&g, slice_str("x"));
    ck_assert_str_eq(after("c", 5), "x");
    ck_assert_ptr_null(after("x", 5));
    finish();
}
END_TEST

START_TEST(a_gap_that_is_filled_in_order_shrinks)
{
    char key[16];
    int i;

    gaps_init(&g);
    add("k000", "k999", 5, 5);
    for (i = 0; i < 500; i++) {
        snprintf(key, sizeof(key), "k%03d", i);
        gaps_cut(&g, slice_str(key));
    }
    ck_assert_uint_le(g.n, 16); /* what the guess at the weights left behind */
    ck_assert_str_eq(after("k700", 5), "k999");
    for (; i < 999; i++) {
        snprintf(key, sizeof(key), "k%03d", i);
        gaps_cut(&g, slice_str(key));
    }
    ck_assert_uint_le(g.n, 16);
    ck_assert_ptr_null(after("k700", 5));
    finish();
}
END_TEST

START_TEST(the_set_is_bounded_and_forgets_the_gap_that_is_not_used)
{
    char from[8], to[8];
    int i;

    gaps_init(&g);
    for (i = 0; i < 500; i++) {
        snprintf(from, sizeof(from), "%04d", 2 * i);
        snprintf(to, sizeof(to), "%04d", 2 * i + 1);
        add(from, to, 5, 5);
        ck_assert_str_eq(after("0000", 5), "0001");
        ck_assert_uint_le(g.n, GAPS_MAX);
    }
    ck_assert_ptr_null(after("0002", 5));
    ck_assert_str_eq(after("0998", 5), "0999");
    finish();
}
END_TEST

START_TEST(long_keys_are_not_kept)
{
    char *key = calloc(1, GAPS_KEY_MAX + 2);
    struct gap_range r;

    memset(key, 'x', GAPS_KEY_MAX + 1);
    gaps_init(&g);
    add(key, NULL, 5, 5);
    add("a", key, 5, 5);
    ck_assert_uint_eq(g.n, 0);
    add("a", NULL, 5, 5);
    gaps_cut(&g, slice_str(key)); /* cannot be a bound */
    ck_assert_uint_eq(g.n, 0);
    r = (struct gap_range){.open = true};
    gaps_add(&g, &r, 5, 5, 100); /* from the empty key on */
    ck_assert_str_eq(after("", 5), "");
    free(key);
    finish();
}
END_TEST

/* ---- the world ---- */

enum { KEYS = 60, EVENTS = 200, FLIGHT = 3 };

/* Who wrote what, by number; a put is 1, a delete -1. */
struct world {
    int key[EVENTS + 1];
    int8_t what[EVENTS + 1];
    uint64_t last, visible;
    uint64_t rng;
};

static struct slice key_of(int k, char to[8])
{
    snprintf(to, 8, k % 2 ? "k%02d" : "k%02d\1", k);
    return slice_str(to);
}

static bool is_there(const struct world *w, int key, uint64_t seq)
{
    for (; seq > 0; seq--)
        if (w->key[seq] == key)
            return w->what[seq] > 0;
    return false;
}

/* What an iterator that sees up to seq finds between key `from` and the next visible
 * one, if any, offered. */
static void offer_from(struct world *w, int from, uint64_t seq)
{
    struct gap_range r;
    char k[8], k2[8];
    int to = from;

    while (to < KEYS && !is_there(w, to, seq))
        to++;
    if (to == from)
        return;
    r = (struct gap_range){key_of(from, k), slice_of(NULL, 0), to == KEYS};
    if (!r.open)
        r.to = key_of(to, k2);
    gaps_add(&g, &r, seq, w->last, 10 + test_below(&w->rng, 100));
}

static void cut_written(const struct world *w, uint64_t seq)
{
    char k[8];

    if (w->what[seq] > 0)
        gaps_cut(&g, key_of(w->key[seq], k));
}

/* Some writers at once: all have their numbers, some have cut, some not yet, when an
 * iterator that sees none of them offers what it saw; then all become visible. */
static void write_some(struct world *w)
{
    int n = 1 + (int)test_below(&w->rng, FLIGHT), i, early = 0;
    bool puts = test_below(&w->rng, 4) == 0;

    for (i = 1; i <= n; i++) {
        w->key[w->last + 1] = (int)test_below(&w->rng, KEYS);
        w->what[w->last + 1] = puts ? 1 : -1;
        w->last++;
    }
    early = (int)test_below(&w->rng, (uint64_t)n + 1);
    for (i = 0; i < early; i++)
        cut_written(w, w->last - (uint64_t)i);
    while (test_below(&w->rng, 3) == 0)
        offer_from(w, (int)test_below(&w->rng, 4), w->visible);
    if (test_below(&w->rng, 4) == 0)
        offer_from(w, (int)test_below(&w->rng, KEYS),
                   test_below(&w->rng, w->visible + 1));
    for (; i < n; i++)
        cut_written(w, w->last - (uint64_t)i);
    w->visible = w->last;
}

/* Whoever reads at seq and is told of a gap must not miss anything. */
static unsigned check_key(const struct world *w, int key, uint64_t seq)
{
    char k[8], k2[8];
    bool open;
    int i;

    if (gaps_after(&g, key_of(key, k), seq, &answer, &open)) {
        for (i = key; i < KEYS; i++) {
            if (!open && slice_cmp(key_of(i, k2), buf_slice(&answer)) >= 0)
                break;
            ck_assert_msg(!is_there(w, i, seq), "%d is there at %d", i, (int)seq);
        }
        ck_assert_int_gt(i, key);
        ck_assert(gaps_before(&g, key_of(key, k), seq, &answer));
        for (i = key; i >= 0 && slice_cmp(key_of(i, k2), buf_slice(&answer)) >= 0; i--)
            ck_assert_msg(!is_there(w, i, seq), "%d is there at %d", i, (int)seq);
        return 1;
    }
    return 0;
}

START_TEST(no_reader_is_told_of_a_gap_in_which_it_would_see_a_key)
{
    struct world *w = calloc(1, sizeof(*w));
    unsigned told = 0, i, j;

    w->rng = test_seed() | 1;
    for (i = 0; i < 60; i++) {
        w->last = w->visible = 0;
        gaps_init(&g);
        while (w->last < EVENTS - FLIGHT) {
            write_some(w);
            offer_from(w, (int)test_below(&w->rng, KEYS), w->visible);
            for (j = 0; j < KEYS; j++)
                told += check_key(w, (int)j, w->visible);
            /* Older ones, snapshots. */
            told += check_key(w, (int)test_below(&w->rng, KEYS),
                              test_below(&w->rng, w->visible + 1));
        }
        gaps_release(&g);
    }
    ck_assert_uint_gt(told, 10000);
    buf_release(&answer);
    free(w);
}
END_TEST

TEST_MAIN(
    "gaps", TEST_CASE(an_empty_set_is_touched_by_no_key),
    TEST_CASE(what_the_newest_reader_saw_is_known_at_once),
    TEST_CASE(what_others_may_have_written_into_is_a_candidate_until_it_is_seen_again),
    TEST_CASE(neighbours_become_one_with_the_later_numbers),
    TEST_CASE(a_put_cuts_its_key_out_and_leaves_both_sides),
    TEST_CASE(a_put_behind_all_there_is_ends_an_open_gap),
    TEST_CASE(a_gap_that_is_filled_in_order_shrinks),
    TEST_CASE(the_set_is_bounded_and_forgets_the_gap_that_is_not_used),
    TEST_CASE(long_keys_are_not_kept),
    TEST_CASE(no_reader_is_told_of_a_gap_in_which_it_would_see_a_key))
