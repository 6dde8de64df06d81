#include "run/inputs.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <limits>
#include <random>
#include <utility>

#include "format/dtype.h"
#include "run/ranges.h"
#include "run/tensor_file.h"
#include "util/mapped_file.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

using Symbols = std::map<std::string, int64_t>;

struct Wanted {
  std::string name;
  ONNXTensorElementDataType type;
  std::vector<int64_t> shape;        // free dimensions are -1
  std::vector<std::string> symbols;  // "" where a dimension has no name
};

std::vector<Wanted> read_wanted(const Ort::Session& session) {
  std::vector<Wanted> all;
  const std::vector<std::string> names = session.GetInputNames();
  for (size_t i = 0; i < names.size(); ++i) {
    const Ort::TypeInfo type = session.GetInputTypeInfo(i);
    if (type.GetONNXType() != ONNX_TYPE_TENSOR) {
      throw Error(ErrorCode::kUnsupported, "input " + in_quotes(names[i]) + ": is no tensor");
    }
    const auto tensor = type.GetTensorTypeAndShapeInfo();
    Wanted wanted{names[i], tensor.GetElementType(), tensor.GetShape(), {}};
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
void check_fits(const Wanted& wanted, const std::vector<int64_t>& shape) {
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

std::vector<std::vector<int64_t>> choose_shapes(const std::vector<Wanted>& inputs,
                                                const Shapes& given, Dims& dims) {
  for (const Wanted& input : inputs) {
    const auto shape = given.find(input.name);
    if (shape == given.end()) continue;
    check_fits(input, shape->second);
    for (size_t i = 0; i < input.symbols.size(); ++i) {
      if (!input.symbols[i].empty()) dims.symbols.emplace(input.symbols[i], shape->second[i]);
    }
  }
  // Sums last, since their parts may be named by a later input.
  for (const Wanted& input : inputs) {
    if (given.contains(input.name)) continue;
    for (size_t i = 0; i < input.shape.size(); ++i) {
      const bool is_sum = input.symbols[i].find(" + ") != std::string::npos;
      if (input.shape[i] < 0 && !is_sum) dims.choose(input.symbols[i], i);
    }
  }
  std::vector<std::vector<int64_t>> shapes;
  for (const Wanted& input : inputs) {
    const auto shape = given.find(input.name);
    shapes.push_back(shape != given.end() ? shape->second : input.shape);
    for (size_t i = 0; i < shapes.back().size(); ++i) {
      if (shapes.back()[i] < 0) shapes.back()[i] = dims.choose(input.symbols[i], i);
    }
  }
  return shapes;
}

// A model may want inputs of any size. One that the user gives a shape is as large as that is.
void check_size(const std::vector<Wanted>& inputs, const std::vector<std::vector<int64_t>>& shapes,
                const Shapes& given) {
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

template <typename T, typename Next>
void fill(Ort::Value& value, size_t count, const Next& next) {
  T* data = static_cast<T*>(value.GetTensorMutableRawData());
  for (size_t i = 0; i < count; ++i) data[i] = static_cast<T>(next());
}

bool fill_floats(Ort::Value& value, ONNXTensorElementDataType type, size_t count,
                 const std::function<double()>& next) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
      fill<float>(value, count, next);
      return true;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
      fill<double>(value, count, next);
      return true;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      fill<uint16_t>(value, count, [&] { return Ort::Float16_t(static_cast<float>(next())).val; });
      return true;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16:
      fill<uint16_t>(value, count, [&] { return Ort::BFloat16_t(static_cast<float>(next())).val; });
      return true;
    default:
      return false;
  }
}

bool fill_integers(Ort::Value& value, ONNXTensorElementDataType type, size_t count,
                   const std::function<uint64_t()>& next) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      fill<uint8_t>(value, count, next);
      return true;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16:
      fill<uint16_t>(value, count, next);
      return true;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32:
      fill<uint32_t>(value, count, next);
      return true;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64:
      fill<uint64_t>(value, count, next);
      return true;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
      fill<uint8_t>(value, count, next);
      return true;
    default:
      return false;
  }
}

// True if an integer type, or that of truth values, holds `number`.
bool holds(ONNXTensorElementDataType type, int64_t number) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
      return std::in_range<int8_t>(number);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return std::in_range<uint8_t>(number);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16:
      return std::in_range<int16_t>(number);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16:
      return std::in_range<uint16_t>(number);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      return std::in_range<int32_t>(number);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32:
      return std::in_range<uint32_t>(number);
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64:
      return number >= 0;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
      return number == 0 || number == 1;
    default:
      return true;
  }
}

