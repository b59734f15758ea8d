/*
 * env_rados_file.c - open files of a store on RADOS: sequences of objects of 4 MiB.
 *
 * Appends are gathered in chunks that go out when they are full, or when a sync, a hint
 * or the end asks for it; several are on their way at once. Each is one operation that
 * happens only where its bytes belong: a guard on the object (xattr "g": who wrote it,
 * and up to where) must say that it ends there, or there must be no such object yet. So
 * what arrives late, or comes from one who was replaced, changes nothing.
 *
 * A reader of this process sees what has not arrived yet: chunks stay until they have.
 *
 * What was taken will be written: a full pool refuses before (conn_admit), and what it
 * refuses of a chunk is sent again with force.
 */
#if __has_include(<rados/librados.h>)

#include "env_rados_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "coding.h"

enum {
    CHUNK = 1 << 20,
    OUTSTANDING = 16, /* chunks on their way, of a file */
    PARTS = 64,       /* reads at once */
    FIRST_OBJECTS = 16,
    AHEAD_MAX = 4 << 20,
    AHEAD_ALL = 64 << 20, /* of all files */
};

struct rados_handle {
    struct env_file base;
    struct node *node;
    bool writer;
    bool used;            /* something was appended */
    uint64_t preallocate; /* asked for */
    /* What was asked for by readahead: one piece. */
    struct mutex ahead_mu;
    uint64_t ahead_off;
    size_t ahead_len;
    size_t ahead_cap;  /* bytes of memory */
    size_t ahead_left; /* of it, not taken yet: then it goes */
    uint8_t *ahead;
    rados_completion_t ahead_done;
};

static atomic_size_t ahead_bytes; /* of all files */

static struct rados_handle *handle(struct env_file *f)
{
    return (struct rados_handle *)f;
}

/* As it is now; it changes under both locks. */
static struct rados_file node_rec(struct node *node)
{
    struct rados_file rec;

    mutex_lock(&node->mu);
    rec = node->rec;
    mutex_unlock(&node->mu);
    return rec;
}

/* ---- sending ---- */

enum { GUARD = 16 + 1 + 8 };

static void guard_text(char text[GUARD + 1], uint64_t session, uint64_t upto)
{
    snprintf(text, GUARD + 1, "%016" PRIx64 ":%08" PRIx32, session, (uint32_t)upto);
}

static void on_answer(rados_completion_t done, void *arg);

/* node->mu is held, or nobody else has the chunk. */
static int send_chunk(struct node *node, struct chunk *c, int flags)
{
    uint64_t in = c->off % RADOS_OBJECT_BYTES, session = node->rec.session;
    char oid[RADOS_OID_MAX], before[GUARD + 1], after[GUARD + 1];
    rados_write_op_t op = ra.create_write_op();
    rados_completion_t done;
    int rc = -ENOMEM;

    if (!op)
        return rc;
    rados_object_name(oid, node->id, c->off / RADOS_OBJECT_BYTES);
    guard_text(before, session, in);
    guard_text(after, session, in + c->data.len);
    if (in == 0)
        ra.write_op_create(op, LIBRADOS_CREATE_EXCLUSIVE, NULL);
    else
        ra.write_op_cmpxattr(op, "g", LIBRADOS_CMPXATTR_OP_EQ, before, GUARD);
    ra.write_op_write(op, (const char *)c->data.data, c->data.len, in);
    ra.write_op_setxattr(op, "g", after, GUARD);
    c->sent = true;
    c->failed = false;
    if (ra.aio_create_completion2(c, on_answer, &done) == 0) {
        node->w->outstanding++;
        rc = ra.aio_write_op_operate(op, node->names->io, done, oid, NULL, flags);
        if (rc)
            node->w->outstanding--;
        ra.aio_release(done);
    }
    ra.release_write_op(op);
    return rc;
}

