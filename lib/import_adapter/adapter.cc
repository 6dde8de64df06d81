#include "import_adapter/adapter.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "format/adapter_file.h"
#include "format/foreign_file.h"
#include "lora/kohya.h"
#include "lora/peft.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr char kPeftFile[] = "adapter_model.safetensors", kPeftConfig[] = "adapter_config.json";
constexpr char kDiffusersFile[] = "pytorch_lora_weights.safetensors";
constexpr std::string_view kOnnxAdapter = ".onnx_adapter";
constexpr std::string_view kFactorA = ".lora_A.weight";
constexpr std::string_view kFactorB = ".lora_B.weight";

GivenAdapter from_peft(const fs::path& path) {
  PeftAdapter peft = load_peft_adapter(path);
  GivenAdapter adapter{std::move(peft.file),
                       {},
                       {},
                       std::move(peft.content.base_weights),
                       std::move(peft.content.whole),
                       peft.config.fan_in_fan_out};
  for (PeftModule& module : peft.content.modules) {
    const bool convolution = module.a.shape.size() > 2;
    GivenModule& given = adapter.modules.emplace_back();
    given.path = std::move(module.path);
    given.embedding = module.embedding;
    given.a = std::move(module.a);
    given.b = std::move(module.b);
    given.turned = !convolution;
    given.rank = module.rank;
    given.scaling = module.scaling;
  }
  return adapter;
}

GivenModule from_kohya(KohyaModule& module) {
  const LowRankSize size = size_of(module.delta);
  GivenModule given;
  given.path = std::move(module.path);
  given.part = std::move(module.part);
  given.flat = module.flat;
  given.any_layer = true;
  given.rank = static_cast<int64_t>(size.rank);
  given.scaling = module.scaling;
  StoredMatrix& pair = module.delta.first;
  const bool is_stored =
      module.delta.how == LowRankProduct::How::kFirst && pair.core.name.empty() && !pair.up_turned;
  if (is_stored) {
    given.a = std::move(pair.down);
    given.b = std::move(pair.up);
  } else {
    given.a.name = given.b.name = pair.up.name;
    given.a.shape = {given.rank, static_cast<int64_t>(size.cols)};
    given.product = std::move(module.delta);
  }
  given.b.shape = {static_cast<int64_t>(size.rows), given.rank};  // as a 1x1 convolution, too
  return given;
}

GivenAdapter from_kohya(const fs::path& path) {
  KohyaAdapter kohya = load_kohya_adapter(path);
  GivenAdapter adapter{std::move(kohya.file), {}, {}, {}, {}};
  for (KohyaModule& module : kohya.modules) adapter.modules.push_back(from_kohya(module));
  return adapter;
}

// The file of `path`, file or folder, if it is an adapter without a configuration of PEFT's.
std::optional<fs::path> kohya_file(const fs::path& path) {
  std::error_code ignored;
  const bool folder = fs::is_directory(path, ignored);
  if (fs::exists((folder ? path : path.parent_path()) / kPeftConfig, ignored)) return std::nullopt;
  const fs::path file = folder ? path / kDiffusersFile : path;
  const bool is_it = file.extension() == ".safetensors" && fs::exists(file, ignored);
  return is_it ? std::optional(file) : std::nullopt;
}

void check_pair(const GivenModule& module) {
  const std::string name = in_quotes(module.path);
  for (const NamedTensor* factor : {&module.a, &module.b}) {
    if (factor->name.empty()) {
      throw Error(ErrorCode::kInvalid,
                  name + ": lacks factor " + (factor == &module.a ? "A" : "B"));
    }
  }
  const std::vector<int64_t>&a = module.a.shape, &b = module.b.shape;
  bool fits = a.size() >= 2 && a.size() == b.size() && module.a.dtype == module.b.dtype &&
              holds_floats(module.a);
  fits = fits && (a.size() == 2 ? a[1] == b[0] : a[0] == b[1]);
  for (const int64_t dim : a) fits = fits && dim > 0;
  for (size_t i = 0; fits && i < b.size(); ++i) fits = i < 2 ? b[i] > 0 : b[i] == 1;
  if (!fits) throw Error(ErrorCode::kInvalid, name + ": A and B are no factors of one weight");
}

