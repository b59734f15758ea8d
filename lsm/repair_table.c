/*
 * repair_table.c - one table: taken as it is when it is sound; else what can be
 * read of it goes to a new table.
 *
 * With a sound index each block is read by itself. Without it the blocks are
 * looked for: they begin at offset 0 and lie without gaps, and the checksum of a
 * block, which knows where it begins, tells where it ends. A dictionary is such a
 * block, and lies before those that need it. That search ends at the first block that
 * is damaged, too. The footer is replaced by that search, and by the properties, which
 * end where it begins. Bytes: FORMAT.md, "Table".
 */
#include <inttypes.h>
#include <stdlib.h>

#include "compress.h"
#include "hash.h"
#include "options.h"
#include "repair_impl.h"
#include "table_impl.h"

enum { COMPRESSED_MAX = 1 << 20 }; /* a compressed part that is looked for */

struct part {
    uint64_t at;
    uint64_t size;
};

struct salvage {
    struct repair *r;
    struct repair_file *f;
    struct table *t; /* filled in as far as it could be read */
    bool have_footer, have_index;
    struct part *part; /* behind the data blocks, when there was no footer */
    size_t n_parts;
    bool searched_all;             /* of the file */
    struct table_dict_ref known;   /* with an index: its dictionaries */
    uint32_t dicts_lost;           /* of them, up to which number they have been told */
    struct decompress_dict *found; /* without one: the last dictionary */
    struct table_builder *to;
    struct buf last; /* added */
    bool has_last;
    int add_rc;
};

/* ---- new tables ---- */

int repair_open(struct repair *r, uint64_t number, struct table **out)
{
    struct table_open_options o = {.env = r->env, .number = number};
    char *path = file_path(r->dir, FILE_TABLE, number);
    int rc = path ? env_stat(r->env, path, &o.size) : -ENOMEM;

    o.path = path;
    if (!rc)
        rc = table_open(&o, out);
    free(path);
    return rc;
}

int repair_build(struct repair *r, unsigned level, struct table_builder **out,
                 uint64_t *number)
{
    struct table_builder_options o = {
        .env = r->env,
        .number = r->next_number++,
        .block_bytes = r->o->block_bytes,
        .filter_bits = r->o->filter_bits,
        .compression = (enum compression)r->o->compression[level],
        .dictionary_bytes = level == LSM_LEVELS - 1 ? options_dictionary_bytes(r->o) : 0,
    };
    char *path = file_path(r->dir, FILE_TABLE, o.number);
    int rc = path ? 0 : -ENOMEM;

    o.path = path;
    *number = o.number;
    if (!rc)
        rc = table_builder_open(&o, out);
    free(path);
    return rc;
}

static int join(struct repair *r, struct table *t, uint64_t number, unsigned level)
{
    const struct table_meta *m = table_meta(t);
    void *p = realloc(r->table, (r->n_tables + 1) * sizeof(*r->table));

    if (!p) {
        table_free(t);
        return -ENOMEM;
    }
    r->table = p;
    r->table[r->n_tables++] = (struct repair_table){number, level, t};
    if (m->seq_max > r->last_seq)
        r->last_seq = m->seq_max;
    return 0;
}

int repair_built(struct repair *r, struct table_builder *b, uint64_t number,
                 unsigned level)
{
    struct table_meta meta = {0};
    struct table *t;
    int rc;

    if (!table_builder_entries(b)) {
        table_builder_abandon(b);
        return 0;
    }
    rc = table_builder_finish(b, &meta);
    table_meta_release(&meta);
    if (!rc)
        rc = repair_open(r, number, &t);
    return rc ? rc : join(r, t, number, level);
}

/* ---- values ---- */

/* 0, damage, or another error. The parts of one record often come in a row. */
static int check_value(struct repair *r, struct slice value, struct vptr *p)
{
    if (!vptr_decode(&value, p) || value.len)
        return -EUCLEAN;
    if (!r->checked.stored || r->checked.segment != p->segment ||
        r->checked.offset != p->offset || r->checked.raw != p->raw ||
        r->checked.stored != p->stored) {
        r->checked = *p;
        r->checked_rc = vlog_check(r->vlog, p, true);
    }
    return r->checked_rc == -ENOENT ? -EUCLEAN : r->checked_rc;
}

int repair_add(struct repair *r, struct table_builder *b, struct slice ikey,
               struct slice value)
{
    char text[REPAIR_KEY_TEXT], name[NAME_BYTES];
    struct buf dead = {0};
    struct vptr p = {0};
    int rc = ikey_type(ikey) == IKEY_PUT_REF ? check_value(r, value, &p) : 0;

