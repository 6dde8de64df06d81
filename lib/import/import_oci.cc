#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "bundle/replace_bundle.h"
#include "format/bundle_files.h"
#include "format/is_bundle.h"
#include "format/manifest/text.h"
#include "format/oci_layout.h"
#include "import/arrival.h"
#include "util/as_text.h"
#include "util/left_over.h"
#include "util/link_file.h"
#include "util/output_file.h"
#include "util/parallel.h"
#include "util/paths.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/import.h"
#include "wshare/verify.h"

// layout ─ manifest ─ layers are the files that the bundle's manifest names ─ new ones hashed ─
// all linked into a hidden folder beside the bundle ─ verified ─ exchanged with the bundle
//
// Folders are exchanged, and not files put in one after the other: a bundle that was made anew has
// other bytes under the old names.

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr uint64_t kMostConfigBytes = uint64_t{1} << 20;

// A model or task by name, and what tells two of them apart.
std::map<std::string, std::string> contents_of(const Manifest& manifest) {
  std::map<std::string, std::string> contents;
  const auto add = [&](const auto& record) {
    std::string& content = contents[record.name];
    for (const auto& tensor : record.tensors) content += to_hex(tensor.hash);
    if constexpr (requires { record.hash; }) content += to_hex(record.hash);
  };
  for (const ModelRecord& model : manifest.models) add(model);
  for (const TaskRecord& task : manifest.tasks) {
    std::string& content = contents[task.name];
    content += task.base + '/' + task.model;
    if (task.adapter) content += to_hex(manifest.blobs[*task.adapter].hash.value_or(ContentHash()));
  }
  for (const ArchivedRecord& model : manifest.archived) add(model);
  return contents;
}

void compare(const Manifest& before, const Manifest& after, ImportOciReport& report) {
  std::map<std::string, std::string> old = contents_of(before);
  for (const auto& [name, content] : contents_of(after)) {
    const auto at = old.find(name);
    if (at == old.end()) {
      report.added.push_back(name);
      continue;
    }
    if (at->second != content) report.changed.push_back(name);
    old.erase(at);
  }
  for (const auto& [name, content] : old) report.removed.push_back(name);
}

class Importer {
 public:
  Importer(const fs::path& layout, const std::string& tag, const fs::path& bundle,
           const ImportOciOptions& options)
      : options_(options),
        threads_(thread_count(options.threads)),
        layout_(layout),
        manifest_blob_(layout_.find(tag)),
        bundle_(fs::weakly_canonical(bundle)) {
    if (!is_inside(bundle, layout)) return;
    throw Error(ErrorCode::kIo, in_quotes(bundle.string()) + ": lies in the layout",
                "give another folder");
  }

  ImportOciReport run() {
    report_.tag = manifest_blob_.tag;
    report_.digest = "sha256:" + manifest_blob_.digest;
    read_manifests();
    std::optional<NewBundle> target;
    if (!options_.dry_run) target.emplace(bundle_, true, "import", options_.wait);
    look_at_old();
    hash_new();
    if (options_.dry_run) return std::move(report_);
    if (is_new_ || !old_ || gone_) {
      put(*target);
    } else {
      clear_left_over(bundle_.parent_path(), bundle_.filename().string());
    }
    return std::move(report_);
  }

 private:
  // Returns what read() does; errors name the layout, and `file` in it.
  template <typename Read>
  auto named(const Read& read, const char* file = nullptr) const {
    try {
      return read();
    } catch (const Error& error) {
      const std::string in_file = file == nullptr ? "" : in_quotes(file) + ": ";
      throw Error(error.code(), in_quotes(layout_.path().string()) + ": " + in_file + error.what(),
                  error.hint());
    }
  }

  void read_manifests() {
    const oci::ImageManifest image = layout_.read_manifest(manifest_blob_);
    arrival_ = open_arrival_named(image);
    layout_.read(image.config, kMostConfigBytes);
    const ArrivedFile* text = arrival_.find(kManifestName);
    if (text == nullptr) {
      throw Error(ErrorCode::kUnsupported, in_quotes(layout_.path().string()) + ": there is no " +
                                               in_quotes(kManifestName) + ": this is no bundle");
    }
    check_digest(arrival_, text->layer);
    hashed_.insert(text->layer);
    manifest_ = named([&] { return parse_manifest(as_text(text->bytes)); }, kManifestName);
    named([&] { check_files(arrival_, files_of(manifest_)); });
    for (const ArrivedFile& file : arrival_.files) report_.bytes += file.bytes.size();
  }

  // Errors of a blob name that.
  Arrival open_arrival_named(const oci::ImageManifest& image) const {
    return named([&] { return open_arrival(layout_, image); });
  }

