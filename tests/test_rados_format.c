/*
 * test_rados_format.c - lsm/env_rados_format.h: keys, values and names of objects, to the
 * byte; and that no other bytes pass for them.
 */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/env_rados_format.h"

static void hex(const struct buf *b, char *out)
{
    for (size_t i = 0; i < b->len; i++)
        sprintf(out + 2 * i, "%02x", b->data[i]);
}

START_TEST(values_are_these_bytes)
{
    struct rados_entry e = {.kind = RADOS_FILE, .id = 0x0102030405060708};
    struct rados_file f = {.state = RADOS_CLOSED,
                           .size = 4194305,
                           .objects = 2,
                           .session = 3,
                           .mtime_ns = 4};
    struct rados_head h = {.next_session = 5, .store = 6};
    struct rados_holder w = {.session = 1,
                             .addrs = slice_str("a"),
                             .host = slice_str("b"),
                             .pid = 2,
                             .name = slice_str("c"),
                             .text = slice_str("d")};
    char key[RADOS_KEY_MAX], text[400];
    struct buf b = {0};

    rados_key_entry(key, RADOS_ROOT, "CURRENT");
    ck_assert_str_eq(key, "d0000000000000001/CURRENT");
    rados_put_entry(&b, key, &e);
    hex(&b, text);
    ck_assert_str_eq(text, "01010807060504030201"
                           "2cee3fcf");
    buf_clear(&b);
    rados_key_file(key, 0x100000002);
    ck_assert_str_eq(key, "f0000000100000002");
    rados_put_file(&b, key, &f);
    hex(&b, text);
    ck_assert_str_eq(text, "0102"
                           "0100400000000000"
                           "0200000000000000"
                           "0300000000000000"
                           "0400000000000000"
                           "58aa6f74");
    buf_clear(&b);
    rados_key_head(key);
    ck_assert_str_eq(key, "h");
    rados_put_head(&b, key, &h);
    hex(&b, text);
    ck_assert_str_eq(text, "01"
                           "0500000000000000"
                           "0600000000000000"
                           "00004000"
                           "adb9911c");
    buf_clear(&b);
    rados_key_holder(key, RADOS_ROOT);
    ck_assert_str_eq(key, "w0000000000000001");
    rados_put_holder(&b, key, &w);
    hex(&b, text);
    ck_assert_str_eq(text, "01"
                           "0100000000000000"
                           "0161"
                           "0162"
                           "0200000000000000"
                           "0163"
                           "0164"
                           "480482cd");
    buf_release(&b);
}
END_TEST

START_TEST(objects_have_these_names)
{
    char oid[RADOS_OID_MAX];
    uint64_t id, index;

    rados_object_name(oid, 0x200000003, 17);
    ck_assert_str_eq(oid, "0000000200000003.00000011");
    ck_assert(rados_object_parse(oid, &id, &index));
    ck_assert_uint_eq(id, 0x200000003);
    ck_assert_uint_eq(index, 17);
    ck_assert(!rados_object_parse("names", &id, &index));
    ck_assert(!rados_object_parse("0000000200000003.0000001G", &id, &index));
    ck_assert(!rados_object_parse("0000000200000003.000000111", &id, &index));
}
END_TEST

