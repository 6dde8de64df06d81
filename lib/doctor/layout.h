#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace wshare {

// A file of external data as it lies beside a model.
struct DataFile {
  std::string location;      // as the model writes it
  uint64_t needed = 0;       // bytes that the model's tensors reach to
  bool is_absolute = false;  // the location
  bool leads_out = false;    // by "..", of the text
  bool exists = false;
  uint64_t size = 0;
  bool is_link = false;
  uint64_t names = 1;      // hard links
  bool in_folder = false;  // its real path, in the real path of the folder that the model lies in
  bool beside_target = false;  // or in that of the file which the model's own link leads to
};

// What a model is as a file, its weights unread.
struct ModelLayout {
  int64_t ir_version = 0;
  int64_t opset = 0;  // of ai.onnx
  bool is_link = false;
  std::vector<DataFile> data;  // by location
};

// Throws Error(kInvalid) if `path` is no model, Error(kIo) if it cannot be read.
ModelLayout look_at(const std::filesystem::path& path);

}  // namespace wshare
