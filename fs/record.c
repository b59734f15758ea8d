/*
 * record.c - see record.h.
 *
 * Everything here is a pure function of bytes. A store made of these records is
 * mostly records, so they are small: varints, times as differences from the
 * time of birth, fields that only some inodes have behind a flag.
 */
#include "record.h"

#include "fs.h"

enum {
    NSEC = 1000000000,

    /* On disk: never renumber. */
    DENTRY_INODE = 1,
    DENTRY_REF = 2,

    SUPER_VERSION = 1,
    SUPER_LIMITED = 2, /* the version of those with a limit: others would not heed it */
    SUPER_QUOTAS = 3,  /* and of those with quotas */
};

static const char super_magic[] = "siltfs";

/* Small magnitudes of either sign to small numbers. */
static uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

static int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

/* ---- times ---- */

/* The difference of seconds wraps, so that any two moments have one. */
static uint8_t *store_stamp(uint8_t *to, struct stamp s, struct stamp base)
{
    to += store_varint(to, zigzag((int64_t)((uint64_t)s.sec - (uint64_t)base.sec)));
    return to + store_varint(to, zigzag((int64_t)s.nsec - (int64_t)base.nsec));
}

static bool get_stamp(struct slice *in, struct stamp *s, struct stamp base)
{
    uint64_t sec, diff;
    int64_t nsec;

    if (!get_varint(in, &sec) || !get_varint(in, &diff))
        return false;
    nsec = unzigzag(diff);
    if (nsec <= -NSEC || nsec >= NSEC)
        return false;
    nsec += base.nsec;
    if (nsec < 0 || nsec >= NSEC)
        return false;
    s->sec = (int64_t)((uint64_t)base.sec + (uint64_t)unzigzag(sec));
    s->nsec = (uint32_t)nsec;
    return true;
}

/* ---- inodes ---- */

static bool type_known(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        return true;
    default:
        return false;
    }
}

/* Each operation encodes some: so room is asked for once. */
enum { RECORD_FIELDS = 5 + 8 + 6 };

static uint8_t *store_file(uint8_t *to, const struct record *r)
{
    to += store_varint(to, r->file.size);
    to += store_varint(to, r->file.bytes);
    to += store_varint(to, r->file.extents);
    if (r->run_count) {
        to += store_varint(to, r->run_bytes);
        to += store_varint(to, r->run_count);
    }
    if (r->file.unwritten)
        to += store_varint(to, r->file.unwritten);
    return to;
}

/* What the record has says itself which optional fields follow. */
static uint32_t flags_on_disk(const struct record *r)
{
    uint32_t flags = r->flags;

    if (record_is_file(r) && r->run_count)
        flags |= REC_RUN;
    if (record_is_file(r) && r->file.unwritten)
        flags |= REC_UNWRITTEN;
    return flags;
}

void record_encode(struct buf *b, const struct record *r)
{
    record_encode_tree(b, r, 0);
}

void record_encode_tree(struct buf *b, const struct record *r, uint64_t tree)
{
    uint8_t *to = buf_reserve(b, RECORD_FIELDS * VARINT_MAX);

    if (!to)
        return;
    to += store_varint(to, flags_on_disk(r) | (tree ? REC_TREE : 0));
    to += store_varint(to, r->mode);
    to += store_varint(to, r->uid);
    to += store_varint(to, r->gid);
    to += store_varint(to, r->nlink);
    to = store_stamp(to, r->btime, (struct stamp){0});
    to = store_stamp(to, r->atime, r->btime);
    to = store_stamp(to, r->mtime, r->btime);
    to = store_stamp(to, r->ctime, r->btime);
    switch (r->mode & S_IFMT) {
    case S_IFREG:
        to = store_file(to, r);
        break;
    case S_IFDIR:
        to += store_varint(to, r->dir.parent);
        to += store_varint(to, r->dir.entries);
        to += store_varint(to, r->dir.subdirs);
        break;
    case S_IFCHR:
    case S_IFBLK:
        to += store_varint(to, r->rdev);
        break;
    }
    b->len = (size_t)(to - b->data);
    if (S_ISLNK(r->mode))
        put_bytes(b, r->target);
    if (tree)
        put_varint(b, tree);
}

