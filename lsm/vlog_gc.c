/*
 * vlog_gc.c - see vlog_gc.h.
 */
#include "vlog_gc.h"

#include <stdlib.h>

/* Start before the limit is reached, and go on until there is some distance: a
 * collection that stops at the limit begins again at once. */
static const double START = 0.8, STOP = 0.6;
/* Moving a segment that is fuller than this frees too little for its cost. */
static const double FULL = 0.9;

enum {
    /* A round moves this part of all live bytes, so that its victims, which take
     * room until it ends, are few, and only the emptiest are moved at all. */
    ROUND_SHARE = 20,
};

uint64_t segment_uses(const struct version *v, struct segment_use *uses, size_t n)
{
    uint64_t total = 0;
    unsigned level;
    size_t i, j;

    for (level = 0; level < LSM_LEVELS; level++) {
        for (i = 0; i < v->n[level]; i++) {
            const struct table_meta *m = &v->file[level][i]->meta;
            size_t at = 0;

            /* Both ascend. */
            for (j = 0; j < m->n_refs; j++) {
                total += m->refs[j].bytes;
                while (at < n && uses[at].number < m->refs[j].segment)
                    at++;
                if (at < n && uses[at].number == m->refs[j].segment)
                    uses[at].live += m->refs[j].bytes;
            }
        }
    }
    return total;
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

static void sum_up(const struct segment_use *uses, size_t n, uint64_t *live,
                   uint64_t *garbage)
{
    size_t i;

    *live = *garbage = 0;
    for (i = 0; i < n; i++) {
        *live += uses[i].live;
        *garbage += garbage_of(&uses[i]);
    }
}

double vlog_gc_debt(const struct segment_use *uses, size_t n, double ratio,
                    uint64_t slack)
{
    uint64_t live, garbage;
    double allowed;

    sum_up(uses, n, &live, &garbage);
    allowed = ratio * (double)live + (double)slack;
    if (ratio <= 0 || (double)garbage <= allowed)
        return 0;
    return ((double)garbage - allowed) / allowed;
}

int vlog_gc_victims(const struct segment_use *uses, size_t n, double ratio,
                    uint64_t slack, struct segment_set *out)
{
    struct segment_use *sorted;
    uint64_t live, garbage, stop, moved = 0, most;
    size_t i;

    memset(out, 0, sizeof(*out));
    sum_up(uses, n, &live, &garbage);
    if (ratio <= 0 || (double)garbage <= START * ratio * (double)live + (double)slack)
        return 0;
    stop = (uint64_t)(STOP * ratio * (double)live);
    most = live / ROUND_SHARE + slack;
    sorted = malloc((n + 1) * sizeof(*sorted));
    out->number = malloc((n + 1) * sizeof(*out->number));
    if (!sorted || !out->number) {
        free(sorted);
        segment_set_release(out);
        return -ENOMEM;
    }
    memcpy(sorted, uses, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_fullness);
    for (i = 0; i < n && garbage > stop && moved < most && fullness(&sorted[i]) < FULL;
         i++) {
        out->number[out->n++] = sorted[i].number;
        garbage -= garbage_of(&sorted[i]);
        moved += sorted[i].live;
    }
    free(sorted);
    qsort(out->number, out->n, sizeof(*out->number), by_number);
    return 0;
}

static uint64_t victim_bytes(const struct table_meta *m, const struct segment_set *victims)
{
    uint64_t bytes = 0;
    size_t i;

    for (i = 0; i < m->n_refs; i++)
        if (segment_set_has(victims, m->refs[i].segment))
            bytes += m->refs[i].bytes;
    return bytes;
}

int vlog_gc_pick(const struct version *v, const struct pick_options *o,
                 const struct segment_set *victims, struct compaction *c)
{
    struct tfile *best = NULL;
    uint64_t best_bytes = 0;
    unsigned level, best_level = 0;
    size_t i;

    if (!victims->n)
        return 0;
    for (i = 0; i < v->n[0]; i++)
        if (victim_bytes(&v->file[0][i]->meta, victims))
            return pick_whole_l0(v, o, PICK_GARBAGE, c);
    for (level = 1; level < LSM_LEVELS; level++) {
        for (i = 0; i < v->n[level]; i++) {
            struct tfile *f = v->file[level][i];
            uint64_t bytes = f->compacting ? 0 : victim_bytes(&f->meta, victims);

            if (bytes > best_bytes) {
                best = f;
                best_bytes = bytes;
                best_level = level;
            }
        }
    }
    return best ? pick_rewrite(best, best_level, PICK_GARBAGE, c) : 0;
}
