/*
 * test_fs_record.c - the filesystem's keys and values, byte by byte, and what
 * the decoders do with bytes nobody wrote.
 */
#include "fs/keys.h"
#include "fs/record.h"
#include "fuzz_record.c"
#include "test_fs.h"

static void hex(const struct buf *b, char *to)
{
    size_t i;

    for (i = 0; i < b->len; i++)
        sprintf(to + 2 * i, "%02x", b->data[i]);
    to[2 * b->len] = 0;
}

static void ck_bytes(struct buf *b, const char *want)
{
    char got[1024];

    ck_ok(buf_error(b));
    ck_assert_uint_lt(b->len, 500);
    hex(b, got);
    ck_assert_str_eq(got, want);
    buf_clear(b);
}

static void ck_key(struct slice s, const char *want)
{
    struct buf b = {0};

    buf_append_slice(&b, s);
    ck_bytes(&b, want);
    buf_release(&b);
}

static struct record file_record(void)
{
    struct record r = {.mode = S_IFREG | 0644, .uid = 1000, .gid = 100, .nlink = 1};

    r.btime = (struct stamp){1700000000, 123456789};
    r.atime = r.btime;
    r.mtime = (struct stamp){1700000001, 123456790};
    r.ctime = (struct stamp){1699999999, 123456788};
    r.file.size = 600;
    r.file.bytes = 500;
    r.file.extents = 2;
    r.run_bytes = 300;
    r.run_count = 1;
    r.flags = REC_TAIL;
    return r;
}

START_TEST(golden_keys)
{
    struct xattr_key x;
    struct key k;

    ck_key(key_dentry(&k, 0x0102, 0x1122334455667788),
           "4400000000000001021122334455667788");
    ck_key(key_extent(&k, 16, 128 * 1024), "4500000000000000100000000000020000");
    ck_key(key_inode(&k, 1), "490000000000000001");
    ck_key(key_names(&k, 1, UINT64_MAX), "4e0000000000000001ffffffffffffffff");
    ck_key(key_orphan(&k, 17), "4f0000000000000011");
    ck_key(key_quota(&k, 17), "510000000000000011");
    ck_key(key_unwritten(&k, 16, 1ULL << 40), "5500000000000000100000010000000000");
    ck_key(key_xattr(&x, 0x0102, slice_str("user.a")), "580000000000000102757365722e61");
    ck_key(key_super(), "537375706572");
    ck_key(key_next(), "536e657874");
    ck_key(key_count(), "53636f756e74");
    ck_key(key_quotas(), "5371756f746173");
}
END_TEST

START_TEST(golden_name_hash)
{
    ck_assert_uint_eq(name_hash(0, slice_str("")), 0x2d06800538d394c2ull);
    ck_assert_uint_eq(name_hash(1, slice_str("siltfs")),
                      name_hash(1, slice_str("siltfs")));
    ck_assert_uint_ne(name_hash(1, slice_str("siltfs")),
                      name_hash(2, slice_str("siltfs")));
}
END_TEST

