/*
 * test_skiplist.c - lsm/arena.h, lsm/skiplist.h, lsm/skip_later.h. The reference is a
 * sorted array. What threads do at once is meant for TSan as much as for the checks.
 */
#include "test.h"

#include <inttypes.h>
#include <stdlib.h>

#include "lsm/skip_later.h"
#include "lsm/skiplist.h"

#include "entries.h"

enum { THREADS = 4, READERS = 2 };

struct list {
    struct arena arena;
    struct skiplist skip;
};

static void list_init(struct list *l, size_t chunk_bytes)
{
    arena_init(&l->arena, chunk_bytes, NULL);
    ck_ok(skiplist_init(&l->skip, &l->arena));
}

static void list_release(struct list *l)
{
    arena_release(&l->arena);
}

static void insert(struct list *l, const struct entry *e)
{
    struct slice ikey = buf_slice(&e->ikey);

    ck_ok(skiplist_insert(&l->skip, ikey_user(ikey), ikey_trailer(ikey),
                          buf_slice(&e->value)));
}

static void insert_str(struct list *l, const char *key, uint64_t seq)
{
    ck_ok(skiplist_insert(&l->skip, slice_str(key), ikey_pack(seq, IKEY_PUT),
                          slice_str(key)));
}

static struct skip_node *make(struct list *l, const char *key, uint64_t seq)
{
    struct skip_node *n =
        skiplist_make(&l->skip, slice_str(key), ikey_pack(seq, IKEY_PUT), slice_str(key));

    ck_assert_ptr_nonnull(n);
    return n;
}

static struct slice user_of(const struct skip_node *n)
{
    return ikey_user(skip_node_key(n));
}

/* n is entry i; or, i >= es->n, NULL. */
static void check_node(const struct skip_node *n, const struct entries *es, size_t i)
{
    ck_assert((n != NULL) == (i < es->n));
    if (!n)
        return;
    ck_assert(slice_eq(skip_node_key(n), buf_slice(&es->e[i].ikey)));
    ck_assert(slice_eq(skip_node_value(n), buf_slice(&es->e[i].value)));
}

static void check_around(void *arg, const struct entries *es, struct slice ikey)
{
    const struct list *l = arg;
    size_t i = entries_find(es, ikey);

    check_node(skiplist_seek(&l->skip, ikey_user(ikey), ikey_trailer(ikey)), es, i);
    check_node(skiplist_before(&l->skip, ikey_user(ikey), ikey_trailer(ikey)), es,
               i > 0 ? i - 1 : es->n);
}

/* The list holds the entries and nothing else. */
static void check_list(struct list *l, const struct entries *es, uint64_t *r)
{
    const struct skip_node *n = skiplist_first(&l->skip);
    size_t i;

    for (i = 0; i < es->n; i++, n = skip_node_next(n))
        check_node(n, es, i);
    ck_assert_ptr_null(n);
    check_node(skiplist_last(&l->skip), es, es->n ? es->n - 1 : 0);
    entries_probe(es, r, check_around, l);
}

static size_t *shuffled(size_t n, uint64_t *r)
{
    size_t *order = malloc((n + 1) * sizeof(*order));
    size_t i;

    for (i = 0; i < n; i++) {
        size_t j = test_below(r, i + 1);

        order[i] = order[j];
        order[j] = i;
    }
    return order;
}

/* ---- arena ---- */

static bool is_filled(const uint8_t *p, size_t n, uint8_t mark)
{
    return n == 0 || (p[0] == mark && memcmp(p, p + 1, n - 1) == 0);
}

START_TEST(arena_pieces_are_aligned_and_do_not_overlap)
{
    enum { N = 3000 };
    uint64_t r = test_seed();
    uint8_t *piece[N];
    size_t size[N], sum = 0, i;
    struct arena a;

    arena_init(&a, 4096, NULL);
    ck_assert_uint_eq(arena_bytes(&a), 0);
    for (i = 0; i < N; i++) {
        /* Some beyond a chunk, many at its end. */
        size[i] = test_below(&r, 50) ? test_below(&r, 200) : test_below(&r, 20000);
        piece[i] = arena_alloc(&a, i % ARENA_STREAMS, size[i]);
        ck_assert_ptr_nonnull(piece[i]);
        ck_assert_uint_eq((uintptr_t)piece[i] % 8, 0);
        memset(piece[i], (uint8_t)i, size[i]);
        sum += size[i];
    }
    for (i = 0; i < N; i++)
        ck_assert(is_filled(piece[i], size[i], (uint8_t)i));
    ck_assert_uint_ge(arena_bytes(&a), sum);
    ck_assert_uint_le(arena_bytes(&a), sum + sum / 2 + 8192);
    arena_release(&a);
}
END_TEST

