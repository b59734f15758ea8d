/*
 * env_cache_impl.h - what the env_cache*.c files share: a cache, and blocks on their way.
 *
 * A block is *on its way* from when somebody has begun to fetch it until it is in a slot:
 * who else wants it waits for that one read, or takes it from memory. One thread, the
 * writer, puts blocks into slots, so that nobody waits for the directory's disk who only
 * reads the store.
 */
#ifndef LSM_ENV_CACHE_IMPL_H
#define LSM_ENV_CACHE_IMPL_H

#include <stdatomic.h>

#include "env_cache.h"
#include "env_cache_shelf.h"
#include "env_cache_slots.h"
#include "lock.h"

enum {
    RUN_BLOCKS = 16,   /* fetched by one read of the store, at most: 1 MiB */
    QUEUE_BLOCKS = 64, /* that wait to be written, at most: 4 MiB */
    WAY_BUCKETS = 256, /* of blocks on their way */
};

/* Neighbouring blocks in memory, as they were fetched. */
struct run {
    unsigned refs; /* by blocks on their way */
    uint8_t data[];
};

enum way_state { WAY_FETCHING, WAY_HERE, WAY_FAILED };

struct on_way {
    struct on_way *next;  /* of the bucket */
    struct on_way *later; /* of the queue */
    uint64_t key;
    uint64_t page_seed, first_page; /* of its file; its first page there */
    struct run *run;
    size_t at, len; /* in the run */
    enum way_state state;
    unsigned refs;
    bool listed; /* in a bucket: not forgotten since */
    uint8_t heat;
};

struct cache_counts {
    _Atomic uint64_t hits, misses, hit_bytes, fetched_bytes, stored_bytes, skipped,
        damaged;
};

struct cache {
    struct env base;
    struct env *under;
    char *dir;
    struct shelves shelves;
    uint64_t keep_free;
    uint64_t look_after_ns; /* that much time */
    atomic_bool off;
    pthread_t writer;
    struct cache_counts count;

    struct mutex mu; /* of all below; no reading or writing under it */
    struct slots slots;
    uint32_t grow_to; /* slots that there is room for, as far as is known */
    uint64_t look_ns; /* not to ask again before */
    struct on_way *bucket[WAY_BUCKETS];
    struct on_way *first, **last; /* the queue */
    unsigned n_queued;
    bool behind; /* somebody has waited in vain for room in the queue */
    bool stop;
    pthread_cond_t queued, arrived, written;
};

/* ---- env_cache_way.c ---- */

/* Under mu, all of them. NULL: it is not on its way. */
struct on_way *way_find_locked(struct cache *c, uint64_t key);
/* A block of a run that is begun to be fetched; takes a reference to the run. NULL: no
 * memory. The result has a reference, the caller's. */
struct on_way *way_begin_locked(struct cache *c, uint64_t key, struct run *run);
/* It has arrived, or (heat < 0) it has not. Gives the caller's reference back. May wait
 * for room in the queue, some milliseconds, with mu dropped. */
void way_end_locked(struct cache *c, struct on_way *w, int heat);
void way_put_locked(struct cache *c, struct on_way *w);
/* It is not what is there any more. */
void way_forget_locked(struct cache *c, struct on_way *w);
/* An empty run for so many blocks, with a reference. */
struct run *run_new(unsigned blocks);
void run_put_locked(struct run *r);

/* ---- env_cache_file.c, env_cache_read.c ---- */

/* A file of which blocks are kept, in front of `under`, which it takes; or that itself,
 * if it cannot be told who it is. */
struct env_file *cached_file_new(struct cache *c, struct env_file *under,
                                 const char *name, bool appended);
/* What this thread reads from here on is not worth being kept. */
void cache_in_background(void);

/* ---- env_cache_write.c ---- */

int cache_start_writer(struct cache *c);
/* After all that waits has been written. */
void cache_stop_writer(struct cache *c);
/* The directory cannot be used any more: say why, once. Not under mu. */
void cache_turn_off(struct cache *c, const char *why);

#endif
