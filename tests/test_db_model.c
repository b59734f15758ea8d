/*
 * test_db_model.c - random operations against a sorted map: puts, deletes,
 * range deletes, shares, batches, snapshots, iterators, flush, compaction,
 * reopen. Every answer of the engine must be the map's. Options are drawn at
 * random, small enough for every path to be taken.
 */
#include "tests/env_mem.h"
#include "tests/options_draw.h"
#include "tests/test.h"

#include <stdlib.h>

enum { KEYS = 400, SNAPS = 4, MAX_VALUE = 20000 };

/* The map: for each of KEYS keys the seed and length of its value; len -1: none.
 * A value is a window into the half random bytes that its seed makes. */
struct cell {
    uint64_t seed;
    int off, len;
};

struct model {
    struct cell now[KEYS];
    struct cell then[SNAPS][KEYS];
    struct lsm_snapshot *snap[SNAPS];
    struct lsm *db;
    struct env *env;
    struct lsm_options o;
    struct soak *soak; /* may be NULL */
    char path[256];
    uint64_t seed, rng;
    unsigned opened; /* how often */
};

static uint64_t below(struct model *m, uint64_t n)
{
    return test_below(&m->rng, n);
}

static struct slice key_of(int i, char to[16])
{
    snprintf(to, 16, "k%05d", i * 7);
    return slice_str(to);
}

static void fill(uint8_t *to, const struct cell *c)
{
    static const char phrase[] = "  silt is fine sediment, slowly ";
    static __thread uint8_t all[MAX_VALUE];
    static __thread uint64_t cached;
    uint64_t x = c->seed;
    int i;

    if (cached != c->seed)
        for (i = 0; i < MAX_VALUE; i += 8) {
            uint64_t r = test_random(&x);

            memcpy(all + i, i % 64 < 32 ? (const void *)&r : phrase + i % 32, 8);
        }
    cached = c->seed;
    memcpy(to, all + c->off, (size_t)c->len);
}

static void check_value(struct slice got, const struct cell *c)
{
    uint8_t want[MAX_VALUE];

    ck_assert_uint_eq(got.len, c->len);
    fill(want, c);
    ck_assert(slice_eq(got, slice_of(want, (size_t)c->len)));
}

/* ---- operations ---- */

static struct cell new_cell(struct model *m)
{
    struct cell c = {.seed = test_random(&m->rng) | 1};

    switch (below(m, 4)) {
    case 0:
        c.len = (int)below(m, 20);
        break;
    case 3:
        c.len = (int)below(m, MAX_VALUE);
        break;
    default:
        c.len = (int)below(m, 300);
    }
    return c;
}

/* One random operation into the batch and into `next`, the map after it. */
static void add_op(struct model *m, struct lsm_batch *b, struct cell *next)
{
    int i = (int)below(m, KEYS), j = (int)below(m, KEYS);
    char ki[16], kj[16];
    struct slice key = key_of(i, ki), other;
    uint8_t value[MAX_VALUE];
    struct cell c;

    switch (below(m, 10)) {
    case 0:
    case 1:
        lsm_batch_delete(b, key);
        next[i].len = -1;
        break;
    case 2:
        if (below(m, 3) == 0) {
            other = key_of(j, kj);
            lsm_batch_delete_range(b, key, other);
            for (; i < j; i++)
                next[i].len = -1;
        }
        break;
    case 3:
        /* What is shared is the state before the batch. */
        if (m->now[j].len >= 0) {
            c = m->now[j];
            c.off += (int)below(m, (uint64_t)c.len + 1);
            c.len = (int)below(m, (uint64_t)(m->now[j].off + m->now[j].len - c.off) + 1);
            other = key_of(j, kj);
            lsm_batch_share(b, key, other, (size_t)(c.off - m->now[j].off),
                            (size_t)c.len);
            next[i] = c;
        }
        break;
    default:
        c = new_cell(m);
        fill(value, &c);
        lsm_batch_put(b, key, slice_of(value, (size_t)c.len));
        next[i] = c;
    }
}

static void write_batch(struct model *m)
{
    struct cell next[KEYS];
    struct lsm_batch *b = lsm_batch_new();
    int n = 1 + (int)below(m, below(m, 10) ? 3 : 40);

    memcpy(next, m->now, sizeof(next));
    while (n--)
        add_op(m, b, next);
    ck_ok(lsm_write(m->db, b, below(m, 50) ? LSM_NOSYNC : LSM_SYNC));
    memcpy(m->now, next, sizeof(next));
    lsm_batch_free(b);
}

