/*
 * test_merge.c - lsm/merge.h. Children are arrays, the reference is the sorted
 * array of all their entries.
 */
#include "test.h"

#include <stdlib.h>

#include "lsm/merge.h"

#include "entries.h"

enum { CHILDREN_MAX = 9 };

/* ---- a child ---- */

struct child {
    struct iter it;
    struct entries es;
    size_t at;
    unsigned *alive;   /* children not freed yet */
    unsigned calls;    /* of all kinds */
    unsigned fails_at; /* the call that fails, from 1; 0: none */
};

static void stand_at(struct child *c, size_t at)
{
    c->at = at;
    c->it.valid = at < c->es.n;
    if (++c->calls == c->fails_at)
        iter_stop(&c->it, -EIO);
    if (!c->it.valid)
        return;
    c->it.key = buf_slice(&c->es.e[at].ikey);
    c->it.value = buf_slice(&c->es.e[at].value);
}

static void c_first(struct iter *it)
{
    stand_at((struct child *)it, 0);
}

static void c_last(struct iter *it)
{
    stand_at((struct child *)it, ((struct child *)it)->es.n - 1);
}

static void c_seek(struct iter *it, struct slice ikey)
{
    stand_at((struct child *)it, entries_find(&((struct child *)it)->es, ikey));
}

static void c_seek_prev(struct iter *it, struct slice ikey)
{
    struct child *c = (struct child *)it;
    size_t i = entries_find(&c->es, ikey);

    if (i == c->es.n || ikey_cmp(buf_slice(&c->es.e[i].ikey), ikey) != 0)
        i--; /* before the first: beyond the last */
    stand_at(c, i);
}

static void c_next(struct iter *it)
{
    ck_assert(it->valid);
    stand_at((struct child *)it, ((struct child *)it)->at + 1);
}

static void c_prev(struct iter *it)
{
    ck_assert(it->valid);
    stand_at((struct child *)it, ((struct child *)it)->at - 1);
}

static void c_free(struct iter *it)
{
    struct child *c = (struct child *)it;

    --*c->alive;
    entries_free(&c->es);
    free(c);
}

static struct child *child_new(unsigned *alive)
{
    static const struct iter_ops ops = {c_first, c_last, c_seek, c_seek_prev,
                                        c_next,  c_prev, c_free};
    struct child *c = calloc(1, sizeof(*c));

    c->it.ops = &ops;
    c->alive = alive;
    ++*alive;
    return c;
}

/* ---- the merge, and what it must show ---- */

struct world {
    struct entries all;
    unsigned *source; /* of each entry */
    struct child *child[CHILDREN_MAX];
    unsigned n, alive;
    struct merge *m;
    size_t at; /* all.n: nowhere */
    bool forward;
    struct buf skip_to[CHILDREN_MAX]; /* going forward, entries before are left out */
};

static void make_world(struct world *w, unsigned n_children, size_t n_entries,
                       uint64_t *r)
{
    struct iter *children[CHILDREN_MAX];
    size_t i;

    memset(w, 0, sizeof(*w));
    if (n_entries && n_children)
        w->all = entries_random(r, n_entries, test_below(r, 6), 10);
    w->source = calloc(w->all.n + 1, sizeof(*w->source));
    w->n = n_children;
    for (i = 0; i < n_children; i++) {
        w->child[i] = child_new(&w->alive);
        children[i] = &w->child[i]->it;
    }
    for (i = 0; i < w->all.n; i++) {
        struct slice ikey = buf_slice(&w->all.e[i].ikey);

        /* Runs from one child, too; and some children with little or nothing. */
        w->source[i] = i && test_below(r, 2)
                           ? w->source[i - 1]
                           : (unsigned)test_below(r, 1 + test_below(r, n_children));
        entries_add(&w->child[w->source[i]]->es, ikey_user(ikey), ikey_seq(ikey),
                    ikey_type(ikey), buf_slice(&w->all.e[i].value));
    }
    w->m = merge_new(children, n_children);
    ck_assert_ptr_nonnull(w->m);
    w->at = w->all.n;
}

