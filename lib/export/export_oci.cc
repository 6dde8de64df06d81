#include <atomic>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "export/car.h"
#include "export/layout_writer.h"
#include "export/shipment.h"
#include "format/bundle_files.h"
#include "format/is_bundle.h"
#include "format/oci.h"
#include "util/parallel.h"
#include "util/sha256.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/export.h"

// Each file of a bundle is a layer as it is, under its own name, so a registry has each blob once
// for all tags, and a push or a pull moves only files that are new. A blob of the layout is the
// bundle's own file (a hard link); so the layout itself says the digest of each file that it had
// before: nothing is hashed twice, and nothing has to be kept in step.

namespace fs = std::filesystem;

namespace wshare {
namespace {

// What an image says that it is for; its files are for all.
#ifdef __aarch64__
constexpr char kArchitecture[] = "arm64";
#else
constexpr char kArchitecture[] = "amd64";
#endif

using oci::Blob;
using Way = LayoutWriter::Way;

// The blobs that some tag of `layout` names; what cannot be read names none.
std::set<std::string> named_blobs(const oci::Layout& layout) {
  std::set<std::string> named;
  for (const oci::Index::Entry& entry : layout.index().manifests) {
    try {
      const oci::ImageManifest manifest = layout.read_manifest(entry.descriptor);
      for (const Blob& layer : manifest.layers) named.insert(layer.digest);
      named.insert(manifest.config.digest);
      named.insert(entry.descriptor.digest);
    } catch (const Error&) {
      continue;
    }
  }
  return named;
}

class Exporter {
 public:
  Exporter(const fs::path& bundle, const fs::path& layout, const ExportOciOptions& options)
      : options_(options),
        threads_(thread_count(options.threads)),
        shipment_(choose_shipment(bundle, {options.with_packs, options.models}, threads_)),
        stored_(shipment_.folder, shipment_.manifest),
        writer_(layout, options.dry_run) {
    if (writer_.before() != nullptr) known_ = named_blobs(*writer_.before());
  }

  ExportOciReport run(const std::string& tag) {
    const bool is_car = options_.form == OciForm::kCar;
    oci::ImageManifest manifest = is_car ? make_car(tag) : make_artifact();
    const std::string text = oci::to_json(manifest);
    check_size(text);
    Blob named = put_text(text, oci::kManifestType);
    named.artifact_type = manifest.artifact_type;
    named.tag = tag;
    for (const Blob& layer : manifest.layers) count(layer);
    count(manifest.config);
    count(named);
    writer_.publish(named);
    report_.tag = tag;
    report_.digest = "sha256:" + named.digest;
    report_.layers = manifest.layers.size();
    return std::move(report_);
  }

 private:
  void count(const Blob& blob) {
    report_.bytes += blob.size;
    if (known_.insert(blob.digest).second) report_.new_bytes += blob.size;
  }

  static void check_size(const std::string& text) {
    if (text.size() <= oci::kMostManifestBytes) return;
    throw Error(ErrorCode::kUnsupported,
                "the manifest has " + std::to_string(text.size()) + " bytes; registries take " +
                    std::to_string(oci::kMostManifestBytes),
                "--as car puts many files into one layer");
  }

  oci::ImageManifest make_artifact() {
    std::vector<MappedFile> files;
    for (const BundleFile& file : shipment_.files)
      files.push_back(stored_.open(file.name, file.size));
    oci::ImageManifest manifest{oci::kModelType, {}, hash(files)};
    for (size_t i = 0; i < files.size(); ++i) put_file(files[i], manifest.layers[i]);
    manifest.layers.push_back(put_manifest());
    manifest.config = put_text(oci::model_config(manifest.layers), oci::kModelConfigType);
    return manifest;
  }

