/*
 * vlog_read.c - the value log: reading and checking records.
 *
 * A pointer comes from a table or a log and is trusted no more than the record:
 * whatever it says is bounded by the segment before memory is taken for it. No
 * lock is held while reading. Bytes: FORMAT.md, "Value log".
 */
#include "vlog_impl.h"

#include "err.h"
#include "names.h"

#include <inttypes.h>
#include <stdlib.h>

static int corrupt(struct vlog *v, const struct vptr *p, const char *why)
{
    char *path = file_path(v->dir, FILE_SEGMENT, p->segment);
    int rc = err_corrupt(path ? path : v->dir, p->offset,
                         "value of %" PRIu32 " bytes: %s", p->raw, why);

    free(path);
    return rc;
}

/* What is read for a part: a piece of the record, in memory. */
struct piece {
    uint64_t at; /* offset in the record */
    size_t len;
    uint8_t *data;
    uint8_t *owned;
};

/* Room for a header and one frame: most reads need no more. */
enum { SMALL_PIECE = RECORD_AT_FRAMES + 2 * RECORD_FRAME_ENTRY + VLOG_FRAME };

/* So much room on both sides of where a frame is expected. */
enum { MISSED_BY = 2048 };

/* Into small, if it fits there. -ENODATA when the segment ends before. */
static int read_piece(struct segment *seg, const struct vptr *p, uint64_t at, size_t len,
                      uint8_t small[SMALL_PIECE], struct piece *out)
{
    size_t got;
    int rc;

    *out = (struct piece){.at = at, .len = len, .data = small};
    if (len > SMALL_PIECE) {
        out->data = out->owned = malloc(len);
        if (!out->data)
            return -ENOMEM;
    }
    rc = env_file_pread(seg->file, p->offset + at, out->data, len, &got);
    return rc == 0 && got < len ? -ENODATA : rc;
}

/* A part of a record that is being read: bytes [start, end) of its value. */
struct reading {
    const struct vptr *p;
    uint32_t start, end;
    uint32_t first, last; /* frames that hold them */
    uint8_t *to;
};

/*
 * Copy out what of the frame is wanted. `stored` is the frame's bytes.
 */
static bool copy_frame(const struct reading *r, const struct record_frame *f,
                       const uint8_t *stored)
{
    uint32_t begin = f->index * VLOG_FRAME;
    uint32_t from = r->start > begin ? r->start - begin : 0;
    uint32_t to = r->end - begin < f->raw ? r->end - begin : f->raw;

    return record_frame_read(f, stored, from, to - from,
                             r->to + (begin + from - r->start));
}

/* Frames first..last, whose bytes start at f->at and lie in the piece. */
static bool copy_frames(const struct reading *r, const uint8_t *header,
                        struct record_frame f, const struct piece *piece)
{
    while (f.index <= r->last) {
        if (!copy_frame(r, &f, piece->data + (f.at - piece->at)))
            return false;
        record_frame_next(header, r->p->raw, &f);
    }
    return true;
}

/* The header is checked and in memory: go to the frames, and read those that
 * `have`, which starts with the record, does not hold. */
static int read_frames(struct segment *seg, const struct reading *r,
                       const struct piece *have)
{
    uint8_t small[SMALL_PIECE];
    struct record_frame first, end;
    struct piece piece = {0};
    bool ok;
    int rc;

    record_frame_first(have->data, r->p->raw, &first);
    while (first.index < r->first)
        record_frame_next(have->data, r->p->raw, &first);
    end = first;
    while (end.index <= r->last)
        record_frame_next(have->data, r->p->raw, &end);
    if (end.at <= have->len)
        return copy_frames(r, have->data, first, have) ? 0 : -EUCLEAN;
    rc = read_piece(seg, r->p, first.at, end.at - first.at, small, &piece);
    ok = rc == 0 && copy_frames(r, have->data, first, &piece);
    free(piece.owned);
    if (rc)
        return rc;
    return ok ? 0 : -EUCLEAN;
}

/* Where frame i begins in the record, if all of the value shrank alike. */
static uint64_t expected_at(const struct vptr *p, uint32_t i)
{
    const uint64_t header = record_header_bytes(p->raw);

    return header + (p->stored - header) * i / record_frames(p->raw);
}

/* Have the disk look for the frames meanwhile: the header, which tells where they are,
 * may have to be waited for. */
static void ask_frames(struct segment *seg, const struct reading *r)
{
    uint64_t from = expected_at(r->p, r->first) - MISSED_BY;
    uint64_t to = expected_at(r->p, r->last + 1) + MISSED_BY;

    to = to < r->p->stored ? to : r->p->stored;
    if (from < to) /* a value may shrink to less than that */
        env_file_readahead(seg->file, r->p->offset + from, (size_t)(to - from));
}

