/*
 * test_pick_tree.c - lsm/pick.h in random trees: every choice is carried out, and
 * what a reader finds stays right. Single choices: test_pick.c.
 *
 * There is no disk: a table is the sequence it has for each of KEYS keys, 0 for
 * none; an odd sequence is a tombstone. Up to RUNNING compactions are under way at
 * once, so that others are chosen, and tables flushed, before they end.
 */
#include "test.h"

#include <stdlib.h>

#include "lsm/pick.h"

enum { KEYS = 300, TABLES_MAX = 20000, RUNNING = 3, REASONS = 8, ENTRY_BYTES = 10 };

struct tree {
    struct table_cache tables;
    struct version *v;
    struct pick_options o;
    uint64_t (*table)[KEYS]; /* by number */
    uint64_t next_number, next_seq;
    uint64_t newest[KEYS];
    struct compaction running[RUNNING];
    struct version *seen[RUNNING]; /* by the compaction, when it was chosen */
    unsigned n_running;
    unsigned chosen[REASONS], moves;
};

static void on_dead(void *arg, uint64_t number)
{
    (void)arg;
    ck_abort_msg("table %d is obsolete, though nobody said so", (int)number);
}

static void apply(struct tree *t, struct edit *e, const char *where)
{
    struct version *v;

    ck_ok(version_apply(t->v, e, &t->tables, where, &v));
    version_unref(t->v);
    t->v = v;
    edit_release(e);
}

static struct slice key_of(unsigned k, char text[8])
{
    snprintf(text, 8, "%05u", k);
    return slice_of(text, 5);
}

/* Table `number`, whose content is set, as part of an edit. Nothing if empty. */
static void add_output(struct tree *t, struct edit *e, unsigned level, uint64_t n)
{
    struct table_meta m = {.number = n, .seq_min = UINT64_MAX};
    char text[8];
    unsigned k;

    for (k = 0; k < KEYS; k++) {
        uint64_t seq = t->table[n][k];

        if (!seq)
            continue;
        if (!m.entries++)
            buf_assign(&m.smallest, key_of(k, text));
        buf_assign(&m.largest, key_of(k, text));
        m.deletes += seq % 2;
        m.seq_min = seq < m.seq_min ? seq : m.seq_min;
        m.seq_max = seq > m.seq_max ? seq : m.seq_max;
        m.size += ENTRY_BYTES;
    }
    if (m.entries)
        ck_ok(edit_add_table(e, level, &m));
    table_meta_release(&m);
}

static uint64_t new_table(struct tree *t)
{
    ck_assert_uint_lt(t->next_number, TABLES_MAX);
    return t->next_number++;
}

static void flush(struct tree *t, uint64_t *r)
{
    unsigned from = (unsigned)test_below(r, KEYS), width, i;
    unsigned deletes = (unsigned)test_below(r, 8); /* of 8 */
    uint64_t n = new_table(t);
    struct edit e = {0};

    width = 1 + (unsigned)test_below(r, test_below(r, 2) ? KEYS : 40);
    for (i = 0; i < 30; i++) {
        unsigned k = (from + (unsigned)test_below(r, width)) % KEYS;

        t->next_seq += 2;
        t->newest[k] = t->next_seq + (test_below(r, 8) < deletes);
        t->table[n][k] = t->newest[k];
    }
    add_output(t, &e, 0, n);
    apply(t, &e, "flush");
}

static void mark(struct compaction *c, bool on)
{
    unsigned level;
    size_t i;

    for (level = 0; level < LSM_LEVELS; level++) {
        for (i = 0; i < c->n[level]; i++) {
            ck_assert(c->inputs[level][i]->compacting == !on);
            c->inputs[level][i]->compacting = on;
        }
    }
}

/* The inputs of L0 are neighbours. */
static void check_l0(const struct version *v, const struct compaction *c)
{
    size_t first = 0, i;

    while (c->n[0] && v->file[0][first] != c->inputs[0][0])
        first++;
    for (i = 0; i < c->n[0]; i++)
        ck_assert(v->file[0][first + i] == c->inputs[0][i]);
    /* What sinks leaves nothing older above. */
    if (c->n[0] && c->output_level)
        ck_assert_uint_eq(first + c->n[0], v->n[0]);
}

static void check_choice(const struct tree *t, const struct compaction *c)
{
    bool tiers = t->o.strategy != LSM_LEVELED && c->reason != PICK_L0;
    size_t i;

    ck_assert_uint_gt(c->n[c->level], 0);
    ck_assert(c->output_level > c->level || tiers);
    ck_assert_uint_lt(c->output_level, LSM_LEVELS);
    check_l0(t->v, c);
    ck_assert(c->level == 0 || c->reason == PICK_MANUAL || tiers ||
              c->output_level == c->level + 1);
    ck_assert(!c->move || compaction_tables(c) == 1);
    for (i = 0; i < LSM_LEVELS; i++) {
        ck_assert(!c->n[i] || (i >= c->level && i <= c->output_level));
        /* Levels that it passes by are empty, or inputs. */
        if (i > c->level && i < c->output_level)
            ck_assert_uint_eq(t->v->n[i], c->n[i]);
    }
}

/* Of c, chosen just now. */
static void begin(struct tree *t, struct compaction *c)
{
    mark(c, true);
    t->seen[t->n_running++] = t->v;
    version_ref(t->v);
    ck_assert_uint_lt(c->reason, REASONS);
    t->chosen[c->reason]++;
    t->moves += c->move;
}

/* False: there is nothing to choose, or enough is under way. */
static bool choose(struct tree *t, bool full)
{
    struct compaction *c = &t->running[t->n_running];

    if (t->n_running == RUNNING)
        return false;
    ck_ok(full ? pick_full(t->v, &t->o, c) : pick_compaction(t->v, &t->o, c));
    if (c->reason == PICK_NOTHING)
        return false;
    check_choice(t, c);
    begin(t, c);
    return true;
}

/* Some table below L0 where it is, as to empty a value-log segment. */
static void rewrite(struct tree *t, uint64_t *r)
{
    unsigned level = 1 + (unsigned)test_below(r, LSM_LEVELS - 1);
    struct compaction *c = &t->running[t->n_running];
    struct tfile *f;

    if (t->n_running == RUNNING || !t->v->n[level])
        return;
    f = t->v->file[level][test_below(r, t->v->n[level])];
    if (f->compacting)
        return;
    ck_ok(pick_rewrite(f, level, PICK_GARBAGE, c));
    ck_assert(compaction_tables(c) == 1 && !c->move);
    ck_assert(c->level == level && c->output_level == level);
    begin(t, c);
}

/* The newest of each key, without tombstones that have nothing below. */
static void merge(struct tree *t, const struct compaction *c, const struct version *seen,
                  uint64_t to[KEYS])
{
    unsigned level, k;
    char text[8];
    size_t i;

    memset(to, 0, KEYS * sizeof(*to));
    for (level = 0; level < LSM_LEVELS; level++)
        for (i = 0; i < c->n[level]; i++)
            for (k = 0; k < KEYS; k++)
                if (t->table[c->inputs[level][i]->meta.number][k] > to[k])
                    to[k] = t->table[c->inputs[level][i]->meta.number][k];
    for (k = 0; k < KEYS; k++) {
        struct key_range r = {key_of(k, text), key_of(k, text), false};

        if (to[k] % 2 && pick_is_bottom(seen, c, &r))
            to[k] = 0;
    }
}

static void add_outputs(struct tree *t, struct edit *e, const struct compaction *c,
                        const struct version *seen)
{
    uint64_t all[KEYS], n = new_table(t), bytes = 0;
    unsigned k;

    merge(t, c, seen, all);
    for (k = 0; k < KEYS; k++) {
        if (!all[k])
            continue;
        if (bytes >= t->o.table_bytes) {
            add_output(t, e, c->output_level, n);
            n = new_table(t);
            bytes = 0;
        }
        t->table[n][k] = all[k];
        bytes += ENTRY_BYTES;
    }
    add_output(t, e, c->output_level, n);
}

static void finish(struct tree *t, unsigned at)
{
    struct compaction c = t->running[at];
    struct version *seen = t->seen[at];
    struct edit e = {0};
    unsigned level;
    size_t i;

    t->n_running--;
    t->running[at] = t->running[t->n_running];
    t->seen[at] = t->seen[t->n_running];
    memset(&t->running[t->n_running], 0, sizeof(c));
    for (level = 0; level < LSM_LEVELS; level++)
        for (i = 0; i < c.n[level]; i++)
            ck_ok(edit_remove_table(&e, level, c.inputs[level][i]->meta.number));
    if (c.move)
        add_output(t, &e, c.output_level, c.inputs[c.level][0]->meta.number);
    else
        add_outputs(t, &e, &c, seen);
    mark(&c, false);
    apply(t, &e, "compaction"); /* which sees what overlaps */
    compaction_release(&c);
    version_unref(seen);
}

static uint64_t lookup(const struct tree *t, unsigned k)
{
    const struct version *v = t->v;
    unsigned level;
    uint64_t seq;
    char text[8];
    size_t i;

    for (level = 0; level < LSM_LEVELS; level++) {
        i = level ? version_find(v, level, key_of(k, text)) : 0;
        for (; i < v->n[level]; i++) {
            seq = t->table[v->file[level][i]->meta.number][k];
            if (seq)
                return seq;
            if (level)
                break; /* the tables of a level are disjoint */
        }
    }
    return 0;
}

