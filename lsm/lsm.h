/*
 * lsm.h - the engine: ordered bytes to bytes, atomic, durable, in a directory.
 *
 * All functions return 0 or -errno. Beyond the obvious ones:
 *   -ENOENT   no such key, no such store
 *   -EUCLEAN  bytes on disk are damaged; where was logged (err.h)
 *   -EROFS    a write to a store that is read-only: opened so, or because an
 *             earlier sync failed and what it covered cannot be trusted
 *   -ENOSPC   the disk is full; nothing was written, reads go on
 *   -EBUSY    another process has the store open
 *   -ECANCELED  a transaction lost to another write (lsm_txn_commit alone)
 *   -EPROTONOSUPPORT  written by a newer format
 * Everything is safe from any thread unless it says otherwise.
 *
 * Keys are 0 to LSM_KEY_MAX bytes in memcmp order, values 0 to LSM_VALUE_MAX.
 * Files and their bytes: FORMAT.md. Why it is built so: DESIGN.md.
 *
 * The small headers below are part of the interface: the layer above speaks
 * slices and buffers too.
 */
#ifndef LSM_H
#define LSM_H

#include <stdio.h>

#include "slice.h"
#include "buf.h"
#include "err.h"
#include "env.h"
#include "env_cache.h"
#include "env_rados.h"
#ifdef LSM_IN_TREE /* siltfs itself: not installed, and not for the library's users */
#include "coding.h"
#include "kill.h"
#include "lock.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LSM_KEY_MAX = 64 * 1024 - 1,
    LSM_VALUE_MAX = 256 * 1024 * 1024,
    LSM_LEVELS = 5,
    LSM_BATCH_RANGES_MAX = 65536, /* range deletes in a batch */
};

struct lsm;
struct lsm_batch;
struct lsm_iter;
struct lsm_snapshot;
struct lsm_txn;

enum lsm_compression {
    LSM_RAW = 0,
    LSM_LZ4 = 1,
    LSM_ZSTD = 2,
};

/* When sorted runs are merged; may be another one each time a store is opened. */
enum lsm_strategy {
    LSM_LEVELED = 0, /* one run a level, each level_ratio times the one above: least
                        space, fewest tables to look at */
    LSM_TIERED =
        1,          /* runs of like size are merged, and all when those above the last
                       exceed twice its size: least written, up to three times the space */
    LSM_HYBRID = 2, /* new tables are tiered until they hold l0_trigger times l1_bytes;
                       leveled below */
};

struct lsm_options {
    struct env *env;       /* NULL: env_for the path */
    bool create;           /* make a store when there is none */
    bool must_be_new;      /* with create: -EEXIST when there is one */
    bool read_only;        /* replay into memory; change nothing on disk */
    size_t memory_bytes;   /* for memtables, block cache, and the index and filter
                              of open tables, together */
    size_t memtable_bytes; /* of it, for one memtable; 0: half of it shared among
                              them, 64 MiB at most */
    unsigned memtables;    /* >= 2: one is written while others flush */
    size_t block_bytes;    /* target size of a data block before compression */
    size_t table_bytes;    /* target size of a table below L0 */
    enum lsm_strategy strategy;
    unsigned l0_trigger;    /* L0 tables (tiered: sorted runs) that start a compaction */
    unsigned level_ratio;   /* target size of a level over the one above */
    uint64_t l1_bytes;      /* least target of the first level below L0 */
    unsigned filter_bits;   /* of bloom filters, per key, on the average over the
                               store: upper levels get more, the last one less;
                               0: no filters, of memtables neither */
    size_t separate_bytes;  /* values this large go to the value log, at once or, while
                               syncs are near, when the memtable is flushed; 0: none */
    uint64_t segment_bytes; /* a value-log segment is sealed at this size, or earlier
                               while there are few */
    double garbage_ratio;   /* garbage in the value log over live bytes, at most;
                               0: only empty segments are freed */
    enum lsm_compression compression[LSM_LEVELS]; /* of the tables of a level; what
                                   does not shrink by an eighth stays raw */
    enum lsm_compression vlog;                    /* separated values; likewise */
    size_t dictionary_bytes; /* greatest dictionary for ZSTD at the last level, made
                                where it pays; 0: none */
    uint64_t background_bytes_per_s; /* compactions write no faster; 0: as the load
                                   demands (DESIGN.md); UINT64_MAX: as fast as they can */
    unsigned parts_max;        /* a large compaction is done in so many parts at once */
    unsigned workers;          /* compaction threads besides the flush thread; 0: no
                                  threads at all, work is done inside writing calls
                                  (deterministic, for tests) */
    bool ack_early; /* where appends end with the process until they are synced (RADOS):
                       acknowledge writes before that; false: after, one sync for all
                       who wait */
    unsigned sync_interval_ms; /* unsynced writes are synced this often; 0: never */
    const char *format;        /* a name for what is kept in the store, as "siltfs-1". A
                                  store that has none yet takes it; one that has
                                  another is refused (-EINVAL). NULL: whatever it is */
    /* Asked when all is read and replayed, and nothing on disk was changed yet: db can be
     * read. A result other than 0 ends the opening with it. NULL: accepted. */
    int (*accept)(void *arg, struct lsm *db);
    void *accept_arg;
    uint64_t verify_bytes; /* on open, check every byte of a store whose files are
                              no larger than this in sum */
};

