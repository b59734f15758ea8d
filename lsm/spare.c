/*
 * spare.c - see spare.h. The list is kept in the pieces themselves, the last one first:
 * the processor's caches may have some of it.
 */
#include "spare.h"

#include "env.h"

struct spare_piece {
    struct spare_piece *next;
    size_t bytes;
};

enum { SPARE_MIN = 32 * 1024 /* less than that malloc keeps itself */ };

void spare_init(struct spare *s)
{
    mutex_init(&s->mu, LOCK_SPARE);
    s->pieces = NULL;
    s->gives = s->seen = 0;
    s->quiet = 0;
    atomic_init(&s->limit, 0);
    atomic_init(&s->bytes, 0);
}

void spare_release(struct spare *s)
{
    spare_drop(s);
    mutex_release(&s->mu);
}

void spare_set_limit(struct spare *s, size_t limit)
{
    atomic_store(&s->limit, limit);
}

/* Out of the list, from *at on, as many as have so many bytes in all. */
static struct spare_piece *unlink_locked(struct spare *s, size_t bytes)
{
    struct spare_piece *out = NULL, *p;
    size_t n = 0;

    while (n < bytes && (p = s->pieces)) {
        s->pieces = p->next;
        n += p->bytes;
        p->next = out;
        out = p;
    }
    atomic_fetch_sub(&s->bytes, n);
    return out;
}

static void free_all(struct spare_piece *p)
{
    while (p) {
        struct spare_piece *next = p->next;

        env_free(p, p->bytes);
        p = next;
    }
}

/* A piece of that size, or NULL, and as much is given back. */
static void *take(struct spare *s, size_t bytes)
{
    struct spare_piece **at, *p, *drop = NULL;

    if (!s || !spare_bytes(s) || bytes < SPARE_MIN)
        return NULL;
    mutex_lock(&s->mu);
    for (at = &s->pieces; (p = *at) && p->bytes != bytes; at = &p->next)
        ;
    if (p) {
        *at = p->next;
        atomic_fetch_sub(&s->bytes, bytes);
    } else {
        drop = unlink_locked(s, bytes);
    }
    mutex_unlock(&s->mu);
    free_all(drop);
    return p;
}

void *spare_alloc(struct spare *s, size_t bytes)
{
    void *p = take(s, bytes);

    return p ? p : env_alloc(bytes);
}

void *spare_alloc_pages(struct spare *s, size_t bytes)
{
    void *p = take(s, bytes);

    return p ? p : env_alloc_pages(bytes);
}

void spare_free(struct spare *s, void *p, size_t bytes)
{
    struct spare_piece *piece = p;
    bool keep = false;

    if (s && p && bytes >= SPARE_MIN && atomic_load(&s->limit)) {
        mutex_lock(&s->mu);
        keep = spare_bytes(s) + bytes <= atomic_load(&s->limit);
        if (keep) {
            piece->bytes = bytes;
            piece->next = s->pieces;
            s->pieces = piece;
            s->gives++;
            atomic_fetch_add(&s->bytes, bytes);
        }
        mutex_unlock(&s->mu);
    }
    if (!keep)
        env_free(p, bytes);
}

void spare_drop(struct spare *s)
{
    struct spare_piece *all;

    mutex_lock(&s->mu);
    all = unlink_locked(s, SIZE_MAX);
    mutex_unlock(&s->mu);
    free_all(all);
}

void spare_tend(struct spare *s, unsigned patience)
{
    bool stale;

    mutex_lock(&s->mu);
    s->quiet = s->gives == s->seen ? s->quiet + 1 : 0;
    s->seen = s->gives;
    stale = s->quiet >= patience;
    mutex_unlock(&s->mu);
    if (stale)
        spare_drop(s);
}
