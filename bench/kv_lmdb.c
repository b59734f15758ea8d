/*
 * kv_lmdb.c - LMDB, for bench-kv: a B+-tree in one mapped file.
 *
 * It has no log, no cache of its own, no filters and no compression. Without
 * `sync` it writes with MDB_NOSYNC: what was committed survives the process, but
 * a power loss may take the whole store, so its unsynced writes are weaker than
 * those of the others. Every put is a transaction, every get sees the newest
 * commit.
 */
#include <sys/stat.h>

#include <lmdb.h>

#include "bench.h"
#include "kv.h"

enum { MAX_READERS = 256 };

struct store {
    MDB_env *env;
    MDB_dbi dbi;
};

struct session {
    struct store *store;
    MDB_txn *read; /* renewed for every get and iterator */
    bool reading;
    MDB_cursor *cursor;
};

static void check(int rc, const char *what)
{
    if (rc)
        bench_die(0, "lmdb: %s: %s", what, mdb_strerror(rc));
}

/* Address space: pages are half full at worst, and old ones are kept for readers. */
static size_t map_bytes(const struct kv_config *c)
{
    size_t value = c->value_bytes ? c->value_bytes : 128 << 10;

    return ((size_t)1 << 30) + 4 * c->num * (value + (value > 1024 ? 4096 : 0) + 64);
}

static void *open_store(const struct kv_config *c, const char *path)
{
    struct store *s = calloc(1, sizeof(*s));
    MDB_txn *txn;

    if (!s)
        bench_die(-ENOMEM, "lmdb");
    if (mkdir(path, 0777) && errno != EEXIST)
        bench_die(-errno, "%s", path);
    check(mdb_env_create(&s->env), "environment");
    check(mdb_env_set_mapsize(s->env, map_bytes(c) & ~(size_t)4095), "map size");
    check(mdb_env_set_maxreaders(s->env, MAX_READERS), "readers");
    check(mdb_env_open(s->env, path, MDB_NOTLS | (c->sync ? 0 : MDB_NOSYNC), 0666),
          "open");
    check(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
    check(mdb_dbi_open(txn, NULL, 0, &s->dbi), "open");
    check(mdb_txn_commit(txn), "commit");
    return s;
}

static void close_store(void *db)
{
    struct store *s = db;

    mdb_env_close(s->env);
    free(s);
}

static void settle(void *db)
{
    struct store *s = db;

    check(mdb_env_sync(s->env, 1), "sync");
}

static void *new_session(void *db)
{
    struct session *s = calloc(1, sizeof(*s));

    if (!s)
        bench_die(-ENOMEM, "lmdb");
    s->store = db;
    check(mdb_txn_begin(s->store->env, NULL, MDB_RDONLY, &s->read), "begin");
    check(mdb_cursor_open(s->read, s->store->dbi, &s->cursor), "cursor");
    mdb_txn_reset(s->read);
    return s;
}

static void end_session(void *session)
{
    struct session *s = session;

    mdb_cursor_close(s->cursor);
    mdb_txn_abort(s->read);
    free(s);
}

static void stop_reading(struct session *s)
{
    if (s->reading)
        mdb_txn_reset(s->read);
    s->reading = false;
}

static void read_newest(struct session *s)
{
    stop_reading(s);
    check(mdb_txn_renew(s->read), "renew");
    s->reading = true;
}

static MDB_val val_of(struct slice s)
{
    return (MDB_val){s.len, (void *)s.data};
}

static struct slice slice_of_val(MDB_val v)
{
    return slice_of(v.mv_data, v.mv_size);
}

static void put_many(void *session, const struct kv_entry *entries, size_t n)
{
    struct session *s = session;
    MDB_txn *txn;

    stop_reading(s); /* a reader keeps old pages from being used again */
    check(mdb_txn_begin(s->store->env, NULL, 0, &txn), "begin");
    for (size_t i = 0; i < n; i++) {
        MDB_val key = val_of(entries[i].key), value = val_of(entries[i].value);

        check(mdb_put(txn, s->store->dbi, &key, &value, 0), "put");
    }
    check(mdb_txn_commit(txn), "commit");
}

static void put(void *session, struct slice key, struct slice value)
{
    put_many(session, &(struct kv_entry){key, value}, 1);
}

static void remove_key(void *session, struct slice k)
{
    struct session *s = session;
    MDB_val key = val_of(k);
    MDB_txn *txn;
    int rc;

    stop_reading(s);
    check(mdb_txn_begin(s->store->env, NULL, 0, &txn), "begin");
    rc = mdb_del(txn, s->store->dbi, &key, NULL);
    check(rc == MDB_NOTFOUND ? 0 : rc, "delete");
    check(mdb_txn_commit(txn), "commit");
}

static bool get(void *session, struct slice k, struct slice *value)
{
    struct session *s = session;
    MDB_val key = val_of(k), v;
    int rc;

    read_newest(s);
    rc = mdb_get(s->read, s->store->dbi, &key, &v);
    if (rc == MDB_NOTFOUND)
        return false;
    check(rc, "get");
    *value = slice_of_val(v);
    return true;
}

static bool move(struct session *s, MDB_cursor_op op, MDB_val key, struct kv_entry *e)
{
    MDB_val value;
    int rc = mdb_cursor_get(s->cursor, &key, &value, op);

    if (rc == MDB_NOTFOUND)
        return false;
    check(rc, "cursor");
    e->key = slice_of_val(key);
    e->value = slice_of_val(value);
    return true;
}

static bool start(void *session, enum kv_place place, struct slice key,
                  struct kv_entry *e)
{
    struct session *s = session;

    read_newest(s);
    check(mdb_cursor_renew(s->read, s->cursor), "cursor");
    if (place == KV_SEEK)
        return move(s, MDB_SET_RANGE, val_of(key), e);
    return move(s, place == KV_FIRST ? MDB_FIRST : MDB_LAST, (MDB_val){0, NULL}, e);
}

static bool next(void *session, struct kv_entry *e)
{
    return move(session, MDB_NEXT, (MDB_val){0, NULL}, e);
}

static bool prev(void *session, struct kv_entry *e)
{
    return move(session, MDB_PREV, (MDB_val){0, NULL}, e);
}

static void stop(void *session)
{
    stop_reading(session);
}

const struct kv_engine kv_lmdb = {
    .name = "lmdb",
    .open = open_store,
    .close = close_store,
    .settle = settle,
    .session = new_session,
    .end = end_session,
    .put = put,
    .put_many = put_many,
    .remove = remove_key,
    .get = get,
    .start = start,
    .next = next,
    .prev = prev,
    .stop = stop,
};
