#include "wshare/restore.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "format/manifest.h"
#include "format/restore_record.h"
#include "restore/blob_reader.h"
#include "restore/made_folders.h"
#include "restore/original.h"
#include "util/as_text.h"
#include "util/mapped_file.h"
#include "util/parallel.h"
#include "util/paths.h"
#include "util/target_file.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using Bytes = std::span<const std::byte>;

// An external file being put together, perhaps from several models.
struct External {
  TargetFile target;
  uint64_t size;
  std::vector<std::pair<uint64_t, uint64_t>> covered;  // [begin, end)

  bool complete() {
    std::sort(covered.begin(), covered.end());
    uint64_t at = 0;
    for (const auto& [begin, end] : covered) {
      if (begin > at) return false;
      at = std::max(at, end);
    }
    return at >= size;
  }
};

class Restorer {
 public:
  Restorer(const fs::path& bundle, const fs::path& output, const RestoreOptions& options)
      : bundle_(bundle),
        output_(output),
        options_(options),
        manifest_(load_manifest(bundle)),
        blobs_(bundle, manifest_, thread_count(options.threads)) {
    if (is_inside(output, bundle)) {
      throw Error(ErrorCode::kIo,
                  in_quotes(output.string()) + ": is the bundle itself or lies in it",
                  "give another folder");
    }
  }

  std::vector<RestoredModel> run(const std::vector<std::string>& names) {
    const std::vector<Original> originals = originals_of(manifest_);
    std::vector<const Original*> models;
    for (const std::string& name : names)
      models.push_back(&find_original(manifest_, originals, name));
    if (names.empty()) {
      for (const Original& original : originals) models.push_back(&original);
    }
    std::vector<RestoredModel> result;
    std::vector<std::vector<fs::path>> external_of;
    std::vector<TargetFile> files;
    for (const Original* model : models) {
      for (const OriginalTensor& tensor : model->tensors) to_write_ += size_of(tensor);
    }
    for (const Original* model : models) {
      const fs::path folder = output_ / model->source->folder;
      const fs::path path = folder / model->source->file;
      result.push_back({model->name, path, false, !model->exact});
      const RestoreRecord record = read_record(*model);
      external_of.emplace_back();
      if (options_.dry_run) continue;
      files.push_back(write_model(*model, record, path));
      for (const ExternalRecord& external : record.external) {
        external_of.back().push_back(write_external(*model, external, folder));
      }
    }
    const Unstoppable publishing;  // all or none
    for (TargetFile& file : files) file.publish();
    std::map<fs::path, bool> complete;
    for (auto& [path, external] : externals_) {
      complete[path] = external.complete();
      external.target.publish();
    }
    folders_.keep();
    for (size_t i = 0; i < result.size(); ++i) {
      result[i].identical =
          models[i]->exact && std::all_of(external_of[i].begin(), external_of[i].end(),
                                          [&](const fs::path& path) { return complete[path]; });
    }
    return result;
  }

 private:
  RestoreRecord read_record(const Original& original) {
    const SourceRecord& source = *original.source;
    const ModelRecord& model = *original.model;
    const Bytes bytes = blobs_.bytes(source.record, source.record_hash,
                                     "the record of " + in_quotes(original.name));
    const MappedFile file = open_sized(bundle_, model.file, model.size);
    if (content_hash(file.bytes(), thread_count(options_.threads)) != model.hash) {
      throw Error(ErrorCode::kInvalid,
                  in_quotes(model.file) + ": is damaged: its bytes do not have the manifest's hash",
                  "'wshare verify' lists all damage");
    }
    RestoreRecord record = unpack(original, as_text(bytes), as_text(file.bytes()));
    if (content_hash(std::as_bytes(std::span(record.literal))) != source.graph_hash) {
      throw Error(ErrorCode::kInvalid,
                  in_quotes(original.name) + ": its restore record does not fit the manifest");
    }
    return record;
  }

  static RestoreRecord unpack(const Original& model, std::string_view bytes,
                              std::string_view file) {
    try {
      return unpack_record(bytes, file, model.source->size);
    } catch (const Error& error) {
      throw Error(error.code(), in_quotes(model.name) + ": " + error.what(), error.hint());
    }
  }

  const OriginalTensor& tensor(const Original& model, uint64_t index) const {
    if (index >= model.tensors.size()) {
      throw Error(ErrorCode::kInvalid, in_quotes(model.name) +
                                           ": its restore record names tensor " +
                                           std::to_string(index) + ", there are " +
                                           std::to_string(model.tensors.size()));
    }
    return model.tensors[static_cast<size_t>(index)];
  }

  void report(Bytes written) {
    if (options_.progress) options_.progress("restoring", written_ += written.size(), to_write_);
  }

  void claim(const fs::path& path) {
    if (!claimed_.insert(path.lexically_normal()).second) {
      throw Error(ErrorCode::kInvalid, in_quotes(path.string()) + ": two originals have this place",
                  "restore them one after the other, by name, to folders of their own");
    }
  }

