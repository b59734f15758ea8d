/*
 * stall.c - what writers pay, in time, for what the background is behind.
 *
 * A price for each KiB written, in nanoseconds, is the greatest of three:
 *
 *   the levels   grows with the square of what L0 or a level is over its measure
 *   the space    of the value log, near its limit (db_space.c); there writers wait
 *   the flush    so that the memtables that are left last as long as flushing the
 *                full ones takes: with R bytes to flush at F bytes a second, and room
 *                for S, writers may write F * S / R a second
 *
 * A price is paid on a clock: who writes more slowly than it demands never waits. So
 * the way from no debt to much is smooth; only when every memtable is full a writer
 * stops until one is flushed, which the last price makes rare.
 */
#include "db_impl.h"

enum {
    L0_SLOW_FACTOR = 3,      /* L0 tables over its trigger that slow writers down */
    LEVEL_SLOW_SCORE = 3,    /* a level's score, likewise */
    DELAY_UNIT_NS = 100,     /* a KiB, for each table squared */
    DELAY_MIN_NS = 1000000,  /* shorter delays are saved up */
    DELAY_MAX_NS = 50000000, /* no single one is longer */
    LOOK_AGAIN_NS = 200000000,
    REPRICE_BYTES = 64 << 10, /* written between looks at the memtables */
    ROOM_LEAST = 16,          /* of a memtable, this part counts as room in any case */
};

/* ---- paying ---- */

/* Pay ns. */
static void pay(struct lsm *db, uint64_t ns)
{
    uint64_t now = env_now_ns(db->env), until;
    uint64_t old = atomic_load_explicit(&db->paid_ns, memory_order_relaxed);

    do
        until = (old > now ? old : now) + ns;
    while (!atomic_compare_exchange_weak_explicit(
        &db->paid_ns, &old, until, memory_order_relaxed, memory_order_relaxed));
    if (until < now + DELAY_MIN_NS)
        return;
    until -= now;
    if (until > DELAY_MAX_NS) {
        /* Debts beyond that are forgiven, or one large write would stop all others. */
        until = DELAY_MAX_NS;
        atomic_store_explicit(&db->paid_ns, now + DELAY_MAX_NS, memory_order_relaxed);
    }
    env_about_to_block();
    env_sleep_ns(db->env, until);
    db_took(db, LSM_TIME_STALL, env_now_ns(db->env) - now);
}

void db_throttle(struct lsm *db, const struct lsm_batch *b)
{
    uint64_t price = atomic_load_explicit(&db->price_ns_per_kib, memory_order_relaxed);
    uint64_t flush =
        atomic_load_explicit(&db->flush_price_ns_per_kib, memory_order_relaxed);
    uint64_t ns, space = db_space_price(db, b), waited;

    if (flush > price)
        price = flush;
    ns = price * (b->user_bytes + 64) / 1024;
    if (space > ns)
        ns = space;
    if (ns)
        pay(db, ns);
    waited =
        space && db->o.workers && !atomic_load(&db->low_space) ? db_space_wait(db) : 0;
    if (waited)
        db_took(db, LSM_TIME_STALL, waited);
}

int db_wait_for_room(struct lsm *db)
{
    uint64_t start = env_now_ns(db->env);
    int rc = 0;

    if (!db->o.workers)
        db_bg_inline(db);
    env_about_to_block();
    mutex_lock(&db->state_mu);
    while (atomic_load(&db->need_room) && !atomic_load(&db->error) && !db->closing &&
           !rc) {
        rc = db->flush_error;
        if (!rc) /* not for ever: an error elsewhere wakes nobody */
            cond_wait_ns(&db->room, &db->state_mu, LOOK_AGAIN_NS);
    }
    mutex_unlock(&db->state_mu);
    db_took(db, LSM_TIME_STALL, env_now_ns(db->env) - start);
    return rc;
}

/* ---- prices ---- */

/* How many tables, or what corresponds to them, the levels are behind. */
static double levels_behind(struct lsm *db)
{
    const struct version *v = atomic_load(&db->view)->version;
    struct pick_options o = db_pick_options(db);
    double worst = 0, limit;
    struct level_targets t;
    unsigned level;

    pick_targets(v, &o, &t);
    for (level = 0; level < LSM_LEVELS; level++) {
        double score = pick_score(v, &o, &t, level);

        atomic_store(&db->level_score_permille[level], (uint64_t)(score * 1000));
        limit = level ? LEVEL_SLOW_SCORE : L0_SLOW_FACTOR;
        if (score - limit > worst)
            worst = score - limit;
    }
    return worst * o.l0_trigger;
}

void db_set_delay_locked(struct lsm *db)
{
    double over = levels_behind(db);

    atomic_store(&db->price_ns_per_kib,
                 over < 1e6 ? (uint64_t)(over * over * DELAY_UNIT_NS) : UINT32_MAX);
}

void db_count_waiting_locked(struct lsm *db)
{
    const struct view *v = atomic_load(&db->view);
    uint64_t bytes = 0;
    unsigned i;

    for (i = 0; i < v->n_imm; i++)
        bytes += memtable_bytes(v->imm[i]);
    atomic_store(&db->waiting_bytes, bytes);
    if (!v->n_imm)
        atomic_store_explicit(&db->flush_price_ns_per_kib, 0, memory_order_relaxed);
    atomic_store(&db->waiting, v->n_imm);
}

void db_price_flush_locked(struct lsm *db, size_t bytes)
{
    uint64_t waiting = atomic_load_explicit(&db->waiting_bytes, memory_order_relaxed);
    uint64_t done = atomic_load_explicit(&db->flush_done_bytes, memory_order_relaxed);
    double speed = atomic_load_explicit(&db->flush_bytes_per_ns, memory_order_relaxed);
    double size = (double)db->o.memtable_bytes, room, left, per_user, price = 0;

    db->unpriced_bytes += bytes;
    if (db->unpriced_bytes < REPRICE_BYTES)
        return;
    db->mem_user_bytes += db->unpriced_bytes;
    db->unpriced_bytes = 0;
    if (waiting > done && speed > 0) {
        double used = (double)memtable_bytes(db->mem);
        unsigned full = atomic_load_explicit(&db->waiting, memory_order_relaxed);

        left = (double)(waiting - done);
        room = size * (double)(db->o.memtables - full) - used;
        if (room < size / ROOM_LEAST)
            room = size / ROOM_LEAST;
        /* What a user's byte takes in a memtable, as far as this one tells. */
        per_user = used / (double)db->mem_user_bytes;
        if (per_user < 1)
            per_user = 1;
        price = 1024.0 * per_user * left / (speed * room);
    }
    atomic_store_explicit(&db->flush_price_ns_per_kib,
                          price < 1e9 ? (uint64_t)price : 1000000000,
                          memory_order_relaxed);
}

void db_note_flush(struct lsm *db, uint64_t bytes, uint64_t ns)
{
    double now = ns ? (double)bytes / (double)ns : 0;
    double old = atomic_load(&db->flush_bytes_per_ns);

    /* Small ones are mostly syncs: they say little of the speed. */
    if (bytes < db->o.memtable_bytes / 4 || now <= 0)
        return;
    atomic_store(&db->flush_bytes_per_ns, old > 0 ? old * 0.7 + now * 0.3 : now);
}
