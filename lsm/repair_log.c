/*
 * repair_log.c - the readable frames of the logs, in order.
 *
 * Unlike recovery, which ends at the first bad frame, this goes on behind it: each
 * frame is known by its mark and checksum, wherever it is. But what an earlier
 * recovery left out stays out: a log ends where the next one's header says, and a
 * log that a later header passes by does not count. Bytes: FORMAT.md, "WAL".
 */
#include <inttypes.h>
#include <stdlib.h>

#include "batch.h"
#include "options.h"
#include "repair_impl.h"
#include "wal_format.h"

struct repair_log {
    struct repair_file *f;
    bool have_header, recycled, passed_by;
    uint64_t prev_number, prev_length;
    uint64_t limit; /* what lies behind is not part of it */
};

struct logs {
    struct repair *r;
    struct repair_log *log; /* ascending */
    size_t n;
    uint64_t after; /* batches up to here are in tables */
    uint64_t seq;   /* of the last batch taken */
    struct repair_log *now;
    struct slice bytes; /* of now */
};

/* The end of the good frame at off; 0 when there is none. */
static size_t frame_at(const struct logs *l, size_t off, bool *marked)
{
    const uint8_t *p = l->bytes.data + off;
    uint64_t number = l->now->f->number;
    size_t left = l->bytes.len - off, len;

    *marked = false;
    if (left < WAL_FRAME_HEADER || load_le32(p + WAL_AT_MARK) != wal_mark(number, off))
        return 0;
    *marked = true;
    len = load_le32(p + WAL_AT_LENGTH);
    if (len > WAL_PAYLOAD_MAX || len > left - WAL_FRAME_HEADER ||
        wal_checksum(p, WAL_FRAME_HEADER + len, number, off) != load_le64(p))
        return 0;
    return off + WAL_FRAME_HEADER + len;
}

static int read_log(struct logs *l, struct repair_log *log)
{
    char *path = file_path(l->r->dir, FILE_LOG, log->f->number);
    uint8_t *bytes = malloc((size_t)log->f->size + 1);
    struct env_file *file = NULL;
    size_t got = 0;
    int rc = path && bytes ? env_open(l->r->env, path, ENV_READ, 0, &file) : -ENOMEM;

    if (!rc)
        rc = env_file_pread(file, 0, bytes, (size_t)log->f->size, &got);
    env_file_close(file);
    free(path);
    if (rc) {
        free(bytes);
        return rc;
    }
    l->now = log;
    l->bytes = slice_of(bytes, got);
    return 0;
}

static int read_header(struct logs *l, struct repair_log *log)
{
    const uint8_t *p;
    bool marked;
    size_t end;
    int rc = read_log(l, log);

    if (rc)
        return rc;
    end = frame_at(l, 0, &marked);
    p = l->bytes.data + WAL_FRAME_HEADER;
    log->recycled = true;
    if (end >= WAL_FRAME_HEADER + WAL_HEADER_PAYLOAD &&
        memcmp(p, wal_magic, sizeof(wal_magic)) == 0) {
        if (load_le32(p + WAL_AT_VERSION) > WAL_VERSION)
            rc = -EPROTONOSUPPORT;
        log->have_header = true;
        log->recycled = load_le32(p + WAL_AT_FLAGS) & WAL_FLAG_RECYCLED;
        log->prev_number = load_le64(p + WAL_AT_PREV_NUMBER);
        log->prev_length = load_le64(p + WAL_AT_PREV_LENGTH);
    }
    free((void *)l->bytes.data);
    return rc;
}

/* What the headers say of the logs before them. */
static void apply_headers(struct logs *l)
{
    size_t i, j;

    for (i = 0; i < l->n; i++) {
        const struct repair_log *log = &l->log[i];

        if (!log->have_header || log->passed_by)
            continue;
        for (j = 0; j < i && log->prev_number; j++) {
            if (l->log[j].f->number > log->prev_number)
                l->log[j].passed_by = true;
            else if (l->log[j].f->number == log->prev_number)
                l->log[j].limit = log->prev_length;
        }
    }
}

static void tell_gap(struct logs *l, size_t from, size_t to, const char *what)
{
    char name[NAME_BYTES];

    file_name(name, FILE_LOG, l->now->f->number);
    repair_tell(l->r, "%s, offset %zu: %zu bytes %s", name, from, to - from, what);
    if (!l->now->f->damaged)
        l->r->out->logs_damaged++;
    l->now->f->damaged = true;
}

