#pragma once

#include <filesystem>
#include <string>

namespace wshare {

// Throws Error(kIo): `path`, `what` could not be done, and why, with a hint where there is one.
[[noreturn]] void fail_output(const std::filesystem::path& path, const std::string& what,
                              int error);

}  // namespace wshare
