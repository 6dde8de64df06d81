#include "model/external_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "util/descriptor.h"
#include "util/file_calls.h"
#include "util/paths.h"
#include "util/suggest.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// How ONNX Runtime names a tensor that lies in the memory of the process that saved the model.
constexpr std::string_view kOrtMemory = "*/_ORT_MEM_ADDR_/*";

[[noreturn]] void refuse_location(std::string_view location) {
  throw Error(ErrorCode::kInvalid, in_quotes(location) + ": leads out of the model's folder",
              "copy the file itself beside the model");
}

void check_location(std::string_view location) {
  if (location.empty()) throw Error(ErrorCode::kInvalid, "its external data has no location");
  if (location == kOrtMemory) {
    throw Error(ErrorCode::kInvalid,
                "its bytes were in the memory of the process that saved the model",
                "save the model anew with its weights");
  }
  if (location.find('\0') != std::string_view::npos || fs::path(location).is_absolute())
    refuse_location(location);
}

// Where external files of a model may lie; canonical.
struct Folders {
  fs::path beside;       // the model
  fs::path beside_real;  // the file that it is a link to
};

Folders folders_of(const fs::path& model) {
  const fs::path folder = model.has_parent_path() ? model.parent_path() : fs::path(".");
  std::error_code error;
  Folders folders{fs::canonical(folder, error), {}};
  if (!error) folders.beside_real = fs::canonical(model, error).parent_path();
  if (error) throw Error(ErrorCode::kIo, in_quotes(model.string()) + ": " + error.message());
  return folders;
}

// A name of a file that is open as `descriptor`, without the name having been looked up again.
std::string name_of(const Descriptor& descriptor) {
  return "/proc/self/fd/" + std::to_string(descriptor.number());
}

// Where the file stands that is open as `descriptor`; `path` led there.
fs::path find_stand(const Descriptor& descriptor, const fs::path& path) {
  std::error_code error;
  fs::path stands = fs::read_symlink(name_of(descriptor), error);
  if (error) stands = fs::canonical(path, error);  // without /proc; map_opened() looks at the file
  if (error) throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": " + error.message());
  return stands;
}

// Opens the file that is open as `descriptor` for reading, by the name `stands` that it has:
// nothing else is taken.
MappedFile map_opened(const Descriptor& descriptor, const fs::path& stands) {
  struct stat status {};
  if (fstat(descriptor.number(), &status) != 0)
    throw Error(ErrorCode::kIo, in_quotes(stands.string()) + ": " + std::strerror(errno));
  MappedFile file = MappedFile::open(stands);
  if (file.id() == FileId{status.st_dev, status.st_ino}) return file;
  throw Error(ErrorCode::kIo, in_quotes(stands.string()) + ": changed while it was opened",
              "run it again when nothing writes to the file");
}

// A file in the folder that is called nearly so.
std::string hint_of_neighbours(const fs::path& path) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(path.parent_path(), ignored))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  const std::string meant = nearest(path.filename().string(), names);
  if (meant.empty()) return "external data lies beside its model: copy it there, too";
  return in_quotes(meant) + " lies there: was it renamed? The model wants the old name";
}

[[noreturn]] void fail_missing(const fs::path& path, std::string_view location) {
  std::error_code ignored;
  const fs::path target = fs::read_symlink(path, ignored);
  if (!target.empty()) {
    throw Error(ErrorCode::kIo,
                in_quotes(location) + ": is a link to " + in_quotes(target.string()) +
                    ", and there is no such file",
                "get the file again: a cache that was cleared leaves such links");
  }
  throw Error(ErrorCode::kIo, in_quotes(location) + ": no such file in the model's folder",
              hint_of_neighbours(path));
}

// The path of the file from the model's folder, as the location says it where it can.
fs::path place_of(std::string_view location, const fs::path& stands, const Folders& folders) {
  const fs::path relative = fs::path(location).lexically_normal();
  if (*relative.begin() != "..") return relative;
  const fs::path whole = (folders.beside / relative).lexically_normal();
  if (is_below(whole, folders.beside)) return whole.lexically_relative(folders.beside);
  const bool beside = is_below(stands, folders.beside);
  return stands.lexically_relative(beside ? folders.beside : folders.beside_real);
}

}  // namespace

std::optional<ExternalFile> find_external(const fs::path& model, std::string_view location) {
  check_location(location);
  const Folders folders = folders_of(model);
  for (const fs::path& folder : {folders.beside, folders.beside_real}) {
    const fs::path path = folder / location;
    // O_PATH: nothing is done to what is no file of the model.
    const Descriptor descriptor(file_calls::open_at(AT_FDCWD, path.c_str(), O_PATH | O_CLOEXEC));
    if (descriptor.number() < 0) {
      if (errno == ENOENT || errno == ENOTDIR) continue;
      throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": " + std::strerror(errno));
    }
    const fs::path stands = find_stand(descriptor, path);
    if (!is_below(stands, folders.beside) && !is_below(stands, folders.beside_real))
      refuse_location(location);
    return ExternalFile{std::string(location), place_of(location, stands, folders),
                        map_opened(descriptor, stands), false};
  }
  if (!is_below((folders.beside / location).lexically_normal(), folders.beside))
    refuse_location(location);
  return std::nullopt;
}

ExternalFile open_external(const fs::path& model, std::string_view location) {
  if (std::optional<ExternalFile> file = find_external(model, location)) return *std::move(file);
  fail_missing(folders_of(model).beside / location, location);
}

}  // namespace wshare
