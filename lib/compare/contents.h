#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "bundle/distinct.h"
#include "model/scan.h"

namespace wshare {

// The contents of a model's tensors, numbered: equal numbers, equal bytes. Also of tensors that
// have no plain bytes: strings, segments, types of a newer ONNX. Borrows the model.
class NumberedContents {
 public:
  NumberedContents(const ScannedModel& model, unsigned threads, const ReadProgress& progress);

  // [tensor] of the model.
  const std::vector<int64_t>& numbers() const { return numbers_; }

  // Numbers the contents of `other`, [tensor]: what the model has, too, gets its number. Of the
  // model are read only tensors of a size and a first kilobyte that one of `other` has.
  std::vector<int64_t> numbers_of(const ScannedModel& other, unsigned threads,
                                  const ReadProgress& progress) const;

 private:
  void number_crowded(const std::vector<int64_t>& candidates, const std::vector<size_t>& which,
                      const std::vector<Bytes>& tensors, unsigned threads,
                      const ReadProgress& progress, std::vector<int64_t>& numbers) const;

  std::vector<std::string> opaque_;
  std::vector<Bytes> contents_;                                    // [number]
  std::unordered_map<uint64_t, std::vector<int64_t>> candidates_;  // by size and first bytes
  std::vector<int64_t> numbers_;
};

}  // namespace wshare
