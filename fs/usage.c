/*
 * usage.c - what is used, the limits that a filesystem may have, and statfs.
 *
 * A limit is on what files hold, as `du` counts it, with something for each name:
 * a figure that each operation knows beforehand and that a deletion takes back at
 * once. Bytes on the disk would be neither: they depend on compression, on sharing,
 * and on what garbage the engine has not collected yet.
 *
 * Each operation's batch carries what it adds (struct txn); here it is taken from
 * the limit before the batch is written. So the figures are always those of the
 * records in the store, and no batch needs to write them: they are written now and
 * then, and at unmount with the mark that they are exact. After a crash they are
 * seconds old. Then the files are counted anew, by an iterator that sees the store as
 * of the mount and in the background, while operations go on from the old figures;
 * in the end the difference is added.
 */
#include "quota.h"
#include "txn.h"

enum {
    NAME_USE = 256, /* on disk, in a sum: never renumber */
    XATTR_USE = 64, /* likewise */
    LOOK_EVERY = 1024,
};

uint64_t usage_of(const struct record *rec)
{
    uint64_t names = rec->nlink ? rec->nlink : 1, use = names * NAME_USE;

    if (record_is_file(rec))
        use += rec->file.bytes + rec->file.unwritten;
    else if (S_ISLNK(rec->mode))
        use += rec->target.len;
    return use;
}

int64_t usage_of_xattr(size_t name_len, size_t value_len)
{
    return (int64_t)(XATTR_USE + name_len + value_len);
}

/* ---- taking and giving ---- */

bool usage_grow(_Atomic int64_t *used, uint64_t limit, int64_t more)
{
    int64_t now = atomic_load_explicit(used, memory_order_relaxed), then;

    do {
        uint64_t before = now > 0 ? (uint64_t)now : 0;

        if (limit && (before > limit || (uint64_t)more > limit - before))
            return false;
        then = (int64_t)((uint64_t)now + (uint64_t)more);
    } while (!atomic_compare_exchange_weak_explicit(
        used, &now, then, memory_order_relaxed, memory_order_relaxed));
    return true;
}

int usage_take(struct fs *fs, int64_t bytes, int64_t inodes)
{
    struct usage *u = &fs->usage;

    if (bytes > 0 && usage_limited(fs) && !usage_grow(&u->bytes, u->limits.bytes, bytes))
        return -ENOSPC;
    if (inodes <= 0 || usage_grow(&u->inodes, u->limits.inodes, inodes))
        return 0;
    usage_untake(fs, bytes, 0);
    return -ENOSPC;
}

static void add(struct fs *fs, int64_t bytes, int64_t inodes)
{
    if (bytes && usage_limited(fs))
        atomic_fetch_add_explicit(&fs->usage.bytes, bytes, memory_order_relaxed);
    if (inodes)
        atomic_fetch_add_explicit(&fs->usage.inodes, inodes, memory_order_relaxed);
}

void usage_untake(struct fs *fs, int64_t bytes, int64_t inodes)
{
    add(fs, bytes > 0 ? -bytes : 0, inodes > 0 ? -inodes : 0);
}

void usage_give(struct fs *fs, int64_t bytes, int64_t inodes)
{
    add(fs, bytes < 0 ? bytes : 0, inodes < 0 ? inodes : 0);
}

void usage_lose(struct fs *fs)
{
    atomic_store(&fs->usage.lost, true);
}

/* Not below what is there in any case: they may begin with a guess. */
static uint64_t at_least(const _Atomic int64_t *v, int64_t least)
{
    int64_t n = atomic_load(v);

    return (uint64_t)(n > least ? n : least);
}

uint64_t usage_bytes(struct fs *fs)
{
    return at_least(&fs->usage.bytes, 0);
}

uint64_t usage_inodes(struct fs *fs)
{
    return at_least(&fs->usage.inodes, 1);
}

/* ---- counting ---- */

/* Sums go modulo 2^64: a hostile store may say that it holds more. */
struct sum {
    uint64_t bytes;
    int64_t inodes;
};

static int count_inode(struct lsm_iter *it, struct sum *s)
{
    struct record rec;
    struct slice value;
    int rc = lsm_iter_value(it, &value);

    if (!rc)
        rc = record_decode(value, &rec);
    if (rc)
        return rc;
    s->bytes += usage_of(&rec);
    s->inodes++;
    return 0;
}

/* One from an older version is counted by its record under I. */
static int count_orphan(struct lsm_iter *it, struct sum *s)
{
    return lsm_iter_value_len(it) ? count_inode(it, s) : 0;
}

static int count_entry(struct lsm_iter *it, struct sum *s)
{
    struct slice value;
    struct dentry d;
    int rc = lsm_iter_value(it, &value);

    if (!rc)
        rc = dentry_decode(value, &d);
    if (rc || !d.embedded)
        return rc;
    s->bytes += usage_of(&d.rec);
    s->inodes++;
    return 0;
}

