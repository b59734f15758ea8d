/*
 * test_edit.c - lsm/edit.h. Bytes: lsm/FORMAT.md, "Manifest".
 */
#include "test.h"

#include <stdlib.h>

#include "lsm/edit.h"

static void set_buf(struct buf *b, const char *text)
{
    buf_assign(b, slice_str(text));
}

static void make_meta(struct table_meta *m, uint64_t number)
{
    *m = (struct table_meta){.number = number, .size = number * 1000, .seq_max = number};
    set_buf(&m->smallest, "apple");
    set_buf(&m->largest, "pear");
    m->entries = 12;
    m->filter_bytes = number * 64;
    m->delete_run = number * 9;
    m->largest_open = number % 2;
    m->n_refs = 1;
    m->refs = malloc(sizeof(*m->refs));
    m->refs[0] = (struct segment_ref){number + 5, 4096};
}

static void make_edit(struct edit *e)
{
    struct table_meta meta;
    unsigned i;

    *e = (struct edit){
        .has_next_number = true,
        .has_log_number = true,
        .has_last_seq = true,
        .has_options = true,
        .next_number = 77,
        .log_number = 0,
        .last_seq = 1ull << 40,
    };
    set_buf(&e->options, "opaque");
    for (i = 0; i < 5; i++) {
        make_meta(&meta, 10 + i);
        ck_ok(edit_add_table(e, i, &meta));
        ck_assert(meta.number == 0 && !meta.smallest.data && !meta.refs);
        ck_ok(edit_remove_table(e, i, 20 + i));
        ck_ok(edit_seal_segment(e, 30 + i, 1ull << (10 * i)));
        ck_ok(edit_drop_segment(e, 40 + i));
        ck_ok(edit_note_log(e, 50 + i, 1000 + i));
    }
}

static void check_table(const struct edit_table *t, unsigned i)
{
    ck_assert_uint_eq(t->level, i);
    ck_assert_uint_eq(t->meta.number, 10 + i);
    ck_assert_uint_eq(t->meta.size, (10 + i) * 1000);
    ck_slice_str(buf_slice(&t->meta.smallest), "apple");
    ck_slice_str(buf_slice(&t->meta.largest), "pear");
    ck_assert_uint_eq(t->meta.n_refs, 1);
    ck_assert_uint_eq(t->meta.refs[0].segment, 15 + i);
    ck_assert_uint_eq(t->meta.filter_bytes, (10 + i) * 64);
    ck_assert_uint_eq(t->meta.delete_run, (10 + i) * 9);
}

static void check_edit(const struct edit *e)
{
    unsigned i;

    ck_assert(e->has_next_number && e->next_number == 77);
    ck_assert(e->has_log_number && e->log_number == 0);
    ck_assert(e->has_last_seq && e->last_seq == 1ull << 40);
    ck_assert(e->has_options);
    ck_slice_str(buf_slice(&e->options), "opaque");
    ck_assert(e->n_added == 5 && e->n_removed == 5 && e->n_sealed == 5 &&
              e->n_dropped == 5 && e->n_logs == 5);
    for (i = 0; i < 5; i++) {
        check_table(&e->added[i], i);
        ck_assert(e->removed[i].level == i && e->removed[i].number == 20 + i);
        ck_assert(e->sealed[i].number == 30 + i && e->sealed[i].size == 1ull << (10 * i));
        ck_assert(e->dropped[i] == 40 + i);
        ck_assert(e->logs[i].number == 50 + i && e->logs[i].durable == 1000 + i);
    }
}

START_TEST(edit_comes_back_as_it_was)
{
    struct edit e, back = {0};
    struct buf b = {0};

    make_edit(&e);
    edit_encode(&b, &e);
    ck_ok(buf_error(&b));
    ck_ok(edit_decode(buf_slice(&b), &back));
    check_edit(&back);
    edit_release(&e);
    edit_release(&back);
    buf_release(&b);
}
END_TEST

