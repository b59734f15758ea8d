/*
 * test_fs_repair.c - each kind of damage, one at a time: what fs_check says about it,
 * word for word; that fs_repair mends it; that what it did not touch is as before.
 *
 * A small tree with all that there is (tree.h) is made once; each case takes a copy of
 * the disk. CASE=name runs one.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "fs_dump.h"
#include "fs_harm.h"
#include "fs_tree.h"
#include "test_fs.h"

enum { LINES = 6 };

struct damage {
    const char *name;
    void (*harm)(struct harm *h);
    const char *says[LINES]; /* all of it, in any order */
    const char *touched;     /* " /a /b": paths that may be others, or gone */
    const char *made;        /* " /a /b": paths that are new; lost+found goes without */
};

static struct key key;
static struct xattr_key xattr_key;

/* ---- links, orphans ---- */

static void three_links(struct record *rec)
{
    rec->nlink = 3;
}

static void wrong_links(struct harm *h)
{
    harm_inode(h, T_LINKED, three_links);
}

static void unnoted_orphan(struct harm *h)
{
    harm_drop(h, key_orphan(&key, T_ORPHAN));
}

static void named_orphan(struct harm *h)
{
    harm_put(h, key_orphan(&key, T_LINKED), "");
}

static void embedded_orphan(struct harm *h)
{
    harm_put(h, key_orphan(&key, T_FILE), "");
}

static void orphan_of_nothing(struct harm *h)
{
    harm_put(h, key_orphan(&key, 99), "");
}

static void talkative_orphan(struct harm *h)
{
    harm_put(h, key_orphan(&key, T_ORPHAN), "x");
}

static void orphan_without_record(struct harm *h)
{
    harm_drop(h, key_inode(&key, T_ORPHAN));
}

static void one_link(struct record *rec)
{
    rec->nlink = 1;
}

static void orphan_with_links(struct harm *h)
{
    harm_inode(h, T_ORPHAN, one_link);
}

static void nameless_file(struct harm *h)
{
    harm_remove_name(h, FS_ROOT, T_LINKED);
    harm_remove_name(h, T_DIR, T_LINK);
}

/* ---- directories ---- */

static void more_entries(struct harm *h)
{
    harm_counts(h, T_DIR, 1, 0);
}

static void fewer_subdirs(struct harm *h)
{
    harm_counts(h, T_DIR, 0, -1);
}

static void in_root(struct record *rec)
{
    rec->dir.parent = FS_ROOT;
}

static void wrong_parent(struct harm *h)
{
    harm_inode(h, T_SUB, in_root);
}

static void root_elsewhere(struct record *rec)
{
    rec->dir.parent = T_DIR;
}

static void wrong_parent_of_root(struct harm *h)
{
    harm_inode(h, FS_ROOT, root_elsewhere);
}

static void no_links(struct record *rec)
{
    rec->nlink = 0;
}

static void dir_without_links(struct harm *h)
{
    harm_inode(h, T_SUB, no_links);
}

static void nameless_dir(struct harm *h)
{
    harm_remove_name(h, T_DIR, T_SUB);
}

static void second_name_of_dir(struct harm *h)
{
    harm_add_name(h, FS_ROOT, T_FREE, "sub2", T_SUB, S_IFDIR);
}

static void in_sub(struct record *rec)
{
    rec->dir.parent = T_SUB;
}

static void circle(struct harm *h)
{
    harm_remove_name(h, FS_ROOT, T_DIR);
    harm_inode(h, T_DIR, in_sub);
    harm_add_name(h, T_SUB, T_DIR, "loop", T_DIR, S_IFDIR);
}

static void in_itself(struct harm *h)
{
    harm_remove_name(h, T_DIR, T_SUB);
    harm_inode(h, T_SUB, in_sub);
    harm_add_name(h, T_SUB, T_SUB, "self", T_SUB, S_IFDIR);
}

static void dir_under_wrong_number(struct harm *h)
{
    harm_remove_name(h, T_DIR, T_SUB);
    harm_add_name(h, T_DIR, T_FREE, "sub", T_SUB, S_IFDIR);
}

