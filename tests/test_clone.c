/*
 * test_clone.c - lsm_clone and lsm_rollback: a store of links that lives by itself, and a
 * store put back to what a checkpoint of it holds, wholly or not at all.
 */
#include "tests/env_mem.h"
#include "tests/rounds.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEYS = 300 };

/* Every key, but for one in ten, which goes. */
static void write_round(struct lsm *db, int round)
{
    uint8_t value[2048];
    char k[16];
    int i;

    for (i = 0; i < KEYS; i++) {
        if (i % 10 == round % 10)
            ck_ok(lsm_delete(db, rounds_key(i, k)));
        else
            ck_ok(lsm_put(db, rounds_key(i, k), rounds_value(i, round, value)));
    }
}

/* Which round it stands at: all of it. */
static int round_of(struct lsm *db, int rounds)
{
    struct lsm_value v = {0};
    uint8_t value[2048];
    char k[16];
    int i, round = 0;

    ck_ok(lsm_get(db, NULL, rounds_key(KEYS - 1, k), &v));
    ck_assert_int_eq(sscanf((const char *)v.value.data, "%*d-%d", &round), 1);
    ck_assert_int_lt(round, rounds);
    for (i = 0; i < KEYS; i++) {
        int rc = lsm_get(db, NULL, rounds_key(i, k), &v);

        if (i % 10 == round % 10)
            ck_assert_int_eq(rc, -ENOENT);
        else
            ck_assert_msg(rc == 0 && slice_eq(v.value, rounds_value(i, round, value)),
                          "%s is not of round %d (%d)", k, round, rc);
    }
    lsm_value_release(&v);
    return round;
}

static struct lsm *open_at(const char *path, struct lsm_options o)
{
    struct lsm *db;

    ck_ok(lsm_open(path, &o, &db));
    ck_ok(lsm_verify(db));
    return db;
}

static void expect_round(const char *path, struct lsm_options o, int round)
{
    struct lsm *db = open_at(path, o);

    ck_assert_int_eq(round_of(db, round + 1), round);
    ck_ok(lsm_close(db));
}

/* A store "/s" with rounds 1 to n; after each a checkpoint "/c1", "/c2", ... */
static void make_history(struct lsm_options o, int n)
{
    struct lsm *db;
    char to[16];
    int i;

    o.create = true;
    ck_ok(lsm_open("/s", &o, &db));
    for (i = 1; i <= n; i++) {
        write_round(db, i);
        snprintf(to, sizeof(to), "/c%d", i);
        ck_ok(lsm_checkpoint(db, to));
    }
    ck_ok(lsm_close(db));
}

static int no_name(void *arg, const char *name)
{
    return 0;
}

/* ---- clones ---- */

static void check_clone(const char *of, int round)
{
    struct env *env = env_mem_new(1);
    struct lsm_options o = rounds_options(env), ro = o;
    struct lsm *from, *db;

    ro.read_only = true;
    make_history(o, 2);
    from = open_at(of, ro);
    ck_ok(lsm_clone(from, "/clone", NULL, NULL));
    ck_err(lsm_clone(from, "/clone", NULL, NULL), EEXIST);
    db = open_at("/clone", o);
    ck_assert_int_eq(round_of(db, 3), round);
    write_round(db, 5);
    ck_ok(lsm_compact(db, true));
    ck_assert_int_eq(round_of(from, 3), round);
    ck_ok(lsm_close(db));
    ck_ok(lsm_close(from));
    expect_round("/clone", o, 5);
    expect_round(of, o, round);
    ck_err(env_list(env, "/clone.clone-tmp", no_name, NULL), ENOENT);
    env_mem_free(env);
}

START_TEST(a_clone_of_a_store_at_rest_lives_by_itself)
{
    check_clone("/s", 2);
}
END_TEST

START_TEST(a_clone_of_a_checkpoint_lives_by_itself)
{
    check_clone("/c1", 1);
}
END_TEST

START_TEST(a_store_that_is_written_to_is_not_cloned)
{
    struct env *env = env_mem_new(1);
    struct lsm_options o = rounds_options(env);
    struct lsm *db;

    make_history(o, 1);
    db = open_at("/s", o);
    ck_err(lsm_clone(db, "/clone", NULL, NULL), EINVAL);
    ck_err(lsm_rollback("/s", "/c1", &o), EBUSY);
    ck_ok(lsm_close(db));
    env_mem_free(env);
}
END_TEST

static int count_call(void *arg, uint64_t done, uint64_t total, uint64_t position)
{
    ck_assert_uint_le(done, total);
    ck_assert_uint_eq(position, 0);
    ++*(unsigned *)arg;
    return 0;
}

