#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "format/scope.h"
#include "wshare/error.h"

// The one walk over graphs: nodes in the order of the file, the graphs in a node right after it,
// whether they stand in an attribute of their own or in a list. Each part of a model's text is read
// a bounded number of times, however its graphs are nested, so that work grows with the file and
// with what the visitor does, not with their product.

namespace wshare {

// What may hold graphs in a model.
enum class Part { kMain, kFunction, kTraining };

// Where a walk stands. `Graph` is onnx::GraphProto or its const.
template <typename Graph>
struct WalkPlace {
  Graph* graph;            // the nearest one; null among the nodes of a function itself
  std::string_view scope;  // of these nodes (format/scope.h); holds until the walk goes on
  Part part;
};

// True for operators, or a set of them, of ONNX itself, not of an extension.
template <typename Operators>
bool is_standard(const Operators& operators) {
  return operators.domain().empty() || operators.domain() == "ai.onnx";
}

// True for a Constant, whose only output is the value of its attribute.
inline bool is_constant_node(const onnx::NodeProto& node) {
  return node.op_type() == "Constant" && is_standard(node) && node.output_size() == 1;
}

// True if a graph stands in `node`.
inline bool has_graphs(const onnx::NodeProto& node) {
  for (const onnx::AttributeProto& attribute : node.attribute()) {
    if (attribute.has_g() || attribute.graphs_size() > 0) return true;
  }
  return false;
}

// Calls visit(graph, attribute, number) for each graph in `node`; `number` is that in the list of
// graphs which the attribute is, or -1 where it is one graph.
template <typename Node, typename Visit>
void for_each_graph_in(Node& node, const Visit& visit) {
  if constexpr (std::is_const_v<Node>) {
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      if (attribute.has_g()) visit(attribute.g(), attribute, -1);
      int number = 0;
      for (const onnx::GraphProto& graph : attribute.graphs()) visit(graph, attribute, number++);
    }
  } else {
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      if (attribute.has_g()) visit(*attribute.mutable_g(), attribute, -1);
      int number = 0;
      for (onnx::GraphProto& graph : *attribute.mutable_graphs()) visit(graph, attribute, number++);
    }
  }
}

// What a walk calls, each of them empty here: a visitor hides those that it needs.
struct GraphVisitor {
  template <typename Place>
  void enter(const Place&) {}  // a graph begins
  template <typename Node, typename Place>
  void node(Node&, const Place&) {}  // before the graphs in the node
  template <typename Node, typename Place>
  void after(Node&, const Place&) {}  // behind them
  template <typename Place>
  void leave(const Place&) {}  // a graph ends
  template <typename Function>
  void enter_function(Function&) {}
  template <typename Function>
  void leave_function(Function&) {}
};

// Walks with a visitor, which may change what it is given, but not the number of nodes and graphs
// that the walk is about to read.
template <typename Visitor, bool kConst>
class GraphWalk {
  template <typename T>
  using Maybe = std::conditional_t<kConst, const T, T>;
  using Graph = Maybe<onnx::GraphProto>;
  using Node = Maybe<onnx::NodeProto>;
  using Function = Maybe<onnx::FunctionProto>;
  using Training = Maybe<onnx::TrainingInfoProto>;

 public:
  explicit GraphWalk(Visitor& visitor) : visitor_(visitor) {}

  void model(Maybe<onnx::ModelProto>& model) {
    if constexpr (kConst) {
      main(model.graph());
      for (const onnx::FunctionProto& each : model.functions()) function(each);
      for (const onnx::TrainingInfoProto& each : model.training_info()) training(each);
    } else {
      main(*model.mutable_graph());
      for (onnx::FunctionProto& each : *model.mutable_functions()) function(each);
      for (onnx::TrainingInfoProto& each : *model.mutable_training_info()) training(each);
    }
  }

  void main(Graph& graph) { this->graph(graph, Part::kMain); }

  void function(Function& function) {
    scope_ = function_scope(function.domain(), function.name());
    visitor_.enter_function(function);
    nodes(function, nullptr, Part::kFunction);
    visitor_.leave_function(function);
    scope_.clear();
  }

