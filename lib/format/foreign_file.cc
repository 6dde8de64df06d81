#include "format/foreign_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "util/as_text.h"
#include "util/text.h"

namespace wshare {
namespace {

using namespace std::string_view_literals;

struct Magic {
  FileKind kind;
  size_t offset;
  std::string_view bytes;
};

// Sources: the formats' own descriptions; the magic numbers of file(1).
constexpr std::array kMagics = {
    Magic{FileKind::kLfsPointer, 0, "version https://git-lfs"sv},
    Magic{FileKind::kAppleDouble, 0, "\x00\x05\x16\x07"sv},
    Magic{FileKind::kCompressed, 0, "\x1f\x8b"sv},
    Magic{FileKind::kCompressed, 0, "\x28\xb5\x2f\xfd"sv},
    Magic{FileKind::kCompressed, 0, "\xfd\x37zXZ\x00"sv},
    Magic{FileKind::kCompressed, 0, "BZh"sv},
    Magic{FileKind::kTar, 257, "ustar"sv},
    Magic{FileKind::kNumpyArray, 0, "\x93NUMPY"sv},
    Magic{FileKind::kPickle, 0, "\x80\x02"sv},
    Magic{FileKind::kPickle, 0, "\x80\x03"sv},
    Magic{FileKind::kPickle, 0, "\x80\x04\x95"sv},
    Magic{FileKind::kPickle, 0, "\x80\x05\x95"sv},
    Magic{FileKind::kAdapter, 4, "TORT"sv},
    Magic{FileKind::kOrtModel, 4, "ORTM"sv},
    Magic{FileKind::kTfLite, 4, "TFL3"sv},
    Magic{FileKind::kGguf, 0, "GGUF"sv},
    Magic{FileKind::kHdf5, 0, "\x89HDF\r\n\x1a\n"sv},
};

constexpr size_t kFront = 512;  // bytes that are looked at

bool has_at(std::string_view text, size_t offset, std::string_view bytes) {
  return text.size() >= offset && text.substr(offset).starts_with(bytes);
}

// The name of an archive's first file says who wrote it.
FileKind kind_of_zip(std::string_view front) {
  constexpr size_t kNameSize = 26, kName = 30;
  if (front.size() < kName) return FileKind::kZip;
  const size_t size = static_cast<unsigned char>(front[kNameSize]) |
                      static_cast<size_t>(static_cast<unsigned char>(front[kNameSize + 1])) << 8;
  const std::string_view name = front.substr(kName, size);
  if (name.ends_with(".npy")) return FileKind::kNumpyArchive;
  for (const std::string_view part :
       {"/data.pkl"sv, "/.format_version"sv, "/.data/"sv, "/version"sv}) {
    if (name.find(part) != std::string_view::npos) return FileKind::kPyTorch;
  }
  return FileKind::kZip;
}

bool is_safetensors(std::string_view front, uint64_t size) {
  constexpr size_t kPrefix = 8;
  if (front.size() <= kPrefix || front[kPrefix] != '{') return false;
  uint64_t header = 0;
  for (size_t i = 0; i < kPrefix; ++i)
    header |= uint64_t{static_cast<unsigned char>(front[i])} << (8 * i);
  return header <= size - kPrefix;
}

// ir_version comes first in what all writers write; then a name of the producer, a version, a
// graph or opsets.
bool is_onnx_model(std::string_view front) {
  constexpr char kIrVersion = 0x08, kNewest = 0x20;
  return front.size() > 2 && front[0] == kIrVersion && front[1] > 0 && front[1] < kNewest &&
         "\x12\x1a\x22\x28\x32\x3a\x42"sv.find(front[2]) != std::string_view::npos;
}

bool is_text(std::string_view front) {
  return std::all_of(front.begin(), front.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 || (byte >= 0x09 && byte <= 0x0d);
  });
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return result;
}

FileKind kind_of_text(std::string_view front) {
  const size_t first = front.find_first_not_of("\xef\xbb\xbf \t\r\n");
  const std::string text = lower(front.substr(std::min(first, front.size())));
  const auto begins = [&](std::string_view with) { return text.starts_with(with); };
  if (begins("<!doctype html") || begins("<html")) return FileKind::kWebPage;
  if (begins("<?xml")) return FileKind::kXml;
  if (begins("<") && text.find("ir_version") < 64) return FileKind::kOnnxText;
  if (begins("ir_version") || begins("graph {")) return FileKind::kOnnxText;
  if (begins("{") || begins("[")) {
    return text.find("\"wshare-bundle\"") < 64 ? FileKind::kManifest : FileKind::kJson;
  }
  return FileKind::kText;
}

const char* name_of(ExpectedFile expected) {
  switch (expected) {
    case ExpectedFile::kModel:
      return "ONNX model";
    case ExpectedFile::kExternalData:
      return "external data";
    case ExpectedFile::kAdapter:
      return ".onnx_adapter";
    case ExpectedFile::kSafetensors:
      return "safetensors file";
    case ExpectedFile::kConfiguration:
      return "JSON text";
    case ExpectedFile::kInput:
      return "tensor";
  }
  return "";
}

// How tools that train write what is expected.
std::string hint_to_convert(ExpectedFile expected) {
  switch (expected) {
    case ExpectedFile::kModel:
      return "export it to ONNX";
    case ExpectedFile::kAdapter:
    case ExpectedFile::kSafetensors:
      return "save the adapter as safetensors: save_pretrained(..., safe_serialization=True)";
    case ExpectedFile::kInput:
      return "an input is an .npy file or a TensorProto (.pb)";
    case ExpectedFile::kExternalData:
    case ExpectedFile::kConfiguration:
      break;
  }
  return "get the file itself again";
}

bool fits(FileKind kind, ExpectedFile expected) {
  switch (expected) {
    case ExpectedFile::kModel:
      return kind == FileKind::kOnnxModel;
    case ExpectedFile::kAdapter:
      return kind == FileKind::kAdapter;
    case ExpectedFile::kSafetensors:
      return kind == FileKind::kSafetensors;
    case ExpectedFile::kConfiguration:
      return kind == FileKind::kJson || kind == FileKind::kText;
    case ExpectedFile::kInput:
      return kind == FileKind::kNumpyArray || kind == FileKind::kOnnxModel;
    case ExpectedFile::kExternalData:
      // Any bytes may be weights; these are what a failed copy leaves.
      return kind != FileKind::kLfsPointer && kind != FileKind::kWebPage &&
             kind != FileKind::kEmpty && kind != FileKind::kAppleDouble;
  }
  return false;
}

}  // namespace

