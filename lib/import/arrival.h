#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/edit.h"
#include "format/oci.h"
#include "format/oci_layout.h"
#include "util/mapped_file.h"

namespace wshare {

// A file that came with a layer: it is the layer, or lies in its archive.
struct ArrivedFile {
  std::string name;
  std::span<const std::byte> bytes;
  size_t layer = 0;  // number in Arrival
};

// What a tag of a layout brings. Nothing is hashed yet.
struct Arrival {
  bool is_artifact = true;
  std::vector<oci::Blob> blobs;    // the layers
  std::vector<MappedFile> maps;    // of these
  std::vector<ArrivedFile> files;  // by name; they point into `maps`

  // Returns the file called `name`, or null.
  const ArrivedFile* find(std::string_view name) const;
};

// Opens the layers of `manifest` and finds the files in them.
//
// Throws what Layout::open() throws; Error(kUnsupported) if it is neither a model artifact nor an
// image as export makes it, Error(kInvalid) if a file has no name, one that cannot be a file of a
// bundle, or that of another layer of an artifact.
Arrival open_arrival(const oci::Layout& layout, const oci::ImageManifest& manifest);

// Throws Error(kInvalid) unless the files are those that the bundle's manifest names, of these
// sizes, and the manifest itself.
void check_files(const Arrival& arrival, const std::vector<BundleFile>& named);

// Throws Error(kInvalid) unless the layer has its digest.
void check_digest(const Arrival& arrival, size_t layer);

}  // namespace wshare
