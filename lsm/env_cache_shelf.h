/*
 * env_cache_shelf.h - the files of the local cache: slots of a block each, numbered
 * through all shelves. Bytes: FORMAT.md, "Local cache".
 *
 * What is read from them is worth no more than its checksum says: a slot may be anything,
 * torn, of another block, gone. One thread writes; any may read beside it.
 */
#ifndef LSM_ENV_CACHE_SHELF_H
#define LSM_ENV_CACHE_SHELF_H

#include <stdbool.h>

#include "slice.h"

/* On disk: never renumber. */
enum {
    CACHE_PAGE = 4096,
    CACHE_PAGES = 16, /* of a block */
    CACHE_BLOCK = CACHE_PAGES * CACHE_PAGE,
    STORED_PAGE = CACHE_PAGE + 8,
    SLOT_BYTES = CACHE_PAGES * STORED_PAGE,
    SHELF_HEADER = 4096,
    SHELF_ENTRY = 16,
    SHELF_SLOTS = 16384,
    SHELF_BASE = SHELF_HEADER + SHELF_SLOTS * SHELF_ENTRY, /* where slots begin */
    SHELF_VERSION = 1,
};
#define SHELF_BYTES (SHELF_BASE + (uint64_t)SHELF_SLOTS * SLOT_BYTES)

struct shelves {
    const char *path; /* for messages; borrowed */
    int dir;
    int lock;
    int *fd;      /* -1: not made yet; atomic */
    uint32_t max; /* slots */
    uint32_t n;   /* shelves */
};

/* How many slots fit into so many bytes. */
uint32_t shelf_slots(uint64_t bytes);

/* fn for each slot that says that it holds the block with that key; it may not. */
typedef void shelf_entry_fn(void *arg, uint32_t slot, uint64_t key);
/*
 * Open dir/name, made where it is missing, for max slots; what is there beyond them goes.
 * *used: slots that have been written. -EPERM, -EBUSY: env_cache.h.
 */
int shelves_open(struct shelves *s, const char *dir, const char *name, uint32_t max,
                 shelf_entry_fn *fn, void *arg, uint32_t *used);
void shelves_close(struct shelves *s);

/* n stored pages of the slot, the first one being number `page`. -ENODATA: fewer are
 * there. */
int shelf_read(struct shelves *s, uint32_t slot, unsigned page, unsigned n, uint8_t *to);
/* The first n pages, and that they are the block `key`'s. */
int shelf_write(struct shelves *s, uint32_t slot, uint64_t key, const uint8_t *stored,
                unsigned n);
/* It is to hold nothing when the shelf is opened again, unless it was written to since.
 */
void shelf_erase(struct shelves *s, uint32_t slot);
/* A hint: it will be read. */
void shelf_readahead(struct shelves *s, uint32_t slot);
/* Give back the room of all slots from n on. */
int shelves_cut(struct shelves *s, uint32_t n);
/* Has somebody removed the directory? */
bool shelves_gone(const struct shelves *s);
int shelves_space(const struct shelves *s, uint64_t *total, uint64_t *avail);

/* ---- bytes ---- */

/* A page, zeros behind len of them, with its check. */
void page_seal(uint8_t stored[STORED_PAGE], const uint8_t *data, size_t len,
               uint64_t seed);
bool page_sound(const uint8_t stored[STORED_PAGE], uint64_t seed);
void shelf_header(uint8_t to[SHELF_HEADER]);
void shelf_entry(uint8_t to[SHELF_ENTRY], uint32_t slot, uint64_t key);
/* 0: the slot (its number in the shelf) holds nothing that can be known. */
uint64_t shelf_entry_key(const uint8_t entry[SHELF_ENTRY], uint32_t slot);

#endif
