/*
 * files.c - see files.h.
 */
#include "files.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"

enum {
    SUMS_MAX = 1 << 30, /* bytes: of ten million files */
};

/* ---- the list ---- */

int files_add(struct files *f, const char *name, uint64_t size, struct file **out)
{
    struct file *file;

    if (strlen(name) >= FILES_NAME)
        return -EUCLEAN;
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 64;
        void *p = realloc(f->file, cap * sizeof(*f->file));

        if (!p)
            return -ENOMEM;
        f->file = p;
        f->cap = cap;
    }
    file = &f->file[f->n++];
    memset(file, 0, sizeof(*file));
    strcpy(file->name, name);
    file->size = size;
    f->bytes += size;
    *out = file;
    return 0;
}

static int note_file(void *arg, const struct lsm_file *from)
{
    struct file *file;
    int err = files_add(arg, from->name, from->size, &file);

    if (!err)
        file->immutable = from->kind == LSM_FILE_TABLE || from->kind == LSM_FILE_SEGMENT;
    return err;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

static int identify(struct files *f)
{
    size_t i;
    int err = 0;

    for (i = 0; i < f->n && !err; i++)
        err = file_identity(f->dir, f->file[i].name, &f->file[i].ino,
                            &f->file[i].mtime_ns);
    return err;
}

int files_open(struct files *f, const char *path, struct why *why)
{
    struct lsm_options o;
    int err;

    memset(f, 0, sizeof(*f));
    lsm_options_init(&o);
    o.read_only = true;
    o.verify_bytes = 0; /* who carries it reads all anyhow */
    err = store_open(path, &o, &f->db, why);
    if (err)
        return err;
    snprintf(f->dir, sizeof(f->dir), "%s", path);
    err = lsm_files(f->db, note_file, f);
    if (!err)
        err = identify(f);
    if (err)
        return why_set(why, err, "%s: %s", path, strerror(-err));
    files_sort(f);
    return 0;
}

void files_sort(struct files *f)
{
    if (f->n)
        qsort(f->file, f->n, sizeof(*f->file), by_name);
}

void files_close(struct files *f)
{
    lsm_close(f->db); /* read only: nothing to lose */
    free(f->file);
    memset(f, 0, sizeof(*f));
}

struct file *files_find(const struct files *f, const char *name)
{
    struct file key;

    if (strlen(name) >= FILES_NAME || !f->n)
        return NULL;
    strcpy(key.name, name);
    return bsearch(&key, f->file, f->n, sizeof(*f->file), by_name);
}

/* ---- SUMS ---- */

static int take_line(const char *line, file_fn *fn, void *arg)
{
    struct file f = {.summed = true};
    uint64_t high, low;

    if (sscanf(line, "%16" SCNx64 "%16" SCNx64 " %" SCNu64 " %39s %" SCNu64 " %" SCNd64,
               &high, &low, &f.size, f.name, &f.ino, &f.mtime_ns) != 6)
        return 0;
    f.sum = (XXH128_hash_t){.low64 = low, .high64 = high};
    return fn(arg, &f);
}

/* What is no line of a sum is passed over. */
static int take_lines(char *at, file_fn *fn, void *arg)
{
    char *line;
    int err = 0;

    while (!err && (line = strsep(&at, "\n")))
        err = take_line(line, fn, arg);
    return err;
}

int files_read_sums(const char *dir, file_fn *fn, void *arg)
{
    struct env_file *f;
    uint64_t size;
    char *text = NULL;
    int err = open_file(dir, SUMS_NAME, &f);

    if (err)
        return err;
    err = env_file_size(f, &size);
    if (!err && size > SUMS_MAX)
        err = -EUCLEAN;
    if (!err && !(text = malloc(size + 1)))
        err = -ENOMEM;
    if (!err)
        err = read_at(f, 0, text, size);
    env_file_close(f); /* was only read */
    if (!err) {
        text[size] = '\0';
        err = take_lines(text, fn, arg);
    }
    free(text);
    return err;
}

int files_write_sums(const struct files *f, const char *dir)
{
    struct buf text = {0};
    size_t i;
    int err;

    for (i = 0; i < f->n; i++) {
        char line[256];
        int len = snprintf(line, sizeof(line),
                           "%016" PRIx64 "%016" PRIx64 " %" PRIu64 " %s %" PRIu64
                           " %" PRId64 "\n",
                           (uint64_t)f->file[i].sum.high64,
                           (uint64_t)f->file[i].sum.low64, f->file[i].size,
                           f->file[i].name, f->file[i].ino, f->file[i].mtime_ns);

        buf_append(&text, line, (size_t)len);
    }
    err = buf_error(&text);
    if (!err)
        err = write_file(dir, SUMS_NAME, buf_slice(&text));
    buf_release(&text);
    return err;
}
