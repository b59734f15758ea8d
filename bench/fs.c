/*
 * fs.c - build/bench-fs: what a filesystem, any, does for the programs on it.
 *
 *   bench-fs DIR [--parts meta,fio,tree,many] [--files N] [--bytes S] [--threads T]
 *            [--rounds N] [--cold] [--remount COMMAND] [--tree DIR] [--mib N]
 *            [--seconds N] [--space COMMAND] [--json FILE]
 *
 * Works in a new directory below DIR, which it removes. Each figure is the median of the
 * rounds. A table goes to stdout, progress to stderr; FILE gets a list of objects with
 * part, phase, variant, unit, value and, where there are, p50_us, p99_us and max_us.
 *
 * Part many is not among the defaults: it wants --files 200000 or so. --space prints the
 * bytes that everything below DIR takes on the disk.
 *
 * --cold repeats the reading phases with empty caches; that needs root, and --remount
 * for filesystems that cache in a process of their own.
 */
#include "fs.h"

#include <getopt.h>
#include <sys/stat.h>
#include <sys/wait.h>

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
           r->value < 100 ? 2 : 0, r->value, r->unit);
    if (r->max_us > 0)
        printf("%10.1f%10.1f%12.1f", r->p50_us, r->p99_us, r->max_us);
    printf("\n");
    fflush(stdout);
}

static void write_json(const char *path, const struct fs_config *c)
{
    FILE *f = fopen(path, "w");

    if (!f)
        bench_die(-errno, "%s", path);
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

void fs_go_cold(const struct fs_config *c)
{
    /* A directory that was listed, or an inode that is dirty, is not dropped. */
    sync();
    if (c->remount)
        fs_shell("%s", c->remount);
    fs_shell("echo 3 >/proc/sys/vm/drop_caches");
}

/* ---- arguments ---- */

__attribute__((noreturn)) static void usage(void)
{
    fputs(
        "usage: bench-fs DIR [--parts meta,fio,tree,many] [--files N] [--bytes S]\n"
        "         [--threads T] [--rounds N] [--cold] [--remount COMMAND]\n"
        "         [--tree DIR] [--mib N] [--seconds N] [--space COMMAND] [--json FILE]\n",
        stderr);
    exit(2);
}

static unsigned number(const char *s, unsigned most)
{
    char *end;
    unsigned long n = strtoul(s, &end, 10);

    if (end == s || *end || n == 0 || n > most)
        usage();
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
            usage();
    }
    free(copy);
}

static void parse(struct fs_config *c, int argc, char **argv, const char **list,
                  const char **json)
{
    static const struct option options[] = {{"parts", 1, 0, 'p'},
                                            {"files", 1, 0, 'n'},
                                            {"bytes", 1, 0, 'b'},
                                            {"threads", 1, 0, 't'},
                                            {"rounds", 1, 0, 'r'},
                                            {"cold", 0, 0, 'c'},
                                            {"remount", 1, 0, 'R'},
                                            {"tree", 1, 0, 'T'},
                                            {"mib", 1, 0, 'm'},
                                            {"space", 1, 0, 'S'},
                                            {"seconds", 1, 0, 's'},
                                            {"json", 1, 0, 'j'},
                                            {0}};
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (o) {
        case 'p':
            *list = optarg;
            break;
        case 'n':
            c->files = number(optarg, 100000000);
            break;
        case 'b':
            c->bytes = number(optarg, 1 << 20);
            break;
        case 't':
            c->threads = number(optarg, 256);
            break;
        case 'r':
            c->rounds = number(optarg, 99);
            break;
        case 'c':
            c->cold = true;
            break;
        case 'R':
            c->remount = optarg;
            break;
        case 'T':
            c->tree = optarg;
            break;
        case 'm':
            c->mib = number(optarg, 1 << 20);
            break;
        case 'S':
            c->space = optarg;
            break;
        case 's':
            c->seconds = number(optarg, 3600);
            break;
        case 'j':
            *json = optarg;
            break;
        default:
            usage();
        }
    }
    if (argc - optind != 1 || c->threads > c->files)
        usage();
    check_parts(*list);
    c->dir = argv[optind];
}

int main(int argc, char **argv)
{
    struct fs_config c = {.files = 20000,
                          .threads = 1,
                          .rounds = 3,
                          .bytes = 512,
                          .tree = "/usr/include",
                          .mib = 256,
                          .seconds = 3};
    const char *list = "meta,fio,tree", *json = NULL;
    char dir[4096];

    parse(&c, argc, argv, &list, &json);
    make_text();
    snprintf(dir, sizeof(dir), "%s/bench-fs-%d", c.dir, (int)getpid());
    if (mkdir(dir, 0755) != 0)
        bench_die(-errno, "%s", dir);
    printf("%-6s%-16s%-24s%14s %-5s%10s%10s%12s\n", "part", "phase", "variant", "", "",
           "p50 us", "p99 us", "max us");
    for (unsigned i = 0; i < PARTS; i++) {
        if (has_part(list, parts[i].name))
            parts[i].run(&c, dir);
    }
    if (rmdir(dir) != 0)
        bench_die(-errno, "%s", dir);
    if (json)
        write_json(json, &c);
    return 0;
}
