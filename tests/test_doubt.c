/*
 * test_doubt.c - lsm/doubt.c: after a sync that failed, what the next opening, a clone or
 * a repair takes over from memory lasts, whatever ends them on the way. env_mem has it as
 * the worst filesystem does: what such a sync lost is not to be had in the same file.
 */
#include "tests/env_mem.h"
#include "tests/test.h"

#include <stdlib.h>

#include "lsm/names.h"

enum { HALF = 90, LARGE = 3000, STEP = SOAK_SANITIZED ? 7 : 1 };

static const char *const kinds[] = {"*.vlog", "*.log"}; /* whose sync fails */
enum { KINDS = 2 };

static struct env *env;
static struct lsm_options o;

static void setup(void)
{
    test_log_capture();
    env = env_mem_new(test_seed());
    lsm_options_init(&o);
    o.env = env;
    o.create = true;
    o.workers = 0;
    o.sync_interval_ms = 0;
    o.memtable_bytes = 100 << 10;
    o.memory_bytes = 4 << 20;
    o.segment_bytes = 1 << 20;
    o.separate_bytes = 1000;
    o.vlog = LSM_RAW;
}

static void teardown(void)
{
    env_mem_free(env);
}

/* ---- a store in doubt ---- */

static struct slice key_of(int i, char to[16])
{
    snprintf(to, 16, "k%06d", i);
    return slice_str(to);
}

static struct slice value_of(int i, uint8_t to[LARGE])
{
    memset(to, 'a' + i % 26, LARGE);
    return slice_of(to, i % 3 ? LARGE : 20);
}

static void put_half(struct lsm *db, int from)
{
    uint8_t value[LARGE];
    char k[16];
    int i;

    for (i = from; i < from + HALF; i++)
        ck_ok(lsm_put(db, key_of(i, k), value_of(i, value)));
}

/* Two halves; the first one was synced. */
static struct lsm *write_store(void)
{
    struct lsm *db;

    ck_ok(lsm_open("/s", &o, &db));
    put_half(db, 0);
    ck_ok(lsm_sync(db));
    put_half(db, HALF);
    return db;
}