static void drop_chunk(struct writing *w, struct chunk *c)
{
    struct chunk **at, *prev = NULL;

    for (at = &w->first; *at != c; at = &(*at)->next)
        prev = *at;
    *at = c->next;
    if (w->last == c)
        w->last = prev;
    buf_release(&c->data);
    free(c);
}

/* All that are left were refused for want of room, or came after one that was. */
static void send_again(struct node *node)
{
    struct writing *w = node->w;
    struct chunk *c;

    w->stuck = false;
    for (c = w->first; c && !w->error; c = c->next)
        if (c->sent && c->failed)
            w->error = send_chunk(node, c, FULL_FORCE);
}

static bool wants_room(int rc)
{
    return rc == -ENOSPC || rc == -EDQUOT;
}

/* On a thread of librados. */
static void on_answer(rados_completion_t done, void *arg)
{
    struct chunk *c = arg;
    struct node *node = c->node;
    struct writing *w = node->w;
    int rc = ra.aio_get_return_value(done);

    mutex_lock(&node->mu);
    w->outstanding--;
    if (rc >= 0) {
        drop_chunk(w, c);
    } else {
        c->failed = true;
        if (wants_room(rc)) {
            conn_note_full(node->names->conn);
            w->stuck = true;
        } else if (!w->stuck || (rc != -ECANCELED && rc != -EEXIST && rc != -ENOENT &&
                                 rc != -ENODATA)) {
            w->error = rc;
        }
    }
    if (w->stuck && w->outstanding == 0 && !w->error)
        send_again(node);
    pthread_cond_broadcast(&w->answered);
    mutex_unlock(&node->mu);
}

static int send_open_chunk(struct node *node)
{
    struct writing *w = node->w;

    if (!w->last || w->last->sent || w->error || w->stuck)
        return w->error;
    return w->error = send_chunk(node, w->last, FULL_TRY);
}

/* What went wrong, in words that count: the guard did not match. */
static int write_error(struct node *node, int rc)
{
    if (rc == -ECANCELED || rc == -EEXIST || rc == -ENOENT || rc == -ENODATA ||
        rc == -ESHUTDOWN) {
        err_log("%s: file %" PRIx64 ": appending: another has taken the store over",
                node->names->label, node->id);
        return -EIO;
    }
    return wants_room(rc) ? -EIO : conn_errno(rc);
}

/* ---- appending ---- */

static struct chunk *chunk_at(struct node *node, uint64_t off)
{
    struct writing *w = node->w;
    struct chunk *c = w->last;

    if (c && !c->sent && c->off + c->data.len == off && c->data.len < CHUNK &&
        off % RADOS_OBJECT_BYTES)
        return c;
    c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->off = off;
    c->node = node;
    if (w->last)
        w->last->next = c;
    else
        w->first = c;
    w->last = c;
    return c;
}

static void wait_answer(struct node *node)
{
    mutex_unlock(&node->mu);
    env_about_to_block();
    mutex_lock(&node->mu);
    if (node->w->outstanding || node->w->stuck)
        cond_wait(&node->w->answered, &node->mu);
}

/* Chunks are cut where a multiple of CHUNK is, and so at the ends of objects. */
static int append_locked(struct node *node, struct slice part)
{
    struct writing *w = node->w;

    while (part.len && !w->error) {
        uint64_t off = w->pos;
        size_t take = CHUNK - off % CHUNK;
        struct chunk *c;

        while ((w->outstanding >= OUTSTANDING || w->stuck) && !w->error)
            wait_answer(node);
        c = chunk_at(node, off);
        take = take < part.len ? take : part.len;
        if (!c || !buf_reserve(&c->data, take))
            return w->error = -ENOMEM; /* what got through cannot be taken back */
        buf_append(&c->data, part.data, take);
        part.data += take;
        part.len -= take;
        w->pos += take;
        if (w->pos % CHUNK == 0)
            send_open_chunk(node);
    }
    return w->error;
}

