/*
 * test_db_crash.c - the engine and power loss. A scripted load (crash_load.h) is
 * stopped after a call to the env, every single one or some drawn at random; what the
 * disk may then hold is opened, and must be the state after some prefix of the
 * acknowledged writes: no holes, nothing half, and at least what had been synced (or,
 * when only the process died, all that had been acknowledged). Then the load goes on
 * in what was left, and crashes again.
 */
#include "tests/crash_load.h"
#include "tests/options_draw.h"

#include <stdlib.h>

static const enum env_mem_crash modes[] = {ENV_MEM_LOSE_UNSYNCED, ENV_MEM_KEEP_RANDOM,
                                           ENV_MEM_KEEP_RANDOM, ENV_MEM_KEEP_ALL};

static struct crash_load l;
static unsigned opened; /* times, by the last load: option sets of the round's seed */

static void quiet(void)
{
    if (!getenv("VERBOSE"))
        test_log_capture();
}

/* Of a round: a load and its options, which are other ones at each opening. */
static void begin(struct soak *s, unsigned how)
{
    char text[OPTIONS_TEXT];
    struct lsm_options o;
    uint64_t seed = options_seed(soak_seed(s), 0);

    options_draw(&o, seed, how);
    crash_begin(&l, soak_seed(s), &o);
    l.redraw = seed | 1;
    l.how = how;
    soak_tell(s, "first options: %s", options_text(&o, text));
}

/* ---- every call ---- */

static bool crash_at(struct soak *s, uint64_t stop)
{
    unsigned i;
    bool ended;

    begin(s, DRAW_TINY | DRAW_NO_THREADS);
    env_mem_stop_at(l.env, stop);
    ended = crash_run(&l);
    for (i = 0; i < 4; i++) {
        int least;
        struct env *after =
            crash_clone(&l, soak_seed(s) + stop * 4 + i, modes[i], &least);

        crash_check(&l, after, least);
        env_mem_free(after);
        s->crashes++;
    }
    opened = l.opened;
    crash_release(&l);
    return ended;
}

enum { STRIDE = SOAK_SANITIZED ? 8 : 1 };

/* STOP=n in the environment begins with the n-th call. */
START_TEST(a_crash_after_any_call_leaves_a_prefix)
{
    const char *from = getenv("STOP");
    struct soak s;

    quiet();
    for (soak_begin(&s); soak_on(&s);) {
        uint64_t stop = from ? strtoull(from, NULL, 0) : soak_seed(&s) % STRIDE;

        while (!crash_at(&s, stop)) {
            if (getenv("VERBOSE"))
                printf("STOP=%llu was right\n", (unsigned long long)stop);
            stop += STRIDE;
        }
        s.option_sets += opened;
        s.operations += CRASH_STEPS;
    }
    soak_end(&s);
}
END_TEST

/* Crash in the recovery, at every call, and recover: nothing acknowledged is lost. */
START_TEST(a_crash_during_recovery_is_harmless)
{
    uint64_t seed = test_seed() + 5, stop;
    struct env *after, *again;
    struct lsm_options o;
    struct lsm *db;
    int ended = 0;

    quiet();
    options_draw(&o, options_seed(seed, 0), DRAW_TINY | DRAW_NO_THREADS);
    crash_begin(&l, seed, &o);
    env_mem_stop_at(l.env, 250);
    crash_run(&l);
    for (stop = 0; !ended; stop++) {
        o = l.o;
        after = env_mem_crash_clone(l.env, seed, ENV_MEM_KEEP_RANDOM);
        o.env = after;
        env_mem_stop_at(after, stop);
        if (lsm_open("/s", &o, &db) == 0)
            ended = lsm_close(db) == 0;
        again = env_mem_crash_clone(after, seed + stop, ENV_MEM_KEEP_RANDOM);
        crash_check(&l, again, l.synced);
        env_mem_free(again);
        env_mem_free(after);
    }
    ck_assert_uint_gt(stop, 5);
    crash_release(&l);
}
END_TEST

/* ---- calls drawn at random, and again in what was left ---- */

enum { CHAINS = 12, CHAIN = 4 };

/* The step that `after` holds, found in a copy. */
static int look(struct env *after, int least)
{
    struct env *copy = env_mem_crash_clone(after, 1, ENV_MEM_KEEP_ALL);
    int step = crash_check(&l, copy, least);

    env_mem_free(copy);
    return step;
}

static void run_to_the_end(void)
{
    bool ended = crash_run(&l);

    ck_assert_msg(ended, "step %d, without a crash: %d", l.done, l.error);
}

/* The load, crashing up to CHAIN times, half of these soon after the beginning: in a
 * recovery, if it is not the first. */
static void chain(struct soak *s, unsigned how, uint64_t calls, uint64_t *rng)
{
    int i, least, step;

    begin(s, how);
    for (i = 0; i < CHAIN; i++) {
        uint64_t stop = test_below(rng, test_below(rng, 2) ? calls : 40);
        enum env_mem_crash mode = modes[test_below(rng, 4)];
        struct env *after;
        int before = l.done;

        env_mem_stop_at(l.env, stop);
        if (crash_run(&l))
            break;
        s->crashes++;
        s->operations += (uint64_t)(l.done - before);
        after = crash_clone(&l, test_random(rng), mode, &least);
        step = look(after, least);
        crash_resume(&l, after, step);
    }
    /* And to the end. */
    env_mem_stop_at(l.env, UINT64_MAX);
    if (i == CHAIN)
        run_to_the_end();
    ck_assert_int_eq(l.done, CRASH_STEPS);
    ck_assert_int_eq(look(l.env, CRASH_STEPS), CRASH_STEPS);
    if (l.opened > opened)
        opened = l.opened; /* all chains of a round draw the same ones, some more */
    crash_release(&l);
}

static void crash_drawn(struct soak *s, unsigned how)
{
    uint64_t rng = soak_seed(s) | 1, calls;
    int i;

    opened = 0;
    begin(s, how);
    run_to_the_end();
    ck_assert_int_eq(look(l.env, CRASH_STEPS), CRASH_STEPS);
    calls = env_mem_calls(l.env);
    crash_release(&l);
    for (i = 0; i < CHAINS; i++)
        chain(s, how, calls, &rng);
    s->option_sets += opened;
}

START_TEST(crashes_under_drawn_options_leave_a_prefix)
{
    struct soak s;

    quiet();
    for (soak_begin(&s); soak_on(&s);)
        crash_drawn(&s, DRAW_TINY | DRAW_NO_THREADS);
    soak_end(&s);
}
END_TEST

START_TEST(crashes_beside_background_threads_leave_a_prefix)
{
    struct soak s;

    quiet();
    for (soak_begin(&s); soak_on(&s);)
        crash_drawn(&s, DRAW_TINY | DRAW_THREADS);
    soak_end(&s);
}
END_TEST

TEST_MAIN("db crash", TEST_CASE_SOAK(a_crash_after_any_call_leaves_a_prefix),
          TEST_CASE(a_crash_during_recovery_is_harmless),
          TEST_CASE_SOAK(crashes_under_drawn_options_leave_a_prefix),
          TEST_CASE_SOAK(crashes_beside_background_threads_leave_a_prefix))
