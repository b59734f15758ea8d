/*
 * kv-quick.c - first figures of the engine:  kv-quick DIR [RECORDS [PHASES]]
 *
 * One thread, default options (the log is written, not synced by us), keys of
 * 16 bytes, values of 100 that compress to half. Two new stores are made in
 * DIR, filled in order and at random; the latter, once its tables are written
 * and its levels at rest, is what the reading phases use. Keys are made as
 * db_bench makes them (a big-endian number, then '0's), so that the figures can
 * be laid beside those of others; but every record is written exactly once, and
 * what is looked for in vain lies between keys that exist.
 *
 * PHASES, a comma-separated list, leaves out what it does not name (for
 * profiling).
 */
#include "bench.h"
#include "lsm/lsm.h"

enum {
    KEY_BYTES = 16,
    VALUE_BYTES = BENCH_PIECE,
    VALUES = 10000, /* different ones */
    SCANS = 3,
    SEEK_NEXTS = 10,
    SEEKS_SHARE = 5, /* one seek for so many records */
};

struct run {
    const char *dir;
    const char *phases;
    uint32_t records;
    uint64_t random;
    uint32_t *order; /* the records, shuffled */
    uint8_t *values;
    struct lsm *db;
    struct bench_latency latency;
};

/* ---- records ---- */

static struct slice key_of_number(uint64_t n, uint8_t key[KEY_BYTES])
{
    n = __builtin_bswap64(n);
    memcpy(key, &n, 8);
    memset(key + 8, '0', KEY_BYTES - 8);
    return slice_of(key, KEY_BYTES);
}

/* Records have the even numbers. */
static struct slice present_key(uint32_t record, uint8_t key[KEY_BYTES])
{
    return key_of_number(2 * (uint64_t)record, key);
}

static struct slice absent_key(uint32_t record, uint8_t key[KEY_BYTES])
{
    return key_of_number(2 * (uint64_t)record + 1, key);
}

static struct slice value_of(const struct run *r, uint32_t record)
{
    return slice_of(r->values + (size_t)(record % VALUES) * VALUE_BYTES, VALUE_BYTES);
}

static void make_records(struct run *r)
{
    r->order = malloc(r->records * sizeof(*r->order));
    r->values = malloc(VALUES * VALUE_BYTES);
    if (!r->order || !r->values)
        bench_die(-ENOMEM, "records");
    bench_fill(r->values, VALUES * VALUE_BYTES, &r->random);
    for (uint32_t i = 0; i < r->records; i++) {
        uint32_t j = bench_random_below(&r->random, i + 1);

        r->order[i] = r->order[j];
        r->order[j] = i;
    }
}

static uint32_t random_record(struct run *r)
{
    return bench_random_below(&r->random, r->records);
}

/* ---- stores ---- */

static void open_new(struct run *r, const char *name)
{
    struct lsm_options o;
    char path[4096];
    int rc;

    lsm_options_init(&o);
    o.create = o.must_be_new = true;
    snprintf(path, sizeof(path), "%s/%s", r->dir, name);
    rc = lsm_open(path, &o, &r->db);
    if (rc)
        bench_die(rc, "open %s", path);
}

static void close_store(struct run *r)
{
    int rc = lsm_close(r->db);

    if (rc)
        bench_die(rc, "close");
    r->db = NULL;
}

/* ---- phases: each does its work and returns how many operations that was ----
 */

static void put(struct run *r, uint32_t record)
{
    uint8_t key[KEY_BYTES];
    int rc = lsm_put(r->db, present_key(record, key), value_of(r, record));

    if (rc)
        bench_die(rc, "put");
}

static uint64_t fillseq(struct run *r)
{
    uint64_t now, last = bench_now_ns();

    for (uint32_t i = 0; i < r->records; i++, last = now) {
        put(r, i);
        now = bench_now_ns();
        bench_latency_add(&r->latency, now - last);
    }
    return r->records;
}

static uint64_t fillrandom(struct run *r)
{
    uint64_t now, last = bench_now_ns();

    for (uint32_t i = 0; i < r->records; i++, last = now) {
        put(r, r->order[i]);
        now = bench_now_ns();
        bench_latency_add(&r->latency, now - last);
    }
    return r->records;
}

static uint64_t readrandom(struct run *r)
{
    struct lsm_value v = {0};
    uint8_t key[KEY_BYTES];
    uint64_t now, last = bench_now_ns();

    for (uint32_t i = 0; i < r->records; i++, last = now) {
        uint32_t record = random_record(r);
        int rc = lsm_get(r->db, NULL, present_key(record, key), &v);

        if (rc || !slice_eq(v.value, value_of(r, record)))
            bench_die(rc, "readrandom: record %u%s", record, rc ? "" : " is wrong");
        now = bench_now_ns();
        bench_latency_add(&r->latency, now - last);
    }
    lsm_value_release(&v);
    return r->records;
}

/* Quick: the clock would be a fifth of it. */
static uint64_t readmissing(struct run *r)
{
    struct lsm_value v = {0};
    uint8_t key[KEY_BYTES];

    for (uint32_t i = 0; i < r->records; i++) {
        int rc = lsm_get(r->db, NULL, absent_key(random_record(r), key), &v);

        if (rc != -ENOENT)
            bench_die(rc, "readmissing: found what is not there");
    }
    lsm_value_release(&v);
    return r->records;
}

