/*
 * check.c - fs_check and fs_repair: does everything in the store agree with everything
 * else, and what is done about it if not. The passes: check_impl.h; here is their
 * frame, and what belongs to no inode.
 *
 * A repair goes through the passes until one finds nothing to mend: most damage is
 * gone after the first, and the last is the proof.
 *
 * Memory grows with the number of inodes and links (check_known.h), not with names
 * or contents; nothing recurses. Not a problem: the count of inodes (S count), which
 * is written lazily and may be off after a crash; numbers that were skipped. Damaged
 * blocks are the engine's to find (lsm_verify); here they end the check with an error.
 */
#include "mend.h"

enum {
    ROUNDS_MAX = 8,
};

/* ---- walking over keys ---- */

int visit_range(struct check *c, struct slice from, struct slice to, visit_fn *fn)
{
    struct lsm_iter_options o = {.lower = &from, .upper = &to};
    struct lsm_iter *it;
    int rc = lsm_iter_new(c->db, &o, &it);

    if (rc)
        return rc;
    for (lsm_iter_first(it); !rc && lsm_iter_valid(it); lsm_iter_next(it))
        rc = fn(c, lsm_iter_key(it), it);
    if (!rc)
        rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}

int visit_letter(struct check *c, enum key_letter letter, visit_fn *fn)
{
    uint8_t first = (uint8_t)letter, after = (uint8_t)(letter + 1);

    return visit_range(c, slice_of(&first, 1), slice_of(&after, 1), fn);
}

int exists_under(struct check *c, enum key_letter letter, uint64_t n, bool *exists)
{
    struct key from, to;
    struct slice lower = key_one(&from, letter, n), upper = key_one(&to, letter, n + 1);
    struct lsm_iter_options o = {.lower = &lower, .upper = &upper};
    struct lsm_iter *it;
    int rc = lsm_iter_new(c->db, &o, &it);

    if (rc)
        return rc;
    lsm_iter_first(it);
    *exists = lsm_iter_valid(it);
    rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}

int bad_key(struct check *c, struct slice key, const char *kind)
{
    struct text t;

    problem(c, "removed", "a bad key of %s: %s", kind, text_key(key, &t));
    return mend_drop(c, key);
}

/* ---- the superblock ---- */

/* Is this a filesystem at all, though its superblock is gone? */
static int look_for_root(struct check *c)
{
    struct record rec;
    struct key k;
    int rc = lsm_get(c->db, NULL, key_inode(&k, FS_ROOT), &c->value);

    if (rc == -ENOENT ||
        (!rc && (record_decode(c->value.value, &rec) || !record_is_dir(&rec))))
        return -ENODATA;
    return rc;
}

static int any_of_letter(struct check *c, enum key_letter letter, bool *any)
{
    struct lsm_iter_options o = {0};
    struct lsm_iter *it;
    uint8_t first = (uint8_t)letter;
    int rc = lsm_iter_new(c->db, &o, &it);

    if (rc)
        return rc;
    lsm_iter_seek(it, slice_of(&first, 1));
    *any =
        lsm_iter_valid(it) && lsm_iter_key(it).len && lsm_iter_key(it).data[0] == first;
    rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}

static int read_super(struct check *c)
{
    struct super super = {0};
    int rc = lsm_get(c->db, NULL, key_super(), &c->value);
    bool missing = rc == -ENOENT;

    if (missing)
        rc = look_for_root(c);
    if (rc)
        return rc;
    rc = missing ? -EUCLEAN : super_decode(c->value.value, &super);
    if (rc && rc != -EUCLEAN)
        return rc;
    c->hash_seed = super.hash_seed;
    c->limited = !rc && (super.limit_bytes || super.limit_inodes);
    c->quotas = !rc && super.quotas;
    c->seed_lost = rc;
    if (!rc)
        return 0;
    rc = any_of_letter(c, KEY_QUOTA, &c->quotas);
    if (rc)
        return rc;
    problem(c, "made anew, without limits, and so is the index of names",
            "the superblock is %s", missing ? "missing" : "damaged");
    return mend_super(c);
}

static int visit_super(struct check *c, struct slice key, struct lsm_iter *it)
{
    if (slice_eq(key, key_super()) || slice_eq(key, key_next()) ||
        slice_eq(key, key_count()) ||
        ((c->limited || c->seed_lost) && slice_eq(key, key_used())) ||
        ((c->quotas || c->seed_lost) && slice_eq(key, key_quotas())))
        return 0;
    return bad_key(c, key, "the superblock");
}

static int check_supers(struct check *c)
{
    return visit_letter(c, KEY_SUPER, visit_super);
}

/* ---- keys of no kind ---- */

static int visit_unknown(struct check *c, struct slice key, struct lsm_iter *it)
{
    struct text t;

    problem(c, "removed", "a key of unknown kind: %s", text_key(key, &t));
    return mend_drop(c, key);
}

