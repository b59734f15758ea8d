/*
 * test_options.c - lsm/options.h: what may be given to lsm_open, and what is said
 * about the rest.
 */
#include "test.h"

#include <math.h>

#include "lsm/options.h"
#include "tests/options_draw.h"

static struct lsm_options defaults(void)
{
    struct lsm_options o;

    lsm_options_init(&o);
    return o;
}

START_TEST(the_defaults_make_sense)
{
    struct lsm_options o = defaults();
    unsigned level;

    ck_ok(lsm_options_check(&o));
    for (level = 0; level + 1 < LSM_LEVELS; level++)
        ck_assert_int_eq(o.compression[level], LSM_LZ4);
    ck_assert_int_eq(o.compression[LSM_LEVELS - 1], LSM_ZSTD);
}
END_TEST

/* field = value is refused, with exactly this line. */
#define REFUSED(field, value, line)                                                      \
    do {                                                                                 \
        struct lsm_options o_ = defaults();                                              \
        o_.field = (value);                                                              \
        test_log_capture();                                                              \
        ck_err(lsm_options_check(&o_), EINVAL);                                              \
        ck_assert_msg(test_log_has(line "\n"), "not said: %s", line);                    \
    } while (0)

#define TAKEN(field, value)                                                              \
    do {                                                                                 \
        struct lsm_options o_ = defaults();                                              \
        o_.field = (value);                                                              \
        ck_ok(lsm_options_check(&o_));                                                       \
    } while (0)

START_TEST(what_is_out_of_range_is_named_with_its_value_and_range)
{
    REFUSED(memtable_bytes, 4095,
            "options: memtable_bytes = 4095 is not 0 or 4096 to 1099511627776");
    REFUSED(memtables, 1, "options: memtables = 1 is not 2 to 16");
    REFUSED(memtables, 17, "options: memtables = 17 is not 2 to 16");
    REFUSED(
        memory_bytes, 1ull << 60,
        "options: memory_bytes = 1152921504606846976 is not 131072 to 17592186044416");
    REFUSED(block_bytes, 255, "options: block_bytes = 255 is not 256 to 4194304");
    REFUSED(table_bytes, 0, "options: table_bytes = 0 is not 4096 to 1099511627776");
    REFUSED(l0_trigger, 0, "options: l0_trigger = 0 is not 1 to 1000");
    REFUSED(level_ratio, 1, "options: level_ratio = 1 is not 2 to 1000");
    REFUSED(l1_bytes, 1, "options: l1_bytes = 1 is not 4096 to 1125899906842624");
    REFUSED(filter_bits, 25, "options: filter_bits = 25 is not 0 to 24");
    REFUSED(separate_bytes, 63,
            "options: separate_bytes = 63 is not 0 or 64 to 268435456");
    REFUSED(dictionary_bytes, 1023,
            "options: dictionary_bytes = 1023 is not 0 or 1024 to 131072");
    REFUSED(segment_bytes, 1, "options: segment_bytes = 1 is not 4096 to 1099511627776");
    REFUSED(garbage_ratio, -0.5, "options: garbage_ratio = -0.5 is not 0 to 100");
    REFUSED(garbage_ratio, 101, "options: garbage_ratio = 101 is not 0 to 100");
    REFUSED(garbage_ratio, (double)NAN, "options: garbage_ratio = nan is not 0 to 100");
    REFUSED(strategy, 3, "options: strategy = 3 is not 0 to 2");
    REFUSED(parts_max, 0, "options: parts_max = 0 is not 1 to 16");
    REFUSED(workers, 65, "options: workers = 65 is not 0 to 64");
    REFUSED(sync_interval_ms, 86400001,
            "options: sync_interval_ms = 86400001 is not 0 to 86400000");
    REFUSED(
        compression[3], (enum lsm_compression)3,
        "options: compression[3] = 3 is not LSM_RAW (0), LSM_LZ4 (1) or LSM_ZSTD (2)");
    REFUSED(vlog, (enum lsm_compression) - 1,
            "options: vlog = 4294967295 is not LSM_RAW (0), LSM_LZ4 (1) or LSM_ZSTD (2)");
}
END_TEST

