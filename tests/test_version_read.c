/*
 * test_version_read.c - reading the tables of a version: version_lookup,
 * level_iter_new, and the opening of tables by lsm/table_cache.h. The reference is
 * to look at every entry and every range delete.
 */
#include "test.h"

#include <stdlib.h>

#include "lsm/hash.h"
#include "lsm/names.h"
#include "lsm/version.h"

#include "entries.h"
#include "env_mem.h"
#include "table_util.h"

#define DIR "/store"

static const struct table_kind kind = {.block_bytes = 256, .filter_bits = 10};

struct store {
    struct env *env;
    struct cache *blocks;
    struct table_cache tables;
    struct version *v;
    uint64_t next_number;
};

static void on_dead(void *arg, uint64_t number)
{
    (void)arg;
    ck_abort_msg("table %d is obsolete, though nobody said so", (int)number);
}

static void store_init(struct store *s, bool cached)
{
    test_log_capture();
    s->env = env_mem_new(test_seed());
    ck_ok(env_mkdir(s->env, DIR));
    s->blocks = cached ? cache_new(64 << 10) : NULL;
    table_cache_init(&s->tables, s->env, DIR, s->blocks, on_dead, NULL);
    s->v = version_new();
    s->next_number = 1;
}

static void store_release(struct store *s)
{
    version_unref(s->v);
    ck_assert_ptr_null(s->tables.alive);
    table_cache_release(&s->tables);
    cache_free(s->blocks);
    ck_assert_uint_eq(env_mem_open_files(s->env), 0);
    env_mem_free(s->env);
}

/* ---- making tables ---- */

struct ranges {
    struct range_tombstone list[64];
    size_t n;
};

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Fragments for readers of any number. */
static struct rangedel_set *fragment(const struct ranges *rd)
{
    uint64_t snaps[64];
    struct rangedel_set *set;
    size_t i;

    for (i = 0; i < rd->n; i++)
        snaps[i] = rd->list[i].seq;
    qsort(snaps, rd->n, sizeof(*snaps), by_number);
    ck_ok(rangedel_build(rd->list, rd->n, snaps, rd->n, &set));
    return set;
}

/* Entries [from, to) of es, and rd fragmented, as a table of `level`. */
static uint64_t add_table(struct store *s, unsigned level, const struct entries *es,
                          size_t from, size_t to, const struct ranges *rd)
{
    char *path = file_path(DIR, FILE_TABLE, s->next_number);
    struct made_table m = {.env = s->env, .path = path, .number = s->next_number};
    struct table_builder *tb = begin_table(&m, &kind);
    struct rangedel_set *set = NULL;
    struct edit e = {0};
    struct version *v;
    size_t i;

    for (i = from; i < to; i++)
        ck_ok(
            table_builder_add(tb, buf_slice(&es->e[i].ikey), buf_slice(&es->e[i].value)));
    if (rd)
        set = fragment(rd);
    for (i = 0; set && i < set->n; i++)
        ck_ok(table_builder_add_range_delete(tb, set->list[i].start, set->list[i].end,
                                             set->list[i].seq));
    ck_ok(table_builder_finish(tb, &m.meta));
    ck_ok(edit_add_table(&e, level, &m.meta));
    ck_ok(version_apply(s->v, &e, &s->tables, DIR, &v));
    version_unref(s->v);
    s->v = v;
    edit_release(&e);
    rangedel_free(set);
    free(path);
    return s->next_number++;
}

static struct slice user_at(const struct entries *es, size_t i)
{
    return ikey_user(buf_slice(&es->e[i].ikey));
}

/* The entries, cut between user keys into tables of a level, about n in each. */
static void add_level(struct store *s, unsigned level, const struct entries *es, size_t n,
                      uint64_t *r)
{
    size_t from = 0, to;

    while (from < es->n) {
        to = from + 1 + test_below(r, 2 * n);
        to = to < es->n ? to : es->n;
        while (to < es->n && slice_eq(user_at(es, to - 1), user_at(es, to)))
            to++;
        add_table(s, level, es, from, to, NULL);
        from = to;
    }
}

static void put(struct entries *es, const char *key, uint64_t seq, const char *value)
{
    entries_add(es, slice_str(key), seq, IKEY_PUT, slice_str(value));
}

/* ---- lookup ---- */

