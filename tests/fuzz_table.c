/*
 * fuzz_table.c - any bytes as a table file: opening and reading it may fail, but
 * neither crash nor run forever, and what table_verify has passed must read
 * without error.
 *
 *   clang -fsanitize=fuzzer,address,undefined -I. tests/fuzz_table.c lsm/... -l...
 *
 * Checksums would keep a fuzzer at the door. So an input that begins with an odd
 * byte is parts of a table, which are given trailers, checksums and a footer:
 * format version, number of data blocks and dictionaries, then for each of them, and
 * for filter, range deletes, index and properties: compression, raw length (le32),
 * length (le16), bytes. The properties tell the file's real size, unless the byte has 2
 * in it. An even byte is followed by a file as it is.
 *
 * test_table_damage.c runs it on mutations of sound tables.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lsm/err.h"
#include "lsm/hash.h"
#include "lsm/table_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_PATH "/7.sst"
enum { FUZZ_NUMBER = 7, FUZZ_OTHER_PARTS = 4 };

#define FUZZ_CHECK(condition)                                                            \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                     \
        }                                                                                \
    } while (0)

/* ---- from input to file, and back ---- */

static bool take_part(struct slice *in, struct buf *file)
{
    uint8_t type, lo, hi;
    uint32_t raw_len;
    struct slice bytes;

    if (!get_u8(in, &type) || !get_le32(in, &raw_len) || !get_u8(in, &lo) ||
        !get_u8(in, &hi) || !get_raw(in, lo | (size_t)hi << 8, &bytes))
        return false;
    if (bytes.len)
        table_block_append(file, bytes, (enum compression)type, raw_len, FUZZ_NUMBER,
                           file->len);
    return true;
}

/* The size in the properties, which begin at `at`, and their checksum. */
static void tell_size(struct buf *file, uint64_t at)
{
    struct table_payload payload;
    struct buf bytes = {0}, size = {0};
    struct slice in;
    uint64_t number;

    if (file->len == at)
        return;
    in = slice_of(file->data + at, file->len - (size_t)at);
    if (table_block_open(in, "", FUZZ_NUMBER, at, &payload))
        return;
    in = payload.bytes;
    put_le64(&size, file->len + TABLE_FOOTER);
    if (get_varint(&in, &number) && in.len >= size.len) {
        buf_append_slice(&bytes, payload.bytes);
        memcpy(bytes.data + bytes.len - in.len, size.data, size.len);
        file->len = (size_t)at;
        table_block_append(file, buf_slice(&bytes), payload.type, payload.raw_len,
                           FUZZ_NUMBER, at);
    }
    buf_release(&bytes);
    buf_release(&size);
}

static bool assemble(struct slice in, struct buf *file, bool true_size)
{
    struct table_layout l = {0};
    uint64_t *parts[FUZZ_OTHER_PARTS] = {&l.range_deletes, &l.index, &l.properties,
                                         &l.end};
    uint8_t version, n;
    int i;

    if (!get_u8(&in, &version) || !get_u8(&in, &n))
        return false;
    l.version = version;
    for (; n; n--)
        if (!take_part(&in, file))
            return false;
    l.filter = file->len;
    for (i = 0; i < FUZZ_OTHER_PARTS; i++) {
        if (!take_part(&in, file))
            return false;
        *parts[i] = file->len;
    }
    if (true_size)
        tell_size(file, l.properties);
    table_layout_append(file, &l, FUZZ_NUMBER);
    return true;
}

static void put_part(struct buf *to, struct slice file, uint64_t from, uint64_t end)
{
    struct slice bytes = slice_of(file.data + from, (size_t)(end - from));
    struct table_payload payload = {0};

    if (bytes.len)
        FUZZ_CHECK(table_block_open(bytes, "", FUZZ_NUMBER, from, &payload) == 0);
    put_u8(to, (uint8_t)payload.type);
    put_le32(to, (uint32_t)payload.raw_len);
    put_u8(to, (uint8_t)payload.bytes.len);
    put_u8(to, (uint8_t)(payload.bytes.len >> 8));
    buf_append_slice(to, payload.bytes);
}

/* The input that assembles to a sound file with number FUZZ_NUMBER. */
void fuzz_table_dissect(struct table *t, struct slice file, struct buf *to);
void fuzz_table_dissect(struct table *t, struct slice file, struct buf *to)
{
    const struct table_layout *l = &t->layout;
    const struct table_index *x = &t->index;
    uint32_t i, k = 0;

    put_u8(to, 1);
    put_u8(to, (uint8_t)l->version);
    put_u8(to, (uint8_t)(x->n + x->n_dicts));
    for (i = 0; i < x->n; i++) {
        if (k < x->n_dicts && x->dict[k].block == i)
            put_part(to, file, x->dict[k++].at, x->at[i]);
        put_part(to, file, x->at[i], x->at[i] + table_block_size(t, i));
    }
    put_part(to, file, l->filter, l->range_deletes);
    put_part(to, file, l->range_deletes, l->index);
    put_part(to, file, l->index, l->properties);
    put_part(to, file, l->properties, l->end);
}

/* ---- reading it ---- */

static unsigned touch(struct slice s)
{
    unsigned sum = 0;
    size_t i;

    for (i = 0; i < s.len; i++)
        sum += s.data[i];
    return sum;
}

