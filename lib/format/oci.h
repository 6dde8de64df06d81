#pragma once

// The JSON of an OCI image layout: image-layout.md, image-index.md, manifest.md and descriptor.md
// of the OCI image specification 1.1, and the CNCF ModelPack specification.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wshare::oci {

inline constexpr char kManifestType[] = "application/vnd.oci.image.manifest.v1+json";
inline constexpr char kIndexType[] = "application/vnd.oci.image.index.v1+json";
// An artifact of ModelPack: one file a layer, as it is.
inline constexpr char kModelType[] = "application/vnd.cncf.model.manifest.v1+json";
inline constexpr char kModelConfigType[] = "application/vnd.cncf.model.config.v1+json";
inline constexpr char kWeightType[] = "application/vnd.cncf.model.weight.v1.raw";
inline constexpr char kWeightConfigType[] = "application/vnd.cncf.model.weight.config.v1.raw";
// An image.
inline constexpr char kImageConfigType[] = "application/vnd.oci.image.config.v1+json";
inline constexpr char kTarType[] = "application/vnd.oci.image.layer.v1.tar";

// Where an image has the files of a bundle, and how a layer says that a file below is gone.
// Source: OCI image specification, layer.md, "Whiteouts".
inline constexpr std::string_view kImageFolder = "models/", kWhiteout = ".wh.";

inline constexpr char kTagKey[] = "org.opencontainers.image.ref.name";
inline constexpr char kLayoutText[] = R"({"imageLayoutVersion":"1.0.0"})";

// Registries refuse larger ones (distribution 2.8).
inline constexpr uint64_t kMostManifestBytes = uint64_t{4} << 20;

// What names a blob.
struct Blob {
  std::string media_type;
  std::string digest;  // the hex digits of its SHA-256
  uint64_t size = 0;
  std::string artifact_type = {};
  std::string file = {};  // the name that a layer's bytes have as a file; empty: none
  std::string tag = {};   // of a manifest in an index
  bool operator==(const Blob&) const = default;
};

struct ImageManifest {
  std::string artifact_type;  // empty: an image
  Blob config;
  std::vector<Blob> layers;
};

// index.json. What is said of other tags stays as it is, to the byte.
struct Index {
  struct Entry {
    Blob descriptor;
    std::string text;
  };
  std::vector<Entry> manifests;
  std::string annotations;  // JSON; empty: none

  // Returns the manifest that `tag` names, or null.
  const Blob* find(std::string_view tag) const;
};

// Each throws Error(kInvalid) if the text is something else, or names a blob by anything but a
// SHA-256; parse_layout() throws Error(kUnsupported) if the layout's version is not 1.0.0.
void parse_layout(std::string_view text);
Index parse_index(std::string_view text);
ImageManifest parse_manifest(std::string_view text);

// Equal manifests give equal texts.
std::string to_json(const ImageManifest& manifest);
std::string to_json(const Index& index);

// Returns `index` with `manifest` under its tag, in place of what had that tag.
Index with_manifest(Index index, const Blob& manifest);

// The configs: of an artifact, and of an image for `architecture`, whose layers have `digests`.
std::string model_config(const std::vector<Blob>& layers);
std::string image_config(const std::vector<Blob>& layers, std::string_view architecture);

// A layout and a tag in it, as skopeo names them: "FOLDER" or "FOLDER:TAG".
struct Reference {
  std::string layout;
  std::string tag;  // empty: none was given
};

// Throws Error(kInvalid) if what follows the last ':' is no tag.
Reference parse_reference(const std::string& text);

}  // namespace wshare::oci
