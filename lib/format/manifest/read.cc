#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "format/codec/residual.h"
#include "format/derived_tensor.h"
#include "format/dtype.h"
#include "format/json_reader.h"
#include "format/manifest/text.h"
#include "util/hex.h"
#include "util/paths.h"
#include "util/shared_pool.h"
#include "util/text.h"
#include "util/utf8.h"
#include "wshare/error.h"

// Records are made as the text is read, so that nothing else of it is ever held: half a million
// tensors take 64 MiB of records, a tree of the JSON takes ten times that. What one record says of
// another is checked when all are there, so that keys may have any order but for "format".

namespace wshare {
namespace {

[[noreturn]] void fail(const std::string& what) { throw Error(ErrorCode::kInvalid, what); }

[[noreturn]] void fail_foreign() {
  throw Error(ErrorCode::kInvalid, "is no manifest of a wshare bundle",
              "'wshare dedupe MODEL... -o BUNDLE' makes a bundle");
}

// The fewest bytes of a record.
constexpr size_t kShortestBlob = 21, kShortestTensor = 80;

class ManifestReader {
 public:
  explicit ManifestReader(std::string_view text) : text_(text), json_(text) {}

  Manifest read() {
    Manifest manifest;
    read_keys([&](std::string_view key) {
      if (key == "blobs") read_list(manifest.blobs, &ManifestReader::read_blob);
      if (key == "models") read_list(manifest.models, &ManifestReader::read_model);
      if (key == "tasks") read_list(manifest.tasks, &ManifestReader::read_task);
      if (key == "archived") read_list(manifest.archived, &ManifestReader::read_archived);
      if (key == "packs") read_list(manifest.packs, &ManifestReader::read_pack);
      if (key == "gaps") read_list(manifest.gaps, &ManifestReader::read_range<GapRecord>);
      if (key == "retired_files") json_.list([&] { manifest.retired.emplace_back(json_.text()); });
      if (key == "left_out") json_.list([&] { manifest.left_out.emplace_back(json_.text()); });
    });
    return manifest;
  }

  ManifestIndex read_index() {
    whole_ = false;
    ManifestIndex index;
    std::vector<BlobRecord> blobs;
    read_keys([&](std::string_view key) {
      if (key == "blobs") read_long_list(blobs, kShortestBlob, &ManifestReader::read_blob);
      if (key == "models") read_places(index.models);
      if (key == "tasks") read_list(index.tasks, &ManifestReader::read_task);
      if (key == "archived") read_places(index.archived);
      if (key == "packs") read_places(index.packs);
      if (key == "gaps" || key == "retired_files") json_.raw_list();
    });
    index.blobs = std::make_shared<const std::vector<BlobRecord>>(std::move(blobs));
    return index;
  }

  // What read_places() found.
  template <typename Record>
  Record read_alone(Record (ManifestReader::*read_one)()) {
    Record record = (this->*read_one)();
    json_.finish();
    return record;
  }

  ModelRecord read_model() {
    ModelRecord model;
    json_.object({"name", "file", "size", "hash", "tensors"},
                 [&](std::string_view key) { read_model_key(key, model); });
    return model;
  }

  PackRecord read_pack() {
    PackRecord pack;
    json_.object({"name", "file", "size", "hash", "tensors", "buffers", "made_of", "onnxruntime",
                  "cpu", "optimization"},
                 [&](std::string_view key) {
                   read_model_key(key, pack.model);
                   if (key == "buffers")
                     read_list(pack.buffers, &ManifestReader::read_range<BufferRecord>);
                   if (key == "made_of") pack.made_of = read_hash();
                   if (key == "onnxruntime") pack.onnxruntime = json_.text();
                   if (key == "cpu") pack.cpu = json_.text();
                   if (key == "optimization") pack.optimization = json_.text();
                   if (key == "own_bytes") pack.own_bytes = json_.number();
                 });
    return pack;
  }

 private:
  // Reads what all manifests begin with, and calls read_key() for all keys.
  template <typename ReadKey>
  void read_keys(const ReadKey& read_key) {
    if (json_.peek() != '{') fail_foreign();
    bool is_ours = false;
    json_.object({"version", "blobs", "models", "gaps"}, [&](std::string_view key) {
      if (key == "format") is_ours = json_.peek() == '"' && json_.text() == "wshare-bundle";
      if (!is_ours) fail_foreign();
      if (key == "version") read_version();
      read_key(key);
    });
    json_.finish();
  }

  void read_places(RecordPlaces& places) {
    json_.list([&] { places.add(text_, json_.raw_object()); });
  }

  template <typename Record>
  void read_list(std::vector<Record>& records, Record (ManifestReader::*read_one)()) {
    json_.list([&] { records.push_back((this->*read_one)()); });
    records.shrink_to_fit();
  }