/* The defaults. Change what you like and pass it to lsm_open, which refuses what is
 * out of range or contradicts itself with -EINVAL and a line that says so. README.md
 * has the ranges. */
void lsm_options_init(struct lsm_options *o);
/* Would lsm_open take them? 0, or -EINVAL with one line logged that names the option, its
 * value and what is allowed, or the two options that contradict each other. */
int lsm_options_check(const struct lsm_options *o);

/*
 * Open the store in directory path, replaying what an unclean end left. A
 * failed open changes nothing on disk that a later one would miss.
 */
int lsm_open(const char *path, const struct lsm_options *o, struct lsm **out);

/*
 * Change options of an open store, from now on: sync_interval_ms, background_bytes_per_s,
 * compression (tables that are there are as they are until they are compacted) and vlog,
 * from o, of which nothing else is looked at. -EINVAL, as lsm_open, and nothing changes.
 */
int lsm_change_options(struct lsm *db, const struct lsm_options *o);

/*
 * Flush, sync and close; frees db in any case. The error says that the last
 * acknowledged writes may not be durable. Iterators and snapshots must be gone.
 */
int lsm_close(struct lsm *db);

/* As given to lsm_open, without slashes at the end; until lsm_close. */
const char *lsm_path(const struct lsm *db);

/* ---- writing ---- */

/*
 * A batch is applied whole or not at all, in the order it was filled; later
 * operations of a batch override earlier ones. Memory errors are kept and
 * returned by lsm_write. One thread at a time fills a batch. Nothing added is
 * borrowed, except by lsm_batch_put_ref.
 */
struct lsm_batch *lsm_batch_new(void);
void lsm_batch_free(struct lsm_batch *b);
void lsm_batch_clear(struct lsm_batch *b);
unsigned lsm_batch_count(const struct lsm_batch *b);

void lsm_batch_put(struct lsm_batch *b, struct slice key, struct slice value);
/* As put, but value is borrowed until the batch is written, cleared or freed. */
void lsm_batch_put_ref(struct lsm_batch *b, struct slice key, struct slice value);
void lsm_batch_delete(struct lsm_batch *b, struct slice key);
/* All keys in [from, to) that are older than this operation. At most
 * LSM_BATCH_RANGES_MAX in a batch: one that overlaps others takes some 500 bytes of
 * memory until it is flushed. */
void lsm_batch_delete_range(struct lsm_batch *b, struct slice from, struct slice to);
/*
 * Put at dst the len bytes at off of the value that src has *before* this
 * batch. A separated value is referred to, not copied. The caller keeps others
 * from writing src until lsm_write returns, which gives -ENOENT when src is
 * missing and -EINVAL when the range is not inside its value.
 */
void lsm_batch_share(struct lsm_batch *b, struct slice dst, struct slice src, size_t off,
                     size_t len);

/*
 * How values that are put in b from now on are compressed when they are separated,
 * whatever lsm_options.vlog says, and again when they move; NULL, or a clear: as that
 * says. Such values are written to the value log at once, also while syncs are near.
 * Values in tables are compressed with what is beside them, as lsm_options.compression.
 */
void lsm_batch_compress(struct lsm_batch *b, const enum lsm_compression *kind);

