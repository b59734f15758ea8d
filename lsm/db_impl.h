/*
 * db_impl.h - the inside of struct lsm, for the db_*.c files only.
 *
 * Locks, outermost first (ranks in lock.h):
 *   manifest_mu  one edit at a time: version -> manifest -> view. Held over I/O.
 *   values       read-held from writing values to the value log until their
 *                pointers are in the memtable; write-held by segment collection,
 *                so that it never misses a pointer in flight.
 *   write_mu     the commit order: sequence numbers, log appends, which memtable
 *                and log are active. Held over a log append, not over a sync.
 *   sync_mu      what is synced; the list of logs.
 *   names_mu     held while the store's directory is synced, and until a failure is
 *                known: see db_sync_names.
 *   state_mu     the current view, the work queue of the background threads.
 *   snap_mu      the list of snapshots.
 *   dead_mu      files to delete.
 *   gaps.mu      the gaps that iterators jump over.
 *
 * Reading takes none of them. A *view* is what a reader reads: the memtables
 * and a version. A reader announces the view it uses in its thread's slot (a
 * hazard pointer; Michael, "Hazard Pointers", 2004); a replaced view is freed
 * when no slot names it. Iterators count references instead, being long.
 */
#ifndef LSM_DB_IMPL_H
#define LSM_DB_IMPL_H

#include "batch.h"
#include "format.h"
#include "gaps.h"
#include "hash.h"
#include "hist.h"
#include "kill.h"
#include "manifest.h"
#include "memtable.h"
#include "merge.h"
#include "names.h"
#include "options.h"
#include "pick.h"
#include "publish.h"
#include "rate.h"
#include "vlog.h"
#include "vlog_gc.h"
#include "wal.h"

enum {
    IMM_MAX = MEMTABLES_MAX,
    SLOTS = SHORT_READERS, /* threads that read without a shared counter */
    LOGS_SPARE = 1,
};

/* In the manifest: no log is needed, the store was closed. */
#define NO_LOG UINT64_MAX

/* What a transaction has written itself and not committed is numbered from here
 * on, above all that is in a store. */
#define TXN_SEQ (1ull << 55)

struct view {
    _Atomic unsigned refs;
    struct memtable *mem;
    struct memtable *imm[IMM_MAX]; /* newest first */
    unsigned n_imm;
    struct version *version;
    struct view *next; /* in the list of replaced views */
};

/* One thread's place; padded so that no two share a cache line. */
struct slot {
    _Atomic(struct view *) view;
    _Atomic uint64_t uses; /* of views, that are over */
    _Atomic uint64_t calls[LSM_TIME_SAMPLED];
    _Atomic uint64_t sample_at[LSM_TIME_SAMPLED]; /* the call to be measured next */
    _Atomic uint64_t hits, tables_searched, gap_jumps;
    _Atomic uint64_t filter_checked, filter_rejected, filter_false;
    _Atomic uint64_t random;
    _Atomic(struct hist *) times; /* LSM_TIME_SAMPLED of them, once measured */
    char pad[64];
} __attribute__((aligned(64)));

/* A write-ahead log that is still needed; wal is NULL for one replayed at open. */
struct log {
    uint64_t number;
    uint64_t bytes;
    struct wal *wal;
    bool synced;
    bool linked; /* a checkpoint has it, so it is never recycled */
    /* under sync_mu: */
    uint64_t durable; /* bytes of it that are, and its name */
    uint64_t noted;   /* how much of that the manifest tells */
    unsigned users;   /* who have wal in use without write_mu: it stays open */
    struct log *next; /* toward newer */
};

struct lsm_snapshot {
    uint64_t seq;
    struct lsm_snapshot *next, *prev;
};

/* Counters that writers and background threads keep. */
struct counters {
    _Atomic uint64_t user_bytes, wal_bytes, puts, deletes, range_deletes, batches, syncs;
    _Atomic uint64_t parts, dropped_tables;
    _Atomic uint64_t flushes, compactions, moves, flush_bytes, compact_read,
        compact_written;
    _Atomic uint64_t level_read[LSM_LEVELS], level_written[LSM_LEVELS];
    _Atomic uint64_t moved_bytes;
    _Atomic uint64_t failures; /* of flushes and compactions */
};

struct lsm {
    struct lsm_options o; /* as opened; of these the ones that hold: */
    struct {
        _Atomic unsigned sync_interval_ms;
        _Atomic uint64_t background_bytes_per_s;
        _Atomic int compression[LSM_LEVELS];
    } live;
    struct env *env;
    char *dir;
    struct store_format format; /* constant once it is open */
    struct env_lock *lock;
    struct memory memory;
    struct cache *cache; /* of memory */
    struct table_cache tables;
    struct vlog *vlog;
    struct counters count;
    struct hist times[LSM_TIMED - LSM_TIME_SAMPLED]; /* of what is always measured */
    _Atomic uint64_t next_number;
    _Atomic int error;          /* sticky: why the store is read-only */
    _Atomic bool checkpointing; /* one at a time */

    struct mutex manifest_mu;
    struct manifest *manifest;
    uint64_t manifest_log;       /* the log number of the last edit that had one */
    uint64_t old_manifest;       /* the number of the one that was read at open */
    struct edit_segment *sealed; /* what the manifest knows of segments; ascending */
    size_t n_sealed;

    struct rwlock values;

    struct mutex write_mu;
    uint64_t last_seq;
    uint64_t log_end; /* length of the active log */
    struct wal *wal;  /* of the active log, the last in `logs` */
    struct memtable *mem;
    uint64_t mem_user_bytes;        /* given to it, */
    uint64_t unpriced_bytes;        /* and since it was looked at; stall.c */
    struct publisher publisher;     /* of what readers see */
    _Atomic uint64_t last_write_ns; /* coarse: set by the timer */
    /* Changed under write_mu: */
    _Atomic uint64_t unsynced_bytes; /* users', since a sync was asked for */
    _Atomic bool often_synced;       /* so it is asked for after few of them */
    /* under write_mu: */
    uint64_t unsynced_batches, usual_batches; /* now, and before the last such sync */

    struct mutex sync_mu;
    bool syncing;
    uint64_t syncs_begun;
    pthread_cond_t sync_ended;              /* any; for who waits for one that runs, or
                                               for a log's users */
    struct sync_waiter *sync_waiters;       /* threads that want the next one, */
    struct sync_waiter **sync_waiters_end;  /* in the order they came */
    pthread_cond_t sync_wanted;             /* for the syncer, */
    struct lsm_sync_request *sync_requests; /* which has these to answer */
    struct lsm_sync_request **sync_requests_end;
    bool sync_taken; /* it has some, and syncs */
    unsigned n_sync_requests;
    bool sync_gathers;     /* it waits for most of */
    unsigned sync_crowd;   /* who asked before its last sync, and while that ran */
    uint64_t sync_took_ns; /* the last one */
    bool dir_dirty;        /* a log's name is not durable yet */
    uint64_t synced_seq;
    struct log *logs;   /* oldest first */
    uint64_t spare_log; /* an obsolete log kept for recycling; 0: none */

    struct mutex names_mu;

    struct mutex state_mu;
    pthread_cond_t work; /* for the background threads */
    pthread_cond_t room; /* for writers, and waiters for quiet */
    _Atomic(struct view *) view;
    struct view *replaced;
    _Atomic bool closing;
    bool flushing;
    unsigned compactions_running;
    struct split *splits;         /* large compactions whose parts are up for grabs */
    int flush_error;              /* of the last flush; 0 when it went well */
    struct segment_set victims;   /* segments to be emptied */
    uint64_t victims_count;       /* room_count when they were chosen: else they are stale */
    struct segment_set unmovable; /* segments that hold a damaged value */
    bool collecting;              /* a compaction runs on the victims' account */
    uint64_t *moving_floor; /* each of a compaction that may move values: these are in
                               segments from here on */
    unsigned n_moving;
    int compact_error;                  /* of the last compaction, likewise */
    uint64_t retry_at_ns;               /* db_paused_locked */
    _Atomic uint64_t damaged_tables;    /* found since it was opened */
    _Atomic uint64_t unreadable_tables; /* that the disk does not read just now... */
    uint64_t look_ns; /* ...and when to look at the first of them again; UINT64_MAX:
                         never, or somebody does */
    _Atomic bool purge_due, covered_due;
    _Atomic bool at_rest;           /* nothing was written for some time */
    pthread_cond_t tick;            /* wakes the timekeeper early */
    _Atomic uint64_t space_live;    /* of the value log: see db_space.c */
    _Atomic uint64_t space_mean;    /* live bytes of it for an entry of the tables */
    _Atomic uint64_t space_deleted; /* of the live bytes, by memtables and L0, about */
    _Atomic uint64_t space_held;    /* dead segments that old readers keep */
    _Atomic uint64_t space_stuck;   /* garbage beside damaged values */
    _Atomic uint64_t
        space_moving; /* moved by compactions that are not done: there twice */
    _Atomic bool has_reserve, low_space; /* reserve.c */
    _Atomic uint64_t room_count;         /* goes up when there turns out to be none */
    _Atomic bool need_room;              /* all memtables are full: writers wait first */
    struct rate rate;                    /* of compactions */
    _Atomic unsigned urgent;             /* somebody waits for them: no automatic rate */
    _Atomic uint64_t level_score_permille[LSM_LEVELS]; /* pick_score */
    /* What writers pay: stall.c. */
    _Atomic uint64_t price_ns_per_kib, flush_price_ns_per_kib;
    _Atomic uint64_t paid_ns;          /* what was written is paid for up to this time */
    _Atomic unsigned waiting;          /* memtables to flush, */
    _Atomic uint64_t waiting_bytes;    /* their bytes, */
    _Atomic uint64_t flush_done_bytes; /* and how many of them are done */
    _Atomic double flush_bytes_per_ns;

