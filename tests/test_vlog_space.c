/*
 * test_vlog_space.c - the store stays within lsm_space_bound, whatever is done to it:
 * overwrites, even and skewed, deletes, range deletes, snapshots, shares.
 * What is live is kept account of here; what the disk holds is asked every few
 * writes, while flushes, compactions and collection go on.
 */
#include "tests/env_mem.h"
#include "tests/soak.h"
#include "tests/test.h"

#include <stdlib.h>
#include <unistd.h>

#include "lsm/names.h"

enum {
    KEYS = 20000,
    LEAST = 100, /* bytes of a value */
    MOST = 500,
    ENTRY = 48, /* bytes of a key, its pointer and its part of index and filter */
    LOOK_EVERY = 16,
    PASSED = 3000, /* writes, after which compaction has passed */
};

struct store {
    struct env *env;
    struct lsm *db;
    struct lsm_options o;
    uint64_t rng;
    uint32_t version[KEYS]; /* of the value, as it was written; 0: no such key */
    uint32_t len[KEYS];
    uint32_t
        origin[KEYS]; /* the key, plus 1, that the value was written for; 0: this one */
    uint32_t clock;
    uint64_t values, entries; /* live: bytes of records, number */
    struct lsm_snapshot *snap;
    uint32_t snap_clock;
    uint64_t pinned, pinned_entries; /* what only it sees */
    double worst;                    /* used over bound */
};

/* The record: a header, and one for its only frame. */
static uint64_t stored(uint32_t len)
{
    return 12 + 12 + len;
}

static struct slice key_of(uint32_t i, uint8_t to[8])
{
    store_le32(to, i * 2654435761u);
    store_le32(to + 4, i);
    return slice_of(to, 8);
}

static void fill(uint8_t *to, uint32_t len, uint32_t i, uint32_t version)
{
    uint64_t rng = ((uint64_t)i << 32 | version) | 1;
    uint32_t k;

    for (k = 0; k + 8 <= len; k += 8)
        store_le64(to + k, test_random(&rng));
    memset(to + k, (int)version, len - k);
}

static void set_options(struct store *s, uint64_t seed)
{
    lsm_options_init(&s->o);
    s->rng = seed | 1;
    s->env = env_mem_new(s->rng);
    s->o.env = s->env;
    s->o.create = true;
    s->o.memtable_bytes = 256 << 10;
    s->o.table_bytes = 1 << 20;
    s->o.l1_bytes = 64 << 20;
    s->o.separate_bytes = 64;
    s->o.segment_bytes = 256 << 10;
    s->o.vlog = LSM_RAW;
    s->o.sync_interval_ms = 50;
}

static void open_store(struct store *s)
{
    set_options(s, test_seed());
    ck_ok(lsm_open("/s", &s->o, &s->db));
}

static void close_store(struct store *s)
{
    ck_ok(lsm_close(s->db));
    env_mem_free(s->env);
}

static bool within(struct store *s)
{
    uint64_t bound = lsm_space_bound(&s->o, s->values + s->pinned,
                                     (s->entries + s->pinned_entries) * ENTRY);
    uint64_t used = env_mem_used(s->env);

    if ((double)used > s->worst * (double)bound)
        s->worst = (double)used / (double)bound;
    return used <= bound;
}

static void must_be_within(struct store *s, const char *when)
{
    struct lsm_stats st;

    if (within(s))
        return;
    lsm_get_stats(s->db, &st);
    ck_abort_msg("%s: %zu bytes used, %zu in segments, %zu of them referred to, %zu in "
                 "tables, %zu in logs; live are %zu in values, %zu entries; pinned %zu",
                 when, (size_t)env_mem_used(s->env), (size_t)st.segment_bytes,
                 (size_t)st.segment_live,
                 (size_t)(st.disk_bytes - st.segment_bytes - st.wal_bytes),
                 (size_t)st.wal_bytes, (size_t)s->values, (size_t)s->entries,
                 (size_t)s->pinned);
}

