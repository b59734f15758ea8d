/*
 * test_version.c - lsm/version.h and lsm/table_cache.h as far as they need no
 * table files: edits, ranges, what is found where, who frees what. Reading:
 * test_version_read.c.
 */
#include "test.h"

#include <stdlib.h>

#include "lsm/version.h"

enum { DEAD_MAX = 16 };

struct store {
    struct table_cache tables;
    struct version *v;
    uint64_t dead[DEAD_MAX];
    size_t n_dead;
};

static void on_dead(void *arg, uint64_t number)
{
    struct store *s = arg;

    ck_assert_uint_lt(s->n_dead, DEAD_MAX);
    s->dead[s->n_dead++] = number;
}

static void store_init(struct store *s)
{
    memset(s, 0, sizeof(*s));
    test_log_capture();
    table_cache_init(&s->tables, NULL, "nowhere", NULL, on_dead, s);
    s->v = version_new();
    ck_assert_ptr_nonnull(s->v);
}

static void store_release(struct store *s)
{
    version_unref(s->v);
    ck_assert_ptr_null(s->tables.alive); /* every reference was given back */
    table_cache_release(&s->tables);
}

/* Keys [from, to], or, when to ends in ')', [from, to). */
static struct table_meta meta_of(uint64_t number, const char *from, const char *to)
{
    struct table_meta m = {.number = number, .size = 100 * number, .entries = 1};
    size_t len = strlen(to);

    m.seq_min = m.seq_max = number;
    m.largest_open = len && to[len - 1] == ')';
    buf_assign(&m.smallest, slice_str(from));
    buf_assign(&m.largest, slice_of(to, len - m.largest_open));
    return m;
}

static void add(struct edit *e, unsigned level, uint64_t number, const char *from,
                const char *to)
{
    struct table_meta m = meta_of(number, from, to);

    ck_ok(edit_add_table(e, level, &m));
}

static int try_apply(struct store *s, struct edit *e)
{
    struct version *v;
    int rc = version_apply(s->v, e, &s->tables, "/where", &v);

    if (!rc) {
        version_unref(s->v);
        s->v = v;
    }
    edit_release(e);
    return rc;
}

static void remove_table(struct edit *e, unsigned level, uint64_t number)
{
    ck_ok(edit_remove_table(e, level, number));
}

/* The tables of a level in order, as "1 2 3". */
static void expect(const struct store *s, unsigned level, const char *want)
{
    char got[200] = "";
    uint64_t bytes = 0;
    size_t i, len = 0;

    for (i = 0; i < s->v->n[level]; i++) {
        len += (size_t)snprintf(got + len, sizeof(got) - len, "%s%d", i ? " " : "",
                                (int)s->v->file[level][i]->meta.number);
        bytes += s->v->file[level][i]->meta.size;
    }
    ck_assert_str_eq(got, want);
    ck_assert_uint_eq(s->v->bytes[level], bytes);
}

/* ---- edits ---- */

START_TEST(an_edit_adds_and_removes_tables)
{
    struct edit e = {0};
    struct version *before;
    struct tfile *kept;
    struct store s;

    store_init(&s);
    add(&e, 1, 10, "a", "c");
    add(&e, 1, 11, "d", "f");
    add(&e, 2, 12, "a", "z");
    add(&e, 0, 13, "a", "z");
    ck_ok(try_apply(&s, &e));
    expect(&s, 0, "13");
    expect(&s, 1, "10 11");
    expect(&s, 2, "12");
    expect(&s, 4, "");
    before = s.v;
    version_ref(before);
    kept = s.v->file[1][1];
    remove_table(&e, 1, 10);
    remove_table(&e, 0, 13);
    add(&e, 1, 14, "a", "b");
    ck_ok(try_apply(&s, &e));
    expect(&s, 0, "");
    expect(&s, 1, "14 11");
    expect(&s, 2, "12");
    ck_assert_ptr_eq(s.v->file[1][1], kept); /* shared, not made anew */
    ck_assert_uint_eq(before->n[0], 1);      /* and as it was */
    ck_assert_uint_eq(before->file[1][0]->meta.number, 10);
    version_unref(before);
    ck_ok(try_apply(&s, &e)); /* an edit that says nothing */
    expect(&s, 1, "14 11");
    ck_assert_uint_eq(s.n_dead, 0);
    store_release(&s);
}
END_TEST

