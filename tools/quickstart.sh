#!/usr/bin/env bash
# From a bare machine to the main job on real models: installs what is needed (tools/setup.sh), builds
# build/bin/wshare, shares the weights of three model families, and opens sessions over the one copy beside
# plain sessions. Ten minutes on two cores, nearly all of them the build, and about 1 GiB of disk; run it again as often as
# you like.
#
#   tools/quickstart.sh                        everything
#   tools/quickstart.sh --onnxruntime-root DIR with your own ONNX Runtime instead of the fetched one
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

onnxruntime_root=
case ${1-} in
  '') ;;
  --onnxruntime-root)
    if (($# != 2)); then usage >&2; exit 2; fi
    onnxruntime_root=$(realpath -- "$2")
    ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac

out=build/quickstart
wshare=build/bin/wshare
started=$SECONDS

heading() { printf '\n== %s\n' "$*"; }
# Shows a command, then runs it; stops the script where it fails.
show() { printf '\n$ %s\n' "$*"; "$@"; }
# The same for a build step. On a terminal ninja draws one line; elsewhere its output shows only if it fails.
quietly() {
  local log
  if [[ -t 1 ]]; then
    show "$@"
    return
  fi
  log=$(mktemp)
  printf '\n$ %s\n' "$*"
  if ! "$@" >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

heading "1. Install what is missing"
setup=()
if [[ -n $onnxruntime_root ]]; then setup=(--no-onnxruntime); fi
show tools/setup.sh "${setup[@]}"

heading "2. Build $wshare"
configure=(-DCMAKE_BUILD_TYPE=Release)
if [[ ! -f build/CMakeCache.txt ]]; then configure+=(-G Ninja); fi # an existing tree keeps its generator
if [[ -n $onnxruntime_root ]]; then configure+=("-DONNXRUNTIME_ROOT=$onnxruntime_root"); fi
quietly cmake -S . -B build "${configure[@]}"
quietly cmake --build build --target wshare wshare-bench
mkdir -p "$out"

heading "3. Encoder, decoder and decoder-with-past of one T5 (tied embeddings)"
show $wshare inspect testdata/t5-seq2seq --top 3
show $wshare dedupe testdata/t5-seq2seq -o $out/seq2seq --force
show $wshare verify $out/seq2seq
echo; echo "These models are small enough to commit: what a session itself needs outweighs their weights. Part 6 has larger ones."
show $wshare run $out/seq2seq --sessions 8 --baseline

heading "4. A T5 and three LoRA tasks on it, each exported as a model of its own"
show $wshare dedupe testdata/t5-lora -o $out/lora --force
show $wshare verify $out/lora
show $wshare run $out/lora --sessions 8 --baseline

heading "5. The same tasks as one base, one small adapter each, and one session"
tasks=testdata/t5-lora
show $wshare extract-lora --base $tasks/base.onnx $tasks/summarize.onnx $tasks/translate.onnx -o $out/tasks --force
show $wshare append $out/tasks $tasks/classify.onnx
show $wshare verify $out/tasks
show $wshare run $out/tasks --task summarize --task translate --task classify \
  --against summarize=$tasks/summarize.onnx --against translate=$tasks/translate.onnx \
  --against classify=$tasks/classify.onnx
rm -rf "$out/tasks-back"
show $wshare restore $out/tasks -o $out/tasks-back
show cmp $out/tasks-back/classify.onnx $tasks/classify.onnx

heading "6. Eight larger fine-tunes (made here, seeded), where the memory shows"
rm -rf "$out/finetunes" "$out/finetunes-bundle"
show build/bin/wshare-bench generate finetunes $out/finetunes --models 8 --mib 100
show $wshare dedupe $out/finetunes -o $out/finetunes-bundle --force
show $wshare verify $out/finetunes-bundle
show $wshare run $out/finetunes-bundle --sessions 1 --baseline
echo; echo "With what ONNX Runtime makes of the weights stored beside them, sessions have no copies at all:"
show $wshare pack $out/finetunes-bundle
show $wshare run $out/finetunes-bundle --sessions 1 --against task0=$out/finetunes/task0.onnx

heading "Done in $((SECONDS - started)) s"
cat <<END
Bundles: $out/seq2seq, $out/lora, $out/tasks, $out/finetunes-bundle
Any ONNX Runtime opens the models in them as they are. Try your own:
  $wshare dedupe MODEL.onnx... -o BUNDLE
  $wshare run BUNDLE --sessions 8 --baseline
Remove all of this with: rm -rf $out
END
