/*
 * test_txn_model.c - random transactions and plain writes among each other, iterators
 * held open over them, against a model of snapshot isolation.
 */
#include <stdlib.h>

#include "tests/options_draw.h"
#include "tests/txn_util.h"

enum { KEYS = 24, TXNS = 4, ITERS = 4, STEPS = 6000 };

/* The store as the model has it: value numbers (0: none), and which commit wrote
 * each key last, deletes included. */
struct state {
    int value[KEYS];
};

struct model_txn {
    struct lsm_txn *t;
    struct state sees; /* snapshot, own writes over it */
    uint64_t began;
    bool wrote[KEYS];
};

struct model_iter {
    struct lsm_iter *it;
    struct state sees;
    int lower, upper;
};

struct model {
    uint64_t rng;
    struct state now;
    uint64_t wrote_at[KEYS];
    uint64_t commits;
    int last_value;
    struct model_txn txn[TXNS];
    struct model_iter iter[ITERS];
    unsigned committed, conflicts;
};

static int below(struct model *m, int n)
{
    return (int)test_below(&m->rng, (uint64_t)n);
}

static struct slice key_of(int i, char to[16])
{
    snprintf(to, 16, "%c%02d", 'a' + i % 3, i); /* several leading letters */
    return slice_str(to);
}

/* Key numbers in the order of their keys. */
static int ordered(int rank)
{
    int per = KEYS / 3;

    return rank % per * 3 + rank / per;
}

/* Sometimes long enough for the value log. */
static struct slice value_of(int n, uint8_t to[1024])
{
    memset(to, n & 0xff, 1024);
    memcpy(to, &n, sizeof(n));
    return slice_of(to, n % 5 ? 4 + (size_t)n % 60 : 1024);
}

static void check_value(struct slice got, int n)
{
    uint8_t want[1024];

    ck_assert(slice_eq(got, value_of(n, want)));
}

/* One write of the transaction, or of everybody's when mt is NULL. */
static void write_something(struct model *m, struct model_txn *mt)
{
    struct lsm_batch *b = lsm_batch_new();
    int from = below(m, KEYS), to = from + 1, kind = below(m, 8), i, n = 0;
    char k[16], k2[16];
    uint8_t bytes[1024];
    struct slice key = key_of(ordered(from), k), end;

    if (kind == 0) {
        to = from + below(m, 5); /* empty when 0 */
        end = to < KEYS ? key_of(ordered(to), k2) : slice_str("z");
        to = to < KEYS ? to : KEYS;
        if (mt)
            ck_ok(lsm_txn_delete_range(mt->t, key, end));
        lsm_batch_delete_range(b, key, end);
    } else if (kind < 3) {
        if (mt)
            ck_ok(lsm_txn_delete(mt->t, key));
        lsm_batch_delete(b, key);
    } else {
        n = ++m->last_value;
        if (mt)
            ck_ok(lsm_txn_put(mt->t, key, value_of(n, bytes)));
        lsm_batch_put(b, key, value_of(n, bytes));
    }
    if (!mt) {
        ck_ok(lsm_write(db, b, LSM_NOSYNC));
        m->commits++;
    }
    lsm_batch_free(b);
    for (i = from; i < to; i++) {
        if (mt) {
            mt->sees.value[i] = n;
            mt->wrote[i] = true;
        } else {
            m->now.value[i] = n;
            m->wrote_at[i] = m->commits;
        }
    }
}

static void begin_model(struct model *m, struct model_txn *mt)
{
    *mt = (struct model_txn){.t = begin(), .sees = m->now, .began = m->commits};
}

static void commit_model(struct model *m, struct model_txn *mt)
{
    bool conflict = false;
    int i, rc = commit(mt->t);

    for (i = 0; i < KEYS; i++)
        conflict |= mt->wrote[i] && m->wrote_at[i] > mt->began;
    ck_assert_msg(rc == (conflict ? -ECANCELED : 0), "commit: %d, conflict %d", rc,
                  conflict);
    mt->t = NULL;
    m->committed += !conflict;
    m->conflicts += conflict;
    if (conflict)
        return;
    m->commits++;
    for (i = 0; i < KEYS; i++)
        if (mt->wrote[i]) {
            m->now.value[i] = mt->sees.value[i];
            m->wrote_at[i] = m->commits;
        }
}

static void read_something(struct model *m, struct model_txn *mt)
{
    const struct state *s = mt ? &mt->sees : &m->now;
    int i = below(m, KEYS), rc;
    struct lsm_value v = {0};
    char k[16];
    struct slice key = key_of(ordered(i), k);

    rc = mt ? lsm_txn_get(mt->t, key, &v) : lsm_get(db, NULL, key, &v);
    ck_assert_int_eq(rc, s->value[i] ? 0 : -ENOENT);
    if (!rc)
        check_value(v.value, s->value[i]);
    lsm_value_release(&v);
    if (mt)
        ck_assert_int_eq(lsm_txn_exists(mt->t, key), rc);
}

