/*
 * test_db.c - the engine through lsm.h: each promise of the header once, by a
 * small example. Random loads are in test_db_model.c, crashes in
 * test_db_crash.c.
 */
#include "tests/env_mem.h"
#include "tests/test.h"

#include <stdlib.h>

static struct lsm_options small_options(void)
{
    struct lsm_options o;

    lsm_options_init(&o);
    o.create = true;
    o.memtable_bytes = 64 << 10;
    o.table_bytes = 32 << 10;
    o.l1_bytes = 128 << 10;
    o.segment_bytes = 256 << 10;
    return o;
}

static struct lsm *open_at(const char *name, const struct lsm_options *o)
{
    char path[256];
    struct lsm *db;

    snprintf(path, sizeof(path), "%s/%s", test_dir(), name);
    ck_ok(lsm_open(path, o, &db));
    return db;
}

static void put(struct lsm *db, const char *key, const char *value)
{
    ck_ok(lsm_put(db, slice_str(key), slice_str(value)));
}

static void expect(struct lsm *db, const struct lsm_snapshot *snap, const char *key,
                   const char *want)
{
    struct lsm_value v = {0};
    int rc = lsm_get(db, snap, slice_str(key), &v);

    if (!want) {
        ck_assert_int_eq(rc, -ENOENT);
    } else {
        ck_assert_msg(rc == 0, "get %s: %d", key, rc);
        ck_slice_str(v.value, want);
    }
    lsm_value_release(&v);
}

START_TEST(get_returns_what_was_put)
{
    struct lsm_options o = small_options();
    struct lsm *db = open_at("a", &o);

    put(db, "a", "1");
    put(db, "b", "2");
    put(db, "a", "3");
    expect(db, NULL, "a", "3");
    expect(db, NULL, "b", "2");
    expect(db, NULL, "c", NULL);
    ck_ok(lsm_delete(db, slice_str("a")));
    expect(db, NULL, "a", NULL);
    ck_ok(lsm_close(db));
    db = open_at("a", &o);
    expect(db, NULL, "a", NULL);
    expect(db, NULL, "b", "2");
    ck_ok(lsm_close(db));
}
END_TEST

START_TEST(newest_version_wins_in_every_place)
{
    struct lsm_options o = small_options();
    struct lsm *db;
    int round;

    /* Regression: L0 searched oldest first; a tombstone in a newer table not
     * hiding an older value; a merge without sequence numbers. */
    o.l0_trigger = 100;
    db = open_at("a", &o);
    for (round = 0; round < 5; round++) {
        char value[16];

        snprintf(value, sizeof(value), "%d", round);
        put(db, "k", value);
        put(db, "gone", value);
        ck_ok(lsm_flush(db));
        expect(db, NULL, "k", value);
    }
    ck_ok(lsm_delete(db, slice_str("gone")));
    ck_ok(lsm_flush(db));
    expect(db, NULL, "gone", NULL);
    expect(db, NULL, "k", "4");
    ck_ok(lsm_compact(db, true));
    expect(db, NULL, "gone", NULL);
    expect(db, NULL, "k", "4");
    ck_ok(lsm_close(db));
}
END_TEST

START_TEST(a_batch_is_applied_in_order)
{
    struct lsm_options o = small_options();
    struct lsm *db = open_at("a", &o);
    struct lsm_batch *b = lsm_batch_new();

    put(db, "m", "old");
    lsm_batch_put(b, slice_str("a"), slice_str("1"));
    lsm_batch_put(b, slice_str("a"), slice_str("2"));
    lsm_batch_put(b, slice_str("d"), slice_str("x"));
    lsm_batch_delete(b, slice_str("d"));
    lsm_batch_put(b, slice_str("n"), slice_str("before"));
    lsm_batch_delete_range(b, slice_str("m"), slice_str("o"));
    lsm_batch_put(b, slice_str("mm"), slice_str("after"));
    ck_ok(lsm_write(db, b, LSM_SYNC));
    lsm_batch_free(b);
    expect(db, NULL, "a", "2");
    expect(db, NULL, "d", NULL);
    expect(db, NULL, "m", NULL);
    expect(db, NULL, "n", NULL);
    expect(db, NULL, "mm", "after");
    ck_ok(lsm_flush(db));
    expect(db, NULL, "m", NULL);
    expect(db, NULL, "n", NULL);
    expect(db, NULL, "mm", "after");
    ck_ok(lsm_close(db));
}
END_TEST

