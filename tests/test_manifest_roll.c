/*
 * test_manifest_roll.c - a manifest that has grown is replaced by a new one while the
 * store is in use: a crash at any call of that, a full disk in the midst of it, and
 * that it can be opened after. Keys of 60 KiB, which tables have in their edits, make a
 * manifest grow fast.
 */
#include "tests/env_mem.h"
#include "tests/soak.h"
#include "tests/test.h"

#include <inttypes.h>
#include <stdlib.h>

enum { KEY = 60000, ROUNDS = 60 };

struct load {
    struct env *env;
    struct lsm *db;
    struct lsm_options o;
    int done, tried;             /* flushed rounds: each is durable */
    uint64_t roll_from, roll_to; /* calls to the env around the first replacement */
    int roll_round, rolls;
    int full_round;     /* in that one the full_call-th call that wants space fails */
    uint64_t full_call; /* 0: never */
};

static struct slice key_of(int i)
{
    static uint8_t key[KEY];

    memset(key, 'k', sizeof(key));
    snprintf((char *)key, 10, "%03d", i);
    return slice_of(key, sizeof(key));
}

/* MANIFEST-N's N; the greatest. */
static int greatest(void *arg, const char *name)
{
    uint64_t *most = arg, n;

    if (sscanf(name, "MANIFEST-%" SCNu64, &n) == 1 && n > *most)
        *most = n;
    return 0;
}

static uint64_t manifest_now(struct env *env)
{
    uint64_t n = 0;

    ck_ok(env_list(env, "/s", greatest, &n));
    return n;
}

static void begin(struct load *l)
{
    memset(l, 0, sizeof(*l));
    l->env = env_mem_new(1);
    lsm_options_init(&l->o);
    l->o.env = l->env;
    l->o.create = true;
    l->o.memtable_bytes = 256 << 10;
    l->o.l0_trigger = 1000; /* flushes only */
    l->o.workers = 0;
    l->o.sync_interval_ms = 0;
    l->o.separate_bytes = 0;
}

static int one_round(struct load *l)
{
    int rc = lsm_put(l->db, key_of(l->done), slice_str("v"));

    return rc ? rc : lsm_flush(l->db);
}

/* One key and a flush each round, until one fails. */
static int run(struct load *l)
{
    int rc = lsm_open("/s", &l->o, &l->db), tries;

    for (; !rc && l->done < ROUNDS; l->done += !rc) {
        uint64_t before = manifest_now(l->env), calls = env_mem_calls(l->env);

        l->tried = l->done + 1;
        if (l->full_call && l->done == l->full_round)
            env_mem_fail_at(l->env, l->full_call, ENOSPC,
                            ENV_MEM_OPEN | ENV_MEM_APPEND | ENV_MEM_RENAME, ENV_MEM_ONCE);
        rc = one_round(l);
        for (tries = 0; l->full_call && rc == -ENOSPC && tries < 3; tries++) {
            lsm_delete(l->db, slice_str("none")); /* taken now, and notices the room */
            rc = one_round(l);
        }
        env_mem_fail_at(l->env, 0, 0, 0, ENV_MEM_ONCE);
        if (!rc && manifest_now(l->env) != before && !l->rolls++) {
            l->roll_round = l->done;
            l->roll_from = calls;
            l->roll_to = env_mem_calls(l->env);
        }
    }
    return rc;
}

static void check(struct load *l, struct env *env, int least)
{
    struct lsm_options o = l->o;
    struct lsm *db;
    int i, n = 0;

    o.env = env;
    ck_ok(lsm_open("/s", &o, &db));
    while (n < ROUNDS && lsm_exists(db, NULL, key_of(n)) == 0)
        n++;
    ck_assert_msg(n >= least && n <= l->tried, "%d rounds found, %d safe, %d tried", n,
                  least, l->tried);
    for (i = n; i < ROUNDS; i++)
        ck_err(lsm_exists(db, NULL, key_of(i)), ENOENT);
    ck_ok(lsm_verify(db));
    ck_ok(lsm_put(db, slice_str("more"), slice_str("works")));
    ck_ok(lsm_close(db));
    ck_ok(lsm_open("/s", &o, &db));
    ck_ok(lsm_exists(db, NULL, slice_str("more")));
    ck_ok(lsm_close(db));
}

static void find_roll(struct load *l)
{
    begin(l);
    ck_ok(run(l));
    ck_assert_int_ge(l->rolls, 1);
    ck_assert_uint_gt(l->roll_to, l->roll_from + 8);
    ck_ok(lsm_close(l->db));
    check(l, l->env, ROUNDS);
    env_mem_free(l->env);
}

START_TEST(a_store_opens_after_its_manifest_was_replaced)
{
    struct load l;

    find_roll(&l);
}
END_TEST

enum { STRIDE = SOAK_SANITIZED ? 9 : 2 };

START_TEST(a_crash_while_the_manifest_is_replaced_loses_nothing)
{
    static const enum env_mem_crash modes[] = {ENV_MEM_LOSE_UNSYNCED, ENV_MEM_KEEP_RANDOM,
                                               ENV_MEM_KEEP_ALL};
    struct load whole, l;
    uint64_t stop;
    int i;

    test_log_capture();
    find_roll(&whole);
    for (stop = whole.roll_from; stop <= whole.roll_to; stop += STRIDE) {
        begin(&l);
        env_mem_stop_at(l.env, stop);
        run(&l);
        for (i = 0; i < 3; i++) {
            struct env *after = env_mem_crash_clone(l.env, stop, modes[i]);

            check(&l, after, l.done);
            env_mem_free(after);
        }
        env_mem_stop_at(l.env, 0);
        lsm_close(l.db);
        env_mem_free(l.env);
    }
    printf("manifest replaced: every %d. of %d crash points\n", STRIDE,
           (int)(whole.roll_to - whole.roll_from + 1));
}
END_TEST

/* The old one goes on then; nothing is done twice, and nothing is lost. */
START_TEST(a_disk_that_is_full_at_that_moment_does_no_harm)
{
    struct load whole, l;
    uint64_t n;
    bool failed = true;
    int rc;

    test_log_capture();
    find_roll(&whole);
    for (n = 1; failed; n += STRIDE > 2 ? 3 : 1) {
        begin(&l);
        l.full_round = whole.roll_round;
        l.full_call = n;
        rc = run(&l);
        ck_assert_msg(rc == 0, "call %llu of round %d: %d", (unsigned long long)n,
                      l.full_round, rc);
        failed = env_mem_failures(l.env) > 0;
        ck_ok(lsm_compact(l.db, true));
        ck_ok(lsm_verify(l.db));
        ck_ok(lsm_close(l.db));
        check(&l, l.env, ROUNDS);
        env_mem_free(l.env);
    }
    ck_assert_uint_gt(n, 8);
}
END_TEST

TEST_MAIN("manifest roll", TEST_CASE(a_store_opens_after_its_manifest_was_replaced),
          TEST_CASE(a_crash_while_the_manifest_is_replaced_loses_nothing),
          TEST_CASE(a_disk_that_is_full_at_that_moment_does_no_harm))
