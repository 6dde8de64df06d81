#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "export/placed_files.h"
#include "export/triton_config.h"
#include "format/is_bundle.h"
#include "format/manifest/text.h"
#include "model/model_file.h"
#include "util/file_calls.h"
#include "util/output_errors.h"
#include "util/output_file.h"
#include "util/output_folder.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/export.h"

// A model of a repository is a folder with config.pbtxt and a version folder, "1". What the server
// loads lies in the bundle; "1" only leads there.

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr char kVersion[] = "1";
constexpr char kConfigName[] = "config.pbtxt";

// A model or a task that is to be served.
struct Served {
  TritonConfig config;
  const ModelRecord* model;     // whose graph says inputs and outputs
  std::string file;             // that the server opens
  std::set<std::string> files;  // of the bundle, that the version folder leads to
};

class TritonExporter {
 public:
  TritonExporter(const fs::path& bundle, const fs::path& repository,
                 const ExportTritonOptions& options)
      : folder_(open_bundle_folder(bundle)),
        manifest_(load_manifest(folder_)),
        stored_(folder_, manifest_),
        bundle_(fs::canonical(bundle)),
        repository_(repository),
        options_(options) {}

  ExportTritonReport run() {
    choose();
    std::vector<std::string> configs;
    for (const Served& served : served_) {
      const ModelFile model = ModelFile::load(stored_.model(*served.model));
      configs.push_back(to_pbtxt(served.config, model.skeleton().model().graph()));
      check_free(repository_ / served.config.name, "move it away, or give another repository");
    }
    if (!options_.dry_run) write(configs);
    for (const Served& served : served_) {
      report_.models.push_back({served.config.name, repository_ / served.config.name, served.file});
    }
    return std::move(report_);
  }

 private:
  bool is_ours() const { return options_.backend == TritonBackend::kWshare; }

  void choose() {
    for (const ModelRecord& model : manifest_.models) served_.push_back(serve(model.name, model));
    for (const TaskRecord& task : manifest_.tasks) {
      if (!is_over_base(task)) continue;  // its model is one of the bundle's
      if (!is_ours()) {
        report_.left.push_back(task.name);
        continue;
      }
      Served served = serve(task.name, find_model(manifest_, task.base));
      served.config.parameters.emplace_back("task", task.name);
      for (const ParameterRecord& parameter : task.parameters)
        served.config.not_inputs.emplace_back(parameter.name);
      if (task.adapter) served.files.insert(manifest_.blobs[*task.adapter].file);
      served_.push_back(std::move(served));
    }
  }

  Served serve(const std::string& name, const ModelRecord& model) const {
    Served served{{name, is_ours() ? "wshare" : "onnxruntime"}, &model, model.file, {}};
    served.config.instances = options_.instances;
    const PackRecord* pack = nullptr;
    for (const PackRecord& each : manifest_.packs) {
      if (each.model.name != model.name || each.made_of != model.hash) continue;
      if (pack == nullptr || options_.packed) pack = &each;
      // Which of several fits is decided where it is opened.
      if (is_ours() && options_.links == TritonLinks::kHard)
        add_files(each.model, each.buffers, served);
    }
    if (options_.packed && pack == nullptr) {
      throw Error(ErrorCode::kInvalid, in_quotes(model.name) + ": has no pack",
                  "'wshare pack BUNDLE' makes one");
    }
    if (is_ours()) {
      served.config.parameters.emplace_back("model", model.name);
      if (options_.packed) served.config.parameters.emplace_back("packed", "yes");
      if (options_.links == TritonLinks::kHard) served.files.insert(kManifestName);
    } else {
      if (options_.packed) served.file = pack->model.file;
      served.config.model_file = served.file;
      served.config.is_optimised = options_.packed;
      if (options_.packed) return add_files(pack->model, pack->buffers, served), served;
    }
    add_files(model, {}, served);
    return served;
  }

  void add_files(const ModelRecord& model, const std::vector<BufferRecord>& buffers,
                 Served& served) const {
    served.files.insert(model.file);
    for (const uint32_t blob : blobs_of(model, buffers))
      served.files.insert(manifest_.blobs[blob].file);
  }

  // A repository that is new appears as a whole, in one that is there each model does.
  void write(const std::vector<std::string>& configs) {
    std::error_code none;
    if (!fs::exists(repository_, none) || fs::is_empty(repository_, none)) {
      OutputFolder made(repository_, false);
      for (size_t i = 0; i < served_.size(); ++i)
        write_model(made.path() / served_[i].config.name, served_[i], configs[i]);
      made.commit();
      return;
    }
    std::vector<std::unique_ptr<OutputFolder>> made;
    for (size_t i = 0; i < served_.size(); ++i) {
      made.push_back(std::make_unique<OutputFolder>(repository_ / served_[i].config.name, false));
      fill(made.back()->path(), served_[i], configs[i]);
    }
    for (const std::unique_ptr<OutputFolder>& folder : made) folder->commit();
  }

  void write_model(const fs::path& folder, const Served& served, const std::string& config) const {
    make_folder(folder);
    fill(folder, served, config);
  }

  void fill(const fs::path& folder, const Served& served, const std::string& config) const {
    OutputFile file(folder / kConfigName, config.size());
    file.write(config);
    file.close();
    const fs::path version = folder / kVersion;
    if (options_.links == TritonLinks::kFolder) return link(led_to(served, false), version);
    make_folder(version);
    for (const std::string& name : served.files) {
      if (options_.links == TritonLinks::kFiles) {
        link(led_to(served, true) / name, version / name);
      } else if (file_calls::link_at(AT_FDCWD, (bundle_ / name).c_str(), AT_FDCWD,
                                     (version / name).c_str()) != 0) {
        fail_output(version / name, "cannot make a hard link to the bundle's file", errno);
      }
    }
  }

  // The bundle, as seen from the place where the model, or its version folder, will be.
  fs::path led_to(const Served& served, bool from_version) const {
    const fs::path model = fs::weakly_canonical(repository_) / served.config.name;
    return bundle_.lexically_relative(from_version ? model / kVersion : model);
  }

  static void link(const fs::path& text, const fs::path& path) {
    if (file_calls::make_link_at(text.c_str(), AT_FDCWD, path.c_str()) != 0)
      fail_output(path, "cannot make a link", errno);
  }

  std::shared_ptr<const Folder> folder_;
  Manifest manifest_;
  StoredFiles stored_;
  fs::path bundle_, repository_;
  const ExportTritonOptions& options_;
  std::vector<Served> served_;
  ExportTritonReport report_;
};

}  // namespace

ExportTritonReport export_triton(const fs::path& bundle, const fs::path& repository,
                                 const ExportTritonOptions& options) try {
  check_outside_bundle(repository, bundle);
  return TritonExporter(bundle, repository, options).run();
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare
