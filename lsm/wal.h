/*
 * wal.h - write-ahead log: append payloads, replay them after a crash.
 *
 * A log file "N.log" is a header frame and then frames, one for each payload
 * (a committed batch). Each frame carries a checksum seeded with the log's
 * number and the frame's offset, so that old bytes of a recycled file are never
 * taken for new; and the offset up to which the log was known to be synced when
 * the frame was written, so that recovery can tell a torn tail from damage.
 * Bytes: FORMAT.md, "WAL".
 *
 * The writer is not thread-safe: the commit queue serializes, except that
 * wal_sync may run beside wal_append.
 */
#ifndef LSM_WAL_H
#define LSM_WAL_H

#include "buf.h"
#include "env.h"

struct wal;

struct wal_create {
    struct env *env;
    const char *path;
    uint64_t number;
    uint64_t prev_number; /* the log before this one; 0: none */
    uint64_t prev_length; /* its final length in bytes */
    uint64_t preallocate; /* bytes; 0: none */
    bool reuse;           /* path exists and is overwritten */
};

/* Writes the header. The name is not durable before an env_sync_dir. */
int wal_create(const struct wal_create *c, struct wal **out);

/*
 * Append one frame, the parts joined; in the page cache (or better) when it
 * returns. *end: the log's length after it. On error nothing was appended.
 */
int wal_append(struct wal *w, const struct slice *parts, unsigned n, uint64_t *end);

/* Everything appended before the call is durable on 0. Never retry after an
 * error: the kernel may have dropped the pages. */
int wal_sync(struct wal *w);
/*
 * The same, but frames to come claim only what lies before upto: for logs whose
 * frames point to other files, synced up to there before this call.
 */
int wal_sync_upto(struct wal *w, uint64_t upto);

/* A sync is to come: what can be on its way before is. */
void wal_begin_sync(struct wal *w);

/* Is the log to be synced after every few appends? Beside no append. */
void wal_often_synced(struct wal *w, bool often);

uint64_t wal_length(const struct wal *w);
uint64_t wal_number(const struct wal *w);

/* Cuts preallocated space off if `trim`. A sync that failed is told here, too: nobody is
 * to count on the length. Frees w in any case; NULL is fine. */
int wal_close(struct wal *w, bool trim);

/* ---- replay ---- */

struct wal_replay {
    uint64_t number;      /* in: expected, from the name */
    bool have_header;     /* out: false for a log torn at its very start */
    uint64_t prev_number; /* out: from the header */
    uint64_t prev_length;
    uint64_t length;     /* out: where the last good frame ends */
    uint64_t synced;     /* out: greatest synced offset any good frame tells, also
                            of frames after a tear */
    bool torn;           /* out: ended before the end of what was written: a frame
                            cut or damaged beyond what is known to be synced. Also
                            what a failed append left; so whether something is
                            missing, the next log's prev_length tells */
    uint64_t torn_bytes; /* out: bytes not replayed, as far as can be told */
};

/*
 * Call fn for each payload in order; its non-zero result ends the replay and is
 * returned (fn may return WAL_STOP to end it as if the log were torn there).
 * 0 at the end or at a torn tail; -EUCLEAN (logged) when a frame is bad that a
 * later frame proves to have been synced; -EPROTONOSUPPORT for a newer format.
 */
enum { WAL_STOP = 1 };
/* end: where the frame ends in the log; synced: see struct wal_replay. */
typedef int wal_replay_fn(void *arg, struct slice payload, uint64_t end);
int wal_replay(struct env *env, const char *path, struct wal_replay *r, wal_replay_fn *fn,
               void *arg);

#endif
