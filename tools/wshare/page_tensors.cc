#include "page_tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "util/visible.h"

// Problem: 50 models of 2,000 tensors are 100,000 rows, and a page should stay under 2 MiB.
//
// Idea: models repeat themselves. Tensors of one name and form are one row with a set of models per
// content; types, shapes and operators are numbers in a table of words; names differ by their
// numbers, so what is around these is stored once. A row with a name of its own takes about 35
// bytes. Where that is still too much, the smallest tensors are left out.

namespace wshare {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostBytes = 1600000;
constexpr size_t kLongestName = 300;
constexpr char kNumber = '\x01';  // stands for a number in a pattern; no name has it
constexpr size_t kMostDigits = 9;

// The bytes of `json` in a page, which escapes each '<' as six characters, and a comma.
size_t page_bytes(const Json& json) {
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() + 1 + 5 * static_cast<size_t>(std::count(text.begin(), text.end(), '<'));
}

// Things that are numbered in the order in which they come.
template <typename Item>
class Table {
 public:
  // Returns the number of `item`; what `to_json` makes of it is called for once.
  template <typename ToJson>
  size_t add(const Item& item, size_t& bytes, const ToJson& to_json) {
    const auto [at, is_new] = numbers_.try_emplace(item, items_.size());
    if (is_new) {
      items_.push_back(to_json(item));
      bytes += page_bytes(items_.back());
    }
    return at->second;
  }
  size_t add(const Item& item, size_t& bytes) {
    return add(item, bytes, [](const Item& each) { return Json(each); });
  }
  Json take() { return std::move(items_); }

 private:
  std::map<Item, size_t> numbers_;
  Json items_ = Json::array();
};

class Tensors {
 public:
  Tensors() { word(""); }

  // Adds a content unless there is no more room.
  bool add(const InspectedContent& content) {
    if (bytes_ > kMostBytes) return false;
    const InspectedTensor& tensor = content.tensor;
    const std::string shape = fmt::format("{}", fmt::join(tensor.shape, "×"));
    const std::vector<uint64_t> form = {
        word(page_name(tensor.scope)), word(tensor.dtype),  word(shape),
        word(page_name(tensor.op)),    word(content.stays), tensor.bytes};
    const size_t name = names_.add(page_name(tensor.tensor), bytes_,
                                   [&](const std::string& text) { return packed(text); });
    const std::pair row(name, forms_.add(form, bytes_));
    const auto [at, is_new] = row_of_.try_emplace(row, rows_.size());
    if (is_new) {
      rows_.push_back({row.first, row.second});
      bytes_ += page_bytes(rows_.back());
    }
    const size_t set = sets_.add(content.models, bytes_);
    Json& contents = rows_[at->second];
    contents.push_back(content.uses == content.models.size() ? Json(set) : Json{set, content.uses});
    bytes_ += page_bytes(contents.back());
    return true;
  }

  Json take() {
    return {{"words", words_.take()}, {"patterns", patterns_.take()}, {"sets", sets_.take()},
            {"names", names_.take()}, {"forms", forms_.take()},       {"rows", std::move(rows_)}};
  }

 private:
  size_t word(const std::string& text) { return words_.add(text, bytes_); }

  // Returns `name` with its numbers taken out, or as it is if it has none.
  Json packed(const std::string& name) {
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    std::string pattern;
    Json numbers = Json::array({0});
    for (size_t at = 0; at < name.size();) {
      size_t end = at;
      while (end < name.size() && is_digit(name[end])) ++end;
      const size_t digits = end - at;
      const bool is_number =
          digits > 0 && digits <= kMostDigits && (name[at] != '0' || digits == 1);
      if (is_number) {
        pattern += kNumber;
        numbers.push_back(std::stoul(name.substr(at, digits)));
      } else {  // 007 is no number
        end = std::max(end, at + 1);
        pattern += name.substr(at, end - at);
      }
      at = end;
    }
    if (numbers.size() == 1) return name;
    numbers[0] = patterns_.add(pattern, bytes_);
    return numbers;
  }

  size_t bytes_ = 0;
  Table<std::string> words_, patterns_, names_;
  Table<std::vector<uint32_t>> sets_;
  Table<std::vector<uint64_t>> forms_;
  std::map<std::pair<size_t, size_t>, size_t> row_of_;  // by name and form
  Json rows_ = Json::array();
};

}  // namespace

std::string page_name(const std::string& name) {
  const std::string text = visible(name, kLongestName);
  return name.size() <= kLongestName ? text : fmt::format("{} ({} bytes)", text, name.size());
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