START_TEST(golden_inodes)
{
    struct record r = file_record();
    struct buf b = {0};

    record_encode(&b, &r);
    ck_bytes(&b, "05"         /* flags: tail, run */
                 "a48302"     /* mode 0100644 */
                 "e807"       /* uid 1000 */
                 "64"         /* gid 100 */
                 "01"         /* nlink */
                 "80c49fd50c" /* btime: seconds */
                 "aab4de75"   /* ...and nanoseconds */
                 "0000"       /* atime is btime */
                 "0202"       /* mtime: one second and one nanosecond later */
                 "0101"       /* ctime: as much earlier */
                 "d804"       /* size 600 */
                 "f403"       /* bytes 500 */
                 "02"         /* extents */
                 "ac02"       /* run: 300 bytes... */
                 "01");       /* ...in one extent */
    r.file.unwritten = 300;
    record_encode(&b, &r);
    ck_bytes(&b, "0da48302e807640180c49fd50caab4de75000002020101d804f40302ac0201"
                 "ac02"); /* 300 bytes unwritten */
    r.flags |= REC_XATTR | REC_ACL | REC_CAPABILITY;
    record_encode(&b, &r);
    ck_bytes(&b, "5fa48302e807640180c49fd50caab4de75000002020101d804f40302ac0201"
                 "ac02");
    r = (struct record){.mode = S_IFDIR | 01755, .nlink = 1};
    r.dir.parent = 1;
    r.dir.entries = 300;
    r.dir.subdirs = 2;
    record_encode(&b, &r);
    ck_bytes(&b, "00ed8701000001000000000000000001ac0202");
    r.flags = REC_XATTR | REC_ACL | REC_DEFAULT_ACL | REC_CAPABILITY;
    record_encode(&b, &r);
    ck_bytes(&b, "72ed8701000001000000000000000001ac0202");
    r.flags = 0;
    record_encode_tree(&b, &r, 300);
    ck_bytes(&b, "8001ed8701000001000000000000000001ac0202ac02");
    r.flags = (LSM_ZSTD + 1) << REC_COMPRESSION_SHIFT;
    record_encode(&b, &r);
    ck_bytes(&b, "8006ed8701000001000000000000000001ac0202");
    r = (struct record){.mode = S_IFLNK | 0777, .nlink = 1, .target = slice_str("a/b")};
    record_encode(&b, &r);
    ck_bytes(&b, "00ffc302000001000000000000000003612f62");
    r = (struct record){.mode = S_IFCHR | 0600, .nlink = 3, .rdev = 5ull << 32 | 1};
    record_encode(&b, &r);
    ck_bytes(&b, "00804300000300000000000000008180808050");
    buf_release(&b);
}
END_TEST

START_TEST(golden_dentries)
{
    struct record r = file_record();
    struct buf b = {0};

    dentry_encode_inode(&b, slice_str("ab"), 300, &r);
    ck_bytes(&b, "01026162ac0205a48302e807640180c49fd50caab4de75000002020101d804f40302"
                 "ac0201");
    dentry_encode_ref(&b, slice_str("dir"), 16, S_IFDIR | 0755);
    ck_bytes(&b, "02036469721004");
    buf_release(&b);
}
END_TEST

START_TEST(golden_super_counters_and_lists)
{
    struct super s = {.hash_seed = 0x0123456789abcdef, .root = 1};
    struct seqs q = {.n = 2, .seq = {16, 300}};
    struct buf b = {0};

    super_encode(&b, &s);
    ck_bytes(&b, "73696c74667301efcdab896745230101");
    s.limit_bytes = 1 << 20;
    super_encode(&b, &s);
    ck_bytes(&b, "73696c74667302efcdab89674523010180804000");
    s.limit_bytes = 0;
    s.limit_inodes = 300;
    super_encode(&b, &s);
    ck_bytes(&b, "73696c74667302efcdab89674523010100ac02");
    s.quotas = true;
    super_encode(&b, &s);
    ck_bytes(&b, "73696c74667303efcdab89674523010100ac02");
    s.limit_inodes = 0;
    super_encode(&b, &s);
    ck_bytes(&b, "73696c74667303efcdab8967452301010000");
    quota_encode(&b, &(struct quota_record){QUOTA_FILLING, 17, 300, 2, 77, 1});
    ck_bytes(&b, "0211ac02024d01");
    used_encode(&b, &(struct used){.bytes = 300, .exact = true});
    ck_bytes(&b, "ac0201");
    used_encode(&b, &(struct used){0});
    ck_bytes(&b, "0000");
    seqs_encode(&b, &q);
    ck_bytes(&b, "10ac02");
    buf_release(&b);
}
END_TEST

/* ---- there and back ---- */

