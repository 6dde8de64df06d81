#include "compare/contents.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string_view>

#include "model/tensor_sites.h"
#include "util/content_hash.h"
#include "util/parallel.h"

namespace wshare {
namespace {

// Bytes to compare tensors by that have no plain ones: strings, segments, types of a newer ONNX.
std::vector<std::string> opaque_bytes(const ScannedModel& model) {
  std::vector<std::string> result(model.tensors.size());
  const auto is_opaque = [](const TensorRef& tensor) {
    return tensor.inline_reason == InlineReason::kString ||
           tensor.inline_reason == InlineReason::kSegment ||
           tensor.inline_reason == InlineReason::kUnknownDtype;
  };
  if (std::none_of(model.tensors.begin(), model.tensors.end(), is_opaque)) return result;
  Skeleton skeleton = model.file.skeleton();
  size_t t = 0;
  visit_tensors(skeleton.model(), [&](const TensorSite& site) {
    if (is_opaque(model.tensors[t])) {
      onnx::TensorProto whole = *site.tensor;
      put_back(model.file, whole);
      whole.clear_name();
      whole.clear_doc_string();
      result[t] = whole.SerializeAsString();
    }
    ++t;
  });
  return result;
}

// Numbers the contents of `tensors`; bytes decide. Those that begin like no other are not read.
std::vector<int64_t> number_contents(const std::vector<Bytes>& tensors, unsigned threads,
                                     const ReadProgress& progress) {
  const auto front_of = [](Bytes bytes) {
    constexpr size_t kFront = 1024;
    return std::string_view(reinterpret_cast<const char*>(bytes.data()),
                            std::min(kFront, bytes.size()));
  };
  std::unordered_map<std::string_view, size_t> count;
  for (const Bytes& bytes : tensors) ++count[front_of(bytes)];
  std::vector<int64_t> numbers(tensors.size(), -1);
  std::vector<size_t> compared;
  std::vector<Bytes> their_bytes;
  int64_t next = 0;
  for (size_t t = 0; t < tensors.size(); ++t) {
    if (count[front_of(tensors[t])] == 1) {
      numbers[t] = next++;
      progress(tensors[t].size());
    } else {
      compared.push_back(t);
      their_bytes.push_back(tensors[t]);
    }
  }
  const Contents contents = find_distinct(their_bytes, threads, progress);
  for (size_t i = 0; i < compared.size(); ++i) numbers[compared[i]] = next + contents.of_tensor[i];
  return numbers;
}

// The bytes of the tensors of `model`, those without plain ones in `opaque`.
std::vector<Bytes> bytes_of(const ScannedModel& model, const std::vector<std::string>& opaque) {
  std::vector<Bytes> tensors;
  for (size_t t = 0; t < model.tensors.size(); ++t) {
    const Bytes plain = model.tensors[t].bytes;
    tensors.push_back(opaque[t].empty() ? plain : std::as_bytes(std::span(opaque[t])));
  }
  return tensors;
}

// Numbers them by the first tensor that has each.
void number_in_order(std::vector<int64_t>& numbers) {
  std::unordered_map<int64_t, int64_t> order;
  for (int64_t& number : numbers)
    number = order.emplace(number, static_cast<int64_t>(order.size())).first->second;
}

uint64_t key_of(Bytes tensor) {
  return front_fingerprint(tensor) ^ (tensor.size() * 0x9e3779b97f4a7c15U);
}

// A piece of a tensor, and which of the contents that the tensor may have begin their same piece
// alike.
struct Piece {
  size_t tensor;
  size_t offset;
  std::vector<bool> equal;  // parallel to the candidates
};

std::vector<bool> compare_piece(Bytes tensor, size_t offset, const std::vector<int64_t>& candidates,
                                const std::vector<Bytes>& contents) {
  const size_t size = std::min<size_t>(kHashLeafBytes, tensor.size() - offset);
  std::vector<bool> equal;
  for (const int64_t candidate : candidates) {
    const Bytes content = contents[static_cast<size_t>(candidate)];
    equal.push_back(content.size() == tensor.size() &&
                    (content.data() == tensor.data() || size == 0 ||
                     std::memcmp(content.data() + offset, tensor.data() + offset, size) == 0));
  }
  return equal;
}

constexpr size_t kFewCandidates = 16;

}  // namespace

NumberedContents::NumberedContents(const ScannedModel& model, unsigned threads,
                                   const ReadProgress& progress)
    : opaque_(opaque_bytes(model)) {
  const std::vector<Bytes> tensors = bytes_of(model, opaque_);
  numbers_ = number_contents(tensors, threads, progress);
  number_in_order(numbers_);
  for (size_t t = 0; t < tensors.size(); ++t) {
    if (numbers_[t] != static_cast<int64_t>(contents_.size())) continue;
    candidates_[key_of(tensors[t])].push_back(numbers_[t]);
    contents_.push_back(tensors[t]);
  }
}

// Where many contents begin like many tensors, one pass over all sorts them out.
void NumberedContents::number_crowded(const std::vector<int64_t>& candidates,
                                      const std::vector<size_t>& which,
                                      const std::vector<Bytes>& tensors, unsigned threads,
                                      const ReadProgress& progress,
                                      std::vector<int64_t>& numbers) const {
  std::vector<Bytes> all;
  for (const int64_t candidate : candidates)
    all.push_back(contents_[static_cast<size_t>(candidate)]);
  for (const size_t t : which) all.push_back(tensors[t]);
  const Contents found = find_distinct(all, threads);
  for (size_t i = 0; i < which.size(); ++i) {
    progress(tensors[which[i]].size());
    const uint32_t content = found.of_tensor[candidates.size() + i];  // candidates come first
    if (content < candidates.size()) numbers[which[i]] = candidates[content];
  }
}

std::vector<int64_t> NumberedContents::numbers_of(const ScannedModel& other, unsigned threads,
                                                  const ReadProgress& progress) const {
  const std::vector<std::string> opaque = opaque_bytes(other);
  const std::vector<Bytes> tensors = bytes_of(other, opaque);
  std::vector<const std::vector<int64_t>*> candidates(tensors.size());
  std::map<const std::vector<int64_t>*, std::vector<size_t>> crowded;  // tensors by candidates
  std::vector<Piece> pieces;
  for (size_t t = 0; t < tensors.size(); ++t) {
    const auto found = candidates_.find(key_of(tensors[t]));
    if (found == candidates_.end()) continue;
    candidates[t] = &found->second;
    if (found->second.size() > kFewCandidates) {
      crowded[candidates[t]].push_back(t);
      continue;
    }
    size_t offset = 0;
    do {
      pieces.push_back({t, offset, {}});
      offset += kHashLeafBytes;
    } while (offset < tensors[t].size());
  }
  parallel_for(pieces.size(), threads, [&](size_t i) {
    Piece& piece = pieces[i];
    const Bytes tensor = tensors[piece.tensor];
    piece.equal = compare_piece(tensor, piece.offset, *candidates[piece.tensor], contents_);
    progress(std::min<size_t>(kHashLeafBytes, tensor.size() - piece.offset));
  });
  std::vector<std::vector<bool>> equal(tensors.size());
  for (Piece& piece : pieces) {
    std::vector<bool>& all = equal[piece.tensor];
    if (all.empty()) {
      all = std::move(piece.equal);
    } else {
      for (size_t c = 0; c < all.size(); ++c) all[c] = all[c] && piece.equal[c];
    }
  }
  std::vector<int64_t> numbers(tensors.size(), -1);
  for (const auto& [theirs, which] : crowded)
    number_crowded(*theirs, which, tensors, threads, progress, numbers);
  std::vector<size_t> unknown;
  std::vector<Bytes> their_bytes;
  for (size_t t = 0; t < tensors.size(); ++t) {
    const auto same = std::find(equal[t].begin(), equal[t].end(), true);
    if (same != equal[t].end())
      numbers[t] = (*candidates[t])[static_cast<size_t>(same - equal[t].begin())];
    if (numbers[t] >= 0) continue;
    if (candidates[t] == nullptr) progress(tensors[t].size());
    unknown.push_back(t);
    their_bytes.push_back(tensors[t]);
  }
  const std::vector<int64_t> others = number_contents(their_bytes, threads, [](uint64_t) {});
  for (size_t i = 0; i < unknown.size(); ++i)
    numbers[unknown[i]] = static_cast<int64_t>(contents_.size()) + others[i];
  return numbers;
}

}  // namespace wshare
