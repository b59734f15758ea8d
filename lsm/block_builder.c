/*
 * block_builder.c - see block_builder.h. Bytes: FORMAT.md, "Block".
 *
 * Only user keys share prefixes; trailers are always whole. So a reader finds
 * the trailer without assembling the key, and a key's versions cost no more.
 */
#include "block_builder.h"

void block_builder_init(struct block_builder *bb, unsigned restart_interval)
{
    memset(bb, 0, sizeof(*bb));
    bb->restart_interval = restart_interval;
}

void block_builder_release(struct block_builder *bb)
{
    buf_release(&bb->data);
    buf_release(&bb->last_key);
    buf_release(&bb->restarts);
}

void block_builder_reset(struct block_builder *bb)
{
    buf_clear(&bb->data);
    buf_clear(&bb->last_key);
    buf_clear(&bb->restarts);
    bb->since_restart = 0;
    bb->restart_at = 0;
    bb->count = 0;
}

static size_t common_prefix(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    size_t i = 0;

    while (i < n && a.data[i] == b.data[i])
        i++;
    return i;
}

/*
 * Is it time? What a lookup pays for is bytes walked over, so long entries get
 * more points. All versions of a user key stay on one side of a point, so that a
 * search need only compare user keys.
 */
static bool restart_due(const struct block_builder *bb, struct slice user)
{
    if (bb->count == 0)
        return true;
    if (bb->since_restart < bb->restart_interval &&
        bb->data.len - bb->restart_at < BLOCK_RESTART_BYTES)
        return false;
    return !slice_eq(ikey_user(buf_slice(&bb->last_key)), user);
}

/* The room for all of it is asked for once: this runs for every entry written. */
static void append_entry(struct buf *to, size_t shared, struct slice key,
                         struct slice value)
{
    size_t rest = key.len - shared;
    uint8_t *p = buf_reserve(to, 3 * VARINT_MAX + rest + value.len);

    if (!p)
        return;
    p += store_varint(p, shared);
    p += store_varint(p, rest);
    p += store_varint(p, value.len);
    memcpy(p, key.data + shared, rest);
    p += rest;
    if (value.len)
        memcpy(p, value.data, value.len);
    to->len = (size_t)(p + value.len - to->data);
}

void block_builder_add(struct block_builder *bb, struct slice key, struct slice value)
{
    struct slice user = ikey_user(key);
    size_t shared = 0;

    if (bb->last_key.failed)
        return; /* finish tells */
    if (restart_due(bb, user)) {
        put_le32(&bb->restarts, (uint32_t)bb->data.len);
        bb->restart_at = bb->data.len;
        bb->since_restart = 0;
    } else {
        shared = common_prefix(ikey_user(buf_slice(&bb->last_key)), user);
    }
    append_entry(&bb->data, shared, key, value);
    buf_assign(&bb->last_key, key);
    bb->since_restart++;
    bb->count++;
}

size_t block_builder_size(const struct block_builder *bb)
{
    return bb->data.len + bb->restarts.len + 4;
}

int block_builder_finish(struct block_builder *bb, struct slice *out)
{
    if (bb->last_key.failed || bb->restarts.failed)
        return -ENOMEM;
    buf_append_slice(&bb->data, buf_slice(&bb->restarts));
    put_le32(&bb->data, (uint32_t)(bb->restarts.len / 4));
    *out = buf_slice(&bb->data);
    return buf_error(&bb->data);
}
