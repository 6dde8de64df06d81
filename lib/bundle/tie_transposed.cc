#include "bundle/tie_transposed.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "bundle/twins.h"
#include "format/dtype.h"
#include "format/layout.h"
#include "model/turn_weights.h"
#include "model/uses.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// A matrix of a model that is new, or of the bundle.
struct Matrix {
  std::optional<size_t> model;  // in the draft
  size_t tensor = 0;
  std::string name;    // as people see it
  std::string weight;  // in the main graph; empty: it is elsewhere
  Bytes bytes;
  ContentMatrix view;
};

using WhyNot = std::map<std::pair<size_t, std::string>, std::string>;  // [model, weight]

std::optional<ContentMatrix> view_of(int32_t type, std::span<const int64_t> shape) {
  const std::optional<Dtype> dtype = find_dtype(type);
  if (!dtype || dtype->bits % 8 != 0 || shape.size() != 2 || shape[0] < 2 || shape[1] < 2)
    return std::nullopt;
  return ContentMatrix{0, static_cast<uint64_t>(shape[0]), static_cast<uint64_t>(shape[1]),
                       static_cast<uint32_t>(dtype->bits / 8)};
}

class Tie {
 public:
  Tie(Draft& draft, TieTransposed how, bool other_bits, uint64_t min_bytes, unsigned threads)
      : draft_(draft), how_(how), other_bits_(other_bits), threads_(threads) {
    for (size_t m = draft.first_new(); m < draft.models.size(); ++m) add_model(m, min_bytes);
    if (draft.start) add_bundle(*draft.start);
    keep_candidates();
  }

  std::vector<TransposedPair> run() {
    std::vector<Bytes> bytes;
    for (const Matrix& matrix : matrices_) bytes.push_back(matrix.bytes);
    contents_ = find_distinct(bytes, threads_);
    std::vector<ContentMatrix> views;
    users_.resize(contents_.contents.size());
    for (size_t i = 0; i < matrices_.size(); ++i) {
      matrices_[i].view.content = contents_.of_tensor[i];
      users_[contents_.of_tensor[i]].push_back(i);
      views.push_back(matrices_[i].view);
    }
    const std::vector<Twin> twins = find_twins(contents_.contents, std::move(views), threads_);
    find_reasons(twins);
    for (const Twin& twin : twins) tie(twin);
    for (const auto& [model, weights] : turned_) rewrite(model, weights);
    return std::move(pairs_);
  }

 private:
  void add_model(size_t m, uint64_t min_bytes) {
    const std::vector<TensorRef>& tensors = draft_.models[m].tensors;
    for (size_t t = 0; t < tensors.size(); ++t) {
      const TensorRef& tensor = tensors[t];
      const std::optional<ContentMatrix> view = view_of(tensor.dtype, tensor.shape);
      if (!view || tensor.bytes.size() < kLargeBytes || reason_to_stay(tensor, min_bytes)) continue;
      const bool is_main = tensor.scope.empty() &&
                           (tensor.home == Home::kInitializer || tensor.home == Home::kConstant);
      matrices_.push_back(
          {m, t, full_name(tensor), is_main ? tensor.name : "", tensor.bytes, *view});
    }
  }

  void add_bundle(const DraftStart& start) {
    std::map<std::pair<uint32_t, uint64_t>, Bytes> stored;
    for (const StoredExtent& each : start.stored) {
      Bytes& bytes = stored[{each.extent.blob, each.extent.offset}];
      if (each.bytes.size() > bytes.size()) bytes = each.bytes;
    }
    for (const ModelRecord& model : start.manifest.models) {
      for (const TensorRecord& tensor : model.tensors) {
        const Shape& shape = tensor.shape;
        const auto view = view_of(tensor.dtype, std::vector<int64_t>(shape.begin(), shape.end()));
        if (!view || tensor.extent.size < kLargeBytes) continue;
        const Bytes bytes = stored.at({tensor.extent.blob, tensor.extent.offset});
        matrices_.push_back({std::nullopt, 0, std::string(tensor.name), "",
                             bytes.first(static_cast<size_t>(tensor.extent.size)), *view});
      }
    }
  }

  // Only what another matrix fits is read.
  void keep_candidates() {
    using Form = std::tuple<uint64_t, uint64_t, uint32_t>;
    std::map<Form, size_t> count;
    for (const Matrix& each : matrices_)
      ++count[{each.view.rows, each.view.cols, each.view.element_bytes}];
    std::erase_if(matrices_, [&](const Matrix& each) {
      const auto fits = count.find({each.view.cols, each.view.rows, each.view.element_bytes});
      return fits == count.end() || (each.view.rows == each.view.cols && fits->second < 2);
    });
  }

