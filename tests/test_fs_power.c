/*
 * test_fs_power.c - power loss, process death and faults at the calls to the disk of
 * every operation of fs.h (fs_load.h). The load runs once to its end, and the tree is
 * noted after each operation, all that can be read of it; it must agree with the model.
 * Then it is run again and stopped after each call (in `make test`: after some, drawn):
 * the tree found at the next mount must be one of those noted, not before the last sync,
 * and fs_check must find nothing. Half of the mounts crash too, before one is let be.
 */
#include <stdlib.h>

#include "tests/fs_load.h"

enum {
    CALLS_MAX = 20000,
    RUNS = SOAK_SANITIZED ? 12 : 100,      /* of a load; in make soak: at all calls */
    FAULT_STEP = SOAK_SANITIZED ? 97 : 23, /* calls from one that fails to the next */
};

static struct fs_load l;
static uint64_t noted[FS_LOAD_OPS + 2]; /* noted[i]: after i operations */
static uint8_t kind_of_call[CALLS_MAX];
static uint64_t first_call, calls; /* of the operations: (first, calls] */
static unsigned points[FS_LOAD_KINDS], all_points[FS_LOAD_KINDS];

/* Run to the end, noting. False: by chance there is nothing of some kind in it. */
static bool run_noting(uint64_t seed)
{
    bool all = true;
    struct lsm_stats s;
    uint64_t call;
    unsigned i;

    fs_load_begin(&l, seed);
    first_call = call = env_mem_calls(l.env);
    memset(all_points, 0, sizeof(all_points));
    fs_load_print(&l, &noted[0]);
    while (l.done < FS_LOAD_OPS) {
        uint64_t print;

        ck_ok(fs_load_step(&l));
        calls = env_mem_calls(l.env);
        ck_assert_uint_lt(calls, CALLS_MAX);
        for (; call < calls; call++) {
            kind_of_call[call + 1] = (uint8_t)l.kind;
            all_points[l.kind]++;
        }
        print = fs_load_print(&l, &noted[l.done]);
        ck_assert_msg(print == fs_load_model_print(&l),
                      "operation %u (%s): not the model", l.done, fs_load_names[l.kind]);
    }
    for (i = 0; i < FS_LOAD_KINDS; i++)
        all = all && (SOAK_SANITIZED || l.succeeded[i] > 0);
    lsm_get_stats(l.db, &s);
    ck_assert_uint_gt(s.flushes, 0);
    ck_assert(SOAK_SANITIZED || s.compactions > 0);
    fs_load_end(&l);
    env_mem_free(l.env);
    return all;
}

/* The first seed from `seed` on whose load has all kinds of operations. */
static uint64_t probe(uint64_t seed)
{
    unsigned tries = 0;

    while (!run_noting(seed + tries))
        ck_assert_msg(++tries < 20, "20 loads, and none has all kinds");
    return seed + tries;
}

/* ---- crashes ---- */

/* The tree in env is one of those noted from `least` to `most` operations. */
static void check_found(struct env *env, unsigned least, unsigned most, const char *what)
{
    struct fs_load found = {.env = env};
    uint64_t print;
    unsigned i;

    ck_ok(fs_load_mount(&found));
    fs_load_check(&found);
    fs_load_print(&found, &print);
    for (i = least; i <= most && noted[i] != print; i++)
        ;
    ck_assert_msg(i <= most, "%s: a tree that never was, or before %u", what, least);
    ck_ok(fs_unmount(found.fs));
    fs_load_check(&found);
    ck_ok(lsm_close(found.db));
}

/* A mount of what is in *env crashes; *env becomes what that leaves. */
static void crash_mount(struct env **env, uint64_t *rng)
{
    struct fs_load dying = {.env = *env};
    struct env *after;

    env_mem_stop_at(*env, test_below(rng, 50));
    if (fs_load_mount(&dying) == 0)
        (void)fs_load_unmount(&dying);
    after = env_mem_crash_clone(*env, test_random(rng), ENV_MEM_KEEP_RANDOM);
    env_mem_free(*env);
    *env = after;
}