START_TEST(empty_edit_tells_nothing)
{
    struct edit e = {0}, back = {0};
    struct buf b = {0};

    edit_encode(&b, &e);
    ck_assert_uint_eq(b.len, 0);
    ck_ok(edit_decode(buf_slice(&b), &back));
    ck_assert(!back.has_next_number && !back.has_log_number && !back.has_last_seq);
    ck_assert(!back.has_options && !back.n_added && !back.n_dropped && !back.n_logs);
    edit_release(&back);
    buf_release(&b);
}
END_TEST

/* Never changed: manifests on disk hold these bytes. The body of an added table
 * is the level and the table's metadata, which has its own test. */
START_TEST(golden_bytes)
{
    static const uint8_t want[] = {
        0x03, 2, 0xac, 0x02,       /* next number 300 */
        0x05, 1, 7,                /* log number 7 */
        0x07, 1, 9,                /* last sequence 9 */
        0x09, 3, 'o',  'p',  't',  /* options */
        0x0d, 2, 2,    5,          /* remove table 5 from level 2 */
        0x0f, 3, 6,    0x80, 0x01, /* segment 6 is sealed with 128 bytes */
        0x11, 1, 8,                /* segment 8 is dropped */
        0x16, 3, 9,    0x80, 0x05, /* of log 9, 640 bytes are durable */
    };
    /* Of table 10: a filter of 640 bytes, a run of 90 tombstones. */
    static const uint8_t beside[] = {0x12, 3, 10, 0x80, 5, 0x14, 2, 10, 90};
    struct edit e = {
        .has_next_number = true,
        .has_log_number = true,
        .has_last_seq = true,
        .has_options = true,
        .next_number = 300,
        .log_number = 7,
        .last_seq = 9,
    };
    struct table_meta meta;
    struct buf b = {0}, body = {0};

    set_buf(&e.options, "opt");
    ck_ok(edit_remove_table(&e, 2, 5));
    ck_ok(edit_seal_segment(&e, 6, 128));
    ck_ok(edit_drop_segment(&e, 8));
    ck_ok(edit_note_log(&e, 9, 640));
    edit_encode(&b, &e);
    ck_assert_uint_eq(b.len, sizeof(want));
    ck_assert_mem_eq(b.data, want, sizeof(want));
    edit_release(&e);

    make_meta(&meta, 10);
    put_u8(&body, 3);
    table_meta_append(&body, &meta);
    ck_ok(edit_add_table(&e, 3, &meta));
    buf_clear(&b);
    edit_encode(&b, &e);
    ck_assert_uint_eq(b.data[0], 0x0b);
    ck_assert_uint_eq(b.data[1], body.len);
    ck_assert_uint_eq(b.len, body.len + 2 + sizeof(beside));
    ck_assert_mem_eq(b.data + 2, body.data, body.len);
    ck_assert_mem_eq(b.data + 2 + body.len, beside, sizeof(beside));
    edit_release(&e);
    buf_release(&b);
    buf_release(&body);
}
END_TEST

START_TEST(unknown_field_is_skipped_or_refused_as_its_tag_says)
{
    static const uint8_t optional[] = {40, 3, 'x', 'y', 'z', 0x05, 1, 7};
    static const uint8_t required[] = {41, 3, 'x', 'y', 'z', 0x05, 1, 7};
    struct edit e = {0};

    ck_ok(edit_decode(slice_of(optional, sizeof(optional)), &e));
    ck_assert(e.has_log_number && e.log_number == 7);
    edit_release(&e);
    ck_err(edit_decode(slice_of(required, sizeof(required)), &e), EPROTONOSUPPORT);
    ck_assert(!e.has_log_number);
}
END_TEST

START_TEST(cut_edit_is_an_error_unless_cut_between_fields)
{
    struct edit e, back = {0};
    struct buf b = {0};
    unsigned whole = 0;
    size_t len;

    make_edit(&e);
    edit_encode(&b, &e);
    for (len = 0; len < b.len; len++) {
        uint8_t *copy = malloc(len + !len); /* its own memory: ASan sees overruns */
        int rc;

        memcpy(copy, b.data, len);
        rc = edit_decode(slice_of(copy, len), &back);
        ck_assert(rc == 0 || rc == -EUCLEAN);
        whole += rc == 0;
        if (rc)
            ck_assert(!back.n_added && !back.options.data);
        edit_release(&back);
        free(copy);
    }
    ck_assert_uint_eq(whole, 4 + 35);
    edit_release(&e);
    buf_release(&b);
}
END_TEST

