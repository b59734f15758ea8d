/*
 * kv_leveldb.c - LevelDB, for bench-kv, by way of its C interface.
 *
 * Its number of memtables (2), its one thread and the size of its levels (10 MiB,
 * times ten) cannot be set; it compresses with Snappy or not at all.
 */
#include <leveldb/c.h>

#include "bench.h"
#include "kv.h"

struct store {
    leveldb_t *db;
    bool full;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_readoptions_t *read;
    leveldb_writeoptions_t *write;        /* of single writes */
    leveldb_writeoptions_t *write_nosync; /* of batches */
};

struct session {
    struct store *store;
    leveldb_writebatch_t *batch;
    char *value;
    leveldb_iterator_t *it;
};

static void check(char *error, const char *what)
{
    if (error)
        bench_die(0, "leveldb: %s: %s", what, error);
}

static void set_options(struct store *s, const struct kv_config *c)
{
    leveldb_options_t *o = s->options = leveldb_options_create();

    if (c->strategy != LSM_LEVELED)
        bench_die(0, "leveldb has one strategy");
    s->cache = leveldb_cache_create_lru(c->cache_bytes);
    leveldb_options_set_create_if_missing(o, 1);
    leveldb_options_set_write_buffer_size(o, c->memtable_bytes);
    leveldb_options_set_max_file_size(o, c->table_bytes);
    leveldb_options_set_block_size(o, KV_BLOCK);
    leveldb_options_set_cache(o, s->cache);
    leveldb_options_set_compression(o, c->compress ? leveldb_snappy_compression
                                                   : leveldb_no_compression);
    if (c->filter) {
        s->filter = leveldb_filterpolicy_create_bloom(KV_FILTER_BITS);
        leveldb_options_set_filter_policy(o, s->filter);
    }
}

static void *open_store(const struct kv_config *c, const char *path)
{
    struct store *s = calloc(1, sizeof(*s));
    char *error = NULL;

    if (!s)
        bench_die(-ENOMEM, "leveldb");
    set_options(s, c);
    s->full = c->full;
    s->read = leveldb_readoptions_create();
    s->write = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(s->write, c->sync);
    s->write_nosync = leveldb_writeoptions_create();
    s->db = leveldb_open(s->options, path, &error);
    check(error, "open");
    return s;
}

static void close_store(void *db)
{
    struct store *s = db;

    leveldb_close(s->db);
    leveldb_options_destroy(s->options);
    leveldb_cache_destroy(s->cache);
    if (s->filter)
        leveldb_filterpolicy_destroy(s->filter);
    leveldb_readoptions_destroy(s->read);
    leveldb_writeoptions_destroy(s->write);
    leveldb_writeoptions_destroy(s->write_nosync);
    free(s);
}

/*
 * Is there a level that it would compact? As db/version_set.cc reckons: 4 tables at
 * level 0, 10 MiB at level 1, ten times as much at each further one. *tables: all
 * there are.
 */
static bool is_busy(struct store *s, unsigned *tables)
{
    char *stats = leveldb_property_value(s->db, "leveldb.stats");
    bool busy = false;
    unsigned level, n;
    double mib, most;

    if (!stats)
        bench_die(0, "leveldb: no property leveldb.stats");
    *tables = 0;
    for (char *at = stats, *line; (line = strsep(&at, "\n"));) {
        if (sscanf(line, "%u %u %lf", &level, &n, &mib) != 3)
            continue; /* a heading */
        *tables += n;
        most = 1;
        for (unsigned i = 0; i < level; i++)
            most *= 10;
        busy |= level == 0 ? n >= KV_L0_TABLES : mib > most;
    }
    leveldb_free(stats);
    return busy;
}

/*
 * Compacting a range that holds no key writes the memtable to a table and merges
 * nothing. What its thread does then can only be seen from outside.
 */
static void settle(void *db)
{
    struct store *s = db;
    unsigned before = 0, now;
    int idle = 0;

    if (s->full) {
        leveldb_compact_range(s->db, NULL, 0, NULL, 0);
        return;
    }
    leveldb_compact_range(s->db, "\xff", 1, "\xff\xff", 2);
    while (idle < 10) {
        idle = is_busy(s, &now) || now != before ? 0 : idle + 1;
        before = now;
        usleep(20000);
    }
}

static void *new_session(void *db)
{
    struct session *s = calloc(1, sizeof(*s));

    if (!s)
        bench_die(-ENOMEM, "leveldb");
    s->store = db;
    s->batch = leveldb_writebatch_create();
    return s;
}

static void free_value(struct session *s)
{
    if (s->value)
        leveldb_free(s->value);
    s->value = NULL;
}

static void end_session(void *session)
{
    struct session *s = session;

    free_value(s);
    leveldb_writebatch_destroy(s->batch);
    free(s);
}

static void put(void *session, struct slice key, struct slice value)
{
    struct session *s = session;
    char *error = NULL;

    leveldb_put(s->store->db, s->store->write, (const char *)key.data, key.len,
                (const char *)value.data, value.len, &error);
    check(error, "put");
}

static void put_many(void *session, const struct kv_entry *entries, size_t n)
{
    struct session *s = session;
    char *error = NULL;

    leveldb_writebatch_clear(s->batch);
    for (size_t i = 0; i < n; i++)
        leveldb_writebatch_put(s->batch, (const char *)entries[i].key.data,
                               entries[i].key.len, (const char *)entries[i].value.data,
                               entries[i].value.len);
    leveldb_write(s->store->db, s->store->write_nosync, s->batch, &error);
    check(error, "write");
}

static void remove_key(void *session, struct slice key)
{
    struct session *s = session;
    char *error = NULL;

    leveldb_delete(s->store->db, s->store->write, (const char *)key.data, key.len,
                   &error);
    check(error, "delete");
}

static bool get(void *session, struct slice key, struct slice *value)
{
    struct session *s = session;
    char *error = NULL;

    free_value(s);
    s->value = leveldb_get(s->store->db, s->store->read, (const char *)key.data, key.len,
                           &value->len, &error);
    check(error, "get");
    value->data = (const uint8_t *)s->value;
    return s->value != NULL;
}

static bool entry(struct session *s, struct kv_entry *e)
{
    if (!leveldb_iter_valid(s->it)) {
        char *error = NULL;

        leveldb_iter_get_error(s->it, &error);
        check(error, "iterator");
        return false;
    }
    e->key.data = (const uint8_t *)leveldb_iter_key(s->it, &e->key.len);
    e->value.data = (const uint8_t *)leveldb_iter_value(s->it, &e->value.len);
    return true;
}

static bool start(void *session, enum kv_place place, struct slice key,
                  struct kv_entry *e)
{
    struct session *s = session;

    s->it = leveldb_create_iterator(s->store->db, s->store->read);
    if (place == KV_FIRST)
        leveldb_iter_seek_to_first(s->it);
    else if (place == KV_LAST)
        leveldb_iter_seek_to_last(s->it);
    else
        leveldb_iter_seek(s->it, (const char *)key.data, key.len);
    return entry(s, e);
}

static bool next(void *session, struct kv_entry *e)
{
    struct session *s = session;

    leveldb_iter_next(s->it);
    return entry(s, e);
}

static bool prev(void *session, struct kv_entry *e)
{
    struct session *s = session;

    leveldb_iter_prev(s->it);
    return entry(s, e);
}

static void stop(void *session)
{
    struct session *s = session;

    leveldb_iter_destroy(s->it);
    s->it = NULL;
}

const struct kv_engine kv_leveldb = {
    .name = "leveldb",
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
