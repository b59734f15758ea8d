/*
 * env_mem_data.c - see env_mem_data.h.
 *
 * The history is an undo log, so that a sync costs nothing and the state of any
 * sector at any moment since can be had.
 */
#include "env_mem_data.h"

#include "test.h"

#include <stdlib.h>

enum { SECTOR = 512 };

static void *check(void *p)
{
    if (!p)
        abort();
    return p;
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- bytes ---- */

void mem_data_read(const struct mem_data *d, uint64_t off, void *to, size_t len)
{
    uint8_t *p = to;

    while (len) {
        size_t i = (size_t)(off / MEM_CHUNK), in = (size_t)(off % MEM_CHUNK);
        size_t n = len < MEM_CHUNK - in ? len : MEM_CHUNK - in;

        if (i < d->n_chunks && d->chunks[i])
            memcpy(p, d->chunks[i] + in, n);
        else
            memset(p, 0, n);
        p += n;
        off += n;
        len -= n;
    }
}

/* from NULL: zeros. The chunks are there. */
static void put(struct mem_data *d, uint64_t off, const uint8_t *from, uint64_t len)
{
    while (len) {
        size_t i = (size_t)(off / MEM_CHUNK), in = (size_t)(off % MEM_CHUNK);
        size_t n = (size_t)lesser(len, MEM_CHUNK - in);

        if (from && !d->chunks[i])
            d->chunks[i] = check(calloc(1, MEM_CHUNK));
        if (from)
            memcpy(d->chunks[i] + in, from, n);
        else if (d->chunks[i])
            memset(d->chunks[i] + in, 0, n);
        from = from ? from + n : NULL;
        off += n;
        len -= n;
    }
}

/* Bytes beyond the size are kept 0. */
static void set_size(struct mem_data *d, uint64_t size)
{
    size_t n = (size_t)((size + MEM_CHUNK - 1) / MEM_CHUNK);

    if (size < d->size)
        put(d, size, NULL, d->size - size);
    while (d->n_chunks > n)
        free(d->chunks[--d->n_chunks]);
    if (n > d->n_chunks) {
        d->chunks = check(realloc(d->chunks, n * sizeof(*d->chunks)));
        memset(d->chunks + d->n_chunks, 0, (n - d->n_chunks) * sizeof(*d->chunks));
        d->n_chunks = n;
    }
    d->size = size;
}

void mem_data_poke(struct mem_data *d, uint64_t off, const void *from, size_t len)
{
    if (off + len > d->size)
        set_size(d, off + len);
    put(d, off, from, len);
}

static bool is_zero(const struct mem_data *d, uint64_t off, uint64_t len)
{
    while (len) {
        size_t i = (size_t)(off / MEM_CHUNK), in = (size_t)(off % MEM_CHUNK);
        size_t n = (size_t)lesser(len, MEM_CHUNK - in), k;

        if (i >= d->n_chunks)
            return true;
        for (k = 0; d->chunks[i] && k < n; k++)
            if (d->chunks[i][in + k])
                return false;
        off += n;
        len -= n;
    }
    return true;
}

/* ---- history ---- */

/* Bytes [off, off + len) or the size are about to change. */
static void note_change(struct mem_data *d, uint64_t off, uint64_t len)
{
    struct mem_change *c;

    if (d->n_changes == d->cap_changes) {
        d->cap_changes = d->cap_changes ? 2 * d->cap_changes : 16;
        d->changes = check(realloc(d->changes, d->cap_changes * sizeof(*d->changes)));
    }
    c = &d->changes[d->n_changes++];
    *c = (struct mem_change){.off = off, .len = len, .old_size = d->size};
    if (!is_zero(d, off, len)) {
        c->old = check(malloc((size_t)len));
        mem_data_read(d, off, c->old, (size_t)len);
    }
}

void mem_data_write(struct mem_data *d, uint64_t off, const void *from, size_t len)
{
    if (!len)
        return;
    note_change(d, off, len);
    mem_data_poke(d, off, from, len);
}

void mem_data_resize(struct mem_data *d, uint64_t size)
{
    if (size < d->size)
        note_change(d, size, d->size - size);
    else
        note_change(d, d->size, 0);
    set_size(d, size);
}

static void forget_changes(struct mem_data *d, size_t from)
{
    size_t i;

    for (i = from; i < d->n_changes; i++)
        free(d->changes[i].old);
    d->n_changes = from;
}

/* Of a change made since, the part [off, off + len) stays: those bytes are lost as well.
 */
static void keep_part(struct mem_data *d, const struct mem_change *c, uint64_t off,
                      uint64_t len)
{
    struct mem_change *part;

    note_change(d, 0, 0); /* makes room */
    part = &d->changes[d->n_changes - 1];
    *part = (struct mem_change){.off = off, .len = len};
    if (c->old) {
        part->old = check(malloc((size_t)len));
        memcpy(part->old, c->old + (off - c->off), (size_t)len);
    }
}

/* Keep what it changed of bytes that are lost: written to the same place they stay so. */
static void keep_lost(struct mem_data *d, const struct mem_change *c)
{
    uint64_t at = c->off, end = c->off + c->len, upto;
    bool lost;
    size_t i;

    for (; at < end; at = upto) {
        upto = end;
        lost = false;
        for (i = 0; i < d->n_stuck; i++) {
            const struct mem_change *s = &d->changes[i];

            if (s->off > at) {
                upto = lesser(upto, s->off);
            } else if (s->off + s->len > at) {
                upto = lesser(upto, s->off + s->len);
                lost = true;
            }
        }
        if (lost)
            keep_part(d, c, at, upto - at);
    }
}

void mem_data_sync(struct mem_data *d)
{
    size_t n = d->n_changes - d->n_stuck, i;
    struct mem_change *since;

    if (!n)
        return;
    since = check(malloc(n * sizeof(*since)));
    memcpy(since, d->changes + d->n_stuck, n * sizeof(*since));
    d->n_changes = d->n_stuck;
    for (i = 0; i < n && d->n_stuck; i++)
        keep_lost(d, &since[i]);
    d->n_stuck = d->n_changes;
    for (i = 0; i < d->n_stuck; i++)
        d->changes[i].old_size = d->size; /* that is durable: what is lost reads as old */
    for (i = 0; i < n; i++)
        free(since[i].old);
    free(since);
}

void mem_data_sync_failed(struct mem_data *d)
{
    d->n_stuck = d->n_changes;
}

void mem_data_forget(struct mem_data *d, uint64_t off, uint64_t len)
{
    size_t i;

    if (d->n_changes > d->n_stuck) /* pages changed since stay; all, here */
        return;
    for (i = d->n_stuck; i > 0; i--) {
        const struct mem_change *c = &d->changes[i - 1];
        uint64_t a = c->off > off ? c->off : off;
        uint64_t b = lesser(lesser(c->off + c->len, off + len), d->size);

        if (a < b)
            put(d, a, c->old ? c->old + (a - c->off) : NULL, b - a);
    }
}

void mem_data_release(struct mem_data *d)
{
    forget_changes(d, 0);
    set_size(d, 0);
    free(d->changes);
    free(d->chunks);
    *d = (struct mem_data){0};
}

/* ---- crash ---- */

static uint64_t size_at(const struct mem_data *d, size_t moment)
{
    return moment < d->n_changes ? d->changes[moment].old_size : d->size;
}

/* The sector at off as it was before the change number `moment`. */
static void sector_at(const struct mem_data *d, uint64_t off, size_t moment,
                      uint8_t sector[SECTOR])
{
    size_t i;

    mem_data_read(d, off, sector, SECTOR);
    for (i = d->n_changes; i > moment; i--) {
        const struct mem_change *c = &d->changes[i - 1];
        uint64_t from = c->off > off ? c->off : off;
        uint64_t to = lesser(c->off + c->len, off + SECTOR);

        if (from >= to)
            continue;
        if (c->old)
            memcpy(sector + (from - off), c->old + (from - c->off), (size_t)(to - from));
        else
            memset(sector + (from - off), 0, (size_t)(to - from));
    }
}

static size_t random_moment(const struct mem_data *d, uint64_t *rng)
{
    switch (test_below(rng, 5)) {
    case 0:
    case 1:
        return 0;
    case 2:
    case 3:
        return d->n_changes;
    default:
        return (size_t)test_below(rng, d->n_changes + 1);
    }
}

static bool touches(const struct mem_change *c, uint64_t off)
{
    return c->off < off + SECTOR && c->off + c->len > off;
}

/* Early, late, or between two of the changes to this very sector. */
static size_t sector_moment(const struct mem_data *d, uint64_t off, uint64_t *rng)
{
    size_t moment = random_moment(d, rng), i;
    unsigned seen = 0;

    if (test_below(rng, 4))
        return moment;
    for (i = 0; i < d->n_changes; i++)
        if (touches(&d->changes[i], off) && test_below(rng, ++seen) == 0)
            moment = i;
    return moment;
}

static void copy(const struct mem_data *d, struct mem_data *to)
{
    size_t i;

    set_size(to, d->size);
    for (i = 0; i < d->n_chunks; i++) {
        if (!d->chunks[i])
            continue;
        to->chunks[i] = check(malloc(MEM_CHUNK));
        memcpy(to->chunks[i], d->chunks[i], MEM_CHUNK);
    }
}

/* Put the sectors that changed since the last sync back to some moment; each to
 * one of its own when `mixed`. */
static void rewind_sectors(const struct mem_data *d, struct mem_data *to, size_t moment,
                           bool mixed, uint64_t *rng)
{
    uint64_t size = d->size, n, i;
    uint8_t *touched, sector[SECTOR];
    size_t k;

    for (k = 0; k < d->n_changes; k++)
        if (d->changes[k].off + d->changes[k].len > size)
            size = d->changes[k].off + d->changes[k].len;
    set_size(to, size);
    n = (size + SECTOR - 1) / SECTOR;
    touched = check(calloc(1, (size_t)n + 1));
    for (k = 0; k < d->n_changes; k++) {
        const struct mem_change *c = &d->changes[k];

        if (c->len)
            memset(touched + c->off / SECTOR, 1,
                   (size_t)((c->off + c->len - 1) / SECTOR - c->off / SECTOR + 1));
    }
    for (i = 0; i < n; i++) {
        if (!touched[i])
            continue;
        if (mixed)
            moment = sector_moment(d, i * SECTOR, rng);
        sector_at(d, i * SECTOR, moment, sector);
        put(to, i * SECTOR, sector, lesser(SECTOR, size - i * SECTOR));
    }
    free(touched);
}

void mem_data_crash(const struct mem_data *d, struct mem_data *to,
                    enum env_mem_crash mode, uint64_t *rng)
{
    size_t moment = mode == ENV_MEM_LOSE_UNSYNCED ? 0 : d->n_changes;
    bool mixed = false;

    if (mode == ENV_MEM_KEEP_RANDOM) {
        /* Whole files early or late are as likely as a mixture: bugs hide in both. */
        mixed = test_below(rng, 2);
        moment = random_moment(d, rng);
    }
    copy(d, to);
    if (d->n_changes)
        rewind_sectors(d, to, moment, mixed, rng);
    if (mixed)
        moment = random_moment(d, rng);
    set_size(to, size_at(d, moment));
}
