/*
 * test_hostile.c - stores that a stranger made to hurt: what a fuzzer does not find by
 * itself, because it takes a real disk, much time or much room. See fuzz_store.c.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lsm/names.h"
#include "lsm/tally.h"
#include "tests/damaged_store.h"
#include "tests/env_mem.h"
#include "tests/test.h"

/* Of processor time. */
static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int open_and_close(struct store *s)
{
    struct lsm_options o = s->o;
    struct lsm *db;
    int rc;

    o.create = false;
    rc = lsm_open(s->dir, &o, &db);
    return rc ? rc : lsm_close(db);
}

/* ---- no files where files should be ---- */

enum thing { FIFO, DIRECTORY, LINK_TO_ZERO, LINK_OUTSIDE, THINGS };

static void put_thing(const char *path, enum thing t)
{
    switch (t) {
    case FIFO:
        ck_assert(mkfifo(path, 0600) == 0);
        break;
    case DIRECTORY:
        ck_assert(mkdir(path, 0700) == 0);
        break;
    case LINK_TO_ZERO:
        ck_assert(symlink("/dev/zero", path) == 0);
        break;
    case LINK_OUTSIDE:
        ck_assert(symlink("/etc/passwd", path) == 0);
        break;
    case THINGS:
        break;
    }
}

static void remove_thing(const char *path, enum thing t)
{
    ck_assert((t == DIRECTORY ? rmdir(path) : unlink(path)) == 0);
}

/* A hang is the end of the test's time. */
START_TEST(what_is_no_file_is_refused_and_waits_for_nobody)
{
    struct store *s = calloc(1, sizeof(*s));
    char dir[200], path[300], aside[320];
    int i, t;

    test_log_capture();
    snprintf(dir, sizeof(dir), "%s/s", test_dir());
    store_make(s, dir, true);
    store_list(s);
    for (i = 0; i < s->n_files; i++) {
        store_path(s, s->file[i], path);
        snprintf(aside, sizeof(aside), "%s.aside", path);
        ck_assert(rename(path, aside) == 0);
        for (t = 0; t < THINGS; t++) {
            int rc;

            put_thing(path, (enum thing)t);
            rc = open_and_close(s);
            ck_assert_msg(rc == -EUCLEAN || rc == -ELOOP || rc == -ENOENT, "%s as %d: %d",
                          s->file[i], t, rc);
            remove_thing(path, (enum thing)t);
        }
        ck_assert(rename(aside, path) == 0);
    }
    ck_ok(open_and_close(s));
    free(s);
}
END_TEST

START_TEST(what_is_no_file_and_not_needed_is_left_alone)
{
    static const char *const names[] = {"000900.sst", "000901.log", "000902.vlog",
                                        "MANIFEST-000903", "000904.tmp"};
    struct store *s = calloc(1, sizeof(*s));
    char dir[200], path[300];
    int i, t;

    test_log_capture();
    snprintf(dir, sizeof(dir), "%s/s", test_dir());
    store_make(s, dir, true);
    for (t = 0; t < THINGS; t++) {
        for (i = 0; i < 5; i++)
            put_thing(store_path(s, names[i], path), (enum thing)t);
        ck_ok(open_and_close(s));
        ck_ok(lsm_repair(dir, &s->o, NULL, NULL, NULL));
        ck_ok(open_and_close(s));
        for (i = 0; i < 5; i++)
            remove_thing(store_path(s, names[i], path), (enum thing)t);
    }
    snprintf(path, sizeof(path), "%s/LOCK", dir);
    ck_assert(unlink(path) == 0 && mkfifo(path, 0600) == 0);
    ck_err(open_and_close(s), EUCLEAN);
    free(s);
}
END_TEST

/* ---- files that are all hole ---- */

static void extend(const struct store *s, const char *name, off_t size)
{
    char path[300];

    ck_assert(truncate(store_path(s, name, path), size) == 0);
}

/* Logs are read by the same code. */
START_TEST(a_manifest_of_1_TiB_of_hole_opens_in_seconds)
{
    struct store *s = calloc(1, sizeof(*s));
    double before;
    char dir[200];
    int i;

    snprintf(dir, sizeof(dir), "%s/s", test_dir());
    store_make(s, dir, true);
    store_list(s);
    for (i = 0; i < s->n_files; i++)
        if (s->kind[i] == FILE_MANIFEST || s->kind[i] == FILE_LOG)
            extend(s, s->file[i], (off_t)1 << 40);
    before = seconds();
    ck_ok(open_and_close(s));
    ck_assert_double_lt(seconds() - before, 20);
    free(s);
}
END_TEST

/* ---- many of something ---- */

/* As version_apply costs what there is, edit by edit, a million of both took days. */
START_TEST(a_manifest_of_many_edits_and_tables_is_read_in_linear_time)
{
    enum { N = 200000 };
    struct tally t = {0};
    double before = seconds();
    uint64_t i;

    for (i = 0; i < N; i++) {
        struct table_meta meta = {.number = i + 10, .size = 100, .seq_max = i + 1};
        struct edit e = {0};

        ck_ok(edit_add_table(&e, 0, &meta));
        if (i % 2)
            ck_ok(edit_remove_table(&e, 0, i + 9));
        ck_ok(edit_seal_segment(&e, i, 5));
        if (i % 3)
            ck_ok(edit_drop_segment(&e, i - 1));
        ck_ok(tally_apply(&t, &e, "m"));
        edit_release(&e);
    }
    ck_assert_double_lt(seconds() - before, 20);
    tally_release(&t);
}
END_TEST