static void drop_world(struct world *w)
{
    unsigned i;

    ck_assert_uint_eq(w->alive, w->n);
    iter_free(merge_iter(w->m));
    ck_assert_uint_eq(w->alive, 0);
    for (i = 0; i < CHILDREN_MAX; i++)
        buf_release(&w->skip_to[i]);
    entries_free(&w->all);
    free(w->source);
}

static void check_here(struct world *w)
{
    entries_check_at(merge_iter(w->m), &w->all, w->at);
    if (w->at < w->all.n)
        ck_assert_uint_eq(merge_source(w->m), w->source[w->at]);
}

static void stop_skipping(struct world *w)
{
    unsigned i;

    for (i = 0; i < CHILDREN_MAX; i++)
        buf_clear(&w->skip_to[i]);
}

static void placed(struct world *w, size_t at, bool forward)
{
    stop_skipping(w);
    w->at = at;
    w->forward = forward;
    check_here(w);
}

static bool is_skipped(const struct world *w, size_t i)
{
    const struct buf *to = &w->skip_to[w->source[i]];

    return to->len && ikey_cmp(buf_slice(&w->all.e[i].ikey), buf_slice(to)) < 0;
}

static void next(struct world *w)
{
    iter_next(merge_iter(w->m));
    if (!w->forward)
        stop_skipping(w);
    w->forward = true;
    for (w->at++; w->at < w->all.n && is_skipped(w, w->at); w->at++)
        ;
    check_here(w);
}

static void prev(struct world *w)
{
    iter_prev(merge_iter(w->m));
    placed(w, w->at ? w->at - 1 : w->all.n, false);
}

/* An entry's key, or one near it, or any. */
static void random_key(const struct world *w, uint64_t *r, struct buf *key)
{
    buf_clear(key);
    if (w->all.n && test_below(r, 4)) {
        buf_assign(key, buf_slice(&w->all.e[test_below(r, w->all.n)].ikey));
        if (test_below(r, 3) == 0)
            store_le64(key->data + key->len - 8, test_random(r));
    } else {
        entries_random_bytes(key, r, test_below(r, 6), 6);
        put_le64(key, test_random(r));
    }
}

static void seek(struct world *w, struct slice ikey)
{
    iter_seek(merge_iter(w->m), ikey);
    placed(w, entries_find(&w->all, ikey), true);
}

static void seek_prev(struct world *w, struct slice ikey)
{
    size_t i = entries_find(&w->all, ikey);

    iter_seek_prev(merge_iter(w->m), ikey);
    if (i == w->all.n || ikey_cmp(buf_slice(&w->all.e[i].ikey), ikey) != 0)
        i = i ? i - 1 : w->all.n;
    placed(w, i, false);
}

/* Children that stand behind ikey already do not come back for it. */
static void skip(struct world *w, unsigned from, struct slice ikey)
{
    unsigned i;

    merge_skip(w->m, from, ikey);
    for (i = from; i < w->n; i++)
        if (!w->skip_to[i].len || ikey_cmp(buf_slice(&w->skip_to[i]), ikey) < 0)
            buf_assign(&w->skip_to[i], ikey);
    while (w->at < w->all.n && is_skipped(w, w->at))
        w->at++;
    check_here(w);
}

static void random_step(struct world *w, uint64_t *r, struct buf *key)
{
    bool somewhere = w->at < w->all.n;
    uint64_t what = test_below(r, 20);

    random_key(w, r, key);
    if (what == 0) {
        iter_first(merge_iter(w->m));
        placed(w, 0, true);
    } else if (what == 1) {
        iter_last(merge_iter(w->m));
        placed(w, w->all.n ? w->all.n - 1 : 0, false);
    } else if (what == 2 || (!somewhere && what < 10)) {
        seek(w, buf_slice(key));
    } else if (what == 3 || !somewhere) {
        seek_prev(w, buf_slice(key));
    } else if (what == 4 && w->forward) {
        skip(w, (unsigned)test_below(r, w->n + 1), buf_slice(key));
    } else if (what % 2) {
        next(w);
    } else {
        prev(w);
    }
}