 private:
  void training(Training& training) {
    const int number = trainings_++;
    if (training.has_initialization()) {
      scope_ = training_scope(number, "initialization");
      if constexpr (kConst) {
        graph(training.initialization(), Part::kTraining);
      } else {
        graph(*training.mutable_initialization(), Part::kTraining);
      }
    }
    if (training.has_algorithm()) {
      scope_ = training_scope(number, "algorithm");
      if constexpr (kConst) {
        graph(training.algorithm(), Part::kTraining);
      } else {
        graph(*training.mutable_algorithm(), Part::kTraining);
      }
    }
    scope_.clear();
  }

  void graph(Graph& graph, Part part) {
    if (depth_ > kDeepestGraph) {
      throw Error(ErrorCode::kInvalid,
                  "graphs are nested more than " + std::to_string(kDeepestGraph) + " deep");
    }
    ++depth_;
    visitor_.enter(place(&graph, part));
    nodes(graph, &graph, part);
    visitor_.leave(place(&graph, part));
    --depth_;
  }

  template <typename Holder>  // a graph or a function
  void nodes(Holder& holder, Graph* graph, Part part) {
    int index = 0;
    if constexpr (kConst) {
      for (const onnx::NodeProto& node : holder.node()) this->node(node, index++, graph, part);
    } else {
      for (onnx::NodeProto& node : *holder.mutable_node()) this->node(node, index++, graph, part);
    }
  }

  void node(Node& node, int index, Graph* graph, Part part) {
    visitor_.node(node, place(graph, part));
    if (has_graphs(node)) graphs_in(node, index, part);
    visitor_.after(node, place(graph, part));
  }

  // Writes the operator once for all graphs of the node, and the name of an attribute once for all
  // of its graphs: either may be long.
  void graphs_in(Node& node, int index, Part part) {
    const size_t outer = scope_.size();
    append_node(scope_, node.op_type(), index);
    const size_t node_end = scope_.size();
    const onnx::AttributeProto* last = nullptr;
    size_t attribute_end = node_end;
    for_each_graph_in(node, [&](Graph& inner, const onnx::AttributeProto& attribute, int number) {
      if (&attribute != last) {
        scope_.resize(node_end);
        append_attribute(scope_, attribute.name());
        attribute_end = scope_.size();
        last = &attribute;
      }
      scope_.resize(attribute_end);
      if (number >= 0) append_number(scope_, number);
      graph(inner, part);
    });
    scope_.resize(outer);
  }

  WalkPlace<Graph> place(Graph* graph, Part part) const { return {graph, scope_, part}; }

  Visitor& visitor_;
  std::string scope_;
  int depth_ = 0;
  int trainings_ = 0;
};

// Walks `graph`, as the main graph of a model, and the graphs in it.
template <typename Graph, typename Visitor>
void walk_graph(Graph& graph, Visitor&& visitor) {
  GraphWalk<std::remove_reference_t<Visitor>, std::is_const_v<Graph>>(visitor).main(graph);
}

// Walks the nodes of `function` and the graphs in them.
template <typename Function, typename Visitor>
void walk_function(Function& function, Visitor&& visitor) {
  GraphWalk<std::remove_reference_t<Visitor>, std::is_const_v<Function>>(visitor).function(
      function);
}

template <typename Visit>
struct EachNode : GraphVisitor {
  const Visit& visit;
  template <typename Node, typename Place>
  void node(Node& node, const Place& place) {
    visit(node, *place.graph);
  }
};

template <typename Visit>
struct EachGraph : GraphVisitor {
  const Visit& visit;
  template <typename Place>
  void enter(const Place& place) {
    visit(*place.graph);
  }
};

// Walks the main graph of `model`, its functions and its training graphs.
//
// Throws Error(kInvalid) if graphs are nested more than kDeepestGraph deep, as all walks do.
template <typename Model, typename Visitor>
void walk_model(Model& model, Visitor&& visitor) {
  GraphWalk<std::remove_reference_t<Visitor>, std::is_const_v<Model>>(visitor).model(model);
}

// Calls visit(node, graph) for all nodes of `graph` and of the graphs in it.
template <typename Graph, typename Visit>
void for_each_node(Graph& graph, const Visit& visit) {
  walk_graph(graph, EachNode<Visit>{{}, visit});
}

// Calls visit(graph) for `graph` and the graphs in it, each before those in it.
template <typename Graph, typename Visit>
void for_each_graph(Graph& graph, const Visit& visit) {
  walk_graph(graph, EachGraph<Visit>{{}, visit});
}

}  // namespace wshare
