/*
 * extent.h - the contents of a file: extents of at most FS_EXTENT_MAX bytes,
 * each under the key of its end, holes being absent.
 *
 * All of these need the inode's lock: shared to read, else exclusively. Those
 * that change something fill t and account for it in *rec (bytes, extents,
 * flags, run), which the caller puts in the same batch.
 */
#ifndef FS_EXTENT_H
#define FS_EXTENT_H

#include "txn.h"

/* One extent after the other. */
struct extent_scan {
    struct lsm_iter *it;
    uint64_t ino;
    uint64_t to;    /* extents that start here or later are not wanted */
    uint64_t size;  /* of the file: none ends beyond it */
    uint64_t floor; /* end of the one before: none starts before it */
    uint64_t start; /* of the current one */
    uint64_t end;
    bool valid;
};

/* The extents of ino that hold bytes of [from, to), ascending. -EUCLEAN when two overlap
 * or one is longer than it may be. Release in any case. */
int extent_scan_open(struct fs *fs, struct extent_scan *s, uint64_t ino, uint64_t size,
                     uint64_t from, uint64_t to);
int extent_scan_next(struct extent_scan *s);
void extent_scan_release(struct extent_scan *s);

/* Read exactly len bytes at off, which end within the file; holes as zeros. */
int extent_read(struct fs *fs, uint64_t ino, const struct record *rec, uint64_t off,
                size_t len, uint8_t *to);

/*
 * Write data, not empty, at off, and grow the file to its end if that is
 * beyond. data is borrowed until the batch is written; so is *merged, a buf
 * that the caller releases after that.
 */
int extent_write(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                 uint64_t off, struct slice data, struct buf *merged);

/* Make [from, to) a hole, as far as the file goes. */
int extent_punch(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                 uint64_t from, uint64_t to);

/* The first byte at or after off in a block (FS_BLOCK) with bytes of an extent, or in one
 * without; the size when there is none before it. off is less than the size. */
int extent_find_data(struct fs *fs, uint64_t ino, const struct record *rec, uint64_t off,
                     uint64_t *found);
int extent_find_hole(struct fs *fs, uint64_t ino, const struct record *rec, uint64_t off,
                     uint64_t *found);
/* How many bytes of [from, to) are in extents? */
int extent_bytes(struct fs *fs, uint64_t ino, const struct record *rec, uint64_t from,
                 uint64_t to, uint64_t *bytes);

/* ---- unwritten.c: ranges without extents that count in st_blocks ---- */

/* Take [from, to) out of the unwritten ranges. The calls that write, punch and truncate
 * do it themselves. */
int unwritten_cut(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                  uint64_t from, uint64_t to);
/* Make the holes in [from, to) unwritten ranges. */
int unwritten_fill(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                   uint64_t from, uint64_t to);
/* Make all of [from, to) an unwritten range, whatever there was. */
int unwritten_replace(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                      uint64_t from, uint64_t to);

/* ---- extent_move.c: without reading what moves ---- */

struct extent_place {
    uint64_t ino;
    uint64_t off;
};

/*
 * Make *len bytes at `to` share the extents at `from`, which end within src; the ranges
 * do not overlap. Both inodes are locked. *len becomes less when more extents
 * are in it than a batch should have; it is never 0 then.
 */
int extent_copy(struct fs *fs, struct txn *t, struct extent_place from,
                const struct record *src, struct extent_place to, struct record *dst,
                uint64_t *len);
/* What is at `from` and after goes to `to`, except unwritten ranges, which go: bytes
 * between vanish when that is lower (collapse), a hole opens when it is higher (insert).
 * Both are within the file. */
int extent_shift(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                 uint64_t from, uint64_t to);

/* Make the file size bytes long. */
int extent_truncate(struct fs *fs, struct txn *t, uint64_t ino, struct record *rec,
                    uint64_t size);

/* Delete everything under E (and, if it has any, U) of an inode that is going away, or
 * of a file that becomes empty. Leaves rec alone. */
int extent_remove_all(struct fs *fs, struct txn *t, uint64_t ino,
                      const struct record *rec);

#endif
