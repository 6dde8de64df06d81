#include "format/safetensors_header.h"

#include <array>
#include <utility>

#include "format/json_reader.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

[[noreturn]] void fail(const std::string& what) { throw Error(ErrorCode::kInvalid, what); }

void read_field(JsonReader& json, std::string_view key, SafetensorsEntry& entry) {
  if (key == "dtype") {
    entry.type = json.text();
  } else if (key == "shape") {
    json.list([&] {
      if (entry.tensor.shape.size() == kMaxDims) fail("has more than 1024 dimensions");
      entry.tensor.shape.push_back(static_cast<int64_t>(json.number()));
    });
  } else if (key == "data_offsets") {
    std::array<uint64_t, 2> offsets{};
    size_t count = 0;
    json.list([&] {
      const uint64_t offset = json.number();
      if (count < offsets.size()) offsets[count] = offset;
      ++count;
    });
    if (count != offsets.size()) fail("'data_offsets' are not two numbers");
    entry.begin = offsets[0];
    entry.end = offsets[1];
  } else {
    fail(in_quotes(key) + " is no field of a tensor");
  }
}

SafetensorsEntry read_entry(JsonReader& json, std::string_view name) try {
  SafetensorsEntry entry;
  entry.tensor.name = name;
  json.object({"dtype", "shape", "data_offsets"},
              [&](std::string_view key) { read_field(json, key, entry); });
  return entry;
} catch (const Error& error) {
  fail(in_quotes(name) + ": " + error.what());
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text) try {
  SafetensorsHeader header;
  JsonReader json(text);
  json.object({}, [&](std::string_view name) {
    if (name != kSafetensorsMetadata) {
      header.entries.push_back(read_entry(json, name));
      return;
    }
    json.object({}, [&](std::string_view key) { header.metadata[std::string(key)] = json.text(); });
  });
  json.finish();
  return header;
} catch (const Error& error) {
  fail("the header: " + std::string(error.what()));
}

}  // namespace wshare
