/*
 * kv_data.c - keys, values and random order out of a record's number.
 *
 * Values are pieces of one pool of half-compressible bytes. It is larger than
 * LZ4's window and Snappy's, so that what lies beside each other in a block does
 * not repeat, and small enough to stay in the processor's cache: making a value
 * costs nothing.
 */
#include "bench.h"
#include "kv_data.h"

enum {
    PIECES = 10000,
    POOL = PIECES * BENCH_PIECE,
    CHECKED = 128, /* bytes at either end of a large value */
};

static struct {
    uint8_t *pool;
    size_t value_bytes;
} data;

void kv_data_init(const struct kv_config *c)
{
    uint64_t random = 20;
    size_t longest = c->value_bytes ? c->value_bytes : KV_BIG_MAX;

    data.value_bytes = c->value_bytes;
    data.pool = malloc(POOL + longest);
    if (!data.pool)
        bench_die(-ENOMEM, "values");
    bench_fill(data.pool, POOL + longest, &random);
}

void kv_data_release(void)
{
    free(data.pool);
    data.pool = NULL;
}

/* splitmix64's finisher. */
static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
    x = (x ^ x >> 27) * 0x94D049BB133111EB;
    return x ^ x >> 31;
}

static struct slice key_of_number(uint64_t n, uint8_t key[KV_KEY])
{
    n = __builtin_bswap64(n);
    memcpy(key, &n, 8);
    memset(key + 8, '0', KV_KEY - 8);
    return slice_of(key, KV_KEY);
}

struct slice kv_key(uint64_t record, uint8_t key[KV_KEY])
{
    return key_of_number(2 * record, key);
}

struct slice kv_absent_key(uint64_t record, uint8_t key[KV_KEY])
{
    return key_of_number(2 * record + 1, key);
}

size_t kv_value_len(uint64_t record)
{
    uint64_t chance, octave;

    if (data.value_bytes)
        return data.value_bytes;
    chance = mix(~record);
    octave = (size_t)KV_BIG_MIN << chance % 3;
    return octave + (chance >> 8) % octave;
}

struct slice kv_value(uint64_t record, uint64_t version)
{
    uint64_t piece = mix(record + (version << 40)) % PIECES;

    return slice_of(data.pool + piece * BENCH_PIECE, kv_value_len(record));
}

bool kv_value_is(struct slice value, uint64_t record, uint64_t version)
{
    struct slice v = kv_value(record, version);

    if (value.len != v.len)
        return false;
    if (v.len <= 2 * CHECKED)
        return memcmp(value.data, v.data, v.len) == 0;
    return memcmp(value.data, v.data, CHECKED) == 0 &&
           memcmp(value.data + v.len - CHECKED, v.data + v.len - CHECKED, CHECKED) == 0;
}

uint64_t kv_live_bytes(uint64_t num)
{
    uint64_t sum = num * KV_KEY;

    if (data.value_bytes)
        return sum + num * data.value_bytes;
    for (uint64_t i = 0; i < num; i++)
        sum += kv_value_len(i);
    return sum;
}

/*
 * Four rounds of a Feistel network over the least even number of bits that holds
 * num, again and again until the result is below num.
 */
uint64_t kv_shuffled(uint64_t i, uint64_t num)
{
    unsigned half = 1;

    while (half < 32 && (uint64_t)1 << 2 * half < num)
        half++;
    do {
        uint64_t mask = ((uint64_t)1 << half) - 1, left = i >> half, right = i & mask;

        for (uint64_t round = 0; round < 4; round++) {
            uint64_t next = left ^ (mix(right + (round << 40)) & mask);

            left = right;
            right = next;
        }
        i = left << half | right;
    } while (i >= num);
    return i;
}
