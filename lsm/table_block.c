/*
 * table_block.c - the envelope of a table's blocks, and the footer.
 * Bytes: FORMAT.md, "Table".
 */
#include "table_impl.h"

#include <inttypes.h>
#include <stdlib.h>

#include "hash.h"

enum {
    CHECKED_TAIL = TABLE_BLOCK_TRAILER - 8, /* of the trailer, under the checksum */
    FOOTER_PARTS = 4 * 8,
    SMALL_BLOCK = 8 * 1024, /* fits on the stack */
};

/* No codec packs more densely: LZ4 ends a run with bytes of 255 each, ZSTD
 * takes 4 bytes for a block of 128 KiB, with a dictionary too. A greater length is a lie,
 * and would make us allocate what the file does not justify. */
static uint64_t raw_limit(enum compression type, size_t len)
{
    uint64_t limit = type == COMPRESS_RAW   ? len
                     : type == COMPRESS_LZ4 ? (uint64_t)len * 255 + 64
                                            : (uint64_t)len * 32768 + 64;

    return limit < TABLE_RAW_MAX ? limit : TABLE_RAW_MAX;
}

void table_block_append(struct buf *to, struct slice payload, enum compression type,
                        size_t raw_len, uint64_t number, uint64_t offset)
{
    size_t at = to->len;
    size_t len = payload.len + CHECKED_TAIL;

    buf_append_slice(to, payload);
    put_u8(to, (uint8_t)type);
    put_le32(to, (uint32_t)raw_len);
    if (!to->failed)
        put_le64(to, hash_bytes(to->data + at, len, hash_place(number, offset)));
}

int table_block_open(struct slice block, const char *path, uint64_t number,
                     uint64_t offset, struct table_payload *out)
{
    const uint8_t *trailer;
    size_t len;

    if (block.len <= TABLE_BLOCK_TRAILER)
        return err_corrupt(path, offset, "a block of %zu bytes", block.len);
    len = block.len - TABLE_BLOCK_TRAILER;
    trailer = block.data + len;
    if (load_le64(trailer + CHECKED_TAIL) !=
        hash_bytes(block.data, len + CHECKED_TAIL, hash_place(number, offset)))
        return err_corrupt(path, offset, "checksum of a block of %zu bytes", block.len);
    out->type = (enum compression)trailer[0];
    out->raw_len = load_le32(trailer + 1);
    out->bytes = slice_of(block.data, len);
    if (trailer[0] > COMPRESS_ZSTD_DICT)
        return err_corrupt(path, offset, "unknown compression %u", trailer[0]);
    if (out->raw_len > raw_limit(out->type, len) ||
        (out->type == COMPRESS_RAW && out->raw_len != len))
        return err_corrupt(path, offset, "%zu bytes cannot hold %zu", len, out->raw_len);
    return 0;
}

static int unpack_payload(const struct table *t, uint64_t offset,
                          const struct table_payload *p,
                          const struct decompress_dict *dict, void *to)
{
    int rc = p->type == COMPRESS_ZSTD_DICT && dict
                 ? decompress_with_dict(dict, p->bytes, to, p->raw_len)
                 : decompress(p->type, p->bytes, to, p->raw_len);

    return rc == -EUCLEAN ? err_corrupt(t->path, offset, "cannot be decompressed") : rc;
}

int table_affords(const struct table *t, uint64_t offset, uint64_t bytes)
{
    if (!t->memory || bytes <= t->memory->budget || bytes <= TABLE_PARTS_MIN)
        return 0;
    err_log("%s: offset %" PRIu64 ": %" PRIu64 " bytes, more than memory_bytes", t->path,
            offset, bytes);
    return -ENOMEM;
}

int table_unpack(const struct table *t, uint64_t offset, struct slice bytes,
                 const struct decompress_dict *dict, struct loaded_block **out)
{
    struct table_payload payload;
    struct loaded_block *lb;
    int rc;

    rc = table_block_open(bytes, t->path, t->number, offset, &payload);
    if (!rc)
        rc = table_affords(t, offset, payload.raw_len);
    if (rc)
        return rc;
    lb = malloc(sizeof(*lb) + payload.raw_len);
    if (!lb)
        return -ENOMEM;
    lb->entry = NULL;
    rc = unpack_payload(t, offset, &payload, dict, lb->bytes);
    if (rc) {
        free(lb);
        return rc;
    }
    lb->block = (struct block){.data = slice_of(lb->bytes, payload.raw_len)};
    *out = lb;
    return 0;
}

int table_read(struct table *t, uint64_t offset, void *to, size_t len)
{
    size_t got;
    int rc = env_file_pread(t->file, offset, to, len, &got);

    if (rc)
        return rc;
    if (got != len)
        return err_corrupt(t->path, offset, "%zu bytes of %zu are there", got, len);
    return 0;
}

int table_load(struct table *t, uint64_t offset, size_t size, struct loaded_block **out)
{
    uint8_t *bytes = malloc(size);
    int rc;

    if (!bytes)
        return -ENOMEM;
    rc = table_read(t, offset, bytes, size);
    if (!rc)
        rc = table_unpack(t, offset, slice_of(bytes, size), NULL, out);
    free(bytes);
    return rc;
}

/* ---- data blocks ---- */

int table_bad_block(const struct table *t, uint32_t i)
{
    return err_corrupt(t->path, t->index.at[i], "entries of a block");
}

static int unpack_once(const struct table *t, uint32_t i, struct slice bytes,
                       const struct decompress_dict *dict, struct loaded_block **out)
{
    struct loaded_block *lb;
    int rc;

    rc = table_unpack(t, t->index.at[i], bytes, dict, &lb);
    if (rc)
        return rc;
    if (block_init(&lb->block, lb->block.data) != 0) {
        free(lb);
        return table_bad_block(t, i);
    }
    *out = lb;
    return 0;
}

