#include "wshare/export_hf.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "export/hf_names.h"
#include "export/placed_files.h"
#include "export/shipment.h"
#include "format/is_bundle.h"
#include "model/externalize.h"
#include "model/model_file.h"
#include "util/output_folder.h"
#include "util/paths.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"

// What clients of the hub open is FOLDER/onnx/NAME[_DTYPE].onnx, and beside it the files that this
// names. A browser has no files: it must be told which to fetch. transformers.js does so by a list
// ("externalData") or by a number ("use_external_data_format": that many files, called as the model
// with "_data", "_data_1", ... behind it).

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr char kFolderName[] = "onnx";
constexpr char kListName[] = "external_data.json";
constexpr char kSuffix[] = ".onnx";
constexpr size_t kMostFiles = 100;  // MAX_EXTERNAL_DATA_CHUNKS

using Json = nlohmann::ordered_json;

struct HfFile {
  const ModelRecord* model;
  std::string file;
  std::map<std::string, std::string> data = {};  // by name in the bundle: name in the folder
  std::string text = {};                         // of the .onnx, where it is not the bundle's
};

class HfExporter {
 public:
  HfExporter(const fs::path& bundle, const fs::path& folder, const ExportHfOptions& options)
      : shipment_(choose_shipment(bundle, {false, options.models}, 1)),
        manifest_(shipment_.manifest),
        stored_(shipment_.folder, manifest_),
        folder_(folder),
        options_(options),
        placed_(stored_, options.link) {}

  ExportHfReport run() {
    check_target();
    name_models();
    for (HfFile& file : files_) name_data(file);
    check_names();
    report_.list = list();
    options_.dry_run ? fill(nullptr) : write();
    for (const HfFile& file : files_)
      report_.models.push_back({file.model->name, file.file, names_of(file)});
    report_.linked_bytes = placed_.linked_bytes();
    report_.copied_bytes = placed_.copied_bytes();
    return std::move(report_);
  }

 private:
  bool is_own() const { return options_.data == HfData::kOwn; }

  void check_target() {
    std::error_code none;
    is_there_ = fs::exists(folder_, none);
    if (is_there_ && !fs::is_directory(folder_, none))
      throw Error(ErrorCode::kIo, in_quotes(folder_.string()) + ": exists and is no folder");
    check_free(folder_ / kFolderName, "move it away, or give another folder");
  }

  void name_models() {
    std::vector<HubModel> models;
    for (const ModelRecord& model : manifest_.models) {
      const ModelFile file = ModelFile::load(stored_.model(model));
      models.push_back({model.name, dtype_suffix(file.skeleton().model(), model)});
    }
    for (const TaskRecord& task : manifest_.tasks) {
      if (is_over_base(task)) report_.left.push_back(task.name);
    }
    std::vector<std::string> names = hub_names(models);
    for (const auto& [name, file] : options_.names) {
      const ModelRecord& model = find_model(manifest_, name);
      names[static_cast<size_t>(&model - manifest_.models.data())] = file;
    }
    for (size_t i = 0; i < names.size(); ++i) {
      std::string file = names[i].ends_with(kSuffix) ? names[i] : names[i] + kSuffix;
      if (!is_file_name(file))
        throw Error(ErrorCode::kInvalid, in_quotes(file) + ": is no name for a file");
      files_.push_back({&manifest_.models[i], std::move(file)});
    }
  }

