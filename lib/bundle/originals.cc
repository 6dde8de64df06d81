#include "bundle/originals.h"

#include <algorithm>
#include <utility>

#include "util/text.h"
#include "wshare/error.h"

// An external file may serve several models, and may hold more than their tensors: a header,
// padding, weights of models that are not at hand. Nothing may be lost, so what lies between
// tensors in blobs is kept too: as a count when it is zero, else as a gap, once per file.
//
// Restore puts a file together from the models that name it at one place. A file with two names
// (links, a cache of downloads) comes back under both, so what is left over is asked for each name;
// where another name's models have the bytes in a blob, the gap lies there. Copies have equal gaps,
// which are stored once.

namespace fs = std::filesystem;

namespace wshare {
namespace {

using Bytes = std::span<const std::byte>;

struct Interval {
  uint64_t begin;
  uint64_t end;
};

// A file on disk, whatever its names.
struct SourceFile {
  Bytes bytes;
  std::map<uint64_t, Extent> stored;                         // offset -> longest tensor in a blob
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> gap_at;  // [begin, end) -> its number
};

// One name of it.
struct NamedFile {
  SourceFile* source;
  std::vector<Interval> covered;  // by tensors of models that use this name
};

bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

// Finds what lies between the tensors of files.
class RestFinder {
 public:
  RestFinder(size_t first_gap, unsigned threads) : first_gap_(first_gap), threads_(threads) {}

  // Returns the pieces of `file` between its tensors.
  std::vector<ExternalPiece> find_pieces(NamedFile file) {
    std::sort(file.covered.begin(), file.covered.end(),
              [](const Interval& a, const Interval& b) { return a.begin < b.begin; });
    std::vector<ExternalPiece> pieces;
    uint64_t at = 0;
    for (const Interval& interval : file.covered) {
      keep(*file.source, at, interval.begin, pieces);
      at = std::max(at, interval.end);
    }
    keep(*file.source, at, file.source->bytes.size(), pieces);
    return pieces;
  }

  std::vector<ExternalGap> take_gaps() { return std::move(gaps_); }

 private:
  // Keeps [at, end) of `source`: what blobs have, and what is left between that.
  void keep(SourceFile& source, uint64_t at, uint64_t end, std::vector<ExternalPiece>& pieces) {
    if (end <= at) return;
    for (auto next = source.stored.lower_bound(at);
         next != source.stored.end() && next->first < end; ++next) {
      const auto& [offset, extent] = *next;
      if (offset < at || extent.size > end - offset) continue;
      keep_bytes(source, at, offset, std::nullopt, pieces);
      keep_bytes(source, offset, offset + extent.size, extent, pieces);
      at = offset + extent.size;
    }
    keep_bytes(source, at, end, std::nullopt, pieces);
  }

  void keep_bytes(SourceFile& source, uint64_t at, uint64_t end,
                  const std::optional<Extent>& stored, std::vector<ExternalPiece>& pieces) {
    if (end <= at) return;
    const Bytes bytes =
        source.bytes.subspan(static_cast<size_t>(at), static_cast<size_t>(end - at));
    if (all_zero(bytes)) {
      pieces.push_back({ExternalPiece::Kind::kZeros, at, bytes.size()});
      return;
    }
    const auto [gap, is_new] = source.gap_at.try_emplace({at, end}, 0);
    if (is_new) gap->second = number_of(bytes, stored);
    pieces.push_back({ExternalPiece::Kind::kGap, at, gap->second});
  }

  uint64_t number_of(Bytes bytes, const std::optional<Extent>& stored) {
    const ContentHash hash = content_hash(bytes, threads_);
    const auto [number, is_new] =
        number_of_.try_emplace({hash, bytes.size()}, first_gap_ + gaps_.size());
    if (is_new) gaps_.push_back({bytes, hash, stored});
    return number->second;
  }

