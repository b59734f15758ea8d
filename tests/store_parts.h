/*
 * store_parts.h - the files of a store as parts (parts.h), and parts as files.
 *
 * Checksums, marks and footers are computed, so that what a fuzzer changes gets past
 * them. Sizes and metadata that tables, indexes and the manifest tell of each other are
 * made to agree where the table's flags say so.
 *
 *   C text          CURRENT; the hash is added         c bytes   CURRENT as it is
 *   M number        a manifest begins                  L number  a log begins
 *   f synced, bytes a frame of it
 *   T number, u8 version, u8 flags   a table begins; then, in this order:
 *   d u8 how, bytes a data block      D  a dictionary  F  filter    R  range deletes
 *                                     X  index         P  properties
 *   V number        a segment begins
 *   r u8 how, bytes a record with this value
 *   z bytes         at the end of the file that is being made, as they are
 *
 * Numbers are varints. `how` is the compression to be applied; with 0x80 the bytes are
 * compressed already, and le32, the raw length that is claimed, stands before them.
 */
#ifndef TEST_STORE_PARTS_H
#define TEST_STORE_PARTS_H

#include "tests/env_mem.h"
#include "tests/parts.h"

#define STORE_PART_KINDS "CcMLfTdDFRXPVrz"

enum {
    STORE_FIX_INDEX = 1,      /* the index tells the blocks' real sizes */
    STORE_FIX_PROPERTIES = 2, /* the properties tell the table's real size */
    STORE_FIX_SIZE = 4,       /* so does the manifest */
    STORE_FIX_META = 8,       /* and all else as the properties do */
    STORE_FIX_ALL = 15,
};

/* Make the files in directory dir, which is there and empty. Parts that are not of the
 * kinds above are skipped. */
void store_assemble(struct slice parts, struct env *env, const char *dir);
/* The parts of a store that is closed. */
void store_dissect(struct env *env, const char *dir, struct buf *parts);

#endif
