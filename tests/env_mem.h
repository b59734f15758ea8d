/*
 * env_mem.h - an env in memory that knows what was synced, for crash and fault
 * tests.
 *
 * It keeps the history of every file since its last sync and of every directory
 * since its last env_sync_dir, and makes from it what a disk may hold after
 * power loss. It is as strict as POSIX: a synced file whose name was not synced
 * may be gone. All functions are safe from any thread. Paths are made of "/" and
 * names; the root exists, other directories want env_mkdir.
 *
 * A crash test at every step:
 *
 *     calls = what env_mem_calls told after a run to the end
 *     for (n = 0; n <= calls; n++) {
 *         env = env_mem_new(seed);
 *         env_mem_stop_at(env, n);
 *         run the workload until it fails; note what was promised
 *         after = env_mem_crash_clone(env, seed + n, ENV_MEM_KEEP_RANDOM);
 *         close everything, env_mem_free(env);
 *         open in `after` and check; env_mem_free(after);
 *     }
 */
#ifndef ENV_MEM_H
#define ENV_MEM_H

#include "lsm/lsm.h"

/* seed drives what is random: how much of a failing append gets through. */
struct env *env_mem_new(uint64_t seed);
/* Every file must have been closed. */
void env_mem_free(struct env *e);

/* ---- crashes ---- */

enum env_mem_crash {
    ENV_MEM_LOSE_UNSYNCED, /* power loss, and nothing was written early */
    ENV_MEM_KEEP_ALL,      /* the process died, the machine did not; also: a copy */
    ENV_MEM_KEEP_RANDOM,   /* power loss: of what was not synced a random part is
                              there, by sectors of 512 bytes, later writes without
                              earlier ones too, a file's size as of any moment;
                              each unsynced create, link and unlink happened or did
                              not; so did each rename, as one */
};

/*
 * A new env with what is found after the crash, all of it durable; e lives on.
 * The same seed and history give the same env. No locks are held in it.
 */
struct env *env_mem_crash_clone(struct env *e, uint64_t seed, enum env_mem_crash mode);

/* Calls so far that change something: open for writing, append, sync, truncate,
 * rename, unlink, link, mkdir, sync_dir, lock. Failed ones count. */
uint64_t env_mem_calls(struct env *e);

/* n more of those calls work, then all fail with -EIO and change nothing: the
 * process is as good as dead. UINT64_MAX: never. */
void env_mem_stop_at(struct env *e, uint64_t n);

/* ---- faults ---- */

/* Kinds of calls, to be or'ed. */
enum env_mem_kind {
    ENV_MEM_OPEN = 1 << 0, /* for writing */
    ENV_MEM_OPEN_READ = 1 << 1,
    ENV_MEM_READ = 1 << 2,
    ENV_MEM_APPEND = 1 << 3, /* fails after a random part got through */
    ENV_MEM_SYNC = 1 << 4,   /* what it should have synced will never be durable, though
                                a later sync returns 0: as Linux has it; nor will what
                                is written to the same bytes of that file: as ext4 has
                                it of what it could not write the first time */
    ENV_MEM_TRUNCATE = 1 << 5,
    ENV_MEM_RENAME = 1 << 6,
    ENV_MEM_UNLINK = 1 << 7,
    ENV_MEM_LINK = 1 << 8,
    ENV_MEM_MKDIR = 1 << 9,
    ENV_MEM_SYNC_DIR = 1 << 10,
    ENV_MEM_LIST = 1 << 11,
    ENV_MEM_STAT = 1 << 12,
    ENV_MEM_LOCK = 1 << 13,
    ENV_MEM_ALL = (1 << 14) - 1,
};

enum env_mem_how {
    ENV_MEM_ONCE,
    ENV_MEM_FOREVER, /* until env_mem_fail_at is called again */
};

/* fn is told of each call that env_mem_calls counts, as it begins: its kind and the last
 * name of the path (renames and links: the old one). It must not call the env. NULL: no
 * more. */
typedef void env_mem_watch_fn(void *arg, enum env_mem_kind kind, const char *name);
void env_mem_watch(struct env *e, env_mem_watch_fn *fn, void *arg);

/* The n-th call from now (1: the next) of the kinds fails with err (a positive
 * errno). There is one such order at a time; n 0 takes it back. */
void env_mem_fail_at(struct env *e, uint64_t n, int err, unsigned kinds,
                     enum env_mem_how how);
/* From the next order on, calls count (and fail) only when they concern the file of that
 * last name, or files with that end of it, "*.sst"; NULL, as at first: all. */
void env_mem_fail_only(struct env *e, const char *name);
/* Calls that have failed by order since env_mem_new. */
uint64_t env_mem_failures(struct env *e);

/* The disk has so many bytes, of files' sizes; appends beyond it get part through
 * and fail with -ENOSPC. UINT64_MAX, as at first: no end. */
void env_mem_set_space(struct env *e, uint64_t bytes);
uint64_t env_mem_used(struct env *e);

/* ---- looking and tampering: no call is counted, no fault happens ---- */

/* Xor the byte at off, in what is durable too. -ENOENT, -EINVAL beyond the end. */
int env_mem_flip(struct env *e, const char *path, uint64_t off, uint8_t mask);
/* The file's bytes, replacing *to. */
int env_mem_read(struct env *e, const char *path, struct buf *to);
/* Make path a file with that content, durable. All names of its directory become so. */
int env_mem_write(struct env *e, const char *path, struct slice content);
unsigned env_mem_open_files(struct env *e);

#endif