static int count_xattr(struct lsm_iter *it, struct sum *s)
{
    size_t len = lsm_iter_key(it).len;

    if (len <= XATTR_KEY_PREFIX)
        return -EUCLEAN;
    s->bytes += (uint64_t)usage_of_xattr(len - XATTR_KEY_PREFIX, lsm_iter_value_len(it));
    return 0;
}

/* What the iterator sees; -ECANCELED when fs (may be NULL) is unmounted meanwhile. A
 * damaged record is logged and counts nothing. */
static int count(struct fs *fs, struct lsm_iter *it, struct sum *s)
{
    static const struct {
        char letter;
        int (*fn)(struct lsm_iter *it, struct sum *s);
    } kinds[] = {
        {KEY_DENTRY, count_entry},
        {KEY_INODE, count_inode},
        {KEY_ORPHAN, count_orphan},
        {KEY_XATTR, count_xattr}};
    uint64_t seen = 0;
    unsigned i;
    int rc;

    *s = (struct sum){0, 0};
    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        lsm_iter_seek(it, slice_of(&kinds[i].letter, 1));
        for (; lsm_iter_valid(it); lsm_iter_next(it)) {
            if (lsm_iter_key(it).data[0] != (uint8_t)kinds[i].letter)
                break;
            rc = kinds[i].fn(it, s);
            if (rc == -EUCLEAN)
                fs_corrupt("cannot be counted: a record", (uint8_t)kinds[i].letter, 0);
            else if (rc)
                return rc;
            if (fs && ++seen % LOOK_EVERY == 0 && lazy_stopping(fs))
                return -ECANCELED;
        }
        rc = lsm_iter_error(it);
        if (rc)
            return rc;
    }
    return 0;
}

int usage_begin_recount(struct fs *fs)
{
    struct usage *u = &fs->usage;
    struct lsm_iter_options o = {0};

    if (!usage_limited(fs) || fs->options.read_only || atomic_load(&u->exact))
        return 0;
    u->at_bytes = atomic_load(&u->bytes);
    u->at_inodes = atomic_load(&u->inodes);
    return lsm_iter_new(fs->db, &o, &u->recount);
}

void usage_recount(struct fs *fs)
{
    struct usage *u = &fs->usage;
    struct sum s;
    int rc;

    if (!u->recount)
        return;
    rc = count(fs, u->recount, &s);
    lsm_iter_free(u->recount);
    u->recount = NULL;
    if (rc && rc != -ECANCELED)
        err_log("what is used cannot be counted: %s", strerror(-rc));
    if (rc)
        return;
    add(fs, (int64_t)(s.bytes - (uint64_t)u->at_bytes), s.inodes - u->at_inodes);
    atomic_store(&u->exact, true);
}

/* ---- the store's copy ---- */

int usage_put(struct lsm_batch *b, uint64_t bytes, uint64_t inodes, bool exact)
{
    struct used used = {.bytes = bytes, .exact = exact};
    uint8_t counter[VARINT_MAX];
    struct buf value = {0};
    int rc;

    used_encode(&value, &used);
    rc = buf_error(&value);
    if (!rc)
        lsm_batch_put(b, key_used(), buf_slice(&value));
    lsm_batch_put(b, key_count(), slice_of(counter, store_varint(counter, inodes)));
    buf_release(&value);
    return rc;
}

/* They are a guess when they are missing or damaged. */
static void read_used(struct fs *fs)
{
    struct usage *u = &fs->usage;
    struct lsm_value value = {0};
    struct used used = {0};
    uint64_t inodes;

    if (lsm_get(fs->db, NULL, key_count(), &value) ||
        counter_decode(value.value, &inodes) || !inodes)
        inodes = 1;
    if (usage_limited(fs) &&
        (lsm_get(fs->db, NULL, key_used(), &value) || used_decode(value.value, &used)))
        used = (struct used){0};
    lsm_value_release(&value);
    atomic_store(&u->bytes, (int64_t)used.bytes);
    atomic_store(&u->inodes, (int64_t)inodes);
    atomic_store(&u->exact, used.exact);
    u->stored_bytes = used.bytes;
    u->stored_inodes = inodes;
}

static int write_used(struct fs *fs, uint64_t bytes, uint64_t inodes, bool exact)
{
    struct txn *t = txn_begin(fs);
    int rc = 0;

    if (!t)
        return -ENOMEM;
    if (usage_limited(fs)) {
        /* On a full disk only what deletes is taken, and a mount begins with this. */
        lsm_batch_delete(t->batch, key_used());
        rc = usage_put(t->batch, bytes, inodes, exact);
    } else {
        txn_put_counter(t, key_count(), inodes);
    }
    return txn_end(fs, t, rc);
}

int usage_open(struct fs *fs, const struct super *super)
{
    struct usage *u = &fs->usage;

    u->limits = (struct fs_limits){super->limit_bytes, super->limit_inodes};
    read_used(fs);
    if (!usage_limited(fs) || fs->options.read_only || !atomic_load(&u->exact))
        return 0;
    return write_used(fs, u->stored_bytes, u->stored_inodes, false);
}

