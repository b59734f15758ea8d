/*
 * table_cache.c - see table_cache.h.
 *
 * Limbo. A short reader holds no count on the table it reads, so a table that is
 * closed cannot be freed at once. It may be freed when every reader that can have
 * seen it has left: those that were announced when it was unlinked. Whoever
 * announces himself later does not find it. That is quiescent-state reclamation
 * (McKenney, Slingwine, "Read-Copy Update", 1998) with the announcements that
 * readers make anyway, for their view (Michael's hazard pointers).
 *
 * Why none is missed: the reader announces itself (A), then loads f->table (L);
 * we exchange f->table for NULL (X), then look who is announced (N). All four are
 * sequentially consistent, so they have one order. If N does not see A, then
 * X, N, A, L is that order, and L finds NULL, or what was opened after. "Has left"
 * is a store with release that we load with acquire: its reads are before our free.
 *
 * Tables that are closed while a batch waits gather for the next batch: one look at
 * the readers serves many. What is in limbo is counted as memory until it is freed.
 *
 * Pins are counted in the tfile. Who closes makes 0 pins PIN_CLOSING, under mu; who
 * finds that bit when he pins waits for mu, and then finds the table closed.
 */
#include "table_cache.h"

#include <stdlib.h>

#include "err.h"
#include "names.h"

enum {
    PIN_CLOSING = 1 << 30,
    LIMBO_LEAST = 16, /* tables that may be in it in any case */
    LIMBO_SHARE = 4,
};

void table_cache_init(struct table_cache *c, struct env *env, const char *dir,
                      struct cache *blocks, void (*dead)(void *arg, uint64_t number),
                      void *arg)
{
    memset(c, 0, sizeof(*c));
    c->env = env;
    c->dir = dir;
    c->blocks = blocks;
    c->dead = dead;
    c->arg = arg;
    mutex_init(&c->mu, LOCK_TABLE_CACHE);
}

void table_cache_limit(struct table_cache *c, const struct table_cache_limits *limits)
{
    c->limits = *limits;
}

/* Tables that nobody reads. Not under mu. */
static void free_tables(struct table_cache *c, struct table *t)
{
    while (t) {
        struct table *next = *table_link(t);
        size_t bytes = table_memory(t);

        table_free(t);
        memory_give(c->limits.memory, MEMORY_TABLES, bytes);
        t = next;
    }
}

void table_cache_release(struct table_cache *c)
{
    free_tables(c, c->limbo.first);
    free_tables(c, c->fresh);
    mutex_release(&c->mu);
}

/* ---- files ---- */

int tfile_new(struct table_cache *c, const struct table_meta *meta, struct tfile **out)
{
    struct tfile *f = aligned_alloc(64, sizeof(*f));
    int rc;

    if (!f)
        return -ENOMEM;
    memset(f, 0, sizeof(*f));
    rc = table_meta_copy(&f->meta, meta);
    if (rc) {
        free(f);
        return rc;
    }
    atomic_init(&f->refs, 1);
    f->home = c;
    mutex_lock(&c->mu);
    f->next = c->alive;
    if (c->alive)
        c->alive->prev = f;
    c->alive = f;
    mutex_unlock(&c->mu);
    *out = f;
    return 0;
}

void tfile_ref(struct tfile *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
}

/* Just before the hand, where it comes last. */
static void add_open_locked(struct table_cache *c, struct tfile *f, struct table *t)
{
    if (c->hand) {
        f->open_next = c->hand;
        f->open_prev = c->hand->open_prev;
        f->open_next->open_prev = f;
        f->open_prev->open_next = f;
    } else {
        c->hand = f->open_next = f->open_prev = f;
    }
    c->n_open++;
    c->opened++;
    c->open_bytes += table_memory(t);
    atomic_store(&f->table, t);
}

/* Takes the table from the ring; readers may still have it. */
static struct table *remove_open_locked(struct table_cache *c, struct tfile *f)
{
    struct table *t = atomic_exchange(&f->table, NULL);