enum lsm_durability {
    LSM_NOSYNC, /* survives this process; power loss may take it */
    LSM_SYNC,   /* survives power loss, and so does all that was written before */
    LSM_LATER,  /* seen by others at once; as LSM_NOSYNC after lsm_settle */
};

/* Apply b; it may be reused after lsm_batch_clear. */
int lsm_write(struct lsm *db, struct lsm_batch *b, enum lsm_durability d);
int lsm_put(struct lsm *db, struct slice key, struct slice value);
int lsm_delete(struct lsm *db, struct slice key);

/*
 * All that was written LSM_LATER before this call is as if written LSM_NOSYNC when it
 * returns 0: before anybody is told of it. So who writes need not hold others up, by locks
 * of his own, while RADOS is waited for; in a directory there is nothing to wait for.
 */
int lsm_settle(struct lsm *db);

/* Everything written before this call survives power loss when it returns 0. */
int lsm_sync(struct lsm *db);

/*
 * As lsm_sync, for who has better to do than to wait while others sync: done(r, rc) is
 * called once, with what lsm_sync would have returned. When no sync runs, and it is not
 * worth waiting for others who ask, this does one, and calls done before it returns; else
 * that comes later, on a thread of the store, which holds no lock and has others to tell
 * after it: done must not wait. *r is the caller's, and stays in place until done is
 * called; lsm_close calls what is left.
 */
struct lsm_sync_request {
    void (*done)(struct lsm_sync_request *r, int rc);
    struct lsm_sync_request *next; /* the store's, as is the following */
    uint64_t seq;
};
void lsm_sync_notify(struct lsm *db, struct lsm_sync_request *r);

/* ---- reading ---- */

/*
 * A value read. `value` stays valid until lsm_value_release, which a zeroed or
 * released one may get again. Small values are held inline; larger ones are
 * owned memory.
 */
struct lsm_value {
    struct slice value;
    uint8_t *owned;
    size_t cap;
    uint8_t small[256];
};

void lsm_value_release(struct lsm_value *v);

/* snap NULL: now. v may be reused from call to call without a release. */
int lsm_get(struct lsm *db, const struct lsm_snapshot *snap, struct slice key,
            struct lsm_value *v);

/* Is there such a key? 0 or -ENOENT, without reading a separated value. */
int lsm_exists(struct lsm *db, const struct lsm_snapshot *snap, struct slice key);
/* The same, and how long its value is. */
int lsm_get_len(struct lsm *db, const struct lsm_snapshot *snap, struct slice key,
                size_t *len);

struct lsm_snapshot *lsm_snapshot_new(struct lsm *db); /* NULL: no memory */
void lsm_snapshot_free(struct lsm *db, struct lsm_snapshot *s);

/*
 * An iterator sees the store as of its creation (or of snap). lower is
 * inclusive, upper exclusive; NULL is open; both are copied. Set them: they
 * spare work. One thread at a time uses an iterator.
 */
struct lsm_iter_options {
    const struct lsm_snapshot *snap;
    const struct slice *lower;
    const struct slice *upper;
};

int lsm_iter_new(struct lsm *db, const struct lsm_iter_options *o, struct lsm_iter **out);
void lsm_iter_free(struct lsm_iter *it);

void lsm_iter_first(struct lsm_iter *it);
void lsm_iter_last(struct lsm_iter *it);
void lsm_iter_seek(struct lsm_iter *it, struct slice key);      /* first >= key */
void lsm_iter_seek_prev(struct lsm_iter *it, struct slice key); /* last <= key */
void lsm_iter_next(struct lsm_iter *it);
void lsm_iter_prev(struct lsm_iter *it);

/* False at either end and after an error; then lsm_iter_error tells which. */
bool lsm_iter_valid(const struct lsm_iter *it);
int lsm_iter_error(const struct lsm_iter *it);

/* Borrowed until the iterator moves. */
struct slice lsm_iter_key(const struct lsm_iter *it);
/* Length of the value; never reads a separated value. */
size_t lsm_iter_value_len(const struct lsm_iter *it);
/* Is it in the value log? Then where: the segment's number, and the bytes that the record
 * it is (a part of) takes there for how many of value. */
struct lsm_place {
    uint64_t segment;
    uint64_t stored, raw;
};
bool lsm_iter_place(const struct lsm_iter *it, struct lsm_place *out);
/* The whole value, borrowed until the iterator moves. */
int lsm_iter_value(struct lsm_iter *it, struct slice *value);
/*
 * Copy len bytes at off of the value to `to`; reads (and verifies) only the
 * frames concerned. -EINVAL when the range is not inside the value.
 */
