/*
 * vlog_move.c - the value log: what lives on leaves a segment that is to be emptied.
 *
 * A record that is wanted whole, and is compressed as it would be now, moves as it is:
 * its frames are checked, and only the header's checksum, which knows the place, is made
 * anew. Else the part that is wanted is read and appended like any other value.
 */
#include "vlog_impl.h"

/* bytes: a record's, checked. */
static int append_record(struct vlog *v, const struct vptr *p, struct slice bytes,
                         struct vptr *out)
{
    struct vptr to = {
        .stored = p->stored, .raw = p->raw, .len = p->raw, .chosen = p->chosen};
    struct record r = {.n_parts = 0};
    int rc = record_copy(&r, bytes, p->raw);

    if (!rc)
        rc = vlog_write_records(v, &v->stream[VLOG_MOVED], &r, 1, &to);
    record_release(&r);
    if (!rc)
        *out = to;
    return rc;
}

/* -ESTALE: it would be compressed otherwise now. What cannot be read is -ENODATA. */
static int move_whole(struct vlog *v, const struct vptr *p, struct buf *scratch,
                      struct vptr *out)
{
    int usual = (int)__atomic_load_n(&v->o.compression, __ATOMIC_RELAXED), kind;
    int rc = vlog_read_record(v, p, scratch, &kind);
    size_t header = (size_t)record_header_bytes(p->raw);

    if (rc)
        return rc == -EUCLEAN || rc == -EIO ? -ENODATA : rc;
    if (p->chosen || kind == usual)
        return append_record(v, p, buf_slice(scratch), out);
    if (kind != COMPRESS_RAW)
        return -ESTALE;
    /* It did not shrink, or was not to: the frames are the value. */
    return vlog_append_moved(v, slice_of(scratch->data + header, p->raw), VLOG_AS_OPENED,
                             out);
}

static int move_part(struct vlog *v, const struct vptr *p, struct buf *scratch,
                     struct vptr *out)
{
    uint8_t *to;
    int rc, kind;

    buf_clear(scratch);
    to = buf_reserve(scratch, p->len + 1);
    if (!to)
        return -ENOMEM;
    rc = vlog_read(v, p, 0, p->len, to);
    if (!rc)
        rc = vlog_kind(v, p, &kind);
    if (rc)
        return rc == -EUCLEAN || rc == -EIO ? -ENODATA : rc;
    return vlog_append_moved(v, slice_of(to, p->len), kind, out);
}

int vlog_move(struct vlog *v, const struct vptr *p, struct buf *scratch, struct vptr *out)
{
    int rc = -ESTALE;

    if (p->raw && p->len == p->raw)
        rc = move_whole(v, p, scratch, out);
    return rc == -ESTALE ? move_part(v, p, scratch, out) : rc;
}
