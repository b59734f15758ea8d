/*
 * test_fs_hostile.c - stores that nobody would make by accident: well-formed records of
 * every kind with numbers drawn from a few, so that everything is in the way of
 * everything else. fs_check comes to an end, fs_repair makes a tree of it that fs_check
 * finds nothing wrong with, and that can be listed, read, and written to.
 */
#include <stdlib.h>

#include "fs_dump.h"
#include "fs_harm.h"
#include "fs_tree.h"
#include "test_fs.h"

enum { RECORDS_MAX = 250 };

static uint64_t rnd;
static unsigned numbers; /* to draw from */
static struct harm h;

static unsigned below(unsigned n)
{
    return (unsigned)test_below(&rnd, n);
}

static uint64_t any_number(void)
{
    if (below(200) == 0)
        return INO_MAX - below(3);
    return below(8) ? INO_FIRST + below(numbers) : FS_ROOT;
}

static uint64_t any_ino(void)
{
    return INO_FIRST + below(numbers);
}

static struct slice any_name(void)
{
    static const char *const names[] = {"a",          "b",   "c",   "d",
                                        "lost+found", "#16", "#17", "x\n"};

    return slice_str(names[below(8)]);
}

static uint32_t any_type(void)
{
    static const uint32_t types[] = {S_IFREG, S_IFREG, S_IFREG,  S_IFDIR, S_IFDIR,
                                     S_IFLNK, S_IFCHR, S_IFSOCK, S_IFIFO, S_IFBLK};

    return types[below(10)];
}

/* ---- records ---- */

static void any_file(struct record *rec)
{
    rec->file.size = below(20);
    rec->file.bytes = below((unsigned)rec->file.size + 1);
    rec->file.extents = rec->file.bytes ? 1 + below((unsigned)rec->file.bytes) : 0;
    rec->file.unwritten = below(3) ? 0 : 1 + below(10);
    if (rec->file.extents && below(2))
        rec->flags |= REC_TAIL;
    if ((rec->flags & REC_TAIL) && below(2)) {
        rec->run_count = (uint16_t)(1 + below((unsigned)rec->file.extents));
        rec->run_bytes = (uint16_t)rec->file.bytes;
    }
}

static struct record any_record(uint32_t type)
{
    struct record rec = {.mode = type | below(01000), .nlink = below(4)};

    if (below(4) == 0)
        rec.flags = REC_XATTR | (below(2) && type != S_IFLNK ? REC_ACL : 0) |
                    (below(2) && type == S_IFDIR ? REC_DEFAULT_ACL : 0);
    if (type == S_IFREG) {
        any_file(&rec);
    } else if (type == S_IFDIR) {
        rec.nlink = below(2);
        rec.dir.parent = any_number();
        rec.dir.entries = below(5);
        rec.dir.subdirs = below((unsigned)rec.dir.entries + 1);
    } else if (type == S_IFLNK) {
        rec.target = slice_str("target");
    }
    return rec;
}

static void put_entry(void)
{
    uint64_t dir = any_number(), seq = any_ino();
    struct slice name = any_name();
    uint32_t type = any_type();
    struct record rec;
    char text[32];

    if (below(2) || type == S_IFDIR) {
        snprintf(text, sizeof(text), "%.*s", (int)name.len, (const char *)name.data);
        harm_put_ref(&h, dir, seq, text, below(2) ? seq : any_ino(), type);
    } else {
        rec = any_record(type);
        rec.nlink = 1;
        harm_put_embedded(&h, dir, seq, name, below(2) ? seq : any_ino(), &rec);
    }
    if (below(2)) {
        snprintf(text, sizeof(text), "%.*s", (int)name.len, (const char *)name.data);
        harm_index(&h, dir, text, seq);
    }
}

