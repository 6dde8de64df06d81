#include "model/uses.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

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

bool reads_shape(const onnx::NodeProto& node, int input) {
  for (const ShapeOperand& operand : kShapeOperands) {
    if (node.op_type() == operand.op) return input < 32 && (operand.inputs >> input & 1) != 0;
  }
  return false;
}

class Reader {
 public:
  explicit Reader(const onnx::ModelProto& model) {
    for (const onnx::FunctionProto& function : model.functions()) {
      functions_[{function.domain(), function.name()}] = &function;
    }
  }

  GraphUses uses;

  void function(const onnx::FunctionProto& function) {
    for (const std::string& output : function.output()) {
      uses.graph_outputs.insert(output);
      uses.consumed.insert(output);
    }
    std::set<std::string> constants;
    for (const onnx::NodeProto& node : function.node()) this->node(node, constants);
  }

  // Counts as read by shape inference, too, what reaches such an operand by a function's input or
  // through a node that may be dropped.
  void follow_shapes() {
    std::vector<std::string> reached(uses.shape_read.begin(), uses.shape_read.end());
    while (!reached.empty()) {
      const auto [begin, end] = came_from_.equal_range(reached.back());
      reached.pop_back();
      for (auto at = begin; at != end; ++at) {
        if (uses.shape_read.insert(at->second).second) reached.push_back(at->second);
      }
    }
  }

  void graph(const onnx::GraphProto& graph, std::set<std::string> constants) {
    std::set<std::string> own;
    for (const onnx::ValueInfoProto& input : graph.input()) {
      uses.graph_inputs.insert(input.name());
      constants.erase(input.name());
    }
    for (const onnx::TensorProto& tensor : graph.initializer()) {
      if (!own.insert(tensor.name()).second) {
        throw Error(ErrorCode::kInvalid, "two initializers are called " + in_quotes(tensor.name()));
      }
      if (uses.graph_inputs.count(tensor.name()) == 0) constants.insert(tensor.name());
    }
    for (const onnx::ValueInfoProto& output : graph.output()) {
      uses.graph_outputs.insert(output.name());
      uses.consumed.insert(output.name());
    }
    for (const onnx::NodeProto& node : graph.node()) this->node(node, constants);
  }

  // Adds the outputs of `node` to `constants` when they are known at load time.
  void node(const onnx::NodeProto& node, std::set<std::string>& constants) {
    bool all_constant = true;
    bool has_subgraph = false;
    note_origins(node);
    for (int i = 0; i < node.input_size(); ++i) {
      if (node.input(i).empty()) continue;
      uses.consumed.insert(node.input(i));
      if (reads_shape(node, i)) uses.shape_read.insert(node.input(i));
      all_constant = all_constant && constants.count(node.input(i)) != 0;
    }
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      has_subgraph = has_subgraph || attribute.has_g() || attribute.graphs_size() > 0;
      if (attribute.has_g()) graph(attribute.g(), constants);
      for (const onnx::GraphProto& each : attribute.graphs()) graph(each, constants);
    }
    // ONNX Runtime leaves DequantizeLinear of a constant alone: quantised weights stay quantised.
    if (!all_constant || has_subgraph || node.op_type() == "DequantizeLinear") return;
    for (const std::string& input : node.input()) uses.folded.insert(input);
    for (const std::string& output : node.output()) constants.insert(output);
  }

 private:
  void note_origins(const onnx::NodeProto& node) {
    if (std::find(kDroppable.begin(), kDroppable.end(), node.op_type()) != kDroppable.end() &&
        node.output_size() == 1) {
      for (const std::string& input : node.input()) came_from_.emplace(node.output(0), input);
    }
    const auto called = functions_.find({node.domain(), node.op_type()});
    if (called == functions_.end()) return;
    const int inputs = std::min(node.input_size(), called->second->input_size());
    for (int i = 0; i < inputs; ++i) came_from_.emplace(called->second->input(i), node.input(i));
  }

  std::map<std::pair<std::string, std::string>, const onnx::FunctionProto*> functions_;
  std::multimap<std::string, std::string> came_from_;  // a value, and one that it may be
};

}  // namespace

GraphUses find_uses(const onnx::ModelProto& model) {
  Reader reader(model);
  reader.graph(model.graph(), {});
  for (const onnx::FunctionProto& function : model.functions()) reader.function(function);
  reader.follow_shapes();
  return std::move(reader.uses);
}

}  // namespace wshare
