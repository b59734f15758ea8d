/*
 * table_cache.h - table files that are alive; open while they are read, and closed
 * when they take more memory, or descriptors, than there is for them.
 *
 * A tfile is one table of one or more versions. It is counted; when the last
 * reference goes and it was marked obsolete, it is handed to the owner, who
 * deletes the file.
 *
 * Its open table may be closed at any time (the coldest first: CLOCK), so who
 * reads it does one of two things:
 *   - a *pin* keeps it open, for as long as you like: two atomic operations on a
 *     line that all readers of the table share. Iterators and compactions pin.
 *   - a *short reader* takes none. It announces itself to the owner before it asks
 *     for the table and until it is done with it; a closed table is freed when all
 *     that were announced at that time have left. See table_cache.c, "limbo".
 */
#ifndef LSM_TABLE_CACHE_H
#define LSM_TABLE_CACHE_H

#include <stdatomic.h>

#include "memory.h"
#include "table.h"

enum { SHORT_READERS = 64 };

/* Those that were announced at one moment and are not known to have left yet. */
struct short_readers {
    uint64_t busy; /* one bit each */
    uint64_t uses[SHORT_READERS];
};

/* How much may be open, and who reads. */
struct table_cache_limits {
    struct memory *memory;
    unsigned max_open; /* files */
    /* Who is announced now? Under our mu; so is the next. */
    void (*note_readers)(void *arg, struct short_readers *r);
    /* Have they all left, be it to come again? Clears the bits of those who have. */
    bool (*readers_left)(void *arg, struct short_readers *r);
};

struct tfile {
    /* What short readers look at: written when it is opened or closed. */
    _Atomic(struct table *) table; /* NULL: not open */
    _Atomic bool visited;          /* used since the clock hand passed */
    _Atomic bool obsolete;
    bool compacting;       /* under the database's state lock */
    _Atomic bool left_out; /* a compaction could not read it: db_damage.c, and there */
    uint64_t look_ns; /* when it is tried to read it again (0: never, it is damaged), */
    uint64_t wait_ns; /* and how long that was put off */
    struct table_cache *home;
    struct table_meta meta;
    _Atomic uint64_t deleted_bytes; /* of one in L0: memtable_place's of its memtable */

    _Alignas(64) _Atomic unsigned refs;
    _Atomic unsigned pins;
    struct tfile *next, *prev;           /* all alive; under home->mu */
    struct tfile *open_next, *open_prev; /* ring of the open ones; likewise */
};

/* Tables that are closed, and may still be read. */
struct limbo {
    struct table *first;
    struct short_readers readers;
};

struct table_cache {
    struct env *env;
    const char *dir;
    struct cache *blocks;
    struct table_cache_limits limits; /* without memory: all stay open */
    /* The last reference to an obsolete file went: takes its number. Called
     * without locks of ours, on any thread. */
    void (*dead)(void *arg, uint64_t number);
    void *arg;       /* for dead and the limits' functions */
    struct mutex mu; /* LOCK_TABLE_CACHE */
    struct tfile *alive;
    struct tfile *hand; /* in the ring of open tables; NULL: there are none */
    unsigned n_open;
    size_t open_bytes;
    uint64_t opened, closed; /* for want of room; so far */
    size_t limbo_bytes;      /* of limbo and fresh */
    unsigned n_limbo;        /* likewise */
    struct limbo limbo;      /* waiting for its readers to leave */
    struct table *fresh;     /* closed since; they wait next */
};

void table_cache_init(struct table_cache *c, struct env *env, const char *dir,
                      struct cache *blocks, void (*dead)(void *arg, uint64_t number),
                      void *arg);
/* Before any table is opened. */
void table_cache_limit(struct table_cache *c, const struct table_cache_limits *limits);
void table_cache_release(struct table_cache *c);

/* Copies meta; one reference is the caller's. -ENOMEM. */
int tfile_new(struct table_cache *c, const struct table_meta *meta, struct tfile **out);
void tfile_ref(struct tfile *f);
void tfile_unref(struct tfile *f);

/* Not to be compacted: it is already, or cannot be. Under the database's state lock. */
static inline bool tfile_is_busy(const struct tfile *f)
{
    return f->compacting || atomic_load(&f->left_out);
}

/* As tfile_borrow, when it is not open. */
int tfile_open(struct tfile *f, struct table **out);

/* For short readers and those with a pin: the open table, borrowed. Opens it if
 * need be: -EUCLEAN, -EIO ... */
static inline int tfile_borrow(struct tfile *f, struct table **out)
{
    /* Sequentially consistent: not before the reader was announced. */
    struct table *t = atomic_load(&f->table);

    if (__builtin_expect(!t, 0))
        return tfile_open(f, out);
    /* Looked at first: all readers share the line, and mostly it is set. */
    if (!atomic_load_explicit(&f->visited, memory_order_relaxed))
        atomic_store_explicit(&f->visited, true, memory_order_relaxed);
    *out = t;
    return 0;
}

/* Keep it open (and open it, as above) until tfile_unpin. Pinning for a compaction
 * does not make it count as used. */
int tfile_pin(struct tfile *f, enum table_iter_use use, struct table **out);
void tfile_unpin(struct tfile *f);
/* Keep it open if it is; false: it is not, and nothing is pinned. Not a use. */
bool tfile_pin_open(struct tfile *f, struct table **out);

/* Over the points of f, which it keeps open; f itself must outlive it. */
int tfile_iter(struct tfile *f, enum table_iter_use use, struct iter **out);

/* Close what is too much, and free what nobody reads any more. Opening does so,
 * too. */
void table_cache_tend(struct table_cache *c);

struct table_cache_stats {
    unsigned open;
    uint64_t opened, closed;
};
void table_cache_get_stats(struct table_cache *c, struct table_cache_stats *s);

/* fn for each value-log segment that a live table refers to, with repetitions,
 * and the bytes it refers to; under c->mu. */
typedef void segment_fn(void *arg, uint64_t segment, uint64_t bytes);
void table_cache_segments(struct table_cache *c, segment_fn *fn, void *arg);

#endif
