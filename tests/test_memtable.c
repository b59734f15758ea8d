/*
 * test_memtable.c - lsm/memtable.h. What threads do at once is meant for TSan as
 * much as for the checks. The batches that feed it: test_batch.c.
 */
#include "test.h"

#include <stdlib.h>

#include "lsm/coding.h"
#include "lsm/env.h"
#include "lsm/hash.h"
#include "lsm/memtable.h"
#include "lsm/vlog.h"

#include "entries.h"

enum { THREADS = 4, READERS = 2 };

/* ---- points ---- */

static void insert(struct memtable *m, const struct entry *e)
{
    struct slice ikey = buf_slice(&e->ikey);

    ck_ok(memtable_insert(m, ikey_type(ikey), ikey_user(ikey), ikey_seq(ikey),
                          buf_slice(&e->value)));
}

static struct memtable *filled(const struct entries *es, size_t budget_bytes, uint64_t *r)
{
    struct memtable *m = memtable_new(budget_bytes, NULL);
    uint64_t deletes = 0;
    size_t i, from = es->n ? test_below(r, es->n) : 0;

    ck_assert_ptr_nonnull(m);
    for (i = 0; i < es->n; i++) /* not quite in order */
        insert(m, &es->e[(from + i * 7919) % es->n]);
    for (i = 0; i < es->n; i++)
        deletes += ikey_type(buf_slice(&es->e[i].ikey)) == IKEY_DELETE;
    ck_assert_uint_eq(memtable_entries(m), es->n);
    ck_assert_uint_eq(memtable_deletes(m), deletes);
    return m;
}

static int get(struct memtable *m, struct slice key, uint64_t seq, uint64_t *trailer,
               struct slice *value)
{
    return memtable_get(m, key, hash_key(key), seq, trailer, value);
}

/* The newest version at the sequence of ikey is what the entries tell. */
static void check_get(void *arg, const struct entries *es, struct slice ikey)
{
    struct memtable *m = arg;
    struct buf seek = {0};
    struct slice value;
    uint64_t trailer;
    size_t i;

    ikey_append_seek(&seek, ikey_user(ikey), ikey_seq(ikey));
    i = entries_get(es, buf_slice(&seek));
    if (i == es->n) {
        ck_err(get(m, ikey_user(ikey), ikey_seq(ikey), &trailer, &value), ENOENT);
    } else {
        ck_ok(get(m, ikey_user(ikey), ikey_seq(ikey), &trailer, &value));
        ck_assert_uint_eq(trailer, ikey_trailer(buf_slice(&es->e[i].ikey)));
        ck_assert(slice_eq(value, buf_slice(&es->e[i].value)));
    }
    buf_release(&seek);
}

START_TEST(get_finds_the_newest_version_at_a_sequence)
{
    uint64_t r = test_seed();
    int round;

    for (round = 0; round < 15; round++) {
        /* The small budget: more keys than its index has room for. */
        struct entries es = entries_random(&r, 1 + test_below(&r, 600), 8, 40);
        struct memtable *m = filled(&es, round % 2 ? 64 : 1 << 20, &r);

        entries_probe(&es, &r, check_get, m);
        memtable_unref(m);
        entries_free(&es);
    }
}
END_TEST

START_TEST(iterators_walk_both_ways)
{
    uint64_t r = test_seed();
    int round;

    for (round = 0; round < 15; round++) {
        struct entries es = entries_random(&r, 1 + test_below(&r, 600), 8, 40);
        struct memtable *m = filled(&es, 64 << 10, &r);
        struct iter *it = memtable_iter_new(m);

        entries_check_walks(it, &es);
        entries_probe(&es, &r, entries_check_seek, it);
        iter_free(it);
        memtable_unref(m);
        entries_free(&es);
    }
}
END_TEST

