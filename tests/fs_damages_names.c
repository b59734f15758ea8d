/*
 * fs_damages_names.c - see fs_damages.h: links, directories, entries and the index.
 */
#include "fs_damages.h"

#include "fs_tree.h"
#include "test.h"

static struct key key;

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

/* A record under O that knows of no contents: who removes it would leave them. */
static void orphan_that_forgot(struct harm *h)
{
    struct record rec = harm_get_inode(h, T_ORPHAN);
    struct buf value = {0};

    rec.file.extents = rec.file.bytes = 0;
    rec.flags &= ~(uint32_t)REC_TAIL;
    record_encode_tree(&value, &rec, 0);
    harm_drop(h, key_inode(&key, T_ORPHAN));
    ck_ok(lsm_put(h->db, key_orphan(&key, T_ORPHAN), buf_slice(&value)));
    buf_release(&value);
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

/* clang-format off */
const struct damage damages_of_names[] = {
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
    {.name = "orphan_forgets", .harm = orphan_that_forgot,
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
    {.name = NULL},
};
/* clang-format on */