static int find(struct version *v, struct slice user, uint64_t seq, struct lookup *l,
                struct buf *value)
{
    struct buf ikey = {0};
    int rc;

    ikey_append_seek(&ikey, user, seq);
    memset(l, 0, sizeof(*l));
    l->user = user;
    l->ikey = buf_slice(&ikey);
    l->hash = hash_key(user);
    l->seq = seq;
    rc = version_lookup(v, l);
    buf_clear(value);
    if (!rc) {
        buf_append_slice(value, l->value);
        table_unpin(&l->pin);
    }
    buf_release(&ikey);
    return rc;
}

/* want NULL: not there, or deleted. */
static void expect(struct store *s, const char *key, uint64_t seq, const char *want)
{
    struct buf value = {0};
    struct lookup l;
    int rc = find(s->v, slice_str(key), seq, &l, &value);

    ck_assert(rc == 0 || rc == -ENOENT);
    if (!want)
        ck_assert(rc == -ENOENT || l.trailer >> 8 < l.deleted_at ||
                  (l.trailer & 0xff) == IKEY_DELETE);
    else
        ck_assert_msg(rc == 0 && l.trailer >> 8 > l.deleted_at, "%s: not found", key);
    if (want)
        ck_slice_str(buf_slice(&value), want);
    buf_release(&value);
}

START_TEST(the_newest_table_of_l0_answers_first)
{
    struct entries a = {0}, b = {0}, c = {0};
    struct store s;

    /* Regression: L0 searched oldest first. */
    store_init(&s, true);
    put(&a, "k", 5, "oldest");
    put(&b, "k", 9, "newest");
    entries_add(&c, slice_str("k"), 7, IKEY_DELETE, slice_str(""));
    add_table(&s, 0, &b, 0, 1, NULL); /* files need not be written in order */
    add_table(&s, 0, &a, 0, 1, NULL);
    add_table(&s, 0, &c, 0, 1, NULL);
    expect(&s, "k", 100, "newest");
    expect(&s, "k", 9, "newest");
    expect(&s, "k", 8, NULL);
    expect(&s, "k", 6, "oldest");
    expect(&s, "k", 4, NULL);
    expect(&s, "j", 100, NULL);
    entries_free(&a);
    entries_free(&b);
    entries_free(&c);
    store_release(&s);
}
END_TEST

START_TEST(an_upper_level_answers_before_a_lower_one)
{
    struct entries old = {0}, new = {0};
    struct lookup l;
    struct buf value = {0};
    struct store s;

    /* Regression: a tombstone in a newer table not hiding an older value. */
    store_init(&s, true);
    put(&old, "a", 2, "a@2");
    put(&old, "k", 3, "k@3");
    entries_add(&new, slice_str("a"), 8, IKEY_DELETE, slice_str(""));
    put(&new, "k", 9, "k@9");
    add_table(&s, 4, &old, 0, 2, NULL);
    add_table(&s, 2, &new, 0, 2, NULL);
    expect(&s, "k", 100, "k@9");
    expect(&s, "k", 8, "k@3");
    ck_ok(find(s.v, slice_str("a"), 100, &l, &value));
    ck_assert_uint_eq(l.trailer, ikey_pack(8, IKEY_DELETE));
    expect(&s, "a", 7, "a@2");
    ck_err(find(s.v, slice_str("a"), 1, &l, &value), ENOENT);
    buf_release(&value);
    entries_free(&old);
    entries_free(&new);
    store_release(&s);
}
END_TEST

START_TEST(a_range_delete_hides_what_is_older_and_below)
{
    struct entries old = {0}, new = {0}, none = {0};
    struct ranges rd = {.n = 1};
    struct store s;

    store_init(&s, true);
    put(&old, "b", 2, "b@2");
    put(&old, "c", 3, "c@3");
    put(&old, "d", 4, "d@4");
    put(&new, "c", 9, "c@9");
    add_table(&s, 4, &old, 0, 3, NULL);
    rd.list[0] = (struct range_tombstone){slice_str("b"), slice_str("d"), 7};
    add_table(&s, 2, &none, 0, 0, &rd); /* a table of nothing else */
    add_table(&s, 0, &new, 0, 1, NULL);
    expect(&s, "b", 100, NULL);
    expect(&s, "b", 6, "b@2");
    expect(&s, "c", 100, "c@9");
    expect(&s, "c", 8, NULL);
    expect(&s, "c", 6, "c@3");
    expect(&s, "d", 100, "d@4"); /* the end is not in it */
    entries_free(&old);
    entries_free(&new);
    store_release(&s);
}
END_TEST