/* Older versions may come, never the newest of a key be missed. */
START_TEST(stepping_from_key_to_key_meets_the_newest_of_each)
{
    uint64_t r = test_seed();
    int round;

    for (round = 0; round < 15; round++) {
        struct entries es = entries_random(&r, 1 + test_below(&r, 600), 8, 40);
        struct memtable *m = filled(&es, 64 << 10, &r);
        struct iter *it = memtable_iter_new(m);
        struct slice last = {0};
        uint64_t keys = 0;
        size_t i;

        iter_first(it);
        for (i = 0; i < es.n; i++) {
            struct slice ikey = buf_slice(&es.e[i].ikey), user = ikey_user(ikey);

            if (keys && slice_eq(user, last))
                continue;
            while (keys && it->valid && slice_eq(ikey_user(it->key), last))
                memtable_iter_next_key(it);
            ck_assert(it->valid);
            ck_assert(slice_eq(it->key, ikey));
            ck_assert(slice_eq(it->value, buf_slice(&es.e[i].value)));
            last = user;
            if (keys++ % 5 == 3) { /* also from where no such step led */
                iter_seek(it, ikey);
                ck_assert(slice_eq(it->key, ikey));
            }
        }
        while (it->valid && slice_eq(ikey_user(it->key), last))
            memtable_iter_next_key(it);
        ck_assert(!it->valid);
        ck_assert_uint_eq(memtable_keys(m), keys);
        iter_free(it);
        memtable_unref(m);
        entries_free(&es);
    }
}
END_TEST

START_TEST(an_iterator_that_asks_for_a_place_finds_what_was_inserted_until_then)
{
    struct memtable *m = memtable_new(4096, NULL);
    struct iter *it = memtable_iter_new(m);
    struct buf seek = {0};

    ikey_append_seek(&seek, slice_str("c"), IKEY_SEQ_MAX);
    ck_ok(memtable_insert(m, IKEY_PUT, slice_str("b"), 1, slice_str("")));
    iter_first(it);
    ck_slice_str(ikey_user(it->key), "b");
    ck_ok(memtable_insert(m, IKEY_PUT, slice_str("d"), 2, slice_str("")));
    iter_last(it);
    ck_slice_str(ikey_user(it->key), "d");
    ck_ok(memtable_insert(m, IKEY_PUT, slice_str("c"), 3, slice_str("")));
    iter_seek(it, buf_slice(&seek));
    ck_slice_str(ikey_user(it->key), "c");
    iter_prev(it);
    ck_ok(memtable_insert(m, IKEY_PUT, slice_str("a"), 4, slice_str("")));
    iter_prev(it);
    ck_slice_str(ikey_user(it->key), "a");
    iter_prev(it);
    ck_assert(!it->valid);
    iter_free(it);
    buf_release(&seek);
    memtable_unref(m);
}
END_TEST

START_TEST(misses_are_answered_and_memory_is_counted)
{
    struct memtable *m = memtable_new(1 << 20, NULL);
    size_t before = memtable_bytes(m);
    struct slice value;
    uint64_t trailer, i;
    uint8_t key[8];

    ck_assert_uint_gt(before, 0);
    for (i = 0; i < 5000; i++) {
        store_be64(key, 2 * i);
        ck_ok(memtable_insert(m, IKEY_PUT, slice_of(key, 8), i + 1, slice_of(key, 8)));
    }
    ck_assert_uint_gt(memtable_bytes(m), before);
    ck_assert_uint_ge(memtable_bytes(m), 5000 * 16);
    for (i = 0; i < 5000; i++) {
        store_be64(key, 2 * i + 1);
        ck_err(get(m, slice_of(key, 8), IKEY_SEQ_MAX, &trailer, &value), ENOENT);
        store_be64(key, 2 * i);
        ck_ok(get(m, slice_of(key, 8), IKEY_SEQ_MAX, &trailer, &value));
        ck_err(get(m, slice_of(key, 8), i, &trailer, &value), ENOENT);
    }
    memtable_unref(m);
}
END_TEST

START_TEST(the_last_reference_frees)
{
    struct memtable *m = memtable_new(4096, NULL);

    memtable_place(m)->log_number = 7;
    memtable_ref(m);
    memtable_unref(m);
    ck_assert_uint_eq(memtable_place(m)->log_number, 7);
    memtable_unref(m); /* a leak or a second free is ASan's to see */
    memtable_unref(NULL);
}
END_TEST

/* ---- segments ---- */

struct noted {
    uint64_t segment[64];
    size_t n;
};

static void note(void *arg, uint64_t segment, uint64_t bytes)
{
    struct noted *to = arg;

    ck_assert_uint_eq(bytes, 0);
    ck_assert_uint_lt(to->n, 64);
    to->segment[to->n++] = segment;
}