/* ---- tests ---- */

START_TEST(no_children_make_an_empty_merge)
{
    uint64_t r = test_seed();
    struct world w;

    make_world(&w, 0, 0, &r);
    iter_first(merge_iter(w.m));
    check_here(&w);
    iter_last(merge_iter(w.m));
    check_here(&w);
    seek(&w, slice_str("k\0\0\0\0\0\0\0\0"));
    drop_world(&w);
}
END_TEST

START_TEST(children_are_walked_as_one)
{
    uint64_t r = test_seed();
    struct world w;
    unsigned n;

    for (n = 1; n <= CHILDREN_MAX; n++) {
        make_world(&w, n, test_below(&r, 300), &r);
        entries_check_walks(merge_iter(w.m), &w.all);
        entries_probe(&w.all, &r, entries_check_seek, merge_iter(w.m));
        drop_world(&w);
    }
}
END_TEST

START_TEST(any_steps_in_any_direction_agree_with_a_sorted_array)
{
    uint64_t r = test_seed();
    struct buf key = {0};
    struct world w;
    int round, i;

    for (round = 0; round < 60; round++) {
        make_world(&w, (unsigned)(1 + test_below(&r, CHILDREN_MAX)), test_below(&r, 60),
                   &r);
        for (i = 0; i < 400; i++)
            random_step(&w, &r, &key);
        drop_world(&w);
    }
    buf_release(&key);
}
END_TEST

START_TEST(every_change_of_direction_stands_on_the_neighbour)
{
    uint64_t r = test_seed();
    struct world w;
    size_t i;

    make_world(&w, 5, 100, &r);
    for (i = 1; i + 1 < w.all.n; i++) {
        seek(&w, buf_slice(&w.all.e[i].ikey));
        prev(&w);
        next(&w);
        next(&w);
        prev(&w);
        seek_prev(&w, buf_slice(&w.all.e[i].ikey));
        next(&w);
        prev(&w);
        prev(&w);
        next(&w);
    }
    drop_world(&w);
}
END_TEST

static void add(struct world *w, unsigned child, const char *key, uint64_t seq)
{
    entries_add(&w->child[child]->es, slice_str(key), seq, IKEY_PUT, slice_str(key));
}

static void expect(struct world *w, const char *key, uint64_t seq, unsigned source)
{
    struct iter *it = merge_iter(w->m);

    ck_assert(it->valid);
    ck_slice_str(ikey_user(it->key), key);
    ck_assert_uint_eq(ikey_seq(it->key), seq);
    ck_assert_uint_eq(merge_source(w->m), source);
}

START_TEST(skipping_moves_only_older_children_forward)
{
    uint64_t r = test_seed();
    struct buf to = {0};
    struct world w;

    make_world(&w, 3, 0, &r);
    add(&w, 0, "b", 9);
    add(&w, 0, "d", 9);
    add(&w, 1, "b", 5);
    add(&w, 1, "e", 5);
    add(&w, 2, "c", 1);
    add(&w, 2, "d", 1);
    add(&w, 2, "f", 1);
    ikey_append_seek(&to, slice_str("e"), IKEY_SEQ_MAX);
    iter_first(merge_iter(w.m));
    expect(&w, "b", 9, 0);
    merge_skip(w.m, 1, buf_slice(&to));
    expect(&w, "b", 9, 0); /* the current one is not of them */
    iter_next(merge_iter(w.m));
    expect(&w, "d", 9, 0);
    iter_next(merge_iter(w.m));
    expect(&w, "e", 5, 1);
    buf_clear(&to);
    ikey_append_seek(&to, slice_str("c"), IKEY_SEQ_MAX);
    merge_skip(w.m, 0, buf_slice(&to)); /* nobody goes back */
    expect(&w, "e", 5, 1);
    iter_next(merge_iter(w.m));
    expect(&w, "f", 1, 2);
    iter_prev(merge_iter(w.m));
    iter_prev(merge_iter(w.m));
    expect(&w, "d", 1, 2); /* backward, what was skipped is there */
    buf_release(&to);
    drop_world(&w);
}
END_TEST

