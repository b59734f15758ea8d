/*
 * test_repair.c - lsm_repair: after any single damage the store opens, all that
 * differs from what was written has been reported, and what was not damaged is
 * there. The store: damaged_store.h.
 */
#include "tests/damaged_store.h"
#include "tests/rounds.h"

#include <stdlib.h>

/* ---- the manifest ---- */

START_TEST(a_sound_store_is_repaired_without_loss)
{
    struct store s;
    int closed;

    for (closed = 0; closed < 2; closed++) {
        store_make(&s, "/s", closed);
        ck_assert_int_eq(store_repaired(&s), 0);
        ck_assert_int_eq(s.n_lines, 0);
        ck_assert(!s.result.rebuilt);
        ck_assert_uint_ge(s.result.tables, 3);
        env_mem_free(s.env);
    }
}
END_TEST

START_TEST(a_lost_current_or_manifest_loses_nothing)
{
    struct store s, *c;
    int closed, which;

    test_log_capture();
    for (closed = 0; closed < 2; closed++) {
        store_make(&s, "/s", closed);
        store_list(&s);
        for (which = 1; which < 4; which++) {
            c = store_copy(&s);
            if (which & 1)
                store_drop(c, "CURRENT");
            if (which & 2)
                store_drop(c, store_find(c, FILE_MANIFEST, 0));
            ck_assert_int_eq(store_repaired(c), 0);
            ck_assert_int_eq(c->result.rebuilt, which != 1);
            ck_assert_int_eq(c->n_lines, which == 1 ? 1 : 2);
            store_free(c);
        }
        env_mem_free(s.env);
    }
}
END_TEST

START_TEST(a_manifest_cut_or_flipped_anywhere_loses_nothing)
{
    struct buf bytes = {0};
    struct store s, *c;
    char path[300];
    size_t at;
    int closed, current;

    test_log_capture();
    for (closed = 0; closed < 2; closed++) {
        store_make(&s, "/s", closed);
        store_list(&s);
        store_path(&s, store_find(&s, FILE_MANIFEST, 0), path);
        ck_ok(env_mem_read(s.env, path, &bytes));
        for (at = 0; at < bytes.len; at += 41) {
            for (current = 0; current < 2; current++) {
                c = store_copy(&s);
                ck_ok(env_mem_write(c->env, path, slice_of(bytes.data, at)));
                if (!current)
                    store_drop(c, "CURRENT");
                ck_assert_int_eq(store_repaired(c), 0);
                store_free(c);
                c = store_copy(&s);
                ck_ok(env_mem_flip(c->env, path, at, 1));
                if (!current)
                    store_drop(c, "CURRENT");
                ck_assert_int_eq(store_repaired(c), 0);
                store_free(c);
            }
        }
        env_mem_free(s.env);
    }
    buf_release(&bytes);
}
END_TEST

/* ---- any file ---- */

/* Every file, flipped here and there; with or without CURRENT. */
static void flip_all(enum file_kind kind, uint64_t step, int *trials, int *losses)
{
    struct store s, *c;
    int closed, current, i;

    test_log_capture();
    for (closed = 0; closed < 2; closed++) {
        store_make(&s, "/s", closed);
        store_list(&s);
        for (i = 0; i < s.n_files; i++) {
            uint64_t size = store_size(&s, s.file[i]), at;

            if (s.kind[i] != kind)
                continue;
            for (at = 0; at < size; at += step + (at * 7) % 13) {
                for (current = 0; current < 2; current++) {
                    c = store_copy(&s);
                    store_flip(c, c->file[i], at);
                    if (!current)
                        store_drop(c, store_find(c, FILE_MANIFEST, 0));
                    *losses += store_repaired(c) > 0;
                    ++*trials;
                    store_free(c);
                }
            }
        }
        env_mem_free(s.env);
    }
}

START_TEST(a_table_flipped_anywhere_loses_one_block_at_most)
{
    int trials = 0, losses = 0;

    flip_all(FILE_TABLE, 231, &trials, &losses);
    printf("tables: %d flips, %d of them lost something\n", trials, losses);
    ck_assert_int_gt(trials, 100);
    ck_assert_int_gt(losses, 20);
    ck_assert_int_lt(losses, trials);
}
END_TEST

