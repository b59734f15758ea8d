/*
 * fs_tree.c - the tools that people use: seconds of each.
 *
 * On a tree of real sources (config->tree), which comes out of a tar file that lies
 * elsewhere, so that reading it does not count; and on many small files of text, 1,000
 * in a directory. With --cold the caches are emptied before each tool that reads.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "fs.h"

enum { ROUNDS_MAX = 99, PER_DIRECTORY = 1000, TOOLS_MAX = 12 };

/* Run in the round's directory, $TAR the tar file; what they print is thrown away. */
struct tool {
    const char *name;
    const char *command;
    bool cold; /* with --cold: the caches are emptied before it */
};

static const struct tool tree_tools[] = {
    {"untar", "tar -xf \"$TAR\"", false},
    {"cp -a", "cp -a tree copy", false},
    {"find", "find tree -type f -newermt 2100-01-01", true},
    {"ls -lR", "ls -lR tree", true},
    {"du", "du -s tree", true},
    {"grep -r", "grep -r -c no_such_word_in_here tree || true", true},
    {"tar", "tar -cf - tree | cat", true},
    {"git add", "git -C copy init -q && git -C copy add -A", false},
    {"git status", "git -C copy status --short", true},
    {"rm -rf", "rm -rf tree copy", false},
    {NULL},
};

static const struct tool many_tools[] = {
    {"find", "find . -type f -newermt 2100-01-01", true},
    {"ls -lR", "ls -lR .", true},
    {"du", "du -s .", true},
    {"grep -r", "grep -r -c no_such_word_in_here . || true", true},
    {"tar", "tar -cf - . | cat", true},
    {"rm -rf", "rm -rf *", true},
    {NULL},
};

static void run_tools(const struct fs_config *c, const struct tool *tools,
                      const char *dir, const char *tar, unsigned round,
                      double seconds[TOOLS_MAX][ROUNDS_MAX])
{
    for (unsigned i = 0; tools[i].name; i++) {
        bench_progress(tools[i].name);
        if (tools[i].cold && c->cold)
            fs_go_cold(c);
        seconds[i][round] = fs_shell("cd '%s' && export TAR='%s' && { %s; } >/dev/null",
                                     dir, tar, tools[i].command);
    }
}

static void tell_tools(const struct fs_config *c, const struct tool *tools,
                       const char *part, double seconds[TOOLS_MAX][ROUNDS_MAX])
{
    for (unsigned i = 0; tools[i].name; i++) {
        struct fs_result r = {.part = part, .phase = tools[i].name, .unit = "s"};

        snprintf(r.variant, sizeof(r.variant), "%s",
                 tools[i].cold && c->cold ? "cold" : "warm");
        r.value = fs_median(seconds[i], c->rounds);
        fs_result_add(&r);
    }
}

static void make_directory(const char *path)
{
    if (mkdir(path, 0755) != 0)
        bench_die(-errno, "%s", path);
}

/* ---- a tree of sources ---- */

void fs_tree(const struct fs_config *c, const char *dir)
{
    char tar[] = "/tmp/bench-fs-XXXXXX", path[4200];
    double seconds[TOOLS_MAX][ROUNDS_MAX];
    int fd = mkstemp(tar);

    if (fd < 0)
        bench_die(-errno, "%s", tar);
    close(fd);
    fs_shell("tar -C '%s' --transform 's,^\\.,tree,S' -cf %s .", c->tree, tar);
    snprintf(path, sizeof(path), "%s/t", dir);
    for (unsigned round = 0; round < c->rounds; round++) {
        make_directory(path);
        run_tools(c, tree_tools, path, tar, round, seconds);
        if (rmdir(path) != 0)
            bench_die(-errno, "%s", path);
    }
    unlink(tar);
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
    double seconds[TOOLS_MAX][ROUNDS_MAX], creating[ROUNDS_MAX], space[ROUNDS_MAX];
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
