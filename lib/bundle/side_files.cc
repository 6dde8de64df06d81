#include "bundle/side_files.h"

#include <algorithm>
#include <map>
#include <set>

#include "bundle/task_record.h"
#include "format/bundle_files.h"
#include "util/as_text.h"
#include "util/paths.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// All models of `draft` whose originals or graphs get into the bundle.
std::vector<const ScannedModel*> models_of(const Draft& draft) {
  std::vector<const ScannedModel*> models;
  for (size_t m = draft.first_new(); m < draft.models.size(); ++m)
    models.push_back(&draft.models[m]);
  for (const DraftTask& task : draft.tasks) models.push_back(&original_of(draft, task));
  return models;
}

bool are_equal(Bytes a, Bytes b) { return as_text(a) == as_text(b); }

std::string subject_of(const ScannedModel& model, const ExternalFile& file) {
  return in_quotes(model.file.file().path().string()) + ": a node names the file " +
         in_quotes(file.location);
}

void check_name(const ScannedModel& model, const ExternalFile& file) {
  const std::string name = file.place.string();
  if (is_file_name(name) && folded_name(name) != kManifestName) return;
  throw Error(ErrorCode::kUnsupported,
              subject_of(model, file) + ", which cannot have that name in a bundle",
              "put it beside the model, under a plain name, and let the node say so");
}

// The blob of the bundle that is this file already.
std::optional<uint32_t> find_stored(const Draft& draft, const ScannedModel& model,
                                    const ExternalFile& file) {
  if (!draft.start) return std::nullopt;
  const std::string name = folded_name(file.place.string());
  const std::vector<BlobRecord>& blobs = draft.start->manifest.blobs;
  for (uint32_t b = 0; b < blobs.size(); ++b) {
    const bool same_name = blobs[b].file == file.place.string() && blobs[b].hash;
    if (same_name && are_equal(draft.start->files->blob(b).bytes(), file.file.bytes())) return b;
  }
  const std::vector<std::string>& taken = draft.start->names;
  const auto is_it = [&](const std::string& each) { return folded_name(each) == name; };
  if (std::none_of(taken.begin(), taken.end(), is_it)) return std::nullopt;
  throw Error(ErrorCode::kInvalid,
              subject_of(model, file) + ", and the bundle has another file of that name",
              "make a bundle of its own of this model");
}

}  // namespace

std::vector<SideFile> find_side_files(const Draft& draft) {
  std::vector<SideFile> files;
  std::map<std::string, const ScannedModel*> first;  // who names it, by folded name
  for (const ScannedModel* model : models_of(draft)) {
    for (const ExternalFile& file : model->external) {
      if (!file.named_by_node) continue;
      check_name(*model, file);
      const std::string name = file.place.string();
      const auto [at, is_new] = first.try_emplace(folded_name(name), model);
      if (is_new) {
        files.push_back({name, file.file.bytes(), find_stored(draft, *model, file)});
        continue;
      }
      const auto same = std::find_if(files.begin(), files.end(),
                                     [&](const SideFile& each) { return each.name == name; });
      if (same != files.end() && are_equal(same->bytes, file.file.bytes())) continue;
      throw Error(ErrorCode::kInvalid,
                  subject_of(*model, file) + ", and a node of " +
                      in_quotes(at->second->file.file().path().string()) +
                      " another file of that name",
                  "make a bundle of each");
    }
  }
  return files;
}

std::vector<std::string> names_that_nodes_say(const Draft& draft) {
  std::set<std::string> names;
  for (const ScannedModel* model : models_of(draft))
    names.insert(model->texts.begin(), model->texts.end());
  return {names.begin(), names.end()};
}

size_t side_file_called(const Draft& draft, const std::string& name) {
  const auto is_it = [&](const SideFile& file) { return file.name == name; };
  return static_cast<size_t>(std::find_if(draft.side_files.begin(), draft.side_files.end(), is_it) -
                             draft.side_files.begin());
}

}  // namespace wshare