static bool decode_run(struct slice *in, struct record *r)
{
    uint32_t bytes, count;

    if (!get_varint32(in, &bytes) || !get_varint32(in, &count))
        return false;
    if (!(r->flags & REC_TAIL) || bytes >= RUN_BYTES || bytes > r->file.bytes ||
        count == 0 || count > RUN_COUNT || count > bytes || count > r->file.extents)
        return false;
    r->run_bytes = (uint16_t)bytes;
    r->run_count = (uint16_t)count;
    r->flags &= ~(uint32_t)REC_RUN;
    return true;
}

static bool decode_unwritten(struct slice *in, struct record *r)
{
    r->flags &= ~(uint32_t)REC_UNWRITTEN;
    return get_varint(in, &r->file.unwritten) && r->file.unwritten > 0 &&
           r->file.unwritten <= FS_SIZE_MAX - r->file.bytes;
}

static bool decode_file(struct slice *in, struct record *r)
{
    if (!get_varint(in, &r->file.size) || !get_varint(in, &r->file.bytes) ||
        !get_varint(in, &r->file.extents))
        return false;
    if (r->file.size > FS_SIZE_MAX || r->file.bytes > r->file.size ||
        r->file.extents > r->file.bytes || (r->file.bytes && !r->file.extents))
        return false;
    if ((r->flags & REC_TAIL) && !r->file.extents)
        return false;
    if ((r->flags & REC_RUN) && !decode_run(in, r))
        return false;
    return !(r->flags & REC_UNWRITTEN) || decode_unwritten(in, r);
}

static bool decode_target(struct slice *in, struct record *r)
{
    return get_bytes(in, &r->target) && r->target.len > 0 &&
           r->target.len <= FS_SYMLINK_MAX && !memchr(r->target.data, 0, r->target.len);
}

static bool decode_by_type(struct slice *in, struct record *r)
{
    uint32_t file_only = REC_TAIL | REC_RUN | REC_UNWRITTEN;

    if (!record_is_file(r) && (r->flags & file_only))
        return false;
    if (!record_is_file(r) && !record_is_dir(r) && (r->flags & REC_COMPRESSION))
        return false;
    switch (r->mode & S_IFMT) {
    case S_IFREG:
        return decode_file(in, r);
    case S_IFDIR:
        return get_varint(in, &r->dir.parent) && get_varint(in, &r->dir.entries) &&
               get_varint32(in, &r->dir.subdirs) && r->dir.parent > 0 &&
               r->dir.parent <= INO_MAX && r->dir.subdirs <= r->dir.entries &&
               r->nlink <= 1;
    case S_IFLNK:
        return decode_target(in, r);
    case S_IFCHR:
    case S_IFBLK:
        return get_varint(in, &r->rdev);
    default:
        return true;
    }
}

static bool xattr_flags_fit(const struct record *r)
{
    if (!(r->flags & REC_XATTR))
        return !(r->flags & REC_XATTRS);
    if ((r->flags & REC_DEFAULT_ACL) && !record_is_dir(r))
        return false;
    return !(r->flags & REC_ACL) || !S_ISLNK(r->mode);
}

static bool number_valid(uint64_t ino)
{
    return ino == FS_ROOT || (ino >= INO_FIRST && ino <= INO_MAX);
}

static bool decode_tree(struct slice *in, struct record *r, uint64_t *tree)
{
    *tree = 0;
    if (!(r->flags & REC_TREE))
        return true;
    r->flags &= ~(uint32_t)REC_TREE;
    return get_varint(in, tree) && number_valid(*tree);
}

int record_decode(struct slice in, struct record *r)
{
    uint64_t tree;

    return record_decode_tree(in, r, &tree);
}

