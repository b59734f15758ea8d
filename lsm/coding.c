/*
 * coding.c - see coding.h. Varints are base-128, low group first, as in
 * protocol buffers.
 */
#include "coding.h"

size_t varint_size(uint64_t v)
{
    size_t n = 1;

    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

void put_le32(struct buf *b, uint32_t v)
{
    uint8_t tmp[4];

    store_le32(tmp, v);
    buf_append(b, tmp, sizeof(tmp));
}

void put_le64(struct buf *b, uint64_t v)
{
    uint8_t tmp[8];

    store_le64(tmp, v);
    buf_append(b, tmp, sizeof(tmp));
}

void put_be64(struct buf *b, uint64_t v)
{
    uint8_t tmp[8];

    store_be64(tmp, v);
    buf_append(b, tmp, sizeof(tmp));
}

static void advance(struct slice *in, size_t n)
{
    in->data += n;
    in->len -= n;
}

bool get_u8(struct slice *in, uint8_t *v)
{
    if (in->len < 1)
        return false;
    *v = in->data[0];
    advance(in, 1);
    return true;
}

bool get_le32(struct slice *in, uint32_t *v)
{
    if (in->len < 4)
        return false;
    *v = load_le32(in->data);
    advance(in, 4);
    return true;
}

bool get_le64(struct slice *in, uint64_t *v)
{
    if (in->len < 8)
        return false;
    *v = load_le64(in->data);
    advance(in, 8);
    return true;
}

bool get_be64(struct slice *in, uint64_t *v)
{
    if (in->len < 8)
        return false;
    *v = load_be64(in->data);
    advance(in, 8);
    return true;
}

bool get_varint_slow(struct slice *in, uint64_t *v)
{
    uint64_t out = 0;
    size_t i;

    for (i = 0; i < in->len && i < VARINT_MAX; i++) {
        uint8_t byte = in->data[i];

        if (i == VARINT_MAX - 1 && byte > 1)
            return false; /* more than 64 bits */
        out |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *v = out;
            advance(in, i + 1);
            return true;
        }
    }
    return false;
}

bool get_varint32(struct slice *in, uint32_t *v)
{
    struct slice save = *in;
    uint64_t wide;

    if (!get_varint(in, &wide))
        return false;
    if (wide > UINT32_MAX) {
        *in = save;
        return false;
    }
    *v = (uint32_t)wide;
    return true;
}

bool get_raw(struct slice *in, size_t n, struct slice *out)
{
    if (in->len < n)
        return false;
    *out = slice_of(in->data, n);
    advance(in, n);
    return true;
}

bool get_bytes(struct slice *in, struct slice *out)
{
    struct slice save = *in;
    uint64_t n;

    if (!get_varint(in, &n))
        return false;
    if (n > in->len) {
        *in = save;
        return false;
    }
    return get_raw(in, (size_t)n, out);
}