/* The sync of the second half failed, of files of that name. */
static void make_doubtful(const char *files)
{
    struct lsm *db = write_store();

    env_mem_fail_only(env, files);
    env_mem_fail_at(env, 1, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
    ck_err(lsm_sync(db), EIO);
    ck_assert_uint_eq(env_mem_failures(env), 1);
    ck_err(lsm_close(db), EIO);
    env_mem_fail_only(env, NULL);
}

/* The process was killed before it synced the second half. */
static void make_killed(void)
{
    struct lsm *db = write_store();

    env_mem_stop_at(env, 0);
    ck_assert_int_ne(lsm_close(db), 0);
    env_mem_stop_at(env, UINT64_MAX);
}

/* ---- what is there ---- */

static void expect(struct lsm *db, int n)
{
    struct lsm_value v = {0};
    uint8_t value[LARGE];
    char k[16];
    int i;

    for (i = 0; i < n; i++) {
        ck_ok(lsm_get(db, NULL, key_of(i, k), &v));
        ck_assert(slice_eq(v.value, value_of(i, value)));
    }
    lsm_value_release(&v);
    ck_ok(lsm_verify(db)); /* which asks the disk */
}

static int no_remains(void *arg, const char *name)
{
    uint64_t number;
    enum file_kind kind = file_parse(name, &number);

    ck_assert_msg(kind != FILE_TEMP && kind != FILE_DOUBT, "%s is left", name);
    return 0;
}

static struct lsm *open_in(struct env *e, const char *path)
{
    struct lsm_options other = o;
    struct lsm *db;

    other.env = e;
    other.create = false;
    ck_ok(lsm_open(path, &other, &db));
    return db;
}

/* The first n are there after a loss of power now. */
static void expect_after_crash(const char *path, int n, enum env_mem_crash mode)
{
    struct env *after = env_mem_crash_clone(env, 1, mode);
    struct lsm *db = open_in(after, path);

    expect(db, n);
    ck_ok(lsm_close(db));
    env_mem_free(after);
}

/* The store opens, has all of it, for good, and nothing is in doubt any more. */
static void expect_all(const char *path)
{
    struct lsm *db = open_in(env, path);

    expect_after_crash(path, 2 * HALF, ENV_MEM_LOSE_UNSYNCED);
    expect(db, 2 * HALF);
    ck_ok(env_list(env, path, no_remains, NULL));
    ck_ok(lsm_close(db));
}

/* ---- opening ---- */

START_TEST(what_an_opening_takes_over_in_doubt_lasts)
{
    unsigned i;

    for (i = 0; i < KINDS; i++) {
        setup();
        make_doubtful(kinds[i]);
        expect_all("/s");
        ck_assert(!test_log_has("no room"));
        teardown();
    }
}
END_TEST

/* False: the opening made no n-th call. */
static bool die_at(uint64_t n)
{
    struct lsm *db;
    bool died;

    setup();
    make_doubtful(kinds[n % KINDS]);
    env_mem_stop_at(env, n);
    died = lsm_open("/s", &o, &db) != 0;
    env_mem_stop_at(env, UINT64_MAX);
    expect_after_crash("/s", HALF, ENV_MEM_LOSE_UNSYNCED);
    expect_after_crash("/s", HALF, ENV_MEM_KEEP_RANDOM);
    if (!died)
        ck_ok(lsm_close(db));
    expect_all("/s");
    teardown();
    return died;
}

START_TEST(an_opening_in_doubt_may_end_anywhere_and_the_next_one_has_all)
{
    uint64_t n = 0;

    while (die_at(n) || die_at(n + 1))
        n += STEP;
    ck_assert_uint_gt(n, 10);
}
END_TEST

/* False: the opening made no n-th call. */
static bool fail_at(uint64_t n)
{
    struct lsm *db;
    bool failed;
    int rc;

    setup();
    make_doubtful(kinds[n % KINDS]);
    env_mem_fail_at(env, n, EIO, ENV_MEM_ALL, ENV_MEM_ONCE);
    rc = lsm_open("/s", &o, &db);
    failed = env_mem_failures(env) == 2;
    env_mem_fail_at(env, 0, 0, 0, ENV_MEM_ONCE);
    if (!rc)
        (void)lsm_close(db); /* that may be the call's consequence */
    expect_all("/s");
    teardown();
    return failed;
}

START_TEST(any_call_of_an_opening_in_doubt_may_fail_and_the_next_one_has_all)
{
    uint64_t n = 1;

    while (fail_at(n) || fail_at(n + 1))
        n += STEP;
    ck_assert_uint_gt(n, 20);
}
END_TEST

static void open_again(void)
{
    struct lsm *db = open_in(env, "/s");

    ck_ok(env_list(env, "/s", no_remains, NULL));
    env_mem_set_space(env, UINT64_MAX);
    ck_ok(lsm_close(db));
}

START_TEST(on_a_full_disk_the_reserve_is_room_for_the_copies)
{
    setup();
    make_doubtful("*.vlog");
    env_mem_set_space(env, env_mem_used(env) + (16 << 10));
    open_again();
    ck_assert(!test_log_has("no room for a copy"));
    expect_all("/s");
    teardown();
}
END_TEST

START_TEST(without_room_for_a_copy_it_opens_and_says_so)
{
    setup();
    make_doubtful("*.vlog");
    env_mem_fail_only(env, "*.tmp");
    env_mem_fail_at(env, 1, ENOSPC, ENV_MEM_APPEND, ENV_MEM_ONCE);
    open_again();
    ck_assert(test_log_has("no room for a copy"));
    teardown();
}
END_TEST

/* ---- clones and repairs ---- */

static int make_clone(void)
{
    struct lsm_options ro = o;
    struct lsm *from;
    int rc;

    ro.read_only = true;
    ro.create = false;
    ck_ok(lsm_open("/s", &ro, &from));
    rc = lsm_clone(from, "/clone", NULL, NULL);
    ck_ok(lsm_close(from));
    return rc;
}

START_TEST(what_a_clone_takes_over_in_doubt_lasts)
{
    unsigned i;

    for (i = 0; i < KINDS; i++) {
        setup();
        make_doubtful(kinds[i]);
        ck_ok(make_clone());
        expect_after_crash("/clone", 2 * HALF, ENV_MEM_LOSE_UNSYNCED);
        expect_all("/clone");
        expect_all("/s");
        teardown();
    }
}
END_TEST

START_TEST(a_sync_that_fails_in_a_clone_leaves_doubt)
{
    unsigned i;

    for (i = 0; i < KINDS; i++) {
        setup();
        make_killed();
        env_mem_fail_only(env, kinds[i]);
        env_mem_fail_at(env, 1, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
        ck_err(make_clone(), EIO);
        ck_ok(make_clone());
        expect_after_crash("/clone", 2 * HALF, ENV_MEM_LOSE_UNSYNCED);
        expect_all("/s");
        teardown();
    }
}
END_TEST

static int drop_manifest(void *arg, const char *name)
{
    uint64_t number;
    char path[NAME_BYTES + 4];

    if (file_parse(name, &number) != FILE_MANIFEST)
        return 0;
    snprintf(path, sizeof(path), "/s/%s", name);
    return env_unlink(env, path);
}

START_TEST(what_a_repair_takes_over_in_doubt_lasts)
{
    unsigned i;

    for (i = 0; i < 2 * KINDS; i++) {
        setup();
        make_doubtful(kinds[i % KINDS]);
        if (i / KINDS)
            ck_ok(env_list(env, "/s", drop_manifest, NULL));
        ck_ok(lsm_repair("/s", &o, NULL, NULL, NULL));
        expect_after_crash("/s", 2 * HALF, ENV_MEM_LOSE_UNSYNCED);
        expect_all("/s");
        teardown();
    }
}
END_TEST

/* False: the repair syncs fewer files. */
static bool repair_failing_at(uint64_t n)
{
    bool failed;

    setup();
    make_killed();
    env_mem_fail_at(env, n, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
    failed = lsm_repair("/s", &o, NULL, NULL, NULL) != 0;
    ck_assert_uint_eq(env_mem_failures(env), failed);
    env_mem_fail_at(env, 0, 0, 0, ENV_MEM_ONCE);
    ck_ok(lsm_repair("/s", &o, NULL, NULL, NULL));
    expect_after_crash("/s", 2 * HALF, ENV_MEM_LOSE_UNSYNCED);
    expect_all("/s");
    teardown();
    return failed;
}

START_TEST(a_sync_that_fails_in_a_repair_leaves_doubt)
{
    uint64_t n = 1;

    while (repair_failing_at(n))
        n++;
    ck_assert_uint_gt(n, 3);
}
END_TEST

TEST_MAIN(
    "doubt", TEST_CASE_ALONE(what_an_opening_takes_over_in_doubt_lasts),
    TEST_CASE_ALONE(an_opening_in_doubt_may_end_anywhere_and_the_next_one_has_all),
    TEST_CASE_ALONE(any_call_of_an_opening_in_doubt_may_fail_and_the_next_one_has_all),
    TEST_CASE_ALONE(on_a_full_disk_the_reserve_is_room_for_the_copies),
    TEST_CASE_ALONE(without_room_for_a_copy_it_opens_and_says_so),
    TEST_CASE_ALONE(what_a_clone_takes_over_in_doubt_lasts),
    TEST_CASE_ALONE(a_sync_that_fails_in_a_clone_leaves_doubt),
    TEST_CASE_ALONE(what_a_repair_takes_over_in_doubt_lasts),
    TEST_CASE_ALONE(a_sync_that_fails_in_a_repair_leaves_doubt))