int lsm_iter_read(struct lsm_iter *it, size_t off, size_t len, void *to);
/* A hint, before a part is read: others will be, too. So the disk is asked for all of it. */
void lsm_iter_fetch(struct lsm_iter *it);

/* ---- transactions ---- */

/*
 * Optimistic, with snapshot isolation. A transaction reads the store as of its
 * beginning, and its own writes over that. Nobody else sees those before the
 * commit, and then all of them at once. Nothing is locked: the first to commit
 * wins, plain lsm_write included, and the other one begins again.
 *
 * So there are no dirty reads, no unrepeatable ones, no phantoms, no lost
 * updates. Write skew there is: of two transactions that read the same two keys
 * and write one each, both commit. Who must exclude that writes what was read.
 *
 * Own writes are kept in memory until the end, each overwritten one too. One
 * thread at a time uses a transaction; all are freed before lsm_close.
 */
int lsm_txn_begin(struct lsm *db, struct lsm_txn **out);

/* -EINVAL: too long, or the transaction is over. After -ENOMEM it cannot commit. */
int lsm_txn_put(struct lsm_txn *t, struct slice key, struct slice value);
int lsm_txn_delete(struct lsm_txn *t, struct slice key);
/* All keys in [from, to): a write to each key there is or could be. */
int lsm_txn_delete_range(struct lsm_txn *t, struct slice from, struct slice to);

int lsm_txn_get(struct lsm_txn *t, struct slice key, struct lsm_value *v);
int lsm_txn_exists(struct lsm_txn *t, struct slice key);
/*
 * As lsm_iter_new; o->snap must be NULL. The iterator sees the transaction as of
 * now: what is written later is not in it. It may outlive the transaction.
 */
int lsm_txn_iter_new(struct lsm_txn *t, const struct lsm_iter_options *o,
                     struct lsm_iter **out);

/*
 * Apply the writes, unless a key written here (or one in a range deleted here) was
 * written or deleted by anybody after the beginning: then -ECANCELED, and nothing
 * is applied. Without writes it never fails so. The transaction is over whatever
 * this returns: all that it is still good for is lsm_txn_free. An error other than
 * -ECANCELED is one of lsm_write, and says as much.
 */
int lsm_txn_commit(struct lsm_txn *t, enum lsm_durability d);
/* Forget the writes, and give up the snapshot. The transaction is over. */
void lsm_txn_rollback(struct lsm_txn *t);
/* NULL is fine. One that is not over is rolled back. */
void lsm_txn_free(struct lsm_txn *t);

/* ---- care ---- */

/* Write the memtables to tables and wait for it. */
int lsm_flush(struct lsm *db);
/* Compact until no level is over its target; with `full`, into one level. Its own failure,
 * or one that a compaction beside it had, is returned, and what failed before is tried
 * again at once; tables known to be damaged (lsm_stats) stay out, and are no failure. */
int lsm_compact(struct lsm *db, bool full);
/* The same, as long as go_on says so, which is asked now and then by any thread, several
 * at once: else -ECANCELED, soon, and what was done until then stays. */
int lsm_compact_while(struct lsm *db, bool full, bool (*go_on)(void *arg), void *arg);

/* ---- statistics ---- */

struct lsm_level_stats {
    unsigned tables;
    uint64_t bytes;
    uint64_t target_bytes;
    double score;           /* at 1 and above it gets a compaction */
    uint64_t read_bytes;    /* from this level, by compactions, since open */
    uint64_t written_bytes; /* into this level since open */
    double write_amp;       /* of it, for each of the users' bytes */
};

/*
 * What is timed. Of the first ones, which are frequent, one call in sample_every is
 * measured, drawn at random: their count, sum and max are those of the measured
 * calls. The others are measured each time.
 */
enum lsm_timed {
    LSM_TIME_GET,   /* lsm_get, lsm_exists */
    LSM_TIME_WRITE, /* lsm_write, lsm_put, lsm_delete, a commit; stalls, sync included */
    LSM_TIME_SEEK,  /* an iterator's first, last, seek, seek_prev */
    LSM_TIME_NEXT,  /* next, prev; reading the clock, some 25 ns, is in it */
    LSM_TIME_SAMPLED,
    LSM_TIME_FLUSH = LSM_TIME_SAMPLED,
    LSM_TIME_COMPACTION, /* trivial moves not */
    LSM_TIME_SYNC,
    LSM_TIME_STALL, /* each wait of a writer for flushes or compactions */
    LSM_TIMED,
};
const char *lsm_timed_name(enum lsm_timed what);

