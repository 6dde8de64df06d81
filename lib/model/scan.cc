#include "model/scan.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "format/dtype.h"
#include "format/foreign_file.h"
#include "format/scope.h"
#include "format/typed_fields.h"
#include "model/named_files.h"
#include "model/uses.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// ONNX Runtime's ConstantSharing makes one of equal constants of up to 8 elements, so that a shape
// may become the external tensor of another node, and then refuses the model: "Cannot parse data
// from external tensors". The types are those that shapes, scales and ranges have.
bool may_become_a_shape(const onnx::TensorProto& tensor) {
  constexpr uint64_t kMostElements = 8;
  switch (tensor.data_type()) {
    case onnx::TensorProto::FLOAT:
    case onnx::TensorProto::DOUBLE:
    case onnx::TensorProto::INT32:
    case onnx::TensorProto::INT64:
      return element_count({tensor.dims().data(), static_cast<size_t>(tensor.dims_size())})
                 .value_or(0) <= kMostElements;
    default:
      return false;
  }
}

// Reads the tensors of one model into a ScannedModel.
class Scanner {
 public:
  Scanner(ScannedModel& model, const std::filesystem::path& beside)
      : model_(model), beside_(beside) {}

  void run() {
    Skeleton skeleton = model_.file.skeleton();
    onnx::ModelProto& proto = skeleton.model();
    model_.ir_version = proto.ir_version();
    uses_ = find_uses(proto);
    model_.tensors.reserve(model_.file.wire().tensors.size());  // one of a million is copied often
    size_t found = 0;
    visit_tensors(proto, [&](const TensorSite& site) {
      marks_ = cut_marks(*site.tensor);
      found += marks_.size();
      try {
        model_.tensors.push_back(read(site));
      } catch (const Error& error) {
        throw Error(error.code(), "tensor " + in_quotes(site.name) + ": " + error.what(),
                    error.hint());
      }
    });
    require_all_found(found);
    model_.tensors.shrink_to_fit();  // there may be ten thousand models
    check_overlap();
    const NamedFiles named = find_named_files(proto);
    for (const std::string& location : named.needed) {
      model_.external.push_back(open_external(beside_, location));
      model_.external.back().named_by_node = true;
    }
    model_.texts = named.texts;
    model_.renames = find_renames(proto, model_.tensors, uses_);  // changes the graph: last
  }

 private:
  ValueUse use_of(const TensorSite& site) {
    if (site.home == Home::kInitializer && next_initializer_ < uses_.initializers.size()) {
      const uint32_t number = uses_.initializers[next_initializer_++];
      if (uses_.names[number] == site.name) return uses_.values[number];
    }
    return uses_.of(site.name);
  }

  // The bytes of a tensor that was cut out and not visited would be lost.
  void require_all_found(size_t found) const {
    const std::vector<WireTensor>& tensors = model_.file.wire().tensors;
    const auto cut = static_cast<size_t>(
        std::count_if(tensors.begin(), tensors.end(),
                      [](const WireTensor& tensor) { return !tensor.payloads.empty(); }));
    if (found != cut) {
      throw Error(ErrorCode::kUnsupported, "has " + std::to_string(cut) + " tensors with bytes, " +
                                               std::to_string(found) +
                                               " of them in places that this wshare knows");
    }
  }

  // Tensors may have one place in a file, or parts of one. That thousands lie on each other, so
  // that a file would be read thousands of times, is no model's need.
  void check_overlap() const {
    constexpr uint64_t kMostLayers = 64, kFewBytes = uint64_t{1} << 30;
    uint64_t held = 0, named = 0;
    for (const ExternalFile& file : model_.external) held += file.file.bytes().size();
    for (const TensorRef& tensor : model_.tensors)
      named += tensor.external_file >= 0 ? tensor.bytes.size() : 0;
    const auto is_much = [&] { return named > kFewBytes && named / kMostLayers > held; };
    if (!is_much()) return;
    std::set<std::pair<const std::byte*, size_t>> places;
    named = 0;
    for (const TensorRef& tensor : model_.tensors) {
      const bool is_new = tensor.external_file >= 0 &&
                          places.emplace(tensor.bytes.data(), tensor.bytes.size()).second;
      named += is_new ? tensor.bytes.size() : 0;
    }
    if (!is_much()) return;
    throw Error(ErrorCode::kInvalid, "its tensors name " + std::to_string(named) +
                                         " bytes of external data, which has " +
                                         std::to_string(held) + ": they lie on each other");
  }

  TensorRef read(const TensorSite& site) {
    const onnx::TensorProto& proto = *site.tensor;
    TensorRef tensor;
    tensor.scope = site.scope;
    tensor.name = site.name;
    tensor.home = site.home;
    tensor.dtype = proto.data_type();
    tensor.shape.assign(proto.dims().begin(), proto.dims().end());
    const bool in_graph = site.home == Home::kInitializer || site.home == Home::kConstant;
    const ValueUse use = use_of(site);
    tensor.folded = in_graph && use.folded;
    const std::optional<Dtype> dtype = find_dtype(proto.data_type());
    if (!dtype) {
      tensor.inline_reason = InlineReason::kUnknownDtype;
    } else if (proto.data_type() == kStringCode) {
      tensor.inline_reason = InlineReason::kString;
    } else if (proto.has_segment()) {
      tensor.inline_reason = InlineReason::kSegment;
    } else {
      read_bytes(site, *dtype, use.consumed, tensor);
      if (!tensor.inline_reason) tensor.inline_reason = reason_to_stay(site, use);
    }
    return tensor;
  }

