#include "inspect/structure.h"

#include <google/protobuf/unknown_field_set.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "format/dtype.h"
#include "inspect/consumers.h"
#include "model/named_files.h"
#include "model/walk.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 48;  // sums over all models stay far below 2^64
constexpr uint64_t kMostDecoded = 8;                // bytes of elements per byte of a model file

std::string home_of(const TensorSite& site) {
  if (site.tensor->data_location() == onnx::TensorProto::EXTERNAL) return "external";
  if (site.home == Home::kInitializer && !site.scope.empty()) return "subgraph";
  return text_of(site.home);
}

// What exporters write down about their work: stack traces of each node, paths of modules.
class NotesWalk : public GraphVisitor {
 public:
  using Place = WalkPlace<const onnx::GraphProto>;

  uint64_t bytes = 0;

  // `metadata` is the number of the field metadata_props, which onnx before 1.16 has in models
  // only.
  template <typename Proto>
  void add(const Proto& proto, int metadata) {
    bytes += proto.doc_string().size();
    for (int i = 0; i < proto.unknown_fields().field_count(); ++i) {
      const google::protobuf::UnknownField& field = proto.unknown_fields().field(i);
      const bool is_text = field.type() == google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED;
      if (field.number() == metadata && is_text) bytes += field.length_delimited().size();
    }
    if constexpr (requires { proto.metadata_props(); }) {
      for (const onnx::StringStringEntryProto& entry : proto.metadata_props())
        bytes += entry.key().size() + entry.value().size();
    }
  }

  void enter(const Place& place) {
    add(*place.graph, 16);
    for (const onnx::ValueInfoProto& value : place.graph->value_info()) add(value, 4);
  }
  void node(const onnx::NodeProto& node, const Place&) { add(node, 9); }
  void enter_function(const onnx::FunctionProto& function) { add(function, 14); }
};

uint64_t bytes_of_notes(const onnx::ModelProto& model) {
  NotesWalk walk;
  walk.add(model, 0);
  walk_model(model, walk);
  return walk.bytes;
}

class StructureReader {
 public:
  explicit StructureReader(const ModelInput& input) : input_(input) {}

  ModelStructure read() {
    const ModelFile file = ModelFile::load(input_.path);
    Skeleton skeleton = file.skeleton();
    file_bytes_ = file.file().bytes().size();
    structure_.id = file.file().id();
    structure_.model_bytes = file_bytes_;
    structure_.notes_bytes = bytes_of_notes(std::as_const(skeleton.model()));
    structure_.rows = {input_.name, input_.path.string(), file_bytes_, {}, {}};
    const std::vector<TensorReaders> readers = find_readers(skeleton.model());
    visit_tensors(skeleton.model(), [&](const TensorSite& site) {
      try {
        add(site, readers[structure_.homes.size()]);
      } catch (const Error& error) {
        throw Error(error.code(), in_quotes(input_.path.string()) + ": tensor " +
                                      in_quotes(site.name) + ": " + error.what());
      }
    });
    for (const std::string& location : find_named_files(skeleton.model()).needed) {
      const size_t at = find_or_add(location);
      InspectedFile& named = structure_.rows.external[at];
      named.needed = std::max(named.needed, named.bytes.value_or(1));  // all of it
      structure_.external[at].ranges.emplace_back(0, named.needed);
    }
    for (const InspectedFile& external : structure_.rows.external) {
      structure_.rows.bytes += external.bytes.value_or(0);
    }
    structure_.rows.tensors.shrink_to_fit();  // there may be ten thousand models
    return std::move(structure_);
  }

 private:
  void add(const TensorSite& site, const TensorReaders& readers) {
    const onnx::TensorProto& proto = *site.tensor;
    const std::optional<Dtype> dtype = find_dtype(proto.data_type());
    InspectedTensor tensor;
    tensor.scope = site.scope;
    tensor.tensor = site.name;
    tensor.dtype = dtype ? std::string(dtype->name) : "dtype " + std::to_string(proto.data_type());
    tensor.shape.assign(proto.dims().begin(), proto.dims().end());
    if (dtype && proto.data_type() != kStringCode) {
      tensor.bytes = byte_size(*dtype, tensor.shape).value_or(kMostBytes + 1);
    }
    tensor.home = home_of(site);
    // A shape that the file cannot fill; the model may be valid where nothing reads the tensor.
    const bool is_external = tensor.home == "external";
    if (!is_external && tensor.bytes / kMostDecoded > file_bytes_) tensor.bytes = 0;
    total_ += std::min(tensor.bytes, kMostBytes + 1);
    if (total_ > kMostBytes) {
      throw Error(ErrorCode::kInvalid, "the shapes up to here need more than 2^48 bytes");
    }
    tensor.op = readers.first_op;
    const bool has_name = site.home == Home::kInitializer && !site.name.empty();
    if (has_name && !names_.emplace(site.graph, site.name).second)
      structure_.doubled.push_back(structure_.homes.size());
    if (is_external) add_external(proto, tensor.bytes);
    structure_.homes.push_back(site.home);
    structure_.used.push_back(readers.is_used);
    structure_.rows.tensors.push_back({std::move(tensor), {}, {}, {}});
  }

  void add_external(const onnx::TensorProto& proto, uint64_t bytes) {
    std::string location;
    uint64_t offset = 0;
    for (const onnx::StringStringEntryProto& entry : proto.external_data()) {
      if (entry.key() == "location") location = entry.value();
      if (entry.key() != "offset") continue;
      const int64_t number = parse_decimal(entry.value());
      if (number < 0) {
        throw Error(ErrorCode::kInvalid, "its external offset " + in_quotes(entry.value()) +
                                             " is no number of 0 or more");
      }
      offset = static_cast<uint64_t>(number);
    }
    const size_t at = find_or_add(location);
    InspectedFile& file = structure_.rows.external[at];
    file.needed = std::max(file.needed, offset + bytes);
    structure_.external[at].ranges.emplace_back(offset, bytes);
  }

  // Returns the number of the external file at `location`.
  size_t find_or_add(const std::string& location) {
    std::vector<InspectedFile>& files = structure_.rows.external;
    const auto [known, is_new] = number_of_.try_emplace(location, files.size());
    if (!is_new) return known->second;
    ExternalUse& use = structure_.external.emplace_back();
    files.push_back({location, std::nullopt, 0});
    if (const std::optional<ExternalFile> external = find_external(input_.path, location)) {
      use.id = external->file.id();
      use.in_bundle = fs::exists(external->file.path().parent_path() / kManifestName);
      files.back().bytes = external->file.bytes().size();
    }
    return files.size() - 1;
  }

  const ModelInput& input_;
  ModelStructure structure_;
  std::set<std::pair<const onnx::GraphProto*, std::string>> names_;  // of initializers
  std::unordered_map<std::string, size_t> number_of_;                // of external files
  uint64_t file_bytes_ = 0;
  uint64_t total_ = 0;
};

}  // namespace

ModelStructure read_structure(const ModelInput& input) { return StructureReader(input).read(); }

}  // namespace wshare
