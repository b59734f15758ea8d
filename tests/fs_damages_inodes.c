/*
 * fs_damages_inodes.c - see fs_damages.h: contents, attributes, records and keys that
 * make no sense.
 */
#include "fs_damages.h"

#include "fs_tree.h"
#include "test.h"

static struct key key;
static struct xattr_key xattr_key;

/* ---- contents ---- */

static void extents_of_nothing(struct harm *h)
{
    harm_put_extent(h, 99, 5, "hello");
}

static void extents_of_dir(struct harm *h)
{
    harm_put_extent(h, T_DIR, 5, "hello");
}

static void overlap(struct harm *h)
{
    harm_put_extent(h, T_BIG, 1000, "over");
}

static void beyond(struct harm *h)
{
    harm_put_extent(h, T_LINKED, 1000, "beyond");
}

static void across_the_end(struct harm *h)
{
    harm_drop(h, key_extent(&key, T_LINKED, 9));
    harm_put_extent(h, T_LINKED, 12, "contents g..");
}

static void extent_too_long(struct harm *h)
{
    harm_put_extent(h, T_LINKED, 3, "not three");
}

static void missing_extent(struct harm *h)
{
    harm_drop(h, key_extent(&key, T_BIG, FS_EXTENT_MAX));
}

static void more_extents(struct record *rec)
{
    rec->file.extents++;
}

static void wrong_sums(struct harm *h)
{
    harm_inode(h, T_LINKED, more_extents);
}

static void longer(struct record *rec)
{
    rec->file.size += 10;
}

static void wrong_tail(struct harm *h)
{
    harm_embedded(h, FS_ROOT, T_BIG, longer);
}

static void shorter_run(struct record *rec)
{
    ck_assert_uint_eq(rec->run_count, 2);
    rec->run_count = 1;
}

static void wrong_run(struct harm *h)
{
    harm_embedded(h, FS_ROOT, T_FILE, shorter_run);
}

static void contents_of_lost_entry(struct harm *h)
{
    harm_remove_name(h, FS_ROOT, T_FILE);
}

/* ---- unwritten ranges ---- */

static void unwritten_overlap(struct harm *h)
{
    harm_put_unwritten(h, T_SET, 900000, 850000);
}

static void unwritten_on_extent(struct harm *h)
{
    harm_put_unwritten(h, T_LINKED, 9, 9);
}

static void unwritten_garbled(struct harm *h)
{
    harm_put_unwritten(h, T_LINKED, 100, 101);
}

static void unwritten_missing(struct harm *h)
{
    harm_drop(h, key_unwritten(&key, T_SET, 100000));
}

static void unwritten_more(struct harm *h)
{
    harm_put_unwritten(h, T_SET, 300000, 1000);
}

static void unwritten_of_nothing(struct harm *h)
{
    harm_put_unwritten(h, 99, 100, 100);
}

static void unwritten_of_dir(struct harm *h)
{
    harm_put_unwritten(h, T_DIR, 100, 100);
}

/* ---- attributes ---- */

static void xattr_of_nothing(struct harm *h)
{
    harm_put_xattr(h, 99, "user.a", slice_str("1"));
}

static void unflagged_xattr(struct harm *h)
{
    harm_put_xattr(h, T_LINKED, "user.a", slice_str("1"));
}

static void flag_without_xattr(struct harm *h)
{
    harm_drop(h, key_xattr(&xattr_key, T_FILE, slice_str("user.a")));
}

static void huge_xattr(struct harm *h)
{
    static char value[FS_XATTR_SIZE_MAX + 1];

    harm_put_xattr(h, T_FILE, "user.b", slice_of(value, sizeof(value)));
}

static void other_mode(struct record *rec)
{
    rec->mode = (rec->mode & ~(uint32_t)0777) | 0700;
}

static void acl_and_mode(struct harm *h)
{
    harm_inode(h, T_ACL, other_mode);
}

static void garbled_acl(struct harm *h)
{
    harm_put_xattr(h, T_ACL, "system.posix_acl_access", slice_str("?"));
}

static void garbled_default_acl(struct harm *h)
{
    harm_put_xattr(h, T_ACL, "system.posix_acl_default", slice_str(""));
}

static void default_acl_of_file(struct harm *h)
{
    harm_put_xattr(h, T_FILE, "system.posix_acl_default", slice_str("?"));
}

/* ---- records and keys that make no sense ---- */

static void garbled_dir(struct harm *h)
{
    harm_put(h, key_inode(&key, T_DIR), "?");
}

static void garbled_file(struct harm *h)
{
    harm_put(h, key_inode(&key, T_LINKED), "?");
}

static void lost_dir_record(struct harm *h)
{
    harm_drop(h, key_inode(&key, T_DIR));
}

static void lost_empty_dir_record(struct harm *h)
{
    harm_drop(h, key_inode(&key, T_HOLLOW));
}

