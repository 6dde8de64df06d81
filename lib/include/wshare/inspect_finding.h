#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace wshare {

struct TensorUse {
  std::string model, scope, tensor;
};

// Something odd in what was looked at; docs/findings.md explains each id.
struct FindingKind {
  const char* id;     // "WS012"
  const char* title;  // a few words
};
std::span<const FindingKind> finding_kinds();  // by id

struct FindingPlace {
  TensorUse use;  // of the first tensor that has the bytes; no tensor: of a file or a model
  std::string file;
  uint64_t bytes = 0;  // what it costs
  std::string note;
};

struct Finding {
  std::string id;
  uint64_t bytes = 0;                // of all places
  std::vector<FindingPlace> places;  // at least one, the largest first
};

}  // namespace wshare
