/*
 * replay.c - the main of a fuzzer that is linked without libFuzzer: it runs the files
 * given, and all files of the directories given, once each.
 *
 *   build/tests/fuzz_X tests/corpus/X        replay
 *   build/tests/fuzz_X --seeds DIR           write the inputs to begin with, if it has
 * any
 *
 * So each case that was ever found is tried by `make test`, with any compiler.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *seeds_dir;
static const char *running;
static unsigned n_run;

static void die(const char *what, const char *path)
{
    fprintf(stderr, "%s: %s: %s\n", what, path, strerror(errno));
    exit(2);
}

static void read_whole(const char *path, struct buf *to)
{
    FILE *f = fopen(path, "rb");
    size_t n;

    if (!f)
        die("cannot open", path);
    while ((n = fread(buf_reserve(to, 4096), 1, 4096, f)) > 0)
        to->len += n;
    if (ferror(f))
        die("cannot read", path);
    fclose(f);
}

static void run_file(const char *path)
{
    struct buf b = {0};
    uint8_t *exact;

    read_whole(path, &b);
    running = path;
    exact = malloc(b.len ? b.len : 1); /* so that the sanitizer knows its end */
    if (!exact)
        die("no memory", path);
    if (b.len)
        memcpy(exact, b.data, b.len);
    LLVMFuzzerTestOneInput(exact, b.len);
    free(exact);
    n_run++;
    buf_release(&b);
}

static void run_path(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *d;
    char *inner;

    if (!dir) {
        run_file(path);
        return;
    }
    while ((d = readdir(dir))) {
        if (d->d_name[0] == '.')
            continue;
        if (asprintf(&inner, "%s/%s", path, d->d_name) < 0)
            die("no memory", path);
        run_path(inner);
        free(inner);
    }
    closedir(dir);
}

static void write_seed(const char *name, struct slice input)
{
    char *path;
    FILE *f;

    if (asprintf(&path, "%s/%s", seeds_dir, name) < 0 || !(f = fopen(path, "wb")))
        die("cannot write", name);
    if (fwrite(input.data, 1, input.len, f) != input.len || fclose(f) != 0)
        die("cannot write", path);
    free(path);
}

static void tell(void)
{
    if (running)
        fprintf(stderr, "while running %s\n", running);
}

int main(int argc, char **argv)
{
    int i;

    if (argc == 3 && strcmp(argv[1], "--seeds") == 0 && fuzz_seeds) {
        seeds_dir = argv[2];
        fuzz_seeds(write_seed);
        return 0;
    }
    atexit(tell);
    for (i = 1; i < argc; i++)
        run_path(argv[i]);
    running = NULL;
    printf("COUNT %u passed, 0 failed\n", n_run);
    return 0;
}
