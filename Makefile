# siltfs: `make` builds build/siltfs and build/liblsm.a, `make run` tries it out,
# `make test` tests it. Everything that is built lies in build/.
#
#   make                the program, the engine, the benchmarks
#   make run            build, make a store, mount it, copy files in   [STORE= MNT=]
#   make test           every test, real mounts included               [T=part of a name]
#   make soak           random loads, crashes and options   [MINUTES=10 T=part of a name]
#   make rados          stores on Ceph RADOS: all tests of them, on a cluster of their own
#   make asan tsan      the unit tests under the sanitizers
#   make fuzz           hostile bytes for every decoder and whole stores, under libFuzzer
#                       [SECONDS=60 of processor time each; T=part of a name]
#   make bench-quick    first figures, under two minutes
#   make bench-kv       the engine beside RocksDB, LevelDB and LMDB  [MATRIX=--quick]
#   make bench-fs       the filesystem beside its peers, and beside none at all [MATRIX=--quick]
#   make bench          both, into bench/RESULTS.md with charts: some 80 minutes; in pieces:
#                       make bench-fs MATRIX="--only meta,free" ..., make bench-report
#   make install        the program, its manual and the library   [PREFIX=/usr/local DESTDIR=]; uninstall
#   make deb            a Debian package, in build/
#   make check-layers   no include points upward
#   make format         clang-format over the tree

B       ?= build
CC      ?= gcc
OPT     ?= -O2
DEBUG   ?= -g
# `make Q=` shows the commands.
Q       ?= @
WARN     = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
           -Wpointer-arith -Wno-unused-parameter $(NOWARN)
CFLAGS   = -std=gnu11 $(OPT) $(DEBUG) $(WARN) -D_GNU_SOURCE -DLSM_IN_TREE -D_FILE_OFFSET_BITS=64 -pthread \
           -fno-omit-frame-pointer $(SAN)
LDFLAGS  = -pthread $(SAN)
LSM_LIBS = -lxxhash -llz4 -lzstd

# Looked up when first used: pkg-config itself may have to be installed first.
FUSE_CFLAGS  = $(shell pkg-config --cflags fuse3) -DFUSE_USE_VERSION=314
FUSE_LIBS    = $(shell pkg-config --libs fuse3)
HTTP_CFLAGS  = $(shell pkg-config --exists libmicrohttpd && echo -DHAVE_MICROHTTPD `pkg-config --cflags libmicrohttpd`)
HTTP_LIBS    = $(shell pkg-config --libs libmicrohttpd 2>/dev/null)
# Loaded by who wants it, so only its headers (mount/libarchive.h).
TAR_CFLAGS   = $(shell pkg-config --exists libarchive && echo -DHAVE_LIBARCHIVE `pkg-config --cflags libarchive`)
CHECK_CFLAGS = $(shell pkg-config --cflags check)
CHECK_LIBS   = $(shell pkg-config --libs check)