static void look(struct store *s)
{
    must_be_within(s, "at work");
}

/* Without a write of ours. Garbage that was not known goes in a while, however long: the
 * machine may be busy. */
static void wait_within(struct store *s, const char *what)
{
    unsigned ms = 0;

    while (!within(s) && ms++ < 120000)
        usleep(1000);
    must_be_within(s, what);
}

/* The key is about to change. What a snapshot sees stays. */
static void forget(struct store *s, uint32_t i)
{
    if (!s->version[i])
        return;
    if (s->snap && s->version[i] <= s->snap_clock) {
        s->pinned += stored(s->len[i]);
        s->pinned_entries++;
    }
    s->values -= stored(s->len[i]);
    s->entries--;
    s->version[i] = s->origin[i] = 0;
}

static void put(struct store *s, uint32_t i)
{
    uint32_t len = LEAST + (uint32_t)test_below(&s->rng, MOST - LEAST);
    uint8_t key[8], value[MOST];

    fill(value, len, i, ++s->clock);
    ck_ok(lsm_put(s->db, key_of(i, key), slice_of(value, len)));
    forget(s, i);
    s->version[i] = s->clock;
    s->len[i] = len;
    s->values += stored(len);
    s->entries++;
}

static void remove_key(struct store *s, uint32_t i)
{
    uint8_t key[8];

    ck_ok(lsm_delete(s->db, key_of(i, key)));
    forget(s, i);
}

static void check_key(struct store *s, uint32_t i, struct lsm_value *v)
{
    uint8_t key[8], value[MOST];
    int rc = lsm_get(s->db, NULL, key_of(i, key), v);

    if (!s->version[i]) {
        ck_err(rc, ENOENT);
        return;
    }
    ck_ok(rc);
    fill(value, s->len[i], s->origin[i] ? s->origin[i] - 1 : i, s->version[i]);
    ck_assert(slice_eq(v->value, slice_of(value, s->len[i])));
}

static void check_all(struct store *s)
{
    struct lsm_value v = {0};
    uint32_t i;

    for (i = 0; i < KEYS; i++)
        check_key(s, i, &v);
    lsm_value_release(&v);
}

static void fill_store(struct store *s)
{
    uint32_t i;

    for (i = 0; i < KEYS; i++) {
        put(s, i);
        if (i % LOOK_EVERY == 0)
            look(s);
    }
}

/* All in `make soak`; sanitizers take ten times as long. */
static uint64_t scaled(uint64_t writes)
{
    return getenv("SOAK") ? writes : writes / (SOAK_SANITIZED ? 10 : 4);
}

/* Of what is the same in `make soak`: a part under sanitizers. */
static uint32_t part(uint32_t n, uint32_t sanitized)
{
    return SOAK_SANITIZED ? sanitized : n;
}

static uint32_t any_key(struct store *s)
{
    return (uint32_t)test_below(&s->rng, KEYS);
}

/* Nine of ten times one of a tenth, and of that again. */
static uint32_t skewed_key(struct store *s)
{
    uint64_t n = KEYS;

    while (n > 10 && test_below(&s->rng, 10))
        n /= 10;
    return (uint32_t)test_below(&s->rng, n);
}

static void report(struct store *s, const char *what)
{
    struct lsm_stats st;

    lsm_get_stats(s->db, &st);
    printf(
        "%s: at most %.2f of the bound; write amplification %.2f, %.2f s of stalls, the "
        "longest %.0f ms\n",
        what, s->worst, (double)st.written_bytes / (double)st.user_bytes,
        (double)st.stall_ns / 1e9, (double)st.stall_max_ns / 1e6);
}

static void overwrite(uint32_t (*choose)(struct store *s), uint64_t writes,
                      const char *what)
{
    struct store *s = calloc(1, sizeof(*s));
    uint64_t i;

    open_store(s);
    fill_store(s);
    for (i = 0; i < writes; i++) {
        put(s, choose(s));
        if (i % LOOK_EVERY == 0)
            look(s);
    }
    report(s, what);
    check_all(s);
    close_store(s);
    free(s);
}

