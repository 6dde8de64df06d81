#include "runtime/handover.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "format/dtype.h"
#include "format/layout.h"
#include "format/onnx_wire.h"
#include "format/scope.h"
#include "runtime/outline.h"
#include "util/text.h"
#include "wshare/error.h"

// ONNX Runtime trusts AddInitializer: it checks neither shape nor whether the name exists, and it
// matches by name in every scope. So what is handed over is checked here, against the model's own
// words. Left to ONNX Runtime, which loads them from the blob itself, are:
//   - small tensors: sharing them saves nothing, and kernels that pack without exportable buffers
//     make the session fail (CPU LayerNormalization in float16 with a container);
//   - folded ones: optimisers read the model's bytes, not ours, and the result is a new tensor;
//   - names that occur twice, as in both branches of an If: both would be replaced;
//   - values inside functions: each call gets a copy of the function with names of its own;
//   - types that an OrtValue over foreign memory cannot have.

namespace wshare {
namespace {

struct Mention {
  // Of tensors, and of Constant nodes whose output becomes an initializer of this name.
  size_t count = 0;
  WireReference reference;
};

std::map<std::string_view, Mention> collect_mentions(std::span<const std::byte> model) {
  std::map<std::string_view, Mention> mentions;
  for (const WireTensor& tensor : find_wire_tensors(model).tensors) {
    WireReference reference = read_wire_reference(model, tensor);
    Mention& mention = mentions[reference.name];
    ++mention.count;
    mention.reference = std::move(reference);
  }
  for (const OutlineNode& node : read_nodes(model)) {
    if (node.op_type != "Constant") continue;
    for (const std::string_view output : node.outputs) {
      const auto found = mentions.find(output);
      if (found == mentions.end()) continue;
      // A Constant's tensor often has the name of its output: that is one mention, not two, yet no
      // initializer that dedupe made, so counting it twice only leaves it to ONNX Runtime.
      ++found->second.count;
    }
  }
  return mentions;
}

bool can_be_wrapped(const Dtype& dtype) {
  constexpr int32_t kComplex64 = 14, kComplex128 = 15, kLastFloat8 = 20;
  return dtype.bits >= 8 && dtype.code <= kLastFloat8 && dtype.code != kComplex64 &&
         dtype.code != kComplex128;
}

std::string text_of_shape(std::span<const int64_t> shape) {
  std::string text = "[";
  for (const int64_t dim : shape) text += (text.size() > 1 ? "," : "") + std::to_string(dim);
  return text + "]";
}

[[noreturn]] void refuse(const ModelRecord& record, const TensorRecord& tensor,
                         const std::string& what, const std::string& in_manifest,
                         const std::string& in_model) {
  throw Error(ErrorCode::kInvalid, in_quotes(record.name) + ": tensor " + in_quotes(tensor.name) +
                                       ": " + what + " is " + in_manifest + " in the manifest, " +
                                       in_model + " in the model");
}

void check_agrees(const std::vector<BlobRecord>& blobs, const ModelRecord& record,
                  const TensorRecord& tensor, const WireReference& model) {
  if (model.dtype != tensor.dtype) {
    refuse(record, tensor, "the element type", in_quotes(dtype_name(tensor.dtype)),
           in_quotes(dtype_name(model.dtype)));
  }
  if (model.shape != tensor.shape) {
    refuse(record, tensor, "the shape", text_of_shape(tensor.shape), text_of_shape(model.shape));
  }
  const std::string& blob = blobs.at(tensor.extent.blob).file;
  if (!model.external || model.location != blob) {
    refuse(record, tensor, "the file", in_quotes(blob),
           model.external ? in_quotes(model.location) : "inline");
  }
  const int64_t offset = model.offset.empty() ? 0 : parse_decimal(model.offset);
  if (offset < 0 || static_cast<uint64_t>(offset) != tensor.extent.offset) {
    refuse(record, tensor, "the offset", std::to_string(tensor.extent.offset),
           in_quotes(model.offset));
  }
  const int64_t length = parse_decimal(model.length);
  if (length < 0 || static_cast<uint64_t>(length) != tensor.extent.size) {
    refuse(record, tensor, "the length", std::to_string(tensor.extent.size),
           in_quotes(model.length));
  }
}

// Returns why the tensor is left to ONNX Runtime, or nothing if it is to be handed over.
std::optional<LeftReason> reason_to_leave(const TensorRecord& tensor, const Mention& mention) {
  const auto dtype = find_dtype(tensor.dtype);
  if (tensor.extent.size < kLargeBytes) return LeftReason::kSmall;
  if (!dtype || !can_be_wrapped(*dtype)) return LeftReason::kDtype;
  if (tensor.folded) return LeftReason::kFolded;
  if (is_in_function(tensor.scope)) return LeftReason::kFunction;
  // None at all: in a subgraph, a tensor without a name of its own; else refused by the caller.
  const bool is_nameless = mention.count == 0 && !tensor.scope.empty();
  if (is_nameless || mention.count > 1) return LeftReason::kAmbiguousName;
  return std::nullopt;
}

}  // namespace

const char* text_of(LeftReason reason) {
  switch (reason) {
    case LeftReason::kSmall:
      return "small";
    case LeftReason::kFolded:
      return "folded";
    case LeftReason::kAmbiguousName:
      return "ambiguous-name";
    case LeftReason::kFunction:
      return "function";
    case LeftReason::kDtype:
      return "dtype";
    case LeftReason::kProvider:
      return "provider";
  }
  return "";
}

void add_left(std::vector<LeftTensors>& left, LeftReason reason, uint64_t bytes) {
  const auto behind = [&](const LeftTensors& group) { return group.reason >= reason; };
  auto group = std::find_if(left.begin(), left.end(), behind);
  if (group == left.end() || group->reason != reason)
    group = left.insert(group, LeftTensors{reason, 0, 0});
  ++group->tensors;
  group->bytes += bytes;
}

uint64_t count_left(const std::vector<LeftTensors>& left) {
  uint64_t tensors = 0;
  for (const LeftTensors& group : left) tensors += group.tensors;
  return tensors;
}

Handover plan_handover(const std::vector<BlobRecord>& blobs, const ModelRecord& record,
                       std::span<const std::byte> model) {
  const std::map<std::string_view, Mention> mentions = collect_mentions(model);
  Handover handover;
  for (const TensorRecord& tensor : record.tensors) {
    const auto found = mentions.find(tensor.name);
    const Mention mention = found == mentions.end() ? Mention{} : found->second;
    if (const auto reason = reason_to_leave(tensor, mention)) {
      add_left(handover.left, *reason, tensor.extent.size);
      continue;
    }
    if (mention.count == 0) {
      throw Error(ErrorCode::kInvalid, in_quotes(record.name) + ": tensor " +
                                           in_quotes(tensor.name) +
                                           ": is in the manifest, but not in the model");
    }
    check_agrees(blobs, record, tensor, mention.reference);
    handover.shared.push_back(&tensor);
  }
  return handover;
}

}  // namespace wshare
