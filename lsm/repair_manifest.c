/*
 * repair_manifest.c - what is left of the store's manifest: the one that CURRENT names,
 * or else the last of which an edit can be read; and whether it can be relied on.
 */
#include <stdlib.h>

#include "manifest.h"
#include "repair_impl.h"
#include "wal.h"

void repair_manifest_release(struct repair_manifest *m)
{
    while (m->n_tables)
        table_meta_release(&m->table[--m->n_tables].meta);
    free(m->table);
    free(m->removed);
    memset(m, 0, sizeof(*m));
}

bool repair_manifest_removed(const struct repair_manifest *m, uint64_t number)
{
    size_t i;

    for (i = 0; i < m->n_removed; i++)
        if (m->removed[i] == number)
            return true;
    return false;
}

bool repair_manifest_has(const struct repair_manifest *m, uint64_t number)
{
    size_t i;

    for (i = 0; i < m->n_tables; i++)
        if (m->table[i].meta.number == number)
            return true;
    return false;
}

static int remove_table(struct repair_manifest *m, const struct edit_removed *e)
{
    void *p = realloc(m->removed, (m->n_removed + 1) * sizeof(*m->removed));
    size_t i;

    if (!p)
        return -ENOMEM;
    m->removed = p;
    m->removed[m->n_removed++] = e->number;
    for (i = 0; i < m->n_tables; i++) {
        if (m->table[i].meta.number != e->number)
            continue;
        table_meta_release(&m->table[i].meta);
        m->table[i--] = m->table[--m->n_tables];
    }
    return 0;
}

/* One that moves between levels is removed and added by the same edit. */
static int add_table(struct repair_manifest *m, const struct edit_table *e)
{
    void *p = realloc(m->table, (m->n_tables + 1) * sizeof(*m->table));
    size_t i;
    int rc;

    if (!p)
        return -ENOMEM;
    m->table = p;
    if (repair_manifest_has(m, e->meta.number))
        return -EUCLEAN;
    m->table[m->n_tables] = (struct edit_table){.level = e->level};
    rc = table_meta_copy(&m->table[m->n_tables].meta, &e->meta);
    if (rc)
        return rc;
    m->n_tables++;
    for (i = 0; i < m->n_removed; i++)
        if (m->removed[i] == e->meta.number)
            m->removed[i--] = m->removed[--m->n_removed];
    return 0;
}

static int apply_edit(void *arg, struct slice payload, uint64_t end)
{
    struct repair_manifest *m = arg;
    struct edit e = {0};
    size_t i;
    int rc = edit_decode(payload, &e);

    (void)end;
    if (rc)
        return rc;
    for (i = 0; i < e.n_removed && !rc; i++)
        rc = remove_table(m, &e.removed[i]);
    for (i = 0; i < e.n_added && !rc; i++)
        rc = e.added[i].level < LSM_LEVELS ? add_table(m, &e.added[i]) : -EUCLEAN;
    if (e.has_options && !rc)
        rc = format_decode(buf_slice(&e.options), &m->format);
    if (e.has_next_number && e.next_number > FILE_NUMBER_MAX)
        rc = -EUCLEAN;
    else if (e.has_next_number)
        m->next_number = e.next_number;
    if (e.has_log_number)
        m->log_number = e.log_number;
    if (e.has_last_seq && e.last_seq > IKEY_SEQ_STORED)
        rc = -EUCLEAN;
    else if (e.has_last_seq && e.last_seq > m->last_seq)
        m->last_seq = e.last_seq;
    m->edits += !rc;
    edit_release(&e);
    return rc;
}

/* As many of its edits as are good. Only m->edits tells how many that is. */
static int read_edits(struct repair *r, uint64_t number)
{
    struct wal_replay replay = {.number = number};
    char *path = file_path(r->dir, FILE_MANIFEST, number);
    int rc;

    repair_manifest_release(&r->m);
    format_init(&r->m.format);
    rc = path ? wal_replay(r->env, path, &replay, apply_edit, &r->m) : -ENOMEM;
    free(path);
    r->m.number = number;
    r->m.whole = rc == 0 && !replay.torn && r->m.edits;
    return repair_is_damage(rc) || rc == -ENOENT ? 0 : rc;
}

static int ignore_edit(void *arg, struct edit *e, const char *path)
{
    (void)arg;
    (void)e;
    (void)path;
    return 0;
}

/*
 * A manifest that has all its edits names only tables and logs that are there. That
 * is said of a lost table too; but after the edit of a clean close nothing follows.
 * One that CURRENT does not name may have a successor that is gone.
 */
static bool agrees_with_files(struct repair *r, bool current)
{
    const struct repair_manifest *m = &r->m;
    size_t i;

    for (i = 0; i < r->n_files && !current; i++)
        if (r->file[i].kind == FILE_TABLE && !repair_manifest_has(m, r->file[i].number) &&
            !repair_manifest_removed(m, r->file[i].number))
            return false;
    if (m->log_number == NO_LOG)
        return true;
    for (i = 0; i < m->n_tables; i++)
        if (!repair_find(r, FILE_TABLE, m->table[i].meta.number))
            return false;
    return repair_find(r, FILE_LOG, m->log_number) != NULL;
}

int repair_read_manifest(struct repair *r)
{
    uint64_t current = 0, length;
    char name[NAME_BYTES];
    size_t i;
    int rc,
        current_rc = manifest_read(r->env, r->dir, ignore_edit, NULL, &current, &length);

    if (current_rc == -ENOMEM || current_rc == -EPROTONOSUPPORT)
        return current_rc;
    if (current_rc)
        repair_tell(r, current ? "the manifest is damaged or missing"
                               : "CURRENT is damaged or missing");
    format_init(&r->m.format);
    rc = current ? read_edits(r, current) : 0;
    for (i = r->n_files; i-- > 0 && !rc && !r->m.edits;)
        if (r->file[i].kind == FILE_MANIFEST && r->file[i].number != current)
            rc = read_edits(r, r->file[i].number);
    if (!rc)
        rc = format_accept(&r->m.format, r->o->format, r->dir);
    if (rc)
        return rc;
    if (current && (current_rc || r->m.number != current))
        r->m.whole = false;
    if (r->m.whole)
        r->m.whole = agrees_with_files(r, current != 0);
    r->out->rebuilt = !r->m.whole;
    file_name(name, FILE_MANIFEST, r->m.number);
    if (!r->m.whole)
        repair_tell(r, "%s%s: all tables are merged anew",
                    r->m.edits ? name : "no manifest is left",
                    r->m.edits ? " cannot be relied on" : "");
    if (r->next_number < r->m.next_number)
        r->next_number = r->m.next_number;
    r->first_new = r->next_number;
    return 0;
}
