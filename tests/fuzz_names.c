/*
 * fuzz_names.c - what a store has beside its framed files: any text as a file's name, as
 * CURRENT, as the options of a mount and as an entry of a local cache. A name that is
 * taken for one of ours is one, and no other is made of it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lsm/coding.h"
#include "lsm/env_cache_shelf.h"
#include "lsm/err.h"
#include "lsm/hash.h"
#include "lsm/manifest.h"
#include "lsm/names.h"
#include "mount/options.h"
#include "tests/env_inside.h"
#include "tests/env_mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                            \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                     \
        }                                                                                \
    } while (0)

static void no_log(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

/* A kind and a number have one name; another one may lead to them by more zeros only. */
static void name(const char *text)
{
    char again[NAME_BYTES];
    uint64_t number, same;
    enum file_kind kind = file_parse(text, &number);

    FUZZ_CHECK(number <= FILE_NUMBER_MAX);
    if (kind == FILE_OTHER)
        return;
    FUZZ_CHECK(!strchr(text, '/') && strcmp(text, "..") != 0);
    file_name(again, kind, number);
    FUZZ_CHECK(file_parse(again, &same) == kind && same == number);
}

static int no_edit(void *arg, struct edit *e, const char *path)
{
    (void)arg;
    (void)e;
    (void)path;
    return 0;
}

static void current(struct slice content)
{
    uint64_t number = 0, length;
    struct env_inside env;
    struct env *mem = env_mem_new(1);
    int rc;

    env_inside_init(&env, mem, "/s");
    FUZZ_CHECK(env_mkdir(mem, "/s") == 0);
    FUZZ_CHECK(env_mem_write(mem, "/s/CURRENT", content) == 0);
    rc = manifest_read(&env.base, "/s", no_edit, NULL, &number, &length);
    FUZZ_CHECK(rc == -EUCLEAN); /* there is no manifest */
    env_mem_free(mem);
}

/* With a hash that is right. */
static void current_of(struct slice text)
{
    char hash[32];
    struct buf b = {0};

    snprintf(hash, sizeof(hash), " %016llx\n",
             (unsigned long long)hash_bytes(text.data, text.len, 0));
    buf_append_slice(&b, text);
    buf_append(&b, hash, strlen(hash));
    current(buf_slice(&b));
    buf_release(&b);
}

static void options(const char *text)
{
    struct mount_options o;
    struct mkfs_options m;
    struct why why = {0};
    int rc;

    mount_options_init(&o);
    rc = mount_options_parse(&o, text, &why);
    FUZZ_CHECK(rc == 0 || (rc == -EINVAL && strlen(why.text) < sizeof(why.text)));
    mount_options_release(&o);
    mkfs_options_init(&m);
    rc = mkfs_options_parse(&m, text, &why);
    FUZZ_CHECK(rc == -EINVAL || (rc == 0 && m.mode <= 07777));
}

/* What a slot of a local cache says that it holds: nothing, or what would be written so.
 */
static void slot(const uint8_t *data, size_t size)
{
    uint8_t entry[SHELF_ENTRY] = {0}, again[SHELF_ENTRY];
    uint64_t key;

    memcpy(entry, data, size < sizeof(entry) ? size : sizeof(entry));
    key = shelf_entry_key(entry, 3);
    shelf_entry(again, 3, load_le64(entry));
    FUZZ_CHECK(key == (memcmp(entry, again, sizeof(entry)) ? 0 : load_le64(entry)));
    FUZZ_CHECK(shelf_entry_key(again, 3) == load_le64(entry));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    err_set_sink(no_log, NULL);
    FUZZ_CHECK(text != NULL);
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    name(text);
    current(slice_of(data, size));
    current_of(slice_of(data, size));
    options(text);
    slot(data, size);
    free(text);
    return 0;
}
