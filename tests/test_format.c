/*
 * test_format.c - lsm/format.h, and what a store does with it. Bytes: lsm/FORMAT.md,
 * "Options that fix the format".
 */
#include "env_mem.h"
#include "test.h"

#include <stdlib.h>

#include "lsm/format.h"
#include "lsm/manifest.h"

/* ---- bytes ---- */

/* Never changed: manifests on disk hold these. */
START_TEST(golden_bytes)
{
    static const uint8_t want[] = {0x03, 1, 5,   0x05, 3,   0x80, 0x80, 1,   0x07, 1,  1,
                                   9,    8, 's', 'i',  'l', 't',  'f',  's', '-',  '1'};
    struct store_format f, back;
    struct buf b = {0};

    format_init(&f);
    format_encode(&b, &f);
    ck_assert_uint_eq(b.len, 11);
    ck_assert_mem_eq(b.data, want, 11);
    buf_clear(&b);
    strcpy(f.name, "siltfs-1");
    format_encode(&b, &f);
    ck_assert_uint_eq(b.len, sizeof(want));
    ck_assert_mem_eq(b.data, want, sizeof(want));
    format_init(&back);
    ck_ok(format_decode(buf_slice(&b), &back));
    ck_assert_str_eq(back.name, "siltfs-1");
    ck_assert(back.levels == 5 && back.frame_bytes == 16384 && back.key_hash == 1);
    buf_release(&b);
}
END_TEST

START_TEST(what_is_not_told_is_as_it_was_before)
{
    struct store_format f;

    format_init(&f);
    ck_ok(format_decode(slice_of("", 0), &f));
    ck_assert(f.levels == LSM_LEVELS && f.frame_bytes == 16384 && f.key_hash == 1);
    ck_assert_str_eq(f.name, "");
}
END_TEST

START_TEST(unknown_field_is_skipped_or_refused_as_its_tag_says)
{
    static const uint8_t optional[] = {40, 3, 'x', 'y', 'z', 0x03, 1, 7};
    static const uint8_t required[] = {41, 3, 'x', 'y', 'z', 0x03, 1, 7};
    struct store_format f;

    format_init(&f);
    ck_ok(format_decode(slice_of(optional, sizeof(optional)), &f));
    ck_assert_uint_eq(f.levels, 7);
    ck_err(format_decode(slice_of(required, sizeof(required)), &f), EPROTONOSUPPORT);
}
END_TEST

static int decode_name(const char *name, size_t len)
{
    struct store_format f;
    struct buf b = {0};
    int rc;

    put_varint(&b, 9);
    put_bytes(&b, slice_of(name, len));
    format_init(&f);
    rc = format_decode(buf_slice(&b), &f);
    ck_assert(rc || strlen(f.name) == len);
    buf_release(&b);
    return rc;
}

START_TEST(hostile_bytes_are_refused)
{
    static const uint8_t spare[] = {0x03, 2, 5, 5}, cut[] = {0x05, 3, 0x80, 0x80};
    static const uint8_t open[] = {0x05, 2, 0x80, 0x80}, alone[] = {0x03};
    struct store_format f;
    char name[FORMAT_NAME_MAX + 2];

    format_init(&f);
    ck_err(format_decode(slice_of(spare, sizeof(spare)), &f), EUCLEAN);
    ck_err(format_decode(slice_of(cut, sizeof(cut)), &f), EUCLEAN);
    ck_err(format_decode(slice_of(open, sizeof(open)), &f), EUCLEAN);
    ck_err(format_decode(slice_of(alone, sizeof(alone)), &f), EUCLEAN);
    memset(name, 'x', sizeof(name));
    ck_ok(decode_name(name, FORMAT_NAME_MAX));
    ck_err(decode_name(name, FORMAT_NAME_MAX + 1), EUCLEAN);
    ck_err(decode_name("", 0), EUCLEAN);
    ck_err(decode_name("a\0b", 3), EUCLEAN);
    ck_err(decode_name("a b", 3), EUCLEAN);
    ck_err(decode_name("\xff", 1), EUCLEAN);
}
END_TEST

