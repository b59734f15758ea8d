/*
 * fuzz_batch.c - any bytes as an encoded batch: reading it may not leave its
 * bounds, and what is accepted, encoded again, reads the same.
 *
 *   clang -fsanitize=fuzzer,address,undefined -I. -D_GNU_SOURCE tests/fuzz_batch.c \
 *     lsm/batch.c lsm/buf.c lsm/coding.c
 *
 * test_batch.c runs it on mutations of sound batches.
 */
#include <stdlib.h>

#include "lsm/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                            \
    do {                                                                                 \
        if (!(condition))                                                                \
            abort();                                                                     \
    } while (0)

static bool within(struct slice part, struct slice whole)
{
    return part.len == 0 || (part.data >= whole.data && part.len <= whole.len &&
                             (size_t)(part.data - whole.data) <= whole.len - part.len);
}

/* The entry as an operation of b. */
static void add_again(struct lsm_batch *b, const struct batch_entry *e)
{
    switch (e->type) {
    case IKEY_DELETE:
        lsm_batch_delete(b, e->key);
        break;
    case IKEY_PUT:
        lsm_batch_put(b, e->key, e->value);
        break;
    case IKEY_PUT_REF:
        lsm_batch_put(b, e->key, slice_of(NULL, 0));
        FUZZ_CHECK(!b->err);
        batch_set_value(b, &b->ops[b->n - 1], BATCH_POINTER, e->value);
        break;
    case IKEY_RANGE_DELETE:
        lsm_batch_delete_range(b, e->key, e->value);
        break;
    }
}

/* Would lsm_batch_delete_range take it? */
static bool is_kept(const struct batch_entry *e)
{
    return e->type != IKEY_RANGE_DELETE ||
           (e->value.len <= LSM_KEY_MAX && slice_cmp(e->key, e->value) < 0);
}

/* Read wire to its end; with b, add everything to it. False: damaged. */
static bool read_all(struct slice wire, struct lsm_batch *b, uint64_t *first, bool *kept)
{
    struct batch_reader r;
    struct batch_entry e;
    uint64_t n = 0;
    int rc;

    *kept = true;
    if (!batch_reader_init(&r, wire))
        return false;
    *first = r.first_seq;
    while ((rc = batch_reader_next(&r, &e)) > 0) {
        FUZZ_CHECK(rc == 1 && e.seq == r.first_seq + n && e.seq <= IKEY_SEQ_STORED);
        FUZZ_CHECK(++n <= r.count && n <= wire.len);
        FUZZ_CHECK(e.type <= IKEY_TYPE_LAST && e.key.len <= LSM_KEY_MAX);
        FUZZ_CHECK(within(e.key, wire) && within(e.value, wire));
        *kept &= is_kept(&e);
        add_again(b, &e);
    }
    FUZZ_CHECK(rc == 0 || rc == -EUCLEAN);
    FUZZ_CHECK(rc || n == r.count);
    return rc == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lsm_batch *a = lsm_batch_new(), *b = lsm_batch_new();
    uint64_t first, again;
    bool kept;

    if (read_all(slice_of(data, size), a, &first, &kept) && kept) {
        FUZZ_CHECK(batch_encode(a) == 0);
        batch_stamp(a, first);
        FUZZ_CHECK(a->wire.len <= size); /* ours is the shortest */
        FUZZ_CHECK(read_all(buf_slice(&a->wire), b, &again, &kept));
        FUZZ_CHECK(kept && again == first && a->n == b->n);
        FUZZ_CHECK(batch_encode(b) == 0);
        batch_stamp(b, again);
        FUZZ_CHECK(slice_eq(buf_slice(&a->wire), buf_slice(&b->wire)));
    }
    lsm_batch_free(a);
    lsm_batch_free(b);
    return 0;
}