START_TEST(a_snapshot_sees_its_moment)
{
    struct lsm_options o = small_options();
    struct lsm *db = open_at("a", &o);
    struct lsm_snapshot *s1, *s2;

    put(db, "k", "1");
    s1 = lsm_snapshot_new(db);
    put(db, "k", "2");
    put(db, "new", "x");
    s2 = lsm_snapshot_new(db);
    ck_ok(lsm_delete(db, slice_str("k")));
    ck_ok(lsm_flush(db));
    ck_ok(lsm_compact(db, true));
    expect(db, s1, "k", "1");
    expect(db, s1, "new", NULL);
    expect(db, s2, "k", "2");
    expect(db, s2, "new", "x");
    expect(db, NULL, "k", NULL);
    lsm_snapshot_free(db, s1);
    lsm_snapshot_free(db, s2);
    ck_ok(lsm_compact(db, true));
    expect(db, NULL, "k", NULL);
    expect(db, NULL, "new", "x");
    ck_ok(lsm_close(db));
}
END_TEST

static uint8_t *pattern(size_t len, uint64_t seed)
{
    uint8_t *p = malloc(len);
    uint64_t x = seed;
    size_t i;

    for (i = 0; i < len; i++)
        p[i] = (uint8_t)test_random(&x);
    return p;
}

START_TEST(entries_of_any_size_survive)
{
    /* Regression: entries larger than a block lost. */
    static const size_t sizes[] = {0,    1,     255,   256,    4095,    4096,
                                   4097, 16384, 65536, 131072, 1000000, 5000000};
    struct lsm_options o = small_options();
    size_t i, pass, separate, len;

    for (separate = 0; separate < 2; separate++) {
        struct lsm *db;

        o.separate_bytes = separate ? 4096 : 0;
        db = open_at(separate ? "v" : "i", &o);
        for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
            uint8_t *p = pattern(sizes[i], i + 1);
            char key[32];

            snprintf(key, sizeof(key), "key%zu", i);
            ck_ok(lsm_put(db, slice_str(key), slice_of(p, sizes[i])));
            free(p);
        }
        for (pass = 0; pass < 3; pass++) {
            for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
                uint8_t *p = pattern(sizes[i], i + 1);
                struct lsm_value v = {0};
                char key[32];

                snprintf(key, sizeof(key), "key%zu", i);
                ck_ok(lsm_get(db, NULL, slice_str(key), &v));
                ck_assert(slice_eq(v.value, slice_of(p, sizes[i])));
                ck_ok(lsm_get_len(db, NULL, slice_str(key), &len));
                ck_assert_uint_eq(len, sizes[i]);
                ck_err(lsm_get_len(db, NULL, slice_str("key"), &len), ENOENT);
                lsm_value_release(&v);
                free(p);
            }
            if (pass == 0) {
                ck_ok(lsm_compact(db, true));
            } else if (pass == 1) {
                ck_ok(lsm_close(db));
                db = open_at(separate ? "v" : "i", &o);
            }
        }
        ck_ok(lsm_close(db));
    }
}
END_TEST

START_TEST(a_long_key_is_a_key)
{
    struct lsm_options o = small_options();
    struct lsm *db = open_at("a", &o);
    uint8_t *key = pattern(LSM_KEY_MAX + 1, 7);
    struct lsm_value v = {0};

    ck_err(lsm_put(db, slice_of(key, LSM_KEY_MAX + 1), slice_str("x")), EINVAL);
    ck_ok(lsm_put(db, slice_of(key, LSM_KEY_MAX), slice_str("long")));
    ck_ok(lsm_put(db, slice_of(key, 0), slice_str("empty")));
    ck_ok(lsm_compact(db, true));
    ck_ok(lsm_get(db, NULL, slice_of(key, LSM_KEY_MAX), &v));
    ck_slice_str(v.value, "long");
    ck_ok(lsm_get(db, NULL, slice_of(key, 0), &v));
    ck_slice_str(v.value, "empty");
    lsm_value_release(&v);
    free(key);
    ck_ok(lsm_close(db));
}
END_TEST

