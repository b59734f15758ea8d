#!/bin/bash
# A directory of very many entries (large_dir.py): 50,000, in `make soak` a million.
. "$(dirname "$0")/mount_lib.sh"
need python3 python3

# large N SEED
large() {
    fresh -o memory=64M || { fail "a fresh store mounts"; return; }
    if said=$(cd "$MNT" && python3 "$OLDPWD/tests/large_dir.py" "$1" "$(daemon_pid)" "$2" 64 2>&1); then
        pass
    else
        fail "a directory of $1 entries is as it should be" "$said"
    fi
    [ -z "${SOAK:-}" ] || echo "$said"
    # The kernel keeps an inode for each name that it knows: 224 bytes and the name for us.
    most=$(grep -o 'daemon *[0-9]*' <<<"$said" | awk '$2 > m {m = $2} END {print m + 0}')
    ok "the daemon takes no more memory than its budget, the inodes, and 48 MiB: $most MiB" \
        test "$most" -le $((64 + $1 * 300 / 1048576 + 48))
    ok "umount" "$SILTFS" umount "$MNT"
    ok "fsck finds nothing" "$SILTFS" fsck "$STORE"
    operations=$((operations + $1 * 6))
}

a_directory_of_a_million() { large 1000000 "$1"; }

load 0 a_directory_of_a_million
loads_done

operations=0
large 50000 1
finish
