#include "export/placed_files.h"

#include "util/link_file.h"
#include "util/output_file.h"
#include "util/output_folder.h"
#include "util/text.h"
#include "wshare/error.h"

namespace fs = std::filesystem;

namespace wshare {

std::set<uint32_t> blobs_of(const ModelRecord& model, const std::vector<BufferRecord>& buffers) {
  std::set<uint32_t> blobs(model.files.begin(), model.files.end());
  for (const TensorRecord& tensor : model.tensors) blobs.insert(tensor.extent.blob);
  for (const BufferRecord& buffer : buffers) blobs.insert(buffer.extent.blob);
  return blobs;
}

void check_free(const fs::path& path, const std::string& hint) {
  if (is_free(path)) return;
  throw Error(ErrorCode::kIo, in_quotes(path.string()) + ": exists already", hint);
}

void PlacedFiles::put(const std::string& name, uint64_t size,
                      const std::shared_ptr<const Folder>& to, const std::string& as) {
  const MappedFile file = files_.open(name, size);
  const bool linked = to ? place_file(*files_.folder(), name, file, *to, as, link_) : link_;
  if (!linked) {
    copied_bytes_ += size;
  } else if (linked_.insert(name).second) {
    linked_bytes_ += size;
  }
}

void PlacedFiles::write(std::string_view text, const std::shared_ptr<const Folder>& to,
                        const std::string& as) {
  copied_bytes_ += text.size();
  if (!to) return;
  OutputFile file(to->descriptor(), as, to->path() / as, text.size());
  file.write(std::as_bytes(std::span(text)));
  file.close();
}

}  // namespace wshare
