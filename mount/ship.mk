# ship.mk - how the program comes to others: `make install`, `make uninstall`, `make deb`.
#
#   PREFIX=/usr/local DESTDIR= bindir= sbindir= mandir= bashcompdir= zshcompdir= docdir=
#
# With what goes beside it: links under which mkfs(8), mount(8) and fsck(8) look for it,
# manual pages made of its own help, completion, an example unit; and the library
# (lsm/lib.mk).

bindir      ?= $(PREFIX)/bin
sbindir     ?= $(PREFIX)/sbin
mandir      ?= $(PREFIX)/share/man
bashcompdir ?= $(PREFIX)/share/bash-completion/completions
zshcompdir  ?= $(PREFIX)/share/zsh/$(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)
docdir      ?= $(PREFIX)/share/doc/siltfs

HELPERS = mkfs.siltfs mount.siltfs mount.fuse.siltfs fsck.siltfs
PAGES   = $(patsubst mount/man/%.in,%,$(wildcard mount/man/*.in))
# The package: its version, if not the newest of mount/debian/changelog.
DEB_VERSION ?=

$(B)/man/.made: $(B)/siltfs mount/man/pages mount/debian/changelog $(wildcard mount/man/*.in)
	@echo "  MAN $(@D)"
	$(Q)sh mount/man/pages $(B)/siltfs $(@D)
	$(Q)touch $@

.PHONY: man install install-program uninstall uninstall-program deb

man: $(B)/man/.made

install: install-program install-lib
uninstall: uninstall-program uninstall-lib

# mount.fuse.siltfs has the manual of what it is the same as.
install-program: $(B)/siltfs man
	$(Q)$(INSTALL) -d "$(DESTDIR)$(bindir)" "$(DESTDIR)$(sbindir)" "$(DESTDIR)$(bashcompdir)" \
	  "$(DESTDIR)$(zshcompdir)" "$(DESTDIR)$(docdir)/examples" $(foreach n,1 5 8,"$(DESTDIR)$(mandir)/man$(n)")
	$(Q)$(INSTALL) -m 755 $(B)/siltfs "$(DESTDIR)$(bindir)/"
	$(Q)for n in $(HELPERS); do ln -sf "$(bindir)/siltfs" "$(DESTDIR)$(sbindir)/$$n" || exit; done
	$(Q)for n in $(PAGES); do $(INSTALL) -m 644 $(B)/man/$$n "$(DESTDIR)$(mandir)/man$${n##*.}/" || exit; done
	$(Q)ln -sf mount.siltfs.8 "$(DESTDIR)$(mandir)/man8/mount.fuse.siltfs.8"
	$(Q)$(INSTALL) -m 644 mount/completion/siltfs.bash "$(DESTDIR)$(bashcompdir)/siltfs"
	$(Q)for n in mkfs mount fsck; do ln -sf siltfs "$(DESTDIR)$(bashcompdir)/$$n.siltfs" || exit; done
	$(Q)$(INSTALL) -m 644 mount/completion/_siltfs "$(DESTDIR)$(zshcompdir)/"
	$(Q)$(INSTALL) -m 644 mount/siltfs@.service "$(DESTDIR)$(docdir)/examples/"

uninstall-program:
	$(Q)rm -f $(HELPERS:%="$(DESTDIR)$(sbindir)/%") "$(DESTDIR)$(bindir)/siltfs" \
	  $(foreach p,$(PAGES),"$(DESTDIR)$(mandir)/man$(patsubst .%,%,$(suffix $(p)))/$(p)") \
	  "$(DESTDIR)$(mandir)/man8/mount.fuse.siltfs.8" "$(DESTDIR)$(zshcompdir)/_siltfs" \
	  $(foreach n,siltfs mkfs.siltfs mount.siltfs fsck.siltfs,"$(DESTDIR)$(bashcompdir)/$(n)") \
	  "$(DESTDIR)$(docdir)/examples/siltfs@.service"
	$(Q)rmdir "$(DESTDIR)$(docdir)/examples" "$(DESTDIR)$(docdir)" 2>/dev/null || true

# build/siltfs_VERSION_ARCH.deb
deb: $(B)/siltfs man
	@sh tests/install dpkg-dev
	+@sh mount/debian/build $(B) $(DEB_VERSION)
