/*
 * test_txn.c - transactions: own writes, ends and refusals, a crash at every call.
 * What they may see of each other: test_txn_isolation.c; at random: test_txn_model.c.
 */
#include <stdlib.h>

#include "tests/txn_util.h"

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

/* ---- ends and refusals ---- */

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

TEST_MAIN("txn", TEST_CASE(a_transaction_sees_its_own_writes),
          TEST_CASE(own_range_deletes_and_puts_count_in_their_order),
          TEST_CASE(a_transaction_iterator_keeps_to_its_bounds),
          TEST_CASE(an_iterator_sees_the_transaction_as_of_its_creation),
          TEST_CASE(large_values_go_to_the_value_log_at_commit_only),
          TEST_CASE(a_transaction_that_is_over_refuses_everything),
          TEST_CASE(a_key_that_is_too_long_is_refused_and_the_rest_commits),
          TEST_CASE(a_read_only_store_gives_transactions_that_read),
          TEST_CASE(after_a_crash_a_transaction_is_there_whole_or_not_at_all))
