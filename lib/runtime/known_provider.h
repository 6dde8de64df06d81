#pragma once

#include <string_view>

namespace wshare {

// What is known of a provider that others wrote, beyond what ONNX Runtime's API tells of it.
// Measured with the versions in docs/loader.md, "Devices".
struct KnownProvider {
  const char* name;        // as is_provider() takes it
  const char* wants;       // what it needs to offer a device
  const char* option;      // of the provider, that wshare sets where nobody else does; or null
  const char* value;       // of that option
  bool fails_on_empty;     // kernels end the process where a factor has no elements
  const char* why_copies;  // why it takes no weights from outside, and what that costs; or null
  const char* shares_by;  // the entry of a session's options that makes it share by itself; or null
};

// Returns what is known of the provider that a user calls `name`; null: nothing.
const KnownProvider* find_known_provider(std::string_view name);

}  // namespace wshare
