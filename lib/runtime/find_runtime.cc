#include "runtime/find_runtime.h"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

constexpr std::string_view kStem = "libonnxruntime.so";

// The names of what is in `folder`, sorted; none where it cannot be listed.
std::vector<std::string> list(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// The library in `folder`. Wheels hold it by its whole version only: libonnxruntime.so.1.32.0.
std::optional<fs::path> library_in(const fs::path& folder) {
  std::error_code ignored;
  if (fs::exists(folder / kRuntimeSoname, ignored)) return folder / kRuntimeSoname;
  for (const std::string& name : list(folder)) {
    if (name.starts_with(kRuntimeSoname)) return folder / name;
  }
  if (fs::exists(folder / kStem, ignored)) return folder / kStem;
  return std::nullopt;
}

// The one that pip puts into the Python environment in `folder`.
std::optional<fs::path> library_of_python(const fs::path& folder) {
  for (const std::string& name : list(folder / "lib")) {
    if (!name.starts_with("python3")) continue;
    if (auto found = library_in(folder / "lib" / name / "site-packages/onnxruntime/capi"))
      return found;
  }
  return std::nullopt;
}

std::optional<fs::path> find_in(const fs::path& folder) {
  for (const char* below : {"", "lib", "lib64", "capi", "onnxruntime/capi"}) {
    if (auto found = library_in(folder / below)) return found;
  }
  return library_of_python(folder);
}

}  // namespace

fs::path runtime_library_in(const fs::path& given) {
  std::error_code error;
  const fs::file_type type = fs::status(given, error).type();
  if (type == fs::file_type::not_found || type == fs::file_type::none) {
    throw Error(ErrorCode::kIo, in_quotes(given.string()) + ": " +
                                    (error ? error.message() : "No such file or directory"));
  }
  if (type != fs::file_type::directory) {
    if (!given.filename().string().starts_with("python")) return given;
    // A link in an environment leads to the interpreter of the system: the link is what counts.
    if (auto found = library_of_python(given.parent_path().parent_path())) return *found;
  } else if (auto found = find_in(given)) {
    return *found;
  }
  throw Error(ErrorCode::kUnsupported, in_quotes(given.string()) + ": no ONNX Runtime is in it",
              std::string("give ") + kRuntimeSoname +
                  ", a folder that holds it, or a Python environment with onnxruntime");
}

std::optional<fs::path> runtime_of_environment() {
  const char* const environment = std::getenv("VIRTUAL_ENV");
  if (environment == nullptr || *environment == '\0') return std::nullopt;
  return library_of_python(environment);
}

std::vector<fs::path> own_library_folders() {
  std::vector<fs::path> folders;
  Dl_info own{};
  link_map* map = nullptr;
  const auto here = reinterpret_cast<const void*>(&own_library_folders);
  if (::dladdr1(here, &own, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) == 0) return folders;
  const char* const name = map->l_name[0] == '\0' ? nullptr : map->l_name;  // null: the program
  void* const handle = ::dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
  Dl_serinfo sizes{};
  if (handle == nullptr || ::dlinfo(handle, RTLD_DI_SERINFOSIZE, &sizes) != 0) return folders;
  std::vector<std::max_align_t> space(sizes.dls_size / sizeof(std::max_align_t) + 1);
  auto* const info = reinterpret_cast<Dl_serinfo*>(space.data());
  info->dls_size = sizes.dls_size;
  info->dls_cnt = sizes.dls_cnt;
  if (::dlinfo(handle, RTLD_DI_SERINFO, info) != 0) return folders;
  for (unsigned i = 0; i < info->dls_cnt; ++i) {
    const Dl_serpath& each = info->dls_serpath[i];
    if ((each.dls_flags & LA_SER_DEFAULT) == 0) folders.emplace_back(each.dls_name);
  }
  return folders;
}

}  // namespace wshare
