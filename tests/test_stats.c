/*
 * test_stats.c - what lsm_get_stats counts, measures and derives. Looks inside
 * (db_impl.h) only to count garbage a second time.
 */
#include "lsm/db_impl.h"
#include "tests/quiet_store.h"
#include "tests/test.h"

#include <stdlib.h>

enum {
    VALUE = 5000, /* separated */
    THREADS = 80, /* more than there are slots */
    READS = 2000, /* of each */
};

/* ---- counters ---- */

START_TEST(a_known_sequence_is_counted_exactly)
{
    struct lsm_options o = quiet_options();
    struct lsm *db = quiet_open(&o);
    struct lsm_batch *b = lsm_batch_new();
    struct lsm_iter *it;
    struct lsm_stats s;
    int i;

    quiet_put(db, 100, 20); /* keys of 9 bytes */
    for (i = 0; i < 10; i++)
        ck_ok(lsm_delete(db, quiet_key(i)));
    lsm_batch_put(b, slice_str("x"), slice_str("yz"));
    lsm_batch_delete(b, slice_str("x"));
    lsm_batch_delete_range(b, slice_str("x"), slice_str("y"));
    ck_ok(lsm_write(db, b, LSM_SYNC));
    quiet_get(db, 0, 10, -ENOENT);
    quiet_get(db, 10, 50, 0);
    ck_ok(lsm_exists(db, NULL, quiet_key(99)));
    ck_ok(lsm_iter_new(db, NULL, &it));
    lsm_iter_first(it);
    lsm_iter_last(it);
    lsm_iter_seek(it, slice_str("key"));
    lsm_iter_seek_prev(it, slice_str("z"));
    lsm_iter_first(it);
    for (i = 0; i < 70; i++)
        lsm_iter_next(it);
    for (i = 0; i < 30; i++)
        lsm_iter_prev(it);
    lsm_iter_free(it);
    lsm_get_stats(db, &s);
    ck_assert_uint_eq(s.puts, 101);
    ck_assert_uint_eq(s.deletes, 11);
    ck_assert_uint_eq(s.range_deletes, 1);
    ck_assert_uint_eq(s.batches, 111);
    ck_assert_uint_eq(s.syncs, 1);
    ck_assert_uint_eq(s.user_bytes, 100 * 29 + 10 * 9 + 3 + 1 + 2);
    ck_assert_uint_eq(s.gets, 61);
    ck_assert_uint_eq(s.get_hits, 51);
    ck_assert_uint_eq(s.tables_searched, 0);
    ck_assert_uint_eq(s.seeks, 5);
    ck_assert_uint_eq(s.nexts, 100);
    ck_assert_uint_eq(s.flushes, 0);
    ck_assert_uint_eq(s.sequence, 113);
    lsm_batch_free(b);
    ck_ok(lsm_close(db));
}
END_TEST

START_TEST(reads_of_tables_and_filters_add_up)
{
    struct lsm_options o = quiet_options();
    struct lsm *db = quiet_open(&o);
    struct lsm_stats s;

    quiet_put(db, 1000, 20);
    ck_ok(lsm_flush(db));
    quiet_get(db, 0, 1000, 0);
    lsm_get_stats(db, &s);
    ck_assert_uint_eq(s.gets, 1000);
    ck_assert_uint_eq(s.tables_searched, 1000);
    ck_assert_uint_eq(s.filter_checked, 1000);
    ck_assert_uint_eq(s.filter_rejected, 0);
    ck_assert_uint_eq(s.filter_false, 0);
    ck_assert(s.read_amp == 1);
    ck_assert_uint_gt(s.cache_hits, 900);
    ck_assert_uint_gt(s.cache_misses, 0);
    /* In the range of the table and not in it: the filter lets hardly any pass. */
    quiet_put(db, 1, 20);
    for (int i = 0; i < 1000; i++) {
        char key[32];

        snprintf(key, sizeof(key), "key%06d+", i);
        if (i < 999)
            ck_err(lsm_exists(db, NULL, slice_str(key)), ENOENT);
    }
    lsm_get_stats(db, &s);
    ck_assert_uint_eq(s.filter_checked, 1999);
    ck_assert_uint_eq(s.filter_rejected + s.filter_false, 999);
    ck_assert_uint_eq(s.tables_searched, 1000 + s.filter_false);
    ck_assert_uint_lt(s.filter_false, 100);
    ck_ok(lsm_close(db));
}
END_TEST

START_TEST(without_filters_none_is_counted)
{
    struct lsm_options o = quiet_options();
    struct lsm *db;
    struct lsm_stats s;

    o.filter_bits = 0;
    db = quiet_open(&o);
    quiet_put(db, 100, 20);
    ck_ok(lsm_flush(db));
    quiet_get(db, 0, 100, 0);
    ck_err(lsm_exists(db, NULL, slice_str("key000001+")), ENOENT);
    lsm_get_stats(db, &s);
    ck_assert_uint_eq(s.filter_checked, 0);
    ck_assert_uint_eq(s.filter_false, 0);
    ck_assert_uint_eq(s.tables_searched, 101);
    ck_ok(lsm_close(db));
}
END_TEST

/* ---- durations ---- */

static void check_times(const struct lsm_times *t)
{
    unsigned i;

    ck_assert_uint_le(t->p50_ns, t->p90_ns);
    ck_assert_uint_le(t->p90_ns, t->p99_ns);
    ck_assert_uint_le(t->p99_ns, t->p999_ns);
    ck_assert_uint_le(t->p999_ns, t->max_ns);
    ck_assert_uint_le(t->max_ns, t->sum_ns);
    for (i = 1; i < LSM_TIME_BOUNDS; i++)
        ck_assert_uint_le(t->below[i - 1], t->below[i]);
    ck_assert_uint_le(t->below[LSM_TIME_BOUNDS - 1], t->count);
}

static void expect_sampled(const struct lsm_times *t, uint64_t calls)
{
    uint64_t about = calls / t->sample_every;

    check_times(t);
    ck_assert_uint_gt(t->sample_every, 1);
    ck_assert_uint_gt(t->count, about * 8 / 10);
    ck_assert_uint_lt(t->count, about * 12 / 10);
    ck_assert_uint_gt(t->p50_ns, 0);
}

START_TEST(one_in_sample_every_is_measured)
{
    struct lsm_options o = quiet_options();
    struct lsm *db = quiet_open(&o);
    struct lsm_iter *it;
    struct lsm_stats s;
    unsigned i, j;

    quiet_put(db, 64000, 20);
    for (i = 0; i < 10; i++)
        quiet_get(db, 0, 10000, 0);
    ck_ok(lsm_iter_new(db, NULL, &it));
    for (i = 0; i < 5; i++)
        for (lsm_iter_first(it); lsm_iter_valid(it);)
            lsm_iter_next(it);
    lsm_iter_free(it);
    lsm_get_stats(db, &s);
    expect_sampled(&s.time[LSM_TIME_WRITE], 64000);
    expect_sampled(&s.time[LSM_TIME_GET], 100000);
    expect_sampled(&s.time[LSM_TIME_NEXT], 320000);
    ck_assert_uint_eq(s.nexts, 320000);
    /* Iterators that take a few steps each are not passed by. */
    for (i = 0; i < 40000; i++) {
        ck_ok(lsm_iter_new(db, NULL, &it));
        lsm_iter_seek(it, quiet_key(i));
        for (j = 0; j < 10; j++)
            lsm_iter_next(it);
        lsm_iter_free(it);
    }
    lsm_get_stats(db, &s);
    ck_assert_uint_eq(s.nexts, 720000);
    expect_sampled(&s.time[LSM_TIME_NEXT], 720000);
    expect_sampled(&s.time[LSM_TIME_SEEK], 40000);
    ck_ok(lsm_close(db));
}
END_TEST

