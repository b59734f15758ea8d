/*
 * fuzz_record.c - any bytes as the filesystem's keys and values: no decoder may
 * leave its bounds, and what one accepts, encoded again, decodes to the same.
 *
 *   clang -fsanitize=fuzzer,address,undefined -I. -D_GNU_SOURCE tests/fuzz_record.c \
 *     fs/record.c fs/keys.c fs/acl.c lsm/buf.c lsm/coding.c -lxxhash
 *
 * test_fs_record.c runs it on mutations of sound records.
 */
#include <stdlib.h>

#include "fs/acl.h"
#include "fs/keys.h"
#include "fs/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                            \
    do {                                                                                 \
        if (!(condition))                                                                \
            abort();                                                                     \
    } while (0)

/* Two encodings, the second of what the first decoded to. */
struct twice {
    struct buf a, b;
};

static void same(struct twice *t)
{
    FUZZ_CHECK(!buf_error(&t->a) && !buf_error(&t->b));
    FUZZ_CHECK(slice_eq(buf_slice(&t->a), buf_slice(&t->b)));
    buf_clear(&t->a);
    buf_clear(&t->b);
}

static void fuzz_inode(struct slice in, struct twice *t)
{
    struct record r;
    uint64_t tree;

    if (record_decode_tree(in, &r, &tree))
        return;
    record_encode_tree(&t->a, &r, tree);
    FUZZ_CHECK(t->a.len <= in.len); /* ours are the shortest */
    FUZZ_CHECK(record_decode_tree(buf_slice(&t->a), &r, &tree) == 0);
    record_encode_tree(&t->b, &r, tree);
    same(t);
}

static void put_dentry(struct buf *b, const struct dentry *d)
{
    if (d->embedded)
        dentry_encode_inode(b, d->name, d->ino, &d->rec);
    else
        dentry_encode_ref(b, d->name, d->ino, d->type);
}

static void fuzz_dentry(struct slice in, struct twice *t)
{
    struct dentry d;

    if (dentry_decode(in, &d))
        return;
    FUZZ_CHECK(name_check(d.name) == 0);
    put_dentry(&t->a, &d);
    FUZZ_CHECK(dentry_decode(buf_slice(&t->a), &d) == 0);
    put_dentry(&t->b, &d);
    same(t);
}

static void fuzz_rest(struct slice in, struct twice *t)
{
    struct seqs seqs;
    struct super super;
    struct used used;
    struct quota_record quota;
    uint64_t v;
    bool exact;

    if (seqs_decode(in, &seqs) == 0) {
        FUZZ_CHECK(seqs.n > 0 && seqs.n <= SEQS_MAX);
        seqs_encode(&t->a, &seqs);
        FUZZ_CHECK(seqs_decode(buf_slice(&t->a), &seqs) == 0);
        seqs_encode(&t->b, &seqs);
        same(t);
    }
    if (super_decode(in, &super) == 0) {
        super_encode(&t->a, &super);
        FUZZ_CHECK(super_decode(buf_slice(&t->a), &super) == 0);
        super_encode(&t->b, &super);
        same(t);
    }
    if (used_decode(in, &used) == 0) {
        used_encode(&t->a, &used);
        FUZZ_CHECK(used_decode(buf_slice(&t->a), &used) == 0);
        used_encode(&t->b, &used);
        same(t);
    }
    if (quota_decode(in, &quota) == 0) {
        quota_encode(&t->a, &quota);
        FUZZ_CHECK(quota_decode(buf_slice(&t->a), &quota) == 0);
        quota_encode(&t->b, &quota);
        same(t);
    }
    (void)exact_decode(in, &exact);
    if (counter_decode(in, &v) == 0)
        FUZZ_CHECK(v <= INO_MAX);
}

static void fuzz_acl(struct slice in, struct twice *t)
{
    uint32_t mode = 0100750;
    struct acl a, b;

    if (acl_decode(in, &a) || !a.n)
        return;
    acl_encode(&t->a, &a);
    FUZZ_CHECK(acl_decode(buf_slice(&t->a), &b) == 0);
    acl_encode(&t->b, &b);
    same(t);
    acl_create(&b, &mode);
    FUZZ_CHECK(acl_mode(&b, mode) == mode && (mode & ~0100750u) == 0);
    acl_encode(&t->a, &b);
    FUZZ_CHECK(acl_decode(buf_slice(&t->a), &a) == 0);
    buf_clear(&t->a);
}

static void fuzz_keys(struct slice in)
{
    static const enum key_letter letters[] = {KEY_DENTRY,    KEY_EXTENT, KEY_INODE,
                                              KEY_NAMES,     KEY_ORPHAN, KEY_QUOTA,
                                              KEY_UNWRITTEN, KEY_XATTR};
    struct xattr_key x;
    struct slice name;
    struct key k;
    uint64_t a, b;
    unsigned i;

    for (i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
        if (key_parse_one(in, letters[i], &a))
            FUZZ_CHECK(slice_eq(in, key_one(&k, letters[i], a)));
        if (key_parse_two(in, letters[i], &a, &b))
            FUZZ_CHECK(slice_eq(in, key_two(&k, letters[i], a, b)));
    }
    if (key_parse_xattr(in, &a, &name))
        FUZZ_CHECK(slice_eq(in, key_xattr(&x, a, name)));
    (void)name_hash(1, in);
    (void)name_check(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct twice t = {{0}, {0}};

    fuzz_inode(in, &t);
    fuzz_dentry(in, &t);
    fuzz_rest(in, &t);
    fuzz_acl(in, &t);
    fuzz_keys(in);
    buf_release(&t.a);
    buf_release(&t.b);
    return 0;
}
