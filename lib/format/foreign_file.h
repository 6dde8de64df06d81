#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "wshare/error.h"

namespace wshare {

// What somebody gives where something else is expected: by name, by a download that went wrong, or
// because other tools read it.
enum class FileKind {
  kEmpty,
  kLfsPointer,
  kAppleDouble,
  kWebPage,
  kXml,
  kJson,
  kManifest,
  kCompressed,  // gzip, zstd, xz, bzip2
  kTar,
  kZip,
  kNumpyArchive,
  kNumpyArray,
  kPyTorch,
  kPickle,
  kSafetensors,
  kAdapter,
  kOrtModel,
  kTfLite,
  kGguf,
  kHdf5,
  kOnnxText,
  kOnnxModel,
  kText,
};

// What a reader expects.
enum class ExpectedFile { kModel, kExternalData, kAdapter, kSafetensors, kConfiguration, kInput };

// Returns what kind of file `bytes` are, as far as their first few hundred tell; none: not known.
std::optional<FileKind> find_kind(std::span<const std::byte> bytes);

// "a web page"
std::string text_of(FileKind kind);

// What to do about a file of `kind` where `expected` was expected.
std::string hint_for(FileKind kind, ExpectedFile expected);

// Throws Error(kInvalid) if the file at `path` is of another kind than `expected`, as far as that
// is known.
void refuse_foreign(const std::filesystem::path& path, std::span<const std::byte> bytes,
                    ExpectedFile expected);

// Returns what to tell about the file at `path` whose bytes a reader of `expected` did not take,
// which threw `error`: what it is instead, or where that is not known, `error` with the path before
// it and `hint` unless it has one.
Error explain_refusal(const Error& error, const std::filesystem::path& path,
                      std::span<const std::byte> bytes, ExpectedFile expected,
                      const std::string& hint = "");

}  // namespace wshare
