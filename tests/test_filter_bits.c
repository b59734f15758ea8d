/*
 * test_filter_bits.c - lsm/filter_bits.h: the plan against every other one; and on a
 * real store of several levels, against as many bits for every key.
 */
#include "env_mem.h"
#include "test.h"

#include <stdlib.h>

#include "lsm/bloom.h"
#include "lsm/filter_bits.h"
#include "lsm/hash.h"
#include "lsm/names.h"
#include "lsm/table.h"

static double bits_spent(const struct filter_level *level, size_t n)
{
    double sum = 0;
    size_t i;

    for (i = 0; i < n; i++)
        sum += level[i].bits * (double)level[i].entries;
    return sum;
}

static double total(const struct filter_level *level, size_t n, double average)
{
    double sum = 0;
    size_t i;

    for (i = 0; i < n; i++)
        sum += average * (double)level[i].entries;
    return sum;
}

START_TEST(one_run_gets_the_average)
{
    struct filter_level l = {.entries = 1000, .runs = 1};

    filter_bits_plan(&l, 1, 10);
    ck_assert_double_eq_tol(l.bits, 10, 1e-9);
    filter_bits_plan(&l, 1, 100);
    ck_assert_double_eq_tol(l.bits, FILTER_BITS_MAX, 1e-9);
    filter_bits_plan(&l, 1, 0);
    ck_assert_double_eq_tol(l.bits, 0, 1e-9);
}
END_TEST

START_TEST(smaller_levels_get_more_and_the_total_is_kept)
{
    struct filter_level l[] = {
        {4000, 4, 0}, {10000, 1, 0}, {100000, 1, 0}, {1000000, 1, 0}};
    double average;
    int i;

    for (average = 1; average <= 20; average += 0.5) {
        filter_bits_plan(l, 4, average);
        for (i = 0; i < 3; i++)
            ck_assert_double_ge(l[i].bits, l[i + 1].bits);
        ck_assert_double_le(l[3].bits, average);
        ck_assert_double_eq_tol(bits_spent(l, 4), total(l, 4, average), 1);
    }
}
END_TEST

START_TEST(with_little_memory_the_last_level_gets_none)
{
    struct filter_level l[] = {{1000, 1, 0}, {1000000, 1, 0}};

    filter_bits_plan(l, 2, 0.005);
    ck_assert_double_eq_tol(l[0].bits, 5.005, 1e-9);
    ck_assert_double_eq_tol(l[1].bits, 0, 1e-9);
}
END_TEST

START_TEST(levels_without_entries_cost_nothing)
{
    struct filter_level l[] = {{0, 0, 0}, {0, 0, 0}, {500, 1, 0}};

    filter_bits_plan(l, 3, 12);
    ck_assert_double_eq_tol(l[2].bits, 12, 1e-9);
    ck_assert_double_eq_tol(filter_bits_in_vain(l, 3), bloom_rate(12), 1e-12);
}
END_TEST

/* Every plan whose bits are multiples of a quarter: none is better. */
static void check_against_all(struct filter_level *planned, double average)
{
    enum { STEPS = 4 * FILTER_BITS_MAX };
    struct filter_level l[3] = {planned[0], planned[1], planned[2]};
    double have = total(l, 3, average), best = 1e9;
    int a, b;

    filter_bits_plan(planned, 3, average);
    ck_assert_double_le(bits_spent(planned, 3), have + 1e-6);
    for (a = 0; a <= STEPS; a++) {
        for (b = 0; b <= STEPS; b++) {
            double left;

            l[0].bits = a / 4.0;
            l[1].bits = b / 4.0;
            left = have - bits_spent(l, 2);
            if (left < 0)
                break;
            l[2].bits = left / (double)l[2].entries; /* all that is left */
            if (l[2].bits > FILTER_BITS_MAX)
                l[2].bits = FILTER_BITS_MAX;
            if (filter_bits_in_vain(l, 3) < best)
                best = filter_bits_in_vain(l, 3);
        }
    }
    ck_assert_double_le(filter_bits_in_vain(planned, 3), best + 1e-9);
}

