#!/usr/bin/env bash
# Gives the readers of untrusted bytes (tests/fuzz) inputs that libFuzzer makes, under AddressSanitizer and UBSan.
#
#   tools/fuzz.sh smoke             60 seconds in all, on the seeds that testdata/ gives
#   tools/fuzz.sh long [SECONDS]    so long for each target (default 3600), one after the other; what it
#                                   finds to be new is kept in build/fuzz/corpus for the next time
#   tools/fuzz.sh long SECONDS NAME only the target NAME_fuzz
#
# Builds with clang in build/fuzz. Prints how many inputs each target was given; exits non-zero when one of
# them failed: crashed, took over 20 seconds or 1 GiB, or broke a promise. Its input is then in build/fuzz/failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

case ${1:-} in
  smoke) seconds=0 ;;
  long) seconds=${2:-3600} ;;
  *) usage >&2; exit 2 ;;
esac
only=${3:-}

tools/setup.sh --fuzz
build=build/fuzz
export CCACHE_BASEDIR=${CCACHE_BASEDIR-$PWD} CCACHE_NOHASHDIR=${CCACHE_NOHASHDIR-1}
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -g1" \
  -DCMAKE_CXX_COMPILER=clang++-14 -DWSHARE_FUZZ=ON -DWSHARE_SANITIZE=fuzzer-no-link,address,undefined \
  -DWSHARE_TESTS=OFF -DWSHARE_EXAMPLES=OFF -DWSHARE_INSTALL=OFF "${launcher[@]}" >/dev/null
cmake --build "$build" --target fuzz

rm -rf "$build/seeds"
"$build/bin/fuzz_seeds" "$build/seeds"
mkdir -p "$build/failed"
targets=("$build"/bin/*"${only}"_fuzz)
if ((seconds == 0)); then seconds=$((60 / ${#targets[@]})); fi

export ASAN_OPTIONS="detect_leaks=0:quarantine_size_mb=64${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export ORT_DISABLE_TELEMETRY=1
# Work folders lie in memory where that is possible.
if [[ -z ${TMPDIR:-} && -w /dev/shm ]]; then export TMPDIR=/dev/shm; fi

total=0 status=0
for target in "${targets[@]}"; do
  name=$(basename "$target" _fuzz)
  mkdir -p "$build/corpus/$name" "$build/seeds/$name"
  log=$build/$name.log
  corpus=("$build/seeds/$name")
  if [[ $1 == long ]]; then corpus=("$build/corpus/$name" "${corpus[@]}"); fi
  "$target" -max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=1024 -malloc_limit_mb=512 \
    -detect_leaks=0 -print_funcs=0 -print_final_stats=1 -artifact_prefix="$build/failed/$name-" "${corpus[@]}" >"$log" 2>&1 || {
    status=1
    echo "fuzz: $name failed; the end of $log:"
    tail -n 40 "$log"
  }
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
  total=$((total + ${executions:-0}))
  printf '%10d executions of %s\n' "${executions:-0}" "$name"
done
printf '%10d executions in all\n' "$total"
exit "$status"
