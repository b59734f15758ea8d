/*
 * kv.c - build/bench-kv: one driver for our engine and its peers. The text of --help
 * below says how it is used and what it writes.
 *
 * A workload that reads or changes records finds N of them, written in random
 * order and at rest (untimed): flushed, and no level over its target, or with
 * --full all in one level. One that only reads finds them read once, too (not with
 * --cgroup). Workloads in a row that change nothing share one store.
 * Bytes written are counted until the store is at rest again.
 */
#include <getopt.h>

#include "host.h"
#include "kv_data.h"
#include "kv_limit.h"
#include "kv_run.h"
#include "scratch.h"

static const struct kv_engine *const engines[] = {
    &kv_lsm,
#ifdef KV_ROCKSDB
    &kv_rocksdb, &kv_rocksdb_blob,
#endif
#ifdef KV_LEVELDB
    &kv_leveldb,
#endif
#ifdef KV_LMDB
    &kv_lmdb,
#endif
};

enum {
    ENGINES = sizeof(engines) / sizeof(engines[0]),
    VALUE_BYTES = 100,
    CACHE_BYTES = 64 << 20,
    MEMTABLE_BYTES = 64 << 20,
};

struct args {
    const struct kv_engine *engine;
    char *workloads;
    const char *dir;
    const char *json;
    const char *cgroup;
    bool has_value;
    struct kv_config config;
};

/* ---- arguments ---- */

static const char help[] =
    "usage: bench-kv --engine E --workload W[,W...] [OPTION...]\n"
    "\n"
    "What a key-value engine does: our own or one of its peers, all with equal keys,\n"
    "cache, filters, compression and durability. Each workload prints a line.\n"
    "\n"
    "  --num N            records (1000000)\n"
    "  --ops N            operations (as many as records)\n"
    "  --seconds S        instead of --ops\n"
    "  --value BYTES      of a value (100; bigoverwrite: 16 to 128 KiB)\n"
    "  --threads T        (1)\n"
    "  --cache BYTES      for blocks, filters, indexes (64M)\n"
    "  --memtable BYTES   (64M)\n"
    "  --table BYTES      size of a table, as our engine has it by default\n"
    "  --l1 BYTES         size of level 1, likewise\n"
    "  --sync             each write survives power loss (fillsync: always)\n"
    "  --no-filter        no bloom filters (else 10 bits a key)\n"
    "  --full             stores that are read are compacted into one level\n"
    "  --compression C    none or lz4 (LevelDB: Snappy; LMDB has none)\n"
    "  --strategy S       leveled, tiered or hybrid\n"
    "  --parts N          of a large compaction\n"
    "  --cgroup DIR       reading workloads: join this control group once the store is\n"
    "                     filled, by another process, and nothing of it is in memory\n"
    "  --dir DIR          where to work, in a new directory that is removed\n"
    "                     (TMPDIR, or /tmp)\n"
    "  --json FILE        a list of objects with engine, workload, ops_per_s, p50_us,\n"
    "                     p99_us, p999_us, max_us, write_amplification,\n"
    "                     space_amplification, peak_memory_bytes and more\n"
    "\n"
    "N and BYTES may end in K, M or G: powers of two.\n"
    "engines:   ";

__attribute__((noreturn)) static void tell_help(void)
{
    fputs(help, stdout);
    for (int i = 0; i < ENGINES; i++)
        printf("%s%s", engines[i]->name, i + 1 < ENGINES ? " " : "\n");
    fputs("workloads: ", stdout);
    kv_workload_names(stdout);
    exit(0);
}

