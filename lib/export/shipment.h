#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/edit.h"
#include "format/manifest/manifest.h"
#include "util/folder.h"
#include "util/mapped_file.h"

namespace wshare {

// What is exported of a bundle: some of its files, as they were when its manifest was read, and a
// manifest that names these and no others.
struct Shipment {
  std::shared_ptr<const Folder> folder;
  Manifest manifest;
  std::vector<BundleFile> files;  // by name
  MappedFile manifest_file;       // the bundle's own
  std::string text;               // of the manifest, where that is another; else empty

  std::string_view manifest_text() const;
};

struct ShipmentOptions {
  bool with_packs = false;
  std::vector<std::string> models;  // empty: all
};

// Returns what `options` ask for of the bundle in `bundle`.
//
// Throws what load_manifest() throws; Error(kInvalid) if there is no such model, or one is
// archived.
Shipment choose_shipment(const std::filesystem::path& bundle, const ShipmentOptions& options,
                         unsigned threads);

}  // namespace wshare
