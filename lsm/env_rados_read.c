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
    AHEAD_MAX = 4 << 20,
    AHEAD_ALL = 64 << 20, /* of all files */
};

static atomic_size_t ahead_bytes; /* of all files */

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

static int node_size(struct node *node, uint64_t *size)
{
    bool told;

    mutex_lock(&node->mu);
    told = node->w || node->rec.state != RADOS_OPEN;
    *size = node->w ? node->w->pos : node->rec.size;
    mutex_unlock(&node->mu);
    return told ? 0 : rados_probe(node->names, node, size);
}

void rados_drop_ahead(struct rados_handle *f)
{
    if (f->ahead_done) {
        ra.aio_wait_for_complete(f->ahead_done);
        ra.aio_release(f->ahead_done);
        f->ahead_done = NULL;
    }
    if (f->ahead)
        atomic_fetch_sub(&ahead_bytes, f->ahead_cap);
    free(f->ahead);
    f->ahead = NULL;
    f->ahead_len = 0;
}

static bool is_ahead(const struct rados_handle *f, uint64_t off)
{
    return f->ahead && off >= f->ahead_off && off < f->ahead_off + f->ahead_len;
}

/* What readahead brought. 0 when it is not that. */
static size_t from_ahead(struct rados_handle *f, uint64_t off, void *to, size_t len)
{
    size_t n = 0;
    int got;

    mutex_lock(&f->ahead_mu);
    if (is_ahead(f, off) && f->ahead_done) {
        mutex_unlock(&f->ahead_mu);
        env_about_to_block();
        mutex_lock(&f->ahead_mu);
    }
    if (is_ahead(f, off)) {
        if (f->ahead_done) {
            ra.aio_wait_for_complete(f->ahead_done);
            got = ra.aio_get_return_value(f->ahead_done);
            ra.aio_release(f->ahead_done);
            f->ahead_done = NULL;
            f->ahead_len = got < 0 ? 0 : (size_t)got;
            f->ahead_left = f->ahead_len;
        }
        if (off < f->ahead_off + f->ahead_len) {
            n = (size_t)(f->ahead_off + f->ahead_len - off);
            n = n < len ? n : len;
            memcpy(to, f->ahead + (off - f->ahead_off), n);
            f->ahead_left -= n < f->ahead_left ? n : f->ahead_left;
        }
        if (!f->ahead_left || !f->ahead_len)
            rados_drop_ahead(f);
    }
    mutex_unlock(&f->ahead_mu);
    return n;
}

int rados_file_pread(struct env_file *file, uint64_t off, void *to, size_t len,
                     size_t *got)
{
    struct rados_handle *f = rados_handle_of(file);
    uint64_t size;
    size_t n = 0;
    int rc = node_size(f->node, &size);

    *got = 0;
    if (rc || off >= size)
        return rc;
    len = size - off < len ? (size_t)(size - off) : len;
    if (!f->writer)
        n = from_ahead(f, off, to, len);
    rc = read_whole(f->node, off + n, (uint8_t *)to + n, len - n);
    if (!rc)
        *got = len;
    return rc;
}

static void begin_ahead(struct rados_handle *f, uint64_t off, size_t len)
{
    struct piece p = {.off = off, .len = len};

    rados_drop_ahead(f);
    if (atomic_fetch_add(&ahead_bytes, len) + len > AHEAD_ALL || !(p.to = malloc(len))) {
        atomic_fetch_sub(&ahead_bytes, len);
        return;
    }
    f->ahead = p.to;
    f->ahead_off = off;
    f->ahead_cap = f->ahead_len = f->ahead_left = len;
    if (begin_piece(f->node, &p))
        rados_drop_ahead(f);
    else
        f->ahead_done = p.done;
}

/* One piece at a time, within an object, of files that are whole. */
void rados_file_readahead(struct env_file *file, uint64_t off, size_t len)
{
    struct rados_handle *f = rados_handle_of(file);
    struct rados_file rec = rados_node_rec(f->node);
    uint64_t end = off - off % RADOS_OBJECT_BYTES + RADOS_OBJECT_BYTES;

    if (f->writer || rec.state == RADOS_OPEN || off >= rec.size)
        return;
    end = end < rec.size ? end : rec.size;
    len = len < AHEAD_MAX ? len : AHEAD_MAX;
    len = end - off < len ? (size_t)(end - off) : len;
    mutex_lock(&f->ahead_mu);
    /* One that is on its way is not waited for, for a hint. */
    if (!f->ahead_done &&
        !(f->ahead && off >= f->ahead_off && off + len <= f->ahead_off + f->ahead_len))
        begin_ahead(f, off, len);
    mutex_unlock(&f->ahead_mu);
}

void rados_file_forget(struct env_file *file, uint64_t off, size_t len)
{
    struct rados_handle *f = rados_handle_of(file);

    mutex_lock(&f->ahead_mu);
    rados_drop_ahead(f);
    mutex_unlock(&f->ahead_mu);
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
    return node_size(rados_handle_of(file)->node, size);
}

#endif
