#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace wshare {

// What every Linux build of ONNX Runtime calls itself; 1.x keeps it.
inline constexpr char kRuntimeSoname[] = "libonnxruntime.so.1";

// Returns the library that `given` means: itself, the one in this folder (also in its lib or capi),
// or the one that pip has put into this Python environment, which its interpreter may stand for.
//
// Throws Error(kIo) if there is no such file, Error(kUnsupported) if it holds none.
std::filesystem::path runtime_library_in(const std::filesystem::path& given);

// Returns the library in the active virtual environment, or nothing.
std::optional<std::filesystem::path> runtime_of_environment();

// Returns the folders in which the system looks first for what this program or library needs:
// LD_LIBRARY_PATH, and those that were noted when it was linked.
std::vector<std::filesystem::path> own_library_folders();

}  // namespace wshare
