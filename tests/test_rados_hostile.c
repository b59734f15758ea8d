/*
 * test_rados_hostile.c - what the names object says is hostile: it must not cost more than
 * what is there. With TEST_RADOS=rados:POOL on a cluster, too (`make rados`).
 */
#include "test.h"

#include <stdlib.h>

#include "lsm/env_rados.h"

#if __has_include(<rados/librados.h>)
#include "lsm/env_rados_path.h"

START_TEST(holders_without_end_are_damage)
{
    struct names n = {0};
    struct rados_holder h = {.session = 1, .host = slice_str("somewhere"), .pid = 2};
    uint64_t dir = 0;
    int rc = 0;

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

static void harm(const char *path)
{
    struct rados_place p;
    struct node *node;
    struct rados_file rec;

    ck_ok(rados_find_place(path, RADOS_CACHED, &p));
    mutex_lock(&p.n->mu);
    ck_ok(names_refresh_locked(p.n));
    ck_ok(rados_find_file(&p, &node));
    rec = node->rec;
    rec.state = RADOS_OPEN;
    rec.objects = RADOS_OBJECTS_MAX;
    ck_ok(names_set_file(p.n, node->id, &rec));
    ck_ok(names_commit_locked(p.n));
    mutex_unlock(&p.n->mu);
}

START_TEST(an_open_file_of_2_24_objects_is_measured_by_those_it_has)
{
    struct slice part = slice_str("some bytes");
    struct env_file *f;
    char path[4096];
    uint64_t size;

    if (!getenv("TEST_RADOS"))
        return;
    snprintf(path, sizeof(path), "%s/file", test_dir());
    ck_ok(env_open(env_rados(), path, ENV_CREATE, 0, &f));
    ck_ok(env_file_append(f, &part, 1));
    ck_ok(env_file_close(f));
    harm(path);
    ck_ok(env_stat(env_rados(), path, &size));
    ck_assert_uint_eq(size, part.len);
}
END_TEST

TEST_MAIN("rados hostile", TEST_CASE(holders_without_end_are_damage),
          TEST_CASE(an_open_file_of_2_24_objects_is_measured_by_those_it_has))
#else
START_TEST(there_is_no_env_for_it)
{
    ck_assert(!env_for("rados:pool/store"));
}
END_TEST

TEST_MAIN("rados hostile", TEST_CASE(there_is_no_env_for_it))
#endif
