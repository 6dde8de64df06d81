#!/usr/bin/env bash
# Makes two seeded families and times `wshare dedupe` beside its floor, in turn: hash all inputs once, copy the
# distinct bytes, make them durable. Where python3 has onnx, what people do today is timed as well
# (tools/wshare-bench/peers.py). Builds first; needs about 4 GiB of disk, 8 with Python.
#
#   tools/bench.sh [RUNS]      default 7
#   tools/bench.sh scale       every command on 2,000 and on 10,000 models, flat and as on the Hub, and one model of
#                              a million initializers; needs about 5 GiB of disk
#   tools/bench.sh deltas      what fine-tunes take beside their base, and the CPU time of one thread: simulated ones
#                              (python3 with numpy), and real ones where it has torch; beside zstd, XOR with byte
#                              split and zstd, and ZipNN where python3 has zipnn
#
# Each run writes into a folder of its own, and nothing is removed before the end: ext4 does not give inodes
# away again for some minutes, and looks at each of them whenever a file is made (400 files: 9 ms, after 400 were
# removed 100 ms).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
runs=${1:-7}
tools/setup.sh
[[ $runs == scale || $runs == deltas ]] || command -v xxhsum >/dev/null || { echo "bench: xxhsum is missing: apt-get install xxhash" >&2; exit 1; }
cmake -S . -B build -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build build --target wshare wshare-bench >/dev/null
data=build/bench
mkdir -p $data
out=$(mktemp -d "$PWD/$data/out.XXXXXX")
trap 'rm -rf "$out"' EXIT

# Prints one row: TITLE, then what the command behind -- takes.
row() { # TITLE COMMAND...
  local title=$1
  shift
  printf '  %-24s %s\n' "$title" "$(build/bin/wshare-bench command -- "$@")"
}

scale_family() { # MODELS LAYOUT
  local in=$data/scale-$1-$2 bundle=$out/$1-$2 wshare=build/bin/wshare args=() i
  [[ -d $in ]] || build/bin/wshare-bench generate finetunes "$in" --models "$1" --layers 11 --width 32 ${3:-}
  for ((i = 0; i < $1; ++i)); do
    if [[ $2 == flat ]]; then args+=("$in/task$i.onnx"); else args+=("task$i=$in/task$i/onnx/model.onnx"); fi
  done
  printf '\n%s models of 12 tensors, %s, %s file descriptors\n' "$1" "$2" "$(ulimit -n)"
  row dedupe $wshare dedupe -q "${args[@]}" -o "$bundle"
  row verify $wshare verify -q "$bundle"
  row 'inspect' $wshare inspect -q "$bundle"
  row 'inspect --json' $wshare inspect -q --json "$bundle"
  row 'inspect --html' $wshare inspect -q --html "$bundle.html" "$bundle"
  row 'inspect of the models' $wshare inspect -q "${args[@]}"
  row restore $wshare restore -q "$bundle" -o "$bundle.restored"
  row 'append of one' $wshare append -q "$bundle" "new=$data/scale-one/task10000.onnx"
  row 'remove of one' $wshare remove -q "$bundle" task7
  if [[ -f .deps/onnxruntime-1.29.0/lib/libonnxruntime.so ]]; then
    printf '  %-24s %s\n' 'Bundle::open, a session' "$(build/bin/wshare-bench open "$bundle" task8)"
  fi
}

scale() {
  ulimit -n 1024
  [[ -d $data/scale-one ]] ||
    build/bin/wshare-bench generate finetunes $data/scale-one --models 1 --first 10000 --layers 11 --width 32
  local models tensors in
  for models in 2000 10000; do
    scale_family $models flat
    scale_family $models hub --hub
  done
  build/bin/wshare dedupe -q "$data/scale-one/task10000.onnx" -o "$out/one" >/dev/null
  printf '\nof a bundle of one\n  %-24s %s\n' 'Bundle::open, a session' "$(build/bin/wshare-bench open "$out/one" task10000)"
  for tensors in 200000 1000000; do
    in=$data/scale-initializers-$tensors
    [[ -d $in ]] || build/bin/wshare-bench generate initializers "$in" --tensors $tensors
    printf '\none model of %s initializers\n' $tensors
    row dedupe build/bin/wshare dedupe -q "$in/initializers.onnx" -o "$out/$tensors"
    row verify build/bin/wshare verify -q "$out/$tensors"
    row inspect build/bin/wshare inspect -q "$in/initializers.onnx"
    row restore build/bin/wshare restore -q "$out/$tensors" -o "$out/$tensors.restored"
    row diff build/bin/wshare diff -q "$in/initializers.onnx" "$in/initializers.onnx"
    if python3 -c 'import onnx' 2>/dev/null; then
      row 'onnx.load' python3 -c "import onnx; onnx.load('$in/initializers.onnx')"
      row 'import onnx' python3 -c 'import onnx'
    fi
  done
}

deltas() {
  local in=$data/deltas base name
  python3 -c 'import numpy' || { echo "bench: python3 needs numpy to make fine-tunes" >&2; exit 1; }
  [[ -f $in/fp32.task.safetensors ]] || python3 testdata/make/finetunes.py "$in"
  if ! python3 -c 'import torch' 2>/dev/null; then
    echo "bench: python3 has no torch here, so no fine-tune is trained"
  elif [[ ! -f $in/trained-fp32.task.safetensors ]]; then
    python3 testdata/make/trained.py "$in"
  fi
  python3 -c 'import zipnn' 2>/dev/null || echo "bench: python3 has no zipnn here, so it is not compared"
  for base in "$in"/*.base.safetensors; do
    name=$(basename "$base" .base.safetensors)
    printf '\n%-28s %-9s %-12s  %s\n' "$name" 'of task' 'compressed' 'and back'
    build/bin/wshare-bench deltas "$base" "$in/$name.task.safetensors"
    if python3 -c 'import zipnn' 2>/dev/null; then
      python3 tools/wshare-bench/peers.py zipnn "$out" "$in/$name.task.safetensors"
    fi
  done
}

case $runs in
  scale | deltas)
    $runs
    exit
    ;;
esac
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