static void check_tree(const struct tree *t)
{
    unsigned k;

    for (k = 0; k < KEYS; k++) {
        uint64_t got = lookup(t, k), want = t->newest[k];

        if (got != want && (got || want % 2 == 0))
            ck_abort_msg("key %u is as of %d, not of %d", k, (int)got, (int)want);
    }
}

static void tree_init(struct tree *t, uint64_t *r, enum lsm_strategy strategy)
{
    memset(t, 0, sizeof(*t));
    table_cache_init(&t->tables, NULL, "nowhere", NULL, on_dead, NULL);
    t->v = version_new();
    t->o.strategy = strategy;
    t->o.l0_trigger = 1 + (unsigned)test_below(r, 4);
    t->o.level_ratio = 2 + (unsigned)test_below(r, 5);
    t->o.l1_bytes = 100 + test_below(r, 400);
    t->o.table_bytes = 50 + test_below(r, 200);
    t->table = calloc(TABLES_MAX, sizeof(*t->table));
    t->next_number = 1;
}

static void tree_release(struct tree *t)
{
    while (t->n_running)
        finish(t, 0);
    version_unref(t->v);
    ck_assert_ptr_null(t->tables.alive);
    table_cache_release(&t->tables);
    free(t->table);
}

static void grow(struct tree *t, uint64_t *r, int steps)
{
    while (steps--) {
        switch (test_below(r, 9)) {
        case 0:
        case 1:
            flush(t, r);
            break;
        case 2:
            rewrite(t, r);
            break;
        case 3:
        case 4:
            if (t->n_running)
                finish(t, (unsigned)test_below(r, t->n_running));
            break;
        default:
            choose(t, false);
            break;
        }
        check_tree(t);
    }
}

static void settle(struct tree *t, uint64_t *r, bool full)
{
    int rounds = 0;

    for (;;) {
        bool more =
            (full && test_below(r, 3) == 0 && choose(t, false)) || choose(t, full);

        if (!more && !t->n_running)
            break;
        if (t->n_running && (!more || test_below(r, 2)))
            finish(t, (unsigned)test_below(r, t->n_running));
        ck_assert_int_lt(++rounds, 2000);
    }
    check_tree(t);
}

static void check_rest(const struct tree *t)
{
    struct level_targets targets;
    unsigned level;
    size_t i;

    pick_targets(t->v, &t->o, &targets);
    for (level = 0; level < LSM_LEVELS; level++)
        ck_assert(pick_score(t->v, &t->o, &targets, level) < 1.0);
    for (level = 0; level + 1 < LSM_LEVELS; level++) {
        for (i = 0; i < t->v->n[level]; i++) {
            const struct table_meta *m = &t->v->file[level][i]->meta;

            ck_assert(m->deletes < 64 || m->deletes * 4 < m->entries);
        }
    }
}

START_TEST(no_choice_lets_an_old_version_show)
{
    uint64_t r = test_seed();
    unsigned chosen[REASONS] = {0}, moves = 0, i;
    struct tree t;
    int round;

    for (round = 0; round < 12; round++) {
        tree_init(&t, &r, (enum lsm_strategy)(round % 3));
        grow(&t, &r, 400);
        for (i = 0; i < REASONS; i++)
            chosen[i] += t.chosen[i];
        moves += t.moves;
        tree_release(&t);
    }
    ck_assert_uint_gt(chosen[PICK_L0], 0);
    ck_assert_uint_gt(chosen[PICK_SIZE], 0);
    ck_assert_uint_gt(chosen[PICK_RUNS], 0);
    ck_assert_uint_gt(moves, 0);
}
END_TEST

START_TEST(a_tree_left_alone_comes_to_rest)
{
    uint64_t r = test_seed();
    struct tree t;
    int round;

    for (round = 0; round < 9; round++) {
        tree_init(&t, &r, (enum lsm_strategy)(round % 3));
        grow(&t, &r, 150);
        settle(&t, &r, false);
        check_rest(&t);
        tree_release(&t);
    }
}
END_TEST

START_TEST(a_full_compaction_leaves_one_level)
{
    uint64_t r = test_seed();
    struct tree t;
    unsigned level, used;
    int round;

    for (round = 0; round < 9; round++) {
        tree_init(&t, &r, (enum lsm_strategy)(round % 3));
        grow(&t, &r, 150);
        settle(&t, &r, true);
        for (level = used = 0; level < LSM_LEVELS; level++)
            used += t.v->n[level] > 0;
        ck_assert_uint_le(used, 1);
        tree_release(&t);
    }
}
END_TEST

TEST_MAIN("pick_tree", TEST_CASE(no_choice_lets_an_old_version_show),
          TEST_CASE(a_tree_left_alone_comes_to_rest),
          TEST_CASE(a_full_compaction_leaves_one_level))