comma     := ,
objs      = $(patsubst %.c,$(B)/%.o,$(1))
LSM_OBJ   = $(call objs,$(wildcard lsm/*.c))
FS_OBJ    = $(call objs,$(wildcard fs/*.c))
MOUNT_OBJ = $(call objs,$(wildcard mount/*.c))
# tests/test_X.c is a program; every other tests/*.c but the fuzzers is linked into all.
# A fuzzer is linked with libFuzzer by `make fuzz`, else with a main that replays inputs.
TEST_OBJ  = $(call objs,$(filter-out tests/test_%.c tests/fuzz_%.c tests/tool_%.c tests/replay.c,\
              $(wildcard tests/*.c)))
TESTS     = $(patsubst tests/%.c,$(B)/tests/%,$(wildcard tests/test_*.c))
TOOLS     = $(patsubst tests/%.c,$(B)/tests/%,$(wildcard tests/tool_*.c))
FUZZERS   = $(patsubst tests/%.c,$(B)/tests/%,$(wildcard tests/fuzz_*.c))
BENCHES   = $(patsubst bench/%.c,$(B)/%,$(wildcard bench/*-quick.c))

.PHONY: all run test unit soak rados asan tsan fuzz fuzzers bench bench-quick bench-kv bench-fs bench-report check-layers format clean deps ALWAYS
.SECONDARY:

all: $(B)/siltfs $(B)/liblsm.a $(BENCHES) $(B)/bench-kv $(B)/bench-fs $(B)/ceiling

# ---- packages ----

PACKAGES = gcc make libc6-dev pkg-config libfuse3-dev fuse3 libxxhash-dev check liblz4-dev libzstd-dev libmicrohttpd-dev libarchive-dev

# What siltfs can do without.
PACKAGES_OPTIONAL = librados-dev

# Cheap when everything is there; asks apt only for what is missing.
deps $(B)/.deps:
	@sh tests/install $(PACKAGES)
	@sh tests/install $(PACKAGES_OPTIONAL) || echo "going on without $(PACKAGES_OPTIONAL)"
	@mkdir -p $(B) && touch $(B)/.deps

# ---- building ----

$(B)/liblsm.a: $(LSM_OBJ)
	@rm -f $@
	@echo "  AR $@"
	$(Q)$(AR) rcs $@ $^

$(B)/libfs.a: $(FS_OBJ)
	@rm -f $@
	@echo "  AR $@"
	$(Q)$(AR) rcs $@ $^

$(B)/siltfs: $(MOUNT_OBJ) $(B)/mount/page.o $(B)/libfs.a $(B)/liblsm.a
	@echo "  LD $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(FUSE_LIBS) $(HTTP_LIBS) $(LSM_LIBS)

# The page of `siltfs mount --metrics`, as it is.
$(B)/mount/page.o: mount/page.html
	@mkdir -p $(@D)
	@echo "  BIN $<"
	$(Q)$(LD) -r -b binary -z noexecstack -o $@ $<

$(B)/tests/%: $(B)/tests/%.o $(TEST_OBJ) $(B)/libfs.a $(B)/liblsm.a
	@echo "  LD $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS) $(LSM_LIBS)

# System calls of env_posix.c that this one makes fail: nm -u tells which there are.
$(B)/tests/test_env_faults: LDFLAGS += $(addprefix -Wl$(comma)--wrap=,open64 preadv64v2 pread64 pwritev64 \
  fallocate64 ftruncate64 fdatasync fsync sync_file_range rename unlink link)

FUZZ_MAIN  = $(B)/tests/replay.o
FUZZ_FLAGS =

$(B)/tests/fuzz_names: $(B)/mount/options.o $(B)/mount/option_table.o $(B)/mount/say.o
$(B)/tests/test_traffic: $(B)/mount/traffic.o
$(B)/tests/test_near: $(B)/mount/near.o $(B)/mount/cpus.o

$(FUZZERS): $(B)/tests/fuzz_%: $(B)/tests/fuzz_%.o $(FUZZ_MAIN) $(TEST_OBJ) $(B)/libfs.a $(B)/liblsm.a
	@echo "  LD $@"
	$(Q)$(CC) $(LDFLAGS) $(FUZZ_FLAGS) -o $@ $^ $(CHECK_LIBS) $(LSM_LIBS)

$(B)/%-quick: $(B)/bench/%-quick.o $(B)/libfs.a $(B)/liblsm.a
	@echo "  LD $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LSM_LIBS) -lm

# With the points at which tests/mount_kill.sh lets it die (lsm/kill.h); what has none is
# linked as it is.
KILL_OBJ = $(patsubst %.c,$(B)/kill/%.o,$(shell grep -lw 'KILL_POINTS*' lsm/*.c fs/*.c mount/*.c))

$(KILL_OBJ): CFLAGS += -DKILL_POINTS

$(B)/kill/siltfs: $(KILL_OBJ) $(filter-out $(KILL_OBJ:$(B)/kill/%=$(B)/%),$(MOUNT_OBJ) $(FS_OBJ) $(LSM_OBJ)) \
                 $(B)/mount/page.o
	@echo "  LD $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(FUSE_LIBS) $(HTTP_LIBS) $(LSM_LIBS)

# bench-kv has the peers whose headers are there; .peers remembers which these were, so
# that it is built anew when they are others.
KV_ALL   = rocksdb leveldb lmdb
KV_PEERS := $(patsubst /usr/include/%.h,%,$(wildcard /usr/include/lmdb.h)) \
            $(patsubst /usr/include/%/c.h,%,$(wildcard /usr/include/rocksdb/c.h /usr/include/leveldb/c.h))
KV_DEFS  := $(addprefix -DKV_,$(shell echo $(KV_PEERS) | tr a-z A-Z))
# What bench-kv and bench-fs share.
BOTH_OBJ = $(call objs,bench/host.c bench/scratch.c)
KV_OBJ   = $(call objs,$(filter-out $(KV_ALL:%=bench/kv_%.c),$(wildcard bench/kv.c bench/kv_*.c)) \
           $(KV_PEERS:%=bench/kv_%.c)) $(BOTH_OBJ)

$(B)/bench/.peers: ALWAYS
	@mkdir -p $(@D) && { echo $(KV_PEERS) | cmp -s - $@ 2>/dev/null || echo $(KV_PEERS) >$@; }

$(B)/bench/kv.o: $(B)/bench/.peers

$(B)/bench-fs: $(call objs,$(wildcard bench/fs.c bench/fs_*.c)) $(BOTH_OBJ)
	@echo "  LD $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^

# mount/ as it is, on bench/ceiling_fs.c in place of fs/.
$(B)/libmount.a: $(filter-out $(B)/mount/main.o $(B)/mount/cmd_%.o,$(MOUNT_OBJ))
	@rm -f $@
	@echo "  AR $@"
	$(Q)$(AR) rcs $@ $^

$(B)/ceiling: $(B)/bench/ceiling.o $(B)/bench/ceiling_fs.o $(B)/libmount.a $(B)/liblsm.a
	@echo "  LD $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(FUSE_LIBS) $(LSM_LIBS)

$(B)/bench/ceiling.o: EXTRA += $(FUSE_CFLAGS)

$(B)/bench-kv: $(KV_OBJ) $(B)/liblsm.a
	@echo "  LD $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LSM_LIBS) $(KV_PEERS:%=-l%)

$(B)/mount/%.o $(B)/kill/mount/%.o: EXTRA = $(FUSE_CFLAGS)
$(B)/mount/http.o: EXTRA += $(HTTP_CFLAGS)
$(patsubst %,$(B)/mount/%.o,libarchive tar_acl tar_dirs tar_export tar_import cmd_export): EXTRA += $(TAR_CFLAGS)
# At -O1 they compile in two thirds of the time, and run as fast within some per cent.
$(B)/tests/%.o: OPT = -O1
$(B)/tests/%.o: EXTRA = $(CHECK_CFLAGS) -I.
$(B)/bench/%.o: EXTRA = -I. $(KV_DEFS)

define compile
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(Q)$(CC) $(CFLAGS) $(EXTRA) -MMD -MP -c -o $@ $<
endef

$(B)/%.o: %.c | $(B)/.deps
	$(compile)

# Stores on Ceph RADOS are built in where librados-dev is; the library itself is loaded
# when one is opened. .rados remembers which it was.
RADOS_OBJ = $(call objs,$(wildcard lsm/env_rados*.c))

$(RADOS_OBJ) $(RADOS_OBJ:$(B)/%=$(B)/pic/%) $(RADOS_OBJ:$(B)/%=$(B)/kill/%): $(B)/.rados

$(B)/.rados: ALWAYS | $(B)/.deps
	@now=$$([ -e /usr/include/rados/librados.h ] && echo with || echo without); \
	[ "$$(cat $@ 2>/dev/null)" = $$now ] || { echo $$now >$@; \
	  echo "  stores on Ceph RADOS: $$now (librados-dev)"; }

$(KILL_OBJ): $(B)/kill/%.o: %.c | $(B)/.deps
	$(compile)

-include $(shell [ -d $(B) ] && find $(B) -maxdepth 2 -name '*.d' 2>/dev/null) $(wildcard $(B)/kill/*/*.d)

include lsm/lib.mk
include mount/ship.mk

# ---- trying and testing ----

SECONDS ?= 60
MINUTES ?= 10
STORE ?= $(CURDIR)/build/demo-store
MNT   ?= $(CURDIR)/build/demo-mnt

run: all
	@sh tests/demo $(B)/siltfs "$(STORE)" "$(MNT)"

test: all lib man $(TESTS) $(TOOLS) $(FUZZERS) $(B)/kill/siltfs check-layers
	@B=$(B) bash tests/run $(T)

unit: $(filter-out $(SKIP:%=$(B)/tests/test_%),$(TESTS)) $(if $(SKIP),,$(FUZZERS))
	@B=$(B) SKIP="$(SKIP)" bash tests/run unit $(T)

soak: all $(TESTS) $(TOOLS) $(B)/kill/siltfs $(B)/asan/siltfs
	@B=$(B) bash tests/soak $(MINUTES) $(T)

rados: all $(B)/kill/siltfs $(B)/tests/test_env $(B)/tests/test_db_model $(B)/tests/test_checkpoint \
       $(B)/tests/test_rados_hostile $(B)/tests/test_rados_two $(B)/tests/test_rados_stuck
	@B=$(B) RADOS=full bash tests/mount_rados.sh
	@B=$(B) bash tests/rados_full.sh
	@B=$(B) bash tests/rados_net.sh
	@B=$(B) bash tests/rados_auth.sh
	@B=$(B) bash tests/rados_clusters.sh

# Lines and names of functions are all that a report of theirs needs.
ASAN = OPT=-O1 DEBUG=-g1 SAN="-fsanitize=address,undefined -fno-sanitize-recover=all -DLOCK_CHECK"

asan:
	@$(MAKE) --no-print-directory B=$(B)/asan $(ASAN) unit

# For tests/mount_load.sh, which asks whether it leaks.
$(B)/asan/siltfs: ALWAYS
	@$(MAKE) --no-print-directory B=$(B)/asan $(ASAN) $@

# Nothing in these for TSan: they have a single thread (workers=0), or one beside the engine's,
# as test_fs_stress has many, or look for anything but races. Of others, see TEST_CASE_ALONE.
SINGLE = batch block compress db_crash db_gaps doubt edit env_faults env_mem faults filter_bits flips format \
  fs_attr fs_check fs_circles fs_crash fs_file fs_hostile fs_lost fs_names fs_power fs_readdir \
  fs_record fs_rename fs_repair fs_repair_random fs_scrub fs_tmpfile fs_xattr gaps haste hostile manifest \
  manifest_crash manifest_roll memory merge options pick pick_tree power ptr_map rangedel rate repair \
  stats_print table_damage version vlog vlog_gc wal

tsan:
	@$(MAKE) --no-print-directory SKIP="$(SINGLE)" B=$(B)/tsan OPT=-O1 DEBUG=-g1 \
	  SAN="-fsanitize=thread -DLOCK_CHECK" unit

fuzzers: $(FUZZERS)

# Comparisons are not traced: nothing hides behind a constant that the inputs to begin
# with have not got, and it halves the speed.
fuzz:
	@sh tests/install clang libclang-rt-14-dev
	@$(MAKE) --no-print-directory B=$(B)/fuzz CC=clang OPT=-O2 DEBUG=-g1 NOWARN=-Wno-unused-but-set-variable \
	  SAN="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-sanitize-coverage=trace-cmp -DLOCK_CHECK" \
	  FUZZ_MAIN= FUZZ_FLAGS=-fsanitize=fuzzer fuzzers
	@SECONDS_EACH=$(SECONDS) bash tests/fuzz $(B)/fuzz/tests $(T)

bench-quick: all
	@bash bench/quick $(B)

# The peers; and what the reports are made with.
KV_PACKAGES = librocksdb-dev libleveldb-dev liblmdb-dev python3
FS_PACKAGES = fio gocryptfs fuse2fs ntfs-3g e2fsprogs git python3
KEPT        = $(B)/bench$(if $(findstring --quick,$(MATRIX)),-quick)
# A quick run shows that it works: bench/RESULTS.md is of whole ones.
RESULTS     = $(if $(findstring --quick,$(MATRIX)),$(KEPT),bench)

bench-kv:
	@sh tests/install $(KV_PACKAGES)
	@$(MAKE) --no-print-directory $(B)/bench-kv
	@bench/kv-matrix $(B) $(MATRIX)

bench-fs:
	@sh tests/install $(FS_PACKAGES)
	@$(MAKE) --no-print-directory $(B)/siltfs $(B)/ceiling $(B)/bench-fs
	@bench/fs-matrix $(B) $(MATRIX)

# A system that fails leaves a gap in the report, and `make bench` failed.
bench:
	@sh tests/install gnuplot-nox $(KV_PACKAGES) $(FS_PACKAGES)
	@$(MAKE) --no-print-directory all
	@status=0; \
	bench/fs-matrix $(B) $(MATRIX) || status=$$?; \
	[ $$status -gt 1 ] || bench/kv-matrix $(B) $(MATRIX) || status=$$?; \
	[ $$status -gt 1 ] || $(MAKE) --no-print-directory bench-report || status=$$?; \
	exit $$status

# Of all groups that were measured since, by `make bench`, bench-fs or bench-kv, in
# one run or in several.
bench-report:
	@sh tests/install gnuplot-nox python3
	@bench/report results $(KEPT) $(RESULTS)
	@echo "see $(RESULTS)/RESULTS.md"

check-layers:
	@bash tests/layers

format:
	clang-format -i fs/*.[ch] lsm/*.[ch] mount/*.[ch] tests/*.[ch] bench/*.[ch]

clean:
	rm -rf $(B)
