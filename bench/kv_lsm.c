/*
 * kv_lsm.c - our engine, for bench-kv. The store does not sync by itself (it does
 * every five seconds by default): none of its peers does.
 */
#include "bench.h"
#include "kv.h"

struct store {
    struct lsm *db;
    enum lsm_durability durability;
    bool full;
};

struct session {
    struct store *store;
    struct lsm_batch *batch;
    struct lsm_value value;
    struct lsm_iter *it;
};

static void check(int rc, const char *what)
{
    if (rc)
        bench_die(rc, "lsm: %s", what);
}

static void *open_store(const struct kv_config *c, const char *path)
{
    struct store *s = calloc(1, sizeof(*s));
    struct lsm_options o;

    if (!s)
        bench_die(-ENOMEM, "lsm");
    lsm_options_init(&o);
    o.create = true;
    o.memtable_bytes = c->memtable_bytes;
    o.memtables = KV_MEMTABLES;
    /* One budget, where the others have a cache, memtables, and tables besides. */
    o.memory_bytes = c->cache_bytes + KV_MEMTABLES * c->memtable_bytes;
    if (o.memory_bytes < (KV_MEMTABLES * c->memtable_bytes + 6) / 7 * 8)
        o.memory_bytes = (KV_MEMTABLES * c->memtable_bytes + 6) / 7 * 8; /* the least */
    o.block_bytes = KV_BLOCK;
    o.table_bytes = c->table_bytes;
    o.l0_trigger = KV_L0_TABLES;
    o.level_ratio = KV_LEVEL_RATIO;
    o.l1_bytes = c->l1_bytes;
    o.filter_bits = c->filter ? KV_FILTER_BITS : 0;
    o.vlog = c->compress ? LSM_LZ4 : LSM_RAW;
    for (unsigned level = 0; level < LSM_LEVELS; level++)
        o.compression[level] = o.vlog;
    o.workers = KV_WORKERS;
    o.strategy = c->strategy;
    if (c->parts)
        o.parts_max = c->parts;
    o.sync_interval_ms = 0;
    check(lsm_open(path, &o, &s->db), "open");
    s->full = c->full;
    s->durability = c->sync ? LSM_SYNC : LSM_NOSYNC;
    return s;
}

static void close_store(void *db)
{
    struct store *s = db;

    check(lsm_close(s->db), "close");
    free(s);
}

static void settle(void *db)
{
    struct store *s = db;

    check(lsm_compact(s->db, s->full), "compact");
}

static void *new_session(void *db)
{
    struct session *s = calloc(1, sizeof(*s));

    if (!s || !(s->batch = lsm_batch_new()))
        bench_die(-ENOMEM, "lsm");
    s->store = db;
    return s;
}

static void end_session(void *session)
{
    struct session *s = session;

    lsm_batch_free(s->batch);
    lsm_value_release(&s->value);
    free(s);
}

static void put(void *session, struct slice key, struct slice value)
{
    struct session *s = session;

    if (s->store->durability == LSM_NOSYNC) {
        check(lsm_put(s->store->db, key, value), "put");
        return;
    }
    lsm_batch_clear(s->batch);
    lsm_batch_put_ref(s->batch, key, value);
    check(lsm_write(s->store->db, s->batch, LSM_SYNC), "put");
}

static void put_many(void *session, const struct kv_entry *entries, size_t n)
{
    struct session *s = session;

    lsm_batch_clear(s->batch);
    for (size_t i = 0; i < n; i++)
        lsm_batch_put_ref(s->batch, entries[i].key, entries[i].value);
    check(lsm_write(s->store->db, s->batch, LSM_NOSYNC), "write");
}

static void remove_key(void *session, struct slice key)
{
    struct session *s = session;

    lsm_batch_clear(s->batch);
    lsm_batch_delete(s->batch, key);
    check(lsm_write(s->store->db, s->batch, s->store->durability), "delete");
}

static void remove_range(void *session, struct slice from, struct slice to)
{
    struct session *s = session;

    lsm_batch_clear(s->batch);
    lsm_batch_delete_range(s->batch, from, to);
    check(lsm_write(s->store->db, s->batch, s->store->durability), "range delete");
}

static bool get(void *session, struct slice key, struct slice *value)
{
    struct session *s = session;
    int rc = lsm_get(s->store->db, NULL, key, &s->value);

    if (rc == -ENOENT)
        return false;
    check(rc, "get");
    *value = s->value.value;
    return true;
}

static bool entry(struct session *s, struct kv_entry *e)
{
    if (!lsm_iter_valid(s->it)) {
        check(lsm_iter_error(s->it), "iterator");
        return false;
    }
    e->key = lsm_iter_key(s->it);
    check(lsm_iter_value(s->it, &e->value), "value");
    return true;
}

static bool start(void *session, enum kv_place place, struct slice key,
                  struct kv_entry *e)
{
    struct session *s = session;

    check(lsm_iter_new(s->store->db, &(struct lsm_iter_options){0}, &s->it), "iterator");
    if (place == KV_FIRST)
        lsm_iter_first(s->it);
    else if (place == KV_LAST)
        lsm_iter_last(s->it);
    else
        lsm_iter_seek(s->it, key);
    return entry(s, e);
}

static bool next(void *session, struct kv_entry *e)
{
    struct session *s = session;

    lsm_iter_next(s->it);
    return entry(s, e);
}

static bool prev(void *session, struct kv_entry *e)
{
    struct session *s = session;

    lsm_iter_prev(s->it);
    return entry(s, e);
}

static void stop(void *session)
{
    struct session *s = session;

    lsm_iter_free(s->it);
    s->it = NULL;
}

const struct kv_engine kv_lsm = {
    .name = "lsm",
    .open = open_store,
    .close = close_store,
    .settle = settle,
    .session = new_session,
    .end = end_session,
    .put = put,
    .put_many = put_many,
    .remove = remove_key,
    .remove_range = remove_range,
    .get = get,
    .start = start,
    .next = next,
    .prev = prev,
    .stop = stop,
};