static void crash_once(uint64_t seed, uint64_t call, enum env_mem_crash mode)
{
    uint64_t rng = (seed ^ call) | 1;
    unsigned most, least;
    struct env *after;
    char what[100];

    fs_load_begin(&l, seed);
    env_mem_stop_at(l.env, call - first_call);
    while (l.done < FS_LOAD_OPS && fs_load_step(&l) == 0)
        ;
    after = env_mem_crash_clone(l.env, seed + call, mode);
    least = mode == ENV_MEM_KEEP_ALL ? l.done : l.synced;
    most = l.done < FS_LOAD_OPS ? l.done + 1 : l.done; /* the one under way */
    snprintf(what, sizeof(what), "call %llu (%s), mode %d, in operation %u",
             (unsigned long long)call, fs_load_names[kind_of_call[call]], mode, l.done);
    while (call % 2 && test_below(&rng, 2))
        crash_mount(&after, &rng);
    check_found(after, least, most, what);
    env_mem_free(after);
    fs_load_end(&l);
    env_mem_free(l.env);
    points[kind_of_call[call]]++;
}

static void print_points(const char *what, unsigned long long n)
{
    unsigned i;

    printf("%s: %llu crash points of %llu\n", what, n,
           (unsigned long long)(calls - first_call));
    for (i = 0; i < FS_LOAD_KINDS; i++)
        printf("  %-14s %5u of %5u%s", fs_load_names[i], points[i], all_points[i],
               i % 3 == 2 || i + 1 == FS_LOAD_KINDS ? "\n" : "");
    fflush(stdout);
}

static void crash_everywhere(struct soak *s, enum env_mem_crash mode, const char *what)
{
    uint64_t seed = soak_seed(s), rng = seed | 1, step = 1, call, n = 0;

    if (!getenv("VERBOSE"))
        test_log_capture();
    memset(points, 0, sizeof(points));
    seed = probe(seed);
    if (!getenv("SOAK"))
        step = (calls - first_call) / RUNS + 1;
    for (call = first_call + 1 + test_below(&rng, step); call <= calls; call += step, n++)
        crash_once(seed, call, mode);
    print_points(what, n);
    s->crashes += n;
    s->operations += n * FS_LOAD_OPS;
}

START_TEST(after_the_process_dies_all_that_returned_is_there)
{
    struct soak s;

    for (soak_begin(&s); soak_once(&s);)
        crash_everywhere(&s, ENV_MEM_KEEP_ALL, "process death");
    soak_end(&s);
}
END_TEST

START_TEST(after_power_loss_all_that_was_synced_is_there)
{
    struct soak s;

    for (soak_begin(&s); soak_once(&s);)
        crash_everywhere(&s, ENV_MEM_LOSE_UNSYNCED, "power loss");
    soak_end(&s);
}
END_TEST

START_TEST(after_power_loss_with_random_remains_too)
{
    struct soak s;

    for (soak_begin(&s); soak_once(&s);)
        crash_everywhere(&s, ENV_MEM_KEEP_RANDOM, "power loss, with remains");
    soak_end(&s);
}
END_TEST

/* ---- faults ---- */

/* The operation under way failed for the store's sake. It did not happen, unless it was a
 * sync that failed: then nothing is taken any more, and no later sync says otherwise. */
static void settle(int rc)
{
    struct lsm_stats s;
    struct fs_attr a;

    ck_assert_msg(rc == -EIO || rc == -ENOSPC || rc == -EROFS, "errno %d", -rc);
    ck_assert_msg(fs_load_print(&l, NULL) == fs_load_model_print(&l),
                  "a %s that failed (%d) was done", fs_load_names[l.kind], rc);
    lsm_get_stats(l.db, &s);
    if (!s.background_error)
        return;
    ck_assert_int_ne(fs_sync(l.fs), 0);
    ck_assert_int_ne(fs_fsync(l.fs, FS_ROOT), 0);
    rc = fs_mkdir(l.fs, &(struct fs_cred){0}, FS_ROOT, "no", 0755, &a);
    ck_assert_msg(rc == -EROFS || rc == -EDQUOT, "errno %d", -rc);
}

/* Mount again; everything that returned is there. What was open is closed. */
static void mount_again(void)
{
    unsigned i;

    for (i = 0; i < FS_LOAD_OPEN_MAX; i++) {
        if (l.opened[i])
            model_close(&l.m, l.opened[i]);
        l.opened[i] = NULL;
    }
    (void)fs_load_unmount(&l); /* it may say what failed before */
    ck_ok(fs_load_mount(&l));
    ck_assert_uint_eq(fs_load_print(&l, NULL), fs_load_model_print(&l));
    fs_load_check(&l);
}

