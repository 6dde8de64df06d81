#include "format/session_inputs.h"

#include <set>
#include <string_view>

#include "util/text.h"
#include "wshare/error.h"

// ONNX Runtime appends the parameters of an adapter to the inputs of a run. It does not look at who
// made them, so what could go wrong silently, or late with a message about some node, is checked
// here before.

namespace wshare {
namespace {

[[noreturn]] void refuse(const std::string& task, const std::string& parameter,
                         const std::string& why) {
  throw Error(ErrorCode::kInvalid,
              "task " + in_quotes(task) + ": parameter " + in_quotes(parameter) + " " + why);
}

// The value of a free dimension, and the parameter that gave it.
struct Dimension {
  int64_t value;
  std::string parameter;
};
using Dimensions = std::map<std::string, Dimension>;

void check_parameter(const std::string& task, const NamedTensor& parameter,
                     const SessionInput& input, Dimensions& dimensions) {
  if (parameter.dtype != input.dtype) {
    refuse(task, parameter.name, "has another element type than the session's input");
  }
  bool fits = parameter.shape.size() == input.shape.size();
  for (size_t i = 0; fits && i < input.shape.size(); ++i) {
    fits = input.shape[i] < 0 || input.shape[i] == parameter.shape[i];
  }
  if (!fits) refuse(task, parameter.name, "has another shape than the session's input");
  for (size_t i = 0; i < input.shape.size(); ++i) {
    const std::string& symbol = input.symbols[i];
    if (input.shape[i] >= 0 || symbol.empty()) continue;
    const auto [known, added] =
        dimensions.emplace(symbol, Dimension{parameter.shape[i], parameter.name});
    if (added || known->second.value == parameter.shape[i]) continue;
    refuse(task, parameter.name,
           "has " + std::to_string(parameter.shape[i]) + " for the dimension " + in_quotes(symbol) +
               ", parameter " + in_quotes(known->second.parameter) + " has " +
               std::to_string(known->second.value));
  }
}

// What is left out keeps its default, of another size than what is given.
void check_left_out(const std::string& task, const std::string& name, const SessionInput& input,
                    const Dimensions& dimensions) {
  if (!input.has_default) return;
  for (size_t i = 0; i < input.shape.size(); ++i) {
    if (input.shape[i] >= 0) continue;
    const auto known = dimensions.find(input.symbols[i]);
    if (known == dimensions.end()) continue;
    refuse(task, known->second.parameter,
           "has the dimension " + in_quotes(known->first) + " in common with " + in_quotes(name) +
               ", which is missing");
  }
}

}  // namespace

void check_parameters(const std::string& task, std::span<const NamedTensor> parameters,
                      const SessionInputs& inputs) {
  Dimensions dimensions;
  std::set<std::string_view> given;
  for (const NamedTensor& parameter : parameters) {
    const auto input = inputs.find(parameter.name);
    if (input == inputs.end()) refuse(task, parameter.name, "is no input of the session");
    check_parameter(task, parameter, input->second, dimensions);
    given.insert(parameter.name);
  }
  for (const auto& [name, input] : inputs) {
    if (!given.contains(name)) check_left_out(task, name, input, dimensions);
  }
}

}  // namespace wshare
