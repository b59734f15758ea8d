/*
 * itable.c - see itable.h. Two hash tables in shards, each shard under a short lock;
 * chains, because an inode must not move; a shard doubles and halves its buckets with
 * its population. An inode comes into the table of names, and leaves it, under the lock
 * of its number's shard: so what is found there is live, or was a moment ago.
 */
#include "itable.h"

#include "keys.h"

#include <assert.h>
#include <stdlib.h>

enum {
    BUCKETS_MIN = 16,
    RESIZE_AHEAD = 8, /* buckets */
    /* In a link; below are the address' bits. */
    MORE_AT = 48, /* others follow, or did when it was made */
    HASH_AT = 49,
};

static uint64_t mix(uint64_t v)
{
    v ^= v >> 32;
    v *= 0x9E3779B97F4A7C15ull;
    return v ^ v >> 29;
}

/*
 * By number, neighbours lie together, 64 rows of them: who goes through what was made
 * together touches little memory. Groups of rows are scattered, so that no stride of
 * numbers can fill one bucket.
 */
static uint64_t number_hash(uint64_t ino)
{
    return ino % ITABLE_SHARDS + ITABLE_SHARDS * (ino / ITABLE_SHARDS + mix(ino >> 12));
}

/* Many directories have a name that others have, too. */
static uint64_t place_hash(uint64_t parent, uint64_t name_hash)
{
    return mix(name_hash + mix(parent));
}

static uint64_t hash_of(const struct inode *in, enum itable_by by)
{
    return by == BY_NUMBER ? number_hash(in->ino)
                           : place_hash(in->home.parent, in->name_hash);
}

static struct inode *link_inode(inode_link link)
{
    return (void *)(uintptr_t)(link & ((UINT64_C(1) << MORE_AT) - 1));
}

static bool link_may_be(inode_link link, uint64_t hash)
{
    return (link ^ hash) >> HASH_AT == 0;
}

static inode_link *next_of(struct inode *in, enum itable_by by)
{
    return by == BY_NUMBER ? &in->next : &in->name_next;
}

/* To the front of a chain. */
static void push(inode_link *to, struct inode *in, enum itable_by by, uint64_t hash)
{
    *next_of(in, by) = *to;
    *to = (uint64_t)(uintptr_t)in | (uint64_t)(*to != 0) << MORE_AT |
          hash >> HASH_AT << HASH_AT;
}

/* The next in a chain by name. */
static inode_link name_after(inode_link link)
{
    return link >> MORE_AT & 1 ? link_inode(link)->name_next : 0;
}

static struct itable_shard *shard_at(struct itable *t, enum itable_by by, uint64_t hash)
{
    return &t->shard[by][hash % ITABLE_SHARDS];
}

static struct itable_shard *shard_of(struct itable *t, uint64_t ino)
{
    return shard_at(t, BY_NUMBER, number_hash(ino));
}

static inode_link *bucket_at(struct itable_shard *s, uint64_t hash)
{
    return &s->bucket[hash / ITABLE_SHARDS & s->mask];
}

static int shard_init(struct itable_shard *s, enum itable_by by)
{
    mutex_init(&s->mu, by == BY_NUMBER ? LOCK_FS_TABLE : LOCK_FS_NAMES);
    s->by = by;
    s->mask = BUCKETS_MIN - 1;
    s->bucket = calloc(BUCKETS_MIN, sizeof(*s->bucket));
    return s->bucket ? 0 : -ENOMEM;
}

int itable_init(struct itable *t)
{
    unsigned by, i;
    int rc = 0;

    memset(t, 0, sizeof(*t));
    for (by = BY_NUMBER; by <= BY_NAME; by++)
        for (i = 0; i < ITABLE_SHARDS && !rc; i++)
            rc = shard_init(&t->shard[by][i], by);
    if (rc)
        itable_release(t);
    return rc;
}

static void shard_release(struct itable_shard *s)
{
    if (!s->bucket)
        return;
    assert(s->count == 0);
    mutex_release(&s->mu);
    free(s->bucket);
    s->bucket = NULL;
}

