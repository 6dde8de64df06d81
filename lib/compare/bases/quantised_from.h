#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "compare/bases/members.h"
#include "format/quantisation.h"
#include "model/scan.h"

namespace wshare {

// Numbers of a quantised tensor: scales or zero points, which may have no place in a blob.
struct StoredNumbers {
  std::optional<size_t> tensor;  // of the member, where they are one that lies in a blob
  int32_t dtype = 0;
  std::vector<std::byte> bytes;  // else
};

// A tensor of a member that is computed from one of another: by quantisation, else cast or
// transposed.
struct WeightSource {
  Partner pair;  // in the base
  uint64_t elements = 0, wrong = 0;
  std::optional<Quantisation> how;  // none: cast or transposed
  StoredNumbers scale;
  std::optional<StoredNumbers> zero;
};

// Reads a member as a model.
using ScanMember = std::function<ScannedModel(const Member&)>;

// Returns, by number, the tensors of `member` that are weights of `base` in another form, whatever
// their names, but for those whose bytes the base has.
//
// All of these weights are read. Throws what scan_model() throws.
std::map<size_t, WeightSource> find_sources(const Member& member, const Member& base,
                                            const ScanMember& scan, unsigned threads);

// Returns about how many bytes the residual of `source` has.
double estimate_residual(const WeightSource& source);

}  // namespace wshare
