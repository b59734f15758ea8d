/*
 * test_fs_scrub.c - fs_scrub: damage told by the files concerned. That none is missed:
 * test_flips.c.
 */
#include "test_fs.h"

#include <fcntl.h>

#include "fs/keys.h"
#include "lsm/names.h"
#include "tests/env_mem.h"
#include "tests/flips.h"

enum { LINES = 60, BIG = 100000 };

static struct env *env;
static struct rig r;
static char line[LINES][400];
static unsigned n_lines;

static void open_rig(bool new)
{
    struct lsm_options o;

    flips_options(&o, env);
    o.separate_bytes = 4096;
    o.segment_bytes = 1 << 20;
    memset(o.compression, 0, sizeof(o.compression)); /* so that marks are found */
    o.create = true;
    ck_ok(lsm_open("/s", &o, &r.db));
    if (new)
        ck_ok(fs_format(r.db, 0, 0, 0755, NULL));
    rig_mount(&r);
}

static void begin(void)
{
    flips_log();
    env = env_mem_new(1);
    memset(&r, 0, sizeof(r));
    fs_options_init(&r.options);
    r.options.writeback_ms = 0;
    open_rig(true);
}

static void end(void)
{
    fs_unmount(r.fs);
    lsm_close(r.db);
    env_mem_free(env);
}

static void reopen(void)
{
    ck_ok(fs_unmount(r.fs));
    ck_ok(lsm_close(r.db));
    open_rig(false);
}

/* Contents that do not compress, with a mark in them at `at`. */
static uint64_t marked(uint64_t dir, const char *name, const char *mark, size_t at)
{
    uint64_t ino = rig_file(&r, dir, name), x = ino;
    static uint8_t bytes[BIG];
    size_t i;

    for (i = 0; i < BIG; i += 8)
        store_le64(bytes + i, test_random(&x));
    memcpy(bytes + at, mark, strlen(mark));
    ck_ok(fs_write(r.fs, ino, 0, slice_of(bytes, BIG), false));
    return ino;
}

struct search {
    const char *mark;
    enum file_kind kind;
    char path[80];
    uint64_t at;
};

static int search_file(void *arg, const char *name)
{
    struct search *s = arg;
    struct buf b = {0};
    char path[80];
    uint64_t number;
    uint8_t *at;

    if (file_parse(name, &number) != s->kind)
        return 0;
    snprintf(path, sizeof(path), "/s/%s", name);
    ck_ok(env_mem_read(env, path, &b));
    at = memmem(b.data, b.len, s->mark, strlen(s->mark));
    if (at) {
        snprintf(s->path, sizeof(s->path), "%s", path);
        s->at = (uint64_t)(at - b.data);
    }
    buf_release(&b);
    return 0;
}

/* Flip a bit where the mark stands, in the newest file of the kind that has it. */
static void damage(const char *mark, enum file_kind kind)
{
    struct search s = {.mark = mark, .kind = kind};

    ck_ok(env_list(env, "/s", search_file, &s));
    ck_assert_msg(s.path[0], "no %s", mark);
    ck_ok(env_mem_flip(env, s.path, s.at, 1));
}

static void keep(void *arg, const char *text)
{
    if (n_lines < LINES)
        snprintf(line[n_lines++], sizeof(line[0]), "%s", text);
}

static uint64_t scrub(void)
{
    struct fs_scrub_options o = {.report = keep};
    uint64_t problems;

    n_lines = 0;
    ck_ok(fs_scrub(r.db, &o, &problems));
    return problems;
}

/* Is there a line that begins so? */
static bool told(const char *begins)
{
    unsigned i;

    for (i = 0; i < n_lines; i++)
        if (strncmp(line[i], begins, strlen(begins)) == 0)
            return true;
    for (i = 0; i < n_lines; i++)
        fprintf(stderr, "  %s\n", line[i]);
    return false;
}

/* ---- contents ---- */

