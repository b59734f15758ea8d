/*
 * test_metamorphic.c - the same operations under other options give the same answers
 * (Pebble's idea): thousands of random ones on stores whose options are drawn apart,
 * every answer compared. See meta.h.
 *
 * SEED=n draws the operations, OPTIONS=a,b,c the options of each store; a failure
 * tells all of these, and the shortest list of operations that it found to fail.
 */
#include <stdlib.h>

#include "tests/meta.h"
#include "tests/options_draw.h"

enum { OPS = 3000, OPS_LONG = 40000, STORES = 3, SHRINK_CALLS = 200 };

/* ---- comparing ---- */

struct pair {
    struct meta_setup a, b;
};

static bool answers_differ(void *arg, const struct meta_op *ops, unsigned n)
{
    struct pair *p = arg;
    struct transcript a, b;
    bool differ;

    meta_run(&p->a, ops, n, &a);
    meta_run(&p->b, ops, n, &b);
    differ = transcript_difference(&a, &b) < a.n;
    transcript_release(&a);
    transcript_release(&b);
    return differ;
}

static void print_setup(const char *name, const struct meta_setup *s)
{
    char text[OPTIONS_TEXT];
    struct lsm_options o;

    options_draw(&o, s->options_seed, s->how);
    printf("%s: OPTIONS=%llu%s %s\n", name, (unsigned long long)s->options_seed,
           s->redraw ? ", others at each opening; first" : "", options_text(&o, text));
}

static void print_list(const struct pair *p, const struct meta_op *ops, unsigned n)
{
    struct transcript a, b;
    unsigned i;

    meta_run(&p->a, ops, n, &a);
    meta_run(&p->b, ops, n, &b);
    for (i = 0; i <= n; i++) {
        struct slice x = transcript_answer(&a, i), y = transcript_answer(&b, i);

        printf("%4u %s%.*s", i, i < n ? meta_name(ops[i].kind) : "in the end", (int)x.len,
               (const char *)x.data);
        if (!slice_eq(x, y))
            printf("   B: %.*s", (int)y.len, (const char *)y.data);
    }
    printf("\n");
    transcript_release(&a);
    transcript_release(&b);
}

/* All that is needed to see it again. */
static void tell_difference(const struct meta_setup *sa, const struct transcript *a,
                            const struct meta_setup *sb, const struct transcript *b,
                            const struct meta_op *ops, unsigned n, unsigned at)
{
    struct pair p = {*sa, *sb};
    struct meta_op *list = malloc(n * sizeof(*list));
    struct slice x = transcript_answer(a, at), y = transcript_answer(b, at);
    unsigned left = at < n ? at + 1 : n;

    print_setup("A", sa);
    print_setup("B", sb);
    printf("operation %u, %s, differs first\nA: %.*sB: %.*s\n", at,
           at < n ? meta_name(ops[at].kind) : "the end", (int)x.len, (const char *)x.data,
           (int)y.len, (const char *)y.data);
    fflush(stdout);
    memcpy(list, ops, left * sizeof(*list));
    if (!answers_differ(&p, list, left)) {
        printf("it did not happen again with these operations\n");
    } else {
        left = meta_shrink(list, left, answers_differ, &p, SHRINK_CALLS);
        printf("%u operations are enough:\n", left);
        print_list(&p, list, left);
    }
    fflush(stdout);
    free(list);
}

/* The operations of this round on each of the stores. */
static void compare(struct soak *s, struct meta_setup *setup, unsigned stores, unsigned n)
{
    static struct meta_op ops[OPS_LONG];
    struct transcript t[STORES];
    unsigned i, at;

    meta_draw(ops, n, soak_seed(s));
    for (i = 0; i < stores; i++) {
        char text[OPTIONS_TEXT];
        struct lsm_options o;

        options_draw(&o, setup[i].options_seed, setup[i].how);
        soak_tell(s, "store %u of OPTIONS=%llu,%llu,%llu: %s", i,
                  (unsigned long long)setup[0].options_seed,
                  (unsigned long long)setup[1].options_seed,
                  (unsigned long long)setup[stores - 1].options_seed,
                  options_text(&o, text));
        meta_run(&setup[i], ops, n, &t[i]);
        s->option_sets++;
        s->operations += n;
    }
    for (i = 1; i < stores; i++) {
        if (transcript_hash(&t[0]) == transcript_hash(&t[i]))
            continue;
        at = transcript_difference(&t[0], &t[i]);
        tell_difference(&setup[0], &t[0], &setup[i], &t[i], ops, n, at);
        ck_abort_msg("SEED=%llu OPTIONS=%llu,%llu: the answers to operation %u differ",
                     (unsigned long long)soak_seed(s),
                     (unsigned long long)setup[0].options_seed,
                     (unsigned long long)setup[i].options_seed, at);
    }
    for (i = 0; i < stores; i++)
        transcript_release(&t[i]);
}

