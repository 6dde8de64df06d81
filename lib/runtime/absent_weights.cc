#include "runtime/absent_weights.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "format/onnx_wire.h"
#include "util/wire.h"

namespace wshare {
namespace {

// Bytes of the file that others take the place of.
struct Edit {
  uint64_t begin;
  uint64_t end;
  std::string bytes;
};

// One more external_data of a tensor: the last "offset" counts. 2^50; no file system has such
// files, and nothing overflows yet.
std::string far_offset() {
  constexpr std::string_view kKey = "offset", kValue = "1125899906842624";
  std::string entry;
  const auto add = [](std::string& to, uint32_t number, std::string_view bytes) {
    append_varint(to, number << 3 | static_cast<uint32_t>(WireType::kBytes));
    append_varint(to, bytes.size());
    to += bytes;
  };
  add(entry, 1, kKey);
  add(entry, 2, kValue);
  std::string field;
  add(field, tensor_field::kExternalData, entry);
  return field;
}

std::vector<Edit> find_edits(std::span<const std::byte> model,
                             const std::set<std::string_view>& names) {
  const WireTensors wire = find_wire_tensors(model);
  const std::string field = far_offset();
  std::vector<Edit> edits;
  std::vector<uint64_t> growth(wire.parents.size(), 0);
  for (const WireTensor& tensor : wire.tensors) {
    const WireReference reference = read_wire_reference(model, tensor);
    if (!reference.external || !names.contains(reference.name)) continue;
    edits.push_back({tensor.end, tensor.end, field});
    growth[tensor.parent] += field.size();
  }
  // What a message encloses stands behind it.
  for (size_t i = wire.parents.size(); i-- > 0;) {
    const WireParent& parent = wire.parents[i];
    if (growth[i] == 0) continue;
    std::string length;
    append_varint(length, parent.end - parent.begin + growth[i]);
    if (parent.up != kNoParent)
      growth[parent.up] += growth[i] + length.size() - (parent.begin - parent.length_at);
    edits.push_back({parent.length_at, parent.begin, std::move(length)});
  }
  std::sort(edits.begin(), edits.end(),
            [](const Edit& a, const Edit& b) { return a.begin < b.begin; });
  return edits;
}

}  // namespace

std::string without_weights(std::span<const std::byte> model,
                            const std::set<std::string_view>& names) {
  const std::string_view bytes(reinterpret_cast<const char*>(model.data()), model.size());
  std::string out;
  out.reserve(bytes.size() + 64 * names.size());
  uint64_t at = 0;
  for (const Edit& edit : find_edits(model, names)) {
    out += bytes.substr(at, edit.begin - at);
    out += edit.bytes;
    at = edit.end;
  }
  return out += bytes.substr(at);
}

}  // namespace wshare