/* below[i] counts what took less than 2^(LSM_TIME_BITS + i) ns: 64 ns to 8.6 s. */
enum { LSM_TIME_BITS = 6, LSM_TIME_BOUNDS = 28 };

struct lsm_times {
    uint64_t count, sum_ns, max_ns;
    uint64_t p50_ns, p90_ns, p99_ns, p999_ns; /* within 6.25 % */
    uint64_t below[LSM_TIME_BOUNDS];
    unsigned sample_every;
};

struct lsm_segment_stats {
    uint64_t number;
    uint64_t size;
    uint64_t live;    /* bytes that tables refer to; with lsm_batch_share it may be more
                         than size */
    uint64_t garbage; /* the rest; 0 while pending */
    bool pending;     /* still appended to, or in use by memtables or a compaction: what
                         is garbage is not known yet */
};

enum { LSM_SEGMENTS_LISTED = 32 };

/* Numbers of tables are those of the current version; "since open" is the counters'
 * beginning. */
struct lsm_stats {
    struct lsm_level_stats level[LSM_LEVELS];
    struct lsm_times time[LSM_TIMED];
    uint64_t entries;         /* in tables, tombstones and old versions included */
    uint64_t tombstones;      /* in tables, points and ranges */
    uint64_t memtable_bytes;  /* active and waiting */
    unsigned memtables;       /* active and waiting */
    uint64_t wal_bytes;       /* still needed */
    uint64_t segments;        /* of the value log */
    uint64_t segment_bytes;   /* their size on disk */
    uint64_t segment_live;    /* bytes of them that tables refer to */
    uint64_t segment_garbage; /* sum of the segments' */
    /* The segments with most garbage, most first; lsm_segments has all. */
    struct lsm_segment_stats segment[LSM_SEGMENTS_LISTED];
    unsigned segments_listed;
    uint64_t disk_bytes; /* tables, segments, logs */
    /* An estimate: tables whose range no deeper level (nor older table of L0) touches,
     * and what those refer to; what stands above others is taken for overwriting. Logs
     * and pending segments, of which nothing is known yet, are taken for live. */
    uint64_t live_bytes;
    uint64_t user_bytes;    /* keys and values given to lsm_write since open */
    uint64_t written_bytes; /* to disk since open: logs, tables, segments */
    uint64_t wal_written_bytes, vlog_written_bytes; /* of them */
    uint64_t flush_bytes, compact_written_bytes;    /* of them: tables */
    uint64_t compact_read_bytes;
    uint64_t moved_bytes; /* of values, moved out of segments to be emptied */
    uint64_t gets, get_hits, seeks;
    uint64_t nexts;     /* of iterators in use, the last hundreds may be missing */
    uint64_t gap_jumps; /* of iterators, over runs of what is deleted */
    uint64_t puts, deletes, range_deletes, batches, syncs;
    uint64_t tables_searched; /* by gets: a block read or found in the cache */
    /* By gets. rejected: a table not searched. false: searched in vain. */
    uint64_t filter_checked, filter_rejected, filter_false;
    uint64_t cache_hits, cache_misses, cache_bytes;
    /* Of an env that has a local cache (env_cache.h), for all who use that env. */
    uint64_t disk_cache_hits, disk_cache_misses, disk_cache_hit_bytes;
    uint64_t disk_cache_fetched_bytes, disk_cache_stored_bytes;
    uint64_t disk_cache_skipped, disk_cache_damaged;
    uint64_t disk_cache_bytes, disk_cache_limit;
    uint64_t memory_bytes;     /* the budget */
    uint64_t memory_memtables; /* taken of it: by memtables, old ones of iterators and
                                  those of transactions too */
    uint64_t memory_tables;    /* by open tables, besides their cached blocks */
    uint64_t memory_work;      /* by what is read ahead, and tables being written */
    uint64_t tables_open;      /* of all tables */
    uint64_t tables_opened, tables_closed; /* since open; closed for want of memory */
    uint64_t flushes, compactions, moves;
    uint64_t compaction_parts; /* of compactions that were done in parts */
    uint64_t dropped_tables;   /* unread: a range delete hid all that was in them */
    uint64_t stalls, stall_ns, stall_max_ns;
    double write_amp; /* written_bytes over user_bytes */
    double read_amp;  /* tables_searched over gets */
    double space_amp; /* disk_bytes over live_bytes */
    uint64_t recovered_logs, recovered_batches, recovered_bytes, torn_bytes;
    uint64_t recovery_ns;
    uint64_t sequence;
    int background_error;    /* 0 or -errno: why the store is read-only */
    int retry_error;         /* 0 or -errno: the last flush or compaction failed so; it is
                                tried again, and until then nothing is lost */
    uint64_t failures;       /* flushes and compactions that failed */
    uint64_t damaged_tables; /* that compactions met since opening, and leave out now */
    uint64_t unreadable_tables; /* left out likewise, until the disk reads them again */
    unsigned disk_full;         /* 1: only what deletes is taken, until there is room */
};

