#include "wshare/restore.h"

#include <algorithm>
#include <map>
#include <optional>

#include "format/archived_graph.h"
#include "format/blob_reader.h"
#include "format/bundle_files.h"
#include "format/is_bundle.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "format/restore_record.h"
#include "restore/file_plan.h"
#include "restore/file_set.h"
#include "restore/original.h"
#include "util/as_text.h"
#include "util/mapped_file.h"
#include "util/parallel.h"
#include "util/paths.h"
#include "util/system_errors.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using Bytes = std::span<const std::byte>;

// A file being put together, perhaps from several models.
struct External {
  uint64_t size = 0;
  bool begun = false;
  std::vector<std::pair<uint64_t, uint64_t>> covered = {};  // [begin, end)

  void cover(uint64_t begin, uint64_t end) {
    if (!covered.empty() && covered.back().second == begin) {
      covered.back().second = end;
    } else {
      covered.emplace_back(begin, end);
    }
  }

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

// The files of one original, by their numbers in the plan.
struct Files {
  size_t model = 0;
  std::vector<size_t> external = {};  // as in its record
};

class Restorer {
 public:
  Restorer(const fs::path& bundle, const fs::path& output, const RestoreOptions& options)
      : folder_(open_bundle_folder(bundle)),
        output_(output),
        options_(options),
        manifest_(load_manifest(folder_)),
        stored_(folder_, manifest_),
        blobs_(stored_, manifest_, thread_count(options.threads)),
        plan_(output) {
    check_outside_bundle(output, bundle);
  }

  std::vector<RestoredModel> run(const std::vector<std::string>& names) {
    const std::vector<Original> originals = originals_of(manifest_);
    if (originals.empty()) require_whole(manifest_, names.empty() ? "" : names[0]);
    std::vector<const Original*> models;
    for (const std::string& name : names)
      models.push_back(&find_original(manifest_, originals, name));
    if (names.empty()) {
      for (const Original& original : originals) models.push_back(&original);
    }
    plan(models);
    std::vector<RestoredModel> result;
    for (size_t i = 0; i < models.size(); ++i)
      result.push_back({models[i]->name, plan_.shown(files_[i].model), false, !models[i]->exact});
    if (options_.dry_run) return result;
    plan_.check_room();
    write(models);
    for (size_t i = 0; i < result.size(); ++i) {
      const std::vector<size_t>& external = files_[i].external;
      result[i].identical =
          models[i]->exact && std::all_of(external.begin(), external.end(), [&](size_t number) {
            return externals_[number].complete();
          });
    }
    return result;
  }

 private:
  // Reads all records, so that a damaged one or a name that cannot be shows before anything is
  // written.
  void plan(const std::vector<const Original*>& models) {
    for (const Original* model : models) {
      for (const OriginalTensor& tensor : model->tensors) to_write_ += size_of(tensor);
      const SourceRecord& source = *model->source;
      const fs::path folder = source.folder;
      Files& files = files_.emplace_back(Files{plan_.add_model(folder / source.file, source.size)});
      for (const ExternalRecord& external : read_record(*model).external) {
        if (external.size > INT64_MAX) {
          throw Error(ErrorCode::kInvalid, in_quotes(model->name) + ": its external file " +
                                               in_quotes(external.location) + " has " +
                                               std::to_string(external.size) + " bytes, over 2^63");
        }
        files.external.push_back(
            plan_.add_external(join_inside(folder, external.location), external.size));
        externals_.try_emplace(files.external.back(), External{external.size});
      }
    }
    std::error_code error;
    plan_.check(!fs::exists(output_, error) || fs::is_empty(output_, error));
  }

  void write(const std::vector<const Original*>& models) {
    FileSet files(output_, options_.replace);
    for (const fs::path& path : plan_.paths()) files.check_free(path);
    for (size_t i = 0; i < models.size(); ++i) {
      const RestoreRecord record = read_record(*models[i]);
      write_model(*models[i], record, files, files_[i].model);
      for (size_t e = 0; e < files_[i].external.size(); ++e)
        write_external(*models[i], record.external.at(e), files, files_[i].external[e]);
    }
    files.publish(plan_.paths());
  }