/* What the levels hold, all in one place. */
struct world {
    struct entries es;
    struct ranges rd;
};

static void check_lookup(struct store *s, const struct world *w, struct slice user,
                         uint64_t seq)
{
    struct buf ikey = {0}, value = {0};
    struct lookup l;
    uint64_t deleted = 0, found = 0;
    size_t i, k;
    int rc = find(s->v, user, seq, &l, &value);

    ikey_append_seek(&ikey, user, seq);
    i = entries_get(&w->es, buf_slice(&ikey));
    if (i < w->es.n)
        found = ikey_seq(buf_slice(&w->es.e[i].ikey));
    for (k = 0; k < w->rd.n; k++) {
        const struct range_tombstone *t = &w->rd.list[k];

        if (t->seq <= seq && t->seq > deleted && slice_cmp(t->start, user) <= 0 &&
            slice_cmp(user, t->end) < 0)
            deleted = t->seq;
    }
    ck_assert(rc == 0 || rc == -ENOENT);
    if (i < w->es.n && found > deleted) {
        ck_ok(rc);
        ck_assert_uint_eq(l.trailer, ikey_trailer(buf_slice(&w->es.e[i].ikey)));
        ck_assert_uint_lt(l.deleted_at, found);
        ck_assert(slice_eq(buf_slice(&value), buf_slice(&w->es.e[i].value)));
    } else if (rc == 0) {
        ck_assert_uint_gt(l.deleted_at, l.trailer >> 8);
    }
    ck_assert_uint_ge(l.filter_checked, l.filter_rejected + l.filter_false);
    buf_release(&ikey);
    buf_release(&value);
}

/*
 * Sequences in strata of STRATUM: the oldest in L4, then L2, then L1, then four
 * tables of L0. Range deletes have odd sequences, points even ones.
 */
enum { STRATUM = 200, STRATA = 7 };

static void random_ranges(struct world *w, unsigned stratum, size_t n, struct ranges *rd,
                          uint64_t *r)
{
    rd->n = 0;
    while (n--) {
        struct slice a = user_at(&w->es, test_below(r, w->es.n));
        struct slice b = user_at(&w->es, test_below(r, w->es.n));
        struct range_tombstone t = {.start = slice_cmp(a, b) < 0 ? a : b,
                                    .end = slice_cmp(a, b) < 0 ? b : a};

        t.seq = (uint64_t)stratum * STRATUM + n * 20 + test_below(r, 10) * 2 + 1;
        if (slice_eq(a, b))
            continue;
        rd->list[rd->n++] = t;
        w->rd.list[w->rd.n++] = t;
    }
}

static void fill_stratum(struct store *s, struct world *w, unsigned stratum, uint64_t *r)
{
    static const unsigned level_of[STRATA] = {4, 2, 1, 0, 0, 0, 0};
    unsigned level = level_of[stratum];
    struct entries part = {0};
    struct ranges rd = {.n = 0};
    size_t i;

    for (i = 0; i < w->es.n; i++) {
        struct slice ikey = buf_slice(&w->es.e[i].ikey);

        if (ikey_seq(ikey) / STRATUM == stratum)
            entries_add(&part, ikey_user(ikey), ikey_seq(ikey), ikey_type(ikey),
                        buf_slice(&w->es.e[i].value));
    }
    if (level == 0 || stratum == 1) /* one table, so nothing is to be cut */
        random_ranges(w, stratum, 1 + test_below(r, 4), &rd, r);
    if (rd.n)
        add_table(s, level, &part, 0, part.n, &rd);
    else
        add_level(s, level, &part, 10, r);
    entries_free(&part);
}

static int cmp_entry(const void *a, const void *b)
{
    return ikey_cmp(buf_slice(&((const struct entry *)a)->ikey),
                    buf_slice(&((const struct entry *)b)->ikey));
}

