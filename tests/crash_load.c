/*
 * crash_load.c - see crash_load.h.
 */
#include "tests/crash_load.h"

#include <stdlib.h>

#include "tests/options_draw.h"

/* ---- keys and values ---- */

static void value_of(const struct crash_cell *c, uint8_t *to)
{
    uint64_t x = (uint64_t)c->write * 7919;
    uint8_t all[CRASH_VALUE_MAX + 8];
    int i;

    for (i = 0; i < c->off + c->len; i += 8) {
        uint64_t v = test_random(&x);

        /* Some compress. */
        if (c->write % 3 == 0 && i % 64 >= 16)
            memcpy(&v, "dentries", 8);
        memcpy(all + i, &v, 8);
    }
    memcpy(to, all + c->off, (size_t)c->len);
}

static struct slice key_of(int i, char to[16])
{
    snprintf(to, 16, "key%02d", i);
    return slice_str(to);
}

/* ---- one step ---- */

/* A step under way: its batch or transaction, and the state after it. */
struct step {
    struct crash_load *l;
    struct crash_cell *next;
    struct lsm_batch *b; /* of a transaction too: for its count */
    struct lsm_txn *t;   /* or NULL */
    int number, error;
    uint64_t rng;
};

static int below(struct step *s, int n)
{
    return (int)test_below(&s->rng, (uint64_t)n);
}

static void note(struct step *s, int rc)
{
    if (!s->error)
        s->error = rc;
}

static void put(struct step *s)
{
    int i = below(s, CRASH_KEYS);
    uint8_t value[CRASH_VALUE_MAX];
    struct slice v;
    char k[16];

    s->next[i] =
        (struct crash_cell){.write = s->number * 8 + (int)lsm_batch_count(s->b) + 1,
                            .len = below(s, below(s, 2) ? 100 : CRASH_VALUE_MAX)};
    value_of(&s->next[i], value);
    v = slice_of(value, (size_t)s->next[i].len);
    lsm_batch_put(s->b, key_of(i, k), v);
    if (s->t)
        note(s, lsm_txn_put(s->t, key_of(i, k), v));
}

/* Key and value of a text: of six words one is its own, three come again and again, and
 * two are once in each of them. */
static struct slice text_of(int i, char key[16], uint8_t to[CRASH_TEXT])
{
    uint64_t same = 1, own = (uint64_t)i + 2;
    int at;

    snprintf(key, 16, "text%03d", i);
    for (at = 0; at < CRASH_TEXT; at += 8) {
        uint64_t word = test_random(at % 48 ? &same : &own);

        if (at % 48 >= 24)
            memcpy(&word, "dentries", 8);
        memcpy(to + at, &word, 8);
    }
    return slice_of(to, CRASH_TEXT);
}

static void put_texts(struct step *s)
{
    uint8_t value[CRASH_TEXT];
    char k[16];
    int i;

    for (i = 0; i < CRASH_TEXTS; i++) {
        struct slice v = text_of(i, k, value);

        lsm_batch_put(s->b, slice_str(k), v);
        if (s->t)
            note(s, lsm_txn_put(s->t, slice_str(k), v));
    }
}

static void share(struct step *s)
{
    const struct crash_cell *now = s->l->history[s->number];
    int i = below(s, CRASH_KEYS), j = below(s, CRASH_KEYS);
    struct crash_cell c = now[j];
    char ki[16], kj[16];
    int skip;

    if (!c.write || s->t)
        return;
    skip = below(s, c.len + 1);
    c.off += skip;
    c.len = below(s, c.len - skip + 1);
    lsm_batch_share(s->b, key_of(i, ki), key_of(j, kj), (size_t)skip, (size_t)c.len);
    s->next[i] = c;
}

static void delete_key(struct step *s)
{
    int i = below(s, CRASH_KEYS);
    char k[16];

    lsm_batch_delete(s->b, key_of(i, k));
    if (s->t)
        note(s, lsm_txn_delete(s->t, key_of(i, k)));
    s->next[i].write = 0;
}

static void delete_range(struct step *s)
{
    int i = below(s, CRASH_KEYS), j = below(s, CRASH_KEYS);
    char a[16], b[16];

    if (i >= j)
        return;
    lsm_batch_delete_range(s->b, key_of(i, a), key_of(j, b));
    if (s->t)
        note(s, lsm_txn_delete_range(s->t, key_of(i, a), key_of(j, b)));
    for (; i < j; i++)
        s->next[i].write = 0;
}

