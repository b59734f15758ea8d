/*
 * repair.c - from what is left of a store to one that opens. See lsm_repair in
 * lsm.h, and DESIGN.md, "Repair".
 *
 * Two ways. When a manifest is whole, its tables keep their levels, and damaged
 * ones are replaced by what can be read of them. When none is, every table that no
 * manifest calls removed is merged into one level. In both the logs become a
 * table, so that the new manifest needs no log.
 *
 * Order: new tables are synced and named; the new manifest, and CURRENT to it; only
 * then are damaged files moved to lost/ and those whose content is elsewhere
 * deleted. A repair that is interrupted is begun again.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "doubt.h"
#include "manifest.h"
#include "options.h"
#include "repair_impl.h"

void repair_tell(struct repair *r, const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    r->out->losses++;
    if (r->report)
        r->report(r->arg, line);
}

bool repair_is_damage(int rc)
{
    return rc == -EUCLEAN || rc == -EIO;
}

const char *repair_key(struct slice key, char to[REPAIR_KEY_TEXT])
{
    size_t n = key.len < 48 ? key.len : 48, i;

    for (i = 0; i < n; i++)
        snprintf(to + 2 * i, 3, "%02x", key.data[i]);
    snprintf(to + 2 * n, 4, "%s", n < key.len ? "..." : n ? "" : "\"\"");
    return to;
}

/* ---- files ---- */

static int note_file(void *arg, const char *name)
{
    struct repair *r = arg;
    struct repair_file f = {0};
    char *path;
    int rc;

    f.kind = file_parse(name, &f.number);
    if (f.kind == FILE_OTHER || f.kind == FILE_LOCK)
        return 0;
    path = file_path(r->dir, f.kind, f.number);
    rc = path ? env_stat(r->env, path, &f.size) : -ENOMEM;
    free(path);
    if (f.number >= r->next_number)
        r->next_number = f.number + 1;
    if (rc) /* -ENOENT: no regular file, so it is missing; but its number is taken */
        return rc == -ENOENT ? 0 : rc;
    if (r->n_files == r->cap_files) {
        size_t cap = r->cap_files ? 2 * r->cap_files : 64;
        void *p = realloc(r->file, cap * sizeof(*r->file));

        if (!p)
            return -ENOMEM;
        r->file = p;
        r->cap_files = cap;
    }
    r->file[r->n_files++] = f;
    return 0;
}

static int file_order(const void *a, const void *b)
{
    const struct repair_file *x = a, *y = b;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

struct repair_file *repair_find(struct repair *r, enum file_kind kind, uint64_t number)
{
    struct repair_file key = {.kind = kind, .number = number};

    return bsearch(&key, r->file, r->n_files, sizeof(*r->file), file_order);
}

static uint64_t take_number(void *arg)
{
    return ((struct repair *)arg)->next_number++;
}

static int find_files(struct repair *r)
{
    struct vlog_options vo = {.env = r->env,
                              .dir = r->dir,
                              .segment_bytes = r->o->segment_bytes,
                              .compression = (enum compression)r->o->vlog,
                              .next_number = take_number,
                              .arg = r};
    size_t i;
    int rc = env_list(r->env, r->dir, note_file, r);

    if (!rc && !r->n_files)
        rc = -ENOENT;
    if (rc)
        return rc;
    qsort(r->file, r->n_files, sizeof(*r->file), file_order);
    rc = vlog_open(&vo, &r->vlog);
    for (i = 0; i < r->n_files && !rc; i++)
        if (r->file[i].kind == FILE_SEGMENT)
            rc = vlog_add_segment(r->vlog, r->file[i].number, r->file[i].size);
    return rc;
}

/* ---- tables and logs ---- */

static void tell_missing(struct repair *r, const struct edit_table *e)
{
    char name[NAME_BYTES], from[REPAIR_KEY_TEXT], to[REPAIR_KEY_TEXT];

    file_name(name, FILE_TABLE, e->meta.number);
    repair_tell(r, "%s: the table is missing%s: keys %s to %s, %" PRIu64 " entries", name,
                r->m.whole ? "" : ", or was compacted since",
                repair_key(buf_slice(&e->meta.smallest), from),
                repair_key(buf_slice(&e->meta.largest), to), e->meta.entries);
    r->out->tables_damaged++;
}

static int take_tables(struct repair *r)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < r->m.n_tables && !rc; i++) {
        const struct edit_table *e = &r->m.table[i];
        struct repair_file *f = repair_find(r, FILE_TABLE, e->meta.number);

        if (f)
            rc = repair_take_table(r, f, e->level);
        else
            tell_missing(r, e);
    }
    for (i = 0; i < r->n_files && !rc && !r->m.whole; i++)
        if (r->file[i].kind == FILE_TABLE &&
            !repair_manifest_has(&r->m, r->file[i].number) &&
            !repair_manifest_removed(&r->m, r->file[i].number))
            rc = repair_take_table(r, &r->file[i], 0);
    return rc;
}