static void ck_round(const struct record *r)
{
    struct buf a = {0}, b = {0};
    struct record got;

    record_encode(&a, r);
    ck_ok(record_decode(buf_slice(&a), &got));
    record_encode(&b, &got);
    ck_assert(slice_eq(buf_slice(&a), buf_slice(&b)));
    ck_assert_int_eq(got.mtime.sec, r->mtime.sec);
    ck_assert_uint_eq(got.mtime.nsec, r->mtime.nsec);
    buf_release(&a);
    buf_release(&b);
}

START_TEST(any_two_times_survive)
{
    static const int64_t secs[] = {0, -1, 1, INT64_MIN, INT64_MAX, -2208988800, 1 << 30};
    static const uint32_t nsecs[] = {0, 1, 999999999, 500000000};
    struct record r = file_record();
    unsigned i, j;

    for (i = 0; i < 7 * 4; i++) {
        for (j = 0; j < 7 * 4; j++) {
            r.btime = (struct stamp){secs[i / 4], nsecs[i % 4]};
            r.mtime = (struct stamp){secs[j / 4], nsecs[j % 4]};
            ck_round(&r);
        }
    }
}
END_TEST

START_TEST(a_file_of_the_largest_size_survives)
{
    struct record r = file_record();

    r.file.size = FS_SIZE_MAX;
    ck_round(&r);
    r.file.unwritten = FS_SIZE_MAX - r.file.bytes;
    ck_round(&r);
}
END_TEST

/* ---- what nobody wrote ---- */

static int decode_with(struct record r)
{
    struct buf b = {0};
    struct record got;
    int rc;

    record_encode(&b, &r);
    rc = record_decode(buf_slice(&b), &got);
    buf_release(&b);
    return rc;
}

#define ck_refused(...)                                                                  \
    do {                                                                                 \
        struct record r = file_record();                                                 \
        __VA_ARGS__;                                                                     \
        ck_err(decode_with(r), EUCLEAN);                                                 \
    } while (0)

START_TEST(records_that_cannot_be_are_refused)
{
    ck_ok(decode_with(file_record()));
    ck_refused(r.mode = 0644);
    ck_refused(r.mode = S_IFREG | 0200000);
    for (unsigned bit = 10; bit < 32; bit++)
        ck_refused(r.flags = 1u << bit | REC_TAIL);
    ck_refused(r.flags = REC_TAIL | REC_ACL); /* without XATTR */
    ck_refused(r.flags = REC_TAIL | REC_CAPABILITY);
    ck_refused(r.flags = REC_TAIL | REC_XATTR | REC_DEFAULT_ACL); /* no directory */
    ck_refused({                                                  /* no contents */
                 r = (struct record){.mode = S_IFLNK | 0777, .nlink = 1};
                 r.target = slice_str("a");
                 r.flags = (LSM_LZ4 + 1) << REC_COMPRESSION_SHIFT;
    });
    ck_refused(r.flags = 0); /* a run without a tail */
    ck_refused(r.btime.nsec = 1000000000);
    ck_refused(r.mtime.nsec = 1000000000);
    ck_refused(r.file.size = (uint64_t)FS_SIZE_MAX + 1);
    ck_refused(r.file.bytes = 601);
    ck_refused(r.file.extents = 501);
    ck_refused(r.file.extents = 0);
    ck_refused(r.run_bytes = RUN_BYTES);
    ck_refused(r.run_bytes = 501);
    ck_refused(r.run_count = RUN_COUNT + 1);
    ck_refused(r.run_count = 3);
    ck_refused(r.file.unwritten = (uint64_t)FS_SIZE_MAX - 499);
    ck_refused(r.mode = S_IFDIR | 0755);
    ck_refused({
        r = (struct record){.mode = S_IFDIR, .nlink = 1};
        r.dir.parent = 0;
    });
    ck_refused({
        r = (struct record){.mode = S_IFDIR, .nlink = 1};
        r.dir.parent = 1;
        r.dir.subdirs = 1;
    });
    ck_refused({ r = (struct record){.mode = S_IFLNK, .target = slice_str("")}; });
    ck_refused({ r = (struct record){.mode = S_IFLNK, .target = slice_of("a\0b", 3)}; });
    ck_refused({
        r = (struct record){.mode = S_IFLNK, .target = slice_str("a")};
        r.flags = REC_XATTR | REC_ACL;
    });
}
END_TEST

