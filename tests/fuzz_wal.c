/*
 * fuzz_wal.c - libFuzzer entry: replay of hostile logs.
 *
 * An even first byte: the rest is the file as it is. An odd one: the rest tells
 * frames, which get good checksums, so that the fuzzer comes past them:
 * {length, synced offset, what to do to it} and then bytes that go on in between.
 */
#include "env_mem.h"

#include <stdlib.h>

#include "lsm/wal.h"
#include "lsm/wal_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NUMBER = 5 };

static void add_frame(struct buf *log, struct slice payload, uint64_t synced)
{
    uint64_t at = log->len;
    uint8_t *p;

    put_le64(log, 0);
    put_le32(log, wal_mark(NUMBER, at));
    put_le32(log, (uint32_t)payload.len);
    put_le64(log, synced);
    buf_append_slice(log, payload);
    p = log->data + at;
    store_le64(p, wal_checksum(p, log->len - (size_t)at, NUMBER, at));
}

static void add_header(struct buf *log, uint8_t flags)
{
    struct buf p = {0};

    buf_append(&p, wal_magic, sizeof(wal_magic));
    put_le32(&p, WAL_VERSION);
    put_le32(&p, flags);
    put_le64(&p, NUMBER);
    put_le64(&p, NUMBER - 1);
    put_le64(&p, 1000);
    add_frame(log, buf_slice(&p), 0);
    buf_release(&p);
}

static void build(struct buf *log, struct slice in)
{
    struct slice payload;
    uint8_t len, synced, how;

    while (get_u8(&in, &len) && get_u8(&in, &synced) && get_u8(&in, &how)) {
        uint64_t at = log->len;

        if (!get_raw(&in, len < in.len ? len : in.len, &payload))
            break;
        if (how & 1)
            buf_append_slice(log, payload); /* garbage between frames */
        else
            add_frame(log, payload, (uint64_t)synced * 8);
        if (how & 2 && log->len > at)
            log->data[at + how % (log->len - at)] ^= 0x40;
    }
}

static int check_payload(void *arg, struct slice payload, uint64_t end)
{
    uint64_t *last = arg;
    struct buf copy = {0};

    if (end <= *last)
        abort();
    if (payload.len == 13)
        return WAL_STOP;
    *last = end;
    buf_append_slice(&copy, payload); /* all of it is there: ASan would tell */
    buf_release(&copy);
    return 0;
}

static void ignore(void *arg, const char *line)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wal_replay r = {.number = NUMBER};
    struct env *env = env_mem_new(1);
    struct buf log = {0};
    uint64_t last = 0;
    int rc;

    err_set_sink(ignore, NULL);
    if (size && data[0] & 1) {
        add_header(&log, data[0] >> 1 & 1);
        build(&log, slice_of(data + 1, size - 1));
    } else if (size) {
        buf_append(&log, data + 1, size - 1);
    }
    if (env_mem_write(env, "/5.log", buf_slice(&log)))
        abort();
    rc = wal_replay(env, "/5.log", &r, check_payload, &last);
    if (rc != 0 && rc != -EUCLEAN && rc != -EPROTONOSUPPORT)
        abort();
    if (r.length + r.torn_bytes > log.len || last > r.length)
        abort();
    buf_release(&log);
    env_mem_free(env);
    return 0;
}