void lsm_get_stats(struct lsm *db, struct lsm_stats *s);

/* fn for each segment of the value log, ascending; its first non-zero result ends
 * that and is returned. -ENOMEM. */
typedef int lsm_segment_fn(void *arg, const struct lsm_segment_stats *s);
int lsm_segments(struct lsm *db, lsm_segment_fn *fn, void *arg);

/* For people, several lines, to out. */
void lsm_print_stats(const struct lsm_stats *s, FILE *out);
/* For programs: one JSON object. Members are added, never renamed. */
void lsm_print_stats_json(const struct lsm_stats *s, FILE *out);
/*
 * Prometheus' text format. labels (may be NULL) stands on every sample, as
 * store="a",host="b": lsm_print_label prints one, escaped.
 */
void lsm_print_stats_prometheus(const struct lsm_stats *s, const char *labels, FILE *out);
void lsm_print_label(const char *name, const char *value, FILE *out);

/* ---- verifying ---- */

/* What of the store cannot be read. */
enum lsm_lost {
    LSM_LOST_NOTHING, /* of what keys and values are read from (a filter) */
    LSM_LOST_VALUE,   /* of the key `first`: of its newest version, or of an older one */
    LSM_LOST_RANGE,   /* keys from first to last, in this file */
    LSM_LOST_FILE,    /* the file's part in opening the store: a log, the manifest */
};

struct lsm_damage {
    char file[40]; /* its name in the store's directory */
    uint64_t offset;
    int err; /* -EUCLEAN: not as it was written; -EIO: the disk says no */
    enum lsm_lost lost;
    struct slice first, last; /* borrowed */
};

typedef void lsm_damage_fn(void *arg, const struct lsm_damage *d);
/* done of about `total` bytes were read. position: pass it as `after` to go on from
 * here another day. Its first non-zero result ends the verifying and is returned. */
typedef int lsm_progress_fn(void *arg, uint64_t done, uint64_t total, uint64_t position);

/* Zeroed is all of it, silently, as fast as it goes. */
struct lsm_verify_options {
    lsm_damage_fn *damage;     /* NULL: it is only logged */
    lsm_progress_fn *progress; /* NULL; called each MiB or so, or each second */
    void *arg;                 /* of both */
    uint64_t bytes_per_s;      /* 0: no limit */
    uint64_t after;            /* 0: from the beginning */
};

/*
 * Read and check every byte of every table, log, the manifest and every referenced
 * value. Each place that is damaged is logged by file and offset. Others may read and
 * write meanwhile; what is written meanwhile may or may not be looked at.
 * -EUCLEAN or -EIO when something is damaged: that does not end it.
 */
int lsm_verify_with(struct lsm *db, const struct lsm_verify_options *o);
int lsm_verify(struct lsm *db);

/* ---- checkpoints, files, repair ---- */

/*
 * Make the directory path a store of its own that holds what this one held at
 * one moment of the call: everything visible when it began, nothing written
 * after it returned. It takes hard links and no copies, so as long as it would to
 * sync, at any size. What is in path lasts when it returns 0; after a crash path is
 * absent or whole, and a directory path.checkpoint-tmp may be left, which the
 * next checkpoint to path takes over. -EEXIST when there is a path, -EXDEV when it
 * is on another filesystem, -EBUSY while another checkpoint of db is being made,
 * -EROFS.
 */