/* What a mount took over after a sync that failed lasts from then on. */
static void lose_power(void)
{
    struct fs_load found = {.env = env_mem_crash_clone(l.env, 1, ENV_MEM_LOSE_UNSYNCED)};

    ck_ok(fs_load_mount(&found));
    fs_load_check(&found);
    ck_assert_uint_eq(fs_load_print(&found, NULL), fs_load_model_print(&l));
    (void)fs_load_unmount(&found);
    env_mem_free(found.env);
}

/* False: there is no n-th call. */
static bool fail_once(uint64_t seed, uint64_t n, int err, unsigned kinds)
{
    bool happened;
    int rc;

    fs_load_begin(&l, seed);
    env_mem_fail_at(l.env, n, err, kinds, ENV_MEM_ONCE);
    while (l.done < FS_LOAD_OPS) {
        struct lsm_stats s;

        rc = fs_load_step(&l);
        lsm_get_stats(l.db, &s);
        if (!rc)
            continue;
        l.done++;
        settle(rc);
        if (s.background_error || err == EIO)
            mount_again();
        if (s.background_error)
            lose_power();
    }
    happened = env_mem_failures(l.env) > 0;
    env_mem_fail_at(l.env, 0, 0, 0, ENV_MEM_ONCE);
    mount_again();
    ck_ok(fs_load_unmount(&l));
    fs_load_end(&l);
    env_mem_free(l.env);
    return happened;
}

static void fail_each(struct soak *s, const char *what, int err, unsigned kinds)
{
    uint64_t seed = soak_seed(s), rng = seed | 1, step = 1, n, faults = 0;
    bool happened;

    if (!getenv("VERBOSE"))
        test_log_capture();
    if (!getenv("SOAK"))
        step = FAULT_STEP;
    n = 1 + test_below(&rng, step);
    while (!(happened = fail_once(seed, n, err, kinds)) && n > 1)
        n = (n + 1) / 2; /* there are fewer */
    for (; happened; happened = fail_once(seed, n, err, kinds)) {
        faults++;
        n += step;
    }
    printf("%s: %llu calls of %llu failed\n", what, (unsigned long long)faults,
           (unsigned long long)n);
    fflush(stdout);
    ck_assert_uint_gt(faults, 0);
    s->crashes += faults;
    s->operations += faults * FS_LOAD_OPS;
}

enum {
    READ_KINDS = ENV_MEM_OPEN_READ | ENV_MEM_READ | ENV_MEM_LIST | ENV_MEM_STAT,
    ROOM_KINDS =
        ENV_MEM_OPEN | ENV_MEM_APPEND | ENV_MEM_RENAME | ENV_MEM_LINK | ENV_MEM_MKDIR,
};

START_TEST(a_write_that_fails_is_told_and_did_not_happen)
{
    struct soak s;

    for (soak_begin(&s); soak_once(&s);)
        fail_each(&s, "EIO, writing", EIO, ENV_MEM_ALL & ~READ_KINDS);
    soak_end(&s);
}
END_TEST

START_TEST(a_read_that_fails_is_told_and_breaks_nothing)
{
    struct soak s;

    for (soak_begin(&s); soak_once(&s);)
        fail_each(&s, "EIO, reading", EIO, READ_KINDS);
    soak_end(&s);
}
END_TEST

START_TEST(a_disk_that_is_full_for_a_moment_breaks_nothing)
{
    struct soak s;

    for (soak_begin(&s); soak_once(&s);)
        fail_each(&s, "ENOSPC", ENOSPC, ROOM_KINDS);
    soak_end(&s);
}
END_TEST

TEST_MAIN("fs power", TEST_CASE_SOAK(after_the_process_dies_all_that_returned_is_there),
          TEST_CASE_SOAK(after_power_loss_all_that_was_synced_is_there),
          TEST_CASE_SOAK(after_power_loss_with_random_remains_too),
          TEST_CASE_SOAK(a_write_that_fails_is_told_and_did_not_happen),
          TEST_CASE_SOAK(a_read_that_fails_is_told_and_breaks_nothing),
          TEST_CASE_SOAK(a_disk_that_is_full_for_a_moment_breaks_nothing))
