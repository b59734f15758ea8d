/*
 * test_txn.c - transactions: each promise of lsm.h by a small example, threads
 * that count together, a crash at every call, and random interleavings against
 * a model of snapshot isolation.
 */
#include "tests/env_mem.h"
#include "tests/test.h"

#include <stdatomic.h>
#include <stdlib.h>

/* ---- a store in memory and short words for what is done to it ---- */

static struct env *env;
static struct lsm *db;

static struct lsm_options small_options(struct env *e)
{
    struct lsm_options o;

    lsm_options_init(&o);
    o.env = e;
    o.create = true;
    o.memtable_bytes = 16 << 10;
    o.table_bytes = 8 << 10;
    o.l1_bytes = 32 << 10;
    o.block_bytes = 512;
    o.segment_bytes = 32 << 10;
    o.separate_bytes = 512;
    o.memory_bytes = 192 << 10;
    o.workers = 0;
    o.sync_interval_ms = 0;
    return o;
}

static void open_store(void)
{
    struct lsm_options o;

    env = env_mem_new(test_seed());
    o = small_options(env);
    ck_ok(lsm_open("/s", &o, &db));
}

static void close_store(void)
{
    ck_ok(lsm_verify(db));
    ck_ok(lsm_close(db));
    env_mem_free(env);
}

static struct lsm_txn *begin(void)
{
    struct lsm_txn *t;

    ck_ok(lsm_txn_begin(db, &t));
    return t;
}

/* What commit returned; the transaction is gone. */
static int commit(struct lsm_txn *t)
{
    int rc = lsm_txn_commit(t, LSM_NOSYNC);

    lsm_txn_free(t);
    return rc;
}

static void put(const char *key, const char *value)
{
    ck_ok(lsm_put(db, slice_str(key), slice_str(value)));
}

static void del(const char *key)
{
    ck_ok(lsm_delete(db, slice_str(key)));
}

static void del_range(const char *from, const char *to)
{
    struct lsm_batch *b = lsm_batch_new();

    lsm_batch_delete_range(b, slice_str(from), slice_str(to));
    ck_ok(lsm_write(db, b, LSM_NOSYNC));
    lsm_batch_free(b);
}

static void tput(struct lsm_txn *t, const char *key, const char *value)
{
    ck_ok(lsm_txn_put(t, slice_str(key), slice_str(value)));
}

static void tdel(struct lsm_txn *t, const char *key)
{
    ck_ok(lsm_txn_delete(t, slice_str(key)));
}

static void tdel_range(struct lsm_txn *t, const char *from, const char *to)
{
    ck_ok(lsm_txn_delete_range(t, slice_str(from), slice_str(to)));
}

/* t NULL: the store; want NULL: nothing. */
static void expect(struct lsm_txn *t, const char *key, const char *want)
{
    struct slice k = slice_str(key);
    struct lsm_value v = {0};
    int rc = t ? lsm_txn_get(t, k, &v) : lsm_get(db, NULL, k, &v);

    ck_assert_msg(rc == (want ? 0 : -ENOENT), "get %s: %d", key, rc);
    ck_assert_int_eq(t ? lsm_txn_exists(t, k) : lsm_exists(db, NULL, k), rc);
    if (want)
        ck_slice_str(v.value, want);
    lsm_value_release(&v);
}

/* All that the iterator sees, as "a=1 b=2 ", read forward and backward. */
static void expect_walk(struct lsm_iter *it, const char *want)
{
    struct buf forward = {0};
    struct slice v;
    size_t at;

    for (lsm_iter_first(it); lsm_iter_valid(it); lsm_iter_next(it)) {
        ck_ok(lsm_iter_value(it, &v));
        buf_append_slice(&forward, lsm_iter_key(it));
        buf_append(&forward, "=", 1);
        buf_append_slice(&forward, v);
        buf_append(&forward, " ", 1);
    }
    ck_ok(lsm_iter_error(it));
    ck_slice_str(buf_slice(&forward), want);
    at = forward.len;
    for (lsm_iter_last(it); lsm_iter_valid(it); lsm_iter_prev(it)) {
        struct slice k = lsm_iter_key(it);

        ck_ok(lsm_iter_value(it, &v));
        ck_assert_uint_ge(at, k.len + v.len + 2);
        at -= k.len + v.len + 2;
        ck_assert(memcmp(forward.data + at, k.data, k.len) == 0);
        ck_assert(memcmp(forward.data + at + k.len + 1, v.data, v.len) == 0);
    }
    ck_ok(lsm_iter_error(it));
    ck_assert_uint_eq(at, 0);
    buf_release(&forward);
}

static void expect_all(struct lsm_txn *t, const char *want)
{
    struct lsm_iter *it;

    ck_ok(t ? lsm_txn_iter_new(t, NULL, &it) : lsm_iter_new(db, NULL, &it));
    expect_walk(it, want);
    lsm_iter_free(it);
}

static void into_tables(void)
{
    ck_ok(lsm_flush(db));
    ck_ok(lsm_compact(db, true));
}

/* ---- own writes ---- */