int record_decode_tree(struct slice in, struct record *r, uint64_t *tree)
{
    uint32_t known =
        REC_TAIL | REC_RUN | REC_UNWRITTEN | REC_XATTRS | REC_TREE | REC_COMPRESSION;

    memset(r, 0, sizeof(*r));
    if (!get_varint32(&in, &r->flags) || (r->flags & ~known) ||
        !get_varint32(&in, &r->mode) || (r->mode & ~(uint32_t)(S_IFMT | 07777)) ||
        !type_known(r->mode) || !xattr_flags_fit(r) || !get_varint32(&in, &r->uid) ||
        !get_varint32(&in, &r->gid) || !get_varint32(&in, &r->nlink))
        return -EUCLEAN;
    if (!get_stamp(&in, &r->btime, (struct stamp){0}) ||
        !get_stamp(&in, &r->atime, r->btime) || !get_stamp(&in, &r->mtime, r->btime) ||
        !get_stamp(&in, &r->ctime, r->btime))
        return -EUCLEAN;
    if (!decode_by_type(&in, r) || !decode_tree(&in, r, tree) || in.len)
        return -EUCLEAN;
    return 0;
}

int orphan_decode(struct slice in, struct record *r, uint64_t *tree)
{
    int rc = in.len ? record_decode_tree(in, r, tree) : -ENODATA;

    return rc || record_is_orphan(r) ? rc : -EUCLEAN;
}

/* ---- directory entries ---- */

int name_check(struct slice name)
{
    if (name.len > FS_NAME_MAX)
        return -ENAMETOOLONG;
    if (name.len == 0 || memchr(name.data, '/', name.len) ||
        memchr(name.data, 0, name.len))
        return -EINVAL;
    if (slice_eq(name, slice_str(".")) || slice_eq(name, slice_str("..")))
        return -EEXIST;
    return 0;
}

void dentry_encode_inode(struct buf *b, struct slice name, uint64_t ino,
                         const struct record *r)
{
    put_u8(b, DENTRY_INODE);
    put_bytes(b, name);
    put_varint(b, ino);
    record_encode(b, r);
}

void dentry_encode_ref(struct buf *b, struct slice name, uint64_t ino, uint32_t type)
{
    put_u8(b, DENTRY_REF);
    put_bytes(b, name);
    put_varint(b, ino);
    put_u8(b, (uint8_t)((type & S_IFMT) >> 12));
}

int dentry_decode_inode(struct dentry *d)
{
    uint64_t tree; /* an embedded inode is in that of its directory */

    return record_decode_tree(d->inode, &d->rec, &tree) || tree || d->rec.nlink != 1
               ? -EUCLEAN
               : 0;
}

/* The type of the inode that these bytes begin. */
static bool peek_type(struct slice in, uint32_t *type)
{
    uint32_t flags, mode;

    if (!get_varint32(&in, &flags) || !get_varint32(&in, &mode))
        return false;
    *type = mode & S_IFMT;
    return true;
}

int dentry_decode_name(struct slice in, struct dentry *d)
{
    uint8_t kind, type;

    if (!get_u8(&in, &kind) || !get_bytes(&in, &d->name) || name_check(d->name) ||
        !get_varint(&in, &d->ino) || d->ino < INO_FIRST || d->ino > INO_MAX)
        return -EUCLEAN;
    d->embedded = kind == DENTRY_INODE;
    d->inode = in;
    if (d->embedded) {
        /* A directory's record changes with each of its entries: it has its own key. */
        if (!peek_type(in, &d->type) || d->type == S_IFDIR)
            return -EUCLEAN;
    } else {
        if (kind != DENTRY_REF || !get_u8(&in, &type) || in.len || type > S_IFMT >> 12)
            return -EUCLEAN;
        d->type = (uint32_t)type << 12;
    }
    return type_known(d->type) ? 0 : -EUCLEAN;
}

int dentry_decode(struct slice in, struct dentry *d)
{
    int rc = dentry_decode_name(in, d);

    return rc || !d->embedded ? rc : dentry_decode_inode(d);
}

/* ---- name lists ---- */

void seqs_encode(struct buf *b, const struct seqs *s)
{
    unsigned i;

    for (i = 0; i < s->n; i++)
        put_varint(b, s->seq[i]);
}

int seqs_decode(struct slice in, struct seqs *s)
{
    s->n = 0;
    while (in.len) {
        uint64_t seq;

        if (s->n == SEQS_MAX || !get_varint(&in, &seq) || seq < INO_FIRST ||
            seq > INO_MAX)
            return -EUCLEAN;
        s->seq[s->n++] = seq;
    }
    return s->n ? 0 : -EUCLEAN;
}

