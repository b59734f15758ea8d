/*
 * vlog_record.c - the bytes of a value-log record.
 *
 * A frame's checksum is seeded with its index, the header's with the record's
 * place, and the header covers the checksums of the frames: so the costly part
 * can be done before the place is known, and a sound frame is known to belong
 * where it is. Bytes: FORMAT.md, "Value log".
 */
#include "vlog_impl.h"

#include "hash.h"

#include <stdlib.h>

/* Stored length in the low 24 bits, compression above. */
static uint32_t frame_word(uint32_t stored, enum compression type)
{
    return stored | (uint32_t)type << 24;
}

static void put_entry(struct buf *header, uint32_t i, struct slice stored,
                      enum compression type)
{
    put_le64(header, hash_bytes(stored.data, stored.len, i));
    put_le32(header, frame_word((uint32_t)stored.len, type));
}

/* ---- writing ---- */

/* Add bytes to the last part if they follow it in memory. */
static void add_part(struct record *r, const uint8_t *data, size_t len)
{
    struct slice *last = &r->parts[r->n_parts - 1];

    if (r->n_parts > 1 && last->data + last->len == data)
        last->len += len;
    else
        r->parts[r->n_parts++] = slice_of(data, len);
}

/* Compressed frames go to r->packed, which moves as it grows: the parts are made
 * when it is complete. */
static int pack_frames(struct record *r, struct slice value, enum compression want)
{
    uint32_t n = record_frames((uint32_t)value.len);
    enum compression type = COMPRESS_RAW;
    uint32_t i;

    for (i = 0; i < n; i++) {
        struct slice raw = slice_of(value.data + (size_t)i * VLOG_FRAME,
                                    record_frame_raw((uint32_t)value.len, i));
        size_t at = r->packed.len;

        type = compress_piece(want, type, raw, &r->packed);
        if (type != COMPRESS_RAW)
            raw = slice_of(r->packed.data + at, r->packed.len - at);
        put_entry(&r->header, i, raw, type);
    }
    return buf_error(&r->header);
}

static void make_parts(struct record *r, struct slice value)
{
    uint32_t raw = (uint32_t)value.len;
    const uint8_t *packed = r->packed.data;
    uint32_t i;

    r->parts[r->n_parts++] = buf_slice(&r->header);
    for (i = 0; i < record_frames(raw); i++) {
        const uint8_t *entry = r->header.data + RECORD_AT_FRAMES + i * RECORD_FRAME_ENTRY;
        uint32_t word = load_le32(entry + 8);
        uint32_t stored = word & 0xffffff;

        if (word >> 24 == COMPRESS_RAW) {
            add_part(r, value.data + (size_t)i * VLOG_FRAME, stored);
        } else {
            add_part(r, packed, stored);
            packed += stored;
        }
        r->stored += stored;
    }
    r->stored += r->header.len;
}

int record_build(struct record *r, struct slice value, enum compression want)
{
    struct slice *parts;
    int rc;

    if (value.len > RECORD_RAW_MAX)
        return -EINVAL;
    buf_clear(&r->header);
    buf_clear(&r->packed);
    r->n_parts = 0;
    r->stored = 0;
    put_le64(&r->header, 0);
    put_le32(&r->header, (uint32_t)value.len);
    rc = pack_frames(r, value, want);
    if (rc)
        return rc;
    parts = realloc(r->parts, (record_frames((uint32_t)value.len) + 1) * sizeof(*parts));
    if (!parts)
        return -ENOMEM;
    r->parts = parts;
    make_parts(r, value);
    return 0;
}

int record_copy(struct record *r, struct slice bytes, uint32_t raw)
{
    size_t header = (size_t)record_header_bytes(raw);

    buf_assign(&r->header, slice_of(bytes.data, header));
    r->parts = calloc(2, sizeof(*r->parts));
    if (!r->parts || buf_error(&r->header))
        return -ENOMEM;
    r->parts[0] = buf_slice(&r->header);
    r->parts[1] = slice_of(bytes.data + header, bytes.len - header);
    r->n_parts = 2;
    r->stored = bytes.len;
    return 0;
}

static uint64_t header_checksum(const uint8_t *header, uint32_t raw, uint64_t segment,
                                uint64_t offset)
{
    return hash_bytes(header + RECORD_AT_RAW,
                      (size_t)record_header_bytes(raw) - RECORD_AT_RAW,
                      hash_place(segment, offset));
}

void record_place(struct record *r, uint64_t segment, uint64_t offset)
{
    uint32_t raw = load_le32(r->header.data + RECORD_AT_RAW);

    store_le64(r->header.data, header_checksum(r->header.data, raw, segment, offset));
}

void record_release(struct record *r)
{
    buf_release(&r->header);
    buf_release(&r->packed);
    free(r->parts);
}

/* ---- reading ---- */

bool record_plausible(const struct vptr *p)
{
    uint64_t header = record_header_bytes(p->raw);

    return p->raw <= RECORD_RAW_MAX && p->off <= p->raw && p->len <= p->raw - p->off &&
           header <= p->stored && p->stored - header <= p->raw;
}

static bool load_frame(const uint8_t *header, uint32_t raw, struct record_frame *f)
{
    const uint8_t *entry =
        header + RECORD_AT_FRAMES + (size_t)f->index * RECORD_FRAME_ENTRY;
    uint32_t word = load_le32(entry + 8);

    f->checksum = load_le64(entry);
    f->stored = word & 0xffffff;
    f->type = (enum compression)(word >> 24);
    f->raw = record_frame_raw(raw, f->index);
    if (f->type == COMPRESS_RAW)
        return f->stored == f->raw;
    return (f->type == COMPRESS_LZ4 || f->type == COMPRESS_ZSTD) && f->stored < f->raw;
}

bool record_header_check(const uint8_t *header, const struct vptr *p)
{
    struct record_frame f = {.at = (uint32_t)record_header_bytes(p->raw)};
    uint32_t n = record_frames(p->raw);

    if (load_le32(header + RECORD_AT_RAW) != p->raw ||
        load_le64(header) != header_checksum(header, p->raw, p->segment, p->offset))
        return false;
    for (; f.index < n; f.index++) {
        if (!load_frame(header, p->raw, &f))
            return false;
        f.at += f.stored;
    }
    return f.at == p->stored;
}

void record_frame_first(const uint8_t *header, uint32_t raw, struct record_frame *f)
{
    f->index = 0;
    f->at = (uint32_t)record_header_bytes(raw);
    load_frame(header, raw, f);
}

void record_frame_next(const uint8_t *header, uint32_t raw, struct record_frame *f)
{
    f->index++;
    f->at += f->stored;
    if (f->index < record_frames(raw))
        load_frame(header, raw, f);
}

bool record_frame_sound(const struct record_frame *f, const uint8_t *stored)
{
    return hash_bytes(stored, f->stored, f->index) == f->checksum;
}

bool record_frame_read(const struct record_frame *f, const uint8_t *stored, uint32_t off,
                       uint32_t len, void *to)
{
    uint8_t whole[VLOG_FRAME];

    if (!record_frame_sound(f, stored))
        return false;
    if (f->type == COMPRESS_RAW) {
        memcpy(to, stored + off, len);
        return true;
    }
    if (len == f->raw)
        return decompress(f->type, slice_of(stored, f->stored), to, len) == 0;
    if (decompress(f->type, slice_of(stored, f->stored), whole, f->raw))
        return false;
    memcpy(to, whole + off, len);
    return true;
}
