/*
 * db_damage.c - tables that compactions cannot read.
 *
 * A damaged block has no right answer, so a compaction that meets one fails and changes
 * nothing. Its table is found then, and stays out of compactions until the store is
 * opened again: what can be read of it is still read, what lies beside it goes on being
 * compacted, and when the way down from L0 is blocked by it, L0 is compacted within
 * itself (pick_leveled.c). It vanishes like any other once a range delete hides all of
 * it; lsm_repair makes the store without it.
 *
 * What the disk refuses to read (-EIO) it may read later: such a table stays out until
 * all of it could be read. That is tried after half a minute, and ever less often.
 */
#include "db_impl.h"

#include <inttypes.h>

#define LOOK_FIRST_NS 30000000000ull /* after it failed */
#define LOOK_LAST_NS  3600000000000ull

/* Each bad block is logged. 0, -EUCLEAN, or another error. */
static int read_all_of(struct tfile *f)
{
    struct table *t;
    int rc = tfile_pin(f, TABLE_ITER_COMPACT, &t);

    if (rc)
        return rc;
    rc = table_verify(t, NULL);
    tfile_unpin(f);
    return rc;
}

static void tell(const struct lsm *db, const struct tfile *f, const char *what)
{
    char name[NAME_BYTES];

    if (!what)
        return;
    file_name(name, FILE_TABLE, f->meta.number);
    err_log("%s/%s: %s", db->dir, name, what);
}

/* Of the tables that the disk did not read: how many there are, and when to look at the
 * next. One that is no more is not counted. */
static void count_unreadable_locked(struct lsm *db)
{
    const struct version *v = atomic_load(&db->view)->version;
    uint64_t n = 0;
    unsigned level;
    size_t i;

    db->look_ns = UINT64_MAX;
    for (level = 0; level < LSM_LEVELS; level++) {
        for (i = 0; i < v->n[level]; i++) {
            const struct tfile *f = v->file[level][i];

            if (!f->look_ns)
                continue;
            n++;
            if (f->look_ns < db->look_ns)
                db->look_ns = f->look_ns;
        }
    }
    atomic_store(&db->unreadable_tables, n);
}

/* What came of reading all of f; NULL, or what there is to tell of it. */
static const char *judge_locked(struct lsm *db, struct tfile *f, int rc)
{
    bool was_unreadable = f->look_ns;

    if (rc == -EUCLEAN || (!rc && was_unreadable))
        f->look_ns = 0;
    if (rc == -EUCLEAN)
        atomic_fetch_add(&db->damaged_tables, 1);
    if (rc == -EIO) {
        f->wait_ns = was_unreadable ? 2 * f->wait_ns : LOOK_FIRST_NS;
        if (f->wait_ns > LOOK_LAST_NS)
            f->wait_ns = LOOK_LAST_NS;
    }
    if (rc == -EIO || f->look_ns) /* or there was no memory to read it */
        f->look_ns = env_now_ns(db->env) + f->wait_ns;
    atomic_store(&f->left_out, rc == -EUCLEAN || f->look_ns);
    if (rc == -EUCLEAN)
        return "damaged: it stays out of compactions, which go on without it; lsm_repair "
               "(siltfs fsck --repair) makes the store anew";
    if (rc == -EIO && !was_unreadable)
        return "cannot be read: it stays out of compactions, which go on without it, "
               "until it can";
    return !rc && was_unreadable ? "can be read again" : NULL;
}

/* Read all of f; true: it is left out from now on. */
static bool look_at(struct lsm *db, struct tfile *f)
{
    int rc = read_all_of(f);
    const char *what;
    bool left_out;

    mutex_lock(&db->state_mu);
    what = judge_locked(db, f, rc);
    left_out = atomic_load(&f->left_out);
    mutex_unlock(&db->state_mu);
    tell(db, f, what);
    return left_out;
}

unsigned db_find_damage(struct lsm *db, const struct compaction *c)
{
    unsigned level, found = 0;
    size_t i;

    for (level = 0; level < LSM_LEVELS; level++) {
        for (i = 0; i < c->n[level]; i++) {
            struct tfile *f = c->inputs[level][i];

            if (!atomic_load(&f->left_out))
                found += look_at(db, f);
        }
    }
    mutex_lock(&db->state_mu);
    count_unreadable_locked(db);
    mutex_unlock(&db->state_mu);
    return found;
}

bool db_look_due_locked(struct lsm *db)
{
    return atomic_load(&db->unreadable_tables) && env_now_ns(db->env) >= db->look_ns;
}

void db_look_again(struct lsm *db)
{
    struct view *view = db_view_ref(db);
    struct version *v = view->version;
    uint64_t now = env_now_ns(db->env);
    unsigned level;
    size_t i;

    version_ref(v);
    db_view_unref(view);
    mutex_lock(&db->state_mu);
    db->look_ns = UINT64_MAX; /* nobody else does meanwhile */
    mutex_unlock(&db->state_mu);
    for (level = 0; level < LSM_LEVELS; level++) {
        for (i = 0; i < v->n[level]; i++) {
            struct tfile *f = v->file[level][i];
            bool due;

            mutex_lock(&db->state_mu);
            due = f->look_ns && f->look_ns <= now && !atomic_load(&db->closing);
            mutex_unlock(&db->state_mu);
            if (due)
                (void)look_at(db, f); /* it counts what is left in the end */
        }
    }
    version_unref(v);
    mutex_lock(&db->state_mu);
    count_unreadable_locked(db);
    db_bg_wake_locked(db);
    mutex_unlock(&db->state_mu);
}
