/*
 * env_rados_format.c - see env_rados_format.h.
 */
#include "env_rados_format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "coding.h"
#include "hash.h"

/* ---- keys ---- */

void rados_key_head(char key[RADOS_KEY_MAX])
{
    strcpy(key, "h");
}

void rados_key_entry(char key[RADOS_KEY_MAX], uint64_t dir, const char *name)
{
    snprintf(key, RADOS_KEY_MAX, "d%016" PRIx64 "/%s", dir, name);
}

void rados_key_file(char key[RADOS_KEY_MAX], uint64_t id)
{
    snprintf(key, RADOS_KEY_MAX, "f%016" PRIx64, id);
}

void rados_key_holder(char key[RADOS_KEY_MAX], uint64_t dir)
{
    snprintf(key, RADOS_KEY_MAX, "w%016" PRIx64, dir);
}

/* Sixteen small hexadecimal digits, no others. */
static bool parse_hex(const char *at, uint64_t *out)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 16; i++) {
        char c = at[i];

        if (c >= '0' && c <= '9')
            v = v << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

bool rados_is_name(const char *name, size_t len)
{
    if (!len || len > RADOS_NAME_MAX || (name[0] == '.' && len == 1) ||
        (len == 2 && memcmp(name, "..", 2) == 0))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!name[i] || name[i] == '/')
            return false;
    return true;
}

bool rados_key_parse(const char *key, size_t len, struct rados_key_parts *out)
{
    memset(out, 0, sizeof(*out));
    if (len == 1 && key[0] == 'h') {
        out->what = RADOS_KEY_HEAD;
        return true;
    }
    if (len < 17 || key[len] || !parse_hex(key + 1, &out->id))
        return false;
    switch (key[0]) {
    case 'd':
        out->what = RADOS_KEY_ENTRY;
        out->name = key + 18;
        return len > 18 && key[17] == '/' && rados_is_name(key + 18, len - 18);
    case 'f':
        out->what = RADOS_KEY_FILE;
        return len == 17;
    case 'w':
        out->what = RADOS_KEY_HOLDER;
        return len == 17;
    default:
        return false;
    }
}

void rados_object_name(char oid[RADOS_OID_MAX], uint64_t file, uint64_t index)
{
    snprintf(oid, RADOS_OID_MAX, "%016" PRIx64 ".%08" PRIx32, file, (uint32_t)index);
}

bool rados_object_parse(const char *oid, uint64_t *file, uint64_t *index)
{
    char wide[17] = "00000000";

    if (strlen(oid) != 25 || oid[16] != '.' || !parse_hex(oid, file))
        return false;
    memcpy(wide + 8, oid + 17, 9);
    return parse_hex(wide, index);
}

/* ---- values ---- */

static uint32_t sum_of(const char *key, const void *data, size_t len)
{
    uint64_t seed = XXH3_64bits(key, strlen(key));

    return (uint32_t)XXH3_64bits_withSeed(data, len, seed);
}

static void put_sum(struct buf *b, const char *key)
{
    if (!buf_error(b))
        put_le32(b, sum_of(key, b->data, b->len));
}

/* *body is what is between version and sum. */
static int open_value(struct slice in, const char *key, struct slice *body)
{
    uint32_t sum;
    struct slice tail;

    if (in.len < 5)
        return -EUCLEAN;
    tail = slice_of(in.data + in.len - 4, 4);
    if (!get_le32(&tail, &sum) || sum != sum_of(key, in.data, in.len - 4))
        return -EUCLEAN;
    if (in.data[0] != RADOS_VERSION)
        return in.data[0] > RADOS_VERSION ? -EPROTONOSUPPORT : -EUCLEAN;
    *body = slice_of(in.data + 1, in.len - 5);
    return 0;
}

void rados_put_head(struct buf *b, const char *key, const struct rados_head *h)
{
    put_u8(b, RADOS_VERSION);
    put_le64(b, h->next_session);
    put_le64(b, h->store);
    put_le32(b, RADOS_OBJECT_BYTES);
    put_sum(b, key);
}