/* A million, in `make soak`. */
START_TEST(overwrites_stay_within_the_bound)
{
    overwrite(any_key, scaled(part(1000000, 500000)), "even");
}
END_TEST

START_TEST(skewed_overwrites_stay_within_the_bound)
{
    overwrite(skewed_key, scaled(200000), "skewed");
}
END_TEST

START_TEST(deletes_give_back_what_they_delete)
{
    struct store *s = calloc(1, sizeof(*s));
    uint64_t i;

    open_store(s);
    fill_store(s);
    /* Waves: mostly deletes, then mostly writes. */
    for (i = 0; i < scaled(100000); i++) {
        uint32_t key = any_key(s);

        if (test_below(&s->rng, 10) < (i / scaled(20000) % 2 ? 2 : 7))
            remove_key(s, key);
        else
            put(s, key);
        if (i % LOOK_EVERY == 0)
            look(s);
    }
    report(s, "deletes");
    check_all(s);
    for (i = 0; i < KEYS; i++) {
        remove_key(s, (uint32_t)i);
        if (i % LOOK_EVERY == 0)
            look(s);
    }
    wait_within(s, "all deleted");
    check_all(s);
    close_store(s);
    free(s);
}
END_TEST

static int by_key(const void *a, const void *b)
{
    uint8_t x[8], y[8];

    return memcmp(key_of(*(const uint32_t *)a, x).data,
                  key_of(*(const uint32_t *)b, y).data, 8);
}

/* The keys from the place `from` on in the order of keys. */
static void delete_range(struct store *s, const uint32_t *sorted, uint32_t from,
                         uint32_t n)
{
    struct lsm_batch *b = lsm_batch_new();
    uint8_t lo[8], hi[8], all[9];
    uint32_t i;

    memset(all, 0xff, sizeof(all));
    lsm_batch_delete_range(b, key_of(sorted[from], lo),
                           from + n < KEYS ? key_of(sorted[from + n], hi)
                                           : slice_of(all, sizeof(all)));
    ck_ok(lsm_write(s->db, b, LSM_NOSYNC));
    lsm_batch_free(b);
    for (i = from; i < from + n; i++)
        forget(s, sorted[i]);
}

START_TEST(range_deletes_give_back_what_they_delete)
{
    struct store *s = calloc(1, sizeof(*s));
    uint32_t *sorted = malloc(KEYS * sizeof(*sorted)), i, round;

    open_store(s);
    fill_store(s);
    for (i = 0; i < KEYS; i++)
        sorted[i] = i;
    qsort(sorted, KEYS, sizeof(*sorted), by_key);
    for (round = 0; round < part(10, 3); round++) {
        uint32_t n = 1 + (uint32_t)test_below(&s->rng, KEYS / 2);

        delete_range(s, sorted, (uint32_t)test_below(&s->rng, KEYS - n), n);
        wait_within(s, "a range deleted");
        for (i = 0; i < 10000; i++) {
            put(s, any_key(s));
            if (i == PASSED)
                wait_within(s, "compaction passed");
            if (i % LOOK_EVERY == 0 && i > PASSED)
                look(s);
        }
    }
    check_all(s);
    delete_range(s, sorted, 0, KEYS);
    wait_within(s, "everything deleted");
    ck_assert_uint_eq(s->values, 0);
    report(s, "range deletes");
    check_all(s);
    close_store(s);
    free(sorted);
    free(s);
}
END_TEST

/* What a snapshot sees, by the arrays of the moment. */
static void check_snapshot(struct store *s, const uint32_t *version, const uint32_t *len)
{
    struct lsm_value v = {0};
    uint32_t i;

    for (i = 0; i < KEYS; i += 7) {
        uint8_t key[8], value[MOST];

        ck_ok(lsm_get(s->db, s->snap, key_of(i, key), &v));
        fill(value, len[i], i, version[i]);
        ck_assert(slice_eq(v.value, slice_of(value, len[i])));
    }
    lsm_value_release(&v);
}

