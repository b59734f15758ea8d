# A Ceph cluster for tests, on loopback: one monitor, OSDs that keep all in memory, no
# manager, and no authentication but with CLUSTER_AUTH=cephx. A script sources it:
#
#   cluster_start [OSDS=1] [BYTES=1G of each OSD]   into $C (a mktemp directory)
#   cluster_stop                                     by process id; also at exit
#
# $CEPH_CONF is exported, so that siltfs, rados and ceph find it; pool: silt, but none with
# CLUSTER_POOL=none. $MON_PID
# and ${OSD_PID[i]} are there to be killed; osd_start i starts one (again).
# cluster_packages says which packages are missing.
#
# Of scripts that have mount_lib.sh, too: rados_tests [OSDS] [BYTES] begins, serve and
# kill_daemon mount and end a mount.

ADDR=${CLUSTER_ADDR:-127.0.0.1} # whoever needs another sets it
CEPH_PACKAGES="ceph-mon ceph-osd ceph-common"

cluster_packages() {
    local p
    for p in ceph-mon ceph-osd ceph rados monmaptool; do
        command -v "$p" >/dev/null || echo "$p"
    done
}

# Ports nobody listens on: two for the monitor, OSDs choose theirs from the range after.
free_port() {
    local p
    for _ in {1..50}; do
        p=$((20000 + RANDOM % 12000))
        ss -Hltn "sport >= :$p and sport <= :$((p + 63))" 2>/dev/null | grep -q . || { echo $p; return; }
    done
    return 1
}

cluster_conf() { # PORT BYTES OSDS
    cat >"$C/ceph.conf" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = [v2:$ADDR:$1]
mon initial members = a
public addr = $ADDR
cluster addr = $ADDR
auth cluster required = ${CLUSTER_AUTH:-none}
auth service required = ${CLUSTER_AUTH:-none}
auth client required = ${CLUSTER_AUTH:-none}
auth allow insecure global id reclaim = true
ms bind ipv4 = true
ms bind port min = $(($1 + 1))
ms bind port max = $(($1 + 63))
osd pool default size = ${CLUSTER_SIZE:-1}
osd pool default min size = 1
osd crush chooseleaf type = 0
mon allow pool delete = true
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data = $C/mon
osd data = $C/osd\$id
osd objectstore = memstore
memstore device bytes = $2
memstore page size = 64K
osd heartbeat grace = 6
osd heartbeat interval = 1
mon osd min down reporters = 1
mon osd down out interval = 3600
log file = /dev/null
mon cluster log file = /dev/null
pid file = $C/\$name.pid
admin socket = $C/\$name.\$pid.asok
run dir = $C
crash dir = $C
keyring = $C/keyring
debug ms = 0
log max recent = 1
osd pg stat report interval max = 1
mon osd report timeout = 60
rados mon op timeout = 0
CONF
    [ "${CLUSTER_AUTH:-none}" = none ] || printf '%s\n' '[osd]' "keyring = $C/osd\$id/keyring" '[client.silt]' "keyring = $C/silt.keyring" >>"$C/ceph.conf"
    # An OSD that did not get the processor for its read lease (4.8 s) lets an operation wait
    # ("waiting for readable") until its peers renew it; one without peers was seen to let
    # the renewal of our lock wait for ever, and with it the mount.
    [ "$3" -gt 1 ] || sed -i 's/^\[global\]/&\nosd pool default read lease ratio = 100/' "$C/ceph.conf"
}

mon_start() {
    ceph-mon -c "$C/ceph.conf" -i a -f >>"$C/mon.out" 2>&1 &
    MON_PID=$!
}

osd_start() { # I
    ceph-osd -c "$C/ceph.conf" -i "$1" -f >>"$C/osd$1.out" 2>&1 &
    OSD_PID[$1]=$!
}

osd_key() { # I
    [ "${CLUSTER_AUTH:-none}" = none ] ||
        ceph_do auth get-or-create "osd.$1" mon 'allow profile osd' osd 'allow *' -o "$C/osd$1/keyring"
}

ceph_do() { timeout 60 ceph -c "$C/ceph.conf" "$@" 2>>"$C/ceph.err"; }

