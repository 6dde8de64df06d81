#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "support/files.h"
#include "wshare/models.h"

namespace wshare::test {

// The 1,072 test models of the ONNX project, which nobody here made: Debian's libonnx-testdata,
// installed by tools/setup.sh. Named like their folders, "node_test_abs"; none where the package is
// missing.
inline std::vector<ModelInput> onnx_test_models() {
  const fs::path root = "/usr/share/libonnx-testdata/data";
  std::vector<ModelInput> models;
  if (!fs::is_directory(root)) return models;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".onnx") continue;
    std::string name = entry.path().parent_path().lexically_relative(root).string();
    std::replace(name.begin(), name.end(), '/', '_');
    models.push_back({name, entry.path()});
  }
  std::sort(models.begin(), models.end(),
            [](const ModelInput& a, const ModelInput& b) { return a.name < b.name; });
  return models;
}

// What a test says that was skipped for want of them.
inline constexpr char kNoCorpus[] = "libonnx-testdata IS NOT INSTALLED: NOTHING WAS TESTED";

}  // namespace wshare::test
