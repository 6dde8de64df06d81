#include "inspect/summary.h"

#include <algorithm>
#include <map>
#include <tuple>

// A content that is the front of a longer one lies inside it (docs/bundle-format.md), so sharing is
// counted by place, not by content: all extents that begin at one byte of a blob are one place, a
// model uses of it as much as its longest extent there, and two models share the shorter of their
// two parts.

namespace wshare {
namespace {

using BlobOffset = std::pair<uint32_t, uint64_t>;            // blob, offset
using ExtentKey = std::tuple<uint32_t, uint64_t, uint64_t>;  // blob, offset, size
using Parts = std::vector<std::pair<uint32_t, uint64_t>>;    // model, bytes; by model
ExtentKey key_of(const Extent& extent) { return {extent.blob, extent.offset, extent.size}; }

std::map<BlobOffset, Parts> parts_of_places(const std::vector<ModelRows>& models) {
  std::map<BlobOffset, Parts> places;
  for (uint32_t m = 0; m < models.size(); ++m) {
    for (const TensorRow& row : models[m].tensors) {
      if (!row.extent) continue;
      Parts& parts = places[{row.extent->blob, row.extent->offset}];
      if (parts.empty() || parts.back().first != m) parts.emplace_back(m, 0);
      parts.back().second = std::max(parts.back().second, row.extent->size);
    }
  }
  return places;
}

// Adds what the parts of one place mean for its models and for the whole.
void add_place(const Parts& parts, Inspection& inspection) {
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
    inspection.matrix[model][model] += bytes;
    for (size_t j = 0; j < i; ++j) {
      const uint64_t common = std::min(bytes, parts[j].second);
      inspection.matrix[model][parts[j].first] += common;
      inspection.matrix[parts[j].first][model] += common;
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

std::vector<std::string> other_models(const Users& users, const std::string& model) {
  std::vector<std::string> others;
  for (const TensorUse& use : users.uses) {
    if (use.model != model && (others.empty() || others.back() != use.model)) {
      others.push_back(use.model);
    }
  }
  return others;
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

Inspection summarise(const std::vector<ModelRows>& models, const InspectOptions& options) {
  Inspection inspection;
  inspection.matrix.assign(models.size(), std::vector<uint64_t>(models.size(), 0));
  for (const ModelRows& model : models) {
    inspection.models.push_back(count_tensors(model));
    inspection.total_bytes += inspection.models.back().tensor_bytes;
  }
  for (const auto& [place, parts] : parts_of_places(models)) add_place(parts, inspection);

  std::vector<ExtentKey> by_first_use;
  const std::map<ExtentKey, Users> users = users_of_extents(models, by_first_use);
  for (const ExtentKey& key : by_first_use) {
    const auto& [first, uses, of_models] = users.at(key);
    inspection.distinct_bytes += first->extent->size;
    if (uses.size() < 2 || first->extent->size < options.min_bytes) continue;
    inspection.duplicates.push_back({to_hex(first->hash), first->extent->size, uses});
  }
  std::stable_sort(inspection.duplicates.begin(), inspection.duplicates.end(),
                   [](const Duplicate& a, const Duplicate& b) { return a.saved() > b.saved(); });

  if (options.contents) inspection.contents = contents_of(models, users, by_first_use);
  for (size_t m = 0; m < models.size(); ++m) {
    InspectedModel& model = inspection.models[m];
    for (const TensorRow& row : models[m].tensors) {
      if (row.extent) model.repeated_bytes += row.extent->size;
    }
    model.repeated_bytes -= model.own_bytes + model.shared_bytes;
    for (const TensorRow* row : largest_of(models[m], options.top)) {
      InspectedTensor& tensor = model.largest.emplace_back(row->tensor);
      const auto found = row->extent ? users.find(key_of(*row->extent)) : users.end();
      if (found != users.end()) tensor.also_in = other_models(found->second, model.name);
    }
  }
  return inspection;
}

}  // namespace wshare
