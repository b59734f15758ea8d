/*
 * test_manifest.c - lsm/manifest.h: CURRENT and the log of edits. Bytes:
 * lsm/FORMAT.md, "CURRENT" and "Manifest". Edits as such: test_edit.c.
 */
#include "test.h"

#include <inttypes.h>
#include <stdlib.h>

#include "lsm/hash.h"
#include "lsm/manifest.h"
#include "lsm/wal.h"

#include "env_mem.h"

#define DIR      "/store"
#define CURRENT  DIR "/CURRENT"
#define MANIFEST DIR "/MANIFEST-000042"

enum { NUMBER = 42 };

static struct env *env;

static void begin(void)
{
    env = env_mem_new(test_seed());
    ck_ok(env_mkdir(env, DIR));
    ck_ok(env_sync_dir(env, "/"));
    test_log_capture();
}

static void end(void)
{
    ck_assert_uint_eq(env_mem_open_files(env), 0);
    env_mem_free(env);
}

/* ---- edits here are a number: the last sequence ---- */

static struct manifest *create(uint64_t number, uint64_t seq)
{
    struct edit e = {.has_last_seq = true, .last_seq = seq};
    struct manifest *m;

    ck_ok(manifest_create(env, DIR, number, &e, &m));
    ck_assert_uint_eq(manifest_number(m), number);
    return m;
}

static int append(struct manifest *m, uint64_t seq)
{
    struct edit e = {.has_last_seq = true, .last_seq = seq};

    return manifest_append(m, &e);
}

struct seen {
    uint64_t seq[16];
    size_t n;
    uint64_t number, length;
    int stop_with; /* at the second edit */
};

static int see(void *arg, struct edit *e, const char *path)
{
    struct seen *s = arg;

    ck_assert(strstr(path, "/MANIFEST-") != NULL);
    ck_assert(e->has_last_seq);
    ck_assert_uint_lt(s->n, 16);
    s->seq[s->n++] = e->last_seq;
    return s->n == 2 ? s->stop_with : 0;
}

static int read_all(struct env *from, struct seen *s)
{
    s->n = 0;
    return manifest_read(from, DIR, see, s, &s->number, &s->length);
}

/* Edits 100, 101, ... so many, and no more. */
static void expect_edits(const struct seen *s, size_t n)
{
    size_t i;

    ck_assert_uint_eq(s->n, n);
    for (i = 0; i < n; i++)
        ck_assert_uint_eq(s->seq[i], 100 + i);
}

/* Manifest 42 with edits 100 ... 104; at[i] is where edit i begins, at[5] the end. */
static void five_edits(bool clean, uint64_t at[6])
{
    struct manifest *m = create(NUMBER, 100);
    int i;

    for (i = 1; i < 5; i++) {
        at[i] = manifest_bytes(m);
        ck_ok(append(m, 100 + (uint64_t)i));
    }
    at[5] = manifest_bytes(m);
    at[0] = at[1] - (at[2] - at[1]); /* all are of one size */
    ck_ok(manifest_close(m, clean));
}

static void current_is(const char *want)
{
    struct buf b = {0};

    ck_ok(env_mem_read(env, CURRENT, &b));
    ck_slice_str(buf_slice(&b), want);
    buf_release(&b);
}

/* ---- writing and reading ---- */

/* Never changed: a store that cannot read it has lost everything. */
START_TEST(golden_bytes_of_current)
{
    struct manifest *m;

    begin();
    m = create(NUMBER, 100);
    current_is("MANIFEST-000042 0 40020d533efbaf2e\n");
    ck_ok(append(m, 101));
    current_is("MANIFEST-000042 0 40020d533efbaf2e\n");
    ck_assert_uint_eq(manifest_bytes(m), 118);
    ck_ok(manifest_close(m, true));
    current_is("MANIFEST-000042 118 e029652ec7de63e9\n");
    m = create(12345678, 100);
    current_is("MANIFEST-12345678 0 5ec6cc8e6a48b7d5\n");
    ck_ok(manifest_close(m, false));
    current_is("MANIFEST-12345678 0 5ec6cc8e6a48b7d5\n");
    end();
}
END_TEST

START_TEST(edits_are_read_as_they_were_appended)
{
    uint64_t at[6];
    struct seen s = {.n = 0};
    int clean;

    for (clean = 0; clean < 2; clean++) {
        begin();
        five_edits(clean, at);
        ck_ok(read_all(env, &s));
        expect_edits(&s, 5);
        ck_assert_uint_eq(s.number, NUMBER);
        ck_assert_uint_eq(s.length, at[5]);
        end();
    }
}
END_TEST

