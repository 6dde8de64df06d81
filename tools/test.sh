#!/usr/bin/env bash
# Installs what is needed (tools/setup.sh), builds, and runs all tests.
#
#   tools/test.sh                        optimised, with assertions, in build/test
#   tools/test.sh --sanitize             AddressSanitizer and UBSan, in build/sanitize
#   tools/test.sh --tsan                 ThreadSanitizer, in build/tsan: only the tests of what threads share
#   tools/test.sh --webgpu               also the tests on WebGPU's provider over a software GPU (ctest -L webgpu)
#   tools/test.sh --no-onnxruntime       built without ONNX Runtime, in build/no-ort
#   tools/test.sh --onnxruntime-root DIR with your own ONNX Runtime instead of the fetched one
#   tools/test.sh --release 1.N.P        built as without it; only the tests that use ONNX Runtime, on that release of
#                                        it (1.20.1, 1.32.0); ends with 77 where it cannot be fetched
#   tools/test.sh [...] -- ARGS          ARGS go to ctest, for example: -- -R MakePlan
#
# Ends with ctest's summary; exits non-zero when anything fails. ctest's counts are also in
# <build folder>/ctest.xml (JUnit).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
usage_error() { printf 'test: error: %s\n' "$1" >&2; usage >&2; exit 2; }

sanitize=0 tsan=0 webgpu=0 onnxruntime=1 onnxruntime_root= release=
while (($#)); do
  case $1 in
    --sanitize) sanitize=1 ;;
    --tsan) tsan=1 ;;
    --webgpu) webgpu=1 ;;
    --no-onnxruntime) onnxruntime=0 ;;
    --onnxruntime-root)
      (($# > 1)) || usage_error "$1 needs a folder"
      onnxruntime_root=$(realpath -- "$2")
      shift
      ;;
    --release)
      (($# > 1)) || usage_error "$1 needs a version"
      release=$2
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    --) shift; break ;;
    *) usage_error "unknown option '$1'" ;;
  esac
  shift
done
if [[ $onnxruntime == 0 && -n $onnxruntime_root ]]; then
  usage_error "--no-onnxruntime and --onnxruntime-root exclude each other"
fi
if ((tsan)) && ((sanitize || !onnxruntime)); then
  usage_error "--tsan goes with neither --sanitize nor --no-onnxruntime"
fi
if ((webgpu)) && ((sanitize || tsan || !onnxruntime)); then
  usage_error "--webgpu goes with none of --sanitize, --tsan, --no-onnxruntime"
fi
if [[ -n $release ]] && { ((sanitize || tsan || webgpu || !onnxruntime)) || [[ -n $onnxruntime_root ]]; }; then
  usage_error "--release goes with no other option"
fi

setup=()
if [[ $onnxruntime == 0 || -n $onnxruntime_root ]]; then setup=(--no-onnxruntime); fi
tools/setup.sh "${setup[@]}"
if ((webgpu)) && ! tools/setup.sh "${setup[@]}" --webgpu; then
  echo "test: warning: NOT RUN ON WEBGPU: what that needs could not be fetched" >&2
fi
# What tools/setup.sh --releases has fetched. Tests that need two take the other from WSHARE_OTHER_ONNXRUNTIME.
releases=$PWD/.deps/releases
if [[ -n $release ]]; then
  tools/setup.sh --releases || { echo "test: SKIPPED: nothing was tested on ONNX Runtime $release" >&2; exit 77; }
  [[ -d $releases/$release ]] || usage_error "tools/setup.sh fetches no release $release, only: $(ls "$releases" | xargs)"
fi

# Assertions stay on: CMake's own flags for this build type would add -DNDEBUG. Little debug information,
# enough for lines in stack traces, keeps the build quick.
flags="-O2 -g1" build=build/test targets=() tests=() link=
configure=(-G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo)
if ((sanitize)); then
  flags="-Og -g1 -fno-omit-frame-pointer" build=build/sanitize
  configure+=("-DWSHARE_SANITIZE=address,undefined")
  link=-no-pie # of a test's 240 MB 75 are relocations, which each start would apply: 0.15 s instead of 0.10
fi
if ((tsan)); then
  flags="-O0 -g1" build=build/tsan targets=(--target race_test) tests=(-R '^Race')
  configure+=(-DWSHARE_SANITIZE=thread)
fi
if ((onnxruntime)); then
  configure+=("-DONNXRUNTIME_ROOT=$onnxruntime_root") # empty: forget the one of an earlier run
else
  build=build/no-ort
  if ((sanitize)); then build=build/sanitize-no-ort; fi
  configure+=(-DWSHARE_ONNXRUNTIME=OFF)
fi
configure+=("-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=$flags")
# One build folder's objects serve another: most are compiled alike with ONNX Runtime and without.
export CCACHE_BASEDIR=${CCACHE_BASEDIR-$PWD} CCACHE_NOHASHDIR=${CCACHE_NOHASHDIR-1}
if command -v ccache >/dev/null; then
  configure+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
# Four dozen tests are linked, with sanitizers for seconds each by GNU's linker.
if command -v mold >/dev/null; then
  link+=" -fuse-ld=mold"
  configure+=(-DCMAKE_SHARED_LINKER_FLAGS=-fuse-ld=mold)
fi
configure+=("-DCMAKE_EXE_LINKER_FLAGS=$link")

rm -f "$build/ctest.xml" # never leave the counts of an earlier run
cmake -S . -B "$build" "${configure[@]}"
cmake --build "$build" "${targets[@]}"

if ((sanitize)); then
  # What the caller set comes last and so wins.
  export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
  export LSAN_OPTIONS="suppressions=$PWD/tools/cmake/lsan.supp:print_suppressions=0${LSAN_OPTIONS:+:$LSAN_OPTIONS}"
  export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
fi
run=()
if ((tsan)); then
  # Of a mutex that ONNX Runtime locks, ThreadSanitizer sees what libstdc++ does with it in between.
  export TSAN_OPTIONS="suppressions=$PWD/tools/cmake/tsan.supp:halt_on_error=1:second_deadlock_stack=1:report_mutex_bugs=0${TSAN_OPTIONS:+:$TSAN_OPTIONS}"
  # With addresses at random the runtime of g++ 12 does not start on some kernels.
  if setarch -R true 2>/dev/null; then run=(setarch -R); fi
fi
if [[ -n $release ]]; then
  tests=(-L '^onnxruntime')
  if [[ $release =~ ^1\.2[0-2]\. ]]; then tests=(-L '^onnxruntime$'); fi # no packs, or no devices
  export WSHARE_ONNXRUNTIME=$releases/$release
  other=$(sed -n 's/^OnnxRuntime_LINKS:INTERNAL=//p' "$build/CMakeCache.txt")
  export WSHARE_OTHER_ONNXRUNTIME=${WSHARE_OTHER_ONNXRUNTIME-$other}
elif ((onnxruntime)) && [[ -d $releases ]]; then
  newest=$(printf '%s\n' "$releases"/*/ | sort -V | tail -n 1)
  export WSHARE_OTHER_ONNXRUNTIME=${WSHARE_OTHER_ONNXRUNTIME-$newest}
fi
"${run[@]}" ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$(nproc)" \
  --output-junit "$PWD/$build/ctest.xml" "${tests[@]}" "$@"
