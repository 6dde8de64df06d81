#pragma once

#include <string>
#include <string_view>

namespace wshare {

// A scope says where in a model values are named: "" for the main graph,
// "If#3.then_branch/Loop#0.body" for a graph in a node (operator, index of the node among its
// neighbours, attribute), "...[2]" for one of a list, "function:domain:name" and
// "training#0.algorithm" for what stands beside the main graph.

// The deepest graph that protobuf parses: it takes 100 messages in each other, and a graph in a
// graph is three more.
inline constexpr int kDeepestGraph = 33;

inline constexpr std::string_view kFunctionScope = "function:";

inline std::string function_scope(std::string_view domain, std::string_view name) {
  return std::string(kFunctionScope).append(domain).append(":").append(name);
}

inline bool is_in_function(std::string_view scope) { return scope.starts_with(kFunctionScope); }

inline std::string training_scope(int number, std::string_view graph) {
  return ("training#" + std::to_string(number) + ".").append(graph);
}

// The three parts that a node, its attribute and the number in a list of graphs add to the scope
// around them.
inline void append_node(std::string& scope, std::string_view op_type, int index) {
  if (!scope.empty()) scope += '/';
  scope.append(op_type).append("#").append(std::to_string(index));
}
inline void append_attribute(std::string& scope, std::string_view name) {
  scope.append(".").append(name);
}
inline void append_number(std::string& scope, int number) {
  scope.append("[").append(std::to_string(number)).append("]");
}

// Returns the name of a tensor behind its scope, as people see it.
inline std::string full_name(std::string_view scope, std::string_view name) {
  std::string full(scope);
  if (!full.empty()) full += '/';
  return full.append(name);
}

}  // namespace wshare