START_TEST(rare_work_is_measured_each_time)
{
    struct lsm_options o = quiet_options();
    struct lsm *db;
    struct lsm_stats s;
    int i;

    o.l0_trigger = 2;
    db = quiet_open(&o);
    for (i = 0; i < 4; i++) {
        quiet_put(db, 1000, 20);
        ck_ok(lsm_sync(db));
        ck_ok(lsm_flush(db));
    }
    ck_ok(lsm_compact(db, true));
    lsm_get_stats(db, &s);
    ck_assert_uint_eq(s.flushes, 4);
    ck_assert_uint_eq(s.time[LSM_TIME_FLUSH].count, 4);
    ck_assert_uint_gt(s.compactions, 0);
    ck_assert_uint_eq(s.time[LSM_TIME_COMPACTION].count, s.compactions);
    ck_assert_uint_ge(s.time[LSM_TIME_SYNC].count, 4);
    ck_assert_uint_eq(s.time[LSM_TIME_SYNC].count, s.syncs);
    ck_assert_uint_eq(s.time[LSM_TIME_STALL].count, s.stalls);
    ck_assert_uint_eq(s.time[LSM_TIME_STALL].max_ns, s.stall_max_ns);
    for (i = LSM_TIME_SAMPLED; i < LSM_TIMED; i++) {
        check_times(&s.time[i]);
        ck_assert_uint_eq(s.time[i].sample_every, 1);
    }
    ck_ok(lsm_close(db));
}
END_TEST

struct reader {
    struct lsm *db;
    pthread_t id;
};

static void *read_and_write(void *arg)
{
    struct reader *r = arg;
    unsigned i;

    for (i = 0; i < READS; i++)
        if (lsm_exists(r->db, NULL, quiet_key(i % 100)) ||
            (i % 10 == 0 && lsm_put(r->db, quiet_key(i % 100), slice_str("v"))))
            abort();
    return NULL;
}