/* One for each even sequence; few keys, so that most have several versions. */
static void random_points(struct world *w, uint64_t *r)
{
    struct buf key = {0};
    uint64_t seq;

    for (seq = 2; seq < STRATA * STRATUM; seq += 2) {
        buf_clear(&key);
        entries_random_bytes(&key, r, test_below(r, 5), 4);
        entries_add(&w->es, buf_slice(&key), seq,
                    test_below(r, 4) ? IKEY_PUT : IKEY_DELETE, buf_slice(&key));
    }
    qsort(w->es.e, w->es.n, sizeof(*w->es.e), cmp_entry);
    buf_release(&key);
}

START_TEST(lookup_agrees_with_looking_at_everything)
{
    uint64_t r = test_seed();
    unsigned stratum;
    int round, i;

    for (round = 0; round < 10; round++) {
        struct world w = {.rd.n = 0};
        struct store s;

        store_init(&s, round % 3);
        random_points(&w, &r);
        for (stratum = 0; stratum < STRATA; stratum++)
            fill_stratum(&s, &w, stratum, &r);
        for (i = 0; i < 800; i++) {
            struct buf any = {0};

            entries_random_bytes(&any, &r, test_below(&r, 5), 5);
            check_lookup(&s, &w, user_at(&w.es, test_below(&r, w.es.n)),
                         test_below(&r, STRATA * STRATUM + 2));
            check_lookup(&s, &w, buf_slice(&any), test_below(&r, STRATA * STRATUM));
            buf_release(&any);
        }
        entries_free(&w.es);
        store_release(&s);
    }
}
END_TEST

/* ---- one level as one iterator ---- */

static struct iter *level_iter(struct store *s, enum table_iter_use use,
                               const struct slice *upper)
{
    struct iter *it = level_iter_new(s->v->file[1], s->v->n[1], use, upper);

    ck_assert_ptr_nonnull(it);
    return it;
}

START_TEST(a_level_is_walked_as_one)
{
    uint64_t r = test_seed();
    int round;

    for (round = 0; round < 12; round++) {
        struct entries es = entries_random(&r, 1 + test_below(&r, 300), 6, 20);
        struct iter *it;
        struct store s;

        store_init(&s, round % 2);
        add_level(&s, 1, &es, 1 + test_below(&r, 20), &r);
        it = level_iter(&s, round % 2 ? TABLE_ITER_READ : TABLE_ITER_COMPACT, NULL);
        entries_check_walks(it, &es);
        entries_probe(&es, &r, entries_check_seek, it);
        iter_free(it);
        entries_free(&es);
        store_release(&s);
    }
}
END_TEST

START_TEST(a_level_without_tables_is_empty)
{
    struct entries none = {0};
    struct iter *it;
    struct store s;

    store_init(&s, false);
    it = level_iter(&s, TABLE_ITER_READ, NULL);
    entries_check_walks(it, &none);
    iter_free(it);
    store_release(&s);
}
END_TEST

START_TEST(tables_without_points_are_stepped_over)
{
    static const char *const gap[][2] = {{"a", "b"}, {"b", "c"}, {"e", "f"},
                                         {"f", "g"}, {"g", "h"}, {"x", "y"}};
    uint64_t r = test_seed();
    struct entries es = {0}, none = {0};
    struct iter *it;
    struct store s;
    size_t i;

    store_init(&s, false);
    put(&es, "c", 9, "new");
    put(&es, "c", 3, "old");
    put(&es, "d", 4, "d");
    put(&es, "m", 5, "m");
    add_table(&s, 1, &es, 0, 2, NULL);
    add_table(&s, 1, &es, 2, 3, NULL);
    add_table(&s, 1, &es, 3, 4, NULL);
    for (i = 0; i < sizeof(gap) / sizeof(gap[0]); i++) {
        struct ranges rd = {.n = 1};

        rd.list[0] =
            (struct range_tombstone){slice_str(gap[i][0]), slice_str(gap[i][1]), 2};
        add_table(&s, 1, &none, 0, 0, &rd);
    }
    it = level_iter(&s, TABLE_ITER_READ, NULL);
    entries_check_walks(it, &es);
    entries_probe(&es, &r, entries_check_seek, it);
    iter_free(it);
    entries_free(&es);
    store_release(&s);
}
END_TEST

