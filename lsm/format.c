/*
 * format.c - see format.h. Bytes: FORMAT.md, "Options that fix the format".
 */
#include "format.h"

#include <inttypes.h>

#include "coding.h"
#include "err.h"
#include "lsm.h"
#include "vlog.h"

/* On disk: never renumber. As in an edit: the number << 1, plus 1 when a reader that
 * does not know the field must not go on. */
enum format_tag {
    TAG_LEVELS = 1 << 1 | 1,
    TAG_FRAME_BYTES = 2 << 1 | 1,
    TAG_KEY_HASH = 3 << 1 | 1,
    TAG_NAME = 4 << 1 | 1,
};

void format_init(struct store_format *f)
{
    *f = (struct store_format){
        .levels = LSM_LEVELS, .frame_bytes = VLOG_FRAME, .key_hash = FORMAT_HASH_XXH3};
}

static bool name_good(struct slice name)
{
    size_t i;

    for (i = 0; i < name.len; i++)
        if (name.data[i] <= ' ' || name.data[i] > '~')
            return false;
    return name.len <= FORMAT_NAME_MAX;
}

bool format_name_good(const char *name)
{
    return !name || name_good(slice_str(name));
}

/* ---- bytes ---- */

static void put_number(struct buf *to, enum format_tag tag, uint64_t v)
{
    uint8_t body[VARINT_MAX];

    put_varint(to, tag);
    put_bytes(to, slice_of(body, store_varint(body, v)));
}

void format_encode(struct buf *to, const struct store_format *f)
{
    put_number(to, TAG_LEVELS, f->levels);
    put_number(to, TAG_FRAME_BYTES, f->frame_bytes);
    put_number(to, TAG_KEY_HASH, f->key_hash);
    if (f->name[0]) {
        put_varint(to, TAG_NAME);
        put_bytes(to, slice_str(f->name));
    }
}

static bool get_number(struct slice *body, uint64_t *v)
{
    return get_varint(body, v) && body->len == 0;
}

static bool get_name(struct slice body, struct store_format *f)
{
    if (body.len == 0 || !name_good(body))
        return false;
    memcpy(f->name, body.data, body.len);
    f->name[body.len] = 0;
    return true;
}

static int get_field(uint64_t tag, struct slice body, struct store_format *f)
{
    switch (tag) {
    case TAG_LEVELS:
        return get_number(&body, &f->levels) ? 0 : -EUCLEAN;
    case TAG_FRAME_BYTES:
        return get_number(&body, &f->frame_bytes) ? 0 : -EUCLEAN;
    case TAG_KEY_HASH:
        return get_number(&body, &f->key_hash) ? 0 : -EUCLEAN;
    case TAG_NAME:
        return get_name(body, f) ? 0 : -EUCLEAN;
    default:
        return tag & 1 ? -EPROTONOSUPPORT : 0;
    }
}

int format_decode(struct slice in, struct store_format *f)
{
    struct slice body;
    uint64_t tag;
    int rc = 0;

    while (!rc && in.len)
        rc = get_varint(&in, &tag) && get_bytes(&in, &body) ? get_field(tag, body, f)
                                                            : -EUCLEAN;
    return rc;
}

/* ---- what follows from it ---- */

static int other(const char *where, uint64_t has, const char *what, uint64_t ours)
{
    err_log("%s: written with %" PRIu64 " %s; this engine has %" PRIu64, where, has, what,
            ours);
    return -EPROTONOSUPPORT;
}

int format_accept(struct store_format *f, const char *want, const char *where)
{
    struct store_format ours;

    format_init(&ours);
    if (f->levels != ours.levels)
        return other(where, f->levels, "levels", ours.levels);
    if (f->frame_bytes != ours.frame_bytes)
        return other(where, f->frame_bytes, "bytes a value-log frame", ours.frame_bytes);
    if (f->key_hash != ours.key_hash)
        return other(where, f->key_hash, "as the hash of its filters", ours.key_hash);
    if (!want || !want[0] || strcmp(want, f->name) == 0)
        return 0;
    if (f->name[0]) {
        err_log("%s: holds \"%s\", not \"%s\"", where, f->name, want);
        return -EINVAL;
    }
    strcpy(f->name, want); /* lsm_options_check has seen that it is short */
    return 0;
}