  // The bundle that is there: nothing of it is hashed again.
  void look_at_old() {
    std::error_code none;
    if (!is_bundle(bundle_)) {
      if (!fs::exists(bundle_, none) || fs::is_empty(bundle_, none)) return;
      throw Error(ErrorCode::kIo, in_quotes(bundle_.string()) + ": exists and is no bundle",
                  "give another name, or move it away");
    }
    old_ = load_manifest(bundle_);
    old_files_.emplace(bundle_, *old_);
    gone_ = files_of(*old_).size() + 1 != arrival_.files.size();
    compare(*old_, manifest_, report_);
  }

  // True if the old bundle has the same file under that name: the layer itself, or equal bytes.
  bool is_known(const ArrivedFile& file) const {
    if (!old_files_) return false;
    const std::shared_ptr<const Folder>& folder = old_files_->folder();
    if (arrival_.is_artifact)
      return id_at(folder->descriptor(), file.name) == arrival_.maps[file.layer].id();
    const std::optional<FileStamp> found = folder->look_up(file.name);
    if (!found || !found->is_regular || found->size != file.bytes.size()) return false;
    const MappedFile old = MappedFile::open(folder, file.name);
    return as_text(old.bytes()) == as_text(file.bytes);
  }

  // Hashes the layers that have something new.
  void hash_new() {
    std::set<size_t> layers;
    for (const ArrivedFile& file : arrival_.files) {
      if (is_known(file)) {
        same_.push_back(file.name);
        continue;
      }
      report_.new_bytes += file.bytes.size();
      is_new_ = true;
      if (!hashed_.contains(file.layer)) layers.insert(file.layer);
    }
    const std::vector<size_t> to_hash(layers.begin(), layers.end());
    std::atomic<uint64_t> done{0};
    uint64_t total = 0;
    for (const size_t layer : to_hash) total += arrival_.blobs[layer].size;
    parallel_for(to_hash.size(), threads_, [&](size_t n) {
      check_digest(arrival_, to_hash[n]);
      if (options_.progress)
        options_.progress("hashing", done += arrival_.blobs[to_hash[n]].size, total);
    });
  }

  void put(NewBundle& target) {
    const std::shared_ptr<const Folder> folder = Folder::open(target.path());
    for (const ArrivedFile& file : arrival_.files) put_file(*folder, file);
    for (const MappedFile& map : arrival_.maps) map.check_unchanged();
    check_bundle(target.path());
    report_.kept = target.commit();
    report_.updated = old_.has_value();
  }

  // A link to the layer, or to the old bundle's file, where the file system has one for it.
  bool link(const Folder& to, const ArrivedFile& file) {
    const bool is_old = std::binary_search(same_.begin(), same_.end(), file.name);
    if (options_.copy || (!arrival_.is_artifact && !is_old)) return false;
    const Folder& from = is_old ? *old_files_->folder() : *layout_.blobs();
    const std::string& name = is_old ? file.name : arrival_.blobs[file.layer].digest;
    std::optional<FileId> id = arrival_.maps[file.layer].id();
    if (is_old) {
      const std::optional<FileStamp> old = from.look_up(name);
      id = old ? std::optional(old->id) : std::nullopt;
    }
    if (!id || !link_file(from, name, to, file.name, *id)) return false;
    if (arrival_.is_artifact) report_.linked_bytes += file.bytes.size();
    return true;
  }

  void put_file(const Folder& folder, const ArrivedFile& file) {
    if (link(folder, file)) return;
    OutputFile copy(folder.descriptor(), file.name, folder.path() / file.name, file.bytes.size());
    copy.write(file.bytes);
    copy.close();
  }

  // What the bundle's manifest says of the files that are new.
  void check_bundle(const fs::path& folder) const {
    const std::vector<Damage> findings = verify(folder, {threads_, options_.progress, same_});
    if (findings.empty()) return;
    const Damage& first = findings.front();
    throw Error(
        ErrorCode::kInvalid,
        in_quotes(layout_.path().string()) +
            ": the bundle in it is damaged: " + in_quotes(first.file) + ": " +
            (first.tensor.empty() ? "" : in_quotes(first.tensor) + ": ") + first.message +
            (findings.size() == 1 ? ""
                                  : ", and " + count_of(findings.size() - 1, "finding") + " more"),
        "it was exported so: 'wshare verify' of the bundle that it was made of");
  }

  const ImportOciOptions& options_;
  unsigned threads_;
  oci::Layout layout_;
  oci::Blob manifest_blob_;
  fs::path bundle_;
  Arrival arrival_;
  std::set<size_t> hashed_;  // layers
  Manifest manifest_;
  std::optional<Manifest> old_;
  std::optional<StoredFiles> old_files_;
  bool gone_ = false;              // the old bundle has files that the new one has not
  bool is_new_ = false;            // or the other way round
  std::vector<std::string> same_;  // files that are the old bundle's; sorted
  ImportOciReport report_;
};

}  // namespace

ImportOciReport import_oci(const fs::path& layout, const std::string& tag, const fs::path& bundle,
                           const ImportOciOptions& options) try {
  return Importer(layout, tag, bundle, options).run();
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare
