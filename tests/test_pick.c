/*
 * test_pick.c - lsm/pick.h, without a disk: tests/pick/NAME.txt describe levels and
 * the choices expected of them. Random trees: test_pick_tree.c.
 *
 * A file is lines of words; # begins a comment:
 *
 *     case NAME ...             an empty store with the options below
 *     strategy leveled
 *     l0_trigger 4              options and their defaults
 *     level_ratio 10
 *     l1_bytes 1000
 *     table_bytes 100
 *     l0_ref_bytes 0
 *     oldest_seq 0
 *     at_rest 0
 *     recompress 0
 *     L1 7 a-c                  table 7 with keys [a, c]; a-c) is [a, c)
 *       ... size 100 entries 100 seqs 7 7 deletes 0 run 0 ranges 0 refs 0 busy
 *                               left_out
 *     busy 7 | idle 7           table 7 is (not) being compacted
 *     targets 4: 0 0 0 1000     the base, and the targets of L1 ... L4
 *     score L1 1.25
 *     pick nothing
 *     pick L0 -> L4 l0: 9 8 | 5 6 move     reasons: see below; inputs
 *                                             level by level
 *     full ...                  what pick_full gives, in the same form
 *     bottom a-c yes            pick_is_bottom, for the last thing picked
 */
#include "test.h"

#include <stdarg.h>
#include <stdlib.h>

#include "lsm/pick.h"

enum { WORDS_MAX = 32, TEXT_MAX = 512 };

/* A store without files: what it knows of tables is all there is. */
struct store {
    struct table_cache tables;
    struct version *v;
    struct pick_options o;
};

static void on_dead(void *arg, uint64_t number)
{
    (void)arg;
    ck_abort_msg("table %d is obsolete, though nobody said so", (int)number);
}

static void store_init(struct store *s)
{
    table_cache_init(&s->tables, NULL, "nowhere", NULL, on_dead, NULL);
    s->v = version_new();
    s->o = (struct pick_options){
        .l0_trigger = 4, .level_ratio = 10, .l1_bytes = 1000, .table_bytes = 100};
}

static void store_release(struct store *s)
{
    version_unref(s->v);
    ck_assert_ptr_null(s->tables.alive);
    table_cache_release(&s->tables);
}

static void store_apply(struct store *s, struct edit *e, const char *where)
{
    struct version *v;

    ck_ok(version_apply(s->v, e, &s->tables, where, &v));
    version_unref(s->v);
    s->v = v;
    edit_release(e);
}

/* ---- one file of cases ---- */

struct reading {
    const char *path;
    unsigned line;
    char name[TEXT_MAX]; /* of the case */
    char *word[WORDS_MAX];
    size_t n;
    struct store s;
    struct compaction last;
    bool open; /* a case has begun */
};

static void wrong(const struct reading *rd, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), noreturn));

