#include <algorithm>
#include <set>
#include <tuple>

#include "format/dtype.h"
#include "inspect/findings.h"
#include "inspect/values.h"

namespace wshare {
namespace {

constexpr uint64_t kSparseParts = 10;  // at most one of so many elements is not zero
constexpr uint64_t kIndexBytes = 8;    // of a stored element of a sparse tensor

struct User {
  uint32_t model = 0;
  const TensorRef* tensor = nullptr;
};

// Where bytes lie on disk: equal for two tensors that name one place of a file.
using Storage = std::tuple<FileId, uint64_t, const void*>;

Storage storage_of(const ScannedModel& model, const TensorRef& tensor) {
  if (tensor.is_span) {
    const MappedFile& file = model.file.file();
    return {file.id(), static_cast<uint64_t>(tensor.bytes.data() - file.bytes().data()), nullptr};
  }
  if (tensor.external_file < 0) return {FileId{}, 0, tensor.bytes.data()};
  return {model.external[static_cast<size_t>(tensor.external_file)].file.id(),
          tensor.external_offset, nullptr};
}

std::vector<std::vector<User>> tensors_of_contents(const Draft& draft) {
  std::vector<std::vector<User>> users(draft.contents.contents.size());
  for (uint32_t m = 0; m < draft.models.size(); ++m) {
    for (size_t t = 0; t < draft.models[m].tensors.size(); ++t) {
      const PlanTensor& planned = draft.planned[m].tensors[t];
      if (!planned.reason) users[planned.content].push_back({m, &draft.models[m].tensors[t]});
    }
  }
  return users;
}

TensorUse use_of(const Draft& draft, const User& user) {
  return {draft.inputs[user.model].name, user.tensor->scope, user.tensor->name};
}

// Adds what a content costs that lies in several places of one model, and in several models.
void find_copies(const Draft& draft, const std::vector<User>& users, Findings& findings) {
  const uint64_t bytes = users[0].tensor->bytes.size();
  std::set<Storage> everywhere;
  uint64_t inside = 0;          // copies that models have of their own ones
  constexpr size_t kNamed = 3;  // models; then how many more
  size_t others = 0;
  std::string also_in;
  for (size_t first = 0; first < users.size();) {
    std::set<Storage> here;
    size_t last = first;
    for (; last < users.size() && users[last].model == users[first].model; ++last) {
      here.insert(storage_of(draft.models[users[last].model], *users[last].tensor));
    }
    if (here.size() > 1) {
      const uint64_t cost = bytes * (here.size() - 1);
      const std::string note = std::to_string(here.size()) + " times";
      findings.add("WS010", {use_of(draft, users[first]), "", cost, note});
      inside += here.size() - 1;
    }
    everywhere.merge(here);
    if (first > 0 && ++others <= kNamed)
      also_in += (also_in.empty() ? "" : ", ") + draft.inputs[users[first].model].name;
    first = last;
  }
  if (everywhere.size() > inside + 1) {
    const uint64_t cost = bytes * (everywhere.size() - inside - 1);
    if (others > kNamed) also_in += " and " + std::to_string(others - kNamed) + " more";
    findings.add("WS020", {use_of(draft, users[0]), "", cost, "also in " + also_in});
  }
}

void find_in_values(const Draft& draft, const User& user, const ValueFacts& facts,
                    Findings& findings) {
  const uint64_t bytes = user.tensor->bytes.size();
  const auto add = [&](const char* id, uint64_t cost, std::string note) {
    findings.add(id, {use_of(draft, user), "", cost, std::move(note)});
  };
  if (facts.zero) return add("WS014", bytes, "");
  if (facts.constant) return add("WS015", bytes, "");
  if (facts.float16) {
    add("WS012", bytes / 2, "");
  } else if (facts.bfloat16) {
    add("WS013", bytes / 2, "");
  }
  const std::optional<Dtype> dtype = find_dtype(user.tensor->dtype);
  if (!dtype || dtype->bits < 8) return;
  const uint64_t element_bytes = static_cast<uint64_t>(dtype->bits) / 8;
  const uint64_t elements = bytes / element_bytes;
  if (facts.nonzeros > elements / kSparseParts) return;
  const uint64_t sparse = facts.nonzeros * (element_bytes + kIndexBytes);
  if (sparse >= bytes) return;
  add("WS016", bytes - sparse,
      std::to_string(elements - facts.nonzeros) + " of " + std::to_string(elements) + " are zero");
}

}  // namespace

void find_in_weights(const Draft& draft, unsigned threads, Findings& findings) {
  const std::vector<std::vector<User>> users = tensors_of_contents(draft);
  std::vector<ValueView> views;
  for (const std::vector<User>& each : users) {
    views.push_back({each[0].tensor->bytes, each[0].tensor->dtype});
  }
  const std::vector<ValueFacts> facts = look_at_values(views, threads);
  for (size_t c = 0; c < users.size(); ++c) {
    find_copies(draft, users[c], findings);
    find_in_values(draft, users[c][0], facts[c], findings);
  }
}

}  // namespace wshare
