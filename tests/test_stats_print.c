/*
 * test_stats_print.c - the three printers of struct lsm_stats: do they keep to their
 * formats, and have the numbers?
 */
#include "tests/formats.h"
#include "tests/quiet_store.h"
#include "tests/test.h"

#include <stdlib.h>

enum { VALUE = 5000 }; /* separated */

/* A store of which every number says something. */
static void busy_stats(struct lsm_stats *s)
{
    struct lsm_options o = quiet_options();
    struct lsm_iter *it;
    struct lsm *db;
    unsigned i;

    o.segment_bytes = 50000;
    o.memtable_bytes = 1 << 20;
    o.l0_trigger = 2;
    db = quiet_open(&o);
    quiet_put(db, 300, VALUE);
    quiet_put(db, 20000, 100);
    quiet_put(db, 300, VALUE);
    ck_ok(lsm_sync(db));
    ck_ok(lsm_compact(db, false));
    for (i = 0; i < 10; i++)
        quiet_get(db, 0, 300, 0);
    quiet_get(db, 30000, 10, -ENOENT);
    ck_ok(lsm_iter_new(db, NULL, &it));
    for (lsm_iter_first(it); lsm_iter_valid(it);)
        lsm_iter_next(it);
    lsm_iter_free(it);
    lsm_get_stats(db, s);
    ck_ok(lsm_close(db));
}

static char *printed(void (*print)(const struct lsm_stats *, FILE *),
                     const struct lsm_stats *s)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    print(s, out);
    fclose(out);
    ck_assert_uint_eq(strlen(text), len);
    return text;
}

static void print_prometheus(const struct lsm_stats *s, FILE *out)
{
    lsm_print_stats_prometheus(s, "store=\"a\"", out);
}

static void print_unlabelled(const struct lsm_stats *s, FILE *out)
{
    lsm_print_stats_prometheus(s, NULL, out);
}

static void expect_right(const char *wrong, const char *text)
{
    ck_assert_msg(!wrong, "%s\n%s", wrong, text);
}

START_TEST(json_is_json_and_has_the_numbers)
{
    struct lsm_stats s;
    char *text;

    busy_stats(&s);
    ck_assert_uint_gt(s.segments_listed, 0);
    text = printed(lsm_print_stats_json, &s);
    expect_right(json_wrong(text), text);
    ck_assert(json_value(text, "gets") == (double)s.gets);
    ck_assert(json_value(text, "segment_garbage") == (double)s.segment_garbage);
    ck_assert_double_eq_tol(json_value(text, "write_amp"), s.write_amp, 1e-4);
    ck_assert(json_value(text, "number") == (double)s.segment[0].number);
    ck_assert(json_value(text, "p50_ns") == (double)s.time[LSM_TIME_GET].p50_ns);
    ck_assert(json_value(text, "background_error") == 0);
    free(text);
}
END_TEST

START_TEST(prometheus_text_keeps_to_the_grammar)
{
    struct lsm_stats s;
    char *text, name[96];

    busy_stats(&s);
    text = printed(print_prometheus, &s);
    expect_right(prometheus_wrong(text), text);
    ck_assert(prometheus_value(text, "lsm_gets_total{store=\"a\"}") == (double)s.gets);
    ck_assert(prometheus_value(text, "lsm_level_bytes{store=\"a\",level=\"0\"}") ==
              (double)s.level[0].bytes);
    snprintf(name, sizeof(name),
             "lsm_segment_garbage_bytes{store=\"a\",segment=\"%llu\"}",
             (unsigned long long)s.segment[0].number);
    ck_assert(prometheus_value(text, name) == (double)s.segment[0].garbage);
    ck_assert(prometheus_value(text, "lsm_flush_seconds_count{store=\"a\"}") ==
              (double)s.flushes);
    ck_assert(
        prometheus_value(text, "lsm_sync_seconds_bucket{store=\"a\",le=\"+Inf\"}") ==
        (double)s.syncs);
    ck_assert_double_eq_tol(prometheus_value(text, "lsm_flush_seconds_sum{store=\"a\"}"),
                            (double)s.time[LSM_TIME_FLUSH].sum_ns / 1e9, 1e-8);
    free(text);
    text = printed(print_unlabelled, &s);
    expect_right(prometheus_wrong(text), text);
    ck_assert(prometheus_value(text, "lsm_gets_total") == (double)s.gets);
    ck_assert(prometheus_value(text, "lsm_level_tables{level=\"4\"}") ==
              (double)s.level[4].tables);
    free(text);
}
END_TEST