START_TEST(no_other_plan_of_the_same_total_is_better)
{
    uint64_t r = test_seed();
    int i, j;

    for (i = 0; i < 300; i++) {
        struct filter_level l[3] = {0};

        for (j = 0; j < 3; j++) {
            l[j].entries = 1 + test_below(&r, 1ull << (4 + test_below(&r, 20)));
            l[j].runs = 1 + test_below(&r, j == 0 ? 8 : 1);
        }
        check_against_all(l, 0.25 * (double)(1 + test_below(&r, 80)));
    }
}
END_TEST

START_TEST(an_output_gets_more_than_the_average_only_if_others_leave_room)
{
    struct filter_level l[] = {{10000, 1, 0}, {1000000, 1, 0}};
    double plan;

    filter_bits_plan(l, 2, 10);
    plan = l[0].bits;
    ck_assert_double_gt(plan, 12);
    /* The last level has all there is: as if its tables had moved there. */
    ck_assert_double_eq_tol(filter_bits_output(l, 2, 0, 10000, 1275000, 10), 10.2, 1e-9);
    /* It has what the plan says. */
    ck_assert_double_eq_tol(
        filter_bits_output(l, 2, 0, 10000, (uint64_t)(l[1].bits * 1000000 / 8), 10), plan,
        0.01);
    /* It has more than there is. */
    ck_assert_double_eq_tol(filter_bits_output(l, 2, 0, 10000, 9000000, 10), 10, 1e-9);
    ck_assert(filter_bits_output(l, 2, 0, 10000, 0, 0) == 0);
    ck_assert(filter_bits_output(l, 2, 0, 0, 0, 10) == 0);
}
END_TEST

/* ---- on a real store ---- */

/* One table: its filter, and one with the store's average for each of its keys. */
struct filters {
    struct table_meta meta;
    uint8_t *lines, *even_lines;
    size_t bytes, even_bytes;
    unsigned probes, even_probes;
    uint64_t *hash;
    size_t keys;
};

struct store {
    struct env *env;
    struct filters *f;
    size_t n;
    uint64_t keys, bytes, even_bytes;
};

/* FORMAT.md, "Table": the lines, a byte with the number of probes, a trailer of 13. */
static void load_lines(struct filters *f, struct env *env, const char *path,
                       uint64_t size)
{
    uint8_t footer[48];
    struct slice in = slice_of(footer, sizeof(footer));
    uint64_t from = 0, to = 0;
    struct env_file *file;
    size_t got;

    ck_ok(env_open(env, path, ENV_READ, 0, &file));
    ck_ok(env_file_pread(file, size - sizeof(footer), footer, sizeof(footer), &got));
    ck_assert(get_le64(&in, &from) && get_le64(&in, &to) && from < to);
    f->bytes = to - from - 1 - 13;
    ck_assert_uint_eq(f->bytes, f->meta.filter_bytes);
    f->lines = malloc(f->bytes + 1);
    ck_ok(env_file_pread(file, from, f->lines, f->bytes + 1, &got));
    ck_assert_uint_eq(got, f->bytes + 1);
    f->probes = f->lines[f->bytes];
    env_file_close(file);
}

static void load_keys(struct filters *f, struct env *env, const char *path,
                      uint64_t number, uint64_t size)
{
    struct table_open_options o = {
        .env = env, .path = path, .number = number, .size = size};
    struct table *t;
    struct iter *it;

    ck_ok(table_open(&o, &t));
    ck_ok(table_meta_copy(&f->meta, table_meta(t)));
    f->hash = malloc(f->meta.entries * sizeof(*f->hash));
    it = table_iter_new(t, TABLE_ITER_COMPACT);
    for (iter_first(it); it->valid; iter_next(it)) {
        uint64_t hash = hash_key(ikey_user(it->key));

        if (!f->keys || f->hash[f->keys - 1] != hash)
            f->hash[f->keys++] = hash;
    }
    iter_free(it);
    table_free(t);
}