/* What lies between the letters that are ours, which ascend here. */
static int check_letters(struct check *c)
{
    static const char ours[] = {KEY_DENTRY, KEY_EXTENT,    KEY_INODE,
                                KEY_NAMES,  KEY_ORPHAN,    KEY_QUOTA,
                                KEY_SUPER,  KEY_UNWRITTEN, KEY_XATTR};
    uint8_t from = 0, to;
    struct slice begin = slice_of(NULL, 0), none = slice_of("\xff\xff\xff\xff", 4);
    unsigned i;
    int rc = 0;

    for (i = 0; i < sizeof(ours) && !rc; i++) {
        to = (uint8_t)ours[i];
        rc = visit_range(c, begin, slice_of(&to, 1), visit_unknown);
        from = (uint8_t)(ours[i] + 1);
        begin = slice_of(&from, 1);
    }
    return rc ? rc : visit_range(c, begin, none, visit_unknown);
}

/* The greatest number that any key begins with, so that what a repair numbers does
 * not meet anything. */
static int find_top(struct check *c)
{
    static const char letters[] = {KEY_DENTRY, KEY_EXTENT,    KEY_INODE, KEY_NAMES,
                                   KEY_ORPHAN, KEY_UNWRITTEN, KEY_XATTR};
    struct lsm_iter_options o = {0};
    struct lsm_iter *it;
    unsigned i;
    int rc = lsm_iter_new(c->db, &o, &it);

    if (rc)
        return rc;
    for (i = 0; i < sizeof(letters); i++) {
        struct slice key;
        struct key k;
        uint8_t letter;
        uint64_t n;

        lsm_iter_seek_prev(it,
                           key_one(&k, (enum key_letter)letters[i], NUMBER_LIMIT + 1));
        if (!lsm_iter_valid(it))
            continue;
        key = lsm_iter_key(it);
        if (get_u8(&key, &letter) && letter == (uint8_t)letters[i] &&
            get_be64(&key, &n) && n > c->top && n <= NUMBER_LIMIT)
            c->top = n;
    }
    rc = lsm_iter_error(it);
    lsm_iter_free(it);
    return rc;
}

/* ---- the whole ---- */

static int all_passes(struct check *c)
{
    static int (*const pass[])(struct check *) = {
        read_super,    read_counters, read_quotas,    check_letters, find_top,
        check_records, check_entries, check_doubtful, check_tree,    check_inodes,
        check_supers,  check_quotas,  check_counters,
    };
    unsigned i;
    int rc = 0;

    c->before = c->problems;
    for (i = 0; i < sizeof(pass) / sizeof(pass[0]) && !rc; i++)
        rc = pass[i](c);
    return rc;
}

static void forget(struct check *c)
{
    known_release(&c->inodes);
    c->top = c->doubtful = c->lost_found = c->bytes = c->labelled = c->leaving = 0;
}

static int begin(struct check *c)
{
    c->batch = lsm_batch_new();
    return c->batch ? 0 : -ENOMEM;
}

static void end(struct check *c)
{
    known_release(&c->inodes);
    lsm_value_release(&c->value);
    lsm_value_release(&c->name);
    buf_release(&c->scratch);
    lsm_batch_free(c->batch);
}

static int check_once(struct check *c, uint64_t *problems)
{
    int rc = begin(c);

    if (!rc)
        rc = all_passes(c);
    *problems = c->problems;
    end(c);
    return rc;
}

int fs_check(struct lsm *db, fs_report_fn *report, void *arg, uint64_t *problems)
{
    struct check c = {.db = db, .report = report, .arg = arg};

    return check_once(&c, problems);
}

int fs_check_contents(struct lsm *db, fs_report_fn *report, void *arg, uint64_t *problems)
{
    struct check c = {.db = db, .contents = true, .report = report, .arg = arg};

    return check_once(&c, problems);
}

int fs_repair(struct lsm *db, const struct fs_repair_options *o, fs_report_fn *report,
              void *arg, struct fs_repair_result *out)
{
    struct check c = {.db = db,
                      .repair = true,
                      .report = report,
                      .arg = arg,
                      .contents = o->contents,
                      .uid = o->uid,
                      .gid = o->gid};
    uint64_t found = 0;
    unsigned round = 0;
    int rc = begin(&c);

    memset(out, 0, sizeof(*out));
    do {
        forget(&c);
        if (!rc)
            rc = all_passes(&c);
        if (!rc && c.written)
            rc = lsm_sync(db);
        found = c.problems - c.before;
        if (c.contents) { /* once is enough: nothing mends them */
            out->left = c.left;
            found -= c.left;
            c.contents = false;
        }
    } while (!rc && found && ++round < ROUNDS_MAX);
    out->problems = c.problems;
    out->left += found;
    end(&c);
    return rc;
}
