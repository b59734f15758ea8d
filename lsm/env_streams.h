/*
 * env_streams.h - which reads of a file go on in order, and what is worth fetching ahead
 * of them. A policy: nothing is read here. For envs that are far away (env_rados.c).
 *
 * Reads may come out of order by up to STREAM_NEAR, as those of several threads do. What
 * is fetched ahead is never more than what a stream has read, so who reads here and there
 * causes no more than twice the traffic. The caller serializes.
 */
#ifndef LSM_ENV_STREAMS_H
#define LSM_ENV_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STREAMS = 4, /* of a file, at once */
    STREAM_NEAR = 1 << 20,
    STREAM_LEAST = 64 << 10, /* read in order, before anything is fetched */
    STREAM_AHEAD = 16 << 20, /* at most */
};

struct read_stream {
    uint64_t next; /* where it goes on */
    uint64_t upto; /* what was asked for ends there */
    uint64_t got;  /* bytes read in order */
    uint64_t used; /* when; 0: never */
};

/* Zeroed is empty. */
struct read_streams {
    struct read_stream stream[STREAMS];
    uint64_t clock;
};

/*
 * Somebody reads [off, off + len) of a file of that size. Returns how many bytes at *from
 * to fetch, beginning at the end of what was to be fetched before or of this read; mostly
 * 0.
 *
 * *carry is for all files of a store: who has read one to its end goes on at the beginning
 * of another, as a large file does that lies in several. There the stream begins as it
 * ended here, and what is fetched begins with the file.
 */
size_t read_streams_note(struct read_streams *r, uint64_t off, size_t len, uint64_t size,
                         uint64_t *carry, uint64_t *from);

#endif
