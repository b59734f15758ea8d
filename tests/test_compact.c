/*
 * test_compact.c - how compactions are carried out: parts of large ones, tables that
 * go unread, where outputs end, what the strategies leave. What is chosen:
 * test_pick.c; that answers stay right whatever happens: test_db_model.c.
 */
#include "test.h"

#include "tests/env_mem.h"

#include <stdlib.h>

enum { KEYS = 6000, VALUE = 100 };

struct rig {
    struct lsm *db;
    struct lsm_options o;
    struct env *env;
    char path[64];
};

static void rig_init(struct rig *r, const char *name)
{
    memset(r, 0, sizeof(*r));
    snprintf(r->path, sizeof(r->path), "/%s", name);
    lsm_options_init(&r->o);
    r->env = env_mem_new(test_seed());
    r->o.env = r->env;
    r->o.create = true;
    r->o.workers = 0;
    r->o.memtable_bytes = 64 << 10;
    r->o.table_bytes = 8 << 10;
    r->o.l1_bytes = 64 << 10;
    r->o.compression[0] = r->o.compression[1] = r->o.compression[2] = LSM_RAW;
    r->o.compression[3] = r->o.compression[4] = LSM_RAW;
}

static void rig_open(struct rig *r)
{
    ck_ok(lsm_open(r->path, &r->o, &r->db));
}

static struct lsm_stats stats(struct rig *r)
{
    struct lsm_stats s;

    lsm_get_stats(r->db, &s);
    return s;
}

static struct slice key_of(unsigned i, char to[16])
{
    snprintf(to, 16, "key%07u", i);
    return slice_str(to);
}

static void put(struct rig *r, unsigned i, unsigned version)
{
    char key[16], value[VALUE + 1];

    memset(value, 'a' + (int)(version % 26), VALUE);
    snprintf(value, sizeof(value), "%u.%u", i, version);
    value[strlen(value)] = '.';
    ck_ok(lsm_put(r->db, key_of(i, key), slice_of(value, VALUE)));
}

static void check(struct rig *r, const struct lsm_snapshot *snap, unsigned i, int version)
{
    struct lsm_value v = {0};
    char key[16], want[32];
    int rc = lsm_get(r->db, snap, key_of(i, key), &v);

    if (version < 0) {
        ck_err(rc, ENOENT);
        return;
    }
    ck_ok(rc);
    snprintf(want, sizeof(want), "%u.%u.", i, (unsigned)version);
    ck_assert(v.value.len == VALUE && !memcmp(v.value.data, want, strlen(want)));
    lsm_value_release(&v);
}

static void delete_range(struct rig *r, unsigned from, unsigned to)
{
    struct lsm_batch *b = lsm_batch_new();
    char lo[16], hi[16];

    lsm_batch_delete_range(b, key_of(from, lo), key_of(to, hi));
    ck_ok(lsm_write(r->db, b, LSM_NOSYNC));
    lsm_batch_free(b);
}

/* KEYS keys, in one level, version 0. */
static void fill(struct rig *r)
{
    unsigned i;

    for (i = 0; i < KEYS; i++)
        put(r, i * 7919 % KEYS, 0);
    ck_ok(lsm_compact(r->db, true));
}

static void finish(struct rig *r)
{
    ck_ok(lsm_verify(r->db));
    ck_ok(lsm_close(r->db));
}

static void rig_release(struct rig *r)
{
    env_mem_free(r->env);
}

/* ---- flushes ---- */

static void delete(struct rig *r, unsigned i)
{
    char key[16];

    ck_ok(lsm_delete(r->db, key_of(i, key)));
}

/* Keys from..to - 1 that are i modulo 4 are made and deleted. */
static void come_and_go(struct rig *r, unsigned from, unsigned to, unsigned i)
{
    for (; from + i < to; from += 4) {
        put(r, from + i, 1);
        delete(r, from + i);
    }
}

/* Of keys among those of tables, in L0 and below; the tables are open, and the filters
 * let one in a hundred pass. */
