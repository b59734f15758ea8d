# lib.mk - the engine as a library for others: `make install-lib`, `make uninstall-lib`.
#
#   PREFIX=/usr/local DESTDIR= libdir= includedir= pkgconfigdir=
#
# build/liblsm.a is for what is built here, tests of single modules included, and has
# every symbol. What is installed has those of LSM_EXPORTS alone: `compress` or
# `table_open` of ours must not meet somebody else's.

PREFIX       ?= /usr/local
libdir       ?= $(PREFIX)/lib
includedir   ?= $(PREFIX)/include
pkgconfigdir ?= $(libdir)/pkgconfig
INSTALL      ?= install

LSM_SOVERSION = 0
LSM_VERSION   = 0.1.0
LSM_HEADERS   = $(addprefix lsm/,lsm.h slice.h buf.h err.h env.h env_cache.h env_rados.h)
# Patterns; the same for the linker's version script and for objcopy.
LSM_EXPORTS   = lsm_* buf_* err_* env_posix env_for env_rados env_rados_* env_cache_open env_cache_close env_cache_get_stats env_files_max env_set_block_hook env_about_to_block

SONAME  = liblsm.so.$(LSM_SOVERSION)
PIC_OBJ = $(patsubst %.c,$(B)/pic/%.o,$(wildcard lsm/*.c))
LIB     = $(B)/lib

$(B)/pic/%.o: EXTRA = -fPIC
$(B)/pic/%.o: %.c | $(B)/.deps
	@mkdir -p $(@D)
	@echo "  CC $< (PIC)"
	$(Q)$(CC) $(CFLAGS) $(EXTRA) -MMD -MP -c -o $@ $<

-include $(wildcard $(B)/pic/lsm/*.d)

$(LIB)/exports.map: lsm/lib.mk
	@mkdir -p $(@D)
	@echo '{ global: $(LSM_EXPORTS:%=%;) local: *; };' >$@

$(LIB)/$(SONAME): $(PIC_OBJ) $(LIB)/exports.map
	@echo "  LD $@"
	$(Q)$(CC) $(LDFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,-Bsymbolic-functions -Wl,-z,defs \
	  -Wl,--version-script=$(LIB)/exports.map -o $@ $(PIC_OBJ) $(LSM_LIBS)

# One object, so that its parts find each other without global names.
$(LIB)/liblsm.a: $(LSM_OBJ) lsm/lib.mk
	@mkdir -p $(@D)
	@rm -f $@
	@echo "  AR $@"
	$(Q)$(LD) -r -o $(LIB)/lsm.o $(LSM_OBJ)
	$(Q)objcopy -w $(LSM_EXPORTS:%=--keep-global-symbol='%') $(LIB)/lsm.o
	$(Q)$(AR) rcs $@ $(LIB)/lsm.o

.PHONY: lib install-lib uninstall-lib

lib: $(LIB)/$(SONAME) $(LIB)/liblsm.a

install-lib: lib
	$(Q)$(INSTALL) -d "$(DESTDIR)$(libdir)" "$(DESTDIR)$(includedir)/lsm" "$(DESTDIR)$(pkgconfigdir)"
	$(Q)$(INSTALL) -m 644 $(LIB)/liblsm.a "$(DESTDIR)$(libdir)/"
	$(Q)$(INSTALL) -m 755 $(LIB)/$(SONAME) "$(DESTDIR)$(libdir)/liblsm.so.$(LSM_VERSION)"
	$(Q)ln -sf liblsm.so.$(LSM_VERSION) "$(DESTDIR)$(libdir)/$(SONAME)"
	$(Q)ln -sf $(SONAME) "$(DESTDIR)$(libdir)/liblsm.so"
	$(Q)$(INSTALL) -m 644 $(LSM_HEADERS) "$(DESTDIR)$(includedir)/lsm/"
	$(Q)sed -e 's|@libdir@|$(libdir)|; s|@includedir@|$(includedir)|; s|@version@|$(LSM_VERSION)|' \
	  lsm/lsm.pc.in >"$(DESTDIR)$(pkgconfigdir)/lsm.pc"

uninstall-lib:
	$(Q)rm -f "$(DESTDIR)$(pkgconfigdir)/lsm.pc" \
	  "$(DESTDIR)$(libdir)/liblsm.a" "$(DESTDIR)$(libdir)/liblsm.so" \
	  "$(DESTDIR)$(libdir)/$(SONAME)" "$(DESTDIR)$(libdir)/liblsm.so.$(LSM_VERSION)" \
	  $(patsubst lsm/%,"$(DESTDIR)$(includedir)/lsm/%",$(LSM_HEADERS))
	$(Q)rmdir "$(DESTDIR)$(includedir)/lsm" 2>/dev/null || true