START_TEST(what_a_snapshot_sees_is_kept_and_no_more)
{
    struct store *s = calloc(1, sizeof(*s));
    uint32_t *version = malloc(sizeof(s->version)), *len = malloc(sizeof(s->len));
    uint64_t i, round;

    open_store(s);
    fill_store(s);
    for (round = 0; round < part(4, 2); round++) {
        s->snap = lsm_snapshot_new(s->db);
        ck_assert_ptr_nonnull(s->snap);
        s->snap_clock = s->clock;
        memcpy(version, s->version, sizeof(s->version));
        memcpy(len, s->len, sizeof(s->len));
        for (i = 0; i < scaled(30000); i++) {
            put(s, any_key(s));
            if (i % LOOK_EVERY == 0)
                look(s);
        }
        check_snapshot(s, version, len);
        lsm_snapshot_free(s->db, s->snap);
        s->snap = NULL;
        /* Until compaction has passed, tables do not know. */
        for (i = 0; i < PASSED; i++)
            put(s, any_key(s));
        s->pinned = s->pinned_entries = 0;
        wait_within(s, "the snapshot gone");
        for (i = 0; i < part(20000, 5000); i++) {
            put(s, any_key(s));
            if (i % LOOK_EVERY == 0)
                look(s);
        }
    }
    report(s, "snapshots");
    check_all(s);
    close_store(s);
    free(version);
    free(len);
    free(s);
}
END_TEST

/* It reads segments that were emptied long ago. */
START_TEST(a_long_iterator_reads_what_was)
{
    struct store *s = calloc(1, sizeof(*s));
    uint32_t *version, *len, n = 0, i;
    struct lsm_iter *it;

    open_store(s);
    fill_store(s);
    version = malloc(sizeof(s->version));
    len = malloc(sizeof(s->len));
    memcpy(version, s->version, sizeof(s->version));
    memcpy(len, s->len, sizeof(s->len));
    ck_ok(lsm_iter_new(s->db, &(struct lsm_iter_options){0}, &it));
    /* Whole segments are kept, garbage in them too. */
    s->pinned = s->values * 2;
    s->pinned_entries = s->entries;
    for (lsm_iter_first(it); lsm_iter_valid(it); lsm_iter_next(it), n++) {
        uint8_t value[MOST];
        struct slice v;

        for (i = 0; i < part(5, 1); i++)
            put(s, any_key(s));
        look(s);
        i = load_le32(lsm_iter_key(it).data + 4);
        ck_ok(lsm_iter_value(it, &v));
        fill(value, len[i], i, version[i]);
        ck_assert(slice_eq(v, slice_of(value, len[i])));
    }
    ck_ok(lsm_iter_error(it));
    ck_assert_uint_eq(n, KEYS);
    lsm_iter_free(it);
    s->pinned = s->pinned_entries = 0;
    wait_within(s, "the iterator gone");
    check_all(s);
    close_store(s);
    free(version);
    free(len);
    free(s);
}
END_TEST

/* ---- shares ---- */

enum { SHARERS = 1000, SHARED = 100 << 10 };

static void share(struct store *s, uint32_t i)
{
    struct lsm_batch *b = lsm_batch_new();
    char name[16];

    snprintf(name, sizeof(name), "~%05u", i);
    /* The whole, or a part. */
    lsm_batch_share(b, slice_str(name), slice_str("~source"), i % 3 ? i : 0,
                    i % 3 ? SHARED - 2 * i : SHARED);
    ck_ok(lsm_write(s->db, b, LSM_NOSYNC));
    lsm_batch_free(b);
}

