#include "lora/module_names.h"

#include <google/protobuf/unknown_field_set.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "model/fresh_names.h"

namespace wshare {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kBaseLayer = ".base_layer";
constexpr std::string_view kPeft = "base_model.model.";

// NodeProto.metadata_props of IR 10, which the ONNX that this is built with may not know yet.
// Source: onnx.proto3 of ONNX 1.16.
constexpr int kMetadataProps = 9;
constexpr const char* kNameScopes = "pkg.torch.onnx.name_scopes";

std::string without_peft(std::string path) {
  const size_t prefix = path.rfind(kPeft);
  if (prefix == 0 || (prefix != std::string::npos && path[prefix - 1] == '.')) {
    path.erase(0, prefix + kPeft.size());
  }
  if (path.ends_with(kBaseLayer)) path.resize(path.size() - kBaseLayer.size());
  return path;
}

std::string from_weight(const std::string& name) {
  const bool is_path = name.ends_with(kWeight) && name.size() > kWeight.size() &&
                       name.find_first_of("/: ") == std::string::npos;
  return is_path ? name.substr(0, name.size() - kWeight.size()) : "";
}

// "/encoder/q/MatMul_1" of a MatMul: "encoder.q". What quantizes it says so behind: MatMul_Q4.
std::string from_node_name(const onnx::NodeProto& node) {
  const std::string& name = node.name();
  const size_t slash = name.rfind('/');
  if (!name.starts_with('/') || slash == 0) return "";
  std::string_view last = std::string_view(name).substr(slash + 1);
  const bool quantized = is_block_quantized(node);
  const std::string_view op = quantized ? "MatMul" : std::string_view(node.op_type());
  if (!last.starts_with(op)) return "";
  last.remove_prefix(op.size());
  const bool numbered = last.size() > 1 && last[0] == '_' &&
                        last.find_first_not_of("0123456789", 1) == std::string_view::npos;
  if (!last.empty() && !numbered && !quantized) return "";
  std::string path = name.substr(1, slash - 1);
  std::replace(path.begin(), path.end(), '/', '.');
  return path;
}

std::string name_scopes_of(const onnx::NodeProto& node) {
  const google::protobuf::UnknownFieldSet& fields = node.GetReflection()->GetUnknownFields(node);
  for (int i = 0; i < fields.field_count(); ++i) {
    const google::protobuf::UnknownField& field = fields.field(i);
    if (field.number() != kMetadataProps ||
        field.type() != google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED) {
      continue;
    }
    onnx::StringStringEntryProto entry;
    if (entry.ParseFromString(field.length_delimited()) && entry.key() == kNameScopes) {
      return entry.value();
    }
  }
  return "";
}

// "['', 'model', 'model.q', 'linear_3']" has the modules from the outermost inwards, then the call:
// "model.q".
std::string from_metadata(const onnx::NodeProto& node) {
  const std::string scopes = name_scopes_of(node);
  std::vector<std::string> names;
  for (size_t at = scopes.find('\''); at != std::string::npos;) {
    const size_t end = scopes.find('\'', at + 1);
    if (end == std::string::npos) break;
    names.push_back(scopes.substr(at + 1, end - at - 1));
    at = scopes.find('\'', end + 1);
  }
  return names.size() < 2 ? "" : names[names.size() - 2];
}

}  // namespace

std::string module_path(const std::string& weight, const std::vector<SiteLayer>& layers) {
  const onnx::NodeProto& layer = *layers.front().node;
  for (const std::string& path :
       {from_weight(weight), from_node_name(layer), from_metadata(layer)}) {
    const std::string bare = without_peft(path);
    if (!bare.empty()) return bare;
  }
  return weight;
}

bool is_one_module(const std::vector<SiteLayer>& layers) {
  if (layers.size() == 1) return true;
  const SiteLayer& first = layers.front();
  std::set<std::string> paths;
  for (const SiteLayer& layer : layers) {
    if (layer.kind != first.kind || layer.transposed != first.transposed) return false;
    paths.insert(module_path("", {layer}));  // without the weight's name
  }
  return paths.size() == 1 && !paths.begin()->empty();
}

std::vector<BranchNames> name_branches(const onnx::ModelProto& model,
                                       const std::vector<std::string>& paths) {
  FreshNames names(model);
  std::vector<BranchNames> result;
  std::map<std::string, int> next;  // by wish: lower numbers are taken
  for (const std::string& wish : paths) {
    for (int& number = next.emplace(wish, 1).first->second;; ++number) {
      const std::string path = number == 1 ? wish : wish + "_" + std::to_string(number);
      BranchNames each{path, path + ".lora_A.weight", path + ".lora_B.weight", path + ".lora_r"};
      if (!names.is_free(each.a) || !names.is_free(each.b) || !names.is_free(each.rank_name)) {
        continue;
      }
      for (const std::string* name : {&each.a, &each.b, &each.rank_name}) names.make(*name);
      result.push_back(std::move(each));
      break;
    }
  }
  return result;
}

}  // namespace wshare
