/*
 * lock.h - mutexes and reader-writer locks that know their place in the order.
 *
 * Every lock has a rank. A thread takes locks in ascending rank; built with
 * -DLOCK_CHECK (the sanitizer and test builds), taking one out of order
 * aborts. The whole order, outermost first:
 */
#ifndef LSM_LOCK_H
#define LSM_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum lock_rank {
    /* mount/ */
    LOCK_SIGNALS = 10,
    LOCK_BROWSE = 20,
    LOCK_EVICT = 30,
    /* fs/ (fs.h says more) */
    LOCK_FS_RENAME = 100,
    LOCK_FS_INODE = 110, /* several at once: see fs.h */
    LOCK_FS_TABLE = 120,
    LOCK_FS_NAMES = 122,
    LOCK_FS_USAGE = 124,
    LOCK_FS_DEAD = 125,
    LOCK_FS_QUOTA = 127,
    LOCK_FS_STATE = 130,
    /* lsm/ (db_impl.h says more) */
    LOCK_DB_MANIFEST = 200,
    LOCK_DB_VALUES = 205,
    LOCK_PACKER = 207,
    LOCK_DB_WRITE = 210,
    LOCK_DB_SYNC = 220,
    LOCK_VLOG_SYNC = 228,
    LOCK_DB_NAMES = 229,
    LOCK_VLOG = 230,       /* appends */
    LOCK_VLOG_FILES = 232, /* the list of segments; no I/O under it */
    LOCK_DB_STATE = 240,
    LOCK_SNAPSHOTS = 250,
    LOCK_MEMTABLE = 260,
    LOCK_SKIP_LATER = 262,
    LOCK_TABLE_CACHE = 270,
    LOCK_CACHE = 280,
    LOCK_ARENA = 290,
    LOCK_SPARE = 292,
    LOCK_DB_DEAD = 300,
    LOCK_GAPS = 310, /* gaps.h */
    LOCK_ENV_CACHE = 315,
    LOCK_ENV_MEMORY = 320,
    LOCK_ENV_RADOS_CATALOG = 330, /* env_rados_impl.h */
    LOCK_ENV_RADOS_NAMES = 332,
    LOCK_ENV_RADOS_FILE = 334,
    LOCK_ENV_RADOS_LIST = 336,
    LOCK_ENV_RADOS_SPARE = 337,
    LOCK_ENV_RADOS_CONN = 338,
    /* mount/ again: what any layer may come to with its locks held */
    LOCK_SESSION = 400, /* by the block hook (env.h) */
    LOCK_LOG = 410,     /* by err_log */
};

/* There may be millions of locks: a rank that nobody checks takes no room. */
#ifdef LOCK_CHECK
#define LOCK_RANK_FIELD     int rank;
#define LOCK_RANK(l)        ((l)->rank)
#define LOCK_RANK_SET(l, r) ((l)->rank = (r))
#define MUTEX_INITIALIZER(rank)                                                          \
    {                                                                                    \
        PTHREAD_MUTEX_INITIALIZER, rank                                                  \
    }
#else
#define LOCK_RANK_FIELD
#define LOCK_RANK(l)        0
#define LOCK_RANK_SET(l, r) ((void)(l), (void)(r))
#define MUTEX_INITIALIZER(rank)                                                          \
    {                                                                                    \
        PTHREAD_MUTEX_INITIALIZER                                                        \
    }
#endif

struct mutex {
    pthread_mutex_t m;
    LOCK_RANK_FIELD
};

struct rwlock {
    pthread_rwlock_t l;
    LOCK_RANK_FIELD
};

#ifdef LOCK_CHECK
/* Note that this thread takes (gives back) a lock of that rank; equal ranks may
 * nest only with nested != 0. Aborts on a violation. */
void lock_note_take(int rank, int nested);
void lock_note_give(int rank);
#else
static inline void lock_note_take(int rank, int nested)
{
    (void)rank;
    (void)nested;
}
static inline void lock_note_give(int rank)
{
    (void)rank;
}
#endif

void mutex_init(struct mutex *m, enum lock_rank rank);
void mutex_release(struct mutex *m);

static inline void mutex_lock(struct mutex *m)
{
    lock_note_take(LOCK_RANK(m), 0);
    pthread_mutex_lock(&m->m);
}

/* False: another has it. */
static inline bool mutex_trylock(struct mutex *m)
{
    if (pthread_mutex_trylock(&m->m))
        return false;
    lock_note_take(LOCK_RANK(m), 0);
    return true;
}

static inline void mutex_unlock(struct mutex *m)
{
    pthread_mutex_unlock(&m->m);
    lock_note_give(LOCK_RANK(m));
}

static inline void cond_wait(pthread_cond_t *c, struct mutex *m)
{
    pthread_cond_wait(c, &m->m);
}

/* A condition variable on the monotonic clock, for cond_wait_ns. */
void cond_init(pthread_cond_t *c);
/* Waits at most ns; 0 or -ETIMEDOUT. */
int cond_wait_ns(pthread_cond_t *c, struct mutex *m, uint64_t ns);

void rwlock_init(struct rwlock *l, enum lock_rank rank);
void rwlock_release(struct rwlock *l);

/* A thread that has to wait tells the block hook (env.h) first: the holder may be
 * in the middle of a disk access. */
void rwlock_read_wait(struct rwlock *l);
void rwlock_write_wait(struct rwlock *l);

static inline void rwlock_read(struct rwlock *l)
{
    lock_note_take(LOCK_RANK(l), 0);
    if (pthread_rwlock_tryrdlock(&l->l))
        rwlock_read_wait(l);
}

static inline void rwlock_write(struct rwlock *l)
{
    lock_note_take(LOCK_RANK(l), 0);
    if (pthread_rwlock_trywrlock(&l->l))
        rwlock_write_wait(l);
}

/* For the second and later locks of one rank, in the order its owner defines. */
static inline void rwlock_write_nested(struct rwlock *l)
{
    lock_note_take(LOCK_RANK(l), 1);
    if (pthread_rwlock_trywrlock(&l->l))
        rwlock_write_wait(l);
}

/* The same where no order is kept: false when it would have to wait. */
static inline bool rwlock_try_write_nested(struct rwlock *l)
{
    if (pthread_rwlock_trywrlock(&l->l))
        return false;
    lock_note_take(LOCK_RANK(l), 1);
    return true;
}

static inline void rwlock_unlock(struct rwlock *l)
{
    pthread_rwlock_unlock(&l->l);
    lock_note_give(LOCK_RANK(l));
}

#endif