void itable_release(struct itable *t)
{
    unsigned by, i;

    for (by = BY_NUMBER; by <= BY_NAME; by++)
        for (i = 0; i < ITABLE_SHARDS; i++)
            shard_release(&t->shard[by][i]);
}

/* ---- inodes ---- */

static bool copy_target(struct inode *in)
{
    uint8_t *copy;

    if (!S_ISLNK(in->rec.mode))
        return true;
    copy = malloc(in->rec.target.len);
    if (!copy) {
        in->rec.target = slice_of(NULL, 0);
        return false;
    }
    memcpy(copy, in->rec.target.data, in->rec.target.len);
    in->rec.target.data = copy;
    return true;
}

struct inode *inode_new(uint64_t ino, const struct record *rec, uint64_t parent,
                        uint64_t seq, const struct slice *name)
{
    /* The name behind the struct: an allocation less, for most never move. */
    size_t room = name ? name->len + 1 : 0;
    struct inode *in = calloc(1, sizeof(*in) + room);

    if (!in)
        return NULL;
    in->ino = ino;
    in->pins = 1;
    in->rec = *rec;
    atomic_init(&in->kin, kin_of(rec));
    rwlock_init(&in->lock, LOCK_FS_INODE);
    if (name) {
        in->room = (uint8_t)name->len; /* FS_NAME_MAX at most */
        memcpy(in->first_name, name->data, name->len);
        in->home = (struct home){parent, seq, in->first_name};
    }
    if (!copy_target(in)) {
        inode_free(in);
        return NULL;
    }
    return in;
}

static void free_name(struct inode *in)
{
    if (in->home.name != in->first_name)
        free((void *)(uintptr_t)in->home.name);
}

void inode_free(struct inode *in)
{
    if (!in)
        return;
    rwlock_release(&in->lock);
    if (S_ISLNK(in->rec.mode))
        free((void *)(uintptr_t)in->rec.target.data);
    free_name(in);
    free(in);
}

/* ---- shards ---- */

/* What moving it to other buckets looks at. */
static void fetch(const struct inode *in)
{
    __builtin_prefetch(&in->ino);
    __builtin_prefetch(&in->home);
}

/* Best effort: without memory the chains are longer. */
static void resize_locked(struct itable_shard *s, uint64_t buckets)
{
    inode_link *old = s->bucket, *bucket = calloc(buckets, sizeof(*bucket));
    uint64_t old_mask = s->mask, i;

    if (!bucket)
        return;
    s->bucket = bucket;
    s->mask = buckets - 1;
    for (i = 0; i <= old_mask; i++) {
        if (i + RESIZE_AHEAD <= old_mask && old[i + RESIZE_AHEAD])
            fetch(link_inode(old[i + RESIZE_AHEAD]));
        while (old[i]) {
            struct inode *in = link_inode(old[i]);
            uint64_t hash = hash_of(in, s->by);

            old[i] = *next_of(in, s->by);
            push(bucket_at(s, hash), in, s->by, hash);
        }
    }
    free(old);
}

static void add_locked(struct itable_shard *s, struct inode *in)
{
    uint64_t hash = hash_of(in, s->by);

    if (s->count > s->mask)
        resize_locked(s, (s->mask + 1) * 2);
    push(bucket_at(s, hash), in, s->by, hash);
    s->count++;
}

static void remove_locked(struct itable_shard *s, struct inode *in)
{
    inode_link *at = bucket_at(s, hash_of(in, s->by));

    while (link_inode(*at) != in)
        at = next_of(link_inode(*at), s->by);
    *at = *next_of(in, s->by);
    s->count--;
    if (s->mask >= BUCKETS_MIN && s->count < s->mask / 8)
        resize_locked(s, (s->mask + 1) / 2);
}

/* ---- by name ---- */

static struct itable_shard *names_of(struct itable *t, const struct inode *in)
{
    return shard_at(t, BY_NAME, hash_of(in, BY_NAME));
}