static size_t walk(struct table *t, enum table_iter_use use, bool back)
{
    struct iter *it = table_iter_new(t, use);
    volatile unsigned sum = 0;
    size_t n = 0;

    FUZZ_CHECK(it != NULL);
    for (back ? iter_last(it) : iter_first(it); it->valid;
         back ? iter_prev(it) : iter_next(it)) {
        FUZZ_CHECK(ikey_valid(it->key));
        sum += touch(it->key) + touch(it->value);
        FUZZ_CHECK(++n < 10000000);
    }
    FUZZ_CHECK(it->err == 0 || it->err == -EUCLEAN);
    if (it->err)
        n = SIZE_MAX;
    iter_free(it);
    return n;
}

static void look_for(struct table *t, struct slice ikey, bool sound)
{
    struct iter *it = table_iter_new(t, TABLE_ITER_READ);
    struct table_pin pin = {0};
    uint64_t trailer;
    struct slice value;
    int rc;

    FUZZ_CHECK(it != NULL);
    iter_seek(it, ikey);
    FUZZ_CHECK(!sound || it->err == 0);
    rc = table_get(t, ikey, &trailer, &value, &pin);
    FUZZ_CHECK(rc == 0 || rc == -ENOENT || (rc == -EUCLEAN && !sound));
    if (sound)
        FUZZ_CHECK((rc == 0) ==
                   (it->valid && slice_eq(ikey_user(it->key), ikey_user(ikey))));
    if (rc == 0) {
        (void)touch(value);
        table_unpin(&pin);
    }
    if (!it->err)
        iter_seek_prev(it, ikey);
    if (it->valid)
        iter_prev(it);
    iter_free(it);
}

static void read_all(struct table *t)
{
    struct iter *it = table_iter_new(t, TABLE_ITER_COMPACT);
    bool sound = table_verify(t, NULL) == 0;
    size_t n = walk(t, TABLE_ITER_READ, false);
    const struct range_tombstone *r;
    size_t i, n_ranges;
    int some = 0;

    FUZZ_CHECK(!sound || n == table_meta(t)->entries);
    FUZZ_CHECK(n == walk(t, TABLE_ITER_COMPACT, false) || !sound);
    FUZZ_CHECK(!sound || n == walk(t, TABLE_ITER_READ, true));
    FUZZ_CHECK(it != NULL);
    for (iter_first(it); it->valid && some < 30; iter_next(it), some++)
        look_for(t, it->key, sound);
    iter_free(it);
    look_for(t, slice_of("aaaaaaaaaaaaaaaaaaaa", 20), sound);
    r = table_range_deletes(t, &n_ranges);
    for (i = 0; i < n_ranges; i++)
        (void)(touch(r[i].start) + touch(r[i].end));
    (void)table_memory(t);
}

/* ---- an env of one file (env_mem.c wants to be run by Check) ---- */

static struct slice only_file;

static int only_pread(struct env_file *f, uint64_t off, void *to, size_t len, size_t *got)
{
    (void)f;
    *got = off < only_file.len ? only_file.len - (size_t)off : 0;
    if (*got > len)
        *got = len;
    if (*got)
        memcpy(to, only_file.data + off, *got);
    return 0;
}

static int only_size(struct env_file *f, uint64_t *size)
{
    (void)f;
    *size = only_file.len;
    return 0;
}

static void only_readahead(struct env_file *f, uint64_t off, size_t len)
{
    (void)f;
    (void)off;
    (void)len;
}

static int only_close(struct env_file *f)
{
    (void)f;
    return 0;
}

static int only_open(struct env *e, const char *path, enum env_mode mode,
                     uint64_t preallocate, struct env_file **out)
{
    static const struct env_file_ops ops = {.pread = only_pread,
                                            .size = only_size,
                                            .readahead = only_readahead,
                                            .close = only_close};
    static struct env_file file = {.ops = &ops};

    (void)e;
    (void)path;
    (void)preallocate;
    FUZZ_CHECK(mode == ENV_READ);
    *out = &file;
    return 0;
}

static const struct env_ops only_ops = {.open = only_open};

static void read_file(struct slice bytes, struct cache *cache)
{
    struct env env = {.ops = &only_ops};
    struct table_open_options o = {.env = &env,
                                   .path = FUZZ_PATH,
                                   .number = FUZZ_NUMBER,
                                   .size = bytes.len,
                                   .cache = cache};
    struct table *t;
    int rc;

    only_file = bytes;
    rc = table_open(&o, &t);
    FUZZ_CHECK(rc == 0 || rc == -EUCLEAN || rc == -EPROTONOSUPPORT);
    if (rc == 0) {
        read_all(t);
        table_free(t);
    }
}

static void no_log(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct buf file = {0};
    struct cache *cache;
    uint8_t kind;

    err_set_sink(no_log, NULL);
    if (!get_u8(&in, &kind))
        return 0;
    if (!(kind & 1))
        buf_append_slice(&file, in);
    else if (!assemble(in, &file, !(kind & 2)))
        file.len = 0;
    if (file.len) {
        cache = cache_new(64 << 10);
        read_file(buf_slice(&file), cache);
        read_file(buf_slice(&file), NULL);
        cache_free(cache);
    }
    buf_release(&file);
    return 0;
}