START_TEST(a_damaged_extent_is_told_by_path_and_bytes)
{
    uint64_t dir, deep;

    begin();
    dir = rig_dir(&r, FS_ROOT, "a");
    deep = rig_dir(&r, dir, "b\nc");
    marked(deep, "photo", "MARK-OF-PHOTO", 40000);
    marked(FS_ROOT, "good", "MARK-OF-GOOD", 40000);
    reopen();
    ck_assert_uint_eq(scrub(), 0);
    ck_assert_uint_eq(n_lines, 0);
    damage("MARK-OF-PHOTO", FILE_SEGMENT);
    ck_assert_uint_eq(scrub(), 1);
    ck_assert_uint_eq(n_lines, 1);
    /* A frame of 16 KiB. */
    ck_assert(told("/a/b\\012c/photo: bytes 32768-49151 cannot be read (0000"));
    end();
}
END_TEST

START_TEST(a_damaged_attribute_is_told_by_name_in_one_line)
{
    static uint8_t value[8192];
    uint64_t f;

    begin();
    f = rig_file(&r, FS_ROOT, "f");
    memcpy(value + 100, "MARK-OF-VALUE", 13);
    ck_ok(fs_setxattr(r.fs, &r.cred, f, "user.a\nend 0", slice_of(value, sizeof(value)),
                      0));
    reopen();
    damage("MARK-OF-VALUE", FILE_SEGMENT);
    ck_assert_uint_eq(scrub(), 1);
    ck_assert(told("/f: attribute user.a\\012end 0 cannot be read (0000"));
    end();
}
END_TEST

START_TEST(a_file_has_the_name_it_was_given_last)
{
    uint64_t dir, other, moved;

    begin();
    dir = rig_dir(&r, FS_ROOT, "a");
    other = rig_dir(&r, FS_ROOT, "other");
    moved = rig_dir(&r, dir, "moved");
    marked(moved, "photo", "MARK-OF-PHOTO", 100);
    ck_ok(fs_rename(r.fs, &r.cred, dir, "moved", other, "here", 0));
    ck_ok(fs_rename(r.fs, &r.cred, moved, "photo", moved, "film", 0));
    reopen();
    damage("MARK-OF-PHOTO", FILE_SEGMENT);
    ck_assert_uint_eq(scrub(), 1);
    ck_assert(told("/other/here/film: bytes 0-16383 cannot be read"));
    end();
}
END_TEST

START_TEST(who_shares_an_extent_is_told_too)
{
    uint64_t from, to, copied;

    begin();
    from = marked(FS_ROOT, "photo", "MARK-OF-PHOTO", 100);
    to = rig_file(&r, FS_ROOT, "copy");
    ck_ok(fs_copy_range(r.fs, from, 0, to, 0, BIG, &copied));
    reopen();
    damage("MARK-OF-PHOTO", FILE_SEGMENT);
    scrub();
    ck_assert(told("/photo: bytes 0-16383 cannot be read"));
    ck_assert(told("/copy: bytes 0-16383 cannot be read"));
    end();
}
END_TEST

START_TEST(what_is_deleted_or_overwritten_frightens_nobody)
{
    uint64_t ino, found;

    begin();
    marked(FS_ROOT, "photo", "MARK-OF-PHOTO", 100);
    ino = marked(FS_ROOT, "film", "MARK-OF-FILM", 100);
    reopen();
    damage("MARK-OF-PHOTO", FILE_SEGMENT);
    damage("MARK-OF-FILM", FILE_SEGMENT);
    ck_assert_uint_eq(scrub(), 2);
    ck_ok(fs_unlink(r.fs, FS_ROOT, "photo"));
    ino = rig_lookup(&r, FS_ROOT, "film");
    ck_ok(fs_setattr(r.fs, &r.cred, ino, FS_SET_SIZE, &(struct stat){0},
                     &(struct fs_attr){0}));
    found = scrub(); /* of one the segment may have been given back already */
    ck_assert_uint_le(found, 2);
    ck_assert_uint_eq(n_lines, found);
    ck_assert(!found ||
              told("the store: damaged, but what was there is deleted or overwritten"));
    ck_assert(!told("/photo") && !told("/film"));
    ck_ok(lsm_compact(r.db, true));
    ck_assert_uint_eq(scrub(), 0);
    rig_check(&r);
    end();
}
END_TEST