static void entry_in_file(struct harm *h)
{
    struct dentry d = harm_get_dentry(h, FS_ROOT, T_EMPTY);

    harm_put_embedded(h, T_LINKED, T_FREE, slice_str("x"), T_FREE, &d.rec);
}

/* ---- entries ---- */

static void dangling(struct harm *h)
{
    harm_add_name(h, FS_ROOT, T_FREE, "ghost", 99, S_IFREG);
}

static void wrong_type(struct harm *h)
{
    harm_put_ref(h, T_DIR, T_LINK, "g2", T_LINKED, S_IFIFO);
}

static void dir_called_a_file(struct harm *h)
{
    harm_put_ref(h, T_DIR, T_SUB, "sub", T_SUB, S_IFREG);
}

static void two_records(struct harm *h)
{
    struct dentry d = harm_get_dentry(h, FS_ROOT, T_FILE);

    harm_put_inode(h, T_FILE, &d.rec);
}

static void embedded_twice(struct harm *h)
{
    struct dentry d = harm_get_dentry(h, FS_ROOT, T_FILE);

    harm_put_embedded(h, T_DIR, T_FILE, slice_str("f2"), T_FILE, &d.rec);
    harm_index(h, T_DIR, "f2", T_FILE);
    harm_counts(h, T_DIR, 1, 0);
}

static void link_to_embedded(struct harm *h)
{
    harm_add_name(h, T_DIR, T_FREE, "f2", T_FILE, S_IFREG);
}

static void taken_number(struct harm *h)
{
    harm_add_name(h, T_DIR, T_EMPTY, "g3", T_LINKED, S_IFREG);
    harm_inode(h, T_LINKED, three_links);
}

static void embedded_elsewhere(struct harm *h)
{
    struct dentry d = harm_get_dentry(h, FS_ROOT, T_FILE);
    struct record rec = d.rec;

    harm_remove_name(h, FS_ROOT, T_FILE);
    harm_put_embedded(h, FS_ROOT, T_FREE, slice_str("f"), T_FILE, &rec);
    harm_index(h, FS_ROOT, "f", T_FREE);
    harm_counts(h, FS_ROOT, 1, 0);
}

static void garbled_entry(struct harm *h)
{
    harm_put(h, key_dentry(&key, FS_ROOT, T_FILE), "?");
}

static void impossible_number(struct harm *h)
{
    harm_put(h, key_inode(&key, INO_MAX), "?");
}

static void entry_to_impossible_number(struct harm *h)
{
    harm_add_name(h, FS_ROOT, T_FREE, "far", INO_MAX - 1, S_IFREG);
}

/* ---- the index ---- */

static void lost_list(struct harm *h)
{
    harm_index(h, FS_ROOT, "f", 0);
}

static void stale_list(struct harm *h)
{
    harm_index(h, FS_ROOT, "nothing", T_FREE);
}

static void wrong_hash(struct harm *h)
{
    harm_index(h, FS_ROOT, "nothing", T_FILE);
}

static void garbled_list(struct harm *h)
{
    struct slice name = slice_str("f");

    harm_put(h, key_names(&key, FS_ROOT, name_hash(h->seed, name)), "\x01");
}

static void item_twice(struct harm *h)
{
    struct slice name = slice_str("f");
    char list[] = {T_FILE, T_FILE, 0};

    harm_put(h, key_names(&key, FS_ROOT, name_hash(h->seed, name)), list);
}

static void one_name_twice(struct harm *h)
{
    struct slice name = slice_str("g2");
    char list[] = {T_LINK, T_FREE, 0};

    harm_add_name(h, T_DIR, T_FREE, "g2", T_LINKED, S_IFREG);
    harm_put(h, key_names(&key, T_DIR, name_hash(h->seed, name)), list);
    harm_inode(h, T_LINKED, three_links);
}

static void one_name_twice_unindexed(struct harm *h)
{
    harm_add_name(h, T_DIR, T_FREE, "g2", T_LINKED, S_IFREG);
    harm_index(h, T_DIR, "g2", T_LINK);
    harm_inode(h, T_LINKED, three_links);
}

static void names_of_file(struct harm *h)
{
    harm_index(h, T_LINKED, "x", T_FREE);
}