/* One without threads, which always does the same; one with; one that is another
 * each time it is opened. */
static void compare_three(struct soak *s, unsigned n)
{
    struct meta_setup setup[STORES] = {
        {.path = "/s", .how = DRAW_NO_THREADS},
        {.path = "/s", .how = DRAW_THREADS},
        {.path = "/s", .redraw = true},
    };
    unsigned i;

    for (i = 0; i < STORES; i++)
        setup[i].options_seed = options_seed(soak_seed(s), i);
    compare(s, setup, STORES, n);
}

START_TEST(options_do_not_change_answers)
{
    struct soak s;

    for (soak_begin(&s); soak_on(&s);)
        compare_three(&s, OPS);
    soak_end(&s);
}
END_TEST

/* More levels, larger manifests, more that is left from openings before. */
START_TEST(nor_in_a_long_run)
{
    struct soak s;

    for (soak_begin(&s); soak_on(&s);)
        compare_three(&s, OPS_LONG);
    soak_end(&s);
}
END_TEST

START_TEST(the_disk_answers_as_memory_does)
{
    struct meta_setup setup[2] = {{.path = "/s"}, {.redraw = true, .env = env_posix()}};
    struct soak s;
    char path[256];

    for (soak_begin(&s); soak_on(&s);) {
        snprintf(path, sizeof(path), "%s/%u", test_dir(), s.rounds);
        setup[0].options_seed = options_seed(soak_seed(&s), 0);
        setup[1].options_seed = options_seed(soak_seed(&s), 1);
        setup[1].path = path;
        compare(&s, setup, 2, OPS);
    }
    soak_end(&s);
}
END_TEST

/* ---- the tools themselves ---- */

START_TEST(the_same_store_gives_the_same_transcript)
{
    struct meta_setup setup = {.path = "/s", .how = DRAW_NO_THREADS, .options_seed = 7};
    static struct meta_op ops[OPS];
    struct transcript a, b;

    meta_draw(ops, OPS, 11);
    meta_run(&setup, ops, OPS, &a);
    meta_run(&setup, ops, OPS, &b);
    ck_assert_uint_eq(transcript_hash(&a), transcript_hash(&b));
    ck_assert_uint_eq(transcript_difference(&a, &b), OPS + 1);
    ck_assert_uint_gt(a.text.len, 10 * OPS);
    a.text.data[a.end[1000]] ^= 1;
    ck_assert_uint_eq(transcript_difference(&a, &b), 1001);
    transcript_release(&a);
    transcript_release(&b);
}
END_TEST

/* Fails with operations 17 and 901 in their order. */
static bool needs_two(void *arg, const struct meta_op *ops, unsigned n)
{
    const struct meta_op *all = arg;
    unsigned i;

    for (i = 0; i < n && ops[i].seed != all[17].seed; i++)
        ;
    for (; i < n && ops[i].seed != all[901].seed; i++)
        ;
    return i < n;
}

START_TEST(shrinking_leaves_what_is_needed)
{
    static struct meta_op all[1000], list[1000];
    unsigned n;

    meta_draw(all, 1000, test_seed());
    memcpy(list, all, sizeof(list));
    n = meta_shrink(list, 1000, needs_two, all, 100000);
    ck_assert_uint_eq(n, 2);
    ck_assert_uint_eq(list[0].seed, all[17].seed);
    ck_assert_uint_eq(list[1].seed, all[901].seed);
}
END_TEST

TEST_MAIN("metamorphic", TEST_CASE_SOAK(options_do_not_change_answers),
          TEST_CASE_SOAK_ONLY(nor_in_a_long_run),
          TEST_CASE_SOAK(the_disk_answers_as_memory_does),
          TEST_CASE(the_same_store_gives_the_same_transcript),
          TEST_CASE(shrinking_leaves_what_is_needed))
