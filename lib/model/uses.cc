#include "model/uses.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/walk.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// Operators whose shape inference reads the value of an input; bit i stands for input i.
// Source: the type and shape inference functions of the ONNX operators, opset 1 to 23.
struct ShapeOperand {
  std::string_view op;
  uint32_t inputs;
};
constexpr std::array kShapeOperands = {
    ShapeOperand{"Reshape", 0b10},
    ShapeOperand{"Expand", 0b10},
    ShapeOperand{"Tile", 0b110},
    ShapeOperand{"Slice", 0b11110},
    ShapeOperand{"Pad", 0b1010},
    ShapeOperand{"Resize", 0b1110},
    ShapeOperand{"Upsample", 0b10},
    ShapeOperand{"Squeeze", 0b10},
    ShapeOperand{"Unsqueeze", 0b10},
    ShapeOperand{"Split", 0b10},
    ShapeOperand{"TopK", 0b10},
    ShapeOperand{"OneHot", 0b10},
    ShapeOperand{"ConstantOfShape", 0b1},
    ShapeOperand{"Range", 0b111},
    ShapeOperand{"CenterCropPad", 0b10},
    ShapeOperand{"ReduceSum", 0b10},
    ShapeOperand{"ReduceMean", 0b10},
    ShapeOperand{"ReduceMax", 0b10},
    ShapeOperand{"ReduceMin", 0b10},
    ShapeOperand{"ReduceProd", 0b10},
    ShapeOperand{"ReduceL1", 0b10},
    ShapeOperand{"ReduceL2", 0b10},
    ShapeOperand{"ReduceLogSum", 0b10},
    ShapeOperand{"ReduceLogSumExp", 0b10},
    ShapeOperand{"ReduceSumSquare", 0b10},
    ShapeOperand{"SplitToSequence", 0b10},
    ShapeOperand{"Col2Im", 0b110},
    ShapeOperand{"MaxUnpool", 0b100},
    ShapeOperand{"STFT", 0b1010},
    ShapeOperand{"DFT", 0b110},
    ShapeOperand{"BlackmanWindow", 0b1},
    ShapeOperand{"HannWindow", 0b1},
    ShapeOperand{"HammingWindow", 0b1},
    ShapeOperand{"MelWeightMatrix", 0b11111},
    ShapeOperand{"AffineGrid", 0b10},
    ShapeOperand{"SequenceAt", 0b10},
    ShapeOperand{"Loop", 0b1},
};

// Operators that ONNX Runtime drops where they change nothing: what read their output then reads
// their input.
constexpr std::array<std::string_view, 6> kDroppable = {"Identity", "Cast", "Add",
                                                        "Sub",      "Mul",  "Div"};

// The inputs of `node` whose values shape inference reads, as the bits above.
uint32_t shape_inputs(const onnx::NodeProto& node) {
  for (const ShapeOperand& operand : kShapeOperands) {
    if (node.op_type() == operand.op) return operand.inputs;
  }
  return 0;
}

class UseWalk : public GraphVisitor {
 public:
  using Place = WalkPlace<const onnx::GraphProto>;

  explicit UseWalk(const onnx::ModelProto& model) {
    for (const onnx::FunctionProto& function : model.functions()) {
      Function& known = functions_[{function.domain(), function.name()}];
      known.proto = &function;
      known.given.resize(static_cast<size_t>(function.input_size()));
    }
  }

  GraphUses uses;

  void enter(const Place& place) {
    outside_.push_back(changes_.size());
    if (++graphs_ == 1) {  // the largest; a table that grows by little is laid out anew each time
      const size_t names = static_cast<size_t>(place.graph->initializer_size()) +
                           static_cast<size_t>(place.graph->node_size());
      uses.names.reserve(names);
      uses.values.reserve(names);
      uses.initializers.reserve(static_cast<size_t>(place.graph->initializer_size()));
    }
    for (const onnx::ValueInfoProto& input : place.graph->input()) {
      const uint32_t number = number_of(input.name());
      uses.values[number].graph_input = true;
      set_constant(number, false);
    }
    for (const onnx::TensorProto& tensor : place.graph->initializer()) {
      const uint32_t number = number_of(tensor.name());
      uses.initializers.push_back(number);
      ValueUse& value = uses.values[number];
      if (std::exchange(value.graph, graphs_) == graphs_) {
        throw Error(ErrorCode::kInvalid, "two initializers are called " + in_quotes(tensor.name()),
                    "ONNX Runtime takes the last one, onnx.checker none: export the model again");
      }
      if (!value.graph_input) set_constant(number, true);
    }
    for (const onnx::ValueInfoProto& output : place.graph->output()) note_output(output.name());
  }

  void leave(const Place&) {
    undo_until(outside_.back());
    outside_.pop_back();
  }