/*
 * One read when the part lies near the header, two (header, frames) at once when not.
 * What is read in vain is cheaper than a second trip to the disk.
 */
static int read_part(struct segment *seg, const struct reading *r)
{
    uint64_t upto = record_header_bytes(r->p->raw);
    uint8_t small[SMALL_PIECE];
    struct piece piece;
    int rc;

    if (r->first <= 1)
        upto = expected_at(r->p, r->last + 1) + MISSED_BY;
    else
        ask_frames(seg, r);
    if (upto > r->p->stored)
        upto = r->p->stored;
    rc = read_piece(seg, r->p, 0, (size_t)upto, small, &piece);
    if (rc == 0)
        rc = record_header_check(piece.data, r->p) ? read_frames(seg, r, &piece)
                                                   : -EUCLEAN;
    free(piece.owned);
    return rc;
}

/* Whole frames of a record that is stored as it is: no copy in between. */
static bool is_plain(const struct reading *r)
{
    const struct vptr *p = r->p;

    return p->stored - record_header_bytes(p->raw) == p->raw && r->last > r->first &&
           r->start % VLOG_FRAME == 0 && (r->end % VLOG_FRAME == 0 || r->end == p->raw);
}

/* Far away, where each read is a trip, have the header fetched with the frames. */
static void ask_header(struct segment *seg, const struct reading *r)
{
    uint64_t len = record_header_bytes(r->p->raw) + (r->start ? 0 : r->end);

    env_file_readahead(seg->file, r->p->offset, (size_t)len);
}

/* The frames first, the header then: it is mostly in a page just read. */
static int read_plain(struct segment *seg, const struct reading *r)
{
    uint64_t header_bytes = record_header_bytes(r->p->raw);
    uint8_t small[SMALL_PIECE];
    struct record_frame f;
    struct piece header;
    size_t got;
    int rc;

    rc = env_file_pread(seg->file, r->p->offset + header_bytes + r->start, r->to,
                        r->end - r->start, &got);
    if (rc)
        return rc;
    if (got < r->end - r->start)
        return -ENODATA;
    rc = read_piece(seg, r->p, 0, (size_t)header_bytes, small, &header);
    if (rc == 0 && !record_header_check(header.data, r->p))
        rc = -EUCLEAN;
    if (rc == 0) {
        record_frame_first(header.data, r->p->raw, &f);
        while (f.index < r->first)
            record_frame_next(header.data, r->p->raw, &f);
        for (; rc == 0 && f.index <= r->last;
             record_frame_next(header.data, r->p->raw, &f))
            if (!record_frame_sound(&f, r->to + (f.index * VLOG_FRAME - r->start)))
                rc = -EUCLEAN;
    }
    free(header.owned);
    return rc;
}

/* A reference to p's segment, when it can hold the record; -ENODATA if not. */
static int get_segment(struct vlog *v, const struct vptr *p, struct segment **seg)
{
    int rc;

    if (!record_plausible(p))
        return -EUCLEAN;
    rc = segment_get(&v->files, p->segment, seg);
    if (rc)
        return rc == -ENOENT ? -ENODATA : rc;
    if (p->offset > segment_size(*seg) || p->stored > segment_size(*seg) - p->offset) {
        segment_put(&v->files, *seg);
        return -ENODATA;
    }
    return 0;
}

int vlog_read(struct vlog *v, const struct vptr *p, size_t off, size_t len, void *to)
{
    struct reading r = {.p = p, .to = to};
    struct segment *seg;
    int rc;

    if (off > p->len || len > p->len - off)
        return -EINVAL;
    if (len == 0)
        return 0;
    rc = get_segment(v, p, &seg);
    if (rc == 0) {
        r.start = p->off + (uint32_t)off;
        r.end = r.start + (uint32_t)len;
        r.first = r.start / VLOG_FRAME;
        r.last = (r.end - 1) / VLOG_FRAME;
        if (is_plain(&r) && v->o.env->appends_in_memory)
            ask_header(seg, &r);
        rc = is_plain(&r) ? read_plain(seg, &r) : read_part(seg, &r);
        if (rc == -EUCLEAN) /* whoever asks again asks the disk, not a copy of it */
            env_file_forget(seg->file, p->offset, p->stored);
        segment_put(&v->files, seg);
    }
    if (rc == -ENODATA)
        return corrupt(v, p, "missing");
    return rc == -EUCLEAN ? corrupt(v, p, "checksum") : rc;
}

void vlog_fetch(struct vlog *v, const struct vptr *p)
{
    struct segment *seg;

    if (v->o.env->appends_in_memory)
        return; /* far away: what is asked for is kept for one read only */
    if (get_segment(v, p, &seg))
        return; /* who reads it will say so */
    env_file_readahead(seg->file, p->offset, p->stored);
    segment_put(&v->files, seg);
}

