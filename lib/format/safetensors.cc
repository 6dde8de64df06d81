#include "format/safetensors.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "format/dtype.h"
#include "format/layout.h"
#include "format/safetensors_header.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kSizeBytes = 8;
constexpr uint64_t kLargestHeader = 100'000'000;

struct ElementType {
  std::string_view name;
  int32_t dtype;
};
// In the order of the reference implementation, which writes the last of these first.
constexpr std::array kElementTypes = {
    ElementType{"BOOL", 9},         ElementType{"F4", 23},          ElementType{"F6_E2M3", 27},
    ElementType{"F6_E3M2", 28},     ElementType{"U8", 2},           ElementType{"I8", 3},
    ElementType{"F8_E5M2", 19},     ElementType{"F8_E4M3", 17},     ElementType{"F8_E8M0", 24},
    ElementType{"F8_E4M3FNUZ", 18}, ElementType{"F8_E5M2FNUZ", 20}, ElementType{"I16", 5},
    ElementType{"U16", 4},          ElementType{"F16", 10},         ElementType{"BF16", 16},
    ElementType{"I32", 6},          ElementType{"U32", 12},         ElementType{"F32", 1},
    ElementType{"C64", 14},         ElementType{"F64", 11},         ElementType{"I64", 7},
    ElementType{"U64", 13},
};

// Returns the place of `dtype` in kElementTypes.
size_t place_of_type(const NamedTensor& tensor) {
  for (size_t i = 0; i < kElementTypes.size(); ++i) {
    if (kElementTypes[i].dtype == tensor.dtype) return i;
  }
  throw Error(ErrorCode::kUnsupported, in_quotes(tensor.name) + ": has element type " +
                                           std::to_string(tensor.dtype) +
                                           ", which safetensors does not have");
}

// The format has no padding inside of a tensor's bytes: sub-byte elements must fill them.
void check_whole_bytes(const NamedTensor& tensor) {
  const std::optional<Dtype> dtype = find_dtype(tensor.dtype);
  const std::optional<uint64_t> count = element_count(tensor.shape);
  if (dtype && count && dtype->bits % 8 != 0 &&
      *count % 8 * static_cast<uint64_t>(dtype->bits) % 8) {
    throw Error(ErrorCode::kInvalid, in_quotes(tensor.name) + ": " + std::to_string(*count) +
                                         " elements of " + std::to_string(dtype->bits) +
                                         " bits end inside a byte");
  }
}

constexpr char kWholeHint[] = "is the file whole? a download that stopped looks like this, too";

std::string_view header_of(std::span<const std::byte> file) {
  if (file.size() < kSizeBytes) {
    throw Error(ErrorCode::kInvalid,
                "is no safetensors file: has " + std::to_string(file.size()) +
                    " bytes, the size of the header needs 8",
                kWholeHint);
  }
  uint64_t size = 0;
  for (size_t i = 0; i < kSizeBytes; ++i) size |= std::to_integer<uint64_t>(file[i]) << (8 * i);
  if (size > kLargestHeader || size > file.size() - kSizeBytes) {
    throw Error(ErrorCode::kInvalid,
                "is no safetensors file: claims a header of " + std::to_string(size) +
                    " bytes, the file has " + std::to_string(file.size()),
                kWholeHint);
  }
  const std::string_view header(reinterpret_cast<const char*>(file.data()) + kSizeBytes, size);
  if (!header.starts_with('{')) {
    throw Error(ErrorCode::kInvalid, "is no safetensors file: its header is no JSON object",
                kWholeHint);
  }
  return header;
}

// Fills in type and bytes of every entry; `data` is what follows the header.
void place(std::vector<SafetensorsEntry>& entries, std::span<const std::byte> data) {
  std::sort(
      entries.begin(), entries.end(), [](const SafetensorsEntry& x, const SafetensorsEntry& y) {
        return std::tie(x.begin, x.end, x.tensor.name) < std::tie(y.begin, y.end, y.tensor.name);
      });
  uint64_t covered = 0;
  for (SafetensorsEntry& entry : entries) {
    const auto* type =
        std::find_if(kElementTypes.begin(), kElementTypes.end(),
                     [&](const ElementType& each) { return each.name == entry.type; });
    if (type == kElementTypes.end()) {
      throw Error(ErrorCode::kUnsupported,
                  in_quotes(entry.tensor.name) + ": unknown element type " + in_quotes(entry.type));
    }
    entry.tensor.dtype = type->dtype;
    if (entry.begin != covered || entry.end < entry.begin || entry.end > data.size()) {
      throw Error(ErrorCode::kInvalid,
                  in_quotes(entry.tensor.name) + ": lies at bytes " + std::to_string(entry.begin) +
                      " to " + std::to_string(entry.end) + " of " + std::to_string(data.size()) +
                      ", the tensors before it end at " + std::to_string(covered));
    }
    check_size(entry.tensor, entry.end - entry.begin);
    check_whole_bytes(entry.tensor);
    entry.tensor.bytes = data.subspan(entry.begin, entry.end - entry.begin);
    covered = entry.end;
  }
  if (covered != data.size()) {
    throw Error(ErrorCode::kInvalid,
                "has " + std::to_string(data.size()) + " bytes of tensors, its header names " +
                    std::to_string(covered),
                kWholeHint);
  }
}

