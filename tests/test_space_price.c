/*
 * test_space_price.c - what writers pay for garbage that they make: nothing where there
 * is none, and for a range what it covers.
 */
#include "tests/env_mem.h"
#include "tests/test.h"

enum {
    VALUE = 32 << 10,
    VALUES = 1000,
    PART = 8, /* values that are overwritten at once, by a range delete */
};

static struct slice key_of(uint32_t i, uint8_t to[8])
{
    store_be64(to, i);
    return slice_of(to, 8);
}

static struct slice value_of(uint64_t *rng)
{
    static uint8_t value[VALUE];
    size_t i;

    for (i = 0; i < sizeof(value); i += 8)
        store_le64(value + i, test_random(rng));
    return slice_of(value, sizeof(value));
}

/* VALUES values, in a store that was opened anew: without background
 * threads, so that all that runs runs in the writer. */
static struct lsm *make_full(struct lsm_options *o, uint64_t *rng)
{
    struct lsm *db;
    uint8_t key[8];
    uint32_t i;

    lsm_options_init(o);
    o->create = true;
    o->env = env_mem_new(1);
    o->workers = 0;
    o->memtable_bytes = 64 << 10;
    o->segment_bytes = 1 << 20;
    o->vlog = LSM_RAW;
    ck_ok(lsm_open("/s", o, &db));
    for (i = 0; i < VALUES; i++)
        ck_ok(lsm_put(db, key_of(i * 7 % VALUES, key), value_of(rng)));
    ck_ok(lsm_compact(db, false)); /* or one would be made at once, which tells */
    return db;
}

static void close_full(struct lsm *db, struct lsm_options *o)
{
    ck_ok(lsm_close(db));
    env_mem_free(o->env);
}

/* Right after opening, too, when no flush has told yet what is live. */
START_TEST(who_writes_to_a_store_full_of_live_values_pays_nothing)
{
    uint64_t rng = test_seed();
    struct lsm_options o;
    struct lsm *db = make_full(&o, &rng);
    struct lsm_stats st;
    uint8_t key[8];
    uint32_t i;

    ck_ok(lsm_close(db));
    ck_ok(lsm_open("/s", &o, &db));
    for (i = 0; i < 200; i++)
        ck_ok(lsm_put(db, key_of(VALUES + i, key), slice_str("small")));
    lsm_get_stats(db, &st);
    ck_assert_uint_eq(st.stalls, 0);
    close_full(db, &o);
}
END_TEST

/* A range that is overwritten as the file system does it. */
static void overwrite_part(struct lsm *db, uint32_t first, uint64_t *rng)
{
    struct lsm_batch *b = lsm_batch_new();
    uint8_t from[8], to[8];
    uint32_t i;

    ck_assert_ptr_nonnull(b);
    lsm_batch_delete_range(b, key_of(first, from), key_of(first + PART, to));
    for (i = 0; i < PART; i++)
        lsm_batch_put(b, key_of(first + i, from), value_of(rng));
    ck_ok(lsm_write(db, b, LSM_NOSYNC));
    lsm_batch_free(b);
}

/* A file of a GiB is one table. While nobody has read it, half of it was taken for
 * covered by any range in it: each overwritten MiB ended a memtable. A memtable may point
 * to a 32nd of what is live, so what is overwritten once needs few of them. */
START_TEST(a_range_costs_what_it_covers_and_not_a_part_of_its_table)
{
    uint64_t rng = test_seed();
    struct lsm_options o;
    struct lsm *db = make_full(&o, &rng);
    struct lsm_stats before, after;
    uint32_t i;

    lsm_get_stats(db, &before);
    ck_assert_uint_eq(before.tables_open, 0);
    for (i = 0; i + PART <= VALUES; i += PART)
        overwrite_part(db, i, &rng);
    lsm_get_stats(db, &after);
    /* Of what points and of what is deleted, 1 + ratio times, a 32nd each. */
    ck_assert_uint_ge(after.flushes - before.flushes, 32);
    ck_assert_uint_le(after.flushes - before.flushes, 32 * 3);
    close_full(db, &o);
}
END_TEST

/* ... and all of what it covers, so that its space comes back as soon as anything does.
 */
START_TEST(a_range_over_everything_costs_all_of_it)
{
    uint64_t rng = test_seed();
    struct lsm_options o;
    struct lsm *db = make_full(&o, &rng);
    struct lsm_batch *b = lsm_batch_new();
    uint8_t from[8], to[8];
    struct lsm_stats before, after;

    lsm_get_stats(db, &before);
    ck_assert_ptr_nonnull(b);
    lsm_batch_delete_range(b, key_of(1, from), key_of(VALUES - 1, to));
    ck_ok(lsm_write(db, b, LSM_NOSYNC));
    lsm_batch_free(b);
    /* The memtable hides more than it may: the next write ends it. */
    ck_ok(lsm_put(db, key_of(VALUES, from), slice_str("small")));
    lsm_get_stats(db, &after);
    ck_assert_uint_eq(after.flushes, before.flushes + 1);
    close_full(db, &o);
}
END_TEST

TEST_MAIN("space price",
          TEST_CASE(who_writes_to_a_store_full_of_live_values_pays_nothing),
          TEST_CASE(a_range_costs_what_it_covers_and_not_a_part_of_its_table),
          TEST_CASE(a_range_over_everything_costs_all_of_it))
