/*
 * env.c - the block hook, and which env a path is of; see env.h, env_rados.h.
 */
#include "env_rados.h"

static env_block_fn *block_hook;

void env_set_block_hook(env_block_fn *fn)
{
    block_hook = fn;
}

void env_about_to_block(void)
{
    if (block_hook)
        block_hook(ENV_WAIT_ANY);
}

void env_about_to_wait_briefly(void)
{
    if (block_hook)
        block_hook(ENV_WAIT_BRIEF);
}

struct env *env_for(const char *path)
{
    return env_is_rados(path) ? env_rados() : env_posix();
}