START_TEST(share_refers_to_a_part)
{
    struct lsm_options o = small_options();
    struct lsm *db = open_at("a", &o);
    struct lsm_batch *b = lsm_batch_new();
    uint8_t *p = pattern(100000, 3);
    struct lsm_value v = {0};
    struct lsm_stats before, after;

    ck_ok(lsm_put(db, slice_str("big"), slice_of(p, 100000)));
    put(db, "small", "0123456789");
    lsm_get_stats(db, &before);
    lsm_batch_share(b, slice_str("part"), slice_str("big"), 777, 50000);
    lsm_batch_share(b, slice_str("tiny"), slice_str("small"), 3, 4);
    lsm_batch_delete(b, slice_str("big"));
    ck_ok(lsm_write(db, b, LSM_NOSYNC));
    lsm_get_stats(db, &after);
    ck_assert_uint_lt(after.written_bytes - before.written_bytes, 1000);
    lsm_batch_clear(b);
    lsm_batch_share(b, slice_str("part2"), slice_str("part"), 100, 200);
    ck_ok(lsm_write(db, b, LSM_NOSYNC));
    ck_ok(lsm_compact(db, true));
    ck_err(lsm_get(db, NULL, slice_str("big"), &v), ENOENT);
    ck_ok(lsm_get(db, NULL, slice_str("part"), &v));
    ck_assert(slice_eq(v.value, slice_of(p + 777, 50000)));
    ck_ok(lsm_get(db, NULL, slice_str("part2"), &v));
    ck_assert(slice_eq(v.value, slice_of(p + 877, 200)));
    expect(db, NULL, "tiny", "3456");
    lsm_batch_clear(b);
    lsm_batch_share(b, slice_str("x"), slice_str("none"), 0, 1);
    ck_err(lsm_write(db, b, LSM_NOSYNC), ENOENT);
    lsm_batch_clear(b);
    lsm_batch_share(b, slice_str("x"), slice_str("part"), 49999, 2);
    ck_err(lsm_write(db, b, LSM_NOSYNC), EINVAL);
    lsm_batch_free(b);
    lsm_value_release(&v);
    free(p);
    ck_ok(lsm_close(db));
}
END_TEST

static uint64_t segments(struct lsm *db)
{
    struct lsm_stats s;

    lsm_get_stats(db, &s);
    return s.segments;
}

START_TEST(segments_without_references_are_deleted)
{
    struct lsm_options o = small_options();
    struct lsm *db = open_at("a", &o);
    uint8_t *p = pattern(50000, 3);
    int i;

    o.vlog = LSM_RAW;
    for (i = 0; i < 40; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%d", i);
        ck_ok(lsm_put(db, slice_str(key), slice_of(p, 50000)));
    }
    ck_ok(lsm_flush(db));
    ck_assert_uint_gt(segments(db), 5);
    for (i = 0; i < 40; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%d", i);
        ck_ok(lsm_delete(db, slice_str(key)));
    }
    ck_ok(lsm_compact(db, true));
    ck_ok(lsm_close(db));
    db = open_at("a", &o);
    ck_ok(lsm_compact(db, true));
    ck_soon(segments(db) == 0); /* somebody else may be deleting them */
    free(p);
    ck_ok(lsm_close(db));
}
END_TEST

