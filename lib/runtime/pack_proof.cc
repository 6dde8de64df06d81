#include "runtime/pack_proof.h"

#include <onnxruntime_session_options_config_keys.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "runtime/device_use.h"
#include "runtime/environment.h"
#include "util/memory.h"
#include "util/text.h"

// Problem: ONNX Runtime packs each weight once more while it makes a session, and takes the form in
// the pack where that has the same hash. Else it keeps its own, without a word (1.29).
//
// What kernels pack comes from the session's arena, which counts what it has given out: nothing but
// what the session keeps, and tensors that lie in the model file itself. Maps of weights, graph and
// what other threads take meanwhile are not in it.
//
// A session that has no arena, or one arena with others, leaves the memory of the process to look
// at. That grows by more than copies: the graph of a model with thousands of nodes takes as much as
// its packed weights. And by less: malloc keeps what is freed, and gives copies a place there. So
// memory that is free is given back first; a second session, which finds what malloc has kept,
// shows what the sessions themselves hold; and one with packing off, which has no copies but all
// else, what of that is no copies.

namespace wshare {
namespace {

using Make = std::function<Ort::Session()>;

// Packs of fewer bytes than this cannot be told from what else a process takes; copies of them cost
// no more than that. So one of the release at hand is of use also where ONNX Runtime leaves its
// packed weights alone (in branches of an If): it has the graph and the weights that optimisers
// made.
constexpr uint64_t kSmallBytes = uint64_t{8} << 20;

bool has_own_arena(const Ort::SessionOptions& options) {
  const char* const key = kOrtSessionOptionsConfigUseEnvAllocators;
  return !options.HasConfigEntry(key) || options.GetConfigEntry(key) != "1";
}

// What the arena of `session` has given out; nothing where none counts that for it alone.
std::optional<uint64_t> bytes_in_use(const Ort::Session& session,
                                     const Ort::SessionOptions& options) {
  if (!has_own_arena(options)) return std::nullopt;
  const std::optional<DeviceUse> use = arena_use(session);
  return use ? std::optional(use->in_use) : std::nullopt;
}

// Makes a session and returns how many bytes of anonymous memory it holds.
uint64_t growth(const Make& make, Ort::Session& session) {
  const auto anonymous = [] {
    trim_heap();
    return measure_memory().anonymous;
  };
  const uint64_t before = anonymous();
  session = make();
  const uint64_t after = anonymous();
  return after > before ? after - before : 0;
}

// What a session holds that packs nothing; 0 where none can be made.
uint64_t growth_unpacked(const std::filesystem::path& model, const Ort::SessionOptions& options) {
  Ort::SessionOptions unpacked = options.Clone();
  unpacked.AddConfigEntry(kOrtSessionOptionsConfigDisablePrepacking, "1");
  Ort::Session session(nullptr);
  try {
    return growth([&] { return Ort::Session(environment(), model.c_str(), unpacked); }, session);
  } catch (const Ort::Exception&) {
    return 0;
  }
}

std::string why_copies(uint64_t copies, uint64_t packed) {
  return "ONNX Runtime does not use its pack: a session holds " + format_bytes(copies) +
         " for itself, " + format_bytes(packed) + " are packed";
}

}  // namespace

std::string make_proven(const std::filesystem::path& model, const PackBytes& bytes,
                        const std::string& unknown, const Ort::SessionOptions& options,
                        Ort::Session& session) {
  const uint64_t limit = bytes.own + bytes.packed / 2;
  const auto make = [&] { return Ort::Session(environment(), model.c_str(), options); };
  try {
    uint64_t copies = growth(make, session);
    const bool is_small = bytes.packed < kSmallBytes;
    if (is_small && unknown.empty()) return "";
    if (const std::optional<uint64_t> in_use = bytes_in_use(session, options))
      return *in_use <= limit + bytes.file ? "" : why_copies(*in_use, bytes.packed);
    if (is_small) return unknown;
    Ort::Session another(nullptr);
    if (copies > limit) copies = std::min(copies, growth(make, another));
    if (copies > limit) copies -= std::min(copies, growth_unpacked(model, options));
    return copies <= limit ? "" : why_copies(copies, bytes.packed);
  } catch (const Ort::Exception& exception) {
    return std::string("ONNX Runtime refuses its pack: ") + exception.what();
  }
}

std::string make_unproven(const std::filesystem::path& model, const Ort::SessionOptions& options,
                          Ort::Session& session) {
  try {
    session = Ort::Session(environment(), model.c_str(), options);
    // What it packed to compare, which glibc may keep: measured, 90 MiB a session.
    trim_heap();
    return "";
  } catch (const Ort::Exception& exception) {
    return std::string("ONNX Runtime refuses its pack: ") + exception.what();
  }
}

}  // namespace wshare
