#!/usr/bin/env bash
# Runs `wshare run` on providers that take no weights, as others built them: ggml's, which must be refused with
# the reason, and OpenVINO's, which shares by itself. On a CPU that is not Intel's, OpenVINO's is shown one that
# is (tests/providers). Prints the figures of docs/loader.md, "Providers".
#
#   tools/test-providers.sh [BUILD]     BUILD: build/test, where tools/test.sh builds
#
# Fetches both from PyPI, pinned, into a temporary folder (70 MB). Exit code 77, saying why, where that fails; 0 when
# all is as it should be.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case ${1-} in
  -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
  -*) echo "test-providers: error: unknown option '$1'" >&2; exit 2 ;;
esac
build=${1-build/test}
for program in "$build/bin/wshare" "$build/bin/wshare-bench" "$build/tests/libas_intel.so"; do
  [[ -e $program ]] || { echo "test-providers: error: no $program; build first (tools/test.sh)" >&2; exit 2; }
done

openvino=onnxruntime_ep_openvino-1.8.1-py3-none-manylinux_2_28_x86_64.whl
openvino_sha256=3832643158c8c187fcab6db661cde2a8c06a2b3559d95d0f2411ac0e51c5e924
ggml=onnxruntime_ggml-0.2.0-py3-none-manylinux_2_35_x86_64.whl
ggml_sha256=2342809f3f6dc2d7b6d303f3bcde391ec5ab10177ce45aec9365880aa5914745

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Fetches the wheel $2 of the package $1, checks it against $3, and unpacks it into $work/$4.
fetch() {
  if ! (cd "$work" && pip3 download --quiet --no-deps --no-cache-dir --disable-pip-version-check --only-binary=:all: \
    --python-version 3.11 --platform manylinux_2_28_x86_64 --platform manylinux_2_35_x86_64 "$1" </dev/null >&2); then
    echo "test-providers: NOT RUN: pip cannot fetch $1"
    exit 77
  fi
  sha256sum --check --quiet <<<"$3  $work/$2"
  python3 -m zipfile -e "$work/$2" "$work/$4"
}

# Runs wshare with the bundle; leaves its exit code in $code, and what it wrote in $work/out and $work/err.
run() {
  code=0
  timeout 300 "$build/bin/wshare" run "$work/bundle" --repeat 1 "$@" >"$work/out" 2>"$work/err" || code=$?
}

fail() { echo "test-providers: FAILED: $1"; cat "$work/err"; exit 1; }

"$build/bin/wshare-bench" generate finetunes "$work/pool" --models 2 --mib 100
"$build/bin/wshare" dedupe "$work/pool" -o "$work/bundle" >/dev/null

fetch onnxruntime-ggml==0.2.0 "$ggml" "$ggml_sha256" ggml
run --ep ggml --ep-library "$work/ggml/onnxruntime_ggml/lib/libonnxruntime_ggml.so"
((code == 5)) && grep -q "each session holds 1.5 times their bytes" "$work/err" || fail "ggml: exit $code"
echo "ggml: refused: $(grep -m 1 "^wshare:" "$work/err")"

fetch onnxruntime-ep-openvino==1.8.1 "$openvino" "$openvino_sha256" openvino
plugin=$work/openvino/onnxruntime_ep_openvino/libonnxruntime_providers_openvino_plugin.so
if ! grep -q GenuineIntel /proc/cpuinfo; then
  run --ep openvino --ep-library "$plugin"
  ((code == 5)) && grep -q "vendor 0x8086" "$work/err" || fail "OpenVINO without its hardware: exit $code"
  export WSHARE_AS_INTEL=$plugin
  plugin=$(realpath "$build/tests/libas_intel.so")
fi
# It gives back at the first run what it read while the session was made; glibc keeps that, unless it is told not to.
export MALLOC_MMAP_THRESHOLD_=131072
run --ep openvino --ep-library "$plugin" --model task0 --sessions 8 --baseline --json
((code == 0)) || fail "OpenVINO: exit $code"
python3 - "$work/out" <<'END' || fail "OpenVINO does not share"
import json, sys
run = json.load(open(sys.argv[1]))
ours, plain = run["pss_bytes"] / 2**20, run["baseline"]["pss_bytes"] / 2**20
print(f"OpenVINO: 8 sessions of 101 MiB take {ours:.1f} MiB of PSS, 8 plain ones {plain:.1f}")
assert run["models"][0]["device"]["proof"] == "none"
sys.exit(ours > plain / 2)
END