static void add_name(struct itable *t, struct inode *in)
{
    struct itable_shard *s;

    if (!in->home.parent)
        return;
    in->name_hash = name_hash(t->hash_seed, slice_str(in->home.name));
    s = names_of(t, in);
    mutex_lock(&s->mu);
    add_locked(s, in);
    mutex_unlock(&s->mu);
}

static void remove_name(struct itable *t, struct inode *in)
{
    struct itable_shard *s = names_of(t, in);

    if (!in->home.parent)
        return;
    mutex_lock(&s->mu);
    remove_locked(s, in);
    in->sole = false;
    mutex_unlock(&s->mu);
}

struct inode *itable_find_name(struct itable *t, uint64_t parent, uint64_t hash,
                               struct slice name, uint64_t *seq, bool *sole)
{
    uint64_t at = place_hash(parent, hash), ino = 0;
    struct itable_shard *s = shard_at(t, BY_NAME, at);
    inode_link link;

    mutex_lock(&s->mu);
    for (link = *bucket_at(s, at); link; link = name_after(link)) {
        const struct inode *in = link_inode(link);

        if (!link_may_be(link, at) || in->name_hash != hash ||
            in->home.parent != parent || !slice_eq(slice_str(in->home.name), name))
            continue;
        ino = in->ino;
        *seq = in->home.seq;
        *sole = in->sole;
        break;
    }
    mutex_unlock(&s->mu);
    /* It may go meanwhile, and another come for it, but that has this name, too. */
    return ino ? itable_find(t, ino) : NULL;
}

void itable_set_sole(struct itable *t, uint64_t parent, uint64_t hash, uint64_t ino)
{
    uint64_t at = place_hash(parent, hash);
    struct itable_shard *s = shard_at(t, BY_NAME, at);
    inode_link link;

    mutex_lock(&s->mu);
    for (link = *bucket_at(s, at); link; link = name_after(link)) {
        struct inode *in = link_inode(link);

        if (link_may_be(link, at) && in->name_hash == hash && in->home.parent == parent)
            in->sole = in->ino == ino;
    }
    mutex_unlock(&s->mu);
}

int inode_name_room(const struct inode *in, const char *name, char **memory)
{
    size_t len = strlen(name);

    *memory = NULL;
    if (len <= in->room)
        return 0;
    *memory = malloc(len + 1);
    return *memory ? 0 : -ENOMEM;
}

void itable_move(struct itable *t, struct inode *in, uint64_t parent, uint64_t seq,
                 const char *name, char *memory)
{
    char *to = memory ? memory : in->first_name;

    remove_name(t, in);
    free_name(in);
    in->home = (struct home){parent, seq, name ? strcpy(to, name) : NULL};
    if (!parent)
        atomic_store(&in->tree, 0);
    add_name(t, in);
}

/* ---- by number ---- */

static struct inode *find_locked(struct itable_shard *s, uint64_t ino)
{
    struct inode *in = link_inode(*bucket_at(s, number_hash(ino)));

    while (in && in->ino != ino)
        in = link_inode(in->next);
    return in;
}

struct inode *itable_find(struct itable *t, uint64_t ino)
{
    struct itable_shard *s = shard_of(t, ino);
    struct inode *in;

    mutex_lock(&s->mu);
    in = find_locked(s, ino);
    if (in)
        in->pins++;
    mutex_unlock(&s->mu);
    return in;
}

bool itable_tree(struct itable *t, uint64_t ino, uint64_t *tree)
{
    struct itable_shard *s = shard_of(t, ino);
    struct inode *in;

    mutex_lock(&s->mu);
    in = find_locked(s, ino);
    if (in)
        *tree = atomic_load(&in->tree);
    mutex_unlock(&s->mu);
    return in;
}

/* ---- notes ---- */

static _Atomic uint64_t *note_of(struct itable *t, uint64_t number)
{
    return &t->note[mix(number) % ITABLE_NOTES];
}

static uint64_t home_number(const struct inode *in)
{
    return in->home.parent ? in->home.parent : in->ino;
}

uint64_t itable_sample(struct itable *t, uint64_t number)
{
    return atomic_load(note_of(t, number));
}