START_TEST(what_came_and_went_between_flushes_leaves_no_tombstone)
{
    struct lsm_stats before, after;
    struct rig r;
    unsigned i;

    rig_init(&r, "gone");
    r.o.memtable_bytes = 8 << 20;
    rig_open(&r);
    for (i = 0; i < 2 * KEYS; i += 4)
        put(&r, i, 0);
    ck_ok(lsm_compact(r.db, true));
    for (i = 1; i < 2 * KEYS; i += 4)
        put(&r, i, 0);
    ck_ok(lsm_flush(r.db));
    for (i = 0; i < 2 * KEYS; i += 4)
        check(&r, NULL, i, 0);
    before = stats(&r);
    ck_assert_uint_gt(before.level[0].tables, 0);
    come_and_go(&r, 0, 2 * KEYS, 2);
    ck_ok(lsm_flush(r.db));
    after = stats(&r);
    ck_assert_uint_lt(after.tombstones - before.tombstones, KEYS / 20);
    for (i = 0; i < 2 * KEYS; i++)
        check(&r, NULL, i, i % 4 < 2 ? 0 : -1);
    finish(&r);
    rig_release(&r);
}
END_TEST

START_TEST(a_tombstone_stays_where_a_table_or_a_snapshot_has_the_key)
{
    struct lsm_snapshot *snap;
    struct rig r;
    unsigned i;

    rig_init(&r, "stays");
    r.o.memtable_bytes = 8 << 20;
    rig_open(&r);
    for (i = 0; i < KEYS; i += 2)
        put(&r, i, 0);
    ck_ok(lsm_compact(r.db, true));
    for (i = 1; i < KEYS; i += 2)
        put(&r, i, 0);
    ck_ok(lsm_flush(r.db));
    for (i = 0; i < KEYS; i += 3)
        delete(&r, i);
    put(&r, KEYS + 1, 3);
    snap = lsm_snapshot_new(r.db);
    delete(&r, KEYS + 1);
    ck_ok(lsm_flush(r.db)); /* tables that were not read are not open */
    check(&r, snap, KEYS + 1, 3);
    lsm_snapshot_free(r.db, snap);
    for (i = 0; i < KEYS; i++)
        check(&r, NULL, i, i % 3 ? 0 : -1);
    for (i = 1; i < KEYS; i += 3) /* now they are */
        delete(&r, i);
    ck_ok(lsm_flush(r.db));
    for (i = 0; i < KEYS + 2; i++)
        check(&r, NULL, i, i < KEYS && i % 3 == 2 ? 0 : -1);
    finish(&r);
    rig_release(&r);
}
END_TEST

/* ---- parts ---- */

static void overwrite_in_parts(struct rig *r, unsigned parts_max)
{
    struct lsm_snapshot *snap;
    unsigned i;

    r->o.parts_max = parts_max;
    rig_open(r);
    fill(r);
    snap = lsm_snapshot_new(r->db);
    for (i = 0; i < KEYS; i += 3)
        put(r, i, 1);
    delete_range(r, 1000, 4000); /* lies across parts */
    for (i = 2000; i < 2100; i++)
        put(r, i, 2);
    ck_ok(lsm_compact(r->db, true));
    for (i = 0; i < KEYS; i++) {
        bool gone = i >= 1000 && i < 4000, again = i >= 2000 && i < 2100;

        check(r, NULL, i, again ? 2 : gone ? -1 : i % 3 == 0);
        check(r, snap, i, 0);
    }
    lsm_snapshot_free(r->db, snap);
}

START_TEST(a_compaction_in_parts_gives_what_one_in_whole_does)
{
    struct rig whole, parts;
    struct lsm_stats a, b;

    rig_init(&whole, "whole");
    rig_init(&parts, "parts");
    overwrite_in_parts(&whole, 1);
    overwrite_in_parts(&parts, 7);
    a = stats(&whole);
    b = stats(&parts);
    ck_assert_uint_eq(a.compaction_parts, 0);
    ck_assert_uint_ge(b.compaction_parts, 7);
    ck_assert_uint_eq(a.entries, b.entries);
    finish(&whole);
    finish(&parts);
    rig_release(&whole);
    rig_release(&parts);
}
END_TEST

START_TEST(workers_share_the_parts)
{
    struct rig r;
    unsigned i;

    rig_init(&r, "workers");
    r.o.workers = 3;
    r.o.parts_max = 8;
    rig_open(&r);
    fill(&r);
    for (i = 0; i < KEYS; i += 2)
        put(&r, i, 1);
    ck_ok(lsm_compact(r.db, true));
    for (i = 0; i < KEYS; i++)
        check(&r, NULL, i, i % 2 == 0);
    ck_assert_uint_gt(stats(&r).compaction_parts, 0);
    finish(&r);
    rig_release(&r);
}
END_TEST

/* ---- tables that go unread ---- */

static uint64_t in_levels_below_l0(const struct lsm_stats *s)
{
    uint64_t bytes = 0;
    unsigned level;

    for (level = 1; level < LSM_LEVELS; level++)
        bytes += s->level[level].bytes;
    return bytes;
}

START_TEST(tables_under_a_range_delete_go_unread)
{
    struct lsm_stats before, after;
    struct rig r;
    unsigned i;

    rig_init(&r, "covered");
    rig_open(&r);
    fill(&r);
    before = stats(&r);
    delete_range(&r, 100, KEYS - 100);
    ck_ok(lsm_flush(r.db));
    ck_ok(lsm_compact(r.db, false));
    after = stats(&r);
    ck_assert_uint_gt(after.dropped_tables, 20);
    /* What was read are the tables at the two ends. */
    ck_assert_uint_lt(after.compact_read_bytes - before.compact_read_bytes,
                      5 * (8 << 10));
    ck_assert_uint_lt(in_levels_below_l0(&after), in_levels_below_l0(&before) / 10);
    for (i = 0; i < KEYS; i++)
        check(&r, NULL, i, i >= 100 && i < KEYS - 100 ? -1 : 0);
    finish(&r);
    rig_release(&r);
}
END_TEST

/* At the bottom, in the same tables: nobody would look there again. */
START_TEST(tombstones_kept_for_a_snapshot_go_after_it)
{
    struct lsm_snapshot *snap;
    struct rig r;
    unsigned i;

    rig_init(&r, "snapshot");
    rig_open(&r);
    fill(&r);
    snap = lsm_snapshot_new(r.db);
    delete_range(&r, 0, KEYS);
    ck_ok(lsm_compact(r.db, false));
    ck_assert_uint_eq(stats(&r).dropped_tables, 0);
    for (i = 0; i < KEYS; i += 11) {
        check(&r, snap, i, 0);
        check(&r, NULL, i, -1);
    }
    lsm_snapshot_free(r.db, snap);
    ck_ok(lsm_compact(r.db, false));
    ck_assert_uint_eq(stats(&r).entries, 0);
    ck_assert_uint_eq(stats(&r).tombstones, 0);
    for (i = 0; i < KEYS; i += 11)
        check(&r, NULL, i, -1);
    finish(&r);
    rig_release(&r);
}
END_TEST

START_TEST(a_snapshot_older_than_the_tables_does_not)
{
    struct lsm_snapshot *snap;
    struct rig r;

    rig_init(&r, "older");
    rig_open(&r);
    snap = lsm_snapshot_new(r.db);
    fill(&r);
    delete_range(&r, 0, KEYS);
    ck_ok(lsm_compact(r.db, false));
    ck_assert_uint_gt(stats(&r).dropped_tables, 20);
    check(&r, snap, 5, -1);
    check(&r, NULL, 5, -1);
    lsm_snapshot_free(r.db, snap);
    finish(&r);
    rig_release(&r);
}
END_TEST

START_TEST(a_hole_between_range_deletes_keeps_a_table)
{
    struct rig r;
    unsigned i;

    rig_init(&r, "hole");
    r.o.table_bytes = 4 << 20; /* one table */
    rig_open(&r);
    fill(&r);
    delete_range(&r, 0, KEYS / 2);
    delete_range(&r, KEYS / 2 + 1, KEYS);
    ck_ok(lsm_flush(r.db));
    ck_assert_uint_eq(stats(&r).dropped_tables, 0);
    for (i = 0; i < KEYS; i++)
        check(&r, NULL, i, i == KEYS / 2 ? 0 : -1);
    delete_range(&r, KEYS / 2, KEYS / 2 + 1);
    ck_ok(lsm_compact(r.db, false));
    for (i = 0; i < KEYS; i++)
        check(&r, NULL, i, -1);
    finish(&r);
    rig_release(&r);
}
END_TEST

START_TEST(range_deletes_side_by_side_cover_a_table_together)
{
    struct lsm_batch *b = lsm_batch_new();
    struct lsm_stats before, after;
    char lo[16], hi[16];
    struct rig r;
    unsigned i;

    rig_init(&r, "together");
    r.o.table_bytes = 4 << 20;
    r.o.l0_trigger = 10;
    rig_open(&r);
    fill(&r);
    before = stats(&r);
    for (i = 0; i < KEYS; i += 100)
        lsm_batch_delete_range(b, key_of(i, lo), key_of(i + 100, hi));
    ck_ok(lsm_write(r.db, b, LSM_NOSYNC));
    lsm_batch_free(b);
    ck_ok(lsm_compact(r.db, false));
    after = stats(&r);
    ck_assert_uint_eq(after.dropped_tables, 1);
    ck_assert_uint_eq(in_levels_below_l0(&after), 0);
    ck_assert_uint_lt(after.compact_read_bytes - before.compact_read_bytes, 64 << 10);
    finish(&r);
    rig_release(&r);
}
END_TEST

/* ---- failing ---- */

struct largest {
    char name[64];
    uint64_t size;
};

static int note_largest(void *arg, const struct lsm_file *f)
{
    struct largest *l = arg;

    if (f->kind == LSM_FILE_TABLE && f->size > l->size) {
        l->size = f->size;
        snprintf(l->name, sizeof(l->name), "%s", f->name);
    }
    return 0;
}

/* Regression: the pause overflowed, and a compaction that failed went on without one. */
START_TEST(a_failed_compaction_is_not_tried_again_at_once)
{
    struct rig r;

    rig_init(&r, "failing");
    r.o.workers = 1;
    r.o.l0_trigger = 2;
    rig_open(&r);
    put(&r, 1, 0);
    ck_ok(lsm_flush(r.db));
    env_mem_fail_at(r.env, 1, EIO, ENV_MEM_OPEN_READ | ENV_MEM_READ, ENV_MEM_FOREVER);
    test_log_capture();
    put(&r, 1, 1);
    ck_ok(lsm_flush(r.db));
    ck_soon(test_log_has("it will be tried again"));
    env_sleep_ns(env_posix(), 200000000);
    ck_assert_uint_ge(env_mem_failures(r.env), 1);
    ck_assert_uint_le(env_mem_failures(r.env), 4);
    /* Nor does it keep others from writing and reading. */
    env_mem_fail_at(r.env, 0, 0, 0, ENV_MEM_ONCE);
    put(&r, 1, 2);
    check(&r, NULL, 1, 2);
    finish(&r);
    rig_release(&r);
}
END_TEST

/* Regression: while the pause after a failure lasted, 0 was returned and nothing done. */
START_TEST(who_asks_for_a_compaction_right_after_one_that_failed_gets_it_or_hears_why_not)
{
    struct rig r;

    rig_init(&r, "again");
    rig_open(&r);
    put(&r, 1, 0);
    ck_ok(lsm_flush(r.db));
    put(&r, 1, 1);
    ck_ok(lsm_flush(r.db));
    env_mem_fail_at(r.env, 1, ENOSPC, ENV_MEM_APPEND, ENV_MEM_FOREVER);
    test_log_capture();
    ck_err(lsm_compact(r.db, true), ENOSPC);
    ck_err(lsm_compact(r.db, true), ENOSPC);
    env_mem_fail_at(r.env, 0, 0, 0, ENV_MEM_ONCE);
    ck_ok(lsm_compact(r.db, true));
    ck_assert_uint_eq(stats(&r).entries, 1);
    check(&r, NULL, 1, 1);
    finish(&r);
    rig_release(&r);
}
END_TEST

/* A store with KEYS keys, and its largest table, which nobody is compacting just now.
 * Opened anew with a worker. */
static void fill_at_rest(struct rig *r, struct largest *l, bool damage)
{
    char path[300];

    r->o.workers = 0;
    rig_open(r);
    fill(r);
    *l = (struct largest){0};
    ck_ok(lsm_files(r->db, note_largest, l));
    ck_assert_uint_gt(l->size, 0);
    snprintf(path, sizeof(path), "%s/%s", lsm_path(r->db), l->name);
    ck_ok(lsm_close(r->db));
    if (damage) /* a byte in the middle */
        ck_ok(env_mem_flip(r->env, path, l->size / 3, 1));
    r->o.workers = 1;
    r->o.verify_bytes = 0; /* or it would not open */
    rig_open(r);
}

enum { ROUNDS = 40 };

static bool l0_is_small(struct rig *r)
{
    return stats(r).level[0].tables <= 3 * r->o.l0_trigger;
}

/* Writers and a worker meet the largest table, which is the last that a worker chooses. */
static void overwrite_even(struct rig *r)
{
    unsigned round, i;

    for (round = 1; round <= ROUNDS; round++) {
        for (i = 0; i < KEYS; i += 2)
            put(r, i * 7919 % KEYS, round);
        if (round == ROUNDS / 2)
            (void)lsm_compact(r->db, true); /* fails, or finds that a worker's did */
    }
}

/* Regression: each compaction with that table failed, and after each failure there was
 * none for half a minute: L0 grew without end, and writers slowed down. */
START_TEST(a_damaged_table_keeps_only_itself_from_being_compacted)
{
    struct lsm_value v = {0};
    struct largest l;
    struct lsm_stats s;
    struct rig r;
    unsigned i, lost = 0;

    test_log_capture();
    rig_init(&r, "damaged");
    fill_at_rest(&r, &l, true);
    overwrite_even(&r);
    ck_soon(l0_is_small(&r));
    s = stats(&r);
    ck_assert_uint_ge(s.damaged_tables, 1);
    ck_assert_uint_le(s.level[0].tables, 3 * r.o.l0_trigger);
    ck_assert(test_log_has("stays out of compactions"));
    /* What was written since is right; of the rest one block is an error. */
    for (i = 0; i < KEYS; i++) {
        char key[16];
        int rc;

        rc = lsm_get(r.db, NULL, key_of(i, key), &v);
        if (rc == 0)
            check(&r, NULL, i, i % 2 ? 0 : ROUNDS);
        else
            ck_err(rc, EUCLEAN);
        lost += rc != 0;
    }
    ck_assert_uint_ge(lost, 1);
    ck_assert_uint_le(lost, 200);
    lsm_value_release(&v);
    ck_err(lsm_verify(r.db), EUCLEAN);
    ck_ok(lsm_close(r.db));
    rig_release(&r);
}
END_TEST

/* A table that could not be read is looked at ever less often. */
static bool can_be_read_later(struct rig *r)
{
    env_sleep_ns(r->env, 30000000000ull);
    return !stats(r).unreadable_tables;
}

/* Regression: the same, each time that the disk did not read it; and it is none of them
 * any more when the disk does. */
START_TEST(a_table_that_the_disk_does_not_read_does_so_for_as_long)
{
    struct largest l;
    struct rig r;
    unsigned i;

    test_log_capture();
    rig_init(&r, "unreadable");
    fill_at_rest(&r, &l, false);
    env_mem_fail_only(r.env, l.name);
    env_mem_fail_at(r.env, 1, EIO, ENV_MEM_OPEN_READ | ENV_MEM_READ, ENV_MEM_FOREVER);
    overwrite_even(&r);
    ck_soon(l0_is_small(&r));
    ck_assert_uint_eq(stats(&r).unreadable_tables, 1);
    ck_assert_uint_eq(stats(&r).damaged_tables, 0);
    env_mem_fail_at(r.env, 0, 0, 0, ENV_MEM_ONCE);
    ck_soon(can_be_read_later(&r));
    ck_soon(test_log_has("can be read again"));
    ck_ok(lsm_compact(r.db, true));
    for (i = 0; i < KEYS; i++)
        check(&r, NULL, i, i % 2 ? 0 : ROUNDS);
    finish(&r);
    rig_release(&r);
}
END_TEST

/* Regression: what had become garbage in segments that L0 points to could not be moved
 * while L0 was blocked, and writers waited for that, for ever. */
static void overwrite_values_beside_damage(enum lsm_strategy strategy, size_t separate)
{
    enum { HOT = 1000, EVERY = KEYS / HOT };
    unsigned at[HOT] = {0};
    uint64_t rng = test_seed();
    struct largest l;
    struct lsm_stats s;
    struct rig r;
    unsigned i, round;

    rig_init(&r, "values");
    r.o.strategy = strategy;
    r.o.table_bytes = 64 << 10;
    r.o.separate_bytes = separate;
    r.o.segment_bytes = 64 << 10;
    r.o.l1_bytes = 4 << 20; /* what is damaged is in the way of L0 */
    fill_at_rest(&r, &l, true);
    for (i = 0; i < HOT; i++)
        put(&r, i * EVERY, at[i] = 1);
    ck_ok(lsm_close(r.db));
    r.o.separate_bytes = 64;
    r.o.vlog = LSM_RAW;
    rig_open(&r);
    (void)lsm_compact(r.db, true); /* fails, or finds that a worker's did */
    ck_assert_uint_ge(stats(&r).damaged_tables, 1);
    for (round = 2; round < (SOAK_SANITIZED ? 6000 : 30000); round++) {
        i = (unsigned)test_below(&rng, HOT);
        put(&r, i * EVERY, at[i] = round); /* at random: segments are garbage in part */
    }
    for (i = 0; i < HOT; i++)
        check(&r, NULL, i * EVERY, (int)at[i]);
    s = stats(&r);
    ck_assert_uint_lt(s.segment_bytes, (uint64_t)30 * HOT * VALUE);
    ck_ok(lsm_close(r.db));
    rig_release(&r);
}

START_TEST(a_damaged_table_keeps_nobody_from_overwriting_values)
{
    test_log_capture();
    overwrite_values_beside_damage(LSM_LEVELED, 0);
    overwrite_values_beside_damage(LSM_TIERED, 0);
    overwrite_values_beside_damage(LSM_HYBRID, 0);
    overwrite_values_beside_damage(LSM_LEVELED, 64);
}
END_TEST

/* ---- strategies ---- */

static void churn(struct rig *r, unsigned rounds)
{
    unsigned round, i;

    for (round = 0; round < rounds; round++)
        for (i = 0; i < KEYS; i++)
            put(r, i * 7919 % KEYS, round);
    for (i = 0; i < KEYS; i++)
        check(r, NULL, i, (int)rounds - 1);
}

START_TEST(tiered_writes_less_than_leveled_and_takes_more_space)
{
    struct lsm_stats s[3];
    unsigned i;

    for (i = 0; i < 3; i++) {
        char name[16];
        struct rig r;

        snprintf(name, sizeof(name), "strategy%u", i);
        rig_init(&r, name);
        r.o.strategy = (enum lsm_strategy)i;
        r.o.memtable_bytes = 32 << 10;
        rig_open(&r);
        churn(&r, 20);
        s[i] = stats(&r);
        finish(&r);
        rig_release(&r);
    }
    ck_assert_uint_lt(s[LSM_TIERED].compact_written_bytes,
                      s[LSM_LEVELED].compact_written_bytes / 4 * 3);
    ck_assert_uint_lt(s[LSM_HYBRID].compact_written_bytes,
                      s[LSM_LEVELED].compact_written_bytes);
    ck_assert_uint_gt(s[LSM_TIERED].disk_bytes, s[LSM_LEVELED].disk_bytes);
    /* All runs but the last: at most twice its size, and what is being merged. */
    ck_assert_uint_lt(s[LSM_TIERED].disk_bytes, (uint64_t)KEYS * (VALUE + 40) * 4);
}
END_TEST