__attribute__((noreturn, format(printf, 1, 2))) static void wrong(const char *format, ...)
{
    va_list ap;

    fputs("bench-kv: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputs(" (bench-kv --help tells more)\n", stderr);
    exit(2);
}

static uint64_t number_of(const char *arg)
{
    static const char units[] = "KMG";
    char *end;
    uint64_t n = strtoull(arg, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;

    if (end == arg || *arg == '-' || (*end && (!unit || end[1])))
        wrong("not a number: %s", arg);
    return unit ? n << 10 * (unit - units + 1) : n;
}

static const struct kv_engine *engine_of(const char *name)
{
    for (int i = 0; i < ENGINES; i++) {
        if (strcmp(engines[i]->name, name) == 0)
            return engines[i];
    }
    wrong("no engine %s here; `make bench-kv` installs the peers", name);
}

static enum lsm_strategy strategy_of(const char *name)
{
    static const char *const names[] = {"leveled", "tiered", "hybrid"};

    for (unsigned i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum lsm_strategy)i;
    wrong("no strategy %s", name);
}

static void set_option(struct args *a, int option, const char *arg)
{
    struct kv_config *c = &a->config;

    switch (option) {
    case 'e':
        a->engine = engine_of(arg);
        break;
    case 'w':
        a->workloads = strdup(arg);
        break;
    case 'd':
        a->dir = arg;
        break;
    case 'j':
        a->json = arg;
        break;
    case 'n':
        c->num = number_of(arg);
        break;
    case 'o':
        c->ops = number_of(arg);
        break;
    case 'S':
        c->seconds = strtod(arg, NULL);
        break;
    case 'v':
        c->value_bytes = number_of(arg), a->has_value = true;
        break;
    case 't':
        c->threads = (unsigned)number_of(arg);
        break;
    case 'c':
        c->cache_bytes = number_of(arg);
        break;
    case 'm':
        c->memtable_bytes = number_of(arg);
        break;
    case 'T':
        c->table_bytes = number_of(arg);
        break;
    case 'l':
        c->l1_bytes = number_of(arg);
        break;
    case 'y':
        c->strategy = strategy_of(arg);
        break;
    case 'p':
        c->parts = (unsigned)number_of(arg);
        break;
    case 's':
        c->sync = true;
        break;
    case 'f':
        c->filter = false;
        break;
    case 'F':
        c->full = true;
        break;
    case 'C':
        c->compress = strcmp(arg, "lz4") == 0;
        if (!c->compress && strcmp(arg, "none") != 0)
            wrong("no compression %s", arg);
        break;
    case 'g':
        a->cgroup = arg;
        break;
    case 'h':
        tell_help();
    default:
        wrong("unknown option, or one without its value");
    }
}

static void parse(struct args *a, int argc, char **argv)
{
    static const struct option options[] = {
        {"engine", 1, 0, 'e'},      {"workload", 1, 0, 'w'},
        {"num", 1, 0, 'n'},         {"ops", 1, 0, 'o'},
        {"seconds", 1, 0, 'S'},     {"value", 1, 0, 'v'},
        {"threads", 1, 0, 't'},     {"cache", 1, 0, 'c'},
        {"memtable", 1, 0, 'm'},    {"table", 1, 0, 'T'},
        {"l1", 1, 0, 'l'},          {"sync", 0, 0, 's'},
        {"no-filter", 0, 0, 'f'},   {"full", 0, 0, 'F'},
        {"compression", 1, 0, 'C'}, {"dir", 1, 0, 'd'},
        {"json", 1, 0, 'j'},        {"strategy", 1, 0, 'y'},
        {"parts", 1, 0, 'p'},       {"cgroup", 1, 0, 'g'},
        {"help", 0, 0, 'h'},        {0},
    };
    struct lsm_options defaults;
    int option;

    lsm_options_init(&defaults);
    a->config = (struct kv_config){
        .num = 1000000,
        .value_bytes = VALUE_BYTES,
        .threads = 1,
        .cache_bytes = CACHE_BYTES,
        .memtable_bytes = MEMTABLE_BYTES,
        .table_bytes = defaults.table_bytes,
        .l1_bytes = defaults.l1_bytes,
        .filter = true,
        .compress = true,
    };
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
        set_option(a, option, optarg);
    if (optind < argc)
        wrong("what is \"%s\"?", argv[optind]);
    if (!a->engine || !a->workloads)
        wrong("%s", a->engine ? "which --workload?" : "which --engine?");
    if (!a->config.num || !a->config.threads || (a->has_value && !a->config.value_bytes))
        wrong("--num, --threads and --value want 1 or more");
    if (!a->config.ops)
        a->config.ops = a->config.num;
}

/* ---- running ---- */

/* Some workloads imply an option. */
static struct kv_config config_of(const struct args *a, const struct kv_workload *work)
{
    struct kv_config c = a->config;

    if (strcmp(work->name, "fillsync") == 0)
        c.sync = true;
    if (strcmp(work->name, "bigoverwrite") == 0 && !a->has_value)
        c.value_bytes = 0;
    return c;
}

/* The last workload left a store only if it did not change it. */
static void prepare(struct kv_store *s, const struct kv_workload *work,
                    const char *cgroup)
{
    bool special = kv_is_special(work);

    if (s->db && work->before == KV_FILLED && s->value_bytes == s->config->value_bytes)
        return;
    kv_store_drop(s);
    if (work->before == KV_EMPTY && special)
        return;
    if (work->before == KV_FILLED)
        bench_progress("filling");
    if (cgroup) {
        kv_fill_then_join(s, cgroup);
        return;
    }
    kv_store_new(s);
    if (work->before == KV_FILLED) {
        kv_store_fill(s);
        kv_store_settle(s);
        if (!work->changes)
            kv_store_warm(s);
    }
}

static void run_one(const struct args *a, struct kv_store *s, const char *name,
                    FILE *json)
{
    const struct kv_workload *work = kv_workload_find(name);
    struct kv_config c = config_of(a, work);
    struct kv_result *r = calloc(1, sizeof(*r));

    if (!r)
        bench_die(-ENOMEM, "result");
    s->config = &c;
    r->engine = s->engine->name;
    r->workload = work->name;
    r->config = c;
    kv_data_init(&c);
    prepare(s, work, a->cgroup);
    bench_progress(name);
    if (kv_is_special(work))
        kv_run_special(s, work, r);
    else
        kv_run(s, work, r);
    bench_progress_end();
    kv_report_line(stdout, r);
    if (json)
        kv_json_add(json, r);
    if (work->changes)
        kv_store_drop(s);
    s->config = NULL;
    kv_data_release();
    free(r);
}

static void check_workloads(const struct args *a)
{
    char *copy = strdup(a->workloads);

    if (!copy)
        bench_die(-ENOMEM, "arguments");
    for (char *at = copy, *name; (name = strsep(&at, ","));) {
        const struct kv_workload *work = kv_workload_find(name);

        if (!work)
            wrong("no workload %s", name);
        if (a->cgroup && work->changes)
            wrong("%s does more than read: not with --cgroup", name);
    }
    free(copy);
}

/* Twice the records: what is obsolete stays until a compaction. */
static void check_space(const struct args *a)
{
    double value = (double)a->config.value_bytes;

    if (strstr(a->workloads, "bigoverwrite") && !a->has_value)
        value = KV_BIG_MAX / 2;
    bench_need_space(a->dir, 2 * (double)a->config.num * (KV_KEY + value),
                     "--num, --value");
}

int main(int argc, char **argv)
{
    struct args a = {0};
    struct kv_store s = {0};
    char dir[4000], path[4096];
    const char *tmp = getenv("TMPDIR");
    FILE *json = NULL;

    parse(&a, argc, argv);
    check_workloads(&a);
    if (!a.dir)
        a.dir = tmp && *tmp ? tmp : "/tmp";
    check_space(&a);
    if (a.json && !(json = fopen(a.json, "w")))
        bench_die(-errno, "%s", a.json);
    bench_host(a.dir);
    bench_scratch(a.dir, dir, sizeof(dir));
    snprintf(path, sizeof(path), "%s/store", dir);
    s.engine = a.engine;
    s.path = path;

    if (json)
        kv_json_begin(json);
    kv_report_heading(stdout);
    for (char *at = a.workloads, *name; (name = strsep(&at, ","));)
        run_one(&a, &s, name, json);
    kv_store_drop(&s);
    if (json)
        kv_json_end(json);
    if (json && fclose(json))
        bench_die(-errno, "%s", a.json);
    free(a.workloads);
    return 0;
}