START_TEST(every_cut_and_every_extra_byte_is_refused)
{
    struct record r = file_record(), got;
    struct buf b = {0};
    struct dentry d;
    size_t i;

    dentry_encode_inode(&b, slice_str("name"), 20, &r);
    ck_ok(dentry_decode(buf_slice(&b), &d));
    for (i = 0; i < b.len; i++)
        ck_err(dentry_decode(slice_of(b.data, i), &d), EUCLEAN);
    put_u8(&b, 0);
    ck_err(dentry_decode(buf_slice(&b), &d), EUCLEAN);
    buf_clear(&b);
    record_encode(&b, &r);
    for (i = 0; i < b.len; i++)
        ck_err(record_decode(slice_of(b.data, i), &got), EUCLEAN);
    buf_release(&b);
}
END_TEST

static int decode_named(const char *name, uint64_t ino, uint32_t type)
{
    struct buf b = {0};
    struct dentry d;
    int rc;

    dentry_encode_ref(&b, slice_str(name), ino, type);
    rc = dentry_decode(buf_slice(&b), &d);
    buf_release(&b);
    return rc;
}

START_TEST(dentries_that_cannot_be_are_refused)
{
    struct record r = file_record();
    struct buf b = {0};
    struct dentry d;

    ck_ok(decode_named("a", 16, S_IFREG));
    ck_err(decode_named("", 16, S_IFREG), EUCLEAN);
    ck_err(decode_named(".", 16, S_IFREG), EUCLEAN);
    ck_err(decode_named("..", 16, S_IFREG), EUCLEAN);
    ck_err(decode_named("a/b", 16, S_IFREG), EUCLEAN);
    ck_err(decode_named("a", 15, S_IFREG), EUCLEAN);
    ck_err(decode_named("a", (uint64_t)1 << 63, S_IFREG), EUCLEAN);
    ck_err(decode_named("a", 16, 0), EUCLEAN);
    r.nlink = 2; /* several links, and embedded */
    dentry_encode_inode(&b, slice_str("a"), 16, &r);
    ck_err(dentry_decode(buf_slice(&b), &d), EUCLEAN);
    buf_clear(&b);
    r = (struct record){.mode = S_IFDIR, .nlink = 1};
    r.dir.parent = 1;
    dentry_encode_inode(&b, slice_str("a"), 16, &r);
    ck_err(dentry_decode(buf_slice(&b), &d), EUCLEAN);
    buf_release(&b);
}
END_TEST

START_TEST(names_are_checked)
{
    char longest[257];

    memset(longest, 'x', sizeof(longest));
    ck_ok(name_check(slice_str("a")));
    ck_ok(name_check(slice_str("...")));
    ck_ok(name_check(slice_str("\xff\n")));
    ck_ok(name_check(slice_of(longest, 255)));
    ck_err(name_check(slice_of(longest, 256)), ENAMETOOLONG);
    ck_err(name_check(slice_str("")), EINVAL);
    ck_err(name_check(slice_str("/")), EINVAL);
    ck_err(name_check(slice_of("a\0", 2)), EINVAL);
    ck_err(name_check(slice_str(".")), EEXIST);
    ck_err(name_check(slice_str("..")), EEXIST);
}
END_TEST