static void open_iter(struct model *m, struct model_iter *mi, struct model_txn *mt)
{
    struct lsm_iter_options o = {0};
    struct slice lower, upper;
    char k[16], k2[16];

    lsm_iter_free(mi->it);
    mi->sees = mt->sees;
    mi->lower = below(m, 2) ? 0 : below(m, KEYS);
    mi->upper = below(m, 2) ? KEYS : below(m, KEYS);
    if (mi->lower) {
        lower = key_of(ordered(mi->lower), k);
        o.lower = &lower;
    }
    if (mi->upper < KEYS) {
        upper = key_of(ordered(mi->upper), k2);
        o.upper = &upper;
    }
    ck_ok(lsm_txn_iter_new(mt->t, &o, &mi->it));
}

/* The next that the model sees from rank `at` on, in a direction; -1: none. */
static int model_seek(const struct model_iter *mi, int at, int step)
{
    if (step > 0 && at < mi->lower)
        at = mi->lower;
    if (step < 0 && at >= mi->upper)
        at = mi->upper - 1;
    while (at >= mi->lower && at < mi->upper && !mi->sees.value[at])
        at += step;
    return at >= mi->lower && at < mi->upper ? at : -1;
}

static void check_at(struct model_iter *mi, int at)
{
    struct slice v;
    char k[16];

    ck_ok(lsm_iter_error(mi->it));
    ck_assert_int_eq(lsm_iter_valid(mi->it), at >= 0);
    if (at < 0)
        return;
    ck_assert(slice_eq(lsm_iter_key(mi->it), key_of(ordered(at), k)));
    ck_ok(lsm_iter_value(mi->it, &v));
    check_value(v, mi->sees.value[at]);
}

static void walk(struct model *m, struct model_iter *mi)
{
    int start = below(m, KEYS), at, steps = below(m, 30);
    char k[16];
    struct slice key = key_of(ordered(start), k);

    switch (below(m, 4)) {
    case 0:
        lsm_iter_first(mi->it);
        at = model_seek(mi, 0, 1);
        break;
    case 1:
        lsm_iter_last(mi->it);
        at = model_seek(mi, KEYS - 1, -1);
        break;
    case 2:
        lsm_iter_seek(mi->it, key);
        at = model_seek(mi, start, 1);
        break;
    default:
        lsm_iter_seek_prev(mi->it, key);
        at = model_seek(mi, start, -1);
    }
    check_at(mi, at);
    while (at >= 0 && steps--) {
        int step = below(m, 4) ? 1 : -1;

        if (start % 2)
            step = -step;
        step > 0 ? lsm_iter_next(mi->it) : lsm_iter_prev(mi->it);
        at = model_seek(mi, at + step, step);
        check_at(mi, at);
    }
}

static void step_txn(struct model *m, struct model_txn *mt)
{
    struct model_iter *mi = &m->iter[below(m, ITERS)];

    switch (below(m, 16)) {
    case 0:
        commit_model(m, mt);
        break;
    case 1:
        if (below(m, 4) == 0) {
            lsm_txn_free(mt->t);
            mt->t = NULL;
        }
        break;
    case 2:
    case 3:
        open_iter(m, mi, mt);
        walk(m, mi);
        break;
    case 4:
    case 5:
    case 6:
        write_something(m, mt);
        break;
    default:
        read_something(m, mt);
    }
}

static void step_model(struct model *m)
{
    struct model_txn *mt = &m->txn[below(m, TXNS)];
    struct model_iter *mi = &m->iter[below(m, ITERS)];

    switch (below(m, 40)) {
    case 0:
    case 1:
        write_something(m, NULL);
        return;
    case 2:
        read_something(m, NULL);
        return;
    case 3:
        if (below(m, 4) == 0)
            ck_ok(lsm_flush(db));
        return;
    case 4:
        if (below(m, 8) == 0)
            ck_ok(lsm_compact(db, below(m, 2)));
        return;
    case 5:
    case 6:
        if (mi->it)
            walk(m, mi);
        return;
    default:
        if (mt->t)
            step_txn(m, mt);
        else
            begin_model(m, mt);
    }
}

static void run_model(struct soak *s, unsigned *committed, unsigned *conflicts)
{
    static struct model m;
    struct lsm_options o;
    char text[OPTIONS_TEXT];
    int i;

    m = (struct model){.rng = soak_seed(s) | 1};
    env = env_mem_new(soak_seed(s));
    options_draw(&o, options_seed(soak_seed(s), 0), 0);
    o.env = env;
    soak_tell(s, "options: %s", options_text(&o, text));
    s->option_sets++;
    s->operations += STEPS;
    ck_ok(lsm_open("/s", &o, &db));
    for (i = 0; i < STEPS; i++)
        step_model(&m);
    for (i = 0; i < TXNS; i++)
        lsm_txn_free(m.txn[i].t);
    for (i = 0; i < ITERS; i++)
        lsm_iter_free(m.iter[i].it);
    for (i = 0; i < 100; i++)
        read_something(&m, NULL);
    *committed += m.committed;
    *conflicts += m.conflicts;
    close_store();
}

START_TEST(random_transactions_agree_with_the_model)
{
    unsigned committed = 0, conflicts = 0;
    struct soak s;

    for (soak_begin(&s); soak_on(&s);)
        run_model(&s, &committed, &conflicts);
    ck_assert_uint_gt(committed, 10);
    ck_assert_uint_gt(conflicts, 10);
    printf("%u transactions committed, %u had a conflict\n", committed, conflicts);
    soak_end(&s);
}
END_TEST

TEST_MAIN("txn model", TEST_CASE_SOAK(random_transactions_agree_with_the_model))
