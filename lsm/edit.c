/*
 * edit.c - version edits to bytes and back; see edit.h.
 *
 * An edit is a run of fields, each a tag, a length and that many bytes, so that
 * a field unknown to this version can be stepped over if its tag says that it
 * may. Bytes: FORMAT.md, "Manifest".
 */
#include "edit.h"

#include <stdlib.h>

/* On disk: never renumber. A tag is the number << 1, plus 1 when a reader that
 * does not know the field must not go on. */
enum edit_tag {
    TAG_NEXT_NUMBER = 1 << 1 | 1,
    TAG_LOG_NUMBER = 2 << 1 | 1,
    TAG_LAST_SEQ = 3 << 1 | 1,
    TAG_OPTIONS = 4 << 1 | 1,
    TAG_ADD_TABLE = 5 << 1 | 1,
    TAG_REMOVE_TABLE = 6 << 1 | 1,
    TAG_SEAL_SEGMENT = 7 << 1 | 1,
    TAG_DROP_SEGMENT = 8 << 1 | 1,
    TAG_FILTER_BYTES = 9 << 1, /* not to know it only makes filters larger */
    TAG_DELETE_RUN = 10 << 1,  /* or compactions later */
    TAG_LOG_DURABLE = 11 << 1, /* or misses damage at a log's end */
};

void edit_release(struct edit *e)
{
    size_t i;

    for (i = 0; i < e->n_added; i++)
        table_meta_release(&e->added[i].meta);
    free(e->added);
    free(e->removed);
    free(e->sealed);
    free(e->dropped);
    free(e->logs);
    buf_release(&e->options);
    *e = (struct edit){0};
}

/* ---- filling ---- */

/* The array with room for one more than n, or NULL; it is as long as the next
 * power of two. */
static void *grow(void *array, size_t n, size_t item_bytes)
{
    if (array && n & (n - 1))
        return array; /* full only when n is 0 or a power of two */
    return realloc(array, (n ? 2 * n : 1) * item_bytes);
}

int edit_add_table(struct edit *e, unsigned level, struct table_meta *meta)
{
    struct edit_table *more = grow(e->added, e->n_added, sizeof(*more));

    if (!more)
        return -ENOMEM;
    e->added = more;
    e->added[e->n_added++] = (struct edit_table){level, *meta};
    *meta = (struct table_meta){0};
    return 0;
}

int edit_remove_table(struct edit *e, unsigned level, uint64_t number)
{
    struct edit_removed *more = grow(e->removed, e->n_removed, sizeof(*more));

    if (!more)
        return -ENOMEM;
    e->removed = more;
    e->removed[e->n_removed++] = (struct edit_removed){level, number};
    return 0;
}

int edit_seal_segment(struct edit *e, uint64_t number, uint64_t size)
{
    struct edit_segment *more = grow(e->sealed, e->n_sealed, sizeof(*more));

    if (!more)
        return -ENOMEM;
    e->sealed = more;
    e->sealed[e->n_sealed++] = (struct edit_segment){number, size};
    return 0;
}

int edit_drop_segment(struct edit *e, uint64_t number)
{
    uint64_t *more = grow(e->dropped, e->n_dropped, sizeof(*more));

    if (!more)
        return -ENOMEM;
    e->dropped = more;
    e->dropped[e->n_dropped++] = number;
    return 0;
}

int edit_note_log(struct edit *e, uint64_t number, uint64_t durable)
{
    struct edit_log *more = grow(e->logs, e->n_logs, sizeof(*more));

    if (!more)
        return -ENOMEM;
    e->logs = more;
    e->logs[e->n_logs++] = (struct edit_log){number, durable};
    return 0;
}

/* ---- encoding ---- */

static void put_field(struct buf *to, enum edit_tag tag, struct slice body)
{
    put_varint(to, tag);
    put_bytes(to, body);
}

static void put_number(struct buf *to, enum edit_tag tag, uint64_t v)
{
    uint8_t body[VARINT_MAX];

    put_field(to, tag, slice_of(body, store_varint(body, v)));
}

static void put_pair(struct buf *to, enum edit_tag tag, uint64_t a, uint64_t b)
{
    uint8_t body[2 * VARINT_MAX];
    size_t n = store_varint(body, a);

    n += store_varint(body + n, b);
    put_field(to, tag, slice_of(body, n));
}

static void put_tables(struct buf *to, const struct edit *e)
{
    struct buf body = {0};
    size_t i;

    for (i = 0; i < e->n_added; i++) {
        buf_clear(&body);
        put_varint(&body, e->added[i].level);
        table_meta_append(&body, &e->added[i].meta);
        if (buf_error(&body))
            to->failed = true;
        else
            put_field(to, TAG_ADD_TABLE, buf_slice(&body));
        if (e->added[i].meta.filter_bytes)
            put_pair(to, TAG_FILTER_BYTES, e->added[i].meta.number,
                     e->added[i].meta.filter_bytes);
        if (e->added[i].meta.delete_run)
            put_pair(to, TAG_DELETE_RUN, e->added[i].meta.number,
                     e->added[i].meta.delete_run);
    }
    buf_release(&body);
}