static int count_range(struct lsm *db, const char *lower, const char *upper,
                       bool backward)
{
    struct slice lo = slice_str(lower ? lower : ""), hi = slice_str(upper ? upper : "");
    struct lsm_iter_options io = {.lower = lower ? &lo : NULL,
                                  .upper = upper ? &hi : NULL};
    struct buf last = {0};
    struct lsm_iter *it;
    int n = 0;

    ck_ok(lsm_iter_new(db, &io, &it));
    for (backward ? lsm_iter_last(it) : lsm_iter_first(it); lsm_iter_valid(it);
         backward ? lsm_iter_prev(it) : lsm_iter_next(it)) {
        int c = n ? slice_cmp(lsm_iter_key(it), buf_slice(&last)) : 0;

        ck_assert(n == 0 || (backward ? c < 0 : c > 0));
        buf_assign(&last, lsm_iter_key(it));
        n++;
    }
    ck_ok(lsm_iter_error(it));
    lsm_iter_free(it);
    buf_release(&last);
    return n;
}

START_TEST(iterators_respect_bounds_and_directions)
{
    struct lsm_options o = small_options();
    struct lsm *db = open_at("a", &o);
    struct lsm_iter *it;
    int i;

    for (i = 0; i < 1000; i++) {
        char key[16];

        snprintf(key, sizeof(key), "%04d", i);
        put(db, key, key);
        if (i % 300 == 299)
            ck_ok(lsm_flush(db));
    }
    for (i = 0; i < 1000; i += 2) {
        char key[16];

        snprintf(key, sizeof(key), "%04d", i);
        ck_ok(lsm_delete(db, slice_str(key)));
    }
    ck_assert_int_eq(count_range(db, NULL, NULL, false), 500);
    ck_assert_int_eq(count_range(db, NULL, NULL, true), 500);
    ck_assert_int_eq(count_range(db, "0100", "0200", false), 50);
    ck_assert_int_eq(count_range(db, "0100", "0200", true), 50);
    ck_assert_int_eq(count_range(db, "0101", "0102", true), 1);
    ck_assert_int_eq(count_range(db, "0100", "0101", false), 0);
    ck_ok(lsm_iter_new(db, NULL, &it));
    lsm_iter_seek(it, slice_str("0500"));
    ck_slice_str(lsm_iter_key(it), "0501");
    lsm_iter_prev(it);
    ck_slice_str(lsm_iter_key(it), "0499");
    lsm_iter_next(it);
    lsm_iter_next(it);
    ck_slice_str(lsm_iter_key(it), "0503");
    lsm_iter_seek_prev(it, slice_str("0500"));
    ck_slice_str(lsm_iter_key(it), "0499");
    lsm_iter_seek_prev(it, slice_str("0501"));
    ck_slice_str(lsm_iter_key(it), "0501");
    lsm_iter_free(it);
    ck_ok(lsm_close(db));
}
END_TEST

START_TEST(a_range_delete_hides_across_levels)
{
    struct lsm_options o = small_options();
    struct lsm *db = open_at("a", &o);
    struct lsm_batch *b = lsm_batch_new();
    int i;

    for (i = 0; i < 5000; i++) {
        char key[16];

        snprintf(key, sizeof(key), "%04d", i);
        put(db, key, "some value that takes a little room");
    }
    ck_ok(lsm_compact(db, false));
    lsm_batch_delete_range(b, slice_str("1000"), slice_str("4000"));
    ck_ok(lsm_write(db, b, LSM_NOSYNC));
    put(db, "2000", "again");
    ck_assert_int_eq(count_range(db, NULL, NULL, false), 2001);
    ck_assert_int_eq(count_range(db, NULL, NULL, true), 2001);
    ck_ok(lsm_flush(db));
    ck_assert_int_eq(count_range(db, NULL, NULL, false), 2001);
    ck_assert_int_eq(count_range(db, NULL, NULL, true), 2001);
    expect(db, NULL, "1000", NULL);
    expect(db, NULL, "3999", NULL);
    expect(db, NULL, "4000", "some value that takes a little room");
    expect(db, NULL, "2000", "again");
    ck_ok(lsm_compact(db, true));
    ck_assert_int_eq(count_range(db, NULL, NULL, false), 2001);
    expect(db, NULL, "2000", "again");
    lsm_batch_free(b);
    ck_ok(lsm_close(db));
}
END_TEST

