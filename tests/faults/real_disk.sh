#!/usr/bin/env bash
# What the tests of faults model, on a real ext4: needs root, loop devices, and a tmpfs of 900 MiB. No part of the suite.
#
#   tests/faults/real_disk.sh WSHARE BENCH     the programs wshare and wshare-bench
#
# First, commands on 2,000 models; the moment one has ended the disk is copied, as a power loss would leave it, and
# the copy has to hold all that is there, each file whole (and may hold what the command deleted last). Then a disk
# whose store ends before what is written to it: restore has to say so.
set -euo pipefail
wshare=$(realpath "$1") bench=$(realpath "$2")
work=$(mktemp -d)
mkdir "$work/store" "$work/disk" "$work/copy"
cleanup() {
  for mounted in copy disk store; do umount -l "$work/$mounted" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
failed=0

make_disk() { # MIB: of its store
  mount -t tmpfs -o "size=$1M" none "$work/store"
  truncate -s 500M "$work/store/image"
  mkfs.ext4 -q -E lazy_itable_init=1,nodiscard "$work/store/image"
  mount -o loop "$work/store/image" "$work/disk"
}

run() { # COMMAND...: then looks at a copy of the disk
  "$wshare" "$@" -q >/dev/null
  cp --sparse=always "$work/store/image" "$work/image"
  mount -o loop "$work/image" "$work/copy"
  if (cd "$work/disk" && find . -type f -exec cmp {} "$work/copy/{}" \;) >"$work/lost" 2>&1 && [[ ! -s $work/lost ]]; then
    echo "$1: all $(find "$work/disk" -type f | wc -l) files survive"
  else
    echo "$1: LOST:"
    head -n 5 "$work/lost"
    failed=1
  fi
  umount "$work/copy"
  rm "$work/image"
}

"$bench" generate finetunes "$work/in" --models 2000 --layers 11 --width 32
"$bench" generate finetunes "$work/one" --models 1 --first 2000 --layers 11 --width 32
bundle=$work/disk/bundle
make_disk 900
ulimit -n 1024
run dedupe "$work/in" -o "$bundle"
run append "$bundle" "$work/one/task2000.onnx"
run remove "$bundle" task7
run remove "$bundle" --compact
run restore "$bundle" -o "$work/disk/back"
run dedupe "$work/in" -o "$bundle" --force
umount "$work/disk" "$work/store"

"$wshare" dedupe -q "$work/in" -o "$work/bundle" >/dev/null
for mib in 20 40 60 80 100 120; do
  make_disk $mib
  code=0
  "$wshare" restore -q "$work/bundle" -o "$work/disk/back" >"$work/said" 2>&1 || code=$?
  echo "restore to a disk that fails after $mib MiB: $code, $(head -n 1 "$work/said" | sed "s#$work/##")"
  [[ $code == 3 && ! -e $work/disk/back ]] || failed=1
  umount -l "$work/disk" "$work/store"
done
exit "$failed"