static void check_shares(struct store *s, const uint8_t *source)
{
    struct lsm_value v = {0};
    char name[16];
    uint32_t i;

    for (i = 0; i < SHARERS; i++) {
        snprintf(name, sizeof(name), "~%05u", i);
        ck_ok(lsm_get(s->db, NULL, slice_str(name), &v));
        ck_assert(slice_eq(v.value, i % 3 ? slice_of(source + i, SHARED - 2 * i)
                                          : slice_of(source, SHARED)));
    }
    lsm_value_release(&v);
}

/* A hundred megabytes if they were copied. One table, so they are moved as one. */
START_TEST(a_thousand_that_share_a_record_move_as_one)
{
    struct store *s = calloc(1, sizeof(*s));
    uint8_t *source = malloc(SHARED);
    struct lsm_stats st;
    uint32_t i;

    set_options(s, test_seed());
    s->o.table_bytes = 64 << 20;
    ck_ok(lsm_open("/s", &s->o, &s->db));
    for (i = 0; i < SHARED; i++)
        source[i] = (uint8_t)test_random(&s->rng);
    fill_store(s);
    ck_ok(lsm_put(s->db, slice_str("~source"), slice_of(source, SHARED)));
    for (i = 0; i < SHARERS; i++)
        share(s, i);
    /* The record twice: in a table an original counts beside those who share it. */
    s->values += 2 * (SHARED + 200);
    s->entries += SHARERS + 1;
    /* Their neighbours go, again and again. */
    for (i = 0; i < scaled(100000); i++) {
        put(s, any_key(s));
        if (i == 50000) {
            ck_ok(lsm_delete(s->db, slice_str("~source")));
            s->values -= SHARED + 200;
        }
        if (i % LOOK_EVERY == 0)
            look(s);
    }
    /* Where the background got little time nothing may have been worth a move yet. */
    lsm_get_stats(s->db, &st);
    for (; st.moved_bytes <= SHARED && i < scaled(500000); i++) {
        put(s, any_key(s));
        if (i % LOOK_EVERY == 0)
            look(s);
        lsm_get_stats(s->db, &st);
    }
    check_shares(s, source);
    ck_ok(lsm_compact(s->db, true));
    look(s);
    lsm_get_stats(s->db, &st);
    ck_assert_uint_gt(st.moved_bytes, SHARED);
    check_shares(s, source);
    check_all(s);
    ck_ok(lsm_verify(s->db));
    report(s, "shares");
    close_store(s);
    free(source);
    free(s);
}
END_TEST

/* Copies multiply only as far as that shrinks a segment: many tables, many sharers. */
START_TEST(sharers_in_many_tables_stay_within_the_bound)
{
    struct store *s = calloc(1, sizeof(*s));
    uint32_t i;

    set_options(s, test_seed());
    s->o.table_bytes = 32 << 10;
    ck_ok(lsm_open("/s", &s->o, &s->db));
    fill_store(s);
    for (i = 0; i < scaled(100000); i++) {
        /* Any key may share any other's value: copies of files. */
        uint32_t from = any_key(s), to = any_key(s);

        if (i % 4) {
            put(s, to);
        } else if (s->version[from] && from != to) {
            struct lsm_batch *b = lsm_batch_new();
            uint8_t x[8], y[8];

            lsm_batch_share(b, key_of(to, x), key_of(from, y), 0, s->len[from]);
            ck_ok(lsm_write(s->db, b, LSM_NOSYNC));
            lsm_batch_free(b);
            forget(s, to);
            s->origin[to] = s->origin[from] ? s->origin[from] : from + 1;
            s->version[to] = s->version[from];
            s->len[to] = s->len[from];
            s->values += stored(s->len[to]);
            s->entries++;
        }
        if (i % LOOK_EVERY == 0)
            look(s);
    }
    check_all(s);
    ck_ok(lsm_verify(s->db));
    report(s, "copies");
    close_store(s);
    free(s);
}
END_TEST