/* Objects are made only when the names object says that there may be such. */
static int allow_objects(struct node *node, uint64_t end)
{
    struct names *n = node->names;
    struct rados_file rec = node_rec(node);
    uint64_t want = (end + RADOS_OBJECT_BYTES - 1) / RADOS_OBJECT_BYTES;
    int rc;

    if (want <= rec.objects)
        return 0;
    if (want > RADOS_OBJECTS_MAX)
        return -EFBIG;
    mutex_lock(&n->mu);
    rec = node->rec;
    rec.objects = want > 2 * rec.objects ? want : 2 * rec.objects;
    if (rec.objects > RADOS_OBJECTS_MAX)
        rec.objects = RADOS_OBJECTS_MAX;
    rc = names_set_file(n, node->id, &rec);
    if (!rc)
        rc = names_commit_locked(n);
    mutex_unlock(&n->mu);
    return rc;
}

static int file_append(struct env_file *file, const struct slice *parts, unsigned n)
{
    struct rados_handle *f = handle(file);
    struct node *node = f->node;
    uint64_t bytes = 0, pos;
    unsigned i;
    int rc;

    for (i = 0; i < n; i++)
        bytes += parts[i].len;
    mutex_lock(&node->mu);
    rc = node->w->error;
    pos = node->w->pos;
    mutex_unlock(&node->mu);
    if (rc)
        return write_error(node, rc);
    rc = conn_admit(node->names->conn, bytes);
    if (!rc)
        rc = allow_objects(node, pos + bytes);
    if (rc)
        return rc;
    f->used = true;
    mutex_lock(&node->mu);
    for (i = 0; i < n && !rc; i++)
        rc = append_locked(node, parts[i]);
    mutex_unlock(&node->mu);
    return rc ? write_error(node, rc) : 0;
}

/* All that was appended before has arrived. */
static int settle(struct node *node)
{
    struct writing *w = node->w;
    uint64_t upto;
    int rc;

    mutex_lock(&node->mu);
    upto = w->pos;
    send_open_chunk(node);
    while (!w->error &&
           ((w->first && w->first->sent && w->first->off < upto) || w->stuck)) {
        wait_answer(node);
        send_open_chunk(node);
    }
    rc = w->error;
    mutex_unlock(&node->mu);
    return rc ? write_error(node, rc) : 0;
}

static int file_sync(struct env_file *file)
{
    struct node *node = handle(file)->node;

    return handle(file)->writer ? settle(node) : 0;
}

static void file_writeback(struct env_file *file, uint64_t off, size_t len)
{
    (void)off;
    (void)len;
    (void)file; /* full chunks are on their way; one more would only be smaller */
}

/* ---- reading ---- */

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

static void drop_ahead(struct rados_handle *f)
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
            drop_ahead(f);
    }
    mutex_unlock(&f->ahead_mu);
    return n;
}

static int file_pread(struct env_file *file, uint64_t off, void *to, size_t len,
                      size_t *got)
{
    struct rados_handle *f = handle(file);
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

    drop_ahead(f);
    if (atomic_fetch_add(&ahead_bytes, len) + len > AHEAD_ALL || !(p.to = malloc(len))) {
        atomic_fetch_sub(&ahead_bytes, len);
        return;
    }
    f->ahead = p.to;
    f->ahead_off = off;
    f->ahead_cap = f->ahead_len = f->ahead_left = len;
    if (begin_piece(f->node, &p))
        drop_ahead(f);
    else
        f->ahead_done = p.done;
}

