/*
 * filter_bits.h - how many filter bits per key a level gets. Pure: values in, values
 * out.
 *
 * Who looks for a key that is not there asks the filter of every sorted run, and reads
 * a block for each that is wrong. A bit per key costs the least where there are the
 * fewest keys, and spares as many reads there as anywhere (Dayan, Athanassoulis,
 * Idreos: Monkey, SIGMOD 2017). So the upper levels get more than the average and the
 * last one, which has nearly all keys, a little less.
 */
#ifndef LSM_FILTER_BITS_H
#define LSM_FILTER_BITS_H

#include <stddef.h>
#include <stdint.h>

enum { FILTER_BITS_MAX = 24 }; /* per key: 1 in 18,000 strangers passes */

struct filter_level {
    uint64_t entries; /* of all its runs; they are taken to be alike */
    uint64_t runs;    /* each has one table, at most, that can hold a key */
    double bits;      /* out: per key; 0: no filter */
};

/*
 * Fill in bits: the sum over the runs of the strangers that pass is least, while the
 * bits of all levels are no more than `average` per entry.
 */
void filter_bits_plan(struct filter_level *level, size_t n, double average);

/* That sum: blocks read in vain by a lookup of a key that is in the range of all. */
double filter_bits_in_vain(const struct filter_level *level, size_t n);

/*
 * Bits per key for out_entries of level[out] that are about to be written; level as it
 * will be then. What the plan says, but `average` at most unless other tables leave
 * room: other_bytes is what their filters take. Tables keep their filters when they
 * move and when the plan changes; so the sum stays within the average, or 2 % above it,
 * whatever comes.
 */
double filter_bits_output(struct filter_level *level, size_t n, size_t out,
                          uint64_t out_entries, uint64_t other_bytes, double average);

#endif
