/*
 * fuzz_block.c - any bytes as a block: no walk may be endless or leave its
 * bounds, and what block_verify has passed must agree with itself.
 *
 *   clang -fsanitize=fuzzer,address,undefined -I. tests/fuzz_block.c lsm/... -lxxhash
 *
 * test_block.c runs it on mutations of sound blocks.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lsm/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                            \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                     \
        }                                                                                \
    } while (0)

/* Reads every byte that an entry hands out. */
static unsigned touch(struct slice s)
{
    unsigned sum = 0;
    size_t i;

    for (i = 0; i < s.len; i++)
        sum += s.data[i];
    return sum;
}

static size_t walk(struct block_iter *bi, size_t limit, void (*step)(struct block_iter *))
{
    volatile unsigned sum = 0;
    size_t n = 0;

    for (; bi->it.valid; step(bi)) {
        FUZZ_CHECK(bi->it.key.len >= IKEY_TRAILER);
        sum += touch(bi->it.key) + touch(bi->it.value);
        FUZZ_CHECK(++n <= limit);
    }
    FUZZ_CHECK(bi->it.err == 0 || bi->it.err == -EUCLEAN);
    return n;
}

static void seek_around(const struct block *b, struct slice ikey, bool sound)
{
    struct block_iter bi;
    uint64_t trailer;
    struct slice value;
    int rc, c;

    rc = block_get(b, ikey, &trailer, &value);
    FUZZ_CHECK(rc == 0 || rc == -ENOENT || rc == -EUCLEAN);
    if (rc == 0)
        (void)touch(value);
    block_iter_init(&bi, b);
    block_iter_seek(&bi, ikey);
    if (sound) {
        c = bi.it.valid ? slice_cmp(ikey_user(bi.it.key), ikey_user(ikey)) : 1;
        FUZZ_CHECK(!bi.it.valid || ikey_cmp(bi.it.key, ikey) >= 0);
        FUZZ_CHECK((rc == 0) == (bi.it.valid && c == 0));
        FUZZ_CHECK(
            rc || (trailer == ikey_trailer(bi.it.key) && value.data == bi.it.value.data));
    }
    if (bi.it.valid)
        block_iter_prev(&bi);
    if (!bi.it.err)
        block_iter_seek_prev(&bi, ikey);
    FUZZ_CHECK(!sound || !bi.it.valid || ikey_cmp(bi.it.key, ikey) <= 0);
    if (bi.it.valid)
        block_iter_next(&bi);
    FUZZ_CHECK(!sound || !bi.it.valid || ikey_cmp(bi.it.key, ikey) > 0);
    block_iter_release(&bi);
}

struct visit {
    const struct block *b;
    bool sound;
    unsigned left;
};

static int seek_entry(void *arg, struct slice ikey, struct slice value)
{
    struct visit *v = arg;

    (void)value;
    if (v->left == 0)
        return 0;
    v->left--;
    seek_around(v->b, ikey, v->sound);
    return 0;
}

static void walk_both_ways(const struct block *b, size_t limit, bool sound)
{
    size_t forward, backward;
    struct block_iter bi;

    block_iter_init(&bi, b);
    block_iter_first(&bi);
    forward = walk(&bi, limit, block_iter_next);
    block_iter_release(&bi);
    block_iter_init(&bi, b);
    block_iter_last(&bi);
    backward = walk(&bi, limit, block_iter_prev);
    FUZZ_CHECK(!sound || (bi.it.err == 0 && forward == backward));
    block_iter_release(&bi);
}

static void look_around(const struct block *b, bool sound)
{
    struct visit v = {.b = b, .sound = sound, .left = 40};
    size_t size = b->data.len;

    walk_both_ways(b, size / IKEY_TRAILER + 1, sound);
    if (size >= IKEY_TRAILER)
        seek_around(b, slice_of(b->data.data, size < 24 ? size : 24), sound);
    (void)block_verify(b, seek_entry, &v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + !size); /* so that a sanitizer sees its end */
    void *memory;
    struct block b;
    bool sound;

    memcpy(copy, data, size);
    if (block_init(&b, slice_of(copy, size)) == 0) {
        sound = block_verify(&b, NULL, NULL) == 0;
        look_around(&b, sound);
        memory = malloc(block_prepare_bytes(&b) + 1);
        if (block_prepare(&b, memory) == 0)
            look_around(&b, sound);
        else
            FUZZ_CHECK(!sound);
        free(memory);
    }
    free(copy);
    return 0;
}
