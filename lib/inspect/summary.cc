#include "inspect/summary.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

#include "bundle/same_models.h"
#include "bundle/saved.h"

// A content that is the front of a longer one lies inside it (docs/bundle-format.md), so sharing is
// counted by place, not by content: all extents that begin at one byte of a blob are one place, a
// model uses of it as much as its longest extent there, and two models share the shorter of their
// two parts.

namespace wshare {
namespace {

using BlobOffset = std::pair<uint32_t, uint64_t>;            // blob, offset
using ExtentKey = std::tuple<uint32_t, uint64_t, uint64_t>;  // blob, offset, size
ExtentKey key_of(const Extent& extent) { return {extent.blob, extent.offset, extent.size}; }

std::map<BlobOffset, PlaceParts> parts_of_places(const std::vector<ModelRows>& models) {
  std::map<BlobOffset, PlaceParts> places;
  for (uint32_t m = 0; m < models.size(); ++m) {
    for (const TensorRow& row : models[m].tensors) {
      if (!row.extent) continue;
      PlaceParts& parts = places[{row.extent->blob, row.extent->offset}];
      if (parts.empty() || parts.back().first != m) parts.emplace_back(m, 0);
      parts.back().second = std::max(parts.back().second, row.extent->size);
    }
  }
  return places;
}

// Adds to `common` what each of `parts` has in common with all others of its place: two models the
// shorter of their parts.
void add_common(PlaceParts parts, std::vector<uint64_t>& common) {
  std::sort(parts.begin(), parts.end(),
            [](const auto& a, const auto& b) { return a.second < b.second; });
  uint64_t shorter = 0;  // of all parts before
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto [model, bytes] = parts[i];
    common[model] += shorter + bytes * (parts.size() - i - 1);
    shorter += bytes;
  }
}

// Adds what the parts of one place mean for its models and for the whole.
void add_place(const PlaceParts& parts, Inspection& inspection) {
  uint64_t longest = 0;  // used by one model
  uint64_t second = 0;   // used by two
  for (const auto& [model, bytes] : parts) {
    second = std::max(second, std::min(longest, bytes));
    longest = std::max(longest, bytes);
  }
  inspection.shared_bytes += second;
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto [model, bytes] = parts[i];
    const uint64_t shared = std::min(bytes, second);
    inspection.models[model].shared_bytes += shared;
    inspection.models[model].own_bytes += bytes - shared;
  }
}

