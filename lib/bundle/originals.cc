#include "bundle/originals.h"

#include <algorithm>
#include <utility>

// An external file may serve several models, and may hold more than their tensors: a header,
// padding, weights of models that are not at hand. Nothing may be lost, so what lies between
// tensors in blobs is kept too: as a count when it is zero, else as a gap, once per file.

namespace wshare {
namespace {

using Bytes = std::span<const std::byte>;

struct Interval {
  uint64_t begin;
  uint64_t end;
};

struct SourceFile {
  Bytes bytes;
  std::vector<Interval> covered;  // by tensors of all models
};

bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

// Returns the pieces of `source` between its tensors; appends to `gaps` those that are not zero.
std::vector<ExternalPiece> find_pieces(SourceFile source, std::vector<Bytes>& gaps,
                                       size_t first_gap) {
  std::sort(source.covered.begin(), source.covered.end(),
            [](const Interval& a, const Interval& b) { return a.begin < b.begin; });
  std::vector<ExternalPiece> pieces;
  uint64_t at = 0;
  const auto keep_until = [&](uint64_t end) {
    if (end <= at) return;
    const Bytes rest = source.bytes.subspan(static_cast<size_t>(at), static_cast<size_t>(end - at));
    if (all_zero(rest)) {
      pieces.push_back({ExternalPiece::Kind::kZeros, at, rest.size()});
    } else {
      pieces.push_back({ExternalPiece::Kind::kGap, at, first_gap + gaps.size()});
      gaps.push_back(rest);
    }
  };
  for (const Interval& interval : source.covered) {
    keep_until(interval.begin);
    at = std::max(at, interval.end);
  }
  keep_until(source.bytes.size());
  return pieces;
}

// Splits the model file into literal bytes and payloads that lie in blobs.
void read_literal(const ScannedModel& model, const Places& places, RestoreRecord& record) {
  struct Cut {
    const std::byte* begin;
    size_t size;
    uint32_t tensor;
  };
  std::vector<Cut> cuts;
  uint32_t number = 0;
  for (size_t t = 0; t < model.tensors.size(); ++t) {
    if (!places[t]) continue;
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

ExternalRest find_external_rest(const std::vector<OriginalPlaces>& originals, size_t first_gap) {
  ExternalRest result;
  std::vector<FileId> order;  // of first use, so that gaps are always numbered alike
  std::map<FileId, SourceFile> sources;
  for (const auto& [model, places] : originals) {
    for (const ExternalFile& external : model->external) {
      const auto [at, is_new] =
          sources.try_emplace(external.file.id(), SourceFile{external.file.bytes(), {}});
      if (is_new) order.push_back(at->first);
    }
    for (size_t t = 0; t < model->tensors.size(); ++t) {
      const TensorRef& tensor = model->tensors[t];
      if (tensor.external_file < 0 || !places[t]) continue;
      const auto file = static_cast<size_t>(tensor.external_file);
      sources.at(model->external[file].file.id())
          .covered.push_back(
              {tensor.external_offset, tensor.external_offset + tensor.bytes.size()});
    }
  }
  for (const FileId& id : order) {
    result.pieces[id] = find_pieces(std::move(sources.at(id)), result.gaps, first_gap);
  }
  return result;
}

RestoreRecord describe_original(const ScannedModel& model, const Places& places,
                                const ExternalRest& rest) {
  RestoreRecord record;
  read_literal(model, places, record);
  for (const ExternalFile& external : model.external) {
    record.external.push_back(
        {external.location, external.file.bytes().size(), rest.pieces.at(external.file.id())});
  }
  uint32_t number = 0;
  for (size_t t = 0; t < model.tensors.size(); ++t) {
    if (!places[t]) continue;
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