/* One at a time: of two, the older figures could be the ones that stay. */
static int write_locked(struct fs *fs, bool last)
{
    struct usage *u = &fs->usage;
    uint64_t bytes = usage_bytes(fs), inodes = usage_inodes(fs);
    bool exact = last && atomic_load(&u->exact) && !atomic_load(&u->lost);
    int rc;

    if (bytes == u->stored_bytes && inodes == u->stored_inodes && !exact)
        return 0;
    rc = write_used(fs, bytes, inodes, exact);
    u->stored_bytes = bytes;
    u->stored_inodes = rc ? UINT64_MAX : inodes; /* try again */
    return rc;
}

int usage_write(struct fs *fs, bool last)
{
    int rc;

    mutex_lock(&fs->usage.writing);
    rc = write_locked(fs, last);
    mutex_unlock(&fs->usage.writing);
    /* On a disk that has not even room for them they wait: no mark says that they are
     * exact, then. */
    return rc == -ENOSPC ? 0 : rc;
}

void usage_close(struct fs *fs)
{
    lsm_iter_free(fs->usage.recount);
}

/* ---- limits ---- */

int fs_get_limits(struct lsm *db, struct fs_limits *limits)
{
    struct super super;
    int rc = super_read(db, &super);

    if (!rc)
        *limits = (struct fs_limits){super.limit_bytes, super.limit_inodes};
    return rc;
}

static int count_store(struct lsm *db, struct sum *s)
{
    struct lsm_iter_options o = {0};
    struct lsm_iter *it;
    int rc = lsm_iter_new(db, &o, &it);

    if (rc)
        return rc;
    rc = count(NULL, it, s);
    lsm_iter_free(it);
    return rc;
}

/* The superblock, and with a limit what is used. */
static int write_limits(struct lsm *db, const struct super *super, const struct sum *s)
{
    struct lsm_batch *b = lsm_batch_new();
    int rc;

    if (!b)
        return -ENOMEM;
    rc = super_put(b, super);
    if (!super->limit_bytes && !super->limit_inodes)
        lsm_batch_delete(b, key_used());
    else if (!rc)
        rc = usage_put(b, s->bytes <= INT64_MAX ? s->bytes : INT64_MAX,
                       (uint64_t)s->inodes, true);
    if (!rc)
        rc = lsm_write(db, b, LSM_SYNC);
    lsm_batch_free(b);
    return rc;
}

int fs_set_limits(struct lsm *db, const struct fs_limits *limits)
{
    struct super super;
    struct sum s = {0, 0};
    int rc = super_read(db, &super);

    if (!rc && (limits->bytes > INT64_MAX || limits->inodes > INO_MAX))
        rc = -EINVAL;
    if (rc)
        return rc;
    super.limit_bytes = limits->bytes;
    super.limit_inodes = limits->inodes;
    if (limits->bytes || limits->inodes)
        rc = count_store(db, &s);
    return rc ? rc : write_limits(db, &super, &s);
}

/* ---- statfs ---- */

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t fs_room(struct fs *fs, uint64_t ino)
{
    uint64_t limit = fs->usage.limits.bytes;
    uint64_t room = limit ? less(limit, usage_bytes(fs)) : UINT64_MAX;
    struct fs_limits tight, used;

    quota_tightest(fs, ino, &tight, &used);
    return tight.bytes ? least(room, less(tight.bytes, used.bytes)) : room;
}

int fs_statfs(struct fs *fs, uint64_t ino, struct fs_statfs *out)
{
    const struct fs_limits *limits = &fs->usage.limits;
    struct fs_limits tight, used;
    uint64_t total, avail, free, inodes, files;
    int rc = lsm_space(fs->db, &total, &avail);

    if (rc)
        return rc;
    /* They are gone for all that anybody can see; if not now, they count until then. */
    if (!fs->options.read_only)
        (void)orphans_flush(fs);
    free = less(total, lsm_disk_bytes(fs->db));
    if (limits->bytes) {
        total = limits->bytes;
        free = less(total, usage_bytes(fs));
        avail = least(avail, free);
    }
    quota_tightest(fs, ino, &tight, &used);
    if (tight.bytes) {
        uint64_t room = less(tight.bytes, used.bytes);

        if (!limits->bytes || room <= free) {
            total = tight.bytes;
            free = room;
        }
        avail = least(avail, room);
    }
    inodes = usage_inodes(fs);
    out->block_bytes = FS_BLOCK;
    out->blocks = total / FS_BLOCK;
    out->blocks_free = free / FS_BLOCK;
    out->blocks_avail = avail / FS_BLOCK;
    out->files_free = avail / NAME_USE; /* an empty file takes less than that */
    files = limits->inodes;
    if (files)
        out->files_free = less(files, inodes);
    if (tight.inodes && (!files || less(tight.inodes, used.inodes) <= out->files_free)) {
        files = tight.inodes;
        out->files_free = less(files, used.inodes);
    }
    out->files = files ? files : inodes + out->files_free;
    return 0;
}
