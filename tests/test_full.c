/*
 * test_full.c - a full disk where it is met seldom by chance: at each call of a close,
 * by writers that wait for a memtable, by writers that wait for the value log, and amid
 * the values of a batch. (Full at any moment of a load: test_faults.c.)
 */
#include "tests/env_mem.h"
#include "tests/test.h"

#include <stdlib.h>

enum {
    KEYS = 300,
    VALUE = 600, /* of which every other goes to the value log */
    WAITED_MS = 20,
    ROUNDS = 20,
    KEPT = 100000, /* keys from here on are written once: all segments hold some */
    /* What asks for room. */
    ROOM_KINDS = ENV_MEM_OPEN | ENV_MEM_APPEND | ENV_MEM_RENAME | ENV_MEM_LINK,
};

static struct env *env;
static struct lsm *db;
static struct lsm_options o;

static void begin(unsigned workers)
{
    test_log_capture();
    env = env_mem_new(1);
    lsm_options_init(&o);
    o.env = env;
    o.create = true;
    o.workers = workers;
    o.memtable_bytes = 16 << 10;
    o.memory_bytes = 1 << 20;
    o.segment_bytes = 64 << 10;
    o.separate_bytes = VALUE;
    o.vlog = LSM_RAW;
    o.sync_interval_ms = 0;
    ck_ok(lsm_open("/s", &o, &db));
}

static void reopen(void)
{
    ck_ok(lsm_open("/s", &o, &db));
}

static void reopen_now(void)
{
    ck_ok(lsm_close(db));
    reopen();
}

static void end(void)
{
    ck_ok(lsm_verify(db));
    ck_ok(lsm_close(db));
    env_mem_free(env);
}

static void fault(uint64_t n, unsigned kinds, const char *only, enum env_mem_how how)
{
    env_mem_fail_only(env, only);
    env_mem_fail_at(env, n, ENOSPC, kinds, how);
}

static void no_fault(void)
{
    fault(0, 0, NULL, ENV_MEM_ONCE);
}

static int put(unsigned i, unsigned version)
{
    size_t len = i % 2 ? VALUE : 40;
    uint8_t value[VALUE];
    char key[16];

    memset(value, (int)(i * 31 + version), len);
    snprintf(key, sizeof(key), "%06u", i);
    return lsm_put(db, slice_str(key), slice_of(value, len));
}

static int delete (unsigned i)
{
    char key[16];

    snprintf(key, sizeof(key), "%06u", i);
    return lsm_delete(db, slice_str(key));
}

static void expect(unsigned i, unsigned version)
{
    struct lsm_value v = {0};
    char key[16];

    snprintf(key, sizeof(key), "%06u", i);
    ck_ok(lsm_get(db, NULL, slice_str(key), &v));
    ck_assert_uint_eq(v.value.len, i % 2 ? VALUE : 40);
    ck_assert_uint_eq(v.value.data[v.value.len - 1], (uint8_t)(i * 31 + version));
    lsm_value_release(&v);
}

static struct lsm_stats stats(void)
{
    struct lsm_stats s;

    lsm_get_stats(db, &s);
    return s;
}

/* ---- closing ---- */

/* Regression: the last edit, and CURRENT, did without the reserve, and without them the
 * store was said to be lost. */
static bool close_when_full_from(uint64_t n, enum env_mem_how how)
{
    uint64_t before;
    unsigned i;

    begin(0);
    for (i = 0; i < KEYS; i++)
        ck_ok(put(i, 1));
    before = env_mem_failures(env);
    fault(n, ROOM_KINDS, NULL, how);
    ck_ok(lsm_close(db));
    no_fault();
    reopen();
    for (i = 0; i < KEYS; i++)
        expect(i, 1);
    ck_ok(put(0, 2));
    before = env_mem_failures(env) - before;
    end();
    return before > 0;
}

START_TEST(closing_succeeds_whenever_the_disk_gets_full)
{
    uint64_t n;

    for (n = 1; close_when_full_from(n, ENV_MEM_FOREVER); n++)
        ck_assert(close_when_full_from(n, ENV_MEM_ONCE));
    printf("%llu calls of a close asked for room\n", (unsigned long long)(n - 1));
    ck_assert_uint_ge(n, 5);
}
END_TEST

/* ---- waiting ---- */

/* Tables cannot be written, logs can: memtables fill up, and who deletes has to wait for
 * one, which fails. */
