#include "model/named_files.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <set>

#include "model/walk.h"
#include "util/paths.h"

namespace wshare {
namespace {

const onnx::AttributeProto* find_attribute(const onnx::NodeProto& node, const char* name) {
  for (const onnx::AttributeProto& attribute : node.attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

// The file that `node` needs beside the model, or nothing.
const std::string* needed_by(const onnx::NodeProto& node) {
  if (node.op_type() != "EPContext" || node.domain() != "com.microsoft") return nullptr;
  const onnx::AttributeProto* mode = find_attribute(node, "embed_mode");
  const onnx::AttributeProto* context = find_attribute(node, "ep_cache_context");
  const bool embedded = mode == nullptr || mode->i() != 0;
  if (embedded || context == nullptr || context->s().empty()) return nullptr;
  return &context->s();
}

class Finder : public GraphVisitor {
 public:
  NamedFiles files;

  template <typename Place>
  void node(const onnx::NodeProto& node, const Place&) {
    const std::string* needed = needed_by(node);
    if (needed != nullptr && seen_.insert(*needed).second) files.needed.push_back(*needed);
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      if (&attribute.s() != needed) text(attribute.s());
      for (const std::string& each : attribute.strings()) text(each);
    }
  }

 private:
  // A name of a file in a bundle has an extension.
  void text(const std::string& text) {
    if (!is_file_name(text) || text.find('.') == std::string::npos) return;
    if (texts_.insert(text).second) files.texts.push_back(text);
  }

  std::set<std::string> seen_, texts_;
};

}  // namespace

NamedFiles find_named_files(const onnx::ModelProto& model) {
  Finder finder;
  walk_model(model, finder);
  return std::move(finder.files);
}

}  // namespace wshare
