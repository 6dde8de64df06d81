#include "extract_lora/common_base.h"

#include <string>

#include "compare/graph.h"
#include "compare/lora_modules.h"
#include "lora/strip.h"
#include "model/externalize.h"
#include "util/output_folder.h"

namespace fs = std::filesystem;

namespace wshare {

ScannedModel scan_edited(const ScannedModel& model,
                         const std::function<void(onnx::ModelProto&)>& edit,
                         const fs::path& folder) {
  const fs::path source = model.file.file().path();
  // Payloads that lie in a file as they are stay there, as external data at their place. Constant
  // nodes keep their values, since some of them go with the pairs.
  const std::string own_name = source.filename().string();
  const auto place_of = [&](size_t t) -> std::optional<ExternalReference> {
    const TensorRef& tensor = model.tensors[t];
    if (tensor.inline_reason || tensor.bytes.empty() || tensor.home == Home::kConstant) return {};
    if (tensor.external_file >= 0) {
      return ExternalReference{model.external[static_cast<size_t>(tensor.external_file)].location,
                               tensor.external_offset, tensor.bytes.size()};
    }
    if (!tensor.is_span) return {};
    const auto offset =
        static_cast<uint64_t>(tensor.bytes.data() - model.file.file().bytes().data());
    return ExternalReference{own_name, offset, tensor.bytes.size()};
  };
  const std::string edited = externalize(model, place_of, edit);
  const fs::path path = folder / own_name;
  OutputFile file(path, 0, OutputFile::Kind::kTemporary);
  file.write(edited);
  file.close();
  return scan_model(path, source);
}

ScannedModel scan_without_lora(const fs::path& task, const fs::path& folder) {
  ScannedModel model = scan_model(task);
  const ComputeGraph graph = build_graph(model);
  const std::vector<LoraModule> pairs = find_lora_modules(graph, model);
  if (pairs.empty()) return model;
  return scan_edited(
      model, [&](onnx::ModelProto& proto) { strip_lora(proto, graph, pairs); }, folder);
}

}  // namespace wshare
