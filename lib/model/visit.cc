#include <onnx/onnx_pb.h>

#include "model/tensors.h"

namespace wshare {
namespace {

using Visit = std::function<void(const TensorSite&)>;

class Visitor {
 public:
  explicit Visitor(const Visit& visit) : visit_(visit) {}

  void graph(onnx::GraphProto& graph, const std::string& scope, Home home) {
    for (onnx::TensorProto& tensor : *graph.mutable_initializer()) {
      visit_({scope, home, tensor.name(), &tensor, &graph, nullptr});
    }
    for (onnx::SparseTensorProto& tensor : *graph.mutable_sparse_initializer()) {
      sparse(tensor, scope, tensor.values().name(), &graph);
    }
    int index = 0;
    for (onnx::NodeProto& node : *graph.mutable_node())
      this->node(node, index++, scope, &graph, home);
  }

  // `home` is kInitializer in ordinary graphs; what stands in functions and training graphs is
  // theirs, but tensors of attributes are just that in functions, too.
  void node(onnx::NodeProto& node, int index, const std::string& scope, onnx::GraphProto* graph,
            Home home) {
    const bool constant = node.op_type() == "Constant" &&
                          (node.domain().empty() || node.domain() == "ai.onnx") &&
                          node.output_size() == 1;
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      const bool is_value = constant && attribute.name() == "value";
      const Home other = home == Home::kTraining ? home : Home::kAttribute;
      const Home value = home == Home::kInitializer ? Home::kConstant : home;
      const std::string name = constant ? node.output(0) : attribute.name();
      if (attribute.has_t()) {
        visit_({scope, is_value ? value : other, name, attribute.mutable_t(), graph,
                is_value ? &node : nullptr});
      }
      for (onnx::TensorProto& tensor : *attribute.mutable_tensors()) {
        visit_({scope, other, name, &tensor, graph, nullptr});
      }
      if (attribute.has_sparse_tensor())
        sparse(*attribute.mutable_sparse_tensor(), scope, name, graph);
      for (onnx::SparseTensorProto& tensor : *attribute.mutable_sparse_tensors()) {
        sparse(tensor, scope, name, graph);
      }
      const std::string inner = (scope.empty() ? "" : scope + "/") + node.op_type() + "#" +
                                std::to_string(index) + "." + attribute.name();
      if (attribute.has_g()) this->graph(*attribute.mutable_g(), inner, home);
      int number = 0;
      for (onnx::GraphProto& each : *attribute.mutable_graphs()) {
        this->graph(each, inner + "[" + std::to_string(number++) + "]", home);
      }
    }
  }

 private:
  void sparse(onnx::SparseTensorProto& tensor, const std::string& scope, const std::string& name,
              onnx::GraphProto* graph) {
    if (tensor.has_values())
      visit_({scope, Home::kSparse, name, tensor.mutable_values(), graph, nullptr});
    if (tensor.has_indices()) {
      visit_({scope, Home::kSparse, name + " (indices)", tensor.mutable_indices(), graph, nullptr});
    }
  }

  const Visit& visit_;
};

}  // namespace

void visit_tensors(onnx::ModelProto& model, const Visit& visit) {
  Visitor visitor(visit);
  visitor.graph(*model.mutable_graph(), "", Home::kInitializer);
  for (onnx::FunctionProto& function : *model.mutable_functions()) {
    int index = 0;
    for (onnx::NodeProto& node : *function.mutable_node()) {
      visitor.node(node, index++, "function:" + function.domain() + ":" + function.name(), nullptr,
                   Home::kFunction);
    }
  }
  int index = 0;
  for (onnx::TrainingInfoProto& training : *model.mutable_training_info()) {
    const std::string scope = "training#" + std::to_string(index++);
    if (training.has_initialization()) {
      visitor.graph(*training.mutable_initialization(), scope + ".initialization", Home::kTraining);
    }
    if (training.has_algorithm())
      visitor.graph(*training.mutable_algorithm(), scope + ".algorithm", Home::kTraining);
  }
}

const char* text_of(Home home) {
  switch (home) {
    case Home::kInitializer:
      return "initializer";
    case Home::kConstant:
      return "constant";
    case Home::kAttribute:
      return "attribute";
    case Home::kSparse:
      return "sparse";
    case Home::kFunction:
      return "function";
    case Home::kTraining:
      return "training";
  }
  return "";
}

const char* text_of(InlineReason reason) {
  switch (reason) {
    case InlineReason::kBelowMinBytes:
      return "below-min-bytes";
    case InlineReason::kGraphOutput:
      return "graph-output";
    case InlineReason::kString:
      return "string";
    case InlineReason::kSparse:
      return "sparse";
    case InlineReason::kShapeInference:
      return "shape-inference";
    case InlineReason::kSegment:
      return "segment";
    case InlineReason::kUnknownDtype:
      return "unknown-dtype";
    case InlineReason::kSizeContradictsShape:
      return "size-contradicts-shape";
    case InlineReason::kAttribute:
      return "attribute";
    case InlineReason::kTraining:
      return "training";
  }
  return "";
}

}  // namespace wshare
