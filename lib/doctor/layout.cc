#include "doctor/layout.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <map>
#include <optional>
#include <system_error>

#include "format/dtype.h"
#include "format/onnx_wire.h"
#include "model/model_file.h"
#include "util/paths.h"
#include "util/text.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

uint64_t number_of(std::string_view text) {
  return static_cast<uint64_t>(std::max<int64_t>(0, parse_decimal(text)));
}

// Where the bytes of `reference` end in their file.
uint64_t end_of(const WireReference& reference) {
  const uint64_t offset = number_of(reference.offset);
  uint64_t size = number_of(reference.length);
  const std::optional<Dtype> dtype = find_dtype(reference.dtype);
  if (size == 0 && dtype) size = byte_size(*dtype, reference.shape).value_or(0);
  return size > UINT64_MAX - offset ? UINT64_MAX : offset + size;
}

bool leads_out(const fs::path& location) {
  const fs::path plain = location.lexically_normal();
  return !plain.empty() && *plain.begin() == "..";
}

void find_on_disk(DataFile& file, const fs::path& model) {
  std::error_code none;
  const fs::path path = model.parent_path() / file.location;
  file.is_link = fs::is_symlink(path, none);
  file.exists = fs::is_regular_file(path, none);
  if (!file.exists) return;
  file.size = fs::file_size(path, none);
  file.names = fs::hard_link_count(path, none);
  const auto folder_of = [&](const fs::path& given) {
    return given.parent_path().empty() ? fs::path(".") : given.parent_path();
  };
  file.in_folder = is_inside(path, folder_of(model));
  const fs::path real = fs::canonical(model, none);
  file.beside_target = !none && is_inside(path, real.parent_path());
}

}  // namespace

ModelLayout look_at(const fs::path& path) {
  const ModelFile file = ModelFile::load(path);
  ModelLayout layout;
  std::error_code none;
  layout.is_link = fs::is_symlink(path, none);
  const Skeleton skeleton = file.skeleton();
  layout.ir_version = skeleton.model().ir_version();
  for (const onnx::OperatorSetIdProto& set : skeleton.model().opset_import()) {
    if (set.domain().empty() || set.domain() == "ai.onnx")
      layout.opset = std::max(layout.opset, set.version());
  }
  std::map<std::string_view, uint64_t> needed;
  for (const WireTensor& tensor : file.wire().tensors) {
    const WireReference reference = read_wire_reference(file.file().bytes(), tensor);
    if (!reference.external) continue;
    uint64_t& end = needed[reference.location];
    end = std::max(end, end_of(reference));
  }
  for (const auto& [location, end] : needed) {
    DataFile& data = layout.data.emplace_back();
    data.location = location;
    data.needed = end;
    data.is_absolute = fs::path(location).is_absolute();
    data.leads_out = leads_out(location);
    find_on_disk(data, path);
  }
  return layout;
}

}  // namespace wshare