/* Cut a KiB after the other from the end of a large value and from its middle, the first
 * half under another key: what is left of it is not written to be garbage each time. */
START_TEST(a_value_cut_a_piece_at_a_time_does_not_fill_memtables)
{
    enum { PIECE = 1024, PIECES = SHARED / PIECE / 2 - 1 };
    struct store *s = calloc(1, sizeof(*s));
    struct slice whole = slice_str("whole"), half = slice_str("half");
    uint8_t *source = malloc(SHARED), name[8];
    struct lsm_value v = {0};
    struct lsm_stats before, st;
    size_t len = SHARED;
    uint32_t i;

    set_options(s, test_seed());
    s->o.workers = 0;
    ck_ok(lsm_open("/s", &s->o, &s->db));
    fill(source, SHARED, 0, 1);
    ck_ok(lsm_put(s->db, whole, slice_of(source, SHARED)));
    ck_ok(lsm_compact(s->db, false));
    lsm_get_stats(s->db, &before);
    for (i = 0; i < 2 * PIECES; i++) {
        struct lsm_batch *b = lsm_batch_new();
        size_t cut = i == PIECES ? len / 2 : 0;

        if (cut)
            lsm_batch_share(b, half, whole, 0, cut);
        lsm_batch_share(b, whole, whole, cut + PIECE, len - cut - PIECE);
        lsm_batch_put(b, key_of(i, name), slice_of(source, PIECE));
        ck_ok(lsm_write(s->db, b, LSM_NOSYNC));
        lsm_batch_free(b);
        len -= cut + PIECE;
        if (len <= PIECE)
            break;
    }
    lsm_get_stats(s->db, &st);
    ck_assert_uint_le(st.flushes - before.flushes, 1);
    ck_ok(lsm_get(s->db, NULL, whole, &v));
    ck_assert(slice_eq(v.value, slice_of(source + SHARED - len, len)));
    ck_ok(lsm_get(s->db, NULL, half, &v));
    ck_assert(slice_eq(v.value, slice_of(source + PIECES * PIECE, v.value.len)));
    lsm_value_release(&v);
    free(source);
    close_store(s);
    free(s);
}
END_TEST

/* ---- damage ---- */

static int note_segment(void *arg, const char *name)
{
    uint64_t number, *first = arg;

    if (file_parse(name, &number) == FILE_SEGMENT && (!*first || number < *first))
        *first = number;
    return 0;
}

/* Flip a bit in the middle of the first segment. */
static uint64_t damage(struct store *s)
{
    uint64_t segment = 0, size;
    char *path;

    ck_ok(env_list(s->env, "/s", note_segment, &segment));
    path = file_path("/s", FILE_SEGMENT, segment);
    ck_ok(env_stat(s->env, path, &size));
    ck_ok(env_mem_flip(s->env, path, size / 2, 1));
    free(path);
    return segment;
}

/* The only key that cannot be read. */
static uint32_t find_damaged(struct store *s)
{
    struct lsm_value v = {0};
    uint32_t found = KEYS, i;
    uint8_t key[8];

    for (i = 0; i < KEYS; i++) {
        int rc = lsm_get(s->db, NULL, key_of(i, key), &v);

        ck_assert(rc == 0 || (rc == -EUCLEAN && found == KEYS));
        if (rc)
            found = i;
    }
    ck_assert_uint_lt(found, KEYS);
    lsm_value_release(&v);
    return found;
}

static uint32_t key_but(struct store *s, uint32_t not )
{
    uint32_t i;

    while ((i = any_key(s)) == not )
        ;
    return i;
}