START_TEST(a_transaction_sees_its_own_writes)
{
    struct lsm_txn *t;

    open_store();
    put("a", "1");
    put("b", "2");
    put("c", "3");
    into_tables();
    put("d", "4");
    t = begin();
    expect_all(t, "a=1 b=2 c=3 d=4 ");
    tput(t, "b", "own");
    tput(t, "bb", "new");
    tdel(t, "c");
    tdel(t, "nothing");
    expect(t, "b", "own");
    expect(t, "bb", "new");
    expect(t, "c", NULL);
    expect(t, "d", "4");
    expect_all(t, "a=1 b=own bb=new d=4 ");
    tput(t, "b", "again");
    tput(t, "c", "back");
    tdel(t, "bb");
    tdel(t, "a");
    expect(t, "b", "again");
    expect(t, "c", "back");
    expect(t, "bb", NULL);
    expect_all(t, "b=again c=back d=4 ");
    expect_all(NULL, "a=1 b=2 c=3 d=4 ");
    ck_ok(commit(t));
    expect_all(NULL, "b=again c=back d=4 ");
    into_tables();
    expect_all(NULL, "b=again c=back d=4 ");
    close_store();
}
END_TEST

START_TEST(own_range_deletes_and_puts_count_in_their_order)
{
    struct lsm_txn *t;

    open_store();
    put("a", "1");
    put("b", "2");
    put("c", "3");
    into_tables();
    put("d", "4");
    t = begin();
    tput(t, "bb", "gone");
    tdel_range(t, "b", "d");
    tput(t, "c", "after");
    tdel_range(t, "z", "b"); /* empty */
    expect(t, "bb", NULL);
    expect(t, "b", NULL);
    expect(t, "c", "after");
    expect(t, "d", "4");
    expect_all(t, "a=1 c=after d=4 ");
    tdel_range(t, "cc", "x");
    expect_all(t, "a=1 c=after ");
    expect_all(NULL, "a=1 b=2 c=3 d=4 ");
    ck_ok(commit(t));
    expect_all(NULL, "a=1 c=after ");
    into_tables();
    expect_all(NULL, "a=1 c=after ");
    close_store();
}
END_TEST

START_TEST(a_transaction_iterator_keeps_to_its_bounds)
{
    struct slice lower = slice_str("b"), upper = slice_str("e");
    struct lsm_iter_options o = {.lower = &lower, .upper = &upper};
    struct lsm_txn *t;
    struct lsm_iter *it;

    open_store();
    put("a", "1");
    put("c", "3");
    put("e", "5");
    t = begin();
    tput(t, "aa", "own");
    tput(t, "b", "own");
    tput(t, "d", "own");
    tput(t, "e", "own");
    ck_ok(lsm_txn_iter_new(t, &o, &it));
    expect_walk(it, "b=own c=3 d=own ");
    lsm_iter_seek(it, slice_str("bb"));
    ck_slice_str(lsm_iter_key(it), "c");
    lsm_iter_prev(it);
    ck_slice_str(lsm_iter_key(it), "b");
    lsm_iter_next(it);
    lsm_iter_next(it);
    ck_slice_str(lsm_iter_key(it), "d");
    lsm_iter_seek_prev(it, slice_str("z"));
    ck_slice_str(lsm_iter_key(it), "d");
    lsm_iter_free(it);
    o.snap = lsm_snapshot_new(db);
    ck_err(lsm_txn_iter_new(t, &o, &it), EINVAL);
    lsm_snapshot_free(db, (struct lsm_snapshot *)o.snap);
    lsm_txn_free(t);
    close_store();
}
END_TEST

START_TEST(an_iterator_sees_the_transaction_as_of_its_creation)
{
    struct lsm_txn *t;
    struct lsm_iter *before, *it;

    open_store();
    put("a", "1");
    put("c", "3");
    t = begin();
    ck_ok(lsm_txn_iter_new(t, NULL, &before)); /* of a transaction without writes */
    tput(t, "b", "own");
    ck_ok(lsm_txn_iter_new(t, NULL, &it));
    lsm_iter_first(it);
    tdel_range(t, "a", "b");
    tput(t, "b", "later");
    tput(t, "bb", "later");
    tdel(t, "c");
    lsm_iter_next(it);
    ck_slice_str(lsm_iter_key(it), "b");
    expect_walk(it, "a=1 b=own c=3 ");
    expect_walk(before, "a=1 c=3 ");
    expect_all(t, "b=later bb=later ");
    ck_ok(commit(t));
    put("a", "others");
    into_tables();
    expect_walk(it, "a=1 b=own c=3 "); /* it outlives the transaction */
    expect_walk(before, "a=1 c=3 ");
    lsm_iter_free(it);
    lsm_iter_free(before);
    close_store();
}
END_TEST

START_TEST(large_values_go_to_the_value_log_at_commit_only)
{
    static uint8_t large[100000];
    struct slice v = slice_of(large, sizeof(large)), got;
    struct lsm_txn *t;
    struct lsm_iter *it;
    struct lsm_value read = {0};
    uint64_t used;

    open_store();
    memset(large, 'x', sizeof(large));
    put("k", "old");
    used = env_mem_used(env);
    t = begin();
    ck_ok(lsm_txn_put(t, slice_str("k"), v));
    ck_ok(lsm_txn_put(t, slice_str("empty"), slice_of(NULL, 0)));
    ck_assert_uint_eq(env_mem_used(env), used);
    ck_ok(lsm_txn_get(t, slice_str("k"), &read));
    ck_assert(slice_eq(read.value, v));
    ck_ok(lsm_txn_iter_new(t, NULL, &it));
    lsm_iter_last(it);
    ck_assert_uint_eq(lsm_iter_value_len(it), v.len);
    ck_ok(lsm_iter_value(it, &got));
    ck_assert(slice_eq(got, v));
    lsm_iter_free(it);
    ck_ok(commit(t));
    ck_assert(slice_eq(read.value, v)); /* a copy */
    into_tables();
    ck_ok(lsm_get(db, NULL, slice_str("k"), &read));
    ck_assert(slice_eq(read.value, v));
    expect(NULL, "empty", "");
    lsm_value_release(&read);
    close_store();
}
END_TEST

