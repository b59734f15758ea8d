/*
 * entries.c - see entries.h.
 */
#include "entries.h"

#include <stdlib.h>

#include "lsm/vlog.h"
#include "test.h"

static void release(struct entry *e)
{
    buf_release(&e->ikey);
    buf_release(&e->value);
}

void entries_free(struct entries *es)
{
    size_t i;

    for (i = 0; i < es->n; i++)
        release(&es->e[i]);
    free(es->e);
    memset(es, 0, sizeof(*es));
}

static struct entry *add_empty(struct entries *es)
{
    if (es->n == es->cap) {
        es->cap = es->cap ? 2 * es->cap : 16;
        es->e = realloc(es->e, es->cap * sizeof(*es->e));
        ck_assert_ptr_nonnull(es->e);
    }
    memset(&es->e[es->n], 0, sizeof(*es->e));
    return &es->e[es->n++];
}

void entries_add(struct entries *es, struct slice user, uint64_t seq, enum ikey_type type,
                 struct slice value)
{
    struct entry *e = add_empty(es);

    ikey_append(&e->ikey, user, seq, type);
    buf_append_slice(&e->value, value);
}

static int cmp_entries(const void *a, const void *b)
{
    return ikey_cmp(buf_slice(&((const struct entry *)a)->ikey),
                    buf_slice(&((const struct entry *)b)->ikey));
}

void entries_random_bytes(struct buf *b, uint64_t *r, size_t n, unsigned alphabet)
{
    while (n--)
        put_u8(b, (uint8_t)('a' + test_below(r, alphabet)));
}

static void random_pointer(struct buf *to, uint64_t *r)
{
    struct vptr p = {.segment = 1 + test_below(r, 5) * 1000,
                     .offset = test_below(r, 1 << 30),
                     .stored = (uint32_t)test_below(r, 1 << 20),
                     .raw = (uint32_t)test_below(r, 1 << 20)};

    p.off = (uint32_t)test_below(r, p.raw + 1);
    p.len = (uint32_t)test_below(r, p.raw - p.off + 1);
    vptr_append(to, &p);
}

static void random_entry(struct entry *e, uint64_t *r, size_t max_key, size_t max_value,
                         unsigned alphabet)
{
    enum ikey_type type = (enum ikey_type)test_below(r, 3);
    uint64_t seq =
        test_below(r, 2) ? 1 + test_below(r, 4) : test_below(r, IKEY_SEQ_STORED);

    entries_random_bytes(&e->ikey, r, test_below(r, max_key + 1), alphabet);
    if (e->ikey.len && test_below(r, 8) == 0)
        e->ikey.data[test_below(r, e->ikey.len)] = test_below(r, 2) ? 0 : 255;
    put_le64(&e->ikey, ikey_pack(seq, type));
    if (type == IKEY_PUT_REF)
        random_pointer(&e->value, r);
    else
        entries_random_bytes(&e->value, r, test_below(r, max_value + 1), 26);
}

struct entries entries_random(uint64_t *r, size_t n, size_t max_key, size_t max_value)
{
    struct entries es = {0};
    unsigned alphabet = (unsigned)(1 + test_below(r, 5));
    size_t i, kept = 0;

    for (i = 0; i < n; i++)
        random_entry(add_empty(&es), r, max_key, max_value, alphabet);
    qsort(es.e, n, sizeof(*es.e), cmp_entries);
    for (i = 0; i < n; i++) {
        if (kept && cmp_entries(&es.e[kept - 1], &es.e[i]) == 0)
            release(&es.e[i]);
        else
            es.e[kept++] = es.e[i];
    }
    es.n = kept;
    return es;
}

size_t entries_find(const struct entries *es, struct slice ikey)
{
    size_t lo = 0;
    size_t hi = es->n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (ikey_cmp(buf_slice(&es->e[mid].ikey), ikey) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

size_t entries_get(const struct entries *es, struct slice ikey)
{
    size_t i = entries_find(es, ikey);

    if (i < es->n && slice_eq(ikey_user(ikey), ikey_user(buf_slice(&es->e[i].ikey))))
        return i;
    return es->n;
}

void entries_check_at(const struct iter *it, const struct entries *es, size_t i)
{
    ck_assert_int_eq(it->err, 0);
    ck_assert(it->valid == (i < es->n));
    if (!it->valid)
        return;
    ck_assert(slice_eq(it->key, buf_slice(&es->e[i].ikey)));
    ck_assert(slice_eq(it->value, buf_slice(&es->e[i].value)));
}

void entries_check_walks(struct iter *it, const struct entries *es)
{
    size_t i;

    for (iter_first(it), i = 0; i < es->n; iter_next(it))
        entries_check_at(it, es, i++);
    entries_check_at(it, es, es->n);
    for (iter_last(it), i = es->n; i > 0; iter_prev(it))
        entries_check_at(it, es, --i);
    entries_check_at(it, es, es->n);
}

void entries_probe(const struct entries *es, uint64_t *r, entries_probe_fn *fn, void *arg)
{
    struct buf key = {0};
    size_t i;

    for (i = 0; i < es->n; i++) {
        buf_assign(&key, buf_slice(&es->e[i].ikey));
        fn(arg, es, buf_slice(&key));
        /* The versions just before and just after it. */
        store_le64(key.data + key.len - 8, ikey_trailer(buf_slice(&key)) + 256);
        fn(arg, es, buf_slice(&key));
        store_le64(key.data + key.len - 8, ikey_trailer(buf_slice(&key)) - 512);
        fn(arg, es, buf_slice(&key));
    }
    for (i = 0; i < 50; i++) { /* these may begin as none does */
        buf_clear(&key);
        entries_random_bytes(&key, r, test_below(r, 12), 6);
        put_le64(&key, test_random(r));
        fn(arg, es, buf_slice(&key));
    }
    buf_release(&key);
}

void entries_check_seek(void *arg, const struct entries *es, struct slice ikey)
{
    struct iter *it = arg;
    size_t i = entries_find(es, ikey);
    bool exact = i < es->n && ikey_cmp(buf_slice(&es->e[i].ikey), ikey) == 0;

    iter_seek(it, ikey);
    entries_check_at(it, es, i);
    if (i + 1 < es->n) {
        iter_next(it);
        entries_check_at(it, es, i + 1);
    }
    iter_seek_prev(it, ikey);
    if (!exact && i == 0) {
        entries_check_at(it, es, es->n);
        return;
    }
    i -= !exact;
    entries_check_at(it, es, i);
    if (i > 0) {
        iter_prev(it);
        entries_check_at(it, es, i - 1);
    }
}
