/*
 * env_rados_ahead.c - what is read ahead of files on RADOS: pieces of them that were
 * asked for, and stay until they have been read or something else is wanted.
 *
 * Asked for by a hint, or because reads go on in order (env_streams.h). The memory of all
 * pieces is bounded; the ones that nobody has looked at longest go first, and those that
 * nobody looks at for AGE_NS go anyway. A piece that cannot be had is none: the read that
 * comes for it finds out why.
 *
 * One lock for all pieces: it is held for a look at a short list. librados is called
 * without it.
 */
#if __has_include(<rados/librados.h>)

#include "env_rados_file.h"

#include <stdlib.h>

enum {
    PIECE = RADOS_OBJECT_BYTES, /* pieces end at its multiples */
    LARGE = PIECE / 4,          /* one of more takes the memory of a whole one */
    ALL = 64 << 20,  /* of all files */
    ASK_MAX = 16,    /* pieces, at once */
    DONE_KEPT = 4,   /* that were read to their end, of all: some read in no order */
};

static const uint64_t AGE_NS = 5000000000;

/* Of a handle, and in the order of their last use; referenced by who copies from it, and
 * by librados while it is on its way. */
struct rados_ahead {
    struct rados_ahead *next;          /* of the handle */
    struct rados_ahead *newer, *older; /* of all */
    struct rados_handle *handle;
    uint64_t off;
    size_t len; /* asked for; end tells how much came */
    uint64_t end, taken;
    uint64_t used_ns;
    unsigned refs;
    bool loading, forgotten;
    struct buf memory;
};

static struct mutex mu = MUTEX_INITIALIZER(LOCK_ENV_RADOS_LIST);
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
static struct rados_ahead *newest, *oldest;
static size_t all_bytes;
static uint64_t carry; /* of streams, from file to file */

/* ---- pieces; mu is held ---- */

static void put_locked(struct rados_ahead *a)
{
    if (--a->refs)
        return;
    all_bytes -= a->memory.cap;
    rados_spare_give(&a->memory);
    free(a);
}

static void link_newest(struct rados_ahead *a)
{
    a->newer = NULL;
    a->older = newest;
    if (newest)
        newest->newer = a;
    else
        oldest = a;
    newest = a;
}

static void unlink_used(struct rados_ahead *a)
{
    if (a->newer)
        a->newer->older = a->older;
    else
        newest = a->older;
    if (a->older)
        a->older->newer = a->newer;
    else
        oldest = a->newer;
}

/* Nobody finds it any more. */
static void forget_locked(struct rados_ahead *a)
{
    struct rados_ahead **at;

    for (at = &a->handle->ahead; *at != a; at = &(*at)->next)
        ;
    *at = a->next;
    a->forgotten = true;
    unlink_used(a);
    put_locked(a);
}

static struct rados_ahead *find_locked(struct rados_handle *f, uint64_t off)
{
    struct rados_ahead *a;

    for (a = f->ahead; a && !(a->off <= off && off < a->end); a = a->next)
        ;
    return a;
}

/* Where the first piece behind off begins, or upto. */
static uint64_t next_locked(struct rados_handle *f, uint64_t off, uint64_t upto)
{
    struct rados_ahead *a;

    for (a = f->ahead; a; a = a->next)
        if (a->off > off && a->off < upto)
            upto = a->off;
    return upto;
}

static bool room_locked(size_t len)
{
    while (all_bytes + len > ALL && oldest)
        forget_locked(oldest);
    return all_bytes + len <= ALL;
}

static bool take_memory(struct buf *b, size_t len)
{
    if (len >= LARGE)
        rados_spare_take(b);
    return buf_reserve(b, len);
}

static struct rados_ahead *new_locked(struct rados_handle *f, uint64_t off, uint64_t end)
{
    size_t len = (size_t)(end - off);
    struct rados_ahead *a = room_locked(PIECE) ? malloc(sizeof(*a)) : NULL;

    if (!a)
        return NULL;
    *a = (struct rados_ahead){.next = f->ahead,
                              .handle = f,
                              .off = off,
                              .len = len,
                              .end = end,
                              .taken = off,
                              .used_ns = conn_now_ns(),
                              .refs = 2,
                              .loading = true};
    if (!take_memory(&a->memory, len)) {
        free(a);
        return NULL;
    }
    all_bytes += a->memory.cap;
    f->loading++;
    f->ahead = a;
    link_newest(a);
    return a;
}

/* ---- asking ---- */

static void end_piece(struct rados_ahead *a, int got)
{
    mutex_lock(&mu);
    a->loading = false;
    a->handle->loading--;
    a->end = a->off + (got > 0 ? (uint64_t)got : 0);
    if (!a->forgotten && a->end == a->off)
        forget_locked(a);
    pthread_cond_broadcast(&arrived);
    put_locked(a);
    mutex_unlock(&mu);
}

