/*
 * test_power.c - power loss at every call to the disk, of loads that are known to do all
 * that the engine does.
 *
 * A load (crash_load.h) runs once to its end, and each of its calls to the env is noted:
 * what it did to which file, and what the store did in the step that it belongs to, by
 * the store's own counters. Then the load is run again and stopped after every call (in
 * `make test` every STRIDE-th, which ones the seed draws); of what the disk may hold then
 * four versions are opened and must be the state after a prefix of the history, no
 * shorter than what was synced. Some are opened by recoveries that crash in turn, at
 * every call, and the next one again.
 *
 * The tables printed tell how many of the calls after which it crashed were of a kind.
 * Loads in which by chance some kind is missing are drawn again.
 */
#include "tests/crash_load.h"

#include <stdlib.h>

#include "lsm/names.h"
#include "lsm/table_impl.h"

enum {
    CALLS_MAX = 40000,
    DISKS = 4,
    STRIDE = SOAK_SANITIZED ? 90 : 20,
    RECOVERIES = SOAK_SANITIZED ? 2 : 6, /* that crash everywhere; in make soak all of
                                             every NEST-th crash */
    NEST = 60,
};

static const enum env_mem_crash modes[DISKS] = {
    ENV_MEM_LOSE_UNSYNCED, ENV_MEM_KEEP_RANDOM, ENV_MEM_KEEP_RANDOM, ENV_MEM_KEEP_ALL};

/* ---- what there is to be seen ---- */

enum event {
    FLUSH,
    LEVELED,
    TIERED,
    HYBRID,
    PARTS,
    MOVE,
    DROPPED,
    DICTIONARY,
    SEGMENT_BEGUN,
    VALUES_MOVED,
    SEGMENT_DELETED,
    LOG_BEGUN,
    LOG_RECYCLED,
    LOG_DELETED,
    MANIFEST_BEGUN,
    CHECKPOINT,
    RANGE_DELETE,
    TRANSACTION,
    SYNC,
    CLEAN_END,
    EVENTS,
};

static const char *const event_names[EVENTS] = {
    "flush",
    "compaction, leveled",
    "compaction, tiered",
    "compaction, hybrid",
    "compaction in parts",
    "table moved down",
    "table dropped unread",
    "dictionary made",
    "segment begun",
    "values moved out of segments",
    "segment deleted",
    "log begun",
    "log recycled",
    "log deleted",
    "manifest begun, CURRENT set",
    "checkpoint",
    "range delete",
    "transaction",
    "sync",
    "clean end, opening",
};

static const char *const kind_names[] = {"open",    "",       "",       "append", "sync",
                                         "trunc.",  "rename", "unlink", "link",   "mkdir",
                                         "syncdir", "",       "",       "lock"};
static const char *const file_names[] = {"other",    "CURRENT", "LOCK",  "RESERVE", "DOUBT",
                                         "manifest", "log",     "table", "segment", "temporary"};
enum { KINDS = 14, FILE_KINDS = 10 };

struct call {
    uint8_t kind, file; /* log2 of an env_mem_kind; a file_kind */
    uint32_t events;    /* of its step: bits */
};

/* The calls of one load, of which step_from and later ones are of the step under way. */
static struct call calls[CALLS_MAX];
static unsigned n_calls, step_from;
static struct lsm_stats before;
static unsigned before_opened, before_transactions;
static int before_checkpoints;

/* Crash points, as tried and as there are. */
struct tally {
    uint64_t events[EVENTS], kinds[KINDS][FILE_KINDS], all;
};
static struct tally tried, there;
static uint64_t disks, recoveries, recovery_crashes;

static void note_call(void *arg, enum env_mem_kind kind, const char *name)
{
    uint64_t number;
    unsigned k = 0;

    ck_assert_uint_lt(n_calls, CALLS_MAX);
    while (!(kind >> k & 1))
        k++;
    calls[n_calls++] =
        (struct call){.kind = (uint8_t)k, .file = (uint8_t)file_parse(name, &number)};
}

static uint32_t bit(bool happened, enum event e)
{
    return happened ? 1u << e : 0;
}

/* What the calls of this step tell by themselves. */
static uint32_t seen_in_calls(void)
{
    uint32_t e = 0;
    unsigned i;

    for (i = step_from; i < n_calls; i++) {
        unsigned kind = 1u << calls[i].kind;

        switch (calls[i].file) {
        case FILE_SEGMENT:
            e |= bit(kind == ENV_MEM_OPEN, SEGMENT_BEGUN);
            e |= bit(kind == ENV_MEM_UNLINK, SEGMENT_DELETED);
            break;
        case FILE_LOG:
            e |= bit(kind == ENV_MEM_OPEN, LOG_BEGUN);
            e |= bit(kind == ENV_MEM_RENAME, LOG_RECYCLED);
            e |= bit(kind == ENV_MEM_UNLINK, LOG_DELETED);
            break;
        case FILE_MANIFEST:
            e |= bit(kind == ENV_MEM_OPEN, MANIFEST_BEGUN);
            break;
        default:
            break;
        }
    }
    return e;
}

static int find_dictionary(void *arg, const char *name)
{
    struct buf b = {0};
    char path[64];
    uint64_t number;
    int found = 0;

    if (file_parse(name, &number) != FILE_TABLE)
        return 0;
    snprintf(path, sizeof(path), "/s/%s", name);
    ck_ok(env_mem_read(arg, path, &b));
    if (b.len > TABLE_FOOTER)
        found = load_le32(b.data + b.len - TABLE_FOOTER + 32) == TABLE_VERSION_DICT;
    buf_release(&b);
    return found;
}

static uint32_t seen_in_stats(struct crash_load *l)
{
    static const enum event compaction[] = {
        [LSM_LEVELED] = LEVELED, [LSM_TIERED] = TIERED, [LSM_HYBRID] = HYBRID};
    struct lsm_stats s;
    uint32_t e = 0;

    lsm_get_stats(l->db, &s);
    if (l->opened != before_opened)
        memset(&before, 0, sizeof(before));
    e |= bit(l->opened != before_opened, CLEAN_END);
    e |= bit(s.flushes > before.flushes, FLUSH);
    e |= bit(s.compactions > before.compactions, compaction[l->o.strategy]);
    e |= bit(s.compaction_parts > before.compaction_parts, PARTS);
    e |= bit(s.moves > before.moves, MOVE);
    e |= bit(s.dropped_tables > before.dropped_tables, DROPPED);
    e |= bit(s.moved_bytes > before.moved_bytes, VALUES_MOVED);
    e |= bit(s.range_deletes > before.range_deletes, RANGE_DELETE);
    e |= bit(s.syncs > before.syncs, SYNC);
    /* A dictionary lives no longer than its table: it is in one written now. */
    e |= bit(s.compactions > before.compactions &&
                 env_list(l->env, "/s", find_dictionary, l->env) == 1,
             DICTIONARY);
    before = s;
    before_opened = l->opened;
    return e;
}

static void note_step(struct crash_load *l)
{
    int checkpoints = 0, i;
    uint32_t e = seen_in_calls();

    for (i = 0; i < CRASH_CHECKPOINTS; i++)
        checkpoints += l->checkpoint[i].acknowledged;
    e |= l->db ? seen_in_stats(l) : bit(true, CLEAN_END);
    e |= bit(l->transactions != before_transactions, TRANSACTION);
    e |= bit(checkpoints != before_checkpoints, CHECKPOINT);
    before_transactions = l->transactions;
    before_checkpoints = checkpoints;
    for (; step_from < n_calls; step_from++)
        calls[step_from].events = e;
}

static void add(struct tally *t, const struct call *c)
{
    unsigned i;

    for (i = 0; i < EVENTS; i++)
        t->events[i] += c->events >> i & 1;
    t->kinds[c->kind][c->file]++;
    t->all++;
}

/* ---- loads ---- */

struct profile {
    enum lsm_strategy strategy;
    size_t separate_bytes;
    unsigned parts_max; /* 1: and tables large enough for dictionaries */
    double garbage_ratio;
    bool text;
};

/* Together they do everything. */
enum { SEPARATED, IN_TABLES, DICTIONARIES, IN_TIERS, MIXED, PROFILES };

static const struct profile profiles[PROFILES] = {
    [SEPARATED] = {LSM_LEVELED, 500, 4, 0.05, false},
    [IN_TABLES] = {LSM_LEVELED, 0, 8, 0, true},
    [DICTIONARIES] = {LSM_LEVELED, 0, 1, 0, true},
    [IN_TIERS] = {LSM_TIERED, 300, 4, 0.1, false},
    [MIXED] = {LSM_HYBRID, 500, 2, 0.05, false},
};

static struct crash_load l;

static void begin(const struct profile *p, uint64_t seed)
{
    struct lsm_options o;
    int i;

    lsm_options_init(&o);
    o.create = true;
    o.memtable_bytes = 4 << 10;
    o.memory_bytes = 4 << 20; /* or a dictionary would be too small */
    o.block_bytes = 512;
    o.table_bytes = p->parts_max > 1 ? 4 << 10 : 32 << 10;
    o.l0_trigger = 2;
    o.level_ratio = 2;
    o.l1_bytes = 8 << 10;
    o.segment_bytes = 8 << 10;
    o.dictionary_bytes = 1 << 10;
    for (i = 0; i < LSM_LEVELS; i++)
        o.compression[i] = LSM_ZSTD;
    o.workers = 0;
    o.sync_interval_ms = 0;
    o.strategy = p->strategy;
    o.separate_bytes = p->separate_bytes;
    o.parts_max = p->parts_max;
    o.garbage_ratio = p->garbage_ratio;
    crash_begin(&l, seed, &o);
    l.text = p->text;
}

/* The whole load, noting each call, and counting it in t. */
static void probe(const struct profile *p, uint64_t seed, struct tally *t)
{
    unsigned i;

    n_calls = step_from = 0;
    before_opened = before_transactions = 0;
    before_checkpoints = 0;
    begin(p, seed);
    l.stepped = note_step;
    env_mem_watch(l.env, note_call, NULL);
    ck_assert_msg(crash_run(&l), "step %d, without a crash: %d", l.done, l.error);
    env_mem_watch(l.env, NULL, NULL);
    ck_assert_uint_eq(env_mem_calls(l.env), n_calls);
    ck_assert_uint_eq(step_from, n_calls);
    crash_release(&l);
    for (i = 0; i < n_calls; i++)
        add(t, &calls[i]);
}

/* Is there something that the loads did not do? `what` it is. */
static bool lacks(const struct tally *t, char *what, size_t size)
{
    static const struct {
        enum env_mem_kind kind;
        enum file_kind file;
    } least[] = {
        {ENV_MEM_OPEN, FILE_LOG},          {ENV_MEM_OPEN, FILE_TABLE},
        {ENV_MEM_OPEN, FILE_SEGMENT},      {ENV_MEM_OPEN, FILE_MANIFEST},
        {ENV_MEM_APPEND, FILE_LOG},        {ENV_MEM_APPEND, FILE_TABLE},
        {ENV_MEM_APPEND, FILE_SEGMENT},    {ENV_MEM_APPEND, FILE_MANIFEST},
        {ENV_MEM_SYNC, FILE_LOG},          {ENV_MEM_SYNC, FILE_TABLE},
        {ENV_MEM_SYNC, FILE_SEGMENT},      {ENV_MEM_SYNC, FILE_MANIFEST},
        {ENV_MEM_TRUNCATE, FILE_MANIFEST}, {ENV_MEM_RENAME, FILE_LOG},
        {ENV_MEM_RENAME, FILE_TEMP},       {ENV_MEM_UNLINK, FILE_LOG},
        {ENV_MEM_UNLINK, FILE_TABLE},      {ENV_MEM_UNLINK, FILE_SEGMENT},
        {ENV_MEM_UNLINK, FILE_MANIFEST},   {ENV_MEM_LINK, FILE_TABLE},
        {ENV_MEM_LINK, FILE_SEGMENT},      {ENV_MEM_SYNC_DIR, FILE_OTHER},
    };
    unsigned i, k;

    for (i = 0; i < EVENTS; i++)
        if (!t->events[i]) {
            snprintf(what, size, "%s", event_names[i]);
            return true;
        }
    for (i = 0; i < sizeof(least) / sizeof(least[0]); i++) {
        for (k = 0; least[i].kind >> k != 1; k++)
            ;
        if (!t->kinds[k][least[i].file]) {
            snprintf(what, size, "%s of a %s", kind_names[k], file_names[least[i].file]);
            return true;
        }
    }
    return false;
}

/* The first seed from `seed` on, of which each profile adds its number, whose loads
 * together do everything. */
static uint64_t draw(uint64_t seed)
{
    char what[64] = "";
    unsigned tries, i;

    for (tries = 0; tries < 20; tries++) {
        struct tally t = {.all = 0};

        for (i = 0; i < PROFILES; i++)
            probe(&profiles[i], seed + tries + i, &t);
        if (!lacks(&t, what, sizeof(what)))
            return seed + tries;
    }
    ck_abort_msg("drawn 20 times, and always something is missing: now %s", what);
}

/* ---- crashes ---- */

static int open_and_close(struct env *env)
{
    struct lsm_options o = l.o;
    struct lsm *db;
    int rc;

    o.env = env;
    rc = lsm_open("/s", &o, &db);
    return rc ? rc : lsm_close(db);
}

/*
 * Recover what `found` holds (it is left alone), crashing after each call; in what is
 * left by every one of those, crash again after a call drawn, and once more.
 */
static void recover_and_crash(struct env *found, uint64_t seed, int least)
{
    uint64_t stop, rng = seed | 1;
    bool ended = false;

    recoveries++;
    for (stop = 0; !ended; stop++) {
        struct env *env = env_mem_crash_clone(found, 1, ENV_MEM_KEEP_ALL);
        int depth;

        env_mem_stop_at(env, stop);
        ended = open_and_close(env) == 0;
        for (depth = 0; depth < 3; depth++) {
            struct env *after = env_mem_crash_clone(env, test_random(&rng),
                                                    modes[test_below(&rng, DISKS)]);

            env_mem_free(env);
            env = after;
            recovery_crashes++;
            if (depth < 2) {
                env_mem_stop_at(env, test_below(&rng, 40));
                (void)open_and_close(env); /* it may come to its end */
            }
        }
        env_mem_stop_at(env, UINT64_MAX);
        crash_check(&l, env, least);
        disks++;
        env_mem_free(env);
    }
    ck_assert_uint_gt(stop, 5);
}

