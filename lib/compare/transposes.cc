#include "compare/transposes.h"

#include <algorithm>
#include <optional>

#include "compare/low_rank/matrix.h"
#include "format/dtype.h"

namespace wshare {
namespace {

constexpr size_t kFew = 8;

// True for a matrix of whole bytes.
bool is_plain_matrix(const TensorRef& tensor) {
  const std::optional<Dtype> dtype = find_dtype(tensor.dtype);
  return tensor.shape.size() == 2 && !tensor.bytes.empty() && dtype && dtype->bits >= 8 &&
         byte_size(*dtype, tensor.shape) == tensor.bytes.size();
}

// The elements of a matrix, or of its transpose.
class Elements {
 public:
  Elements(const TensorRef& matrix, bool turned)
      : bytes_(matrix.bytes),
        rows_(static_cast<size_t>(matrix.shape[turned ? 1 : 0])),
        cols_(static_cast<size_t>(matrix.shape[turned ? 0 : 1])),
        size_(matrix.bytes.size() / rows_ / cols_),
        to_next_row_(turned ? size_ : size_ * cols_),
        to_next_col_(turned ? size_ * rows_ : size_) {}

  ContentHash hash_of_some() const {
    ContentHasher hasher;
    for (size_t i = 0; i < 16; ++i) hasher.update(at(i * 7 % rows_, i * 11 % cols_));
    return hasher.digest();
  }

  ContentHash hash_of_all() const {
    ContentHasher hasher;
    std::vector<std::byte> row(cols_ * size_);
    for (size_t r = 0; r < rows_; ++r) {
      for (size_t c = 0; c < cols_; ++c) std::ranges::copy(at(r, c), &row[c * size_]);
      hasher.update(row);
    }
    return hasher.digest();
  }

 private:
  std::span<const std::byte> at(size_t row, size_t col) const {
    return bytes_.subspan(row * to_next_row_ + col * to_next_col_, size_);
  }

  std::span<const std::byte> bytes_;
  size_t rows_, cols_, size_, to_next_row_, to_next_col_;
};

}  // namespace

Transposes::Transposes(const AlignSide& a, const std::function<bool(int32_t)>& is_first) : a_(a) {
  for (size_t t = 0; t < a.model->tensors.size(); ++t) {
    const auto number = static_cast<int32_t>(t);
    const TensorRef& tensor = in_a(number);
    if (!is_plain_matrix(tensor) || !is_first(number)) continue;
    groups_[{tensor.dtype, tensor.shape[0], tensor.shape[1],
             Elements(tensor, false).hash_of_some()}]
        .tensors.push_back(number);
  }
}

int32_t Transposes::find(const TensorRef& b, int64_t content, uint64_t& steps) {
  if (!is_plain_matrix(b)) return kAbsent;
  const auto [at, is_new] = found_.try_emplace({content, b.dtype, b.shape}, kAbsent);
  if (is_new) at->second = look_for(b, steps);
  return at->second;
}

int32_t Transposes::look_for(const TensorRef& b, uint64_t& steps) {
  const auto group =
      groups_.find({b.dtype, b.shape[1], b.shape[0], Elements(b, true).hash_of_some()});
  if (group == groups_.end()) return kAbsent;
  for (const int32_t candidate : candidates(group->second, b)) {
    ++steps;
    if (equal_transposed(in_a(candidate), b)) return candidate;
  }
  return kAbsent;
}

std::vector<int32_t> Transposes::candidates(Group& group, const TensorRef& b) const {
  if (group.tensors.size() <= kFew) return group.tensors;
  if (group.by_hash.empty()) {
    for (const int32_t t : group.tensors)
      group.by_hash.emplace(Elements(in_a(t), false).hash_of_all(), t);
  }
  std::vector<int32_t> result;
  const auto [begin, end] = group.by_hash.equal_range(Elements(b, true).hash_of_all());
  for (auto at = begin; at != end; ++at) result.push_back(at->second);
  return result;
}

}  // namespace wshare
