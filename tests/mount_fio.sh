#!/bin/bash
# fio writes known blocks in many ways and reads them back, every byte checked.
. "$(dirname "$0")/mount_lib.sh"

need fio fio

# fio_job NAME OPTIONS...
fio_job() {
    local name=$1
    shift
    ok "fio $name" fio --name=job --directory="$MNT" --verify=crc32c --verify_fatal=1 \
        --fallocate=none --minimal "$@"
    rm -f "$MNT"/job.* "$MNT"/*.state
    rm -f ./*verify.state
}

cd "$T" || exit 1
for options in "" "-o writeback"; do
    fresh $options || { fail "a fresh store mounts"; finish; }
    for how in write randwrite; do
        for bs_size in 512:1m 4k:8m 64k:24m 1m:32m; do
            bs=${bs_size%:*} size=${bs_size#*:}
            fio_job "$how of $bs by 4 jobs${options:+, writeback}" --rw=$how --bs="$bs" --size="$size" --numjobs=4
        done
    done
    fio_job "randwrite of 512 to 64k, unaligned${options:+, writeback}" --rw=randwrite --bsrange=512-64k \
        --bs_unaligned --size=8m --numjobs=2
    fio_job "randwrite with fsync${options:+, writeback}" --rw=randwrite --bs=4k --size=2m --fsync=16 --numjobs=2
    fio_job "randrw, O_DIRECT, 16 at once${options:+, writeback}" --rw=randrw --bs=4k --size=8m --direct=1 \
        --ioengine=libaio --iodepth=16
    fio_job "mmap${options:+, writeback}" --rw=randwrite --bs=4k --size=8m --ioengine=mmap
    ok "unmount" "$SILTFS" umount "$MNT"
    ok "fsck is clean" "$SILTFS" fsck "$STORE"
done

# What one mount wrote, the next one verifies.
fresh || fail "a fresh store mounts"
ok "fio writes" fio --name=keep --directory="$MNT" --rw=randwrite --bs=16k --size=32m \
    --fallocate=none --verify=crc32c --do_verify=0 --randseed=42 --minimal
ok "remount" remount
ok "fio verifies after a remount" fio --name=keep --directory="$MNT" --rw=randwrite --bs=16k \
    --size=32m --fallocate=none --verify=crc32c --verify_only=1 --randseed=42 --minimal
ok "unmount" "$SILTFS" umount "$MNT"
finish