/* Bytes of all levels after the same text went to L0, and then to the last level. */
static void level_bytes(const char *name, const struct lsm_options *o, uint64_t *first,
                        uint64_t *last)
{
    struct lsm *db = open_at(name, o);
    char key[16], value[200];
    struct lsm_stats s;
    int i;

    for (i = 0; i < 1000; i++) { /* twice: one table alone would move as it is */
        snprintf(key, sizeof(key), "k%06d", i % 500);
        memset(value, 'a' + i % 26, sizeof(value));
        ck_ok(lsm_put(db, slice_str(key), slice_of(value, sizeof(value))));
        if (i % 500 == 499)
            ck_ok(lsm_flush(db));
    }
    lsm_get_stats(db, &s);
    *first = s.level[0].bytes;
    ck_ok(lsm_compact(db, true));
    lsm_get_stats(db, &s);
    *last = s.level[LSM_LEVELS - 1].bytes;
    ck_assert_uint_eq(s.level[0].bytes, 0);
    ck_ok(lsm_close(db));
}

START_TEST(each_level_is_compressed_as_its_option_says)
{
    struct lsm_options o = small_options();
    uint64_t first, last;

    o.memtable_bytes = 1 << 20;
    o.compression[0] = LSM_RAW;
    o.compression[LSM_LEVELS - 1] = LSM_ZSTD;
    level_bytes("a", &o, &first, &last);
    ck_assert_uint_gt(first, 2 * 500 * 200);
    ck_assert_uint_gt(last, 0);
    ck_assert_uint_lt(last, 500 * 200 / 4);
    o.compression[0] = LSM_LZ4;
    o.compression[LSM_LEVELS - 1] = LSM_RAW;
    level_bytes("b", &o, &first, &last);
    ck_assert_uint_lt(first, 2 * 500 * 200 / 4);
    ck_assert_uint_gt(last, 500 * 200);
}
END_TEST

START_TEST(open_refuses_what_it_should)
{
    struct lsm_options o = small_options();
    struct lsm *db = open_at("a", &o), *other;
    char path[256];

    test_log_capture();
    snprintf(path, sizeof(path), "%s/a", test_dir());
    ck_err(lsm_open(path, &o, &other), EBUSY);
    ck_ok(lsm_close(db));
    o.must_be_new = true;
    ck_err(lsm_open(path, &o, &other), EEXIST);
    o.must_be_new = o.create = false;
    snprintf(path, sizeof(path), "%s/none", test_dir());
    ck_err(lsm_open(path, &o, &other), ENOENT);
    o.memtables = 1;
    ck_err(lsm_open(path, &o, &other), EINVAL);
    ck_assert(test_log_has("memtables"));
}
END_TEST

START_TEST(read_only_reads_and_refuses_to_write)
{
    struct lsm_options o = small_options();
    struct lsm *db = open_at("a", &o);

    put(db, "a", "1");
    ck_ok(lsm_close(db));
    o.read_only = true;
    o.create = false;
    db = open_at("a", &o);
    expect(db, NULL, "a", "1");
    ck_err(lsm_put(db, slice_str("b"), slice_str("2")), EROFS);
    ck_ok(lsm_close(db));
}
END_TEST

/* Regression: the only log deleted while it still held newer writes. */
START_TEST(a_flush_keeps_the_log_of_newer_writes)
{
    struct lsm_options o = small_options();
    struct env *env = env_mem_new(1), *after;
    struct lsm *db, *again;

    o.env = env;
    o.workers = 0;
    ck_ok(lsm_open("/s", &o, &db));
    put(db, "flushed", "1");
    ck_ok(lsm_flush(db));
    put(db, "newer", "2");
    after = env_mem_crash_clone(env, 1, ENV_MEM_KEEP_ALL);
    o.env = after;
    ck_ok(lsm_open("/s", &o, &again));
    expect(again, NULL, "flushed", "1");
    expect(again, NULL, "newer", "2");
    ck_ok(lsm_close(again));
    ck_ok(lsm_close(db));
    env_mem_free(after);
    env_mem_free(env);
}
END_TEST

