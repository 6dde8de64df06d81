#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "model/scan.h"

namespace onnx {
class ModelProto;
class TensorProto;
}  // namespace onnx

namespace wshare {

// Where a tensor's bytes lie from now on.
struct ExternalReference {
  std::string file;  // beside the model
  uint64_t offset = 0;
  uint64_t size = 0;
};

// Returns the bytes of a model like `model` whose tensors for which `place_of` gives a place refer
// to it as external data. `place_of` is asked with indices into model.tensors.
//
// Constant nodes so placed become initializers of their graph under the same name. In functions,
// which have none, and up to IR 3, where they must be inputs, the nodes stay and their values refer
// to the place. Tensors without a place keep their bytes inline; external ones among them are read
// into the model. Everything else stays as it is, but for what `edit` does to the graph, while its
// Constant nodes still stand where they were. Where nothing is external, before or after, and
// nothing is edited, that is the file, byte for byte.
std::string externalize(const ScannedModel& model,
                        const std::function<std::optional<ExternalReference>(size_t)>& place_of,
                        const std::function<void(onnx::ModelProto&)>& edit = {});

// Returns the bytes of the model in `file`, whose external data `place_of` moves: it is asked with
// the place that a tensor refers to, and those of what kernels packed of it. All else stays as it
// is, but for what `edit` does to the graph before.
//
// Throws Error(kInvalid) if a reference is neither one that externalize() writes nor one to packed
// weights, or if these would part from their tensor's file; what place_of throws.
std::string relocate(const ModelFile& file,
                     const std::function<ExternalReference(const ExternalReference&)>& place_of,
                     const std::function<void(onnx::ModelProto&)>& edit = {});

// The same for the model in `graph`, all of which is at hand; `name` is what messages call it.
std::string relocate(std::string_view graph, const std::string& name,
                     const std::function<ExternalReference(const ExternalReference&)>& place_of);

// Returns where the external data of `tensor` lies; a size of 0 may be one that it does not say.
//
// Throws Error(kInvalid) if offset or length is no number.
ExternalReference read_external(const onnx::TensorProto& tensor);

// Makes `tensor` refer to its bytes as external data, whatever it held.
void set_external(onnx::TensorProto& tensor, const ExternalReference& place);

}  // namespace wshare