static void names_of_nothing(struct harm *h)
{
    harm_index(h, 99, "x", T_FREE);
}

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
    harm_put(h, slice_str("Q?"), "");
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
static const struct damage damages[] = {
    {.name = "links", .harm = wrong_links,
     .says = {"inode 20 (/g): says 3 links, but has 2 names"}},
    {.name = "orphan_unnoted", .harm = unnoted_orphan,
     .says = {"inode 35: has no links, and is not noted as an orphan"}},
    {.name = "orphan_named", .harm = named_orphan,
     .says = {"inode 20 (/g): noted as an orphan, but has links"}},
    {.name = "orphan_embedded", .harm = embedded_orphan,
     .says = {"inode 19 (/f): noted as an orphan, but has links"}},
    {.name = "orphan_of_nothing", .harm = orphan_of_nothing,
     .says = {"inode 99: does not exist, but there is an orphan of it (1)"}},
    {.name = "orphan_talks", .harm = talkative_orphan,
     .says = {"inode 35: the note that it is an orphan says more than that"}},
    {.name = "orphan_recordless", .harm = orphan_without_record,
     .says = {"inode 35: does not exist, but has 7 bytes of contents in 1 extents",
              "inode 35: does not exist, but there is an orphan of it (1)"}},
    {.name = "orphan_with_links", .harm = orphan_with_links,
     .says = {"inode 35: says 1 links, but nobody names it",
              "inode 35: noted as an orphan, but has links"},
     .made = " /lost+found/#35"},
    {.name = "file_nameless", .harm = nameless_file,
     .says = {"inode 20: says 2 links, but nobody names it"},
     .touched = " /g /d/g2",
     .made = " /lost+found/#20"},

    {.name = "dir_entries", .harm = more_entries,
     .says = {"inode 16 (/d): says 3 entries, 1 of them directories, but has 2, 1"}},
    {.name = "dir_subdirs", .harm = fewer_subdirs,
     .says = {"inode 16 (/d): says 2 entries, 0 of them directories, but has 2, 1"}},
    {.name = "dir_parent", .harm = wrong_parent,
     .says = {"/d/sub: directory 17 says that it lies in directory 1"}},
    {.name = "root_parent", .harm = wrong_parent_of_root,
     .says = {"the root says that it lies in directory 16"}},
    {.name = "dir_links", .harm = dir_without_links,
     .says = {"inode 17 (/d/sub): says 0 links, but has 1 names"}},
    {.name = "dir_nameless", .harm = nameless_dir,
     .says = {"inode 17: a directory without a name"},
     .touched = " /d /d/sub /d/sub/deep",
     .made = " /lost+found/#17 /lost+found/#17/deep"},
    {.name = "dir_two_names", .harm = second_name_of_dir,
     .says = {"/sub2: a second name of directory 17"}},
    {.name = "dir_circle", .harm = circle,
     .says = {"directory 16: lies below itself, in directory 17"},
     .touched = " /d /d/g2 /d/sub /d/sub/deep",
     .made = " /lost+found/#16 /lost+found/#16/g2 /lost+found/#16/sub /lost+found/#16/sub/deep"},
    {.name = "dir_in_itself", .harm = in_itself,
     .says = {"directory 17: lies below itself, in directory 17"},
     .touched = " /d /d/sub /d/sub/deep",
     .made = " /lost+found/#17 /lost+found/#17/deep"},
    {.name = "dir_number", .harm = dir_under_wrong_number,
     .says = {"/d/sub: directory 17 lies under a number, 40, that is not its own"}},
    {.name = "entry_in_file", .harm = entry_in_file,
     .says = {"/g/x: that is no directory"},
     .made = " /lost+found/#40"},

    {.name = "dangling", .harm = dangling,
     .says = {"/ghost: leads to inode 99, which does not exist"}},
    {.name = "type", .harm = wrong_type,
     .says = {"/d/g2: says another type than inode 20"}},
    {.name = "type_of_dir", .harm = dir_called_a_file,
     .says = {"/d/sub: says another type than inode 17"}},
    {.name = "two_records", .harm = two_records,
     .says = {"/f: holds a second record of inode 19"}},
    {.name = "two_embedded", .harm = embedded_twice,
     .says = {"/d/f2: holds a second record of inode 19"},
     .touched = " /f",
     .made = " /d/f2"},
    {.name = "link_to_embedded", .harm = link_to_embedded,
     .says = {"/d/f2: a link to inode 19, which another entry embeds"},
     .touched = " /f",
     .made = " /d/f2"},
    {.name = "number_taken", .harm = taken_number,
     .says = {"/d/g3: its number 31 is that of another entry"},
     .touched = " /g /d/g2",
     .made = " /d/g3"},
    {.name = "number_wrong", .harm = embedded_elsewhere,
     .says = {"/f: inode 19 is embedded under a number, 40, that is not its own or taken"}},
    {.name = "entry_garbled", .harm = garbled_entry,
     .says = {"inode 1 (/): its entry 19 makes no sense",
              "inode 19: its record is missing, but there are contents of it",
              "inode 1 (/): its index of names leads to entry 19, which is missing",
              "inode 1 (/): says 15 entries, 3 of them directories, but has 14, 3"},
     .touched = " /f",
     .made = " /lost+found/#19"},
    {.name = "number_impossible", .harm = impossible_number,
     .says = {"a bad key of an inode: I\\x7f\\xff\\xff\\xff\\xff\\xff\\xff\\xff"}},
    {.name = "entry_impossible", .harm = entry_to_impossible_number,
     .says = {"inode 1 (/): its entry 40 makes no sense",
              "inode 1 (/): its index of names leads to entry 40, which is missing",
              "inode 1 (/): says 16 entries, 3 of them directories, but has 15, 3"}},

    {.name = "index_lost", .harm = lost_list,
     .says = {"/f: the name is not in the index"}},
    {.name = "index_stale", .harm = stale_list,
     .says = {"inode 1 (/): its index of names leads to entry 40, which is missing"}},
    {.name = "index_hash", .harm = wrong_hash,
     .says = {"inode 1 (/): its index of names leads to entry 19, which has another name"}},
    {.name = "index_garbled", .harm = garbled_list,
     .says = {"inode 1 (/): a list in its index of names makes no sense",
              "/f: the name is not in the index"}},
    {.name = "index_twice", .harm = item_twice,
     .says = {"inode 1 (/): its index of names leads to entry 19, which it leads to already"}},
    {.name = "name_twice", .harm = one_name_twice,
     .says = {"/d/g2: two entries have that name"},
     .touched = " /g /d/g2",
     .made = " /d/g2~40.1"},
    {.name = "name_twice_unindexed", .harm = one_name_twice_unindexed,
     .says = {"/d/g2: the name is not in the index"},
     .touched = " /g /d/g2",
     .made = " /d/g2~40.1"},
    {.name = "index_of_file", .harm = names_of_file,
     .says = {"inode 20 (/g): no directory, but has an index of names"}},
    {.name = "index_of_nothing", .harm = names_of_nothing,
     .says = {"inode 99: does not exist, but there is a name list of it (1)"}},

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
     .says = {"inode 20 (/g): 6 bytes of contents beyond its size, before 1000"}},
    {.name = "extents_across", .harm = across_the_end,
     .says = {"inode 20 (/g): 3 bytes of contents beyond its size, before 12"},
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
              "a key of unknown kind: Q?",
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
};
/* clang-format on */

