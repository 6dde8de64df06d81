#include "bundle/target.h"

#include "bundle/edit.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "util/paths.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

[[noreturn]] void refuse_to_replace(const fs::path& bundle, const fs::path& input) {
  throw Error(ErrorCode::kIo,
              in_quotes(bundle.string()) + ": holds the input " + in_quotes(input.string()),
              "choose a folder of its own for the bundle");
}

}  // namespace

void check_inputs_outside(const fs::path& bundle, const std::vector<ModelInput>& inputs) {
  CanonicalPaths canonical;
  const fs::path root = fs::weakly_canonical(bundle);
  for (const ModelInput& input : inputs) {
    if (is_below(canonical.of(input.path), root)) refuse_to_replace(bundle, input.path);
  }
}

void check_target(const fs::path& bundle, const std::vector<ModelInput>& inputs, bool replace) {
  if (bundle.empty())
    throw Error(ErrorCode::kIo, "the output has no name", "-o names a folder to make");
  check_inputs_outside(bundle, inputs);
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(bundle))) return;
  if (!fs::is_directory(bundle, ignored))
    throw Error(ErrorCode::kIo, in_quotes(bundle.string()) + ": exists and is no folder",
                "give another name, or move it away");
  if (fs::is_empty(bundle, ignored)) return;
  if (!replace) {
    throw Error(ErrorCode::kIo, in_quotes(bundle.string()) + ": exists already",
                "--force replaces a bundle as a whole");
  }
  check_only_bundle(bundle, load_manifest(bundle), "move it away first");
}

void check_external(const fs::path& bundle, const ScannedModel& model) {
  const fs::path root = fs::weakly_canonical(bundle);
  for (const ExternalFile& external : model.external) {
    if (is_below(external.file.path(), root)) refuse_to_replace(bundle, external.file.path());
  }
}

}  // namespace wshare
