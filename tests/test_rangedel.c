/*
 * test_rangedel.c - lsm/rangedel.h. The reference is to look at every tombstone.
 * Keys are all words of up to WORD letters, so that every place a tombstone can
 * begin or end at, and every place between two of those, is asked for.
 */
#include "test.h"

#include <stdlib.h>

#include "lsm/rangedel.h"
#include "lsm/rangedel_tree.h"

enum { WORD = 3, LETTERS = 3, WORDS = 1 + 3 + 9 + 27, MAX_SEQ = 12 };

static char word[WORDS][WORD + 1]; /* ascending */

static int cmp_word(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void make_words(void)
{
    size_t n = 1, from = 0, to, i;
    int len, c;

    for (len = 1; len <= WORD; len++) {
        for (to = n, i = from; i < to; i++)
            for (c = 0; c < LETTERS; c++)
                snprintf(word[n++], sizeof(word[0]), "%.*s%c", WORD - 1, word[i],
                         'b' + c);
        from = to;
    }
    ck_assert_uint_eq(n, WORDS);
    qsort(word, WORDS, sizeof(word[0]), cmp_word);
}

/* Every number a stripe of its own, so that nothing is left out. */
static int build_all(const struct range_tombstone *in, size_t n,
                     struct rangedel_set **set)
{
    uint64_t snaps[MAX_SEQ];
    size_t i;

    for (i = 0; i < MAX_SEQ; i++)
        snaps[i] = i + 1;
    return rangedel_build(in, n, snaps, MAX_SEQ, set);
}

static struct slice random_word(uint64_t *r)
{
    return slice_str(word[test_below(r, WORDS)]);
}

static uint64_t covers(const struct range_tombstone *list, size_t n, struct slice key,
                       uint64_t seq)
{
    uint64_t newest = 0;
    size_t i;

    for (i = 0; i < n; i++)
        if (list[i].seq <= seq && list[i].seq > newest &&
            slice_cmp(list[i].start, key) <= 0 && slice_cmp(key, list[i].end) < 0)
            newest = list[i].seq;
    return newest;
}

static bool in_span(const struct rangedel_span *s, struct slice key)
{
    return (!s->has_lo || slice_cmp(s->lo, key) <= 0) &&
           (!s->has_hi || slice_cmp(key, s->hi) < 0);
}

/* No bound lies nearer to key than an end of a tombstone that is not empty. */
static void check_bounds_are_ends(const struct rangedel_span *s,
                                  const struct range_tombstone *list, size_t n)
{
    bool lo = !s->has_lo, hi = !s->has_hi;
    size_t i;

    for (i = 0; i < n; i++) {
        lo |= slice_eq(s->lo, list[i].start) || slice_eq(s->lo, list[i].end);
        hi |= slice_eq(s->hi, list[i].start) || slice_eq(s->hi, list[i].end);
    }
    ck_assert(lo);
    ck_assert(hi);
}

/* s is the answer for key at seq, and holds all over its bounds. */
static void check_span(const struct rangedel_span *s, const struct range_tombstone *list,
                       size_t n, struct slice key, uint64_t seq)
{
    size_t i;

    ck_assert_uint_eq(s->seq, covers(list, n, key, seq));
    ck_assert(in_span(s, key));
    check_bounds_are_ends(s, list, n);
    for (i = 0; i < WORDS; i++)
        if (in_span(s, slice_str(word[i])) &&
            covers(list, n, slice_str(word[i]), seq) != s->seq)
            ck_abort_msg("\"%s\" at %d is in the span of \"%.*s\", but not the same",
                         word[i], (int)seq, (int)key.len, (const char *)key.data);
}

static void check_asks(const struct rangedel_set *set, const struct range_tombstone *list,
                       size_t n)
{
    struct rangedel_span s;
    uint64_t seq;
    size_t i;

    for (i = 0; i < WORDS; i++) {
        for (seq = 0; seq <= MAX_SEQ + 1; seq++) {
            rangedel_span_init(&s);
            rangedel_ask(set->list, set->n, slice_str(word[i]), seq, &s);
            check_span(&s, list, n, slice_str(word[i]), seq);
        }
    }
}

/* Two are equal or do not overlap; equal ones stand together, newest first. */
static void check_fragmented(const struct rangedel_set *set)
{
    size_t i;

    for (i = 0; i < set->n; i++) {
        const struct range_tombstone *t = &set->list[i], *p = t - 1;

        ck_assert(slice_cmp(t->start, t->end) < 0);
        if (i == 0)
            continue;
        if (slice_eq(p->start, t->start)) {
            ck_assert(slice_eq(p->end, t->end));
            ck_assert_uint_ge(p->seq, t->seq);
        } else {
            ck_assert(slice_cmp(p->end, t->start) <= 0);
        }
    }
}

static size_t random_tombstones(struct range_tombstone *list, size_t max, uint64_t *r)
{
    size_t n = test_below(r, max + 1), i;

    for (i = 0; i < n; i++)
        list[i] = (struct range_tombstone){random_word(r), random_word(r),
                                           1 + test_below(r, MAX_SEQ)};
    return n;
}

/* ---- tests ---- */

START_TEST(no_tombstones_hold_everywhere)
{
    struct rangedel_set *set;
    struct rangedel_span s;

    ck_ok(rangedel_build(NULL, 0, NULL, 0, &set));
    ck_assert_uint_eq(set->n, 0);
    rangedel_span_init(&s);
    rangedel_ask(set->list, set->n, slice_str("k"), 9, &s);
    ck_assert(s.seq == 0 && !s.has_lo && !s.has_hi);
    rangedel_free(set);
    rangedel_free(NULL);
}
END_TEST

START_TEST(overlapping_tombstones_are_cut_at_each_others_ends)
{
    static const struct {
        const char *start, *end;
        uint64_t seq;
    } want[] = {
        {"b", "d", 5}, {"d", "f", 9}, {"d", "f", 5}, {"f", "h", 9}, {"k", "l", 2}};
    struct range_tombstone in[] = {
        {slice_str("k"), slice_str("l"), 2},
        {slice_str("d"), slice_str("h"), 9},
        {slice_str("b"), slice_str("f"), 5},
        {slice_str("m"), slice_str("m"), 7}, /* empty */
        {slice_str("x"), slice_str("c"), 8}, /* backward */
    };
    struct rangedel_set *set;
    size_t i;

    ck_ok(build_all(in, 5, &set));
    ck_assert_uint_eq(set->n, 5);
    for (i = 0; i < 5; i++) {
        ck_slice_str(set->list[i].start, want[i].start);
        ck_slice_str(set->list[i].end, want[i].end);
        ck_assert_uint_eq(set->list[i].seq, want[i].seq);
    }
    rangedel_free(set);
}
END_TEST

START_TEST(a_tombstone_covers_its_start_and_not_its_end)
{
    struct range_tombstone t = {slice_str("b"), slice_str("d"), 5};
    static const struct {
        const char *key;
        uint64_t seq, want;
    } ask[] = {{"a", 9, 0}, {"ab", 9, 0}, {"b", 9, 5}, {"b", 5, 5},
               {"b", 4, 0}, {"cz", 9, 5}, {"d", 9, 0}, {"da", 9, 0}};
    struct rangedel_set *set;
    struct rangedel_span s;
    size_t i;

    ck_ok(build_all(&t, 1, &set));
    for (i = 0; i < sizeof(ask) / sizeof(ask[0]); i++) {
        rangedel_span_init(&s);
        rangedel_ask(set->list, set->n, slice_str(ask[i].key), ask[i].seq, &s);
        ck_assert_uint_eq(s.seq, ask[i].want);
        rangedel_span_init(&s);
        rangedel_ask_one(&t, slice_str(ask[i].key), ask[i].seq, &s);
        ck_assert_uint_eq(s.seq, ask[i].want);
    }
    rangedel_free(set);
}
END_TEST

START_TEST(fragments_answer_as_the_tombstones_do)
{
    uint64_t r = test_seed();
    int round;

    make_words();
    for (round = 0; round < 60; round++) {
        struct range_tombstone in[14];
        size_t n = random_tombstones(in, 14, &r);
        struct rangedel_set *set;

        ck_ok(build_all(in, n, &set));
        check_fragmented(set);
        check_asks(set, in, n);
        rangedel_free(set);
    }
}
END_TEST

START_TEST(fragments_may_be_fragmented_again)
{
    uint64_t r = test_seed();
    int round;

    /* As a compaction does with those of several tables. */
    make_words();
    for (round = 0; round < 20; round++) {
        struct range_tombstone in[24], both[2000];
        size_t n = random_tombstones(in, 24, &r), half = n / 2;
        struct rangedel_set *a, *b, *set;

        ck_ok(build_all(in, half, &a));
        ck_ok(build_all(in + half, n - half, &b));
        ck_assert_uint_le(a->n + b->n, 2000);
        if (b->n)
            memcpy(both, b->list, b->n * sizeof(*both));
        if (a->n)
            memcpy(both + b->n, a->list, a->n * sizeof(*both));
        ck_ok(build_all(both, a->n + b->n, &set));
        check_fragmented(set);
        check_asks(set, in, n);
        rangedel_free(set);
        rangedel_free(a);
        rangedel_free(b);
    }
}
END_TEST

START_TEST(several_sources_narrow_one_span)
{
    uint64_t r = test_seed();
    int round, i;

    make_words();
    for (round = 0; round < 200; round++) {
        struct range_tombstone in[12];
        size_t n = random_tombstones(in, 12, &r), half = n / 2, j;
        struct rangedel_set *set;

        ck_ok(build_all(in, half, &set));
        for (i = 0; i < 20; i++) {
            struct slice key = random_word(&r);
            uint64_t seq = test_below(&r, MAX_SEQ + 2);
            struct rangedel_span s;

            rangedel_span_init(&s);
            if (i % 2)
                rangedel_ask(set->list, set->n, key, seq, &s);
            for (j = half; j < n; j++)
                rangedel_ask_one(&in[j], key, seq, &s);
            if (i % 2 == 0)
                rangedel_ask(set->list, set->n, key, seq, &s);
            check_span(&s, in, n, key, seq);
        }
        rangedel_free(set);
    }
}
END_TEST

START_TEST(many_tombstones_of_one_range_stay_one_place)
{
    enum { N = 3000 };
    struct range_tombstone *in = calloc(N, sizeof(*in));
    uint64_t snaps[N];
    struct rangedel_set *set;
    struct rangedel_span s;
    size_t i;

    /* A file truncated again and again. */
    for (i = 0; i < N; i++) {
        in[i] = (struct range_tombstone){slice_str("f"), slice_str("g"), (i * 7) % N + 1};
        snaps[i] = i + 1;
    }
    ck_ok(rangedel_build(in, N, snaps, N, &set));
    ck_assert_uint_eq(set->n, N);
    check_fragmented(set);
    for (i = 0; i <= N + 1; i += 13) {
        rangedel_span_init(&s);
        rangedel_ask(set->list, set->n, slice_str("ff"), i, &s);
        ck_assert_uint_eq(s.seq, i > N ? N : i);
        ck_slice_str(s.lo, "f");
        ck_slice_str(s.hi, "g");
    }
    rangedel_free(set);
    free(in);
}
END_TEST

/* Who reads at a snapshot, or at what is newer than all, finds the newest there is. */
START_TEST(of_a_stripe_only_the_newest_is_kept_and_answers_for_all)
{
    uint64_t r = test_seed();
    int round;

    make_words();
    for (round = 0; round < 200; round++) {
        struct range_tombstone in[14];
        size_t n = random_tombstones(in, 14, &r), n_snaps = 0, i, k;
        uint64_t snaps[MAX_SEQ + 1], seq;
        struct rangedel_set *set;

        for (seq = 0; seq <= MAX_SEQ; seq++)
            if (test_below(&r, 4) == 0)
                snaps[n_snaps++] = seq;
        ck_ok(rangedel_build(in, n, snaps, n_snaps, &set));
        check_fragmented(set);
        ck_assert_uint_le(set->n, 2 * n * (n_snaps + 1));
        for (i = 0; i < WORDS; i++)
            for (k = 0; k <= n_snaps; k++) {
                struct rangedel_span s;

                seq = k < n_snaps ? snaps[k] : MAX_SEQ;
                rangedel_span_init(&s);
                rangedel_ask(set->list, set->n, slice_str(word[i]), seq, &s);
                ck_assert_uint_eq(s.seq, covers(in, n, slice_str(word[i]), seq));
                ck_assert(in_span(&s, slice_str(word[i])));
            }
        rangedel_free(set);
    }
}
END_TEST

START_TEST(many_thousand_overlapping_ones_make_few_fragments)
{
    enum { N = 30000 };
    struct range_tombstone *in = calloc(N, sizeof(*in));
    uint8_t(*key)[2][8] = calloc(N, sizeof(*key));
    struct rangedel_set *set;
    size_t i;

    /* Each inside of the one before. */
    for (i = 0; i < N; i++) {
        store_be64(key[i][0], i);
        store_be64(key[i][1], 10 * N - i);
        in[i] = (struct range_tombstone){slice_of(key[i][0], 8), slice_of(key[i][1], 8),
                                         i + 1};
    }
    ck_ok(rangedel_build(in, N, NULL, 0, &set));
    ck_assert_uint_eq(set->n, 2 * N - 1);
    rangedel_free(set);
    /* The outermost is the newest: all one fragment. */
    for (i = 0; i < N; i++)
        in[i].seq = N - i;
    ck_ok(rangedel_build(in, N, NULL, 0, &set));
    ck_assert_uint_eq(set->n, 1);
    rangedel_free(set);
    free(key);
    free(in);
}
END_TEST

START_TEST(a_tree_answers_as_the_tombstones_do)
{
    uint64_t r = test_seed();
    int round;

    make_words();
    for (round = 0; round < 60; round++) {
        struct range_tombstone in[40], all[40];
        size_t n = random_tombstones(all, 40, &r), m = 0, i;
        struct rangedel_tree *t;
        struct rangedel_span s;
        uint64_t seq;

        for (i = 0; i < n; i++)
            if (slice_cmp(all[i].start, all[i].end) < 0)
                in[m++] = all[i];
        t = rangedel_tree_new(in, m);
        ck_assert_ptr_nonnull(t);
        for (i = 0; i < WORDS; i++)
            for (seq = 0; seq <= MAX_SEQ + 1; seq++) {
                rangedel_span_init(&s);
                rangedel_tree_ask(t, slice_str(word[i]), seq, &s);
                check_span(&s, in, m, slice_str(word[i]), seq);
            }
        rangedel_tree_free(t);
    }
    rangedel_tree_free(NULL);
}
END_TEST

TEST_MAIN("rangedel", TEST_CASE(no_tombstones_hold_everywhere),
          TEST_CASE(overlapping_tombstones_are_cut_at_each_others_ends),
          TEST_CASE(a_tombstone_covers_its_start_and_not_its_end),
          TEST_CASE(fragments_answer_as_the_tombstones_do),
          TEST_CASE(fragments_may_be_fragmented_again),
          TEST_CASE(several_sources_narrow_one_span),
          TEST_CASE(many_tombstones_of_one_range_stay_one_place),
          TEST_CASE(of_a_stripe_only_the_newest_is_kept_and_answers_for_all),
          TEST_CASE(many_thousand_overlapping_ones_make_few_fragments),
          TEST_CASE(a_tree_answers_as_the_tombstones_do))