START_TEST(any_bytes_decode_to_what_encodes_again_or_not_at_all)
{
    uint64_t r = test_seed();
    struct store_format f;
    struct buf b = {0}, bad = {0};
    int i;

    format_init(&f);
    strcpy(f.name, "siltfs-1");
    format_encode(&b, &f);
    for (i = 0; i < 50000; i++) {
        size_t n = 1 + test_below(&r, 3);
        int rc;

        buf_assign(&bad, buf_slice(&b));
        bad.len -= test_below(&r, 3) ? 0 : test_below(&r, bad.len);
        while (bad.len && n--)
            bad.data[test_below(&r, bad.len)] ^= (uint8_t)(1 << test_below(&r, 8));
        format_init(&f);
        rc = format_decode(buf_slice(&bad), &f);
        ck_assert(rc == 0 || rc == -EUCLEAN || rc == -EPROTONOSUPPORT);
        ck_assert(memchr(f.name, 0, sizeof(f.name)) && format_name_good(f.name));
    }
    buf_release(&b);
    buf_release(&bad);
}
END_TEST

/* ---- stores ---- */

static struct env *env;

static struct lsm_options options(const char *format)
{
    struct lsm_options o;

    if (!env)
        env = env_mem_new(test_seed());
    lsm_options_init(&o);
    o.env = env;
    o.create = true;
    o.workers = 0;
    o.memtable_bytes = 64 << 10;
    o.format = format;
    return o;
}

static int try_open(const char *path, const char *format)
{
    struct lsm_options o = options(format);
    struct lsm *db;
    int rc = lsm_open(path, &o, &db);

    return rc ? rc : lsm_close(db);
}

START_TEST(a_store_is_opened_by_its_name_or_without_one)
{
    char name[] = "siltfs-1";

    test_log_capture();
    ck_ok(try_open("/s", name));
    memset(name, 'x', sizeof(name) - 1); /* it was copied */
    ck_ok(try_open("/s", "siltfs-1"));
    ck_ok(try_open("/s", NULL));
    ck_ok(try_open("/s", ""));
    ck_err(try_open("/s", "kv-1"), EINVAL);
    ck_assert(test_log_has("/s: holds \"siltfs-1\", not \"kv-1\"\n"));
    ck_ok(try_open("/s", "siltfs-1"));
}
END_TEST

START_TEST(a_refused_store_is_not_changed)
{
    struct buf before = {0}, after = {0};

    test_log_capture();
    ck_ok(try_open("/s", "siltfs-1"));
    ck_ok(env_mem_read(env, "/s/CURRENT", &before));
    ck_err(try_open("/s", "kv-1"), EINVAL);
    ck_ok(env_mem_read(env, "/s/CURRENT", &after));
    ck_assert(slice_eq(buf_slice(&before), buf_slice(&after)));
    buf_release(&before);
    buf_release(&after);
}
END_TEST

START_TEST(a_store_without_a_name_takes_the_first)
{
    struct lsm_options o = options("first");
    struct lsm *db;

    test_log_capture();
    ck_ok(try_open("/s", NULL));
    o.read_only = true; /* takes none: nothing is written */
    o.create = false;
    ck_ok(lsm_open("/s", &o, &db));
    ck_ok(lsm_close(db));
    ck_ok(try_open("/s", "second"));
    ck_err(try_open("/s", "first"), EINVAL);
}
END_TEST

START_TEST(a_name_that_cannot_be_kept_is_refused)
{
    char name[FORMAT_NAME_MAX + 2];

    test_log_capture();
    memset(name, 'x', sizeof(name));
    name[FORMAT_NAME_MAX + 1] = 0;
    ck_err(try_open("/s", name), EINVAL);
    ck_err(try_open("/s", "two words"), EINVAL);
    ck_assert(test_log_has("options: format = \"two words\" is not "));
    name[FORMAT_NAME_MAX] = 0;
    ck_ok(try_open("/s", name));
    ck_ok(try_open("/s", name));
}
END_TEST

/* A store as it was made before, or by another engine: one manifest, nothing in it. */
static void make_store(const char *path, struct slice fixed)
{
    struct edit e = {.has_next_number = true,
                     .has_log_number = true,
                     .has_last_seq = true,
                     .has_options = fixed.data != NULL,
                     .next_number = 2,
                     .log_number = UINT64_MAX};
    struct manifest *m;

    options(NULL);
    buf_assign(&e.options, fixed);
    ck_ok(env_mkdir(env, path));
    ck_ok(manifest_create(env, path, 1, &e, &m));
    ck_ok(manifest_close(m, true));
    edit_release(&e);
}

