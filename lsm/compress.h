/*
 * compress.h - LZ4 and ZSTD behind one door. Bytes: the type is stored beside
 * the result by the caller (never renumbered).
 */
#ifndef LSM_COMPRESS_H
#define LSM_COMPRESS_H

#include "buf.h"

enum compression {
    COMPRESS_RAW = 0,
    COMPRESS_LZ4 = 1,
    COMPRESS_ZSTD = 2,
    COMPRESS_ZSTD_DICT = 3, /* ZSTD with a dictionary that the caller knows */
};

/*
 * Compress in with `want` into out (replacing it). Returns what was done:
 * COMPRESS_RAW, with nothing in out, when it would not save at least 1/8, when
 * in looks incompressible, or when memory is out: the caller then stores `in`.
 */
enum compression compress(enum compression want, struct slice in, struct buf *out);

/*
 * The same, appended to out. Of pieces of one whole: `last` is what the piece before gave
 * (COMPRESS_RAW for the first). After one that was worth it the next is tried without a
 * look at it. How closely LZ4 searches is learned from what the thread compressed before
 * (haste.h), so equal pieces may give bytes of somewhat different lengths.
 */
enum compression compress_piece(enum compression want, enum compression last,
                                struct slice in, struct buf *out);

/*
 * Undo it: exactly raw_len bytes into to. 0, -ENOMEM, or -EUCLEAN when in is not
 * that.
 * Not logged: the caller knows the place.
 */
int decompress(enum compression type, struct slice in, void *to, size_t raw_len);

/*
 * ZSTD with a dictionary: strings, and statistics of symbols, that many short inputs
 * have in common. Its bytes are ZSTD's own format (dict_train.h makes them). Both
 * halves copy them, and may be used by many threads at once.
 */
enum { DICT_MAX = 128 * 1024 }; /* bytes */

struct compress_dict;
struct decompress_dict;

/* NULL: no memory, or no dictionary. */
struct compress_dict *compress_dict_new(struct slice bytes);
void compress_dict_free(struct compress_dict *d); /* NULL is fine */
/* As compress; gives COMPRESS_ZSTD_DICT or COMPRESS_RAW. */
enum compression compress_with_dict(const struct compress_dict *d, struct slice in,
                                    struct buf *out);

/* Do the bytes say that they are a dictionary? Only such are taken. */
bool is_dict(struct slice bytes);
/* 0, -ENOMEM, or -EUCLEAN (not logged): no dictionary, or more than DICT_MAX. */
int decompress_dict_new(struct slice bytes, struct decompress_dict **out);
void decompress_dict_free(struct decompress_dict *d); /* NULL is fine */
size_t decompress_dict_memory(const struct decompress_dict *d);
/* Undo compress_with_dict; as decompress. */
int decompress_with_dict(const struct decompress_dict *d, struct slice in, void *to,
                         size_t raw_len);

#endif
