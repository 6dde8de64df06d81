#include "bundle/source_folders.h"

#include <algorithm>
#include <map>
#include <utility>

#include "format/archived_graph.h"
#include "format/restore_record.h"
#include "util/as_text.h"
#include "util/distinct_names.h"
#include "util/parallel.h"
#include "util/paths.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// A model or a task that restore gives back, and the model its record is compressed against, or
// the archived one that it is.
struct Recorded {
  const SourceRecord* source;
  const ModelRecord* model;
  const ArchivedRecord* archived = nullptr;
};

RestoreRecord unpack(const Recorded& recorded, const StoredFiles& files) {
  const SourceRecord& source = *recorded.source;
  const std::string_view packed = as_text(files.bytes(source.record));
  if (recorded.archived != nullptr)
    return unpack_record(packed, unpack_graph(*recorded.archived, files), source.size);
  const MappedFile model = files.open(recorded.model->file, recorded.model->size);
  return unpack_record(packed, as_text(model.bytes()), source.size);
}

std::vector<fs::path> paths_of(const Recorded& recorded, const StoredFiles& files) {
  const SourceRecord& source = *recorded.source;
  std::vector<fs::path> paths = {fs::path(source.folder) / source.file};
  try {
    for (const ExternalRecord& external : unpack(recorded, files).external) {
      paths.push_back((fs::path(source.folder) / external.location).lexically_normal());
    }
  } catch (const Error& error) {
    const std::string& name =
        recorded.archived != nullptr ? recorded.archived->name : recorded.model->name;
    throw Error(error.code(), in_quotes(name) + ": " + error.what(), kDamageHint);
  }
  return paths;
}

// Returns for each of `folders` its own name, or where several have that, the part of its path that
// tells it from them; with room for a number behind it.
std::map<fs::path, std::string> stems_of(const std::vector<fs::path>& folders) {
  std::map<std::string, std::vector<fs::path>> by_name;
  for (const fs::path& folder : folders) by_name[folder.filename().string()].push_back(folder);
  std::map<fs::path, std::string> result;
  for (const auto& [name, same] : by_name) {
    const std::vector<std::string> names =
        same.size() == 1 ? std::vector<std::string>{name} : distinct_names(same);
    for (size_t i = 0; i < same.size(); ++i) {
      const bool fits = is_path_part(names[i]) && names[i].size() <= kLongestFileName;
      result[same[i]] = fits ? names[i] : "folder";
    }
  }
  return result;
}

}  // namespace

RestoredPaths find_restored_paths(const Manifest& manifest, const StoredFiles& files,
                                  unsigned threads) {
  std::vector<Recorded> recorded;
  for (const ModelRecord& model : manifest.models) {
    if (model.source) recorded.push_back({&*model.source, &model});
  }
  for (const TaskRecord& task : manifest.tasks) {
    if (!task.source) continue;
    recorded.push_back(
        {&*task.source, &find_model(manifest, task.model.empty() ? task.base : task.model)});
  }
  for (const ArchivedRecord& model : manifest.archived)
    recorded.push_back({&*model.source, nullptr, &model});
  std::vector<std::vector<fs::path>> paths(recorded.size());
  parallel_for(recorded.size(), threads,
               [&](size_t i) { paths[i] = paths_of(recorded[i], files); });
  RestoredPaths result;
  for (size_t i = 0; i < recorded.size(); ++i) {
    result.flat = result.flat && recorded[i].source->folder.empty();
    result.paths.insert(paths[i].begin(), paths[i].end());
  }
  return result;
}

std::vector<std::string> source_folders(const std::vector<SourceFiles>& sources,
                                        const RestoredPaths& taken) {
  std::map<fs::path, std::vector<const SourceFiles*>> by_parent;
  std::vector<fs::path> order;
  std::vector<fs::path> parents;  // parallel to sources
  CanonicalPaths canonical;
  for (const SourceFiles& source : sources) {
    const fs::path& parent = parents.emplace_back(canonical.place_of(source.path).parent_path());
    std::vector<const SourceFiles*>& list = by_parent[parent];
    if (list.empty()) order.push_back(parent);
    list.push_back(&source);
  }
  const auto is_free = [&](const std::string& name, const fs::path& parent) {
    const fs::path folder(name);
    if (!name.empty() && taken.paths.count(folder) != 0) return false;
    const std::vector<const SourceFiles*>& files = by_parent.at(parent);
    return std::none_of(files.begin(), files.end(), [&](const SourceFiles* source) {
      return taken.paths.count(folder / source->path.filename()) != 0 ||
             std::any_of(source->external.begin(), source->external.end(),
                         [&](const fs::path& place) {
                           return taken.paths.count((folder / place).lexically_normal()) != 0;
                         });
    });
  };
  const std::map<fs::path, std::string> stems = stems_of(order);
  const bool names_folder = std::any_of(sources.begin(), sources.end(),
                                        [](const SourceFiles& each) { return each.names_folder; });
  std::map<fs::path, std::string> name_of;
  std::set<std::string> chosen;
  // By stem: ten thousand folders may be called "onnx", so none looks at the numbers before again.
  std::map<std::string, int> next_number;
  for (const fs::path& parent : order) {
    if (order.size() == 1 && taken.flat && !names_folder && is_free("", parent)) {
      name_of[parent] = "";
      break;
    }
    const std::string& stem = stems.at(parent);
    int& number = next_number.try_emplace(stem, 1).first->second;
    std::string name;
    do {
      name = number == 1 ? stem : stem + "_" + std::to_string(number);
      ++number;
    } while (!is_free(name, parent) || !chosen.insert(name).second);
    name_of[parent] = name;
  }
  std::vector<std::string> result;
  for (const fs::path& parent : parents) result.push_back(name_of.at(parent));
  return result;
}

}  // namespace wshare
