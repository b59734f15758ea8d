/*
 * wal.c - write-ahead log: the writer. Replay is in wal_replay.c.
 *
 * An append is one append to the file, header and payload joined, so that a
 * failed one leaves at most bytes that no checksum covers, and the next one
 * overwrites them. Bytes: FORMAT.md, "WAL".
 */
#include "wal.h"

#include "wal_format.h"

#include <stdlib.h>

enum {
    SMALL_FRAME = 4096, /* hashed and written as one piece of memory */
    MAX_PARTS = 256,
};

struct wal {
    struct env_file *file;
    uint64_t number;
    uint64_t length; /* atomic: wal_sync reads it beside an append */
    uint64_t synced; /* atomic, as said by the last successful sync */
    int sync_error;  /* atomic; sticky */
    XXH3_state_t *hash;
    uint8_t small[SMALL_FRAME];
};

static void fill_header(const struct wal *w, uint8_t *to, size_t payload)
{
    uint64_t synced = __atomic_load_n(&w->synced, __ATOMIC_RELAXED);

    store_le32(to + WAL_AT_MARK, wal_mark(w->number, w->length));
    store_le32(to + WAL_AT_LENGTH, (uint32_t)payload);
    store_le64(to + WAL_AT_SYNCED, synced);
}

static int append_small(struct wal *w, const struct slice *parts, unsigned n,
                        size_t payload)
{
    size_t at = WAL_FRAME_HEADER;
    struct slice frame;
    unsigned i;

    fill_header(w, w->small, payload);
    for (i = 0; i < n; i++) {
        if (parts[i].len)
            memcpy(w->small + at, parts[i].data, parts[i].len);
        at += parts[i].len;
    }
    store_le64(w->small, wal_checksum(w->small, at, w->number, w->length));
    frame = slice_of(w->small, at);
    return env_file_append(w->file, &frame, 1);
}

/* Without copying the payload. */
static int append_large(struct wal *w, const struct slice *parts, unsigned n,
                        size_t payload)
{
    uint8_t header[WAL_FRAME_HEADER];
    struct slice all[MAX_PARTS];
    unsigned i;

    fill_header(w, header, payload);
    XXH3_64bits_reset_withSeed(w->hash, hash_place(w->number, w->length));
    XXH3_64bits_update(w->hash, header + WAL_AT_MARK, sizeof(header) - WAL_AT_MARK);
    all[0] = slice_of(header, sizeof(header));
    for (i = 0; i < n; i++) {
        XXH3_64bits_update(w->hash, parts[i].data, parts[i].len);
        all[i + 1] = parts[i];
    }
    store_le64(header, XXH3_64bits_digest(w->hash));
    return env_file_append(w->file, all, n + 1);
}

/* Too many parts for append_large: join them. */
static int append_joined(struct wal *w, const struct slice *parts, unsigned n,
                         size_t payload)
{
    struct buf all = {0};
    struct slice one;
    unsigned i;
    int rc;

    if (!buf_reserve(&all, payload))
        return -ENOMEM;
    for (i = 0; i < n; i++)
        buf_append_slice(&all, parts[i]);
    one = buf_slice(&all);
    rc = append_large(w, &one, 1, payload);
    buf_release(&all);
    return rc;
}

int wal_append(struct wal *w, const struct slice *parts, unsigned n, uint64_t *end)
{
    size_t payload = 0;
    unsigned i;
    int rc = __atomic_load_n(&w->sync_error, __ATOMIC_RELAXED);

    if (rc)
        return rc;
    for (i = 0; i < n; i++) {
        if (parts[i].len > WAL_PAYLOAD_MAX - payload)
            return -EINVAL;
        payload += parts[i].len;
    }
    if (payload <= SMALL_FRAME - WAL_FRAME_HEADER)
        rc = append_small(w, parts, n, payload);
    else if (n < MAX_PARTS)
        rc = append_large(w, parts, n, payload);
    else
        rc = append_joined(w, parts, n, payload);
    if (rc)
        return rc;
    /* Release: a sync that sees this length must cover the bytes before it. */
    __atomic_store_n(&w->length, w->length + WAL_FRAME_HEADER + payload,
                     __ATOMIC_RELEASE);
    *end = w->length;
    return 0;
}

static void raise_synced(struct wal *w, uint64_t to)
{
    uint64_t old = __atomic_load_n(&w->synced, __ATOMIC_RELAXED);

    while (old < to && !__atomic_compare_exchange_n(&w->synced, &old, to, true,
                                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

int wal_sync_upto(struct wal *w, uint64_t upto)
{
    int rc = __atomic_load_n(&w->sync_error, __ATOMIC_RELAXED);

    if (rc)
        return rc;
    rc = env_file_sync(w->file);
    if (rc)
        __atomic_store_n(&w->sync_error, rc, __ATOMIC_RELAXED);
    else
        raise_synced(w, upto);
    return rc;
}

void wal_begin_sync(struct wal *w)
{
    env_file_writeback(w->file, 0, wal_length(w));
}

int wal_sync(struct wal *w)
{
    return wal_sync_upto(w, wal_length(w));
}

void wal_often_synced(struct wal *w, bool often)
{
    env_file_often_synced(w->file, often);
}

uint64_t wal_length(const struct wal *w)
{
    return __atomic_load_n(&w->length, __ATOMIC_ACQUIRE);
}

uint64_t wal_number(const struct wal *w)
{
    return w->number;
}

static int write_log_header(struct wal *w, const struct wal_create *c)
{
    uint8_t p[WAL_HEADER_PAYLOAD];
    struct slice part = slice_of(p, sizeof(p));
    uint64_t end;

    memcpy(p, wal_magic, sizeof(wal_magic));
    store_le32(p + WAL_AT_VERSION, WAL_VERSION);
    store_le32(p + WAL_AT_FLAGS, c->reuse ? WAL_FLAG_RECYCLED : 0);
    store_le64(p + WAL_AT_NUMBER, c->number);
    store_le64(p + WAL_AT_PREV_NUMBER, c->prev_number);
    store_le64(p + WAL_AT_PREV_LENGTH, c->prev_length);
    return wal_append(w, &part, 1, &end);
}

int wal_create(const struct wal_create *c, struct wal **out)
{
    struct wal *w = calloc(1, sizeof(*w));
    int rc = -ENOMEM;

    if (!w)
        return rc;
    w->number = c->number;
    w->hash = XXH3_createState();
    if (w->hash)
        rc = env_open(c->env, c->path, c->reuse ? ENV_REUSE : ENV_CREATE, c->preallocate,
                      &w->file);
    if (rc == 0) {
        rc = write_log_header(w, c);
        if (rc)
            env_unlink(c->env, c->path); /* best effort: rc is what counts */
    }
    if (rc) {
        wal_close(w, false);
        return rc;
    }
    *out = w;
    return 0;
}

int wal_close(struct wal *w, bool trim)
{
    int rc, close_rc;

    if (!w)
        return 0;
    rc = __atomic_load_n(&w->sync_error, __ATOMIC_RELAXED);
    if (trim && !rc)
        rc = env_file_truncate(w->file, w->length);
    close_rc = env_file_close(w->file);
    XXH3_freeState(w->hash);
    free(w);
    return rc ? rc : close_rc;
}
