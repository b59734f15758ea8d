/*
 * table_builder.c - see table_builder.h. Bytes: FORMAT.md, "Table".
 *
 * Parts are written in the order of the file: data blocks as they fill, then
 * filter, range deletes, index, properties, footer. The separator of a block
 * waits for the key that follows it, because that makes it shorter. Blocks that may
 * get a dictionary wait in `hold` until there is one, or until it is known that there
 * is none.
 */
#include "table_impl.h"

#include <stdlib.h>

#include "block_builder.h"
#include "bloom.h"
#include "hash.h"
#include "table_hold.h"
#include "table_refs.h"

enum { WRITEBACK_BYTES = 1024 * 1024 };

struct table_builder {
    struct table_builder_options o; /* path is ours */
    struct env_file *file;
    int err;            /* sticky */
    struct buf out;     /* not yet appended to the file */
    uint64_t written;   /* appended */
    uint64_t writeback; /* of that, what the disk was told to write */
    struct block_builder data;
    struct table_hold hold;
    struct buf index; /* encoded entries of the n_blocks written */
    uint64_t n_blocks;
    struct buf dicts; /* encoded places of the dictionaries written */
    uint64_t n_dicts;
    struct buf compressed;
    struct buf last_key;   /* of the block finished last */
    bool waiting;          /* its separator is to be made */
    uint64_t waiting_size; /* of it in the file; 0: it is held */
    struct buf separator;  /* scratch */
    struct buf hashes;     /* of user keys, 8 bytes each */
    uint64_t last_hash;
    uint64_t delete_run;    /* that ends here; the longest is in meta */
    struct buf ranges;      /* encoded range deletes */
    struct buf range_start; /* of the last one */
    struct buf range_end;
    uint64_t range_seq;
    struct table_meta meta;
    struct ref_counter refs;
    size_t counted; /* in o.memory */
};

static int fail(struct table_builder *tb, int err)
{
    if (!tb->err)
        tb->err = err;
    return tb->err;
}

static int out_of_order(struct table_builder *tb)
{
    /* Keys come from other tables: what is wrong is on the disk. */
    return fail(tb, err_corrupt(tb->o.path, tb->written, "keys added out of order"));
}

/* ---- open and free ---- */

int table_builder_open(const struct table_builder_options *o, struct table_builder **out)
{
    struct table_builder *tb = calloc(1, sizeof(*tb));
    int rc = -ENOMEM;

    if (!tb)
        return rc;
    tb->o = *o;
    tb->o.path = strdup(o->path);
    if (!tb->o.path)
        goto fail;
    rc = env_open(o->env, o->path, ENV_CREATE, 0, &tb->file);
    if (rc)
        goto fail;
    block_builder_init(&tb->data, TABLE_RESTART);
    if (o->compression == COMPRESS_ZSTD)
        tb->hold.dict_bytes = o->dictionary_bytes;
    tb->meta.number = o->number;
    tb->meta.seq_min = IKEY_SEQ_MAX;
    *out = tb;
    return 0;
fail:
    free((char *)tb->o.path);
    free(tb);
    return rc;
}

/* The buffers that grow with the table, or are large. */
static void count_memory(struct table_builder *tb)
{
    size_t now = tb->out.cap + tb->index.cap + tb->hashes.cap + tb->ranges.cap +
                 tb->hold.raw.cap + tb->hold.keys.cap + ref_counter_bytes(&tb->refs);

    if (now > tb->counted) {
        memory_take(tb->o.memory, MEMORY_WORK, now - tb->counted);
        tb->counted = now;
    }
}

static void builder_free(struct table_builder *tb)
{
    memory_give(tb->o.memory, MEMORY_WORK, tb->counted);
    buf_release(&tb->out);
    block_builder_release(&tb->data);
    table_hold_release(&tb->hold);
    buf_release(&tb->index);
    buf_release(&tb->dicts);
    buf_release(&tb->compressed);
    buf_release(&tb->last_key);
    buf_release(&tb->separator);
    buf_release(&tb->hashes);
    buf_release(&tb->ranges);
    buf_release(&tb->range_start);
    buf_release(&tb->range_end);
    table_meta_release(&tb->meta);
    ref_counter_release(&tb->refs);
    free((char *)tb->o.path);
    free(tb);
}