/* Of the machine's two filesystems. */
START_TEST(where_no_links_can_be_made_it_is_copied)
{
    struct lsm_options o = rounds_options(NULL);
    char from[PATH_MAX], dir[] = "/dev/shm/test-clone-XXXXXX", to[64];
    struct stat a, b;
    struct lsm *db;
    unsigned calls = 0;

    snprintf(from, sizeof(from), "%s/from", test_dir());
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(to, sizeof(to), "%s/to", dir);
    o.create = true;
    ck_ok(lsm_open(from, &o, &db));
    write_round(db, 3);
    ck_ok(lsm_close(db));
    o.create = false;
    o.read_only = true;
    db = open_at(from, o);
    ck_ok(lsm_clone(db, to, count_call, &calls));
    ck_ok(lsm_close(db));
    o.read_only = false;
    expect_round(to, o, 3);
    ck_assert_int_eq(stat(from, &a), 0);
    ck_assert_int_eq(stat(to, &b), 0);
    if (a.st_dev != b.st_dev)
        ck_assert_uint_gt(calls, 0);
    snprintf(from, sizeof(from), "rm -r %s", dir);
    ck_assert_int_eq(system(from), 0);
}
END_TEST

/* What a process that was killed, or one that met a disk that fails, had not made
 * durable of the store, the clone has. */
