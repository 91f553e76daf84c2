#!/bin/sh
# Prints the path of a Python 3.11+ that can build C extensions, or says in one line what is missing.
set -u
for name in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
    [ -n "$name" ] || continue
    path=$(command -v "$name" 2>/dev/null) || continue
    "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    "$path" -c 'import ensurepip, venv' 2>/dev/null ||
        { echo "missing: the venv module of $path; on Debian: apt-get install python3-venv" >&2; exit 1; }
    "$path" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
        { echo "missing: the headers of $path (Python.h); on Debian: apt-get install python3-dev" >&2; exit 1; }
    command -v "${CC:-cc}" >/dev/null 2>&1 ||
        { echo "missing: a C compiler (${CC:-cc}); on Debian: apt-get install gcc libc6-dev" >&2; exit 1; }
    echo "$path"
    exit 0
done
echo "missing: Python 3.11 or newer; on Debian: apt-get install python3 python3-venv python3-dev" >&2
exit 1