START_TEST(l0_stands_newest_first_and_other_levels_by_key)
{
    struct edit e = {0};
    struct table_meta m;
    struct store s;

    store_init(&s);
    add(&e, 0, 20, "a", "b");
    add(&e, 0, 30, "a", "b");
    add(&e, 1, 40, "x", "z");
    add(&e, 1, 41, "", "a)");
    add(&e, 1, 42, "a", "c");
    m = meta_of(15, "a", "b"); /* a low number with new writes */
    m.seq_min = 5;
    m.seq_max = 25;
    ck_ok(edit_add_table(&e, 0, &m));
    ck_ok(try_apply(&s, &e));
    expect(&s, 0, "30 15 20");
    expect(&s, 1, "41 42 40");
    add(&e, 0, 22, "a", "b");
    m = meta_of(23, "a", "b"); /* as new as 22: the number tells */
    m.seq_max = 22;
    ck_ok(edit_add_table(&e, 0, &m));
    add(&e, 1, 43, "d", "e");
    ck_ok(try_apply(&s, &e));
    expect(&s, 0, "30 15 23 22 20");
    expect(&s, 1, "41 42 43 40");
    store_release(&s);
}
END_TEST

START_TEST(a_moved_table_keeps_its_tfile)
{
    struct edit e = {0};
    struct tfile *f;
    struct store s;

    store_init(&s);
    add(&e, 1, 7, "a", "c");
    ck_ok(try_apply(&s, &e));
    f = s.v->file[1][0];
    remove_table(&e, 1, 7);
    add(&e, 2, 7, "a", "c");
    ck_ok(try_apply(&s, &e));
    expect(&s, 1, "");
    expect(&s, 2, "7");
    ck_assert_ptr_eq(s.v->file[2][0], f);
    store_release(&s);
}
END_TEST

START_TEST(levels_know_how_much_of_the_value_log_they_refer_to)
{
    struct table_meta m = meta_of(8, "a", "c");
    struct edit e = {0};
    struct store s;

    store_init(&s);
    m.refs = calloc(2, sizeof(*m.refs));
    m.n_refs = 2;
    m.refs[0] = (struct segment_ref){3, 100};
    m.refs[1] = (struct segment_ref){9, 50};
    ck_ok(edit_add_table(&e, 1, &m));
    m = meta_of(9, "d", "e");
    m.refs = calloc(1, sizeof(*m.refs));
    m.n_refs = 1;
    m.refs[0] = (struct segment_ref){3, 7};
    ck_ok(edit_add_table(&e, 1, &m));
    ck_ok(try_apply(&s, &e));
    ck_assert_uint_eq(s.v->ref_bytes[1], 157);
    ck_assert_uint_eq(s.v->ref_bytes[2], 0);
    remove_table(&e, 1, 8);
    ck_ok(try_apply(&s, &e));
    ck_assert_uint_eq(s.v->ref_bytes[1], 7);
    store_release(&s);
}
END_TEST

START_TEST(levels_know_whether_they_hold_range_deletes)
{
    struct edit e = {0};
    struct table_meta m = meta_of(8, "a", "c");
    struct store s;

    store_init(&s);
    m.range_deletes = 2;
    ck_ok(edit_add_table(&e, 1, &m));
    add(&e, 1, 9, "d", "e");
    add(&e, 2, 10, "d", "e");
    ck_ok(try_apply(&s, &e));
    ck_assert(s.v->has_ranges[1]);
    ck_assert(!s.v->has_ranges[0] && !s.v->has_ranges[2]);
    remove_table(&e, 1, 8);
    ck_ok(try_apply(&s, &e));
    ck_assert(!s.v->has_ranges[1]);
    store_release(&s);
}
END_TEST

/* Tables at L1 as given; the edit e must be refused, and change nothing. */
static void refused(struct store *s, struct edit *e, const char *log)
{
    struct version *before = s->v;

    ck_err(try_apply(s, e), EUCLEAN);
    ck_assert(test_log_has("/where"));
    ck_assert_msg(test_log_has(log), "nothing is logged of \"%s\"", log);
    ck_assert_ptr_eq(s->v, before);
    expect(s, 1, "5 6");
    ck_assert_uint_eq(s->n_dead, 0); /* tables of an edit that failed stay on disk */
}

