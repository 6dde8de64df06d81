#!/usr/bin/env bash
# Installs what wshare needs on Debian 12 (or newer, or Ubuntu): packages by apt, ONNX Runtime into .deps/.
#
#   tools/setup.sh                    everything
#   tools/setup.sh --no-onnxruntime   Debian packages only (no `wshare run`, no `wshare pack`)
#   tools/setup.sh --fuzz             also clang, for tools/fuzz.sh
#   tools/setup.sh --cuda             ONNX Runtime built with CUDA 13, and its provider (not CUDA itself, nor cuDNN)
#   tools/setup.sh --webgpu           also WebGPU's provider, and a GPU in software for it: what ctest -L webgpu runs on
#   tools/setup.sh --wheel            also what tools/wheel.sh needs
#   tools/setup.sh --releases         also other releases of ONNX Runtime, for tools/test.sh --release
#   tools/setup.sh --registry         also a registry, skopeo, and clients from PyPI: what ctest -R OciRegistry runs on
#
# Does nothing, in well under a second, when nothing is missing. Fails with the reason when something
# cannot be installed. Needs root or sudo only if a Debian package is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A package, or package:command where the command may also come from elsewhere.
packages=(
  build-essential:g++ cmake:cmake ninja-build:ninja pkg-config:pkg-config protobuf-compiler:protoc
  libonnx-dev libprotobuf-dev libcli11-dev nlohmann-json3-dev libxxhash-dev libzstd-dev libfmt-dev
  libopenblas0 libflatbuffers-dev libssl-dev
  libgtest-dev libgmock-dev libonnx-testdata libcpp-httplib-dev ccache:ccache mold:mold
)

# Debian has no ONNX Runtime. This npm package carries Microsoft's build of it; the headers of the
# same version are in its iOS part. The value below is npm's own integrity value of the package.
ort_version=1.29.0
ort_package=com.github.asus4.onnxruntime
ort_package_version=0.4.9
ort_sha512=BkzxduSZ9IkeDP6Q8lz2TFU2ie7hSSvS7ZIfzMooExoq0CNzJnuuGaUJ7IsojBgqO4ouD1jXah8OYyJbCN29Fg==
ort_library=package/Plugins/Linux/x64/libonnxruntime.so
ort_headers=package/Plugins/iOS~/onnxruntime.xcframework/ios-arm64/onnxruntime.framework/Headers
ort_dir=.deps/onnxruntime-$ort_version

# Microsoft's wheel for Python carries the same version built with CUDA, and the CUDA provider beside it. The
# one does not go without the other: with an ONNX Runtime built without CUDA, the provider ends the process.
cuda_package=onnxruntime-gpu
cuda_sha256=de3caf93887ba4ad51c7d3cab04c7b464f9dd93c51047be5bfb413fd4a191e6a
cuda_libraries=(libonnxruntime_providers_shared.so libonnxruntime_providers_cuda.so "libonnxruntime.so.$ort_version")

# WebGPU's provider, as Microsoft built it for Python, and SwiftShader, a driver for Vulkan that runs on the CPU, as
# this npm package carries it: Debian has it only inside chromium-common, of which old versions go.
webgpu_version=0.4.0
webgpu_package=onnxruntime-ep-webgpu
webgpu_wheel=onnxruntime_ep_webgpu-$webgpu_version-py3-none-manylinux_2_28_x86_64.whl
webgpu_sha256=5d8c961eda91a88961cad1fb7621f389f006b18497d6ea9ecf96f729f066cbfb
swiftshader_package=@sparticuz/chromium
swiftshader_version=153.0.0
swiftshader_sha512=jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==
webgpu_dir=.deps/webgpu-$webgpu_version

# Other releases that the same binary serves with: the oldest and the newest. Of Microsoft's wheels for Python
# only the library is kept.
release_package=onnxruntime
releases=(1.20.1 1.32.0)
declare -A release_wheel=(
  [1.20.1]=onnxruntime-1.20.1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl
  [1.32.0]=onnxruntime-1.32.0-cp311-cp311-manylinux_2_28_x86_64.whl
)
declare -A release_sha256=(
  [1.20.1]=5eec64c0269dcdb8d9a9a53dc4d64f87b9e0c19801d9321246a53b7eb5a7d1bc
  [1.32.0]=5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d
)
releases_dir=.deps/releases

# Clients of registries, for Python, with what they need.
clients=(oras==0.2.43 modelpack-client==0.1.0)
clients_dir=.deps/registry-clients

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "error: $1"; shift; for hint in "$@"; do printf '  hint: %s\n' "$hint" >&2; done; exit 1; }

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

