#include "model/tensor_sites.h"

#include <onnx/onnx_pb.h>

#include "model/name_budget.h"
#include "model/walk.h"

namespace wshare {
namespace {

using Visit = std::function<void(const TensorSite&)>;

Home home_of(Part part) {
  switch (part) {
    case Part::kFunction:
      return Home::kFunction;
    case Part::kTraining:
      return Home::kTraining;
    case Part::kMain:
      break;
  }
  return Home::kInitializer;
}

class TensorWalk : public GraphVisitor {
 public:
  using Place = WalkPlace<onnx::GraphProto>;

  TensorWalk(const onnx::ModelProto& model, const Visit& visit) : budget_(model), visit_(visit) {}

  void enter(const Place& place) {
    const Home home = home_of(place.part);
    for (onnx::TensorProto& tensor : *place.graph->mutable_initializer()) {
      visit(place, home, tensor.name(), tensor);
    }
    for (onnx::SparseTensorProto& tensor : *place.graph->mutable_sparse_initializer()) {
      sparse(place, tensor.values().name(), tensor);
    }
  }

  // What stands in functions and training graphs is theirs, but tensors of attributes are just that
  // in functions, too.
  void node(onnx::NodeProto& node, const Place& place) {
    const bool constant = is_constant_node(node);
    const Home home = home_of(place.part);
    const Home other = home == Home::kTraining ? home : Home::kAttribute;
    const Home value = home == Home::kInitializer ? Home::kConstant : home;
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      const bool is_value = constant && attribute.name() == "value";
      const std::string& name = constant ? node.output(0) : attribute.name();
      if (attribute.has_t()) {
        visit(place, is_value ? value : other, name, *attribute.mutable_t(),
              is_value ? &node : nullptr);
      }
      for (onnx::TensorProto& tensor : *attribute.mutable_tensors())
        visit(place, other, name, tensor);
      if (attribute.has_sparse_tensor()) sparse(place, name, *attribute.mutable_sparse_tensor());
      for (onnx::SparseTensorProto& tensor : *attribute.mutable_sparse_tensors())
        sparse(place, name, tensor);
    }
  }

 private:
  void visit(const Place& place, Home home, std::string_view name, onnx::TensorProto& tensor,
             onnx::NodeProto* node = nullptr) {
    budget_.spend(place.scope.size() + name.size());
    visit_({place.scope, home, name, &tensor, place.graph, node});
  }

  void sparse(const Place& place, const std::string& name, onnx::SparseTensorProto& tensor) {
    if (tensor.has_values()) visit(place, Home::kSparse, name, *tensor.mutable_values());
    if (tensor.has_indices())
      visit(place, Home::kSparse, name + " (indices)", *tensor.mutable_indices());
  }

  NameBudget budget_;
  const Visit& visit_;
};

}  // namespace

void visit_tensors(onnx::ModelProto& model, const Visit& visit) {
  walk_model(model, TensorWalk(model, visit));
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

}  // namespace wshare
