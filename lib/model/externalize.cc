#include "model/externalize.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <onnx/onnx_pb.h>

#include <charconv>
#include <set>
#include <vector>

#include "format/packed_buffers.h"
#include "model/keep_if.h"
#include "util/as_text.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// The first IR version with initializers that are no graph inputs.
constexpr int64_t kFreeInitializers = 4;

// Puts bytes into a model, as many as a model file can have: more would be copied for nothing.
class InlineBytes {
 public:
  explicit InlineBytes(const ScannedModel& model) : model_(model) {}

  void set(const TensorRef& ref, onnx::TensorProto& tensor) {
    const bool is_external = ref.external_file >= 0;
    total_ += is_external ? ref.bytes.size() : inline_bytes(model_.file, tensor);
    if (total_ > kMostMessageBytes) {
      throw Error(ErrorCode::kUnsupported,
                  in_quotes(model_.file.file().path().string()) + ": " + std::to_string(total_) +
                      " bytes of tensors stay in the model up to " + in_quotes(full_name(ref)) +
                      ", protobuf takes no more than " + std::to_string(kMostMessageBytes));
    }
    if (!is_external) {
      put_back(model_.file, tensor);
      return;
    }
    tensor.clear_external_data();
    tensor.clear_data_location();
    tensor.set_raw_data(ref.bytes.data(), ref.bytes.size());
  }

 private:
  const ScannedModel& model_;
  uint64_t total_ = 0;
};

void remove_nodes(onnx::GraphProto& graph, const std::set<const onnx::NodeProto*>& gone) {
  keep_if(*graph.mutable_node(),
          [&](const onnx::NodeProto& node) { return gone.count(&node) == 0; });
}

std::string serialize(const onnx::ModelProto& model, const std::string& name) {
  std::string out;
  google::protobuf::io::StringOutputStream stream(&out);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  if (!model.SerializePartialToCodedStream(&coded)) {
    throw Error(ErrorCode::kUnsupported,
                in_quotes(name) + ": " + std::to_string(model.ByteSizeLong()) +
                    " bytes stay in the model, protobuf takes no more than " +
                    std::to_string(kMostMessageBytes));
  }
  coded.Trim();
  return out;
}

uint64_t parse_number(const std::string& text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw Error(ErrorCode::kInvalid, in_quotes(text) + ": is no offset or length");
  }
  return number;
}

// Moves what `tensor` refers to, and with it what kernels packed: ONNX Runtime looks for that in
// the same file.
void move_external(onnx::TensorProto& tensor,
                   const std::function<ExternalReference(const ExternalReference&)>& place_of) {
  const ExternalReference before = read_external(tensor);
  const ExternalReference after = place_of(before);
  std::vector<onnx::StringStringEntryProto> packed;
  for (onnx::StringStringEntryProto& entry : *tensor.mutable_external_data()) {
    if (!entry.key().starts_with(kPackedKey)) continue;
    entry.set_value(move_packed_buffers(entry.value(), [&](uint64_t offset, uint64_t size) {
      const ExternalReference place = place_of({before.file, offset, size});
      if (place.file == after.file) return place.offset;
      throw Error(ErrorCode::kInvalid,
                  in_quotes(tensor.name()) + ": lies in another file than what is packed of it");
    }));
    packed.push_back(std::move(entry));
  }
  set_external(tensor, after);
  for (onnx::StringStringEntryProto& entry : packed) tensor.add_external_data()->Swap(&entry);
}

// True if nothing of the model lies in another file, before or after.
bool stays_as_it_is(const ScannedModel& model,
                    const std::function<std::optional<ExternalReference>(size_t)>& place_of) {
  if (!model.external.empty() || model.file.file().bytes().size() > kMostMessageBytes) return false;
  for (size_t t = 0; t < model.tensors.size(); ++t) {
    if (place_of(t)) return false;
  }
  return true;
}

}  // namespace

ExternalReference read_external(const onnx::TensorProto& tensor) {
  ExternalReference place;
  for (const onnx::StringStringEntryProto& entry : tensor.external_data()) {
    if (entry.key() == "location") place.file = entry.value();
    if (entry.key() == "offset") place.offset = parse_number(entry.value());
    if (entry.key() == "length") place.size = parse_number(entry.value());
  }
  return place;
}

std::string relocate(const ModelFile& file,
                     const std::function<ExternalReference(const ExternalReference&)>& place_of,
                     const std::function<void(onnx::ModelProto&)>& edit) {
  Skeleton skeleton = file.skeleton();
  if (edit) edit(skeleton.model());
  visit_tensors(skeleton.model(), [&](const TensorSite& site) {
    if (site.tensor->data_location() == onnx::TensorProto::EXTERNAL) {
      move_external(*site.tensor, place_of);
    } else {
      put_back(file, *site.tensor);
    }
  });
  return serialize(skeleton.model(), file.file().path().string());
}

std::string relocate(std::string_view graph, const std::string& name,
                     const std::function<ExternalReference(const ExternalReference&)>& place_of) {
  Skeleton parsed;
  if (graph.size() > kMostMessageBytes ||
      !parsed.model().ParsePartialFromArray(graph.data(), static_cast<int>(graph.size())))
    throw Error(ErrorCode::kInvalid, in_quotes(name) + ": its graph is no ONNX model");
  visit_tensors(parsed.model(), [&](const TensorSite& site) {
    if (site.tensor->data_location() == onnx::TensorProto::EXTERNAL)
      move_external(*site.tensor, place_of);
  });
  return serialize(parsed.model(), name);
}

void set_external(onnx::TensorProto& tensor, const ExternalReference& place) {
  clear_cut_marks(tensor);
  tensor.clear_external_data();
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  for (const auto& [key, value] : {std::pair<const char*, std::string>{"location", place.file},
                                   {"offset", std::to_string(place.offset)},
                                   {"length", std::to_string(place.size)}}) {
    onnx::StringStringEntryProto* entry = tensor.add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  }
}

std::string externalize(const ScannedModel& model,
                        const std::function<std::optional<ExternalReference>(size_t)>& place_of,
                        const std::function<void(onnx::ModelProto&)>& edit) {
  if (!edit && stays_as_it_is(model, place_of))
    return std::string(as_text(model.file.file().bytes()));
  Skeleton skeleton = model.file.skeleton();
  onnx::ModelProto& proto = skeleton.model();
  std::vector<TensorSite> constants;
  InlineBytes kept(model);
  size_t index = 0;
  visit_tensors(proto, [&](const TensorSite& site) {
    const std::optional<ExternalReference> place = place_of(index);
    const TensorRef& ref = model.tensors[index++];
    if (!place) {
      kept.set(ref, *site.tensor);
      return;
    }
    set_external(*site.tensor, *place);
    site.tensor->set_name(
        std::string(site.name));  // the manifest's name, also for a value in a function
    if (site.home == Home::kConstant && model.ir_version >= kFreeInitializers) {
      constants.push_back(site);
    }
  });
  if (edit) edit(proto);
  std::set<const onnx::NodeProto*> gone;
  std::set<onnx::GraphProto*> graphs;
  for (const TensorSite& site : constants) {
    site.graph->add_initializer()->Swap(site.tensor);
    gone.insert(site.node);
    graphs.insert(site.graph);
  }
  // A subgraph lies inside a node of its outer graph; nodes move when others are removed, but
  // protobuf keeps each message at its address, so the order of the graphs does not matter.
  for (onnx::GraphProto* graph : graphs) remove_nodes(*graph, gone);
  return serialize(proto, model.file.file().path().string());
}

}  // namespace wshare