  [[noreturn]] static void refuse_size(const Original& model, const std::string& given) {
    throw Error(ErrorCode::kInvalid, in_quotes(model.name) + ": gives " + given +
                                         " bytes back, the original had " +
                                         std::to_string(model.source->size));
  }

  // Nothing is written beyond the end of the original, however often a record names a tensor.
  static void check_size(const Original& model, uint64_t at, uint64_t size) {
    if (at > model.source->size || size > model.source->size - at)
      refuse_size(model, "over " + std::to_string(model.source->size));
  }

  TargetFile write_model(const Original& model, const RestoreRecord& record, const fs::path& path) {
    claim(path);
    folders_.make(path.parent_path());
    TargetFile target(path, model.source->size, options_.force);
    Bytes literal = std::as_bytes(std::span(record.literal));
    for (const LiteralRun& run : record.runs) {
      if (run.literal_size > literal.size()) {
        throw Error(ErrorCode::kInvalid, in_quotes(model.name) + ": its restore record ends early");
      }
      target.file().write(literal.first(static_cast<size_t>(run.literal_size)));
      literal = literal.subspan(static_cast<size_t>(run.literal_size));
      const OriginalTensor& payload = tensor(model, run.tensor);
      const uint64_t at = target.file().offset();
      check_size(model, at, size_of(payload));
      blobs_.write_tensor(model.name, payload, [&](Bytes bytes) {
        target.file().write(bytes);
        report(bytes);
      });
    }
    target.file().write(literal);
    const uint64_t written = target.file().offset();
    if (written != model.source->size) refuse_size(model, std::to_string(written));
    return target;
  }

  fs::path write_external(const Original& model, const ExternalRecord& record,
                          const fs::path& folder) {
    const fs::path path = join_inside(folder, record.location).lexically_normal();
    auto at = externals_.find(path);
    if (at == externals_.end()) {
      if (record.size > INT64_MAX) {
        throw Error(ErrorCode::kInvalid, in_quotes(model.name) + ": its external file " +
                                             in_quotes(record.location) + " has " +
                                             std::to_string(record.size) + " bytes, over 2^63");
      }
      claim(path);
      folders_.make(path.parent_path());
      at = externals_.emplace(path, External{TargetFile(path, 0, options_.force), record.size, {}})
               .first;
      if (record.size > 0)
        at->second.target.file().write_at(record.size - 1, std::as_bytes(std::span("", 1)));
    }
    External& external = at->second;
    for (const ExternalPiece& piece : record.pieces) {
      const uint64_t size = write_piece(model, piece, external);
      external.covered.emplace_back(piece.offset, piece.offset + size);
    }
    return path;
  }

  // Writes `piece` to its place and returns its size.
  uint64_t write_piece(const Original& model, const ExternalPiece& piece, External& external) {
    OutputFile& file = external.target.file();
    if (piece.kind == ExternalPiece::Kind::kZeros) {
      require_inside(model, external, piece.offset, piece.value);
      return piece.value;
    }
    if (piece.kind == ExternalPiece::Kind::kGap) {
      const Bytes bytes = blobs_.gap(model.name, piece.value);
      require_inside(model, external, piece.offset, bytes.size());
      file.write_at(piece.offset, bytes);
      return bytes.size();
    }
    const OriginalTensor& record = tensor(model, piece.value);
    const uint64_t size = size_of(record);
    require_inside(model, external, piece.offset, size);
    uint64_t offset = piece.offset;
    blobs_.write_tensor(model.name, record, [&](Bytes bytes) {
      file.write_at(offset, bytes);
      offset += bytes.size();
      report(bytes);
    });
    return size;
  }

  static void require_inside(const Original& model, const External& external, uint64_t offset,
                             uint64_t size) {
    if (offset > external.size || size > external.size - offset) {
      throw Error(ErrorCode::kInvalid, in_quotes(model.name) + ": its restore record puts " +
                                           std::to_string(size) + " bytes at " +
                                           std::to_string(offset) + " of an external file of " +
                                           std::to_string(external.size));
    }
  }

  fs::path bundle_;
  fs::path output_;
  RestoreOptions options_;
  Manifest manifest_;
  BlobReader blobs_;
  uint64_t written_ = 0, to_write_ = 0;  // of tensors
  std::set<fs::path> claimed_;
  MadeFolders folders_;  // before the files in them, so that it is destroyed after these
  std::map<fs::path, External> externals_;
};

}  // namespace

std::vector<RestoredModel> restore(const fs::path& bundle, const std::vector<std::string>& names,
                                   const fs::path& output, const RestoreOptions& options) {
  try {
    return Restorer(bundle, output, options).run(names);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalid || !error.hint().empty()) throw;
    throw Error(error.code(), error.what(), "'wshare verify' lists all damage");
  }
}

}  // namespace wshare
