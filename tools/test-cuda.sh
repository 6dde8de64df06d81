#!/usr/bin/env bash
# Runs what needs a GPU, in a folder that is built already: the tests of `ctest -L cuda`, then the figures
# of docs/loader.md, "Devices", on the GPU beside plain sessions.
#
#   tools/test-cuda.sh [BUILD]     BUILD: build/test, where tools/test.sh builds
#
# Needs the repository at the place where BUILD was made, NVIDIA's driver, CUDA 13 and cuDNN 9 (found by the
# system or in LD_LIBRARY_PATH), and ONNX Runtime with CUDA (tools/setup.sh --cuda); no CMake, no compiler.
# Exit code 77, saying why, where something of that is missing; 0 when all passed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case ${1-} in
  -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
  -*) echo "test-cuda: error: unknown option '$1'" >&2; exit 2 ;;
esac
bin=${1-build/test}/bin
for program in cuda_test wshare wshare-bench; do
  [[ -x $bin/$program ]] || { echo "test-cuda: error: no $bin/$program; build first (tools/test.sh)" >&2; exit 2; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$bin/wshare-bench" generate finetunes "$work/pool" --models 8 --mib 100
"$bin/wshare" dedupe "$work/pool" -o "$work/bundle" >/dev/null

# Also tells whether there is a GPU: exit code 5 says what is missing.
status=0
"$bin/wshare" run "$work/bundle" --ep cuda --model task0 --repeat 1 --quiet >/dev/null 2>"$work/err" || status=$?
if ((status == 5)) && grep -q "'cuda': " "$work/err"; then
  echo "test-cuda: NOT RUN, this is missing:"
  cat "$work/err"
  exit 77
fi

"$bin/cuda_test"
"$bin/wshare" run "$work/bundle" --ep cuda --repeat 20 --baseline --max-abs-diff 0 \
  --against task0="$work/pool/task0.onnx" --against task7="$work/pool/task7.onnx"
"$bin/wshare" run "$work/bundle" --ep cuda --repeat 20 --model task0 --sessions 8