/* One piece at a time, within an object, of files that are whole. */
static void file_readahead(struct env_file *file, uint64_t off, size_t len)
{
    struct rados_handle *f = handle(file);
    struct rados_file rec = node_rec(f->node);
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

static void file_forget(struct env_file *file, uint64_t off, size_t len)
{
    struct rados_handle *f = handle(file);

    mutex_lock(&f->ahead_mu);
    drop_ahead(f);
    mutex_unlock(&f->ahead_mu);
}

/*
 * Ids are not given twice. A file that another had to close may lack what its writer has
 * seen in it, so it is not the same; and one that another still writes to is none yet.
 */
static int file_identity(struct env_file *file, uint8_t id[ENV_IDENTITY])
{
    struct node *node = handle(file)->node;
    enum rados_state state = node_rec(node).state;

    if (state == RADOS_OPEN && !handle(file)->writer)
        return -EOPNOTSUPP;
    memset(id, 0, ENV_IDENTITY);
    store_le64(id, node->names->store);
    store_le64(id + 8, node->id);
    id[16] = state == RADOS_CUT;
    return 0;
}

static int file_size(struct env_file *file, uint64_t *size)
{
    return node_size(handle(file)->node, size);
}

/* ---- the end of a file ---- */

/* One object, of which `had` bytes are ours, keeps the first `has`. */
static int cut_object(struct node *node, uint64_t index, uint64_t had, uint64_t has)
{
    char oid[RADOS_OID_MAX], before[GUARD + 1], after[GUARD + 1];
    rados_write_op_t op = ra.create_write_op();
    int rc;

    if (!op)
        return -ENOMEM;
    rados_object_name(oid, node->id, index);
    guard_text(before, node->rec.session, had);
    guard_text(after, node->rec.session, has);
    ra.write_op_cmpxattr(op, "g", LIBRADOS_CMPXATTR_OP_EQ, before, GUARD);
    if (has) {
        ra.write_op_truncate(op, has);
        ra.write_op_setxattr(op, "g", after, GUARD);
    } else {
        ra.write_op_remove(op);
    }
    rc = ra.write_op_operate2(op, node->names->io, oid, NULL, FULL_FORCE);
    ra.release_write_op(op);
    return rc;
}

/* Objects behind the last byte go, and the last one is cut; from the end, so that the
 * file has no hole meanwhile. Guarded as appends are. */
static int cut_objects(struct node *node, uint64_t from, uint64_t size)
{
    uint64_t first = size / RADOS_OBJECT_BYTES, index;
    int rc = 0;

    for (index = (from + RADOS_OBJECT_BYTES - 1) / RADOS_OBJECT_BYTES;
         index-- > first && !rc;) {
        uint64_t had = from - index * RADOS_OBJECT_BYTES;

        had = had < RADOS_OBJECT_BYTES ? had : RADOS_OBJECT_BYTES;
        rc = cut_object(node, index, had, index == first ? size % RADOS_OBJECT_BYTES : 0);
    }
    return rc ? write_error(node, rc) : 0;
}

static int extend(struct env_file *file, uint64_t more)
{
    static const uint8_t zeros[64 << 10];
    int rc = 0;

    while (more && !rc) {
        struct slice part =
            slice_of(zeros, more < sizeof(zeros) ? (size_t)more : sizeof(zeros));

        rc = file_append(file, &part, 1);
        more -= part.len;
    }
    return rc;
}

static int file_truncate(struct env_file *file, uint64_t size)
{
    struct rados_handle *f = handle(file);
    struct node *node = f->node;
    uint64_t pos;
    int rc;

    f->used = true;
    mutex_lock(&node->mu);
    pos = node->w->pos;
    mutex_unlock(&node->mu);
    if (size >= pos)
        return extend(file, size - pos);
    rc = settle(node);
    if (!rc)
        rc = cut_objects(node, pos, size);
    if (rc)
        return rc;
    mutex_lock(&node->mu);
    node->w->pos = size;
    mutex_unlock(&node->mu);
    return 0;
}

/* Room set aside by a file that nobody writes to: zeros, which have to be stored. */
static int fill(struct node *node, uint64_t bytes)
{
    static const char zeros[64 << 10];
    uint64_t at;
    int rc = allow_objects(node, bytes);

    for (at = 0; at < bytes && !rc; at += RADOS_OBJECT_BYTES) {
        uint64_t len = bytes - at < RADOS_OBJECT_BYTES ? bytes - at : RADOS_OBJECT_BYTES;
        rados_write_op_t op = ra.create_write_op();
        char oid[RADOS_OID_MAX];

        if (!op)
            return -ENOMEM;
        len -= len % sizeof(zeros);
        rados_object_name(oid, node->id, at / RADOS_OBJECT_BYTES);
        ra.write_op_create(op, LIBRADOS_CREATE_EXCLUSIVE, NULL);
        if (len)
            ra.write_op_writesame(op, zeros, sizeof(zeros), len, 0);
        rc = ra.write_op_operate2(op, node->names->io, oid, NULL, FULL_TRY);
        ra.release_write_op(op);
        node->w->pos = at + len;
    }
    if (wants_room(rc))
        conn_note_full(node->names->conn);
    return conn_errno(rc);
}

static uint64_t wall_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The record gets its size; it goes out with the names that follow. */
static int finish(struct rados_handle *f)
{
    struct node *node = f->node;
    struct names *n = node->names;
    struct rados_file rec;
    int rc = f->preallocate && !f->used ? fill(node, f->preallocate) : settle(node);

    mutex_lock(&n->mu);
    if (node->known) {
        rec = node->rec;
        rec.state = RADOS_CLOSED;
        rec.size = node->w->pos;
        rec.objects = (rec.size + RADOS_OBJECT_BYTES - 1) / RADOS_OBJECT_BYTES;
        rec.mtime_ns = wall_ns();
        if (!rc)
            rc = names_set_file(n, node->id, &rec);
    }
    mutex_unlock(&n->mu);
    return rc;
}

static void free_writing(struct node *node)
{
    struct writing *w;

    mutex_lock(&node->mu);
    w = node->w;
    while (w->outstanding) /* after an error */
        cond_wait(&w->answered, &node->mu);
    while (w->first)
        drop_chunk(w, w->first);
    node->w = NULL;
    mutex_unlock(&node->mu);
    pthread_cond_destroy(&w->answered);
    free(w);
}

static int file_close(struct env_file *file)
{
    struct rados_handle *f = handle(file);
    struct node *node = f->node;
    struct names *n = node->names;
    bool dead;
    int rc = 0;

    if (f->writer) {
        rc = finish(f);
        free_writing(node);
    }
    drop_ahead(f);
    mutex_release(&f->ahead_mu);
    mutex_lock(&n->mu);
    node->handles--;
    dead = !node->links && !node->handles;
    mutex_unlock(&n->mu);
    if (dead)
        rados_wake_reaper();
    free(f);
    return rc;
}

static const struct env_file_ops file_ops = {
    .pread = file_pread,
    .append = file_append,
    .sync = file_sync,
    .truncate = file_truncate,
    .size = file_size,
    .readahead = file_readahead,
    .writeback = file_writeback,
    .forget = file_forget,
    .identity = file_identity,
    .close = file_close,
};

/* ---- opening ---- */

/* mu of n is held; the node is new, or nobody writes to it. */
int rados_open_node(struct names *n, struct node *node, enum env_mode mode,
                    uint64_t preallocate, struct env_file **out)
{
    struct rados_handle *f = calloc(1, sizeof(*f));
    struct writing *w = NULL;

    if (mode != ENV_READ)
        w = calloc(1, sizeof(*w));
    if (!f || (mode != ENV_READ && !w)) {
        free(f);
        free(w);
        return -ENOMEM;
    }
    f->base.ops = &file_ops;
    f->node = node;
    f->writer = w != NULL;
    f->preallocate = mode == ENV_CREATE ? preallocate : 0;
    mutex_init(&f->ahead_mu, LOCK_ENV_RADOS_FILE);
    if (w) {
        pthread_cond_init(&w->answered, NULL);
        node->w = w;
    }
    node->handles++;
    *out = &f->base;
    return 0;
}

/* ---- files that another writes, or did ---- */

struct probe {
    rados_completion_t done;
    uint64_t size;
    time_t mtime;
};

/* Sizes of the objects from `first`, n of them; -1: there is none. */
static int probe_objects(struct names *n, uint64_t id, uint64_t first, unsigned count,
                         int64_t *size)
{
    struct probe p[PARTS];
    char oid[RADOS_OID_MAX];
    unsigned i, begun = 0;
    int rc = 0, rc2;

    for (i = 0; i < count && !rc; i++) {
        rados_object_name(oid, id, first + i);
        rc = ra.aio_create_completion2(NULL, NULL, &p[i].done);
        if (!rc && (rc = ra.aio_stat(n->io, oid, p[i].done, &p[i].size, &p[i].mtime)))
            ra.aio_release(p[i].done);
        begun += rc == 0;
    }
    for (i = 0; i < begun; i++) {
        ra.aio_wait_for_complete(p[i].done);
        rc2 = ra.aio_get_return_value(p[i].done);
        ra.aio_release(p[i].done);
        size[i] = rc2 ? -1 : (int64_t)p[i].size;
        if (rc2 && rc2 != -ENOENT && !rc)
            rc = rc2;
    }
    return conn_errno(rc);
}

/* *end: of the last object that is there; *gap: of the first bytes without a hole. */
static int probe_all(struct names *n, const struct node *node, uint64_t *end,
                     uint64_t *gap)
{
    uint64_t at, objects = node->rec.objects;
    bool whole = true;
    int rc = 0;

    *end = *gap = 0;
    for (at = 0; at < objects && !rc; at += PARTS) {
        unsigned count = objects - at < PARTS ? (unsigned)(objects - at) : PARTS, i;
        int64_t size[PARTS];

        rc = probe_objects(n, node->id, at, count, size);
        for (i = 0; i < count && !rc; i++) {
            uint64_t from = (at + i) * RADOS_OBJECT_BYTES;

            if (size[i] > RADOS_OBJECT_BYTES)
                return err_corrupt(n->label, from,
                                   "file %" PRIx64 ": too large an object", node->id);
            if (size[i] > 0)
                *end = from + (uint64_t)size[i];
            if (whole && size[i] > 0)
                *gap = from + (uint64_t)size[i];
            whole &= size[i] == RADOS_OBJECT_BYTES;
        }
    }
    return rc;
}

int rados_probe(struct names *n, struct node *node, uint64_t *size)
{
    uint64_t gap;

    return probe_all(n, node, size, &gap);
}

/* The object at which its writer would go on takes no append of his any more. */
static int seal_at(struct names *n, const struct node *node, uint64_t gap)
{
    rados_write_op_t op = ra.create_write_op();
    char oid[RADOS_OID_MAX];
    int rc;

    if (!op)
        return -ENOMEM;
    rados_object_name(oid, node->id, gap / RADOS_OBJECT_BYTES);
    ra.write_op_create(op, LIBRADOS_CREATE_IDEMPOTENT, NULL);
    ra.write_op_setxattr(op, "g", "sealed", 6);
    rc = ra.write_op_operate2(op, n->io, oid, NULL, FULL_FORCE);
    ra.release_write_op(op);
    return conn_errno(rc);
}

int rados_seal_locked(struct names *n, struct node *node)
{
    struct rados_file rec = node->rec;
    uint64_t gap, again, end;
    int rc = probe_all(n, node, &end, &gap);

    /* It may have gone on meanwhile, into the next object. */
    while (!rc) {
        rc = seal_at(n, node, gap);
        if (!rc)
            rc = probe_all(n, node, &end, &again);
        if (rc || again / RADOS_OBJECT_BYTES == gap / RADOS_OBJECT_BYTES)
            break;
        gap = again;
    }
    if (rc)
        return rc;
    rec.state = RADOS_CUT;
    rec.size = end;
    /* The one that was made to seal it is removed with the others. */
    rec.objects = rec.objects > gap / RADOS_OBJECT_BYTES ? rec.objects
                                                         : gap / RADOS_OBJECT_BYTES + 1;
    return names_set_file(n, node->id, &rec);
}

#endif
