#!/usr/bin/env bash
# The installed wshare, as a program outside this repository meets it.
#
#   install_test.sh CLAIM SOURCE BUILD [CMAKE ARGUMENT...]
#
# CLAIM is one of the functions below; the arguments of CMake configure the programs that are built
# with the package. All files lie in BUILD/installed. Exits non-zero and says why where the claim is
# wrong.
set -euo pipefail
claim=$1 source=$2 build=$3
shift 3
configure=(cmake "$@")
work=$build/installed prefix=$build/installed/prefix

fail() { printf 'install_test: %s\n' "$*" >&2; exit 1; }
needed() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
uses_onnx() {
  needed "$1" | grep -E '^lib(onnx|onnx_proto|protobuf)\.so' ||
    nm "$1" | grep -E '6google8protobuf|_ZNK?4onnx'
}
with_runtime() { [[ -e $prefix/include/wshare/runtime.h ]]; }

# Configures SOURCE (the first argument) in `$work/NAME` (the second) and builds it.
build_program() {
  "${configure[@]}" -S "$1" -B "$work/$2" -Dwshare_ROOT="$prefix"
  cmake --build "$work/$2"
}

# What the other claims look at: installed in one place and moved to another.
installs_anywhere() {
  rm -rf "$work"
  cmake --install "$build" --prefix "$work/first" >/dev/null
  mv "$work/first" "$prefix"
  [[ ! -e $prefix/bin/wshare-bench ]] || fail "wshare-bench is installed"
  [[ -e $prefix/share/doc/wshare/LICENSE ]] || fail "LICENSE is not installed"
  if grep -rlF -e "$source" -e "$build" --include='*.cmake' "$prefix"; then
    fail "these hold paths of this machine"
  fi
  if readelf -d "$prefix/bin/wshare" | grep -E 'R(UN)?PATH' | grep -F -e "$source" -e "$build"; then
    fail "bin/wshare looks for libraries in the source tree"
  fi
}

command_runs() {
  unset LD_LIBRARY_PATH
  rm -rf "$work/bundle"
  "$prefix/bin/wshare" dedupe "$source/testdata/t5-seq2seq" -o "$work/bundle"
  if with_runtime; then "$prefix/bin/wshare" run "$work/bundle"; fi
}

pool_shares_weights() {
  local out
  build_program "$source/docs/examples" pool
  if uses_onnx "$work/pool/pool"; then fail "wshare::runtime needs these of onnx and protobuf"; fi
  out=$("$work/pool/pool" "$work/bundle" decoder 8)
  [[ $out =~ ^8\ sessions,\ [1-9][0-9]*\ bytes$ ]] || fail "pool printed: $out"
  [[ $("$work/pool/pool_c" "$work/bundle" decoder 8) == "$out" ]] || fail "pool_c does not print: $out"
  # The tokens that the decoder without past gives, when it sees all that came before (plain sessions, by hand).
  out=$("$work/pool/seq2seq" "$work/bundle" 8 1 2 3 4 5 6)
  [[ ${out%%$'\n'*} == "135 113 229 113 13 59 16 59" ]] || fail "seq2seq printed: $out"
  (($(grep -cE '^[a-z_]+: [1-9][0-9]* bytes of one copy$' <<<"$out") == 3)) || fail "seq2seq printed: $out"
  out=$("$work/pool/workers" "$work/bundle" decoder 3)
  (($(grep -cE '^worker [0-9]+: [1-9][0-9]* bytes$' <<<"$out") == 3)) || fail "workers printed: $out"
}

c_library_is_of_c_alone() {
  local library=$prefix/lib/libwshare_runtime.so.1 symbols
  symbols=$(nm -D --defined-only "$library" | sed -n 's/^[0-9a-f]* [^A] //p')
  if grep -v '^wshare_' <<<"$symbols"; then fail "it shows these besides functions of runtime_c.h"; fi
  # Shown is what the header declares, and nothing else.
  grep -oE '\bwshare_[a-z_]+\(' "$prefix/include/wshare/runtime_c.h" | tr -d '(' | sort -u |
    diff - <(sed 's/@.*//' <<<"$symbols" | sort -u) || fail "header (<) and library (>) differ"
  if needed "$library" | grep onnx; then fail "it is linked with an ONNX Runtime of its own"; fi
  readelf -d "$library" | grep -q NODELETE || fail "it can be unloaded under open sessions"
  if readelf -d "$library" | grep -E 'R(UN)?PATH' | grep -F -e "$source" -e "$build"; then
    fail "it looks for libraries in the source tree"
  fi
}

program_dedupes() {
  build_program "$source/tests/install/program" program
  local program=$work/program/dedupe_and_verify
  if needed "$program" | grep onnxruntime; then fail "wshare::wshare needs ONNX Runtime"; fi
  # The look that pool_shares_weights takes does see onnx where it is.
  uses_onnx "$program" >/dev/null || fail "no onnx in a program that reads ONNX models"
  rm -rf "$work/program_bundle"
  "$program" "$source/testdata/t5-seq2seq" "$work/program_bundle"
  diff -r "$work/bundle" "$work/program_bundle" || fail "library and command make different bundles"
}

missing_loader_is_named() {
  local out
  configure+=(-S "$source/docs/examples" -B "$work/pool" -Dwshare_ROOT="$prefix")
  if out=$("${configure[@]}" 2>&1); then fail "find_package found a loader that was not built"; fi
  [[ $out == *"component runtime: this wshare was built without ONNX Runtime"* ]] ||
    fail "CMake said: $out"
}

# Configured only: what the enclosing project compiles and links with is known then.
works_as_subproject() {
  local commands=$work/subproject/compile_commands.json program
  rm -rf "$work/subproject"
  "${configure[@]}" -S "$source/tests/install/subproject" -B "$work/subproject" \
    -DWSHARE_SOURCE="$source" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON
  program=$(grep -E '"command".*program\.dir' "$commands")
  [[ $program == *lib/include* ]] || fail "no public headers: $program"
  if grep -E -e ' -W|ONNX_NAMESPACE|-I[^ ]*/lib( |$)' <<<"$program"; then
    fail "the program is compiled like wshare"
  fi
  if grep -e '-Werror' "$commands"; then fail "a new warning would stop the enclosing build"; fi
  if ctest --test-dir "$work/subproject" -N | grep 'Test *#'; then
    fail "the enclosing project has our tests"
  fi
}

# The page shows the whole program, and the program is what the other claims run.
loader_page_shows_pool() {
  local pool=$source/docs/examples/pool.cc
  sed -n '/^```cpp$/,/^```$/{/^```/d;p;}' "$source/docs/loader.md" | diff - "$pool" ||
    fail "the code in docs/loader.md (<) is not docs/examples/pool.cc (>)"
  (($(wc -l <"$pool") <= 25)) || fail "$pool has more than 25 lines"
}

"$claim"
