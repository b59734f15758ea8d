/*
 * send.c - see send.h: the sending side.
 */
#include "send.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "stream.h"

struct sending {
    struct send *s;
    struct why *why;
    struct files files;
    struct stream out;
    struct buf payload;
    uint8_t *block;
    uint64_t done;
};

static int put(struct sending *j, uint8_t type)
{
    int err = buf_error(&j->payload);

    return err ? err : stream_put(&j->out, type, buf_slice(&j->payload));
}

static int put_begin(struct sending *j)
{
    struct timespec t, base = {0};
    int err = made_when(j->files.dir, &t);

    if (!err && j->s->base)
        err = made_when(j->s->base, &base);
    buf_clear(&j->payload);
    pack_time(&j->payload, &t);
    pack_text(&j->payload, j->s->name);
    pack_time(&j->payload, &base);
    pack_text(&j->payload, j->s->base ? j->s->base_name : "");
    return err ? err : put(j, STREAM_SNAPSHOT);
}

/* Are they links to one file? */
static bool in_base(const struct sending *j, const struct file *f)
{
    uint64_t ino;
    int64_t mtime_ns;

    return j->s->base && file_identity(j->s->base, f->name, &ino, &mtime_ns) == 0 &&
           ino == f->ino;
}

static int put_link(struct sending *j, struct env_file *from, const struct file *f)
{
    uint64_t tail;
    int err = tail_sum(from, f->size, &tail);

    if (err)
        return err;
    buf_clear(&j->payload);
    pack_u64(&j->payload, f->size);
    pack_u64(&j->payload, tail);
    pack_text(&j->payload, f->name);
    j->done += f->size;
    return put(j, STREAM_LINK);
}

static int put_data(struct sending *j, struct env_file *from, uint64_t size,
                    XXH3_state_t *sum)
{
    uint64_t at = 0;
    int err = 0;

    while (!err && at < size) {
        size_t len = size - at < FILES_BLOCK ? (size_t)(size - at) : FILES_BLOCK;

        err = read_at(from, at, j->block, len);
        if (!err)
            err = stream_put(&j->out, STREAM_DATA, slice_of(j->block, len));
        XXH3_128bits_update(sum, j->block, err ? 0 : len);
        at += len;
        j->done += len;
        if (!err && j->s->progress)
            err = j->s->progress(j->s->arg, j->done, j->files.bytes, 0);
    }
    return err;
}

static int put_file(struct sending *j, struct env_file *from, const struct file *f)
{
    XXH3_state_t *sum = XXH3_createState();
    XXH128_canonical_t canonical;
    int err;

    if (!sum)
        return -ENOMEM;
    XXH3_128bits_reset(sum);
    buf_clear(&j->payload);
    pack_u64(&j->payload, f->size);
    pack_text(&j->payload, f->name);
    err = put(j, STREAM_FILE);
    if (!err)
        err = put_data(j, from, f->size, sum);
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(sum));
    XXH3_freeState(sum);
    return err ? err
               : stream_put(&j->out, STREAM_SUM,
                            slice_of(canonical.digest, sizeof(canonical.digest)));
}

static int put_one(struct sending *j, const struct file *f)
{
    struct env_file *from;
    int err = open_file(j->files.dir, f->name, &from);

    if (err)
        return err;
    err = f->immutable && in_base(j, f) ? put_link(j, from, f) : put_file(j, from, f);
    env_file_close(from); /* was only read */
    return err;
}

static int put_all(struct sending *j)
{
    int err = put_begin(j);
    size_t i;

    for (i = 0; i < j->files.n && !err; i++)
        err = put_one(j, &j->files.file[i]);
    buf_clear(&j->payload);
    pack_u64(&j->payload, j->files.n);
    return err ? err : put(j, STREAM_END);
}

int send_snapshot(struct send *s, struct why *why)
{
    struct sending j = {.s = s, .why = why, .out.fd = s->fd};
    int err = files_open(&j.files, s->from, why);

    if (!err) {
        j.block = malloc(FILES_BLOCK);
        err = j.block ? put_all(&j) : -ENOMEM;
        if (err)
            why_set(why, err, "sending %s: %s", s->from, strerror(-err));
    }
    s->bytes = j.out.bytes;
    free(j.block);
    files_close(&j.files);
    buf_release(&j.payload);
    stream_release(&j.out);
    return err;
}
