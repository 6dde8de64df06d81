#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace wshare {

// What one session holds on a device, in bytes.
struct DeviceUse {
  uint64_t in_use = 0;  // by tensors and kernels
  uint64_t held = 0;    // also what its arena keeps for later runs, where it has one
  uint64_t most = 0;    // in use at any time so far
};

// Options of a provider by the names that it documents, such as {"device_type", "GPU"}.
using ProviderOptions = std::map<std::string, std::string>;

// A device with memory of its own, as an execution provider of ONNX Runtime offers it: sessions
// that name it run there, over one copy of the weights there. Or one of a provider that takes no
// weights but shares by itself what it makes of them, where that is known of it: its sessions are
// told to. Copies are the same device; it lives as long as the process.
class Device {
 public:
  // Returns device number `index` of `provider`: its name, in any case and with or without
  // "ExecutionProvider" at the end ("cuda").
  //
  // `library` is the plugin that has the provider. It is registered with environment() once, under
  // the name `provider`, and stays. Empty: the provider is registered already, or is CUDA, whose
  // library is looked for beside that of ONNX Runtime. `options` are given to the provider with
  // each session; of what it does not know most say nothing.
  //
  // Throws Error(kUnsupported) that names all that is missing of driver, GPU, an ONNX Runtime built
  // with CUDA, library and what the library itself needs, or if the provider offers no device here,
  // or has no memory of its own; Error(kIo) if `library` does not exist; Error(kInvalid) if there
  // is no such provider or index; Error(kRuntime) if ONNX Runtime refuses the library.
  static Device open(const std::string& provider, const std::filesystem::path& library = {},
                     size_t index = 0, ProviderOptions options = {});

  // `device` is one of environment().GetEpDevices(). Throws Error(kUnsupported) if it has no memory
  // of its own.
  explicit Device(Ort::ConstEpDevice device, ProviderOptions options = {});

  // Returns the name of the provider, as ONNX Runtime has it.
  std::string provider() const { return device_.EpName(); }

  Ort::ConstEpDevice ep_device() const { return device_; }

  const ProviderOptions& options() const { return options_; }

  // True if the provider takes no weights, and shares by itself.
  bool shares_by_itself() const;

  // Makes sessions with `ort` run here, with these options.
  void append_to(Ort::SessionOptions& ort) const;

  // Returns the bytes of this device that `session` holds for itself; nothing if the provider does
  // not count them.
  std::optional<DeviceUse> use_of(const Ort::Session& session) const;

 private:
  Ort::ConstEpDevice device_;
  ProviderOptions options_;
};

// What becomes of copies that a session would make of shared weights for itself on a device.
enum class DeviceCopies {
  kRefuse,  // they are avoided where that is possible; else an Error says what makes them
  kKeep,    // they are made, and reported
};

// How it was proven that a session takes shared weights from the device and has no copies.
enum class DeviceProof {
  kNone,        // it was not: copies are kept (DeviceCopies), or the provider shares by itself
  kCounted,     // its own allocator counts what it has given out
  kFreeMemory,  // by what the device's free memory lost meanwhile: coarser
  // By absence: in the model that the session was made of, shared weights lie where no file has
  // them, and kernels may not pack. No bytes were counted: own_bytes is what its tensors need.
  kAbsence,
};
// "none", "counted", "free_memory", "absence".
const char* text_of(DeviceProof proof);

// What the last session of a model on a device holds there, in bytes.
struct DeviceReport {
  std::string provider;
  uint64_t own_bytes = 0;       // of the session itself, right after it was made
  uint64_t unshared_bytes = 0;  // what its tensors that are not shared may take of them
  uint64_t host_bytes = 0;      // shared, but used by nodes on the CPU: in the bundle's maps
  bool may_pack = true;  // false: kernels were kept from packing, so that they make no copies
  bool by_free_memory = false;  // proof is kFreeMemory
  DeviceProof proof = DeviceProof::kNone;
};

}  // namespace wshare