    if (!t)
        return NULL;
    if (c->hand == f)
        c->hand = f->open_next == f ? NULL : f->open_next;
    f->open_next->open_prev = f->open_prev;
    f->open_prev->open_next = f->open_next;
    c->n_open--;
    c->open_bytes -= table_memory(t);
    return t;
}

void tfile_unref(struct tfile *f)
{
    struct table_cache *c = f->home;
    uint64_t number = f->meta.number;
    struct table *t;

    if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    mutex_lock(&c->mu);
    if (f->prev)
        f->prev->next = f->next;
    else
        c->alive = f->next;
    if (f->next)
        f->next->prev = f->prev;
    t = remove_open_locked(c, f);
    mutex_unlock(&c->mu);
    /* Who reads it has a reference, be it by a version: so nobody does. */
    free_tables(c, t);
    table_meta_release(&f->meta);
    if (atomic_load(&f->obsolete))
        c->dead(c->arg, number);
    free(f);
}

/* ---- closing ---- */

static void push(struct table **list, struct table *t)
{
    *table_link(t) = *list;
    *list = t;
}

static bool close_locked(struct table_cache *c, struct tfile *f)
{
    unsigned none = 0;
    struct table *t;

    if (!atomic_compare_exchange_strong(&f->pins, &none, PIN_CLOSING))
        return false;
    t = remove_open_locked(c, f);
    c->limbo_bytes += table_memory(t);
    c->n_limbo++;
    push(&c->fresh, t);
    atomic_fetch_sub(&f->pins, PIN_CLOSING);
    c->closed++;
    return true;
}

static bool is_over_locked(const struct table_cache *c)
{
    struct memory_use u;
    size_t share;

    if (!c->limits.memory)
        return false;
    /* With much in limbo, closing more frees nothing, and who needs it opens it again. */
    if (c->n_open > c->limits.max_open && c->n_limbo <= c->limits.max_open + LIMBO_LEAST)
        return true;
    memory_get(c->limits.memory, &u);
    share = memory_plan(&u).tables;
    return c->open_bytes > share && c->limbo_bytes <= share / LIMBO_SHARE;
}

/* The hand goes around at most twice: then all that is left is pinned, or `but`. */
static void close_cold_locked(struct table_cache *c, const struct tfile *but)
{
    size_t steps = 2 * (size_t)c->n_open;

    for (; steps && c->hand && is_over_locked(c); steps--) {
        struct tfile *f = c->hand;

        c->hand = f->open_next;
        if (f == but)
            continue;
        if (atomic_load_explicit(&f->visited, memory_order_relaxed))
            atomic_store_explicit(&f->visited, false, memory_order_relaxed);
        else
            close_locked(c, f);
    }
}

/* What may be freed. */
static struct table *leave_limbo_locked(struct table_cache *c)
{
    struct table *gone = NULL, *t;

    if (c->limbo.first && c->limits.readers_left(c->arg, &c->limbo.readers)) {
        gone = c->limbo.first;
        c->limbo.first = NULL;
        for (t = gone; t; t = *table_link(t)) {
            c->limbo_bytes -= table_memory(t);
            c->n_limbo--;
        }
    }
    return gone;
}

static void enter_limbo_locked(struct table_cache *c)
{
    if (c->limbo.first || !c->fresh)
        return;
    c->limbo.first = c->fresh;
    c->fresh = NULL;
    c->limits.note_readers(c->arg, &c->limbo.readers);
}

/* Close what is too much; gives what may be freed. */
static struct table *tend_locked(struct table_cache *c, const struct tfile *but)
{
    struct table *gone = leave_limbo_locked(c);

    close_cold_locked(c, but);
    enter_limbo_locked(c);
    return gone;
}

