/*
 * store_dissect.c - the files of a store to parts; see store_parts.h.
 */
#include "tests/store_parts.h"

#include <inttypes.h>
#include <stdlib.h>

#include "lsm/names.h"
#include "lsm/table_impl.h"
#include "lsm/vlog_impl.h"
#include "lsm/wal_format.h"

struct dissection {
    struct env *env;
    const char *dir;
    struct buf *to;
    struct buf part; /* being filled */
};

static void put_now(struct dissection *d, uint8_t kind)
{
    part_put(d->to, kind, buf_slice(&d->part));
    buf_clear(&d->part);
}

/* ---- tables ---- */

static void put_block(struct dissection *d, uint8_t kind, const struct table *t,
                      struct slice file, uint64_t from, uint64_t end)
{
    struct table_payload p;
    struct slice bytes = slice_of(file.data + from, (size_t)(end - from));
    uint8_t *raw;

    if (from == end)
        return;
    if (table_block_open(bytes, "", t->number, from, &p))
        abort();
    raw = malloc(p.raw_len + 1);
    if (p.type == COMPRESS_ZSTD_DICT || !raw) {
        put_u8(&d->part, 0x80 | (uint8_t)p.type);
        put_le32(&d->part, (uint32_t)p.raw_len);
        buf_append_slice(&d->part, p.bytes);
    } else {
        if (decompress(p.type, p.bytes, raw, p.raw_len))
            abort();
        put_u8(&d->part, (uint8_t)p.type);
        buf_append(&d->part, raw, p.raw_len);
    }
    free(raw);
    put_now(d, kind);
}

static void put_table(struct dissection *d, uint64_t number, const char *path,
                      struct slice file)
{
    struct table_open_options o = {
        .env = d->env, .path = path, .number = number, .size = file.len};
    const struct table_layout *l;
    const struct table_index *x;
    struct table *t;
    uint32_t i, k = 0;

    if (table_open(&o, &t))
        abort();
    l = &t->layout;
    x = &t->index;
    put_varint(&d->part, number);
    put_u8(&d->part, (uint8_t)l->version);
    put_u8(&d->part, STORE_FIX_ALL);
    put_now(d, 'T');
    for (i = 0; i < x->n; i++) {
        if (k < x->n_dicts && x->dict[k].block == i)
            put_block(d, 'D', t, file, x->dict[k++].at, x->at[i]);
        put_block(d, 'd', t, file, x->at[i], x->at[i] + table_index_size(x, i));
    }
    put_block(d, 'F', t, file, l->filter, l->range_deletes);
    put_block(d, 'R', t, file, l->range_deletes, l->index);
    put_block(d, 'X', t, file, l->index, l->properties);
    put_block(d, 'P', t, file, l->properties, l->end);
    table_free(t);
}

/* ---- the others ---- */

static void put_frames(struct dissection *d, uint8_t kind, uint64_t number,
                       struct slice file)
{
    size_t at = 0, len;

    put_varint(&d->part, number);
    put_now(d, kind);
    while (file.len - at >= WAL_FRAME_HEADER &&
           load_le32(file.data + at + WAL_AT_MARK) == wal_mark(number, at)) {
        len = load_le32(file.data + at + WAL_AT_LENGTH);
        put_varint(&d->part, load_le64(file.data + at + WAL_AT_SYNCED));
        buf_append(&d->part, file.data + at + WAL_FRAME_HEADER, len);
        put_now(d, 'f');
        at += WAL_FRAME_HEADER + len;
    }
}

/* Each record that is found, walking from header to header. */
static void put_records(struct dissection *d, uint64_t number, struct slice file)
{
    size_t at = 0;

    put_varint(&d->part, number);
    put_now(d, 'V');
    while (file.len - at >= RECORD_AT_FRAMES) {
        const uint8_t *header = file.data + at;
        uint32_t raw = load_le32(header + RECORD_AT_RAW);
        struct record_frame f;

        put_u8(&d->part, 0);
        record_frame_first(header, raw, &f);
        while (f.index < record_frames(raw)) {
            uint8_t frame[VLOG_FRAME];

            if (!record_frame_read(&f, header + f.at, 0, f.raw, frame))
                abort();
            if (f.type != COMPRESS_RAW)
                d->part.data[0] = (uint8_t)f.type;
            buf_append(&d->part, frame, f.raw);
            record_frame_next(header, raw, &f);
        }
        put_now(d, 'r');
        at += f.at;
    }
}

static int put_file(void *arg, const char *name)
{
    struct dissection *d = arg;
    struct buf file = {0};
    uint64_t number;
    enum file_kind kind = file_parse(name, &number);
    char *path = file_path(d->dir, kind, number);

    if (!path || (kind != FILE_OTHER && env_mem_read(d->env, path, &file)))
        abort();
    switch (kind) {
    case FILE_CURRENT: /* without the hash and the newline */
        part_put(d->to, 'C', slice_of(file.data, file.len - 18));
        break;
    case FILE_MANIFEST:
        put_frames(d, 'M', number, buf_slice(&file));
        break;
    case FILE_LOG:
        put_frames(d, 'L', number, buf_slice(&file));
        break;
    case FILE_TABLE:
        put_table(d, number, path, buf_slice(&file));
        break;
    case FILE_SEGMENT:
        put_records(d, number, buf_slice(&file));
        break;
    default:
        break;
    }
    free(path);
    buf_release(&file);
    return 0;
}

void store_dissect(struct env *env, const char *dir, struct buf *parts)
{
    struct dissection d = {.env = env, .dir = dir, .to = parts};

    if (env_list(env, dir, put_file, &d))
        abort();
    buf_release(&d.part);
}
