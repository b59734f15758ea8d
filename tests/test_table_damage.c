/*
 * test_table_damage.c - tables that were changed, cut, or made to harm; and disks
 * that fail. Bytes: lsm/FORMAT.md, "Table".
 */
#include "test.h"

#include <stdlib.h>

#include "env_mem.h"
#include "table_util.h"

#include "fuzz_table.c"

static const struct table_kind usual = {4096, 10, COMPRESS_LZ4, 0};

static struct made_table in_memory(void)
{
    return (struct made_table){
        .env = env_mem_new(1), .path = FUZZ_PATH, .number = FUZZ_NUMBER};
}

static void drop(struct made_table *m)
{
    remove_table(m);
    ck_assert_uint_eq(env_mem_open_files(m->env), 0);
    env_mem_free(m->env);
}

/* ---- the format ---- */

/* "sand" at 7 and, deleted, at 5; "silt" at 300; ["clay", "loam") deleted at 9.
 * Never changed without a new version. */
static const char golden_hex[] =
    /* data: a block of three entries and one restart point; its trailer */
    "000c0273616e64010700000000000076310408000005000000000000010b01696c74012c"
    "010000000000780000000001000000"
    "0033000000ea0ef2fca98c8935"
    /* filter: one line, 6 probes */
    "000080000000000000000000000040000000000000000000000000000000004002002000"
    "0000000000040000100000000000000000200080000040000000000406"
    "00410000002a5105b2496ccd80"
    /* range deletes */
    "04636c6179046c6f616d09"
    "000b000000c6f37717888652b9"
    /* index: one block, up to the last user key */
    "0c73696c74000000000000000040"
    "000e00000052ced5ad5103c463"
    /* properties */
    "071a0100000000000004636c61790473696c740005ac020301013700"
    "001c000000b939fe52738d03d1"
    /* footer */
    "40000000000000008e00000000000000a600000000000000c10000000000000001000000"
    "493a0df8836138ef4c425453";

static void from_hex(struct buf *to, const char *hex)
{
    unsigned byte;

    for (; *hex; hex += 2) {
        ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
        put_u8(to, (uint8_t)byte);
    }
}

static void make_golden(struct made_table *m, struct entries *es)
{
    static const struct test_range range = {"clay", "loam", 9};

    entries_add(es, slice_str("sand"), 7, IKEY_PUT, slice_str("v1"));
    entries_add(es, slice_str("sand"), 5, IKEY_DELETE, slice_str(""));
    entries_add(es, slice_str("silt"), 300, IKEY_PUT, slice_str("x"));
    make_table(m, &(struct table_kind){4096, 10, COMPRESS_RAW, 0}, es, &range, 1);
}

START_TEST(golden_table)
{
    struct made_table m = in_memory();
    struct entries es = {0};
    struct buf golden = {0};
    struct buf file = {0};
    uint64_t r = test_seed();
    struct table *t;

    from_hex(&golden, golden_hex);
    make_golden(&m, &es);
    ck_ok(env_mem_read(m.env, m.path, &file));
    ck_assert_uint_eq(file.len, golden.len);
    ck_assert_mem_eq(file.data, golden.data, golden.len);
    buf_release(&golden);
    t = open_table(&m, NULL);
    check_table(t, &es, &r);
    table_free(t);
    buf_release(&file);
    entries_free(&es);
    drop(&m);
}
END_TEST

START_TEST(a_newer_version_is_refused)
{
    struct made_table m = in_memory();
    struct entries es = {0};
    struct buf file = {0};
    struct table *t;
    uint8_t *footer;

    test_log_capture();
    make_golden(&m, &es);
    ck_ok(env_mem_read(m.env, m.path, &file));
    footer = file.data + file.len - TABLE_FOOTER;
    store_le32(footer + 32, TABLE_VERSION_DICT + 1);
    ck_ok(env_mem_write(m.env, m.path, buf_slice(&file)));
    ck_err(try_open_table(&m, NULL, &t), EUCLEAN);
    store_le64(footer + 36,
               hash_bytes(footer, 36, hash_place(7, file.len - TABLE_FOOTER)));
    ck_ok(env_mem_write(m.env, m.path, buf_slice(&file)));
    ck_err(try_open_table(&m, NULL, &t), EPROTONOSUPPORT);
    ck_assert(test_log_has("/7.sst: format 3 is newer than 2"));
    buf_release(&file);
    entries_free(&es);
    drop(&m);
}
END_TEST

/* ---- damage ---- */

