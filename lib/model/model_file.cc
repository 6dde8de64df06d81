#include "model/model_file.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/unknown_field_set.h>
#include <onnx/onnx_pb.h>

#include "format/foreign_file.h"
#include "util/text.h"
#include "wshare/error.h"

// A model of 2 GB is 1,999 MB of tensor bytes. The skeleton is the same message without them:
//
//   file:      ... | key len=4108 | name "w" dims raw_data(4096) | ...
//   skeleton:  ... | key len=13   | mark=7 name "w" dims         | ...
//
// Cutting a payload changes the length of every message around it, so the new lengths are worked
// out from the inside to the outside, and then everything is copied in one pass, front to back.

namespace wshare {
namespace {

const std::string kLimit = ", protobuf takes no more than " + std::to_string(kMostMessageBytes);

uint64_t payload_bytes(const WireTensor& tensor) {
  uint64_t bytes = 0;
  for (const WireField& payload : tensor.payloads) bytes += payload.end() - payload.begin;
  return bytes;
}

constexpr uint64_t kMarkKey = uint64_t{tensor_field::kCutMark} << 3;

int64_t varint_size(uint64_t value) {
  int64_t bytes = 1;
  for (; value >= 0x80; value >>= 7) ++bytes;
  return bytes;
}

// What becomes of a message on the road to tensors, or of a tensor.
struct Cut {
  static constexpr uint32_t kNothing = ~uint32_t{0};
  uint32_t tensor = kNothing;  // whose payloads go
  int64_t lost = 0;            // bytes that it has less

