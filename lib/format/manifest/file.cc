#include "format/manifest/file.h"

#include <utility>

#include "format/manifest/text.h"
#include "util/as_text.h"

namespace wshare {

ManifestFile::ManifestFile(std::shared_ptr<const Folder> folder)
    : folder_(std::move(folder)),
      file_(open_manifest(folder_)),
      index_(
          with_manifest_named(*folder_, [&] { return index_manifest(as_text(file_.bytes())); })) {
  file_.drop_pages();
}

std::vector<std::string> ManifestFile::models() const {
  std::vector<std::string> names;
  for (size_t m = 0; m < index_.models.size(); ++m) names.emplace_back(index_.models.name(m));
  return names;
}

// A manifest that another one has replaced stays as it was. One that was written to may be shorter
// now, and to read behind its end would end the process.
void ManifestFile::require_unwritten() const {
  if (!file_.was_written_to()) return;
  throw Error(ErrorCode::kIo,
              in_quotes(file_.path().string()) + ": was changed or removed since it was opened",
              "open the bundle again");
}

ModelPart ManifestFile::read(std::string_view name) const {
  if (index_.archived.contains(name)) fail_archived(name);
  if (!has_model(name)) fail_no_model(name, models());
  require_unwritten();
  return with_manifest_named(*folder_,
                             [&] { return read_model_part(as_text(file_.bytes()), index_, name); });
}

}  // namespace wshare
