#include <algorithm>
#include <cstring>

#include "format/dtype.h"
#include "lora/peft.h"
#include "util/output_folder.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

bool is_convolution(const LoraFactors& module) { return module.a.shape.size() > 2; }

int64_t rank_of(const LoraFactors& module) {
  return module.a.shape[is_convolution(module) ? 0 : 1];
}

void check_factors(const LoraFactors& module) {
  const std::vector<int64_t>&a = module.a.shape, &b = module.b.shape;
  const bool convolution = is_convolution(module);
  const bool fits = !module.path.empty() && a.size() >= 2 && a.size() == b.size() &&
                    (convolution ? a[0] == b[1] && !module.embedding : a[1] == b[0]) &&
                    rank_of(module) > 0 && module.a.dtype == module.b.dtype &&
                    holds_floats(module.a);
  if (!fits) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(module.path) + ": A and B are no factors of one weight");
  }
  check_size(module.a, module.a.bytes.size());
  check_size(module.b, module.b.bytes.size());
}

// A factor as PEFT stores it; the bytes are still those of `from`.
struct Stored {
  NamedTensor tensor;
  bool transpose = false;
};

Stored stored(const LoraFactors& module, const NamedTensor& from, const char* factor) {
  Stored result{from, !is_convolution(module)};
  result.tensor.name = "base_model.model." + module.path +
                       (module.embedding ? std::string(".lora_embedding_") + factor
                                         : std::string(".lora_") + factor + ".weight");
  if (result.transpose) std::swap(result.tensor.shape[0], result.tensor.shape[1]);
  return result;
}

template <typename Element>
void transpose_into(std::span<const std::byte> matrix, uint64_t rows, uint64_t cols,
                    std::byte* out) {
  for (uint64_t row = 0; row < rows; ++row) {
    for (uint64_t col = 0; col < cols; ++col) {
      std::memcpy(out + (col * rows + row) * sizeof(Element),
                  matrix.data() + (row * cols + col) * sizeof(Element), sizeof(Element));
    }
  }
}

}  // namespace

std::vector<std::byte> transposed(std::span<const std::byte> matrix, uint64_t rows, uint64_t cols,
                                  uint64_t element_bytes) {
  std::vector<std::byte> out(matrix.size());
  switch (element_bytes) {
    case 1:
      transpose_into<uint8_t>(matrix, rows, cols, out.data());
      break;
    case 2:
      transpose_into<uint16_t>(matrix, rows, cols, out.data());
      break;
    case 4:
      transpose_into<uint32_t>(matrix, rows, cols, out.data());
      break;
    default:
      transpose_into<uint64_t>(matrix, rows, cols, out.data());
  }
  return out;
}

void write_peft_adapter(const std::filesystem::path& folder, std::vector<LoraFactors> modules,
                        const std::string& base_model) {
  std::sort(modules.begin(), modules.end(),
            [](const LoraFactors& x, const LoraFactors& y) { return x.path < y.path; });
  std::vector<std::pair<std::string, int64_t>> ranks;
  std::vector<NamedTensor> tensors;
  std::vector<bool> transpose;
  for (const LoraFactors& module : modules) {
    check_factors(module);
    if (!ranks.empty() && ranks.back().first == module.path) {
      throw Error(ErrorCode::kInvalid, in_quotes(module.path) + ": given twice");
    }
    ranks.emplace_back(module.path, rank_of(module));
    for (const Stored& each : {stored(module, module.a, "A"), stored(module, module.b, "B")}) {
      tensors.push_back(each.tensor);
      transpose.push_back(each.transpose);
    }
  }
  const std::string config = peft_config_json(ranks, base_model);
  const SafetensorsLayout layout = lay_out_safetensors(tensors, {{"format", "pt"}});
  OutputFile file(folder / "adapter_model.safetensors", layout.size);
  file.write(layout.head);
  for (const size_t index : layout.order) {
    const NamedTensor& tensor = tensors[index];
    if (!transpose[index]) {
      file.write(tensor.bytes);
      continue;
    }
    const auto rows = static_cast<uint64_t>(tensor.shape[1]);  // as given
    const auto cols = static_cast<uint64_t>(tensor.shape[0]);
    const auto element_bytes = static_cast<uint64_t>(find_dtype(tensor.dtype)->bits) / 8;
    file.write(transposed(tensor.bytes, rows, cols, element_bytes));
  }
  file.close();
  OutputFile text(folder / "adapter_config.json", config.size());
  text.write(config);
  text.close();
}

}  // namespace wshare
