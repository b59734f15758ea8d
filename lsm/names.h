/*
 * names.h - the names of a store's files.
 *
 * CURRENT, LOCK, RESERVE, DOUBT, MANIFEST-N, N.log (WAL), N.sst (table), N.vlog (segment),
 * N.tmp. Numbers come from one counter and are never used twice in a store
 * (a recycled log gets a new number).
 */
#ifndef LSM_NAMES_H
#define LSM_NAMES_H

#include "slice.h"

enum file_kind {
    FILE_OTHER, /* not ours */
    FILE_CURRENT,
    FILE_LOCK,
    FILE_RESERVE,
    FILE_DOUBT, /* doubt.h */
    FILE_MANIFEST,
    FILE_LOG,
    FILE_TABLE,
    FILE_SEGMENT,
    FILE_TEMP,
};

enum { NAME_BYTES = 40 };

/* No store gets there; a name with more is not ours. The counter never ends then. */
#define FILE_NUMBER_MAX ((1ull << 62) - 1)

/* malloc'ed "dir/name"; NULL: no memory. number is ignored where there is none. */
char *file_path(const char *dir, enum file_kind kind, uint64_t number);
/* Name without directory. */
void file_name(char to[NAME_BYTES], enum file_kind kind, uint64_t number);
enum file_kind file_parse(const char *name, uint64_t *number);

#endif
