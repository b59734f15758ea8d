/*
 * test_rados_hostile.c - what the names object says is hostile: it must not cost more
 * than what is there. With TEST_RADOS=rados:POOL on a cluster, too (`make rados`).
 */
#include "test.h"

#include <stdlib.h>

#include "lsm/env_rados.h"

#if __has_include(<rados/librados.h>)
#include "lsm/env_rados_path.h"

START_TEST(holders_without_end_are_damage)
{
    static uint8_t text[400];
    struct names n = {0};
    struct rados_holder h = {.session = 1, .host = slice_str("somewhere"), .pid = 2};
    uint64_t dir = 0;
    int rc = 0;

    /* All are looked through for each: sanitizers have fewer in as many bytes. */
    if (SOAK_SANITIZED)
        h.host = slice_of(memset(text, 'x', sizeof(text)), sizeof(text));
    while (!rc && dir < 1000000) {
        char key[RADOS_KEY_MAX];
        struct buf b = {0};
        struct slice value;

        rados_key_holder(key, ++dir);
        rados_put_holder(&b, key, &h);
        value = buf_slice(&b);
        rc = names_apply(&n, key, &value);
        buf_release(&b);
    }
    ck_err(rc, EUCLEAN);
    ck_assert(dir > 1000);
    ck_ok(names_holder(&n, 1000, &h));
    buf_release(&n.holder);
}
END_TEST

static void harm(const char *path, enum rados_state state, uint64_t size)
{
    struct rados_place p;
    struct node *node;
    struct rados_file rec;

    ck_ok(rados_find_place(path, RADOS_CACHED, &p));
    mutex_lock(&p.n->mu);
    ck_ok(names_refresh_locked(p.n));
    ck_ok(rados_find_file(&p, &node));
    rec = node->rec;
    rec.state = state;
    rec.size = size;
    rec.objects = RADOS_OBJECTS_MAX;
    ck_ok(names_set_file(p.n, node->id, &rec));
    ck_ok(names_commit_locked(p.n));
    mutex_unlock(&p.n->mu);
}

static const struct slice some = {(const uint8_t *)"some bytes", 10};

static void make(char path[4096])
{
    struct env_file *f;

    snprintf(path, 4096, "%s/file", test_dir());
    ck_ok(env_open(env_rados(), path, ENV_CREATE, 0, &f));
    ck_ok(env_file_append(f, &some, 1));
    ck_ok(env_file_close(f));
}

START_TEST(an_open_file_of_2_24_objects_is_measured_by_those_it_has)
{
    char path[4096];
    uint64_t size;

    if (!getenv("TEST_RADOS"))
        return;
    make(path);
    harm(path, RADOS_OPEN, 0);
    ck_ok(env_stat(env_rados(), path, &size));
    ck_assert_uint_eq(size, some.len);
}
END_TEST

START_TEST(a_cut_file_that_says_64_tib_is_damage)
{
    struct env_file *f;
    char path[4096], got[32];
    uint64_t size;
    size_t n;

    if (!getenv("TEST_RADOS"))
        return;
    make(path);
    harm(path, RADOS_CUT, (uint64_t)RADOS_OBJECTS_MAX * RADOS_OBJECT_BYTES);
    ck_err(env_stat(env_rados(), path, &size), EUCLEAN);
    ck_ok(env_open(env_rados(), path, ENV_READ, 0, &f));
    ck_err(env_file_size(f, &size), EUCLEAN);
    ck_err(env_file_pread(f, 1 << 20, got, sizeof(got), &n), EUCLEAN);
    ck_ok(env_file_close(f));
    harm(path, RADOS_CUT, some.len);
    ck_ok(env_open(env_rados(), path, ENV_READ, 0, &f));
    ck_ok(env_file_pread(f, 0, got, sizeof(got), &n));
    ck_assert_uint_eq(n, some.len);
    ck_ok(env_file_close(f));
}
END_TEST

TEST_MAIN("rados hostile", TEST_CASE(holders_without_end_are_damage),
          TEST_CASE(an_open_file_of_2_24_objects_is_measured_by_those_it_has),
          TEST_CASE(a_cut_file_that_says_64_tib_is_damage))
#else
START_TEST(there_is_no_env_for_it)
{
    ck_assert(!env_for("rados:pool/store"));
}
END_TEST

TEST_MAIN("rados hostile", TEST_CASE(there_is_no_env_for_it))
#endif
