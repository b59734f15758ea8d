/*
 * merge.c - see merge.h. A binary heap of children; the top is the current
 * entry. Going forward the smallest key is on top, going backward the largest.
 * A change of direction repositions all children around the current key.
 */
#include "merge.h"

#include <errno.h>
#include <stdlib.h>

struct merge {
    struct iter it;
    unsigned n;
    unsigned *heap; /* of valid children; behind child */
    unsigned n_heap;
    bool backward;
    struct buf key;       /* scratch for a change of direction */
    struct iter *child[]; /* by age */
};

unsigned merge_source(const struct merge *m)
{
    return m->n == 1 ? 0 : m->heap[0];
}

struct iter *merge_iter(struct merge *m)
{
    return &m->it;
}

struct iter *merge_reader(struct merge *m)
{
    return m->n == 1 ? m->child[0] : &m->it;
}

static inline bool goes_first(const struct merge *m, unsigned a, unsigned b)
{
    int c = ikey_cmp(m->child[a]->key, m->child[b]->key);

    if (c == 0)
        return a < b;
    return m->backward ? c > 0 : c < 0;
}

static void sift_down(struct merge *m, unsigned at)
{
    unsigned moving = m->heap[at];

    for (;;) {
        unsigned kid = 2 * at + 1;

        if (kid >= m->n_heap)
            break;
        if (kid + 1 < m->n_heap && goes_first(m, m->heap[kid + 1], m->heap[kid]))
            kid++;
        if (!goes_first(m, m->heap[kid], moving))
            break;
        m->heap[at] = m->heap[kid];
        at = kid;
    }
    m->heap[at] = moving;
}

static void show_top(struct merge *m)
{
    struct iter *top;

    m->it.valid = m->n_heap > 0 && !m->it.err;
    if (!m->it.valid)
        return;
    top = m->child[m->heap[0]];
    m->it.key = top->key;
    m->it.value = top->value;
}

/* An error of any child ends the whole: a reader must not miss its entries. */
static bool child_failed(struct merge *m, unsigned i)
{
    if (!m->child[i]->err)
        return false;
    iter_stop(&m->it, m->child[i]->err);
    return true;
}

static void build(struct merge *m, bool backward)
{
    unsigned i;

    m->backward = backward;
    m->n_heap = 0;
    for (i = 0; i < m->n; i++) {
        if (child_failed(m, i))
            return;
        if (m->child[i]->valid)
            m->heap[m->n_heap++] = i;
    }
    for (i = m->n_heap / 2; i-- > 0;)
        sift_down(m, i);
    show_top(m);
}

static void m_first(struct iter *it)
{
    struct merge *m = (struct merge *)it;
    unsigned i;

    for (i = 0; i < m->n; i++)
        iter_first(m->child[i]);
    build(m, false);
}

static void m_last(struct iter *it)
{
    struct merge *m = (struct merge *)it;
    unsigned i;

    for (i = 0; i < m->n; i++)
        iter_last(m->child[i]);
    build(m, true);
}

static void m_seek(struct iter *it, struct slice ikey)
{
    struct merge *m = (struct merge *)it;
    unsigned i;

    for (i = 0; i < m->n; i++)
        iter_seek(m->child[i], ikey);
    build(m, false);
}

static void m_seek_prev(struct iter *it, struct slice ikey)
{
    struct merge *m = (struct merge *)it;
    unsigned i;

    for (i = 0; i < m->n; i++)
        iter_seek_prev(m->child[i], ikey);
    build(m, true);
}

/* The top child has moved: restore the heap. */
static void top_moved(struct merge *m)
{
    unsigned top = m->heap[0];

    if (child_failed(m, top))
        return;
    if (!m->child[top]->valid) {
        m->heap[0] = m->heap[--m->n_heap];
        if (!m->n_heap) {
            m->it.valid = false;
            return;
        }
    }
    if (m->n_heap > 1)
        sift_down(m, 0);
    show_top(m);
}

/*
 * All children but the current one stand on the other side of the current key.
 * Internal keys are unique within a store, so seeking to the key itself puts
 * them beyond it.
 */
static void turn(struct merge *m, bool backward)
{
    unsigned current = m->heap[0], i;

    buf_assign(&m->key, m->it.key);
    if (buf_error(&m->key)) {
        iter_stop(&m->it, -ENOMEM);
        return;
    }
    for (i = 0; i < m->n; i++) {
        if (i == current)
            continue;
        if (backward)
            iter_seek_prev(m->child[i], buf_slice(&m->key));
        else
            iter_seek(m->child[i], buf_slice(&m->key));
    }
    build(m, backward);
}

static void m_next(struct iter *it)
{
    struct merge *m = (struct merge *)it;

    if (m->backward) {
        turn(m, false);
        if (!it->valid)
            return;
    }
    iter_next(m->child[m->heap[0]]);
    top_moved(m);
}

static void m_prev(struct iter *it)
{
    struct merge *m = (struct merge *)it;

    if (!m->backward) {
        turn(m, true);
        if (!it->valid)
            return;
    }
    iter_prev(m->child[m->heap[0]]);
    top_moved(m);
}

void merge_skip(struct merge *m, unsigned from, struct slice ikey)
{
    unsigned i;

    for (i = from; i < m->n; i++)
        if (m->child[i]->valid && ikey_cmp(m->child[i]->key, ikey) < 0)
            iter_seek(m->child[i], ikey);
    build(m, false);
}

void merge_skip_back(struct merge *m, unsigned from, struct slice ikey)
{
    unsigned i;

    for (i = from; i < m->n; i++)
        if (m->child[i]->valid && ikey_cmp(m->child[i]->key, ikey) > 0)
            iter_seek_prev(m->child[i], ikey);
    build(m, true);
}

static void m_free(struct iter *it)
{
    struct merge *m = (struct merge *)it;
    unsigned i;

    for (i = 0; i < m->n; i++)
        iter_free(m->child[i]);
    buf_release(&m->key);
    free(m);
}

struct merge *merge_new(struct iter **children, unsigned n)
{
    static const struct iter_ops ops = {m_first, m_last, m_seek, m_seek_prev,
                                        m_next,  m_prev, m_free};
    struct merge *m = iter_alloc(sizeof(*m) + n * (sizeof(*m->child) + sizeof(*m->heap)));
    unsigned i;

    if (!m) {
        for (i = 0; i < n; i++)
            iter_free(children[i]);
        return NULL;
    }
    m->it.ops = &ops;
    m->heap = (unsigned *)(m->child + n);
    for (i = 0; i < n; i++)
        m->child[i] = children[i];
    m->n = n;
    return m;
}