static void lost_root(struct harm *h)
{
    harm_drop(h, key_inode(&key, FS_ROOT));
}

static void root_is_no_dir(struct harm *h)
{
    struct record rec = harm_get_inode(h, T_LINKED);

    harm_put_inode(h, FS_ROOT, &rec);
}

static void garbled_super(struct harm *h)
{
    harm_put(h, key_super(), "?");
}

static void lost_super(struct harm *h)
{
    harm_drop(h, key_super());
}

static void garbled_counter(struct harm *h)
{
    harm_put(h, key_next(), "\xff");
}

static void low_counter(struct harm *h)
{
    harm_put_counter(h, key_next(), 17);
}

static void garbled_count(struct harm *h)
{
    harm_put(h, key_count(), "");
}

static void garbled_used(struct harm *h)
{
    harm_put(h, key_used(), "?");
}

static void put_used(struct harm *h, uint64_t bytes)
{
    struct used used = {.bytes = bytes, .exact = true};
    struct buf b = {0};

    used_encode(&b, &used);
    ck_ok(lsm_put(h->db, key_used(), buf_slice(&b)));
    buf_release(&b);
}

static void wrong_used(struct harm *h)
{
    put_used(h, 1234567);
}

static void wrong_count(struct harm *h)
{
    harm_put_counter(h, key_count(), 7);
}

static void strange_keys(struct harm *h)
{
    harm_put(h, slice_str(""), "empty");
    harm_put(h, slice_str("P?"), "");
    harm_put(h, slice_str("\x7f"), "");
    harm_put(h, slice_str("Sword"), "");
    harm_put(h, slice_str("D1"), "");
    harm_put(h, slice_str("I1"), "");
}

static void more_strange_keys(struct harm *h)
{
    harm_put(h, slice_str("E1"), "");
    harm_put(h, slice_str("N1"), "");
    harm_put(h, slice_str("O1"), "");
    harm_put(h, slice_str("U1"), "");
    harm_put(h, slice_str("X1"), "");
    harm_put(h, key_inode(&key, 5), "");
}