cluster_start() {
    local osds=${1:-1} bytes=${2:-1G} port i fsid uuid
    C=$(mktemp -d /tmp/siltfs-ceph-XXXXXX) || return 1
    OSD_PID=()
    trap ${CLEAN_UP:-cluster_stop} EXIT
    port=$(free_port) || return 1
    cluster_conf "$port" "$bytes" "$osds"
    fsid=$(sed -n 's/^fsid = //p' "$C/ceph.conf")
    ceph-authtool --create-keyring "$C/keyring" --gen-key -n mon. --cap mon 'allow *' >"$C/mon.out" 2>&1 &&
        ceph-authtool "$C/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' >>"$C/mon.out" 2>&1 &&
        monmaptool --create --addv a "[v2:$ADDR:$port]" --fsid "$fsid" "$C/monmap" >>"$C/mon.out" 2>&1 &&
        ceph-mon -c "$C/ceph.conf" --mkfs -i a --monmap "$C/monmap" --keyring "$C/keyring" >>"$C/mon.out" 2>&1 ||
        { cat "$C/mon.out"; return 1; }
    mon_start
    export CEPH_CONF=$C/ceph.conf
    for ((i = 0; i < osds; i++)); do
        mkdir "$C/osd$i"
        uuid=$(cat /proc/sys/kernel/random/uuid)
        ceph_do osd new "$uuid" "$i" >/dev/null && osd_key "$i" &&
            ceph-osd -c "$C/ceph.conf" -i "$i" --mkfs --osd-uuid "$uuid" >>"$C/osd$i.out" 2>&1 ||
            { cat "$C/ceph.err" "$C/osd$i.out"; return 1; }
        osd_start "$i"
    done
    [ "${CLUSTER_POOL:-}" = none ] && return
    ceph_do osd pool create silt 8 8 >/dev/null || return 1
    for ((i = 0; i < 100; i++)); do
        echo x | timeout 10 rados -p silt put ready - 2>/dev/null && { rados -p silt rm ready; return 0; }
        sleep 0.1
    done
    tail -n 5 "$C"/*.out "$C"/*.err
    return 1
}

# By id, whatever state they are in; what they kept in memory is gone.
cluster_stop() {
    local p
    [ -n "${C:-}" ] || return 0
    for p in ${OSD_PID[@]+"${OSD_PID[@]}"} ${MON_PID:-}; do
        kill -CONT "$p" 2>/dev/null
        kill -KILL "$p" 2>/dev/null
    done
    for p in ${OSD_PID[@]+"${OSD_PID[@]}"} ${MON_PID:-}; do
        wait "$p" 2>/dev/null
    done
    rm -rf "$C"
    C=
}

# ---- tests of mounts ----

clean_up_rados() {
    local p
    # What waits for a cluster that is gone waits for ever.
    for p in ${DAEMONS:-}; do kill -CONT "$p"; kill -9 "$p"; done 2>/dev/null
    clean_up
    cluster_stop
}

rados_tests() {
    [ "$(cat "${B:-build}/.rados" 2>/dev/null)" = with ] || { skip "built without librados-dev"; finish; }
    if [ -n "$(cluster_packages)" ] && ! timeout 90 sh tests/install $CEPH_PACKAGES >"$T/apt" 2>&1; then
        skip "no Ceph to test with: $(tail -n 1 "$T/apt")"
        finish
    fi
    DAEMONS=
    CLEAN_UP=clean_up_rados cluster_start "$@" >"$T/cluster" 2>&1 || { fail "a cluster comes up" "$(tail -n 20 "$T/cluster")"; finish; }
}

# serve STORE MNT [OPTIONS...] : in the foreground of a process of ours; $SERVING is it.
serve() {
    ${SERVE_IN:-} "$SILTFS" mount -f -o "rados_lease=3${3:+,$3}" "$1" "$2" >>"$T/log" 2>&1 &
    SERVING=$!
    DAEMONS="$DAEMONS $SERVING"
    wait_until 120 mounted "$2" || fail "$1 is mounted" "$(tail -n 5 "$T/log")"
}
# A process that is killed leaves its mount behind.
kill_daemon() { kill -9 "$1"; wait "$1" 2>/dev/null; umount -l "$2"; }