static int insert_pointer(struct memtable *m, uint64_t seq, uint64_t segment)
{
    struct vptr p = {.segment = segment, .stored = 100, .raw = 80, .len = 40};
    struct buf value = {0};
    int rc;

    vptr_append(&value, &p);
    rc = memtable_insert(m, IKEY_PUT_REF, slice_str("k"), seq, buf_slice(&value));
    buf_release(&value);
    return rc;
}

START_TEST(each_segment_referred_to_is_told_once)
{
    static const uint64_t order[] = {3, 3, 9, 3, 0, 9, UINT64_MAX - 1, 0, 3};
    struct memtable *m = memtable_new(4096, NULL);
    struct noted to = {.n = 0};
    uint64_t seq = 1, sum = 0;
    size_t i;

    memtable_segments(m, note, &to);
    ck_assert_uint_eq(to.n, 0);
    for (i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        ck_ok(insert_pointer(m, seq++, order[i]));
    memtable_segments(m, note, &to);
    ck_assert_uint_eq(to.n, 4);
    for (i = 0; i < to.n; i++)
        sum += to.segment[i];
    ck_assert_uint_eq(sum, 3 + 9 + 0 + (UINT64_MAX - 1));
    ck_assert_uint_eq(memtable_ref_bytes(m), 9 * 50); /* half of each record */
    for (i = 0; i < 50; i++)
        ck_ok(insert_pointer(m, seq++, 100 + i));
    to.n = 0;
    memtable_segments(m, note, &to);
    ck_assert_uint_eq(to.n, 54);
    memtable_unref(m);
}
END_TEST

START_TEST(what_is_no_pointer_is_not_inserted_as_one)
{
    struct memtable *m = memtable_new(4096, NULL);
    struct slice value;
    uint64_t trailer;

    ck_err(memtable_insert(m, IKEY_PUT_REF, slice_str("k"), 1, slice_str("")), EINVAL);
    ck_err(memtable_insert(m, IKEY_PUT_REF, slice_str("k"), 1, slice_str("\xff\xff")),
           EINVAL);
    ck_err(get(m, slice_str("k"), 9, &trailer, &value), ENOENT);
    ck_assert_uint_eq(memtable_entries(m), 0);
    memtable_unref(m);
}
END_TEST

/* ---- range deletes ---- */

enum { PLACES = 64, RANGES = 120 };

/* Place i in key order, as text. */
static struct slice place(unsigned i, char text[4])
{
    snprintf(text, 4, "%03u", i % 1000);
    return slice_of(text, 3);
}

struct range {
    unsigned start, end;
    uint64_t seq;
};

static uint64_t covers(const struct range *list, size_t n, unsigned at, uint64_t seq)
{
    uint64_t newest = 0;
    size_t i;

    for (i = 0; i < n; i++)
        if (list[i].seq <= seq && list[i].seq > newest && list[i].start <= at &&
            at < list[i].end)
            newest = list[i].seq;
    return newest;
}

static void check_ask(struct memtable *m, const struct range *list, size_t n, unsigned at,
                      uint64_t seq)
{
    struct rangedel_span s;
    char text[4];
    unsigned i;

    rangedel_span_init(&s);
    memtable_ask_range(m, place(at, text), seq, &s);
    ck_assert_uint_eq(s.seq, covers(list, n, at, seq));
    for (i = 0; i < PLACES; i++) {
        struct slice key = place(i, text);
        bool in = (!s.has_lo || slice_cmp(s.lo, key) <= 0) &&
                  (!s.has_hi || slice_cmp(key, s.hi) < 0);

        if (i == at && !in)
            ck_abort_msg("the span of %u does not hold it", at);
        if (in && covers(list, n, i, seq) != s.seq)
            ck_abort_msg("%u at %d is in the span of %u, but not the same", i, (int)seq,
                         at);
    }
}

/* The list is that of the ranges, empty ones left out. */
static void check_list(struct memtable *m, const struct range *ranges, size_t n)
{
    struct range_tombstone *list;
    size_t count, i, k, wanted = 0;
    char text[4];

    ck_ok(memtable_range_deletes(m, &list, &count));
    for (i = 0; i < n; i++) {
        if (ranges[i].start >= ranges[i].end)
            continue;
        wanted++;
        for (k = 0; k < count && list[k].seq != ranges[i].seq; k++)
            ;
        ck_assert_uint_lt(k, count);
        ck_assert(slice_eq(list[k].start, place(ranges[i].start, text)));
        ck_assert(slice_eq(list[k].end, place(ranges[i].end, text)));
    }
    ck_assert_uint_eq(count, wanted);
    free(list);
}

START_TEST(range_deletes_answer_as_each_of_them_would)
{
    uint64_t r = test_seed();
    int round, i;

    for (round = 0; round < 4; round++) {
        struct memtable *m = memtable_new(4096, NULL);
        struct range list[RANGES];
        char start[4], end[4];
        size_t n;

        ck_assert(!memtable_has_range_deletes(m));
        check_list(m, list, 0);
        /* Apart from each other, loose ones, runs of several sizes. */
        for (n = 0; n < RANGES;) {
            list[n].start = (unsigned)test_below(&r, PLACES);
            list[n].end = list[n].start + (unsigned)test_below(&r, 12);
            list[n].seq = n + 1;
            ck_ok(memtable_insert(m, IKEY_RANGE_DELETE, place(list[n].start, start),
                                  list[n].seq, place(list[n].end, end)));
            n++;
            ck_assert(memtable_has_range_deletes(m));
            ck_assert_uint_eq(memtable_deletes(m), n);
            for (i = 0; i < 20; i++)
                check_ask(m, list, n, (unsigned)test_below(&r, PLACES),
                          test_below(&r, n + 2));
            if (test_below(&r, 30) == 0)
                check_list(m, list, n);
        }
        check_list(m, list, n);
        ck_assert_uint_eq(memtable_entries(m), 0);
        memtable_unref(m);
    }
}
END_TEST

START_TEST(range_deletes_leave_points_to_be_judged_by_sequence)
{
    struct memtable *m = memtable_new(4096, NULL);
    struct rangedel_span s;
    struct slice value;
    uint64_t trailer;

    ck_ok(memtable_insert(m, IKEY_PUT, slice_str("k"), 5, slice_str("v")));
    ck_ok(memtable_insert(m, IKEY_RANGE_DELETE, slice_str("a"), 7, slice_str("z")));
    ck_ok(get(m, slice_str("k"), 9, &trailer, &value));
    rangedel_span_init(&s);
    memtable_ask_range(m, slice_str("k"), 9, &s);
    ck_assert_uint_eq(s.seq, 7);
    rangedel_span_init(&s);
    memtable_ask_range(m, slice_str("k"), 6, &s);
    ck_assert_uint_eq(s.seq, 0);
    memtable_unref(m);
}
END_TEST

START_TEST(too_many_range_deletes_crowd_a_memtable)
{
    struct memtable *m = memtable_new(4096, NULL);
    uint8_t start[8], end[8];
    uint64_t i;

    for (i = 0; !memtable_crowded(m); i++) {
        store_be64(start, i);
        store_be64(end, i % 2 ? i + 1 : 100000 - i);
        ck_ok(memtable_insert(m, IKEY_RANGE_DELETE, slice_of(start, 8), i + 1,
                              slice_of(end, 8)));
    }
    ck_assert_uint_gt(i, 10000);
    ck_assert_uint_lt(i, 20000);
    memtable_unref(m);
}
END_TEST

/* As a batch may have them: it goes into one memtable, whatever its size. */
START_TEST(overlapping_range_deletes_are_counted_as_memory_and_do_not_multiply)
{
    enum { N = 20000 };
    struct memtable *m = memtable_new(4096, NULL);
    size_t before = memtable_bytes(m);
    struct rangedel_span s;
    uint8_t start[8];
    uint64_t i;

    for (i = 0; i < N; i++) {
        store_be64(start, N - i);
        ck_ok(memtable_insert(m, IKEY_RANGE_DELETE, slice_of(start, 8), i + 1,
                              slice_str("z")));
    }
    ck_assert_uint_gt(memtable_bytes(m) - before, N * 64);
    ck_assert_uint_lt(memtable_bytes(m) - before, N * 2048);
    for (i = 1; i <= N; i += 501) {
        store_be64(start, i);
        rangedel_span_init(&s);
        memtable_ask_range(m, slice_of(start, 8), IKEY_SEQ_MAX, &s);
        ck_assert_uint_eq(s.seq, N);
        rangedel_span_init(&s);
        memtable_ask_range(m, slice_of(start, 8), N - i, &s);
        ck_assert_uint_eq(s.seq, 0);
        rangedel_span_init(&s);
        memtable_ask_range(m, slice_of(start, 8), N - i + 1, &s);
        ck_assert_uint_eq(s.seq, N - i + 1);
    }
    memtable_unref(m);
}
END_TEST

/* ---- many threads ---- */

enum { PER_WRITER = 2500 };

/* Writer w's i-th write has the sequence i * THREADS + w + 1; every 8th is a range
 * delete of its own. Nobody else speaks of these keys. */
struct shared {
    struct memtable *m;
    _Atomic unsigned done[THREADS];
    _Atomic bool stop;
    pthread_barrier_t start;
};

struct writer {
    struct shared *s;
    unsigned id;
};

static struct slice key_of(unsigned writer, unsigned i, uint8_t key[8])
{
    store_be64(key, (uint64_t)((i * 40503u) & 0xffff) << 8 | writer);
    return slice_of(key, 8);
}

static uint64_t seq_of(unsigned writer, unsigned i)
{
    return (uint64_t)i * THREADS + writer + 1;
}

static void *write_all(void *arg)
{
    struct writer *w = arg;
    uint8_t key[8], end[9];
    unsigned i;

    pthread_barrier_wait(&w->s->start);
    for (i = 0; i < PER_WRITER; i++) {
        struct slice user = key_of(w->id, i, key);
        uint64_t seq = seq_of(w->id, i);
        int rc;

        memcpy(end, key, 8);
        end[8] = 1; /* [key, key + \1) */
        /* Not ck_ok, whose bookkeeping would keep the threads apart. */
        if (i % 8 == 3)
            rc = memtable_insert(w->s->m, IKEY_RANGE_DELETE, user, seq, slice_of(end, 9));
        else if (i % 8 == 5)
            rc = insert_pointer(w->s->m, seq, i / 500);
        else
            rc = memtable_insert(w->s->m, IKEY_PUT, user, seq, user);
        if (rc)
            ck_abort_msg("no memory");
        atomic_store_explicit(&w->s->done[w->id], i + 1, memory_order_release);
    }
    return NULL;
}

static void look_for(struct shared *s, unsigned writer, unsigned i)
{
    struct rangedel_span span;
    uint64_t trailer, seq = seq_of(writer, i);
    struct slice value, user;
    uint8_t key[8];

    user = key_of(writer, i, key);
    if (i % 8 == 5)
        user = slice_str("k");
    rangedel_span_init(&span);
    memtable_ask_range(s->m, user, IKEY_SEQ_MAX, &span);
    if (span.seq != (i % 8 == 3 ? seq : 0))
        ck_abort_msg("write %u of %u: a range delete at %d", i, writer, (int)span.seq);
    if (i % 8 == 3)
        return;
    if (get(s->m, user, seq, &trailer, &value) != 0 || trailer >> 8 != seq)
        ck_abort_msg("write %u of %u is not found", i, writer);
    if (i % 8 != 5 && !slice_eq(value, user))
        ck_abort_msg("write %u of %u has another's value", i, writer);
}

static void *read_all_the_time(void *arg)
{
    struct shared *s = arg;
    uint64_t r = test_seed();
    struct iter *it = memtable_iter_new(s->m);
    struct buf last = {0};
    unsigned i, writer;

    pthread_barrier_wait(&s->start);
    while (!atomic_load(&s->stop)) {
        for (i = 0; i < 200; i++) {
            unsigned done;

            writer = (unsigned)test_below(&r, THREADS);
            done = atomic_load_explicit(&s->done[writer], memory_order_acquire);
            if (done)
                look_for(s, writer, (unsigned)test_below(&r, done));
        }
        for (iter_first(it), i = 0; it->valid; iter_next(it), i++) {
            if (i && ikey_cmp(buf_slice(&last), it->key) >= 0)
                ck_abort_msg("entry %u is out of order", i);
            buf_assign(&last, it->key);
        }
    }
    iter_free(it);
    buf_release(&last);
    return NULL;
}

START_TEST(threads_insert_and_read_at_once)
{
    struct shared *s = calloc(1, sizeof(*s));
    pthread_t writer[THREADS], reader[READERS];
    struct writer w[THREADS];
    struct noted segments = {.n = 0};
    struct range_tombstone *list;
    unsigned i, k;
    size_t n;

    test_seed();
    s->m = memtable_new(1 << 20, NULL);
    pthread_barrier_init(&s->start, NULL, THREADS + READERS);
    for (i = 0; i < READERS; i++)
        ck_ok(pthread_create(&reader[i], NULL, read_all_the_time, s));
    for (i = 0; i < THREADS; i++) {
        w[i] = (struct writer){s, i};
        ck_ok(pthread_create(&writer[i], NULL, write_all, &w[i]));
    }
    for (i = 0; i < THREADS; i++)
        ck_ok(pthread_join(writer[i], NULL));
    atomic_store(&s->stop, true);
    for (i = 0; i < READERS; i++)
        ck_ok(pthread_join(reader[i], NULL));
    for (i = 0; i < THREADS; i++)
        for (k = 0; k < PER_WRITER; k++)
            look_for(s, i, k);
    /* PER_WRITER / 8 and no remainder beyond 3: so many range deletes */
    n = THREADS * ((PER_WRITER + 4) / 8);
    ck_assert_uint_eq(memtable_deletes(s->m), n);
    ck_assert_uint_eq(memtable_entries(s->m), (size_t)THREADS * PER_WRITER - n);
    ck_ok(memtable_range_deletes(s->m, &list, &n));
    ck_assert_uint_eq(n, memtable_deletes(s->m));
    free(list);
    memtable_segments(s->m, note, &segments);
    ck_assert_uint_eq(segments.n, (PER_WRITER + 499) / 500);
    pthread_barrier_destroy(&s->start);
    memtable_unref(s->m);
    free(s);
}
END_TEST

/* Some keys that all write: writer and version of each are told by its sequence. */
enum { HOT = 40, HOT_WRITES = 600, HOT_AT_ONCE = 4, HOT_ROUNDS = 20 };

struct hot {
    struct memtable *m;
    _Atomic uint64_t next_seq;
    _Atomic bool stop;
    pthread_barrier_t start;
};

static struct slice hot_key(uint64_t seq, uint8_t key[9])
{
    key[0] = (uint8_t)(seq % 3);
    store_be64(key + 1, seq * seq % HOT);
    return slice_of(key, 9);
}

static void *write_hot(void *arg)
{
    struct memtable_entry e[HOT_AT_ONCE];
    uint8_t key[HOT_AT_ONCE][9];
    struct hot *h = arg;

    pthread_barrier_wait(&h->start);
    for (;;) {
        uint64_t seq = atomic_fetch_add(&h->next_seq, HOT_AT_ONCE);

        if (seq > HOT_WRITES)
            return NULL;
        for (unsigned i = 0; i < HOT_AT_ONCE; i++) {
            struct slice user = hot_key(seq + i, key[i]);

            e[i] = (struct memtable_entry){IKEY_PUT, user, user, seq + i, hash_key(user)};
        }
        if (memtable_insert_all(h->m, e, HOT_AT_ONCE))
            ck_abort_msg("no memory");
    }
}

static size_t walk_hot(struct iter *it)
{
    struct buf last = {0};
    size_t n = 0;

    for (iter_first(it); it->valid; iter_next(it), n++) {
        if (n && ikey_cmp(buf_slice(&last), it->key) >= 0)
            ck_abort_msg("entry %zu is out of order", n);
        if (!slice_eq(it->value, ikey_user(it->key)))
            ck_abort_msg("entry %zu has another's value", n);
        buf_assign(&last, it->key);
    }
    for (iter_last(it); it->valid; iter_prev(it))
        n--;
    buf_release(&last);
    return n; /* forward less backward */
}

static void *walk_all_the_time(void *arg)
{
    struct hot *h = arg;
    struct iter *it = memtable_iter_new(h->m);

    pthread_barrier_wait(&h->start);
    while (!atomic_load(&h->stop))
        walk_hot(it);
    iter_free(it);
    return NULL;
}

static void check_hot(struct hot *h)
{
    struct iter *it = memtable_iter_new(h->m);
    uint64_t seq, trailer;
    struct slice value;
    uint8_t key[9];

    ck_assert_uint_eq(memtable_entries(h->m),
                      atomic_load(&h->next_seq) - 1 - HOT_AT_ONCE * (uint64_t)THREADS);
    ck_assert_uint_eq(walk_hot(it), 0);
    for (seq = 1; seq <= memtable_entries(h->m); seq++) {
        struct slice user = hot_key(seq, key);

        ck_ok(get(h->m, user, seq, &trailer, &value));
        ck_assert_uint_eq(trailer, ikey_pack(seq, IKEY_PUT));
        ck_assert(slice_eq(value, user));
    }
    iter_free(it);
}

START_TEST(threads_write_versions_of_the_same_keys)
{
    for (int round = 0; round < HOT_ROUNDS; round++) {
        struct hot h = {.m = memtable_new(round % 2 ? 64 : 1 << 20, NULL), .next_seq = 1};
        pthread_t writer[THREADS], reader;
        unsigned i;

        pthread_barrier_init(&h.start, NULL, THREADS + 1);
        ck_ok(pthread_create(&reader, NULL, walk_all_the_time, &h));
        for (i = 0; i < THREADS; i++)
            ck_ok(pthread_create(&writer[i], NULL, write_hot, &h));
        for (i = 0; i < THREADS; i++)
            ck_ok(pthread_join(writer[i], NULL));
        atomic_store(&h.stop, true);
        ck_ok(pthread_join(reader, NULL));
        check_hot(&h);
        pthread_barrier_destroy(&h.start);
        memtable_unref(h.m);
    }
}
END_TEST

/* ---- the same key, by two at once ---- */

/* Keys; fewer where the two seldom have processors at the same time. */
enum { TOGETHER = SOAK_SANITIZED ? 4000 : 40000, TOGETHER_LEAST = 500, TOGETHER_S = 20 };

struct together {
    struct memtable *m;
    _Atomic unsigned ready, end;
    uint64_t until_ns;
    unsigned lost;
};

static struct slice key_together(unsigned i, char to[24])
{
    snprintf(to, 24, "%08x together", i * 2654435761u);
    return slice_str(to);
}

/* Each key as soon as the other thread is about to insert a newer version of it; what was
 * inserted is to be found then, whether the other one is through or not. */
static void *insert_older(void *arg)
{
    struct together *s = arg;
    uint64_t trailer;
    struct slice v;
    char k[24];
    unsigned i;

    for (i = 0; i < atomic_load(&s->end); i++) {
        struct slice key = key_together(i, k);

        if (i >= TOGETHER_LEAST && env_now_ns(env_posix()) > s->until_ns)
            atomic_store(&s->end, i + 1); /* before the other one can be there */
        atomic_fetch_add(&s->ready, 1);
        while (atomic_load(&s->ready) < 2 * (i + 1))
            sched_yield();
        ck_ok(memtable_insert(s->m, IKEY_PUT, key, 2 * i + 1, slice_str("old")));
        s->lost += memtable_get(s->m, key, hash_key(key), 2 * i + 1, &trailer, &v) != 0;
    }
    return NULL;
}

static void *insert_newer(void *arg)
{
    struct together *s = arg;
    char k[24];
    unsigned i;

    for (i = 0; i < atomic_load(&s->end); i++) {
        struct slice key = key_together(i, k);

        atomic_fetch_add(&s->ready, 1);
        while (atomic_load(&s->ready) < 2 * (i + 1))
            sched_yield();
        ck_ok(memtable_insert(s->m, IKEY_PUT, key, 2 * i + 2, slice_str("new")));
    }
    return NULL;
}

START_TEST(what_was_inserted_is_found_while_another_inserts_the_same_key)
{
    struct together s = {.m = memtable_new(16 << 20, NULL), .end = TOGETHER};
    pthread_t t[2];

    s.until_ns = env_now_ns(env_posix()) + TOGETHER_S * 1000000000ull;
    ck_assert_int_eq(pthread_create(&t[0], NULL, insert_newer, &s), 0);
    ck_assert_int_eq(pthread_create(&t[1], NULL, insert_older, &s), 0);
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    ck_assert_uint_eq(s.lost, 0);
    memtable_unref(s.m);
}
END_TEST

/* ---- its memory ---- */

enum { BUDGET = 32 << 20, MIB = 1 << 20 };

/* Key n of those in order, or all over. */
static void put_nth(struct memtable *m, uint64_t n, bool in_order)
{
    uint8_t key[16], value[100] = {0};

    store_be64(key, in_order ? n : n * 0x9E3779B97F4A7C15ull);
    store_be64(key + 8, n);
    ck_ok(memtable_insert(m, IKEY_PUT, slice_of(key, sizeof(key)), n + 1,
                          slice_of(value, sizeof(value))));
}

/* Filled with some MiB of such keys it grows by so much at most, in the end. */
static size_t last_growth(struct memory *memory, bool in_order)
{
    struct memtable *m = memtable_new(BUDGET, memory);
    size_t at, begin, growth = 0;

    ck_assert_ptr_nonnull(m);
    begin = at = memtable_bytes(m);
    for (uint64_t n = 0; at < begin + 5 * MIB; n++) {
        put_nth(m, n, in_order);
        if (memtable_bytes(m) > at)
            growth = memtable_bytes(m) - at;
        at = memtable_bytes(m);
    }
    memtable_unref(m);
    return growth;
}

START_TEST(keys_all_over_get_huge_pages_and_those_in_order_do_not)
{
    struct memory memory;

    ck_ok(memory_init(&memory, 4 * BUDGET, 2 * BUDGET));
    ck_assert_uint_lt(last_growth(&memory, true), ENV_HUGE);
    ck_assert_uint_ge(last_growth(&memory, false), ENV_HUGE);
    memory_release(&memory);
}
END_TEST

static size_t used(struct memory *memory)
{
    struct memory_use u;

    memory_get(memory, &u);
    return u.used[MEMORY_MEMTABLES];
}

START_TEST(what_a_memtable_leaves_is_the_next_ones_and_counted)
{
    struct memory memory;
    size_t most = 0;

    ck_ok(memory_init(&memory, 4 * BUDGET, 2 * BUDGET));
    spare_set_limit(&memory.spare, BUDGET);
    for (unsigned round = 0; round < 3; round++) {
        struct memtable *m = memtable_new(BUDGET, &memory);
        size_t bytes;

        ck_assert_ptr_nonnull(m);
        for (uint64_t n = 0; n < 20000; n++)
            put_nth(m, n, true);
        bytes = memtable_bytes(m);
        if (!round)
            most = used(&memory);
        ck_assert_uint_eq(used(&memory), most); /* none is new */
        memtable_unref(m);
        ck_assert_uint_eq(spare_bytes(&memory.spare), bytes);
        ck_assert_uint_eq(used(&memory), most);
    }
    spare_drop(&memory.spare);
    ck_assert_uint_eq(used(&memory), 0);
    memory_release(&memory);
}
END_TEST

TEST_MAIN(
    "memtable",

    TEST_CASE_ALONE(keys_all_over_get_huge_pages_and_those_in_order_do_not),
    TEST_CASE_ALONE(what_a_memtable_leaves_is_the_next_ones_and_counted),

    TEST_CASE_ALONE(get_finds_the_newest_version_at_a_sequence),
    TEST_CASE_ALONE(iterators_walk_both_ways),
    TEST_CASE_ALONE(stepping_from_key_to_key_meets_the_newest_of_each),
    TEST_CASE_ALONE(an_iterator_that_asks_for_a_place_finds_what_was_inserted_until_then),
    TEST_CASE_ALONE(misses_are_answered_and_memory_is_counted),
    TEST_CASE_ALONE(the_last_reference_frees),
    TEST_CASE_ALONE(each_segment_referred_to_is_told_once),
    TEST_CASE_ALONE(what_is_no_pointer_is_not_inserted_as_one),
    TEST_CASE_ALONE(range_deletes_answer_as_each_of_them_would),
    TEST_CASE_ALONE(range_deletes_leave_points_to_be_judged_by_sequence),
    TEST_CASE_ALONE(too_many_range_deletes_crowd_a_memtable),
    TEST_CASE_ALONE(overlapping_range_deletes_are_counted_as_memory_and_do_not_multiply),
    TEST_CASE(threads_insert_and_read_at_once),
    TEST_CASE(threads_write_versions_of_the_same_keys),
    TEST_CASE(what_was_inserted_is_found_while_another_inserts_the_same_key))