START_TEST(who_waits_for_a_memtable_hears_that_the_disk_is_full)
{
    unsigned i, stalls, deleted = 0;
    int rc = 0;

    begin(1);
    for (i = 0; i < KEYS; i++)
        ck_ok(put(i, 1));
    ck_ok(lsm_flush(db));
    fault(1, ROOM_KINDS, "*.sst", ENV_MEM_FOREVER);
    stalls = (unsigned)stats().stalls;
    for (i = 0; !rc && i < 100000; i++) {
        rc = delete (i % KEYS);
        deleted += !rc;
    }
    ck_assert_int_eq(rc, -ENOSPC);
    ck_assert_uint_gt(stats().stalls, stalls);
    ck_assert_uint_gt(deleted, 0);
    ck_soon(stats().disk_full); /* but between a look at the room and the next try */
    ck_assert_int_eq(stats().background_error, 0);
    ck_err(put(0, 2), ENOSPC);
    no_fault();
    ck_soon(put(0, 2) == 0);
    expect(0, 2);
    for (i = 1; i < KEYS; i++) {
        ck_ok(delete (i));
        ck_ok(put(i, 3));
    }
    ck_ok(lsm_close(db));
    reopen();
    for (i = 1; i < KEYS; i++)
        expect(i, 3);
    end();
}
END_TEST

/* An overwriting took its time. */
static bool put_waits(unsigned i, unsigned version)
{
    uint64_t start = env_now_ns(env_posix());
    int rc = put(i, version);

    ck_assert(rc == 0 || rc == -ENOSPC);
    return env_now_ns(env_posix()) - start >= WAITED_MS * 1000000;
}

static bool too_large(uint64_t live)
{
    struct lsm_stats s = stats();

    return s.disk_bytes > lsm_space_bound(&o, live, s.level[4].bytes);
}

/* Garbage beyond its bound, which cannot be collected, as that makes tables: who
 * overwrites waits for a collection until it fails (a price alone takes no time here, as
 * the clock jumps), and is refused or goes on. */
START_TEST(who_waits_for_the_value_log_hears_of_a_collection_that_fails)
{
    unsigned i, round;
    uint64_t live;
    int rc;

    begin(0);
    ck_ok(lsm_close(db));
    o.garbage_ratio = 0;
    reopen();
    for (round = 0; round < ROUNDS; round++)
        for (i = 0; i < KEYS; i++)
            ck_ok(put(i % 20 == 1 ? KEPT + round * KEYS + i : i, round));
    ck_ok(lsm_close(db));
    o.garbage_ratio = 0.1;
    o.workers = 1;
    /* The first table is that of the flush with which collecting begins. */
    fault(2, ENV_MEM_OPEN, "*.sst", ENV_MEM_FOREVER);
    reopen();
    rc = put(3, round);
    ck_assert(rc == 0 || rc == -ENOSPC); /* whoever opens may have met it already */
    rc = lsm_flush(db);                  /* which the flusher may have done already */
    ck_assert(rc == 0 || rc == -ENOSPC);
    ck_soon(put_waits(3, round));
    ck_soon(stats().retry_error == -ENOSPC); /* it took long as the machine was busy */
    ck_assert_int_eq(stats().background_error, 0);
    no_fault();
    ck_soon(put(3, round) == 0);
    ck_soon(lsm_compact(db, true) == 0);
    /* What a worker was collecting goes when it is done. */
    live = (KEYS / 2 + ROUNDS * KEYS / 20) * (uint64_t)(VALUE + 24);
    ck_soon(!too_large(live));
    for (i = 0; i < KEYS; i++)
        if (i % 20 == 1)
            expect(KEPT + i, 0);
        else
            expect(i, i == 3 ? round : round - 1);
    end();
}
END_TEST

/* ---- many large values at once ---- */

enum { MANY = 40, MOST = 50000 };

static size_t many_len(unsigned i)
{
    return i % 7 == 3 ? VALUE / 2 : i * 7919 % MOST;
}

/* Some fill a segment, some share a write; between them are parts of another. */
static int put_many(bool deletes)
{
    static uint8_t value[MOST];
    struct lsm_batch *b = lsm_batch_new();
    char key[16];
    unsigned i;
    int rc;

    for (i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "many%02u", i);
        memset(value, (int)i, sizeof(value));
        if (i % 7 == 3)
            lsm_batch_share(b, slice_str(key), slice_str("000001"), 0, VALUE / 2);
        else
            lsm_batch_put(b, slice_str(key), slice_of(value, many_len(i)));
    }
    if (deletes)
        lsm_batch_delete(b, slice_str("000000"));
    rc = lsm_write(db, b, LSM_NOSYNC);
    lsm_batch_free(b);
    return rc;
}

static void expect_many(bool there)
{
    struct lsm_value v = {0};
    char key[16];
    unsigned i;
    size_t len;

    for (i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "many%02u", i);
        if (!there) {
            ck_err(lsm_get_len(db, NULL, slice_str(key), &len), ENOENT);
            continue;
        }
        ck_ok(lsm_get(db, NULL, slice_str(key), &v));
        ck_ok(lsm_get_len(db, NULL, slice_str(key), &len));
        ck_assert_uint_eq(v.value.len, many_len(i));
        ck_assert_uint_eq(len, v.value.len);
        if (len)
            ck_assert_uint_eq(v.value.data[len - 1], i % 7 == 3 ? 31 + 1 : i);
    }
    lsm_value_release(&v);
}