void table_builder_abandon(struct table_builder *tb)
{
    if (!tb)
        return;
    (void)env_file_close(tb->file); /* its bytes are not wanted */
    (void)env_unlink(tb->o.env, tb->o.path);
    builder_free(tb);
}

/* ---- writing blocks ---- */

static int write_out(struct table_builder *tb)
{
    struct slice part = buf_slice(&tb->out);
    int rc;

    if (tb->out.failed)
        return fail(tb, -ENOMEM);
    if (part.len == 0)
        return 0;
    rc = env_file_append(tb->file, &part, 1);
    if (rc)
        return fail(tb, rc);
    tb->written += part.len;
    buf_clear(&tb->out);
    if (tb->written - tb->writeback >= WRITEBACK_BYTES) {
        env_file_writeback(tb->file, tb->writeback, tb->written - tb->writeback);
        tb->writeback = tb->written;
    }
    if (tb->o.wrote)
        tb->o.wrote(tb->o.arg, part.len);
    return 0;
}

static uint64_t position(const struct table_builder *tb)
{
    return tb->written + tb->out.len;
}

/* Payload is raw, done so to it. *size: of what goes to the file. */
static int write_payload(struct table_builder *tb, struct slice raw, struct slice payload,
                         enum compression did, uint64_t *size)
{
    uint64_t at = position(tb);

    table_block_append(&tb->out, payload, did, raw.len, tb->o.number, at);
    *size = position(tb) - at;
    return tb->out.failed || tb->out.len >= memory_window(tb->o.memory) ? write_out(tb)
                                                                        : 0;
}

static int write_block(struct table_builder *tb, struct slice raw, enum compression want,
                       uint64_t *size)
{
    enum compression did = COMPRESS_RAW;

    if (raw.len > TABLE_RAW_MAX)
        return fail(tb, -EFBIG);
    buf_clear(&tb->compressed);
    if (want != COMPRESS_RAW)
        did = compress(want, raw, &tb->compressed);
    return write_payload(tb, raw, did == COMPRESS_RAW ? raw : buf_slice(&tb->compressed),
                         did, size);
}

/*
 * A short key s with last <= s < next in user keys, or last itself; then any
 * trailer will do, and 0, the greatest, lets s bound all versions of it. When
 * both keys are versions of one user key, only last itself separates them.
 */
static void make_separator(struct buf *s, struct slice last, struct slice next)
{
    struct slice a = ikey_user(last);
    struct slice b = ikey_user(next);
    size_t n = a.len < b.len ? a.len : b.len;
    size_t same = 0;

    buf_clear(s);
    while (same < n && a.data[same] == b.data[same])
        same++;
    if (same == a.len && same == b.len) {
        buf_append_slice(s, last);
        return;
    }
    if (same < a.len && b.len > same + 1)
        buf_append(s, b.data, same + 1); /* above a, and a proper prefix of b */
    else
        buf_append_slice(s, a);
    put_le64(s, 0);
}

static int add_to_index(struct table_builder *tb, struct slice key, uint64_t size)
{
    table_index_append(&tb->index, key, size);
    tb->n_blocks++;
    return tb->index.failed ? fail(tb, -ENOMEM) : 0;
}

static int write_dict(struct table_builder *tb)
{
    uint64_t size;
    int rc = write_block(tb, buf_slice(&tb->hold.dict_raw), COMPRESS_ZSTD, &size);

    if (rc)
        return rc;
    table_dict_append(&tb->dicts, tb->n_blocks, size);
    tb->n_dicts++;
    return tb->dicts.failed ? fail(tb, -ENOMEM) : 0;
}

static int write_held(struct table_builder *tb)
{
    struct table_hold *h = &tb->hold;
    struct slice raw = buf_slice(&h->raw), key = buf_slice(&h->keys);
    bool fresh = false;
    size_t i;
    int rc = h->n ? table_hold_choose(h, &fresh) : 0;

    if (rc)
        return fail(tb, rc);
    if (fresh)
        rc = write_dict(tb);
    for (i = 0; i < h->n && !rc; i++) {
        struct slice block = slice_of(raw.data, h->block[i].raw_len);
        enum compression did;
        uint64_t size;

        buf_clear(&tb->compressed);
        did = table_hold_compress(h, block, &tb->compressed);
        rc = write_payload(tb, block,
                           did == COMPRESS_RAW ? block : buf_slice(&tb->compressed), did,
                           &size);
        if (!rc)
            rc = add_to_index(tb, slice_of(key.data, h->block[i].key_len), size);
        raw.data += block.len;
        key.data += h->block[i].key_len;
    }
    table_hold_clear(h);
    return rc;
}

