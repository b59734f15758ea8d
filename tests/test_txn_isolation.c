/*
 * test_txn_isolation.c - what transactions may see of each other and do to each other:
 * the anomalies that snapshot isolation forbids, each by its name (Berenson et al., "A
 * Critique of ANSI SQL Isolation Levels"; Adya), the one it allows, conflicts of
 * every kind, and threads that count together.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/txn_util.h"

/* Where what was written stands when it matters. */
enum place { MEMTABLE, L0, BOTTOM, PLACES };

static void settle(enum place place)
{
    if (place >= L0)
        ck_ok(lsm_flush(db));
    if (place == BOTTOM)
        ck_ok(lsm_compact(db, true));
}

/* ---- the anomalies, each with the writes in a memtable, in L0 and at the bottom ---- */

/* P0, G0: two write the same two keys; what is left is one's or the other's. */
START_TEST(no_dirty_write)
{
    struct lsm_txn *t, *u;
    int place;

    for (place = MEMTABLE; place < PLACES; place++) {
        open_store();
        put("a", "1");
        put("b", "1");
        t = begin();
        u = begin();
        tput(t, "a", "t");
        tput(u, "a", "u");
        tput(u, "b", "u");
        ck_ok(commit(u));
        settle((enum place)place);
        tput(t, "b", "t");
        ck_err(commit(t), ECANCELED);
        expect_all(NULL, "a=u b=u ");
        close_store();
    }
}
END_TEST

/* P1, G1a: what is rolled back, or not committed yet, nobody else reads. */
START_TEST(no_dirty_read)
{
    struct lsm_txn *t, *u;
    int place;

    for (place = MEMTABLE; place < PLACES; place++) {
        open_store();
        put("a", "1");
        t = begin();
        tput(t, "a", "dirty");
        tput(t, "b", "dirty");
        settle((enum place)place);
        u = begin();
        expect(u, "a", "1");
        expect(u, "b", NULL);
        expect_all(u, "a=1 ");
        expect_all(NULL, "a=1 ");
        lsm_txn_rollback(t);
        lsm_txn_free(t);
        expect_all(u, "a=1 ");
        expect_all(NULL, "a=1 ");
        ck_ok(commit(u));
        close_store();
    }
}
END_TEST

/* G1b: of what one transaction writes to a key only the last is ever seen. */
START_TEST(no_intermediate_read)
{
    struct lsm_txn *t, *u;
    int place;

    for (place = MEMTABLE; place < PLACES; place++) {
        open_store();
        put("a", "1");
        t = begin();
        tput(t, "a", "first");
        u = begin();
        expect(u, "a", "1");
        tput(t, "a", "last");
        expect(NULL, "a", "1");
        ck_ok(commit(t));
        settle((enum place)place);
        expect(u, "a", "1");
        expect(NULL, "a", "last");
        ck_ok(commit(u));
        close_store();
    }
}
END_TEST

/* G1c: two that write one key each and read the other's: neither sees the other. */
START_TEST(no_circular_information_flow)
{
    struct lsm_txn *t, *u;
    int place;

    for (place = MEMTABLE; place < PLACES; place++) {
        open_store();
        put("a", "1");
        put("b", "1");
        t = begin();
        u = begin();
        tput(t, "a", "t");
        tput(u, "b", "u");
        expect(t, "b", "1");
        ck_ok(commit(u));
        settle((enum place)place);
        expect(t, "b", "1");
        u = begin();
        expect(u, "a", "1");
        ck_ok(commit(t));
        expect(u, "a", "1");
        ck_ok(commit(u));
        close_store();
    }
}
END_TEST

/* P2: a key reads the same as often as it is read, whoever put or deleted it. */
START_TEST(no_non_repeatable_read)
{
    struct lsm_txn *t, *u;
    int place;

    for (place = MEMTABLE; place < PLACES; place++) {
        open_store();
        put("a", "1");
        put("b", "2");
        put("c", "3");
        t = begin();
        expect_all(t, "a=1 b=2 c=3 ");
        put("a", "plain");
        u = begin();
        tdel(u, "b");
        tdel_range(u, "c", "d");
        ck_ok(commit(u));
        settle((enum place)place);
        expect(t, "a", "1");
        expect(t, "b", "2");
        expect(t, "c", "3");
        expect_all(t, "a=1 b=2 c=3 ");
        ck_ok(commit(t)); /* it wrote nothing: no conflict */
        expect_all(NULL, "a=plain ");
        close_store();
    }
}
END_TEST

