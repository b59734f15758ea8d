/*
 * store_parts.c - parts to the files of a store; see store_parts.h.
 */
#include "tests/store_parts.h"

#include <inttypes.h>
#include <stdlib.h>

#include "lsm/edit.h"
#include "lsm/hash.h"
#include "lsm/names.h"
#include "lsm/table_impl.h"
#include "lsm/vlog_impl.h"
#include "lsm/wal_format.h"

enum { FILES_MAX = 64, BLOCKS_MAX = 512, FRAMES_MAX = 512 };

/* The parts of a table in their order: what is before the filter is data. */
enum stage { DATA, FILTER, RANGES, INDEX, PROPERTIES, STAGES };

struct block_made {
    uint64_t size;
    bool is_dict;
};

struct made {
    enum file_kind kind;
    uint64_t number;
    struct buf content;
    /* of a table */
    unsigned flags;
    struct table_layout layout;
    enum stage stage;
    struct block_made block[BLOCKS_MAX];
    size_t n_blocks;
    bool has_meta;
    struct table_meta meta;
    /* of a manifest: frames wait until the tables are known */
    struct slice frame[FRAMES_MAX];
    size_t n_frames;
};

struct assembly {
    struct made *file[FILES_MAX];
    size_t n;
    struct made *now;
};

/* ---- tables ---- */

static uint64_t *boundary(struct table_layout *l, enum stage s)
{
    uint64_t *all[] = {NULL,      &l->filter,     &l->range_deletes,
                       &l->index, &l->properties, &l->end};

    return all[s];
}

/* What comes next is of stage s, or of the same as before if that is later. */
static void go_to(struct made *m, enum stage s)
{
    while (m->stage < s)
        *boundary(&m->layout, ++m->stage) = m->content.len;
}

static void append_block(struct made *m, struct slice in)
{
    struct buf packed = {0};
    enum compression type;
    uint32_t raw_len;
    uint8_t how;

    if (!get_u8(&in, &how))
        return;
    if (how & 0x80) {
        if (get_le32(&in, &raw_len))
            table_block_append(&m->content, in, (enum compression)(how & 0x7f), raw_len,
                               m->number, m->content.len);
        return;
    }
    type = compress((enum compression)(how % 3), in, &packed);
    table_block_append(&m->content, type == COMPRESS_RAW ? in : buf_slice(&packed), type,
                       in.len, m->number, m->content.len);
    buf_release(&packed);
}

static void take_block(struct made *m, bool is_dict, struct slice in)
{
    size_t before = m->content.len;

    if (m->n_blocks == BLOCKS_MAX || m->stage != DATA)
        return;
    append_block(m, in);
    if (m->content.len > before)
        m->block[m->n_blocks++] = (struct block_made){m->content.len - before, is_dict};
}

static void put_dicts(const struct made *m, struct buf *to)
{
    uint64_t n = 0, i, block = 0;

    for (i = 0; i < m->n_blocks; i++)
        n += m->block[i].is_dict;
    put_varint(to, n);
    for (i = 0; i < m->n_blocks; i++) {
        if (m->block[i].is_dict)
            table_dict_append(to, block, m->block[i].size);
        else
            block++;
    }
}

/* The index `in`, with the sizes that the blocks have. */
static void put_index(const struct made *m, struct slice in, struct buf *to)
{
    uint64_t n = 0, size;
    struct slice key;
    size_t i = 0;

    if (m->layout.version >= TABLE_VERSION_DICT) {
        if (!get_varint(&in, &n))
            return;
        for (; n; n--)
            if (!get_varint(&in, &size) || !get_varint(&in, &size))
                return;
        put_dicts(m, to);
    }
    while (get_bytes(&in, &key) && get_varint(&in, &size)) {
        while (i < m->n_blocks && m->block[i].is_dict)
            i++;
        table_index_append(to, key, i < m->n_blocks ? m->block[i].size : size);
        i++;
    }
    buf_append_slice(to, in);
}