struct arena_user {
    struct arena *a;
    uint64_t seed;
    uint8_t mark;
};

static void *use_arena(void *arg)
{
    enum { N = 2000 };
    struct arena_user *u = arg;
    uint8_t *piece[N];
    size_t size[N], i;

    for (i = 0; i < N; i++) {
        size[i] = test_below(&u->seed, 300) + (i % 100 == 0 ? 5000 : 0);
        piece[i] = arena_alloc(u->a, i % ARENA_STREAMS, size[i]);
        ck_assert_ptr_nonnull(piece[i]);
        memset(piece[i], u->mark, size[i]);
    }
    for (i = 0; i < N; i++)
        ck_assert(is_filled(piece[i], size[i], u->mark));
    return NULL;
}

START_TEST(threads_get_pieces_of_their_own)
{
    uint64_t r = test_seed();
    struct arena_user user[THREADS];
    pthread_t t[THREADS];
    struct arena a;
    int i;

    arena_init(&a, 4096, NULL);
    for (i = 0; i < THREADS; i++) {
        user[i] = (struct arena_user){&a, test_random(&r) | 1, (uint8_t)(i + 1)};
        ck_ok(pthread_create(&t[i], NULL, use_arena, &user[i]));
    }
    for (i = 0; i < THREADS; i++)
        ck_ok(pthread_join(t[i], NULL));
    arena_release(&a);
}
END_TEST

/* ---- one thread ---- */

START_TEST(an_empty_list_has_nothing)
{
    struct list l;

    list_init(&l, 4096);
    ck_assert_ptr_null(skiplist_first(&l.skip));
    ck_assert_ptr_null(skiplist_last(&l.skip));
    ck_assert_ptr_null(skiplist_seek(&l.skip, slice_of(NULL, 0), UINT64_MAX));
    ck_assert_ptr_null(skiplist_before(&l.skip, slice_str("x"), 0));
    list_release(&l);
}
END_TEST

static void check_in_random_order(const struct entries *es, uint64_t *r)
{
    size_t *order = shuffled(es->n, r);
    struct list l;

    list_init(&l, 4096);
    for (size_t i = 0; i < es->n; i++)
        insert(&l, &es->e[order[i]]);
    check_list(&l, es, r);
    list_release(&l);
    free(order);
}

START_TEST(inserts_in_any_order_are_found_in_key_order)
{
    uint64_t r = test_seed();
    int round;

    for (round = 0; round < 15; round++) {
        struct entries es = entries_random(&r, 1 + test_below(&r, 1000),
                                           test_below(&r, 12), test_below(&r, 30));

        check_in_random_order(&es, &r);
        entries_free(&es);
    }
}
END_TEST

static int entry_order(const void *a, const void *b)
{
    return ikey_cmp(buf_slice(&((const struct entry *)a)->ikey),
                    buf_slice(&((const struct entry *)b)->ikey));
}

/* What links tell of keys (skip_mark.h) is of their first bits, and of those that differ:
 * zeros, which are like no bytes at all, and all places up to and beyond the last one. */
