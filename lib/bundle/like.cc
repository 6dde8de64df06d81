#include "bundle/like.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <set>
#include <utility>

#include "bundle/drop_unneeded.h"
#include "bundle/edit.h"
#include "bundle/start.h"
#include "format/manifest/text.h"
#include "util/link_file.h"
#include "util/output_file.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// OLD with all that it accounts for as records, which drop_unneeded() keeps the accounts of.
Manifest accounts_of(const Manifest& old) {
  Manifest accounts = old;
  ModelRecord& rest = accounts.models.emplace_back();
  for (const GapRecord& gap : old.gaps) {
    TensorRecord& tensor = rest.tensors.emplace_back();
    tensor.extent = gap.extent;
    tensor.hash = gap.hash;
  }
  return accounts;
}

void write_text(const std::string& text, const Folder& folder) {
  OutputFile file(folder.descriptor(), kManifestName, folder.path() / kManifestName, text.size());
  file.write(text);
  file.close();
}

}  // namespace

DraftStart make_like_start(const fs::path& folder) {
  const std::shared_ptr<const Folder> opened = open_bundle_folder(folder);
  DraftStart start;
  start.like = std::make_shared<const Manifest>(load_manifest(opened));
  start.files = std::make_shared<const StoredFiles>(opened, *start.like);
  start.stored = find_stored(*start.like, *start.files);
  start.manifest.blobs = start.like->blobs;
  return start;
}

std::vector<std::string> keep_worthwhile(const Draft& draft, std::vector<PlanContent>& contents) {
  const std::vector<BlobRecord>& blobs = draft.start->manifest.blobs;
  std::vector<uint64_t> used(blobs.size(), 0);
  std::vector<bool> is_needed(contents.size(), false);
  std::vector<uint64_t> used_of(contents.size(), 0);  // the longest front of it that one needs
  for (const PlanModel& model : draft.planned) {
    for (const PlanTensor& tensor : model.tensors) {
      if (tensor.reason) continue;
      is_needed[tensor.content] = true;
      const uint32_t holder = holder_of(contents, tensor.content);
      used_of[holder] = std::max(used_of[holder], contents[tensor.content].size);
    }
  }
  for (uint32_t c = 0; c < contents.size(); ++c) {
    if (contents[c].stored) used[contents[c].stored->blob] += used_of[c];
  }
  const auto stays = [&](uint32_t blob) {
    return used[blob] > 0 && used[blob] >= blobs[blob].size - blobs[blob].size / 2;
  };
  for (PlanContent& content : contents) {
    if (content.stored && !stays(content.stored->blob)) content.stored.reset();
  }
  // A longer content that only OLD has is no host any more.
  for (PlanContent& content : contents) {
    while (content.host && !contents[*content.host].stored && !is_needed[*content.host])
      content.host = contents[*content.host].host;
  }
  std::vector<std::string> names;
  for (uint32_t b = 0; b < blobs.size(); ++b) {
    if (stays(b)) names.push_back(blobs[b].file);
  }
  return names;
}

uint64_t take_over_blobs(const Draft& draft, BundleFiles& files,
                         const std::optional<fs::path>& folder, unsigned threads) {
  Manifest& manifest = files.manifest;
  std::set<std::string> made;  // in `folder`
  for (size_t b = draft.start->manifest.blobs.size(); b < manifest.blobs.size(); ++b)
    made.insert(manifest.blobs[b].file);
  // Records of originals name gaps by number, those that come now have none.
  const auto named = static_cast<std::ptrdiff_t>(manifest.gaps.size());
  drop_unneeded(accounts_of(*draft.start->like), manifest);
  manifest.gaps.erase(
      std::remove_if(manifest.gaps.begin() + std::min(named, std::ssize(manifest.gaps)),
                     manifest.gaps.end(),
                     [](const GapRecord& gap) { return gap.extent.size == 0; }),
      manifest.gaps.end());
  const std::string text = to_checked_json(manifest, threads);
  files.bytes = bundle_bytes(manifest, text.size());
  const StoredFiles& old = *draft.start->files;
  const std::shared_ptr<const Folder> to = folder ? Folder::open(*folder) : nullptr;
  uint64_t bytes = 0;
  for (const BlobRecord& blob : manifest.blobs) {
    if (made.contains(blob.file)) continue;
    bytes += blob.size;
    if (to)
      place_file(*old.folder(), blob.file, old.open(blob.file, blob.size), *to, blob.file, true);
  }
  if (to) write_text(text, *to);
  return bytes;
}

}  // namespace wshare