/* What it says must be right; it may say less, but then with an error. */
static void check_only_truth(struct iter *it, const struct entries *es, bool back)
{
    size_t i = 0;

    for (back ? iter_last(it) : iter_first(it); it->valid;
         back ? iter_prev(it) : iter_next(it), i++) {
        ck_assert_uint_lt(i, es->n);
        entries_check_at(it, es, back ? es->n - 1 - i : i);
    }
    ck_assert(it->err == -EUCLEAN || (it->err == 0 && i == es->n));
    iter_free(it);
}

static void check_true_get(void *arg, const struct entries *es, struct slice ikey)
{
    struct table *t = arg;
    struct table_pin pin = {0};
    size_t i = entries_get(es, ikey);
    uint64_t trailer;
    struct slice value;
    int rc = table_get(t, ikey, &trailer, &value, &pin);

    if (rc == -EUCLEAN)
        return;
    ck_assert_int_eq(rc, i == es->n ? -ENOENT : 0);
    if (rc == 0)
        ck_assert(slice_eq(value, buf_slice(&es->e[i].value)));
    table_unpin(&pin);
}

/* Everything that the table still tells is true, and somebody notices. */
static void check_damaged(const struct made_table *m, const struct entries *es,
                          uint64_t *r)
{
    struct cache *cache = cache_new(1 << 20);
    struct table *t;
    int rc = try_open_table(m, cache, &t);

    if (rc == 0) {
        check_only_truth(table_iter_new(t, TABLE_ITER_COMPACT), es, false);
        check_only_truth(table_iter_new(t, TABLE_ITER_READ), es, false);
        check_only_truth(table_iter_new(t, TABLE_ITER_READ), es, true);
        entries_probe(es, r, check_true_get, t);
        rc = table_verify(t, NULL);
        table_free(t);
    }
    ck_assert_int_eq(rc, -EUCLEAN);
    cache_free(cache);
}

START_TEST(a_flip_of_any_byte_is_noticed)
{
    static const struct table_kind kinds[] = {{200, 10, COMPRESS_RAW, 0},
                                              {400, 10, COMPRESS_LZ4, 0},
                                              {400, 10, COMPRESS_ZSTD, 0}};
    static const struct test_range range = {"b", "c", 9};
    uint64_t r = test_seed();
    int k;

    test_log_capture();
    for (k = 0; k < 3; k++) {
        struct entries es = entries_random(&r, 40, 8, 60);
        struct made_table m = in_memory();
        uint64_t i;

        make_table(&m, &kinds[k], &es, &range, 1);
        for (i = 0; i < m.meta.size; i++) {
            uint8_t mask = (uint8_t)(1 + test_below(&r, 255));

            ck_ok(env_mem_flip(m.env, m.path, i, mask));
            check_damaged(&m, &es, &r);
            ck_ok(env_mem_flip(m.env, m.path, i, mask));
        }
        entries_free(&es);
        drop(&m);
    }
}
END_TEST

/* One flipped bit must not cost a whole table where it is not needed. */
START_TEST(a_table_with_a_damaged_filter_is_read_without)
{
    uint64_t r = test_seed();
    struct entries es = entries_random(&r, 40, 8, 60);
    struct made_table m = in_memory();
    struct table *t;
    uint64_t at;

    test_log_capture();
    make_table(&m, &usual, &es, NULL, 0);
    t = open_table(&m, NULL);
    ck_assert(table_has_filter(t));
    at = t->layout.filter;
    table_free(t);
    ck_ok(env_mem_flip(m.env, m.path, at + 5, 4));
    t = open_table(&m, NULL);
    ck_assert(!table_has_filter(t));
    check_only_truth(table_iter_new(t, TABLE_ITER_READ), &es, false);
    entries_probe(&es, &r, check_true_get, t);
    ck_assert(test_log_has("checksum of a block"));
    ck_err(table_verify(t, NULL), EUCLEAN);
    table_free(t);
    entries_free(&es);
    drop(&m);
}
END_TEST

