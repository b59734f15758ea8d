/*
 * env_window.h - writing a preallocated file through a window of it that is
 * mapped, shared, and moves along. Part of env_posix.c.
 *
 * A copied byte is in the page cache, as if by write(), and env_file_sync
 * covers it: Linux marks the page dirty at the first store after each
 * write-back. What would be an error of write() is a SIGBUS here (the host's
 * disk is full, or its filesystem went read-only): a handler catches it and the
 * copy falls short, so that the caller tries write() and learns the error.
 * One thread at a time uses a window.
 */
#ifndef LSM_ENV_WINDOW_H
#define LSM_ENV_WINDOW_H

#include "slice.h"

struct env_window {
    uint8_t *map; /* NULL: nothing is mapped */
    size_t len;
    uint64_t at;    /* file offset of map */
    uint64_t limit; /* [0, limit) of the file has room on the disk; 0: do not map */
};

/* May files where fd is be written so? If not, a window of theirs never copies. */
bool env_window_possible(int fd);

/* For fd, whose first `allocated` bytes are. Who makes room later sets the limit. */
void env_window_init(struct env_window *w, int fd, uint64_t allocated);

/* Bytes copied to off of fd: fewer than len when the rest must be written. */
size_t env_window_copy(struct env_window *w, int fd, uint64_t off, const uint8_t *data,
                       size_t len);

/* Unmap, and map nothing at or after limit again. */
void env_window_cut(struct env_window *w, uint64_t limit);

#endif
