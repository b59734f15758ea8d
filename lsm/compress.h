/*
 * compress.h - LZ4 and ZSTD behind one door. Bytes: the type is stored beside
 * the result by the caller (enum lsm_compression, never renumbered).
 */
#ifndef LSM_COMPRESS_H
#define LSM_COMPRESS_H

#include "buf.h"

enum compression {
    COMPRESS_RAW = 0,
    COMPRESS_LZ4 = 1,
    COMPRESS_ZSTD = 2,
};

/*
 * Compress in with `want` into out (replacing it). Returns what was done:
 * COMPRESS_RAW, with out untouched, when it would not save at least 1/8, when
 * in looks incompressible, or when memory is out: the caller then stores `in`.
 */
enum compression compress(enum compression want, struct slice in, struct buf *out);

/*
 * Undo it: exactly raw_len bytes into to. 0, -ENOMEM, or -EUCLEAN when in is not
 * that.
 * Not logged: the caller knows the place.
 */
int decompress(enum compression type, struct slice in, void *to, size_t raw_len);

#endif
