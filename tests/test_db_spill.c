/*
 * test_db_spill.c - logs that hold more than memory may: opening makes tables of them,
 * and whatever happens meanwhile, all that was written is there in the end.
 */
#include "tests/env_mem.h"
#include "tests/soak.h"
#include "tests/test.h"

#include <stdlib.h>

#include "lsm/names.h"

enum {
    KEYS = 3000,
    LARGE = 600, /* of every 50th value, which goes to the value log */
    GONE_FROM = 2000,
    GONE_TO = 2100, /* deleted as a range */
    STRIDE = SOAK_SANITIZED ? 7 : 1,
    ROOM_KINDS = ENV_MEM_OPEN | ENV_MEM_APPEND | ENV_MEM_RENAME | ENV_MEM_LINK,
    WRITE_KINDS = ROOM_KINDS | ENV_MEM_SYNC | ENV_MEM_SYNC_DIR,
};

static struct lsm_options o;

static struct slice key_of(unsigned i, char to[16])
{
    snprintf(to, 16, "%06u", i * 7919 % KEYS);
    return slice_str(to);
}

static bool is_there(unsigned i)
{
    unsigned at = i * 7919 % KEYS;

    return i % 7 && (at < GONE_FROM || at >= GONE_TO);
}

/* A store whose log holds everything, as a crash leaves it: the memtable was large. */
static struct env *crashed(void)
{
    struct env *env = env_mem_new(1), *after;
    struct lsm_batch *b = lsm_batch_new();
    uint8_t large[LARGE];
    struct lsm *db;
    char key[16], to[16];
    unsigned i;

    memset(large, 'x', LARGE);
    lsm_options_init(&o);
    o.env = env;
    o.create = true;
    o.workers = 0;
    o.memtable_bytes = 2 << 20;
    o.separate_bytes = LARGE;
    o.vlog = LSM_RAW;
    o.sync_interval_ms = 0;
    ck_ok(lsm_open("/s", &o, &db));
    for (i = 0; i < KEYS; i++)
        ck_ok(lsm_put(db, key_of(i, key), slice_str("old")));
    snprintf(key, sizeof(key), "%06u", GONE_FROM);
    snprintf(to, sizeof(to), "%06u", GONE_TO);
    lsm_batch_delete_range(b, slice_str(key), slice_str(to));
    ck_ok(lsm_write(db, b, LSM_NOSYNC));
    lsm_batch_free(b);
    for (i = 0; i < KEYS; i++)
        if (i % 7 == 0)
            ck_ok(lsm_delete(db, key_of(i, key)));
        else if (is_there(i))
            ck_ok(lsm_put(db, key_of(i, key),
                          i % 50 ? slice_str("n") : slice_of(large, LARGE)));
    ck_ok(lsm_sync(db));
    after = env_mem_crash_clone(env, 1, ENV_MEM_LOSE_UNSYNCED);
    ck_ok(lsm_close(db));
    env_mem_free(env);
    o.memtable_bytes = 16 << 10;
    o.memory_bytes = 1 << 20;
    return after;
}

static int open_in(struct env *env, struct lsm **db)
{
    o.env = env;
    return lsm_open("/s", &o, db);
}

static void expect_all(struct lsm *db)
{
    struct lsm_value v = {0};
    char key[16];
    unsigned i;
    int rc;

    for (i = 0; i < KEYS; i++) {
        rc = lsm_get(db, NULL, key_of(i, key), &v);
        ck_assert_msg(rc == (is_there(i) ? 0 : -ENOENT), "%s: %d", key, rc);
        if (!rc)
            ck_assert_uint_eq(v.value.len, i % 50 ? 1 : LARGE);
    }
    lsm_value_release(&v);
}

/* Opened again without a fault: all is there, and fits. */
static void expect_store(struct env *env)
{
    struct lsm *db;

    ck_ok(open_in(env, &db));
    expect_all(db);
    ck_ok(lsm_verify(db));
    ck_ok(lsm_close(db));
}

static int count_table(void *arg, const char *name)
{
    uint64_t number;

    *(unsigned *)arg += file_parse(name, &number) == FILE_TABLE;
    return 0;
}

static unsigned tables(struct env *env)
{
    unsigned n = 0;

    ck_ok(env_list(env, "/s", count_table, &n));
    return n;
}