START_TEST(lists_are_bounded)
{
    struct seqs s = {0}, got;
    struct buf b = {0};
    int i;

    ck_err(seqs_decode(slice_of(NULL, 0), &got), EUCLEAN);
    for (i = 0; i < SEQS_MAX; i++)
        ck_ok(seqs_add(&s, 16 + (uint64_t)i));
    ck_err(seqs_add(&s, 99), ENOSPC);
    seqs_encode(&b, &s);
    ck_ok(seqs_decode(buf_slice(&b), &got));
    ck_assert_uint_eq(got.n, SEQS_MAX);
    put_varint(&b, 99);
    ck_err(seqs_decode(buf_slice(&b), &got), EUCLEAN);
    buf_clear(&b);
    put_varint(&b, 15); /* reserved */
    ck_err(seqs_decode(buf_slice(&b), &got), EUCLEAN);
    seqs_remove(&s, 16);
    ck_assert_uint_eq(s.n, SEQS_MAX - 1);
    buf_release(&b);
}
END_TEST

START_TEST(quotas_that_no_encoder_writes_are_refused)
{
    static const struct quota_record right = {QUOTA_REMOVED, 0,         INT64_MAX,
                                              INT64_MAX,     INT64_MAX, INT64_MAX};
    struct quota_record q;
    struct record r = {.mode = S_IFREG | 0644, .nlink = 1};
    struct dentry d;
    struct buf b = {0};
    bool exact;

    quota_encode(&b, &right);
    ck_ok(quota_decode(buf_slice(&b), &q));
    ck_assert_int_eq(memcmp(&q.outer, &right.outer, sizeof(q) - 8), 0);
    ck_err(quota_decode(slice_of(b.data, b.len - 1), &q), EUCLEAN);
    buf_clear(&b);
    ck_err(quota_decode(slice_of("\0\0\0\0\0\0", 6), &q), EUCLEAN);
    ck_err(quota_decode(slice_of("\5\0\0\0\0\0", 6), &q), EUCLEAN);
    ck_err(quota_decode(slice_of("\1\2\0\0\0\0", 6), &q), EUCLEAN); /* no such tree */
    ck_ok(quota_decode(slice_of("\1\1\0\0\0\0", 6), &q));
    ck_err(quota_decode(slice_of("\1\1\0\0\0\0\0", 7), &q), EUCLEAN);
    ck_err(exact_decode(slice_of("\2", 1), &exact), EUCLEAN);
    ck_ok(exact_decode(slice_of("\1", 1), &exact));
    /* An embedded inode says no tree. */
    buf_append(&b, "\1\1a\20", 4);
    record_encode_tree(&b, &r, 17);
    ck_err(dentry_decode(buf_slice(&b), &d), EUCLEAN);
    buf_clear(&b);
    record_encode_tree(&b, &r, 3); /* a reserved number */
    ck_err(record_decode(buf_slice(&b), &r), EUCLEAN);
    buf_release(&b);
}
END_TEST

START_TEST(a_newer_superblock_is_not_damage)
{
    struct super s;

    ck_err(super_decode(slice_str("siltfs\x04whatever"), &s), EPROTONOSUPPORT);
    ck_err(super_decode(slice_str("siltfs"), &s), EUCLEAN);
    ck_err(super_decode(slice_str("sealfs\x01"), &s), EUCLEAN);
    ck_err(super_decode(slice_of("siltfs\0", 7), &s), EUCLEAN);
    /* The second version has a limit, or it would be the first. */
    ck_err(super_decode(slice_of("siltfs\2hashseed\1\0\0", 18), &s), EUCLEAN);
    ck_err(super_decode(slice_of("siltfs\2hashseed\1", 16), &s), EUCLEAN);
    ck_ok(super_decode(slice_of("siltfs\2hashseed\1\0\1", 18), &s));
    ck_assert_uint_eq(s.limit_inodes, 1);
    ck_err(super_decode(slice_of("siltfs\1hashseed\1\0\1", 18), &s), EUCLEAN);
}
END_TEST