    if (!rc)
        return table_builder_add(b, ikey, value);
    if (!repair_is_damage(rc))
        return rc;
    file_name(name, FILE_SEGMENT, p.segment);
    repair_tell(r, "key %s: its value of %" PRIu32 " bytes is lost, %s, offset %" PRIu64,
                repair_key(ikey_user(ikey), text), p.len, name, p.offset);
    r->out->values_lost++;
    ikey_append(&dead, ikey_user(ikey), ikey_seq(ikey), IKEY_DELETE);
    rc = buf_error(&dead);
    if (!rc)
        rc = table_builder_add(b, buf_slice(&dead), slice_of(NULL, 0));
    buf_release(&dead);
    return rc;
}

/* Are all values that the table points to there? */
static int check_values(struct repair *r, struct table *t)
{
    struct iter *it = table_iter_new(t, TABLE_ITER_COMPACT);
    int rc = it ? 0 : -ENOMEM;

    for (it ? iter_first(it) : (void)0; !rc && it->valid; iter_next(it)) {
        struct vptr p;

        if (ikey_type(it->key) == IKEY_PUT_REF)
            rc = check_value(r, it->value, &p);
    }
    if (!rc)
        rc = it->err;
    iter_free(it);
    return rc;
}

/* ---- blocks ---- */

static int add_entry(void *arg, struct slice ikey, struct slice value)
{
    struct salvage *s = arg;

    if (ikey_type(ikey) == IKEY_RANGE_DELETE ||
        (s->has_last && ikey_cmp(buf_slice(&s->last), ikey) >= 0))
        return 0; /* no writer made this */
    buf_assign(&s->last, ikey);
    s->has_last = true;
    s->add_rc = buf_error(&s->last);
    if (!s->add_rc)
        s->add_rc = repair_add(s->r, s->to, ikey, value);
    return s->add_rc;
}

/* -EUCLEAN: it is no block of entries. */
static int add_block(struct salvage *s, struct slice data)
{
    struct block b;
    int rc = block_init(&b, data);

    if (!rc)
        rc = block_verify(&b, NULL, NULL);
    if (rc)
        return rc;
    (void)block_verify(&b, add_entry, s);
    return s->add_rc;
}

/* What stands at `at` is lost, and with it blocks i to last. */
static void tell_lost(struct salvage *s, uint64_t at, const char *what, uint32_t i,
                      uint32_t last)
{
    char name[NAME_BYTES], from[REPAIR_KEY_TEXT], to[REPAIR_KEY_TEXT];
    const struct table_index *x = &s->t->index;

    file_name(name, FILE_TABLE, s->f->number);
    repair_key(ikey_user(table_index_key(x, last)), to);
    if (i > 0)
        repair_key(ikey_user(table_index_key(x, i - 1)), from);
    repair_tell(s->r, "%s, offset %" PRIu64 ": %s: keys %s%s to %s", name, at, what,
                i ? "after " : "from the first", i ? from : "", to);
}

/* Block i could not be read. All blocks of a lost dictionary are told at once. */
static void lose_block(struct salvage *s, uint32_t i)
{
    const struct table_index *x = &s->t->index;
    uint32_t k = table_index_dicts(x, i);
    char what[64];

    s->r->out->blocks_lost++;
    if (s->known.rc == 0) {
        snprintf(what, sizeof(what), "a block of %zu bytes is lost",
                 table_block_size(s->t, i));
        tell_lost(s, x->at[i], what, i, i);
    } else if (k > s->dicts_lost) {
        s->dicts_lost = k;
        tell_lost(s, s->known.at, "a dictionary is lost, and the blocks that need it", i,
                  (k < x->n_dicts ? x->dict[k].block : x->n) - 1);
    }
}

static int add_indexed(struct salvage *s)
{
    uint32_t i;
    int rc = 0;

    for (i = 0; i < s->t->index.n && !rc; i++) {
        struct loaded_block *lb;

        rc = table_load_block(s->t, i, TABLE_BLOCK_ONCE, &s->known, &lb);
        if (!rc) {
            rc = add_block(s, lb->block.data);
            free(lb);
        }
        if (repair_is_damage(rc) && !s->add_rc) {
            lose_block(s, i);
            rc = 0;
        }
    }
    return rc;
}

/* ---- looking for blocks ---- */

