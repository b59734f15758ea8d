/*
 * keys.c - see keys.h.
 */
#include "keys.h"

#include "fs.h"

#include <xxhash.h>

uint64_t name_hash_mask = UINT64_MAX;

struct slice key_one(struct key *k, enum key_letter letter, uint64_t a)
{
    k->bytes[0] = (uint8_t)letter;
    store_be64(k->bytes + 1, a);
    return slice_of(k->bytes, 9);
}

struct slice key_two(struct key *k, enum key_letter letter, uint64_t a, uint64_t b)
{
    k->bytes[0] = (uint8_t)letter;
    store_be64(k->bytes + 1, a);
    store_be64(k->bytes + 9, b);
    return slice_of(k->bytes, 17);
}

struct slice key_xattr(struct xattr_key *k, uint64_t ino, struct slice name)
{
    k->bytes[0] = KEY_XATTR;
    store_be64(k->bytes + 1, ino);
    memcpy(k->bytes + 9, name.data, name.len);
    return slice_of(k->bytes, 9 + name.len);
}

struct slice key_super(void)
{
    return slice_of("Ssuper", 6);
}

struct slice key_next(void)
{
    return slice_of("Snext", 5);
}

struct slice key_count(void)
{
    return slice_of("Scount", 6);
}

struct slice key_used(void)
{
    return slice_of("Sused", 5);
}

struct slice key_quotas(void)
{
    return slice_of("Squotas", 7);
}

bool key_parse_one(struct slice key, enum key_letter letter, uint64_t *a)
{
    uint8_t first;

    return get_u8(&key, &first) && first == (uint8_t)letter && get_be64(&key, a) &&
           key.len == 0;
}

bool key_parse_two(struct slice key, enum key_letter letter, uint64_t *a, uint64_t *b)
{
    uint8_t first;

    return get_u8(&key, &first) && first == (uint8_t)letter && get_be64(&key, a) &&
           get_be64(&key, b) && key.len == 0;
}

bool key_parse_xattr(struct slice key, uint64_t *ino, struct slice *name)
{
    uint8_t first;

    if (!get_u8(&key, &first) || first != KEY_XATTR || !get_be64(&key, ino) ||
        key.len == 0 || key.len > FS_XATTR_NAME_MAX || memchr(key.data, 0, key.len))
        return false;
    *name = key;
    return true;
}

uint64_t name_hash(uint64_t seed, struct slice name)
{
    return XXH3_64bits_withSeed(name.data, name.len, seed) & name_hash_mask;
}