int lsm_checkpoint(struct lsm *db, const char *path);

/*
 * Make the directory path a store of its own with what `from` holds, which is opened
 * read_only: a checkpoint, or any store at rest. Links, or copies (with `progress`, which
 * may be NULL) where path is on another filesystem. Lasting and whole as
 * lsm_checkpoint's; path.clone-tmp is what may be left. -EEXIST.
 */
int lsm_clone(struct lsm *from, const char *path, lsm_progress_fn *progress, void *arg);

/*
 * Put the store in path, which nobody may have open (-EBUSY), back to what `from` holds:
 * the directory of a checkpoint of it, or of any store that one was made from by
 * rollbacks; -EEXIST, and nothing happens, if it is another store's, with other files of
 * the same numbers. `from` stays as it is and must be on the same filesystem (-EXDEV).
 * After a crash path is as it was or as `from`; what it held and does not need goes when
 * it is opened next, and path/rollback-tmp, if that was left, with the next rollback.
 * o: as for lsm_open.
 */
int lsm_rollback(const char *path, const char *from, const struct lsm_options *o);

enum lsm_file_kind {
    LSM_FILE_TABLE,
    LSM_FILE_SEGMENT,
    LSM_FILE_LOG,
    LSM_FILE_MANIFEST,
    LSM_FILE_CURRENT,
};

struct lsm_file {
    const char *name; /* in the store's directory */
    uint64_t size;
    enum lsm_file_kind kind;
    bool immutable; /* its bytes do not change while it has this name */
};

/*
 * fn for each file that the store consists of; its first non-zero result ends
 * that and is returned. Of a checkpoint opened read_only all are immutable and
 * stay: copied, they are the store. Of a store in use they may be gone soon after.
 */
typedef int lsm_file_fn(void *arg, const struct lsm_file *f);
int lsm_files(struct lsm *db, lsm_file_fn *fn, void *arg);

struct lsm_repair_result {
    bool rebuilt;            /* no manifest could be relied on: all was merged anew */
    unsigned tables, logs;   /* read */
    unsigned tables_damaged; /* or missing */
    unsigned logs_damaged;   /* or missing */
    uint64_t entries;        /* in the tables of the repaired store */
    uint64_t blocks_lost;    /* of tables */
    uint64_t values_lost;    /* entries whose value is gone */
    uint64_t losses;         /* lines reported */
};

/*
 * Make a store that can be opened out of what is left of the one in path, which
 * nobody may have open. Loses what is damaged, and tells each loss by a line to
 * report: which file and offset, and which keys where that is known (as hex).
 * Keys whose value is lost are gone, rather than back at an older value. Damaged
 * files are moved to path/lost. Until the new manifest is durable nothing that
 * was there is changed. What it cannot know: DESIGN.md, "Repair".
 * -ENOENT: there is nothing of a store, or nothing that can be read; all is left as it
 * was.
 */
typedef void lsm_repair_fn(void *arg, const char *line);
int lsm_repair(const char *path, const struct lsm_options *o, lsm_repair_fn *report,
               void *arg, struct lsm_repair_result *out);

/*
 * The bytes that an open store takes at most, whatever is overwritten and deleted,
 * while separated values of so many bytes (records of the value log, headers
 * included) and so many bytes of tables are live: what readers could still ask for,
 * snapshots and iterators included. What that is made of: DESIGN.md, "Space".
 * UINT64_MAX when garbage_ratio is 0.
 */
uint64_t lsm_space_bound(const struct lsm_options *o, uint64_t values, uint64_t tables);

/* Bytes of the filesystem that the store is on; none is available when what is left is
 * for deleting. */
int lsm_space(struct lsm *db, uint64_t *total, uint64_t *avail);
/* Bytes that the store itself takes there: tables, segments, and logs and the reserve
 * as they are preallocated. Garbage counts until it is gone. Cheap. */
uint64_t lsm_disk_bytes(struct lsm *db);

/* Does path hold a store (of any version)? Opens nothing. */
bool lsm_is_store(struct env *env, const char *path);
/* Is path the beginning of a store whose creation was cut short, and nothing else? An
 * lsm_open that creates makes a store of it. */
bool lsm_is_unfinished(struct env *env, const char *path);

#ifdef __cplusplus
}
#endif

#endif