// The models that are compared with each other.
std::vector<size_t> choose_compared(const std::vector<InspectedModel>& models, bool all) {
  std::vector<size_t> chosen(models.size());
  std::iota(chosen.begin(), chosen.end(), size_t{0});
  if (all || chosen.size() <= kMostCompared) return chosen;
  std::stable_sort(chosen.begin(), chosen.end(), [&](size_t a, size_t b) {
    return models[a].shared_bytes > models[b].shared_bytes;
  });
  chosen.resize(kMostCompared);
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

void fill_matrix(const std::map<BlobOffset, PlaceParts>& places, Inspection& inspection) {
  const std::vector<size_t>& compared = inspection.compared_models;
  inspection.matrix.assign(compared.size(), std::vector<uint64_t>(compared.size(), 0));
  std::vector<std::optional<size_t>> number(inspection.models.size());  // in the matrix
  for (size_t i = 0; i < compared.size(); ++i) number[compared[i]] = i;
  for (const auto& [place, parts] : places) {
    std::vector<std::pair<size_t, uint64_t>> here;
    for (const auto& [model, bytes] : parts) {
      if (!number[model]) continue;
      const size_t i = *number[model];
      inspection.matrix[i][i] += bytes;
      for (const auto& [j, other] : here) {
        inspection.matrix[i][j] += std::min(bytes, other);
        inspection.matrix[j][i] += std::min(bytes, other);
      }
      here.emplace_back(i, bytes);
    }
  }
}

// The tensors of one extent, in the order of models.
struct Users {
  const TensorRow* first = nullptr;
  std::vector<TensorUse> uses;
  std::vector<uint32_t> models;  // rising
};

std::map<ExtentKey, Users> users_of_extents(const std::vector<ModelRows>& models,
                                            std::vector<ExtentKey>& by_first_use) {
  std::map<ExtentKey, Users> users;
  for (uint32_t m = 0; m < models.size(); ++m) {
    const ModelRows& model = models[m];
    for (const TensorRow& row : model.tensors) {
      if (!row.extent || row.extent->size == 0) continue;
      const auto [at, is_new] = users.try_emplace(key_of(*row.extent));
      if (is_new) {
        at->second.first = &row;
        by_first_use.push_back(at->first);
      }
      at->second.uses.push_back({model.name, row.tensor.scope, row.tensor.tensor});
      std::vector<uint32_t>& of = at->second.models;
      if (of.empty() || of.back() != m) of.push_back(m);
    }
  }
  return users;
}

// Names `most` of the models that use what `tensor`, one of model `m`, does.
void name_others(const std::vector<ModelRows>& models, const Users& users, uint32_t m, size_t most,
                 InspectedTensor& tensor) {
  const size_t others = users.models.size() - 1;
  const size_t named = std::min(others, most);
  tensor.also_in.reserve(named);
  for (const uint32_t model : users.models) {
    if (tensor.also_in.size() == named) break;
    if (model != m) tensor.also_in.push_back(models[model].name);
  }
  tensor.also_in_more = others - named;
}

class Counts {
 public:
  void add(const std::string& what, uint64_t bytes) {
    TensorCount& count = counts_[what];
    ++count.tensors;
    count.bytes += bytes;
  }
  std::vector<TensorCount> sorted() const {
    std::vector<TensorCount> result;
    for (const auto& [what, count] : counts_) result.push_back({what, count.tensors, count.bytes});
    std::stable_sort(result.begin(), result.end(),
                     [](const TensorCount& a, const TensorCount& b) { return a.bytes > b.bytes; });
    return result;
  }

 private:
  std::map<std::string, TensorCount> counts_;
};

InspectedModel count_tensors(const ModelRows& rows) {
  InspectedModel model;
  model.name = rows.name;
  model.path = rows.path;
  model.bytes = rows.bytes;
  model.external = rows.external;
  Counts dtypes, homes, ops, scopes, reasons;
  for (const auto& [tensor, extent, hash, reason] : rows.tensors) {
    ++model.tensors;
    model.tensor_bytes += tensor.bytes;
    dtypes.add(tensor.dtype, tensor.bytes);
    scopes.add(tensor.scope, tensor.bytes);
    if (!tensor.home.empty()) {
      homes.add(tensor.home, tensor.bytes);
      ops.add(tensor.op, tensor.bytes);
    }
    if (reason) reasons.add(text_of(*reason), tensor.bytes);
  }
  model.by_dtype = dtypes.sorted();
  model.by_home = homes.sorted();
  model.by_op = ops.sorted();
  model.by_scope = scopes.sorted();
  model.left_inline = reasons.sorted();
  return model;
}

std::vector<const TensorRow*> largest_of(const ModelRows& model, uint64_t top) {
  std::vector<const TensorRow*> rows;
  for (const TensorRow& row : model.tensors) rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(), [](const TensorRow* a, const TensorRow* b) {
    return std::tie(b->tensor.bytes, a->tensor.tensor) <
           std::tie(a->tensor.bytes, b->tensor.tensor);
  });
  rows.resize(std::min<size_t>(rows.size(), top));
  return rows;
}

