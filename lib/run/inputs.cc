#include "run/inputs.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "format/dtype.h"
#include "run/input_values.h"
#include "run/ranges.h"
#include "run/tensor_file.h"
#include "util/mapped_file.h"
#include "util/name_list.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Symbols = std::map<std::string, int64_t>;

std::vector<WantedInput> read_wanted(const Ort::Session& session) {
  std::vector<WantedInput> all;
  const std::vector<std::string> names = session.GetInputNames();
  for (size_t i = 0; i < names.size(); ++i) {
    const Ort::TypeInfo type = session.GetInputTypeInfo(i);
    if (type.GetONNXType() != ONNX_TYPE_TENSOR) {
      throw Error(ErrorCode::kUnsupported, "input " + in_quotes(names[i]) + ": is no tensor");
    }
    const auto tensor = type.GetTensorTypeAndShapeInfo();
    WantedInput wanted{names[i], tensor.GetElementType(), tensor.GetShape(), {}};
    for (const char* symbol : tensor.GetSymbolicDimensions()) wanted.symbols.emplace_back(symbol);
    all.push_back(std::move(wanted));
  }
  return all;
}

std::string text_of_shape(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t dim : shape)
    text += (text.empty() ? "" : "x") + (dim < 0 ? std::string("?") : std::to_string(dim));
  return text;
}

// Throws Error(kInvalid) if the model cannot take `shape` as `wanted`.
void check_fits(const WantedInput& wanted, const std::vector<int64_t>& shape) {
  bool fits = shape.size() == wanted.shape.size();
  for (size_t i = 0; fits && i < shape.size(); ++i)
    fits = wanted.shape[i] < 0 || wanted.shape[i] == shape[i];
  if (fits) return;
  throw Error(ErrorCode::kInvalid, "input " + in_quotes(wanted.name) + ": the shape given is " +
                                       text_of_shape(shape) + ", the model's is " +
                                       text_of_shape(wanted.shape));
}

// Exporters name dimensions "past_sequence_length + 1": the sum, if every part is known.
int64_t value_of_sum(const std::string& symbol, const Symbols& symbols) {
  int64_t sum = 0;
  size_t at = 0;
  while (at <= symbol.size()) {
    const size_t end = std::min(symbol.find(" + ", at), symbol.size());
    const std::string part = symbol.substr(at, end - at);
    const auto known = symbols.find(part);
    const int64_t value = known != symbols.end() ? known->second : parse_decimal(part);
    if (value < 0 || value > std::numeric_limits<int64_t>::max() - sum) return -1;
    sum += value;
    at = end + 3;
  }
  return sum;
}

// Chooses sizes of dimensions, equal ones for equal names.
struct Dims {
  int64_t free_dim;
  bool used_free_dim = false;
  Symbols symbols;

  int64_t choose(const std::string& symbol, size_t position) {
    if (!symbol.empty()) {
      const int64_t known = value_of_sum(symbol, symbols);
      if (known >= 0) return known;
    }
    const bool is_batch = position == 0 || symbol.find("batch") != std::string::npos;
    used_free_dim = used_free_dim || !is_batch;
    const int64_t dim = is_batch ? 1 : free_dim;
    if (!symbol.empty()) symbols[symbol] = dim;
    return dim;
  }
};

std::vector<std::vector<int64_t>> choose_shapes(const std::vector<WantedInput>& inputs,
                                                const Shapes& given, Dims& dims) {
  for (const WantedInput& input : inputs) {
    const auto shape = given.find(input.name);
    if (shape == given.end()) continue;
    check_fits(input, shape->second);
    for (size_t i = 0; i < input.symbols.size(); ++i) {
      if (!input.symbols[i].empty()) dims.symbols.emplace(input.symbols[i], shape->second[i]);
    }
  }
  // Sums last, since their parts may be named by a later input.
  for (const WantedInput& input : inputs) {
    if (given.contains(input.name)) continue;
    for (size_t i = 0; i < input.shape.size(); ++i) {
      const bool is_sum = input.symbols[i].find(" + ") != std::string::npos;
      if (input.shape[i] < 0 && !is_sum) dims.choose(input.symbols[i], i);
    }
  }
  std::vector<std::vector<int64_t>> shapes;
  for (const WantedInput& input : inputs) {
    const auto shape = given.find(input.name);
    shapes.push_back(shape != given.end() ? shape->second : input.shape);
    for (size_t i = 0; i < shapes.back().size(); ++i) {
      if (shapes.back()[i] < 0) shapes.back()[i] = dims.choose(input.symbols[i], i);
    }
  }
  return shapes;
}

