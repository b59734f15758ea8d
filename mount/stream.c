/*
 * stream.c - see stream.h.
 */
#include "stream.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static const char magic[] = "siltfs stream 1\n"; /* without its NUL: 16 bytes */

enum { MAGIC = 16, HEAD = 5, SUM = 8 };

/* ---- integers ---- */

static void store_le(uint8_t *to, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t load_le(const uint8_t *from, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)from[i] << 8 * i;
    return v;
}

static void pack(struct buf *b, uint64_t v, unsigned bytes)
{
    uint8_t le[8];

    store_le(le, v, bytes);
    buf_append(b, le, bytes);
}

void pack_u64(struct buf *b, uint64_t v)
{
    pack(b, v, 8);
}

void pack_time(struct buf *b, const struct timespec *t)
{
    pack(b, (uint64_t)t->tv_sec, 8);
    pack(b, (uint64_t)t->tv_nsec, 4);
}

void pack_text(struct buf *b, const char *text)
{
    size_t len = strlen(text);

    pack(b, len, 1);
    buf_append(b, text, len);
}

static bool unpack(struct slice *from, uint64_t *v, unsigned bytes)
{
    if (from->len < bytes)
        return false;
    *v = load_le(from->data, bytes);
    from->data += bytes;
    from->len -= bytes;
    return true;
}

bool unpack_u64(struct slice *from, uint64_t *v)
{
    return unpack(from, v, 8);
}

bool unpack_time(struct slice *from, struct timespec *t)
{
    uint64_t seconds, ns;

    if (!unpack(from, &seconds, 8) || !unpack(from, &ns, 4) || ns >= 1000000000)
        return false;
    *t = (struct timespec){(time_t)seconds, (long)ns};
    return true;
}

bool unpack_text(struct slice *from, char to[256])
{
    uint64_t len;

    if (!unpack(from, &len, 1) || from->len < len || memchr(from->data, '\0', len))
        return false;
    memcpy(to, from->data, len);
    to[len] = '\0';
    from->data += len;
    from->len -= len;
    return true;
}

/* ---- frames ---- */

static int write_all(struct stream *s, const uint8_t *from, size_t len)
{
    while (len) {
        ssize_t n = write(s->fd, from, len);

        if (n < 0 && errno != EINTR)
            return -errno;
        from += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
        s->bytes += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int read_all(struct stream *s, uint8_t *to, size_t len)
{
    while (len) {
        ssize_t n = read(s->fd, to, len);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return -EPIPE;
        to += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
        s->bytes += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int stream_put(struct stream *s, uint8_t type, struct slice payload)
{
    uint8_t head[HEAD] = {type}, sum[SUM];
    struct buf *f = &s->frame;
    int err = 0;

    if (payload.len > STREAM_FRAME_MAX)
        return -EMSGSIZE;
    if (!s->begun)
        err = write_all(s, (const uint8_t *)magic, MAGIC);
    s->begun = true;
    store_le(head + 1, payload.len, 4);
    buf_clear(f);
    buf_append(f, head, HEAD);
    buf_append_slice(f, payload);
    if (buf_error(f))
        return -ENOMEM;
    store_le(sum, XXH3_64bits_withSeed(f->data, f->len, s->frames++), SUM);
    buf_append(f, sum, SUM);
    if (!err)
        err = buf_error(f);
    return err ? err : write_all(s, f->data, f->len);
}

static int get_magic(struct stream *s)
{
    uint8_t got[MAGIC];
    int err = read_all(s, got, MAGIC);

    s->begun = true;
    return !err && memcmp(got, magic, MAGIC) != 0 ? -EPROTONOSUPPORT : err;
}

int stream_get(struct stream *s, uint8_t *type, struct slice *payload)
{
    struct buf *f = &s->frame;
    uint8_t head[HEAD], *to;
    size_t len;
    int err = s->begun ? 0 : get_magic(s);

    if (!err)
        err = read_all(s, head, HEAD);
    if (err)
        return err;
    len = load_le(head + 1, 4);
    if (len > STREAM_FRAME_MAX)
        return -EUCLEAN;
    buf_clear(f);
    buf_append(f, head, HEAD);
    to = buf_reserve(f, len + SUM);
    if (!to || buf_error(f))
        return -ENOMEM;
    err = read_all(s, to, len + SUM);
    if (err)
        return err;
    if (load_le(to + len, SUM) != XXH3_64bits_withSeed(f->data, HEAD + len, s->frames++))
        return -EUCLEAN;
    *type = head[0];
    *payload = slice_of(f->data + HEAD, len);
    return 0;
}

void stream_release(struct stream *s)
{
    buf_release(&s->frame);
}
