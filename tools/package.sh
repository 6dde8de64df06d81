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
# What it must have: the command, what it contains of others, and of Debian's libraries those that it is linked with.
made=$(ls -t "$build"/packages/wshare_*.deb | head -1)
listed=$(dpkg-deb --contents "$made")
for file in ./usr/bin/wshare ./usr/share/doc/wshare/THIRD_PARTY_NOTICES.txt ./usr/share/doc/wshare/copyright; do
  grep -q " $file\$" <<<"$listed" || { echo "package: error: $made has no $file" >&2; exit 1; }
done
depends=$(dpkg-deb --field "$made" Depends)
for library in libssl libprotobuf libonnx libzstd libxxhash libopenblas; do
  [[ $depends == *"$library"* ]] || { echo "package: error: $made does not depend on $library: $depends" >&2; exit 1; }
done
mkdir -p "$output"
cp "$build"/packages/wshare_*.deb "$output"/
printf '%s\n' "$output"/wshare_*.deb