// Returns the indices of `tensors` in the order of their bytes.
std::vector<size_t> order_of(std::span<const NamedTensor> tensors) {
  std::vector<std::pair<size_t, size_t>> ranked;  // place of the type, index
  for (const NamedTensor& tensor : tensors)
    ranked.emplace_back(place_of_type(tensor), ranked.size());
  std::sort(ranked.begin(), ranked.end(), [&](const auto& x, const auto& y) {
    if (x.first != y.first) return x.first > y.first;
    return tensors[x.second].name < tensors[y.second].name;
  });
  std::vector<size_t> order;
  for (const auto& [place, index] : ranked) order.push_back(index);
  return order;
}

std::string dump(const Json& json) {
  try {
    return json.dump();
  } catch (const Json::exception& error) {  // the only one possible: a text that is no UTF-8
    throw Error(ErrorCode::kInvalid, "a name cannot stand in JSON: " + std::string(error.what()));
  }
}

}  // namespace

SafetensorsFile read_safetensors(std::span<const std::byte> file) {
  const std::string_view header = header_of(file);
  SafetensorsHeader parsed = parse_safetensors_header(header);
  place(parsed.entries, file.subspan(kSizeBytes + header.size()));
  SafetensorsFile result;
  result.metadata = std::move(parsed.metadata);
  for (SafetensorsEntry& entry : parsed.entries) result.tensors.push_back(std::move(entry.tensor));
  return result;
}

SafetensorsLayout lay_out_safetensors(std::span<const NamedTensor> tensors,
                                      const std::map<std::string, std::string>& metadata) {
  SafetensorsLayout layout;
  layout.order = order_of(tensors);
  std::string header = metadata.empty() ? "" : dump(kSafetensorsMetadata) + ":" + dump(metadata);
  uint64_t end = 0;
  std::set<std::string_view> names = {kSafetensorsMetadata};
  for (const size_t index : layout.order) {
    const NamedTensor& tensor = tensors[index];
    if (!names.insert(tensor.name).second) {
      throw Error(ErrorCode::kInvalid,
                  in_quotes(tensor.name) + ": is the name of two tensors, or no name for one");
    }
    check_whole_bytes(tensor);
    const uint64_t begin = end;
    if (__builtin_add_overflow(begin, needed_bytes(tensor), &end) || end > INT64_MAX) {
      throw Error(ErrorCode::kInvalid, in_quotes(tensor.name) + ": ends beyond 2^63 bytes");
    }
    const Json fields = {{"dtype", kElementTypes[place_of_type(tensor)].name},
                         {"shape", tensor.shape},
                         {"data_offsets", {begin, end}}};
    header += (header.empty() ? "" : ",") + dump(tensor.name) + ":" + dump(fields);
  }
  header = "{" + header + "}";
  header.resize(align_up(header.size(), kSizeBytes), ' ');
  if (header.size() > kLargestHeader) {
    throw Error(ErrorCode::kUnsupported, "a safetensors header of " +
                                             std::to_string(header.size()) + " bytes: at most " +
                                             std::to_string(kLargestHeader) + " are possible");
  }
  for (size_t i = 0; i < kSizeBytes; ++i)
    layout.head.push_back(static_cast<char>(header.size() >> (8 * i)));
  layout.head += header;
  layout.size = layout.head.size() + end;
  return layout;
}

void write_safetensors(const SafetensorsLayout& layout, std::span<const NamedTensor> tensors,
                       const ByteSink& sink) {
  for (const NamedTensor& tensor : tensors) check_size(tensor, tensor.bytes.size());
  sink(std::as_bytes(std::span(layout.head)));
  for (const size_t index : layout.order) sink(tensors[index].bytes);
}

}  // namespace wshare
