/*
 * env_rados_file.h - an open file of a store on RADOS: what env_rados_file.c, which
 * writes, env_rados_read.c and env_rados_ahead.c share.
 */
#ifndef LSM_ENV_RADOS_FILE_H
#define LSM_ENV_RADOS_FILE_H

#include "env_rados_impl.h"
#include "env_streams.h"

struct rados_handle {
    struct env_file base;
    struct node *node;
    bool writer;
    bool used;            /* something was appended */
    uint64_t preallocate; /* asked for */
    /* env_rados_ahead.c, under its lock */
    struct rados_ahead *ahead;
    unsigned loading; /* on their way, also of what was forgotten */
    struct read_streams streams;
};

static inline struct rados_handle *rados_handle_of(struct env_file *f)
{
    return (struct rados_handle *)f;
}

/* ---- env_rados_read.c: members of env_file_ops ---- */

int rados_file_pread(struct env_file *file, uint64_t off, void *to, size_t len,
                     size_t *got);
void rados_file_readahead(struct env_file *file, uint64_t off, size_t len);
void rados_file_forget(struct env_file *file, uint64_t off, size_t len);
int rados_file_identity(struct env_file *file, uint8_t id[ENV_IDENTITY]);
int rados_file_size(struct env_file *file, uint64_t *size);

/* ---- env_rados_ahead.c: what is read ahead of a handle ---- */

/* [off, end), which are there and do not change, will be read. */
void rados_ahead_ask(struct rados_handle *f, uint64_t off, uint64_t end);
/* Somebody reads these, of a file of that size. Returns the end of what is to be asked for, from *from on, on
 * account of it; or 0. */
uint64_t rados_ahead_note(struct rados_handle *f, uint64_t off, size_t len,
                          uint64_t size, uint64_t *from);
/* What of [off, off + len) a piece has at off: how many bytes, waiting for them. 0: none,
 * and *next is where one begins, or the end. */
size_t rados_ahead_take(struct rados_handle *f, uint64_t off, void *to, size_t len,
                        uint64_t *next);
void rados_ahead_forget(struct rados_handle *f, uint64_t off, uint64_t end);
/* All of it; waits for what is on its way. */
void rados_ahead_end(struct rados_handle *f);

#endif