/* The separator of the last block is made. */
static int end_block(struct table_builder *tb)
{
    struct slice key = buf_slice(&tb->separator);
    uint64_t size = tb->waiting_size;

    tb->waiting = false;
    tb->waiting_size = 0;
    if (tb->separator.failed)
        return fail(tb, -ENOMEM);
    if (size)
        return add_to_index(tb, key, size);
    if (table_hold_add_key(&tb->hold, key) != 0)
        return fail(tb, -ENOMEM);
    return table_hold_full(&tb->hold) ? write_held(tb) : 0;
}

static int flush_block(struct table_builder *tb)
{
    struct slice raw;
    int rc;

    rc = block_builder_finish(&tb->data, &raw);
    if (rc)
        return fail(tb, rc);
    if (raw.len <= table_hold_max(&tb->hold)) {
        rc = table_hold_add(&tb->hold, raw);
        if (rc)
            return fail(tb, rc);
    } else {
        rc = write_held(tb);
        if (!rc)
            rc = write_block(tb, raw, tb->o.compression, &tb->waiting_size);
        if (rc)
            return rc;
    }
    tb->waiting = true;
    buf_assign(&tb->last_key, buf_slice(&tb->data.last_key));
    block_builder_reset(&tb->data);
    count_memory(tb);
    return tb->last_key.failed ? fail(tb, -ENOMEM) : 0;
}

/* ---- adding points ---- */

static struct slice last_key(const struct table_builder *tb)
{
    return buf_slice(tb->data.count ? &tb->data.last_key : &tb->last_key);
}

static void count_seq(struct table_meta *m, uint64_t seq)
{
    if (seq < m->seq_min)
        m->seq_min = seq;
    if (seq > m->seq_max)
        m->seq_max = seq;
}

/* The stretch with the greatest surplus of tombstones (Kadane's algorithm). */
static void count_delete(struct table_builder *tb, bool is_delete)
{
    tb->meta.deletes += is_delete;
    if (is_delete)
        tb->delete_run++;
    else if (tb->delete_run)
        tb->delete_run--;
    if (tb->delete_run > tb->meta.delete_run)
        tb->meta.delete_run = tb->delete_run;
}

static int count_point(struct table_builder *tb, struct slice ikey, struct slice value)
{
    struct slice user = ikey_user(ikey);
    uint64_t hash;
    struct vptr ptr;
    int rc;

    if (tb->o.filter_bits > 0) {
        hash = hash_key(user);
        if (tb->meta.entries == 0 || hash != tb->last_hash)
            put_le64(&tb->hashes, hash);
        tb->last_hash = hash;
    }
    if (tb->meta.entries == 0)
        buf_assign(&tb->meta.smallest, user);
    tb->meta.entries++;
    count_delete(tb, ikey_type(ikey) == IKEY_DELETE);
    tb->meta.raw_bytes += ikey.len + value.len;
    count_seq(&tb->meta, ikey_seq(ikey));
    if (ikey_type(ikey) != IKEY_PUT_REF)
        return 0;
    if (!vptr_decode(&value, &ptr))
        return fail(tb, err_corrupt(tb->o.path, tb->written, "not a value pointer"));
    rc = ref_counter_add(&tb->refs, &tb->meta, &ptr);
    return rc ? fail(tb, rc) : 0;
}