START_TEST(nothing_below_upper_is_missed)
{
    uint64_t r = test_seed();
    int round;

    for (round = 0; round < 40; round++) {
        struct entries es = entries_random(&r, 100, 5, 10);
        struct slice upper;
        struct buf seek = {0};
        struct iter *it;
        struct store s;
        size_t i;

        store_init(&s, false);
        add_level(&s, 1, &es, 8, &r);
        upper = user_at(&es, test_below(&r, es.n));
        it = level_iter(&s, TABLE_ITER_READ, &upper);
        buf_append_slice(&seek, buf_slice(&es.e[test_below(&r, es.n)].ikey));
        i = round % 2 ? entries_find(&es, buf_slice(&seek)) : 0;
        if (round % 2)
            iter_seek(it, buf_slice(&seek));
        else
            iter_first(it);
        for (; i < es.n && slice_cmp(user_at(&es, i), upper) < 0; i++, iter_next(it))
            entries_check_at(it, &es, i);
        /* It may go on, but not astray. */
        for (; it->valid; i++, iter_next(it))
            entries_check_at(it, &es, i);
        ck_assert_int_eq(it->err, 0);
        iter_free(it);
        buf_release(&seek);
        entries_free(&es);
        store_release(&s);
    }
}
END_TEST

/* Three tables: a b | k l | x y. Deletes the file of the one at `at`. */
static void three_tables_without(struct store *s, struct entries *es, size_t at)
{
    static const char *const key[] = {"a", "b", "k", "l", "x", "y"};
    char *path;
    size_t i;

    store_init(s, false);
    for (i = 0; i < 6; i++)
        put(es, key[i], i + 1, key[i]);
    for (i = 0; i < 6; i += 2)
        add_table(s, 1, es, i, i + 2, NULL);
    path = file_path(DIR, FILE_TABLE, s->v->file[1][at]->meta.number);
    ck_ok(env_unlink(s->env, path));
    free(path);
}

START_TEST(a_table_beyond_upper_is_not_opened)
{
    struct slice upper = slice_str("x");
    struct entries es = {0};
    struct iter *it;
    struct store s;
    int n = 0;

    three_tables_without(&s, &es, 2);
    it = level_iter(&s, TABLE_ITER_READ, &upper);
    for (iter_first(it); it->valid; iter_next(it))
        n++;
    ck_assert_int_eq(it->err, 0);
    ck_assert_int_eq(n, 4);
    iter_seek(it, slice_str("m\0\0\0\0\0\0\0\0"));
    ck_assert(!it->valid && !it->err);
    iter_free(it);
    entries_free(&es);
    store_release(&s);
}
END_TEST

START_TEST(a_missing_table_is_damage_where_it_is_met)
{
    struct entries es = {0};
    struct buf value = {0}, seek = {0};
    struct lookup l;
    struct iter *it;
    struct store s;

    three_tables_without(&s, &es, 1);
    expect(&s, "a", 100, "a");
    expect(&s, "y", 100, "y");
    ck_err(find(s.v, slice_str("k"), 100, &l, &value), EUCLEAN);
    ck_assert(test_log_has("000002.sst"));
    ck_assert(test_log_has("missing"));
    it = level_iter(&s, TABLE_ITER_READ, NULL);
    iter_first(it);
    iter_next(it);
    entries_check_at(it, &es, 1);
    iter_next(it);
    ck_assert(!it->valid);
    ck_assert_int_eq(it->err, -EUCLEAN);
    iter_free(it);
    it = level_iter(&s, TABLE_ITER_READ, NULL);
    iter_last(it);
    iter_prev(it);
    entries_check_at(it, &es, 4);
    iter_prev(it);
    ck_assert(!it->valid);
    ck_assert_int_eq(it->err, -EUCLEAN);
    iter_free(it);
    ikey_append_seek(&seek, slice_str("l"), 100);
    it = level_iter(&s, TABLE_ITER_READ, NULL);
    iter_seek(it, buf_slice(&seek));
    ck_assert(!it->valid);
    ck_assert_int_eq(it->err, -EUCLEAN);
    iter_free(it);
    it = level_iter(&s, TABLE_ITER_READ, NULL);
    iter_seek_prev(it, buf_slice(&seek));
    ck_assert(!it->valid);
    ck_assert_int_eq(it->err, -EUCLEAN);
    iter_free(it);
    buf_release(&value);
    buf_release(&seek);
    entries_free(&es);
    store_release(&s);
}
END_TEST

