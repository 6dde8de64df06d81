#include "restore/original.h"

#include <algorithm>

#include "util/suggest.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

std::vector<OriginalTensor> tensors_of(const ModelRecord& model) {
  std::vector<OriginalTensor> tensors;
  for (const TensorRecord& tensor : model.tensors) {
    tensors.emplace_back(OriginalTensor{tensor.scope, tensor.name, tensor.dtype, tensor.shape,
                                        tensor.hash, tensor.extent, std::nullopt, tensor.turned});
  }
  return tensors;
}

bool is_exact(const TaskRecord& task) {
  return std::none_of(task.tensors.begin(), task.tensors.end(), [](const OriginalTensor& tensor) {
    return tensor.derivation && !tensor.derivation->exact;
  });
}

// "'a', 'b' and 3 more"
std::string list_of(const std::vector<std::string>& names) {
  constexpr size_t kShown = 5;
  std::string list;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i)
    list += (i == 0 ? "" : ", ") + in_quotes(names[i]);
  return list +
         (names.size() > kShown ? " and " + std::to_string(names.size() - kShown) + " more" : "");
}

}  // namespace

std::vector<Original> originals_of(const Manifest& manifest) {
  std::vector<Original> originals;
  for (const ModelRecord& model : manifest.models) {
    if (model.source) originals.push_back({model.name, &*model.source, &model, tensors_of(model)});
  }
  for (const TaskRecord& task : manifest.tasks) {
    if (!task.source) continue;
    const ModelRecord& model = find_model(manifest, task.model.empty() ? task.base : task.model);
    originals.push_back({task.name, &*task.source, &model, task.tensors, is_exact(task)});
  }
  for (const ArchivedRecord& model : manifest.archived)
    originals.push_back({model.name, &*model.source, nullptr, model.tensors, true, &model});
  return originals;
}

void require_whole(const Manifest& manifest, const std::string& name) {
  if (manifest.left_out.empty()) return;
  throw Error(
      ErrorCode::kInvalid,
      (name.empty() ? "the bundle" : in_quotes(name)) +
          ": what gives originals back is not here: the bundle is a part of another, without " +
          list_of(manifest.left_out),
      "import the whole bundle over it: wshare import oci LAYOUT:TAG -o BUNDLE");
}

const Original& find_original(const Manifest& manifest, const std::vector<Original>& originals,
                              const std::string& name) {
  std::vector<std::string> names;
  for (const Original& original : originals) {
    if (original.name == name) return original;
    names.push_back(original.name);
  }
  if (find_task(manifest, name) != nullptr) {
    require_whole(manifest, name);
    throw Error(ErrorCode::kInvalid,
                in_quotes(name) + ": came as an adapter: there is no original to give back",
                "its adapter lies in the bundle as it is");
  }
  require_whole(manifest, name);
  throw Error(ErrorCode::kInvalid, in_quotes(name) + ": no such model in the bundle",
              hint_of_names(name, names));
}

}  // namespace wshare