START_TEST(the_ends_of_ranges_are_taken)
{
    TAKEN(memtable_bytes, 4096);
    TAKEN(memtables, 16);
    TAKEN(memory_bytes, 128 << 10);
    TAKEN(block_bytes, 4 << 20);
    TAKEN(filter_bits, 0);
    TAKEN(filter_bits, 24);
    TAKEN(separate_bytes, 0);
    TAKEN(separate_bytes, LSM_VALUE_MAX);
    TAKEN(garbage_ratio, 0);
    TAKEN(workers, 0);
    TAKEN(sync_interval_ms, 0);
    TAKEN(verify_bytes, UINT64_MAX);
    TAKEN(compression[0], LSM_ZSTD);
    TAKEN(compression[LSM_LEVELS - 1], LSM_RAW);
}
END_TEST

START_TEST(options_that_contradict_each_other_are_named)
{
    struct lsm_options o = defaults();

    test_log_capture();
    o.read_only = o.create = true;
    ck_err(lsm_options_check(&o), EINVAL);
    ck_assert(test_log_has("options: read_only and create: "));
    o = defaults();
    o.must_be_new = true;
    ck_err(lsm_options_check(&o), EINVAL);
    ck_assert(test_log_has("options: must_be_new without create: "));
}
END_TEST

START_TEST(memtables_that_leave_no_room_for_the_rest_are_refused)
{
    struct lsm_options o = defaults();

    test_log_capture();
    o.memory_bytes = 64 << 20;
    o.memtables = 4;
    o.memtable_bytes = 14 << 20;
    ck_ok(lsm_options_check(&o));
    o.memtable_bytes++;
    ck_err(lsm_options_check(&o), EINVAL);
    ck_assert(test_log_has("options: 4 memtables of memtable_bytes = 14680065 leave less "
                           "than an eighth of memory_bytes = 67108864"));
}
END_TEST

START_TEST(the_size_of_a_memtable_follows_the_budget)
{
    struct lsm_options o = defaults();

    ck_assert_uint_eq(options_memtable_bytes(&o), (256 << 20) / 2 / 3);
    o.memory_bytes = 8ull << 30;
    ck_assert_uint_eq(options_memtable_bytes(&o), 64 << 20);
    o.memory_bytes = 128 << 10;
    o.memtables = 16;
    ck_assert_uint_eq(options_memtable_bytes(&o), 4096);
    ck_ok(lsm_options_check(&o));
    o.memtable_bytes = 5000;
    ck_assert_uint_eq(options_memtable_bytes(&o), 5000);
}
END_TEST

START_TEST(dictionaries_follow_the_budget)
{
    struct lsm_options o = defaults();

    ck_assert_uint_eq(options_dictionary_bytes(&o), 64 << 10);
    o.memory_bytes = 64 << 20;
    ck_assert_uint_eq(options_dictionary_bytes(&o), 32 << 10);
    o.memory_bytes = 128 << 10;
    ck_assert_uint_eq(options_dictionary_bytes(&o), 1024);
    o.dictionary_bytes = 0;
    ck_assert_uint_eq(options_dictionary_bytes(&o), 0);
}
END_TEST

/* Neither makes a directory nor looks at one. */
START_TEST(open_and_repair_refuse_before_they_touch_anything)
{
    struct lsm_options o = defaults();
    struct lsm *db;
    char path[256];

    snprintf(path, sizeof(path), "%s/store", test_dir());
    o.create = true;
    o.level_ratio = 0;
    test_log_capture();
    ck_err(lsm_open(path, &o, &db), EINVAL);
    ck_err(lsm_repair(path, &o, NULL, NULL, NULL), EINVAL);
    ck_assert(!lsm_is_store(NULL, path));
    ck_err(lsm_repair(path, &(struct lsm_options){0}, NULL, NULL, NULL), EINVAL);
}
END_TEST

