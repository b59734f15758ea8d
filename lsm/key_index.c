/*
 * key_index.c - see key_index.h. Open addressing: a key stands in the first slot from its
 * place on that was free. Nothing is ever removed, so a free slot ends the search.
 */
#include "key_index.h"

#include <errno.h>

#include "skiplist_impl.h"

enum {
    SLOTS_MIN = 16,
    NEAR = 64,    /* slots to look at */
    HASH_AT = 48, /* in a slot; below it is the address */
};

int key_index_init(struct key_index *x, uint64_t keys, struct spare *spare)
{
    uint64_t slots = SLOTS_MIN;

    while (slots < keys)
        slots *= 2;
    x->mask = slots - 1;
    atomic_init(&x->full, false);
    x->spare = spare;
    x->slot = spare_alloc(spare, key_index_bytes(x));
    if (!x->slot)
        return -ENOMEM;
    memset((void *)x->slot, 0, key_index_bytes(x));
    return 0;
}

void key_index_release(struct key_index *x)
{
    spare_free(x->spare, (void *)x->slot, key_index_bytes(x));
}

size_t key_index_bytes(const struct key_index *x)
{
    return (x->mask + 1) * sizeof(*x->slot);
}

static uint64_t tag_of(uint64_t hash)
{
    return hash >> HASH_AT << HASH_AT;
}

static bool is_of(uint64_t slot, uint64_t tag, struct slice user)
{
    const struct skip_node *n = (void *)(uintptr_t)(slot ^ tag);

    return tag_of(slot) == tag && key_eq(node_user(n), user);
}

const struct skip_node *key_index_add(struct key_index *x, uint64_t hash,
                                      const struct skip_node *node)
{
    struct slice user = node_user(node);
    uint64_t tag = tag_of(hash), want = (uint64_t)(uintptr_t)node | tag, i;

    for (i = 0; i < NEAR; i++) {
        _Atomic uint64_t *slot = &x->slot[(hash + i) & x->mask];
        uint64_t is = atomic_load_explicit(slot, memory_order_acquire);

        if (!is && atomic_compare_exchange_strong_explicit(
                       slot, &is, want, memory_order_release, memory_order_acquire))
            return node;
        if (is_of(is, tag, user))
            return (void *)(uintptr_t)(is ^ tag);
    }
    atomic_store_explicit(&x->full, true, memory_order_relaxed);
    return NULL;
}

const struct skip_node *key_index_fetch_node(const struct key_index *x, uint64_t hash)
{
    uint64_t tag = tag_of(hash), i, is;

    for (i = 0; i < NEAR; i++) {
        is = atomic_load_explicit(&x->slot[(hash + i) & x->mask], memory_order_acquire);
        if (!is)
            return NULL;
        if (tag_of(is) == tag) {
            const struct skip_node *n = (const void *)(uintptr_t)(is ^ tag);

            __builtin_prefetch(n);
            return n;
        }
    }
    return NULL;
}

const struct skip_node *key_index_find(const struct key_index *x, uint64_t hash,
                                       struct slice user)
{
    uint64_t tag = tag_of(hash), i;

    for (i = 0; i < NEAR; i++) {
        uint64_t is =
            atomic_load_explicit(&x->slot[(hash + i) & x->mask], memory_order_acquire);

        if (!is)
            return NULL;
        if (is_of(is, tag, user))
            return (void *)(uintptr_t)(is ^ tag);
    }
    return NULL;
}