START_TEST(a_file_of_another_length_is_refused)
{
    uint64_t r = test_seed();
    struct entries es = entries_random(&r, 40, 8, 60);
    struct made_table m = in_memory();
    struct buf file = {0};
    struct table *t;
    uint64_t size;
    size_t n;

    test_log_capture();
    make_table(&m, &usual, &es, NULL, 0);
    size = m.meta.size;
    ck_ok(env_mem_read(m.env, m.path, &file));
    for (n = 0; n < size; n++) {
        ck_ok(env_mem_write(m.env, m.path, slice_of(file.data, n)));
        ck_err(try_open_table(&m, NULL, &t), EUCLEAN);
        m.meta.size = n; /* believed, it is cut all the same */
        ck_err(try_open_table(&m, NULL, &t), EUCLEAN);
        m.meta.size = size;
    }
    put_u8(&file, 0);
    ck_ok(env_mem_write(m.env, m.path, buf_slice(&file)));
    ck_err(try_open_table(&m, NULL, &t), EUCLEAN);
    m.meta.size = size + 1;
    ck_err(try_open_table(&m, NULL, &t), EUCLEAN);
    ck_assert(test_log_has("/7.sst: damaged at offset"));
    buf_release(&file);
    entries_free(&es);
    drop(&m);
}
END_TEST

/* Its checksums are right, but for another place. */
START_TEST(a_table_under_another_number_is_refused)
{
    struct made_table m = in_memory();
    struct entries es = {0};
    struct table *t;

    test_log_capture();
    make_golden(&m, &es);
    m.number++;
    ck_err(try_open_table(&m, NULL, &t), EUCLEAN);
    entries_free(&es);
    drop(&m);
}
END_TEST

/* ---- tables with right checksums and wrong content ---- */

static void add_part(struct buf *to, struct slice bytes)
{
    put_u8(to, COMPRESS_RAW);
    put_le32(to, (uint32_t)bytes.len);
    put_u8(to, (uint8_t)bytes.len);
    put_u8(to, (uint8_t)(bytes.len >> 8));
    buf_append_slice(to, bytes);
}

/* A table of one data block and an index entry that tells its size off by so much. */
static int open_forged(struct slice block, const char *separator, int off,
                       const struct table_meta *meta)
{
    struct made_table m = in_memory();
    struct buf parts = {0}, index = {0}, key = {0}, props = {0}, file = {0};
    struct table *t;
    int rc;

    ikey_append(&key, slice_str(separator), 0, IKEY_DELETE);
    table_index_append(&index, buf_slice(&key),
                       block.len + TABLE_BLOCK_TRAILER + (uint64_t)off);
    table_meta_append(&props, meta);
    put_u8(&parts, TABLE_VERSION_PLAIN);
    put_u8(&parts, 1);
    add_part(&parts, block);
    add_part(&parts, slice_str(""));
    add_part(&parts, slice_str(""));
    add_part(&parts, buf_slice(&index));
    add_part(&parts, buf_slice(&props));
    ck_assert(assemble(buf_slice(&parts), &file, true));
    ck_ok(env_mem_write(m.env, m.path, buf_slice(&file)));
    m.meta.size = file.len;
    rc = try_open_table(&m, NULL, &t);
    if (rc == 0) {
        rc = table_verify(t, NULL);
        table_free(t);
    }
    buf_release(&parts);
    buf_release(&index);
    buf_release(&key);
    buf_release(&props);
    buf_release(&file);
    drop(&m);
    return rc;
}

#define TRAILER "\1\1\0\0\0\0\0\0"
#define A_AND_B slice_of("\0\x9\0a" TRAILER "\0\x9\0b" TRAILER "\0\0\0\0\1\0\0\0", 32)
#define B_AND_A slice_of("\0\x9\0b" TRAILER "\0\x9\0a" TRAILER "\0\0\0\0\1\0\0\0", 32)

START_TEST(verify_sees_content_that_contradicts_itself)
{
    struct table_meta m = {.number = 7, .seq_min = 1, .seq_max = 1, .entries = 2};

    test_log_capture();
    buf_assign(&m.smallest, slice_str("a"));
    buf_assign(&m.largest, slice_str("b"));
    ck_ok(open_forged(A_AND_B, "b", 0, &m));
    ck_err(open_forged(B_AND_A, "b", 0, &m), EUCLEAN);
    ck_err(open_forged(A_AND_B, "a", 0, &m), EUCLEAN);
    ck_err(open_forged(A_AND_B, "b", 1, &m), EUCLEAN);
    ck_err(open_forged(A_AND_B, "b", -1, &m), EUCLEAN);
    m.entries = 3;
    ck_err(open_forged(A_AND_B, "b", 0, &m), EUCLEAN);
    m.entries = 2;
    m.deletes = 1;
    ck_err(open_forged(A_AND_B, "b", 0, &m), EUCLEAN);
    m.deletes = 0;
    m.seq_min = m.seq_max = 2;
    ck_err(open_forged(A_AND_B, "b", 0, &m), EUCLEAN);
    m.seq_min = m.seq_max = 1;
    m.largest_open = true;
    ck_err(open_forged(A_AND_B, "b", 0, &m), EUCLEAN);
    m.largest_open = false;
    m.number = 8;
    ck_err(open_forged(A_AND_B, "b", 0, &m), EUCLEAN);
    m.number = 7;
    ck_ok(open_forged(A_AND_B, "b", 0, &m));
    table_meta_release(&m);
}
END_TEST