/* ---- isolation ---- */

START_TEST(reads_are_of_the_beginning_whatever_is_committed_later)
{
    struct lsm_txn *t, *other;

    open_store();
    put("a", "1");
    put("b", "2");
    t = begin();
    expect(t, "a", "1");
    put("a", "plain");
    other = begin();
    tput(other, "phantom", "x");
    tdel(other, "b");
    expect(t, "phantom", NULL); /* nothing dirty is read */
    expect(t, "b", "2");
    expect(NULL, "phantom", NULL);
    ck_ok(commit(other));
    into_tables();
    expect(t, "a", "1"); /* reads repeat */
    expect(t, "b", "2");
    expect(t, "phantom", NULL);
    expect_all(t, "a=1 b=2 ");
    ck_ok(commit(t)); /* it wrote nothing: no conflict */
    expect_all(NULL, "a=plain phantom=x ");
    close_store();
}
END_TEST

/* What two transactions, or one and a plain write, may do to each other. */
enum act { PUT, DELETE, RANGE, ELSEWHERE, NOTHING, RANGE_ELSEWHERE };

static void act(struct lsm_txn *t, enum act what)
{
    if (what == PUT)
        t ? tput(t, "k", "2") : put("k", "2");
    else if (what == DELETE)
        t ? tdel(t, "k") : del("k");
    else if (what == RANGE)
        t ? tdel_range(t, "j", "l") : del_range("j", "l");
    else if (what == ELSEWHERE)
        t ? tput(t, "k2", "2") : put("k2", "2");
    else if (what == RANGE_ELSEWHERE)
        t ? tdel_range(t, "l", "n") : del_range("l", "n");
}

/* Where the other's write is when the commit looks for it. */
enum place { MEMTABLE, L0, BOTTOM, PLACES };

static void try_conflict(enum act theirs, enum act ours, bool plain, bool was_there,
                         enum place place, bool conflict)
{
    struct lsm_txn *t, *other = NULL;
    int rc;

    open_store();
    if (was_there)
        put("k", "1");
    into_tables();
    t = begin();
    act(t, ours);
    if (!plain)
        other = begin();
    act(other, theirs);
    if (other)
        ck_ok(commit(other));
    if (place >= L0)
        ck_ok(lsm_flush(db));
    if (place == BOTTOM)
        ck_ok(lsm_compact(db, true));
    rc = commit(t);
    ck_assert_msg(rc == (conflict ? -ECANCELED : 0),
                  "%d after %d, plain %d, was there %d, place %d: %d", ours, theirs,
                  plain, was_there, place, rc);
    if (conflict && theirs == PUT)
        expect(NULL, "k", "2");
    if (conflict && (theirs == DELETE || theirs == RANGE))
        expect(NULL, "k", NULL);
    close_store();
}

/* Also: a delete that flush and compaction could drop is still noticed. */
START_TEST(of_two_that_write_a_key_the_first_to_commit_wins)
{
    enum act theirs, ours;
    int i, place;

    for (theirs = PUT; theirs <= RANGE; theirs++)
        for (ours = PUT; ours <= RANGE; ours++)
            for (place = MEMTABLE; place < PLACES; place++)
                for (i = 0; i < 4; i++)
                    try_conflict(theirs, ours, i & 1, i & 2, (enum place)place, true);
}
END_TEST

START_TEST(disjoint_writes_and_mere_reads_do_not_conflict)
{
    enum act what;
    int i, place;

    for (what = PUT; what <= RANGE_ELSEWHERE; what++)
        for (place = MEMTABLE; place < PLACES; place++)
            for (i = 0; i < 4; i++) {
                bool plain = i & 1, there = i & 2;

                try_conflict(what, NOTHING, plain, there, (enum place)place, false);
                try_conflict(NOTHING, what, plain, there, (enum place)place, false);
                if (what <= DELETE) {
                    try_conflict(what, ELSEWHERE, plain, there, (enum place)place, false);
                    try_conflict(ELSEWHERE, what, plain, there, (enum place)place, false);
                }
                if (what <= RANGE) {
                    try_conflict(what, RANGE_ELSEWHERE, plain, there, (enum place)place,
                                 false);
                    try_conflict(RANGE_ELSEWHERE, what, plain, there, (enum place)place,
                                 false);
                }
            }
}
END_TEST