START_TEST(a_log_flipped_anywhere_loses_one_batch_at_most)
{
    int trials = 0, losses = 0;

    flip_all(FILE_LOG, 997, &trials, &losses);
    printf("logs: %d flips, %d of them lost something\n", trials, losses);
    ck_assert_int_gt(losses, 0);
}
END_TEST

START_TEST(a_segment_flipped_anywhere_loses_one_value_at_most)
{
    int trials = 0, losses = 0;

    flip_all(FILE_SEGMENT, 1501, &trials, &losses);
    printf("segments: %d flips, %d of them lost something\n", trials, losses);
    ck_assert_int_gt(losses, 10);
}
END_TEST

START_TEST(a_flipped_block_loses_its_keys_alone)
{
    struct store s, *c;
    int i, lost;

    test_log_capture();
    store_make(&s, "/s", true);
    store_list(&s);
    for (i = 0; i < s.n_files; i++) {
        if (s.kind[i] != FILE_TABLE)
            continue;
        c = store_copy(&s);
        store_flip(c, c->file[i], 3);
        lost = store_repaired(c);
        ck_assert_uint_eq(c->result.blocks_lost, 1);
        ck_assert_uint_eq(c->result.tables_damaged, 1);
        ck_assert_int_lt(lost, 20);
        ck_assert(!c->result.rebuilt);
        store_free(c);
    }
    env_mem_free(s.env);
}
END_TEST

START_TEST(what_is_not_data_of_a_table_is_made_again)
{
    static const int from_end[] = {1, 20, 47, 60, 100};
    struct store s, *c;
    unsigned j;
    int i;

    test_log_capture();
    store_make(&s, "/s", true);
    store_list(&s);
    for (i = 0; i < s.n_files; i++) {
        for (j = 0; s.kind[i] == FILE_TABLE && j < 5; j++) {
            char path[300];

            c = store_copy(&s);
            store_flip(c, c->file[i], store_size(c, c->file[i]) - (uint64_t)from_end[j]);
            ck_assert_int_eq(store_repaired(c), 0);
            ck_assert_uint_eq(c->result.tables_damaged, 1);
            ck_assert_uint_eq(c->result.blocks_lost, 0);
            snprintf(path, sizeof(path), "/s/lost/%s", c->file[i]);
            ck_ok(env_stat(c->env, path, &(uint64_t){0}));
            store_free(c);
        }
    }
    env_mem_free(s.env);
}
END_TEST

START_TEST(a_table_cut_anywhere_keeps_what_is_before)
{
    struct buf bytes = {0};
    struct store s, *c;
    struct lsm *db;
    char path[300];
    size_t at;
    int i, lost;

    test_log_capture();
    store_make(&s, "/s", true);
    store_list(&s);
    for (i = 0; i < s.n_files; i++) {
        if (s.kind[i] != FILE_TABLE)
            continue;
        ck_ok(env_mem_read(s.env, store_path(&s, s.file[i], path), &bytes));
        for (at = bytes.len - 1; at > 500; at = at * 2 / 3) {
            c = store_copy(&s);
            ck_ok(env_mem_write(c->env, path, slice_of(bytes.data, at)));
            store_note_line(
                c, "keys from the first to 6b657930343030"); /* not checked here */
            c->n_lines = 1;
            ck_ok(lsm_repair("/s", &c->o, store_note_line, c, &c->result));
            ck_assert_int_gt(c->n_lines, 1);
            ck_ok(lsm_open("/s", &c->o, &db));
            lost = store_count_lost(c, db);
            if (at > bytes.len - 40)
                ck_assert_int_le(lost, 20);
            ck_ok(lsm_verify(db));
            ck_ok(lsm_close(db));
            store_free(c);
        }
    }
    buf_release(&bytes);
    env_mem_free(s.env);
}
END_TEST

/* ---- dictionaries ---- */

enum { DICT_KEYS = 1500 };

/* What the first half of the keys has in common is not what the others have. */
static struct slice line_of(int i, char to[200])
{
    static const char *const forms[] = {
        "owner=%x permissions=%x checksum=%x replicas=%x accessed=%x",
        "#include %x static int %x struct slice %x unsigned long %x return %x"};
    uint64_t x = (uint64_t)i * 7919 + 1;
    unsigned v[5];
    int k;

