/*
 * settings.c - see settings.h.
 */
#include "settings.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

#define FILE_NAME "OPTIONS"
#define TEMP_NAME "OPTIONS.tmp"
#define DEFAULT   "default"

static const struct setting {
    const char *name;
    bool live; /* a mount that is there changes it */
} settings[] = {
    {"background_rate", true}, {"compression", true}, {"memory", false},
    {"memtable", false},       {"strategy", false},   {"sync_interval", true},
    {"verify", false},
};

enum { SETTINGS = sizeof(settings) / sizeof(settings[0]) };

/* Changes of one mount take turns; and ops->lsm. */
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;

static const struct setting *find(const char *word)
{
    size_t len = strcspn(word, "="), i;

    for (i = 0; i < SETTINGS; i++)
        if (strlen(settings[i].name) == len && memcmp(settings[i].name, word, len) == 0)
            return &settings[i];
    return NULL;
}

static bool is_default(const char *word)
{
    const char *value = strchr(word, '=');

    return value && strcmp(value + 1, DEFAULT) == 0;
}

bool settings_has(const char *word)
{
    return find(word);
}

/* ---- lists ---- */

typedef int word_fn(void *arg, const char *word);

/* The words of a list, until fn says other than 0. */
static int each_word(const char *list, word_fn *fn, void *arg)
{
    char *copy = strdup(list), *rest = copy, *word;
    int err = copy ? 0 : -ENOMEM;

    while (!err && (word = strsep(&rest, ", \n")))
        if (*word)
            err = fn(arg, word);
    free(copy);
    return err;
}

struct check {
    struct mount_options o;
    struct why *why;
};

static int check_word(void *arg, const char *word)
{
    struct check *c = arg;

    if (!find(word))
        return why_set(c->why, -EINVAL,
                       "%s is no option that a store keeps; `siltfs help set` lists them",
                       word);
    return is_default(word) ? 0 : mount_options_parse(&c->o, word, c->why);
}

/* Is it a list of settings? Into o, if that is not NULL. */
static int check_list(const char *list, struct mount_options *o, struct why *why)
{
    struct check c = {.why = why};
    int err;

    why_set(why, 0, "out of memory");
    mount_options_init(&c.o);
    err = each_word(list, check_word, &c);
    if (!err && o)
        *o = c.o;
    mount_options_release(&c.o);
    return err;
}

struct merge {
    char *to;
    const char *except; /* a list: names in it are left out */
    const char *name;   /* while that is gone through */
};

static int same_name(void *arg, const char *word)
{
    struct merge *m = arg;

    return find(word) == find(m->name);
}

/* to, of SETTINGS_MAX bytes, gets one more word. */
static int add_word(void *arg, const char *word)
{
    struct merge *m = arg;
    size_t len = strlen(m->to);
    int n;

    m->name = word;
    if (is_default(word) || (m->except && each_word(m->except, same_name, m)))
        return 0;
    n = snprintf(m->to + len, SETTINGS_MAX - len, "%s%s", len ? "," : "", word);
    return n < 0 || (size_t)n >= SETTINGS_MAX - len ? -E2BIG : 0;
}

/* ---- the file ---- */

/* The first line of the file, "" when there is none. */
static int read_list(const char *store, char list[SETTINGS_MAX])
{
    struct env_file *f;
    size_t got = 0;
    int err = open_file(store, FILE_NAME, &f);

    list[0] = '\0';
    if (err) /* whether that is a store, who opens it says */
        return err == -ENOENT || err == -ENOTDIR ? 0 : err == -EUCLEAN ? -EINVAL : err;
    err = env_file_pread(f, 0, list, SETTINGS_MAX, &got);
    env_file_close(f); /* was only read */
    list[!err && got < SETTINGS_MAX ? got : 0] = '\0';
    list[strcspn(list, "\n")] = '\0';
    return !err && got == SETTINGS_MAX ? -EINVAL : err;
}

int settings_read(const char *store, char list[SETTINGS_MAX], struct why *why)
{
    int err = read_list(store, list);

    if (err && err != -EINVAL)
        return why_set(why, err, "%s/" FILE_NAME ": %s", store, strerror(-err));
    if (err || check_list(list, NULL, why))
        return why_set(why, -EINVAL,
                       "%s/" FILE_NAME
                       ": no options of a store; remove that file to do without them",
                       store);
    return 0;
}