static void check_lasting(const char *failing)
{
    struct env *env = env_mem_new(1), *after;
    struct lsm_options o = rounds_options(env), ro = o;
    struct lsm *db;

    make_history(o, 1);
    db = open_at("/s", o);
    write_round(db, 2);
    if (failing) {
        env_mem_fail_only(env, failing);
        env_mem_fail_at(env, 1, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
        ck_err(lsm_sync(db), EIO);
    }
    env_mem_stop_at(env, 0);
    lsm_close(db);
    env_mem_stop_at(env, UINT64_MAX);
    ro.read_only = true;
    db = open_at("/s", ro);
    ck_ok(lsm_clone(db, "/clone", NULL, NULL));
    ck_ok(lsm_close(db));
    after = env_mem_crash_clone(env, 1, ENV_MEM_LOSE_UNSYNCED);
    env_mem_free(env);
    o.env = after;
    expect_round("/clone", o, 2);
    env_mem_free(after);
}

START_TEST(a_clone_lasts_also_of_what_did_not)
{
    test_log_capture();
    check_lasting(NULL);
    check_lasting("*.log");
    check_lasting("*.vlog");
}
END_TEST

/* ---- rollback ---- */

START_TEST(a_store_goes_back_and_forth)
{
    static const int to[] = {1, 3, 2, 2, 1};
    struct env *env = env_mem_new(1);
    struct lsm_options o = rounds_options(env);
    struct lsm *db;
    char name[16];
    size_t i;

    make_history(o, 3);
    for (i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
        snprintf(name, sizeof(name), "/c%d", to[i]);
        ck_ok(lsm_rollback("/s", name, &o));
        db = open_at("/s", o);
        ck_assert_int_eq(round_of(db, 4), to[i]);
        write_round(db, 4 + (int)i); /* numbers that were given out are not used again */
        ck_ok(lsm_compact(db, true));
        snprintf(name, sizeof(name), "/later%zu", i);
        ck_ok(lsm_checkpoint(db, name));
        ck_ok(lsm_close(db));
    }
    for (i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
        snprintf(name, sizeof(name), "/later%zu", i);
        ck_ok(lsm_rollback("/s", name, &o));
        expect_round("/s", o, 4 + (int)i);
    }
    ck_err(env_list(env, "/s/rollback-tmp", no_name, NULL), ENOENT);
    env_mem_free(env);
}
END_TEST

START_TEST(what_is_no_checkpoint_changes_nothing)
{
    struct env *env = env_mem_new(1);
    struct lsm_options o = rounds_options(env);

    make_history(o, 2);
    ck_err(lsm_rollback("/s", "/c7", &o), ENOENT);
    ck_err(lsm_rollback("/none", "/c1", &o), ENOENT);
    expect_round("/s", o, 2);
    env_mem_free(env);
}
END_TEST

/* At each call the process ends; then the power, or only the process. */
static void check_crashes(enum env_mem_crash mode)
{
    struct env *env = env_mem_new(1);
    struct lsm_options o = rounds_options(env);
    uint64_t seed = test_seed(), at, calls;
    unsigned before = 0, after = 0;

    test_log_capture();
    make_history(o, 2);
    calls = env_mem_calls(env);
    ck_ok(lsm_rollback("/s", "/c1", &o));
    calls = env_mem_calls(env) - calls;
    env_mem_free(env);
    for (at = 0; at < calls; at++) {
        struct env *now;
        struct lsm *db;
        bool done;

        env = env_mem_new(1);
        o = rounds_options(env);
        make_history(o, 2);
        env_mem_stop_at(env, at);
        done = lsm_rollback("/s", "/c1", &o) == 0; /* only clearing up was cut off */
        now = env_mem_crash_clone(env, seed + at, mode);
        o.env = now;
        db = open_at("/s", o);
        if (round_of(db, 3) == 1)
            after++;
        else if (done)
            ck_abort_msg("it was done, and is undone");
        else
            before++;
        write_round(db, 3);
        ck_ok(lsm_close(db));
        ck_ok(lsm_rollback("/s", "/c2", &o)); /* over what was left */
        expect_round("/s", o, 2);
        ck_ok(lsm_rollback("/s", "/c1", &o));
        expect_round("/s", o, 1);
        env_mem_free(now);
        env_mem_free(env);
    }
    printf("%u crashes, %u of them before the moment\n", before + after, before);
    ck_assert_uint_gt(before, 0);
}

START_TEST(a_power_loss_leaves_the_one_or_the_other)
{
    check_crashes(ENV_MEM_KEEP_RANDOM);
}
END_TEST

START_TEST(a_death_leaves_the_one_or_the_other)
{
    check_crashes(ENV_MEM_KEEP_ALL);
}
END_TEST

/* A clone gives out the numbers that its store gives out, too: for files of the same
 * size. */
START_TEST(a_checkpoint_of_another_store_with_the_same_numbers_changes_nothing)
{
    struct env *env = env_mem_new(1);
    struct lsm_options o = rounds_options(env), ro = o;
    struct lsm *db;
    int i;

    ro.read_only = true;
    make_history(o, 1);
    db = open_at("/c1", ro);
    ck_ok(lsm_clone(db, "/other", NULL, NULL));
    ck_ok(lsm_clone(db, "/this", NULL, NULL));
    ck_ok(lsm_close(db));
    for (i = 2; i <= 3; i++) {
        db = open_at(i == 2 ? "/other" : "/this", o);
        write_round(db, i);
        if (i == 2)
            ck_ok(lsm_checkpoint(db, "/theirs"));
        ck_ok(lsm_close(db));
    }
    ck_err(lsm_rollback("/this", "/theirs", &o), EEXIST);
    expect_round("/this", o, 3);
    ck_ok(lsm_rollback("/other", "/theirs", &o));
    expect_round("/other", o, 2);
    env_mem_free(env);
}
END_TEST

/* env_mem has no links to directories. */
START_TEST(what_was_planted_as_the_place_to_build_in_is_not_emptied)
{
    char dir[] = "/tmp/test_clone-XXXXXX", store[PATH_MAX], to[PATH_MAX],
         tmp[PATH_MAX + 16];
    struct lsm_options o = rounds_options(env_posix());
    struct lsm *db;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(store, sizeof(store), "%s/store", dir);
    snprintf(to, sizeof(to), "%s/clone", dir);
    o.create = true;
    ck_ok(lsm_open(store, &o, &db));
    write_round(db, 1);
    ck_ok(lsm_close(db));
    snprintf(tmp, sizeof(tmp), "%s.clone-tmp", to);
    ck_assert_int_eq(symlink(store, tmp), 0);
    o.create = false;
    o.read_only = true;
    ck_ok(lsm_open(store, &o, &db));
    snprintf(tmp, sizeof(tmp), "%s/LOCK", store);
    ck_assert_int_eq(unlink(tmp), 0); /* as in a checkpoint */
    ck_err(lsm_clone(db, to, NULL, NULL), EEXIST);
    ck_ok(lsm_close(db));
    o.read_only = false;
    expect_round(store, o, 1);
    snprintf(tmp, sizeof(tmp), "rm -r %s", dir);
    ck_assert_int_eq(system(tmp), 0);
}
END_TEST

TEST_MAIN("clone", TEST_CASE(a_clone_of_a_store_at_rest_lives_by_itself),
          TEST_CASE(a_clone_of_a_checkpoint_lives_by_itself),
          TEST_CASE(a_store_that_is_written_to_is_not_cloned),
          TEST_CASE(where_no_links_can_be_made_it_is_copied),
          TEST_CASE(a_clone_lasts_also_of_what_did_not),
          TEST_CASE(a_store_goes_back_and_forth),
          TEST_CASE(what_is_no_checkpoint_changes_nothing),
          TEST_CASE(a_checkpoint_of_another_store_with_the_same_numbers_changes_nothing),
          TEST_CASE(what_was_planted_as_the_place_to_build_in_is_not_emptied),
          TEST_CASE_ALONE(a_power_loss_leaves_the_one_or_the_other),
          TEST_CASE_ALONE(a_death_leaves_the_one_or_the_other))