    for (k = 0; k < 5; k++)
        v[k] = (unsigned)test_random(&x);
    snprintf(to, 200, forms[i >= DICT_KEYS / 2], v[0], v[1], v[2], v[3], v[4]);
    return slice_str(to);
}

/* One table at the last level, with two dictionaries. */
static void make_with_dictionary(struct store *s)
{
    char k[16], line[200];
    struct lsm *db;
    int i;

    s->env = env_mem_new(1);
    s->dir = "/s";
    store_options(s);
    s->o.memtable_bytes = s->o.table_bytes = 1 << 20;
    s->o.dictionary_bytes = 1024;
    ck_ok(lsm_open("/s", &s->o, &db));
    for (i = 0; i < DICT_KEYS; i++) {
        snprintf(k, sizeof(k), "key%04d", i);
        ck_ok(lsm_put(db, slice_str(k), line_of(i, line)));
        if (i == 0)
            ck_ok(lsm_flush(db));
    }
    ck_ok(lsm_put(db, slice_str("key0000"), line_of(0, line)));
    ck_ok(lsm_compact(db, true)); /* what overlaps is not only moved */
    ck_ok(lsm_close(db));
    store_list(s);
}

/* Flip the byte at `at` (from the end, if negative) of the table; repair; how many
 * keys are missing. The others are as they were. */
static int lost_after_flip(long at)
{
    struct store s = {0};
    struct lsm_value v = {0};
    char path[300], k[16], line[200];
    const char *name;
    struct buf file = {0};
    struct lsm *db;
    int i, lost = 0;

    make_with_dictionary(&s);
    name = store_find(&s, FILE_TABLE, 0);
    ck_ok(env_mem_read(s.env, store_path(&s, name, path), &file));
    ck_assert_uint_eq(load_le32(file.data + file.len - 16), 2); /* with dictionaries */
    store_flip(&s, name, at < 0 ? file.len - (size_t)-at : (size_t)at);
    buf_release(&file);
    ck_ok(lsm_repair("/s", &s.o, store_note_line, &s, &s.result));
    ck_assert_uint_eq(s.result.tables_damaged, 1);
    ck_ok(lsm_open("/s", &s.o, &db));
    ck_ok(lsm_verify(db));
    for (i = 0; i < DICT_KEYS; i++) {
        int rc;

        snprintf(k, sizeof(k), "key%04d", i);
        rc = lsm_get(db, NULL, slice_str(k), &v);
        ck_assert(rc == 0 || rc == -ENOENT);
        if (rc == 0)
            ck_assert(slice_eq(v.value, line_of(i, line)));
        lost += rc != 0;
    }
    lsm_value_release(&v);
    ck_assert_uint_eq(s.result.blocks_lost > 0, lost > 0);
    ck_assert_int_le(s.n_lines, 2); /* not one for each block */
    ck_ok(lsm_close(db));
    env_mem_free(s.env);
    return lost;
}

/* Without footer or index the blocks are looked for, and their dictionaries with them. */
START_TEST(dictionaries_are_found_without_index_and_footer)
{
    test_log_capture();
    ck_assert_int_eq(lost_after_flip(-20), 0);
    ck_assert_int_eq(lost_after_flip(-200), 0);
}
END_TEST

START_TEST(a_lost_dictionary_loses_the_keys_of_its_blocks_alone)
{
    int lost;

    test_log_capture();
    lost = lost_after_flip(100);
    ck_assert_int_gt(lost, 100);
    ck_assert_int_lt(lost, DICT_KEYS);
}
END_TEST

START_TEST(a_missing_table_loses_its_keys_alone)
{
    struct store s, *c;
    int closed, i;

    test_log_capture();
    for (closed = 0; closed < 2; closed++) {
        store_make(&s, "/s", closed);
        store_list(&s);
        for (i = 0; i < s.n_files; i++) {
            if (s.kind[i] != FILE_TABLE)
                continue;
            c = store_copy(&s);
            store_drop(c, c->file[i]);
            if (store_repaired(c) > 0)
                ck_assert_uint_eq(c->result.tables_damaged, 1);
            ck_assert_int_eq(c->result.rebuilt, !closed);
            store_free(c);
        }
        env_mem_free(s.env);
    }
}
END_TEST

