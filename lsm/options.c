/*
 * options.c - the defaults of lsm_options, and what may be given instead.
 *
 * Each option has a line in `ranges` or, when it is no number, a check of its own
 * below; what makes sense alone and not together is in `contradictions`.
 */
#include "options.h"

#include "memory.h"

#include <inttypes.h>
#include <stddef.h>

#include "filter_bits.h"
#include "format.h"
#include "table_builder.h"

void lsm_options_init(struct lsm_options *o)
{
    *o = (struct lsm_options){
        .memory_bytes = 256 << 20,
        .memtables = 3,
        .block_bytes = 4096,
        .table_bytes = 32 << 20,
        .l0_trigger = 4,
        .level_ratio = 10,
        .l1_bytes = 40 << 20,
        .filter_bits = 10,
        .separate_bytes = 4096,
        .segment_bytes = 64 << 20,
        .garbage_ratio = 0.5,
        .dictionary_bytes = 64 << 10,
        .vlog = LSM_LZ4,
        .strategy = LSM_LEVELED,
        .parts_max = 4,
        .workers = 2,
        .sync_interval_ms = 5000,
        .verify_bytes = 64 << 20,
    };
    for (unsigned level = 0; level < LSM_LEVELS; level++)
        o->compression[level] = level < LSM_LEVELS - 1 ? LSM_LZ4 : LSM_ZSTD;
}

/* ---- one by one ---- */

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define TIB (1ull << 40)

struct range {
    const char *name;
    size_t offset, size; /* of the field */
    uint64_t least, most;
    bool or_zero; /* 0 is allowed too: it turns something off */
};

/* clang-format off */

#define FIELD(f) .name = #f, .offset = offsetof(struct lsm_options, f), \
                 .size = sizeof(((struct lsm_options *)0)->f)

static const struct range ranges[] = {
    {FIELD(memory_bytes), .least = 128 * KIB, .most = 16 * TIB},
    {FIELD(memtable_bytes), .least = 4 * KIB, .most = TIB, .or_zero = true},
    {FIELD(memtables), .least = 2, .most = MEMTABLES_MAX},
    {FIELD(block_bytes), .least = 256, .most = 4 * MIB},
    {FIELD(table_bytes), .least = 4 * KIB, .most = TIB},
    {FIELD(strategy), .least = LSM_LEVELED, .most = LSM_HYBRID},
    {FIELD(l0_trigger), .least = 1, .most = 1000},
    {FIELD(level_ratio), .least = 2, .most = 1000},
    {FIELD(l1_bytes), .least = 4 * KIB, .most = 1024 * TIB},
    {FIELD(filter_bits), .least = 0, .most = FILTER_BITS_MAX},
    {FIELD(separate_bytes), .least = 64, .most = LSM_VALUE_MAX, .or_zero = true},
    {FIELD(segment_bytes), .least = 4 * KIB, .most = TIB},
    {FIELD(dictionary_bytes), .least = DICTIONARY_MIN, .most = DICT_MAX, .or_zero = true},
    {FIELD(background_bytes_per_s), .least = MIB, .most = UINT64_MAX, .or_zero = true},
    {FIELD(parts_max), .least = 1, .most = PARTS_MAX},
    {FIELD(workers), .least = 0, .most = WORKERS_MAX},
    {FIELD(sync_interval_ms), .least = 0, .most = 86400000}, /* a day */
};

/* clang-format on */

static int refuse_number(const struct range *r, uint64_t value)
{
    err_log("options: %s = %" PRIu64 " is not %s%" PRIu64 " to %" PRIu64, r->name, value,
            r->or_zero ? "0 or " : "", r->least, r->most);
    return -EINVAL;
}

static uint64_t number_of(const struct lsm_options *o, const struct range *r)
{
    const char *at = (const char *)o + r->offset;

    return r->size == sizeof(uint64_t) ? *(const uint64_t *)at : *(const uint32_t *)at;
}

static int check_ranges(const struct lsm_options *o)
{
    size_t i;

    for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        const struct range *r = &ranges[i];
        uint64_t value = number_of(o, r);

        if (r->or_zero && value == 0)
            continue;
        if (value < r->least || value > r->most)
            return refuse_number(r, value);
    }
    return 0;
}

static int check_garbage_ratio(const struct lsm_options *o)
{
    if (o->garbage_ratio >= 0 && o->garbage_ratio <= 100) /* and no NaN */
        return 0;
    err_log("options: garbage_ratio = %g is not 0 to 100", o->garbage_ratio);
    return -EINVAL;
}

static int refuse_compression(const char *name, enum lsm_compression c)
{
    err_log("options: %s = %u is not LSM_RAW (0), LSM_LZ4 (1) or LSM_ZSTD (2)", name,
            (unsigned)c);
    return -EINVAL;
}

static int check_compression(const struct lsm_options *o)
{
    char name[32];
    unsigned level;

    for (level = 0; level < LSM_LEVELS; level++) {
        snprintf(name, sizeof(name), "compression[%u]", level);
        if ((unsigned)o->compression[level] > LSM_ZSTD)
            return refuse_compression(name, o->compression[level]);
    }
    return (unsigned)o->vlog > LSM_ZSTD ? refuse_compression("vlog", o->vlog) : 0;
}

static int check_format(const struct lsm_options *o)
{
    if (format_name_good(o->format))
        return 0;
    err_log("options: format = \"%.100s\" is not up to %d printable characters without "
            "spaces",
            o->format, FORMAT_NAME_MAX);
    return -EINVAL;
}

/* ---- together ---- */

static int check_memory(const struct lsm_options *o)
{
    if (memory_suffices(o->memory_bytes, o->memtables, o->memtable_bytes))
        return 0;
    err_log("options: %u memtables of memtable_bytes = %zu leave less than an eighth of "
            "memory_bytes = %zu",
            o->memtables, o->memtable_bytes, o->memory_bytes);
    return -EINVAL;
}

static int check_contradictions(const struct lsm_options *o)
{
    const char *wrong = NULL;

    if (o->read_only && o->create)
        wrong = "read_only and create: making a store writes to it";
    else if (o->must_be_new && !o->create)
        wrong = "must_be_new without create: a store that is not made is not new";
    if (!wrong)
        return 0;
    err_log("options: %s", wrong);
    return -EINVAL;
}

int lsm_options_check(const struct lsm_options *o)
{
    int rc = check_ranges(o);

    if (!rc)
        rc = check_garbage_ratio(o);
    if (!rc)
        rc = check_compression(o);
    if (!rc)
        rc = check_format(o);
    if (!rc)
        rc = check_memory(o);
    return rc ? rc : check_contradictions(o);
}

size_t options_memtable_bytes(const struct lsm_options *o)
{
    return o->memtable_bytes ? o->memtable_bytes
                             : memory_memtable_bytes(o->memory_bytes, o->memtables);
}

size_t options_dictionary_bytes(const struct lsm_options *o)
{
    size_t most = o->memory_bytes / 64 / TABLE_HELD_DICTS;

    if (most < DICTIONARY_MIN)
        most = DICTIONARY_MIN;
    return o->dictionary_bytes < most ? o->dictionary_bytes : most;
}