# The folder appears by one rename, when it is complete; so its presence means that it is.
have_onnxruntime() { [[ -e $ort_dir/lib/libonnxruntime.so && -e $ort_dir/include/onnxruntime_cxx_api.h ]]; }

# Made last, when all of them are in their places.
have_cuda() { [[ -e $ort_dir/with-cuda ]]; }

have_clients() { [[ -e $clients_dir/modelpack_client && -e $clients_dir/oras ]]; }

have_webgpu() { [[ -e $webgpu_dir/libonnxruntime_providers_webgpu.so && -e $webgpu_dir/libvk_swiftshader.so ]]; }

# Prints those of the given packages that are missing, one per line.
missing_packages() {
  local installed entry package command
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Abbrev}\n' "${@%%:*}" 2>/dev/null | awk '$2 == "ii" { print $1 }' || true)
  for entry in "$@"; do
    package=${entry%%:*} command=${entry#*:}
    if [[ $entry == *:* ]] && command -v "$command" >/dev/null; then continue; fi
    if ! grep -qxF -- "$package" <<<"$installed"; then echo "$package"; fi
  done
}

install_packages() {
  local as_root=() apt=(apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
  if ((EUID != 0)); then
    # Without a terminal nobody can type a password, so do not wait for one.
    as_root=(sudo)
    if [[ ! -t 0 ]]; then as_root+=(-n); fi
    { command -v sudo >/dev/null && "${as_root[@]}" true; } ||
      die "only root can install Debian packages, and $(id -un) cannot use sudo here; missing: $*" \
        "as root: apt-get install --no-install-recommends $*"
  fi
  as_root+=(env DEBIAN_FRONTEND=noninteractive)
  say "installing Debian packages: $*"
  "${as_root[@]}" "${apt[@]}" update -qq </dev/null >&2 ||
    say "warning: apt-get update failed; going on with the package lists that are here"
  "${as_root[@]}" "${apt[@]}" install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "$@" </dev/null >/dev/null ||
    die "apt-get could not install: $*" "the lines above are apt's own" \
      "to see more: apt-get install --no-install-recommends $*"
}

# Fetches the npm package $2 into the file $3 of the folder $1, and checks it against npm's integrity value $4. More
# arguments are hints for who cannot fetch it.
fetch_npm() {
  local work=$1 package=$2 archive=$1/$3 wanted got
  # A cache of its own, thrown away after: npm would keep a second copy of the archive.
  (cd "$work" && npm pack --ignore-scripts --loglevel=error --cache "$PWD/npm-cache" "$package" </dev/null >/dev/null) ||
    die "npm could not fetch $package" "the lines above are npm's own" "${@:5}"
  [[ -f $archive ]] || die "npm pack left no file $3"
  wanted=$(base64 -d <<<"$4" | od -An -v -tx1 | tr -d ' \n')
  got=$(sha512sum "$archive")
  got=${got%% *}
  [[ $got == "$wanted" ]] || die "$3: SHA-512 is $got, pinned is $wanted; not used"
}

# Fetches the wheel $2 of the Python package $1 into the folder $3, with pip's options from the sixth argument on,
# checks it against the SHA-256 $4 and unpacks it into $3/wheel. The fifth argument is a hint for who cannot fetch it.
fetch_wheel() {
  local package=$1 wheel=$2 work=$3 got
  (cd "$work" && pip3 download --quiet --no-deps --no-cache-dir --disable-pip-version-check --only-binary=:all: \
    "${@:6}" "$package" </dev/null >&2) ||
    die "pip could not fetch $package" "the lines above are pip's own" "$5"
  [[ -f $work/$wheel ]] || die "pip download left no file $wheel"
  got=$(sha256sum "$work/$wheel")
  got=${got%% *}
  [[ $got == "$4" ]] || die "$wheel: SHA-256 is $got, pinned is $4; not used"
  python3 -m zipfile -e "$work/$wheel" "$work/wheel"
}

# Fetches, verifies and unpacks into $1 (a new folder of ours); leaves $1/ready.
fetch_onnxruntime_into() {
  local work=$1 archive=$ort_package-$ort_package_version.tgz
  fetch_npm "$work" "$ort_package@$ort_package_version" "$archive" "$ort_sha512" \
    "your own ONNX Runtime serves as well: configure with -DONNXRUNTIME_ROOT=DIR" \
    "or go on without it (no run, no pack): tools/setup.sh --no-onnxruntime"
  mkdir -p "$work/ready/lib" "$work/ready/include"
  tar -xzf "$work/$archive" -C "$work" --no-same-owner \
    "$ort_library" "$ort_headers" package/LICENSE package/ThirdPartyNotices.txt
  # libonnxruntime.so.1 is the SONAME (what the loader looks for), libonnxruntime.so what the linker does.
  mv "$work/$ort_library" "$work/ready/lib/libonnxruntime.so.$ort_version"
  ln -s "libonnxruntime.so.$ort_version" "$work/ready/lib/libonnxruntime.so.1"
  ln -s libonnxruntime.so.1 "$work/ready/lib/libonnxruntime.so"
  mv "$work/$ort_headers"/*.h "$work/ready/include/"
  mv "$work/package/LICENSE" "$work/package/ThirdPartyNotices.txt" "$work/ready/"
  chmod -R u+rwX,go+rX,go-w "$work/ready"
}

# Puts ONNX Runtime with CUDA in the place of the one without, by way of $1 (a new folder of ours).
fetch_cuda_into() {
  local work=$1 library
  fetch_wheel "$cuda_package==$ort_version" "$cuda_wheel" "$work" "$cuda_sha256" \
    "your own ONNX Runtime with CUDA serves as well: configure with -DONNXRUNTIME_ROOT=DIR" \
    --implementation cp --python-version 3.11 --abi cp311 --platform manylinux_2_28_x86_64
  for library in "${cuda_libraries[@]}"; do
    chmod u+rwX,go+rX,go-w "$work/wheel/onnxruntime/capi/$library"
    mv -T "$work/wheel/onnxruntime/capi/$library" "$ort_dir/lib/$library"
  done
  touch "$ort_dir/with-cuda"
}

setup_cuda() {
  if have_cuda; then return; fi
  make_work_folder
  say "fetching ONNX Runtime $ort_version with CUDA (Python package $cuda_package, 200 MB)"
  fetch_cuda_into "$work" 9>&-
  say "ONNX Runtime in $ort_dir is the one with CUDA now; it needs CUDA 13 and cuDNN 9, for example in LD_LIBRARY_PATH"
}

# Fetches provider and software GPU into $1/ready, by way of $1 (a new folder of ours).
fetch_webgpu_into() {
  local work=$1 archive=sparticuz-chromium-$swiftshader_version.tgz hint="all but ctest -L webgpu goes without"
  mkdir -p "$work/ready"
  fetch_wheel "$webgpu_package==$webgpu_version" "$webgpu_wheel" "$work" "$webgpu_sha256" "$hint" \
    --python-version 3.11 --platform manylinux_2_28_x86_64
  mv "$work/wheel/onnxruntime_ep_webgpu/libonnxruntime_providers_webgpu.so" \
    "$work/wheel/onnxruntime_ep_webgpu-$webgpu_version.dist-info/licenses/"* "$work/ready/"
  fetch_npm "$work" "$swiftshader_package@$swiftshader_version" "$archive" "$swiftshader_sha512" "$hint"
  # npm's own interpreter knows brotli.
  tar -xzOf "$work/$archive" package/bin/swiftshader.tar.br |
    node -e 'process.stdin.pipe(require("zlib").createBrotliDecompress()).pipe(process.stdout)' |
    tar -x -C "$work/ready" --no-same-owner libvk_swiftshader.so vk_swiftshader_icd.json
  chmod -R u+rwX,go+rX,go-w "$work/ready"
}

setup_webgpu() {
  if have_webgpu; then return; fi
  rm -rf "$webgpu_dir" # what an interrupted run left
  make_work_folder
  say "fetching WebGPU's provider and a software GPU (Python package $webgpu_package, npm package $swiftshader_package, 77 MB)"
  fetch_webgpu_into "$work" 9>&-
  mv -T "$work/ready" "$webgpu_dir"
  say "WebGPU's provider $webgpu_version and a software GPU are in $webgpu_dir"
}

have_releases() {
  local release
  for release in "${releases[@]}"; do [[ -d $releases_dir/$release ]] || return 1; done
}

# Each folder appears by one rename, when it is complete.
setup_releases() {
  local release
  if have_releases; then return; fi
  make_work_folder
  mkdir -p "$releases_dir"
  for release in "${releases[@]}"; do
    if [[ -d $releases_dir/$release ]]; then continue; fi
    say "fetching ONNX Runtime $release (Python package $release_package, 30 MB)"
    rm -rf "$work/wheel"
    fetch_wheel "$release_package==$release" "${release_wheel[$release]}" "$work" "${release_sha256[$release]}" \
      "all but tools/test.sh --release goes without" --implementation cp --python-version 3.11 --abi cp311 \
      --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 9>&-
    mkdir "$work/ready"
    mv "$work/wheel/onnxruntime/capi/libonnxruntime.so.$release" "$work/wheel/onnxruntime/"{LICENSE,ThirdPartyNotices.txt} \
      "$work/ready/"
    chmod -R u+rwX,go+rX,go-w "$work/ready"
    mv -T "$work/ready" "$releases_dir/$release"
  done
}

# One at a time; a second setup.sh waits here and then finds the work done.
lock_deps() {
  mkdir -p .deps
  exec 9>.deps/.lock
  flock 9
}

# Makes a folder, $work, that is gone when this script ends.
make_work_folder() {
  rm -rf .deps/.fetch.* # what an interrupted run left
  work=$(mktemp -d "$PWD/.deps/.fetch.XXXXXX")
  # shellcheck disable=SC2064  # the path is known now
  trap "rm -rf '$work'" EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

setup_onnxruntime() {
  if have_onnxruntime; then return; fi
  rm -rf "$ort_dir" # what an interrupted run left
  make_work_folder
  say "fetching ONNX Runtime $ort_version (npm package $ort_package@$ort_package_version, 150 MB)"
  fetch_onnxruntime_into "$work" 9>&-
  mv -T "$work/ready" "$ort_dir"
  say "ONNX Runtime $ort_version is in $ort_dir"
}

setup_clients() {
  if have_clients; then return; fi
  make_work_folder
  pip3 install --quiet --no-cache-dir --disable-pip-version-check --root-user-action=ignore --target "$work/clients" \
    "${clients[@]}" </dev/null >&2 9>&- || die "pip could not install ${clients[*]}" "the lines above are pip's own"
  rm -rf "$clients_dir"
  mv -T "$work/clients" "$clients_dir"
}

with_onnxruntime=1 with_cuda=0 with_webgpu=0 with_releases=0 with_registry=0
for arg in "$@"; do
  case $arg in
    --no-onnxruntime) with_onnxruntime=0 ;;
    --fuzz) packages+=(clang-14:clang++-14 libclang-rt-14-dev) ;;
    --cuda) with_cuda=1 ;;
    --webgpu)
      with_webgpu=1
      packages+=(libvulkan1 libvulkan-dev)
      ;;
    --wheel) packages+=(python3-venv ca-certificates) ;;
    --releases) with_releases=1 ;;
    --registry)
      with_registry=1
      packages+=(docker-registry:docker-registry skopeo:skopeo umoci:umoci python3-pip:pip3)
      ;;
    -h | --help) usage; exit 0 ;;
    *) say "error: unknown option '$arg'"; usage >&2; exit 2 ;;
  esac
done

if ((!with_onnxruntime && (with_cuda || with_releases))); then
  say "error: --no-onnxruntime excludes --cuda and --releases"; usage >&2; exit 2
fi

fetch=0
if ((with_onnxruntime)) && { ! have_onnxruntime || { ((with_cuda)) && ! have_cuda; }; }; then fetch=1; fi
if ((with_webgpu)) && ! have_webgpu; then fetch=1; fi
if ((with_releases)) && ! have_releases; then fetch=1; fi
if ((fetch)); then
  [[ $(uname -s)-$(uname -m) == Linux-x86_64 ]] ||
    die "ONNX Runtime: the npm package has no library for $(uname -s) on $(uname -m), only for Linux on x86_64" \
      "your own ONNX Runtime: tools/setup.sh --no-onnxruntime, then configure with -DONNXRUNTIME_ROOT=DIR" \
      "without ONNX Runtime (no run, no pack): tools/setup.sh --no-onnxruntime"
  packages+=(ca-certificates)
  if ((with_webgpu)) || { ((with_onnxruntime)) && ! have_onnxruntime; }; then packages+=(npm:npm); fi
  if ((with_cuda || with_webgpu || with_releases)); then packages+=(python3-pip:pip3); fi
fi

if ((with_registry)) && ! have_clients; then fetch=1; fi

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
  mapfile -t missing < <(missing_packages "${packages[@]}")
  if ((${#missing[@]})); then install_packages "${missing[@]}"; fi
else
  die "this is not Debian or Ubuntu (no apt-get): install these yourself, then call cmake as in README.md" \
    "Debian's names: ${packages[*]%%:*}"
fi

if ((fetch)); then
  lock_deps
  if ((with_onnxruntime)); then setup_onnxruntime; fi
  if ((with_cuda)); then setup_cuda; fi
  if ((with_webgpu)); then setup_webgpu; fi
  if ((with_releases)); then setup_releases; fi
  if ((with_registry)); then setup_clients; fi
fi
if ((${#missing[@]} == 0 && !fetch)); then say "nothing is missing"; fi