START_TEST(a_missing_segment_loses_its_values_alone)
{
    struct store s, *c;
    int i, lost, sum = 0;

    test_log_capture();
    store_make(&s, "/s", true);
    store_list(&s);
    for (i = 0; i < s.n_files; i++) {
        if (s.kind[i] != FILE_SEGMENT)
            continue;
        c = store_copy(&s);
        store_drop(c, c->file[i]);
        lost = store_repaired(c);
        ck_assert_int_le(lost, (int)c->result.values_lost);
        sum += lost;
        store_free(c);
    }
    ck_assert_int_gt(sum, 30); /* every fifth key, in one segment each */
    env_mem_free(s.env);
}
END_TEST

START_TEST(a_value_lost_does_not_bring_an_older_one_back)
{
    struct env *env = env_mem_new(1);
    struct store s = {.env = env, .dir = "/s"};
    struct lsm_value v = {0};
    uint8_t value[1024];
    struct lsm *db;
    char path[300];

    test_log_capture();
    store_options(&s);
    s.o.segment_bytes = 4096; /* a segment for a few values */
    ck_ok(lsm_open("/s", &s.o, &db));
    ck_ok(lsm_put(db, slice_str("k"), slice_str("old")));
    ck_ok(lsm_compact(db, true));
    ck_ok(lsm_put(db, slice_str("k"), store_value(0, 1, value)));
    ck_ok(lsm_close(db));
    store_list(&s);
    ck_ok(
        env_mem_flip(env, store_path(&s, store_find(&s, FILE_SEGMENT, 0), path), 300, 1));
    ck_ok(lsm_repair("/s", &s.o, store_note_line, &s, &s.result));
    ck_assert_uint_eq(s.result.values_lost, 1);
    ck_assert_ptr_nonnull(strstr(s.line[0], "key 6b: its value of 1000 bytes is lost"));
    ck_assert_ptr_nonnull(strstr(s.line[0], ".vlog, offset 0"));
    ck_ok(lsm_open("/s", &s.o, &db));
    ck_err(lsm_get(db, NULL, slice_str("k"), &v), ENOENT);
    ck_ok(lsm_close(db));
    env_mem_free(env);
}
END_TEST

START_TEST(a_missing_log_is_told)
{
    struct store s, *c;
    const char *first = NULL;
    int i;

    test_log_capture();
    store_make(&s, "/s", false);
    store_list(&s);
    /* The one that the last log names; that the last one is missing, nothing tells. */
    for (i = 0; i < s.n_files; i++)
        if (s.kind[i] == FILE_LOG && (!first || strcmp(s.file[i], first) < 0))
            first = s.file[i];
    c = store_copy(&s);
    store_drop(c, first);
    ck_assert_int_gt(store_repaired(c), 0);
    ck_assert_uint_ge(c->result.logs_damaged, 1);
    store_free(c);
    env_mem_free(s.env);
}
END_TEST

START_TEST(deleted_stays_deleted_without_a_manifest)
{
    struct store s;

    test_log_capture();
    store_make(&s, "/s", false);
    store_list(&s);
    store_drop(&s, "CURRENT");
    store_drop(&s, store_find(&s, FILE_MANIFEST, 0));
    ck_assert_int_eq(store_repaired(&s), 0);
    ck_assert(s.result.rebuilt);
    env_mem_free(s.env);
}
END_TEST

/* Deletes all keys but the last one, whose write is the newest, and forgets that they
 * ever were: the tombstones have met nothing below and are gone. */
static void delete_thoroughly(struct store *s, struct lsm *db)
{
    char k[16];
    int i;

    for (i = 0; i < KEYS - 1; i++) {
        snprintf(k, sizeof(k), "key%04d", i);
        ck_ok(lsm_delete(db, slice_str(k)));
        s->round[i] = 0;
    }
    ck_ok(lsm_compact(db, true));
    ck_ok(lsm_put(db, slice_str("key0399"), store_value(399, 3, (uint8_t[1024]){0})));
    s->round[399] = 3;
    ck_ok(lsm_compact(db, true));
}

/* A file's bytes, to be put back later. */
static void keep(struct store *s, const char *path, struct buf *bytes)
{
    ck_ok(env_mem_read(s->env, path, bytes));
}

