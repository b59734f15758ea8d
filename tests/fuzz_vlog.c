/*
 * fuzz_vlog.c - libFuzzer entry: value-log pointers and records.
 *
 * The input is a pointer and then a record; the record's checksums are made good
 * unless the first byte is odd, so that the fuzzer comes past them.
 */
#include "env_mem.h"

#include <stdlib.h>

#include "lsm/hash.h"
#include "lsm/vlog_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEGMENT = 5 };

static uint64_t next_number(void *arg)
{
    return 100;
}

static void ignore(void *arg, const char *line)
{
}

/* The frames that are there whole get their checksums, and then the header. */
static void repair(uint8_t *record, size_t len, const struct vptr *p)
{
    uint64_t header = record_header_bytes(p->raw);
    struct record_frame f;

    if (len < header)
        return;
    store_le32(record + RECORD_AT_RAW, p->raw);
    for (record_frame_first(record, p->raw, &f); f.index < record_frames(p->raw);
         record_frame_next(record, p->raw, &f)) {
        if (f.at > len || f.stored > len - f.at)
            break;
        store_le64(record + RECORD_AT_FRAMES + f.index * RECORD_FRAME_ENTRY,
                   hash_bytes(record + f.at, f.stored, f.index));
    }
    store_le64(record, hash_bytes(record + RECORD_AT_RAW, (size_t)header - RECORD_AT_RAW,
                                  hash_place(p->segment, p->offset)));
}

static void check_read(struct vlog *v, const struct vptr *p)
{
    size_t len = p->len < 1 << 22 ? p->len : 1 << 22;
    uint8_t *to = malloc(len + !len);
    int rc = vlog_read(v, p, 0, len, to);

    if (rc != 0 && rc != -EUCLEAN)
        abort();
    rc = vlog_read(v, p, len / 3, len / 2, to);
    if (rc != 0 && rc != -EUCLEAN)
        abort();
    rc = vlog_check(v, p, true);
    if (rc != 0 && rc != -EUCLEAN)
        abort();
    free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct buf segment = {0}, again = {0};
    struct vlog_options o = {.dir = "", .segment_bytes = 1 << 20};
    struct vlog *v;
    struct vptr p;
    uint8_t how;

    err_set_sink(ignore, NULL);
    if (!get_u8(&in, &how) || !vptr_decode(&in, &p))
        return 0;
    vptr_append(&again, &p);
    buf_append_slice(&segment, in);
    if (!(how & 1)) {
        p.segment = SEGMENT;
        p.offset = 0;
        if (how & 2)
            p.stored = (uint32_t)segment.len;
        if (p.raw <= RECORD_RAW_MAX && segment.len >= RECORD_AT_FRAMES)
            repair(segment.data, segment.len, &p);
    }
    o.env = env_mem_new(1);
    o.next_number = next_number;
    if (env_mem_write(o.env, "/000005.vlog", buf_slice(&segment)) || vlog_open(&o, &v) ||
        vlog_add_segment(v, SEGMENT, segment.len))
        abort();
    check_read(v, &p);
    vlog_close(v);
    env_mem_free(o.env);
    buf_release(&segment);
    buf_release(&again);
    return 0;
}