enum { DAMAGES = sizeof(damages) / sizeof(damages[0]) };

/* ---- running one ---- */

struct told {
    char *line[64];
    unsigned n;
};

static void tell(void *arg, const char *line)
{
    struct told *t = arg;

    if (strncmp(line, "remark: ", 8) == 0)
        return;
    ck_assert_msg(t->n < 64, "no end of problems: %s", line);
    t->line[t->n++] = strdup(line);
}

static void told_clear(struct told *t)
{
    while (t->n)
        free(t->line[--t->n]);
}

static void told_fail(const struct damage *d, const struct told *t, const char *why)
{
    unsigned i;

    for (i = 0; i < t->n; i++)
        printf("%s: %s\n", d->name, t->line[i]);
    fflush(stdout);
    ck_abort_msg("%s: %s", d->name, why);
}

/* The lines are those that the case expects, each of them once. */
static void ck_says(const struct damage *d, const struct told *t)
{
    unsigned i, j, n = 0;

    while (n < LINES && d->says[n])
        n++;
    for (i = 0; i < n; i++) {
        for (j = 0; j < t->n && strcmp(t->line[j], d->says[i]) != 0;)
            j++;
        if (j == t->n)
            told_fail(d, t, d->says[i]);
    }
    if (t->n != n)
        told_fail(d, t, "says more than that");
}

