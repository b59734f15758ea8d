#!/bin/bash
# Eight threads over few names (tool_names.c): what must hold at every moment does, and fsck
# finds nothing afterwards.
. "$(dirname "$0")/mount_lib.sh"
NAMES=$(realpath "${B:-build}")/tests/tool_names

# names SEED SECONDS [OPTION...]
names() {
    local seed=$1 seconds=$2 done
    shift 2
    fresh -o memtable=2M "$@" || { fail "a fresh store mounts"; return; }
    if done=$("$NAMES" "$MNT" "$((seconds < 20 ? seconds : 20))" "$seed" 2>&1); then
        operations=$((operations + done))
    else
        fail "names agree at every moment ($*)" "$done"
    fi
    "$SILTFS" umount "$MNT" || { fail "umount"; return; }
    ok "fsck finds nothing ($*)" "$SILTFS" fsck "$STORE"
}

plainly() { names "$@"; }
with_writeback() { names "$@" -o writeback; }
without_caches() { names "$@" -o entry_timeout=0,attr_timeout=0,negative_timeout=0; }

# Under pressure the kernel forgets inodes all the time, and asks for them again.
while_the_kernel_forgets() {
    while sleep 0.2; do drop_clean_caches 2; done &
    names "$@"
    kill $!
    wait $! 2>/dev/null
}

load 3 plainly
load 1 with_writeback
load 1 without_caches
[ "$(id -u)" = 0 ] &&
load 0 while_the_kernel_forgets
finish
