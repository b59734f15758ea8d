#!/bin/bash
# What POSIX and Linux promise, fact by fact (facts_*.py): on a real mount.
. "$(dirname "$0")/mount_lib.sh"
need python3 python3

fresh || { fail "a fresh store mounts"; finish; }
facts facts_names.py
facts facts_locks.py
finish