  void find_reasons(const std::vector<Twin>& twins) {
    std::map<size_t, std::set<std::string>> asked;
    for (const Twin& twin : twins) {
      for (const uint32_t content : {twin.content, twin.transpose_of}) {
        for (const size_t user : users_[content]) {
          const Matrix& matrix = matrices_[user];
          if (matrix.model) asked[*matrix.model].insert(matrix.weight);
        }
      }
    }
    for (const auto& [model, weights] : asked) {
      const Skeleton skeleton = edited(model);
      for (auto& [weight, why] : why_not_turned(skeleton.model(), weights, how_, other_bits_))
        why_not_[{model, weight}] = std::move(why);
    }
  }

  // The graph of model `m` as it is to be written, so far.
  Skeleton edited(size_t m) const {
    Skeleton skeleton = draft_.models[m].file.skeleton();
    const auto edit = draft_.edits.find(m);
    if (edit != draft_.edits.end() && edit->second.apply) edit->second.apply(skeleton.model(), {});
    return skeleton;
  }

  // Why not all that has `content` can be stored as its transpose; empty: it can.
  std::string why_not(uint32_t content) const {
    const ContentMatrix& view = matrices_[users_[content].front()].view;
    for (const size_t user : users_[content]) {
      const Matrix& matrix = matrices_[user];
      if (!matrix.model) return "lies in the bundle as it is";
      if (matrix.view != view) return "has the bytes of a weight of other dimensions";
      if (const std::string& why = why_not_.at({*matrix.model, matrix.weight}); !why.empty())
        return why;
    }
    return "";
  }

  void tie(const Twin& twin) {
    uint32_t from = twin.content, to = twin.transpose_of;
    if (done_.contains(from) || done_.contains(to)) return;
    std::string why = why_not(from);
    if (!why.empty() && why_not(to).empty()) {
      std::swap(from, to);
      why.clear();
    }
    const Matrix& other = matrices_[users_[to].front()];
    for (const size_t user : users_[from]) {
      const Matrix& matrix = matrices_[user];
      if (!matrix.model) continue;
      pairs_.push_back({draft_.inputs[*matrix.model].name, matrix.name,
                        other.model ? draft_.inputs[*other.model].name : "", other.name,
                        matrix.bytes.size(), why});
      if (!why.empty()) continue;
      draft_.edits[*matrix.model].substitutes[matrix.tensor] = other.bytes;
      turned_[*matrix.model].insert(matrix.tensor);
    }
    if (why.empty()) done_.insert({from, to});
  }

  void rewrite(size_t m, const std::set<size_t>& tensors) {
    std::set<std::string> weights;
    for (const size_t t : tensors) weights.insert(draft_.models[m].tensors[t].name);
    Skeleton skeleton = edited(m);
    turn_weights(skeleton.model(), weights, how_);
    const GraphUses uses = find_uses(skeleton.model());
    for (const size_t t : tensors) {
      TensorRef& tensor = draft_.models[m].tensors[t];
      std::swap(tensor.shape[0], tensor.shape[1]);
      tensor.turned = true;
      tensor.folded = uses.of(tensor.name).folded;
    }
    ModelRewrite& edit = draft_.edits[m];
    edit.apply = [before = std::move(edit.apply), weights = std::move(weights), how = how_](
                     onnx::ModelProto& proto, std::span<const ExternalReference> places) {
      if (before) before(proto, places);
      turn_weights(proto, weights, how);
    };
  }

  Draft& draft_;
  TieTransposed how_;
  bool other_bits_;
  unsigned threads_;
  std::vector<Matrix> matrices_;
  Contents contents_;
  std::vector<std::vector<size_t>> users_;  // [content]
  WhyNot why_not_;
  std::set<uint32_t> done_;  // contents
  std::map<size_t, std::set<size_t>> turned_;
  std::vector<TransposedPair> pairs_;
};

}  // namespace

std::vector<TransposedPair> tie_transposed(Draft& draft, TieTransposed how, bool other_bits,
                                           SplitUses split, uint64_t min_bytes, unsigned threads) {
  if (how == TieTransposed::kNever) return {};
  if (split != SplitUses::kNever) {
    throw Error(ErrorCode::kInvalid,
                "weights get no names for devices where transposed ones are stored once",
                "take one of --tie-transposed and --split-device-uses");
  }
  return Tie(draft, how, other_bits, min_bytes, threads).run();
}

}  // namespace wshare
