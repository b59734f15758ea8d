/*
 * test_db_sync.c - lsm/db_sync.c: large values travel in the log while syncs are near,
 * are separated by the flush, and are as good there as anywhere. Crashes at every call:
 * test_power.c, test_vlog_crash.c.
 */
#include "tests/env_mem.h"
#include "tests/test.h"

#include <stdlib.h>

enum { LARGE = 8 << 10, NEAR = 128 << 10 };

static struct env *env;
static struct lsm *db;

static void open_store(void)
{
    struct lsm_options o;

    lsm_options_init(&o);
    o.env = env;
    o.create = true;
    o.workers = 0;
    o.sync_interval_ms = 0;
    o.vlog = LSM_RAW;
    ck_ok(lsm_open("/s", &o, &db));
}

static void setup(void)
{
    env = env_mem_new(test_seed());
    open_store();
}

static void teardown(void)
{
    ck_ok(lsm_verify(db));
    ck_ok(lsm_close(db));
    env_mem_free(env);
}

/* Key i, and its value, LARGE bytes that tell i. */
static struct slice key_of(int i)
{
    static char text[2][16];
    static unsigned next;
    char *to = text[next++ % 2];

    snprintf(to, sizeof(text[0]), "k%06d", i);
    return slice_str(to);
}

static struct slice value_of(int i)
{
    static uint8_t bytes[LARGE];
    uint64_t rng = (uint64_t)i + 1;

    for (size_t at = 0; at < LARGE; at += 8)
        store_le64(bytes + at, test_random(&rng));
    return slice_of(bytes, LARGE);
}

static void put(int i)
{
    ck_ok(lsm_put(db, key_of(i), value_of(i)));
}

static void put_synced(int i)
{
    struct lsm_batch *b = lsm_batch_new();

    lsm_batch_put(b, key_of(i), value_of(i));
    ck_ok(lsm_write(db, b, LSM_SYNC));
    lsm_batch_free(b);
}

static void check(int key, struct slice want)
{
    struct lsm_value v = {0};

    ck_ok(lsm_get(db, NULL, key_of(key), &v));
    ck_assert(slice_eq(v.value, want));
    lsm_value_release(&v);
}

/* Values that were written to the value log. */
static uint64_t separated(void)
{
    struct lsm_stats s;

    lsm_get_stats(db, &s);
    return s.vlog_written_bytes / LARGE;
}

START_TEST(values_travel_in_the_log_while_syncs_are_near)
{
    int i;

    setup();
    put(0); /* nobody knows yet */
    ck_assert_uint_eq(separated(), 1);
    for (i = 1; i < 20; i++) {
        ck_ok(lsm_sync(db));
        put(i);
    }
    ck_assert_uint_eq(separated(), 1);
    for (i = 0; i < 20; i++)
        check(i, value_of(i));
    teardown();
}
END_TEST

START_TEST(a_value_that_is_to_be_synced_at_once_travels_in_the_log)
{
    setup();
    put_synced(0);
    ck_assert_uint_eq(separated(), 0);
    check(0, value_of(0));
    teardown();
}
END_TEST

START_TEST(between_rare_syncs_values_are_separated)
{
    int i;

    setup();
    ck_ok(lsm_sync(db));
    for (i = 0; i < 100; i++)
        put(i);
    ck_assert_uint_ge(separated(), 100 - NEAR / LARGE);
    ck_ok(lsm_sync(db)); /* it was not near, so the next one is not either */
    put(100);
    ck_assert_uint_ge(separated(), 101 - NEAR / LARGE);
    teardown();
}
END_TEST

START_TEST(the_flush_separates_what_came_in_the_log)
{
    struct lsm_stats s;
    int i;

    setup();
    for (i = 0; i < 20; i++)
        put_synced(i);
    ck_ok(lsm_flush(db));
    ck_assert_uint_eq(separated(), 20);
    lsm_get_stats(db, &s);
    ck_assert_uint_ge(s.segment_live, 20 * LARGE);
    for (i = 0; i < 20; i++)
        check(i, value_of(i));
    put_synced(7); /* overwritten in the memtable: the flush sees the newest alone */
    put_synced(7);
    ck_ok(lsm_flush(db));
    ck_assert_uint_eq(separated(), 21);
    check(7, value_of(7));
    teardown();
}
END_TEST

START_TEST(a_part_of_a_value_in_the_log_is_shared)
{
    struct lsm_batch *b = lsm_batch_new();
    int i;

    setup();
    put_synced(0);
    lsm_batch_share(b, key_of(1), key_of(0), 1000, 5000);
    lsm_batch_share(b, key_of(2), key_of(0), 1000, 50);
    ck_ok(lsm_write(db, b, LSM_NOSYNC));
    lsm_batch_free(b);
    for (i = 0; i < 2; i++) {
        struct slice whole = value_of(0);

        check(1, slice_of(whole.data + 1000, 5000));
        check(2, slice_of(whole.data + 1000, 50));
        ck_ok(lsm_flush(db));
    }
    teardown();
}
END_TEST

START_TEST(a_value_synced_in_the_log_survives_power_loss)
{
    struct env *after;
    int i;

    setup();
    for (i = 0; i < 20; i++)
        put_synced(i);
    after = env_mem_crash_clone(env, test_seed(), ENV_MEM_LOSE_UNSYNCED);
    teardown();
    env = after;
    open_store();
    for (i = 0; i < 20; i++)
        check(i, value_of(i));
    ck_ok(lsm_flush(db));
    ck_assert_uint_eq(separated(), 20);
    for (i = 0; i < 20; i++)
        check(i, value_of(i));
    teardown();
}
END_TEST

TEST_MAIN("db_sync", TEST_CASE(values_travel_in_the_log_while_syncs_are_near),
          TEST_CASE(a_value_that_is_to_be_synced_at_once_travels_in_the_log),
          TEST_CASE(between_rare_syncs_values_are_separated),
          TEST_CASE(the_flush_separates_what_came_in_the_log),
          TEST_CASE(a_part_of_a_value_in_the_log_is_shared),
          TEST_CASE(a_value_synced_in_the_log_survives_power_loss))