static int add_table(void *arg, const struct lsm_file *file)
{
    struct store *s = arg;
    struct filters *f;
    uint64_t number;
    char path[512];

    if (file->kind != LSM_FILE_TABLE)
        return 0;
    s->f = realloc(s->f, (s->n + 1) * sizeof(*s->f));
    f = &s->f[s->n++];
    memset(f, 0, sizeof(*f));
    ck_assert_int_eq(file_parse(file->name, &number), FILE_TABLE);
    snprintf(path, sizeof(path), "/s/%s", file->name);
    load_keys(f, s->env, path, number, file->size);
    load_lines(f, s->env, path, file->size);
    s->keys += f->keys;
    s->bytes += f->bytes;
    return 0;
}

/* The same memory, spread evenly. */
static void make_even(struct store *s)
{
    double average = 8.0 * (double)s->bytes / (double)s->keys;
    size_t t, i;

    for (t = 0; t < s->n; t++) {
        struct filters *f = &s->f[t];

        f->even_bytes = bloom_bytes(f->keys, average);
        f->even_probes = bloom_probes(average);
        f->even_lines = calloc(1, f->even_bytes);
        s->even_bytes += f->even_bytes;
        for (i = 0; i < f->keys; i++) {
            ck_assert(bloom_may_contain(f->lines, f->bytes, f->probes, f->hash[i]));
            bloom_add(f->even_lines, f->even_bytes, f->even_probes, f->hash[i]);
        }
    }
}

static void release(struct store *s, struct lsm *db)
{
    ck_ok(lsm_close(db));
    env_mem_free(s->env);
    while (s->n--) {
        table_meta_release(&s->f[s->n].meta);
        free(s->f[s->n].lines);
        free(s->f[s->n].even_lines);
        free(s->f[s->n].hash);
    }
    free(s->f);
}

static bool in_range(const struct table_meta *m, struct slice key)
{
    return slice_cmp(buf_slice(&m->smallest), key) <= 0 &&
           slice_cmp(key, buf_slice(&m->largest)) <= 0;
}

/* A bijection: keys of i differ, and are spread evenly. */
static void make_key(uint64_t i, uint8_t key[8])
{
    store_be64(key, i * 0x9E3779B97F4A7C15ull);
}

static struct lsm *several_levels(struct store *s, uint64_t n, bool ascending)
{
    struct lsm_options o;
    uint8_t key[8], value[20] = {0};
    struct lsm *db;
    uint64_t i;

    s->env = env_mem_new(test_seed());
    lsm_options_init(&o);
    o.env = s->env;
    o.create = true;
    o.workers = 0;
    o.memtable_bytes = 256 << 10;
    o.table_bytes = 128 << 10;
    o.l1_bytes = 256 << 10;
    o.level_ratio = 8;
    o.compression[LSM_LEVELS - 1] = o.compression[0]; /* else nothing moves there */
    ck_ok(lsm_open("/s", &o, &db));
    for (i = 0; i < n; i++) {
        make_key(i, key);
        if (ascending)
            store_be64(key, i);
        ck_ok(lsm_put(db, slice_of(key, sizeof(key)), slice_of(value, sizeof(value))));
    }
    ck_ok(lsm_flush(db));
    ck_ok(lsm_files(db, add_table, s));
    return db;
}

/* Blocks read in vain by one lookup of a key that is not there: by the filters of the
 * store, by even ones, and as the engine counts them. */
static void look_in_vain(struct lsm *db, const struct store *s, uint64_t from,
                         double rate[3])
{
    enum { LOOKUPS = 300000 };
    uint64_t i, ours = 0, even = 0;
    struct lsm_stats before, after;
    struct lsm_value v = {0};
    uint8_t key[8];
    size_t t;

    lsm_get_stats(db, &before);
    for (i = from; i < from + LOOKUPS; i++) {
        struct slice k = slice_of(key, sizeof(key));
        uint64_t hash;

        make_key(i, key);
        hash = hash_key(k);
        ck_err(lsm_get(db, NULL, k, &v), ENOENT);
        for (t = 0; t < s->n; t++) {
            const struct filters *f = &s->f[t];

            if (!in_range(&f->meta, k))
                continue;
            ours += bloom_may_contain(f->lines, f->bytes, f->probes, hash);
            even += bloom_may_contain(f->even_lines, f->even_bytes, f->even_probes, hash);
        }
    }
    lsm_get_stats(db, &after);
    rate[0] = (double)ours / LOOKUPS;
    rate[1] = (double)even / LOOKUPS;
    rate[2] = (double)(after.filter_false - before.filter_false) / LOOKUPS;
    lsm_value_release(&v);
}