void itable_note(struct itable *t, uint64_t number)
{
    atomic_fetch_add(note_of(t, number), 1);
}

struct inode *itable_insert(struct itable *t, struct inode *in, uint64_t sample)
{
    struct itable_shard *s = shard_of(t, in->ino);
    struct inode *live;

    mutex_lock(&s->mu);
    live = find_locked(s, in->ino);
    if (live) {
        live->pins++;
    } else if (itable_sample(t, home_number(in)) == sample) {
        /* Removals of this inode note under this lock: none came between. */
        add_locked(s, in);
        add_name(t, in);
        live = in;
    }
    mutex_unlock(&s->mu);
    if (live != in)
        inode_free(in);
    return live;
}

void itable_add(struct itable *t, struct inode *in)
{
    struct itable_shard *s = shard_of(t, in->ino);

    mutex_lock(&s->mu);
    add_locked(s, in);
    add_name(t, in);
    mutex_unlock(&s->mu);
}

/* ---- references ---- */

void itable_add_lookup(struct itable *t, struct inode *in)
{
    struct itable_shard *s = shard_of(t, in->ino);

    mutex_lock(&s->mu);
    in->nlookup++;
    mutex_unlock(&s->mu);
}

void itable_keep_lookup(struct itable *t, struct inode *in)
{
    struct itable_shard *s = shard_of(t, in->ino);

    mutex_lock(&s->mu);
    in->nlookup++;
    in->pins--;
    mutex_unlock(&s->mu);
}

void itable_take_lookups(struct itable *t, struct inode *in, uint64_t n)
{
    struct itable_shard *s = shard_of(t, in->ino);

    mutex_lock(&s->mu);
    in->nlookup -= n < in->nlookup ? n : in->nlookup;
    mutex_unlock(&s->mu);
}

bool itable_referenced(struct itable *t, struct inode *in)
{
    struct itable_shard *s = shard_of(t, in->ino);
    bool is;

    mutex_lock(&s->mu);
    is = in->nlookup != 0;
    mutex_unlock(&s->mu);
    return is;
}

bool itable_put(struct itable *t, struct inode *in)
{
    struct itable_shard *s = shard_of(t, in->ino);
    bool last;

    mutex_lock(&s->mu);
    last = in->pins == 1 && in->nlookup == 0;
    /* The last pin sees the state: whoever changed it gave a pin back since. */
    if (last && (in->state & (INODE_ATIME | INODE_ORPHAN))) {
        mutex_unlock(&s->mu);
        return false;
    }
    in->pins--;
    if (last) {
        remove_locked(s, in);
        remove_name(t, in);
        if (in->state & INODE_CHANGED)
            itable_note(t, home_number(in));
    }
    mutex_unlock(&s->mu);
    if (last)
        inode_free(in);
    return true;
}

uint64_t itable_count(struct itable *t)
{
    uint64_t n = 0;
    int i;

    for (i = 0; i < ITABLE_SHARDS; i++) {
        struct itable_shard *s = &t->shard[BY_NUMBER][i];

        mutex_lock(&s->mu);
        n += s->count;
        mutex_unlock(&s->mu);
    }
    return n;
}

static void drain_bucket(struct itable *t, struct itable_shard *s, inode_link *bucket,
                         itable_drain_fn *fn, void *arg)
{
    while (*bucket) {
        struct inode *in = link_inode(*bucket);

        in->nlookup = 0;
        in->pins = 1;
        fn(arg, in);
        remove_name(t, in);
        *bucket = in->next;
        s->count--;
        inode_free(in);
    }
}

void itable_drain(struct itable *t, itable_drain_fn *fn, void *arg)
{
    uint64_t b;
    int i;

    for (i = 0; i < ITABLE_SHARDS; i++) {
        struct itable_shard *s = &t->shard[BY_NUMBER][i];

        if (!s->bucket)
            continue; /* itable_init had no memory */
        for (b = 0; b <= s->mask; b++)
            drain_bucket(t, s, &s->bucket[b], fn, arg);
    }
}