START_TEST(a_range_delete_conflicts_with_any_write_inside_and_none_at_its_edges)
{
    struct lsm_txn *t;
    int inside, place;

    for (inside = 0; inside < 4; inside++)
        for (place = MEMTABLE; place < PLACES; place++) {
            open_store();
            put("m", "1");
            into_tables();
            t = begin();
            tdel_range(t, "d", "p");
            put("c", "x");
            put("p", "x"); /* the end is exclusive */
            del_range("a", "d");
            del_range("p", "q");
            if (inside == 1)
                put("d", "x");
            if (inside == 2)
                del_range("o", "z");
            if (inside == 3)
                del_range("f", "g"); /* where nothing is */
            if (place >= L0)
                ck_ok(lsm_flush(db));
            if (place == BOTTOM)
                ck_ok(lsm_compact(db, true));
            ck_assert_int_eq(commit(t), inside ? -ECANCELED : 0);
            expect(NULL, "m", inside ? "1" : NULL);
            close_store();
        }
}
END_TEST

START_TEST(nothing_of_a_transaction_that_lost_is_applied)
{
    struct lsm_txn *t;

    open_store();
    put("k", "1");
    t = begin();
    tput(t, "a", "own");
    tput(t, "k", "own");
    tdel_range(t, "x", "z");
    put("k", "2");
    put("y", "2"); /* in their way, too */
    ck_err(lsm_txn_commit(t, LSM_SYNC), ECANCELED);
    ck_err(lsm_txn_commit(t, LSM_SYNC), EINVAL);
    lsm_txn_free(t);
    expect_all(NULL, "k=2 y=2 ");
    t = begin(); /* and begins again */
    expect(t, "k", "2");
    tput(t, "k", "own");
    ck_ok(commit(t));
    expect_all(NULL, "k=own y=2 ");
    close_store();
}
END_TEST

START_TEST(what_was_written_before_the_beginning_does_not_conflict)
{
    struct lsm_txn *t;
    int i;

    open_store();
    for (i = 0; i < 3; i++) {
        put("k", "1");
        del("gone");
        del_range("r", "s");
        if (i == 1)
            ck_ok(lsm_flush(db));
        if (i == 2)
            into_tables();
        t = begin();
        put("other", "x"); /* so that the commit has to ask */
        tput(t, "k", "2");
        tput(t, "gone", "2");
        tput(t, "r1", "2");
        ck_ok(commit(t));
    }
    close_store();
}
END_TEST

/* Documented: snapshot isolation is not serializability. */
START_TEST(write_skew_is_allowed)
{
    struct lsm_txn *t, *u;

    open_store();
    put("a", "on");
    put("b", "on");
    t = begin();
    u = begin();
    expect(t, "b", "on");
    tput(t, "a", "off");
    expect(u, "a", "on");
    tput(u, "b", "off");
    ck_ok(commit(t));
    ck_ok(commit(u));
    expect_all(NULL, "a=off b=off ");
    /* The way out: write what was read. */
    put("a", "on");
    put("b", "on");
    t = begin();
    u = begin();
    tput(t, "a", "off");
    tput(t, "b", "on");
    tput(u, "b", "off");
    tput(u, "a", "on");
    ck_ok(commit(t));
    ck_err(commit(u), ECANCELED);
    close_store();
}
END_TEST

START_TEST(a_transaction_that_is_over_refuses_everything)
{
    struct lsm_txn *t;
    struct lsm_value v = {0};
    struct lsm_iter *it;
    int i;

    open_store();
    put("k", "1");
    for (i = 0; i < 2; i++) {
        t = begin();
        tput(t, "own", "x");
        if (i) {
            lsm_txn_rollback(t);
            lsm_txn_rollback(t);
        } else {
            ck_ok(lsm_txn_commit(t, LSM_NOSYNC));
            del("own");
        }
        ck_err(lsm_txn_put(t, slice_str("k"), slice_str("2")), EINVAL);
        ck_err(lsm_txn_delete(t, slice_str("k")), EINVAL);
        ck_err(lsm_txn_delete_range(t, slice_str("a"), slice_str("z")), EINVAL);
        ck_err(lsm_txn_get(t, slice_str("k"), &v), EINVAL);
        ck_err(lsm_txn_exists(t, slice_str("k")), EINVAL);
        ck_err(lsm_txn_iter_new(t, NULL, &it), EINVAL);
        ck_err(lsm_txn_commit(t, LSM_NOSYNC), EINVAL);
        lsm_txn_free(t);
        expect_all(NULL, "k=1 ");
    }
    lsm_txn_free(NULL);
    close_store();
}
END_TEST

START_TEST(a_key_that_is_too_long_is_refused_and_the_rest_commits)
{
    static uint8_t key[LSM_KEY_MAX + 1];
    struct lsm_txn *t;

    open_store();
    t = begin();
    tput(t, "k", "1");
    ck_err(lsm_txn_put(t, slice_of(key, sizeof(key)), slice_str("x")), EINVAL);
    ck_err(lsm_txn_delete_range(t, slice_str(""), slice_of(key, sizeof(key))), EINVAL);
    ck_ok(lsm_txn_put(t, slice_of(key, LSM_KEY_MAX), slice_str("x")));
    ck_ok(lsm_txn_put(t, slice_str(""), slice_str("empty key")));
    ck_ok(commit(t));
    expect(NULL, "k", "1");
    expect(NULL, "", "empty key");
    ck_ok(lsm_exists(db, NULL, slice_of(key, LSM_KEY_MAX)));
    close_store();
}
END_TEST