  // Files that nodes name keep their names.
  void name_data(HfFile& file) {
    size_t number = 0;
    for (const uint32_t blob : blobs_of(*file.model)) {
      const std::string& name = manifest_.blobs[blob].file;
      const bool is_fixed = std::find(file.model->files.begin(), file.model->files.end(), blob) !=
                            file.model->files.end();
      if (!is_own() || is_fixed) {
        file.data[name] = name;
        continue;
      }
      file.data[name] =
          file.file + "_data" + (number == 0 ? std::string() : "_" + std::to_string(number));
      ++number;
    }
    if (!is_own()) return;
    if (number > kMostFiles) {
      throw Error(ErrorCode::kUnsupported,
                  in_quotes(file.model->name) + ": has its weights in " + std::to_string(number) +
                      " files, transformers.js takes " + std::to_string(kMostFiles),
                  "'wshare dedupe' of all models makes a bundle with fewer");
    }
    if (number == 0) return;
    chunks_[file.file] = number;
    file.text =
        relocate(ModelFile::load(stored_.model(*file.model)), [&](const ExternalReference& place) {
          const auto found = file.data.find(place.file);
          if (found == file.data.end()) return place;
          return ExternalReference{found->second, place.offset, place.size};
        });
  }

  void check_names() const {
    std::map<std::string, std::string> owners;  // of a name in the folder
    const auto take = [&](const std::string& name, const std::string& owner) {
      const auto [at, is_new] = owners.emplace(name, owner);
      if (is_new || at->second == owner) return;
      throw Error(
          ErrorCode::kInvalid,
          in_quotes(at->second) + " and " + in_quotes(owner) + ": both would be " + in_quotes(name),
          "--name MODEL=NAME gives a model another name, --model leaves others out");
    };
    take(kListName, kListName);
    for (const HfFile& file : files_) {
      take(file.file, file.model->name);
      for (const auto& [from, as] : file.data) take(as, is_own() ? file.model->name : from);
    }
  }

  static std::vector<std::string> names_of(const HfFile& file) {
    std::vector<std::string> names;
    for (const auto& [from, as] : file.data) names.push_back(as);
    std::sort(names.begin(), names.end());
    return names;
  }

  // Paths as the models have them; data as seen from the repository.
  static Json entries(const std::vector<std::string>& names) {
    Json list = Json::array();
    for (const std::string& name : names)
      list.push_back({{"path", name}, {"data", std::string(kFolderName) + "/" + name}});
    return list;
  }

  std::string list() const {
    std::set<std::string> all;
    Json json;
    json["externalData"] = Json::array();
    json["models"] = Json::object();
    for (const HfFile& file : files_) {
      const std::vector<std::string> names = names_of(file);
      all.insert(names.begin(), names.end());
      json["models"][file.file] = entries(names);
    }
    json["externalData"] = entries({all.begin(), all.end()});
    if (is_own()) json["use_external_data_format"] = chunks_;
    return json.dump(2) + "\n";
  }

  void write() {
    OutputFolder made(is_there_ ? folder_ / kFolderName : folder_, false);
    fs::path path = made.path();
    if (!is_there_) make_folder(path /= kFolderName);
    fill(Folder::open(path));
    made.commit();
  }

  void fill(const std::shared_ptr<const Folder>& to) {
    std::set<std::string> there;
    for (const HfFile& file : files_) {
      for (const uint32_t blob : blobs_of(*file.model)) {
        const BlobRecord& record = manifest_.blobs[blob];
        const std::string& as = file.data.at(record.file);
        if (there.insert(as).second) placed_.put(record.file, record.size, to, as);
      }
      if (file.text.empty()) {
        placed_.put(file.model->file, file.model->size, to, file.file);
      } else {
        placed_.write(file.text, to, file.file);
      }
    }
    placed_.write(report_.list, to, kListName);
  }

  Shipment shipment_;
  const Manifest& manifest_;
  StoredFiles stored_;
  fs::path folder_;
  const ExportHfOptions& options_;
  PlacedFiles placed_;
  bool is_there_ = false;
  std::vector<HfFile> files_;
  std::map<std::string, size_t> chunks_;  // by file
  ExportHfReport report_;
};

}  // namespace

ExportHfReport export_hf(const fs::path& bundle, const fs::path& folder,
                         const ExportHfOptions& options) try {
  check_outside_bundle(folder, bundle);
  return HfExporter(bundle, folder, options).run();
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare
