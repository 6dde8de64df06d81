#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <tuple>
#include <vector>

#include "compare/align.h"
#include "util/content_hash.h"

namespace wshare {

// Finds among the matrices of a model the one that another matrix is the transpose of. Borrows.
//
// A few elements tell most matrices of one shape apart. Where they do not, all bytes are hashed in
// the order of the transpose. Bytes decide, and each content is looked for once.
class Transposes {
 public:
  // Of tensors with one content, type and shape only the first counts: is_first(t) knows it.
  Transposes(const AlignSide& a, const std::function<bool(int32_t)>& is_first);

  // Returns the first tensor that `b`, whose content has number `content`, is the transpose of, or
  // kAbsent. Adds to `steps` the matrices that it was compared with.
  int32_t find(const TensorRef& b, int64_t content, uint64_t& steps);

 private:
  using Key = std::tuple<int32_t, int64_t, int64_t, ContentHash>;  // type, shape, some elements
  struct Group {
    std::vector<int32_t> tensors;
    std::multimap<ContentHash, int32_t> by_hash;  // of all bytes, where there are many
  };

  const TensorRef& in_a(int32_t t) const { return a_.model->tensors[static_cast<size_t>(t)]; }
  int32_t look_for(const TensorRef& b, uint64_t& steps);
  std::vector<int32_t> candidates(Group& group, const TensorRef& b) const;

  const AlignSide& a_;
  std::map<Key, Group> groups_;
  std::map<std::tuple<int64_t, int32_t, std::vector<int64_t>>, int32_t> found_;  // by content of b
};

}  // namespace wshare
