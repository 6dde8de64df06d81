// The .onnx_adapter format, as a FlatBuffers schema:
//
//   namespace onnxruntime.adapters;          file identifier "TORT"
//   table Parameter { name: string; dims: [int64]; data_type: int32; raw_data: [ubyte]; }
//   table Adapter { format_version: int; adapter_version: int; model_version: int;
//                   parameters: [Parameter]; }
//
// ONNX Runtime maps the file and takes the parameters in place. It wants format version 1, a name,
// at least one dimension, and raw_data of exactly the size of the shape.
//
// A FlatBuffer is built back to front in memory, which would hold all factors once more. Offsets
// point forward only, so the tables can as well stand first and the bytes after them:
//
//   | tables, names, dims | zeros, length 0, bytes 0 | zeros, length 1, bytes 1 | ...
//        \____ raw_data _________^
//
// Only the head is built; its raw_data offsets are filled in once the head's size is known. So the
// bytes can lie on cache lines (the builder's own limit is 32), and their offsets are known before
// anything is written.
#include "format/adapter_file.h"

#include <flatbuffers/flatbuffers.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <set>
#include <string_view>

#include "format/dtype.h"
#include "format/layout.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

namespace fb = flatbuffers;

constexpr char kIdentifier[] = "TORT";
constexpr int32_t kAdapterFormat = 1;
// Offsets are 32 bits, and libflatbuffers refuses sizes that a signed one cannot hold.
constexpr uint64_t kLargestFile = FLATBUFFERS_MAX_BUFFER_SIZE - 1;
constexpr uint64_t kLengthBytes = sizeof(fb::uoffset_t);

// Field n of a table has its place in the vtable at 4 + 2n.
constexpr fb::voffset_t field(int number) { return static_cast<fb::voffset_t>(4 + 2 * number); }
constexpr fb::voffset_t kFormatVersion = field(0), kParameters = field(3);
constexpr fb::voffset_t kName = field(0), kDims = field(1), kDataType = field(2),
                        kRawData = field(3);

struct ParameterTable : fb::Table {
  const fb::String* name() const { return GetPointer<const fb::String*>(kName); }
  const fb::Vector<int64_t>* dims() const { return GetPointer<const fb::Vector<int64_t>*>(kDims); }
  const fb::Vector<uint8_t>* raw_data() const {
    return GetPointer<const fb::Vector<uint8_t>*>(kRawData);
  }
  bool Verify(fb::Verifier& verifier) const {  // libflatbuffers asks for this name
    return VerifyTableStart(verifier) && VerifyOffset(verifier, kName) &&
           verifier.VerifyString(name()) && VerifyOffset(verifier, kDims) &&
           verifier.VerifyVector(dims()) && VerifyField<int32_t>(verifier, kDataType, 4) &&
           VerifyOffset(verifier, kRawData) && verifier.VerifyVector(raw_data()) &&
           verifier.EndTable();
  }
};

struct AdapterTable : fb::Table {
  using Parameters = fb::Vector<fb::Offset<ParameterTable>>;
  const Parameters* parameters() const { return GetPointer<const Parameters*>(kParameters); }
  bool Verify(fb::Verifier& verifier) const {
    return VerifyTableStart(verifier) && VerifyField<int32_t>(verifier, kFormatVersion, 4) &&
           VerifyOffset(verifier, kParameters) && verifier.VerifyVector(parameters()) &&
           verifier.VerifyVectorOfTables(parameters()) && verifier.EndTable();
  }
};

// Floats and integers of 8 to 64 bits. ONNX Runtime refuses all others.
bool is_adapter_type(int32_t code) {
  static constexpr std::array kTypes = {1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 16, 17, 18, 19, 20};
  return std::find(kTypes.begin(), kTypes.end(), code) != kTypes.end();
}

// Checks what holds for reading and for writing; `names` are those of the parameters before, which
// `name`, that of `parameter`, joins.
void check_parameter(const NamedTensor& parameter, std::string_view name,
                     std::set<std::string_view>& names) {
  if (name.empty()) throw Error(ErrorCode::kInvalid, "a parameter has no name");
  if (!names.insert(name).second) {
    throw Error(ErrorCode::kInvalid, in_quotes(parameter.name) + ": named by two parameters");
  }
  if (!is_adapter_type(parameter.dtype)) {
    const std::optional<Dtype> dtype = find_dtype(parameter.dtype);
    throw Error(ErrorCode::kUnsupported,
                in_quotes(parameter.name) + ": has element type " +
                    (dtype ? std::string(dtype->name) : std::to_string(parameter.dtype)) +
                    ", which no .onnx_adapter holds");
  }
  if (parameter.shape.empty() || parameter.shape.size() > kMaxDims) {
    throw Error(ErrorCode::kInvalid, in_quotes(parameter.name) + ": has " +
                                         std::to_string(parameter.shape.size()) +
                                         " dimensions, 1 to 1024 are possible");
  }
}

void check_file_size(uint64_t size) {
  if (size <= kLargestFile) return;
  throw Error(ErrorCode::kUnsupported, "an .onnx_adapter of " + std::to_string(size) +
                                           " bytes: the format ends at " +
                                           std::to_string(kLargestFile) + " bytes");
}

// Builds the tables; the raw_data of each parameter is a number other than 0, to be overwritten.
std::string build_head(std::span<const NamedTensor> parameters) {
  fb::FlatBufferBuilder builder;
  std::vector<fb::Offset<ParameterTable>> tables;
  for (const NamedTensor& parameter : parameters) {
    const auto name = builder.CreateString(parameter.name);
    const auto dims = builder.CreateVector(parameter.shape);
    const fb::uoffset_t start = builder.StartTable();
    builder.AddOffset(kName, name);
    builder.AddOffset(kDims, dims);
    builder.AddElement<int32_t>(kDataType, parameter.dtype, 0);
    builder.AddElement<fb::uoffset_t>(kRawData, 1, 0);
    tables.emplace_back(builder.EndTable(start));
  }
  const auto list = builder.CreateVector(tables);
  const fb::uoffset_t start = builder.StartTable();
  builder.AddElement<int32_t>(kFormatVersion, kAdapterFormat, 0);
  builder.AddOffset(kParameters, list);
  builder.Finish(fb::Offset<AdapterTable>(builder.EndTable(start)), kIdentifier);
  return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

// Points the raw_data of every parameter of `layout.head` at its place.
void point_at_bytes(AdapterLayout& layout) {
  const auto* base = reinterpret_cast<const uint8_t*>(layout.head.data());
  const AdapterTable::Parameters& tables = *fb::GetRoot<AdapterTable>(base)->parameters();
  for (size_t i = 0; i < layout.offsets.size(); ++i) {
    const uint8_t* at = tables.Get(static_cast<fb::uoffset_t>(i))->GetAddressOf(kRawData);
    const auto position = static_cast<uint64_t>(at - base);
    const auto distance = static_cast<fb::uoffset_t>(layout.offsets[i] - kLengthBytes - position);
    fb::WriteScalar(layout.head.data() + position, distance);
  }
}

// Returns the root of `file` after every offset and length in it was checked.
const AdapterTable& verified_root(std::span<const std::byte> file) {
  assert(reinterpret_cast<uintptr_t>(file.data()) % sizeof(int64_t) == 0);
  check_file_size(file.size());
  const auto* base = reinterpret_cast<const uint8_t*>(file.data());
  if (file.size() < 2 * sizeof(fb::uoffset_t) || !fb::BufferHasIdentifier(base, kIdentifier)) {
    throw Error(ErrorCode::kInvalid, "is no .onnx_adapter: bytes 4 to 7 are not 'TORT'");
  }
  fb::Verifier verifier(base, file.size());
  if (!verifier.VerifyBuffer<AdapterTable>(kIdentifier)) {
    throw Error(ErrorCode::kInvalid, "is no valid FlatBuffer: an offset or a length leaves the " +
                                         std::to_string(file.size()) + " bytes");
  }
  return *fb::GetRoot<AdapterTable>(base);
}

std::string_view name_of(const ParameterTable& table) {
  return table.name() == nullptr ? std::string_view() : table.name()->string_view();
}

// Many tables may have their names and dimensions in one place, which a copy for each would make
// many times as large as the file.
void check_total(const AdapterTable::Parameters& tables, uint64_t file_size) {
  uint64_t total = 0;
  for (const ParameterTable* table : tables) {
    total += name_of(*table).size();
    if (table->dims() != nullptr) total += sizeof(int64_t) * uint64_t{table->dims()->size()};
    if (total <= file_size) continue;
    throw Error(ErrorCode::kInvalid, "names and dimensions of its " +
                                         std::to_string(tables.size()) +
                                         " parameters lie on each other: they need more than the " +
                                         std::to_string(file_size) + " bytes of the file");
  }
}

NamedTensor read_parameter(const ParameterTable& table, std::span<const std::byte> file) {
  NamedTensor parameter;
  parameter.name = name_of(table);
  parameter.dtype = table.GetField<int32_t>(kDataType, 0);
  if (const fb::Vector<int64_t>* dims = table.dims(); dims != nullptr) {
    // One more than possible shows that there are too many.
    const auto count = static_cast<fb::uoffset_t>(std::min<size_t>(dims->size(), kMaxDims + 1));
    parameter.shape.resize(count);
    for (fb::uoffset_t i = 0; i < count; ++i) {
      // The verifier of libflatbuffers does not check that 8-byte elements are aligned.
      std::memcpy(&parameter.shape[i], dims->Data() + i * sizeof(int64_t), sizeof(int64_t));
      parameter.shape[i] = fb::EndianScalar(parameter.shape[i]);
    }
  }
  if (const fb::Vector<uint8_t>* data = table.raw_data(); data != nullptr) {
    const auto* base = reinterpret_cast<const uint8_t*>(file.data());
    parameter.bytes = file.subspan(static_cast<size_t>(data->data() - base), data->size());
  }
  return parameter;
}

}  // namespace

