/*
 * filter_bits.c - see filter_bits.h.
 *
 * bloom_rate is convex and straight between whole bits. So the best use of a total is
 * found greedily: of all the levels' next bits, take the one that turns away the most
 * strangers for its price, until the total is spent; the last one is taken in part.
 */
#include "filter_bits.h"

#include "bloom.h"

/* The plan of a moment before is not this one's: without some play the last level would
 * leave no room for L0, a hundredth of it, until it is rewritten. */
static const double play = 1.02;

/* What the level's next whole bit turns away, for each bit of memory. */
static double gain(const struct filter_level *l)
{
    double saved = bloom_rate(l->bits) - bloom_rate(l->bits + 1);

    return saved * (double)l->runs / (double)l->entries;
}

static struct filter_level *best_level(struct filter_level *level, size_t n)
{
    struct filter_level *best = NULL;
    size_t i;

    for (i = 0; i < n; i++) {
        struct filter_level *l = &level[i];

        if (l->entries && l->runs && l->bits + 1 <= FILTER_BITS_MAX &&
            (!best || gain(l) > gain(best)))
            best = l;
    }
    return best;
}

void filter_bits_plan(struct filter_level *level, size_t n, double average)
{
    struct filter_level *l;
    double left = 0;
    size_t i;

    for (i = 0; i < n; i++) {
        level[i].bits = 0;
        left += average * (double)level[i].entries;
    }
    while ((l = best_level(level, n)) && left > 0) {
        if (left < (double)l->entries) {
            l->bits += left / (double)l->entries;
            return;
        }
        l->bits++;
        left -= (double)l->entries;
    }
}

double filter_bits_in_vain(const struct filter_level *level, size_t n)
{
    double sum = 0;
    size_t i;

    for (i = 0; i < n; i++)
        if (level[i].entries)
            sum += (double)level[i].runs * bloom_rate(level[i].bits);
    return sum;
}

double filter_bits_output(struct filter_level *level, size_t n, size_t out,
                          uint64_t out_entries, uint64_t other_bytes, double average)
{
    double room = -8 * (double)other_bytes, bits;
    size_t i;

    if (average <= 0 || !out_entries)
        return 0;
    filter_bits_plan(level, n, average);
    for (i = 0; i < n; i++)
        room += play * average * (double)level[i].entries;
    room /= (double)out_entries;
    if (room < average)
        room = average;
    bits = level[out].bits < room ? level[out].bits : room;
    return bits < 0.5 ? 0 : bits; /* so few turn away less than they take */
}
