#!/usr/bin/env bash
# Runs a program that finds a GPU, the stand-in for CUDA, and ONNX Runtime's own CUDA provider.
#
#   run.sh STAND_IN ONNXRUNTIME PROGRAM [ARGUMENT...]
#     STAND_IN      folder of the stand-in: build/test/tests/cuda_stand_in
#     ONNXRUNTIME   folder of an ONNX Runtime with CUDA: .deps/onnxruntime-1.29.0/lib after tools/setup.sh --cuda
#
# Memory is real, the host cannot touch it, and float32 products are computed; kernels do nothing. So it shows what
# is on a device, and not what comes out. Exit code 77, saying why, where it cannot run.
set -euo pipefail
stand_in=$1 onnxruntime=$2
shift 2
if [[ ! -e $onnxruntime/libonnxruntime_providers_cuda.so ]]; then
  echo "NOT RUN ON THE STAND-IN FOR CUDA: no CUDA provider in $onnxruntime (tools/setup.sh --cuda)"
  exit 77
fi

# ONNX Runtime looks for GPUs in /sys, so this process sees another one there.
sys=$(mktemp -d)
trap 'rm -rf "$sys"' EXIT
gpu=$sys/pci/0000:01:00.0
mkdir -p "$gpu" "$sys/drm"
echo 0x10de >"$gpu/vendor"
echo 0x2335 >"$gpu/device"
echo 0x030200 >"$gpu/class"
mount_them='mount --bind "$0/pci" /sys/bus/pci/devices && { [[ ! -d /sys/class/drm ]] || mount --bind "$0/drm" /sys/class/drm; }'
if ! unshare --mount --map-root-user bash -c "$mount_them" "$sys" 2>/dev/null; then
  echo "NOT RUN ON THE STAND-IN FOR CUDA: /sys cannot be changed for a process here"
  exit 77
fi
export ORT_DISABLE_TELEMETRY=1 WSHARE_CUDA_STAND_IN=1
LD_LIBRARY_PATH=$(realpath "$stand_in"):$(realpath "$onnxruntime") \
  unshare --mount --map-root-user bash -c "$mount_them && exec \"\$@\"" "$sys" "$@"