static void wrong(const struct reading *rd, const char *fmt, ...)
{
    char why[2 * TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    ck_abort_msg("%s:%u: %s: %s", rd->path, rd->line, rd->name, why);
    abort();
}

static uint64_t number(const struct reading *rd, const char *text)
{
    char *end;
    uint64_t n = text ? strtoull(text, &end, 10) : 0;

    if (!text || end == text || *end)
        wrong(rd, "\"%s\" is not a number", text ? text : "");
    return n;
}

static unsigned level_of(const struct reading *rd, const char *text)
{
    if (text[0] != 'L' || text[1] < '0' || text[1] >= '0' + LSM_LEVELS || text[2])
        wrong(rd, "\"%s\" is not a level", text);
    return (unsigned)(text[1] - '0');
}

/* "a-c" or "a-c)" */
static void range_of(const struct reading *rd, char *text, struct key_range *r)
{
    char *dash = strchr(text, '-');
    size_t len = dash ? strlen(dash + 1) : 0;

    if (!len)
        wrong(rd, "\"%s\" is not a range", text);
    r->lo = slice_of(text, (size_t)(dash - text));
    r->hi_open = dash[len] == ')';
    r->hi = slice_of(dash + 1, len - r->hi_open);
}

static struct tfile *table_of(const struct reading *rd, const char *text)
{
    uint64_t n = number(rd, text);
    unsigned level;
    size_t i;

    for (level = 0; level < LSM_LEVELS; level++)
        for (i = 0; i < rd->s.v->n[level]; i++)
            if (rd->s.v->file[level][i]->meta.number == n)
                return rd->s.v->file[level][i];
    wrong(rd, "there is no table %s", text);
}

static void end_case(struct reading *rd)
{
    if (!rd->open)
        return;
    compaction_release(&rd->last);
    store_release(&rd->s);
    rd->open = false;
}

static void begin_case(struct reading *rd)
{
    size_t i, len = 0;

    end_case(rd);
    for (i = 1; i < rd->n; i++)
        len += (size_t)snprintf(rd->name + len, sizeof(rd->name) - len, "%s%s",
                                i > 1 ? " " : "", rd->word[i]);
    store_init(&rd->s);
    rd->open = true;
}

static enum lsm_strategy strategy_of(const struct reading *rd, const char *name)
{
    static const char *names[] = {"leveled", "tiered", "hybrid"};
    unsigned i;

    for (i = 0; i < 3; i++)
        if (name && strcmp(name, names[i]) == 0)
            return (enum lsm_strategy)i;
    wrong(rd, "no such strategy");
}

static bool take_option(struct reading *rd)
{
    const char *name = rd->word[0];

    if (strcmp(name, "strategy") == 0)
        rd->s.o.strategy = strategy_of(rd, rd->word[1]);
    else if (strcmp(name, "l0_trigger") == 0)
        rd->s.o.l0_trigger = (unsigned)number(rd, rd->word[1]);
    else if (strcmp(name, "level_ratio") == 0)
        rd->s.o.level_ratio = (unsigned)number(rd, rd->word[1]);
    else if (strcmp(name, "l1_bytes") == 0)
        rd->s.o.l1_bytes = number(rd, rd->word[1]);
    else if (strcmp(name, "table_bytes") == 0)
        rd->s.o.table_bytes = number(rd, rd->word[1]);
    else if (strcmp(name, "recompress") == 0)
        rd->s.o.recompress = number(rd, rd->word[1]);
    else if (strcmp(name, "at_rest") == 0)
        rd->s.o.at_rest = number(rd, rd->word[1]);
    else if (strcmp(name, "oldest_seq") == 0)
        rd->s.o.oldest_seq = number(rd, rd->word[1]);
    else if (strcmp(name, "l0_ref_bytes") == 0)
        rd->s.o.l0_ref_bytes = number(rd, rd->word[1]);
    else
        return false;
    return true;
}

static void add_ref(struct table_meta *m, uint64_t bytes)
{
    m->refs = malloc(sizeof(*m->refs));
    m->refs[0] = (struct segment_ref){.segment = 1, .bytes = bytes};
    m->n_refs = 1;
}

static void add_table(struct reading *rd)
{
    struct table_meta m = {.size = 100, .entries = 100};
    struct edit e = {0};
    struct key_range r;
    bool busy = false, left_out = false;
    size_t i;

    range_of(rd, rd->word[2], &r);
    m.number = number(rd, rd->word[1]);
    m.seq_min = m.seq_max = m.number;
    buf_assign(&m.smallest, r.lo);
    buf_assign(&m.largest, r.hi);
    m.largest_open = r.hi_open;
    for (i = 3; i < rd->n; i++) {
        if (strcmp(rd->word[i], "size") == 0)
            m.size = number(rd, rd->word[++i]);
        else if (strcmp(rd->word[i], "entries") == 0)
            m.entries = number(rd, rd->word[++i]);
        else if (strcmp(rd->word[i], "seqs") == 0) {
            m.seq_min = number(rd, rd->word[++i]);
            m.seq_max = number(rd, rd->word[++i]);
        } else if (strcmp(rd->word[i], "deletes") == 0)
            m.deletes = number(rd, rd->word[++i]);
        else if (strcmp(rd->word[i], "run") == 0)
            m.delete_run = number(rd, rd->word[++i]);
        else if (strcmp(rd->word[i], "ranges") == 0)
            m.range_deletes = number(rd, rd->word[++i]);
        else if (strcmp(rd->word[i], "refs") == 0)
            add_ref(&m, number(rd, rd->word[++i]));
        else if (strcmp(rd->word[i], "busy") == 0)
            busy = true;
        else if (strcmp(rd->word[i], "left_out") == 0)
            left_out = rd->s.o.left_out = true;
        else
            wrong(rd, "\"%s\" is nothing that a table has", rd->word[i]);
    }
    ck_ok(edit_add_table(&e, level_of(rd, rd->word[0]), &m));
    store_apply(&rd->s, &e, rd->path);
    table_of(rd, rd->word[1])->compacting = busy;
    atomic_store(&table_of(rd, rd->word[1])->left_out, left_out);
}

/* ---- questions ---- */

static size_t say_inputs(char *to, size_t len, const struct compaction *c, unsigned level)
{
    size_t i;

    for (i = 0; i < c->n[level]; i++)
        len += (size_t)snprintf(to + len, TEXT_MAX - len, " %d",
                                (int)c->inputs[level][i]->meta.number);
    return len;
}

static void say_choice(const struct compaction *c, char to[TEXT_MAX])
{
    static const char *reasons[] = {
        [PICK_L0] = "l0",         [PICK_SIZE] = "size",
        [PICK_RUNS] = "runs",     [PICK_TOMBSTONES] = "tombstones",
        [PICK_MANUAL] = "manual", [PICK_GARBAGE] = "garbage",
    };
    unsigned level;
    size_t len;

    if (c->reason == PICK_NOTHING) {
        strcpy(to, "nothing");
        return;
    }
    len = (size_t)snprintf(to, TEXT_MAX, "L%u -> L%u %s:", c->level, c->output_level,
                           reasons[c->reason]);
    len = say_inputs(to, len, c, c->level);
    for (level = c->level + 1; level < LSM_LEVELS; level++) {
        if (!c->n[level])
            continue;
        len += (size_t)snprintf(to + len, TEXT_MAX - len, " |");
        len = say_inputs(to, len, c, level);
    }
    if (c->move)
        snprintf(to + len, TEXT_MAX - len, " move");
}

/* The words after the first, joined, are what is got. */
static void compare(const struct reading *rd, const char *got)
{
    char want[TEXT_MAX];
    size_t i, len = 0;

    want[0] = 0;
    for (i = 1; i < rd->n; i++)
        len += (size_t)snprintf(want + len, sizeof(want) - len, "%s%s", i > 1 ? " " : "",
                                rd->word[i]);
    if (strcmp(want, got) != 0)
        wrong(rd, "%s is \"%s\", not \"%s\"", rd->word[0], got, want);
}

static void ask_choice(struct reading *rd, bool full)
{
    char got[TEXT_MAX];

    compaction_release(&rd->last);
    ck_ok(full ? pick_full(rd->s.v, &rd->s.o, &rd->last)
               : pick_compaction(rd->s.v, &rd->s.o, &rd->last));
    say_choice(&rd->last, got);
    compare(rd, got);
}

static void ask_targets(const struct reading *rd)
{
    struct level_targets t;
    char got[TEXT_MAX];
    size_t len;
    unsigned i;

    pick_targets(rd->s.v, &rd->s.o, &t);
    len = (size_t)snprintf(got, sizeof(got), "%u:", t.base);
    for (i = 1; i < LSM_LEVELS; i++)
        len += (size_t)snprintf(got + len, sizeof(got) - len, " %llu",
                                (unsigned long long)t.bytes[i]);
    compare(rd, got);
}

static void ask_score(const struct reading *rd)
{
    unsigned level = level_of(rd, rd->word[1]);
    struct level_targets t;
    char got[TEXT_MAX];

    pick_targets(rd->s.v, &rd->s.o, &t);
    snprintf(got, sizeof(got), "L%u %.2f", level,
             pick_score(rd->s.v, &rd->s.o, &t, level));
    compare(rd, got);
}

static void ask_bottom(const struct reading *rd)
{
    char text[TEXT_MAX];
    struct key_range r;

    snprintf(text, sizeof(text), "%s", rd->word[1]);
    range_of(rd, text, &r);
    snprintf(text + strlen(text), sizeof(text) - strlen(text), " %s",
             pick_is_bottom(rd->s.v, &rd->last, &r) ? "yes" : "no");
    compare(rd, text);
}

static void do_line(struct reading *rd)
{
    const char *verb = rd->word[0];

    if (strcmp(verb, "case") == 0)
        begin_case(rd);
    else if (!rd->open || rd->n < 2)
        wrong(rd, "\"%s\" alone says nothing", verb);
    else if (verb[0] == 'L' && rd->n > 2)
        add_table(rd);
    else if (strcmp(verb, "busy") == 0)
        table_of(rd, rd->word[1])->compacting = true;
    else if (strcmp(verb, "idle") == 0)
        table_of(rd, rd->word[1])->compacting = false;
    else if (strcmp(verb, "targets") == 0)
        ask_targets(rd);
    else if (strcmp(verb, "score") == 0)
        ask_score(rd);
    else if (strcmp(verb, "pick") == 0)
        ask_choice(rd, false);
    else if (strcmp(verb, "full") == 0)
        ask_choice(rd, true);
    else if (strcmp(verb, "bottom") == 0)
        ask_bottom(rd);
    else if (!take_option(rd))
        wrong(rd, "\"%s\" means nothing here", verb);
}

static void run_file(const char *path)
{
    struct reading rd = {.path = path};
    char line[TEXT_MAX], *at;
    FILE *f = fopen(path, "r");

    ck_assert_msg(f != NULL, "%s: cannot be read: run from the top directory", path);
    while (fgets(line, sizeof(line), f)) {
        rd.line++;
        line[strcspn(line, "#\n")] = 0;
        memset(rd.word, 0, sizeof(rd.word));
        rd.n = 0;
        for (at = strtok(line, " \t"); at; at = strtok(NULL, " \t")) {
            ck_assert_uint_lt(rd.n, WORDS_MAX);
            rd.word[rd.n++] = at;
        }
        if (rd.n)
            do_line(&rd);
    }
    end_case(&rd);
    fclose(f);
}

START_TEST(targets_come_from_the_largest_level_upward)
{
    run_file("tests/pick/targets.txt");
}
END_TEST

START_TEST(l0_goes_to_the_base_as_a_whole)
{
    run_file("tests/pick/l0.txt");
}
END_TEST

START_TEST(a_level_over_its_target_gives_its_cheapest_table)
{
    run_file("tests/pick/size.txt");
}
END_TEST

START_TEST(tombstones_sink_on_their_own_account)
{
    run_file("tests/pick/tombstones.txt");
}
END_TEST

START_TEST(a_table_without_overlap_moves)
{
    run_file("tests/pick/move.txt");
}
END_TEST

START_TEST(tables_being_compacted_are_left_alone)
{
    run_file("tests/pick/busy.txt");
}
END_TEST

START_TEST(tombstones_may_go_where_nothing_is_below)
{
    run_file("tests/pick/bottom.txt");
}
END_TEST

START_TEST(a_full_compaction_goes_level_by_level)
{
    run_file("tests/pick/full.txt");
}
END_TEST

START_TEST(tiered_merges_neighbouring_runs_of_like_size)
{
    run_file("tests/pick/tiered.txt");
}
END_TEST

START_TEST(hybrid_keeps_tiers_in_l0)
{
    run_file("tests/pick/hybrid.txt");
}
END_TEST

START_TEST(what_cannot_be_read_holds_up_nothing_else)
{
    run_file("tests/pick/left_out.txt");
}
END_TEST

TEST_MAIN("pick", TEST_CASE(targets_come_from_the_largest_level_upward),
          TEST_CASE(l0_goes_to_the_base_as_a_whole),
          TEST_CASE(a_level_over_its_target_gives_its_cheapest_table),
          TEST_CASE(tombstones_sink_on_their_own_account),
          TEST_CASE(a_table_without_overlap_moves),
          TEST_CASE(tables_being_compacted_are_left_alone),
          TEST_CASE(tombstones_may_go_where_nothing_is_below),
          TEST_CASE(a_full_compaction_goes_level_by_level),
          TEST_CASE(tiered_merges_neighbouring_runs_of_like_size),
          TEST_CASE(hybrid_keeps_tiers_in_l0),
          TEST_CASE(what_cannot_be_read_holds_up_nothing_else))
