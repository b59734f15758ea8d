/*
 * env_memory.c - env_alloc and env_free: what is large comes from the system and goes
 * back to it, in huge pages where the process has enough of it.
 *
 * A lookup touches a dozen places all over memtables, filters, indexes and the block
 * cache. In pages of 4 KiB each of them is a miss of the processor's page tables as
 * well, twice as dear in a virtual machine. So what is a huge page or more has a mapping
 * of its own; and pieces below are cut out of extents, mappings of one huge page, once
 * the process has had HUGE_FROM bytes of pieces: below that it is small, and a half-used
 * huge page would be much beside it.
 *
 * What is freed of an extent may be kept for the next piece, while that is little beside
 * all that is in use (KEPT_SHARE). Beyond that the system gets it back; and until the
 * extent is full again it is no huge page any more, or the system would fill the hole.
 */
#include "env.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "lock.h"

enum {
    PAGE = 4096,
    LARGE = 32 * 1024, /* below it is malloc's */
    PAGES = ENV_HUGE / PAGE,
    HUGE_FROM = 64 << 20,
    KEPT_SHARE = 64,
};

struct extent {
    uint8_t *base;
    unsigned n_free;
    bool broken;                  /* has given something back */
    uint64_t used[PAGES / 64];    /* one bit a page */
    uint64_t touched[PAGES / 64]; /* may be resident */
};

static struct mutex mu = MUTEX_INITIALIZER(LOCK_ENV_MEMORY);
static struct extent **extents; /* by address */
static size_t n_extents, cap_extents;
static size_t in_use;    /* bytes of pieces, in extents or not */
static bool is_large;    /* they were HUGE_FROM once */
static size_t kept;      /* bytes of extents that are free and touched */
static size_t last_took; /* where the last piece was found */

/* ---- mappings ---- */

