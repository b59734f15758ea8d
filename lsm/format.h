/*
 * format.h - what a store must remember of the engine that made it: the constants that
 * fix its bytes, and the name that the layer above gave to what it keeps there.
 * Bytes: FORMAT.md, "Options that fix the format". Why these: DESIGN.md, "Options".
 */
#ifndef LSM_FORMAT_H
#define LSM_FORMAT_H

#include "buf.h"

enum {
    FORMAT_NAME_MAX = 63,
    FORMAT_HASH_XXH3 = 1, /* hash_key. On disk: never renumber */
};

struct store_format {
    uint64_t levels;
    uint64_t frame_bytes;           /* of value-log records */
    uint64_t key_hash;              /* of the filters */
    char name[FORMAT_NAME_MAX + 1]; /* "": none yet */
};

/* This engine's, without a name; also that of a store that does not tell. */
void format_init(struct store_format *f);

/* At most FORMAT_NAME_MAX printable characters; NULL and "" are good. */
bool format_name_good(const char *name);

void format_encode(struct buf *to, const struct store_format *f);
/* 0; -EUCLEAN (unlogged); -EPROTONOSUPPORT for a field that we must know and do not.
 * *f is initialized; what `in` does not tell is left. */
int format_decode(struct slice in, struct store_format *f);

/*
 * Can this engine serve f, as what `want` names (NULL or "": whatever it is)? A store
 * without a name takes that one, in f. -EPROTONOSUPPORT: made with other constants;
 * -EINVAL: it has another name. Both logged, as of `where`.
 */
int format_accept(struct store_format *f, const char *want, const char *where);

#endif