/*
 * A whole manifest tells from which log on they count. Without one logs that have
 * become tables, and wait to be recycled, cannot be told by name, and point to values
 * that may have been moved since: but what is not
 * newer than the newest entry of any table has been flushed, for memtables are
 * flushed in order. A table that is not sound may be a flush that was not finished,
 * and proves nothing. For the next repair, should this one be cut short, the same
 * must hold: the logs' table is durable before any other new one is begun.
 */
static int take_logs(struct repair *r)
{
    uint64_t from = r->m.log_number, after = 0;
    int rc;

    if (!r->m.whole) {
        after = r->flushed_seq;
        from = from == NO_LOG ? 0 : from;
    }
    rc = repair_read_logs(r, from, after);
    if (!rc)
        rc = repair_flush(r);
    return rc ? rc : env_sync_dir(r->env, r->dir);
}

static int salvage_tables(struct repair *r)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < r->n_files && !rc; i++)
        if (r->file[i].kind == FILE_TABLE && r->file[i].damaged)
            rc = repair_salvage(r, &r->file[i]);
    return rc;
}

/* ---- the new store ---- */

static int fill_edit(struct repair *r, struct edit *e)
{
    size_t i;
    int rc = 0;

    e->has_next_number = e->has_log_number = e->has_last_seq = e->has_options = true;
    format_encode(&e->options, &r->m.format);
    rc = buf_error(&e->options);
    e->log_number = NO_LOG;
    e->last_seq = r->last_seq > r->m.last_seq ? r->last_seq : r->m.last_seq;
    for (i = 0; i < r->n_tables && !rc; i++) {
        struct table_meta copy = {0};

        r->out->entries += table_meta(r->table[i].table)->entries;
        rc = table_meta_copy(&copy, table_meta(r->table[i].table));
        if (!rc)
            rc = edit_add_table(e, r->table[i].level, &copy);
        table_meta_release(&copy);
    }
    for (i = 0; i < r->n_files && !rc; i++)
        if (r->file[i].kind == FILE_SEGMENT)
            rc = edit_seal_segment(e, r->file[i].number, r->file[i].size);
    return rc;
}

/* All that is wanted of them was read, and others may take their names. */
static void close_files(struct repair *r)
{
    size_t i;

    for (i = 0; i < r->n_tables; i++) {
        table_free(r->table[i].table);
        r->table[i].table = NULL;
    }
    vlog_close_idle(r->vlog);
}

/* What is taken over from files as they were found may be in memory only, of a process
 * that was killed, say; but for tables that a whole manifest has. */
static int make_durable(struct repair *r)
{
    bool doubt = repair_find(r, FILE_DOUBT, 0) != NULL;
    size_t i;
    int rc = 0;

    close_files(r);
    for (i = 0; i < r->n_files && !rc; i++) {
        const struct repair_file *f = &r->file[i];
        const struct doubt_file found = {f->kind, f->number, f->size};

        if (f->kind != FILE_SEGMENT && (f->kind != FILE_TABLE || r->m.whole))
            continue;
        rc = doubt_sync(r->env, r->dir, &found, doubt);
        if (doubt && repair_is_damage(rc)) /* what can be read is to be saved */
            rc = doubt_sync(r->env, r->dir, &found, false);
    }
    return rc ? rc : env_sync_dir(r->env, r->dir);
}

static int write_manifest(struct repair *r)
{
    uint64_t number = r->next_number++;
    struct edit e = {.next_number = r->next_number};
    struct manifest *m;
    int rc = fill_edit(r, &e);

    if (!rc) {
        rc = make_durable(r);
        if (rc && rc != -ENOSPC && rc != -ENOMEM)
            doubt_note(r->env, r->dir); /* perhaps a sync */
    }
    if (!rc)
        rc = manifest_create(r->env, r->dir, number, &e, &m);
    edit_release(&e);
    return rc ? rc : manifest_close(m, true);
}

static void drop_file(struct repair *r, enum file_kind kind, uint64_t number)
{
    char *path = file_path(r->dir, kind, number);

    if (path)
        env_unlink(r->env, path); /* else the next open does */
    free(path);
}

/* New tables that are not part of the new store, the logs' table (see take_logs)
 * last. */
static void drop_new(struct repair *r, bool all)
{
    uint64_t n;
    size_t i;

    for (n = r->next_number; r->first_new && n-- > r->first_new;) {
        for (i = 0; i < r->n_tables && r->table[i].number != n; i++)
            ;
        if (all || i == r->n_tables)
            drop_file(r, FILE_TABLE, n);
    }
}

static int move_to(struct repair *r, const char *lost, const struct repair_file *f)
{
    char *from = file_path(r->dir, f->kind, f->number);
    char *to = file_path(lost, f->kind, f->number);
    int rc = from && to ? env_rename(r->env, from, to) : -ENOMEM;

    free(from);
    free(to);
    return rc;
}

