#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "format/named_tensor.h"
#include "format/safetensors.h"
#include "lora/peft_config.h"
#include "util/mapped_file.h"

namespace wshare {

// One module of an adapter as PEFT has it: its weight becomes W + scaling · B · A. For an embedding
// this is the transpose of the stored weight, and with fan_in_fan_out it is for the others.
struct PeftModule {
  std::string path;        // in the base model: "encoder.block.0.layer.0.SelfAttention.q"
  bool embedding = false;  // A and B are called lora_embedding_A and lora_embedding_B
  // Borrow from the file. Of one float type.
  //   a: [rank, in]    b: [out, rank]
  //   convolution:  a: [rank, in, kernel ...]   b: [out, rank, 1 ...]
  //   embedding:    a: [rank, rows]             b: [width, rank]
  NamedTensor a, b;
  int64_t rank = 0;
  double scaling = 1;
};

struct PeftModules {
  std::vector<PeftModule> modules;  // by path, each once
  // Weights of the base that PEFT saved along with the adapter of an embedding, named by the path
  // of their module. If they differ from the base's, the adapter holds more than LoRA.
  std::vector<NamedTensor> base_weights;
  // Weights and biases that PEFT saved whole (modules_to_save, trained biases), named by their
  // module: "classifier.weight". They may have been trained, or not.
  std::vector<NamedTensor> whole;
};

// Returns the modules among the tensors of an adapter.
//
// Throws Error(kUnsupported) if the tensors are more than plain LoRA and whole weights (the message
// names one, such as a magnitude of DoRA) or belong to several adapters, Error(kInvalid) if there
// is none, a module lacks A or B, or shapes, types and configured rank do not fit together.
// Source: PEFT 0.21, get_peft_model_state_dict.
PeftModules read_peft_modules(const PeftConfig& config, std::span<const NamedTensor> tensors);

// An adapter that PEFT saved.
struct PeftAdapter {
  MappedFile file;  // that the factors lie in
  PeftConfig config;
  PeftModules content;
};

// Reads the adapter at `path`: a folder with adapter_config.json and adapter_model.safetensors, or
// a .safetensors file beside an adapter_config.json.
//
// Throws Error(kIo) if one of the files cannot be read, Error(kUnsupported) if there is only the
// older adapter_model.bin, and what parse_peft_config(), read_safetensors() and read_peft_modules()
// throw; the message begins with the file's name.
PeftAdapter load_peft_adapter(const std::filesystem::path& path);

// A module to be written, as the inputs of a model have it: the scale is in B.
//
//   a: [in, rank]    b: [rank, out]
//   embedding:    a: [rows, rank]                b: [rank, width]
//   convolution:  a: [rank, in, kernel ...]      b: [out, rank, 1 ...]
struct LoraFactors {
  std::string path;
  bool embedding = false;
  NamedTensor a, b;  // their names are not looked at
};

// Writes adapter_config.json and adapter_model.safetensors into `folder`, which has neither:
// PeftModel.from_pretrained loads them for a model whose modules have these paths. Same modules in
// any order, same bytes. Holds one transposed matrix at a time. PEFT takes a path for the end of
// any: modules of the base whose path ends like one of these get factors that do nothing, and a
// warning.
//
// Throws Error(kInvalid) if a path is empty or given twice, or shapes and types do not fit
// together; Error(kUnsupported) if peft_config_json() cannot say the ranks; Error(kIo).
void write_peft_adapter(const std::filesystem::path& folder, std::vector<LoraFactors> modules,
                        const std::string& base_model);

// Returns the transpose of the row-major matrix [rows, cols] whose bytes are `matrix`, of elements
// of `element_bytes` (1, 2, 4 or 8).
std::vector<std::byte> transposed(std::span<const std::byte> matrix, uint64_t rows, uint64_t cols,
                                  uint64_t element_bytes);

}  // namespace wshare