START_TEST(keys_that_differ_in_one_bit_or_in_zeros_are_in_order)
{
    enum { LONGEST = 80 };
    uint64_t r = test_seed(), seq = 0;
    uint8_t key[LONGEST] = {0};
    struct entries es = {0};

    for (unsigned len = 0; len <= LONGEST; len++) {
        entries_add(&es, slice_of(key, len), ++seq, IKEY_PUT, slice_of(key, len));
        for (unsigned bit = 0; bit < 8 * len; bit += 1 + (unsigned)test_below(&r, 20)) {
            key[bit / 8] ^= (uint8_t)(1 << bit % 8);
            entries_add(&es, slice_of(key, len), ++seq, IKEY_PUT, slice_of(key, len));
            key[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        if (len % 10 == 9)
            key[test_below(&r, LONGEST)] = (uint8_t)test_random(&r);
    }
    qsort(es.e, es.n, sizeof(*es.e), entry_order);
    check_in_random_order(&es, &r);
    entries_free(&es);
}
END_TEST

START_TEST(versions_of_a_key_stand_newest_first)
{
    static const uint64_t seqs[] = {5, 900, 1, IKEY_SEQ_MAX, 77, 6};
    static const uint64_t want[] = {IKEY_SEQ_MAX, 900, 77, 6, 5, 1};
    const struct skip_node *n;
    struct list l;
    size_t i;

    list_init(&l, 4096);
    insert_str(&l, "a", 3);
    insert_str(&l, "c", 4);
    for (i = 0; i < 6; i++)
        insert_str(&l, "b", seqs[i]);
    n = skip_node_next(skiplist_first(&l.skip));
    for (i = 0; i < 6; i++, n = skip_node_next(n)) {
        ck_slice_str(user_of(n), "b");
        ck_assert_uint_eq(ikey_seq(skip_node_key(n)), want[i]);
    }
    ck_slice_str(user_of(n), "c");
    /* The newest at or before 80 */
    n = skiplist_seek(&l.skip, slice_str("b"), 80 << 8 | 0xff);
    ck_assert_uint_eq(ikey_seq(skip_node_key(n)), 77);
    /* None that old: the next key */
    n = skiplist_seek(&l.skip, slice_str("b"), 0 << 8 | 0xff);
    ck_slice_str(user_of(n), "c");
    list_release(&l);
}
END_TEST

/* As many versions as a directory's record has: none may be far from the first. */
START_TEST(of_many_versions_each_is_found_and_has_its_neighbours)
{
    enum { N = 30000 };
    struct skip_node *first;
    const struct skip_node *n;
    uint64_t r = test_seed(), i;
    struct list l;

    list_init(&l, 64 << 10);
    insert_str(&l, "a", 1);
    first = make(&l, "k", 2);
    ck_assert(skiplist_link(&l.skip, first));
    insert_str(&l, "z", 1);
    for (i = 2; i <= N; i++) {
        if (i % 10) {
            ck_ok(skiplist_add_version(&l.skip, first, ikey_pack(2 * i, IKEY_PUT),
                                       slice_str("")));
        } else {
            ck_ok(skiplist_insert(&l.skip, slice_str("k"), ikey_pack(2 * i, IKEY_PUT),
                                  slice_str("")));
        }
    }
    ck_err(skiplist_add_version(&l.skip, first, ikey_pack(1, IKEY_PUT), slice_str("")),
           ESTALE);
    ck_assert_ptr_null(skip_node_version(first, 1 << 8));
    for (i = 0; i < N; i++) {
        uint64_t seq = 2 + test_below(&r, 2 * N - 1);

        n = skip_node_version(first, seq << 8 | 0xff);
        ck_assert_uint_eq(ikey_seq(skip_node_key(n)), seq & ~1ull);
        ck_assert_ptr_eq(n, skiplist_seek(&l.skip, slice_str("k"), seq << 8 | 0xff));
        n = skiplist_before(&l.skip, slice_str("k"), seq << 8 | 0xff);
        if (seq >= 2 * N)
            ck_slice_str(user_of(n), "a");
        else
            ck_assert_uint_eq(ikey_seq(skip_node_key(n)), (seq & ~1ull) + 2);
    }
    ck_slice_str(user_of(skiplist_seek(&l.skip, slice_str("k"), 1 << 8)), "z");
    n = skiplist_before(&l.skip, slice_str("z"), UINT64_MAX);
    ck_assert_uint_eq(ikey_seq(skip_node_key(n)), 2);
    for (n = skip_node_next(skiplist_first(&l.skip)), i = N; i;
         n = skip_node_next(n), i--)
        ck_assert_uint_eq(ikey_seq(skip_node_key(n)), 2 * i);
    ck_slice_str(user_of(n), "z");
    list_release(&l);
}
END_TEST

START_TEST(the_first_node_of_a_key_is_told_and_stays_first)
{
    struct skip_node *first, *older;
    const struct skip_node *n;
    struct list l;

    list_init(&l, 4096);
    first = make(&l, "k", 5);
    ck_assert(skiplist_link(&l.skip, first));
    older = make(&l, "k", 3); /* a node behind it */
    ck_assert(!skiplist_link(&l.skip, older));
    ck_assert(!skiplist_link(&l.skip, make(&l, "k", 4))); /* a version of that */
    ck_ok(skiplist_add_version(&l.skip, first, ikey_pack(9, IKEY_PUT), slice_str("")));
    ck_ok(skiplist_add_version(&l.skip, first, ikey_pack(7, IKEY_PUT), slice_str("")));
    for (uint64_t seq = 3; seq < 12; seq++) {
        static const uint64_t want[] = {3, 4, 5, 5, 7, 7, 9, 9, 9};

        n = skiplist_seek(&l.skip, slice_str("k"), seq << 8 | 0xff);
        ck_assert_uint_eq(ikey_seq(skip_node_key(n)), want[seq - 3]);
        ck_assert_ptr_eq(skip_node_version(seq < 5 ? older : first, seq << 8 | 0xff), n);
    }
    ck_assert_ptr_null(skip_node_version(first, 4 << 8 | 0xff));
    ck_assert_ptr_null(skip_node_version(older, 2 << 8 | 0xff));
    list_release(&l);
}
END_TEST

START_TEST(types_of_one_sequence_stand_greatest_first)
{
    const struct skip_node *n;
    struct list l;

    list_init(&l, 4096);
    ck_ok(skiplist_insert(&l.skip, slice_str("k"), ikey_pack(7, IKEY_DELETE),
                          slice_str("")));
    ck_ok(skiplist_insert(&l.skip, slice_str("k"), ikey_pack(7, IKEY_PUT_REF),
                          slice_str("")));
    ck_ok(
        skiplist_insert(&l.skip, slice_str("k"), ikey_pack(7, IKEY_PUT), slice_str("")));
    n = skiplist_first(&l.skip);
    ck_assert_int_eq(ikey_type(skip_node_key(n)), IKEY_PUT_REF);
    n = skip_node_next(n);
    ck_assert_int_eq(ikey_type(skip_node_key(n)), IKEY_PUT);
    n = skip_node_next(n);
    ck_assert_int_eq(ikey_type(skip_node_key(n)), IKEY_DELETE);
    list_release(&l);
}
END_TEST

START_TEST(keys_and_values_of_any_size_are_kept_whole)
{
    static const size_t sizes[] = {0, 1, 7, 8, 9, 1023, 1024, 1025, LSM_KEY_MAX};
    uint8_t *bytes = malloc(1 << 20);
    uint64_t r = test_seed();
    struct list l;
    size_t i;

    for (i = 0; i < 1 << 20; i++)
        bytes[i] = (uint8_t)test_random(&r);
    list_init(&l, 4096);
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        ck_ok(skiplist_insert(&l.skip, slice_of(bytes + i, sizes[i]), i << 8,
                              slice_of(bytes, i % 2 ? sizes[i] : (1 << 20) - i)));
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const struct skip_node *n =
            skiplist_seek(&l.skip, slice_of(bytes + i, sizes[i]), UINT64_MAX);

        ck_assert(slice_eq(user_of(n), slice_of(bytes + i, sizes[i])));
        ck_assert(slice_eq(skip_node_value(n),
                           slice_of(bytes, i % 2 ? sizes[i] : (1 << 20) - i)));
    }
    list_release(&l);
    free(bytes);
}
END_TEST

/* ---- the remembered place: it may only ever save work ---- */

/* "SNNNNNN": stream S's N-th key, so that a stream ascends. */
static void stream_key(struct entries *es, char stream, unsigned n)
{
    char key[16];

    snprintf(key, sizeof(key), "%c%06u", stream, n);
    entries_add(es, slice_str(key), n + 1, IKEY_PUT, slice_str(key));
}

static int cmp_entry(const void *a, const void *b)
{
    return ikey_cmp(buf_slice(&((const struct entry *)a)->ikey),
                    buf_slice(&((const struct entry *)b)->ikey));
}

/* Insert in the order given, then compare with the sorted. */
static void check_in_order_given(struct entries *es, uint64_t *r)
{
    struct list l;
    size_t i;

    list_init(&l, 64 << 10);
    for (i = 0; i < es->n; i++)
        insert(&l, &es->e[i]);
    qsort(es->e, es->n, sizeof(*es->e), cmp_entry);
    check_list(&l, es, r);
    list_release(&l);
    entries_free(es);
}

START_TEST(an_ascending_run_is_in_order)
{
    uint64_t r = test_seed();
    struct entries es = {0};
    unsigned i;

    for (i = 0; i < 10000; i++)
        stream_key(&es, 'a', i);
    check_in_order_given(&es, &r);
}
END_TEST

START_TEST(a_descending_run_is_in_order)
{
    uint64_t r = test_seed();
    struct entries es = {0};
    unsigned i;

    for (i = 5000; i-- > 0;)
        stream_key(&es, 'a', i);
    check_in_order_given(&es, &r);
}
END_TEST

START_TEST(ascending_streams_may_be_interleaved)
{
    /* 'a' and 'i' share a remembered place, 'a' and 'b' do not. */
    static const char streams[] = "ai"
                                  "b"
                                  "Iqyz";
    uint64_t r = test_seed();
    struct entries es = {0};
    unsigned i, s;

    for (i = 0; i < 1000; i++)
        for (s = 0; s < sizeof(streams) - 1; s++)
            stream_key(&es, streams[s], i);
    check_in_order_given(&es, &r);
}
END_TEST

START_TEST(runs_may_meet_and_overtake_each_other)
{
    uint64_t r = test_seed();
    struct entries es = {0};
    unsigned i, at = 0, n;

    /* Bursts of even keys that ascend, of odd ones that descend. */
    while (at < 3000) {
        n = 1 + (unsigned)test_below(&r, 40);
        for (i = 0; i < n; i++)
            stream_key(&es, 'a', 2 * (at + i));
        for (i = n; i-- > 0;)
            stream_key(&es, 'a', 2 * (at + i) + 1);
        at += n;
    }
    check_in_order_given(&es, &r);
}
END_TEST

START_TEST(what_waits_is_in_the_list_when_somebody_asks_for_all_of_it)
{
    enum { N = 3000 };
    uint64_t r = test_seed();
    struct skip_later later;
    struct list l;

    list_init(&l, 64 << 10);
    skip_later_init(&later, &l.skip);
    for (unsigned i = 1; i <= N; i++) {
        char key[20];
        const struct skip_node *n;
        unsigned count = 0;

        snprintf(key, sizeof(key), "%016" PRIx64, test_random(&r));
        if (i % 3)
            skip_later_put(&later, make(&l, key, i));
        else
            insert_str(&l, key, i); /* beside those that wait */
        if (test_below(&r, 100))
            continue;
        skip_later_all(&later);
        n = skiplist_seek(&l.skip, slice_str(key), UINT64_MAX);
        ck_slice_str(user_of(n), key);
        for (n = skiplist_first(&l.skip); n; n = skip_node_next(n), count++) {
            const struct skip_node *next = skip_node_next(n);

            ck_assert(slice_eq(skip_node_value(n), user_of(n)));
            ck_assert(!next || slice_cmp(user_of(n), user_of(next)) < 0);
        }
        ck_assert_uint_eq(count, i);
    }
    skip_later_release(&later);
    list_release(&l);
}
END_TEST

struct late {
    struct skip_later *later;
    struct skip_node *n;
    _Atomic bool back;
};

static void *put_late(void *arg)
{
    struct late *late = arg;

    skip_later_put(late->later, late->n);
    atomic_store(&late->back, true);
    return NULL;
}

START_TEST(who_comes_when_a_thousand_wait_waits_for_the_one_who_puts_them_in)
{
    enum { MOST = 1024 };
    struct skip_later later;
    struct late late = {.later = &later};
    const struct skip_node *n;
    unsigned count = 0;
    uint64_t before;
    struct list l;
    char key[20];
    pthread_t id;

    list_init(&l, 64 << 10);
    skip_later_init(&later, &l.skip);
    mutex_lock(&later.mu); /* as who puts them in, and is put aside meanwhile */
    for (unsigned i = MOST; i > 0; i--) {
        snprintf(key, sizeof(key), "%04u", i);
        late.n = make(&l, key, i);
        if (i > 1)
            skip_later_put(&later, late.n);
    }
    ck_assert_ptr_null(skiplist_first(&l.skip));
    before = atomic_load(&later.waiting);
    ck_assert_int_eq(pthread_create(&id, NULL, put_late, &late), 0);
    ck_soon(atomic_load(&later.waiting) != before);
    usleep(20000);
    ck_assert(!atomic_load(&late.back));
    mutex_unlock(&later.mu);
    pthread_join(id, NULL);
    for (n = skiplist_first(&l.skip); n; n = skip_node_next(n)) {
        snprintf(key, sizeof(key), "%04u", ++count);
        ck_slice_str(user_of(n), key);
    }
    ck_assert_uint_eq(count, MOST);
    skip_later_release(&later);
    list_release(&l);
}
END_TEST

START_TEST(a_node_that_waits_has_versions_and_comes_before_older_ones_of_its_key)
{
    static const uint64_t want[] = {8, 7, 5, 4, 2};
    struct skip_later later;
    struct skip_node *n;
    const struct skip_node *at;
    struct list l;

    list_init(&l, 4096);
    skip_later_init(&later, &l.skip);
    insert_str(&l, "a", 1);
    n = make(&l, "k", 5);
    skip_later_put(&later, n);
    ck_ok(skiplist_add_version(&l.skip, n, ikey_pack(8, IKEY_PUT), slice_str("")));
    insert_str(&l, "k", 2);
    insert_str(&l, "k", 4);
    ck_err(skiplist_add_version(&l.skip, n, ikey_pack(3, IKEY_PUT), slice_str("")),
           ESTALE);
    ck_assert_uint_eq(ikey_seq(skip_node_key(skip_node_version(n, 7 << 8))), 5);
    ck_assert_ptr_null(skip_node_version(n, 5 << 8));
    skip_later_all(&later);
    ck_ok(skiplist_add_version(&l.skip, n, ikey_pack(7, IKEY_PUT), slice_str("")));
    at = skip_node_next(skiplist_first(&l.skip));
    for (unsigned i = 0; i < 5; i++, at = skip_node_next(at))
        ck_assert_uint_eq(ikey_seq(skip_node_key(at)), want[i]);
    ck_assert_ptr_null(at);
    skip_later_release(&later);
    list_release(&l);
}
END_TEST

START_TEST(a_place_in_another_list_is_not_used)
{
    uint64_t r = test_seed();
    struct entries es = {0};
    struct list a, b;
    unsigned i, round;

    /* Alternately, and in lists that are gone: the memory may be the same. */
    for (i = 0; i < 300; i++)
        stream_key(&es, 'a', i);
    for (round = 0; round < 6; round++) {
        list_init(&a, 4096);
        list_init(&b, 4096);
        for (i = 0; i < es.n; i++) {
            insert(&a, &es.e[i]);
            insert(&b, &es.e[i]);
        }
        check_list(&a, &es, &r);
        list_release(&a);
        check_list(&b, &es, &r);
        list_release(&b);
    }
    entries_free(&es);
}
END_TEST

/* ---- many threads ---- */

enum { TOTAL = 32000 };

/* Writers take numbers from one counter, so that, with ascending keys, they all
 * insert between the same two nodes. */
struct shared {
    struct list l;
    struct skip_later later;
    _Atomic unsigned next;
    _Atomic bool done[TOTAL]; /* is inserted */
    _Atomic bool stop;
    pthread_barrier_t start;
    bool ascending;
};

/* The i-th key; spread: by a bijection of 16 bits. */
static struct slice key_of(const struct shared *s, unsigned i, uint8_t key[8])
{
    store_be64(key, s->ascending ? i : (i * 40503u) & 0xffff);
    return slice_of(key, 8);
}

static void *write_keys(void *arg)
{
    struct shared *s = arg;
    uint8_t key[8];
    unsigned i;

    pthread_barrier_wait(&s->start);
    while ((i = atomic_fetch_add(&s->next, 1)) < TOTAL) {
        struct slice user = key_of(s, i, key);

        struct skip_node *n =
            skiplist_make(&s->l.skip, user, ikey_pack(i + 1, IKEY_PUT), user);

        /* Not ck_ok, whose bookkeeping would keep the threads apart. */
        if (!n)
            ck_abort_msg("no memory");
        if (i % 4 == 0)
            skiplist_link(&s->l.skip, n);
        else if (i % 4 == 1 || !skiplist_link_near(&s->l.skip, n))
            skip_later_put(&s->later, n);
        atomic_store_explicit(&s->done[i], true, memory_order_release);
    }
    return NULL;
}

/* In strict order from end to end, and whole. */
static size_t walk(struct shared *s)
{
    const struct skip_node *n, *prev = NULL;
    size_t count = 0;

    skip_later_all(&s->later);
    n = skiplist_first(&s->l.skip);

    for (; n; prev = n, n = skip_node_next(n), count++) {
        if (!slice_eq(user_of(n), skip_node_value(n)))
            ck_abort_msg("the value of node %zu is not its own", count);
        if (prev && ikey_cmp(skip_node_key(prev), skip_node_key(n)) >= 0)
            ck_abort_msg("node %zu is out of order", count);
    }
    return count;
}

static void find_one(struct shared *s, uint64_t *r)
{
    unsigned next = atomic_load(&s->next), i;
    const struct skip_node *n;
    uint8_t key[8];
    struct slice user;

    i = (unsigned)test_below(r, next < TOTAL ? next : TOTAL);
    if (!atomic_load_explicit(&s->done[i], memory_order_acquire))
        return;
    user = key_of(s, i, key);
    skip_later_all(&s->later);
    n = skiplist_seek(&s->l.skip, user, UINT64_MAX);
    if (!n || !slice_eq(user_of(n), user))
        ck_abort_msg("key %u is inserted and not found", i);
    n = skiplist_before(&s->l.skip, user, UINT64_MAX);
    if (n && slice_cmp(user_of(n), user) >= 0)
        ck_abort_msg("what is before key %u is not less", i);
}

static void *read_keys(void *arg)
{
    struct shared *s = arg;
    uint64_t r = test_seed();
    size_t count, before = 0;
    int i;

    pthread_barrier_wait(&s->start);
    while (!atomic_load(&s->stop)) {
        for (i = 0; i < 200; i++)
            find_one(s, &r);
        count = walk(s);
        ck_assert_uint_ge(count, before);
        before = count;
    }
    return NULL;
}

static void write_and_read(bool ascending)
{
    struct shared *s = calloc(1, sizeof(*s));
    pthread_t writer[THREADS], reader[READERS];
    uint64_t r = test_seed();
    unsigned i;

    s->ascending = ascending;
    list_init(&s->l, 16 << 10);
    skip_later_init(&s->later, &s->l.skip);
    pthread_barrier_init(&s->start, NULL, THREADS + READERS);
    for (i = 0; i < READERS; i++)
        ck_ok(pthread_create(&reader[i], NULL, read_keys, s));
    for (i = 0; i < THREADS; i++)
        ck_ok(pthread_create(&writer[i], NULL, write_keys, s));
    for (i = 0; i < THREADS; i++)
        ck_ok(pthread_join(writer[i], NULL));
    atomic_store(&s->stop, true);
    for (i = 0; i < READERS; i++)
        ck_ok(pthread_join(reader[i], NULL));
    ck_assert_uint_eq(walk(s), TOTAL);
    for (i = 0; i < 5000; i++)
        find_one(s, &r);
    pthread_barrier_destroy(&s->start);
    skip_later_release(&s->later);
    list_release(&s->l);
    free(s);
}

START_TEST(threads_insert_spread_keys_while_others_read)
{
    write_and_read(false);
}
END_TEST

START_TEST(threads_insert_at_one_end_while_others_read)
{
    write_and_read(true);
}
END_TEST

TEST_MAIN("skiplist", TEST_CASE_ALONE(arena_pieces_are_aligned_and_do_not_overlap),
          TEST_CASE(threads_get_pieces_of_their_own),
          TEST_CASE_ALONE(an_empty_list_has_nothing),
          TEST_CASE_ALONE(inserts_in_any_order_are_found_in_key_order),
          TEST_CASE_ALONE(versions_of_a_key_stand_newest_first),
          TEST_CASE_ALONE(of_many_versions_each_is_found_and_has_its_neighbours),
          TEST_CASE_ALONE(the_first_node_of_a_key_is_told_and_stays_first),
          TEST_CASE_ALONE(types_of_one_sequence_stand_greatest_first),
          TEST_CASE_ALONE(keys_and_values_of_any_size_are_kept_whole),
          TEST_CASE_ALONE(an_ascending_run_is_in_order),
          TEST_CASE_ALONE(a_descending_run_is_in_order),
          TEST_CASE_ALONE(ascending_streams_may_be_interleaved),
          TEST_CASE_ALONE(runs_may_meet_and_overtake_each_other),
          TEST_CASE_ALONE(keys_that_differ_in_one_bit_or_in_zeros_are_in_order),
          TEST_CASE_ALONE(a_place_in_another_list_is_not_used),
          TEST_CASE_ALONE(what_waits_is_in_the_list_when_somebody_asks_for_all_of_it),
          TEST_CASE_ALONE(
              a_node_that_waits_has_versions_and_comes_before_older_ones_of_its_key),
          TEST_CASE(who_comes_when_a_thousand_wait_waits_for_the_one_who_puts_them_in),
          TEST_CASE(threads_insert_spread_keys_while_others_read),
          TEST_CASE(threads_insert_at_one_end_while_others_read))