static bool may_be_trailer(const uint8_t *p, size_t len)
{
    uint64_t raw = load_le32(p + 1);

    switch (p[0]) {
    case COMPRESS_RAW:
        return raw == len;
    case COMPRESS_LZ4:
        return len <= COMPRESSED_MAX && raw <= (uint64_t)len * 255 + 64;
    case COMPRESS_ZSTD:
    case COMPRESS_ZSTD_DICT:
        return len <= COMPRESSED_MAX && raw <= TABLE_RAW_MAX &&
               raw <= (uint64_t)len * 32768 + 64;
    default:
        return false;
    }
}

/* The size of the part that begins at `at`, trailer included; 0: none is found. */
static size_t find_part(struct slice file, size_t at, uint64_t number)
{
    size_t len;

    for (len = 1; len + TABLE_BLOCK_TRAILER <= file.len - at; len++) {
        const uint8_t *trailer = file.data + at + len;

        if (may_be_trailer(trailer, len) &&
            load_le64(trailer + 5) ==
                hash_bytes(file.data + at, len + 5, hash_place(number, at)))
            return len + TABLE_BLOCK_TRAILER;
    }
    return 0;
}

static int note_part(struct salvage *s, uint64_t at, uint64_t size)
{
    void *p = realloc(s->part, (s->n_parts + 1) * sizeof(*s->part));

    if (!p)
        return -ENOMEM;
    s->part = p;
    s->part[s->n_parts++] = (struct part){at, size};
    return 0;
}

static int take_dict(struct salvage *s, struct slice bytes)
{
    decompress_dict_free(s->found);
    s->found = NULL;
    return decompress_dict_new(bytes, &s->found);
}

/* Add the blocks found in the first `end` bytes; the parts after them are noted. */
static int add_found(struct salvage *s, struct slice file)
{
    char name[NAME_BYTES];
    size_t at = 0, size;
    int rc = 0;

    file_name(name, FILE_TABLE, s->f->number);
    while (at < file.len && !rc) {
        struct loaded_block *lb;

        size = find_part(file, at, s->t->number);
        if (!size)
            break;
        rc = table_unpack(s->t, at, slice_of(file.data + at, size), s->found, &lb);
        if (!rc) {
            rc = s->n_parts                ? -EUCLEAN
                 : is_dict(lb->block.data) ? take_dict(s, lb->block.data)
                                           : add_block(s, lb->block.data);
            free(lb);
        }
        if (rc == -EUCLEAN && !s->add_rc)
            rc = s->have_footer ? 0 : note_part(s, at, size);
        at += size;
    }
    if (rc)
        return rc;
    s->searched_all = at + (s->have_footer ? 0 : TABLE_FOOTER) == file.len;
    if (!s->searched_all) {
        repair_tell(s->r, "%s, offset %zu: from here on no block is found", name, at);
        s->r->out->blocks_lost++;
    }
    return 0;
}

static int search(struct salvage *s)
{
    size_t size = (size_t)(s->have_footer ? s->t->layout.filter : s->f->size), got = 0;
    uint8_t *bytes = malloc(size + 1);
    int rc = bytes ? env_file_pread(s->t->file, 0, bytes, size, &got) : -ENOMEM;

    if (!rc)
        rc = add_found(s, slice_of(bytes, got));
    free(bytes);
    return rc;
}

/* ---- range deletes ---- */

static int add_ranges(struct salvage *s, struct slice in)
{
    struct range_tombstone t;
    int rc = 0;

    while (in.len && !rc) {
        if (!get_bytes(&in, &t.start) || !get_bytes(&in, &t.end) ||
            !get_varint(&in, &t.seq) || t.seq > IKEY_SEQ_STORED ||
            slice_cmp(t.start, t.end) >= 0)
            return -EUCLEAN;
        rc = table_builder_add_range_delete(s->to, t.start, t.end, t.seq);
    }
    return rc;
}

static int add_ranges_at(struct salvage *s, uint64_t at, uint64_t size)
{
    struct loaded_block *lb;
    int rc = table_load(s->t, at, (size_t)size, &lb);

    if (rc)
        return rc;
    rc = add_ranges(s, lb->block.data);
    free(lb);
    return rc;
}

/*
 * Without a footer: the properties are the last part and tell whether there are
 * range deletes; they stand before the index, which is there if there are points.
 */
