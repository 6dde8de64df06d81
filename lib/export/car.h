#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "format/oci.h"
#include "format/oci_layout.h"

namespace wshare {

// A file that an image is to have.
struct CarFile {
  std::string name;
  std::span<const std::byte> bytes;
};

// A layer that an image lacks.
struct CarLayer {
  std::vector<CarFile> files;
  std::vector<std::string> hidden;  // files of layers below that are to be seen no more

  // Returns the layer's bytes; they point into `texts`, which gets the headers, and into the files.
  std::vector<std::span<const std::byte>> pieces(std::vector<std::string>& texts) const;
};

// The layers of an image that shows some files and no others.
struct CarPlan {
  std::vector<oci::Blob> kept;  // of the image before, the lowest first
  std::vector<CarLayer> added;  // above these
};

// Containers are mounted with a limit of some 120 layers (overlayfs, and what it is told on one
// page).
inline constexpr size_t kMostCarLayers = 100;

// Returns the image that shows `files`, over layers of the image `before` in `layout` (null: none)
// whose bytes it still has use for. A large file gets a layer of its own, others go together; at
// most kMostCarLayers.
CarPlan plan_car(const std::vector<CarFile>& files, const oci::Layout* layout,
                 const oci::ImageManifest* before);

// Returns the image that a new one under `tag` goes over: the one of that tag, else the last one
// that the layout has; nothing where there is none.
std::optional<oci::ImageManifest> image_before(const oci::Layout& layout, const std::string& tag);

}  // namespace wshare