START_TEST(what_is_told_beside_another_table_is_an_error)
{
    static const uint8_t alone[] = {0x12, 2, 10, 64}, run[] = {0x14, 2, 10, 64};
    struct table_meta meta;
    struct edit e = {0}, back = {0};
    struct buf b = {0};

    ck_err(edit_decode(slice_of(alone, sizeof(alone)), &back), EUCLEAN);
    ck_err(edit_decode(slice_of(run, sizeof(run)), &back), EUCLEAN);
    make_meta(&meta, 10);
    meta.filter_bytes = meta.delete_run = 0;
    ck_ok(edit_add_table(&e, 1, &meta));
    edit_encode(&b, &e);
    buf_append(&b, alone, sizeof(alone));
    ck_ok(edit_decode(buf_slice(&b), &back));
    ck_assert_uint_eq(back.added[0].meta.filter_bytes, 64);
    edit_release(&back);
    b.data[b.len - 2] = 11;
    ck_err(edit_decode(buf_slice(&b), &back), EUCLEAN);
    edit_release(&e);
    buf_release(&b);
}
END_TEST

START_TEST(field_with_bytes_to_spare_is_an_error)
{
    static const uint8_t number[] = {0x05, 2, 7, 7};
    static const uint8_t pair[] = {0x0d, 3, 2, 5, 0};
    static const uint8_t level[] = {0x0d, 6, 0xff, 0xff, 0xff, 0xff, 0x1f, 1};
    struct edit e = {0};

    ck_err(edit_decode(slice_of(number, sizeof(number)), &e), EUCLEAN);
    ck_err(edit_decode(slice_of(pair, sizeof(pair)), &e), EUCLEAN);
    ck_err(edit_decode(slice_of(level, sizeof(level)), &e), EUCLEAN);
}
END_TEST

/* What is decoded is encoded to something that decodes to the same. */
START_TEST(mutated_edits_are_refused_or_make_sense)
{
    uint64_t rng = test_seed();
    struct buf b = {0}, bad = {0}, once = {0}, twice = {0};
    struct edit e;
    unsigned i, good = 0;

    make_edit(&e);
    edit_encode(&b, &e);
    edit_release(&e);
    for (i = 0; i < 50000; i++) {
        unsigned n = 1 + (unsigned)test_below(&rng, 3);

        buf_assign(&bad, buf_slice(&b));
        while (n--)
            bad.data[test_below(&rng, bad.len)] ^= (uint8_t)(1 << test_below(&rng, 8));
        if (edit_decode(buf_slice(&bad), &e))
            continue;
        good++;
        buf_clear(&once);
        edit_encode(&once, &e);
        edit_release(&e);
        ck_ok(edit_decode(buf_slice(&once), &e));
        buf_clear(&twice);
        edit_encode(&twice, &e);
        edit_release(&e);
        ck_assert(slice_eq(buf_slice(&once), buf_slice(&twice)));
    }
    ck_assert_uint_gt(good, 100);
    buf_release(&b);
    buf_release(&bad);
    buf_release(&once);
    buf_release(&twice);
}
END_TEST

TEST_MAIN("edit", TEST_CASE(edit_comes_back_as_it_was),
          TEST_CASE(empty_edit_tells_nothing), TEST_CASE(golden_bytes),
          TEST_CASE(unknown_field_is_skipped_or_refused_as_its_tag_says),
          TEST_CASE(cut_edit_is_an_error_unless_cut_between_fields),
          TEST_CASE(what_is_told_beside_another_table_is_an_error),
          TEST_CASE(field_with_bytes_to_spare_is_an_error),
          TEST_CASE(mutated_edits_are_refused_or_make_sense))