// A model may want inputs of any size. One that the user gives a shape is as large as that is.
void check_size(const std::vector<WantedInput>& inputs,
                const std::vector<std::vector<int64_t>>& shapes, const Shapes& given) {
  constexpr uint64_t kMostBytes = uint64_t{1} << 30;  // of all
  uint64_t total = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::optional<Dtype> dtype = find_dtype(static_cast<int32_t>(inputs[i].type));
    if (!dtype || given.contains(inputs[i].name)) continue;
    const std::optional<uint64_t> bytes = byte_size(*dtype, shapes[i]);
    if (bytes && *bytes <= kMostBytes - total) {
      total += *bytes;
      continue;
    }
    throw Error(ErrorCode::kUnsupported,
                "input " + in_quotes(inputs[i].name) + ": has shape " + text_of_shape(shapes[i]) +
                    ", " + (bytes ? format_bytes(*bytes) : "more than 2^63 bytes") +
                    (total == 0 ? "" : " beside " + format_bytes(total) + " of other inputs") +
                    "; at most " + format_bytes(kMostBytes) + " are made up",
                "--shape gives it another one, or says that this is meant; --inputs gives values");
  }
}

// What of `given` is meant for the inputs of a model that has `names`, by input.
template <typename T>
ByInput<T> of_model(const ByInput<T>& given, const std::vector<std::string>& names,
                    const std::vector<WantedInput>& inputs) {
  ByInput<T> result;
  for (const WantedInput& input : inputs) {
    if (const std::string* const key = find_key(given, names, input.name))
      result.emplace(input.name, given.at(*key));
  }
  return result;
}

// Throws Error(kInvalid) if some of `given`, each `what`, is meant for no input of `models`.
template <typename T>
void check_used(const ByInput<T>& given, const std::string& what,
                const std::vector<KnownInputs>& models) {
  if (given.empty()) return;
  std::set<std::string> inputs, used;
  for (const KnownInputs& model : models) {
    for (const std::string& input : model.inputs) {
      if (const std::string* const key = find_key(given, model.names, input)) used.insert(*key);
      inputs.insert(input);
    }
  }
  for (const auto& [key, value] : given) {
    if (used.contains(key)) continue;
    throw Error(ErrorCode::kInvalid,
                what + " is given for " + in_quotes(key) + ", which is no input of any model",
                "the inputs are " + list_in_quotes(inputs));
  }
}

std::filesystem::path input_file(const std::filesystem::path& folder, size_t index) {
  const std::string stem = "input_" + std::to_string(index);
  const std::filesystem::path numpy = folder / (stem + ".npy");
  return std::filesystem::exists(numpy) ? numpy : folder / (stem + ".pb");
}

// The folder of input_0: that of one of `names` in `folder`, `folder` itself, or the first test
// data set there.
std::filesystem::path find_folder(const std::filesystem::path& folder,
                                  const std::vector<std::string>& names) {
  std::vector<std::filesystem::path> places;
  for (const std::string& name : names) places.push_back(folder / name);
  places.push_back(folder);
  for (const std::filesystem::path& place : places) {
    for (const std::filesystem::path& inputs : {place / "test_data_set_0", place}) {
      if (std::filesystem::exists(input_file(inputs, 0))) return inputs;
    }
  }
  throw Error(ErrorCode::kIo,
              in_quotes(folder.string()) + ": has no input_0.pb or input_0.npy for this model",
              "it may also lie in a folder of the model's name, or in test_data_set_0");
}

Ort::Value read_input(const std::filesystem::path& path, const WantedInput& wanted) {
  Ort::Value value = read_tensor_file(path);
  const auto given = value.GetTensorTypeAndShapeInfo();
  if (given.GetElementType() != wanted.type) {
    throw Error(ErrorCode::kInvalid, in_quotes(path.string()) + ": holds " +
                                         type_name(given.GetElementType()) + ", input " +
                                         in_quotes(wanted.name) + " is " + type_name(wanted.type));
  }
  check_fits(wanted, given.GetShape());
  return value;
}

}  // namespace

void check_used(const InputOptions& options, const std::vector<KnownInputs>& models) {
  check_used(options.shapes, "a shape", models);
  check_used(options.values, "a value", models);
}

Inputs make_inputs(const std::vector<std::string>& names, const Ort::Session& session,
                   const std::filesystem::path& model_path, const InputOptions& options) {
  const std::vector<WantedInput> wanted = read_wanted(session);
  Inputs inputs;
  for (const WantedInput& input : wanted) inputs.names.push_back(input.name);
  if (!options.folder.empty()) {
    if (wanted.empty()) return inputs;
    const std::filesystem::path folder = find_folder(options.folder, names);
    for (size_t i = 0; i < wanted.size(); ++i)
      inputs.values.push_back(read_input(input_file(folder, i), wanted[i]));
    return inputs;
  }
  inputs.made_up = true;
  const auto limits = find_row_limits(MappedFile::open(model_path).bytes(), inputs.names);
  Dims dims{options.free_dim, false, {}};
  const Shapes given = of_model(options.shapes, names, wanted);
  const Values values = of_model(options.values, names, wanted);
  const auto shapes = choose_shapes(wanted, given, dims);
  inputs.free_dims = dims.used_free_dim;
  check_size(wanted, shapes, given);
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (const auto value = values.find(wanted[i].name); value != values.end()) {
      inputs.values.push_back(value_of_number(wanted[i], shapes[i], value->second));
      continue;
    }
    const auto limit = limits.find(wanted[i].name);
    inputs.values.push_back(
        made_up_value(wanted[i], shapes[i], limit == limits.end() ? 0 : limit->second, i + 1));
  }
  return inputs;
}

}  // namespace wshare
