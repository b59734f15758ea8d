/*
 * kv.h - what the engines' benchmark asks of an engine (build/bench-kv).
 *
 * One table of functions for each engine: ours (kv_lsm.c), and its peers by way
 * of their C interfaces (kv_rocksdb.c, kv_leveldb.c, kv_lmdb.c). What an engine
 * cannot do ends the program (bench_die): there is no figure for it. Equal for
 * all, as far as the engine has it: what struct kv_config says, a log that is
 * written and not synced unless `sync`, blocks of KV_BLOCK bytes, KV_MEMTABLES
 * memtables, KV_WORKERS threads for compaction and one for flushes, and the shape of
 * the levels (KV_L0_TABLES, KV_LEVEL_RATIO).
 */
#ifndef BENCH_KV_H
#define BENCH_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lsm/lsm.h"

enum {
    KV_BLOCK = 4096,
    KV_MEMTABLES = 3,
    KV_WORKERS = 2,
    KV_L0_TABLES = 4,
    KV_LEVEL_RATIO = 10,
    KV_FILTER_BITS = 10,
};

struct kv_config {
    uint64_t num;       /* records */
    uint64_t ops;       /* timed operations, of all threads */
    size_t value_bytes; /* 0: 16 to 128 KiB (kv_data.h) */
    unsigned threads;
    double seconds; /* > 0: instead of ops */
    size_t cache_bytes;
    size_t memtable_bytes;
    size_t table_bytes;
    uint64_t l1_bytes;
    bool sync; /* every put and delete survives power loss */
    bool filter;
    bool compress;              /* LZ4; Snappy where there is nothing else (LevelDB) */
    bool full;                  /* settle by a full compaction */
    enum lsm_strategy strategy; /* RocksDB has the first two; the others one */
    unsigned parts; /* of a large compaction (ours, RocksDB); 0: the engine's default */
};

struct kv_entry {
    struct slice key;
    struct slice value;
};

enum kv_place {
    KV_FIRST,
    KV_LAST,
    KV_SEEK, /* the first key at or after the one given */
};

/*
 * A database is used by many threads, a session by one. What a session returned
 * is borrowed until its next call.
 */
struct kv_engine {
    const char *name;
    void *(*open)(const struct kv_config *c, const char *path); /* makes one, too */
    void (*close)(void *db);
    /* Everything in tables, nothing left that it would compact by itself; with
     * config->full, all in one level. */
    void (*settle)(void *db);

    void *(*session)(void *db);
    void (*end)(void *session);
    void (*put)(void *session, struct slice key, struct slice value);
    /* One batch, not synced: to fill a store before the clock starts. */
    void (*put_many)(void *session, const struct kv_entry *entries, size_t n);
    void (*remove)(void *session, struct slice key);
    /* All keys in [from, to) by one range delete; NULL: the engine has none. */
    void (*remove_range)(void *session, struct slice from, struct slice to);
    bool (*get)(void *session, struct slice key, struct slice *value);

    /*
     * A new iterator, which sees the store as of now, and its first entry; false
     * at the end. To be stopped in either case, before any other call but next
     * and prev.
     */
    bool (*start)(void *session, enum kv_place place, struct slice key,
                  struct kv_entry *e);
    bool (*next)(void *session, struct kv_entry *e);
    bool (*prev)(void *session, struct kv_entry *e);
    void (*stop)(void *session);
};

extern const struct kv_engine kv_lsm, kv_rocksdb, kv_rocksdb_blob, kv_leveldb, kv_lmdb;

#endif