/* ---- checks ---- */

static void check_get(struct model *m, const struct lsm_snapshot *snap,
                      const struct cell *map, int i)
{
    struct lsm_value v = {0};
    char k[16];
    int rc = lsm_get(m->db, snap, key_of(i, k), &v);

    if (map[i].len < 0) {
        ck_assert_msg(rc == -ENOENT, "%s: %d, not missing", k, rc);
        ck_err(lsm_exists(m->db, snap, slice_str(k)), ENOENT);
    } else {
        ck_assert_msg(rc == 0, "%s: %d", k, rc);
        check_value(v.value, &map[i]);
    }
    lsm_value_release(&v);
}

static int step(const struct cell *map, int i, int by, int lo, int hi)
{
    for (i += by; i >= lo && i < hi && map[i].len < 0; i += by)
        ;
    return i;
}

static void check_at(struct lsm_iter *it, const struct cell *map, int i, int lo, int hi,
                     bool read)
{
    char k[16];
    struct slice v;

    ck_ok(lsm_iter_error(it));
    if (i < lo || i >= hi) {
        ck_assert(!lsm_iter_valid(it));
        return;
    }
    ck_assert_msg(lsm_iter_valid(it), "ended before %d", i);
    key_of(i, k);
    ck_slice_str(lsm_iter_key(it), k);
    ck_assert_uint_eq(lsm_iter_value_len(it), map[i].len);
    if (!read)
        return;
    ck_ok(lsm_iter_value(it, &v));
    check_value(v, &map[i]);
}

/* A walk that turns now and then, inside random bounds. */
static void check_walk(struct model *m, const struct lsm_snapshot *snap,
                       const struct cell *map)
{
    int a = (int)below(m, KEYS), b = (int)below(m, KEYS);
    int lo = below(m, 3) ? a : 0, hi = below(m, 3) ? b : KEYS, i, steps;
    char kl[16], kh[16], ks[16];
    struct slice lower = key_of(lo, kl), upper = key_of(hi, kh);
    struct lsm_iter_options o = {.snap = snap, .lower = &lower, .upper = &upper};
    struct lsm_iter *it;

    ck_ok(lsm_iter_new(m->db, &o, &it));
    switch (below(m, 4)) {
    case 0:
        lsm_iter_first(it);
        i = step(map, lo - 1, 1, lo, hi);
        break;
    case 1:
        lsm_iter_last(it);
        i = step(map, hi, -1, lo, hi);
        break;
    case 2:
        i = (int)below(m, KEYS);
        lsm_iter_seek(it, key_of(i, ks));
        i = step(map, (i > lo ? i : lo) - 1, 1, lo, hi);
        break;
    default:
        i = (int)below(m, KEYS);
        lsm_iter_seek_prev(it, key_of(i, ks));
        i = step(map, (i + 1 < hi ? i + 1 : hi), -1, lo, hi);
    }
    for (steps = 0; steps < 60 && i >= lo && i < hi; steps++) {
        int by = below(m, 8) ? 1 : -1;

        if (steps % 64 > 32)
            by = -by;
        check_at(it, map, i, lo, hi, below(m, 4) == 0);
        if (by > 0)
            lsm_iter_next(it);
        else
            lsm_iter_prev(it);
        i = step(map, i, by, lo, hi);
    }
    check_at(it, map, i, lo, hi, true);
    lsm_iter_free(it);
}

/* A run of keys deleted one by one, long enough for iterators to remember it, and a
 * look at it at once: the first finds the gap, the others jump. */
static void delete_run(struct model *m)
{
    int i = (int)below(m, KEYS), n = (int)below(m, 250), looks = 3;
    char k[16];

    for (; n-- && i < KEYS; i++) {
        ck_ok(lsm_delete(m->db, key_of(i, k)));
        m->now[i].len = -1;
    }
    while (looks--)
        check_walk(m, NULL, m->now);
}