/* That of the first frame that has one: others did not shrink. */
static enum compression header_kind(const uint8_t *header, uint32_t raw)
{
    struct record_frame f;

    if (raw == 0)
        return COMPRESS_RAW;
    record_frame_first(header, raw, &f);
    while (f.type == COMPRESS_RAW && f.index + 1 < record_frames(raw))
        record_frame_next(header, raw, &f);
    return f.type;
}

/* Of one in memory. */
static bool is_sound(const uint8_t *record, const struct vptr *p)
{
    struct record_frame f;

    if (!record_header_check(record, p))
        return false;
    if (p->raw == 0)
        return true;
    record_frame_first(record, p->raw, &f);
    while (f.index < record_frames(p->raw)) {
        if (!record_frame_sound(&f, record + f.at))
            return false;
        record_frame_next(record, p->raw, &f);
    }
    return true;
}

int vlog_read_record(struct vlog *v, const struct vptr *p, struct buf *bytes, int *kind)
{
    struct segment *seg;
    size_t got;
    uint8_t *to;
    int rc = get_segment(v, p, &seg);

    if (rc == 0) {
        buf_clear(bytes);
        to = buf_reserve(bytes, p->stored);
        rc = to ? env_file_pread(seg->file, p->offset, to, p->stored, &got) : -ENOMEM;
        if (rc == 0 && got < p->stored)
            rc = -ENODATA;
        if (rc == 0 && !is_sound(to, p)) {
            rc = -EUCLEAN;
            env_file_forget(seg->file, p->offset, p->stored); /* as vlog_read does */
        }
        segment_put(&v->files, seg);
    }
    if (rc == -ENODATA)
        return corrupt(v, p, "missing");
    if (rc)
        return rc == -EUCLEAN ? corrupt(v, p, "checksum") : rc;
    bytes->len = p->stored;
    *kind = (int)header_kind(bytes->data, p->raw);
    return 0;
}

int vlog_kind(struct vlog *v, const struct vptr *p, int *kind)
{
    uint8_t small[SMALL_PIECE];
    struct piece header;
    struct segment *seg;
    int rc;

    *kind = VLOG_AS_OPENED;
    if (!p->chosen)
        return 0;
    rc = get_segment(v, p, &seg);
    if (rc == 0) {
        rc = read_piece(seg, p, 0, (size_t)record_header_bytes(p->raw), small, &header);
        if (rc == 0 && !record_header_check(header.data, p))
            rc = -EUCLEAN;
        if (rc == 0)
            *kind = (int)header_kind(header.data, p->raw);
        free(header.owned);
        segment_put(&v->files, seg);
    }
    if (rc == -ENODATA)
        return corrupt(v, p, "missing");
    return rc == -EUCLEAN ? corrupt(v, p, "checksum") : rc;
}

/* ---- check ---- */

static int check_frames(struct segment *seg, const struct vptr *p, const uint8_t *header)
{
    uint8_t small[SMALL_PIECE];
    struct record_frame f;
    struct piece piece;
    int rc;

    if (p->raw == 0)
        return 0;
    record_frame_first(header, p->raw, &f);
    while (f.index < record_frames(p->raw)) {
        rc = read_piece(seg, p, f.at, f.stored, small, &piece);
        if (rc)
            return rc;
        if (!record_frame_sound(&f, piece.data))
            return -EUCLEAN;
        record_frame_next(header, p->raw, &f);
    }
    return 0;
}

void vlog_set_doubt(struct vlog *v, bool doubt)
{
    __atomic_store_n(&v->doubt, doubt, __ATOMIC_RELAXED);
}

int vlog_check(struct vlog *v, const struct vptr *p, bool quiet)
{
    uint8_t small[SMALL_PIECE];
    struct piece header;
    struct segment *seg;
    int rc;

    rc = get_segment(v, p, &seg);
    if (rc == 0) {
        if (!quiet && !__atomic_load_n(&v->doubt, __ATOMIC_RELAXED))
            env_file_ask_store(seg->file, p->offset, p->stored);
        rc = read_piece(seg, p, 0, (size_t)record_header_bytes(p->raw), small, &header);
        if (rc == 0)
            rc = record_header_check(header.data, p) ? check_frames(seg, p, header.data)
                                                     : -EUCLEAN;
        free(header.owned);
        segment_put(&v->files, seg);
    }
    if (rc != -ENODATA && rc != -EUCLEAN)
        return rc;
    return quiet ? -EUCLEAN : corrupt(v, p, rc == -ENODATA ? "missing" : "checksum");
}