START_TEST(what_logs_hold_beyond_memory_becomes_tables)
{
    struct env *env = crashed();
    struct lsm_stats s;
    struct lsm *db;

    ck_ok(open_in(env, &db));
    lsm_get_stats(db, &s);
    ck_assert_uint_ge(s.level[0].tables, 3);
    ck_assert_uint_lt(s.memtable_bytes, (o.memtables + 1) * o.memtable_bytes);
    ck_assert_uint_gt(s.recovered_batches, KEYS);
    expect_all(db);
    ck_ok(lsm_put(db, slice_str("more"), slice_str("x")));
    ck_ok(lsm_close(db));
    expect_store(env);
    env_mem_free(env);
}
END_TEST

START_TEST(who_may_not_write_reads_it_all_the_same)
{
    struct env *env = crashed();
    uint64_t calls = env_mem_calls(env);
    struct lsm *db;

    o.create = false;
    o.read_only = true;
    ck_ok(open_in(env, &db));
    expect_all(db);
    ck_ok(lsm_close(db));
    ck_assert_uint_le(env_mem_calls(env), calls + 1); /* the lock */
    env_mem_free(env);
}
END_TEST

static int refuse(void *arg, struct lsm *db)
{
    (void)arg;
    expect_all(db);
    return -EPERM;
}

START_TEST(nothing_of_it_stays_when_the_store_is_not_wanted)
{
    struct env *env = crashed();
    struct lsm *db;

    o.accept = refuse;
    ck_err(open_in(env, &db), EPERM);
    ck_assert_uint_eq(tables(env), 0);
    o.accept = NULL;
    expect_store(env);
    env_mem_free(env);
}
END_TEST

/* False: it takes no n calls. */
static bool crash_after(struct env *base, uint64_t n)
{
    static const enum env_mem_crash modes[] = {ENV_MEM_LOSE_UNSYNCED, ENV_MEM_KEEP_RANDOM,
                                               ENV_MEM_KEEP_ALL};
    struct env *env = env_mem_crash_clone(base, 1, ENV_MEM_KEEP_ALL), *after;
    struct lsm *db;
    bool all;

    env_mem_stop_at(env, n);
    all = open_in(env, &db) == 0;
    after = env_mem_crash_clone(env, n, modes[n % 3]);
    if (all)
        (void)lsm_close(db);
    env_mem_free(env);
    expect_store(after);
    env_mem_free(after);
    return !all;
}

START_TEST(a_crash_after_any_call_loses_nothing)
{
    struct env *base = crashed();
    uint64_t n;

    if (!getenv("VERBOSE"))
        test_log_capture();
    for (n = 0; crash_after(base, n); n += STRIDE)
        ;
    printf("%llu calls of an open that makes tables\n", (unsigned long long)n);
    ck_assert_uint_gt(n, 20);
    env_mem_free(base);
}
END_TEST

static bool fail_from(struct env *base, uint64_t n, int err, enum env_mem_how how)
{
    struct env *env = env_mem_crash_clone(base, 1, ENV_MEM_KEEP_ALL);
    struct lsm *db;
    bool reached;
    int rc;

    env_mem_fail_at(env, n, err, err == ENOSPC ? ROOM_KINDS : WRITE_KINDS, how);
    rc = open_in(env, &db);
    ck_assert(rc == 0 || rc == -err);
    if (rc == 0) {
        expect_all(db);
        (void)lsm_close(db);
    }
    reached = env_mem_failures(env) > 0;
    env_mem_fail_at(env, 0, 0, 0, ENV_MEM_ONCE);
    expect_store(env);
    env_mem_free(env);
    return reached;
}

START_TEST(any_call_may_fail_and_the_next_open_has_it_all)
{
    struct env *base = crashed();
    uint64_t n;

    if (!getenv("VERBOSE"))
        test_log_capture();
    for (n = 1; fail_from(base, n, EIO, ENV_MEM_ONCE); n += STRIDE)
        ;
    for (n = 1; fail_from(base, n, ENOSPC, ENV_MEM_FOREVER); n += STRIDE)
        ;
    ck_assert_uint_gt(n, 10);
    env_mem_free(base);
}
END_TEST

TEST_MAIN("db_spill", TEST_CASE_ALONE(what_logs_hold_beyond_memory_becomes_tables),
          TEST_CASE_ALONE(who_may_not_write_reads_it_all_the_same),
          TEST_CASE_ALONE(nothing_of_it_stays_when_the_store_is_not_wanted),
          TEST_CASE_ALONE(a_crash_after_any_call_loses_nothing),
          TEST_CASE_ALONE(any_call_may_fail_and_the_next_open_has_it_all))
