#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "format/named_tensor.h"
#include "lora/branch_site.h"
#include "lora/low_rank_product.h"
#include "util/mapped_file.h"
#include "util/scratch.h"

namespace wshare {

// A LoRA pair of an adapter.
struct GivenModule {
  std::string path;
  bool embedding = false;
  NamedTensor a, b;     // as stored
  bool turned = false;  // each is stored as the transpose of what a branch takes (lora/branches.h)
  int64_t rank = 0;
  double scaling = 1;  // to be multiplied into B

  // What follows is set for adapters of image models only (lora/kohya.h).
  std::string part;   // the model of a pipeline that it is for, or ""
  bool flat = false;  // '_' stands for '.' in the path
  // A and B are [rank, in x kernel] and [out, rank], whatever the layer is: laid_out_for() says it.
  bool any_layer = false;
  std::optional<LowRankProduct> product;  // what A and B are computed of: they have no bytes yet
};

// An adapter of any format. Tensors borrow from `file`.
struct GivenAdapter {
  MappedFile file;
  std::vector<GivenModule> modules;       // by path, each once
  std::vector<NamedTensor> values;        // for inputs that a base has under these names
  std::vector<NamedTensor> base_weights;  // what a base must have, by the path of the module
  std::vector<NamedTensor> whole;         // in place of the base's: "classifier.weight"
  bool stored_in_out = false;             // linear layers in `whole` are [in, out]
};

// Reads the adapter at `path`: what PEFT saved, an .onnx_adapter, or where no adapter_config.json
// lies beside it, a .safetensors of kohya's sd-scripts, LyCORIS or diffusers. What an .onnx_adapter
// names like one of `inputs` is a value for it.
//
// Throws what load_peft_adapter(), load_kohya_adapter() and read_adapter() throw; Error(kInvalid)
// if a parameter of an .onnx_adapter is neither a value nor factor A or B of a module.
GivenAdapter load_adapter(const std::filesystem::path& path,
                          const std::vector<std::string>& inputs);

// Returns the name for a task made of the adapter at `path`: the folder's or the file's, for
// adapter_model.safetensors and pytorch_lora_weights.safetensors that of its folder.
std::string task_name_of(const std::filesystem::path& path);

// Returns `module` with its factors as the layers of `weight` take them, if their sizes fit.
GivenModule laid_out_for(GivenModule module, const BranchSite& weight);

// Computes the factors of a `module` that is a product; they lie in `scratch`.
void fill(GivenModule& module, Scratch& scratch);

// The shapes of A and B as a branch takes them.
std::vector<int64_t> branch_shape(const GivenModule& module, const NamedTensor& factor);

}  // namespace wshare