  // A list that grows leaves holes in the heap, of half its size. So records, of `shortest` bytes
  // and more, are counted first; what hostile text claims is no more than fits into it.
  template <typename Record>
  void read_long_list(std::vector<Record>& records, size_t shortest,
                      Record (ManifestReader::*read_one)()) {
    const std::string_view text = JsonReader(json_).raw_list();
    const auto objects = static_cast<size_t>(std::count(text.begin(), text.end(), '{'));
    records.reserve(std::min(objects, text.size() / shortest));
    read_list(records, read_one);
  }

  void read_version() {
    const uint64_t version = json_.number(UINT64_MAX);
    if (version == 0) fail("has version 0, which never was");
    if (version <= kFormatVersion) return;
    throw Error(ErrorCode::kUnsupported,
                "bundle format " + std::to_string(version) +
                    " is newer than this wshare, which reads up to " +
                    std::to_string(kFormatVersion),
                "use a newer wshare");
  }

  void assign(std::string& name, std::string_view text) const { name = text; }
  void assign(Text& name, std::string_view text) { name = names_.of(text); }

  // A name of any bytes. Where they are no UTF-8, "name" shows them and "name_bytes" has them.
  template <typename Name>
  void read_name(std::string_view key, std::string_view field, Name& name) {
    if (!key.starts_with(field)) return;
    const bool in_hex = key.substr(field.size()) == "_bytes";
    if (!in_hex && key != field) return;
    const std::string shown = to_utf8(name);
    if (in_hex) {
      const std::optional<std::string> bytes = parse_hex(json_.text());
      if (!bytes || (!shown.empty() && shown != to_utf8(*bytes)))
        fail(in_quotes(key) + ": are not the bytes of " + in_quotes(field));
      assign(name, *bytes);
    } else if (shown.empty()) {
      assign(name, json_.text());
    } else if (shown != json_.text()) {
      fail(in_quotes(key) + ": is another name than in its bytes");
    }
  }

  // A file of the bundle, named once.
  std::string read_file_name() {
    std::string name(json_.text());
    if (!is_file_name(name)) fail(in_quotes(name) + ": unsafe file name");
    if (name == kManifestName || (whole_ && !files_.insert(name).second))
      fail(in_quotes(name) + ": named by two records");
    return name;
  }

  ContentHash read_hash() { return parse_hash(json_.text()); }

  int32_t read_dtype() {
    const std::string_view name = json_.text();
    const std::optional<Dtype> dtype = find_dtype(name);
    if (!dtype) fail("unknown dtype " + in_quotes(name));
    return dtype->code;
  }

  Shape read_shape() {
    dims_.clear();
    json_.list([&] { dims_.push_back(static_cast<int64_t>(json_.number())); });
    return shapes_.of(dims_);
  }

  Extent read_extent() {
    std::array<uint64_t, 3> numbers{};
    size_t count = 0;
    json_.list([&] {
      const uint64_t number = json_.number(count == 0 ? UINT32_MAX : INT64_MAX);
      if (count < numbers.size()) numbers[count] = number;
      ++count;
    });
    if (count != numbers.size()) fail("an extent is no list of blob, offset, size");
    return {static_cast<uint32_t>(numbers[0]), numbers[1], numbers[2]};
  }

  // A BufferRecord or a GapRecord.
  template <typename Record>
  Record read_range() {
    Record record;
    json_.object({"extent", "hash"}, [&](std::string_view key) {
      if (key == "extent") record.extent = read_extent();
      if (key == "hash") record.hash = read_hash();
    });
    return record;
  }

  BlobRecord read_blob() {
    BlobRecord blob;
    json_.object({"file", "size"}, [&](std::string_view key) {
      if (key == "file") blob.file = read_file_name();
      if (key == "size") blob.size = json_.number();
      if (key == "hash") blob.hash = read_hash();
    });
    return blob;
  }

  std::vector<uint32_t> read_blob_numbers() {
    std::vector<uint32_t> numbers;
    json_.list([&] { numbers.push_back(static_cast<uint32_t>(json_.number(UINT32_MAX))); });
    return numbers;
  }

  // Where restore writes the original: below the folder that the user names.
  SourceRecord read_source() {
    SourceRecord source;
    json_.object({"file", "size", "graph_hash", "record", "record_hash"},
                 [&](std::string_view key) {
                   read_name(key, "folder", source.folder);
                   read_name(key, "file", source.file);
                   if (key == "size") source.size = json_.number();
                   if (key == "graph_hash") source.graph_hash = read_hash();
                   if (key == "record") source.record = read_extent();
                   if (key == "record_hash") source.record_hash = read_hash();
                   if (key == "blobs") source.blobs = read_blob_numbers();
                 });
    if ((!source.folder.empty() && !is_path_part(source.folder)) || !is_path_part(source.file))
      fail(in_quotes(source.folder + "/" + source.file) + ": unsafe source name");
    return source;
  }

