#include "remove/repack.h"

#include <algorithm>
#include <map>

#include "util/as_text.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

size_t number_of(const Manifest& manifest, const std::string& name) {
  return static_cast<size_t>(&find_model(manifest, name) - manifest.models.data());
}

}  // namespace

std::vector<OriginalRecord> unpack_originals(
    Manifest& manifest, std::span<const ModelFile> models,
    const std::function<std::span<const std::byte>(const Extent&)>& bytes_of) {
  std::vector<OriginalRecord> originals;
  const auto add = [&](SourceRecord& source, const std::string& name, size_t model) {
    try {
      RestoreRecord record = unpack_record(as_text(bytes_of(source.record)),
                                           as_text(models[model].file().bytes()), source.size);
      if (content_hash(std::as_bytes(std::span(record.literal))) != source.graph_hash)
        throw Error(ErrorCode::kInvalid, "restore record: does not fit the manifest");
      originals.push_back({&source, model, std::move(record)});
    } catch (const Error& error) {
      throw Error(error.code(), in_quotes(name) + ": " + error.what(),
                  "'wshare verify' lists all damage");
    }
  };
  for (size_t m = 0; m < manifest.models.size(); ++m) {
    ModelRecord& model = manifest.models[m];
    if (model.source) add(*model.source, model.name, m);
  }
  for (TaskRecord& task : manifest.tasks) {
    if (!task.source) continue;
    add(*task.source, task.name, number_of(manifest, task.model.empty() ? task.base : task.model));
  }
  return originals;
}

std::vector<uint64_t> number_gaps(std::vector<OriginalRecord>& originals) {
  std::vector<uint64_t> old_numbers;
  std::map<uint64_t, uint64_t> new_number;
  for (OriginalRecord& original : originals) {
    for (ExternalRecord& external : original.record.external) {
      for (ExternalPiece& piece : external.pieces) {
        if (piece.kind != ExternalPiece::Kind::kGap) continue;
        const auto [at, is_new] = new_number.try_emplace(piece.value, old_numbers.size());
        if (is_new) old_numbers.push_back(piece.value);
        piece.value = at->second;
      }
    }
  }
  return old_numbers;
}

}  // namespace wshare