START_TEST(a_read_only_store_gives_transactions_that_read)
{
    struct lsm_options o;
    struct lsm_txn *t;

    open_store();
    put("k", "1");
    ck_ok(lsm_close(db));
    o = small_options(env);
    o.read_only = true;
    o.create = false;
    ck_ok(lsm_open("/s", &o, &db));
    t = begin();
    expect(t, "k", "1");
    ck_ok(lsm_txn_commit(t, LSM_SYNC));
    lsm_txn_free(t);
    t = begin();
    tput(t, "k", "2");
    expect(t, "k", "2");
    ck_err(commit(t), EROFS);
    expect(NULL, "k", "1");
    close_store();
}
END_TEST

/* ---- threads ---- */

enum { THREADS = 4, INCREMENTS = 400, COUNTERS = 3, PAIRS = 8 };

static _Atomic int bad;
static _Atomic bool done;
static _Atomic unsigned lost;

/* The counter becomes one more; all else that a commit may return is a failure. */
static int increment(const char *key)
{
    struct lsm_txn *t = begin();
    struct lsm_value v = {0};
    uint64_t n = 0;
    uint8_t enc[8];
    int rc = lsm_txn_get(t, slice_str(key), &v);

    if (!rc)
        n = load_le64(v.value.data);
    store_le64(enc, n + 1);
    if (!rc || rc == -ENOENT)
        rc = lsm_txn_put(t, slice_str(key), slice_of(enc, 8));
    lsm_value_release(&v);
    if (rc) {
        lsm_txn_free(t);
        return rc;
    }
    return commit(t);
}

static void *count(void *arg)
{
    uint64_t x = test_seed() + (uint64_t)(uintptr_t)arg;
    int i, rc;

    for (i = 0; i < INCREMENTS; i++) {
        char key[24];

        snprintf(key, sizeof(key), "count%d", i % COUNTERS);
        while ((rc = increment(key)) == -ECANCELED)
            atomic_fetch_add(&lost, 1);
        if (rc)
            atomic_store(&bad, rc);
        /* Noise, so that memtables change and tables are made meanwhile. */
        snprintf(key, sizeof(key), "noise%d", (int)test_below(&x, 1000));
        if (lsm_put(db, slice_str(key), slice_of(&x, 8)))
            atomic_store(&bad, 1);
    }
    return NULL;
}

static void open_with_workers(void)
{
    struct lsm_options o;

    env = env_mem_new(test_seed());
    o = small_options(env);
    o.workers = 2;
    o.sync_interval_ms = 20;
    ck_ok(lsm_open("/s", &o, &db));
    atomic_store(&bad, 0);
    atomic_store(&done, false);
}

static uint64_t counter(int i)
{
    struct lsm_value v = {0};
    char key[24];
    uint64_t n;

    snprintf(key, sizeof(key), "count%d", i);
    ck_ok(lsm_get(db, NULL, slice_str(key), &v));
    n = load_le64(v.value.data);
    lsm_value_release(&v);
    return n;
}