void table_cache_tend(struct table_cache *c)
{
    struct table *gone;

    mutex_lock(&c->mu);
    gone = tend_locked(c, NULL);
    mutex_unlock(&c->mu);
    free_tables(c, gone);
}

/* ---- opening ---- */

static int read_table(struct tfile *f, struct table **out)
{
    struct table_open_options o = {
        .env = f->home->env,
        .number = f->meta.number,
        .size = f->meta.size,
        .cache = f->home->blocks,
        .memory = f->home->limits.memory,
    };
    char *path = file_path(f->home->dir, FILE_TABLE, f->meta.number);
    int rc;

    if (!path)
        return -ENOMEM;
    o.path = path;
    rc = table_open(&o, out);
    if (rc == -ENOENT)
        rc = err_corrupt(path, 0, "the table is missing");
    /* Where keys are looked for goes by what the manifest told. */
    if (!rc && !table_meta_same(table_meta(*out), &f->meta)) {
        table_free(*out);
        rc = err_corrupt(path, 0, "not what the manifest tells of it");
    }
    free(path);
    return rc;
}

int tfile_open(struct tfile *f, struct table **out)
{
    struct table_cache *c = f->home;
    struct table *t, *seen, *gone = NULL;
    int rc;

    /* Read without a lock: two threads may both do it, one of them in vain. */
    rc = read_table(f, &t);
    if (rc)
        return rc;
    memory_take(c->limits.memory, MEMORY_TABLES, table_memory(t));
    mutex_lock(&c->mu);
    seen = atomic_load(&f->table);
    if (!seen) {
        add_open_locked(c, f, t);
        gone = tend_locked(c, f);
    }
    mutex_unlock(&c->mu);
    if (seen)
        push(&gone, t);
    free_tables(c, gone);
    *out = seen ? seen : t;
    return 0;
}

/* From here on it is not closed. */
static void add_pin(struct tfile *f)
{
    if (atomic_fetch_add(&f->pins, 1) & PIN_CLOSING) {
        mutex_lock(&f->home->mu);
        mutex_unlock(&f->home->mu);
    }
}

int tfile_pin(struct tfile *f, enum table_iter_use use, struct table **out)
{
    int rc = 0;

    add_pin(f);
    if (use == TABLE_ITER_READ) {
        rc = tfile_borrow(f, out);
    } else {
        *out = atomic_load(&f->table);
        if (!*out)
            rc = tfile_open(f, out);
    }
    if (rc)
        tfile_unpin(f);
    return rc;
}

void tfile_unpin(struct tfile *f)
{
    atomic_fetch_sub_explicit(&f->pins, 1, memory_order_release);
}

bool tfile_pin_open(struct tfile *f, struct table **out)
{
    add_pin(f);
    *out = atomic_load(&f->table);
    if (!*out)
        tfile_unpin(f);
    return *out != NULL;
}

static void unpin(void *arg)
{
    tfile_unpin(arg);
}

int tfile_iter(struct tfile *f, enum table_iter_use use, struct iter **out)
{
    struct table *t;
    int rc = tfile_pin(f, use, &t);

    if (rc)
        return rc;
    *out = table_iter_new(t, use);
    if (!*out) {
        tfile_unpin(f);
        return -ENOMEM;
    }
    table_iter_on_free(*out, unpin, f);
    return 0;
}

/* ---- the rest ---- */

void table_cache_get_stats(struct table_cache *c, struct table_cache_stats *s)
{
    mutex_lock(&c->mu);
    *s = (struct table_cache_stats){c->n_open, c->opened, c->closed};
    mutex_unlock(&c->mu);
}

void table_cache_segments(struct table_cache *c, segment_fn *fn, void *arg)
{
    struct tfile *f;
    size_t i;

    mutex_lock(&c->mu);
    for (f = c->alive; f; f = f->next)
        for (i = 0; i < f->meta.n_refs; i++)
            fn(arg, f->meta.refs[i].segment, f->meta.refs[i].bytes);
    mutex_unlock(&c->mu);
}
