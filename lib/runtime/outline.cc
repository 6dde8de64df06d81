#include "runtime/outline.h"

#include "format/onnx_wire.h"
#include "util/wire.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr int kMaxDepth = 50;
constexpr uint32_t kModelGraph = 7, kGraphNode = 1;
constexpr uint32_t kNodeInput = 1, kNodeOutput = 2, kNodeOpType = 4, kNodeAttribute = 5;
constexpr uint32_t kAttributeName = 1, kAttributeInt = 3, kAttributeTensor = 5, kAttributeGraph = 6,
                   kAttributeGraphs = 11;

class Outline {
 public:
  explicit Outline(std::span<const std::byte> model) : model_(model) {}

  std::vector<OutlineNode> read() {
    WireReader reader(model_, 0, model_.size());
    while (const auto field = reader.next()) {
      if (is_message(*field, kModelGraph)) read_graph(*field, 0);
    }
    return std::move(nodes_);
  }

 private:
  static bool is_message(const WireField& field, uint32_t number) {
    return field.number == number && field.type == WireType::kBytes;
  }

  void read_graph(const WireField& graph, int depth) {
    if (depth > kMaxDepth) {
      throw Error(ErrorCode::kInvalid,
                  "graphs are nested more than " + std::to_string(kMaxDepth) + " deep");
    }
    WireReader reader(model_, graph.payload, graph.end());
    while (const auto field = reader.next()) {
      if (is_message(*field, kGraphNode)) read_node(*field, depth);
    }
  }

  void read_node(const WireField& message, int depth) {
    OutlineNode node;
    std::vector<WireField> graphs;
    WireReader reader(model_, message.payload, message.end());
    while (const auto field = reader.next()) {
      if (is_message(*field, kNodeInput)) node.inputs.push_back(text_of(model_, *field));
      if (is_message(*field, kNodeOutput)) node.outputs.push_back(text_of(model_, *field));
      if (is_message(*field, kNodeOpType)) node.op_type = text_of(model_, *field);
      if (is_message(*field, kNodeAttribute)) read_attribute(*field, node, graphs);
    }
    nodes_.push_back(std::move(node));
    for (const WireField& graph : graphs) read_graph(graph, depth + 1);
  }

  void read_attribute(const WireField& message, OutlineNode& node, std::vector<WireField>& graphs) {
    std::string_view name;
    uint64_t number = 0;
    std::optional<WireField> tensor;
    WireReader reader(model_, message.payload, message.end());
    while (const auto field = reader.next()) {
      if (is_message(*field, kAttributeName)) name = text_of(model_, *field);
      if (field->number == kAttributeInt && field->type == WireType::kVarint)
        number = field->varint;
      if (is_message(*field, kAttributeTensor)) tensor = *field;
      if (is_message(*field, kAttributeGraph) || is_message(*field, kAttributeGraphs))
        graphs.push_back(*field);
    }
    if (name == "axis") node.axis = static_cast<int64_t>(number);
    if (name == "value" && tensor) {
      WireTensor place;
      place.begin = tensor->payload;
      place.end = tensor->end();
      node.constant_shape = read_wire_reference(model_, place).shape;
    }
  }

  std::span<const std::byte> model_;
  std::vector<OutlineNode> nodes_;
};

}  // namespace

std::vector<OutlineNode> read_nodes(std::span<const std::byte> model) {
  return Outline(model).read();
}

}  // namespace wshare