std::optional<FileKind> find_kind(std::span<const std::byte> bytes) {
  if (bytes.empty()) return FileKind::kEmpty;
  const std::string_view front = as_text(bytes.first(std::min(bytes.size(), kFront)));
  for (const Magic& magic : kMagics) {
    if (has_at(front, magic.offset, magic.bytes)) return magic.kind;
  }
  if (front.starts_with("PK\x03\x04")) return kind_of_zip(front);
  if (is_safetensors(front, bytes.size())) return FileKind::kSafetensors;
  if (is_onnx_model(front)) return FileKind::kOnnxModel;
  if (is_text(front)) return kind_of_text(front);
  return std::nullopt;
}

std::string text_of(FileKind kind) {
  switch (kind) {
    case FileKind::kEmpty:
      return "empty";
    case FileKind::kLfsPointer:
      return "a pointer of Git LFS";
    case FileKind::kAppleDouble:
      return "what macOS keeps beside a file (AppleDouble)";
    case FileKind::kWebPage:
      return "a web page";
    case FileKind::kXml:
      return "an XML file";
    case FileKind::kJson:
      return "a JSON text";
    case FileKind::kManifest:
      return "the manifest of a bundle";
    case FileKind::kCompressed:
      return "a compressed file";
    case FileKind::kTar:
      return "a tar archive";
    case FileKind::kZip:
      return "a zip archive";
    case FileKind::kNumpyArchive:
      return "an archive of NumPy arrays (.npz)";
    case FileKind::kNumpyArray:
      return "a NumPy array (.npy)";
    case FileKind::kPyTorch:
      return "a file of PyTorch";
    case FileKind::kPickle:
      return "a pickle of Python";
    case FileKind::kSafetensors:
      return "a safetensors file";
    case FileKind::kAdapter:
      return "an .onnx_adapter";
    case FileKind::kOrtModel:
      return "a model in ONNX Runtime's own format (.ort)";
    case FileKind::kTfLite:
      return "a model of TensorFlow Lite";
    case FileKind::kGguf:
      return "a GGUF file";
    case FileKind::kHdf5:
      return "an HDF5 file";
    case FileKind::kOnnxText:
      return "an ONNX model as text";
    case FileKind::kOnnxModel:
      return "an ONNX model";
    case FileKind::kText:
      return "a text";
  }
  return "";
}

std::string hint_for(FileKind kind, ExpectedFile expected) {
  switch (kind) {
    case FileKind::kEmpty:
      return "the export or download did not finish: get the file again";
    case FileKind::kLfsPointer:
      return "'git lfs pull' gets the file itself";
    case FileKind::kAppleDouble:
      return "the file itself has the name without '._'";
    case FileKind::kWebPage:
      return "the download got a page instead of the file: it may want a login or another address";
    case FileKind::kCompressed:
    case FileKind::kTar:
    case FileKind::kZip:
      return "unpack it first";
    case FileKind::kManifest:
      return "a bundle is named by its folder";
    case FileKind::kOrtModel:
      return "take the .onnx file that it was made of";
    case FileKind::kOnnxText:
      return "save it as protobuf: onnx.save(onnx.load(file, format=...), 'model.onnx')";
    case FileKind::kAdapter:
      return "'wshare import-adapter' adds it to a bundle";
    case FileKind::kOnnxModel:
      return expected == ExpectedFile::kAdapter || expected == ExpectedFile::kSafetensors
                 ? "'wshare append' adds a model to a bundle"
                 : hint_to_convert(expected);
    default:
      return hint_to_convert(expected);
  }
}

void refuse_foreign(const std::filesystem::path& path, std::span<const std::byte> bytes,
                    ExpectedFile expected) {
  const std::optional<FileKind> kind = find_kind(bytes);
  if (!kind || fits(*kind, expected)) return;
  throw explain_refusal({ErrorCode::kInvalid, ""}, path, bytes, expected);
}

Error explain_refusal(const Error& error, const std::filesystem::path& path,
                      std::span<const std::byte> bytes, ExpectedFile expected,
                      const std::string& hint) {
  const std::optional<FileKind> kind = find_kind(bytes);
  const std::string subject = in_quotes(path.string()) + ": ";
  if (!kind || fits(*kind, expected)) {
    return {error.code(), subject + error.what(), error.hint().empty() ? hint : error.hint()};
  }
  const std::string what = "is " + text_of(*kind);
  return {error.code(),
          subject + (*kind == FileKind::kEmpty ? what : what + ", no " + name_of(expected)),
          hint_for(*kind, expected)};
}

}  // namespace wshare