START_TEST(edits_that_do_not_fit_are_damage)
{
    struct edit e = {0};
    struct store s;

    store_init(&s);
    add(&e, 1, 5, "b", "d");
    add(&e, 1, 6, "f", "h)");
    ck_ok(try_apply(&s, &e));
    ck_assert(!test_log_has("/where"));

    remove_table(&e, 1, 7);
    refused(&s, &e, "does not have");
    remove_table(&e, 2, 5); /* of another level */
    refused(&s, &e, "L2 does not have");
    remove_table(&e, 1, 5); /* twice */
    remove_table(&e, 1, 5);
    refused(&s, &e, "L1 does not have");
    add(&e, LSM_LEVELS, 9, "x", "y");
    refused(&s, &e, "adds to L5");
    add(&e, UINT32_MAX, 9, "x", "y");
    refused(&s, &e, "adds to L4294967295");
    remove_table(&e, LSM_LEVELS, 5);
    refused(&s, &e, "removes from L5");
    store_release(&s);
}
END_TEST

START_TEST(tables_below_l0_may_not_overlap)
{
    static const struct {
        const char *from, *to;
        bool fits;
    } tables[] = {
        {"a", "b", false},   {"a", "b)", true},   {"d", "e", false}, {"d5", "e", true},
        {"a", "z", false},   {"c", "c", false},   {"e", "f", false}, {"e", "f)", true},
        {"g", "g", false},   {"h", "z", true},    {"h)", "z", true}, {"b", "d", false},
        {"gz", "h)", false}, {"gz", "gz", false}, {"", "a", true},   {"", "z)", false},
    };
    struct store s;
    size_t i;

    for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        struct edit e = {0};

        store_init(&s);
        add(&e, 1, 5, "b", "d");
        add(&e, 1, 6, "f", "h)");
        ck_ok(try_apply(&s, &e));
        add(&e, 1, 7, tables[i].from, tables[i].to);
        if (tables[i].fits)
            ck_ok(try_apply(&s, &e));
        else
            refused(&s, &e, "overlap at L1");
        edit_release(&e);
        /* At L0 and elsewhere it is no matter. */
        add(&e, 0, 7, tables[i].from, tables[i].to);
        add(&e, 0, 8, tables[i].from, tables[i].to);
        add(&e, 3, 9, tables[i].from, tables[i].to);
        if (!tables[i].fits)
            ck_ok(try_apply(&s, &e));
        edit_release(&e);
        store_release(&s);
    }
}
END_TEST

START_TEST(what_an_edit_removes_makes_room)
{
    struct edit e = {0};
    struct store s;

    store_init(&s);
    add(&e, 1, 5, "b", "d");
    add(&e, 1, 6, "f", "h");
    ck_ok(try_apply(&s, &e));
    add(&e, 1, 7, "a", "z");
    remove_table(&e, 1, 5);
    remove_table(&e, 1, 6);
    ck_ok(try_apply(&s, &e));
    expect(&s, 1, "7");
    store_release(&s);
}
END_TEST

/* ---- files ---- */

START_TEST(an_obsolete_file_dies_with_its_last_reference)
{
    struct edit e = {0};
    struct version *old;
    struct store s;

    store_init(&s);
    add(&e, 1, 5, "a", "c");
    add(&e, 1, 6, "d", "e");
    ck_ok(try_apply(&s, &e));
    old = s.v;
    version_ref(old);
    remove_table(&e, 1, 5);
    ck_ok(try_apply(&s, &e));
    atomic_store(&old->file[1][0]->obsolete, true);
    ck_assert_uint_eq(s.n_dead, 0);
    tfile_ref(old->file[1][0]);
    tfile_unref(old->file[1][0]);
    ck_assert_uint_eq(s.n_dead, 0);
    version_unref(old);
    ck_assert_uint_eq(s.n_dead, 1);
    ck_assert_uint_eq(s.dead[0], 5);
    store_release(&s); /* 6 is not obsolete: closing a store deletes nothing */
    ck_assert_uint_eq(s.n_dead, 1);
    version_unref(NULL);
}
END_TEST