// Sorts the parameters of an .onnx_adapter into values for `inputs` and modules.
void sort_parameters(const std::vector<NamedTensor>& parameters,
                     const std::set<std::string>& inputs, GivenAdapter& adapter) {
  std::map<std::string, GivenModule> modules;
  for (const NamedTensor& parameter : parameters) {
    const std::string& name = parameter.name;
    const bool is_a = name.ends_with(kFactorA);
    if (inputs.count(name) != 0) {
      adapter.values.push_back(parameter);
    } else if ((is_a || name.ends_with(kFactorB)) && name.size() > kFactorA.size()) {
      GivenModule& module = modules[name.substr(0, name.size() - kFactorA.size())];
      (is_a ? module.a : module.b) = parameter;
    } else {
      throw Error(ErrorCode::kInvalid,
                  "parameter " + in_quotes(name) +
                      ": the base has no such input, and it is no "
                      "<module>.lora_A.weight or <module>.lora_B.weight",
                  "is it an adapter of this base? --base names another one");
    }
  }
  for (auto& [path, module] : modules) {
    module.path = path;
    check_pair(module);
    module.rank = module.a.shape[module.a.shape.size() == 2 ? 1 : 0];
    adapter.modules.push_back(std::move(module));
  }
}

GivenAdapter from_onnx_adapter(const fs::path& path, const std::vector<std::string>& inputs) {
  GivenAdapter adapter{MappedFile::open(path), {}, {}, {}, {}};
  refuse_foreign(path, adapter.file.bytes(), ExpectedFile::kAdapter);
  try {
    const std::vector<NamedTensor> parameters = read_adapter(adapter.file.bytes());
    if (parameters.empty()) throw Error(ErrorCode::kInvalid, "has no parameter");
    sort_parameters(parameters, {inputs.begin(), inputs.end()}, adapter);
  } catch (const Error& error) {
    throw Error(error.code(), in_quotes(path.string()) + ": " + error.what(), error.hint());
  }
  return adapter;
}

}  // namespace

GivenAdapter load_adapter(const fs::path& path, const std::vector<std::string>& inputs) {
  std::error_code ignored;
  const bool is_onnx = path.extension() == kOnnxAdapter && !fs::is_directory(path, ignored);
  if (is_onnx) return from_onnx_adapter(path, inputs);
  const std::optional<fs::path> file = kohya_file(path);
  return file ? from_kohya(*file) : from_peft(path);
}

std::string task_name_of(const fs::path& path) {
  const fs::path whole = fs::absolute(path).lexically_normal();
  const fs::path last = whole.has_filename() ? whole : whole.parent_path();
  if (fs::is_directory(last)) return last.filename().string();
  if (last.filename() == kPeftFile || last.filename() == kDiffusersFile)
    return last.parent_path().filename().string();
  return last.stem().string();
}

GivenModule laid_out_for(GivenModule module, const BranchSite& weight) {
  if (!module.any_layer) return module;
  std::vector<int64_t>& a = module.a.shape;
  module.turned = weight.layout != FactorLayout::kConv;
  if (module.turned) {  // a linear layer that was a 1x1 convolution when it was trained
    if (std::all_of(a.begin() + 2, a.end(), [](int64_t dim) { return dim == 1; })) a.resize(2);
    return module;
  }
  const std::vector<int64_t> wanted = with_rank(weight.a_shape, static_cast<uint64_t>(module.rank));
  const auto count = [](const std::vector<int64_t>& shape) {
    return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
  };
  if (a.size() == 2 && count(a) == count(wanted)) a = wanted;
  module.b.shape.resize(a.size(), 1);
  return module;
}

void fill(GivenModule& module, Scratch& scratch) {
  if (!module.product) return;
  const ProductFactors factors = factors_of(*module.product, scratch);
  for (auto& [factor, made] : {std::pair(&module.a, &factors.down), {&module.b, &factors.up}}) {
    factor->dtype = made->dtype;
    factor->bytes = made->bytes;
  }
}

std::vector<int64_t> branch_shape(const GivenModule& module, const NamedTensor& factor) {
  std::vector<int64_t> shape = factor.shape;
  if (module.turned) std::swap(shape.at(0), shape.at(1));
  return shape;
}

}  // namespace wshare
