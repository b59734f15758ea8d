/*
 * view.c - what readers read, and how it is replaced under them.
 *
 * A thread has one slot number for all stores, given back when it ends. A
 * reader stores the view's address in its slot and looks again whether it is
 * still current; who replaces a view afterwards sees it there. Threads beyond
 * the slots fall back to counting under state_mu.
 */
#include <stdlib.h>

#include "db_impl.h"

static _Atomic uint64_t slots_used; /* one bit a slot */
static __thread int my_slot = -1;   /* -1: not asked yet; SLOTS: none */
static pthread_key_t slot_key;
static pthread_once_t slot_once = PTHREAD_ONCE_INIT;

static void give_slot_back(void *arg)
{
    int slot = (int)(intptr_t)arg - 1;

    my_slot = -1;
    atomic_fetch_and(&slots_used, ~(1ull << slot));
}

static void make_key(void)
{
    pthread_key_create(&slot_key, give_slot_back);
}

static void take_slot(void)
{
    uint64_t used = atomic_load(&slots_used);

    pthread_once(&slot_once, make_key);
    my_slot = SLOTS;
    while (~used) {
        int free_one = __builtin_ctzll(~used);

        if (!atomic_compare_exchange_weak(&slots_used, &used, used | 1ull << free_one))
            continue;
        my_slot = free_one;
        pthread_setspecific(slot_key, (void *)(intptr_t)(free_one + 1));
        return;
    }
}

struct slot *db_slot(struct lsm *db)
{
    if (my_slot < 0)
        take_slot();
    return my_slot < SLOTS ? &db->slot[my_slot] : NULL;
}

struct view *db_view(struct lsm *db, struct slot *s)
{
    struct view *v, *again;

    if (!s)
        return db_view_ref(db); /* which locks */
    v = atomic_load_explicit(&db->view, memory_order_acquire);
    for (;;) {
        atomic_store(&s->view, v); /* sequentially consistent: before the look */
        again = atomic_load(&db->view);
        if (again == v)
            return v;
        v = again;
    }
}

void db_view_done(struct slot *s, struct view *v)
{
    if (!s) {
        db_view_unref(v);
        return;
    }
    /* Counted, so that a thread that reads on and on is seen to leave. */
    atomic_store_explicit(&s->uses,
                          atomic_load_explicit(&s->uses, memory_order_relaxed) + 1,
                          memory_order_release);
    atomic_store_explicit(&s->view, NULL, memory_order_release);
}

void db_note_readers(void *arg, struct short_readers *r)
{
    struct lsm *db = arg;
    unsigned i;

    r->busy = 0;
    for (i = 0; i < SLOTS; i++) {
        if (!atomic_load(&db->slot[i].view))
            continue;
        r->busy |= 1ull << i;
        r->uses[i] = atomic_load(&db->slot[i].uses);
    }
}

bool db_readers_left(void *arg, struct short_readers *r)
{
    struct lsm *db = arg;
    uint64_t ask;

    for (ask = r->busy; ask; ask &= ask - 1) {
        int i = __builtin_ctzll(ask);

        if (!atomic_load(&db->slot[i].view) ||
            atomic_load(&db->slot[i].uses) != r->uses[i])
            r->busy &= ~(1ull << i);
    }
    return !r->busy;
}

struct view *db_view_ref(struct lsm *db)
{
    struct slot *s = db_slot(db);
    struct view *v;

    if (s && !atomic_load_explicit(&s->view, memory_order_relaxed)) {
        v = db_view(db, s);
        atomic_fetch_add(&v->refs, 1);
        db_view_done(s, v);
        return v;
    }
    mutex_lock(&db->state_mu);
    v = atomic_load_explicit(&db->view, memory_order_relaxed);
    atomic_fetch_add(&v->refs, 1);
    mutex_unlock(&db->state_mu);
    return v;
}

void db_view_unref(struct view *v)
{
    unsigned i;

    if (!v || atomic_fetch_sub(&v->refs, 1) != 1)
        return;
    memtable_unref(v->mem);
    for (i = 0; i < v->n_imm; i++)
        memtable_unref(v->imm[i]);
    version_unref(v->version);
    free(v);
}

struct view *db_view_new(struct memtable *mem, struct memtable *const *imm,
                         unsigned n_imm, struct version *version)
{
    struct view *v = calloc(1, sizeof(*v));
    unsigned i;

    if (!v)
        return NULL;
    atomic_init(&v->refs, 1);
    v->mem = mem;
    memtable_ref(mem);
    for (i = 0; i < n_imm; i++) {
        v->imm[i] = imm[i];
        memtable_ref(imm[i]);
    }
    v->n_imm = n_imm;
    v->version = version;
    version_ref(version);
    return v;
}

void db_view_install_locked(struct lsm *db, struct view *v)
{
    struct view *old = atomic_exchange(&db->view, v);

    if (old) {
        old->next = db->replaced;
        db->replaced = old;
    }
}

static bool is_read(struct lsm *db, const struct view *v)
{
    unsigned i;

    for (i = 0; i < SLOTS; i++)
        if (atomic_load(&db->slot[i].view) == v)
            return true;
    /* Held by iterators: stays listed, so that segment collection sees it. */
    return atomic_load(&v->refs) > 1;
}

void db_view_reap(struct lsm *db)
{
    struct view *unread = NULL, **at;

    mutex_lock(&db->state_mu);
    for (at = &db->replaced; *at;) {
        struct view *v = *at;

        if (is_read(db, v)) {
            at = &v->next;
            continue;
        }
        *at = v->next;
        v->next = unread;
        unread = v;
    }
    mutex_unlock(&db->state_mu);
    while (unread) {
        struct view *next = unread->next;

        db_view_unref(unread);
        unread = next;
    }
}
