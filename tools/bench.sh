#!/usr/bin/env bash
# Makes two seeded families and times wshare dedupe against its floor, in turn: hash all inputs once, copy the
# distinct bytes, make them durable. Builds first; needs about 4 GiB of disk.
#
#   tools/bench.sh [RUNS]      default 5
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
runs=${1:-5}
tools/setup.sh
command -v xxhsum >/dev/null || { echo "bench: xxhsum is missing: apt-get install xxhash" >&2; exit 1; }
cmake -S . -B build -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build build --target wshare wshare-bench >/dev/null
data=build/bench
now() { date +%s%N; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

measure() { # NAME MODELS MIB WIDTH
  local in=$data/$1 out=$data/out times_floor='' times_wshare='' start
  [[ -d $in ]] || build/bin/wshare-bench generate finetunes "$in" --models "$2" --mib "$3" --width "$4"
  rm -rf "$out"; mkdir -p "$out"
  build/bin/wshare dedupe "$in" -o "$out/b" >/dev/null
  cat "$out"/b/*.bin >"$data/distinct"
  for ((i = 0; i < runs; ++i)); do
    rm -rf "$out"; mkdir -p "$out"; cat "$in"/*.onnx >/dev/null; start=$(now)
    xxhsum -H2 "$in"/*.onnx >/dev/null; cp --reflink=never "$data/distinct" "$out/d"; sync -d "$out/d"
    times_floor+="$((($(now) - start) / 1000000))"$'\n'
    rm -rf "$out"; mkdir -p "$out"; cat "$in"/*.onnx >/dev/null; start=$(now)
    build/bin/wshare dedupe "$in" -o "$out/b" >/dev/null
    times_wshare+="$((($(now) - start) / 1000000))"$'\n'
  done
  printf '%-24s floor %6s ms   wshare dedupe %6s ms   (medians of %s)\n' "$1" \
    "$(printf %s "$times_floor" | median)" "$(printf %s "$times_wshare" | median)" "$runs"
  rm -rf "$out" "$data/distinct"
}

measure finetunes-8x400MiB 8 400 1024
measure small-200x2MiB 200 2 128
