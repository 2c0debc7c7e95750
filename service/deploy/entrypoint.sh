#!/bin/sh
# Numba reads its cache only where it may write, and images are mounted read-only: it gets a copy.
set -e
built="${BUILT_NUMBA:-/opt/augfeed/numba}"
if [ -d "$built" ] && [ -n "$NUMBA_CACHE_DIR" ] && [ ! -e "$NUMBA_CACHE_DIR" ]; then
    mkdir -p "$NUMBA_CACHE_DIR"
    cp -R -p "$built/." "$NUMBA_CACHE_DIR"
fi
exec "$@"
