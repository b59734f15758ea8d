/*
 * fs.c - build/bench-fs: what a filesystem, any, does for the programs on it. The text
 * of --help below says how it is used and what it writes.
 */
#include "fs.h"

#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "host.h"
#include "scratch.h"

enum { RESULTS_MAX = 256, TEXT_BYTES = 2 << 20 };

static struct fs_result results[RESULTS_MAX];
static unsigned n_results;
static char text[TEXT_BYTES];

/* ---- figures ---- */

void fs_result_add(const struct fs_result *r)
{
    if (n_results == RESULTS_MAX)
        bench_die(0, "too many figures");
    results[n_results++] = *r;
    bench_progress_end();
    printf("%-6s%-16s%-24s%14.*f %-5s", r->part, r->phase, r->variant,
           r->value < 10     ? 3
           : r->value < 1000 ? 1
                             : 0,
           r->value, r->unit);
    if (r->max_us > 0)
        printf("%10.1f%10.1f%12.1f", r->p50_us, r->p99_us, r->max_us);
    printf("\n");
    fflush(stdout);
}

static void write_json(FILE *f, const char *path, const struct fs_config *c)
{
    fputs("[", f);
    for (unsigned i = 0; i < n_results; i++) {
        const struct fs_result *r = &results[i];

        fprintf(f,
                "%s\n{\"part\": \"%s\", \"phase\": \"%s\", \"variant\": \"%s\", "
                "\"unit\": \"%s\", \"value\": %.6g, \"files\": %u, \"bytes\": %zu, "
                "\"threads\": %u",
                i ? "," : "", r->part, r->phase, r->variant, r->unit, r->value, c->files,
                c->bytes, c->threads);
        if (r->max_us > 0)
            fprintf(f, ", \"p50_us\": %.6g, \"p99_us\": %.6g, \"max_us\": %.6g",
                    r->p50_us, r->p99_us, r->max_us);
        fputs("}", f);
    }
    fputs("\n]\n", f);
    if (fclose(f) != 0)
        bench_die(-errno, "%s", path);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double fs_median(double *v, unsigned n)
{
    qsort(v, n, sizeof(*v), by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* ---- what files hold ---- */

/* Words of a language that is none, of English frequencies of length. */
static void make_text(void)
{
    static const char letters[] = "etaoinshrdlucmfwygpbvk";
    char words[1000][12];
    uint64_t random = 9;
    size_t at = 0;

    for (unsigned i = 0; i < 1000; i++) {
        unsigned len = 2 + bench_random_below(&random, 8), k;

        for (k = 0; k < len; k++)
            words[i][k] = letters[bench_random_below(&random, sizeof(letters) - 1)];
        words[i][len] = '\0';
    }
    while (at < TEXT_BYTES) {
        /* Frequent words more often: the product of two is skewed. */
        unsigned i =
            bench_random_below(&random, 1000) * bench_random_below(&random, 1000) / 1000;
        const char *word = words[i];

        while (*word && at < TEXT_BYTES)
            text[at++] = *word++;
        if (at < TEXT_BYTES)
            text[at++] = bench_random_below(&random, 12) ? ' ' : '\n';
    }
}

const char *fs_content(const struct fs_config *c, unsigned i)
{
    return text + (size_t)i * 61 % (TEXT_BYTES - c->bytes);
}

/* ---- commands ---- */

double fs_shell(const char *format, ...)
{
    char command[8192];
    uint64_t start;
    va_list ap;
    int status;

    va_start(ap, format);
    if (vsnprintf(command, sizeof(command), format, ap) >= (int)sizeof(command))
        bench_die(-E2BIG, "command");
    va_end(ap);
    start = bench_now_ns();
    status = system(command);
    if (status != 0)
        bench_die(0, "status %d of: %s", WIFEXITED(status) ? WEXITSTATUS(status) : status,
                  command);
    return (double)(bench_now_ns() - start) / 1e9;
}

bool fs_has_program(const char *name)
{
    char command[128];

    snprintf(command, sizeof(command), "command -v %s >/dev/null", name);
    return system(command) == 0;
}

static const char drop_caches[] = "/proc/sys/vm/drop_caches";

void fs_go_cold(const struct fs_config *c)
{
    /* A directory that was listed, or an inode that is dirty, is not dropped. */
    sync();
    if (c->remount)
        fs_shell("%s", c->remount);
    fs_shell("echo 3 >%s", drop_caches);
}

static bool can_go_cold(void)
{
    int fd = open(drop_caches, O_WRONLY);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* ---- arguments ---- */

static const char help[] =
    "usage: bench-fs DIR [OPTION...]\n"
    "\n"
    "What the filesystem that DIR is on does: many small files, fio's jobs, tools on\n"
    "trees. Works in a new directory below DIR and removes it, interrupted or not. A\n"
    "table goes to stdout, what it is doing to stderr.\n"
    "\n"
    "  --parts LIST       of meta, fio, tree (these by default) and many\n"
    "  --files N          of meta and many (20000)\n"
    "  --bytes S          in each of them (512)\n"
    "  --threads T        of meta (1)\n"
    "  --rounds N         figures are medians of so many (3)\n"
    "  --mib N            size of fio's files (256)\n"
    "  --seconds N        of each of fio's random jobs (2)\n"
    "  --tree DIR         what part tree copies (/usr/include)\n"
    "  --warm, --cold     only one kind of reading: of what was just written, or with\n"
    "                     empty caches (root only). Without: both, if caches may be "
    "emptied\n"
    "  --remount COMMAND  empties the caches of a filesystem that has some in a process\n"
    "                     of its own; else only the kernel's are\n"
    "  --space COMMAND    prints the bytes that DIR takes on the disk (part many)\n"
    "  --json FILE        a list of objects with part, phase, variant, unit, value, "
    "files,\n"
    "                     bytes, threads and, where there are, p50_us, p99_us, max_us\n"
    "\n"
    "meta: create (with content), stat, list (with attributes), read, chmod, rename, "
    "unlink\n"
    "fio:  sequential and random, read and write, 4k and 1m, fsync, 1 to 16 jobs\n"
    "tree: untar, cp -a, find, ls -lR, du, grep -r, tar, git add and status, rm -rf\n"
    "many: the reading tools and rm -rf on N small files; for --files 200000 or so\n";

__attribute__((noreturn, format(printf, 1, 2))) static void wrong(const char *format, ...)
{
    va_list ap;

    fputs("bench-fs: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputs(" (bench-fs --help tells more)\n", stderr);
    exit(2);
}

static unsigned number(const char *option, const char *s, unsigned most)
{
    char *end;
    unsigned long n = strtoul(s, &end, 10);

    if (end == s || *end || *s == '-' || n == 0 || n > most)
        wrong("--%s wants a number from 1 to %u, not %s", option, most, s);
    return (unsigned)n;
}

static const struct part {
    const char *name;
    void (*run)(const struct fs_config *c, const char *dir);
} parts[] = {{"meta", fs_meta}, {"fio", fs_fio}, {"tree", fs_tree}, {"many", fs_many}};

enum { PARTS = sizeof(parts) / sizeof(parts[0]) };

static bool has_part(const char *list, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, len) == 0 && (at[len] == ',' || !at[len]))
            return true;
    }
    return false;
}

static void check_parts(const char *list)
{
    char *copy = strdup(list), *at = copy, *name;
    bool known;

    while ((name = strsep(&at, ","))) {
        known = false;
        for (unsigned i = 0; i < PARTS; i++)
            known |= strcmp(name, parts[i].name) == 0;
        if (!known)
            wrong("no part is called \"%s\": there are meta, fio, tree, many", name);
    }
    free(copy);
}

struct args {
    struct fs_config config;
    const char *parts;
    bool asked; /* for these parts */
    const char *json;
};

static void set_option(struct args *a, const struct option *o, const char *arg)
{
    struct fs_config *c = &a->config;

    switch (o->val) {
    case 'p':
        a->parts = arg, a->asked = true;
        break;
    case 'n':
        c->files = number(o->name, arg, 100000000);
        break;
    case 'b':
        c->bytes = number(o->name, arg, 1 << 20);
        break;
    case 't':
        c->threads = number(o->name, arg, 256);
        break;
    case 'r':
        c->rounds = number(o->name, arg, 99);
        break;
    case 'w':
        c->warm = true;
        break;
    case 'c':
        c->cold = true;
        break;
    case 'R':
        c->remount = arg;
        break;
    case 'T':
        c->tree = arg;
        break;
    case 'm':
        c->mib = number(o->name, arg, 1 << 20);
        break;
    case 'S':
        c->space = arg;
        break;
    case 's':
        c->seconds = number(o->name, arg, 3600);
        break;
    case 'j':
        a->json = arg;
        break;
    default:
        fputs(help, stdout);
        exit(0);
    }
}

/* Warm or cold: what was asked for, else what can be. */
static void choose_caches(struct fs_config *c)
{
    if (c->cold && !can_go_cold())
        bench_die(-errno, "--cold empties the caches, by %s", drop_caches);
    if (c->warm || c->cold)
        return;
    c->warm = true;
    c->cold = can_go_cold();
    if (!c->cold)
        fprintf(stderr, "bench-fs: only warm: may not write %s\n", drop_caches);
}

static void parse(struct args *a, int argc, char **argv)
{
    static const struct option options[] = {
        {"parts", 1, 0, 'p'},   {"files", 1, 0, 'n'},   {"bytes", 1, 0, 'b'},
        {"threads", 1, 0, 't'}, {"rounds", 1, 0, 'r'},  {"warm", 0, 0, 'w'},
        {"cold", 0, 0, 'c'},    {"remount", 1, 0, 'R'}, {"tree", 1, 0, 'T'},
        {"mib", 1, 0, 'm'},     {"space", 1, 0, 'S'},   {"seconds", 1, 0, 's'},
        {"json", 1, 0, 'j'},    {"help", 0, 0, 'h'},    {0}};
    const struct option short_help = {"h", 0, 0, 'h'};
    int o, at = 0;

    while ((o = getopt_long(argc, argv, "h", options, &at)) != -1) {
        if (o == '?')
            wrong("unknown option, or one without its value");
        set_option(a, o == 'h' ? &short_help : &options[at], optarg);
    }
    if (argc - optind != 1)
        wrong("%s", argc == optind ? "which directory?" : "one directory at a time");
    if (a->config.threads > a->config.files)
        wrong("more --threads than --files");
    check_parts(a->parts);
    a->config.dir = argv[optind];
}

/* Whether a part can be done; what cannot be, and was asked for, ends the program before
 * anything is measured. */
static bool possible(const struct args *a, const char *part)
{
    const struct fs_config *c = &a->config;
    const char *missing = NULL;

    if (strcmp(part, "fio") == 0 && !fs_has_program("fio"))
        missing = "fio";
    if (strcmp(part, "tree") == 0 && access(c->tree, R_OK | X_OK) != 0)
        missing = c->tree;
    if (!missing)
        return true;
    if (a->asked)
        bench_die(-ENOENT, "part %s needs %s", part, missing);
    fprintf(stderr, "bench-fs: no %s: part %s is left out\n", missing, part);
    return false;
}

static void check_space(const struct fs_config *c, const char *list)
{
    double files = (double)c->files * (double)(c->bytes / 4096 + 1) * 4096;
    double fio = has_part(list, "fio") ? 2.0 * c->mib * (1 << 20) : 0;

    bench_need_space(c->dir, files > fio ? files : fio, "--files, --mib");
}

int main(int argc, char **argv)
{
    struct args a = {.config = {.files = 20000,
                                .threads = 1,
                                .rounds = 3,
                                .bytes = 512,
                                .tree = "/usr/include",
                                .mib = 256,
                                .seconds = 2},
                     .parts = "meta,fio,tree"};
    bool run[PARTS];
    FILE *json = NULL;
    char dir[4096];

    parse(&a, argc, argv);
    choose_caches(&a.config);
    check_space(&a.config, a.parts);
    for (unsigned i = 0; i < PARTS; i++)
        run[i] = has_part(a.parts, parts[i].name) && possible(&a, parts[i].name);
    if (a.json && !(json = fopen(a.json, "w")))
        bench_die(-errno, "%s", a.json);
    bench_host(a.config.dir);
    bench_scratch(a.config.dir, dir, sizeof(dir));
    make_text();
    printf("%-6s%-16s%-24s%14s %-5s%10s%10s%12s\n", "part", "phase", "variant", "", "",
           "p50 us", "p99 us", "max us");
    for (unsigned i = 0; i < PARTS; i++) {
        if (run[i])
            parts[i].run(&a.config, dir);
    }
    if (json)
        write_json(json, a.json, &a.config);
    return 0;
}
