/*
 * wal_replay.c - write-ahead log: replay.
 *
 * Good frames are given out in order up to the first bad one. Then the rest of
 * the file is searched, at every offset, for frames of this log that got to the
 * disk all the same: if one of them was written when the bad one had already
 * been synced, the bad one is not a torn tail but damage, and to go on would
 * lose what was promised. Otherwise it was never promised: the log ends there.
 */
#include "wal.h"

#include "err.h"
#include "wal_format.h"

#include <inttypes.h>
#include <stdlib.h>

enum { CHUNK = 1 << 20 };

/* A file and the piece of it that is in memory. */
struct reader {
    struct env_file *file;
    uint64_t number;
    uint64_t size;
    uint64_t at; /* offset of data */
    size_t len;
    size_t cap;
    uint8_t *data;
};

struct frame {
    bool marked; /* has the mark of a frame of this log at this place */
    bool valid;
    uint64_t end;
    uint64_t synced;
    struct slice payload; /* borrowed from the reader until it reads on */
};

/* What lies behind the last good frame. */
struct rest {
    uint64_t synced;      /* greatest synced offset of a valid frame, or 0 */
    uint64_t frames_end;  /* end of the last valid frame, or 0 */
    uint64_t nonzero_end; /* end of the last byte that is not 0, or 0 */
    uint64_t seen_to;     /* of the file, by note_nonzero */
};

/* Bytes in memory from off on. */
static size_t reader_has(const struct reader *rd, uint64_t off)
{
    if (off < rd->at || off > rd->at + rd->len)
        return 0;
    return (size_t)(rd->at + rd->len - off);
}

/* Bytes [off, off + n), which the file has, borrowed until the next call. */
static int reader_get(struct reader *rd, uint64_t off, size_t n, const uint8_t **out)
{
    size_t want = n > CHUNK ? n : CHUNK;
    int rc;

    if (n <= reader_has(rd, off)) {
        *out = rd->data + (off - rd->at);
        return 0;
    }
    if (want > rd->size - off)
        want = (size_t)(rd->size - off);
    if (want > rd->cap) {
        uint8_t *more = realloc(rd->data, want);

        if (!more)
            return -ENOMEM;
        rd->data = more;
        rd->cap = want;
    }
    rd->at = off;
    rd->len = 0;
    rc = env_file_pread(rd->file, off, rd->data, want, &rd->len);
    if (rc)
        return rc;
    *out = rd->data;
    return rd->len < n ? -EIO : 0; /* shorter than its size said */
}

/* Not a valid frame is not an error: see f->valid. off is inside the file. */
static int read_frame(struct reader *rd, uint64_t off, struct frame *f)
{
    const uint8_t *p;
    uint32_t length;
    int rc;

    *f = (struct frame){0};
    if (rd->size - off < WAL_FRAME_HEADER)
        return 0;
    rc = reader_get(rd, off, WAL_FRAME_HEADER, &p);
    if (rc)
        return rc;
    f->marked = load_le32(p + WAL_AT_MARK) == wal_mark(rd->number, off);
    length = load_le32(p + WAL_AT_LENGTH);
    f->synced = load_le64(p + WAL_AT_SYNCED);
    f->end = off + WAL_FRAME_HEADER + length;
    if (!f->marked || length > WAL_PAYLOAD_MAX || f->end > rd->size || f->synced > off)
        return 0;
    rc = reader_get(rd, off, WAL_FRAME_HEADER + length, &p);
    if (rc)
        return rc;
    f->valid =
        wal_checksum(p, WAL_FRAME_HEADER + length, rd->number, off) == load_le64(p);
    f->payload = slice_of(p + WAL_FRAME_HEADER, length);
    return 0;
}

/* ---- behind the last good frame ---- */

static void note_nonzero(const struct reader *rd, struct rest *rest)
{
    size_t n = rd->len;

    if (rd->at + n <= rest->seen_to)
        return;
    rest->seen_to = rd->at + n;
    while (n && rd->data[n - 1] == 0)
        n--;
    if (n)
        rest->nonzero_end = rd->at + n;
}

/* Where, in the n bytes at p, which lie at off, is the first mark? n if nowhere. */
static size_t find_mark(const struct reader *rd, const uint8_t *p, size_t n, uint64_t off)
{
    size_t i = 0;

    while (n - i >= WAL_FRAME_HEADER) {
        if (load_le64(p + i + WAL_AT_MARK) == 0)
            i += 5; /* a mark is 4 bytes and never 0 */
        else if (load_le32(p + i + WAL_AT_MARK) == wal_mark(rd->number, off + i))
            return i;
        else
            i++;
    }
    return n;
}

/*
 * No header begins before `next`: where could one? A header may lie across chunks, and
 * across the edge of a hole. Without this a file that is all hole, which costs a stranger
 * nothing, would be read for days.
 */
