#include "pack/figures.h"

namespace wshare {

PackFigures::PackFigures(const Manifest& manifest) {
  for (const ModelRecord& model : manifest.models) {
    for (const TensorRecord& tensor : model.tensors)
      given_.insert({tensor.extent.blob, tensor.extent.offset});
  }
}

void PackFigures::add(const std::vector<PackedTensor>& tensors, PackedModel& row) {
  Ranges& ranges = ranges_[row.model];
  std::vector<BufferRecord> weights;
  for (const PackedTensor& tensor : tensors) {
    for (size_t i = 0; i < tensor.contents.size(); ++i) {
      const auto& [bytes, hash, extent] = tensor.contents[i];
      (i == 0 ? weights : ranges.packed).push_back({extent, hash});
      // What no kernel packs is used as it is; what optimisers made is in no plain session's file.
      const bool is_folded =
          tensor.contents.size() == 1 && !given_.contains({extent.blob, extent.offset});
      if (is_folded) ranges.folded.push_back({extent, hash});
    }
  }
  row.raw_bytes = distinct_bytes(weights);
  row.packed_bytes = distinct_bytes(ranges.packed);
  row.folded_bytes = distinct_bytes(ranges.folded);
}

void PackFigures::finish(PackReport& report) {
  Ranges all;
  for (const PackedModel& model : report.models) {
    if (model.file.empty()) continue;
    const Ranges& ranges = ranges_[model.model];
    all.packed.insert(all.packed.end(), ranges.packed.begin(), ranges.packed.end());
    all.folded.insert(all.folded.end(), ranges.folded.begin(), ranges.folded.end());
  }
  report.distinct_packed_bytes = distinct_bytes(all.packed);
  report.distinct_folded_bytes = distinct_bytes(all.folded);
}

}  // namespace wshare