/* On a thread of librados. */
static void on_piece(rados_completion_t done, void *arg)
{
    end_piece(arg, ra.aio_get_return_value(done));
}

static void begin_piece(struct node *node, struct rados_ahead *a)
{
    rados_completion_t done;
    char oid[RADOS_OID_MAX];
    int rc = ra.aio_create_completion2(a, on_piece, &done);

    if (!rc) {
        rados_object_name(oid, node->id, a->off / RADOS_OBJECT_BYTES);
        rc = ra.aio_read(node->names->io, oid, done, (char *)a->memory.data, a->len,
                         a->off % RADOS_OBJECT_BYTES);
        ra.aio_release(done);
    }
    if (rc)
        end_piece(a, rc);
}

void rados_ahead_ask(struct rados_handle *f, uint64_t off, uint64_t end)
{
    struct rados_ahead *asked[ASK_MAX], *a;
    unsigned n = 0, i;

    mutex_lock(&mu);
    while (off < end && n < ASK_MAX) {
        uint64_t upto = off - off % PIECE + PIECE;

        a = find_locked(f, off);
        if (a) {
            off = a->end;
            continue;
        }
        upto = next_locked(f, off, upto < end ? upto : end);
        a = new_locked(f, off, upto);
        if (!a)
            break;
        asked[n++] = a;
        off = upto;
    }
    mutex_unlock(&mu);
    for (i = 0; i < n; i++)
        begin_piece(f->node, asked[i]);
    if (n)
        rados_begin_threads(); /* one of them gives memory back */
}

uint64_t rados_ahead_note(struct rados_handle *f, uint64_t off, size_t len,
                          uint64_t size, uint64_t *from)
{
    size_t n;

    mutex_lock(&mu);
    n = read_streams_note(&f->streams, off, len, size, &carry, from);
    mutex_unlock(&mu);
    return n ? *from + n : 0;
}

/* ---- taking ---- */

/*
 * Those that were read to their end, but for the last few. Of all files: a large one lies
 * in many, and the memory of what is behind is what the next piece comes into.
 */
static void forget_done_locked(void)
{
    struct rados_ahead *a, *older;
    unsigned done = 0;

    for (a = newest; a; a = older) {
        older = a->older;
        if (!a->loading && a->taken >= a->end && ++done > DONE_KEPT)
            forget_locked(a);
    }
}

static void use_locked(struct rados_ahead *a, uint64_t upto)
{
    bool done = a->taken >= a->end;

    a->used_ns = conn_now_ns();
    unlink_used(a);
    link_newest(a);
    if (upto > a->taken)
        a->taken = upto;
    if (!done && a->taken >= a->end)
        forget_done_locked();
}

size_t rados_ahead_take(struct rados_handle *f, uint64_t off, void *to, size_t len,
                        uint64_t *next)
{
    struct rados_ahead *a;
    size_t n = 0;

    mutex_lock(&mu);
    a = find_locked(f, off);
    if (!a) {
        *next = next_locked(f, off, off + len);
        mutex_unlock(&mu);
        return 0;
    }
    a->refs++;
    if (a->loading) {
        mutex_unlock(&mu);
        env_about_to_block();
        mutex_lock(&mu);
    }
    while (a->loading)
        cond_wait(&arrived, &mu);
    *next = off + len;
    if (off < a->end) {
        n = a->end - off < len ? (size_t)(a->end - off) : len;
        if (!a->forgotten)
            use_locked(a, off + n);
        mutex_unlock(&mu);
        memcpy(to, a->memory.data + (off - a->off), n);
        mutex_lock(&mu);
    }
    put_locked(a);
    mutex_unlock(&mu);
    return n;
}

void rados_ahead_forget(struct rados_handle *f, uint64_t off, uint64_t end)
{
    struct rados_ahead *a, *next;

    mutex_lock(&mu);
    for (a = f->ahead; a; a = next) {
        next = a->next;
        if (a->off < end && off < a->off + a->len)
            forget_locked(a);
    }
    mutex_unlock(&mu);
}

void rados_ahead_end(struct rados_handle *f)
{
    rados_ahead_forget(f, 0, UINT64_MAX);
    mutex_lock(&mu);
    while (f->loading)
        cond_wait(&arrived, &mu);
    mutex_unlock(&mu);
}

void rados_ahead_age(void)
{
    uint64_t now = conn_now_ns();

    mutex_lock(&mu);
    while (oldest && now - oldest->used_ns > AGE_NS)
        forget_locked(oldest);
    mutex_unlock(&mu);
}

#endif