int table_builder_add(struct table_builder *tb, struct slice ikey, struct slice value)
{
    size_t entry_bytes = ikey.len + value.len + 8;

    if (tb->err)
        return tb->err;
    if (!ikey_valid(ikey) || ikey_type(ikey) == IKEY_RANGE_DELETE ||
        entry_bytes > TABLE_RAW_MAX - 64 || ikey_seq(ikey) > IKEY_SEQ_STORED)
        return fail(tb, -EINVAL);
    if (tb->meta.entries && ikey_cmp(last_key(tb), ikey) >= 0)
        return out_of_order(tb);
    /* Before, not after: a large entry gets a block of its own. */
    if (tb->data.count &&
        block_builder_size(&tb->data) + entry_bytes > tb->o.block_bytes &&
        flush_block(tb) != 0)
        return tb->err;
    if (tb->waiting) {
        make_separator(&tb->separator, buf_slice(&tb->last_key), ikey);
        if (end_block(tb) != 0)
            return tb->err;
    }
    block_builder_add(&tb->data, ikey, value);
    if (tb->data.data.failed || tb->data.last_key.failed)
        return fail(tb, -ENOMEM);
    return count_point(tb, ikey, value);
}

/* ---- range deletes ---- */

static bool range_follows(const struct table_builder *tb, struct slice start,
                          struct slice end, uint64_t seq)
{
    struct slice last_start = buf_slice(&tb->range_start);
    struct slice last_end = buf_slice(&tb->range_end);

    if (tb->meta.range_deletes == 0)
        return true;
    if (slice_eq(start, last_start) && slice_eq(end, last_end))
        return seq < tb->range_seq;
    return slice_cmp(start, last_end) >= 0;
}

int table_builder_add_range_delete(struct table_builder *tb, struct slice start,
                                   struct slice end, uint64_t seq)
{
    if (tb->err)
        return tb->err;
    if (slice_cmp(start, end) >= 0 || seq > IKEY_SEQ_STORED)
        return fail(tb, -EINVAL);
    if (!range_follows(tb, start, end, seq))
        return out_of_order(tb);
    put_bytes(&tb->ranges, start);
    put_bytes(&tb->ranges, end);
    put_varint(&tb->ranges, seq);
    if (tb->meta.range_deletes == 0 || !slice_eq(start, buf_slice(&tb->range_start))) {
        buf_assign(&tb->range_start, start);
        buf_assign(&tb->range_end, end);
    }
    tb->range_seq = seq;
    tb->meta.range_deletes++;
    tb->meta.raw_bytes += start.len + end.len + IKEY_TRAILER;
    count_seq(&tb->meta, seq);
    if (tb->ranges.failed || tb->range_start.failed || tb->range_end.failed)
        return fail(tb, -ENOMEM);
    return 0;
}

/* ---- finishing ---- */

/* What is held will be about as dense as what was written. */
static uint64_t held_size(const struct table_builder *tb)
{
    uint64_t held = tb->hold.raw.len, raw = tb->meta.raw_bytes;
    uint64_t written = position(tb);

    if (!held || !written)
        return held;
    raw -= raw > held ? held : raw;
    return written < raw ? (uint64_t)((double)held * (double)written / (double)raw)
                         : held;
}

uint64_t table_builder_size(const struct table_builder *tb)
{
    return position(tb) + held_size(tb) + tb->data.data.len + tb->data.restarts.len +
           tb->ranges.len;
}

uint64_t table_builder_entries(const struct table_builder *tb)
{
    return tb->meta.entries + tb->meta.range_deletes;
}

static int finish_points(struct table_builder *tb)
{
    if (tb->data.count && flush_block(tb) != 0)
        return tb->err;
    if (!tb->waiting)
        return 0;
    buf_assign(&tb->meta.largest, ikey_user(buf_slice(&tb->last_key)));
    buf_assign(&tb->separator, buf_slice(&tb->meta.largest));
    put_le64(&tb->separator, 0);
    return end_block(tb) != 0 ? tb->err : write_held(tb);
}

/* The first range begins first; as ranges do not overlap, the last ends last. */
static void cover_range_deletes(struct table_builder *tb)
{
    struct table_meta *m = &tb->meta;
    struct slice in = buf_slice(&tb->ranges);
    struct slice start;

    if (m->range_deletes == 0 || !get_bytes(&in, &start))
        return;
    if (m->entries == 0 || slice_cmp(start, buf_slice(&m->smallest)) < 0)
        buf_assign(&m->smallest, start);
    if (m->entries == 0 ||
        slice_cmp(buf_slice(&tb->range_end), buf_slice(&m->largest)) > 0) {
        buf_assign(&m->largest, buf_slice(&tb->range_end));
        m->largest_open = true;
    }
}