START_TEST(text_names_what_was_measured)
{
    struct lsm_stats s;
    char *text;

    busy_stats(&s);
    text = printed(lsm_print_stats, &s);
    ck_assert_ptr_nonnull(strstr(text, "write amplification"));
    ck_assert_ptr_nonnull(strstr(text, "space amplification"));
    ck_assert_ptr_nonnull(strstr(text, "\n  compaction "));
    ck_assert_ptr_nonnull(strstr(text, "\n  segment "));
    free(text);
}
END_TEST

START_TEST(numbers_of_nothing_and_of_everything_are_printed)
{
    static struct lsm_stats s;
    uint8_t *bytes = (uint8_t *)&s;
    char *text;
    size_t i;

    for (i = 0; i < 3; i++) {
        memset(bytes, i == 0 ? 0 : i == 1 ? 0xff : 0x7f, sizeof(s));
        s.segments_listed = 1; /* of what is there */
        s.segment[0].pending = true;
        text = printed(lsm_print_stats_json, &s);
        expect_right(json_wrong(text), text);
        free(text);
        free(printed(lsm_print_stats, &s));
        if (i)
            continue; /* counts that contradict one another */
        text = printed(print_prometheus, &s);
        expect_right(prometheus_wrong(text), text);
        free(text);
    }
}
END_TEST

START_TEST(the_checkers_see_what_is_wrong)
{
    static const char *const json[] = {
        "",      "{",           "{\"a\": 1,}",          "{\"a\": nan}", "{\"a\": 1} x",
        "[1 2]", "{\"a\": 01}", "{\"a\": 1, \"a\": 2}", "\"\n\"",
    };
    static const char *const prometheus[] = {
        "a 1\n",
        "# HELP a x\n# TYPE a gauge\na 1",
        "# HELP a x\n# TYPE a counter\na 1\n",
        "# HELP a x\n# TYPE a gauge\nb 1\n",
        "# HELP a x\n# TYPE a gauge\na 1\na 2\n",
        "# HELP a x\n# TYPE a gauge\na{l=\"\"\"} 1\n",
        "# HELP a x\n# TYPE a gauge\na{l=x} 1\n",
        "# HELP a x\n# TYPE a gauge\na x\n",
        "# HELP a x\n# TYPE a histogram\na_bucket{le=\"2\"} 1\na_bucket{le=\"1\"} 1\n",
        "# HELP a x\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 2\n",
    };
    size_t i;

    for (i = 0; i < sizeof(json) / sizeof(json[0]); i++)
        ck_assert_msg(json_wrong(json[i]) != NULL, "%s", json[i]);
    for (i = 0; i < sizeof(prometheus) / sizeof(prometheus[0]); i++)
        ck_assert_msg(prometheus_wrong(prometheus[i]) != NULL, "%s", prometheus[i]);
    ck_assert_ptr_null(json_wrong(" {\"a\": [1, -2.5e3, true, null, \"x\\u0041\"]}\n"));
    ck_assert_ptr_null(prometheus_wrong("# HELP a x\n# TYPE a gauge\na{l=\"\\\\\"} 1\n"));
}
END_TEST

static void print_hostile_label(const struct lsm_stats *s, FILE *out)
{
    lsm_print_label("store",
                    "a\"b\\c\nd\xff"
                    "e\xc3\xa4\xed\xa0\x80\xc0\xaf\xf0\x9f\x98\x80",
                    out);
}

START_TEST(a_label_may_hold_any_bytes)
{
    char *text = printed(print_hostile_label, NULL);

    ck_assert_str_eq(text, "store=\"a\\\"b\\\\c\\nd\xef\xbf\xbd"
                           "e\xc3\xa4"
                           "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                           "\xf0\x9f\x98\x80\"");
    free(text);
}
END_TEST

TEST_MAIN("stats print", TEST_CASE(json_is_json_and_has_the_numbers),
          TEST_CASE(prometheus_text_keeps_to_the_grammar),
          TEST_CASE(text_names_what_was_measured),
          TEST_CASE(numbers_of_nothing_and_of_everything_are_printed),
          TEST_CASE(the_checkers_see_what_is_wrong),
          TEST_CASE(a_label_may_hold_any_bytes))