  size_t first_gap_;
  unsigned threads_;
  std::map<std::pair<ContentHash, size_t>, uint64_t> number_of_;
  std::vector<ExternalGap> gaps_;
};

// Models that are links lie in one folder, their external files may not.
void require_equal(const SourceFile& a, const SourceFile& b, const ExternalFile& external) {
  if (std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin(), b.bytes.end())) return;
  throw Error(ErrorCode::kUnsupported,
              in_quotes(external.file.path().string()) + ": another file is " +
                  in_quotes(external.location) + " of a model in the same folder",
              "bundle one of the models, then append the other");
}

fs::path restored_path(const StoredOriginal& original, const ExternalFile& external) {
  return (fs::path(original.folder) / external.place).lexically_normal();
}

// Splits the model file into literal bytes and payloads that lie in blobs.
void read_literal(const ScannedModel& model, const TensorExtents& extents, RestoreRecord& record) {
  struct Cut {
    const std::byte* begin;
    size_t size;
    uint32_t tensor;
  };
  std::vector<Cut> cuts;
  uint32_t number = 0;
  for (size_t t = 0; t < model.tensors.size(); ++t) {
    if (!extents[t]) continue;
    const TensorRef& tensor = model.tensors[t];
    if (tensor.external_file < 0 && tensor.is_span) {
      cuts.push_back({tensor.bytes.data(), tensor.bytes.size(), number});
    }
    ++number;
  }
  std::sort(cuts.begin(), cuts.end(), [](const Cut& a, const Cut& b) { return a.begin < b.begin; });
  const Bytes file = model.file.file().bytes();
  const auto* text = reinterpret_cast<const char*>(file.data());
  size_t at = 0;
  for (const Cut& cut : cuts) {
    const auto begin = static_cast<size_t>(cut.begin - file.data());
    record.runs.push_back({begin - at, cut.tensor});
    record.literal.append(text + at, begin - at);
    at = begin + cut.size;
  }
  record.literal.append(text + at, file.size() - at);
}

}  // namespace

ExternalRest find_external_rest(const std::vector<StoredOriginal>& originals, size_t first_gap,
                                unsigned threads) {
  std::vector<fs::path> order;  // of first use, so that gaps are always numbered alike
  std::map<fs::path, NamedFile> files;
  std::map<FileId, SourceFile> sources;
  for (const StoredOriginal& original : originals) {
    size_t side_file = 0;
    std::vector<NamedFile*> named;  // parallel to the model's external files
    for (const ExternalFile& external : original.model->external) {
      SourceFile& source =
          sources.try_emplace(external.file.id(), SourceFile{external.file.bytes(), {}, {}})
              .first->second;
      const auto [at, is_new] =
          files.try_emplace(restored_path(original, external), NamedFile{&source, {}});
      if (is_new) order.push_back(at->first);
      if (at->second.source != &source) require_equal(*at->second.source, source, external);
      named.push_back(&at->second);
      if (!external.named_by_node) continue;
      const Extent& whole = original.side_files.at(side_file++);
      if (whole.size > 0) source.stored[0] = whole;
    }
    for (size_t t = 0; t < original.model->tensors.size(); ++t) {
      const TensorRef& tensor = original.model->tensors[t];
      const std::optional<Extent>& place = original.extents[t];
      if (tensor.external_file < 0 || !place) continue;
      NamedFile& file = *named[static_cast<size_t>(tensor.external_file)];
      const uint64_t begin = tensor.external_offset;
      file.covered.push_back({begin, begin + tensor.bytes.size()});
      if (place->size == 0 || place->size != tensor.bytes.size()) continue;  // none: it is derived
      if (tensor.turned) continue;                                           // other bytes
      Extent& longest = file.source->stored[begin];
      if (place->size > longest.size) longest = *place;
    }
  }
  RestFinder finder(first_gap, threads);
  ExternalRest result;
  for (const fs::path& path : order) {
    result.pieces[path] = finder.find_pieces(std::move(files.at(path)));
  }
  result.gaps = finder.take_gaps();
  return result;
}

std::vector<uint64_t> gaps_of(const StoredOriginal& original, const ExternalRest& rest) {
  std::vector<uint64_t> gaps;
  for (const ExternalFile& external : original.model->external) {
    for (const ExternalPiece& piece : rest.pieces.at(restored_path(original, external))) {
      if (piece.kind == ExternalPiece::Kind::kGap) gaps.push_back(piece.value);
    }
  }
  return gaps;
}

RestoreRecord describe_original(const StoredOriginal& original, const ExternalRest& rest) {
  const ScannedModel& model = *original.model;
  const TensorExtents& extents = original.extents;
  RestoreRecord record;
  read_literal(model, extents, record);
  for (const ExternalFile& external : model.external) {
    record.external.push_back({external.place.string(), external.file.bytes().size(),
                               rest.pieces.at(restored_path(original, external))});
  }
  uint32_t number = 0;
  for (size_t t = 0; t < model.tensors.size(); ++t) {
    if (!extents[t]) continue;
    const TensorRef& tensor = model.tensors[t];
    if (tensor.external_file >= 0) {
      record.external[static_cast<size_t>(tensor.external_file)].pieces.push_back(
          {ExternalPiece::Kind::kTensor, tensor.external_offset, number});
    }
    ++number;
  }
  return record;
}

}  // namespace wshare
