#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>

namespace wshare::test {

// Another ONNX Runtime than the one in use, for --onnxruntime; nothing where the tests have none.
inline std::optional<std::filesystem::path> other_onnxruntime() {
  const char* const given = std::getenv("WSHARE_OTHER_ONNXRUNTIME");
  if (given == nullptr || *given == '\0') return std::nullopt;
  return given;
}

}  // namespace wshare::test
