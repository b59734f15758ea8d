/*
 * kv_rocksdb.c - RocksDB, for bench-kv, by way of its C interface.
 *
 * "rocksdb" keeps values in its tables; "rocksdb-blob" puts those of BLOB_MIN
 * bytes and more into blob files, and collects a blob file when half of it is
 * garbage, as our engine does: the peer for large values.
 */
#include <rocksdb/c.h>

#include "bench.h"
#include "kv.h"

enum { BLOB_MIN = 4096 };

struct store {
    rocksdb_t *db;
    bool full;
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;        /* of single writes */
    rocksdb_writeoptions_t *write_nosync; /* of batches */
    bool tiered;
};

struct session {
    struct store *store;
    rocksdb_writebatch_t *batch;
    rocksdb_pinnableslice_t *value;
    rocksdb_iterator_t *it;
};

static void check(char *error, const char *what)
{
    if (error)
        bench_die(0, "rocksdb: %s: %s", what, error);
}

static void set_tables(struct store *s, const struct kv_config *c)
{
    rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();

    s->cache = rocksdb_cache_create_lru(c->cache_bytes);
    rocksdb_block_based_options_set_block_size(t, KV_BLOCK);
    rocksdb_block_based_options_set_block_cache(t, s->cache);
    if (c->filter) /* takes the policy */
        rocksdb_block_based_options_set_filter_policy(
            t, rocksdb_filterpolicy_create_bloom_full(KV_FILTER_BITS));
    rocksdb_options_set_block_based_table_factory(s->options, t);
    rocksdb_block_based_options_destroy(t);
}

static void set_blobs(rocksdb_options_t *o, int compression)
{
    rocksdb_options_set_enable_blob_files(o, 1);
    rocksdb_options_set_min_blob_size(o, BLOB_MIN);
    rocksdb_options_set_blob_compression_type(o, compression);
    rocksdb_options_set_enable_blob_gc(o, 1);
    rocksdb_options_set_blob_gc_force_threshold(o, 0.5);
}

static void set_options(struct store *s, const struct kv_config *c, bool blobs)
{
    rocksdb_options_t *o = s->options = rocksdb_options_create();
    int compression = c->compress ? rocksdb_lz4_compression : rocksdb_no_compression;

    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_write_buffer_size(o, c->memtable_bytes);
    rocksdb_options_set_max_write_buffer_number(o, KV_MEMTABLES);
    rocksdb_options_set_max_background_jobs(o, KV_WORKERS + 1);
    rocksdb_options_set_level0_file_num_compaction_trigger(o, KV_L0_TABLES);
    rocksdb_options_set_target_file_size_base(o, c->table_bytes);
    rocksdb_options_set_max_bytes_for_level_base(o, c->l1_bytes);
    rocksdb_options_set_max_bytes_for_level_multiplier(o, KV_LEVEL_RATIO);
    rocksdb_options_set_compression(o, compression);
    if (c->strategy == LSM_TIERED)
        rocksdb_options_set_compaction_style(o, rocksdb_universal_compaction);
    else if (c->strategy != LSM_LEVELED)
        bench_die(0, "rocksdb has no such strategy");
    if (c->parts)
        rocksdb_options_set_max_subcompactions(o, c->parts);
    rocksdb_options_set_stats_dump_period_sec(o, 0);
    rocksdb_options_set_stats_persist_period_sec(o, 0);
    if (blobs)
        set_blobs(o, compression);
    set_tables(s, c);
}

static struct store *open_store(const struct kv_config *c, const char *path, bool blobs)
{
    struct store *s = calloc(1, sizeof(*s));
    char *error = NULL;

    if (!s)
        bench_die(-ENOMEM, "rocksdb");
    set_options(s, c, blobs);
    s->full = c->full;
    s->tiered = c->strategy == LSM_TIERED;
    s->read = rocksdb_readoptions_create();
    s->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(s->write, c->sync);
    s->write_nosync = rocksdb_writeoptions_create();
    s->db = rocksdb_open(s->options, path, &error);
    check(error, "open");
    return s;
}

static void *open_plain(const struct kv_config *c, const char *path)
{
    return open_store(c, path, false);
}

static void *open_blobs(const struct kv_config *c, const char *path)
{
    return open_store(c, path, true);
}

static void close_store(void *db)
{
    struct store *s = db;

    rocksdb_close(s->db);
    rocksdb_options_destroy(s->options);
    rocksdb_cache_destroy(s->cache);
    rocksdb_readoptions_destroy(s->read);
    rocksdb_writeoptions_destroy(s->write);
    rocksdb_writeoptions_destroy(s->write_nosync);
    free(s);
}

static bool is_busy(struct store *s)
{
    static const char *const counts[] = {
        "rocksdb.mem-table-flush-pending",
        "rocksdb.num-running-flushes",
        "rocksdb.num-running-compactions",
        "rocksdb.compaction-pending",
    };
    /* The last one stays on where universal compaction has nothing to choose. */
    size_t n_counts = sizeof(counts) / sizeof(counts[0]) - s->tiered;
    bool busy = false;

    for (size_t i = 0; i < n_counts; i++) {
        uint64_t n;

        if (rocksdb_property_int(s->db, counts[i], &n))
            bench_die(0, "rocksdb: no property %s", counts[i]);
        busy |= n > 0;
    }
    return busy;
}

