/*
 * wal_format.h - the bytes of a log, for wal.c and wal_replay.c.
 * FORMAT.md, "WAL", has them in words.
 */
#ifndef LSM_WAL_FORMAT_H
#define LSM_WAL_FORMAT_H

#include "coding.h"
#include "hash.h"

/* A frame: checksum 8, mark 4, payload length 4, synced offset 8, payload. The
 * checksum covers all after itself. Never renumber. */
enum {
    WAL_AT_MARK = 8,
    WAL_AT_LENGTH = 12,
    WAL_AT_SYNCED = 16,
    WAL_FRAME_HEADER = 24,
    WAL_PAYLOAD_MAX = 1 << 30,
};

/* The payload of the first frame: magic 8, version 4, flags 4, number 8,
 * number of the previous log 8, its length 8. */
enum {
    WAL_AT_VERSION = 8,
    WAL_AT_FLAGS = 12,
    WAL_AT_NUMBER = 16,
    WAL_AT_PREV_NUMBER = 24,
    WAL_AT_PREV_LENGTH = 32,
    WAL_HEADER_PAYLOAD = 40,
    WAL_VERSION = 1,
    WAL_FLAG_RECYCLED = 1, /* what follows the last frame may be of an older log */
};

static const uint8_t wal_magic[8] = {'s', 'i', 'l', 't', 'w', 'a', 'l', '\n'};

/*
 * What a frame of log `number` at `offset` has in its mark: a cheap first
 * question when frames are looked for at every offset, and, when the rest of
 * the frame is bad, the sign that it was meant to be one. Never 0.
 */
static inline uint32_t wal_mark(uint64_t number, uint64_t offset)
{
    return (uint32_t)(hash_place(number, offset) * 0xD6E8FEB86659FD93ull >> 32) | 1;
}

static inline uint64_t wal_checksum(const uint8_t *frame, size_t len, uint64_t number,
                                    uint64_t offset)
{
    return hash_bytes(frame + WAL_AT_MARK, len - WAL_AT_MARK, hash_place(number, offset));
}

#endif