START_TEST(an_edit_is_durable_when_append_returns)
{
    struct seen s = {.n = 0};
    struct manifest *m;
    struct env *after;

    begin();
    m = create(NUMBER, 100);
    after = env_mem_crash_clone(env, 1, ENV_MEM_LOSE_UNSYNCED);
    ck_ok(read_all(after, &s));
    expect_edits(&s, 1);
    env_mem_free(after);
    ck_ok(append(m, 101));
    after = env_mem_crash_clone(env, 1, ENV_MEM_LOSE_UNSYNCED);
    ck_ok(read_all(after, &s));
    expect_edits(&s, 2);
    env_mem_free(after);
    ck_ok(manifest_close(m, false));
    end();
}
END_TEST

START_TEST(a_new_manifest_takes_over_with_what_it_describes)
{
    struct seen s = {.n = 0};
    struct manifest *m, *next;

    begin();
    m = create(7, 1);
    ck_ok(append(m, 2));
    next = create(NUMBER, 100);
    ck_ok(manifest_close(m, false));
    ck_ok(append(next, 101));
    ck_ok(manifest_close(next, true));
    ck_ok(read_all(env, &s));
    expect_edits(&s, 2);
    ck_assert_uint_eq(s.number, NUMBER);
    end();
}
END_TEST

START_TEST(without_current_there_is_no_store)
{
    struct seen s = {.n = 0};

    begin();
    ck_err(read_all(env, &s), ENOENT);
    ck_ok(manifest_close(NULL, true));
    end();
}
END_TEST

START_TEST(what_fn_returns_ends_the_reading)
{
    struct seen s = {.stop_with = -EBADMSG};
    uint64_t at[6];

    begin();
    five_edits(true, at);
    ck_err(read_all(env, &s), EBADMSG);
    expect_edits(&s, 2);
    end();
}
END_TEST

/* ---- damage to the manifest ---- */

/* The file's content with its end cut off. */
static void cut(const struct buf *whole, uint64_t len)
{
    ck_ok(env_mem_write(env, MANIFEST, slice_of(whole->data, len)));
}

START_TEST(a_torn_last_edit_was_never_there)
{
    struct buf whole = {0}, zeros = {0};
    struct seen s = {.n = 0};
    uint64_t at[6], len;
    size_t i;

    begin();
    five_edits(false, at);
    ck_ok(env_mem_read(env, MANIFEST, &whole));
    for (len = at[1]; len < at[5]; len++) {
        cut(&whole, len);
        ck_ok(read_all(env, &s));
        for (i = 1; at[i + 1] <= len; i++)
            ;
        expect_edits(&s, i);
        ck_assert_uint_eq(s.length, at[i]);
        /* The file may have got its size and not its bytes. */
        buf_assign(&zeros, slice_of(whole.data, len));
        while (zeros.len < at[i + 1])
            put_u8(&zeros, 0);
        ck_ok(env_mem_write(env, MANIFEST, buf_slice(&zeros)));
        ck_ok(read_all(env, &s));
        expect_edits(&s, i);
    }
    buf_release(&whole);
    buf_release(&zeros);
    end();
}
END_TEST

START_TEST(a_manifest_without_its_header_is_damaged)
{
    struct buf whole = {0};
    struct seen s = {.n = 0};
    uint64_t at[6], len;

    begin();
    five_edits(false, at);
    ck_ok(env_mem_read(env, MANIFEST, &whole));
    for (len = 0; len < at[0]; len++) {
        cut(&whole, len);
        ck_err(read_all(env, &s), EUCLEAN);
        ck_assert_uint_eq(s.n, 0);
    }
    ck_assert(test_log_has(MANIFEST));
    buf_release(&whole);
    end();
}
END_TEST

/*
 * CURRENT names a manifest only when its first edit is durable. Regression: without
 * it, torn or, being the only one, damaged, the store read as an empty one.
 */
START_TEST(a_manifest_without_its_first_edit_is_damaged)
{
    struct buf whole = {0};
    struct seen s = {.n = 0};
    uint64_t at[6], len;

    begin();
    five_edits(false, at);
    ck_ok(env_mem_read(env, MANIFEST, &whole));
    for (len = at[0]; len < at[1]; len++) {
        cut(&whole, len);
        ck_err(read_all(env, &s), EUCLEAN);
        cut(&whole, at[1]);
        ck_ok(env_mem_flip(env, MANIFEST, len, 1));
        ck_err(read_all(env, &s), EUCLEAN);
    }
    buf_release(&whole);
    end();
}
END_TEST

START_TEST(after_a_clean_close_a_cut_is_damage)
{
    struct buf whole = {0};
    struct seen s = {.n = 0};
    uint64_t at[6], len;

    begin();
    five_edits(true, at);
    ck_ok(env_mem_read(env, MANIFEST, &whole));
    ck_assert_uint_eq(whole.len, at[5]);
    for (len = 0; len < at[5]; len++) {
        cut(&whole, len);
        ck_err(read_all(env, &s), EUCLEAN);
    }
    ck_assert(test_log_has(MANIFEST));
    ck_assert(test_log_has("cut short"));
    buf_release(&whole);
    end();
}
END_TEST