// Fills in the largest tensors of each model, and what it has several times.
void add_largest(const std::vector<ModelRows>& models, const std::map<ExtentKey, Users>& users,
                 const InspectOptions& options, Inspection& inspection) {
  const std::vector<size_t>& compared = inspection.compared_models;
  for (uint32_t m = 0; m < models.size(); ++m) {
    const bool named = std::binary_search(compared.begin(), compared.end(), m);
    const size_t most = options.all ? SIZE_MAX : named ? kMostNamed : 0;
    InspectedModel& model = inspection.models[m];
    for (const TensorRow& row : models[m].tensors) {
      if (row.extent) model.repeated_bytes += row.extent->size;
    }
    model.repeated_bytes -= model.own_bytes + model.shared_bytes;
    model.saved_bytes += model.repeated_bytes;
    const std::vector<const TensorRow*> largest = largest_of(models[m], options.top);
    model.largest.reserve(largest.size());
    for (const TensorRow* row : largest) {
      InspectedTensor& tensor = model.largest.emplace_back(row->tensor);
      const auto found = row->extent ? users.find(key_of(*row->extent)) : users.end();
      if (found != users.end()) name_others(models, found->second, m, most, tensor);
    }
  }
}

// Returns every content with a place, and each tensor without one by itself.
std::vector<InspectedContent> contents_of(const std::vector<ModelRows>& models,
                                          const std::map<ExtentKey, Users>& users,
                                          const std::vector<ExtentKey>& by_first_use) {
  std::vector<InspectedContent> contents;
  for (const ExtentKey& key : by_first_use) {
    const Users& of = users.at(key);
    contents.push_back({of.first->tensor, "", of.uses.size(), of.models});
  }
  for (uint32_t m = 0; m < models.size(); ++m) {
    for (const TensorRow& row : models[m].tensors) {
      if (row.extent || row.tensor.bytes == 0) continue;
      contents.push_back({row.tensor, row.reason ? text_of(*row.reason) : "", 1, {m}});
    }
  }
  std::stable_sort(contents.begin(), contents.end(),
                   [](const InspectedContent& a, const InspectedContent& b) {
                     return a.tensor.bytes > b.tensor.bytes;
                   });
  return contents;
}

}  // namespace

Summary summarise(const std::vector<ModelRows>& models, const InspectOptions& options) {
  Summary summary;
  Inspection& inspection = summary.inspection;
  for (const ModelRows& model : models) {
    inspection.models.push_back(count_tensors(model));
    inspection.total_bytes += inspection.models.back().tensor_bytes;
  }
  summary.common_bytes.resize(models.size());
  {
    std::vector<uint64_t> saved(models.size());
    const std::map<BlobOffset, PlaceParts> places = parts_of_places(models);
    for (const auto& [place, parts] : places) {
      add_place(parts, inspection);
      add_common(parts, summary.common_bytes);
      add_saved(parts, saved);
    }
    for (size_t m = 0; m < models.size(); ++m) inspection.models[m].saved_bytes = saved[m];
    inspection.compared_models = choose_compared(inspection.models, options.all);
    fill_matrix(places, inspection);
  }
  std::vector<ExtentKey> by_first_use;
  std::map<ExtentKey, Users> users = users_of_extents(models, by_first_use);
  if (options.contents) inspection.contents = contents_of(models, users, by_first_use);
  add_largest(models, users, options, inspection);
  for (const ExtentKey& key : by_first_use) {
    auto& [first, uses, of_models] = users.at(key);
    inspection.distinct_bytes += first->extent->size;
    if (uses.size() < 2 || first->extent->size < options.min_bytes) continue;
    inspection.duplicates.push_back({to_hex(first->hash), first->extent->size, std::move(uses)});
  }
  std::stable_sort(inspection.duplicates.begin(), inspection.duplicates.end(),
                   [](const Duplicate& a, const Duplicate& b) { return a.saved() > b.saved(); });
  return summary;
}

void name_same_models(const Manifest& manifest, Inspection& inspection) {
  const std::vector<std::optional<size_t>> same = find_same_models(manifest.models);
  for (size_t m = 0; m < same.size(); ++m) {
    if (same[m]) inspection.models[m].same_as = inspection.models[*same[m]].name;
  }
}

}  // namespace wshare