std::string type_name(ONNXTensorElementDataType type) {
  const auto dtype = find_dtype(static_cast<int32_t>(type));
  return dtype ? std::string(dtype->name) : std::to_string(static_cast<int>(type));
}

// The number of values 0, 1, ... that the type can hold.
uint64_t values_of(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
      return uint64_t{1} << 7;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return uint64_t{1} << 8;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16:
      return uint64_t{1} << 15;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16:
      return uint64_t{1} << 16;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
      return uint64_t{1} << 31;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32:
      return uint64_t{1} << 32;
    default:
      return uint64_t{1} << 63;
  }
}

Ort::Value new_value(const Wanted& input, const std::vector<int64_t>& shape, size_t& count) {
  Ort::AllocatorWithDefaultOptions allocator;
  Ort::Value value = Ort::Value::CreateTensor(allocator, shape.data(), shape.size(), input.type);
  count = value.GetTensorTypeAndShapeInfo().GetElementCount();
  return value;
}

// An input all of whose elements are the number that `text` is.
Ort::Value make_of(const Wanted& input, const std::vector<int64_t>& shape,
                   const std::string& text) {
  size_t count = 0;
  Ort::Value value = new_value(input, shape, count);
  const double number = std::strtod(text.c_str(), nullptr);  // parse_values() has read it, too
  if (fill_floats(value, input.type, count, [&] { return number; })) return value;
  int64_t whole = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
  const bool is_whole = error == std::errc() && end == text.data() + text.size();
  if (is_whole && holds(input.type, whole) &&
      fill_integers(value, input.type, count, [&] { return static_cast<uint64_t>(whole); })) {
    return value;
  }
  throw Error(ErrorCode::kInvalid, "input " + in_quotes(input.name) + ": " + in_quotes(text) +
                                       " is no value of its type, " + type_name(input.type));
}

Ort::Value make_up(const Wanted& input, const std::vector<int64_t>& shape, int64_t row_limit,
                   uint64_t seed) {
  size_t count = 0;
  Ort::Value value = new_value(input, shape, count);
  std::mt19937_64 random(seed);
  // 2^-52 steps: a distribution of the standard library may differ between its versions. One alone
  // is a speed, a scale or a threshold: 0 or less may be none.
  const auto next_float = [&]() -> double {
    if (count == 1) return 1;
    return static_cast<float>(static_cast<double>(random() >> 11) * 0x1p-52 - 1.0);
  };
  const bool is_one = (input.name.find("mask") != std::string::npos && row_limit == 0) ||
                      input.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL;
  const uint64_t rows = row_limit > 0 ? static_cast<uint64_t>(row_limit) : 2;
  const uint64_t values = std::min(rows, values_of(input.type));
  const auto next = [&]() -> uint64_t { return is_one ? 1 : random() % values; };
  if (!fill_floats(value, input.type, count, next_float) &&
      !fill_integers(value, input.type, count, next)) {
    throw Error(ErrorCode::kUnsupported,
                "input " + in_quotes(input.name) + ": no values can be made up for its type",
                "give them with --inputs");
  }
  return value;
}

// What of `given` is meant for the inputs of a model that has `names`, by input.
template <typename T>
ByInput<T> of_model(const ByInput<T>& given, const std::vector<std::string>& names,
                    const std::vector<Wanted>& inputs) {
  ByInput<T> result;
  for (const Wanted& input : inputs) {
    if (const std::string* const key = find_key(given, names, input.name))
      result.emplace(input.name, given.at(*key));
  }
  return result;
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

Ort::Value read_input(const std::filesystem::path& path, const Wanted& wanted) {
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

Inputs make_inputs(const std::vector<std::string>& names, const Ort::Session& session,
                   const std::filesystem::path& model_path, const InputOptions& options) {
  const std::vector<Wanted> wanted = read_wanted(session);
  Inputs inputs;
  for (const Wanted& input : wanted) inputs.names.push_back(input.name);
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
      inputs.values.push_back(make_of(wanted[i], shapes[i], value->second));
      continue;
    }
    const auto limit = limits.find(wanted[i].name);
    inputs.values.push_back(
        make_up(wanted[i], shapes[i], limit == limits.end() ? 0 : limit->second, i + 1));
  }
  return inputs;
}

}  // namespace wshare