    struct gaps gaps; /* changed and asked under its own lock; added to under write_mu */

    struct mutex snap_mu;
    struct lsm_snapshot snaps; /* ring; ascending by seq */

    struct mutex dead_mu;
    uint64_t *dead; /* tables to delete */
    size_t n_dead, cap_dead;
    bool purging;

    pthread_t flusher, timer, syncer, *worker;
    bool has_flusher, has_timer, has_syncer;
    unsigned n_workers;

    uint64_t recovered_logs, recovered_batches, recovered_bytes, torn_bytes, recovery_ns;
    struct slot slot[SLOTS + 1]; /* the last: numbers of the threads without one */
};

/* ---- db.c: views, errors, numbers ---- */

/* This thread's slot in every store; NULL when there are more threads than slots. */
struct slot *db_slot(struct lsm *db);
/* The current view, safe until db_view_done with the same slot. */
struct view *db_view(struct lsm *db, struct slot *s);
void db_view_done(struct slot *s, struct view *v);
/* A counted reference to the current view. */
struct view *db_view_ref(struct lsm *db);
void db_view_unref(struct view *v);
/* Like the current view, with other parts; taken references are the new one's. */
struct view *db_view_new(struct memtable *mem, struct memtable *const *imm,
                         unsigned n_imm, struct version *version);
/* Make v (taken) current; the old one is freed when its readers are gone. */
void db_view_install_locked(struct lsm *db, struct view *v);
/* Free replaced views that nobody reads. Not under state_mu. */
void db_view_reap(struct lsm *db);
/* For the table cache: who has a view by his slot now, and whether he has left it. */
void db_note_readers(void *arg, struct short_readers *r);
bool db_readers_left(void *arg, struct short_readers *r);

/* ---- db_time.c: counting and measuring calls ---- */

/* Where the thread whose slot is s (may be NULL) counts. */
static inline struct slot *db_counts(struct lsm *db, struct slot *s)
{
    return s ? s : &db->slot[SLOTS];
}

/* Add to a counter that only this thread, or who holds its lock, adds to: no atomic
 * read-modify-write. */