static void put_properties(struct made *m, struct slice in, struct buf *to)
{
    struct slice rest = in;

    if (!table_meta_decode(&rest, &m->meta)) {
        buf_append_slice(to, in);
        return;
    }
    m->has_meta = true;
    m->meta.size =
        m->content.len + (in.len - rest.len) + TABLE_BLOCK_TRAILER + TABLE_FOOTER;
    table_meta_append(to, &m->meta);
    buf_append_slice(to, rest);
}

static void take_table_part(struct made *m, enum stage s, struct slice in)
{
    struct buf fixed = {0};
    uint8_t how;

    if (m->stage >= s)
        return;
    go_to(m, s);
    if (in.len > 1 && !(in.data[0] & 0x80)) {
        get_u8(&in, &how);
        put_u8(&fixed, s == FILTER || s == PROPERTIES ? 0 : how);
        if (s == INDEX && (m->flags & STORE_FIX_INDEX))
            put_index(m, in, &fixed);
        else if (s == PROPERTIES && (m->flags & STORE_FIX_PROPERTIES) && !m->has_meta)
            put_properties(m, in, &fixed);
        else
            buf_append_slice(&fixed, in);
        in = buf_slice(&fixed);
    }
    append_block(m, in);
    buf_release(&fixed);
}

/* ---- the others ---- */

static void append_frame(struct made *m, struct slice in, struct slice payload)
{
    uint64_t at = m->content.len, synced;
    uint8_t head[WAL_FRAME_HEADER];

    if (!get_varint(&in, &synced))
        return;
    store_le64(head, 0);
    store_le32(head + WAL_AT_MARK, wal_mark(m->number, at));
    store_le32(head + WAL_AT_LENGTH, (uint32_t)payload.len);
    store_le64(head + WAL_AT_SYNCED, synced);
    buf_append(&m->content, head, sizeof(head));
    buf_append_slice(&m->content, payload);
    store_le64(m->content.data + at,
               wal_checksum(m->content.data + at, m->content.len - at, m->number, at));
}

static struct slice payload_of(struct slice frame)
{
    uint64_t synced;

    get_varint(&frame, &synced);
    return frame;
}

static void take_frame(struct made *m, struct slice in)
{
    if (m->kind == FILE_LOG)
        append_frame(m, in, payload_of(in));
    else if (m->n_frames < FRAMES_MAX)
        m->frame[m->n_frames++] = in;
}

static void take_record(struct made *m, struct slice in)
{
    struct record r = {0};
    unsigned i;
    uint8_t how;

    if (!get_u8(&in, &how))
        return;
    if (record_build(&r, in, (enum compression)(how % 3)) == 0) {
        record_place(&r, m->number, m->content.len);
        for (i = 0; i < r.n_parts; i++)
            buf_append_slice(&m->content, r.parts[i]);
    }
    record_release(&r);
}

static void take_current(struct made *m, struct slice in)
{
    char line[400];

    if (in.len > 255 || m->content.len)
        return;
    snprintf(line, sizeof(line), "%.*s %016" PRIx64 "\n", (int)in.len,
             (const char *)in.data, hash_bytes(in.data, in.len, 0));
    buf_append(&m->content, line, strlen(line));
}

/* ---- the manifest, once the tables are made ---- */

static void fix_table(const struct assembly *a, struct edit_table *t)
{
    struct table_meta meta = {0};
    size_t i;

    for (i = 0; i < a->n; i++) {
        const struct made *m = a->file[i];

        if (m->kind != FILE_TABLE || m->number != t->meta.number)
            continue;
        if ((m->flags & STORE_FIX_META) && m->has_meta &&
            table_meta_copy(&meta, &m->meta) == 0) {
            meta.filter_bytes = t->meta.filter_bytes;
            meta.delete_run = t->meta.delete_run;
            meta.number = t->meta.number;
            table_meta_release(&t->meta);
            t->meta = meta;
        }
        if (m->flags & STORE_FIX_SIZE)
            t->meta.size = m->content.len;
        return;
    }
}

