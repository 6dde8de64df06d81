#include "dedupe/originals.h"

#include <algorithm>

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
  const MappedFile* file;
  std::vector<Interval> covered;       // by tensors of all models
  std::vector<ExternalPiece> between;  // zeros and gaps
};

bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

void find_between(SourceFile& source, std::vector<Gap>& gaps) {
  std::sort(source.covered.begin(), source.covered.end(),
            [](const Interval& a, const Interval& b) { return a.begin < b.begin; });
  const Bytes bytes = source.file->bytes();
  uint64_t at = 0;
  const auto keep_until = [&](uint64_t end) {
    if (end <= at) return;
    const Bytes rest = bytes.subspan(static_cast<size_t>(at), static_cast<size_t>(end - at));
    if (all_zero(rest)) {
      source.between.push_back({ExternalPiece::Kind::kZeros, at, rest.size()});
    } else {
      source.between.push_back({ExternalPiece::Kind::kGap, at, gaps.size()});
      gaps.push_back({rest});
    }
  };
  for (const Interval& interval : source.covered) {
    keep_until(interval.begin);
    at = std::max(at, interval.end);
  }
  keep_until(bytes.size());
}

size_t index_of(std::vector<SourceFile>& files, const MappedFile& file) {
  const auto known = std::find_if(files.begin(), files.end(), [&](const SourceFile& source) {
    return source.file->same_file(file);
  });
  if (known != files.end()) return static_cast<size_t>(known - files.begin());
  files.push_back({&file, {}, {}});
  return files.size() - 1;
}

void read_literal(const ScannedModel& model,
                  const std::vector<std::optional<uint32_t>>& record_index, RestoreRecord& record) {
  struct Cut {
    const std::byte* begin;
    size_t size;
    uint32_t tensor;
  };
  std::vector<Cut> cuts;
  for (size_t t = 0; t < model.tensors.size(); ++t) {
    const TensorRef& tensor = model.tensors[t];
    if (!record_index[t] || tensor.external_file >= 0 || !tensor.is_span) continue;
    cuts.push_back({tensor.bytes.data(), tensor.bytes.size(), *record_index[t]});
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

Originals describe_originals(
    const std::vector<ScannedModel>& models,
    const std::vector<std::vector<std::optional<uint32_t>>>& record_index) {
  Originals result;
  std::vector<SourceFile> files;
  std::vector<std::vector<size_t>> files_of(
      models.size());  // index in `files` of each external file
  for (size_t m = 0; m < models.size(); ++m) {
    std::vector<size_t>& file_of = files_of[m];
    for (const ExternalFile& external : models[m].external)
      file_of.push_back(index_of(files, external.file));
    for (size_t t = 0; t < models[m].tensors.size(); ++t) {
      const TensorRef& tensor = models[m].tensors[t];
      if (tensor.external_file < 0 || !record_index[m][t]) continue;
      files[file_of[static_cast<size_t>(tensor.external_file)]].covered.push_back(
          {tensor.external_offset, tensor.external_offset + tensor.bytes.size()});
    }
  }
  for (SourceFile& source : files) find_between(source, result.gaps);
  for (size_t m = 0; m < models.size(); ++m) {
    RestoreRecord& record = result.records.emplace_back();
    read_literal(models[m], record_index[m], record);
    result.graph_hashes.push_back(content_hash(std::as_bytes(std::span(record.literal))));
    for (size_t f = 0; f < models[m].external.size(); ++f) {
      const ExternalFile& external = models[m].external[f];
      ExternalRecord& entry = record.external.emplace_back();
      entry.location = external.location;
      entry.size = external.file.bytes().size();
      entry.pieces = files[files_of[m][f]].between;
      for (size_t t = 0; t < models[m].tensors.size(); ++t) {
        const TensorRef& tensor = models[m].tensors[t];
        if (tensor.external_file != static_cast<int>(f) || !record_index[m][t]) continue;
        entry.pieces.push_back(
            {ExternalPiece::Kind::kTensor, tensor.external_offset, *record_index[m][t]});
      }
    }
  }
  return result;
}

}  // namespace wshare
