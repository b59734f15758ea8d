/*
 * stats_impl.h - what the stats_*.c files share.
 */
#ifndef LSM_STATS_IMPL_H
#define LSM_STATS_IMPL_H

#include <stddef.h>

#include "lsm.h"

/* Of the value log: sums and list. Nothing when memory is out. */
void stats_add_segments(struct lsm *db, struct lsm_stats *s);

enum stats_type { STATS_U64, STATS_UNSIGNED, STATS_DOUBLE, STATS_ERRNO };

/* A number of struct lsm_stats (or lsm_level_stats) as programs get it. */
struct stats_field {
    const char *name;   /* in JSON: the field's */
    const char *metric; /* in Prometheus, after "lsm_"; NULL: a histogram tells it.
                           "..._total": a counter. "..._seconds": the field is in ns. */
    const char *help;
    enum stats_type type;
    size_t offset;
};

extern const struct stats_field stats_fields[];
extern const size_t stats_n_fields;
extern const struct stats_field stats_level_fields[];
extern const size_t stats_n_level_fields;

/* The field of the struct at base, as a decimal number. */
void stats_print_number(const struct stats_field *f, const void *base, FILE *out);

#endif