static int write_filter(struct table_builder *tb)
{
    uint64_t n = tb->hashes.len / 8;
    unsigned probes = bloom_probes(tb->o.filter_bits);
    size_t bytes, i;
    uint8_t *lines;
    uint64_t size;
    int rc;

    if (tb->hashes.failed)
        return fail(tb, -ENOMEM);
    if (n == 0)
        return 0;
    bytes = bloom_bytes(n, tb->o.filter_bits);
    lines = calloc(1, bytes + TABLE_FILTER_TAIL);
    if (!lines)
        return fail(tb, -ENOMEM);
    for (i = 0; i < n; i++)
        bloom_add(lines, bytes, probes, load_le64(tb->hashes.data + 8 * i));
    lines[bytes] = (uint8_t)probes;
    tb->meta.filter_bytes = bytes;
    rc = write_block(tb, slice_of(lines, bytes + TABLE_FILTER_TAIL), COMPRESS_RAW, &size);
    free(lines);
    return rc;
}

static int write_properties(struct table_builder *tb, struct table_layout *layout)
{
    struct buf raw = {0};
    uint64_t size;
    int rc;

    if (tb->meta.seq_min > tb->meta.seq_max)
        tb->meta.seq_min = tb->meta.seq_max; /* it holds nothing */
    table_meta_append(&raw, &tb->meta);
    tb->meta.size = layout->properties + raw.len + TABLE_BLOCK_TRAILER + TABLE_FOOTER;
    buf_clear(&raw);
    table_meta_append(&raw, &tb->meta); /* of the same length */
    rc = raw.failed ? fail(tb, -ENOMEM)
                    : write_block(tb, buf_slice(&raw), COMPRESS_RAW, &size);
    buf_release(&raw);
    return rc;
}

/* What tells where the dictionaries lie comes before the entries. */
static int write_index(struct table_builder *tb)
{
    struct buf both = {0};
    uint64_t size;
    int rc;

    if (tb->n_dicts == 0)
        return write_block(tb, buf_slice(&tb->index), tb->o.compression, &size);
    put_varint(&both, tb->n_dicts);
    buf_append_slice(&both, buf_slice(&tb->dicts));
    buf_append_slice(&both, buf_slice(&tb->index));
    rc = both.failed ? fail(tb, -ENOMEM)
                     : write_block(tb, buf_slice(&both), tb->o.compression, &size);
    buf_release(&both);
    return rc;
}

static int write_parts(struct table_builder *tb)
{
    struct table_layout layout = {0};
    uint64_t size;
    int rc;

    rc = finish_points(tb);
    if (rc)
        return rc;
    cover_range_deletes(tb);
    if (tb->meta.smallest.failed || tb->meta.largest.failed)
        return fail(tb, -ENOMEM);
    layout.filter = position(tb);
    rc = write_filter(tb);
    layout.range_deletes = position(tb);
    if (!rc && tb->ranges.len)
        rc = write_block(tb, buf_slice(&tb->ranges), tb->o.compression, &size);
    layout.index = position(tb);
    if (!rc && tb->index.len)
        rc = write_index(tb);
    layout.properties = position(tb);
    if (!rc)
        rc = write_properties(tb, &layout);
    if (rc)
        return rc;
    layout.end = position(tb);
    layout.version = tb->n_dicts ? TABLE_VERSION_DICT : TABLE_VERSION_PLAIN;
    table_layout_append(&tb->out, &layout, tb->o.number);
    return write_out(tb);
}

int table_builder_finish(struct table_builder *tb, struct table_meta *meta)
{
    int rc = tb->err ? tb->err : write_parts(tb);

    if (!rc)
        rc = env_file_sync(tb->file);
    if (rc) {
        table_builder_abandon(tb);
        return rc;
    }
    rc = env_file_close(tb->file);
    if (rc) {
        (void)env_unlink(tb->o.env, tb->o.path);
    } else {
        *meta = tb->meta;
        memset(&tb->meta, 0, sizeof(tb->meta));
    }
    builder_free(tb);
    return rc;
}
