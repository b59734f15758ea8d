/*
 * coding.h - integers to bytes and back. Decoders are bounded.
 *
 * A decoder takes from the front of a slice and advances it; it returns false,
 * and leaves the slice as it was, when the bytes are not there or not canonical
 * enough to fit the type. Fixed integers in values are little-endian; integers
 * in keys are big-endian, so that memcmp order is numeric order.
 */
#ifndef LSM_CODING_H
#define LSM_CODING_H

#include "buf.h"

enum { VARINT_MAX = 10 };

static inline void store_le16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void store_le32(uint8_t *p, uint32_t v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    memcpy(p, &v, 4);
}

static inline void store_le64(uint8_t *p, uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(p, &v, 8);
}

static inline uint16_t load_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t load_le32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap32(v);
#endif
    return v;
}

static inline uint64_t load_le64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static inline void store_be64(uint8_t *p, uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(p, &v, 8);
}

static inline uint64_t load_be64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

/* Writes at most VARINT_MAX bytes at p; returns how many. */
static inline size_t store_varint(uint8_t *p, uint64_t v)
{
    size_t n = 0;

    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

size_t varint_size(uint64_t v);

static inline void put_u8(struct buf *b, uint8_t v)
{
    uint8_t *to = buf_reserve(b, 1);

    if (to) {
        *to = v;
        b->len++;
    }
}

void put_le32(struct buf *b, uint32_t v);
void put_le64(struct buf *b, uint64_t v);
void put_be64(struct buf *b, uint64_t v);

static inline void put_varint(struct buf *b, uint64_t v)
{
    uint8_t *to = buf_reserve(b, VARINT_MAX);

    if (to)
        b->len += store_varint(to, v);
}

/* A varint length, then the bytes. */
static inline void put_bytes(struct buf *b, struct slice s)
{
    uint8_t *to = buf_reserve(b, VARINT_MAX + s.len);

    if (!to)
        return;
    to += store_varint(to, s.len);
    if (s.len)
        memcpy(to, s.data, s.len);
    b->len = (size_t)(to - b->data) + s.len;
}

bool get_u8(struct slice *in, uint8_t *v);
bool get_le32(struct slice *in, uint32_t *v);
bool get_le64(struct slice *in, uint64_t *v);
bool get_be64(struct slice *in, uint64_t *v);
bool get_varint_slow(struct slice *in, uint64_t *v);
/* Exactly n bytes, borrowed from in. */
bool get_raw(struct slice *in, size_t n, struct slice *out);
/* What put_bytes wrote, borrowed from in. */
bool get_bytes(struct slice *in, struct slice *out);

static inline bool get_varint(struct slice *in, uint64_t *v)
{
    if (in->len && in->data[0] < 0x80) {
        *v = in->data[0];
        in->data++;
        in->len--;
        return true;
    }
    return get_varint_slow(in, v);
}

/* A varint that must fit 32 bits. */
bool get_varint32(struct slice *in, uint32_t *v);

#endif