/* Regression: a torn tail refusing to open. */
START_TEST(a_log_cut_anywhere_beyond_its_sync_opens)
{
    struct lsm_options o = small_options();
    struct env *env = env_mem_new(1);
    struct buf log = {0};
    struct lsm *db;
    char path[32] = "";
    size_t cut;
    int i;

    o.env = env;
    o.workers = 0;
    o.sync_interval_ms = 0;
    ck_ok(lsm_open("/s", &o, &db));
    put(db, "a", "synced");
    ck_ok(lsm_sync(db));
    put(db, "b", "not synced");
    for (i = 0; i < 20; i++) {
        snprintf(path, sizeof(path), "/s/%06d.log", i);
        if (env_mem_read(env, path, &log) == 0)
            break;
    }
    ck_assert_int_lt(i, 20);
    while (log.len && !log.data[log.len - 1])
        log.len--; /* preallocated */
    for (cut = 0; cut < 40; cut++) {
        struct env *after = env_mem_crash_clone(env, 1, ENV_MEM_KEEP_ALL);
        struct lsm *again;

        ck_ok(env_mem_write(after, path, slice_of(log.data, log.len - cut)));
        o.env = after;
        ck_ok(lsm_open("/s", &o, &again));
        expect(again, NULL, "a", "synced");
        expect(again, NULL, "b", cut ? NULL : "not synced");
        ck_ok(lsm_close(again));
        env_mem_free(after);
    }
    buf_release(&log);
    ck_ok(lsm_close(db));
    env_mem_free(env);
}
END_TEST

START_TEST(a_full_disk_takes_deletes_and_then_writes_again)
{
    struct lsm_options o = small_options();
    struct env *env = env_mem_new(1);
    uint8_t *p = pattern(3000, 9);
    struct lsm *db;
    char key[16];
    int i, n, rc = 0;

    test_log_capture();
    o.env = env;
    o.workers = 0;
    env_mem_set_space(env, 2 << 20);
    ck_ok(lsm_open("/s", &o, &db));
    for (n = 0; !rc; n++) {
        snprintf(key, sizeof(key), "%06d", n);
        rc = lsm_put(db, slice_str(key), slice_of(p, 3000));
    }
    ck_assert_int_eq(rc, -ENOSPC);
    n--;
    ck_assert_int_gt(n, 300);
    ck_assert(test_log_has("the disk is full"));
    for (i = 0; i < n; i++) { /* what was acknowledged is there */
        struct lsm_value v = {0};

        snprintf(key, sizeof(key), "%06d", i);
        ck_ok(lsm_get(db, NULL, slice_str(key), &v));
        lsm_value_release(&v);
    }
    for (i = 0; i < n; i++) {
        snprintf(key, sizeof(key), "%06d", i);
        ck_ok(lsm_delete(db, slice_str(key)));
    }
    ck_ok(lsm_flush(db));
    env_sleep_ns(env, 2000000000); /* a compaction that failed waits before the next */
    ck_ok(lsm_compact(db, true));
    ck_ok(lsm_delete(db, slice_str("any"))); /* gives the engine a turn */
    for (i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "%06d", i);
        ck_ok(lsm_put(db, slice_str(key), slice_of(p, 3000)));
    }
    ck_ok(lsm_close(db));
    ck_ok(lsm_open("/s", &o, &db));
    ck_ok(lsm_exists(db, NULL, slice_str("000099")));
    ck_err(lsm_exists(db, NULL, slice_str("000100")), ENOENT);
    ck_ok(lsm_close(db));
    free(p);
    env_mem_free(env);
}
END_TEST