/* -EUCLEAN: it makes no sense; then some of it may have been inserted. */
static int insert_batch(struct logs *l, struct slice wire)
{
    struct batch_reader reader;
    struct batch_entry e;
    int rc;

    if (!batch_reader_init(&reader, wire) || reader.first_seq <= l->seq)
        return -EUCLEAN;
    while ((rc = batch_reader_next(&reader, &e)) > 0) {
        l->seq = e.seq;
        if (e.seq <= l->after)
            continue;
        rc = memtable_insert(l->r->mem, e.type, e.key, e.seq, e.value);
        if (rc)
            return rc == -EINVAL ? -EUCLEAN : rc;
    }
    if (l->seq > l->r->last_seq)
        l->r->last_seq = l->seq;
    return rc;
}

static bool all_zero(const uint8_t *p, size_t n)
{
    while (n && p[n - 1] == 0)
        n--;
    return n == 0;
}

/* Every good frame up to the log's limit, and what lies between them. */
static int take_frames(struct logs *l)
{
    size_t size = l->bytes.len, off = 0, gap = SIZE_MAX, end;
    bool marked, gap_marked = false;
    int rc = 0;

    if (l->now->limit < size)
        size = (size_t)l->now->limit;
    while (off < size && !rc) {
        end = frame_at(l, off, &marked);
        if (!end || end > size) {
            if (gap == SIZE_MAX) {
                gap = off;
                gap_marked = marked;
            }
            off++;
            continue;
        }
        if (gap != SIZE_MAX)
            tell_gap(l, gap, off, "of the log are lost");
        gap = SIZE_MAX;
        if (off > 0)
            rc = insert_batch(l, slice_of(l->bytes.data + off + WAL_FRAME_HEADER,
                                          end - off - WAL_FRAME_HEADER));
        if (rc == -EUCLEAN) {
            tell_gap(l, off, end, "are a batch that makes no sense");
            rc = 0;
        }
        off = end;
    }
    if (l->now->limit != UINT64_MAX && l->now->limit > l->bytes.len)
        tell_gap(l, l->bytes.len, (size_t)l->now->limit, "are missing at its end");
    /* Behind the end there may be zeros, and in a recycled log anything. */
    if (gap != SIZE_MAX &&
        (gap_marked || l->now->limit != UINT64_MAX ||
         (!l->now->recycled && !all_zero(l->bytes.data + gap, size - gap))))
        tell_gap(l, gap, size, "at its end are no log frames: a tear, or damage");
    return rc;
}

static void tell_missing(struct logs *l, uint64_t number)
{
    char name[NAME_BYTES];

    if (repair_find(l->r, FILE_LOG, number))
        return;
    file_name(name, FILE_LOG, number);
    repair_tell(l->r, "%s: the log is missing", name);
    l->r->out->logs_damaged++;
}

static int take_log(struct logs *l, struct repair_log *log)
{
    int rc = log->passed_by ? 0 : read_log(l, log);

    if (log->passed_by)
        return 0;
    l->r->out->logs++;
    if (repair_is_damage(rc)) {
        tell_gap(l, 0, (size_t)log->f->size, "of the log cannot be read");
        return 0;
    }
    if (rc)
        return rc;
    rc = take_frames(l);
    free((void *)l->bytes.data);
    log->f->done = true;
    return rc;
}

int repair_read_logs(struct repair *r, uint64_t log_number, uint64_t after)
{
    struct logs l = {.r = r, .after = after};
    size_t i;
    int rc = 0;

    l.log = calloc(r->n_files + 1, sizeof(*l.log));
    r->mem = memtable_new(options_memtable_bytes(r->o), NULL);
    if (!l.log || !r->mem)
        rc = -ENOMEM;
    for (i = 0; i < r->n_files && !rc; i++) {
        struct repair_file *f = &r->file[i];

        if (f->kind != FILE_LOG || f->number < log_number)
            continue;
        l.log[l.n] = (struct repair_log){.f = f, .limit = UINT64_MAX};
        l.now = &l.log[l.n];
        rc = read_header(&l, &l.log[l.n++]);
        rc = repair_is_damage(rc) ? 0 : rc;
    }
    apply_headers(&l);
    if (log_number && log_number != UINT64_MAX)
        tell_missing(&l, log_number);
    for (i = 0; i < l.n && !rc; i++) {
        uint64_t prev = l.log[i].prev_number;

        if (log_number && prev > log_number && !l.log[i].passed_by)
            tell_missing(&l, prev);
        rc = take_log(&l, &l.log[i]);
    }
    free(l.log);
    return rc;
}
