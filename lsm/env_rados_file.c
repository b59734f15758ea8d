/*
 * env_rados_file.c - open files of a store on RADOS: sequences of objects of 4 MiB.
 *
 * Appends are gathered in chunks that go out when they are full, or when a sync, a hint
 * or the end asks for it; several are on their way at once. Each is one operation that
 * happens only where its bytes belong: a guard on the object (xattr "g": who wrote it,
 * and up to where) must say that it ends there, or there must be no such object yet. So
 * what arrives late, or comes from one who was replaced, changes nothing.
 *
 * A reader of this process sees what has not arrived yet (env_rados_read.c): chunks stay
 * until they have.
 *
 * What was taken will be written: a full pool refuses before (conn_admit), and what it
 * refuses of a chunk is sent again with force.
 */
#if __has_include(<rados/librados.h>)

#include "env_rados_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "coding.h"

enum {
    EARLY = 2 << 20,   /* goes out when nothing else is on its way; else whole objects */
    OUTSTANDING = 4,   /* chunks on their way, of a file */
    LARGE = 256 << 10, /* a chunk of more is given all its memory at once */
    FIRST_OBJECTS = 16,
};

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
    rados_spare_give(&c->data);
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
    w->usual = w->last->data.len;
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

    if (c && !c->sent && c->off + c->data.len == off && off % RADOS_OBJECT_BYTES)
        return c;
    c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->off = off;
    c->node = node;
    if (w->usual >= LARGE)
        rados_spare_take(&c->data);
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

/* Chunks are cut at the ends of objects. */
static int append_locked(struct node *node, struct slice part)
{
    struct writing *w = node->w;

    while (part.len && !w->error) {
        uint64_t off = w->pos;
        size_t take = RADOS_OBJECT_BYTES - off % RADOS_OBJECT_BYTES;
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
        if (w->pos % RADOS_OBJECT_BYTES == 0 || (!w->outstanding && c->data.len >= EARLY))
            send_open_chunk(node);
    }
    return w->error;
}

/* Objects are made only when the names object says that there may be such. */
static int allow_objects(struct node *node, uint64_t end)
{
    struct names *n = node->names;
    struct rados_file rec = rados_node_rec(node);
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
    struct rados_handle *f = rados_handle_of(file);
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
    rc = conn_admit(node->names, bytes);
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
    struct node *node = rados_handle_of(file)->node;

    return rados_handle_of(file)->writer ? settle(node) : 0;
}

static void file_writeback(struct env_file *file, uint64_t off, size_t len)
{
    struct node *node = rados_handle_of(file)->node;

    (void)off;
    (void)len;
    if (!rados_handle_of(file)->writer)
        return;
    mutex_lock(&node->mu);
    send_open_chunk(node);
    mutex_unlock(&node->mu);
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
    struct rados_handle *f = rados_handle_of(file);
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
    rados_ahead_forget(f, size, UINT64_MAX);
    if (!rc)
        rc = cut_objects(node, pos, size);
    if (rc)
        return rc;
    mutex_lock(&node->mu);
    node->w->pos = size;
    mutex_unlock(&node->mu);
    if (atomic_load(&node->names->conn->full))
        conn_give_credit(node->names->conn, pos - size);
    return 0;
}

/* Room set aside by a file that nobody writes to: zeros, which have to be stored. */
static int fill(struct node *node, uint64_t bytes)
{
    static const char zeros[64 << 10];
    uint64_t at;
    int rc = conn_admit(node->names, bytes), flags;

    flags = atomic_load(&node->names->conn->full) ? FULL_FORCE : FULL_TRY;
    if (!rc)
        rc = allow_objects(node, bytes);

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
        rc = ra.write_op_operate2(op, node->names->io, oid, NULL, flags);
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
    struct rados_handle *f = rados_handle_of(file);
    struct node *node = f->node;
    struct names *n = node->names;
    bool dead;
    int rc = 0;

    if (f->writer) {
        rc = finish(f);
        free_writing(node);
    }
    rados_ahead_end(f);
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
    .pread = rados_file_pread,
    .append = file_append,
    .sync = file_sync,
    .truncate = file_truncate,
    .size = rados_file_size,
    .readahead = rados_file_readahead,
    .writeback = file_writeback,
    .forget = rados_file_forget,
    .identity = rados_file_identity,
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
    if (w) {
        pthread_cond_init(&w->answered, NULL);
        node->w = w;
    }
    node->handles++;
    *out = &f->base;
    return 0;
}

#endif
