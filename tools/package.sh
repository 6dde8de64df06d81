#!/usr/bin/env bash
# Builds wshare_<version>_<architecture>.deb for the Debian or Ubuntu release that this runs on.
#
#   tools/package.sh [DIR]     into DIR (default: the current folder)
#
# Needs what tools/setup.sh installs, and dpkg-dev and file. WSHARE_BUILD names the build folder
# (default: build-package). Install it with: apt install ./wshare_*.deb
set -euo pipefail
case ${1-} in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;; esac
output=$(realpath "${1-.}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${WSHARE_BUILD:-build-package}

for command in cmake ninja dpkg-shlibdeps file; do
  command -v "$command" >/dev/null || {
    printf 'package: error: %s is missing\n  hint: apt-get install cmake ninja-build dpkg-dev file, and tools/setup.sh\n' "$command" >&2
    exit 1
  }
done
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DWSHARE_TESTS=OFF -DWSHARE_EXAMPLES=OFF \
  -DCMAKE_INSTALL_LIBDIR=lib >&2
cmake --build "$build" --target wshare >&2
(cd "$build" && cpack -G DEB -B packages >&2)
mkdir -p "$output"
cp "$build"/packages/wshare_*.deb "$output"/
printf '%s\n' "$output"/wshare_*.deb
