#!/usr/bin/env bash
# Makes two seeded families and times `wshare dedupe` beside its floor, in turn: hash all inputs once, copy the
# distinct bytes, make them durable. Where python3 has onnx, what people do today is timed as well
# (tools/wshare-bench/peers.py). Builds first; needs about 4 GiB of disk, 8 with Python.
#
#   tools/bench.sh [RUNS]      default 7
#
# Each run writes into a folder of its own, and nothing is removed before the end: ext4 does not give inodes
# away again for some minutes, and looks at each of them whenever a file is made (400 files: 9 ms, after 400 were
# removed 100 ms).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
runs=${1:-7}
tools/setup.sh
command -v xxhsum >/dev/null || { echo "bench: xxhsum is missing: apt-get install xxhash" >&2; exit 1; }
cmake -S . -B build -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build build --target wshare wshare-bench >/dev/null
data=build/bench
mkdir -p $data
out=$(mktemp -d "$PWD/$data/out.XXXXXX")
trap 'rm -rf "$out"' EXIT
peers=()
if python3 -c 'import onnx' 2>/dev/null; then
  peers=(peer-share peer-save)
else
  echo "bench: python3 has no onnx here, so the peers are not timed"
fi

prepare() { # FAMILY MODELS MIB WIDTH
  local in=$data/$1
  [[ -d $in ]] || build/bin/wshare-bench generate finetunes "$in" --models "$2" --mib "$3" --width "$4"
  build/bin/wshare dedupe "$in" -o "$out/$1" >/dev/null
  cat "$out/$1"/*.bin >"$out/$1.distinct"
}

# Does the work of one column for FAMILY into folder TO.
work() { # COLUMN FAMILY TO
  local in=$data/$2
  case $1 in
    floor)
      xxhsum -H2 "$in"/*.onnx >/dev/null
      cp --reflink=never "$out/$2.distinct" "$3/distinct"
      sync -d "$3/distinct"
      ;;
    wshare) build/bin/wshare dedupe "$in" -o "$3/bundle" >/dev/null ;;
    peer-share) python3 tools/wshare-bench/peers.py share "$3" "$in"/*.onnx ;;
    peer-save) python3 tools/wshare-bench/peers.py save "$3" "$in"/*.onnx ;;
  esac
}

# Reads numbers, prints them as FORMAT: median, least, most.
summary() { # FORMAT
  sort -n | awk -v format="$1" '{ v[NR] = $1 } END { printf format, v[int((NR + 1) / 2)], v[1], v[NR] }'
}

measure() { # FAMILY
  local column run to start floor=1
  declare -A times ratios
  for ((run = 0; run < runs; ++run)); do
    for column in floor wshare ${peers[@]+"${peers[@]}"}; do
      to=$out/$1.$column.$run
      mkdir "$to"
      cat $data/"$1"/*.onnx >/dev/null # the page cache of an idle machine forgets
      sync
      start=$(date +%s%N)
      work "$column" "$1" "$to"
      elapsed=$((($(date +%s%N) - start) / 1000000))
      if [[ $column == floor ]]; then floor=$((elapsed > 0 ? elapsed : 1)); fi
      times[$column]+=$elapsed$'\n'
      ratios[$column]+=$(awk "BEGIN { print $elapsed / $floor }")$'\n'
      find "$to" -type f -exec truncate -s 0 {} + # gives the space back, keeps the inodes
    done
  done
  printf '\n%s, %s runs in turn, median [least - most]\n' "$1" "$runs"
  for column in floor wshare ${peers[@]+"${peers[@]}"}; do
    printf '  %-10s' "$column"
    printf %s "${times[$column]}" | summary ' %6d ms [%d - %d]'
    printf %s "${ratios[$column]}" | summary '   %.2f x floor [%.2f - %.2f]\n'
  done
}

prepare finetunes-8x400MiB 8 400 1024
measure finetunes-8x400MiB
prepare small-200x2MiB 200 2 128
measure small-200x2MiB