  void enter_function(const onnx::FunctionProto& function) {
    for (const std::string& output : function.output()) note_output(output);
  }

  void leave_function(const onnx::FunctionProto&) { undo_until(0); }

  // Adds the outputs of `node` to the constants when they are known at load time.
  void node(const onnx::NodeProto& node, const Place&) {
    bool all_constant = true;
    const uint32_t shapes = shape_inputs(node);
    note_origins(node);
    for (int i = 0; i < node.input_size(); ++i) {
      if (node.input(i).empty()) continue;
      ValueUse& value = use_of(node.input(i));
      value.consumed = true;
      if (i < 32 && (shapes >> i & 1) != 0) value.shape_read = true;
      all_constant = all_constant && value.is_constant;
    }
    // ONNX Runtime leaves DequantizeLinear of a constant alone: quantised weights stay quantised.
    if (!all_constant || has_graphs(node) || node.op_type() == "DequantizeLinear") return;
    for (const std::string& input : node.input()) use_of(input).folded = true;
    for (const std::string& output : node.output()) set_constant(number_of(output), true);
  }

  // Counts as read by shape inference, too, what reaches such an operand by a function's input or
  // through a node that may be dropped.
  void follow_shapes() {
    for (const auto& [name, function] : functions_) {
      for (size_t i = 0; i < function.given.size(); ++i) {
        Values& from = came_from_[function.proto->input(static_cast<int>(i))];
        from.insert(from.end(), function.given[i].begin(), function.given[i].end());
      }
    }
    Values reached;
    for (uint32_t i = 0; i < uses.values.size(); ++i) {
      if (uses.values[i].shape_read) reached.push_back(uses.names[i]);
    }
    if (reached.empty() && functions_.empty()) return;
    for (const onnx::NodeProto* node : droppable_) {
      Values& from = came_from_[node->output(0)];
      from.insert(from.end(), node->input().begin(), node->input().end());
    }
    while (!reached.empty()) {
      const auto origins = came_from_.find(reached.back());
      reached.pop_back();
      if (origins == came_from_.end()) continue;
      for (const std::string_view origin : origins->second) {
        if (!std::exchange(use_of(origin).shape_read, true)) reached.push_back(origin);
      }
    }
  }

 private:
  using Values = std::vector<std::string_view>;
  struct Function {
    const onnx::FunctionProto* proto = nullptr;
    std::vector<Values> given;  // for each input, by the nodes that call it
  };

  uint32_t number_of(std::string_view name) {
    const uint32_t number = uses.names.add(name);
    if (number == uses.values.size()) uses.values.emplace_back();
    return number;
  }

  // Holds until another name is added.
  ValueUse& use_of(std::string_view name) { return uses.values[number_of(name)]; }

  void note_output(const std::string& name) {
    ValueUse& value = use_of(name);
    value.graph_output = true;
    value.consumed = true;
  }

  void note_origins(const onnx::NodeProto& node) {
    if (std::find(kDroppable.begin(), kDroppable.end(), node.op_type()) != kDroppable.end() &&
        node.output_size() == 1) {
      droppable_.push_back(&node);
    }
    const auto called = functions_.find({node.domain(), node.op_type()});
    if (called == functions_.end()) return;
    std::vector<Values>& given = called->second.given;
    for (size_t i = 0; i < given.size() && i < static_cast<size_t>(node.input_size()); ++i)
      given[i].push_back(node.input(static_cast<int>(i)));
  }

  void set_constant(uint32_t number, bool is_constant) {
    if (uses.values[number].is_constant == is_constant) return;
    uses.values[number].is_constant = is_constant;
    changes_.push_back(number);
  }

  void undo_until(size_t count) {
    for (; changes_.size() > count; changes_.pop_back()) {
      ValueUse& value = uses.values[changes_.back()];
      value.is_constant = !value.is_constant;
    }
  }

  std::map<std::pair<std::string_view, std::string_view>, Function> functions_;
  std::unordered_map<std::string_view, Values> came_from_;  // what a value may be
  std::vector<const onnx::NodeProto*> droppable_;
  // What is known at load time in the graph that the walk is in, and in those around it, is not
  // copied for each graph: these values changed, which is undone at its end.
  std::vector<uint32_t> changes_;
  std::vector<size_t> outside_;  // of each graph around the place: changes made before it
  uint32_t graphs_ = 0;
};

}  // namespace

GraphUses find_uses(const onnx::ModelProto& model) {
  UseWalk walk(model);
  walk_graph(model.graph(), walk);
  for (const onnx::FunctionProto& function : model.functions()) walk_function(function, walk);
  walk.follow_shapes();
  return std::move(walk.uses);
}

}  // namespace wshare