/* clang-format off */
const struct damage damages_of_inodes[] = {
    {.name = "extents_of_nothing", .harm = extents_of_nothing,
     .says = {"inode 99: its record is missing, but there are contents of it"},
     .made = " /lost+found/#99"},
    {.name = "extents_of_dir", .harm = extents_of_dir,
     .says = {"inode 16 (/d): no file, but has 1 extents"}},
    {.name = "extents_overlap", .harm = overlap,
     .says = {"inode 25 (/big): two extents overlap in 4 bytes before 131072",
              "inode 25 (/big): says 300000 bytes of contents in 3 extents, but has 300000 in 5"},
     .touched = " /big"},
    {.name = "extents_beyond", .harm = beyond,
     .says = {"inode 20 (/g): says that it is 9 bytes long, but has contents up to 1000",
              "inode 20 (/g): says 9 bytes of contents in 1 extents, but has 15 in 2",
              "inode 20 (/g): its run of small extents is another"},
     .touched = " /g /d/g2"},
    {.name = "extents_across", .harm = across_the_end,
     .says = {"inode 20 (/g): says that it is 9 bytes long, but has contents up to 12",
              "inode 20 (/g): says 9 bytes of contents in 1 extents, but has 12 in 1",
              "inode 20 (/g): its run of small extents is another"},
     .touched = " /g /d/g2"},
    {.name = "extent_long", .harm = extent_too_long,
     .says = {"inode 20 (/g): an extent of 9 bytes, which cannot end at 3"}},
    {.name = "extent_missing", .harm = missing_extent,
     .says = {"inode 25 (/big): says 300000 bytes of contents in 3 extents, but has 168928 in 2"},
     .touched = " /big"},
    {.name = "sums", .harm = wrong_sums,
     .says = {"inode 20 (/g): says 9 bytes of contents in 2 extents, but has 9 in 1"}},
    {.name = "tail", .harm = wrong_tail,
     .says = {"inode 25 (/big): its last extent does not end with it"},
     .touched = " /big"},
    {.name = "run", .harm = wrong_run,
     .says = {"inode 19 (/f): its run of small extents is another"}},
    {.name = "contents_nameless", .harm = contents_of_lost_entry,
     .says = {"inode 19: its record is missing, but there are contents of it"},
     .touched = " /f",
     .made = " /lost+found/#19"},

    {.name = "unwritten_overlap", .harm = unwritten_overlap,
     .says = {"inode 26 (/set): the unwritten range before 900000 overlaps another"}},
    {.name = "unwritten_full", .harm = unwritten_on_extent,
     .says = {"inode 20 (/g): the unwritten range before 9 has contents"}},
    {.name = "unwritten_garbled", .harm = unwritten_garbled,
     .says = {"inode 20 (/g): the unwritten range before 100 makes no sense"}},
    {.name = "unwritten_missing", .harm = unwritten_missing,
     .says = {"inode 26 (/set): says 100000 bytes of unwritten ranges, but has 0"},
     .touched = " /set"},
    {.name = "unwritten_more", .harm = unwritten_more,
     .says = {"inode 26 (/set): says 100000 bytes of unwritten ranges, but has 101000"},
     .touched = " /set"},
    {.name = "unwritten_of_nothing", .harm = unwritten_of_nothing,
     .says = {"inode 99: does not exist, but there is an unwritten range of it (1)"}},
    {.name = "unwritten_of_dir", .harm = unwritten_of_dir,
     .says = {"inode 16 (/d): no file, but has 1 unwritten ranges"}},

    {.name = "xattr_of_nothing", .harm = xattr_of_nothing,
     .says = {"inode 99: does not exist, but there is an attribute of it (1)"}},
    {.name = "xattr_unflagged", .harm = unflagged_xattr,
     .says = {"inode 20 (/g): has attributes, but says that it has none"},
     .touched = " /g /d/g2"},
    {.name = "xattr_missing", .harm = flag_without_xattr,
     .says = {"inode 19 (/f): says that it has attributes, but has none"},
     .touched = " /f"},
    {.name = "xattr_huge", .harm = huge_xattr,
     .says = {"inode 19 (/f): its attribute user.b has 65537 bytes"}},
    {.name = "acl_mode", .harm = acl_and_mode,
     .says = {"inode 27 (/acl): its ACL says mode 770, not 700"},
     .touched = " /acl"},
    {.name = "acl_garbled", .harm = garbled_acl,
     .says = {"inode 27 (/acl): its access ACL makes no sense"},
     .touched = " /acl"},
    {.name = "acl_default", .harm = garbled_default_acl,
     .says = {"inode 27 (/acl): its default ACL makes no sense"},
     .touched = " /acl"},
    {.name = "acl_of_file", .harm = default_acl_of_file,
     .says = {"inode 19 (/f): its default ACL makes no sense"}},

    {.name = "dir_garbled", .harm = garbled_dir,
     .says = {"inode 16: its record makes no sense",
              "inode 16: its record is missing, but there is a directory of it"},
     .touched = " /d"},
    {.name = "file_garbled", .harm = garbled_file,
     .says = {"inode 20: its record makes no sense",
              "inode 20: its record is missing, but there are a name and contents of it"},
     .touched = " /g /d/g2"},
    {.name = "dir_recordless", .harm = lost_dir_record,
     .says = {"inode 16: its record is missing, but there is a directory of it"},
     .touched = " /d"},
    {.name = "dir_recordless_empty", .harm = lost_empty_dir_record,
     .says = {"inode 34: its record is missing, but there is a directory of it"},
     .touched = " /hollow"},
    {.name = "root_lost", .harm = lost_root,
     .says = {"inode 1 (/): its record is missing, but there is a directory of it"},
     .touched = " /"},
    {.name = "root_no_dir", .harm = root_is_no_dir,
     .says = {"inode 1: it is the root, but no directory",
              "inode 1 (/): its record is missing, but there is a directory of it"},
     .touched = " /"},
    {.name = "super_garbled", .harm = garbled_super,
     .says = {"the superblock is damaged"}},
    {.name = "super_lost", .harm = lost_super,
     .says = {"the superblock is missing"}},
    {.name = "next_garbled", .harm = garbled_counter,
     .says = {"the counter of numbers is missing or damaged"}},
    {.name = "next_low", .harm = low_counter,
     .says = {"the counter is at 17, but 35 is in use"}},
    {.name = "count_garbled", .harm = garbled_count,
     .says = {"the count of inodes is missing or damaged"}},
    {.name = "count_wrong", .harm = wrong_count,
     .says = {"the count of inodes, which should be exact, is 7, not 20"}},
    {.name = "used_garbled", .harm = garbled_used,
     .says = {"the record of what is used is missing or damaged"}},
    {.name = "used_wrong", .harm = wrong_used,
     .says = {"the bytes used, which should be exact, are 1234567, not 419894"}},
    {.name = "keys", .harm = strange_keys,
     .says = {"a key of unknown kind: ",
              "a key of unknown kind: P?",
              "a key of unknown kind: \\x7f",
              "a bad key of the superblock: Sword",
              "a bad key of an entry: D1",
              "a bad key of an inode: I1"}},
    {.name = "keys_too", .harm = more_strange_keys,
     .says = {"a bad key of an extent: E1",
              "a bad key of a name list: N1",
              "a bad key of an orphan: O1",
              "a bad key of an unwritten range: U1",
              "a bad key of an attribute: X1",
              "a bad key of an inode: I\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x05"}},
    {.name = NULL},
};
/* clang-format on */