static inline void db_count(_Atomic uint64_t *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* Add to a counter of db_counts(db, s). */
static inline void db_tally(struct slot *s, _Atomic uint64_t *c, uint64_t n)
{
    if (s)
        db_count(c, n);
    else
        atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}

/* One call in so many is measured. */
extern const unsigned db_sample_every[LSM_TIMED];
/* How many calls on the next measured one is, from one that was measured, and from
 * any other one: of what is spread evenly, what is left after a random moment is
 * distributed like the lesser of two. */
unsigned db_draw(struct lsm *db, struct slot *s, enum lsm_timed what);
unsigned db_draw_first(struct lsm *db, struct slot *s, enum lsm_timed what);
/* Call number `calls` is due: 0, or its start. Draws which is next. */
uint64_t db_sample(struct lsm *db, struct slot *s, enum lsm_timed what, uint64_t calls);
void db_sampled(struct lsm *db, struct slot *s, enum lsm_timed what, uint64_t start);

/* Count a call of a thread with slot s. The result is for db_timed_end. */
static inline uint64_t db_timed_begin(struct lsm *db, struct slot *s, enum lsm_timed what)
{
    struct slot *c = db_counts(db, s);
    uint64_t calls = atomic_load_explicit(&c->calls[what], memory_order_relaxed);

    db_tally(s, &c->calls[what], 1);
    if (calls < atomic_load_explicit(&c->sample_at[what], memory_order_relaxed))
        return 0;
    return db_sample(db, c, what, calls);
}

static inline void db_timed_end(struct lsm *db, struct slot *s, enum lsm_timed what,
                                uint64_t start)
{
    if (start)
        db_sampled(db, db_counts(db, s), what, start);
}

/* What is always measured (from LSM_TIME_SAMPLED on) took so long. */
void db_took(struct lsm *db, enum lsm_timed what, uint64_t ns);
void db_get_times(const struct lsm *db, enum lsm_timed what, struct hist_sum *out);
void db_times_free(struct lsm *db);

uint64_t db_new_number(struct lsm *db);
/* As memtable_new, counted in db->memory; with filters turned off, without one. */
struct memtable *db_memtable_new(struct lsm *db, size_t budget_bytes);
/* Note a failure after which nothing may be written; logged once. Returns rc. */
int db_fail(struct lsm *db, int rc, const char *what);
/*
 * Make the names of the store's files last. A sync of the directory stands for all names
 * made so far, whoever made them, and who syncs it next is not told that it failed: so
 * nobody does before that is noted, nor after.
 */
int db_sync_names(struct lsm *db);
/* Why writing is refused now: 0, -EROFS. */
int db_writable(struct lsm *db);

/* ---- db_install.c: changing what the store consists of ---- */

/*
 * Make the edit durable and its version current. imm (may be NULL) leaves the
 * view: it has become the edit's table. On failure nothing changed in memory. -ENOSPC:
 * nor on disk, try again when there is room; any other: who knows, and the store is
 * read-only.
 */
int db_install(struct lsm *db, struct edit *e, struct memtable *imm);
/* What the manifest knows of the segment; NULL: nothing. Under manifest_mu. */
const struct edit_segment *db_find_sealed(const struct lsm *db, uint64_t number);
/* Edit that describes everything, to begin a manifest with. */
int db_snapshot_edit(struct lsm *db, const struct version *v, uint64_t log_number,
                     struct edit *e);
/* db_install, for one who holds manifest_mu. */
int db_install_locked(struct lsm *db, struct edit *e, struct memtable *imm);
/*
 * Tell in the manifest how much of the logs is durable, unless it does: recovery can
 * tell a torn end from damage by what later frames say of it (wal.h), and the last
 * ones have none. Edits that are installed tell it, too; this is for a store at rest.
 */
void db_note_logs(struct lsm *db);
/* e, which tells of logs, is in the manifest. Under manifest_mu, or before threads. */
void db_learn_logs(struct lsm *db, const struct edit *e);
/* Delete files that nothing refers to any more: tables, segments. */
void db_purge(struct lsm *db);
/* Forget and delete logs below number, keeping one for recycling if keep_spare. */
void db_drop_logs(struct lsm *db, uint64_t number, bool keep_spare);
/* Delete the spare log, if any. */
void db_drop_spare(struct lsm *db);

/* ---- db_space.c: the space of the value log ---- */

/*
 * What is garbage in the version v, which is about to be current; view: the current
 * one, imm: of its memtables the one that v has as a table. Segments to be emptied go
 * to *victims, the room_count that they are of to *count. Under manifest_mu.
 */
int db_space_account(struct lsm *db, const struct version *v, const struct view *view,
                     struct memtable *imm, struct segment_set *victims, uint64_t *count);
/* The same for the version that is there: at opening, as nobody is to pay for garbage
 * that is none until the first flush; and on a full disk, where room decides. */
int db_space_again(struct lsm *db);
/* Something runs, or is about to, that may give space back. Under state_mu. */
bool db_space_coming_locked(struct lsm *db);
/* The value in segment cannot be read, so it stays where it is. */
void db_note_unmovable(struct lsm *db, uint64_t segment);
void db_purge_segments(struct lsm *db);
/* From here on a compaction may move values: where to, is not deleted before the end,
 * when tables refer to it. */
int db_moving_begin_locked(struct lsm *db, uint64_t *floor);
void db_moving_end_locked(struct lsm *db, uint64_t floor);
/* May a compaction under way have moved values there, that only it knows of? */
bool db_is_moved_to_locked(const struct lsm *db, const struct vlog_segment *s);
/* Bytes of values that b's deletes turn into garbage, about. May read: the tables at the
 * ends of a range are opened. */
uint64_t db_space_deletes(struct lsm *db, const struct lsm_batch *b);
/* Note in m that so many were. */
void db_space_note(struct lsm *db, struct memtable *m, uint64_t bytes);
/* The active memtable holds, points to or deletes as much as it may. Under write_mu. */
bool db_memtable_full(const struct lsm *db);
/* Nanoseconds to pay for b: for what it writes, and for a delete as much as writing a
 * value. A range delete is free. */
uint64_t db_space_price(struct lsm *db, const struct lsm_batch *b);
/* Wait while the log is as large as it may be and something is being done about it;
 * nanoseconds. No locks may be held. */
uint64_t db_space_wait(struct lsm *db);

/* ---- db_write.c ---- */

/*
 * lsm_write, unless a key of b was written after the sequence `since`: then
 * -ECANCELED, and nothing is applied. A snapshot at or before since must be alive.
 * IKEY_SEQ_MAX: do not ask.
 */
int db_write(struct lsm *db, struct lsm_batch *b, enum lsm_durability d, uint64_t since);
/* Bytes that a log takes at least while it is written to. */
uint64_t db_log_chunk(const struct lsm_options *o);
/* A new log, made the active one. Under write_mu (or before threads start). */
int db_new_log_locked(struct lsm *db);
/* Make the active memtable a waiting one, with a new log. Under write_mu.
 * -EAGAIN when too many are waiting: from now on writers wait until one is flushed. */
int db_switch_locked(struct lsm *db);

/* ---- db_sync.c ---- */

/* Everything up to seq survives power loss when it returns 0. */
int db_sync_to(struct lsm *db, uint64_t seq);
/* The same, as somebody who writes wants it: such syncs are what is to be expected. */
int db_sync_asked(struct lsm *db, uint64_t seq);
/* What is written is to survive the process, and only a sync makes it. */
bool db_syncs_each(const struct lsm *db);
/* Is b, written as d says, likely to be synced before much else is? Then its values
 * travel in the log. */
bool db_sync_is_near(struct lsm *db, const struct lsm_batch *b, enum lsm_durability d);
/* So many user's bytes were written. Under write_mu. */
void db_note_unsynced_locked(struct lsm *db, size_t bytes);
/* After a batch that nobody syncs yet. */
void db_expect_sync(struct lsm *db);
/* Wait for the sync that runs, if one does: it may use what another thread has just taken
 * out of the list of logs. Under sync_mu, which it drops meanwhile. */
void db_wait_sync_locked(struct lsm *db);
/* The thread that answers lsm_sync_notify; 0 or a positive errno. */
int db_syncer_start(struct lsm *db);
/* All that was asked is answered. db->closing is set. */
void db_syncer_stop(struct lsm *db);

/* ---- stall.c ---- */

/* Before a write: pay for it, by sleeping if need be. No locks may be held. */
void db_throttle(struct lsm *db, const struct lsm_batch *b);
/*
 * All memtables are full: wait for a flush. No locks may be held. -ENOSPC when
 * flushing fails for want of space: then writing does, too.
 */
int db_wait_for_room(struct lsm *db);
/* The version or the garbage changed. Under state_mu. */
void db_set_delay_locked(struct lsm *db);
/* The memtables waiting to be flushed changed. Under state_mu. */
void db_count_waiting_locked(struct lsm *db);
/* So many user's bytes were written. Under write_mu. */
void db_price_flush_locked(struct lsm *db, size_t bytes);
/* A memtable of so many bytes was flushed in so much time. */
void db_note_flush(struct lsm *db, uint64_t bytes, uint64_t ns);

/* ---- reserve.c ---- */

/* Bytes that the reserve takes. */
uint64_t db_reserve_bytes(const struct lsm_options *o);
/* Recovery is about to write: on a full disk it lives on the reserve that a crash left.
 */
void db_reserve_open(struct lsm *db);
/* Have the reserve, if there is room for it; then the disk is not full any more. */
void db_reserve_take(struct lsm *db);
/* The disk is full. True when room was made: it is worth another try. */
bool db_reserve_release(struct lsm *db);
/* At a clean end; on a disk that is nearly full it is left there, for the next opening.
 */
void db_reserve_drop(struct lsm *db);
/* Bytes that may be moved before that gives any back: on a full disk, what there is but
 * half of the reserve, which is for logs, for tables of what deletes, and the manifest.
 */
uint64_t db_reserve_room(struct lsm *db);
/* Is the batch one that is taken now? When the disk is full: one that deletes. */
bool db_reserve_admits(const struct lsm *db, const struct lsm_batch *b);

/* ---- db_read.c ---- */

/* Where a key's newest version at seq is, without its value. Result of a
 * lookup that is valid while v is. */
int db_find(struct view *v, struct lookup *l);

/* ---- db_iter_make.c ---- */

/* lsm_iter_new that also sees the writes in own (may be NULL), which it takes a
 * reference to, from TXN_SEQ up to own_seq. */
int db_iter_new(struct lsm *db, const struct lsm_iter_options *o, struct memtable *own,
                uint64_t own_seq, struct lsm_iter **out);

/* ---- txn.c ---- */

/* Is a key that b puts or deletes written after the sequence `since`, as far as is
 * in the memtables? 0: no; -ECANCELED: yes; or an error. */
int db_find_conflict(struct lsm *db, const struct lsm_batch *b, uint64_t since);

/* ---- db_bg.c ---- */

int db_bg_start(struct lsm *db);
/* Stop and join the threads; what they were doing is given up. */
void db_bg_stop(struct lsm *db);
/* There is something to flush or to compact. */
void db_bg_wake_locked(struct lsm *db);
/* With workers == 0: do the work that is due, here. */
void db_bg_inline(struct lsm *db);
/* Flush the oldest waiting memtable, if any. */
int db_flush_one(struct lsm *db);
struct pick_options db_pick_options(struct lsm *db);

/* ---- compact.c ---- */

/*
 * Merge sorted input into tables, dropping what no reader can see. Appends the
 * outputs to e at output_level: their bytes are durable, their names not yet. With
 * lower and upper only the user keys in [lower, upper); jobs of one compaction that
 * share out the keys may run at once. A failed one leaves outputs in e: compact_undo.
 */
struct compact_job {
    struct lsm *db;
    struct iter *input;                   /* borrowed */
    const struct range_tombstone *ranges; /* of all inputs, any order; borrowed */
    size_t n_ranges;
    const struct slice *lower, *upper; /* NULL: open */
    unsigned output_level;
    struct memtable *flush;        /* whose content it is: one output, never cut */
    bool separate;                 /* its large values go to the value log */
    const struct version *version; /* for the bottom and the grandparents */
    const struct compaction *c;    /* NULL for a flush */
    struct edit *e;
    uint64_t written; /* out: bytes */
    uint64_t moved;   /* out: bytes of values moved */
};
int compact_run(struct compact_job *job);
/* After all jobs, before the edit. moved: values, too, have new places. */
int compact_make_durable(struct lsm *db, bool moved);
/* Remove the outputs that e names (moved ones are zeroed: nothing): nobody will. */
void compact_undo(struct lsm *db, const struct edit *e);

/* ---- db_compact.c ---- */

/* The last compaction failed, and it is not time yet to try again. Who asks for one need
 * not wait for that. Under state_mu. */
bool db_paused_locked(struct lsm *db);
/* Choose a compaction (with full, one of a full compaction) and mark its inputs.
 * False: nothing to do. *v is referenced. Under state_mu. */
bool db_choose_locked(struct lsm *db, bool full, struct version **v,
                      struct compaction *c);
/* Do c, which this takes, as v, and with them what db_choose_locked marked. */
int db_compact_one(struct lsm *db, struct version *v, struct compaction *c);
/* Of the inputs of c, which failed: how many tables are damaged or unreadable that were
 * not known to be (db_damage.c). Reads all of them; no locks may be held. */
unsigned db_find_damage(struct lsm *db, const struct compaction *c);
/* Is it time to see whether tables that could not be read can be? Then db_look_again
 * does, which reads; no locks may be held. */
bool db_look_due_locked(struct lsm *db);
void db_look_again(struct lsm *db);
/* Let go of tables that range deletes hide (covered.h). Reads; no locks may be held. */
int db_drop_covered(struct lsm *db);
/* Do a part of a large compaction that another thread has under way, if there is one
 * to be had. Drops and takes state_mu. */
bool db_help_locked(struct lsm *db);

/* ---- db_recover.c ---- */

/* Read the manifest and the logs of db->dir into db. */
int db_recover(struct lsm *db);

/* Snapshots alive, ascending, plus the current sequence; malloc'ed. */
int db_snapshots(struct lsm *db, uint64_t **seqs, size_t *n);

#endif