  RestoreRecord read_record(const Original& original) {
    const SourceRecord& source = *original.source;
    const Bytes bytes = blobs_.bytes(source.record, source.record_hash,
                                     "the record of " + in_quotes(original.name));
    RestoreRecord record = unpack(original, as_text(bytes));
    if (content_hash(std::as_bytes(std::span(record.literal))) != source.graph_hash) {
      throw Error(ErrorCode::kInvalid,
                  in_quotes(original.name) + ": its restore record does not fit the manifest");
    }
    return record;
  }

  RestoreRecord unpack(const Original& model, std::string_view bytes) const {
    try {
      if (model.archived != nullptr)
        return unpack_record(bytes, unpack_graph(*model.archived, stored_), model.source->size);
      const MappedFile file = stored_.model(*model.model, thread_count(options_.threads));
      return unpack_record(bytes, as_text(file.bytes()), model.source->size);
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

  void write_model(const Original& model, const RestoreRecord& record, FileSet& files,
                   size_t number) {
    OutputFile file = files.create(number, model.source->size, plan_.shown(number));
    Bytes literal = std::as_bytes(std::span(record.literal));
    for (const LiteralRun& run : record.runs) {
      if (run.literal_size > literal.size()) {
        throw Error(ErrorCode::kInvalid, in_quotes(model.name) + ": its restore record ends early");
      }
      file.write(literal.first(static_cast<size_t>(run.literal_size)));
      literal = literal.subspan(static_cast<size_t>(run.literal_size));
      const OriginalTensor& payload = tensor(model, run.tensor);
      const uint64_t at = file.offset();
      check_size(model, at, size_of(payload));
      blobs_.write_tensor(model.name, payload, [&](Bytes bytes) {
        file.write(bytes);
        report(bytes);
      });
    }
    file.write(literal);
    const uint64_t written = file.offset();
    if (written != model.source->size) refuse_size(model, std::to_string(written));
    files.close(std::move(file));
  }

  void write_external(const Original& model, const ExternalRecord& record, FileSet& files,
                      size_t number) {
    External& external = externals_[number];
    OutputFile file = external.begun ? files.open_again(number, plan_.shown(number))
                                     : files.create(number, 0, plan_.shown(number));
    if (!external.begun && external.size > 0)
      file.write_at(external.size - 1, std::as_bytes(std::span("", 1)));
    external.begun = true;
    uint64_t written = 0;
    for (const ExternalPiece& piece : record.pieces) {
      const uint64_t size = write_piece(model, piece, external, file);
      external.cover(piece.offset, piece.offset + size);
      check_overlap(model, record, written += size);
    }
    files.close(std::move(file));
  }

  // Writes `piece` to its place and returns its size.
  uint64_t write_piece(const Original& model, const ExternalPiece& piece, const External& external,
                       OutputFile& file) {
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

  // Tensors may lie on each other, but hardly hundreds of layers of them.
  static void check_overlap(const Original& model, const ExternalRecord& record, uint64_t written) {
    constexpr uint64_t kMostLayers = 256;
    if (written / kMostLayers <= record.size) return;
    throw Error(ErrorCode::kInvalid,
                in_quotes(model.name) + ": its restore record writes " + std::to_string(written) +
                    " bytes to an external file of " + std::to_string(record.size));
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

  std::shared_ptr<const Folder> folder_;
  fs::path output_;
  RestoreOptions options_;
  Manifest manifest_;
  StoredFiles stored_;
  BlobReader blobs_;
  uint64_t written_ = 0, to_write_ = 0;  // of tensors
  FilePlan plan_;
  std::vector<Files> files_;              // of the originals that are restored
  std::map<size_t, External> externals_;  // by number in the plan
};

}  // namespace

std::vector<RestoredModel> restore(const fs::path& bundle, const std::vector<std::string>& names,
                                   const fs::path& output, const RestoreOptions& options) try {
  try {
    return Restorer(bundle, output, options).run(names);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalid || !error.hint().empty()) throw;
    throw Error(error.code(), error.what(), "'wshare verify' lists all damage");
  }
} catch (const std::system_error& error) {
  throw_as_error(error);
}

}  // namespace wshare
