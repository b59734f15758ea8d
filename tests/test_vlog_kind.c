/*
 * test_vlog_kind.c - values of which somebody chose how they are compressed
 * (lsm_batch_compress): at once, in the log's stead, and when they move.
 */
#include "tests/env_mem.h"
#include "tests/test.h"

#include <stdlib.h>

enum { SIZE = 16 << 10, FILLERS = 200 };

static struct lsm_options o;
static uint8_t text[SIZE], noise[SIZE];

static const struct {
    const char *key;
    enum lsm_compression kind;
} kinds[] = {{"m-none", LSM_RAW}, {"m-lz4", LSM_LZ4}, {"m-zstd", LSM_ZSTD}};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static void set_up(struct lsm **db)
{
    unsigned i;

    for (i = 0; i < SIZE; i++) {
        text[i] = (uint8_t)("some words of text, over and over"[i % 33] + i / 1000);
        noise[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    lsm_options_init(&o);
    o.env = env_mem_new(test_seed());
    o.create = true;
    o.workers = 0;
    o.memtable_bytes = 64 << 10;
    o.segment_bytes = 1 << 20;
    o.garbage_ratio = 0.1;
    o.vlog = LSM_LZ4;
    ck_ok(lsm_open("/kind", &o, db));
}

/* kind NULL: none is chosen. */
static void put(struct lsm *db, const char *key, const enum lsm_compression *kind,
                enum lsm_durability d)
{
    struct lsm_batch *b = lsm_batch_new();

    lsm_batch_compress(b, kind);
    lsm_batch_put_ref(b, slice_str(key), slice_of(text, SIZE));
    ck_ok(lsm_write(db, b, d));
    lsm_batch_free(b);
}

/* Bytes of its record; 0: it is in none. */
static uint64_t stored(struct lsm *db, const char *key, uint64_t *segment)
{
    struct lsm_iter_options io = {0};
    struct lsm_place place = {0};
    struct lsm_iter *it;
    struct slice value;

    ck_ok(lsm_iter_new(db, &io, &it));
    lsm_iter_seek(it, slice_str(key));
    ck_assert(lsm_iter_valid(it) && slice_eq(lsm_iter_key(it), slice_str(key)));
    if (lsm_iter_place(it, &place) && segment)
        *segment = place.segment;
    ck_ok(lsm_iter_value(it, &value));
    ck_assert(slice_eq(value, slice_of(text, SIZE)));
    lsm_iter_free(it);
    return place.stored;
}

static void ck_kinds(struct lsm *db)
{
    uint64_t none = stored(db, "m-none", NULL), lz4 = stored(db, "m-lz4", NULL);
    uint64_t zstd = stored(db, "m-zstd", NULL);

    ck_assert_uint_ge(none, SIZE);
    ck_assert_uint_lt(lz4, SIZE / 4);
    ck_assert_uint_gt(zstd, 0);
    ck_assert_uint_lt(zstd, lz4);
    ck_assert_uint_eq(stored(db, "n", NULL), lz4); /* as the store */
}

START_TEST(a_value_is_compressed_as_was_chosen)
{
    struct lsm *db;
    unsigned i;

    set_up(&db);
    for (i = 0; i < KINDS; i++)
        put(db, kinds[i].key, &kinds[i].kind, LSM_NOSYNC);
    put(db, "n", NULL, LSM_NOSYNC);
    ck_kinds(db);
    ck_ok(lsm_close(db));
    ck_ok(lsm_open("/kind", &o, &db));
    ck_kinds(db);
    ck_ok(lsm_compact(db, true));
    ck_kinds(db);
    ck_ok(lsm_verify(db));
    ck_ok(lsm_close(db));
    env_mem_free(o.env);
}
END_TEST

START_TEST(while_syncs_are_near_what_was_chosen_is_not_left_to_the_log)
{
    struct lsm *db;
    unsigned i, round;

    set_up(&db);
    for (round = 0; round < 3; round++) {
        for (i = 0; i < KINDS; i++)
            put(db, kinds[i].key, &kinds[i].kind, LSM_SYNC);
        put(db, "n", NULL, LSM_SYNC);
    }
    ck_assert_uint_eq(stored(db, "n", NULL), 0); /* it is in the log, and the memtable */
    ck_assert_uint_ge(stored(db, "m-none", NULL), SIZE);
    ck_ok(lsm_flush(db));
    ck_kinds(db);
    ck_ok(lsm_close(db));
    env_mem_free(o.env);
}
END_TEST

START_TEST(a_value_that_moves_stays_compressed_as_was_chosen)
{
    uint64_t before[KINDS], after;
    unsigned i, round;
    char key[16];
    struct lsm *db;

    set_up(&db);
    for (round = 0; round < 12; round++) {
        for (i = 0; i < FILLERS; i++) {
            snprintf(key, sizeof(key), "%c%03u", i % 2 ? 'a' : 'z', i);
            ck_ok(lsm_put(db, slice_str(key), slice_of(noise, SIZE)));
            if (round == 0 && i == FILLERS / 2) {
                for (unsigned k = 0; k < KINDS; k++)
                    put(db, kinds[k].key, &kinds[k].kind, LSM_NOSYNC);
                put(db, "n", NULL, LSM_NOSYNC);
            }
        }
        if (round == 0) {
            for (i = 0; i < KINDS; i++)
                stored(db, kinds[i].key, &before[i]);
            ck_ok(lsm_close(db)); /* what was active can be emptied */
            ck_ok(lsm_open("/kind", &o, &db));
        }
    }
    for (i = 0; i < KINDS; i++) {
        stored(db, kinds[i].key, &after);
        ck_assert_uint_ne(before[i], after);
    }
    ck_kinds(db);
    ck_ok(lsm_verify(db));
    ck_ok(lsm_close(db));
    env_mem_free(o.env);
}
END_TEST

START_TEST(options_change_while_a_store_is_open)
{
    struct lsm_options now;
    uint64_t lz4;
    struct lsm *db;
    unsigned level;

    set_up(&db);
    put(db, "a", NULL, LSM_NOSYNC);
    lz4 = stored(db, "a", NULL);
    lsm_options_init(&now);
    now.vlog = LSM_ZSTD;
    now.memory_bytes = 1; /* not looked at */
    now.sync_interval_ms = 10;
    for (level = 0; level < LSM_LEVELS; level++)
        now.compression[level] = LSM_RAW;
    ck_ok(lsm_change_options(db, &now));
    put(db, "b", NULL, LSM_NOSYNC);
    ck_assert_uint_lt(stored(db, "b", NULL), lz4);
    now.background_bytes_per_s = 1;
    now.vlog = LSM_RAW;
    ck_err(lsm_change_options(db, &now), EINVAL);
    put(db, "c", NULL, LSM_NOSYNC);
    ck_assert_uint_lt(stored(db, "c", NULL), lz4); /* nothing was changed */
    now.background_bytes_per_s = 0;
    ck_ok(lsm_change_options(db, &now));
    put(db, "d", NULL, LSM_NOSYNC);
    ck_assert_uint_ge(stored(db, "d", NULL), SIZE);
    ck_ok(lsm_compact(db, true));
    ck_ok(lsm_verify(db));
    ck_ok(lsm_close(db));
    env_mem_free(o.env);
}
END_TEST

TEST_MAIN("vlog_kind", TEST_CASE(a_value_is_compressed_as_was_chosen),
          TEST_CASE(while_syncs_are_near_what_was_chosen_is_not_left_to_the_log),
          TEST_CASE(a_value_that_moves_stays_compressed_as_was_chosen),
          TEST_CASE(options_change_while_a_store_is_open))