static void *map(size_t bytes)
{
    void *p =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

/* Begins where a huge page does. */
static void *map_huge(size_t bytes)
{
    size_t whole = (bytes + PAGE - 1) / PAGE * PAGE;
    uint8_t *p = map(whole + ENV_HUGE), *from, *end;

    if (!p)
        return NULL;
    from = (uint8_t *)(((uintptr_t)p + ENV_HUGE - 1) & ~(uintptr_t)(ENV_HUGE - 1));
    end = p + whole + ENV_HUGE;
    if (from > p)
        munmap(p, (size_t)(from - p));
    if (end > from + whole)
        munmap(from + whole, (size_t)(end - from - whole));
    madvise(from, whole, MADV_HUGEPAGE); /* where there are none: pages as they are */
    return from;
}

/* ---- bits ---- */

static bool bit(const uint64_t *bits, unsigned i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

static void set_bits(uint64_t *bits, unsigned at, unsigned n, bool to)
{
    for (unsigned i = at; i < at + n; i++) {
        if (to)
            bits[i / 64] |= 1ull << (i % 64);
        else
            bits[i / 64] &= ~(1ull << (i % 64));
    }
}

static unsigned count_bits(const uint64_t *bits, unsigned at, unsigned n)
{
    unsigned count = 0;

    for (unsigned i = at; i < at + n; i++)
        count += bit(bits, i);
    return count;
}

/* The first n free pages in a row; PAGES when there are none. */
static unsigned find_run(const struct extent *x, unsigned n)
{
    unsigned run = 0, i = 0;

    while (i < PAGES) {
        if (i % 64 == 0 && x->used[i / 64] == UINT64_MAX) {
            run = 0;
            i += 64;
            continue;
        }
        run = bit(x->used, i) ? 0 : run + 1;
        i++;
        if (run == n)
            return i - n;
    }
    return PAGES;
}

/* ---- extents ---- */

/* Where the extent that holds p is, or would be. */
static size_t place_locked(const uint8_t *p)
{
    size_t lo = 0, hi = n_extents;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (extents[mid]->base + ENV_HUGE <= p)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct extent *holder_locked(const uint8_t *p)
{
    size_t i = place_locked(p);

    return i < n_extents && p >= extents[i]->base ? extents[i] : NULL;
}

static struct extent *add_extent_locked(void)
{
    struct extent *x;
    size_t i;

    if (n_extents == cap_extents) {
        size_t cap = cap_extents ? 2 * cap_extents : 64;
        struct extent **more = realloc(extents, cap * sizeof(*more));

        if (!more)
            return NULL;
        extents = more;
        cap_extents = cap;
    }
    x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->base = map_huge(ENV_HUGE);
    if (!x->base) {
        free(x);
        return NULL;
    }
    x->n_free = PAGES;
    i = place_locked(x->base);
    memmove(extents + i + 1, extents + i, (n_extents - i) * sizeof(*extents));
    extents[i] = x;
    n_extents++;
    last_took = i;
    return x;
}

static void drop_extent_locked(struct extent *x)
{
    size_t i = place_locked(x->base);

    memmove(extents + i, extents + i + 1, (n_extents - i - 1) * sizeof(*extents));
    n_extents--;
    munmap(x->base, ENV_HUGE);
    free(x);
}

static void *take_locked(struct extent *x, unsigned n)
{
    unsigned at = x->n_free >= n ? find_run(x, n) : PAGES;

    if (at == PAGES)
        return NULL;
    kept -= (size_t)count_bits(x->touched, at, n) * PAGE;
    set_bits(x->used, at, n, true);
    set_bits(x->touched, at, n, true);
    x->n_free -= n;
    if (x->broken && !x->n_free) {
        madvise(x->base, ENV_HUGE, MADV_HUGEPAGE);
        x->broken = false;
    }
    return x->base + (size_t)at * PAGE;
}

static void *cut(unsigned n)
{
    struct extent *x;
    void *p = NULL;

    mutex_lock(&mu);
    for (size_t i = 0; i < n_extents && !p; i++) {
        size_t k = (last_took + i) % n_extents;

        p = take_locked(extents[k], n);
        if (p)
            last_took = k;
    }
    if (!p && (x = add_extent_locked()))
        p = take_locked(x, n);
    in_use += p ? (size_t)n * PAGE : 0;
    mutex_unlock(&mu);
    return p;
}

/* Pages of an extent are free, and nobody's yet. */
static void give(struct extent *x, unsigned at, unsigned n)
{
    bool keep;

    mutex_lock(&mu);
    in_use -= (size_t)n * PAGE;
    keep = kept + (size_t)n * PAGE <= in_use / KEPT_SHARE;
    if (!keep && !x->broken) {
        x->broken = true;
        madvise(x->base, ENV_HUGE, MADV_NOHUGEPAGE);
    }
    mutex_unlock(&mu);
    if (!keep) /* before they can be somebody else's */
        madvise(x->base + (size_t)at * PAGE, (size_t)n * PAGE, MADV_DONTNEED);
    mutex_lock(&mu);
    set_bits(x->used, at, n, false);
    set_bits(x->touched, at, n, keep);
    kept += keep ? (size_t)n * PAGE : 0;
    x->n_free += n;
    if (x->n_free == PAGES) {
        kept -= (size_t)count_bits(x->touched, 0, PAGES) * PAGE;
        drop_extent_locked(x);
    }
    mutex_unlock(&mu);
}

/* ---- the interface ---- */

/* Count a piece with a mapping of its own. */
static void *count_mapped(void *p, size_t bytes)
{
    mutex_lock(&mu);
    in_use += p ? bytes : 0;
    is_large |= in_use >= HUGE_FROM;
    mutex_unlock(&mu);
    return p;
}

static bool worth_extents(void)
{
    bool yes;

    mutex_lock(&mu);
    yes = is_large;
    mutex_unlock(&mu);
    return yes;
}

void *env_alloc_pages(size_t bytes)
{
    return bytes < LARGE ? env_alloc(bytes) : count_mapped(map(bytes), bytes);
}

void *env_alloc(size_t bytes)
{
    void *p;

    if (bytes < LARGE)
        return aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (bytes >= ENV_HUGE)
        return count_mapped(map_huge(bytes), bytes);
    if (worth_extents() && (p = cut((unsigned)((bytes + PAGE - 1) / PAGE))))
        return p;
    return count_mapped(map(bytes), bytes);
}

void env_free(void *p, size_t bytes)
{
    struct extent *x;

    if (bytes < LARGE) {
        free(p);
        return;
    }
    if (!p)
        return;
    mutex_lock(&mu);
    x = bytes < ENV_HUGE ? holder_locked(p) : NULL;
    in_use -= x ? 0 : bytes;
    mutex_unlock(&mu);
    if (x)
        give(x, (unsigned)(((uint8_t *)p - x->base) / PAGE),
             (unsigned)((bytes + PAGE - 1) / PAGE));
    else
        munmap(p, bytes);
}