START_TEST(a_store_of_several_levels_reads_less_in_vain_than_with_even_bits)
{
    enum { N = 400000 };
    struct store s = {0};
    struct lsm_stats st;
    struct lsm *db;
    double rate[3];
    unsigned level, levels = 0;

    db = several_levels(&s, N, false);
    make_even(&s);
    look_in_vain(db, &s, N, rate);
    lsm_get_stats(db, &st);
    for (level = 0; level < LSM_LEVELS; level++)
        levels += st.level[level].tables > 0;
    printf("%u levels, %u tables in L0, %.2f bits a key (%.2f even): in vain %.5f, even "
           "%.5f, engine %.5f\n",
           levels, st.level[0].tables, 8.0 * (double)s.bytes / (double)s.keys,
           8.0 * (double)s.even_bytes / (double)s.keys, rate[0], rate[1], rate[2]);
    ck_assert_uint_ge(levels, 3);
    ck_assert_double_le(8.0 * (double)s.bytes, 10.3 * (double)s.keys);
    /* How many levels there are, and tables in L0, depends on the threads. */
    ck_assert_double_lt(rate[0], 0.75 * rate[1]);
    ck_assert_double_eq_tol(rate[0], rate[2], 1e-9);
    release(&s, db);
}
END_TEST

/* Tables move down as they are, from where bits were cheap. */
START_TEST(tables_that_move_down_do_not_take_more_than_the_average)
{
    struct store s = {0};
    struct lsm_stats st;
    struct lsm *db;

    db = several_levels(&s, 200000, true);
    lsm_get_stats(db, &st);
    ck_assert_uint_gt(st.moves, 10);
    ck_assert_double_le(8.0 * (double)s.bytes, 10.3 * (double)s.keys);
    ck_assert_double_ge(8.0 * (double)s.bytes, 9 * (double)s.keys);
    release(&s, db);
}
END_TEST

START_TEST(without_filters_nothing_is_asked_and_all_is_found)
{
    struct lsm_options o;
    struct lsm_value v = {0};
    struct lsm_stats st;
    struct lsm *db;
    char path[256], key[16];
    int i;

    snprintf(path, sizeof(path), "%s/a", test_dir());
    lsm_options_init(&o);
    o.create = true;
    o.filter_bits = 0;
    ck_ok(lsm_open(path, &o, &db));
    for (i = 0; i < 2000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        ck_ok(lsm_put(db, slice_str(key), slice_str(key)));
        if (i == 1000)
            ck_ok(lsm_flush(db)); /* half in a table, half in the memtable */
    }
    for (i = 0; i < 2000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        ck_ok(lsm_get(db, NULL, slice_str(key), &v));
        snprintf(key, sizeof(key), "%d.", i);
        ck_err(lsm_get(db, NULL, slice_str(key), &v), ENOENT);
    }
    lsm_get_stats(db, &st);
    ck_assert_uint_eq(st.filter_rejected, 0);
    ck_ok(lsm_close(db));
    lsm_value_release(&v);
}
END_TEST

TEST_MAIN("filter bits", TEST_CASE(one_run_gets_the_average),
          TEST_CASE(smaller_levels_get_more_and_the_total_is_kept),
          TEST_CASE(with_little_memory_the_last_level_gets_none),
          TEST_CASE(levels_without_entries_cost_nothing),
          TEST_CASE(no_other_plan_of_the_same_total_is_better),
          TEST_CASE(an_output_gets_more_than_the_average_only_if_others_leave_room),
          TEST_CASE(a_store_of_several_levels_reads_less_in_vain_than_with_even_bits),
          TEST_CASE(tables_that_move_down_do_not_take_more_than_the_average),
          TEST_CASE(without_filters_nothing_is_asked_and_all_is_found))
