/*
 * stream.h - a snapshot as bytes through a pipe: send and receive.
 *
 *     "siltfs stream 1\n"
 *     frames: u8 type, le32 length, payload of at most a MiB, le64 sum
 *
 * Integers little-endian. sum: the XXH3 of type, length and payload, seeded with the
 * frame's place in the stream, from 0: frames that are damaged, missing or out of order
 * are found. Types and payloads:
 *
 *     S  time when it was made, text name; time, text from: of the one it builds on
 *     L  le64 size, le64 XXH3 of the last 64 KiB, text name: a file that `from` has
 *     F  le64 size, text name: a file, whose bytes follow:
 *     D  bytes
 *     E  its XXH3 of 128 bits, canonical
 *     Z  le64 number of files: the end
 *
 * text: u8 length and so many bytes. time: le64 seconds, le32 nanoseconds. S first;
 * from is the name of a snapshot that the receiver has, or empty, and then there is no L.
 */
#ifndef MOUNT_STREAM_H
#define MOUNT_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "../lsm/lsm.h"

enum {
    STREAM_FRAME_MAX = 1 << 20,
    STREAM_SNAPSHOT = 'S',
    STREAM_LINK = 'L',
    STREAM_FILE = 'F',
    STREAM_DATA = 'D',
    STREAM_SUM = 'E',
    STREAM_END = 'Z',
};

/* One way, over fd, which is borrowed. Zeroed but for fd it is at the beginning. */
struct stream {
    int fd;
    bool begun;
    uint64_t frames, bytes;
    struct buf frame;
};

int stream_put(struct stream *s, uint8_t type, struct slice payload);
/*
 * The next frame; *payload lasts until the next call. -EUCLEAN: damaged;
 * -EPROTONOSUPPORT: no stream of siltfs, or a later version; -EPIPE: it ends too early.
 */
int stream_get(struct stream *s, uint8_t *type, struct slice *payload);
void stream_release(struct stream *s);

/* Payloads, built and taken apart. A false one makes all after it false, too. */
void pack_u64(struct buf *b, uint64_t v);
void pack_time(struct buf *b, const struct timespec *t);
void pack_text(struct buf *b, const char *text);
bool unpack_u64(struct slice *from, uint64_t *v);
bool unpack_time(struct slice *from, struct timespec *t);
/* Without NULs, into `to` of 256 bytes. */
bool unpack_text(struct slice *from, char to[256]);

#endif