static void sum_segment(void *arg, uint64_t segment, uint64_t bytes)
{
    uint64_t *sum = arg;

    ck_assert_uint_lt(segment, 10);
    sum[segment] += bytes;
}

START_TEST(segments_are_told_of_every_live_table)
{
    struct segment_ref five[] = {{1, 100}, {4, 400}}, six[] = {{4, 40}};
    struct table_meta m = meta_of(5, "a", "c"), m2 = meta_of(6, "d", "e");
    uint64_t sum[10] = {0};
    struct tfile *f, *f2;
    struct store s;

    store_init(&s);
    m.refs = five;
    m.n_refs = 2;
    ck_ok(tfile_new(&s.tables, &m, &f));
    m2.refs = six;
    m2.n_refs = 1;
    ck_ok(tfile_new(&s.tables, &m2, &f2));
    five[0].bytes = 7; /* it was copied */
    table_cache_segments(&s.tables, sum_segment, sum);
    ck_assert(sum[1] == 100 && sum[4] == 440);
    tfile_unref(f);
    table_cache_segments(&s.tables, sum_segment, sum);
    ck_assert(sum[1] == 100 && sum[4] == 480);
    tfile_unref(f2);
    buf_release(&m.smallest);
    buf_release(&m.largest);
    buf_release(&m2.smallest);
    buf_release(&m2.largest);
    store_release(&s);
}
END_TEST

/* ---- ranges ---- */

START_TEST(a_key_is_before_inside_or_behind_a_table)
{
    struct table_meta closed = meta_of(1, "b", "d"), open = meta_of(2, "b", "d)");

    ck_assert_int_lt(table_range_cmp(&closed, slice_str("")), 0);
    ck_assert_int_lt(table_range_cmp(&closed, slice_str("azz")), 0);
    ck_assert_int_eq(table_range_cmp(&closed, slice_str("b")), 0);
    ck_assert_int_eq(table_range_cmp(&closed, slice_str("czz")), 0);
    ck_assert_int_eq(table_range_cmp(&closed, slice_str("d")), 0);
    ck_assert_int_gt(table_range_cmp(&closed, slice_str("d0")), 0);
    ck_assert_int_eq(table_range_cmp(&open, slice_str("b")), 0);
    ck_assert_int_eq(table_range_cmp(&open, slice_str("czz")), 0);
    ck_assert_int_gt(table_range_cmp(&open, slice_str("d")), 0);
    table_meta_release(&closed);
    table_meta_release(&open);
}
END_TEST

START_TEST(a_range_grows_to_cover_tables)
{
    struct table_meta m[] = {meta_of(1, "f", "h)"), meta_of(2, "g", "h"),
                             meta_of(3, "f5", "h)"), meta_of(4, "b", "c"),
                             meta_of(5, "x", "y)")};
    struct key_range r;
    bool empty = true;
    size_t i;

    key_range_add(&r, &empty, &m[0]);
    ck_assert(!empty && r.hi_open);
    ck_slice_str(r.lo, "f");
    ck_slice_str(r.hi, "h");
    key_range_add(&r, &empty, &m[1]); /* the same end, closed */
    ck_slice_str(r.lo, "f");
    ck_assert(!r.hi_open);
    key_range_add(&r, &empty, &m[2]); /* which an open one does not undo */
    ck_assert(!r.hi_open);
    key_range_add(&r, &empty, &m[3]);
    ck_slice_str(r.lo, "b");
    ck_slice_str(r.hi, "h");
    ck_assert(!r.hi_open);
    key_range_add(&r, &empty, &m[4]);
    ck_slice_str(r.hi, "y");
    ck_assert(r.hi_open);
    for (i = 0; i < 5; i++)
        table_meta_release(&m[i]);
}
END_TEST

/* All ends of random ranges are letters, so a key that two ranges share is the
 * start of one of them: to ask for letters is enough. */
