#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/device_use.h"
#include "util/memory.h"
#include "wshare/runtime.h"

namespace wshare {

// Where the memory of shared sessions on the CPU is, in bytes; the sum is the process's PSS.
struct MemoryParts {
  // What sessions share: pages of the bundle's files, packed forms in one copy.
  uint64_t weights = 0;
  uint64_t copies = 0;  // weights that sessions hold of their own: made by optimisers and kernels
  uint64_t activations = 0;  // what runs take; arenas keep it for the next ones
  uint64_t freed = 0;        // by ONNX Runtime while it made sessions, kept by malloc
  uint64_t other = 0;        // graphs, ONNX Runtime, inputs
  uint64_t pack_saves = 0;   // about: were `copies` one of each model, and nothing freed
  uint64_t arena_saves = 0;  // about: were `activations` those of the largest session
};

// Takes the figures at three moments: before there are sessions, when all are made, and when all
// have run; then when they are gone and what they shared is left.
class MemoryWatch {
 public:
  // The bundle's files lie in `folder`; with `shared_arena` all sessions have one.
  MemoryWatch(std::filesystem::path folder, bool shared_arena);

  struct OfModel {
    std::string model;
    const Ort::Session* session;
  };
  void made(const std::vector<OfModel>& sessions);

  // `memory` is what is to be explained.
  void ran(const std::vector<OfModel>& sessions, const MemoryFigures& memory);

  // Makes the session of a model that has its graph and no weights of its own.
  using MakeBare = std::function<Session(const std::string& model)>;

  // The sessions are gone. Returns nothing where ONNX Runtime (before 1.23) does not count what
  // arenas give out. Where malloc is not the C library's, `copies` are those in arenas.
  std::optional<MemoryParts> gone(const MakeBare& make_bare) const;

 private:
  struct Arena {
    DeviceUse made;  // when the session was made
    uint64_t activations = 0;
  };
  struct Sessions {
    size_t count = 0;
    uint64_t in_arenas = 0;
  };

  uint64_t graphs_outside_arenas(const MakeBare& make_bare) const;
  uint64_t more_than_one_of_each(uint64_t outside) const;

  std::filesystem::path folder_;
  bool shared_arena_;
  MemoryFigures before_;
  std::map<const Ort::Session*, Arena> arenas_;
  std::map<std::string, Sessions> models_;
  bool is_counted_ = true;
  uint64_t made_outside_ = 0;  // on the heap but in arenas, when all were made
  uint64_t pages_ = 0;         // of the bundle's files
  uint64_t freed_ = 0;
  uint64_t stays_ = 0;  // in an arena that is no session's own
  MemoryFigures memory_;
};

}  // namespace wshare
