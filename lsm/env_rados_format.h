/*
 * env_rados_format.h - keys and values of the object that lists the files of a store on
 * Ceph RADOS; FORMAT.md, "A store on RADOS". Nothing here talks to a cluster.
 */
#ifndef LSM_ENV_RADOS_FORMAT_H
#define LSM_ENV_RADOS_FORMAT_H

#include "buf.h"
#include "slice.h"

enum {
    RADOS_OBJECT_BYTES = 4 << 20,
    RADOS_NAME_MAX = 255,
    RADOS_VERSION = 1,
    RADOS_ROOT = 1,              /* id of a store's own directory */
    RADOS_OBJECTS_MAX = 1 << 24, /* of a file: 64 TiB */
    RADOS_TEXT_MAX = 512,        /* of what a holder says of itself */
};

enum rados_kind {
    RADOS_FILE = 1,
    RADOS_DIR = 2,
    RADOS_STORE = 3, /* in the list of a pool's stores */
};

enum rados_state {
    RADOS_OPEN = 1,   /* being appended to; the size is that of its objects */
    RADOS_CLOSED = 2, /* size bytes, all of them there */
    RADOS_CUT = 3, /* closed by another than its writer: size bytes, some may never have
                      arrived */
};

struct rados_entry {
    enum rados_kind kind;
    uint64_t id;
};

struct rados_file {
    enum rados_state state;
    uint64_t size;    /* RADOS_OPEN: not told */
    uint64_t objects; /* with greater numbers there are none */
    uint64_t session; /* of who wrote it */
    uint64_t mtime_ns;
};

/* Who has a directory locked, to change it. Words borrow from what was decoded. */
struct rados_holder {
    uint64_t session;
    struct slice addrs; /* of its connection: what is put on the cluster's blocklist */
    struct slice host;  /* boot id, namespace of processes: where pid tells something */
    uint64_t pid;
    struct slice name; /* of the machine, for people */
    struct slice text; /* what it wants others to know */
};

struct rados_head {
    uint64_t next_session;
    uint64_t store; /* a random number */
};

/* What a key is of. */
enum rados_key {
    RADOS_KEY_HEAD,
    RADOS_KEY_ENTRY,  /* dir, name */
    RADOS_KEY_FILE,   /* id */
    RADOS_KEY_HOLDER, /* dir */
};

struct rados_key_parts {
    enum rados_key what;
    uint64_t id; /* of the directory or file */
    const char *name;
};

/* Keys are text with a NUL that is not counted; room for the longest. */
enum { RADOS_KEY_MAX = 1 + 16 + 1 + RADOS_NAME_MAX + 1 };
void rados_key_head(char key[RADOS_KEY_MAX]);
void rados_key_entry(char key[RADOS_KEY_MAX], uint64_t dir, const char *name);
void rados_key_file(char key[RADOS_KEY_MAX], uint64_t id);
void rados_key_holder(char key[RADOS_KEY_MAX], uint64_t dir);
/* False: no key of ours. name borrows from key. */
bool rados_key_parse(const char *key, size_t len, struct rados_key_parts *out);

/* Values end with a sum over key and value. An error stays in the buffer. */
void rados_put_head(struct buf *b, const char *key, const struct rados_head *h);
void rados_put_entry(struct buf *b, const char *key, const struct rados_entry *e);
void rados_put_file(struct buf *b, const char *key, const struct rados_file *f);
void rados_put_holder(struct buf *b, const char *key, const struct rados_holder *h);
/* 0, -EUCLEAN, -EPROTONOSUPPORT. */
int rados_get_head(struct slice in, const char *key, struct rados_head *h);
int rados_get_entry(struct slice in, const char *key, struct rados_entry *e);
int rados_get_file(struct slice in, const char *key, struct rados_file *f);
int rados_get_holder(struct slice in, const char *key, struct rados_holder *h);

/* Fit for the name of a file or directory, or of a store? */
bool rados_is_name(const char *name, size_t len);

/* Name of a file's object. */
enum { RADOS_OID_MAX = 32 };
void rados_object_name(char oid[RADOS_OID_MAX], uint64_t file, uint64_t index);
bool rados_object_parse(const char *oid, uint64_t *file, uint64_t *index);

/* What the monitors answer to "osd pool ls detail" as JSON: the pool's quota in bytes, 0:
 * it has none, or that is no such answer. */
uint64_t rados_quota_of(struct slice json, const char *pool);

#endif