START_TEST(after_a_sync_that_failed_there_is_no_clean_close)
{
    struct manifest *m;
    struct env *after;
    struct seen s = {.n = 0};

    begin();
    m = create(NUMBER, 100);
    env_mem_fail_at(env, 1, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
    ck_err(append(m, 101), EIO);
    ck_err(manifest_close(m, true), EIO);
    after = env_mem_crash_clone(env, test_seed(), ENV_MEM_LOSE_UNSYNCED);
    ck_ok(read_all(after, &s));
    expect_edits(&s, 1);
    env_mem_free(after);
    end();
}
END_TEST

START_TEST(a_flipped_bit_is_damage_or_takes_the_last_edit_only)
{
    struct seen s = {.n = 0};
    uint64_t at[6], off;
    int clean;

    for (clean = 0; clean < 2; clean++) {
        begin();
        five_edits(clean, at);
        for (off = 0; off < at[5]; off++) {
            uint8_t mask = (uint8_t)(1 << off % 8);
            int rc;

            ck_ok(env_mem_flip(env, MANIFEST, off, mask));
            rc = read_all(env, &s);
            if (clean || off < at[4]) { /* a later frame tells that it was synced */
                ck_err(rc, EUCLEAN);
            } else if (rc) {
                ck_err(rc, EUCLEAN);
            } else {
                expect_edits(&s, 4);
                ck_assert_uint_eq(s.length, at[4]);
            }
            ck_ok(env_mem_flip(env, MANIFEST, off, mask));
        }
        ck_ok(read_all(env, &s));
        expect_edits(&s, 5);
        end();
    }
}
END_TEST

START_TEST(a_missing_manifest_is_damage)
{
    struct seen s = {.n = 0};
    uint64_t at[6];

    begin();
    five_edits(true, at);
    ck_ok(env_unlink(env, MANIFEST));
    ck_err(read_all(env, &s), EUCLEAN);
    ck_assert(test_log_has(MANIFEST));
    ck_assert(test_log_has("missing"));
    end();
}
END_TEST

START_TEST(the_manifest_of_another_number_is_damage)
{
    struct buf other = {0};
    struct seen s = {.n = 0};
    uint64_t at[6];

    begin();
    ck_ok(manifest_close(create(41, 1), false));
    ck_ok(env_mem_read(env, DIR "/MANIFEST-000041", &other));
    five_edits(false, at);
    ck_ok(env_mem_write(env, MANIFEST, buf_slice(&other)));
    ck_err(read_all(env, &s), EUCLEAN);
    ck_assert_uint_eq(s.n, 0);
    buf_release(&other);
    end();
}
END_TEST

/* ---- damage to CURRENT ---- */

/* Make CURRENT text, a space, the checksum of text, and `more`. */
static void write_current(const char *text, const char *more)
{
    char line[600];
    uint64_t sum = hash_bytes(text, strlen(text), 0);

    snprintf(line, sizeof(line), "%s %016" PRIx64 "%s", text, sum, more);
    ck_ok(env_mem_write(env, CURRENT, slice_str(line)));
}

START_TEST(a_flipped_bit_of_current_is_seen)
{
    struct buf line = {0};
    struct seen s = {.n = 0};
    uint64_t at[6];
    size_t off;
    int bit;

    begin();
    five_edits(true, at);
    ck_ok(env_mem_read(env, CURRENT, &line));
    for (off = 0; off < line.len; off++) {
        for (bit = 0; bit < 8; bit++) {
            uint8_t mask = (uint8_t)(1 << bit);

            ck_ok(env_mem_flip(env, CURRENT, off, mask));
            ck_err(read_all(env, &s), EUCLEAN);
            ck_ok(env_mem_flip(env, CURRENT, off, mask));
        }
    }
    ck_assert(test_log_has(CURRENT));
    buf_release(&line);
    end();
}
END_TEST

START_TEST(a_cut_or_longer_current_is_damage)
{
    struct buf line = {0}, longer = {0};
    struct seen s = {.n = 0};
    uint64_t at[6];
    size_t len;

    begin();
    five_edits(true, at);
    ck_ok(env_mem_read(env, CURRENT, &line));
    for (len = 0; len < line.len; len++) {
        ck_ok(env_mem_write(env, CURRENT, slice_of(line.data, len)));
        ck_err(read_all(env, &s), EUCLEAN);
    }
    for (len = 0; len < 600; len += 1 + len / 4) {
        buf_assign(&longer, buf_slice(&line));
        while (longer.len < line.len + 1 + len)
            put_u8(&longer, len % 3 ? '\n' : len % 2 ? ' ' : 0);
        ck_ok(env_mem_write(env, CURRENT, buf_slice(&longer)));
        ck_err(read_all(env, &s), EUCLEAN);
    }
    buf_release(&line);
    buf_release(&longer);
    end();
}
END_TEST

START_TEST(a_sound_current_must_name_a_manifest)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "MANIFEST-000042",
                                      "MANIFEST-000042 ",
                                      "MANIFEST-000042 x",
                                      "MANIFEST-42x 0",
                                      "MANIFEST- 0",
                                      "000042.log 0",
                                      "CURRENT 0",
                                      "../x/MANIFEST-000042 0",
                                      "MANIFEST-99999999999999999999 0"};
    struct seen s = {.n = 0};
    uint64_t at[6];
    size_t i;

    begin();
    five_edits(false, at);
    write_current("MANIFEST-000042 0", "\n");
    ck_ok(read_all(env, &s));
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_current(bad[i], "\n");
        ck_err(read_all(env, &s), EUCLEAN);
    }
    write_current("MANIFEST-000042 0", "");
    ck_err(read_all(env, &s), EUCLEAN);
    write_current("MANIFEST-000042 0", " \n");
    ck_err(read_all(env, &s), EUCLEAN);
    write_current("MANIFEST-000042 18446744073709551615", "\n");
    ck_err(read_all(env, &s), EUCLEAN);
    end();
}
END_TEST