static void put_list(void)
{
    struct seqs seqs = {.n = 1 + below(5)};
    struct buf b = {0};
    struct key k;
    unsigned i;

    for (i = 0; i < seqs.n; i++)
        seqs.seq[i] = any_ino();
    seqs_encode(&b, &seqs);
    ck_ok(lsm_put(h.db, key_names(&k, any_number(), name_hash(h.seed, any_name())),
                  buf_slice(&b)));
    buf_release(&b);
}

static void put_xattr(void)
{
    static const uint8_t acl[] = {2,   0,   0, 0, 1,   0,   7,   0,   255, 255,
                                  255, 255, 4, 0, 5,   0,   255, 255, 255, 255,
                                  32,  0,   4, 0, 255, 255, 255, 255};
    static const char *const names[] = {"user.a", "security.capability",
                                        "system.posix_acl_access",
                                        "system.posix_acl_default"};

    harm_put_xattr(&h, any_number(), names[below(4)],
                   slice_of(acl, below(2) ? 28 : below(29)));
}

static void put_any(void)
{
    struct record rec;
    struct key k;

    switch (below(9)) {
    case 0:
    case 1:
        rec = any_record(any_type());
        harm_put_inode(&h, any_number(), &rec);
        break;
    case 2:
    case 3:
    case 4:
        put_entry();
        break;
    case 5:
        harm_put_extent(&h, any_number(), below(25), &"0123456789"[below(10)]);
        break;
    case 6:
        if (below(2))
            harm_put_unwritten(&h, any_number(), below(25), below(12));
        else
            harm_put(&h, key_orphan(&k, any_number()), "");
        break;
    case 7:
        put_list();
        break;
    default:
        put_xattr();
    }
}

/* ---- the rounds ---- */

static void ck_usable(struct tree *t)
{
    static const struct fs_cred cred;
    struct fs_options o;
    struct fs_attr a;
    struct fs *fs;
    uint64_t n;

    fs_options_init(&o);
    o.writeback_ms = 0;
    ck_ok(fs_mount(t->db, &o, &fs));
    ck_ok(fs_mknod(fs, &cred, FS_ROOT, "new", S_IFREG | 0644, 0, &a));
    ck_ok(fs_write(fs, a.st.st_ino, 0, slice_str("new"), false));
    ck_ok(fs_unmount(fs));
    ck_ok(fs_check(t->db, rig_line, NULL, &n));
    ck_assert_uint_eq(n, 0);
}

static void one_round(uint64_t seed)
{
    static const struct fs_repair_options o;
    struct fs_repair_result result;
    struct tree t = {0};
    struct dump d;
    unsigned i, records;
    uint64_t n;

    rnd = seed;
    numbers = 2 + below(30);
    records = below(RECORDS_MAX);
    name_hash_mask = below(2) ? UINT64_MAX : 1;
    t.env = env_mem_new(seed);
    t.db = tree_open(t.env);
    ck_ok(fs_format(t.db, 0, 0, 0755, NULL));
    harm_begin(&h, t.db);
    for (i = 0; i < records; i++)
        put_any();
    harm_end(&h);
    ck_ok(fs_check(t.db, NULL, NULL, &n));
    ck_ok(fs_repair(t.db, &o, NULL, NULL, &result));
    ck_assert_uint_eq(result.left, 0);
    ck_ok(fs_check(t.db, rig_line, NULL, &n));
    ck_assert_uint_eq(n, 0);
    tree_dump(&t, &d);
    dump_release(&d);
    ck_usable(&t);
    tree_close(&t);
}

START_TEST(whatever_a_store_holds_a_repair_makes_a_tree_of_it)
{
    struct soak s;

    test_log_capture();
    for (soak_begin_for(&s, SOAK_SANITIZED ? 1 : 2); soak_on(&s); s.operations++)
        one_round(soak_seed(&s));
    soak_end(&s);
}
END_TEST

TEST_MAIN("fs_hostile",
          TEST_CASE_SOAK(whatever_a_store_holds_a_repair_makes_a_tree_of_it))