void edit_encode(struct buf *to, const struct edit *e)
{
    size_t i;

    if (e->has_next_number)
        put_number(to, TAG_NEXT_NUMBER, e->next_number);
    if (e->has_log_number)
        put_number(to, TAG_LOG_NUMBER, e->log_number);
    if (e->has_last_seq)
        put_number(to, TAG_LAST_SEQ, e->last_seq);
    if (e->has_options)
        put_field(to, TAG_OPTIONS, buf_slice(&e->options));
    put_tables(to, e);
    for (i = 0; i < e->n_removed; i++)
        put_pair(to, TAG_REMOVE_TABLE, e->removed[i].level, e->removed[i].number);
    for (i = 0; i < e->n_sealed; i++)
        put_pair(to, TAG_SEAL_SEGMENT, e->sealed[i].number, e->sealed[i].size);
    for (i = 0; i < e->n_dropped; i++)
        put_number(to, TAG_DROP_SEGMENT, e->dropped[i]);
    for (i = 0; i < e->n_logs; i++)
        put_pair(to, TAG_LOG_DURABLE, e->logs[i].number, e->logs[i].durable);
}

/* ---- decoding: the bodies are consumed, what is left is damage ---- */

static int get_number(struct slice *body, bool *has, uint64_t *v)
{
    *has = true;
    return get_varint(body, v) ? 0 : -EUCLEAN;
}

static int get_options(struct slice *body, struct edit *e)
{
    e->has_options = true;
    buf_assign(&e->options, *body);
    body->len = 0;
    return buf_error(&e->options);
}

static int get_table(struct slice *body, struct edit *e)
{
    struct table_meta meta = {0};
    uint32_t level;
    int rc;

    if (!get_varint32(body, &level) || !table_meta_decode(body, &meta))
        return -EUCLEAN;
    rc = edit_add_table(e, level, &meta);
    if (rc)
        table_meta_release(&meta);
    return rc;
}

/* What is told beside the table added last; *meta is its. */
static int get_beside(struct slice *body, struct edit *e, struct table_meta **meta,
                      uint64_t *value)
{
    uint64_t number;

    if (!get_varint(body, &number) || !get_varint(body, value) || !e->n_added ||
        e->added[e->n_added - 1].meta.number != number)
        return -EUCLEAN;
    *meta = &e->added[e->n_added - 1].meta;
    return 0;
}

static int get_filter_bytes(struct slice *body, struct edit *e)
{
    struct table_meta *meta;
    uint64_t value;
    int rc = get_beside(body, e, &meta, &value);

    if (!rc)
        meta->filter_bytes = value;
    return rc;
}

static int get_delete_run(struct slice *body, struct edit *e)
{
    struct table_meta *meta;
    uint64_t value;
    int rc = get_beside(body, e, &meta, &value);

    if (!rc)
        meta->delete_run = value;
    return rc;
}

static int get_removed(struct slice *body, struct edit *e)
{
    uint32_t level;
    uint64_t number;

    if (!get_varint32(body, &level) || !get_varint(body, &number))
        return -EUCLEAN;
    return edit_remove_table(e, level, number);
}

static int get_sealed(struct slice *body, struct edit *e)
{
    uint64_t number, size;

    if (!get_varint(body, &number) || !get_varint(body, &size))
        return -EUCLEAN;
    return edit_seal_segment(e, number, size);
}

static int get_dropped(struct slice *body, struct edit *e)
{
    uint64_t number;

    if (!get_varint(body, &number))
        return -EUCLEAN;
    return edit_drop_segment(e, number);
}

static int get_log(struct slice *body, struct edit *e)
{
    uint64_t number, durable;

    if (!get_varint(body, &number) || !get_varint(body, &durable))
        return -EUCLEAN;
    return edit_note_log(e, number, durable);
}

static int get_field(uint64_t tag, struct slice *body, struct edit *e)
{
    switch (tag) {
    case TAG_NEXT_NUMBER:
        return get_number(body, &e->has_next_number, &e->next_number);
    case TAG_LOG_NUMBER:
        return get_number(body, &e->has_log_number, &e->log_number);
    case TAG_LAST_SEQ:
        return get_number(body, &e->has_last_seq, &e->last_seq);
    case TAG_OPTIONS:
        return get_options(body, e);
    case TAG_ADD_TABLE:
        return get_table(body, e);
    case TAG_REMOVE_TABLE:
        return get_removed(body, e);
    case TAG_SEAL_SEGMENT:
        return get_sealed(body, e);
    case TAG_DROP_SEGMENT:
        return get_dropped(body, e);
    case TAG_FILTER_BYTES:
        return get_filter_bytes(body, e);
    case TAG_DELETE_RUN:
        return get_delete_run(body, e);
    case TAG_LOG_DURABLE:
        return get_log(body, e);
    default:
        body->len = 0;
        return tag & 1 ? -EPROTONOSUPPORT : 0;
    }
}

int edit_decode(struct slice in, struct edit *e)
{
    int rc = 0;

    while (rc == 0 && in.len) {
        struct slice body;
        uint64_t tag;

        if (!get_varint(&in, &tag) || !get_bytes(&in, &body)) {
            rc = -EUCLEAN;
            break;
        }
        rc = get_field(tag, &body, e);
        if (rc == 0 && body.len)
            rc = -EUCLEAN;
    }
    if (rc)
        edit_release(e);
    return rc;
}
