/*
 * vlog_gc.c - see vlog_gc.h.
 */
#include "vlog_gc.h"

#include <stdlib.h>

/* Collect until there is some distance: a collection that stops at the limit begins
 * again at once. */
static const double STOP = 0.85;
/* Moving a segment that is fuller than this frees too little for its cost, unless
 * the ratio asks for it. */
static const double FULL = 0.9;

enum {
    /* A round moves this part of all live bytes, so that its victims, which take
     * room until it ends, are few, and only the emptiest are moved at all. */
    ROUND_SHARE = 20,
    SEGMENT_SHARE = 64,       /* of the live bytes; */
    SEGMENT_LEAST = 16,       /* but at least this part of the option, */
    SEGMENT_LEAST_FAR = 4,    /* where it costs more to begin one, */
    SEGMENT_BYTES = 64 << 10, /* and worth a file */
    HIDDEN_MOST = 4,  /* a quarter of the garbage stays allowed, whatever is hidden */
    ACTIVE_MOST = 8,  /* of the garbage, what is set aside for active segments */
    PRICE_NS = 10000, /* a KiB, half of the way, and at most */
    PRICE_MOST = 100, /* times that */
};

void segment_uses(const struct version *v, struct segment_use *uses, size_t n)
{
    unsigned level;
    size_t i, j;

    for (level = 0; level < LSM_LEVELS; level++) {
        for (i = 0; i < v->n[level]; i++) {
            const struct table_meta *m = &v->file[level][i]->meta;
            bool left_out = atomic_load(&v->file[level][i]->left_out);
            size_t at = 0;

            /* Both ascend. */
            for (j = 0; j < m->n_refs; j++) {
                while (at < n && uses[at].number < m->refs[j].segment)
                    at++;
                if (at == n || uses[at].number != m->refs[j].segment)
                    continue;
                /* What it points to cannot be moved. */
                uses[at].live += left_out ? uses[at].size : m->refs[j].bytes;
            }
        }
    }
}

uint64_t vlog_gc_segment_bytes(const struct vlog_gc_options *o, uint64_t live)
{
    uint64_t least = o->segment_bytes / (o->far ? SEGMENT_LEAST_FAR : SEGMENT_LEAST);
    uint64_t bytes = live / SEGMENT_SHARE;

    if (bytes < least)
        bytes = least;
    if (bytes < SEGMENT_BYTES)
        bytes = SEGMENT_BYTES;
    return bytes < o->segment_bytes ? bytes : o->segment_bytes;
}

/* Bytes that a round moves. */
static uint64_t round_bytes(const struct vlog_gc_options *o, uint64_t live)
{
    return live / ROUND_SHARE + vlog_gc_segment_bytes(o, live);
}

uint64_t vlog_gc_allowed(const struct vlog_gc_options *o, uint64_t live, uint64_t hidden)
{
    uint64_t allowed = (uint64_t)(o->ratio * (double)live);
    uint64_t least = allowed / HIDDEN_MOST, active = vlog_gc_segment_bytes(o, live);
    uint64_t over = hidden > o->memtables ? hidden - o->memtables : 0;

    /* Of the active segments nobody knows how much is garbage. */
    over += active < allowed / ACTIVE_MOST ? active : allowed / ACTIVE_MOST;
    allowed = over < allowed ? allowed - over : 0;
    return allowed > least ? allowed : least;
}

/* What the limit allows writers beyond ratio. */
static uint64_t room_bytes(const struct vlog_gc_options *o, uint64_t live)
{
    return o->memtables + o->memtable + 2 * vlog_gc_segment_bytes(o, live);
}

uint64_t vlog_gc_writer_limit(const struct vlog_gc_options *o, uint64_t live)
{
    return live + (uint64_t)(o->ratio * (double)live) + room_bytes(o, live);
}

uint64_t vlog_gc_limit(const struct vlog_gc_options *o, uint64_t live)
{
    return vlog_gc_writer_limit(o, live) + round_bytes(o, live);
}