START_TEST(mutated_tables_do_no_harm)
{
    static const struct test_range ranges[] = {{"a", "b", 9}, {"b", "x", 3}};
    uint64_t r = test_seed();
    int round, i;

    for (round = 0; round < 60; round++) {
        struct table_kind kind = {1 + test_below(&r, 400), 10,
                                  (enum compression)test_below(&r, 3), 0};
        struct entries es = entries_random(&r, 1 + test_below(&r, 60), 8, 60);
        struct made_table m = in_memory();
        struct buf file = {0}, parts = {0}, copy = {0};
        struct table *t;

        make_table(&m, &kind, &es, ranges, test_below(&r, 3));
        ck_ok(env_mem_read(m.env, m.path, &file));
        t = open_table(&m, NULL);
        fuzz_table_dissect(t, buf_slice(&file), &parts);
        table_free(t);
        for (i = 0; i < 40; i++) {
            unsigned n = (unsigned)test_below(&r, 4); /* 0: as it is */

            buf_assign(&copy, buf_slice(&parts));
            for (; n; n--)
                copy.data[1 + test_below(&r, copy.len - 1)] = (uint8_t)test_random(&r);
            LLVMFuzzerTestOneInput(copy.data, copy.len);
        }
        buf_release(&file);
        buf_release(&parts);
        buf_release(&copy);
        entries_free(&es);
        drop(&m);
    }
}
END_TEST

/* ---- wrong use, failing disks ---- */

/* After an error the builder only repeats it, and finish leaves no file. */
static void check_refused(struct made_table *m, struct table_builder *tb, int err)
{
    struct table_meta meta = {0};
    uint64_t size;

    ck_assert_int_eq(table_builder_finish(tb, &meta), err);
    ck_err(env_stat(m->env, m->path, &size), ENOENT);
    ck_assert_uint_eq(env_mem_open_files(m->env), 0);
}

static int add(struct table_builder *tb, const char *user, uint64_t seq, int type,
               struct slice value)
{
    struct buf key = {0};
    int rc;

    ikey_append(&key, slice_str(user), seq, (enum ikey_type)type);
    rc = table_builder_add(tb, buf_slice(&key), value);
    buf_release(&key);
    return rc;
}

START_TEST(the_builder_refuses_what_would_be_no_table)
{
    struct made_table m = in_memory();
    struct slice none = slice_str("");
    struct table_builder *tb;

    test_log_capture();
    tb = begin_table(&m, &usual);
    ck_ok(add(tb, "b", 5, IKEY_PUT, none));
    ck_err(add(tb, "a", 5, IKEY_PUT, none), EUCLEAN);
    ck_err(add(tb, "c", 5, IKEY_PUT, none), EUCLEAN);
    check_refused(&m, tb, -EUCLEAN);
    tb = begin_table(&m, &(struct table_kind){1, 0, COMPRESS_RAW, 0});
    ck_ok(add(tb, "a", 5, IKEY_PUT, none));
    ck_ok(add(tb, "b", 5, IKEY_PUT, none));
    ck_err(add(tb, "b", 5, IKEY_PUT, none), EUCLEAN);
    check_refused(&m, tb, -EUCLEAN);
    tb = begin_table(&m, &usual);
    ck_err(add(tb, "a", 5, IKEY_RANGE_DELETE, none), EINVAL);
    check_refused(&m, tb, -EINVAL);
    tb = begin_table(&m, &usual);
    ck_err(add(tb, "a", 5, IKEY_PUT_REF, slice_str("x")), EUCLEAN);
    check_refused(&m, tb, -EUCLEAN);
    tb = begin_table(&m, &usual);
    ck_err(table_builder_add_range_delete(tb, slice_str("b"), slice_str("b"), 1), EINVAL);
    check_refused(&m, tb, -EINVAL);
    tb = begin_table(&m, &usual);
    ck_ok(table_builder_add_range_delete(tb, slice_str("a"), slice_str("c"), 1));
    ck_err(table_builder_add_range_delete(tb, slice_str("b"), slice_str("d"), 1),
           EUCLEAN);
    check_refused(&m, tb, -EUCLEAN);
    table_builder_abandon(NULL);
    table_builder_abandon(begin_table(&m, &usual));
    table_free(NULL);
    ck_assert_uint_eq(env_mem_open_files(m.env), 0);
    env_mem_free(m.env);
}
END_TEST