static void put_manifest(const struct assembly *a, struct made *m)
{
    struct buf payload = {0};
    size_t i, j;

    for (i = 0; i < m->n_frames; i++) {
        struct slice in = payload_of(m->frame[i]);
        struct edit e = {0};

        buf_clear(&payload);
        if (i > 0 && edit_decode(in, &e) == 0) {
            for (j = 0; j < e.n_added; j++)
                fix_table(a, &e.added[j]);
            edit_encode(&payload, &e);
            edit_release(&e);
        } else {
            buf_append_slice(&payload, in);
        }
        append_frame(m, m->frame[i], buf_slice(&payload));
    }
    buf_release(&payload);
}

/* ---- all of it ---- */

static struct made *begin(struct assembly *a, enum file_kind kind, struct slice in)
{
    struct made *m;
    uint64_t number = 0;
    uint8_t version = 1, flags = 0;

    a->now = NULL;
    if (a->n == FILES_MAX || (kind != FILE_CURRENT && !get_varint(&in, &number)))
        return NULL;
    if (kind == FILE_TABLE && (!get_u8(&in, &version) || !get_u8(&in, &flags)))
        return NULL;
    m = calloc(1, sizeof(*m));
    if (!m)
        abort();
    m->kind = kind;
    m->number = number;
    m->layout.version = version;
    m->flags = flags;
    a->file[a->n++] = a->now = m;
    return m;
}

static void take_for_table(struct made *m, const struct part *p)
{
    static const char kinds[] = "FRXP";
    const char *at = strchr(kinds, p->kind);

    if (p->kind == 'd' || p->kind == 'D')
        take_block(m, p->kind == 'D', p->bytes);
    else if (p->kind && at)
        take_table_part(m, (enum stage)(FILTER + (at - kinds)), p->bytes);
}

static void take(struct assembly *a, const struct part *p)
{
    static const char kinds[] = "CcMLTV";
    static const enum file_kind made[] = {FILE_CURRENT, FILE_CURRENT, FILE_MANIFEST,
                                          FILE_LOG,     FILE_TABLE,   FILE_SEGMENT};
    const char *at = p->kind ? strchr(kinds, p->kind) : NULL;
    struct made *m = a->now;

    if (at && (m = begin(a, made[at - kinds], p->bytes))) {
        if (p->kind == 'C')
            take_current(m, p->bytes);
        else if (p->kind == 'c')
            buf_append_slice(&m->content, p->bytes);
        return;
    }
    if (!m)
        return;
    if (p->kind == 'z')
        buf_append_slice(&m->content, p->bytes);
    else if (p->kind == 'f' && (m->kind == FILE_LOG || m->kind == FILE_MANIFEST))
        take_frame(m, p->bytes);
    else if (p->kind == 'r' && m->kind == FILE_SEGMENT)
        take_record(m, p->bytes);
    else if (m->kind == FILE_TABLE)
        take_for_table(m, p);
}

static void finish(struct assembly *a)
{
    size_t i;

    for (i = 0; i < a->n; i++) {
        struct made *m = a->file[i];

        if (m->kind != FILE_TABLE)
            continue;
        go_to(m, STAGES);
        table_layout_append(&m->content, &m->layout, m->number);
    }
    for (i = 0; i < a->n; i++)
        if (a->file[i]->kind == FILE_MANIFEST)
            put_manifest(a, a->file[i]);
}

void store_assemble(struct slice parts, struct env *env, const char *dir)
{
    struct assembly a = {0};
    struct part p;
    size_t i;

    while (part_next(&parts, &p))
        take(&a, &p);
    finish(&a);
    for (i = 0; i < a.n; i++) {
        struct made *m = a.file[i];
        char *path = file_path(dir, m->kind, m->number);

        if (!path || env_mem_write(env, path, buf_slice(&m->content)))
            abort();
        free(path);
        buf_release(&m->content);
        table_meta_release(&m->meta);
        free(m);
    }
}
