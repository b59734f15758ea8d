/*
 * env.c - the block hook; see env.h.
 */
#include "env.h"

static env_block_fn *block_hook;

void env_set_block_hook(env_block_fn *fn)
{
    block_hook = fn;
}

void env_about_to_block(void)
{
    if (block_hook)
        block_hook();
}
