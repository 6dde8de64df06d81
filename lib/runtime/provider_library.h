#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace wshare {

// True if a user who says `wanted` means the provider `name`: in any case, with or without
// "ExecutionProvider" at the end.
bool is_provider(std::string_view name, std::string_view wanted);

// True if a plugin that is registered with environment() and lies at `library` offers any device.
bool has_devices(const std::filesystem::path& library);

// Registers the plugin `library` of `provider` with environment(), unless it was before. Empty: for
// CUDA, the library beside that of ONNX Runtime.
//
// Throws Error(kUnsupported) that names all that is missing, Error(kInvalid) if there is no library
// to take, Error(kIo) if it does not exist, Error(kRuntime) if ONNX Runtime refuses it.
void register_provider(const std::string& provider, const std::filesystem::path& library);

// Returns the library that the system's loader missed, from its error message; "" if that was not
// the reason.
std::string missing_library(std::string_view message);

}  // namespace wshare
