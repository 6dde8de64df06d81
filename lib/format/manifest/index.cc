#include "format/manifest/index.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "format/json_reader.h"
#include "format/manifest/text.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {

void RecordPlaces::add(std::string_view text, std::string_view record) {
  JsonReader first(record), all(record);
  if (const auto name = first.first_text("name")) {  // as wshare writes it
    names_ += *name;
  } else {
    all.object({"name"}, [&](std::string_view key) {
      if (key == "name") names_ += all.text();
    });
  }
  places_.push_back(
      {static_cast<size_t>(record.data() - text.data()), record.size(), names_.size()});
}

std::string_view RecordPlaces::name(size_t i) const {
  const size_t begin = i == 0 ? 0 : places_[i - 1].name_end;
  return std::string_view(names_).substr(begin, places_[i].name_end - begin);
}

std::optional<std::string> RecordPlaces::seal() {
  names_.shrink_to_fit();
  places_.shrink_to_fit();
  by_name_.resize(places_.size());
  std::iota(by_name_.begin(), by_name_.end(), size_t{0});
  std::sort(by_name_.begin(), by_name_.end(),
            [this](size_t a, size_t b) { return std::pair(name(a), a) < std::pair(name(b), b); });
  const auto twice = std::adjacent_find(by_name_.begin(), by_name_.end(),
                                        [this](size_t a, size_t b) { return name(a) == name(b); });
  if (twice == by_name_.end()) return std::nullopt;
  return std::string(name(*twice));
}

std::span<const size_t> RecordPlaces::find_numbers(std::string_view name) const {
  const auto begin = std::lower_bound(
      by_name_.begin(), by_name_.end(), name,
      [this](size_t i, std::string_view wanted) { return this->name(i) < wanted; });
  const auto end =
      std::find_if(begin, by_name_.end(), [&](size_t i) { return this->name(i) != name; });
  return {begin, end};
}

std::vector<std::string_view> RecordPlaces::find(std::string_view text,
                                                 std::string_view name) const {
  std::vector<std::string_view> records;
  for (const size_t i : find_numbers(name))
    records.push_back(text.substr(places_[i].at, places_[i].size));
  return records;
}

ModelPart read_model_part(std::string_view json, const ManifestIndex& index,
                          std::string_view name) {
  ModelPart part{parse_model(index.models.find(json, name).at(0)), {}};
  check_model(part.model, *index.blobs);
  bool is_same = part.model.name == name;
  for (const std::string_view record : index.packs.find(json, name)) {
    const PackRecord& pack = part.packs.emplace_back(parse_pack(record));
    check_pack(pack, *index.blobs);
    is_same = is_same && pack.model.name == name;
  }
  if (is_same) return part;
  throw Error(ErrorCode::kInvalid, in_quotes(name) + ": its record has another name now");
}

}  // namespace wshare