  void check_turned(const auto& tensor) {
    if (tensor.turned && (tensor.shape.size() != 2 || find_dtype(tensor.dtype)->bits % 8 != 0))
      fail(in_quotes(tensor.name) + ": is turned, and no matrix of whole bytes");
  }

  TensorRecord read_tensor() {
    TensorRecord tensor;
    json_.object({"name", "dtype", "shape", "extent", "hash"}, [&](std::string_view key) {
      read_name(key, "scope", tensor.scope);
      read_name(key, "name", tensor.name);
      if (key == "dtype") tensor.dtype = read_dtype();
      if (key == "shape") tensor.shape = read_shape();
      if (key == "extent") tensor.extent = read_extent();
      if (key == "hash") tensor.hash = read_hash();
      if (key == "folded") tensor.folded = json_.flag();
      if (key == "turned") tensor.turned = json_.flag();
    });
    check_turned(tensor);
    const std::optional<uint64_t> needed = byte_size(*find_dtype(tensor.dtype), tensor.shape);
    if (needed == tensor.extent.size) return tensor;
    fail(in_quotes(tensor.name) + ": has " + std::to_string(tensor.extent.size) +
         " bytes, its shape needs " + (needed ? std::to_string(*needed) : std::string("too many")));
  }

  void read_model_key(std::string_view key, ModelRecord& model) {
    if (key == "name") model.name = json_.text();
    if (key == "file") model.file = read_file_name();
    if (key == "size") model.size = json_.number();
    if (key == "hash") model.hash = read_hash();
    if (key == "source") model.source = read_source();
    if (key == "files") model.files = read_blob_numbers();
    if (key == "tensors")
      read_long_list(model.tensors, kShortestTensor, &ManifestReader::read_tensor);
  }

  MatrixRecord read_matrix() {
    MatrixRecord matrix;
    json_.object({"extent", "dtype"}, [&](std::string_view key) {
      if (key == "extent") matrix.extent = read_extent();
      if (key == "dtype") matrix.dtype = read_dtype();
      if (key == "transposed") matrix.transposed = json_.flag();
    });
    return matrix;
  }

  // Of a key that only some quantisers need; negative numbers, too.
  int64_t read_integer() {
    const double number = json_.real();
    if (!(std::abs(number) <= 0x1p40) || number != std::floor(number))
      fail("a number of a quantised tensor is no integer, or too large");
    return static_cast<int64_t>(number);
  }

  QuantisedRecord read_quantised() {
    QuantisedRecord quantised;
    Quantisation& how = quantised.how;
    json_.object({"scale"}, [&](std::string_view key) {
      if (key == "scale") quantised.scale = read_matrix();
      if (key == "zero") quantised.zero = read_matrix();
      if (key == "zero_value") how.zero = read_integer();
      if (key == "axis") how.axis = json_.number();
      if (key == "block") how.block = json_.number();
      if (key == "bits") how.packed_bits = static_cast<int>(json_.number(8));
      if (key == "columns") how.columns = json_.number();
      if (key == "low") how.low = read_integer();
      if (key == "high") how.high = read_integer();
      if (key == "by_reciprocal") how.by_reciprocal = json_.flag();
      if (key == "zero_before") how.zero_before = json_.flag();
      if (key == "away") how.away = json_.flag();
      if (key == "in_double") how.in_double = json_.flag();
      if (key == "through") how.through = read_dtype();
    });
    return quantised;
  }

  int read_codec() {
    const uint64_t codec = json_.number(UINT32_MAX);
    if (codec != kFirstCodec && codec != kLaneCodec)
      fail("a residual has codec " + std::to_string(codec));
    return static_cast<int>(codec);
  }

  StepRecord read_step() {
    StepRecord step;
    json_.object({}, [&](std::string_view key) {
      if (key == "multiplier") step.multiplier = json_.real();
      if (key == "residual") step.residual = read_extent();
    });
    return step;
  }

  DerivationRecord read_derivation() {
    DerivationRecord derivation;
    // Two thin factors alone could ask for any number of bytes; a base is as large as the tensor.
    json_.object({"base"}, [&](std::string_view key) {
      if (key == "base") derivation.base = read_matrix();
      if (key == "multiplier") derivation.multiplier = json_.real();
      if (key == "rank") derivation.rank = json_.number(UINT32_MAX);
      if (key == "left") derivation.left = read_matrix();
      if (key == "right") derivation.right = read_matrix();
      if (key == "quantised") derivation.quantised = read_quantised();
      if (key == "residual") derivation.residual = read_extent();
      if (key == "then") read_list(derivation.then, &ManifestReader::read_step);
      if (key == "codec") derivation.codec = read_codec();
      if (key == "exact") derivation.exact = json_.flag();
      if (key == "relative_error") derivation.relative_error = json_.real();
      if (key == "max_abs_error") derivation.max_abs_error = json_.real();
    });
    if (derivation.left.has_value() != (derivation.rank > 0) ||
        derivation.right.has_value() != (derivation.rank > 0)) {
      fail("a derived tensor has parts that do not fit together");
    }
    return derivation;
  }

