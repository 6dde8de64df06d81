#include "bundle/bundle_output.h"

#include <utility>

namespace wshare {

BundleOutput::BundleOutput(const std::optional<std::filesystem::path>& folder) : folder_(folder) {
  if (folder) batch_ = std::make_unique<SyncBatch>(*folder);
}

std::optional<OutputFile> BundleOutput::create(const std::string& name, uint64_t size) const {
  if (!folder_) return std::nullopt;
  return std::optional<OutputFile>(std::in_place, *folder_ / name, size);
}

void BundleOutput::take(std::optional<OutputFile> file) const {
  if (file) batch_->add(*std::move(file));
}

void BundleOutput::write(const std::string& name, std::span<const std::byte> bytes) const {
  std::optional<OutputFile> file = create(name, bytes.size());
  if (file) file->write(bytes);
  take(std::move(file));
}

void BundleOutput::finish() const {
  if (batch_) batch_->finish();
}

}  // namespace wshare