/* A copy in memory of its own, so that the sanitizer sees a step beyond its end. */
static void fuzz_once(struct slice s)
{
    uint8_t *copy = malloc(s.len ? s.len : 1);

    if (s.len)
        memcpy(copy, s.data, s.len);
    LLVMFuzzerTestOneInput(copy, s.len);
    free(copy);
}

static void fuzz_mutations(struct buf *b, uint64_t *rnd)
{
    int i;

    for (i = 0; i < 20000; i++) {
        struct buf m = {0};
        unsigned n = 1 + (unsigned)test_below(rnd, 3);

        buf_append_slice(&m, buf_slice(b));
        while (n--)
            m.data[test_below(rnd, m.len)] ^= (uint8_t)(1 << test_below(rnd, 8));
        if (test_below(rnd, 4) == 0)
            m.len = test_below(rnd, m.len);
        fuzz_once(buf_slice(&m));
        buf_release(&m);
    }
    buf_clear(b);
}

START_TEST(mutated_records_do_no_harm)
{
    struct record r = file_record();
    struct super s = {.hash_seed = 7, .root = 1};
    struct acl acl = {5,
                      {{ACL_USER_OBJ, 7, ACL_NO_ID},
                       {ACL_USER, 5, 1000},
                       {ACL_GROUP_OBJ, 5, ACL_NO_ID},
                       {ACL_MASK, 7, ACL_NO_ID},
                       {ACL_OTHER, 4, ACL_NO_ID}}};
    struct buf b = {0};
    uint64_t rnd = test_seed();

    record_encode(&b, &r);
    fuzz_mutations(&b, &rnd);
    dentry_encode_inode(&b, slice_str("name"), 1000, &r);
    fuzz_mutations(&b, &rnd);
    dentry_encode_ref(&b, slice_str("name"), 1000, S_IFDIR);
    fuzz_mutations(&b, &rnd);
    r = (struct record){.mode = S_IFLNK | 0777, .nlink = 1, .target = slice_str("a/b")};
    record_encode(&b, &r);
    fuzz_mutations(&b, &rnd);
    r = (struct record){.mode = S_IFDIR | 0755, .nlink = 1};
    r.dir.parent = 77;
    r.dir.entries = 1000;
    record_encode(&b, &r);
    fuzz_mutations(&b, &rnd);
    super_encode(&b, &s);
    fuzz_mutations(&b, &rnd);
    s.limit_bytes = 1 << 30;
    super_encode(&b, &s);
    fuzz_mutations(&b, &rnd);
    record_encode_tree(&b, &r, 1000);
    fuzz_mutations(&b, &rnd);
    quota_encode(&b, &(struct quota_record){QUOTA_READY, 17, 300, 2, 77, 1});
    fuzz_mutations(&b, &rnd);
    used_encode(&b, &(struct used){.bytes = 1 << 20, .exact = true});
    fuzz_mutations(&b, &rnd);
    acl_encode(&b, &acl);
    fuzz_mutations(&b, &rnd);
    buf_release(&b);
}
END_TEST

TEST_MAIN("fs_record", TEST_CASE(golden_keys), TEST_CASE(golden_name_hash),
          TEST_CASE(golden_inodes), TEST_CASE(golden_dentries),
          TEST_CASE(golden_super_counters_and_lists), TEST_CASE(any_two_times_survive),
          TEST_CASE(a_file_of_the_largest_size_survives),
          TEST_CASE(records_that_cannot_be_are_refused),
          TEST_CASE(every_cut_and_every_extra_byte_is_refused),
          TEST_CASE(dentries_that_cannot_be_are_refused), TEST_CASE(names_are_checked),
          TEST_CASE(lists_are_bounded), TEST_CASE(a_newer_superblock_is_not_damage),
          TEST_CASE(quotas_that_no_encoder_writes_are_refused),
          TEST_CASE(mutated_records_do_no_harm))