static int add_ranges_found(struct salvage *s)
{
    struct table_meta m = {0};
    struct loaded_block *lb;
    struct slice in;
    size_t back;
    int rc = -EUCLEAN;

    if (!s->searched_all || !s->n_parts)
        return rc;
    rc = table_load(s->t, s->part[s->n_parts - 1].at,
                    (size_t)s->part[s->n_parts - 1].size, &lb);
    if (rc)
        return rc;
    in = lb->block.data;
    rc = table_meta_decode(&in, &m) && m.number == s->t->number ? 0 : -EUCLEAN;
    free(lb);
    back = m.entries ? 3 : 2;
    if (!rc && m.range_deletes)
        rc = s->n_parts < back ? -EUCLEAN
                               : add_ranges_at(s, s->part[s->n_parts - back].at,
                                               s->part[s->n_parts - back].size);
    table_meta_release(&m);
    return rc;
}

static int salvage_ranges(struct salvage *s)
{
    const struct table_layout *l = &s->t->layout;
    char name[NAME_BYTES];
    int rc;

    if (!s->have_footer)
        rc = add_ranges_found(s);
    else
        rc = l->range_deletes == l->index
                 ? 0
                 : add_ranges_at(s, l->range_deletes, l->index - l->range_deletes);
    if (!repair_is_damage(rc))
        return rc;
    file_name(name, FILE_TABLE, s->f->number);
    repair_tell(
        s->r,
        "%s: its range deletes, if it had any, are lost: what they deleted may be "
        "back",
        name);
    return 0;
}

/* ---- a damaged table ---- */

static int read_footer(struct salvage *s)
{
    struct table *t = s->t;
    uint8_t bytes[TABLE_FOOTER];
    struct loaded_block *lb = NULL;
    int rc;

    if (s->f->size < TABLE_FOOTER)
        return 0;
    t->layout.end = s->f->size - TABLE_FOOTER;
    rc = table_read(t, t->layout.end, bytes, sizeof(bytes));
    if (!rc)
        rc = table_layout_decode(bytes, t->path, t->number, &t->layout);
    s->have_footer = rc == 0;
    if (rc)
        return repair_is_damage(rc) ? 0 : rc;
    if (t->layout.index < t->layout.properties)
        rc = table_load(t, t->layout.index,
                        (size_t)(t->layout.properties - t->layout.index), &lb);
    if (!rc)
        rc = table_index_init(&t->index, lb ? lb->block.data : slice_of(NULL, 0),
                              &t->layout);
    free(lb);
    s->have_index = rc == 0;
    return repair_is_damage(rc) ? 0 : rc;
}

static int begin_salvage(struct salvage *s)
{
    struct table *t = s->t = calloc(1, sizeof(*t));

    if (!t)
        return -ENOMEM;
    t->number = s->f->number;
    t->path = file_path(s->r->dir, FILE_TABLE, s->f->number);
    return t->path ? env_open(s->r->env, t->path, ENV_READ, 0, &t->file) : -ENOMEM;
}

int repair_salvage(struct repair *r, struct repair_file *f)
{
    struct salvage s = {.r = r, .f = f};
    uint64_t number;
    int rc = begin_salvage(&s);

    if (!rc)
        rc = read_footer(&s);
    if (!rc)
        rc = repair_build(r, f->level, &s.to, &number);
    if (!rc)
        rc = s.have_index ? add_indexed(&s) : search(&s);
    if (!rc)
        rc = salvage_ranges(&s);
    if (!rc) {
        rc = repair_built(r, s.to, number, f->level);
        s.to = NULL;
    }
    table_builder_abandon(s.to);
    if (s.t)
        table_dict_release(s.t, &s.known);
    decompress_dict_free(s.found);
    table_free(s.t);
    buf_release(&s.last);
    free(s.part);
    return rc;
}

int repair_take_table(struct repair *r, struct repair_file *f, unsigned level)
{
    char name[NAME_BYTES];
    struct table *t = NULL;
    bool damaged;
    int rc = repair_open(r, f->number, &t);

    r->out->tables++;
    if (!rc)
        rc = table_verify(t, NULL);
    damaged = repair_is_damage(rc);
    if (!rc && table_meta(t)->seq_max > r->flushed_seq)
        r->flushed_seq = table_meta(t)->seq_max;
    if (!rc)
        rc = check_values(r, t);
    if (!rc)
        return join(r, t, f->number, level);
    table_free(t);
    if (!repair_is_damage(rc))
        return rc;
    f->damaged = true; /* or points to what is lost: kept as the record of it */
    f->level = level;
    r->out->tables_damaged += damaged;
    if (damaged) {
        file_name(name, FILE_TABLE, f->number);
        repair_tell(r, "%s: damaged; what can be read of it is kept", name);
    }
    return 0;
}