START_TEST(a_read_error_of_one_table_ends_the_level)
{
    struct entries es = {0};
    struct iter *it;
    struct store s;

    three_tables_without(&s, &es, 2);
    env_mem_fail_at(s.env, 1, EIO, ENV_MEM_READ, ENV_MEM_FOREVER);
    it = level_iter(&s, TABLE_ITER_READ, NULL);
    iter_first(it);
    ck_assert(!it->valid);
    ck_assert_int_eq(it->err, -EIO);
    iter_free(it);
    env_mem_fail_at(s.env, 0, 0, 0, ENV_MEM_ONCE);
    expect(&s, "a", 100, "a"); /* it was not the table's fault */
    env_mem_fail_at(s.env, 1, EIO, ENV_MEM_READ, ENV_MEM_FOREVER);
    it = level_iter(&s, TABLE_ITER_READ, NULL);
    iter_first(it); /* the table is open, and its block cannot be read */
    ck_assert(!it->valid);
    ck_assert_int_eq(it->err, -EIO);
    iter_free(it);
    env_mem_fail_at(s.env, 0, 0, 0, ENV_MEM_ONCE);
    entries_free(&es);
    store_release(&s);
}
END_TEST

/* ---- opening ---- */

static void *open_it(void *arg)
{
    struct table *t = NULL;

    ck_ok(tfile_borrow(arg, &t));
    return t;
}

START_TEST(threads_that_open_a_table_get_the_same)
{
    enum { THREADS = 4 };
    struct entries es = {0};
    pthread_t thread[THREADS];
    struct store s;
    void *t[THREADS];
    int round, i;

    for (round = 0; round < 50; round++) {
        store_init(&s, true);
        entries_free(&es);
        put(&es, "k", 1, "v");
        add_table(&s, 1, &es, 0, 1, NULL);
        for (i = 0; i < THREADS; i++)
            ck_ok(pthread_create(&thread[i], NULL, open_it, s.v->file[1][0]));
        for (i = 0; i < THREADS; i++)
            ck_ok(pthread_join(thread[i], &t[i]));
        for (i = 1; i < THREADS; i++)
            ck_assert_ptr_eq(t[0], t[i]);
        ck_assert_uint_eq(env_mem_open_files(s.env), 1);
        store_release(&s);
    }
    entries_free(&es);
}
END_TEST

START_TEST(a_table_of_another_size_than_the_manifest_has_is_damage)
{
    struct entries es = {0};
    struct table *t;
    struct tfile *f;
    struct table_meta m = {0};
    struct store s;

    store_init(&s, false);
    put(&es, "k", 1, "v");
    add_table(&s, 1, &es, 0, 1, NULL);
    ck_ok(table_meta_copy(&m, &s.v->file[1][0]->meta));
    m.size++;
    ck_ok(tfile_new(&s.tables, &m, &f));
    ck_err(tfile_borrow(f, &t), EUCLEAN);
    ck_err(tfile_borrow(f, &t), EUCLEAN); /* and stays so */
    tfile_unref(f);
    table_meta_release(&m);
    entries_free(&es);
    store_release(&s);
}
END_TEST

TEST_MAIN("version_read", TEST_CASE_ALONE(the_newest_table_of_l0_answers_first),
          TEST_CASE_ALONE(an_upper_level_answers_before_a_lower_one),
          TEST_CASE_ALONE(a_range_delete_hides_what_is_older_and_below),
          TEST_CASE_ALONE(lookup_agrees_with_looking_at_everything),
          TEST_CASE_ALONE(a_level_is_walked_as_one),
          TEST_CASE_ALONE(a_level_without_tables_is_empty),
          TEST_CASE_ALONE(tables_without_points_are_stepped_over),
          TEST_CASE_ALONE(nothing_below_upper_is_missed),
          TEST_CASE_ALONE(a_table_beyond_upper_is_not_opened),
          TEST_CASE_ALONE(a_missing_table_is_damage_where_it_is_met),
          TEST_CASE_ALONE(a_read_error_of_one_table_ends_the_level),
          TEST_CASE(threads_that_open_a_table_get_the_same),
          TEST_CASE_ALONE(a_table_of_another_size_than_the_manifest_has_is_damage))
