/*
 * ikey.h - internal keys: a user key and the version of it.
 *
 * Encoded as the user key followed by 8 bytes, little-endian:
 * sequence << 8 | type. Order: user key ascending (memcmp), then sequence
 * descending, then type descending, so that the newest version comes first.
 */
#ifndef LSM_IKEY_H
#define LSM_IKEY_H

#include "coding.h"

/* On disk: never renumber. */
enum ikey_type {
    IKEY_DELETE = 0,
    IKEY_PUT = 1,
    IKEY_PUT_REF = 2,      /* the value is a struct vptr (vlog.h), encoded */
    IKEY_RANGE_DELETE = 3, /* key: start, inclusive; value: end, exclusive */
    IKEY_TYPE_LAST = 3,
};

enum { IKEY_TRAILER = 8 };

#define IKEY_SEQ_MAX ((1ull << 56) - 1)
/* In a store. More is a lie: nobody writes so much; and were it believed, the next
 * writes would run out of numbers, or into those of transactions (TXN_SEQ). */
#define IKEY_SEQ_STORED ((1ull << 54) - 1)

static inline uint64_t ikey_pack(uint64_t seq, enum ikey_type type)
{
    return seq << 8 | (uint64_t)type;
}

/* The following take an encoded internal key of at least IKEY_TRAILER bytes. */
static inline struct slice ikey_user(struct slice ikey)
{
    return slice_of(ikey.data, ikey.len - IKEY_TRAILER);
}

static inline uint64_t ikey_trailer(struct slice ikey)
{
    return load_le64(ikey.data + ikey.len - IKEY_TRAILER);
}

static inline uint64_t ikey_seq(struct slice ikey)
{
    return ikey_trailer(ikey) >> 8;
}

static inline enum ikey_type ikey_type(struct slice ikey)
{
    return (enum ikey_type)(ikey.data[ikey.len - IKEY_TRAILER]);
}

/* For keys from the disk: long enough, and of a known type. */
static inline bool ikey_valid(struct slice ikey)
{
    return ikey.len >= IKEY_TRAILER &&
           ikey.data[ikey.len - IKEY_TRAILER] <= IKEY_TYPE_LAST;
}

/* memcmp by words: keys are short, and a call costs more than the comparison. */
static inline int key_bytes_cmp(const uint8_t *a, const uint8_t *b, size_t n)
{
    while (n >= 8) {
        uint64_t x = load_be64(a), y = load_be64(b);

        if (x != y)
            return x < y ? -1 : 1;
        a += 8;
        b += 8;
        n -= 8;
    }
    for (; n; a++, b++, n--)
        if (*a != *b)
            return *a < *b ? -1 : 1;
    return 0;
}

/* slice_cmp and slice_eq of user keys. */
static inline int key_cmp(struct slice a, struct slice b)
{
    int c = key_bytes_cmp(a.data, b.data, a.len < b.len ? a.len : b.len);

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static inline bool key_eq(struct slice a, struct slice b)
{
    return a.len == b.len && key_bytes_cmp(a.data, b.data, a.len) == 0;
}

/* memcpy of what is as long as keys mostly are. */
static inline void key_bytes_copy(uint8_t *to, const uint8_t *from, size_t n)
{
    if (__builtin_expect(n >= 16 && n <= 32, 1)) {
        memcpy(to, from, 16);
        memcpy(to + n - 16, from + n - 16, 16);
    } else if (n) {
        memcpy(to, from, n);
    }
}

static inline int ikey_cmp(struct slice a, struct slice b)
{
    size_t n = (a.len < b.len ? a.len : b.len) - IKEY_TRAILER;
    int c = key_bytes_cmp(a.data, b.data, n);
    uint64_t ta, tb;

    if (c)
        return c;
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    ta = ikey_trailer(a);
    tb = ikey_trailer(b);
    return (ta < tb) - (ta > tb);
}

/*
 * The key to seek for: the newest version of user at or before seq. (The
 * greatest type sorts first among equal sequences.)
 */
static inline void ikey_append_seek(struct buf *to, struct slice user, uint64_t seq)
{
    buf_append_slice(to, user);
    put_le64(to, seq << 8 | 0xff);
}

static inline void ikey_append(struct buf *to, struct slice user, uint64_t seq,
                               enum ikey_type type)
{
    buf_append_slice(to, user);
    put_le64(to, ikey_pack(seq, type));
}

#endif