/* Crash after the first n calls. */
static void crash_after(const struct profile *p, uint64_t seed, unsigned n, bool nest)
{
    unsigned i;

    begin(p, seed);
    env_mem_stop_at(l.env, n);
    crash_run(&l);
    for (i = 0; i < DISKS; i++) {
        int least;
        struct env *after = crash_clone(&l, seed + n * DISKS + i, modes[i], &least);

        if (nest && i == n % DISKS && lsm_is_store(after, "/s"))
            recover_and_crash(after, seed + n, least);
        crash_check(&l, after, least);
        env_mem_free(after);
        disks++;
    }
    crash_release(&l);
    if (n > 0)
        add(&tried, &calls[n - 1]);
}

static void crash_everywhere(const struct profile *p, uint64_t seed, struct soak *s)
{
    unsigned step = getenv("SOAK") ? 1 : STRIDE;
    unsigned n, nest = getenv("SOAK") ? NEST : 0, turn = 0;

    probe(p, seed, &there);
    if (!nest)
        nest = n_calls / step / RECOVERIES * PROFILES + 1;
    for (n = (unsigned)(seed % step); n <= n_calls; n += step, s->crashes++)
        crash_after(p, seed, n, ++turn % nest == 0);
    s->operations += CRASH_STEPS;
    s->option_sets++;
}

/* ---- what was tried ---- */

static void print_tables(void)
{
    unsigned k, f, i;

    printf("crash points %llu of %llu, disks examined %llu; %llu recoveries crashed "
           "%llu times\n",
           (unsigned long long)tried.all, (unsigned long long)there.all,
           (unsigned long long)disks, (unsigned long long)recoveries,
           (unsigned long long)recovery_crashes);
    printf("in a step with:                 points of      all\n");
    for (i = 0; i < EVENTS; i++)
        printf("  %-28s %7llu %9llu\n", event_names[i],
               (unsigned long long)tried.events[i], (unsigned long long)there.events[i]);
    printf("right after:");
    for (f = 0; f < FILE_KINDS; f++)
        printf(" %9s", file_names[f]);
    for (k = 0; k < KINDS; k++) {
        if (!*kind_names[k])
            continue;
        printf("\n  %-10s", kind_names[k]);
        for (f = 0; f < FILE_KINDS; f++)
            printf(" %9llu", (unsigned long long)tried.kinds[k][f]);
    }
    printf("\n");
    fflush(stdout);
}

/* One load a case: libcheck cannot tell of one that takes more than 35 minutes, as all of
 * them did in a soak on a slow machine. */
static void lose_power(struct soak *s, unsigned profile)
{
    if (!getenv("VERBOSE"))
        test_log_capture();
    while (soak_once(s))
        crash_everywhere(&profiles[profile], draw(soak_seed(s)) + profile, s);
    print_tables();
    soak_end(s);
}

START_TEST(power_loss_after_any_call_leaves_a_prefix_with_separated_values)
{
    struct soak s;

    soak_begin(&s);
    lose_power(&s, SEPARATED);
}
END_TEST

START_TEST(power_loss_after_any_call_leaves_a_prefix_with_values_in_tables)
{
    struct soak s;

    soak_begin(&s);
    lose_power(&s, IN_TABLES);
}
END_TEST

START_TEST(power_loss_after_any_call_leaves_a_prefix_with_dictionaries)
{
    struct soak s;

    soak_begin(&s);
    lose_power(&s, DICTIONARIES);
}
END_TEST

START_TEST(power_loss_after_any_call_leaves_a_prefix_in_tiers)
{
    struct soak s;

    soak_begin(&s);
    lose_power(&s, IN_TIERS);
}
END_TEST

START_TEST(power_loss_after_any_call_leaves_a_prefix_in_a_mixed_strategy)
{
    struct soak s;

    soak_begin(&s);
    lose_power(&s, MIXED);
}
END_TEST

TEST_MAIN("power",
          TEST_CASE_SOAK(power_loss_after_any_call_leaves_a_prefix_with_separated_values),
          TEST_CASE_SOAK(power_loss_after_any_call_leaves_a_prefix_with_values_in_tables),
          TEST_CASE_SOAK(power_loss_after_any_call_leaves_a_prefix_with_dictionaries),
          TEST_CASE_SOAK(power_loss_after_any_call_leaves_a_prefix_in_tiers),
          TEST_CASE_SOAK(power_loss_after_any_call_leaves_a_prefix_in_a_mixed_strategy))