static int build_all(struct made_table *m, const struct entries *es)
{
    struct table_builder_options o = {.env = m->env,
                                      .path = m->path,
                                      .number = m->number,
                                      .block_bytes = 4096,
                                      .filter_bits = 10};
    struct table_builder *tb;
    size_t i;
    int rc = table_builder_open(&o, &tb);

    if (rc)
        return rc;
    for (i = 0; i < es->n && !rc; i++)
        rc = table_builder_add(tb, buf_slice(&es->e[i].ikey), buf_slice(&es->e[i].value));
    if (!rc)
        return table_builder_finish(tb, &m->meta);
    table_builder_abandon(tb);
    return rc;
}

START_TEST(a_failing_disk_leaves_no_table)
{
    uint64_t r = test_seed();
    struct entries es = entries_random(&r, 8000, 20, 200);
    struct made_table m = in_memory();
    uint64_t n, size;

    for (n = 1;; n++) {
        int rc;

        env_mem_fail_at(m.env, n, ENOSPC,
                        ENV_MEM_OPEN | ENV_MEM_APPEND | ENV_MEM_SYNC | ENV_MEM_TRUNCATE,
                        ENV_MEM_ONCE);
        rc = build_all(&m, &es);
        env_mem_fail_at(m.env, 0, 0, 0, ENV_MEM_ONCE);
        if (rc == 0)
            break;
        ck_assert_int_eq(rc, -ENOSPC);
        ck_err(env_stat(m.env, m.path, &size), ENOENT);
        ck_assert_uint_eq(env_mem_open_files(m.env), 0);
        ck_assert_ptr_null(m.meta.smallest.data);
    }
    ck_assert_uint_ge(n, 4);
    entries_free(&es);
    drop(&m);
}
END_TEST

/* Each read in turn. Nothing is damaged: -EIO, and the next try works. */
START_TEST(failing_reads_are_told)
{
    uint64_t r = test_seed();
    struct entries es = entries_random(&r, 300, 20, 200);
    struct made_table m = in_memory();
    struct table *t = NULL;
    struct iter *it;
    uint64_t n;
    size_t i;

    make_table(&m, &(struct table_kind){500, 10, COMPRESS_LZ4, 0}, &es, NULL, 0);
    for (n = 1; !t; n++) {
        env_mem_fail_at(m.env, n, EIO, ENV_MEM_READ | ENV_MEM_OPEN_READ, ENV_MEM_ONCE);
        if (try_open_table(&m, NULL, &t) != 0)
            ck_assert_ptr_null(t);
        env_mem_fail_at(m.env, 0, 0, 0, ENV_MEM_ONCE);
        ck_assert_uint_eq(env_mem_open_files(m.env), t != NULL);
    }
    ck_assert_uint_ge(n, 5);
    for (n = 1;; n++) {
        env_mem_fail_at(m.env, n, EIO, ENV_MEM_READ, ENV_MEM_ONCE);
        it = table_iter_new(t, n % 2 ? TABLE_ITER_READ : TABLE_ITER_COMPACT);
        for (iter_first(it), i = 0; it->valid; iter_next(it))
            entries_check_at(it, &es, i++);
        ck_assert(it->err == -EIO || i == es.n);
        if (it->err) {
            iter_first(it); /* an error stays */
            ck_assert(!it->valid && it->err == -EIO);
        }
        if (!it->err && n % 2)
            break;
        iter_free(it);
    }
    iter_free(it);
    env_mem_fail_at(m.env, 0, 0, 0, ENV_MEM_ONCE);
    check_table(t, &es, &r);
    table_free(t);
    entries_free(&es);
    drop(&m);
}
END_TEST

TEST_MAIN("table_damage", TEST_CASE(golden_table), TEST_CASE(a_newer_version_is_refused),
          TEST_CASE_SLOW(a_flip_of_any_byte_is_noticed, 300),
          TEST_CASE(a_table_with_a_damaged_filter_is_read_without),
          TEST_CASE(a_file_of_another_length_is_refused),
          TEST_CASE(a_table_under_another_number_is_refused),
          TEST_CASE(verify_sees_content_that_contradicts_itself),
          TEST_CASE_SLOW(mutated_tables_do_no_harm, 300),
          TEST_CASE(the_builder_refuses_what_would_be_no_table),
          TEST_CASE(a_failing_disk_leaves_no_table), TEST_CASE(failing_reads_are_told))