START_TEST(no_increment_is_lost)
{
    pthread_t t[THREADS];
    uint64_t sum = 0;
    int i;

    open_with_workers();
    for (i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, count, (void *)(uintptr_t)i);
    for (i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    ck_assert_int_eq(atomic_load(&bad), 0);
    for (i = 0; i < COUNTERS; i++)
        sum += counter(i);
    ck_assert_uint_eq(sum, THREADS * INCREMENTS);
    printf("%u of %u commits had to be repeated\n", atomic_load(&lost),
           THREADS * INCREMENTS + atomic_load(&lost));
    close_store();
}
END_TEST

/*
 * Each writer moves the whole group to its number: by deleting the range and
 * putting all anew, so that half of a commit, or two mixed, would show.
 */
static void *move_group(void *arg)
{
    uint64_t n = (uint64_t)(uintptr_t)arg << 32;
    int i, rc = 0;

    while (!atomic_load(&done) && (!rc || rc == -ECANCELED)) {
        struct lsm_txn *t = begin();

        n++;
        if (n % 2)
            tdel_range(t, "g", "h");
        for (i = 0; i < PAIRS; i++) {
            char key[16];

            snprintf(key, sizeof(key), "g%d", i);
            ck_ok(lsm_txn_put(t, slice_str(key), slice_of(&n, 8)));
        }
        rc = commit(t);
    }
    if (rc && rc != -ECANCELED)
        atomic_store(&bad, rc);
    return NULL;
}

static bool group_is_whole(struct lsm_iter *it)
{
    struct slice v;
    uint64_t first = 0, n = 0;
    int seen = 0;

    for (lsm_iter_first(it); lsm_iter_valid(it); lsm_iter_next(it)) {
        if (lsm_iter_value(it, &v) || v.len != 8)
            return false;
        memcpy(&n, v.data, 8);
        first = seen++ ? first : n;
        if (n != first)
            return false;
    }
    return !lsm_iter_error(it) && (seen == 0 || seen == PAIRS);
}

static void *watch_group(void *arg)
{
    while (!atomic_load(&done)) {
        struct lsm_iter *it;
        struct lsm_txn *t = begin();

        ck_ok(arg ? lsm_txn_iter_new(t, NULL, &it) : lsm_iter_new(db, NULL, &it));
        if (!group_is_whole(it))
            atomic_store(&bad, 2);
        lsm_iter_free(it);
        if (commit(t))
            atomic_store(&bad, 3);
    }
    return NULL;
}

START_TEST(a_commit_is_seen_whole_or_not_at_all)
{
    pthread_t t[4];
    int i;

    open_with_workers();
    for (i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, i < 2 ? move_group : watch_group,
                       (void *)(uintptr_t)(i % 2));
    env_sleep_ns(env_posix(), 1500000000);
    atomic_store(&done, true);
    for (i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    ck_assert_int_eq(atomic_load(&bad), 0);
    close_store();
}
END_TEST

/* ---- crashes ---- */

enum { ROUNDS = 30, CRASH_KEYS = 5 };

/* Round r puts r under all keys; 0 when all were committed, synced. */
static int commit_rounds(struct env *e, uint64_t *safe)
{
    struct lsm_options o = small_options(e);
    static uint8_t value[700];
    uint64_t r;
    int i, rc = lsm_open("/s", &o, &db);

    for (r = 1; r <= ROUNDS && !rc; r++) {
        struct lsm_txn *t = begin();

        memset(value, (int)r, sizeof(value));
        if (r % 2)
            tdel_range(t, "k", "l");
        for (i = 0; i < CRASH_KEYS; i++) {
            char key[16];

            snprintf(key, sizeof(key), "k%d", i);
            /* Some go to the value log. */
            ck_ok(lsm_txn_put(t, slice_str(key), slice_of(value, i % 2 ? 20 : 700)));
        }
        rc = lsm_txn_commit(t, r % 3 ? LSM_NOSYNC : LSM_SYNC);
        lsm_txn_free(t);
        if (!rc && r % 3 == 0)
            *safe = r;
        if (!rc && r % 10 == 0)
            rc = lsm_flush(db);
    }
    return rc;
}

/* All keys are of one round, which is not before `safe`. */
static void check_after_crash(struct env *e, uint64_t safe)
{
    struct lsm_options o = small_options(e);
    uint64_t round = 0;
    struct lsm *found;
    int i, rc;

    o.create = false;
    rc = lsm_open("/s", &o, &found);
    if (!safe && rc == -ENOENT)
        return;
    ck_ok(rc);
    for (i = 0; i < CRASH_KEYS; i++) {
        struct lsm_value v = {0};
        uint64_t n = 0;
        char key[16];

        snprintf(key, sizeof(key), "k%d", i);
        rc = lsm_get(found, NULL, slice_str(key), &v);
        ck_assert(rc == 0 || rc == -ENOENT);
        if (!rc) {
            ck_assert_uint_eq(v.value.len, i % 2 ? 20 : 700);
            n = v.value.data[0];
        }
        lsm_value_release(&v);
        round = i ? round : n;
        ck_assert_uint_eq(n, round);
    }
    ck_assert_uint_ge(round, safe);
    ck_ok(lsm_close(found));
}

START_TEST(after_a_crash_a_transaction_is_there_whole_or_not_at_all)
{
    static const enum env_mem_crash modes[] = {ENV_MEM_LOSE_UNSYNCED, ENV_MEM_KEEP_RANDOM,
                                               ENV_MEM_KEEP_ALL};
    uint64_t stop, seed = test_seed();
    int i, rc = -1;

    test_log_capture();
    for (stop = 0; rc; stop++) {
        struct env *e = env_mem_new(seed);
        uint64_t safe = 0;

        db = NULL;
        env_mem_stop_at(e, stop);
        rc = commit_rounds(e, &safe);
        for (i = 0; i < 3; i++) {
            struct env *after = env_mem_crash_clone(e, seed + stop, modes[i]);

            check_after_crash(after, safe);
            env_mem_free(after);
        }
        env_mem_stop_at(e, 0);
        if (db)
            lsm_close(db);
        env_mem_free(e);
    }
    ck_assert_uint_gt(stop, 2 * ROUNDS);
}
END_TEST

/* ---- random interleavings against a model ---- */

enum { KEYS = 24, TXNS = 4, ITERS = 4, STEPS = 6000 };

/* The store as the model has it: value numbers (0: none), and which commit wrote
 * each key last, deletes included. */
struct state {
    int value[KEYS];
};

struct model_txn {
    struct lsm_txn *t;
    struct state sees; /* snapshot, own writes over it */
    uint64_t began;
    bool wrote[KEYS];
};

struct model_iter {
    struct lsm_iter *it;
    struct state sees;
    int lower, upper;
};

struct model {
    uint64_t rng;
    struct state now;
    uint64_t wrote_at[KEYS];
    uint64_t commits;
    int last_value;
    struct model_txn txn[TXNS];
    struct model_iter iter[ITERS];
    unsigned committed, conflicts;
};

static int below(struct model *m, int n)
{
    return (int)test_below(&m->rng, (uint64_t)n);
}

static struct slice key_of(int i, char to[16])
{
    snprintf(to, 16, "%c%02d", 'a' + i % 3, i); /* several leading letters */
    return slice_str(to);
}

/* Key numbers in the order of their keys. */
static int ordered(int rank)
{
    int per = KEYS / 3;

    return rank % per * 3 + rank / per;
}

/* Sometimes long enough for the value log. */
static struct slice value_of(int n, uint8_t to[1024])
{
    memset(to, n & 0xff, 1024);
    memcpy(to, &n, sizeof(n));
    return slice_of(to, n % 5 ? 4 + (size_t)n % 60 : 1024);
}

static void check_value(struct slice got, int n)
{
    uint8_t want[1024];

    ck_assert(slice_eq(got, value_of(n, want)));
}

/* One write of the transaction, or of everybody's when mt is NULL. */
static void write_something(struct model *m, struct model_txn *mt)
{
    struct lsm_batch *b = lsm_batch_new();
    int from = below(m, KEYS), to = from + 1, kind = below(m, 8), i, n = 0;
    char k[16], k2[16];
    uint8_t bytes[1024];
    struct slice key = key_of(ordered(from), k), end;

    if (kind == 0) {
        to = from + below(m, 5); /* empty when 0 */
        end = to < KEYS ? key_of(ordered(to), k2) : slice_str("z");
        to = to < KEYS ? to : KEYS;
        if (mt)
            ck_ok(lsm_txn_delete_range(mt->t, key, end));
        lsm_batch_delete_range(b, key, end);
    } else if (kind < 3) {
        if (mt)
            ck_ok(lsm_txn_delete(mt->t, key));
        lsm_batch_delete(b, key);
    } else {
        n = ++m->last_value;
        if (mt)
            ck_ok(lsm_txn_put(mt->t, key, value_of(n, bytes)));
        lsm_batch_put(b, key, value_of(n, bytes));
    }
    if (!mt) {
        ck_ok(lsm_write(db, b, LSM_NOSYNC));
        m->commits++;
    }
    lsm_batch_free(b);
    for (i = from; i < to; i++) {
        if (mt) {
            mt->sees.value[i] = n;
            mt->wrote[i] = true;
        } else {
            m->now.value[i] = n;
            m->wrote_at[i] = m->commits;
        }
    }
}

static void begin_model(struct model *m, struct model_txn *mt)
{
    *mt = (struct model_txn){.t = begin(), .sees = m->now, .began = m->commits};
}

static void commit_model(struct model *m, struct model_txn *mt)
{
    bool conflict = false;
    int i, rc = commit(mt->t);

    for (i = 0; i < KEYS; i++)
        conflict |= mt->wrote[i] && m->wrote_at[i] > mt->began;
    ck_assert_msg(rc == (conflict ? -ECANCELED : 0), "commit: %d, conflict %d", rc,
                  conflict);
    mt->t = NULL;
    m->committed += !conflict;
    m->conflicts += conflict;
    if (conflict)
        return;
    m->commits++;
    for (i = 0; i < KEYS; i++)
        if (mt->wrote[i]) {
            m->now.value[i] = mt->sees.value[i];
            m->wrote_at[i] = m->commits;
        }
}

static void read_something(struct model *m, struct model_txn *mt)
{
    const struct state *s = mt ? &mt->sees : &m->now;
    int i = below(m, KEYS), rc;
    struct lsm_value v = {0};
    char k[16];
    struct slice key = key_of(ordered(i), k);

    rc = mt ? lsm_txn_get(mt->t, key, &v) : lsm_get(db, NULL, key, &v);
    ck_assert_int_eq(rc, s->value[i] ? 0 : -ENOENT);
    if (!rc)
        check_value(v.value, s->value[i]);
    lsm_value_release(&v);
    if (mt)
        ck_assert_int_eq(lsm_txn_exists(mt->t, key), rc);
}

static void open_iter(struct model *m, struct model_iter *mi, struct model_txn *mt)
{
    struct lsm_iter_options o = {0};
    struct slice lower, upper;
    char k[16], k2[16];

    lsm_iter_free(mi->it);
    mi->sees = mt->sees;
    mi->lower = below(m, 2) ? 0 : below(m, KEYS);
    mi->upper = below(m, 2) ? KEYS : below(m, KEYS);
    if (mi->lower) {
        lower = key_of(ordered(mi->lower), k);
        o.lower = &lower;
    }
    if (mi->upper < KEYS) {
        upper = key_of(ordered(mi->upper), k2);
        o.upper = &upper;
    }
    ck_ok(lsm_txn_iter_new(mt->t, &o, &mi->it));
}

/* The next that the model sees from rank `at` on, in a direction; -1: none. */
static int model_seek(const struct model_iter *mi, int at, int step)
{
    if (step > 0 && at < mi->lower)
        at = mi->lower;
    if (step < 0 && at >= mi->upper)
        at = mi->upper - 1;
    while (at >= mi->lower && at < mi->upper && !mi->sees.value[at])
        at += step;
    return at >= mi->lower && at < mi->upper ? at : -1;
}

static void check_at(struct model_iter *mi, int at)
{
    struct slice v;
    char k[16];

    ck_ok(lsm_iter_error(mi->it));
    ck_assert_int_eq(lsm_iter_valid(mi->it), at >= 0);
    if (at < 0)
        return;
    ck_assert(slice_eq(lsm_iter_key(mi->it), key_of(ordered(at), k)));
    ck_ok(lsm_iter_value(mi->it, &v));
    check_value(v, mi->sees.value[at]);
}

static void walk(struct model *m, struct model_iter *mi)
{
    int start = below(m, KEYS), at, steps = below(m, 30);
    char k[16];
    struct slice key = key_of(ordered(start), k);

    switch (below(m, 4)) {
    case 0:
        lsm_iter_first(mi->it);
        at = model_seek(mi, 0, 1);
        break;
    case 1:
        lsm_iter_last(mi->it);
        at = model_seek(mi, KEYS - 1, -1);
        break;
    case 2:
        lsm_iter_seek(mi->it, key);
        at = model_seek(mi, start, 1);
        break;
    default:
        lsm_iter_seek_prev(mi->it, key);
        at = model_seek(mi, start, -1);
    }
    check_at(mi, at);
    while (at >= 0 && steps--) {
        int step = below(m, 4) ? 1 : -1;

        if (start % 2)
            step = -step;
        step > 0 ? lsm_iter_next(mi->it) : lsm_iter_prev(mi->it);
        at = model_seek(mi, at + step, step);
        check_at(mi, at);
    }
}

static void step_txn(struct model *m, struct model_txn *mt)
{
    struct model_iter *mi = &m->iter[below(m, ITERS)];

    switch (below(m, 16)) {
    case 0:
        commit_model(m, mt);
        break;
    case 1:
        if (below(m, 4) == 0) {
            lsm_txn_free(mt->t);
            mt->t = NULL;
        }
        break;
    case 2:
    case 3:
        open_iter(m, mi, mt);
        walk(m, mi);
        break;
    case 4:
    case 5:
    case 6:
        write_something(m, mt);
        break;
    default:
        read_something(m, mt);
    }
}

static void step_model(struct model *m)
{
    struct model_txn *mt = &m->txn[below(m, TXNS)];
    struct model_iter *mi = &m->iter[below(m, ITERS)];

    switch (below(m, 40)) {
    case 0:
    case 1:
        write_something(m, NULL);
        return;
    case 2:
        read_something(m, NULL);
        return;
    case 3:
        if (below(m, 4) == 0)
            ck_ok(lsm_flush(db));
        return;
    case 4:
        if (below(m, 8) == 0)
            ck_ok(lsm_compact(db, below(m, 2)));
        return;
    case 5:
    case 6:
        if (mi->it)
            walk(m, mi);
        return;
    default:
        if (mt->t)
            step_txn(m, mt);
        else
            begin_model(m, mt);
    }
}

static void run_model(uint64_t seed, unsigned workers, unsigned *committed,
                      unsigned *conflicts)
{
    static struct model m;
    struct lsm_options o;
    int i;

    m = (struct model){.rng = seed | 1};
    env = env_mem_new(seed);
    o = small_options(env);
    o.memtable_bytes = 4096u << below(&m, 4);
    o.separate_bytes = below(&m, 2) ? 512 : 0;
    o.l0_trigger = 1 + (unsigned)below(&m, 4);
    o.workers = workers;
    ck_ok(lsm_open("/s", &o, &db));
    for (i = 0; i < STEPS; i++)
        step_model(&m);
    for (i = 0; i < TXNS; i++)
        lsm_txn_free(m.txn[i].t);
    for (i = 0; i < ITERS; i++)
        lsm_iter_free(m.iter[i].it);
    for (i = 0; i < 100; i++)
        read_something(&m, NULL);
    *committed += m.committed;
    *conflicts += m.conflicts;
    close_store();
}

START_TEST(random_transactions_agree_with_the_model)
{
    const char *rounds = getenv("ROUNDS");
    unsigned committed = 0, conflicts = 0;
    int i, n = rounds ? atoi(rounds) : 12;

    for (i = 0; i < n; i++)
        run_model(test_seed() + (uint64_t)i * 1000003, (unsigned)i % 3, &committed,
                  &conflicts);
    ck_assert_uint_gt(committed, 10);
    ck_assert_uint_gt(conflicts, 10);
    printf("%u transactions committed, %u had a conflict\n", committed, conflicts);
}
END_TEST

TEST_MAIN("txn", TEST_CASE(a_transaction_sees_its_own_writes),
          TEST_CASE(own_range_deletes_and_puts_count_in_their_order),
          TEST_CASE(a_transaction_iterator_keeps_to_its_bounds),
          TEST_CASE(an_iterator_sees_the_transaction_as_of_its_creation),
          TEST_CASE(large_values_go_to_the_value_log_at_commit_only),
          TEST_CASE(reads_are_of_the_beginning_whatever_is_committed_later),
          TEST_CASE(of_two_that_write_a_key_the_first_to_commit_wins),
          TEST_CASE(disjoint_writes_and_mere_reads_do_not_conflict),
          TEST_CASE(a_range_delete_conflicts_with_any_write_inside_and_none_at_its_edges),
          TEST_CASE(nothing_of_a_transaction_that_lost_is_applied),
          TEST_CASE(what_was_written_before_the_beginning_does_not_conflict),
          TEST_CASE(write_skew_is_allowed),
          TEST_CASE(a_transaction_that_is_over_refuses_everything),
          TEST_CASE(a_key_that_is_too_long_is_refused_and_the_rest_commits),
          TEST_CASE(a_read_only_store_gives_transactions_that_read),
          TEST_CASE(no_increment_is_lost),
          TEST_CASE(a_commit_is_seen_whole_or_not_at_all),
          TEST_CASE(after_a_crash_a_transaction_is_there_whole_or_not_at_all),
          TEST_CASE(random_transactions_agree_with_the_model))