/* True: the n-th append to the value log was made, and failed. */
static bool many_when_full_at(uint64_t n, bool deletes)
{
    uint64_t before;
    int rc;

    begin(0);
    ck_ok(put(0, 1));
    ck_ok(put(1, 1));
    before = env_mem_failures(env);
    fault(n, ENV_MEM_APPEND, "*.vlog", ENV_MEM_ONCE);
    rc = put_many(deletes);
    before = env_mem_failures(env) - before;
    no_fault();
    if (before && !deletes) {
        ck_err(rc, ENOSPC);
        expect_many(false);
        reopen_now();
        rc = put_many(false);
    }
    ck_ok(rc); /* who deletes gets a second try by itself */
    expect_many(true);
    ck_ok(lsm_compact(db, true));
    expect_many(true);
    reopen_now();
    expect_many(true);
    end();
    return before > 0;
}

START_TEST(many_values_are_all_there_or_none_wherever_the_disk_is_full)
{
    unsigned deletes;
    uint64_t n;

    for (deletes = 0; deletes < 2; deletes++) {
        for (n = 1; many_when_full_at(n, deletes); n++)
            ;
        ck_assert_uint_gt(n, 3);
    }
}
END_TEST

/* ---- collecting ---- */

enum { DISK = 2 << 20, FILES = 20000 };

static bool is_written(unsigned i, int rc)
{
    ck_assert(rc == 0 || rc == -ENOSPC);
    return rc == 0 && i < FILES;
}

/*
 * Regression: a collection moved as much as it does when there is room: it took all of
 * the reserve, failed, left what it had moved, and was tried again, until there was no
 * room to delete, to flush, nor for the edit that would have dropped an empty segment.
 */
START_TEST(with_half_of_each_segment_deleted_on_a_full_disk_writing_goes_on)
{
    unsigned i, n = 1, round, tries;

    begin(0);
    for (round = 0; round < 3; round++) {
        ck_ok(lsm_close(db));
        reopen();
        if (!round)
            env_mem_set_space(env, DISK);
        while (is_written(n, put(n, 1)))
            n += 2;
        ck_assert_uint_lt(n, FILES);
        ck_assert(stats().disk_full);
        for (i = 1; i < n; i += 4)
            ck_ok(delete (i));
        for (tries = 0; put(1, 2) && tries < 300; tries++)
            ck_ok(delete (
                1)); /* the background of this store runs when something is done */
        ck_assert_uint_lt(tries, 300);
        for (i = 3; i < n; i += 4)
            expect(i, 1);
        for (i = 1; i < n; i += 2)
            ck_ok(delete (i));
        for (tries = 0; put(1, 1) && tries < 300; tries++)
            ck_ok(delete (1));
        ck_assert_uint_lt(tries, 300);
        n = 3;
    }
    end();
}
END_TEST

/* ---- flushing ---- */

enum { LOGGED = 100 };

static int put_synced(unsigned i)
{
    uint8_t value[VALUE];
    struct lsm_batch *b = lsm_batch_new();
    char key[16];
    int rc;

    memset(value, (int)(i * 31), VALUE);
    snprintf(key, sizeof(key), "%06u", i);
    lsm_batch_put(b, slice_str(key), slice_of(value, VALUE));
    rc = lsm_write(db, b, LSM_SYNC);
    lsm_batch_free(b);
    return rc;
}

/* Bytes of a store with values from a log, flushed after so many tries without room. */
static uint64_t flushed_bytes(unsigned tries)
{
    uint64_t bytes;
    unsigned i;

    begin(0);
    ck_ok(lsm_close(db));
    o.memtable_bytes = 256 << 10;
    reopen();
    for (i = 0; i < LOGGED; i++)
        ck_ok(put_synced(2 * i + 1));
    for (i = 0; i < tries; i++) {
        fault(LOGGED / 2, ENV_MEM_APPEND, "*.vlog", ENV_MEM_FOREVER);
        ck_err(lsm_flush(db), ENOSPC);
        no_fault();
    }
    ck_ok(lsm_flush(db));
    bytes = lsm_disk_bytes(db);
    for (i = 0; i < LOGGED; i++)
        expect(2 * i + 1, 0);
    end();
    return bytes;
}

/*
 * Regression: values that were in a log are written once more by the flush. What a flush
 * had written of them when it found no room stayed, so the next try had less, and after
 * some there was nothing left to delete with.
 */
START_TEST(a_flush_that_finds_no_room_gives_back_what_it_had_moved)
{
    ck_assert_uint_lt(flushed_bytes(5), flushed_bytes(1) + LOGGED / 4 * VALUE);
}
END_TEST

TEST_MAIN(
    "full", TEST_CASE_ALONE(closing_succeeds_whenever_the_disk_gets_full),
    TEST_CASE(who_waits_for_a_memtable_hears_that_the_disk_is_full),
    TEST_CASE(who_waits_for_the_value_log_hears_of_a_collection_that_fails),
    TEST_CASE_ALONE(a_flush_that_finds_no_room_gives_back_what_it_had_moved),
    TEST_CASE_ALONE(with_half_of_each_segment_deleted_on_a_full_disk_writing_goes_on),
    TEST_CASE_ALONE(many_values_are_all_there_or_none_wherever_the_disk_is_full))
