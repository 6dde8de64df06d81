#include "wshare/export_ort_package.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "export/placed_files.h"
#include "export/shipment.h"
#include "format/is_bundle.h"
#include "util/output_folder.h"
#include "util/parallel.h"
#include "util/sha256.h"
#include "util/system_errors.h"

//   manifest.json                          schema, components, assets
//   components/NAME/component.json         variants: provider, model file, session options
//   components/NAME/model/NAME.onnx        and what its nodes name as files
//   shared_assets/sha256-HEX/*.bin         the weights of all
//
// An asset is called by the SHA-256 of its listing: "HASH  NAME\n" for each file, by name. A
// session has one folder for external data, so all weights are one asset; the session option that
// names it takes the asset's URI. Checked with onnxruntime 1.32: tests/interop/model_package.py.

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr char kComponents[] = "components";
constexpr char kAssets[] = "shared_assets";
constexpr char kVariantFolder[] = "model";
constexpr char kFolderOption[] = "session.model_external_initializers_file_folder_path";

using Json = nlohmann::ordered_json;
using OpenFolder = std::shared_ptr<const Folder>;

class PackageExporter {
 public:
  PackageExporter(const fs::path& bundle, const fs::path& package,
                  const ExportOrtPackageOptions& options)
      : shipment_(choose_shipment(bundle, {false, options.models}, 1)),
        manifest_(shipment_.manifest),
        stored_(shipment_.folder, manifest_),
        package_(package),
        options_(options),
        placed_(stored_, options.link) {}

  ExportOrtPackageReport run() {
    check_free(package_, "move it away, or give another folder");
    for (const TaskRecord& task : manifest_.tasks) {
      if (is_over_base(task)) report_.left.push_back(task.name);
    }
    for (const ModelRecord& model : manifest_.models) {
      for (const uint32_t blob : weights_of(model)) weights_.insert(blob);
      report_.models.push_back(
          {model.name, component_path(model) + "/" + kVariantFolder + "/" + model.file});
    }
    name_asset();
    if (options_.dry_run) {
      fill(nullptr);
    } else {
      OutputFolder made(package_, false);
      fill(&made.path());
      made.commit();
    }
    report_.linked_bytes = placed_.linked_bytes();
    report_.copied_bytes = placed_.copied_bytes();
    return std::move(report_);
  }

 private:
  // Files that nodes name stay beside the model, where they are looked for.
  static std::set<uint32_t> weights_of(const ModelRecord& model) {
    std::set<uint32_t> blobs = blobs_of(model);
    for (const uint32_t file : model.files) blobs.erase(file);
    return blobs;
  }

  // The file of a model is a name that any system takes, and no other model's.
  static std::string component_path(const ModelRecord& model) {
    return std::string(kComponents) + "/" + fs::path(model.file).stem().string();
  }

  void name_asset() {
    if (weights_.empty()) return;
    const std::vector<uint32_t> blobs(weights_.begin(), weights_.end());
    std::vector<std::string> digests(blobs.size());
    std::atomic<uint64_t> done{0};
    uint64_t total = 0;
    for (const uint32_t blob : blobs) total += manifest_.blobs[blob].size;
    parallel_for(blobs.size(), thread_count(options_.threads), [&](size_t i) {
      const BlobRecord& record = manifest_.blobs[blobs[i]];
      const MappedFile file = stored_.open(record.file, record.size);
      digests[i] = sha256_of(file.bytes());
      file.check_unchanged();
      if (options_.progress) options_.progress("hashing", done += record.size, total);
    });
    std::map<std::string, std::string> listed;
    for (size_t i = 0; i < blobs.size(); ++i) listed[manifest_.blobs[blobs[i]].file] = digests[i];
    std::string text;
    for (const auto& [name, digest] : listed) text += digest + "  " + name + "\n";
    report_.asset = "sha256:" + sha256_of(std::as_bytes(std::span(text)));
  }

  std::string asset_path() const {
    std::string name = report_.asset;
    std::replace(name.begin(), name.end(), ':', '-');
    return std::string(kAssets) + "/" + name;
  }

  std::string manifest_text() const {
    Json json;
    json["schema_version"] = "1.0";
    json["layout"] = "portable";
    json["components"] = Json::object();
    for (const ModelRecord& model : manifest_.models)
      json["components"][model.name] = component_path(model);
    if (!report_.asset.empty()) json["shared_assets"][report_.asset] = asset_path();
    return json.dump(2) + "\n";
  }

  std::string component_text(const ModelRecord& model) const {
    Json ort;
    ort["model_file"] = model.file;
    if (!weights_of(model).empty()) ort["session_options"][kFolderOption] = report_.asset;
    Json json;
    for (const std::string& provider : options_.providers) {
      Json& variant = json["variants"][provider];
      variant["variant_directory"] = kVariantFolder;
      variant["ep"] = provider;
      variant["executor_info"]["ort"] = ort;
    }
    return json.dump(2) + "\n";
  }

  // The folder `path` of the package in `root`, made now; null without `root`.
  static OpenFolder make(const fs::path* root, const std::string& path) {
    if (root == nullptr) return nullptr;
    make_folder(*root / path);
    return Folder::open(*root / path);
  }

  void fill(const fs::path* root) {
    make(root, kComponents);
    for (const ModelRecord& model : manifest_.models) {
      placed_.write(component_text(model), make(root, component_path(model)), "component.json");
      const OpenFolder to = make(root, component_path(model) + "/" + kVariantFolder);
      placed_.put(model.file, model.size, to, model.file);
      for (const uint32_t blob : model.files) put_blob(blob, to);
    }
    if (!weights_.empty()) {
      make(root, kAssets);
      const OpenFolder to = make(root, asset_path());
      for (const uint32_t blob : weights_) put_blob(blob, to);
    }
    placed_.write(manifest_text(), root == nullptr ? nullptr : Folder::open(*root),
                  "manifest.json");
  }

  void put_blob(uint32_t blob, const OpenFolder& to) {
    placed_.put(manifest_.blobs[blob].file, manifest_.blobs[blob].size, to,
                manifest_.blobs[blob].file);
  }

  Shipment shipment_;
  const Manifest& manifest_;
  StoredFiles stored_;
  fs::path package_;
  const ExportOrtPackageOptions& options_;
  PlacedFiles placed_;
  std::set<uint32_t> weights_;  // blobs
  ExportOrtPackageReport report_;
};

}  // namespace

ExportOrtPackageReport export_ort_package(const fs::path& bundle, const fs::path& package,
                                          const ExportOrtPackageOptions& options) try {
  check_outside_bundle(package, bundle);
  return PackageExporter(bundle, package, options).run();
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare
