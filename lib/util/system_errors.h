#pragma once

#include <system_error>

namespace wshare {

// Throws Error(kIo) that says what `error` says: of a file system, of threads. For the functions of
// include/wshare/, whose callers are promised Error:
//
//   T f(...) try { ... } catch (const std::system_error& error) { throw_as_error(error); }
[[noreturn]] void throw_as_error(const std::system_error& error);

}  // namespace wshare