AdapterLayout lay_out_adapter(std::span<const NamedTensor> parameters) {
  std::set<std::string_view> names;
  uint64_t head = 0;
  for (const NamedTensor& parameter : parameters) {
    check_parameter(parameter, parameter.name, names);
    // At least what the builder needs, which stops the program when it gets too large.
    head += 64 + parameter.name.size() + 8 * parameter.shape.size();
    check_file_size(head);
  }
  AdapterLayout layout;
  layout.head = build_head(parameters);
  layout.size = layout.head.size();
  for (const NamedTensor& parameter : parameters) {
    const uint64_t size = needed_bytes(parameter);
    check_file_size(size);
    layout.offsets.push_back(align_up(layout.size + kLengthBytes, kLineBytes));
    layout.size = layout.offsets.back() + size;
    check_file_size(layout.size);
  }
  point_at_bytes(layout);
  return layout;
}

void write_adapter(const AdapterLayout& layout, std::span<const NamedTensor> parameters,
                   const ByteSink& sink) {
  assert(layout.offsets.size() == parameters.size());
  for (const NamedTensor& parameter : parameters) check_size(parameter, parameter.bytes.size());
  sink(std::as_bytes(std::span(layout.head)));
  uint64_t written = layout.head.size();
  for (size_t i = 0; i < parameters.size(); ++i) {
    std::array<char, kLineBytes + kLengthBytes> gap = {};
    const uint64_t length = layout.offsets[i] - written;
    fb::WriteScalar(gap.data() + length - kLengthBytes,
                    static_cast<fb::uoffset_t>(parameters[i].bytes.size()));
    sink(std::as_bytes(std::span(gap)).first(length));
    sink(parameters[i].bytes);
    written = layout.offsets[i] + parameters[i].bytes.size();
  }
}

std::vector<NamedTensor> read_adapter(std::span<const std::byte> file) {
  const AdapterTable& adapter = verified_root(file);
  const auto version = adapter.GetField<int32_t>(kFormatVersion, 0);
  if (version != kAdapterFormat) {
    throw Error(ErrorCode::kUnsupported, "has .onnx_adapter format " + std::to_string(version) +
                                             ", known is " + std::to_string(kAdapterFormat));
  }
  std::vector<NamedTensor> parameters;
  std::set<std::string_view> names;
  if (adapter.parameters() == nullptr) return parameters;
  check_total(*adapter.parameters(), file.size());
  for (const ParameterTable* table : *adapter.parameters()) {
    parameters.push_back(read_parameter(*table, file));
    check_parameter(parameters.back(), name_of(*table), names);
    check_size(parameters.back(), parameters.back().bytes.size());
  }
  return parameters;
}

}  // namespace wshare
