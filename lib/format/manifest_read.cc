#include "format/manifest_read.h"

#include "format/dtype.h"
#include "util/paths.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {

uint64_t read_number(const Json& json, uint64_t largest) {
  if (!json.is_number_unsigned() || json.get<uint64_t>() > largest) {
    throw Error(ErrorCode::kInvalid,
                json.dump() + ": is no number of 0 to " + std::to_string(largest));
  }
  return json.get<uint64_t>();
}

const Json& read_list(const Json& json, const char* key) {
  const Json& list = json.at(key);
  if (!list.is_array()) throw Error(ErrorCode::kInvalid, in_quotes(key) + ": is no list");
  return list;
}

std::vector<int64_t> read_shape(const Json& json) {
  std::vector<int64_t> shape;
  for (const Json& dim : read_list(json, "shape"))
    shape.push_back(static_cast<int64_t>(read_number(dim)));
  return shape;
}

int32_t read_dtype(const Json& json) {
  const std::string& name = json.at("dtype").get_ref<const std::string&>();
  const std::optional<Dtype> dtype = find_dtype(std::string_view(name));
  if (!dtype) throw Error(ErrorCode::kInvalid, "unknown dtype " + in_quotes(name));
  return dtype->code;
}

Extent read_extent(const Json& json, const Manifest& manifest) {
  if (json.size() != 3)
    throw Error(ErrorCode::kInvalid, "an extent is no list of blob, offset, size");
  const Extent extent{static_cast<uint32_t>(read_number(json.at(0), UINT32_MAX)),
                      read_number(json.at(1)), read_number(json.at(2))};
  if (extent.blob >= manifest.blobs.size()) {
    throw Error(ErrorCode::kInvalid, "an extent names blob " + std::to_string(extent.blob) +
                                         ", there are " + std::to_string(manifest.blobs.size()));
  }
  const BlobRecord& blob = manifest.blobs[extent.blob];
  if (extent.offset > blob.size || extent.size > blob.size - extent.offset) {
    throw Error(ErrorCode::kInvalid, "extent of " + std::to_string(extent.size) + " bytes at " +
                                         std::to_string(extent.offset) + " leaves " +
                                         in_quotes(blob.file) + " of " + std::to_string(blob.size) +
                                         " bytes");
  }
  return extent;
}

std::vector<uint32_t> read_blob_numbers(const Json& json, const char* key,
                                        const Manifest& manifest) {
  std::vector<uint32_t> numbers;
  if (!json.contains(key)) return numbers;
  for (const Json& number : read_list(json, key)) {
    numbers.push_back(static_cast<uint32_t>(read_number(number, UINT32_MAX)));
    if (numbers.back() < manifest.blobs.size()) continue;
    throw Error(ErrorCode::kInvalid, in_quotes(key) + ": names blob " +
                                         std::to_string(numbers.back()) + ", there are " +
                                         std::to_string(manifest.blobs.size()));
  }
  return numbers;
}

SourceRecord read_source(const Json& json, const Manifest& manifest) {
  SourceRecord source;
  source.folder = json.value("folder", std::string());
  source.file = json.at("file").get<std::string>();
  if ((!source.folder.empty() && !is_file_name(source.folder)) || !is_file_name(source.file)) {
    throw Error(ErrorCode::kInvalid,
                in_quotes(source.folder + "/" + source.file) + ": unsafe source name");
  }
  source.size = read_number(json.at("size"));
  source.graph_hash = parse_hash(json.at("graph_hash").get<std::string>());
  source.record = read_extent(json.at("record"), manifest);
  source.record_hash = parse_hash(json.at("record_hash").get<std::string>());
  source.blobs = read_blob_numbers(json, "blobs", manifest);
  return source;
}

}  // namespace wshare