START_TEST(keys_are_taken_apart)
{
    static const char *const none[] = {"",
                                       "x",
                                       "hh",
                                       "d0000000000000001",
                                       "d0000000000000001/",
                                       "d000000000000000G/a",
                                       "d0000000000000001/..",
                                       "d0000000000000001/a/b",
                                       "f000000000000001",
                                       "f0000000000000001x",
                                       "w0000000000000001/",
                                       "F0000000000000001"};
    struct rados_key_parts k;
    char key[RADOS_KEY_MAX];
    size_t i;

    rados_key_entry(key, 7, "000012.sst");
    ck_assert(rados_key_parse(key, strlen(key), &k));
    ck_assert_int_eq(k.what, RADOS_KEY_ENTRY);
    ck_assert_uint_eq(k.id, 7);
    ck_assert_str_eq(k.name, "000012.sst");
    for (i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        ck_assert_msg(!rados_key_parse(none[i], strlen(none[i]), &k), "%s", none[i]);
}
END_TEST

/* A value is good for its key alone, and whole. */
START_TEST(damaged_values_are_none)
{
    struct rados_file f = {.state = RADOS_OPEN, .objects = 16, .session = 3}, out;
    char key[RADOS_KEY_MAX], other[RADOS_KEY_MAX];
    struct buf b = {0};
    size_t i;

    rados_key_file(key, 5);
    rados_key_file(other, 6);
    rados_put_file(&b, key, &f);
    ck_ok(rados_get_file(buf_slice(&b), key, &out));
    ck_assert_uint_eq(out.objects, 16);
    ck_err(rados_get_file(buf_slice(&b), other, &out), EUCLEAN);
    for (i = 0; i < b.len; i++)
        ck_err(rados_get_file(slice_of(b.data, i), key, &out), EUCLEAN);
    for (i = 0; i < 8 * b.len; i++) {
        b.data[i / 8] ^= (uint8_t)(1 << i % 8);
        ck_err(rados_get_file(buf_slice(&b), key, &out), EUCLEAN);
        b.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    buf_clear(&b);
    f.state = RADOS_CLOSED;
    f.size = 17ull * RADOS_OBJECT_BYTES;
    rados_put_file(&b, key, &f);
    ck_err(rados_get_file(buf_slice(&b), key, &out),
           EUCLEAN); /* more bytes than objects */
    buf_clear(&b);
    f.objects = RADOS_OBJECTS_MAX + 1;
    rados_put_file(&b, key, &f);
    ck_err(rados_get_file(buf_slice(&b), key, &out), EUCLEAN);
    buf_release(&b);
}
END_TEST

/* A sum that is right over a body that is not: what a hostile cluster would send. The sum
 * is taken from a text of its own length. */
START_TEST(a_body_too_long_for_its_lengths_is_none)
{
    struct rados_holder h = {.session = 1, .text = slice_str("words")}, out;
    char key[RADOS_KEY_MAX], many[2 * RADOS_TEXT_MAX];
    struct rados_entry e;
    struct rados_head head;
    struct rados_file f;
    struct buf b = {0};

    memset(many, 'x', sizeof(many));
    rados_key_holder(key, 1);
    rados_put_holder(&b, key, &h);
    ck_ok(rados_get_holder(buf_slice(&b), key, &out));
    ck_assert(slice_eq(out.text, slice_str("words")));
    ck_err(rados_get_entry(buf_slice(&b), key, &e), EUCLEAN);
    ck_err(rados_get_file(buf_slice(&b), key, &f), EUCLEAN);
    ck_err(rados_get_head(buf_slice(&b), key, &head), EUCLEAN);
    buf_clear(&b);
    h.text = slice_of(many, sizeof(many));
    rados_put_holder(&b, key, &h);
    ck_err(rados_get_holder(buf_slice(&b), key, &out), EUCLEAN);
    buf_release(&b);
}
END_TEST

START_TEST(a_quota_is_that_of_its_pool)
{
    static const char text[] =
        "[{\"pool_id\":1,\"pool_name\":\"a\",\"x\":1,\"quota_max_bytes\":0,"
        "\"y\":2},{\"pool_id\":2,\"pool_name\":\"silt\",\"quota_max_bytes\":"
        "123456789012}]";
    size_t i;

    ck_assert_uint_eq(rados_quota_of(slice_str(text), "silt"), 123456789012);
    ck_assert_uint_eq(rados_quota_of(slice_str(text), "a"), 0);
    ck_assert_uint_eq(rados_quota_of(slice_str(text), "il"), 0);
    for (i = 0; i < sizeof(text); i++) {
        char *cut = malloc(i + 1); /* a sanitizer sees what is read behind it */

        memcpy(cut, text, i);
        ck_assert(rados_quota_of(slice_of(cut, i), "silt") <= 123456789012);
        free(cut);
    }
    ck_assert_uint_eq(
        rados_quota_of(slice_str("\"pool_name\":\"a\",\"quota_max_bytes\":"
                                 "99999999999999999999999"),
                       "a"),
        0);
}
END_TEST

TEST_MAIN("rados format", TEST_CASE(values_are_these_bytes),
          TEST_CASE(objects_have_these_names), TEST_CASE(keys_are_taken_apart),
          TEST_CASE(damaged_values_are_none), TEST_CASE(a_quota_is_that_of_its_pool),
          TEST_CASE(a_body_too_long_for_its_lengths_is_none))