/* 7.8 has no call that waits. Between two compactions it may look idle. */
static void settle(void *db)
{
    struct store *s = db;
    rocksdb_flushoptions_t *f = rocksdb_flushoptions_create();
    char *error = NULL;

    rocksdb_flushoptions_set_wait(f, 1);
    rocksdb_flush(s->db, f, &error);
    check(error, "flush");
    rocksdb_flushoptions_destroy(f);
    if (s->full)
        rocksdb_compact_range(s->db, NULL, 0, NULL, 0);
    for (int idle = 0; idle < 5; idle = is_busy(s) ? 0 : idle + 1)
        usleep(20000);
}

static void *new_session(void *db)
{
    struct session *s = calloc(1, sizeof(*s));

    if (!s)
        bench_die(-ENOMEM, "rocksdb");
    s->store = db;
    s->batch = rocksdb_writebatch_create();
    return s;
}

static void unpin(struct session *s)
{
    if (s->value)
        rocksdb_pinnableslice_destroy(s->value);
    s->value = NULL;
}

static void end_session(void *session)
{
    struct session *s = session;

    unpin(s);
    rocksdb_writebatch_destroy(s->batch);
    free(s);
}

static void put(void *session, struct slice key, struct slice value)
{
    struct session *s = session;
    char *error = NULL;

    rocksdb_put(s->store->db, s->store->write, (const char *)key.data, key.len,
                (const char *)value.data, value.len, &error);
    check(error, "put");
}

static void put_many(void *session, const struct kv_entry *entries, size_t n)
{
    struct session *s = session;
    char *error = NULL;

    rocksdb_writebatch_clear(s->batch);
    for (size_t i = 0; i < n; i++)
        rocksdb_writebatch_put(s->batch, (const char *)entries[i].key.data,
                               entries[i].key.len, (const char *)entries[i].value.data,
                               entries[i].value.len);
    rocksdb_write(s->store->db, s->store->write_nosync, s->batch, &error);
    check(error, "write");
}

static void remove_key(void *session, struct slice key)
{
    struct session *s = session;
    char *error = NULL;

    rocksdb_delete(s->store->db, s->store->write, (const char *)key.data, key.len,
                   &error);
    check(error, "delete");
}

static void remove_range(void *session, struct slice from, struct slice to)
{
    struct session *s = session;
    char *error = NULL;

    rocksdb_writebatch_clear(s->batch);
    rocksdb_writebatch_delete_range(s->batch, (const char *)from.data, from.len,
                                    (const char *)to.data, to.len);
    rocksdb_write(s->store->db, s->store->write, s->batch, &error);
    check(error, "range delete");
}

static bool get(void *session, struct slice key, struct slice *value)
{
    struct session *s = session;
    char *error = NULL;

    unpin(s);
    s->value = rocksdb_get_pinned(s->store->db, s->store->read, (const char *)key.data,
                                  key.len, &error);
    check(error, "get");
    if (!s->value)
        return false;
    value->data = (const uint8_t *)rocksdb_pinnableslice_value(s->value, &value->len);
    return true;
}

static bool entry(struct session *s, struct kv_entry *e)
{
    if (!rocksdb_iter_valid(s->it)) {
        char *error = NULL;

        rocksdb_iter_get_error(s->it, &error);
        check(error, "iterator");
        return false;
    }
    e->key.data = (const uint8_t *)rocksdb_iter_key(s->it, &e->key.len);
    e->value.data = (const uint8_t *)rocksdb_iter_value(s->it, &e->value.len);
    return true;
}

static bool start(void *session, enum kv_place place, struct slice key,
                  struct kv_entry *e)
{
    struct session *s = session;

    s->it = rocksdb_create_iterator(s->store->db, s->store->read);
    if (place == KV_FIRST)
        rocksdb_iter_seek_to_first(s->it);
    else if (place == KV_LAST)
        rocksdb_iter_seek_to_last(s->it);
    else
        rocksdb_iter_seek(s->it, (const char *)key.data, key.len);
    return entry(s, e);
}

static bool next(void *session, struct kv_entry *e)
{
    struct session *s = session;

    rocksdb_iter_next(s->it);
    return entry(s, e);
}

static bool prev(void *session, struct kv_entry *e)
{
    struct session *s = session;

    rocksdb_iter_prev(s->it);
    return entry(s, e);
}

static void stop(void *session)
{
    struct session *s = session;

    rocksdb_iter_destroy(s->it);
    s->it = NULL;
}

#define ENGINE(called, opens)                                                            \
    {                                                                                    \
        .name = called, .open = opens, .close = close_store, .settle = settle,           \
        .session = new_session, .end = end_session, .put = put, .put_many = put_many,    \
        .remove = remove_key, .remove_range = remove_range, .get = get, .start = start,  \
        .next = next, .prev = prev, .stop = stop                                         \
    }

const struct kv_engine kv_rocksdb = ENGINE("rocksdb", open_plain);
const struct kv_engine kv_rocksdb_blob = ENGINE("rocksdb-blob", open_blobs);