START_TEST(a_store_may_change_its_strategy_at_every_opening)
{
    struct rig r;
    unsigned i, k;

    rig_init(&r, "changing");
    for (i = 0; i < 9; i++) {
        r.o.strategy = (enum lsm_strategy)(i * 2 % 3);
        rig_open(&r);
        for (k = i % 2; k < KEYS; k += 2)
            put(&r, k * 7919 % KEYS, i);
        for (k = 0; k < KEYS && i; k++)
            check(&r, NULL, k * 7919 % KEYS, (int)(k % 2 == i % 2 ? i : i - 1));
        finish(&r);
    }
    rig_release(&r);
}
END_TEST

static bool five_times(void *arg)
{
    return (*(_Atomic int *)arg)++ < 5;
}

START_TEST(a_compaction_that_is_called_off_ends_and_leaves_all_as_it_was)
{
    struct rig r;
    _Atomic int asked = 0;
    unsigned i;

    rig_init(&r, "off");
    r.o.workers = 2;
    rig_open(&r);
    fill(&r);
    for (i = 0; i < KEYS; i++)
        put(&r, i, 1);
    ck_err(lsm_compact_while(r.db, true, five_times, &asked), ECANCELED);
    ck_assert(asked > 5 && asked < 5 + 12);
    for (i = 0; i < KEYS; i++)
        check(&r, NULL, i, 1);
    ck_ok(stats(&r).background_error);
    ck_ok(stats(&r).retry_error);
    asked = -1000000;
    ck_ok(lsm_compact_while(r.db, true, five_times, &asked));
    for (i = 0; i < KEYS; i++)
        check(&r, NULL, i, 1);
    finish(&r);
    rig_release(&r);
}
END_TEST

TEST_MAIN("compact",
          TEST_CASE_ALONE(what_came_and_went_between_flushes_leaves_no_tombstone),
          TEST_CASE_ALONE(a_tombstone_stays_where_a_table_or_a_snapshot_has_the_key),
          TEST_CASE_ALONE(a_compaction_in_parts_gives_what_one_in_whole_does),
          TEST_CASE(workers_share_the_parts),
          TEST_CASE_ALONE(tables_under_a_range_delete_go_unread),
          TEST_CASE_ALONE(tombstones_kept_for_a_snapshot_go_after_it),
          TEST_CASE_ALONE(a_snapshot_older_than_the_tables_does_not),
          TEST_CASE_ALONE(a_hole_between_range_deletes_keeps_a_table),
          TEST_CASE_ALONE(range_deletes_side_by_side_cover_a_table_together),
          TEST_CASE_ALONE(a_failed_compaction_is_not_tried_again_at_once),
          TEST_CASE_ALONE(
              who_asks_for_a_compaction_right_after_one_that_failed_gets_it_or_hears_why_not),
          TEST_CASE_ALONE(a_damaged_table_keeps_only_itself_from_being_compacted),
          TEST_CASE(a_table_that_the_disk_does_not_read_does_so_for_as_long),
          TEST_CASE_ALONE(a_damaged_table_keeps_nobody_from_overwriting_values),
          TEST_CASE_ALONE(tiered_writes_less_than_leveled_and_takes_more_space),
          TEST_CASE_ALONE(a_store_may_change_its_strategy_at_every_opening),
          TEST_CASE(a_compaction_that_is_called_off_ends_and_leaves_all_as_it_was))
