/*
 * env_rados_read.c - reading files of a store on RADOS: what is there, what this process
 * has not sent yet, and what was asked for ahead.
 */
#if __has_include(<rados/librados.h>)

#include "env_rados_file.h"

#include <inttypes.h>
#include <stdlib.h>

#include "coding.h"

enum {
    PARTS = 64, /* reads at once */
    MUCH = RADOS_OBJECT_BYTES / 8,
};

struct piece {
    rados_completion_t done;
    uint64_t off;
    size_t len;
    uint8_t *to;
};

/* What has not arrived yet, of [off, off + len). Returns how many bytes at off it is, or
 * 0, and then *upto: where some begins. */
static size_t from_chunks(struct node *node, uint64_t off, size_t len, uint8_t *to,
                          uint64_t *upto)
{
    struct chunk *c;

    *upto = off + len;
    for (c = node->w ? node->w->first : NULL; c; c = c->next) {
        uint64_t end = c->off + c->data.len;

        if (c->off <= off && off < end) {
            size_t n = end - off < len ? (size_t)(end - off) : len;

            memcpy(to, c->data.data + (off - c->off), n);
            return n;
        }
        if (c->off > off) {
            if (c->off < *upto)
                *upto = c->off;
            break;
        }
    }
    return 0;
}

static int begin_piece(struct node *node, struct piece *p)
{
    char oid[RADOS_OID_MAX];
    int rc;

    rados_object_name(oid, node->id, p->off / RADOS_OBJECT_BYTES);
    rc = ra.aio_create_completion2(NULL, NULL, &p->done);
    if (rc)
        return rc;
    rc = ra.aio_read(node->names->io, oid, p->done, (char *)p->to, p->len,
                     p->off % RADOS_OBJECT_BYTES);
    if (rc)
        ra.aio_release(p->done);
    return rc;
}

/* A part that is not there, in a file whose size is known: of one that another had to
 * close it may never have come. */
static int end_piece(struct node *node, struct piece *p)
{
    bool whole;
    int n;

    ra.aio_wait_for_complete(p->done);
    n = ra.aio_get_return_value(p->done);
    ra.aio_release(p->done);
    if (n < 0 && n != -ENOENT)
        return conn_errno(n);
    n = n < 0 ? 0 : n;
    if ((size_t)n >= p->len)
        return 0;
    mutex_lock(&node->mu);
    whole = node->rec.state == RADOS_CLOSED && !node->w;
    mutex_unlock(&node->mu);
    if (whole)
        return err_corrupt(node->names->label, p->off + (uint64_t)n,
                           "file %" PRIx64 ": object %" PRIu64 " is missing or cut off",
                           node->id, p->off / RADOS_OBJECT_BYTES);
    memset(p->to + n, 0, p->len - (size_t)n);
    return 0;
}

/* A read that is whole, of a file of that size or more. */
static int read_whole(struct node *node, uint64_t off, uint8_t *to, size_t len)
{
    struct piece piece[PARTS];
    unsigned n = 0, i;
    int rc = 0, rc2;

    while (len && !rc && n < PARTS) {
        uint64_t upto;
        size_t got;

        mutex_lock(&node->mu);
        got = from_chunks(node, off, len, to, &upto);
        mutex_unlock(&node->mu);
        if (!got) {
            uint64_t end = off - off % RADOS_OBJECT_BYTES + RADOS_OBJECT_BYTES;

            got = (size_t)((end < upto ? end : upto) - off);
            piece[n] = (struct piece){.off = off, .len = got, .to = to};
            rc = begin_piece(node, &piece[n]);
            n += rc == 0;
        }
        off += got;
        to += got;
        len -= got;
    }
    if (n)
        env_about_to_block();
    for (i = 0; i < n; i++) {
        rc2 = end_piece(node, &piece[i]);
        rc = rc ? rc : rc2;
    }
    return rc || !len ? rc : read_whole(node, off, to, len);
}

int rados_node_size(struct node *node, uint64_t *size)
{
    bool told, cut;
    int rc;

    mutex_lock(&node->mu);
    cut = !node->w && node->rec.state == RADOS_CUT;
    told = node->w || node->rec.state == RADOS_CLOSED || (cut && node->cut_checked);
    *size = node->w ? node->w->pos : node->rec.size;
    mutex_unlock(&node->mu);
    if (told)
        return 0;
    if (!cut)
        return rados_probe(node->names, node, size);
    rc = rados_check_cut(node->names, node, *size);
    if (!rc) {
        mutex_lock(&node->mu);
        node->cut_checked = true;
        mutex_unlock(&node->mu);
    }
    return rc;
}

/*
 * Up to where the bytes of f are on the cluster and stay as they are: then they may be
 * read ahead. 0: nothing is known of a file that somebody else writes.
 */
static uint64_t settled_end(struct rados_handle *f)
{
    struct node *node = f->node;
    uint64_t end = 0;

    mutex_lock(&node->mu);
    if (f->writer)
        end = node->w->first ? node->w->first->off : node->w->pos;
    else if (node->rec.state != RADOS_OPEN)
        end = node->rec.size;
    mutex_unlock(&node->mu);
    return end;
}

/*
 * Much is read to the end of the object: an object that is read as it was written costs
 * its OSD less, as it has the sums of that, and each operation costs both sides.
 */
static void ask(struct rados_handle *f, uint64_t from, uint64_t to)
{
    uint64_t end = settled_end(f);

    if (to - from >= MUCH)
        to += -to % RADOS_OBJECT_BYTES;
    if (from < end)
        rados_ahead_ask(f, from, to < end ? to : end);
}

int rados_file_pread(struct env_file *file, uint64_t off, void *to, size_t len,
                     size_t *got)
{
    struct rados_handle *f = rados_handle_of(file);
    uint64_t size, from, upto;
    size_t at = 0, n;
    int rc = rados_node_size(f->node, &size);

    *got = 0;
    if (rc || off >= size)
        return rc;
    len = size - off < len ? (size_t)(size - off) : len;
    upto = rados_ahead_note(f, off, len, size, &from);
    if (upto)
        ask(f, from, upto);
    while (at < len && !rc) {
        n = rados_ahead_take(f, off + at, (uint8_t *)to + at, len - at, &upto);
        if (!n) {
            n = (size_t)(upto - off) - at;
            rc = read_whole(f->node, off + at, (uint8_t *)to + at, n);
        }
        at += n;
    }
    if (!rc)
        *got = len;
    return rc;
}

void rados_file_readahead(struct env_file *file, uint64_t off, size_t len)
{
    ask(rados_handle_of(file), off, off + len);
}

void rados_file_forget(struct env_file *file, uint64_t off, size_t len)
{
    rados_ahead_forget(rados_handle_of(file), off, off + len);
}

/*
 * Ids are not given twice. A file that another had to close may lack what its writer has
 * seen in it, so it is not the same; and one that another still writes to is none yet.
 */
int rados_file_identity(struct env_file *file, uint8_t id[ENV_IDENTITY])
{
    struct node *node = rados_handle_of(file)->node;
    enum rados_state state = rados_node_rec(node).state;

    if (state == RADOS_OPEN && !rados_handle_of(file)->writer)
        return -EOPNOTSUPP;
    memset(id, 0, ENV_IDENTITY);
    store_le64(id, node->names->store);
    store_le64(id + 8, node->id);
    id[16] = state == RADOS_CUT;
    return 0;
}

int rados_file_size(struct env_file *file, uint64_t *size)
{
    return rados_node_size(rados_handle_of(file)->node, size);
}

#endif