int rados_get_head(struct slice in, const char *key, struct rados_head *h)
{
    uint32_t object_bytes;
    int rc = open_value(in, key, &in);

    if (rc)
        return rc;
    if (!get_le64(&in, &h->next_session) || !get_le64(&in, &h->store) ||
        !get_le32(&in, &object_bytes) || in.len)
        return -EUCLEAN;
    return object_bytes == RADOS_OBJECT_BYTES ? 0 : -EPROTONOSUPPORT;
}

void rados_put_entry(struct buf *b, const char *key, const struct rados_entry *e)
{
    put_u8(b, RADOS_VERSION);
    put_u8(b, (uint8_t)e->kind);
    put_le64(b, e->id);
    put_sum(b, key);
}

int rados_get_entry(struct slice in, const char *key, struct rados_entry *e)
{
    int rc = open_value(in, key, &in);
    uint8_t kind;

    if (rc)
        return rc;
    if (!get_u8(&in, &kind) || !get_le64(&in, &e->id) || in.len || kind < RADOS_FILE ||
        kind > RADOS_STORE)
        return -EUCLEAN;
    e->kind = kind;
    return 0;
}

void rados_put_file(struct buf *b, const char *key, const struct rados_file *f)
{
    put_u8(b, RADOS_VERSION);
    put_u8(b, (uint8_t)f->state);
    put_le64(b, f->size);
    put_le64(b, f->objects);
    put_le64(b, f->session);
    put_le64(b, f->mtime_ns);
    put_sum(b, key);
}

int rados_get_file(struct slice in, const char *key, struct rados_file *f)
{
    int rc = open_value(in, key, &in);
    uint8_t state;

    if (rc)
        return rc;
    if (!get_u8(&in, &state) || !get_le64(&in, &f->size) || !get_le64(&in, &f->objects) ||
        !get_le64(&in, &f->session) || !get_le64(&in, &f->mtime_ns) || in.len ||
        state < RADOS_OPEN || state > RADOS_CUT || f->objects > RADOS_OBJECTS_MAX ||
        (state != RADOS_OPEN && f->size > f->objects * RADOS_OBJECT_BYTES))
        return -EUCLEAN;
    f->state = state;
    return 0;
}

void rados_put_holder(struct buf *b, const char *key, const struct rados_holder *h)
{
    put_u8(b, RADOS_VERSION);
    put_le64(b, h->session);
    put_bytes(b, h->addrs);
    put_bytes(b, h->host);
    put_le64(b, h->pid);
    put_bytes(b, h->name);
    put_bytes(b, h->text);
    put_sum(b, key);
}

int rados_get_holder(struct slice in, const char *key, struct rados_holder *h)
{
    int rc = open_value(in, key, &in);

    if (rc)
        return rc;
    if (!get_le64(&in, &h->session) || !get_bytes(&in, &h->addrs) ||
        !get_bytes(&in, &h->host) || !get_le64(&in, &h->pid) ||
        !get_bytes(&in, &h->name) || !get_bytes(&in, &h->text) || in.len)
        return -EUCLEAN;
    return h->addrs.len > RADOS_TEXT_MAX || h->host.len > RADOS_TEXT_MAX ||
                   h->name.len > RADOS_TEXT_MAX || h->text.len > RADOS_TEXT_MAX
               ? -EUCLEAN
               : 0;
}

/* ---- of Ceph ---- */

/* A pool's name has no quotes in it, by Ceph's rules; else none is found. */
uint64_t rados_quota_of(struct slice json, const char *pool)
{
    static const char field[] = "\"quota_max_bytes\":";
    char name[RADOS_NAME_MAX + 32];
    const char *at, *end = (const char *)json.data + json.len;
    uint64_t bytes = 0;
    int len = snprintf(name, sizeof(name), "\"pool_name\":\"%s\",", pool);

    if (!json.len || len < 0 || (size_t)len >= sizeof(name))
        return 0;
    at = memmem(json.data, json.len, name, (size_t)len);
    at = at ? memmem(at, (size_t)(end - at), field, strlen(field)) : NULL;
    if (!at)
        return 0;
    for (at += strlen(field); at < end && *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(bytes, 10, &bytes) ||
            __builtin_add_overflow(bytes, (uint64_t)(*at - '0'), &bytes))
            return 0;
    return bytes;
}
