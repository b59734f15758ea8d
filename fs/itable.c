/*
 * itable.c - see itable.h. A hash table in shards, each under a short lock;
 * chains, because an inode must not move; a shard doubles and halves its
 * buckets with its population.
 */
#include "itable.h"

#include <assert.h>
#include <stdlib.h>

enum { BUCKETS_MIN = 16 };

static uint64_t mix(uint64_t v)
{
    v ^= v >> 32;
    v *= 0x9E3779B97F4A7C15ull;
    return v ^ v >> 29;
}

static struct itable_shard *shard_of(struct itable *t, uint64_t ino)
{
    return &t->shard[mix(ino) % ITABLE_SHARDS];
}

/* Other bits than the shard's. */
static struct inode **bucket_of(struct itable_shard *s, uint64_t ino)
{
    return &s->bucket[mix(ino) / ITABLE_SHARDS & s->mask];
}

int itable_init(struct itable *t)
{
    int i;

    memset(t, 0, sizeof(*t));
    for (i = 0; i < ITABLE_SHARDS; i++) {
        struct itable_shard *s = &t->shard[i];

        mutex_init(&s->mu, LOCK_FS_TABLE);
        s->mask = BUCKETS_MIN - 1;
        s->bucket = calloc(BUCKETS_MIN, sizeof(*s->bucket));
        if (!s->bucket) {
            itable_release(t);
            return -ENOMEM;
        }
    }
    return 0;
}

void itable_release(struct itable *t)
{
    int i;

    for (i = 0; i < ITABLE_SHARDS; i++) {
        struct itable_shard *s = &t->shard[i];

        if (!s->bucket)
            continue;
        assert(s->count == 0);
        mutex_release(&s->mu);
        free(s->bucket);
        s->bucket = NULL;
    }
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

void inode_move(struct inode *in, uint64_t parent, uint64_t seq, char *name)
{
    free_name(in);
    in->home = (struct home){parent, seq, name};
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

/* Best effort: without memory the chains are longer. */
static void resize_locked(struct itable_shard *s, uint64_t buckets)
{
    struct inode **old = s->bucket;
    uint64_t old_mask = s->mask, i;
    struct inode **bucket = calloc(buckets, sizeof(*bucket));

    if (!bucket)
        return;
    s->bucket = bucket;
    s->mask = buckets - 1;
    for (i = 0; i <= old_mask; i++) {
        while (old[i]) {
            struct inode *in = old[i];
            struct inode **to = bucket_of(s, in->ino);

            old[i] = in->next;
            in->next = *to;
            *to = in;
        }
    }
    free(old);
}

static struct inode *find_locked(struct itable_shard *s, uint64_t ino)
{
    struct inode *in;

    for (in = *bucket_of(s, ino); in; in = in->next) {
        if (in->ino == ino)
            return in;
    }
    return NULL;
}

static void add_locked(struct itable_shard *s, struct inode *in)
{
    struct inode **to;

    if (s->count > s->mask)
        resize_locked(s, (s->mask + 1) * 2);
    to = bucket_of(s, in->ino);
    in->next = *to;
    *to = in;
    s->count++;
}

static void remove_locked(struct itable_shard *s, struct inode *in)
{
    struct inode **at = bucket_of(s, in->ino);

    while (*at != in)
        at = &(*at)->next;
    *at = in->next;
    s->count--;
    if (s->mask >= BUCKETS_MIN && s->count < s->mask / 8)
        resize_locked(s, (s->mask + 1) / 2);
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

void itable_add_open(struct itable *t, struct inode *in)
{
    struct itable_shard *s = shard_of(t, in->ino);

    mutex_lock(&s->mu);
    in->nopen++;
    mutex_unlock(&s->mu);
}

void itable_take_lookups(struct itable *t, struct inode *in, uint64_t n)
{
    struct itable_shard *s = shard_of(t, in->ino);

    mutex_lock(&s->mu);
    in->nlookup -= n < in->nlookup ? n : in->nlookup;
    mutex_unlock(&s->mu);
}

int itable_take_open(struct itable *t, struct inode *in)
{
    struct itable_shard *s = shard_of(t, in->ino);
    int rc = -EBADF;

    mutex_lock(&s->mu);
    if (in->nopen) {
        in->nopen--;
        rc = 0;
    }
    mutex_unlock(&s->mu);
    return rc;
}

bool itable_referenced(struct itable *t, struct inode *in)
{
    struct itable_shard *s = shard_of(t, in->ino);
    bool is;

    mutex_lock(&s->mu);
    is = in->nlookup || in->nopen;
    mutex_unlock(&s->mu);
    return is;
}

bool itable_put(struct itable *t, struct inode *in)
{
    struct itable_shard *s = shard_of(t, in->ino);
    bool last;

    mutex_lock(&s->mu);
    last = in->pins == 1 && in->nlookup == 0 && in->nopen == 0;
    /* The last pin sees the state: whoever changed it gave a pin back since. */
    if (last && (in->state & (INODE_ATIME | INODE_ORPHAN))) {
        mutex_unlock(&s->mu);
        return false;
    }
    in->pins--;
    if (last) {
        remove_locked(s, in);
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
        mutex_lock(&t->shard[i].mu);
        n += t->shard[i].count;
        mutex_unlock(&t->shard[i].mu);
    }
    return n;
}

static void drain_bucket(struct itable_shard *s, struct inode **bucket,
                         itable_drain_fn *fn, void *arg)
{
    while (*bucket) {
        struct inode *in = *bucket;

        in->nlookup = 0;
        in->nopen = 0;
        in->pins = 1;
        fn(arg, in);
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
        if (!t->shard[i].bucket)
            continue; /* itable_init had no memory */
        for (b = 0; b <= t->shard[i].mask; b++)
            drain_bucket(&t->shard[i], &t->shard[i].bucket[b], fn, arg);
    }
}