  bool is_needed() const { return tensor != kNothing || lost != 0; }
};

uint64_t size_after(const WireParent& parent, const Cut& cut) {
  return static_cast<uint64_t>(static_cast<int64_t>(parent.end - parent.begin) - cut.lost);
}

std::vector<Cut> find_cuts(const WireTensors& wire) {
  std::vector<Cut> cuts(wire.parents.size());
  for (uint32_t i = 0; i < wire.tensors.size(); ++i) {
    const WireTensor& tensor = wire.tensors[i];
    if (tensor.payloads.empty()) continue;
    const auto payloads = static_cast<int64_t>(payload_bytes(tensor));
    cuts[tensor.parent] = {i, payloads - varint_size(kMarkKey) - varint_size(i)};
  }
  for (size_t i = cuts.size(); i-- > 0;) {
    const WireParent& parent = wire.parents[i];
    if (!cuts[i].is_needed() || parent.up == kNoParent) continue;
    cuts[parent.up].lost += cuts[i].lost + static_cast<int64_t>(parent.begin - parent.length_at) -
                            varint_size(size_after(parent, cuts[i]));
  }
  return cuts;
}

std::string skeleton_bytes(std::span<const std::byte> file, const WireTensors& wire,
                           uint64_t expected) {
  std::string out;
  out.reserve(static_cast<size_t>(expected));
  uint64_t at = 0;
  const auto copy_until = [&](uint64_t end) {
    out.append(reinterpret_cast<const char*>(file.data()) + at, static_cast<size_t>(end - at));
  };
  const std::vector<Cut> cuts = find_cuts(wire);
  for (size_t i = 0; i < cuts.size(); ++i) {
    if (!cuts[i].is_needed()) continue;
    copy_until(wire.parents[i].length_at);
    append_varint(out, size_after(wire.parents[i], cuts[i]));
    at = wire.parents[i].begin;
    if (cuts[i].tensor == Cut::kNothing) continue;
    append_varint(out, kMarkKey);
    append_varint(out, cuts[i].tensor);
    for (const WireField& payload : wire.tensors[cuts[i].tensor].payloads) {
      copy_until(payload.begin);
      at = payload.end();
    }
  }
  copy_until(file.size());
  return out;
}

// What to tell about `file`, which is no model because of `what`.
Error no_model(const MappedFile& file, const Error& what) {
  return explain_refusal(
      what, file.path(), file.bytes(), ExpectedFile::kModel,
      "is it an ONNX model, and all of it? a download that stopped looks like this, too");
}

}  // namespace

ModelFile ModelFile::load(const std::filesystem::path& path) {
  return load(MappedFile::open(path));
}

ModelFile ModelFile::load(MappedFile file) {
  const std::filesystem::path path = file.path();
  try {
    if (file.bytes().empty()) throw Error(ErrorCode::kInvalid, "is empty");
    WireTensors wire = find_wire_tensors(file.bytes());
    return {std::move(file), std::move(wire)};
  } catch (const Error& error) {
    throw no_model(file, error);
  }
}

Skeleton::Skeleton()
    : arena_(std::make_unique<google::protobuf::Arena>()),
      model_(google::protobuf::Arena::CreateMessage<onnx::ModelProto>(arena_.get())) {}

Skeleton::Skeleton(Skeleton&&) noexcept = default;

Skeleton::~Skeleton() = default;

Skeleton ModelFile::skeleton() const {
  uint64_t size = file_.bytes().size();
  for (const WireTensor& tensor : wire_.tensors) size -= payload_bytes(tensor);
  if (size > kMostMessageBytes) {
    throw Error(ErrorCode::kUnsupported, in_quotes(file_.path().string()) + ": has " +
                                             std::to_string(size) +
                                             " bytes beside the data of its tensors" + kLimit);
  }
  constexpr uint64_t kMarkBytes = 8;  // at most; lengths become no longer
  const std::string bytes =
      skeleton_bytes(file_.bytes(), wire_, size + wire_.tensors.size() * kMarkBytes);
  Skeleton skeleton;
  onnx::ModelProto& model = skeleton.model();
  if (!model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    throw no_model(file_, {ErrorCode::kInvalid, "no valid ONNX file: protobuf refuses it"});
  }
  if (!model.has_graph() || model.ir_version() == 0) {
    const std::string lacks = model.has_graph() ? "ir_version" : "graph";
    throw no_model(file_, {ErrorCode::kInvalid, "no valid ONNX file: has no " + lacks});
  }
  return skeleton;
}

std::vector<uint32_t> cut_marks(const onnx::TensorProto& tensor) {
  std::vector<uint32_t> marks;
  const google::protobuf::UnknownFieldSet& fields =
      tensor.GetReflection()->GetUnknownFields(tensor);
  for (int i = 0; i < fields.field_count(); ++i) {
    if (static_cast<uint32_t>(fields.field(i).number()) == tensor_field::kCutMark) {
      marks.push_back(static_cast<uint32_t>(fields.field(i).varint()));
    }
  }
  return marks;
}

void clear_cut_marks(onnx::TensorProto& tensor) {
  tensor.GetReflection()->MutableUnknownFields(&tensor)->DeleteByNumber(
      static_cast<int>(tensor_field::kCutMark));
}

uint64_t inline_bytes(const ModelFile& model, const onnx::TensorProto& tensor) {
  uint64_t bytes = 0;
  for (const uint32_t mark : cut_marks(tensor)) bytes += payload_bytes(model.wire().tensors[mark]);
  return bytes;
}

void put_back(const ModelFile& model, onnx::TensorProto& tensor) {
  const std::vector<uint32_t> marks = cut_marks(tensor);
  uint64_t bytes = 0;
  for (const uint32_t mark : marks) bytes += payload_bytes(model.wire().tensors[mark]);
  if (bytes > kMostMessageBytes) {
    throw Error(ErrorCode::kUnsupported,
                in_quotes(model.file().path().string()) + ": tensor " + in_quotes(tensor.name()) +
                    ": has " + std::to_string(bytes) + " bytes that stay in the model" + kLimit,
                "ONNX Runtime takes no such model, either: export it with external data");
  }
  clear_cut_marks(tensor);
  for (const uint32_t mark : marks) {
    for (const WireField& payload : model.wire().tensors[mark].payloads) {
      const auto* begin =
          reinterpret_cast<const uint8_t*>(model.file().bytes().data()) + payload.begin;
      google::protobuf::io::CodedInputStream stream(
          begin, static_cast<int>(payload.end() - payload.begin));
      if (!tensor.MergePartialFromCodedStream(&stream)) {
        throw Error(ErrorCode::kInvalid, in_quotes(model.file().path().string()) + ": tensor " +
                                             in_quotes(tensor.name()) +
                                             ": protobuf refuses its data");
      }
    }
  }
}

}  // namespace wshare