static void add_op(struct step *s)
{
    switch (below(s, 8)) {
    case 0:
        delete_key(s);
        break;
    case 1:
        delete_range(s);
        break;
    case 2:
        share(s);
        break;
    default:
        put(s);
    }
}

/* One batch or transaction; the same for the same seed, whatever fails. */
static int write_step(struct crash_load *l, int number)
{
    struct step s = {.l = l, .next = l->history[number + 1], .number = number};
    bool sync;
    int n;

    s.rng = (l->seed + (uint64_t)number * 0x9E3779B97F4A7C15ull) | 1;
    sync = below(&s, 6) == 0;
    n = 1 + below(&s, 4);
    memcpy(s.next, l->history[number], sizeof(l->history[number]));
    if (below(&s, 4) == 0) {
        int rc = lsm_txn_begin(l->db, &s.t);

        if (rc)
            return rc;
    }
    s.b = lsm_batch_new();
    while (n--)
        add_op(&s);
    if (l->text && number == 0)
        put_texts(&s);
    l->tried = number + 1;
    if (!s.error)
        s.error = s.t ? lsm_txn_commit(s.t, sync ? LSM_SYNC : LSM_NOSYNC)
                      : lsm_write(l->db, s.b, sync ? LSM_SYNC : LSM_NOSYNC);
    l->transactions += s.t && !s.error;
    lsm_txn_free(s.t);
    lsm_batch_free(s.b);
    if (s.error)
        return s.error;
    l->done = number + 1;
    if (sync)
        l->synced = l->done;
    return 0;
}

/* ---- care ---- */

static int open_store(struct crash_load *l)
{
    if (l->redraw) {
        options_draw(&l->o, l->redraw++, l->how);
        l->o.env = l->env;
    }
    l->opened++;
    return lsm_open("/s", &l->o, &l->db);
}

static int reopen(struct crash_load *l)
{
    int rc = lsm_close(l->db);

    l->db = NULL;
    if (rc)
        return rc;
    l->synced = l->done;
    return open_store(l);
}

static const char *checkpoint_path(int i)
{
    static const char *const paths[CRASH_CHECKPOINTS] = {"/c0", "/c1", "/c2"};

    return paths[i];
}

static int checkpoint(struct crash_load *l)
{
    struct crash_checkpoint *c;
    int i, rc;

    for (i = 0; i < CRASH_CHECKPOINTS && l->checkpoint[i].acknowledged; i++)
        ;
    if (i == CRASH_CHECKPOINTS)
        return 0;
    c = &l->checkpoint[i];
    c->step = l->done;
    rc = lsm_checkpoint(l->db, checkpoint_path(i));
    if (rc)
        return rc;
    c->acknowledged = true;
    return 0;
}

static int care_step(struct crash_load *l, int number)
{
    uint64_t rng = (l->seed ^ 0x5bd1e995u) + (uint64_t)number * 0xD1B54A32D192ED03ull;
    int rc = 0;

    rng |= 1;
    /* In every load, whatever is drawn. */
    if (number == CRASH_STEPS / 2)
        return checkpoint(l);
    if (number == CRASH_STEPS * 3 / 4)
        return lsm_compact(l->db, true);
    switch (test_below(&rng, 30)) {
    case 0:
        rc = lsm_flush(l->db);
        break;
    case 1:
        rc = lsm_compact(l->db, test_below(&rng, 2));
        break;
    case 2:
    case 3:
        rc = lsm_sync(l->db);
        if (!rc)
            l->synced = l->done;
        break;
    case 4:
        rc = reopen(l);
        break;
    case 5:
        if (test_below(&rng, 2))
            rc = checkpoint(l);
        break;
    default:
        break;
    }
    return rc;
}

/* ---- the load ---- */

void crash_begin(struct crash_load *l, uint64_t seed, const struct lsm_options *o)
{
    int i;

    memset(l, 0, sizeof(*l));
    l->seed = seed;
    l->env = env_mem_new(seed);
    l->o = *o;
    l->o.env = l->env;
    for (i = 0; i < CRASH_CHECKPOINTS; i++)
        l->checkpoint[i].step = -1;
}

static void stepped(struct crash_load *l)
{
    if (l->stepped)
        l->stepped(l);
}

bool crash_run(struct crash_load *l)
{
    int step = l->done, rc;

    for (rc = open_store(l); step < CRASH_STEPS && !rc; step++) {
        stepped(l);
        rc = write_step(l, step);
        if (!rc)
            rc = care_step(l, step);
    }
    if (!rc) {
        stepped(l);
        rc = lsm_close(l->db);
        l->db = NULL;
        if (!rc)
            l->synced = l->done;
        stepped(l);
    }
    l->error = rc;
    return !rc;
}

struct env *crash_clone(struct crash_load *l, uint64_t seed, enum env_mem_crash mode,
                        int *least)
{
    /* The process's death alone loses nothing that was acknowledged. */
    *least = mode == ENV_MEM_KEEP_ALL ? l->done : l->synced;
    return env_mem_crash_clone(l->env, seed, mode);
}

static void close_store(struct crash_load *l)
{
    env_mem_stop_at(l->env, 0); /* closing must not save what the crash lost */
    if (l->db)
        lsm_close(l->db);
    l->db = NULL;
    env_mem_free(l->env);
}

void crash_resume(struct crash_load *l, struct env *after, int step)
{
    int i;

    close_store(l);
    l->env = l->o.env = after;
    l->done = l->tried = l->synced = step;
    for (i = 0; i < CRASH_CHECKPOINTS; i++)
        l->checkpoint[i].acknowledged = lsm_is_store(after, checkpoint_path(i));
}

void crash_release(struct crash_load *l)
{
    close_store(l);
}

/* ---- what is found ---- */

/* All texts, or none. */
static bool holds_texts(struct lsm *db, bool wanted)
{
    struct lsm_value v = {0};
    uint8_t want[CRASH_TEXT];
    bool same = true;
    char k[16];
    int i;

    for (i = 0; i < CRASH_TEXTS && same; i++) {
        struct slice text = text_of(i, k, want);
        int rc = lsm_get(db, NULL, slice_str(k), &v);

        ck_assert_msg(rc == 0 || rc == -ENOENT, "%s: %d", k, rc);
        same = wanted ? rc == 0 && slice_eq(v.value, text) : rc == -ENOENT;
    }
    lsm_value_release(&v);
    return same;
}

static bool holds(const struct crash_load *l, struct lsm *db, int step)
{
    const struct crash_cell *state = l->history[step];
    int i;

    if (l->text && !holds_texts(db, step > 0))
        return false;

    for (i = 0; i < CRASH_KEYS; i++) {
        struct lsm_value v = {0};
        uint8_t want[CRASH_VALUE_MAX];
        bool same;
        char k[16];
        int rc = lsm_get(db, NULL, key_of(i, k), &v);

        ck_assert_msg(rc == 0 || rc == -ENOENT, "%s: %d", k, rc);
        if (!state[i].write) {
            same = rc == -ENOENT;
        } else {
            value_of(&state[i], want);
            same = rc == 0 && slice_eq(v.value, slice_of(want, (size_t)state[i].len));
        }
        lsm_value_release(&v);
        if (!same)
            return false;
    }
    return true;
}

/* The iterator must see what the gets saw. */
static void check_scan(struct lsm *db, const struct crash_cell *state)
{
    struct lsm_iter *it;
    char k[16];
    int i;

    ck_ok(lsm_iter_new(db, NULL, &it));
    lsm_iter_first(it);
    for (i = 0; i < CRASH_KEYS; i++) {
        if (!state[i].write)
            continue;
        ck_assert_msg(lsm_iter_valid(it), "the scan ended before key %d", i);
        ck_assert(slice_eq(lsm_iter_key(it), key_of(i, k)));
        ck_assert_uint_eq(lsm_iter_value_len(it), state[i].len);
        lsm_iter_next(it);
    }
    while (lsm_iter_valid(it) && lsm_iter_key(it).data[0] == 't')
        lsm_iter_next(it);
    ck_ok(lsm_iter_error(it));
    ck_assert(!lsm_iter_valid(it) || slice_eq(lsm_iter_key(it), slice_str("zz")));
    lsm_iter_free(it);
}

