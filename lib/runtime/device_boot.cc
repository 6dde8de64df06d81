#include "runtime/device_boot.h"

#include <map>
#include <optional>
#include <string>

#include "runtime/known_provider.h"
#include "runtime/ort_errors.h"
#include "runtime/smallest_model.h"
#include "util/text.h"
#include "wshare/environment.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr uint32_t kNvidia = 0x10DE;

// What sessions on one device have in common.
struct Common {
  std::recursive_mutex turn;
  std::optional<Ort::Session> session;  // guarded by turn
};

// Never destroyed, as the environment: sessions may run to the end of the process.
Common& common_of(const Device& device) {
  static auto* const mutex = new std::mutex;
  static auto* const all = new std::map<const OrtEpDevice*, Common>;
  const std::lock_guard lock(*mutex);
  return (*all)[device.ep_device()];
}

[[noreturn]] void refuse(const Device& device, const std::string& message) {
  const KnownProvider* known = find_known_provider(device.provider());
  throw Error(ErrorCode::kUnsupported,
              in_quotes(device.provider()) + ": no session can be made there: " + message,
              known == nullptr ? "" : known->wants);
}

}  // namespace

bool has_addresses(Ort::ConstEpDevice device) {
  const auto memory = device.GetMemoryInfo(OrtDeviceMemoryType_DEFAULT);
  return memory != nullptr && memory.GetVendorId() == kNvidia;
}

void boot(const Device& device) {
  if (has_addresses(device.ep_device())) return;
  Common& common = common_of(device);
  const std::lock_guard lock(common.turn);
  if (common.session) return;
  try {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    device.append_to(options);
    common.session.emplace(environment(), kSmallestModel.data(), kSmallestModel.size(), options);
  } catch (const Ort::Exception& exception) {
    refuse(device, one_line(exception.what()));
  }
}

std::unique_lock<std::recursive_mutex> take_turn(const Device& device) {
  if (has_addresses(device.ep_device())) return {};
  return std::unique_lock(common_of(device).turn);
}

}  // namespace wshare