START_TEST(an_older_manifest_is_not_taken_for_the_last_one)
{
    struct buf old = {0};
    struct store s;
    struct lsm *db;
    char path[300];

    test_log_capture();
    store_make(&s, "/s", true);
    store_list(&s);
    store_path(&s, store_find(&s, FILE_MANIFEST, 0), path);
    keep(&s, path, &old);
    ck_ok(lsm_open("/s", &s.o, &db));
    ck_ok(lsm_put(db, slice_str("key0399"), store_value(399, 3, (uint8_t[1024]){0})));
    s.round[399] = 3;
    ck_ok(lsm_close(db));
    store_list(&s);
    store_drop(&s, store_find(&s, FILE_MANIFEST, 0));
    store_drop(&s, "CURRENT");
    ck_ok(env_mem_write(s.env, path, buf_slice(&old)));
    ck_assert_int_eq(store_repaired(&s), 0);
    ck_assert(s.result.rebuilt);
    buf_release(&old);
    env_mem_free(s.env);
}
END_TEST

START_TEST(a_table_that_a_manifest_calls_removed_stays_out)
{
    struct buf table = {0}, manifest = {0};
    char table_path[300], path[300];
    struct store s;
    struct lsm *db;

    test_log_capture();
    store_make(&s, "/s", true);
    store_list(&s);
    store_path(&s, store_find(&s, FILE_TABLE, 0), table_path);
    keep(&s, table_path, &table);
    ck_ok(lsm_open("/s", &s.o, &db));
    delete_thoroughly(&s, db);
    ck_ok(lsm_close(db));
    /* It is back, and the manifest has a torn end. */
    ck_ok(env_mem_write(s.env, table_path, buf_slice(&table)));
    store_list(&s);
    store_path(&s, store_find(&s, FILE_MANIFEST, 0), path);
    keep(&s, path, &manifest);
    buf_append(&manifest, "torn", 4);
    ck_ok(env_mem_write(s.env, path, buf_slice(&manifest)));
    ck_assert_int_eq(store_repaired(&s), 0);
    ck_assert(s.result.rebuilt);
    buf_release(&table);
    buf_release(&manifest);
    env_mem_free(s.env);
}
END_TEST

/* ---- on disk, and interrupted ---- */

START_TEST(a_store_on_disk_is_repaired)
{
    char dir[256], path[300];
    struct store s;

    test_log_capture();
    snprintf(dir, sizeof(dir), "%s/s", test_dir());
    store_make(&s, dir, true);
    store_list(&s);
    ck_ok(env_unlink(env_posix(), store_path(&s, "CURRENT", path)));
    ck_ok(
        env_unlink(env_posix(), store_path(&s, store_find(&s, FILE_MANIFEST, 0), path)));
    ck_assert_int_eq(store_repaired(&s), 0);
    ck_assert(s.result.rebuilt);
}
END_TEST

/* A process wrote all of a store and was killed, or met a disk that fails. The store is
 * repaired, and then the power fails. */