/* P3: nothing comes to a range that was read, and nothing leaves it. */
START_TEST(no_phantom)
{
    struct slice lower = slice_str("b"), upper = slice_str("d");
    struct lsm_iter_options o = {.lower = &lower, .upper = &upper};
    struct lsm_iter *it;
    struct lsm_txn *t, *u;
    int place, i;

    for (place = MEMTABLE; place < PLACES; place++) {
        open_store();
        put("b", "1");
        put("c", "1");
        t = begin();
        for (i = 0; i < 2; i++) {
            ck_ok(lsm_txn_iter_new(t, &o, &it));
            expect_walk(it, "b=1 c=1 ");
            lsm_iter_free(it);
            expect(t, "bb", NULL);
            if (i)
                break;
            u = begin();
            tput(u, "bb", "phantom");
            tput(u, "cc", "phantom");
            tdel(u, "c");
            ck_ok(commit(u));
            settle((enum place)place);
        }
        ck_ok(commit(t));
        expect_all(NULL, "b=1 bb=phantom cc=phantom ");
        close_store();
    }
}
END_TEST

/* P4: of two that add to what they read, one has to begin again. */
START_TEST(no_lost_update)
{
    struct lsm_txn *t, *u;
    int place;

    for (place = MEMTABLE; place < PLACES; place++) {
        open_store();
        put("sum", "1");
        t = begin();
        u = begin();
        expect(t, "sum", "1");
        expect(u, "sum", "1");
        tput(u, "sum", "1+u");
        ck_ok(commit(u));
        settle((enum place)place);
        tput(t, "sum", "1+t");
        ck_err(commit(t), ECANCELED);
        t = begin();
        expect(t, "sum", "1+u");
        tput(t, "sum", "1+u+t");
        ck_ok(commit(t));
        expect_all(NULL, "sum=1+u+t ");
        close_store();
    }
}
END_TEST

/* A5A: who read one of two keys that change together reads the other as it was then. */
START_TEST(no_read_skew)
{
    struct lsm_txn *t, *u;
    int place;

    for (place = MEMTABLE; place < PLACES; place++) {
        open_store();
        put("from", "100");
        put("to", "0");
        t = begin();
        expect(t, "from", "100");
        u = begin();
        tput(u, "from", "0");
        tput(u, "to", "100");
        ck_ok(commit(u));
        settle((enum place)place);
        expect(t, "to", "0");
        ck_ok(commit(t));
        expect_all(NULL, "from=0 to=100 ");
        close_store();
    }
}
END_TEST

/* A5B, the one that lsm.h documents: snapshot isolation is not serializability. */
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
/* ---- conflicts ---- */

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
    settle(place); /* where the commit looks for the other's write */
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
            settle((enum place)place);
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

TEST_MAIN("txn isolation", TEST_CASE(no_dirty_write), TEST_CASE(no_dirty_read),
          TEST_CASE(no_intermediate_read), TEST_CASE(no_circular_information_flow),
          TEST_CASE(no_non_repeatable_read), TEST_CASE(no_phantom),
          TEST_CASE(no_lost_update), TEST_CASE(no_read_skew),
          TEST_CASE(write_skew_is_allowed),
          TEST_CASE(of_two_that_write_a_key_the_first_to_commit_wins),
          TEST_CASE(disjoint_writes_and_mere_reads_do_not_conflict),
          TEST_CASE(a_range_delete_conflicts_with_any_write_inside_and_none_at_its_edges),
          TEST_CASE(nothing_of_a_transaction_that_lost_is_applied),
          TEST_CASE(what_was_written_before_the_beginning_does_not_conflict),
          TEST_CASE(no_increment_is_lost),
          TEST_CASE(a_commit_is_seen_whole_or_not_at_all))
