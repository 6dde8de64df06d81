#pragma once

#include <onnxruntime_cxx_api.h>

#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <vector>

#include "runtime/catalog.h"
#include "runtime/host_runtime.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/runtime.h"
#include "wshare/runtime_c.h"

// What stands behind the handles of runtime_c.h, and the border that no exception crosses.

struct wshare_error {
  int code;
  std::string message, hint;
};
struct wshare_names {
  std::vector<std::string> names;
};
struct wshare_options {
  wshare::SessionOptions options;
};
struct wshare_bundle {
  mutable wshare::Bundle bundle;  // a handle to shared state, which guards itself
};
struct wshare_session {
  mutable wshare::TaskSession session;  // the same
};
struct wshare_catalog {
  wshare::Catalog catalog;
};
struct wshare_plan {
  wshare::SessionPlan plan;
  std::string json;
};
struct wshare_task {
  wshare::PlannedTask task;  // keeps the folder of the adapter open
  std::string json;
};

namespace wshare {

// Returns an error for the caller. One that never goes, if there is no memory for it.
wshare_error* make_error(int code, const char* message, const std::string& hint) noexcept;

// Returns NULL after body(), or what it throws as an error.
template <typename Body>
wshare_error* guard(const Body& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const Error& error) {
    return make_error(static_cast<int>(error.code()), error.what(), error.hint());
  } catch (const Ort::Exception& error) {
    return make_error(WSHARE_RUNTIME, error.what(), {});
  } catch (const std::filesystem::filesystem_error& error) {
    return make_error(WSHARE_IO, error.what(), {});
  } catch (const std::bad_alloc&) {
    return make_error(WSHARE_INTERNAL, "no memory left", {});
  } catch (const std::exception& error) {
    return make_error(WSHARE_INTERNAL, error.what(), {});
  } catch (...) {  // a foreign library's; the caller's language could not even see it
    return make_error(WSHARE_INTERNAL, "an exception of unknown type", {});
  }
}

// Throws Error(kInvalid) if the argument called `name` is NULL.
inline void require(const void* argument, const char* name) {
  if (argument == nullptr)
    throw Error(ErrorCode::kInvalid, "argument " + in_quotes(name) + " is NULL");
}

// The same for what a result goes to, which is cleared.
template <typename Result>
void require_result(Result* result, const char* name) {
  require(result, name);
  *result = Result{};
}

// Returns the text, "" for NULL.
inline std::string text_or_empty(const char* text) { return text == nullptr ? "" : text; }

}  // namespace wshare