static void check_all(struct model *m, const struct lsm_snapshot *snap,
                      const struct cell *map)
{
    struct lsm_iter_options o = {.snap = snap};
    struct lsm_iter *it;
    int i;

    ck_ok(lsm_iter_new(m->db, &o, &it));
    lsm_iter_first(it);
    for (i = step(map, -1, 1, 0, KEYS); i < KEYS; i = step(map, i, 1, 0, KEYS)) {
        check_at(it, map, i, 0, KEYS, true);
        lsm_iter_next(it);
    }
    check_at(it, map, i, 0, KEYS, true);
    lsm_iter_last(it);
    for (i = step(map, KEYS, -1, 0, KEYS); i >= 0; i = step(map, i, -1, 0, KEYS)) {
        check_at(it, map, i, 0, KEYS, false);
        lsm_iter_prev(it);
    }
    check_at(it, map, i, 0, KEYS, true);
    lsm_iter_free(it);
    for (i = 0; i < KEYS; i++)
        check_get(m, snap, map, i);
}

/* ---- life ---- */

/* Others at each opening. */
static void open_store(struct model *m)
{
    options_draw(&m->o, options_seed(m->seed + m->opened, m->opened), 0);
    m->opened++;
    m->o.env = m->env;
    if (m->soak) {
        char text[OPTIONS_TEXT];

        m->soak->option_sets++;
        soak_tell(m->soak, "options: %s", options_text(&m->o, text));
    }
    ck_ok(lsm_open(m->path, &m->o, &m->db));
}

static void take_snapshot(struct model *m)
{
    int i = (int)below(m, SNAPS);

    if (m->snap[i]) {
        check_all(m, m->snap[i], m->then[i]);
        lsm_snapshot_free(m->db, m->snap[i]);
        m->snap[i] = NULL;
        return;
    }
    m->snap[i] = lsm_snapshot_new(m->db);
    memcpy(m->then[i], m->now, sizeof(m->now));
}

static void drop_snapshots(struct model *m)
{
    int i;

    for (i = 0; i < SNAPS; i++) {
        lsm_snapshot_free(m->db, m->snap[i]);
        m->snap[i] = NULL;
    }
}

static void reopen(struct model *m)
{
    drop_snapshots(m);
    ck_ok(lsm_close(m->db));
    open_store(m);
    check_all(m, NULL, m->now);
}

static void one_step(struct model *m)
{
    int i = (int)below(m, SNAPS);

    switch (below(m, 40)) {
    case 8:
        if (below(m, 6) == 0)
            delete_run(m);
        break;
    case 0:
        take_snapshot(m);
        break;
    case 1:
        if (below(m, 4) == 0)
            ck_ok(lsm_flush(m->db));
        break;
    case 2:
        if (below(m, 16) == 0)
            ck_ok(lsm_compact(m->db, below(m, 2)));
        break;
    case 3:
        if (below(m, 30) == 0)
            reopen(m);
        break;
    case 4:
        check_walk(m, m->snap[i], m->snap[i] ? m->then[i] : m->now);
        break;
    case 5:
    case 6:
        check_get(m, NULL, m->now, (int)below(m, KEYS));
        break;
    case 7:
        if (m->snap[i])
            check_get(m, m->snap[i], m->then[i], (int)below(m, KEYS));
        break;
    default:
        write_batch(m);
    }
}

static void run_model(struct env *env, const char *path, uint64_t seed, int steps,
                      struct soak *soak)
{
    struct model *m = calloc(1, sizeof(*m));
    int i;

    m->seed = m->rng = seed;
    m->env = env;
    m->soak = soak;
    for (i = 0; i < KEYS; i++)
        m->now[i].len = -1;
    snprintf(m->path, sizeof(m->path), "%s", path);
    open_store(m);
    for (i = 0; i < steps; i++)
        one_step(m);
    check_all(m, NULL, m->now);
    reopen(m);
    ck_ok(lsm_verify(m->db));
    drop_snapshots(m);
    ck_ok(lsm_close(m->db));
    free(m);
}

/* In memory, where syncs cost nothing. */
START_TEST(every_answer_is_the_maps)
{
    struct soak s;

    for (soak_begin(&s); soak_on(&s); s.operations += 4000) {
        struct env *env = env_mem_new(soak_seed(&s));

        run_model(env, "/model", soak_seed(&s), 4000, &s);
        env_mem_free(env);
    }
    soak_end(&s);
}
END_TEST

START_TEST(every_answer_is_the_maps_on_disk)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/model", test_dir());
    run_model(NULL, path, test_seed() + 1, 2000, NULL);
}
END_TEST

TEST_MAIN("db model", TEST_CASE_SOAK(every_answer_is_the_maps),
          TEST_CASE(every_answer_is_the_maps_on_disk))