static void random_range(uint64_t *r, char from[2], char to[3])
{
    unsigned lo = (unsigned)test_below(r, 26), n = (unsigned)test_below(r, 5);
    bool open = n && test_below(r, 2);

    if (lo + n > 25)
        n = 25 - lo;
    open &= n > 0;
    snprintf(from, 2, "%c", 'a' + lo);
    snprintf(to, 3, "%c%s", 'a' + lo + n, open ? ")" : "");
}

static bool share_a_key(const struct table_meta *a, const struct table_meta *b)
{
    char key[2] = "a";

    for (; key[0] <= 'z'; key[0]++)
        if (table_range_cmp(a, slice_str(key)) == 0 &&
            table_range_cmp(b, slice_str(key)) == 0)
            return true;
    return false;
}

static void random_level(struct store *s, uint64_t *r)
{
    char from[2], to[3];
    struct edit e = {0};
    uint64_t i;

    for (i = 1; i < 12; i++) { /* those that fit */
        random_range(r, from, to);
        add(&e, 2, i, from, to);
        (void)try_apply(s, &e);
    }
}

static void check_find(const struct version *v, const char *text)
{
    struct slice key = slice_str(text);
    size_t i = 0;

    while (i < v->n[2] && table_range_cmp(&v->file[2][i]->meta, key) > 0)
        i++;
    ck_assert_uint_eq(version_find(v, 2, key), i);
}

static void check_overlap(const struct version *v, const struct table_meta *m)
{
    struct key_range r;
    size_t first, end, i;

    key_range_of(&r, m);
    version_overlap(v, 2, &r, &first, &end);
    ck_assert(first <= end && end <= v->n[2]);
    for (i = 0; i < v->n[2]; i++) {
        const struct table_meta *t = &v->file[2][i]->meta;
        bool both = share_a_key(t, m);

        ck_assert((i >= first && i < end) == both);
        ck_assert(table_ranges_overlap(t, m) == both);
        ck_assert(table_ranges_overlap(m, t) == both);
        ck_assert(key_range_touches(&r, t) == both);
    }
}

START_TEST(tables_are_found_by_key_and_by_range)
{
    uint64_t r = test_seed();
    struct store s;
    int round, i;

    for (round = 0; round < 60; round++) {
        char from[2], to[3], key[3];

        store_init(&s);
        random_level(&s, &r);
        check_find(s.v, "");
        for (i = 0; i < 26; i++) {
            snprintf(key, sizeof(key), "%c", 'a' + i);
            check_find(s.v, key);
            snprintf(key, sizeof(key), "%c5", 'a' + i);
            check_find(s.v, key);
        }
        for (i = 0; i < 30; i++) {
            struct table_meta m;

            random_range(&r, from, to);
            m = meta_of(99, from, to);
            check_overlap(s.v, &m);
            table_meta_release(&m);
        }
        store_release(&s);
    }
}
END_TEST

START_TEST(nothing_is_found_in_an_empty_level)
{
    struct key_range r = {slice_str("a"), slice_str("z"), false};
    size_t first = 9, end = 9;
    struct store s;

    store_init(&s);
    ck_assert_uint_eq(version_find(s.v, 3, slice_str("k")), 0);
    version_overlap(s.v, 3, &r, &first, &end);
    ck_assert(first == 0 && end == 0);
    store_release(&s);
}
END_TEST

TEST_MAIN("version", TEST_CASE(an_edit_adds_and_removes_tables),
          TEST_CASE(l0_stands_newest_first_and_other_levels_by_key),
          TEST_CASE(a_moved_table_keeps_its_tfile),
          TEST_CASE(levels_know_how_much_of_the_value_log_they_refer_to),
          TEST_CASE(levels_know_whether_they_hold_range_deletes),
          TEST_CASE(edits_that_do_not_fit_are_damage),
          TEST_CASE(tables_below_l0_may_not_overlap),
          TEST_CASE(what_an_edit_removes_makes_room),
          TEST_CASE(an_obsolete_file_dies_with_its_last_reference),
          TEST_CASE(segments_are_told_of_every_live_table),
          TEST_CASE(a_key_is_before_inside_or_behind_a_table),
          TEST_CASE(a_range_grows_to_cover_tables),
          TEST_CASE(tables_are_found_by_key_and_by_range),
          TEST_CASE(nothing_is_found_in_an_empty_level))