int settings_lsm(const char *store, struct lsm_options *o, struct why *why)
{
    char list[SETTINGS_MAX];
    struct mount_options kept;
    int err = settings_read(store, list, why);

    if (!err)
        err = check_list(list, &kept, why);
    if (err)
        return err;
    o->memory_bytes = kept.lsm.memory_bytes;
    o->memtable_bytes = kept.lsm.memtable_bytes;
    o->strategy = kept.lsm.strategy;
    o->background_bytes_per_s = kept.lsm.background_bytes_per_s;
    memcpy(o->compression, kept.lsm.compression, sizeof(o->compression));
    o->vlog = kept.lsm.vlog;
    return 0;
}

static int write_list(const char *store, const char *list)
{
    char line[SETTINGS_MAX + 1];
    size_t len = (size_t)snprintf(line, sizeof(line), "%s\n", list);
    int err = write_file(store, TEMP_NAME, slice_of(line, len));

    if (!err)
        err = rename_file(store, TEMP_NAME, FILE_NAME);
    return err ? err : env_sync_dir(env_for(store), store);
}

int settings_carry(const char *from, const char *to)
{
    char list[SETTINGS_MAX];
    int err = read_list(from, list);

    return err || !list[0] ? err : write_list(to, list);
}

/* A store that keeps what the engine does not take could not be mounted. */
static int check_range(const struct lsm_options *o, const char *words, struct why *why)
{
    return lsm_options_check(o) ? why_set(why, -EINVAL, "%s: out of range", words) : 0;
}

int settings_keep(const char *store, const char *words, struct why *why)
{
    char old[SETTINGS_MAX], new[SETTINGS_MAX] = "";
    struct merge m = {.to = new, .except = words};
    struct mount_options kept;
    int err = check_list(words, NULL, why);

    if (!err)
        err = settings_read(store, old, why);
    if (err)
        return err;
    err = each_word(old, add_word, &m);
    m.except = NULL;
    if (!err)
        err = each_word(words, add_word, &m);
    if (!err && (check_list(new, &kept, why) || check_range(&kept.lsm, words, why)))
        return -EINVAL;
    if (!err)
        err = write_list(store, new);
    return err ? why_set(why, err, "%s/" FILE_NAME ": %s", store, strerror(-err)) : 0;
}

/* ---- a mount ---- */

struct change {
    struct mount_options o; /* its lsm is what it becomes */
    void (*tell)(void *arg, const char *line);
    void *arg;
    struct why *why;
};

static void reset(struct lsm_options *o, const char *name)
{
    struct lsm_options d;

    lsm_options_init(&d);
    if (strcmp(name, "sync_interval") == 0)
        o->sync_interval_ms = d.sync_interval_ms;
    if (strcmp(name, "background_rate") == 0)
        o->background_bytes_per_s = d.background_bytes_per_s;
    if (strcmp(name, "compression") == 0) {
        memcpy(o->compression, d.compression, sizeof(o->compression));
        o->vlog = d.vlog;
    }
}

static int change_word(void *arg, const char *word)
{
    struct change *c = arg;
    const struct setting *s = find(word);

    if (s->live && !is_default(word))
        return mount_options_parse(&c->o, word, c->why);
    if (s->live)
        reset(&c->o.lsm, s->name);
    return 0;
}

static int tell_word(void *arg, const char *word)
{
    struct change *c = arg;
    const struct setting *s = find(word);
    char line[128];

    if (s->live)
        return 0;
    snprintf(line, sizeof(line),
             "%s: kept, and used from the next mount on; this one cannot change it",
             s->name);
    c->tell(c->arg, line);
    return 0;
}

static int change_locked(struct ops *o, const char *words, struct change *c)
{
    struct lsm *db = fs_store(o->fs);
    int err = check_list(words, NULL, c->why);

    if (err)
        return err;
    mount_options_init(&c->o);
    c->o.lsm = o->lsm;
    err = each_word(words, change_word, c);
    if (!err)
        err = check_range(&c->o.lsm, words, c->why);
    if (!err)
        err = settings_keep(lsm_path(db), words, c->why);
    if (!err) {
        o->lsm = c->o.lsm;
        err = lsm_change_options(db, &o->lsm);
    }
    if (!err)
        err = each_word(words, tell_word, c);
    mount_options_release(&c->o);
    return err;
}

int settings_change(struct ops *o, const char *words,
                    void (*tell)(void *arg, const char *line), void *arg, struct why *why)
{
    struct change c = {.tell = tell, .arg = arg, .why = why};
    int err;

    why_set(why, 0, "out of memory");
    pthread_mutex_lock(&mu);
    err = change_locked(o, words, &c);
    pthread_mutex_unlock(&mu);
    return err;
}

void settings_now(struct ops *o, struct lsm_options *lsm)
{
    pthread_mutex_lock(&mu);
    *lsm = o->lsm;
    pthread_mutex_unlock(&mu);
}