START_TEST(a_tally_refuses_what_does_not_fit)
{
    struct table_meta meta = {.number = 5};
    struct edit e = {0};
    struct tally t = {0};

    test_log_capture();
    ck_ok(edit_remove_table(&e, 1, 5));
    ck_err(tally_apply(&t, &e, "m"), EUCLEAN);
    edit_release(&e);
    ck_ok(edit_add_table(&e, 1, &meta));
    ck_ok(tally_apply(&t, &e, "m"));
    edit_release(&e);
    meta.number = 5;
    ck_ok(edit_add_table(&e, 2, &meta));
    ck_err(tally_apply(&t, &e, "m"), EUCLEAN); /* it is at L1 */
    edit_release(&e);
    ck_ok(edit_remove_table(&e, 2, 5));
    ck_err(tally_apply(&t, &e, "m"), EUCLEAN);
    edit_release(&e);
    meta.number = 5;
    ck_ok(edit_remove_table(&e, 1, 5));
    ck_ok(edit_add_table(&e, 2, &meta));
    ck_ok(tally_apply(&t, &e, "m")); /* moved */
    edit_release(&e);
    meta.number = 6;
    ck_ok(edit_add_table(&e, LSM_LEVELS, &meta));
    ck_err(tally_apply(&t, &e, "m"), EUCLEAN);
    edit_release(&e);
    tally_release(&t);
}
END_TEST

START_TEST(a_tally_keeps_the_segments_that_were_not_dropped)
{
    struct edit_segment *list;
    struct edit e = {0};
    struct tally t = {0};
    size_t n;

    ck_ok(edit_seal_segment(&e, 9, 90));
    ck_ok(edit_seal_segment(&e, 3, 30));
    ck_ok(edit_seal_segment(&e, 7, 70));
    ck_ok(tally_apply(&t, &e, "m"));
    edit_release(&e);
    ck_ok(edit_drop_segment(&e, 3));
    ck_ok(edit_drop_segment(&e, 4));
    ck_ok(edit_seal_segment(&e, 7, 71));
    ck_ok(tally_apply(&t, &e, "m"));
    edit_release(&e);
    ck_ok(tally_segments(&t, &list, &n));
    ck_assert_uint_eq(n, 2);
    ck_assert(list[0].number == 7 && list[0].size == 71 && list[1].number == 9);
    free(list);
    tally_release(&t);
}
END_TEST

static void nested(struct lsm_batch *b, unsigned i)
{
    char from[16], to[16];

    snprintf(from, sizeof(from), "a%06u", i);
    snprintf(to, sizeof(to), "z%06u", 999999 - i);
    lsm_batch_delete_range(b, slice_str(from), slice_str(to));
}

START_TEST(a_batch_takes_so_many_range_deletes_and_no_more)
{
    struct lsm_batch *b = lsm_batch_new();
    struct lsm_options o;
    struct lsm_stats stats;
    struct lsm *db;
    unsigned i;

    test_log_capture();
    lsm_options_init(&o);
    o.env = env_mem_new(1);
    o.create = true;
    o.workers = 0;
    ck_ok(lsm_open("/s", &o, &db));
    for (i = 0; i < LSM_BATCH_RANGES_MAX; i++)
        nested(b, i);
    ck_ok(lsm_write(db, b, LSM_NOSYNC));
    lsm_get_stats(db, &stats);
    ck_assert_uint_lt(stats.memory_memtables, 100 << 20);
    nested(b, i);
    ck_err(lsm_write(db, b, LSM_NOSYNC), EINVAL);
    lsm_batch_clear(b);
    nested(b, i);
    ck_ok(lsm_write(db, b, LSM_NOSYNC));
    lsm_batch_free(b);
    ck_ok(lsm_close(db));
    env_mem_free(o.env);
}
END_TEST

/* ---- numbers at the end of what there is ---- */

START_TEST(numbers_near_their_end_are_nobodys_files)
{
    uint64_t n;

    ck_assert_int_eq(file_parse("4611686018427387903.sst", &n), FILE_TABLE);
    ck_assert_int_eq(file_parse("4611686018427387904.sst", &n), FILE_OTHER);
    ck_assert_int_eq(file_parse("18446744073709551615.log", &n), FILE_OTHER);
    ck_assert_int_eq(file_parse("99999999999999999999999.log", &n), FILE_OTHER);
    ck_assert_int_eq(file_parse("../000005.sst", &n), FILE_OTHER);
    ck_assert_int_eq(file_parse("MANIFEST-../../x", &n), FILE_OTHER);
}
END_TEST

TEST_MAIN("hostile", TEST_CASE(what_is_no_file_is_refused_and_waits_for_nobody),
          TEST_CASE(what_is_no_file_and_not_needed_is_left_alone),
          TEST_CASE(a_manifest_of_1_TiB_of_hole_opens_in_seconds),
          TEST_CASE(a_manifest_of_many_edits_and_tables_is_read_in_linear_time),
          TEST_CASE(a_tally_refuses_what_does_not_fit),
          TEST_CASE(a_tally_keeps_the_segments_that_were_not_dropped),
          TEST_CASE(a_batch_takes_so_many_range_deletes_and_no_more),
          TEST_CASE(numbers_near_their_end_are_nobodys_files))
