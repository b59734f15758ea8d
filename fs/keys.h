/*
 * keys.h - the names under which the filesystem keeps things in the store.
 *
 * A key is one letter and big-endian integers, so that memcmp order is the
 * order of letter, then number. Bytes: FORMAT.md, "Keys". The letters are on
 * disk: never renumber.
 */
#ifndef FS_KEYS_H
#define FS_KEYS_H

#include "../lsm/lsm.h"
#include "../lsm/lsm.h"

enum key_letter {
    KEY_DENTRY = 'D',    /* parent, seq */
    KEY_EXTENT = 'E',    /* ino, end offset */
    KEY_INODE = 'I',     /* ino */
    KEY_NAMES = 'N',     /* parent, hash of name */
    KEY_ORPHAN = 'O',    /* ino */
    KEY_QUOTA = 'Q',     /* ino of the directory */
    KEY_SUPER = 'S',     /* a word */
    KEY_UNWRITTEN = 'U', /* ino, end offset */
    KEY_XATTR = 'X',     /* ino, name of the attribute */
};

/* Storage for one key; the slices below point into it. */
struct key {
    uint8_t bytes[1 + 8 + 8];
};

struct slice key_one(struct key *k, enum key_letter letter, uint64_t a);
struct slice key_two(struct key *k, enum key_letter letter, uint64_t a, uint64_t b);

static inline struct slice key_dentry(struct key *k, uint64_t parent, uint64_t seq)
{
    return key_two(k, KEY_DENTRY, parent, seq);
}

static inline struct slice key_names(struct key *k, uint64_t parent, uint64_t hash)
{
    return key_two(k, KEY_NAMES, parent, hash);
}

static inline struct slice key_inode(struct key *k, uint64_t ino)
{
    return key_one(k, KEY_INODE, ino);
}

/* The extent of ino whose last byte is at end - 1. */
static inline struct slice key_extent(struct key *k, uint64_t ino, uint64_t end)
{
    return key_two(k, KEY_EXTENT, ino, end);
}

/* The unwritten range of ino whose last byte is at end - 1. */
static inline struct slice key_unwritten(struct key *k, uint64_t ino, uint64_t end)
{
    return key_two(k, KEY_UNWRITTEN, ino, end);
}

static inline struct slice key_orphan(struct key *k, uint64_t ino)
{
    return key_one(k, KEY_ORPHAN, ino);
}

static inline struct slice key_quota(struct key *k, uint64_t ino)
{
    return key_one(k, KEY_QUOTA, ino);
}

/* The extended attribute of that name, at most FS_XATTR_NAME_MAX bytes. */
enum { XATTR_KEY_PREFIX = 1 + 8 };
struct xattr_key {
    uint8_t bytes[XATTR_KEY_PREFIX + 255];
};
struct slice key_xattr(struct xattr_key *k, uint64_t ino, struct slice name);

struct slice key_super(void);
struct slice key_next(void);
struct slice key_count(void);
struct slice key_used(void);
struct slice key_quotas(void);

/* False unless key is the letter and exactly so many integers. */
bool key_parse_one(struct slice key, enum key_letter letter, uint64_t *a);
bool key_parse_two(struct slice key, enum key_letter letter, uint64_t *a, uint64_t *b);
/* *name borrows from key; it has 1 to FS_XATTR_NAME_MAX bytes, none of them NUL. */
bool key_parse_xattr(struct slice key, uint64_t *ino, struct slice *name);

/* The hash a name is indexed by. seed is the store's: nobody outside can choose
 * names that collide. */
uint64_t name_hash(uint64_t seed, struct slice name);

/* All ones. The tests clear bits to make names collide; nothing else may. */
extern uint64_t name_hash_mask;

#endif
