/*
 * options_draw.c - see options_draw.h.
 */
#include "tests/options_draw.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

enum { CHOICES = 8 };

struct field {
    const char *name;
    size_t offset, size;
    unsigned n, tiny; /* choices; of them, the first that are for DRAW_TINY (0: all) */
    uint64_t of[CHOICES];
};

#define FIELD(f)                                                                         \
    .name = #f, .offset = offsetof(struct lsm_options, f),                               \
    .size = sizeof(((struct lsm_options *)0)->f)
#define OF(...)                                                                          \
    .n = sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), .of = {__VA_ARGS__}
#define CODECS OF(LSM_RAW, LSM_LZ4, LSM_ZSTD)

/* A choice that stands twice is drawn twice as often. */
static const struct field fields[] = {
    {FIELD(memtable_bytes), OF(4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10),
     .tiny = 3},
    {FIELD(memtables), OF(2, 3, 4)},
    {FIELD(memory_bytes),
     OF(128 << 10, 128 << 10, 256 << 10, 1 << 20)}, /* and memtables */
    {FIELD(block_bytes), OF(256, 512, 1 << 10, 2 << 10, 4 << 10, 8 << 10), .tiny = 3},
    {FIELD(table_bytes), OF(4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10), .tiny = 2},
    {FIELD(strategy), OF(LSM_LEVELED, LSM_TIERED, LSM_HYBRID)},
    {FIELD(parts_max), OF(1, 2, 4, 8)},
    {FIELD(l0_trigger), OF(1, 2, 3, 4, 6), .tiny = 3},
    {FIELD(level_ratio), OF(2, 2, 3, 4, 10), .tiny = 3},
    {FIELD(l1_bytes), OF(8 << 10, 8 << 10, 16 << 10, 32 << 10, 128 << 10), .tiny = 2},
    {FIELD(filter_bits), OF(0, 0, 1, 3, 8, 10, 16, 20)},
    {FIELD(separate_bytes), OF(0, 64, 64, 500, 500, 4096, 4096)},
    {FIELD(segment_bytes), OF(4 << 10, 8 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20),
     .tiny = 3},
    {FIELD(compression[0]), CODECS},
    {FIELD(compression[1]), CODECS},
    {FIELD(compression[2]), CODECS},
    {FIELD(compression[3]), CODECS},
    {FIELD(compression[4]), CODECS},
    {FIELD(vlog), CODECS},
    {FIELD(dictionary_bytes), OF(0, 1 << 10, 1 << 10, 2 << 10, 4 << 10, 128 << 10)},
    {FIELD(workers), OF(0, 1, 2, 3)},
    {FIELD(background_bytes_per_s), OF(0, 0, 16 << 20, 128 << 20, UINT64_MAX)},
    {FIELD(sync_interval_ms), OF(0, 0, 5, 50)},
    {FIELD(verify_bytes), OF(0, UINT64_MAX)},
};

enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

static const double garbage_ratios[] = {0, 0, 0.05, 0.1, 0.25, 0.5, 1};

static uint64_t draw(uint64_t seed, const char *name, uint64_t n)
{
    uint64_t x = seed * 0x9E3779B97F4A7C15ull + 0x632BE59BD9B4E019ull;
    unsigned i;

    while (*name)
        x = (x ^ (uint8_t)*name++) * 0x100000001B3ull;
    x |= 1;
    for (i = 0; i < 4; i++)
        test_random(&x);
    return (test_random(&x) >> 20) % n;
}

static void set_field(struct lsm_options *o, const struct field *f, uint64_t value)
{
    char *at = (char *)o + f->offset;

    if (f->size == sizeof(uint64_t))
        *(uint64_t *)at = value;
    else
        *(uint32_t *)at = (uint32_t)value;
}

static uint64_t field_of(const struct lsm_options *o, const struct field *f)
{
    const char *at = (const char *)o + f->offset;

    return f->size == sizeof(uint64_t) ? *(const uint64_t *)at : *(const uint32_t *)at;
}

void options_draw(struct lsm_options *o, uint64_t seed, unsigned how)
{
    unsigned i;

    lsm_options_init(o);
    o->create = true;
    for (i = 0; i < FIELDS; i++) {
        const struct field *f = &fields[i];

        set_field(
            o, f,
            f->of[draw(seed, f->name, how & DRAW_TINY && f->tiny ? f->tiny : f->n)]);
    }
    o->memory_bytes += o->memtables * o->memtable_bytes;
    o->garbage_ratio = garbage_ratios[draw(seed, "garbage_ratio",
                                           sizeof(garbage_ratios) / sizeof(double))];
    if (how & DRAW_NO_THREADS) {
        o->workers = 0;
        o->sync_interval_ms = 0;
    }
    if (how & DRAW_THREADS && !o->workers)
        o->workers = 2;
}

const char *options_text(const struct lsm_options *o, char text[OPTIONS_TEXT])
{
    size_t at = 0;
    unsigned i;

    for (i = 0; i < FIELDS && at < OPTIONS_TEXT; i++)
        at += (size_t)snprintf(text + at, OPTIONS_TEXT - at, "%s=%llu ", fields[i].name,
                               (unsigned long long)field_of(o, &fields[i]));
    if (at < OPTIONS_TEXT)
        snprintf(text + at, OPTIONS_TEXT - at, "garbage_ratio=%g", o->garbage_ratio);
    return text;
}

uint64_t options_seed(uint64_t from, unsigned i)
{
    const char *given = getenv("OPTIONS");
    char *end;
    uint64_t n;
    unsigned k;

    for (k = 0; given && *given; k++) {
        n = strtoull(given, &end, 0);
        if (k == i)
            return n;
        given = *end == ',' ? end + 1 : NULL;
    }
    return draw(from, "options", UINT64_MAX) + i * 977;
}

bool options_all_drawn(size_t *offset)
{
    /* What the caller sets, one that is no number, and one of envs of another kind. */
    static const struct field others[] = {
        {FIELD(env)},       {FIELD(create)},     {FIELD(must_be_new)},
        {FIELD(read_only)}, {FIELD(format)},     {FIELD(garbage_ratio)},
        {FIELD(accept)},    {FIELD(accept_arg)}, {FIELD(ack_early)},
    };
    bool drawn[sizeof(struct lsm_options)] = {0};
    unsigned i;

    for (i = 0; i < FIELDS; i++)
        memset(drawn + fields[i].offset, true, fields[i].size);
    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        memset(drawn + others[i].offset, true, others[i].size);
    /* A gap of four bytes or more is a field, less is padding. */
    for (*offset = 0; *offset + 4 <= sizeof(drawn); *offset += 4)
        if (!drawn[*offset] && *offset % 8 == 0)
            return false;
    return true;
}