START_TEST(compaction_keeps_levels_disjoint_and_everything_readable)
{
    struct lsm_options o = small_options();
    struct lsm *db = open_at("a", &o);
    struct lsm_stats s;
    uint64_t x = test_seed();
    int i;

    for (i = 0; i < 60000; i++) {
        char key[24], value[64];

        snprintf(key, sizeof(key), "%08llu", (unsigned long long)test_below(&x, 20000));
        snprintf(value, sizeof(value), "value of %s which is not short", key);
        put(db, key, value);
    }
    ck_ok(lsm_compact(db, false));
    lsm_get_stats(db, &s);
    ck_assert_uint_gt(s.compactions, 0);
    ck_assert_uint_gt(s.flushes, 3);
    for (i = 0; i < 20000; i++) {
        char key[24];
        struct lsm_value v = {0};
        int rc;

        snprintf(key, sizeof(key), "%08d", i);
        rc = lsm_get(db, NULL, slice_str(key), &v);
        ck_assert(rc == 0 || rc == -ENOENT);
        if (!rc)
            ck_assert(memmem(v.value.data, v.value.len, key, strlen(key)));
        lsm_value_release(&v);
    }
    ck_ok(lsm_verify(db));
    ck_ok(lsm_close(db)); /* opening again checks that no level overlaps */
    db = open_at("a", &o);
    ck_ok(lsm_close(db));
}
END_TEST

/* Regression: the manifest of a creation that was cut short was in the way. */
START_TEST(a_store_whose_making_was_cut_short_is_made_by_the_next_open)
{
    bool made = false;
    uint64_t stop;
    int i;

    test_log_capture();
    for (stop = 0; !made; stop++)
        for (i = 0; i < 3; i++) {
            struct env *env = env_mem_new(stop), *after;
            struct lsm_options o = small_options();
            struct lsm *db;

            o.env = env;
            env_mem_stop_at(env, stop);
            made = lsm_open("/s", &o, &db) == 0;
            after = env_mem_crash_clone(env, stop, (enum env_mem_crash)i);
            if (made)
                lsm_close(db);
            o.env = after;
            ck_ok(lsm_open("/s", &o, &db));
            ck_ok(lsm_put(db, slice_str("k"), slice_str("v")));
            ck_ok(lsm_close(db));
            env_mem_free(after);
            env_mem_free(env);
        }
    ck_assert_uint_gt(stop, 5);
}
END_TEST

START_TEST(a_store_that_lost_its_CURRENT_is_not_made_anew)
{
    struct env *env = env_mem_new(1);
    struct lsm_options o = small_options();
    struct lsm *db;

    o.env = env;
    ck_ok(lsm_open("/s", &o, &db));
    ck_ok(lsm_put(db, slice_str("k"), slice_str("v")));
    ck_ok(lsm_close(db));
    ck_ok(env_unlink(env, "/s/CURRENT"));
    test_log_capture();
    ck_err(lsm_open("/s", &o, &db), EUCLEAN);
    ck_assert(test_log_has("lsm_repair"));
    o.create = false;
    ck_err(lsm_open("/s", &o, &db), EUCLEAN);
    env_mem_free(env);
}
END_TEST

TEST_MAIN("db", TEST_CASE(get_returns_what_was_put),
          TEST_CASE(newest_version_wins_in_every_place),
          TEST_CASE(a_batch_is_applied_in_order), TEST_CASE(a_snapshot_sees_its_moment),
          TEST_CASE_ALONE(entries_of_any_size_survive), TEST_CASE(a_long_key_is_a_key),
          TEST_CASE(share_refers_to_a_part),
          TEST_CASE(segments_without_references_are_deleted),
          TEST_CASE(iterators_respect_bounds_and_directions),
          TEST_CASE(a_range_delete_hides_across_levels),
          TEST_CASE(each_level_is_compressed_as_its_option_says),
          TEST_CASE(open_refuses_what_it_should),
          TEST_CASE(a_flush_keeps_the_log_of_newer_writes),
          TEST_CASE(a_log_cut_anywhere_beyond_its_sync_opens),
          TEST_CASE(a_full_disk_takes_deletes_and_then_writes_again),
          TEST_CASE(a_store_whose_making_was_cut_short_is_made_by_the_next_open),
          TEST_CASE(a_store_that_lost_its_CURRENT_is_not_made_anew),
          TEST_CASE(read_only_reads_and_refuses_to_write),
          TEST_CASE_ALONE(compaction_keeps_levels_disjoint_and_everything_readable))