/* Absent if it was not acknowledged; else whole. */
static void check_checkpoint(struct crash_load *l, struct env *env, int i)
{
    struct crash_checkpoint *c = &l->checkpoint[i];
    struct lsm_options o = l->o;
    struct lsm *db;
    int rc;

    if (c->step < 0)
        return;
    o.env = env;
    o.create = false;
    o.read_only = true;
    rc = lsm_open(checkpoint_path(i), &o, &db);
    if (rc == -ENOENT && !c->acknowledged)
        return;
    ck_assert_msg(rc == 0, "checkpoint of step %d: %d", c->step, rc);
    ck_assert_msg(holds(l, db, c->step), "a checkpoint has not step %d", c->step);
    ck_ok(lsm_verify(db));
    ck_ok(lsm_close(db));
}

int crash_check(struct crash_load *l, struct env *env, int least)
{
    struct lsm_options o = l->o;
    struct lsm *db;
    int step, rc, i;

    if (l->redraw)
        options_draw(&o, l->redraw + 1000, l->how);
    o.env = env;
    rc = lsm_open("/s", &o, &db);
    ck_assert_msg(rc == 0, "opening after the crash: %d", rc);
    for (step = l->tried; step >= 0 && !holds(l, db, step); step--)
        ;
    ck_assert_msg(step >= least, "found the state of step %d; %d were safe, %d tried",
                  step, least, l->tried);
    check_scan(db, l->history[step]);
    ck_ok(lsm_verify(db));
    ck_ok(lsm_put(db, slice_str("zz"), slice_str("works")));
    ck_ok(lsm_close(db));
    for (i = 0; i < CRASH_CHECKPOINTS; i++)
        check_checkpoint(l, env, i);
    return step;
}

/* ---- faults ---- */

/* A store that failed to write something it cannot do without says so, and takes nothing
 * more: what a sync has lost no later one may claim to have saved. */
static void check_read_only(struct crash_load *l)
{
    struct lsm_batch *b = lsm_batch_new();

    ck_err(lsm_put(l->db, slice_str("zz"), slice_str("no")), EROFS);
    lsm_batch_put(b, slice_str("zz"), slice_str("no"));
    ck_err(lsm_write(l->db, b, LSM_SYNC), EROFS);
    lsm_batch_free(b);
    ck_assert_int_ne(lsm_sync(l->db), 0);
    ck_assert_int_ne(lsm_flush(l->db), 0);
    ck_assert_int_ne(lsm_exists(l->db, NULL, slice_str("zz")), 0);
    l->read_only++;
}

/* Step `number` failed. What the store holds now is the history from here on. */
static void settle(struct crash_load *l, int number)
{
    struct lsm_stats s;
    bool applied;

    lsm_get_stats(l->db, &s);
    applied = !holds(l, l->db, number);
    /* Written, and then care failed; or the sync of a write. */
    ck_assert_msg(!applied || l->done == number + 1 || s.background_error,
                  "step %d failed, and yet it was done", number);
    ck_assert_msg(!applied || holds(l, l->db, number + 1), "step %d was done in part",
                  number);
    if (!applied)
        memcpy(l->history[number + 1], l->history[number], sizeof(l->history[0]));
    l->done = number + 1;
    check_scan(l->db, l->history[l->done]);
    if (!s.background_error)
        return;
    check_read_only(l);
    ck_assert(holds(l, l->db, l->done));
    ck_assert_int_ne(lsm_close(l->db), 0);
    l->db = NULL;
}

static void open_again(struct crash_load *l, void cleared(struct crash_load *l))
{
    int rc = open_store(l);

    if (rc && cleared)
        cleared(l);
    if (rc)
        rc = open_store(l); /* nothing of the first try is in the way */
    ck_assert_msg(rc == 0, "step %d: opening: %d", l->done, rc);
    ck_assert_msg(l->text || holds(l, l->db, l->done), "reopened, it has not step %d",
                  l->done);
}

void crash_run_on(struct crash_load *l, void (*cleared)(struct crash_load *l))
{
    open_again(l, cleared);
    while (l->done < CRASH_STEPS) {
        int number = l->done, rc = write_step(l, number);

        if (!rc)
            rc = care_step(l, number);
        if (rc) {
            l->failed++;
            l->error = rc;
            if (l->db)
                settle(l, number);
            else
                l->done = number + 1; /* it was to be reopened */
        }
        if (!l->db)
            open_again(l, cleared);
        stepped(l);
    }
}