/* ---- tables ---- */

START_TEST(a_damaged_block_of_names_is_told_by_its_directory)
{
    uint64_t dir;
    char name[40];
    int i;

    begin();
    dir = rig_dir(&r, FS_ROOT, "papers");
    for (i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "a-paper-with-number-%d", i);
        rig_file(&r, dir, name);
    }
    reopen();
    ck_ok(lsm_compact(r.db, true));
    reopen();
    damage("paper-with-number-250", FILE_TABLE); /* not in the block with /papers' own */
    ck_assert_uint_ge(scrub(), 1);
    ck_assert(told("/papers: directory: some of its entries cannot be read (0000"));
    end();
}
END_TEST

START_TEST(a_damaged_block_of_small_contents_is_told_by_the_files)
{
    uint64_t ino;
    char name[40], text[200];
    unsigned lost = 0, i;
    uint8_t got[200];
    size_t len;

    begin();
    for (i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "note%u", i);
        ino = rig_file(&r, FS_ROOT, name);
        snprintf(text, sizeof(text), "what-%u %u %u %u", i, i * 7919, i * 104729, ~i);
        rig_write(&r, ino, 0, text);
    }
    reopen();
    ck_ok(lsm_compact(r.db, true)); /* or a compaction may put another in its place */
    reopen();
    damage("what-90", FILE_TABLE); /* behind the block that begins with entries */
    ck_assert_uint_ge(scrub(), 1);
    for (i = 0; i < 100; i++) {
        char begins[60];

        snprintf(name, sizeof(name), "note%u", i);
        ino = rig_lookup(&r, FS_ROOT, name);
        if (fs_read(r.fs, ino, 0, sizeof(got), got, &len) == 0)
            continue;
        lost++;
        snprintf(begins, sizeof(begins), "/%s: ", name);
        ck_assert(told(begins));
    }
    ck_assert_msg(lost > 0 && lost < 100, "%u", lost);
    end();
}
END_TEST

/* ---- other stores ---- */

START_TEST(a_store_without_a_filesystem_is_scrubbed_too)
{
    static uint8_t value[5000];
    struct lsm_options o;

    flips_log();
    env = env_mem_new(1);
    flips_options(&o, env);
    o.create = true;
    ck_ok(lsm_open("/s", &o, &r.db));
    memcpy(value, "MARK-OF-VALUE", 13);
    ck_ok(lsm_put(r.db, slice_str("key"), slice_of(value, sizeof(value))));
    ck_ok(lsm_flush(r.db));
    ck_assert_uint_eq(scrub(), 0);
    damage("MARK-OF-VALUE", FILE_SEGMENT);
    ck_assert_uint_eq(scrub(), 1);
    ck_assert(told("the store: the value of a key cannot be read (0000"));
    lsm_close(r.db);
    env_mem_free(env);
}
END_TEST

TEST_MAIN("fs_scrub", TEST_CASE(a_damaged_extent_is_told_by_path_and_bytes),
          TEST_CASE(a_damaged_attribute_is_told_by_name_in_one_line),
          TEST_CASE(a_file_has_the_name_it_was_given_last),
          TEST_CASE(who_shares_an_extent_is_told_too),
          TEST_CASE(what_is_deleted_or_overwritten_frightens_nobody),
          TEST_CASE(a_damaged_block_of_names_is_told_by_its_directory),
          TEST_CASE(a_damaged_block_of_small_contents_is_told_by_the_files),
          TEST_CASE(a_store_without_a_filesystem_is_scrubbed_too))
