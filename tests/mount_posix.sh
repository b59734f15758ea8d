#!/bin/bash
. "$(dirname "$0")/mount_lib.sh"
need python3 python3

fresh || { fail "a fresh store mounts"; finish; }
facts facts_locks.py
finish
