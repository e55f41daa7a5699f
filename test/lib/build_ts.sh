#!/bin/sh
# Installs the packages of the lock file, if they changed, and compiles to test/build. tsc and not a
# faster stripper, because it also checks the types and is plain JavaScript on every platform.
set -eu
cd "$(dirname "$0")/.."
if ! cmp -s package-lock.json node_modules/.installed-lock.json; then
    npm ci --no-progress
    cp package-lock.json node_modules/.installed-lock.json
fi
rm -rf build
node_modules/.bin/tsc