START_TEST(a_value_that_cannot_be_read_stays_until_it_is_overwritten)
{
    struct store *s = calloc(1, sizeof(*s));
    uint32_t damaged, i;
    uint64_t segment, size;
    char *path;

    test_log_capture();
    open_store(s);
    fill_store(s);
    ck_ok(lsm_close(s->db));
    segment = damage(s);
    path = file_path("/s", FILE_SEGMENT, segment);
    s->o.verify_bytes = 0;
    ck_ok(lsm_open("/s", &s->o, &s->db));
    damaged = find_damaged(s);
    for (i = 0; i < part(100000, 30000); i++)
        put(s, key_but(s, damaged));
    ck_ok(lsm_compact(s->db, true));
    ck_assert_uint_eq(find_damaged(s), damaged);
    ck_ok(env_stat(s->env, path, &size));
    ck_assert(test_log_has("checksum"));
    ck_err(lsm_verify(s->db), EUCLEAN);
    s->values += size; /* it stays with all that is in it */
    look(s);
    s->values -= size;
    put(s, damaged);
    ck_ok(lsm_compact(s->db, true));
    wait_within(s, "the damaged value overwritten");
    ck_soon(env_stat(s->env, path, &size) == -ENOENT);
    ck_ok(lsm_verify(s->db));
    check_all(s);
    close_store(s);
    free(path);
    free(s);
}
END_TEST

/* One level, so that no other one hides what the bound does not know of. */
static void draw_options(struct store *s)
{
    s->o.memtable_bytes = (64u << 10) << test_below(&s->rng, 4);
    s->o.memtables = 2 + (unsigned)test_below(&s->rng, 3);
    s->o.segment_bytes = (32u << 10) << test_below(&s->rng, 6);
    s->o.garbage_ratio = 0.1 + (double)test_below(&s->rng, 10) / 10;
    s->o.workers = 1 + (unsigned)test_below(&s->rng, 3);
    s->o.l0_trigger = 1 + (unsigned)test_below(&s->rng, 5);
    s->o.table_bytes = (64u << 10) << test_below(&s->rng, 6);
}

START_TEST(whatever_the_options_the_bound_holds)
{
    struct soak soak;
    uint64_t i;

    for (soak_begin(&soak); soak_on(&soak); soak.option_sets++) {
        struct store *s = calloc(1, sizeof(*s));
        bool skewed;

        set_options(s, soak_seed(&soak));
        draw_options(s);
        skewed = test_below(&s->rng, 2);
        soak_tell(&soak, "%u memtables of %zu, segments %zu, ratio %.1f, %u workers",
                  s->o.memtables, s->o.memtable_bytes, (size_t)s->o.segment_bytes,
                  s->o.garbage_ratio, s->o.workers);
        ck_ok(lsm_open("/s", &s->o, &s->db));
        fill_store(s);
        for (i = 0; i < scaled(200000); i++) {
            uint32_t key = skewed ? skewed_key(s) : any_key(s);

            if (test_below(&s->rng, 10))
                put(s, key);
            else
                remove_key(s, key);
            if (i % LOOK_EVERY == 0)
                look(s);
        }
        soak.operations += i;
        check_all(s);
        close_store(s);
        free(s);
    }
    soak_end(&soak);
}
END_TEST

TEST_MAIN("vlog space", TEST_CASE_SOAK_ONLY(whatever_the_options_the_bound_holds),
          TEST_CASE_SOAK(overwrites_stay_within_the_bound),
          TEST_CASE_SLOW(skewed_overwrites_stay_within_the_bound, 400),
          TEST_CASE_SLOW(deletes_give_back_what_they_delete, 400),
          TEST_CASE_SLOW(range_deletes_give_back_what_they_delete, 400),
          TEST_CASE_SLOW(what_a_snapshot_sees_is_kept_and_no_more, 400),
          TEST_CASE_SLOW(a_long_iterator_reads_what_was, 400),
          TEST_CASE_SLOW(a_thousand_that_share_a_record_move_as_one, 400),
          TEST_CASE(a_value_cut_a_piece_at_a_time_does_not_fill_memtables),
          TEST_CASE_SLOW(sharers_in_many_tables_stay_within_the_bound, 400),
          TEST_CASE_SLOW(a_value_that_cannot_be_read_stays_until_it_is_overwritten, 400))