  OriginalTensor read_original() {
    OriginalTensor tensor;
    json_.object({"name", "dtype", "shape", "hash"}, [&](std::string_view key) {
      read_name(key, "scope", tensor.scope);
      read_name(key, "name", tensor.name);
      if (key == "dtype") tensor.dtype = read_dtype();
      if (key == "shape") tensor.shape = read_shape();
      if (key == "hash") tensor.hash = read_hash();
      if (key == "extent") tensor.extent = read_extent();
      if (key == "derived") tensor.derivation = read_derivation();
      if (key == "folded") tensor.folded = json_.flag();
      if (key == "turned") tensor.turned = json_.flag();
    });
    check_turned(tensor);
    const std::optional<uint64_t> size = byte_size(*find_dtype(tensor.dtype), tensor.shape);
    if (tensor.extent.has_value() == tensor.derivation.has_value() || !size ||
        (tensor.extent && tensor.extent->size != *size)) {
      fail(in_quotes(tensor.name) + ": its place contradicts its shape and dtype");
    }
    if (tensor.derivation) check_derivation(tensor);
    return tensor;
  }

  ArchivedRecord read_archived() {
    ArchivedRecord model;
    json_.object({"name", "graph", "graph_hash", "size", "hash", "source", "tensors"},
                 [&](std::string_view key) {
                   if (key == "name") model.name = json_.text();
                   if (key == "base") model.base = json_.text();
                   if (key == "graph") model.graph = read_extent();
                   if (key == "graph_hash") model.graph_hash = read_hash();
                   if (key == "size") model.size = json_.number();
                   if (key == "hash") model.hash = read_hash();
                   if (key == "source") model.source = read_source();
                   if (key == "files") model.files = read_blob_numbers();
                   if (key == "tensors") read_list(model.tensors, &ManifestReader::read_original);
                 });
    for (const OriginalTensor& tensor : model.tensors) {
      if (tensor.derivation && !tensor.derivation->exact)
        fail(in_quotes(model.name) + ": is archived, but " + in_quotes(tensor.name) +
             " does not come back exactly");
    }
    return model;
  }

  ParameterRecord read_parameter() {
    ParameterRecord parameter;
    json_.object({"name", "dtype", "shape"}, [&](std::string_view key) {
      read_name(key, "name", parameter.name);
      if (key == "dtype") parameter.dtype = read_dtype();
      if (key == "shape") parameter.shape = read_shape();
    });
    if (!byte_size(*find_dtype(parameter.dtype), parameter.shape))
      fail(in_quotes(parameter.name) + ": its shape is too large");
    return parameter;
  }

  TaskRecord read_task() {
    TaskRecord task;
    json_.object({"name", "base", "parameters", "tensors"}, [&](std::string_view key) {
      if (key == "name") task.name = json_.text();
      if (key == "base") task.base = json_.text();
      if (key == "model") task.model = json_.text();
      if (key == "adapter") task.adapter = static_cast<uint32_t>(json_.number(UINT32_MAX));
      if (key == "parameters") read_list(task.parameters, &ManifestReader::read_parameter);
      if (key == "source") task.source = read_source();
      if (key == "tensors" && whole_) read_list(task.tensors, &ManifestReader::read_original);
      if (key == "tensors" && !whole_) json_.raw_list();
    });
    return task;
  }

  std::string_view text_;
  JsonReader json_;
  bool whole_ = true;  // false: an index
  SharedPool<Text> names_;
  SharedPool<Shape> shapes_;
  std::vector<int64_t> dims_;
  std::set<std::string> files_;
};

}  // namespace

Manifest parse_manifest(std::string_view text) {
  Manifest manifest = ManifestReader(text).read();
  check_manifest(manifest);
  check_seal(text);
  return manifest;
}

ManifestIndex index_manifest(std::string_view text) {
  ManifestIndex index = ManifestReader(text).read_index();
  check_index(index);
  check_seal(text);
  return index;
}

ModelRecord parse_model(std::string_view record) {
  return ManifestReader(record).read_alone(&ManifestReader::read_model);
}

PackRecord parse_pack(std::string_view record) {
  return ManifestReader(record).read_alone(&ManifestReader::read_pack);
}

}  // namespace wshare