START_TEST(a_store_from_before_opens_and_remembers_from_then_on)
{
    test_log_capture();
    make_store("/s", (struct slice){0});
    ck_ok(try_open("/s", "siltfs-1"));
    ck_err(try_open("/s", "kv-1"), EINVAL);
}
END_TEST

START_TEST(a_store_with_other_constants_is_refused)
{
    static const uint8_t levels[] = {3, 1, 7}, frame[] = {5, 2, 0x80, 0x20},
                         hash[] = {7, 1, 2}, newer[] = {41, 0}, damaged[] = {3, 0};

    test_log_capture();
    make_store("/a", slice_of(levels, sizeof(levels)));
    ck_err(try_open("/a", NULL), EPROTONOSUPPORT);
    ck_assert(test_log_has("/a: written with 7 levels; this engine has 5\n"));
    make_store("/b", slice_of(frame, sizeof(frame)));
    ck_err(try_open("/b", NULL), EPROTONOSUPPORT);
    ck_assert(test_log_has("/b: written with 4096 bytes a value-log frame; "));
    make_store("/c", slice_of(hash, sizeof(hash)));
    ck_err(try_open("/c", NULL), EPROTONOSUPPORT);
    ck_assert(test_log_has("/c: written with 2 as the hash of its filters; "));
    make_store("/d", slice_of(newer, sizeof(newer)));
    ck_err(try_open("/d", NULL), EPROTONOSUPPORT);
    make_store("/e", slice_of(damaged, sizeof(damaged)));
    ck_err(try_open("/e", NULL), EUCLEAN);
}
END_TEST

START_TEST(checkpoints_have_the_name)
{
    struct lsm_options o = options("siltfs-1");
    struct lsm *db;

    test_log_capture();
    ck_ok(lsm_open("/s", &o, &db));
    ck_ok(lsm_put(db, slice_str("k"), slice_str("v")));
    ck_ok(lsm_checkpoint(db, "/c"));
    ck_ok(lsm_close(db));
    ck_err(try_open("/c", "kv-1"), EINVAL);
    ck_ok(try_open("/c", "siltfs-1"));
}
END_TEST

static void ignore_line(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

static int repair(const char *format)
{
    struct lsm_options o = options(format);

    return lsm_repair("/s", &o, ignore_line, NULL, NULL);
}

static int remove_manifest(void *arg, const char *name)
{
    char path[300];

    (void)arg;
    snprintf(path, sizeof(path), "/s/%s", name);
    return strncmp(name, "MANIFEST", 8) == 0 ? env_unlink(env, path) : 0;
}

START_TEST(repair_keeps_the_name_or_takes_the_one_given)
{
    struct lsm_options o = options("siltfs-1");
    struct lsm *db;

    test_log_capture();
    ck_ok(lsm_open("/s", &o, &db));
    ck_ok(lsm_put(db, slice_str("k"), slice_str("v")));
    ck_ok(lsm_close(db));
    ck_err(repair("kv-1"), EINVAL);
    ck_ok(repair(NULL));
    ck_err(try_open("/s", "kv-1"), EINVAL);
    ck_ok(env_list(env, "/s", remove_manifest, NULL));
    ck_ok(repair("other"));
    ck_err(try_open("/s", "kv-1"), EINVAL);
    o.format = "other";
    ck_ok(lsm_open("/s", &o, &db));
    ck_ok(lsm_exists(db, NULL, slice_str("k")));
    ck_ok(lsm_close(db));
}
END_TEST

TEST_MAIN("format", TEST_CASE(golden_bytes),
          TEST_CASE(what_is_not_told_is_as_it_was_before),
          TEST_CASE(unknown_field_is_skipped_or_refused_as_its_tag_says),
          TEST_CASE(hostile_bytes_are_refused),
          TEST_CASE(any_bytes_decode_to_what_encodes_again_or_not_at_all),
          TEST_CASE(a_store_is_opened_by_its_name_or_without_one),
          TEST_CASE(a_refused_store_is_not_changed),
          TEST_CASE(a_store_without_a_name_takes_the_first),
          TEST_CASE(a_name_that_cannot_be_kept_is_refused),
          TEST_CASE(a_store_from_before_opens_and_remembers_from_then_on),
          TEST_CASE(a_store_with_other_constants_is_refused),
          TEST_CASE(checkpoints_have_the_name),
          TEST_CASE(repair_keeps_the_name_or_takes_the_one_given))
