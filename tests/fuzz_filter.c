/*
 * fuzz_filter.c - any bytes as what a table keeps beside its blocks: a bloom filter, a
 * ZSTD dictionary and what it is to decompress, and all that is compressed.
 *
 * The first byte is how many bytes, in eighths of the rest, go to the first of two.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lsm/bloom.h"
#include "lsm/compress.h"
#include "lsm/dict_train.h"
#include "lsm/hash.h"
#include "tests/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RAW_MAX = 64 * 1024 };

static uint8_t raw[RAW_MAX];

static void filter(struct slice in)
{
    size_t bytes = in.len / BLOOM_LINE * BLOOM_LINE;
    uint8_t *aligned = bytes ? aligned_alloc(BLOOM_LINE, bytes) : NULL;
    unsigned probes;
    uint64_t i;

    if (!aligned)
        return;
    memcpy(aligned, in.data, bytes);
    for (probes = 1; probes <= 15; probes++)
        for (i = 0; i < 16; i++)
            (void)bloom_may_contain(aligned, bytes, probes, hash_bytes(&i, 8, 0));
    free(aligned);
}

static void unpack(struct slice in)
{
    static const size_t lens[] = {0, 1, 100, 4096, RAW_MAX};
    unsigned i;

    for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        (void)decompress(COMPRESS_RAW, in, raw, lens[i]);
        (void)decompress(COMPRESS_LZ4, in, raw, lens[i]);
        (void)decompress(COMPRESS_ZSTD, in, raw, lens[i]);
        if (decompress(COMPRESS_ZSTD_DICT, in, raw, lens[i]) == 0)
            abort();
    }
}

static void with_dict(struct slice dict, struct slice in)
{
    struct buf packed = {0};
    struct decompress_dict *d;
    struct compress_dict *c;

    if (decompress_dict_new(dict, &d))
        return;
    (void)decompress_with_dict(d, in, raw, in.len);
    (void)decompress_with_dict(d, in, raw, RAW_MAX);
    c = compress_dict_new(dict);
    if (c && in.len <= RAW_MAX &&
        compress_with_dict(c, in, &packed) == COMPRESS_ZSTD_DICT &&
        (decompress_with_dict(d, buf_slice(&packed), raw, in.len) ||
         memcmp(raw, in.data, in.len) != 0))
        abort();
    compress_dict_free(c);
    decompress_dict_free(d);
    buf_release(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    size_t first;

    if (!size)
        return 0;
    in = slice_of(data + 1, size - 1);
    first = in.len * (data[0] % 9) / 8;
    filter(in);
    unpack(in);
    with_dict(slice_of(in.data, first), slice_of(in.data + first, in.len - first));
    return 0;
}

/* A dictionary of samples, and one of them. */
void fuzz_seeds(fuzz_emit_fn *emit)
{
    enum { SAMPLES = 200, LEN = 60, DICT = 4096 };
    struct buf samples = {0}, dict = {0}, seed = {0};
    size_t len[SAMPLES];
    char text[LEN + 1];
    unsigned i;

    for (i = 0; i < SAMPLES; i++) {
        snprintf(text, sizeof(text), "%u: a record of the kind %u, with the name %08u", i,
                 i % 7, i * 7919);
        len[i] = strlen(text);
        buf_append(&samples, text, len[i]);
    }
    if (dict_train(buf_slice(&samples), len, SAMPLES, DICT, &dict) || !dict.len)
        abort();
    while (dict.len % 7 || len[0] > dict.len / 7) /* seven eighths are the dictionary */
        put_u8(&dict, 0);
    put_u8(&seed, 7);
    buf_append_slice(&seed, buf_slice(&dict));
    buf_append(&seed, samples.data, dict.len / 7);
    emit("dictionary", buf_slice(&seed));
    buf_release(&samples);
    buf_release(&dict);
    buf_release(&seed);
}
