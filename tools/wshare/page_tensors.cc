#include "page_tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <tuple>

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostBytes = 1500000;
constexpr size_t kLongestName = 300;

// The bytes of `json` in a page, which escapes each '<' as six characters, and a comma.
size_t page_bytes(const Json& json) {
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() + 1 + 5 * static_cast<size_t>(std::count(text.begin(), text.end(), '<'));
}

// Strings or lists, each once; counts the bytes that they take in JSON.
template <typename Item>
class Table {
 public:
  size_t add(const Item& item, size_t& bytes) {
    const auto [at, is_new] = numbers_.try_emplace(item, items_.size());
    if (is_new) {
      items_.push_back(item);
      bytes += page_bytes(items_.back());
    }
    return at->second;
  }
  Json take() { return std::move(items_); }

 private:
  std::map<Item, size_t> numbers_;
  Json items_ = Json::array();
};

using Row = std::tuple<size_t, size_t, size_t, size_t, size_t, size_t, uint64_t>;

Json json_of(const Row& row, Json contents) {
  const auto& [name, scope, dtype, shape, op, stays, bytes] = row;
  return {name, scope, dtype, shape, op, stays, bytes, std::move(contents)};
}

class Tensors {
 public:
  // Adds a content unless there is no more room.
  bool add(const InspectedContent& content) {
    if (bytes_ > kMostBytes) return false;
    const InspectedTensor& tensor = content.tensor;
    const Row row = {names_.add(page_name(tensor.tensor), bytes_),
                     words_.add(page_name(tensor.scope), bytes_),
                     words_.add(tensor.dtype, bytes_),
                     words_.add(fmt::format("{}", fmt::join(tensor.shape, "×")), bytes_),
                     words_.add(page_name(tensor.op), bytes_),
                     words_.add(content.stays, bytes_),
                     tensor.bytes};
    const auto [at, is_new] = row_of_.try_emplace(row, contents_.size());
    if (is_new) {
      rows_.push_back(row);
      contents_.push_back(Json::array());
      bytes_ += page_bytes(json_of(row, Json::array()));
    }
    const size_t set = sets_.add(content.models, bytes_);
    Json& contents = contents_[at->second];
    contents.push_back(content.uses == content.models.size() ? Json(set) : Json{set, content.uses});
    bytes_ += page_bytes(contents.back());
    return true;
  }

  Json take() {
    Json rows = Json::array();
    for (size_t r = 0; r < rows_.size(); ++r) {
      rows.push_back(json_of(rows_[r], std::move(contents_[r])));
    }
    return {{"names", names_.take()},
            {"words", words_.take()},
            {"sets", sets_.take()},
            {"rows", std::move(rows)}};
  }

  Tensors() { words_.add("", bytes_); }  // number 0

 private:
  size_t bytes_ = 0;
  Table<std::string> names_, words_;
  Table<std::vector<uint32_t>> sets_;
  std::map<Row, size_t> row_of_;
  std::vector<Row> rows_;
  std::vector<Json> contents_;  // parallel to rows_
};

}  // namespace

std::string page_name(const std::string& name) {
  if (name.size() <= kLongestName) return name;
  size_t end = kLongestName;
  while (end > 0 && (name[end] & 0xc0) == 0x80) --end;  // not inside a character
  return fmt::format("{}... ({} bytes)", name.substr(0, end), name.size());
}

Json page_tensors(const std::vector<InspectedContent>& contents) {
  Tensors tensors;
  uint64_t left_out = 0, bytes_left_out = 0;
  for (const InspectedContent& content : contents) {
    if (tensors.add(content)) continue;
    ++left_out;
    bytes_left_out += content.tensor.bytes;
  }
  Json json = tensors.take();
  json["left_out"] = {{"tensors", left_out}, {"bytes", bytes_left_out}};
  return json;
}

}  // namespace wshare