/* list is words with a space before each. */
static bool in_list(const char *list, const char *path)
{
    size_t len = strlen(path);
    const char *at = list;

    while (at && (at = strstr(at, path))) {
        if (at > list && at[-1] == ' ' && (at[len] == ' ' || !at[len]))
            return true;
        at++;
    }
    return false;
}

static bool may_be_new(const struct damage *d, const char *path)
{
    return in_list(d->made, path) || (d->made && strcmp(path, "/lost+found") == 0);
}

/* The root has a link more when lost+found was made. */
static bool same_line(const struct damage *d, const struct dump_line *was,
                      const struct dump_line *is)
{
    return strcmp(was->facts, is->facts) == 0 && was->ino == is->ino &&
           (was->nlink == is->nlink || (d->made && strcmp(was->path, "/") == 0));
}

static void ck_same(const struct damage *d, const struct dump *was, const struct dump *is)
{
    size_t i;

    for (i = 0; i < was->n; i++) {
        const struct dump_line *l = dump_find(is, was->line[i].path);

        if (in_list(d->touched, was->line[i].path))
            continue;
        ck_assert_msg(l, "%s: %s is gone", d->name, was->line[i].path);
        ck_assert_msg(same_line(d, &was->line[i], l), "%s: %s was\n%s, is\n%s", d->name,
                      l->path, was->line[i].facts, l->facts);
    }
    for (i = 0; i < is->n; i++) {
        const char *path = is->line[i].path;

        ck_assert_msg(dump_find(was, path) || may_be_new(d, path), "%s: %s is new",
                      d->name, path);
    }
}

static void ck_made(const struct damage *d, const struct dump *is)
{
    char list[400], *path, *rest = list;

    snprintf(list, sizeof(list), "%s", d->made ? d->made : "");
    while ((path = strsep(&rest, " "))) {
        ck_assert_msg(!*path || dump_find(is, path), "%s: there is no %s", d->name, path);
    }
}

static void run_damage(struct tree *t, const struct damage *d)
{
    static const struct fs_repair_options o = {.uid = 7, .gid = 8};
    struct fs_repair_result result;
    struct told told = {0};
    struct dump is;
    struct harm h;
    uint64_t n;

    tree_copy(t);
    harm_begin(&h, t->db);
    d->harm(&h);
    harm_end(&h);
    ck_ok(fs_check(t->db, tell, &told, &n));
    ck_says(d, &told);
    told_clear(&told);
    ck_ok(fs_repair(t->db, &o, tell, &told, &result));
    if (result.left || result.problems != n)
        told_fail(d, &told, "is not mended at once");
    told_clear(&told);
    ck_ok(fs_check(t->db, tell, &told, &n));
    if (n)
        told_fail(d, &told, "is not clean after it was mended");
    ck_ok(fs_repair(t->db, &o, tell, &told, &result));
    ck_assert_uint_eq(result.problems, 0);
    tree_dump(t, &is);
    ck_same(d, &t->was, &is);
    ck_made(d, &is);
    dump_release(&is);
    tree_close(t);
}

START_TEST(each_damage_is_told_and_mended_and_the_rest_is_as_before)
{
    const char *one = getenv("CASE");
    struct tree t;
    unsigned i;

    test_log_capture();
    tree_init(&t);
    for (i = 0; i < DAMAGES; i++) {
        if (!one || strcmp(one, damages[i].name) == 0)
            run_damage(&t, &damages[i]);
    }
    tree_release(&t);
}
END_TEST

TEST_MAIN("fs_repair",
          TEST_CASE(each_damage_is_told_and_mended_and_the_rest_is_as_before))