int seqs_add(struct seqs *s, uint64_t seq)
{
    if (s->n == SEQS_MAX)
        return -ENOSPC;
    s->seq[s->n++] = seq;
    return 0;
}

void seqs_remove(struct seqs *s, uint64_t seq)
{
    unsigned i;

    for (i = 0; i < s->n; i++) {
        if (s->seq[i] != seq)
            continue;
        s->seq[i] = s->seq[--s->n];
        return;
    }
}

/* ---- superblock ---- */

void super_encode(struct buf *b, const struct super *s)
{
    bool limited = s->limit_bytes || s->limit_inodes || s->quotas;

    buf_append(b, super_magic, strlen(super_magic));
    put_varint(b, s->quotas ? SUPER_QUOTAS : limited ? SUPER_LIMITED : SUPER_VERSION);
    put_le64(b, s->hash_seed);
    put_varint(b, s->root);
    if (limited) {
        put_varint(b, s->limit_bytes);
        put_varint(b, s->limit_inodes);
    }
}

static bool decode_limits(struct slice *in, struct super *s)
{
    return get_varint(in, &s->limit_bytes) && get_varint(in, &s->limit_inodes) &&
           s->limit_bytes <= FS_SIZE_MAX && s->limit_inodes <= INO_MAX &&
           (s->limit_bytes || s->limit_inodes || s->quotas);
}

int super_decode(struct slice in, struct super *s)
{
    struct slice magic;
    uint64_t version;

    if (!get_raw(&in, strlen(super_magic), &magic) ||
        !slice_eq(magic, slice_str(super_magic)) || !get_varint(&in, &version))
        return -EUCLEAN;
    if (version > SUPER_QUOTAS)
        return -EPROTONOSUPPORT;
    s->limit_bytes = s->limit_inodes = 0;
    s->quotas = version == SUPER_QUOTAS;
    if (!version || !get_le64(&in, &s->hash_seed) || !get_varint(&in, &s->root) ||
        s->root != FS_ROOT)
        return -EUCLEAN;
    if (version >= SUPER_LIMITED && !decode_limits(&in, s))
        return -EUCLEAN;
    return in.len ? -EUCLEAN : 0;
}

int counter_decode(struct slice in, uint64_t *v)
{
    if (!get_varint(&in, v) || in.len || *v > INO_MAX)
        return -EUCLEAN;
    return 0;
}

void used_encode(struct buf *b, const struct used *u)
{
    put_varint(b, u->bytes);
    put_u8(b, u->exact);
}

int used_decode(struct slice in, struct used *u)
{
    uint8_t exact;

    if (!get_varint(&in, &u->bytes) || u->bytes > INO_MAX || !get_u8(&in, &exact) ||
        exact > 1 || in.len)
        return -EUCLEAN;
    u->exact = exact;
    return 0;
}

/* ---- quotas ---- */

void quota_encode(struct buf *b, const struct quota_record *q)
{
    put_u8(b, (uint8_t)q->state);
    put_varint(b, q->outer);
    put_varint(b, q->limit_bytes);
    put_varint(b, q->limit_inodes);
    put_varint(b, q->bytes);
    put_varint(b, q->inodes);
}

int quota_decode(struct slice in, struct quota_record *q)
{
    uint8_t state;

    if (!get_u8(&in, &state) || state < QUOTA_READY || state > QUOTA_REMOVED ||
        !get_varint(&in, &q->outer) || !get_varint(&in, &q->limit_bytes) ||
        !get_varint(&in, &q->limit_inodes) || !get_varint(&in, &q->bytes) ||
        !get_varint(&in, &q->inodes) || in.len)
        return -EUCLEAN;
    q->state = state;
    if ((q->outer && !number_valid(q->outer)) || q->limit_bytes > INO_MAX ||
        q->limit_inodes > INO_MAX || q->bytes > INO_MAX || q->inodes > INO_MAX)
        return -EUCLEAN;
    return 0;
}

int exact_decode(struct slice in, bool *exact)
{
    uint8_t v;

    if (!get_u8(&in, &v) || v > 1 || in.len)
        return -EUCLEAN;
    *exact = v;
    return 0;
}
