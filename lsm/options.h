/*
 * options.h - whether options make sense. Their meaning: lsm.h and README.md.
 */
#ifndef LSM_OPTIONS_H
#define LSM_OPTIONS_H

#include "lsm.h"

/* What only the engine's own arrays bound. */
enum {
    MEMTABLES_MAX = 16, /* active and waiting */
    WORKERS_MAX = 64,
    PARTS_MAX = 16, /* of one compaction */
    DICTIONARY_MIN = 1024,
};

/* Of options that are sound. */
size_t options_memtable_bytes(const struct lsm_options *o);
/* dictionary_bytes, or less, so that a table being written holds no more than a 64th of
 * memory_bytes (and no less than what the least dictionary wants). */
size_t options_dictionary_bytes(const struct lsm_options *o);

#endif