/* The next open deletes whatever is not moved, so an error here is told. */
static int move_damaged(struct repair *r)
{
    char *lost = malloc(strlen(r->dir) + sizeof("/lost"));
    bool any = false;
    size_t i;
    int rc = lost ? 0 : -ENOMEM;

    if (lost)
        sprintf(lost, "%s/lost", r->dir);
    for (i = 0; i < r->n_files && !rc; i++) {
        struct repair_file *f = &r->file[i];

        if (f->kind == FILE_MANIFEST && !r->m.whole)
            f->damaged = true;
        if (!f->damaged)
            continue;
        if (!any)
            rc = env_mkdir(r->env, lost);
        any = true;
        rc = rc && rc != -EEXIST ? rc : move_to(r, lost, f);
    }
    if (any && !rc)
        rc = env_sync_dir(r->env, lost);
    if (any && !rc)
        rc = env_sync_dir(r->env, r->dir);
    free(lost);
    return rc;
}

static int clean_up(struct repair *r)
{
    size_t i;
    int rc = move_damaged(r);

    for (i = 0; i < r->n_files && !rc; i++)
        if (r->file[i].done && !r->file[i].damaged)
            drop_file(r, r->file[i].kind, r->file[i].number);
    drop_new(r, false);
    if (!rc && repair_find(r, FILE_DOUBT, 0))
        drop_file(r, FILE_DOUBT, 0);
    return rc;
}

static int level_order(const void *a, const void *b)
{
    const struct repair_table *x = a, *y = b;

    if (x->level != y->level)
        return x->level < y->level ? -1 : 1;
    return slice_cmp(buf_slice(&table_meta(x->table)->smallest),
                     buf_slice(&table_meta(y->table)->smallest));
}

/* Do tables of a level below L0 overlap? A manifest may say so, and be whole. */
static bool levels_overlap(struct repair *r)
{
    size_t i;

    if (r->n_tables)
        qsort(r->table, r->n_tables, sizeof(*r->table), level_order);
    for (i = 1; i < r->n_tables; i++)
        if (r->table[i].level && r->table[i - 1].level == r->table[i].level &&
            table_ranges_overlap(table_meta(r->table[i - 1].table),
                                 table_meta(r->table[i].table)))
            return true;
    return false;
}

static int merge_if_needed(struct repair *r)
{
    if (r->m.whole && levels_overlap(r)) {
        repair_tell(r, "tables of one level overlap: all tables are merged anew");
        r->out->rebuilt = true;
    }
    return r->out->rebuilt ? repair_merge(r) : 0;
}

static int repair(struct repair *r)
{
    int rc = find_files(r);

    if (!rc)
        rc = repair_read_manifest(r);
    if (!rc)
        rc = take_tables(r);
    if (!rc)
        rc = take_logs(r);
    if (!rc)
        rc = salvage_tables(r);
    /* Files of these names others have, too: theirs are left alone. */
    if (!rc && !r->m.edits && !r->n_tables)
        rc = -ENOENT;
    if (!rc)
        rc = merge_if_needed(r);
    if (rc)
        drop_new(r, true);
    /* From here on CURRENT may be the new one, whatever is returned. */
    if (!rc)
        rc = write_manifest(r);
    return rc ? rc : clean_up(r);
}

static void repair_release(struct repair *r)
{
    while (r->n_tables)
        table_free(r->table[--r->n_tables].table);
    free(r->table);
    memtable_unref(r->mem);
    repair_manifest_release(&r->m);
    (void)vlog_close(r->vlog); /* nothing was written to it */
    free(r->file);
    free(r->dir);
}

static int count_ours(void *arg, const char *name)
{
    uint64_t number;

    *(bool *)arg |= file_parse(name, &number) != FILE_OTHER;
    return 0;
}

int lsm_repair(const char *path, const struct lsm_options *o, lsm_repair_fn *report,
               void *arg, struct lsm_repair_result *out)
{
    struct lsm_repair_result unused;
    struct repair r = {.env = o->env ? o->env : env_for(path),
                       .o = o,
                       .report = report,
                       .arg = arg,
                       .out = out ? out : &unused,
                       .next_number = 2};
    struct env_lock *lock = NULL;
    bool any = false;
    char *lock_path;
    int rc = r.env ? lsm_options_check(o) : -EOPNOTSUPP;

    memset(r.out, 0, sizeof(*r.out));
    if (!rc)
        rc = env_list(r.env, path, count_ours, &any);
    if (rc || !any)
        return rc ? rc : -ENOENT;
    r.dir = strdup(path);
    lock_path = r.dir ? file_path(r.dir, FILE_LOCK, 0) : NULL;
    rc = lock_path ? env_lock(r.env, lock_path, false, &lock) : -ENOMEM;
    if (!rc)
        rc = repair(&r);
    repair_release(&r);
    env_unlock(r.env, lock);
    free(lock_path);
    return rc == -EWOULDBLOCK ? -EBUSY : rc;
}