static void check_lasting(const char *failing, const char *lost)
{
    struct env *env = env_mem_new(1), *after;
    struct lsm_options o = rounds_options(env);
    uint8_t value[2048];
    char k[16], path[64];
    struct lsm_value v = {0};
    struct lsm *db;
    int i, n = 300;

    o.create = true;
    ck_ok(lsm_open("/s", &o, &db));
    for (i = 0; i < n; i++)
        ck_ok(lsm_put(db, rounds_key(i, k), rounds_value(i, 1, value)));
    if (failing) {
        env_mem_fail_only(env, failing);
        env_mem_fail_at(env, 1, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
        ck_err(lsm_sync(db), EIO);
    }
    env_mem_stop_at(env, 0);
    lsm_close(db);
    env_mem_stop_at(env, UINT64_MAX);
    if (lost) {
        snprintf(path, sizeof(path), "/s/%s", lost);
        ck_ok(env_unlink(env, path));
    }
    ck_ok(lsm_repair("/s", &o, NULL, NULL, NULL));
    after = env_mem_crash_clone(env, 1, ENV_MEM_LOSE_UNSYNCED);
    env_mem_free(env);
    o.env = after;
    ck_ok(lsm_open("/s", &o, &db));
    for (i = 0; i < n; i++) {
        ck_ok(lsm_get(db, NULL, rounds_key(i, k), &v));
        ck_assert(slice_eq(v.value, rounds_value(i, 1, value)));
    }
    lsm_value_release(&v);
    ck_ok(lsm_close(db));
    env_mem_free(after);
}

START_TEST(what_is_repaired_lasts_also_what_did_not_before)
{
    test_log_capture();
    check_lasting(NULL, NULL);
    check_lasting(NULL, "CURRENT");
    check_lasting("*.vlog", NULL);
    check_lasting("*.vlog", "CURRENT");
    check_lasting("*.log", NULL);
}
END_TEST

enum {
    STRIDE = SOAK_SANITIZED ? 5 : 1
}; /* calls from one that is the last to the next */

START_TEST(a_repair_cut_short_at_any_call_is_done_again)
{
    static const enum env_mem_crash modes[] = {ENV_MEM_LOSE_UNSYNCED, ENV_MEM_KEEP_RANDOM,
                                               ENV_MEM_KEEP_ALL};
    struct store s, *c, *d;
    uint64_t n, seed = test_seed();
    unsigned points = 0;
    bool done;
    int way, i;

    test_log_capture();
    for (way = 0; way < 2; way++) {
        store_make(&s, "/s", false);
        store_list(&s);
        if (way)
            store_drop(&s, store_find(&s, FILE_MANIFEST, 0));
        else
            store_drop(&s, "CURRENT");
        ck_ok(env_sync_dir(s.env, "/s"));
        for (n = 0, done = false; !done; n += STRIDE) {
            c = store_copy(&s);
            env_mem_stop_at(c->env, n);
            done = lsm_repair("/s", &c->o, NULL, NULL, NULL) == 0;
            for (i = 0; i < 3; i++) {
                d = malloc(sizeof(*d));
                *d = *c;
                d->env = d->o.env = env_mem_crash_clone(c->env, seed + n, modes[i]);
                ck_assert_int_eq(store_repaired(d), 0);
                store_free(d);
            }
            store_free(c);
        }
        ck_assert_uint_gt(n, 10);
        points += (unsigned)n / STRIDE;
        env_mem_free(s.env);
    }
    printf("repair: %u crash points, disks examined %u\n", points, 3 * points);
}
END_TEST

/* Repair of s, cut short at each stride-th call from `from` on, and again after a crash
 * then. */
static void cut_short(struct store *s, uint64_t from, unsigned stride,
                      enum env_mem_crash mode)
{
    struct store *c, *d;
    bool done = false;
    uint64_t n;

    for (n = from; !done; n += stride) {
        c = store_copy(s);
        env_mem_stop_at(c->env, n);
        done = lsm_repair("/s", &c->o, NULL, NULL, NULL) == 0;
        d = malloc(sizeof(*d));
        *d = *c;
        d->env = d->o.env = env_mem_crash_clone(c->env, n, mode);
        ck_assert_int_eq(store_repaired(d), 0);
        store_free(d);
        store_free(c);
    }
}

/* Regression: the part of a table that a flush had written was taken as proof that
 * what the log held had been flushed. */
START_TEST(a_flush_cut_short_is_no_flush)
{
    enum { EACH = SOAK_SANITIZED ? 5 : 3 }; /* another one after each cut of the flush */
    struct store s, *c, *d;
    struct lsm *db;
    uint64_t n;
    bool done = false;

    test_log_capture();
    store_make(&s, "/s", false);
    for (n = 0; !done; n++) {
        c = store_copy(&s);
        ck_ok(lsm_open("/s", &c->o, &db));
        env_mem_stop_at(c->env, n);
        done = lsm_flush(db) == 0;
        d = malloc(sizeof(*d));
        *d = *c;
        d->env = d->o.env = env_mem_crash_clone(c->env, n, ENV_MEM_KEEP_RANDOM);
        env_mem_stop_at(c->env, 0);
        lsm_close(db);
        store_free(c);
        store_list(d);
        store_drop(d, store_find(d, FILE_MANIFEST, 0));
        cut_short(d, n % EACH, EACH, ENV_MEM_KEEP_ALL);
        cut_short(d, n % EACH, EACH, ENV_MEM_KEEP_RANDOM);
        store_free(d);
    }
    ck_assert_uint_gt(n, 3);
    env_mem_free(s.env);
}
END_TEST

static void put_file(struct env *env, const char *path, const char *text)
{
    struct slice part = slice_str(text);
    struct env_file *f;

    ck_ok(env_open(env, path, ENV_CREATE, 0, &f));
    ck_ok(env_file_append(f, &part, 1));
    ck_ok(env_file_sync(f));
    ck_ok(env_file_close(f));
}

/* LevelDB's, say, or somebody's notes. */
START_TEST(files_of_others_with_such_names_are_left_alone)
{
    static const char *const names[] = {"/s/CURRENT", "/s/MANIFEST-000002",
                                        "/s/000003.log", "/s/000005.sst",
                                        "/s/000006.vlog"};
    struct env *env = env_mem_new(1);
    struct store s = {.env = env, .dir = "/s"};
    uint64_t size;
    unsigned i;

    store_options(&s);
    test_log_capture();
    ck_ok(env_mkdir(env, "/s"));
    for (i = 0; i < 5; i++)
        put_file(env, names[i], "MANIFEST-000002\n and whatever else they hold");
    ck_err(lsm_repair("/s", &s.o, NULL, NULL, NULL), ENOENT);
    for (i = 0; i < 5; i++) {
        ck_ok(env_stat(env, names[i], &size));
        ck_assert_uint_eq(size, strlen("MANIFEST-000002\n and whatever else they hold"));
    }
    store_list(&s);
    ck_assert_int_le(s.n_files, 6); /* and LOCK */
    env_mem_free(env);
}
END_TEST

START_TEST(what_cannot_be_repaired_is_refused)
{
    struct env *env = env_mem_new(1);
    struct store s = {.env = env, .dir = "/s"};
    struct lsm *db;

    store_options(&s);
    ck_err(lsm_repair("/s", &s.o, NULL, NULL, NULL), ENOENT);
    ck_ok(env_mkdir(env, "/s"));
    ck_err(lsm_repair("/s", &s.o, NULL, NULL, NULL), ENOENT);
    ck_ok(lsm_open("/s", &s.o, &db));
    ck_err(lsm_repair("/s", &s.o, NULL, NULL, NULL), EBUSY);
    ck_ok(lsm_close(db));
    ck_ok(lsm_repair("/s", &s.o, NULL, NULL, NULL));
    env_mem_free(env);
}
END_TEST

TEST_MAIN("repair", TEST_CASE(a_sound_store_is_repaired_without_loss),
          TEST_CASE(a_lost_current_or_manifest_loses_nothing),
          TEST_CASE_SLOW(a_manifest_cut_or_flipped_anywhere_loses_nothing, 300),
          TEST_CASE_SLOW(a_table_flipped_anywhere_loses_one_block_at_most, 600),
          TEST_CASE_SLOW(a_log_flipped_anywhere_loses_one_batch_at_most, 600),
          TEST_CASE_SLOW(a_segment_flipped_anywhere_loses_one_value_at_most, 600),
          TEST_CASE(a_flipped_block_loses_its_keys_alone),
          TEST_CASE(what_is_not_data_of_a_table_is_made_again),
          TEST_CASE(a_table_cut_anywhere_keeps_what_is_before),
          TEST_CASE(dictionaries_are_found_without_index_and_footer),
          TEST_CASE(a_lost_dictionary_loses_the_keys_of_its_blocks_alone),
          TEST_CASE(a_missing_table_loses_its_keys_alone),
          TEST_CASE(a_missing_segment_loses_its_values_alone),
          TEST_CASE(a_value_lost_does_not_bring_an_older_one_back),
          TEST_CASE(a_missing_log_is_told),
          TEST_CASE(deleted_stays_deleted_without_a_manifest),
          TEST_CASE(an_older_manifest_is_not_taken_for_the_last_one),
          TEST_CASE(a_table_that_a_manifest_calls_removed_stays_out),
          TEST_CASE(a_store_on_disk_is_repaired),
          TEST_CASE(what_is_repaired_lasts_also_what_did_not_before),
          TEST_CASE_SLOW(a_repair_cut_short_at_any_call_is_done_again, 300),
          TEST_CASE_SLOW(a_flush_cut_short_is_no_flush, 300),
          TEST_CASE(files_of_others_with_such_names_are_left_alone),
          TEST_CASE(what_cannot_be_repaired_is_refused))