static struct lsm_iter *new_iter(struct run *r)
{
    struct lsm_iter *it;
    int rc = lsm_iter_new(r->db, &(struct lsm_iter_options){0}, &it);

    if (rc)
        bench_die(rc, "iterator");
    return it;
}

static void check_entry(struct lsm_iter *it)
{
    struct slice value;
    int rc = lsm_iter_value(it, &value);

    if (rc || value.len != VALUE_BYTES || lsm_iter_key(it).len != KEY_BYTES)
        bench_die(rc, "an entry is wrong");
}

static uint64_t scan(struct run *r, void (*start)(struct lsm_iter *),
                     void (*step)(struct lsm_iter *))
{
    uint64_t entries = 0;

    for (int i = 0; i < SCANS; i++) {
        struct lsm_iter *it = new_iter(r);

        for (start(it); lsm_iter_valid(it); step(it), entries++)
            check_entry(it);
        if (lsm_iter_error(it))
            bench_die(lsm_iter_error(it), "scan");
        lsm_iter_free(it);
    }
    if (entries != (uint64_t)SCANS * r->records)
        bench_die(0, "scan: %" PRIu64 " entries", entries);
    return entries;
}

static uint64_t scan_forward(struct run *r)
{
    return scan(r, lsm_iter_first, lsm_iter_next);
}

static uint64_t scan_reverse(struct run *r)
{
    return scan(r, lsm_iter_last, lsm_iter_prev);
}

/* A new iterator for each seek, as one readdir or one range query makes. */
static uint64_t seek10(struct run *r)
{
    uint32_t seeks = r->records / SEEKS_SHARE;
    uint8_t key[KEY_BYTES];
    uint64_t now, last = bench_now_ns();

    for (uint32_t i = 0; i < seeks; i++, last = now) {
        struct lsm_iter *it = new_iter(r);

        lsm_iter_seek(it, present_key(random_record(r), key));
        if (!lsm_iter_valid(it))
            bench_die(lsm_iter_error(it), "seek10: nothing there");
        for (int n = 0; n < SEEK_NEXTS && lsm_iter_valid(it); n++, lsm_iter_next(it))
            check_entry(it);
        lsm_iter_free(it);
        now = bench_now_ns();
        bench_latency_add(&r->latency, now - last);
    }
    return seeks;
}

/* ---- all of it ---- */

static bool wanted(const struct run *r, const char *phase)
{
    size_t len = strlen(phase);

    for (const char *p = r->phases; p; p = strchr(p, ','), p += p != NULL) {
        if (strncmp(p, phase, len) == 0 && (p[len] == ',' || p[len] == 0))
            return true;
    }
    return !r->phases;
}

static void phase(struct run *r, const char *name, uint64_t (*work)(struct run *))
{
    char full[64];
    uint64_t start, ns, count;

    if (!wanted(r, name))
        return;
    snprintf(full, sizeof(full), "engine.%s", name);
    bench_progress(full);
    memset(&r->latency, 0, sizeof(r->latency));
    start = bench_now_ns();
    count = work(r);
    ns = bench_now_ns() - start;
    bench_result(full, bench_per_second((double)count, ns), "1/s");
    if (r->latency.count)
        bench_result_latency(full, &r->latency);
}

/* All in tables, and no level over its target: what filling left to be done. */
static void settle(struct run *r)
{
    uint64_t start = bench_now_ns();
    int rc = lsm_flush(r->db);

    if (rc == 0)
        rc = lsm_compact(r->db, false);
    if (rc)
        bench_die(rc, "settle");
    bench_result("engine.settle", (double)(bench_now_ns() - start) / 1e9, "s");
}

static void space(struct run *r)
{
    struct lsm_stats s;

    lsm_get_stats(r->db, &s);
    bench_result("engine.disk", (double)s.disk_bytes / 1e6, "MB");
    bench_result("engine.written", (double)s.written_bytes / 1e6, "MB");
}

int main(int argc, char **argv)
{
    struct run r = {.random = 20, .records = 1000000};

    if (argc < 2 || argc > 4)
        bench_die(0, "usage: kv-quick DIR [RECORDS [PHASES]]");
    r.dir = argv[1];
    if (argc > 2)
        r.records = (uint32_t)strtoul(argv[2], NULL, 10);
    if (argc > 3)
        r.phases = argv[3];
    if (!r.records)
        bench_die(0, "kv-quick: RECORDS is a number");
    make_records(&r);

    open_new(&r, "seq");
    phase(&r, "fillseq", fillseq);
    close_store(&r);

    open_new(&r, "random");
    phase(&r, "fillrandom", fillrandom);
    settle(&r);
    space(&r);
    phase(&r, "readrandom", readrandom);
    phase(&r, "readmissing", readmissing);
    phase(&r, "scan-forward", scan_forward);
    phase(&r, "scan-reverse", scan_reverse);
    phase(&r, "seek+10", seek10);
    close_store(&r);

    bench_progress_end();
    free(r.order);
    free(r.values);
    return 0;
}
