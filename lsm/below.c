/*
 * below.c - see below.h. The tables are pinned, which costs two atomic operations each,
 * not one for each key.
 */
#include "below.h"

#include "hash.h"

static struct table *pin(struct tfile *f)
{
    struct table *t;

    return tfile_pin_open(f, &t) ? t : NULL;
}

void below_init(struct below *b, const struct version *v)
{
    size_t i;

    memset(b, 0, sizeof(*b));
    b->version = v;
    for (i = 0; i < v->n[0] && i < BELOW_L0_MAX; i++)
        b->l0[i] = pin(v->file[0][i]);
}

void below_release(struct below *b)
{
    size_t i;

    for (i = 0; i < BELOW_L0_MAX; i++)
        if (b->l0[i])
            tfile_unpin(b->version->file[0][i]);
    for (i = 1; i < LSM_LEVELS; i++)
        if (b->table[i])
            tfile_unpin(b->file[i]);
}

static bool table_holds(const struct table *t, struct slice user, uint64_t *hash)
{
    if (!t)
        return true;
    if (!*hash)
        *hash = hash_key(user);
    return table_may_contain(t, *hash);
}

/* The table of a level below L0 that key is in the range of, or NULL. */
static struct tfile *find(struct below *b, unsigned level, struct slice user)
{
    const struct version *v = b->version;
    struct tfile *f = b->file[level];
    size_t i;

    if (f && table_range_cmp(&f->meta, user) == 0)
        return f;
    i = version_find(v, level, user);
    if (i == v->n[level] || table_range_cmp(&v->file[level][i]->meta, user) != 0)
        return NULL;
    if (b->table[level])
        tfile_unpin(f);
    b->file[level] = v->file[level][i];
    b->table[level] = pin(b->file[level]);
    return b->file[level];
}

bool below_may_hold(struct below *b, struct slice user)
{
    const struct version *v = b->version;
    uint64_t hash = 0; /* not computed yet */
    unsigned level;
    size_t i;

    for (i = 0; i < v->n[0]; i++)
        if (table_range_cmp(&v->file[0][i]->meta, user) == 0 &&
            table_holds(i < BELOW_L0_MAX ? b->l0[i] : NULL, user, &hash))
            return true;
    for (level = 1; level < LSM_LEVELS; level++)
        if (v->n[level] && find(b, level, user) &&
            table_holds(b->table[level], user, &hash))
            return true;
    return false;
}