/* In the random tests, by options_draw.c: a new one wants a line there. */
START_TEST(every_option_is_drawn_at_random)
{
    struct lsm_options o;
    char text[OPTIONS_TEXT];
    size_t offset;
    uint64_t seed;

    ck_assert_msg(options_all_drawn(&offset),
                  "the option at offset %zu has no line in options_draw.c", offset);
    for (seed = 0; seed < 2000; seed++) {
        options_draw(&o, seed, seed % 2 ? DRAW_TINY : 0);
        ck_assert_msg(lsm_options_check(&o) == 0, "OPTIONS=%llu %s", (unsigned long long)seed,
                      options_text(&o, text));
        ck_assert_uint_lt(strlen(text), OPTIONS_TEXT - 1);
    }
}
END_TEST

/* ---- accept ---- */

/* Reads what the log holds, then answers as told. */
static int accept_if(void *arg, struct lsm *db)
{
    struct lsm_value v = {0};

    ck_ok(lsm_get(db, NULL, slice_str("k"), &v));
    ck_slice_str(v.value, "v");
    lsm_value_release(&v);
    return *(int *)arg;
}

static int list_one(void *arg, const char *name)
{
    struct buf *b = ((void **)arg)[0];
    char path[300];
    uint64_t size;

    snprintf(path, sizeof(path), "%s/%s", (char *)((void **)arg)[1], name);
    ck_ok(env_stat(env_posix(), path, &size));
    if (strcmp(name, "LOCK") != 0) {
        put_bytes(b, slice_str(name));
        put_varint(b, size);
    }
    return 0;
}

/* Names and sizes, in the order of the directory, which stays while nothing changes. */
static struct buf files_of(const char *dir)
{
    struct buf b = {0};
    void *arg[] = {&b, (void *)dir};

    ck_ok(env_list(env_posix(), dir, list_one, arg));
    return b;
}

START_TEST(who_does_not_accept_a_store_leaves_it_as_it_is)
{
    struct lsm_options o = defaults();
    char live[200], crashed[200];
    struct buf before, after;
    struct lsm *db;
    int answer = -EXDEV;

    snprintf(live, sizeof(live), "%s/live", test_dir());
    snprintf(crashed, sizeof(crashed), "%s/crashed", test_dir());
    o.create = true;
    ck_ok(lsm_open(live, &o, &db));
    ck_ok(lsm_put(db, slice_str("k"), slice_str("v")));
    ck_ok(lsm_checkpoint(db, crashed)); /* has a log to replay */
    ck_ok(lsm_close(db));
    o.create = false;
    o.accept = accept_if;
    o.accept_arg = &answer;
    before = files_of(crashed);
    ck_err(lsm_open(crashed, &o, &db), EXDEV);
    after = files_of(crashed);
    ck_assert(slice_eq(buf_slice(&before), buf_slice(&after)));
    buf_release(&before);
    buf_release(&after);
    answer = 0;
    ck_ok(lsm_open(crashed, &o, &db));
    ck_ok(lsm_put(db, slice_str("k"), slice_str("w")));
    ck_ok(lsm_close(db));
}
END_TEST

TEST_MAIN("options", TEST_CASE(the_defaults_make_sense),
          TEST_CASE(what_is_out_of_range_is_named_with_its_value_and_range),
          TEST_CASE(the_ends_of_ranges_are_taken),
          TEST_CASE(every_option_is_drawn_at_random),
          TEST_CASE(options_that_contradict_each_other_are_named),
          TEST_CASE(memtables_that_leave_no_room_for_the_rest_are_refused),
          TEST_CASE(the_size_of_a_memtable_follows_the_budget),
          TEST_CASE(dictionaries_follow_the_budget),
          TEST_CASE(open_and_repair_refuse_before_they_touch_anything),
          TEST_CASE(who_does_not_accept_a_store_leaves_it_as_it_is))