/* ---- edits that are whole, but not for us ---- */

/* A manifest with an edit 100 and then one of the payload. */
static int read_payload(struct slice payload, struct seen *s)
{
    struct wal_create c = {.env = env, .path = MANIFEST, .number = NUMBER};
    struct edit first = {.has_last_seq = true, .last_seq = 100};
    struct buf b = {0};
    struct slice part;
    struct wal *w;
    uint64_t at;

    (void)env_unlink(env, MANIFEST);
    edit_encode(&b, &first);
    ck_ok(wal_create(&c, &w));
    part = buf_slice(&b);
    ck_ok(wal_append(w, &part, 1, &at));
    ck_ok(wal_append(w, &payload, 1, &at));
    ck_ok(wal_close(w, true));
    write_current("MANIFEST-000042 0", "\n");
    buf_release(&b);
    return read_all(env, s);
}

START_TEST(an_edit_of_a_newer_format_is_not_damage)
{
    struct seen s = {.n = 0};

    begin();
    /* Tag 21, required; then 20, which may be skipped. */
    ck_err(read_payload(slice_of("\x2b\1x", 3), &s), EPROTONOSUPPORT);
    ck_assert(test_log_has("newer format"));
    expect_edits(&s, 1);
    ck_ok(read_payload(slice_of("\x28\1x\7\1\x65", 6), &s));
    expect_edits(&s, 2);
    end();
}
END_TEST

START_TEST(an_edit_that_makes_no_sense_is_damage)
{
    struct seen s = {.n = 0};

    begin();
    ck_err(read_payload(slice_of("\7\1\xff", 3), &s), EUCLEAN);
    ck_assert(test_log_has("makes no sense"));
    expect_edits(&s, 1);
    ck_err(read_payload(slice_of("\7", 1), &s), EUCLEAN);
    end();
}
END_TEST

TEST_MAIN("manifest", TEST_CASE(golden_bytes_of_current),
          TEST_CASE(edits_are_read_as_they_were_appended),
          TEST_CASE(an_edit_is_durable_when_append_returns),
          TEST_CASE(a_new_manifest_takes_over_with_what_it_describes),
          TEST_CASE(without_current_there_is_no_store),
          TEST_CASE(what_fn_returns_ends_the_reading),
          TEST_CASE(a_torn_last_edit_was_never_there),
          TEST_CASE(a_manifest_without_its_header_is_damaged),
          TEST_CASE(a_manifest_without_its_first_edit_is_damaged),
          TEST_CASE(after_a_clean_close_a_cut_is_damage),
          TEST_CASE(after_a_sync_that_failed_there_is_no_clean_close),
          TEST_CASE(a_flipped_bit_is_damage_or_takes_the_last_edit_only),
          TEST_CASE(a_missing_manifest_is_damage),
          TEST_CASE(the_manifest_of_another_number_is_damage),
          TEST_CASE(a_flipped_bit_of_current_is_seen),
          TEST_CASE(a_cut_or_longer_current_is_damage),
          TEST_CASE(a_sound_current_must_name_a_manifest),
          TEST_CASE(an_edit_of_a_newer_format_is_not_damage),
          TEST_CASE(an_edit_that_makes_no_sense_is_damage))