/* Run through w in some way; the error, once there, ends it and stays. */
static int run_until_it_ends(struct world *w, bool backward, struct slice from)
{
    struct iter *it = merge_iter(w->m);
    size_t n = 0;

    if (backward)
        iter_seek_prev(it, from);
    else
        iter_seek(it, from);
    for (; it->valid; n++) {
        ck_assert_int_eq(it->err, 0);
        if (n % 7 == 6) { /* turn and turn back */
            if (backward)
                iter_next(it);
            else
                iter_prev(it);
            if (!it->valid)
                break;
        }
        if (backward)
            iter_prev(it);
        else
            iter_next(it);
        ck_assert_uint_le(n, 3 * w->all.n);
    }
    if (it->err) {
        ck_assert(!it->valid);
        iter_first(it);
        ck_assert(!it->valid);
        iter_last(it);
        ck_assert(!it->valid);
        iter_seek(it, from);
        ck_assert(!it->valid);
    }
    return it->err;
}

START_TEST(an_error_of_any_child_ends_the_merge)
{
    uint64_t r = test_seed();
    int round, failed = 0;

    for (round = 0; round < 300; round++) {
        struct buf from = {0};
        struct world w;
        struct child *bad;
        unsigned fails_at;

        make_world(&w, (unsigned)(1 + test_below(&r, 5)), 1 + test_below(&r, 30), &r);
        bad = w.child[test_below(&r, w.n)];
        fails_at = bad->fails_at = (unsigned)(1 + test_below(&r, 20));
        random_key(&w, &r, &from);
        if (run_until_it_ends(&w, test_below(&r, 2), buf_slice(&from))) {
            ck_assert_int_eq(merge_iter(w.m)->err, -EIO);
            ck_assert_uint_ge(bad->calls, fails_at);
            failed++;
        } else {
            ck_assert_uint_lt(bad->calls, fails_at);
        }
        buf_release(&from);
        drop_world(&w);
    }
    ck_assert_int_gt(failed, 30);
}
END_TEST

START_TEST(a_skip_that_fails_ends_the_merge)
{
    uint64_t r = test_seed();
    struct buf to = {0};
    struct world w;

    make_world(&w, 2, 0, &r);
    add(&w, 0, "a", 9);
    add(&w, 0, "x", 9);
    add(&w, 1, "b", 1);
    w.child[1]->fails_at = 2;
    iter_first(merge_iter(w.m));
    expect(&w, "a", 9, 0);
    ikey_append_seek(&to, slice_str("c"), 9);
    merge_skip(w.m, 1, buf_slice(&to));
    ck_assert(!merge_iter(w.m)->valid);
    ck_assert_int_eq(merge_iter(w.m)->err, -EIO);
    buf_release(&to);
    drop_world(&w);
}
END_TEST

TEST_MAIN("merge", TEST_CASE(no_children_make_an_empty_merge),
          TEST_CASE(children_are_walked_as_one),
          TEST_CASE(any_steps_in_any_direction_agree_with_a_sorted_array),
          TEST_CASE(every_change_of_direction_stands_on_the_neighbour),
          TEST_CASE(skipping_moves_only_older_children_forward),
          TEST_CASE(an_error_of_any_child_ends_the_merge),
          TEST_CASE(a_skip_that_fails_ends_the_merge))
