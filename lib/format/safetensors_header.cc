#include "format/safetensors_header.h"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

// Takes the header's JSON as it is parsed, so that nothing but the entries is ever held: a key that
// comes twice is seen, and nesting costs nothing.
class HeaderReader : public nlohmann::json::json_sax_t {
 public:
  SafetensorsHeader header;

  bool start_object(size_t) override {
    if (place_ == Place::kStart) {
      place_ = Place::kRoot;
    } else if (place_ == Place::kRoot) {
      place_ = key_ == kSafetensorsMetadata ? Place::kInMetadata : Place::kTensor;
      fields_.clear();
      if (place_ == Place::kTensor) header.entries.emplace_back().tensor.name = key_;
    } else {
      refuse("an object");
    }
    return true;
  }
  bool key(string_t& name) override {
    std::set<std::string>& keys = place_ == Place::kRoot ? names_ : fields_;
    key_ = name;
    if (!keys.insert(name).second) fail("stands twice in one object");
    if (place_ == Place::kTensor && name != "dtype" && name != "shape" && name != "data_offsets") {
      fail("is no field of a tensor");
    }
    return true;
  }
  bool end_object() override {
    if (place_ == Place::kTensor && fields_.size() != 3) {
      throw Error(ErrorCode::kInvalid, in_quotes(header.entries.back().tensor.name) +
                                           ": lacks dtype, shape or data_offsets");
    }
    place_ = place_ == Place::kRoot ? Place::kStart : Place::kRoot;
    return true;
  }
  bool start_array(size_t) override {
    if (place_ != Place::kTensor || key_ == "dtype") refuse("a list");
    place_ = key_ == "shape" ? Place::kShape : Place::kOffsets;
    offsets_ = 0;
    return true;
  }
  bool end_array() override {
    if (place_ == Place::kOffsets && offsets_ != 2) fail("are not two numbers");
    place_ = Place::kTensor;
    return true;
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > INT64_MAX) fail("has a number over 2^63-1");
    if (place_ == Place::kShape) {
      std::vector<int64_t>& shape = header.entries.back().tensor.shape;
      if (shape.size() == kMaxDims) fail("has more than 1024 dimensions");
      shape.push_back(static_cast<int64_t>(value));
    } else if (place_ == Place::kOffsets && offsets_ < 2) {
      (offsets_++ == 0 ? header.entries.back().begin : header.entries.back().end) = value;
    } else {
      refuse("a number");
    }
    return true;
  }
  bool string(string_t& value) override {
    if (place_ == Place::kInMetadata) {
      header.metadata[key_] = value;
    } else if (place_ == Place::kTensor && key_ == "dtype") {
      header.entries.back().type = value;
    } else {
      refuse("a text");
    }
    return true;
  }
  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("true or false"); }
  bool number_integer(number_integer_t) override { return refuse("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return refuse("a fraction"); }
  bool binary(binary_t&) override { return refuse("bytes"); }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    throw Error(ErrorCode::kInvalid,
                "the header is no JSON: wrong at byte " + std::to_string(position) + " of it");
  }

 private:
  enum class Place { kStart, kRoot, kInMetadata, kTensor, kShape, kOffsets };

  [[noreturn]] void fail(const std::string& what) const {
    const std::string tensor =
        place_ == Place::kRoot || place_ == Place::kInMetadata || header.entries.empty()
            ? ""
            : in_quotes(header.entries.back().tensor.name) + ": ";
    throw Error(ErrorCode::kInvalid, tensor + in_quotes(key_) + " " + what);
  }
  [[noreturn]] bool refuse(const std::string& what) const {
    fail("has " + what + " where none belongs");
  }

  Place place_ = Place::kStart;
  std::string key_;
  std::set<std::string> names_, fields_;  // keys of the root, and of the object inside of it
  int offsets_ = 0;                       // numbers of data_offsets seen
};

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text) {
  HeaderReader reader;
  nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
  return std::move(reader.header);
}

}  // namespace wshare
