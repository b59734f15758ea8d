/*
 * skip_later.c - see skip_later.h.
 *
 * What waits is a stack, linked by what will be the node's link at level 0; in the upper
 * bits of that is the node's height, in those of the stack's head how many wait. Who
 * empties it holds mu, and has said so (`busy`) before: so who finds neither finds all in
 * the list.
 */
#include "skip_later.h"

#include "skiplist_impl.h"

enum {
    MOST = 1024, /* then who comes waits for the one who puts them in */
};

/* A node on its way. */
struct way {
    struct skip_node *n;
    int height;
    struct skip_target t;
    struct splice s;
    int level;           /* at which it is, */
    struct skip_node *p; /* before its place */
    unsigned at;         /* the first bit in which t and p differ */
    uint64_t link;       /* to the node to look at next, which is being fetched, or 0 */
};

void skip_later_init(struct skip_later *w, struct skiplist *list)
{
    w->list = list;
    atomic_init(&w->waiting, 0);
    atomic_init(&w->busy, false);
    mutex_init(&w->mu, LOCK_SKIP_LATER);
}

void skip_later_release(struct skip_later *w)
{
    mutex_release(&w->mu);
}

/* ---- the ways ---- */

static void way_begin(struct way *y, const struct skiplist *l, struct skip_node *n)
{
    int levels = atomic_load_explicit(&l->height, memory_order_relaxed);

    y->n = n;
    y->height = skip_made_height(n);
    skip_target_init(&y->t, node_user(n), node_trailer(n));
    y->s.list = l->id;
    y->s.height = levels;
    y->s.prev[levels] = l->head;
    y->s.next[levels] = NULL;
    y->level = levels - 1;
    y->p = l->head;
    y->at = skip_diff(node_user(l->head), &y->t);
    y->link = 0;
}

static void fetch(const struct skip_node *n, int level)
{
    __builtin_prefetch(link_at(n, level));
    __builtin_prefetch(n->bytes);
}

/* True: go on with the others, a node is being fetched; false: there. */
static bool way_go_on(struct way *y)
{
    struct splice *s = &y->s;

    for (;;) {
        uint64_t link = y->link;
        struct skip_node *n = link_node(link);

        y->link = 0;
        if (n && goes_before(link, &y->t, &y->at)) {
            y->p = n;
            n = NULL;
        }
        if (!n) {
            link = load_link(y->p, y->level);
            n = link_node(link);
            if (n && n != s->next[y->level + 1] && !stays_behind(link, &y->t, y->at)) {
                fetch(n, y->level);
                y->link = link;
                return true;
            }
        }
        s->prev[y->level] = y->p;
        s->next[y->level] = n;
        if (n && y->level < y->height)
            __builtin_prefetch(n->bytes); /* a link to it may need its key */
        if (y->level-- == 0)
            return false;
    }
}

/* Their places are where each would be without the others: loose, for link_level. The
 * newest are first, and come in last: the next key may belong beside those. */
static void put_in(struct skiplist *l, struct skip_node *const *n, unsigned count)
{
    struct splice levels = {.height = 0};
    struct way way[SKIP_LATER];
    bool there[SKIP_LATER] = {false};
    unsigned i, left = count;

    for (i = 0; i < count; i++)
        skip_raise(l, &levels, skip_made_height(n[i]));
    for (i = 0; i < count; i++)
        way_begin(&way[i], l, n[i]);
    while (left)
        for (i = 0; i < count; i++)
            if (!there[i] && !way_go_on(&way[i])) {
                there[i] = true;
                left--;
            }
    while (count > 0) {
        struct way *y = &way[--count];

        for (int level = 0; level < y->height; level++)
            skip_link_level(&y->s, y->n, level, &y->t, SKIP_NODE);
        *skip_hint(y->t.user) = y->s;
    }
}

/* ---- who waits ---- */

static void empty_locked(struct skip_later *w)
{
    struct skip_node *some[SKIP_LATER], *n;
    unsigned count;

    atomic_store_explicit(&w->busy, true, memory_order_relaxed);
    n = link_node(atomic_exchange_explicit(&w->waiting, 0, memory_order_acq_rel));
    while (n) {
        for (count = 0; n && count < SKIP_LATER; count++) {
            some[count] = n;
            n = link_node(atomic_load_explicit(&n->next0, memory_order_relaxed));
        }
        put_in(w->list, some, count);
    }
    atomic_store_explicit(&w->busy, false, memory_order_release);
}

void skip_later_put(struct skip_later *w, struct skip_node *n)
{
    unsigned height = (unsigned)skip_made_height(n), count;
    uint64_t top = atomic_load_explicit(&w->waiting, memory_order_relaxed);

    do {
        count = link_mark(top) + 1;
        atomic_store_explicit(&n->next0, link_to(link_node(top), height),
                              memory_order_relaxed);
    } while (!atomic_compare_exchange_weak_explicit(&w->waiting, &top, link_to(n, count),
                                                    memory_order_release,
                                                    memory_order_relaxed));
    if (count < SKIP_LATER)
        return;
    if (count >= MOST)
        mutex_lock(&w->mu);
    else if (!mutex_trylock(&w->mu))
        return;
    empty_locked(w);
    mutex_unlock(&w->mu);
}

void skip_later_all(struct skip_later *w)
{
    if (!atomic_load_explicit(&w->waiting, memory_order_acquire) &&
        !atomic_load_explicit(&w->busy, memory_order_acquire))
        return;
    mutex_lock(&w->mu);
    empty_locked(w);
    mutex_unlock(&w->mu);
}