  static std::optional<InlineReason> reason_to_stay(const TensorSite& site, const ValueUse& use) {
    switch (site.home) {
      case Home::kSparse:
        return InlineReason::kSparse;
      case Home::kAttribute:
        return InlineReason::kAttribute;
      case Home::kTraining:
        return InlineReason::kTraining;
      case Home::kConstant:
      case Home::kInitializer:
      case Home::kFunction:
        break;
    }
    if (use.graph_output) return InlineReason::kGraphOutput;
    if (use.shape_read) return InlineReason::kShapeInference;
    if (may_become_a_shape(*site.tensor)) return InlineReason::kBelowMinBytes;
    return std::nullopt;
  }

  void read_bytes(const TensorSite& site, const Dtype& dtype, bool consumed, TensorRef& tensor) {
    const std::optional<uint64_t> needed = byte_size(dtype, tensor.shape);
    if (!needed) {
      throw Error(ErrorCode::kInvalid, "its shape is negative or needs more than 2^63 bytes");
    }
    if (site.tensor->data_location() == onnx::TensorProto::EXTERNAL) {
      read_external(*site.tensor, *needed, tensor);
      return;
    }
    find_inline(dtype, tensor);
    if (tensor.bytes.size() == *needed) return;
    const bool loaded = site.home == Home::kInitializer || site.home == Home::kConstant;
    if (loaded && consumed) {
      throw Error(ErrorCode::kInvalid, "has " + std::to_string(tensor.bytes.size()) +
                                           " bytes, its shape needs " + std::to_string(*needed));
    }
    tensor.inline_reason = InlineReason::kSizeContradictsShape;
  }

  void find_inline(const Dtype& dtype, TensorRef& tensor) {
    std::vector<WireField> payloads;
    for (const uint32_t mark : marks_) {
      const std::vector<WireField>& found = model_.file.wire().tensors[mark].payloads;
      payloads.insert(payloads.end(), found.begin(), found.end());
    }
    const TensorValues values =
        read_values(model_.file.file().bytes(), payloads, dtype,
                    [&](size_t size) { return model_.decoded.allocate(size); });
    tensor.bytes = values.bytes;
    tensor.is_span = !values.decoded && payloads.size() == 1;
  }

  void read_external(const onnx::TensorProto& proto, uint64_t needed, TensorRef& tensor) {
    std::string location;
    int64_t offset = 0;
    int64_t length = 0;  // as ONNX Runtime has it, 0 is what the shape needs
    for (const onnx::StringStringEntryProto& entry : proto.external_data()) {
      if (entry.key() == "location") location = entry.value();
      if (entry.key() == "offset") offset = number(entry);
      if (entry.key() == "length") length = number(entry);
    }
    if (length != 0 && static_cast<uint64_t>(length) != needed) {
      throw Error(ErrorCode::kInvalid,
                  "its external data has " + std::to_string(length) + " bytes, its shape needs " +
                      std::to_string(needed),
                  "export the model again: its parts contradict each other");
    }
    const size_t index = external_file(location);
    const std::span<const std::byte> bytes = model_.external[index].file.bytes();
    const auto at = static_cast<uint64_t>(offset);
    if (at > bytes.size() || needed > bytes.size() - at) {
      const Error error(ErrorCode::kInvalid,
                        "has " + std::to_string(bytes.size()) + " bytes, the tensor needs " +
                            std::to_string(needed) + " bytes at " + std::to_string(at));
      throw explain_refusal(error, location, bytes, ExpectedFile::kExternalData,
                            "get the external file again: it is cut short, or of another export");
    }
    tensor.bytes = bytes.subspan(static_cast<size_t>(at), static_cast<size_t>(needed));
    tensor.external_file = static_cast<int>(index);
    tensor.external_offset = at;
  }

  static int64_t number(const onnx::StringStringEntryProto& entry) {
    const int64_t value = parse_decimal(entry.value());
    if (value < 0) {
      throw Error(ErrorCode::kInvalid, "its external " + entry.key() + " " +
                                           in_quotes(entry.value()) + " is no number of 0 or more");
    }
    return value;
  }

  size_t external_file(const std::string& location) {
    const auto [known, is_new] = number_of_.try_emplace(location, model_.external.size());
    if (is_new) model_.external.push_back(open_external(beside_, location));
    return known->second;
  }

  ScannedModel& model_;
  const std::filesystem::path& beside_;                // the file that external files lie beside
  std::unordered_map<std::string, size_t> number_of_;  // of external files
  GraphUses uses_;
  size_t next_initializer_ = 0;
  std::vector<uint32_t> marks_;  // of the tensor that is read
};

}  // namespace

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

std::string full_name(const TensorRef& tensor) { return full_name(tensor.scope, tensor.name); }

ScannedModel scan_model(const std::filesystem::path& path) { return scan_model(path, path); }

ScannedModel scan_model(const std::filesystem::path& path, const std::filesystem::path& beside) {
  ScannedModel model{ModelFile::load(path), {}, {}, {}, 0};
  try {
    Scanner(model, beside).run();
  } catch (const Error& error) {
    const std::string subject = in_quotes(path.string());
    const std::string what = error.what();
    throw Error(error.code(), what.starts_with(subject) ? what : subject + ": " + what,
                error.hint());
  }
  return model;
}

}  // namespace wshare