uint64_t vlog_gc_price(const struct vlog_gc_options *o, uint64_t live, uint64_t bytes)
{
    uint64_t limit = vlog_gc_writer_limit(o, live), room = room_bytes(o, live) / 2;
    double x, y;

    if (o->ratio <= 0 || bytes + room <= limit)
        return 0;
    x = (double)(bytes + room - limit) / (double)room;
    y = 1 - x;
    if (y <= 0 || x * x >= PRICE_MOST * y * y)
        return PRICE_NS * PRICE_MOST;
    return (uint64_t)(PRICE_NS * x * x / (y * y));
}

static uint64_t garbage_of(const struct segment_use *u)
{
    return u->size > u->live ? u->size - u->live : 0; /* shared parts count twice */
}

static double fullness(const struct segment_use *u)
{
    return u->size ? (double)u->live / (double)u->size : 0;
}

static int by_fullness(const void *a, const void *b)
{
    const struct segment_use *x = a, *y = b;
    double fx = fullness(x), fy = fullness(y);

    if (fx != fy)
        return fx < fy ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Of segments that something is left of; the others go by themselves. */
static uint64_t sum_garbage(const struct segment_use *uses, size_t n)
{
    uint64_t garbage = 0;
    size_t i;

    for (i = 0; i < n; i++)
        garbage += uses[i].live ? garbage_of(&uses[i]) : 0;
    return garbage;
}

int vlog_gc_victims(const struct vlog_gc_options *o, const struct segment_use *uses,
                    size_t n, uint64_t live, uint64_t allowed, struct segment_set *out)
{
    double full = 1 - o->ratio / 2 > FULL ? 1 - o->ratio / 2 : FULL;
    uint64_t garbage = sum_garbage(uses, n), moved = 0;
    struct segment_use *sorted;
    size_t i;

    memset(out, 0, sizeof(*out));
    if (o->ratio <= 0 || garbage <= allowed)
        return 0;
    sorted = malloc((n + 1) * sizeof(*sorted));
    out->number = malloc((n + 1) * sizeof(*out->number));
    if (!sorted || !out->number) {
        free(sorted);
        segment_set_release(out);
        return -ENOMEM;
    }
    memcpy(sorted, uses, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_fullness);
    for (i = 0; i < n && (double)garbage > STOP * (double)allowed &&
                moved < round_bytes(o, live) && fullness(&sorted[i]) < full;
         i++) {
        if (!sorted[i].live || moved + sorted[i].live > o->room)
            continue;
        out->number[out->n++] = sorted[i].number;
        garbage -= garbage_of(&sorted[i]);
        moved += sorted[i].live;
    }
    free(sorted);
    qsort(out->number, out->n, sizeof(*out->number), by_number);
    return 0;
}

/* The level that L0 is compacted into, or LSM_LEVELS. */
static unsigned first_level(const struct version *v)
{
    unsigned level;

    for (level = 1; level < LSM_LEVELS && !v->n[level]; level++)
        ;
    return level;
}

static bool l0_points_to(const struct version *v, const struct segment_set *victims)
{
    size_t i;

    for (i = 0; i < v->n[0]; i++)
        if (segment_set_bytes(victims, &v->file[0][i]->meta))
            return true;
    return false;
}

int vlog_gc_pick(const struct version *v, const struct pick_options *o,
                 const struct segment_set *victims, struct compaction *c)
{
    struct tfile *best = NULL;
    uint64_t best_bytes = 0;
    unsigned level, best_level = 0;
    size_t i;
    int rc = 0;

    if (!victims->n)
        return 0;
    for (level = 1; level < LSM_LEVELS; level++) {
        for (i = 0; i < v->n[level]; i++) {
            struct tfile *f = v->file[level][i];
            uint64_t bytes = tfile_is_busy(f) ? 0 : segment_set_bytes(victims, &f->meta);

            if (bytes > best_bytes) {
                best = f;
                best_bytes = bytes;
                best_level = level;
            }
        }
    }
    if (l0_points_to(v, victims) || (v->n[0] && best && best_level == first_level(v)))
        rc = pick_whole_l0(v, o, PICK_GARBAGE, c);
    if (!rc && !c->reason && o->left_out)
        rc = pick_blocked_l0(v, o, victims, c);
    if (!rc && !c->reason && best)
        rc = pick_rewrite(best, best_level, PICK_GARBAGE, c);
    return rc;
}