  // What the image before has already is compared, not hashed.
  oci::ImageManifest make_car(const std::string& tag) {
    std::vector<MappedFile> maps;
    std::vector<CarFile> files;
    for (const BundleFile& file : shipment_.files) {
      maps.push_back(stored_.open(file.name, file.size));
      files.push_back({file.name, maps.back().bytes()});
    }
    files.push_back({kManifestName, std::as_bytes(std::span(shipment_.manifest_text()))});
    const oci::Layout* layout = writer_.before();
    std::optional<oci::ImageManifest> before;
    if (layout != nullptr) before = image_before(*layout, tag);
    CarPlan plan = plan_car(files, layout, before ? &*before : nullptr);
    oci::ImageManifest manifest{"", {}, std::move(plan.kept)};
    for (const CarLayer& layer : plan.added) manifest.layers.push_back(put_layer(layer));
    for (const MappedFile& map : maps) map.check_unchanged();
    manifest.config =
        put_text(oci::image_config(manifest.layers, kArchitecture), oci::kImageConfigType);
    return manifest;
  }

  Blob put_layer(const CarLayer& layer) {
    std::vector<std::string> texts;
    const std::vector<std::span<const std::byte>> pieces = layer.pieces(texts);
    Blob blob{oci::kTarType, "", 0};
    Sha256 hasher;
    for (const std::span<const std::byte> piece : pieces) {
      hasher.update(piece);
      blob.size += piece.size();
    }
    blob.digest = hasher.finish();
    report_.hashed_bytes += blob.size;
    if (writer_.put(pieces, blob) == Way::kCopied) report_.copied_bytes += blob.size;
    return blob;
  }

  // Returns the layers that `files` are.
  std::vector<Blob> hash(const std::vector<MappedFile>& files) {
    std::vector<Blob> layers(files.size());
    std::vector<size_t> to_hash;
    for (size_t i = 0; i < files.size(); ++i) {
      const std::string& name = shipment_.files[i].name;
      layers[i] = {oci::kWeightType, writer_.digest_of(files[i].id()).value_or(""),
                   files[i].bytes().size(), "", name};
      if (!layers[i].digest.empty()) continue;
      to_hash.push_back(i);
      report_.hashed_bytes += layers[i].size;
    }
    std::atomic<uint64_t> done{0};
    parallel_for(to_hash.size(), threads_, [&](size_t n) {
      const size_t i = to_hash[n];
      layers[i].digest = sha256_of(files[i].bytes());
      files[i].check_unchanged();
      if (options_.progress)
        options_.progress("hashing", done += layers[i].size, report_.hashed_bytes);
    });
    return layers;
  }

  void put_file(const MappedFile& file, const Blob& layer) {
    const bool link = options_.links == OciLinks::kHard;
    switch (writer_.put(*shipment_.folder, layer.file, file, layer, link)) {
      case Way::kLinked:
        report_.linked_bytes += layer.size;
        break;
      case Way::kCopied:
        report_.copied_bytes += layer.size;
        break;
      case Way::kThere:
        if (writer_.digest_of(file.id())) report_.linked_bytes += layer.size;
    }
  }

  // The manifest goes last, as it is written last. The bundle's own text is a copy, not a link: its
  // name leads to another file by the next command.
  Blob put_manifest() {
    const std::string_view text = shipment_.manifest_text();
    Blob blob = put_text(text, oci::kWeightConfigType);
    blob.file = kManifestName;
    return blob;
  }

  Blob put_text(std::string_view text, const char* type) {
    const Blob blob{type, sha256_of(std::as_bytes(std::span(text))), text.size()};
    if (writer_.put(text, blob) == Way::kCopied) report_.copied_bytes += blob.size;
    return blob;
  }

  const ExportOciOptions& options_;
  unsigned threads_;
  Shipment shipment_;
  StoredFiles stored_;
  LayoutWriter writer_;
  std::set<std::string> known_;
  ExportOciReport report_;
};

}  // namespace

ExportOciReport export_oci(const fs::path& bundle, const fs::path& layout, const std::string& tag,
                           const ExportOciOptions& options) try {
  check_outside_bundle(layout, bundle);
  return Exporter(bundle, layout, options).run(tag);
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare
