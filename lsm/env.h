/*
 * env.h - the engine's only door to the operating system.
 *
 * Implementations: env_posix.c (a directory), env_rados.c (an object store) and, for the
 * tests, tests/env_mem.c (knows what was synced; crashes and fails on demand). Paths are strings that
 * the engine builds as "<store>/<name>". Files are written append-only; the
 * only file ever overwritten is a recycled log (ENV_REUSE).
 *
 * Durability, as POSIX has it and no more: bytes last after env_file_sync, a
 * file's name (created, renamed, linked, removed) after env_sync_dir.
 *
 * Every call is safe from any thread, except that one env_file is appended to
 * and truncated by one thread at a time (reads and syncs may run beside it). All
 * return 0 or -errno; EINTR and short transfers are dealt with inside. -ENOSPC (also for
 * a quota) means that nothing came of the call for want of room, and it may be tried
 * again; so no sync returns it: what that has lost, room does not bring back (-EIO).
 */
#ifndef LSM_ENV_H
#define LSM_ENV_H

#include <errno.h>

#include "slice.h"

#ifdef __cplusplus
extern "C" {
#endif

enum env_mode {
    ENV_READ,   /* existing file, reading only */
    ENV_CREATE, /* new file (-EEXIST if there is one); append and read */
    ENV_REUSE,  /* existing file; the append position starts at 0, and old bytes
                   stay until overwritten, or are gone (RADOS) */
};

enum { ENV_IDENTITY = 32 };

struct env;
struct env_lock;

struct env_file {
    const struct env_file_ops *ops;
};

struct env_file_ops {
    int (*pread)(struct env_file *f, uint64_t off, void *to, size_t len, size_t *got);
    int (*append)(struct env_file *f, const struct slice *parts, unsigned n);
    int (*sync)(struct env_file *f);
    int (*truncate)(struct env_file *f, uint64_t size);
    int (*size)(struct env_file *f, uint64_t *size);
    void (*readahead)(struct env_file *f, uint64_t off, size_t len);
    void (*writeback)(struct env_file *f, uint64_t off, size_t len); /* may be NULL */
    uint64_t (*next_data)(struct env_file *f, uint64_t off);         /* may be NULL */
    void (*forget)(struct env_file *f, uint64_t off, size_t len);    /* may be NULL */
    void (*ask_store)(struct env_file *f, uint64_t off, size_t len); /* may be NULL */
    void (*often_synced)(struct env_file *f, bool often);            /* may be NULL */
    bool (*in_small_pieces)(struct env_file *f);                     /* may be NULL */
    int (*identity)(struct env_file *f, uint8_t id[ENV_IDENTITY]);   /* may be NULL */
    int (*close)(struct env_file *f);
};

typedef int env_list_fn(void *arg, const char *name);

struct env_ops {
    int (*open)(struct env *e, const char *path, enum env_mode mode, uint64_t preallocate,
                struct env_file **out);
    int (*rename)(struct env *e, const char *from, const char *to);
    int (*unlink)(struct env *e, const char *path);
    int (*link)(struct env *e, const char *from, const char *to);
    int (*mkdir)(struct env *e, const char *path);
    int (*rmdir)(struct env *e, const char *path);
    int (*list)(struct env *e, const char *path, env_list_fn *fn, void *arg);
    int (*sync_dir)(struct env *e, const char *path);
    int (*stat)(struct env *e, const char *path, uint64_t *size);
    int (*same)(struct env *e, const char *a, const char *b);
    int (*lock)(struct env *e, const char *path, bool shared, struct env_lock **out);
    void (*unlock)(struct env *e, struct env_lock *l);
    int (*space)(struct env *e, const char *path, uint64_t *total, uint64_t *avail);
    bool (*full)(struct env *e); /* may be NULL */
    uint64_t (*now_ns)(struct env *e);
    void (*sleep_ns)(struct env *e, uint64_t ns);
    void (*background)(struct env *e); /* may be NULL */
};

struct env {
    const struct env_ops *ops;
    bool appends_in_memory; /* until a sync, what was appended ends with the process */
};

/* The process's directory env. Never freed. */
struct env *env_posix(void);

/*
 * Called on a thread about to wait for a disk or for other threads (a read not
 * in the page cache, a sync, a write stall), never with engine locks that
 * others need. A server uses it to let another thread take over, which is not worth it
 * when the wait is brief: that for a read, or the sync of a file that is often synced, if
 * the disk is fast. Process-wide; set before the first store is opened. NULL: none.
 */
enum env_wait { ENV_WAIT_ANY, ENV_WAIT_BRIEF };
typedef void env_block_fn(enum env_wait what);
void env_set_block_hook(env_block_fn *fn);
void env_about_to_block(void);
void env_about_to_wait_briefly(void);

/* How many files this process may have open. */
unsigned env_files_max(void);

/* As malloc and free, aligned to 64; but what is large comes from the system and goes
 * back to it, where malloc may keep it, or scatter small pieces over it. In huge pages
 * when it is a whole number of ENV_HUGE bytes, or when the process has much of it. */
enum { ENV_HUGE = 2 << 20 };
void *env_alloc(size_t bytes);
/* The same, in small pages: they are had at once, and one by one. */
void *env_alloc_pages(size_t bytes);
void env_free(void *p, size_t bytes);

/*
 * Open path. preallocate > 0 (with ENV_CREATE or ENV_REUSE) asks for that much
 * space now, and again each time it is used up; the file's size may then exceed
 * what was appended, and the rest reads as zeros or, with ENV_REUSE, as old
 * bytes. (RADOS sets room aside only for a file that is closed without an append.) An
 * ENV_CREATE file is mode 0600, and belongs to the
 * directory's owner when root makes it. A symbolic
 * link is -ELOOP, all else that is not a regular file -EUCLEAN (logged).
 */
static inline int env_open(struct env *e, const char *path, enum env_mode mode,
                           uint64_t preallocate, struct env_file **out)
{
    return e->ops->open(e, path, mode, preallocate, out);
}

/* Reads up to len bytes; *got < len only at the end of the file. */
static inline int env_file_pread(struct env_file *f, uint64_t off, void *to, size_t len,
                                 size_t *got)
{
    return f->ops->pread(f, off, to, len, got);
}

/*
 * Write the parts, one after the other, at the append position, and move it.
 * On error the position stays: the next append overwrites what got through.
 */
static inline int env_file_append(struct env_file *f, const struct slice *parts,
                                  unsigned n)
{
    return f->ops->append(f, parts, n);
}

/* Data, and the metadata needed to read it back (fdatasync). */
static inline int env_file_sync(struct env_file *f)
{
    return f->ops->sync(f);
}

/* Cut or extend to size; gives preallocated space beyond it back, and ends
 * preallocation. Extending leaves the append position (RADOS: moves it to the end). */
static inline int env_file_truncate(struct env_file *f, uint64_t size)
{
    return f->ops->truncate(f, size);
}

static inline int env_file_size(struct env_file *f, uint64_t *size)
{
    return f->ops->size(f, size);
}

/* A hint; nothing happens if it cannot be followed. */
static inline void env_file_readahead(struct env_file *f, uint64_t off, size_t len)
{
    f->ops->readahead(f, off, len);
}

/*
 * A hint: begin to write these bytes to the disk, so that the sync to come has less
 * to do and no burst to make. Makes nothing durable.
 */
static inline void env_file_writeback(struct env_file *f, uint64_t off, size_t len)
{
    if (f->ops->writeback)
        f->ops->writeback(f, off, len);
}

/* The first offset at or after off that is not in a hole, as far as can be told; off
 * when nothing is known, UINT64_MAX when there is only a hole. Holes read as zeros. */
static inline uint64_t env_file_next_data(struct env_file *f, uint64_t off)
{
    return f->ops->next_data ? f->ops->next_data(f, off) : off;
}

/* A hint: what of these bytes is in memory only to be read faster goes, so that the
 * next read shows what is on the disk. */
static inline void env_file_forget(struct env_file *f, uint64_t off, size_t len)
{
    if (f->ops->forget)
        f->ops->forget(f, off, len);
}

/* The same for the reads of this thread alone, up to its next such hint: copies elsewhere
 * (env_cache.h) stay as they are. For who checks what is on the disk. */
static inline void env_file_ask_store(struct env_file *f, uint64_t off, size_t len)
{
    if (f->ops->ask_store)
        f->ops->ask_store(f, off, len);
    else
        env_file_forget(f, off, len);
}

/*
 * A hint to who appends: a sync follows every few appends to this preallocated file, or
 * none is near. To be given like an append, one thread at a time.
 */
static inline void env_file_often_synced(struct env_file *f, bool often)
{
    if (f->ops->often_synced)
        f->ops->often_synced(f, often);
}

/*
 * A hint to who appends to a new file: much of it will come in pieces of a few KiB. True:
 * until it is truncated the file may be longer than what was appended, by zeros.
 */
static inline bool env_file_in_small_pieces(struct env_file *f)
{
    return f->ops->in_small_pieces && f->ops->in_small_pieces(f);
}

/*
 * What tells the bytes of this file from those of any other there is, was or will be, in
 * this store or another, for who keeps copies of them (env_cache.h): bytes once read at
 * an offset of what had this identity are what is there. -EOPNOTSUPP when that cannot be
 * told, as in a directory of a file that is being written to.
 */
static inline int env_file_identity(struct env_file *f, uint8_t id[ENV_IDENTITY])
{
    return f->ops->identity ? f->ops->identity(f, id) : -EOPNOTSUPP;
}

/* Frees f in any case. NULL is fine. */
static inline int env_file_close(struct env_file *f)
{
    return f ? f->ops->close(f) : 0;
}

static inline int env_rename(struct env *e, const char *from, const char *to)
{
    return e->ops->rename(e, from, to);
}

static inline int env_unlink(struct env *e, const char *path)
{
    return e->ops->unlink(e, path);
}

static inline int env_link(struct env *e, const char *from, const char *to)
{
    return e->ops->link(e, from, to);
}

/* Mode 0700; it belongs to whom an ENV_CREATE file would. */
static inline int env_mkdir(struct env *e, const char *path)
{
    return e->ops->mkdir(e, path);
}

/* An empty directory. */
static inline int env_rmdir(struct env *e, const char *path)
{
    return e->ops->rmdir(e, path);
}

/* fn for every name but "." and ".."; stops at and returns its first non-zero. */
static inline int env_list(struct env *e, const char *path, env_list_fn *fn, void *arg)
{
    return e->ops->list(e, path, fn, arg);
}

static inline int env_sync_dir(struct env *e, const char *path)
{
    return e->ops->sync_dir(e, path);
}

/* Size of a regular file; -ENOENT if there is none. */
static inline int env_stat(struct env *e, const char *path, uint64_t *size)
{
    return e->ops->stat(e, path, size);
}

/* 1 if both are names of one regular file, 0 if of two. */
static inline int env_same(struct env *e, const char *a, const char *b)
{
    return e->ops->same(e, a, b);
}

/*
 * Lock on the file path, created if missing; held until env_unlock or the process ends.
 * -EWOULDBLOCK if somebody has it whom it excludes: anybody, or when `shared` only who
 * has it not shared.
 */
static inline int env_lock(struct env *e, const char *path, bool shared,
                           struct env_lock **out)
{
    return e->ops->lock(e, path, shared, out);
}

static inline void env_unlock(struct env *e, struct env_lock *l)
{
    if (l)
        e->ops->unlock(e, l);
}

/* Bytes of the filesystem that holds path. */
static inline int env_space(struct env *e, const char *path, uint64_t *total,
                            uint64_t *avail)
{
    return e->ops->space(e, path, total, avail);
}

/* Is it known that there is no room (RADOS: the pool refused)? What is appended all the
 * same takes from what is set aside for making some. False: not known. */
static inline bool env_full(struct env *e)
{
    return e->ops->full && e->ops->full(e);
}

/* Monotonic. */
static inline uint64_t env_now_ns(struct env *e)
{
    return e->ops->now_ns(e);
}

static inline void env_sleep_ns(struct env *e, uint64_t ns)
{
    e->ops->sleep_ns(e, ns);
}

/* The calling thread's work can wait: it gives way to others on a busy processor. */
static inline void env_background(struct env *e)
{
    if (e->ops->background)
        e->ops->background(e);
}

#ifdef __cplusplus
}
#endif

#endif