START_TEST(more_threads_than_slots_are_counted_exactly)
{
    struct lsm_options o = quiet_options();
    struct lsm *db;
    struct reader r[THREADS];
    struct lsm_stats s = {0};
    int i;

    o.workers = 1;
    db = quiet_open(&o);
    quiet_put(db, 100, 20);
    for (i = 0; i < THREADS; i++) {
        r[i].db = db;
        ck_assert_int_eq(pthread_create(&r[i].id, NULL, read_and_write, &r[i]), 0);
    }
    for (i = 0; i < 20; i++) {
        uint64_t gets = s.gets, measured = s.time[LSM_TIME_GET].count;

        lsm_get_stats(db, &s);
        ck_assert_uint_ge(s.gets, gets);
        ck_assert_uint_ge(s.time[LSM_TIME_GET].count, measured);
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(r[i].id, NULL);
    lsm_get_stats(db, &s);
    ck_assert_uint_eq(s.gets, THREADS * READS);
    ck_assert_uint_eq(s.get_hits, THREADS * READS);
    ck_assert_uint_eq(s.puts, 100 + THREADS * READS / 10);
    expect_sampled(&s.time[LSM_TIME_GET], THREADS * READS);
    ck_ok(lsm_close(db));
}
END_TEST

/* ---- garbage and amplification ---- */

struct counting {
    struct lsm *db;
    const struct version *v;
    struct lsm_stats s; /* sums */
    unsigned n, pending;
    uint64_t last;
};

/* A second count, by the way that stats_segments.c does not take. */
static uint64_t refs_to(const struct version *v, uint64_t segment)
{
    uint64_t bytes = 0;
    unsigned level;
    size_t i, j;

    for (level = 0; level < LSM_LEVELS; level++)
        for (i = 0; i < v->n[level]; i++)
            for (j = 0; j < v->file[level][i]->meta.n_refs; j++)
                if (v->file[level][i]->meta.refs[j].segment == segment)
                    bytes += v->file[level][i]->meta.refs[j].bytes;
    return bytes;
}

static int count_segment(void *arg, const struct lsm_segment_stats *g)
{
    struct counting *c = arg;
    struct vlog_segment *list;
    size_t n, i;

    ck_assert_uint_gt(g->number, c->last);
    c->last = g->number;
    ck_assert_uint_eq(g->live, refs_to(c->v, g->number));
    ck_ok(vlog_segments(c->db->vlog, &list, &n));
    for (i = 0; i < n && list[i].number != g->number; i++)
        ;
    ck_assert_uint_lt(i, n);
    ck_assert_uint_eq(g->size, list[i].size);
    free(list);
    ck_assert_uint_eq(g->garbage,
                      g->pending || g->live > g->size ? 0 : g->size - g->live);
    c->n++;
    c->pending += g->pending;
    c->s.segment_bytes += g->size;
    c->s.segment_live += g->live;
    c->s.segment_garbage += g->garbage;
    return 0;
}

static void check_segments(struct lsm *db, struct counting *c)
{
    struct view *v = db_view_ref(db);
    struct lsm_stats s;
    unsigned i;

    *c = (struct counting){.db = db, .v = v->version};
    ck_ok(lsm_segments(db, count_segment, c));
    db_view_unref(v);
    lsm_get_stats(db, &s);
    ck_assert_uint_eq(s.segments, c->n);
    ck_assert_uint_eq(s.segment_bytes, c->s.segment_bytes);
    ck_assert_uint_eq(s.segment_live, c->s.segment_live);
    ck_assert_uint_eq(s.segment_garbage, c->s.segment_garbage);
    ck_assert_uint_eq(s.segments_listed,
                      c->n < LSM_SEGMENTS_LISTED ? c->n : LSM_SEGMENTS_LISTED);
    for (i = 1; i < s.segments_listed; i++)
        ck_assert_uint_ge(s.segment[i - 1].garbage, s.segment[i].garbage);
}

START_TEST(garbage_is_what_no_table_refers_to)
{
    struct lsm_options o = quiet_options();
    struct counting c;
    struct lsm *db;
    uint64_t all;

    o.segment_bytes = 100000;
    db = quiet_open(&o);
    quiet_put(db, 1000, VALUE);
    check_segments(db, &c);
    ck_assert_uint_gt(c.n, LSM_SEGMENTS_LISTED);
    ck_assert_uint_eq(c.pending, c.n); /* only a memtable knows of them */
    ck_ok(lsm_flush(db));
    check_segments(db, &c);
    ck_assert_uint_le(c.pending, 1);
    ck_assert_uint_ge(c.s.segment_live, 1000 * VALUE);
    ck_assert_uint_lt(c.s.segment_garbage, c.n * 100); /* headers */
    all = c.s.segment_live;
    /* Half of them again: the others stay where they are. */
    quiet_put(db, 500, VALUE);
    ck_ok(lsm_compact(db, true));
    ck_ok(lsm_close(db));
    db = quiet_open(&o);
    check_segments(db, &c);
    ck_assert_uint_eq(c.pending, 0);
    ck_assert_uint_eq(c.s.segment_live, all);
    ck_assert_uint_eq(c.s.segment_garbage, c.s.segment_bytes - all);
    ck_ok(lsm_close(db));
}
END_TEST

static int stop_at_third(void *arg, const struct lsm_segment_stats *g)
{
    return ++*(int *)arg == 3 ? -ECANCELED : 0;
}

START_TEST(listing_segments_ends_when_told)
{
    struct lsm_options o = quiet_options();
    struct lsm *db;
    int n = 0;

    o.segment_bytes = 20000;
    db = quiet_open(&o);
    quiet_put(db, 50, VALUE);
    ck_err(lsm_segments(db, stop_at_third, &n), ECANCELED);
    ck_assert_int_eq(n, 3);
    ck_ok(lsm_close(db));
}
END_TEST

START_TEST(write_amplification_is_the_sum_of_its_parts)
{
    struct lsm_options o = quiet_options();
    double levels = 0, parts;
    struct lsm_stats s;
    struct lsm *db;
    int i;

    o.memtable_bytes = 256 << 10;
    o.table_bytes = 64 << 10;
    o.l1_bytes = 128 << 10;
    db = quiet_open(&o);
    quiet_put(db, 20000, 100);
    quiet_put(db, 20, VALUE);
    quiet_put(db, 20000, 100);
    lsm_get_stats(db, &s);
    ck_assert_uint_eq(s.written_bytes, s.wal_written_bytes + s.vlog_written_bytes +
                                           s.flush_bytes + s.compact_written_bytes);
    for (i = 0; i < LSM_LEVELS; i++)
        levels += s.level[i].write_amp;
    ck_assert_uint_eq(s.level[0].written_bytes, s.flush_bytes);
    parts = (double)(s.wal_written_bytes + s.vlog_written_bytes) / (double)s.user_bytes;
    ck_assert_double_eq_tol(s.write_amp, levels + parts, 1e-6);
    ck_assert(s.write_amp > 2); /* a log and a flush at least */
    ck_ok(lsm_close(db));
}
END_TEST

START_TEST(space_amplification_knows_overwritten_data)
{
    struct lsm_options o = quiet_options();
    struct lsm_stats s;
    struct lsm *db;

    o.l0_trigger = 100;
    db = quiet_open(&o);
    quiet_put(db, 10000, 100);
    ck_ok(lsm_compact(db, true));
    lsm_get_stats(db, &s);
    ck_assert_double_eq_tol(s.space_amp, 1, 0.05);
    quiet_put(db, 10000, 100);
    ck_ok(lsm_flush(db));
    lsm_get_stats(db, &s);
    ck_assert_double_eq_tol(s.space_amp, 2, 0.1);
    ck_ok(lsm_compact(db, true));
    lsm_get_stats(db, &s);
    ck_assert_double_eq_tol(s.space_amp, 1, 0.05);
    /* New keys beside the old ones are no garbage, wherever they stand. */
    ck_ok(lsm_put(db, slice_str("l"), slice_str("v")));
    ck_ok(lsm_flush(db));
    lsm_get_stats(db, &s);
    ck_assert_double_eq_tol(s.space_amp, 1, 0.05);
    ck_ok(lsm_close(db));
}
END_TEST

START_TEST(separated_values_count_in_space_amplification)
{
    struct lsm_options o = quiet_options();
    struct lsm_stats s;
    struct lsm *db;

    o.segment_bytes = 100000;
    db = quiet_open(&o);
    quiet_put(db, 1000, VALUE);
    lsm_get_stats(db, &s); /* nothing is known of them yet */
    ck_assert_double_eq_tol(s.space_amp, 1, 0.05);
    ck_ok(lsm_compact(db, true));
    lsm_get_stats(db, &s);
    ck_assert_double_eq_tol(s.space_amp, 1, 0.05);
    quiet_put(db, 500, VALUE);
    quiet_put(db, 500, VALUE);
    ck_ok(lsm_compact(db, true));
    /* The first 500 and their first overwriting: half of them may be deleted by now. */
    lsm_get_stats(db, &s);
    ck_assert_double_eq_tol(s.space_amp, (double)s.segment_bytes / (1000 * VALUE), 0.1);
    ck_ok(lsm_close(db));
}
END_TEST

TEST_MAIN("stats", TEST_CASE(a_known_sequence_is_counted_exactly),
          TEST_CASE(reads_of_tables_and_filters_add_up),
          TEST_CASE(without_filters_none_is_counted),
          TEST_CASE(one_in_sample_every_is_measured),
          TEST_CASE(rare_work_is_measured_each_time),
          TEST_CASE(more_threads_than_slots_are_counted_exactly),
          TEST_CASE(garbage_is_what_no_table_refers_to),
          TEST_CASE(listing_segments_ends_when_told),
          TEST_CASE(write_amplification_is_the_sum_of_its_parts),
          TEST_CASE(space_amplification_knows_overwritten_data),
          TEST_CASE(separated_values_count_in_space_amplification))
