/*
 * txn_util.h - what the tests of transactions share: a store in memory, and short
 * words for what is done to it. Keys and values are strings.
 */
#ifndef TXN_UTIL_H
#define TXN_UTIL_H

#include "tests/env_mem.h"
#include "tests/test.h"

static struct env *env;
static struct lsm *db;

static inline struct lsm_options small_options(struct env *e)
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

static inline void open_store(void)
{
    struct lsm_options o;

    env = env_mem_new(test_seed());
    o = small_options(env);
    ck_ok(lsm_open("/s", &o, &db));
}

static inline void close_store(void)
{
    ck_ok(lsm_verify(db));
    ck_ok(lsm_close(db));
    env_mem_free(env);
}

static inline struct lsm_txn *begin(void)
{
    struct lsm_txn *t;

    ck_ok(lsm_txn_begin(db, &t));
    return t;
}

/* What commit returned; the transaction is gone. */
static inline int commit(struct lsm_txn *t)
{
    int rc = lsm_txn_commit(t, LSM_NOSYNC);

    lsm_txn_free(t);
    return rc;
}

static inline void put(const char *key, const char *value)
{
    ck_ok(lsm_put(db, slice_str(key), slice_str(value)));
}

static inline void del(const char *key)
{
    ck_ok(lsm_delete(db, slice_str(key)));
}

static inline void del_range(const char *from, const char *to)
{
    struct lsm_batch *b = lsm_batch_new();

    lsm_batch_delete_range(b, slice_str(from), slice_str(to));
    ck_ok(lsm_write(db, b, LSM_NOSYNC));
    lsm_batch_free(b);
}

static inline void tput(struct lsm_txn *t, const char *key, const char *value)
{
    ck_ok(lsm_txn_put(t, slice_str(key), slice_str(value)));
}

static inline void tdel(struct lsm_txn *t, const char *key)
{
    ck_ok(lsm_txn_delete(t, slice_str(key)));
}

static inline void tdel_range(struct lsm_txn *t, const char *from, const char *to)
{
    ck_ok(lsm_txn_delete_range(t, slice_str(from), slice_str(to)));
}

/* t NULL: the store; want NULL: nothing. */
static inline void expect(struct lsm_txn *t, const char *key, const char *want)
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
static inline void expect_walk(struct lsm_iter *it, const char *want)
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

static inline void expect_all(struct lsm_txn *t, const char *want)
{
    struct lsm_iter *it;

    ck_ok(t ? lsm_txn_iter_new(t, NULL, &it) : lsm_iter_new(db, NULL, &it));
    expect_walk(it, want);
    lsm_iter_free(it);
}

static inline void into_tables(void)
{
    ck_ok(lsm_flush(db));
    ck_ok(lsm_compact(db, true));
}

#endif