/* A copy of the block with room in front for what block_prepare makes. */
static int keep(const struct table *t, uint32_t i, struct slice raw,
                struct loaded_block **out)
{
    struct cache_entry *e;
    struct loaded_block *lb;
    struct block b;
    size_t front;

    if (block_init(&b, raw) != 0)
        return table_bad_block(t, i);
    front = block_prepare_bytes(&b);
    e = cache_reserve(t->cache, t->number, t->index.at[i], sizeof(*lb) + front + raw.len);
    if (!e)
        return -ENOMEM;
    lb = cache_value(e);
    lb->entry = e;
    memcpy(lb->bytes + front, raw.data, raw.len);
    lb->block = b;
    lb->block.data.data = lb->bytes + front;
    if (block_prepare(&lb->block, lb->bytes) != 0) {
        cache_abandon(t->cache, e);
        return table_bad_block(t, i);
    }
    *out = lb;
    return 0;
}

/* How long what block_prepare makes will be is in the block, so it is decompressed
 * elsewhere first. */
static int unpack_keep(const struct table *t, uint32_t i, struct slice bytes,
                       const struct decompress_dict *dict, struct loaded_block **out)
{
    uint64_t at = t->index.at[i];
    struct table_payload payload;
    uint8_t small[SMALL_BLOCK];
    uint8_t *raw = small;
    int rc;

    rc = table_block_open(bytes, t->path, t->number, at, &payload);
    if (!rc && payload.raw_len > TABLE_DATA_MAX)
        rc = table_bad_block(t, i);
    if (rc)
        return rc;
    if (payload.type == COMPRESS_RAW)
        return keep(t, i, payload.bytes, out);
    if (payload.raw_len > sizeof(small) && !(raw = malloc(payload.raw_len)))
        return -ENOMEM;
    rc = unpack_payload(t, at, &payload, dict, raw);
    if (!rc)
        rc = keep(t, i, slice_of(raw, payload.raw_len), out);
    if (raw != small)
        free(raw);
    return rc;
}

/* The dictionary of block i, if these bytes of it say that it needs one. */
static int get_dict(struct table *t, uint32_t i, struct slice bytes,
                    struct table_dict_ref *ref)
{
    uint32_t k;

    if (bytes.len <= TABLE_BLOCK_TRAILER ||
        bytes.data[bytes.len - TABLE_BLOCK_TRAILER] != COMPRESS_ZSTD_DICT)
        return 0;
    k = table_index_dicts(&t->index, i);
    return k ? table_dict_get(t, k - 1, ref) : 0;
}

int table_unpack_block(struct table *t, uint32_t i, struct slice bytes,
                       enum table_block_use use, struct table_dict_ref *ref,
                       struct loaded_block **out)
{
    int rc = get_dict(t, i, bytes, ref);

    if (!rc)
        rc = use == TABLE_BLOCK_KEEP ? unpack_keep(t, i, bytes, ref->dict, out)
                                     : unpack_once(t, i, bytes, ref->dict, out);
    if (rc == -EUCLEAN) /* whoever asks again asks the disk, not a copy of it */
        env_file_forget(t->file, t->index.at[i], bytes.len);
    return rc;
}

int table_load_block(struct table *t, uint32_t i, enum table_block_use use,
                     struct table_dict_ref *ref, struct loaded_block **out)
{
    size_t size = table_block_size(t, i);
    uint8_t small[SMALL_BLOCK];
    uint8_t *bytes = small;
    int rc;

    if (size > sizeof(small) && !(bytes = malloc(size)))
        return -ENOMEM;
    rc = table_read(t, t->index.at[i], bytes, size);
    if (!rc)
        rc = table_unpack_block(t, i, slice_of(bytes, size), use, ref, out);
    if (bytes != small)
        free(bytes);
    return rc;
}

/* ---- footer ---- */

void table_layout_append(struct buf *to, const struct table_layout *l, uint64_t number)
{
    uint8_t f[TABLE_FOOTER];

    store_le64(f, l->filter);
    store_le64(f + 8, l->range_deletes);
    store_le64(f + 16, l->index);
    store_le64(f + 24, l->properties);
    store_le32(f + FOOTER_PARTS, l->version);
    store_le64(f + FOOTER_PARTS + 4,
               hash_bytes(f, FOOTER_PARTS + 4, hash_place(number, l->end)));
    store_le32(f + FOOTER_PARTS + 12, TABLE_MAGIC);
    buf_append(to, f, sizeof(f));
}

int table_layout_decode(const uint8_t *f, const char *path, uint64_t number,
                        struct table_layout *l)
{
    uint32_t version = load_le32(f + FOOTER_PARTS);

    if (load_le32(f + FOOTER_PARTS + 12) != TABLE_MAGIC)
        return err_corrupt(path, l->end, "no table ends here");
    if (load_le64(f + FOOTER_PARTS + 4) !=
        hash_bytes(f, FOOTER_PARTS + 4, hash_place(number, l->end)))
        return err_corrupt(path, l->end, "checksum of the footer");
    if (version > TABLE_VERSION_DICT) {
        err_log("%s: format %" PRIu32 " is newer than %d", path, version,
                TABLE_VERSION_DICT);
        return -EPROTONOSUPPORT;
    }
    l->version = version;
    l->filter = load_le64(f);
    l->range_deletes = load_le64(f + 8);
    l->index = load_le64(f + 16);
    l->properties = load_le64(f + 24);
    if (version == 0 || l->filter > l->range_deletes || l->range_deletes > l->index ||
        l->index > l->properties || l->properties > l->end)
        return err_corrupt(path, l->end, "parts out of order");
    return 0;
}
