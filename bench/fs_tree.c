/*
 * fs_tree.c - the tools that people use: seconds of each.
 *
 * On a tree of real sources (config->tree), which comes out of a tar file in memory, so
 * that reading it does not count; and on many small files of text, 1,000 in a directory.
 * Cold: the caches are emptied before each tool that reads; warm: the same, right after.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fs.h"

enum { ROUNDS_MAX = 99, PER_DIRECTORY = 1000, TOOLS_MAX = 12 };

/* Run in the round's directory, $TAR the tar file; what they print is thrown away. */
struct tool {
    const char *name;
    const char *command;
    enum {
        WRITES,
        READS,   /* cold, and then warm */
        REMOVES, /* cold if anything is cold: it can only be done once */
    } kind;
    const char *needs; /* a program; NULL: what every system has */
};

static const struct tool tree_tools[] = {
    {"untar", "tar -xf \"$TAR\"", WRITES, NULL},
    {"cp -a", "cp -a tree copy", WRITES, NULL},
    {"find", "find tree -type f -newermt 2100-01-01", READS, NULL},
    {"ls -lR", "ls -lR tree", READS, NULL},
    {"du", "du -s tree", READS, NULL},
    {"grep -r", "grep -r -c no_such_word_in_here tree || true", READS, NULL},
    {"tar", "tar -cf - tree | cat", READS, NULL},
    {"git add", "git -C copy init -q && git -C copy add -A", WRITES, "git"},
    {"git status", "git -C copy status --short", READS, "git"},
    {"rm -rf", "rm -rf tree copy", WRITES, NULL},
    {0},
};

static const struct tool many_tools[] = {
    {"find", "find . -type f -newermt 2100-01-01", READS, NULL},
    {"ls -lR", "ls -lR .", READS, NULL},
    {"du", "du -s .", READS, NULL},
    {"grep -r", "grep -r -c no_such_word_in_here . || true", READS, NULL},
    {"tar", "tar -cf - . | cat", READS, NULL},
    {"rm -rf", "rm -rf *", REMOVES, NULL},
    {0},
};

/* Seconds of each tool in each round: [cold]. */
typedef double tool_seconds[2][TOOLS_MAX][ROUNDS_MAX];

static bool wanted(const struct fs_config *c, const struct tool *t, bool cold)
{
    if (t->needs && !fs_has_program(t->needs))
        return false;
    if (t->kind == READS)
        return cold ? c->cold : c->warm;
    return cold == (t->kind == REMOVES && c->cold);
}

static void run_tools(const struct fs_config *c, const struct tool *tools,
                      const char *dir, const char *tar, unsigned round, tool_seconds s)
{
    for (unsigned i = 0; tools[i].name; i++) {
        for (int cold = 1; cold >= 0; cold--) {
            if (!wanted(c, &tools[i], cold))
                continue;
            bench_progress(tools[i].name);
            if (cold)
                fs_go_cold(c);
            s[cold][i][round] =
                fs_shell("cd '%s' && export TAR='%s' && { %s; } >/dev/null", dir, tar,
                         tools[i].command);
        }
    }
}

static void tell_tools(const struct fs_config *c, const struct tool *tools,
                       const char *part, tool_seconds s)
{
    for (unsigned i = 0; tools[i].name; i++) {
        for (int cold = 1; cold >= 0; cold--) {
            struct fs_result r = {.part = part, .phase = tools[i].name, .unit = "s"};

            if (!wanted(c, &tools[i], cold))
                continue;
            snprintf(r.variant, sizeof(r.variant), "%s", cold ? "cold" : "warm");
            r.value = fs_median(s[cold][i], c->rounds);
            fs_result_add(&r);
        }
    }
}

static void make_directory(const char *path)
{
    if (mkdir(path, 0755) != 0)
        bench_die(-errno, "%s", path);
}

/* ---- a tree of sources ---- */

/* Its path is good for who is started from here. */
static int tar_of(const char *tree, char *path, size_t cap)
{
    int fd = memfd_create("tree.tar", 0);

    if (fd < 0)
        bench_die(-errno, "memory for a tar file");
    snprintf(path, cap, "/proc/%d/fd/%d", (int)getpid(), fd);
    fs_shell("tar -C '%s' --transform 's,^\\.,tree,S' -c . >%s", tree, path);
    return fd;
}

void fs_tree(const struct fs_config *c, const char *dir)
{
    tool_seconds seconds;
    char tar[64], path[4200];
    int fd = tar_of(c->tree, tar, sizeof(tar));

    snprintf(path, sizeof(path), "%s/t", dir);
    for (unsigned round = 0; round < c->rounds; round++) {
        make_directory(path);
        run_tools(c, tree_tools, path, tar, round, seconds);
        if (rmdir(path) != 0)
            bench_die(-errno, "%s", path);
    }
    close(fd);
    tell_tools(c, tree_tools, "tree", seconds);
}

/* ---- many small files ---- */

static void make_many(const struct fs_config *c, const char *dir)
{
    char path[4400];
    int fd;

    for (unsigned i = 0; i < c->files; i++) {
        snprintf(path, sizeof(path), "%s/d%05u", dir, i / PER_DIRECTORY);
        if (i % PER_DIRECTORY == 0)
            make_directory(path);
        snprintf(path, sizeof(path), "%s/d%05u/file%07u", dir, i / PER_DIRECTORY, i);
        fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
        if (fd < 0 || write(fd, fs_content(c, i), c->bytes) != (ssize_t)c->bytes ||
            close(fd) != 0)
            bench_die(-errno, "%s", path);
    }
    sync();
}

static double space_in_use(const struct fs_config *c)
{
    FILE *f = popen(c->space, "r");
    double bytes;

    if (!f || fscanf(f, "%lf", &bytes) != 1 || pclose(f) != 0)
        bench_die(0, "no figure of: %s", c->space);
    return bytes;
}

void fs_many(const struct fs_config *c, const char *dir)
{
    double creating[ROUNDS_MAX], space[ROUNDS_MAX];
    tool_seconds seconds;
    struct fs_result create = {.part = "many", .phase = "create", .unit = "s"};
    struct fs_result used = {.part = "many", .phase = "space", .unit = "MB"};
    char path[4200];

    snprintf(path, sizeof(path), "%s/m", dir);
    for (unsigned round = 0; round < c->rounds; round++) {
        double before = c->space ? space_in_use(c) : 0;
        uint64_t begun = bench_now_ns();

        make_directory(path);
        bench_progress("create");
        make_many(c, path);
        creating[round] = (double)(bench_now_ns() - begun) / 1e9;
        if (c->cold)
            fs_go_cold(c);
        space[round] = c->space ? (space_in_use(c) - before) / 1e6 : 0;
        run_tools(c, many_tools, path, "", round, seconds);
        if (rmdir(path) != 0)
            bench_die(-errno, "%s", path);
    }
    create.value = fs_median(creating, c->rounds);
    fs_result_add(&create);
    used.value = fs_median(space, c->rounds);
    if (c->space)
        fs_result_add(&used);
    tell_tools(c, many_tools, "many", seconds);
}
