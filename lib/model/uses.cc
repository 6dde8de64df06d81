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
    std::unordered_set<std::string_view> own;
    for (const onnx::ValueInfoProto& input : place.graph->input()) {
      uses.graph_inputs.insert(input.name());
      set_constant(input.name(), false);
    }
    for (const onnx::TensorProto& tensor : place.graph->initializer()) {
      if (!own.insert(tensor.name()).second) {
        throw Error(ErrorCode::kInvalid, "two initializers are called " + in_quotes(tensor.name()),
                    "ONNX Runtime takes the last one, onnx.checker none: export the model again");
      }
      if (uses.graph_inputs.count(tensor.name()) == 0) set_constant(tensor.name(), true);
    }
    for (const onnx::ValueInfoProto& output : place.graph->output()) note_output(output.name());
  }

  void leave(const Place&) {
    for (; changes_.size() > outside_.back(); changes_.pop_back()) {
      const auto& [name, was_constant] = changes_.back();
      if (was_constant) {
        constants_.insert(name);
      } else {
        constants_.erase(name);
      }
    }
    outside_.pop_back();
  }

  void enter_function(const onnx::FunctionProto& function) {
    for (const std::string& output : function.output()) note_output(output);
  }

  void leave_function(const onnx::FunctionProto&) {
    constants_.clear();
    changes_.clear();
  }

  // Adds the outputs of `node` to the constants when they are known at load time.
  void node(const onnx::NodeProto& node, const Place&) {
    bool all_constant = true;
    const uint32_t shapes = shape_inputs(node);
    note_origins(node);
    for (int i = 0; i < node.input_size(); ++i) {
      if (node.input(i).empty()) continue;
      uses.consumed.insert(node.input(i));
      if (i < 32 && (shapes >> i & 1) != 0) uses.shape_read.insert(node.input(i));
      all_constant = all_constant && constants_.count(node.input(i)) != 0;
    }
    // ONNX Runtime leaves DequantizeLinear of a constant alone: quantised weights stay quantised.
    if (!all_constant || has_graphs(node) || node.op_type() == "DequantizeLinear") return;
    for (const std::string& input : node.input()) uses.folded.insert(input);
    for (const std::string& output : node.output()) set_constant(output, true);
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
    Values reached(uses.shape_read.begin(), uses.shape_read.end());
    while (!reached.empty()) {
      const auto origins = came_from_.find(reached.back());
      reached.pop_back();
      if (origins == came_from_.end()) continue;
      for (const std::string_view origin : origins->second) {
        if (uses.shape_read.insert(origin).second) reached.push_back(origin);
      }
    }
  }

 private:
  using Values = std::vector<std::string_view>;
  struct Function {
    const onnx::FunctionProto* proto = nullptr;
    std::vector<Values> given;  // for each input, by the nodes that call it
  };

  void note_output(const std::string& name) {
    uses.graph_outputs.insert(name);
    uses.consumed.insert(name);
  }

  void note_origins(const onnx::NodeProto& node) {
    if (std::find(kDroppable.begin(), kDroppable.end(), node.op_type()) != kDroppable.end() &&
        node.output_size() == 1) {
      Values& from = came_from_[node.output(0)];
      from.insert(from.end(), node.input().begin(), node.input().end());
    }
    const auto called = functions_.find({node.domain(), node.op_type()});
    if (called == functions_.end()) return;
    std::vector<Values>& given = called->second.given;
    for (size_t i = 0; i < given.size() && i < static_cast<size_t>(node.input_size()); ++i)
      given[i].push_back(node.input(static_cast<int>(i)));
  }

  void set_constant(std::string_view name, bool is_constant) {
    const bool changes = is_constant ? constants_.insert(name).second : constants_.erase(name) != 0;
    if (changes) changes_.emplace_back(name, !is_constant);
  }

  std::map<std::pair<std::string_view, std::string_view>, Function> functions_;
  std::unordered_map<std::string_view, Values> came_from_;  // what a value may be
  // The values of the graph that the walk is in, and of those around it, that are known at load
  // time. Not copied for each graph: what a graph changes is undone at its end.
  std::unordered_set<std::string_view> constants_;
  std::vector<std::pair<std::string_view, bool>> changes_;  // what it was before
  std::vector<size_t> outside_;  // of each graph around the place: changes made before it
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