static uint64_t after_hole(const struct reader *rd, uint64_t off, uint64_t next)
{
    uint64_t data = env_file_next_data(rd->file, next);

    if (data > rd->size)
        return rd->size;
    return data >= off + 2 * WAL_FRAME_HEADER && data - WAL_FRAME_HEADER > next
               ? data - WAL_FRAME_HEADER
               : next;
}

static int search_rest(struct reader *rd, uint64_t from, struct rest *rest)
{
    uint64_t off = from;

    while (off < rd->size) {
        uint64_t left = rd->size - off;
        size_t n = reader_has(rd, off);
        const uint8_t *p;
        struct frame f;
        size_t i;
        int rc;

        if (n < WAL_FRAME_HEADER && n < left)
            n = left < CHUNK ? (size_t)left : CHUNK;
        rc = reader_get(rd, off, n, &p);
        if (rc)
            return rc;
        note_nonzero(rd, rest);
        i = find_mark(rd, p, n, off);
        if (i == n) {
            if (n == left)
                break;
            off = after_hole(rd, off, off + n - WAL_FRAME_HEADER + 1);
            continue;
        }
        off += i;
        rc = read_frame(rd, off, &f);
        if (rc)
            return rc;
        if (f.valid) {
            rest->frames_end = f.end;
            if (f.synced > rest->synced)
                rest->synced = f.synced;
        }
        off = f.valid ? f.end : off + 1;
    }
    return 0;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/*
 * The log's good frames end at r->length; `bad` is what was found there. Torn
 * or clean or damaged? Without its header a log may be one whose recycling had
 * just begun, so only marks count; a recycled one ends in old bytes.
 */
static int judge_end(struct reader *rd, const char *path, struct wal_replay *r,
                     const struct frame *bad, bool recycled)
{
    struct rest rest = {0};
    uint64_t end = 0;
    int rc;

    rc = search_rest(rd, r->length, &rest);
    if (rc)
        return rc;
    r->synced = greater(r->synced, rest.synced);
    if (rest.synced > r->length)
        return err_corrupt(path, r->length,
                           "a log frame is damaged that was synced (up to %" PRIu64 ")",
                           rest.synced);
    if (bad->marked)
        end = bad->end < rd->size ? bad->end : rd->size;
    end = greater(end, rest.frames_end);
    if (!recycled)
        end = greater(end, rest.nonzero_end);
    r->torn = end > r->length;
    r->torn_bytes = r->torn ? end - r->length : 0;
    return 0;
}

/* ---- replay ---- */

static int take_header(const char *path, struct wal_replay *r, struct slice p,
                       bool *recycled)
{
    if (p.len < WAL_HEADER_PAYLOAD || memcmp(p.data, wal_magic, sizeof(wal_magic)) != 0)
        return err_corrupt(path, 0, "not a log header");
    if (load_le32(p.data + WAL_AT_VERSION) > WAL_VERSION)
        return -EPROTONOSUPPORT;
    if (load_le64(p.data + WAL_AT_NUMBER) != r->number)
        return err_corrupt(path, 0, "the header of another log");
    *recycled = load_le32(p.data + WAL_AT_FLAGS) & WAL_FLAG_RECYCLED;
    r->prev_number = load_le64(p.data + WAL_AT_PREV_NUMBER);
    r->prev_length = load_le64(p.data + WAL_AT_PREV_LENGTH);
    r->have_header = true;
    return 0;
}

static int replay(struct reader *rd, const char *path, struct wal_replay *r,
                  wal_replay_fn *fn, void *arg)
{
    bool recycled = true;
    struct frame f = {0};
    int rc;

    while (r->length < rd->size) {
        rc = read_frame(rd, r->length, &f);
        if (rc)
            return rc;
        if (!f.valid)
            break;
        if (r->have_header)
            rc = fn(arg, f.payload, f.end);
        else
            rc = take_header(path, r, f.payload, &recycled);
        if (rc == WAL_STOP && r->have_header)
            break;
        if (rc)
            return rc;
        r->synced = greater(r->synced, f.synced);
        r->length = f.end;
    }
    if (r->length == rd->size)
        return 0;
    return judge_end(rd, path, r, &f, recycled);
}

int wal_replay(struct env *env, const char *path, struct wal_replay *r, wal_replay_fn *fn,
               void *arg)
{
    struct reader rd = {.number = r->number};
    int rc, close_rc;

    *r = (struct wal_replay){.number = r->number};
    rc = env_open(env, path, ENV_READ, 0, &rd.file);
    if (rc)
        return rc;
    rc = env_file_size(rd.file, &rd.size);
    if (rc == 0)
        rc = replay(&rd, path, r, fn, arg);
    close_rc = env_file_close(rd.file);
    free(rd.data);
    return rc ? rc : close_rc;
}
