// What an OCI layout brings: index, manifest, archive. What is read of the first two can be
// written, and is then read as the same; entries of an archive lie in it.

#include <algorithm>

#include "format/oci.h"
#include "format/tar.h"
#include "fuzz/fuzz.h"

using namespace wshare;
using namespace wshare::fuzz;

namespace {

void read_index(const Exact& file) {
  const oci::Index read = oci::parse_index(as_text(file.bytes()));
  oci::Blob mine{oci::kManifestType, std::string(64, 'a'), 7};
  mine.tag = "mine";
  const oci::Index more = oci::parse_index(oci::to_json(oci::with_manifest(read, mine)));
  expect(more.find("mine") != nullptr && *more.find("mine") == mine, "a tag is there");
  for (const oci::Index::Entry& entry : read.manifests) {
    if (entry.descriptor.tag == "mine") continue;
    const bool kept = std::any_of(more.manifests.begin(), more.manifests.end(),
                                  [&](const auto& each) { return each.text == entry.text; });
    expect(kept, "other tags stay as they are");
  }
}

void read_manifest(const Exact& file) {
  const oci::ImageManifest read = oci::parse_manifest(as_text(file.bytes()));
  const oci::ImageManifest again = oci::parse_manifest(oci::to_json(read));
  expect(read.artifact_type == again.artifact_type && read.config == again.config &&
             read.layers == again.layers,
         "a manifest is read as it was written");
}

void read_archive(const Exact& file) {
  for (const tar::Entry& entry : tar::read(file.bytes())) {
    const bool inside = entry.bytes.empty() || (entry.bytes.data() >= file.bytes().data() &&
                                                entry.bytes.data() + entry.bytes.size() <=
                                                    file.bytes().data() + file.bytes().size());
    expect(inside, "an entry lies in its archive");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Exact file(Input(data + 1, size - 1).rest());
  accepts([&] {
    if (data[0] % 3 == 0) read_index(file);
    if (data[0] % 3 == 1) read_manifest(file);
    if (data[0] % 3 == 2) read_archive(file);
  });
  return 0;
}
