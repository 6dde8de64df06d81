#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "format/manifest/manifest.h"
#include "model/scan.h"

namespace wshare {

// What the plan needs to know of one tensor.
struct PlanTensor {
  uint64_t size = 0;
  uint32_t content = 0;                // meaningful without a reason
  std::optional<InlineReason> reason;  // set: stays in its model
};

struct PlanModel {
  std::string name;
  std::vector<PlanTensor> tensors;
  bool is_new = true;  // false: the bundle has its file
};

// What the plan needs to know of one content.
struct PlanContent {
  uint64_t size = 0;
  std::optional<uint32_t> host;                 // a longer content that begins with this one
  std::optional<Extent> stored = std::nullopt;  // where the bundle has it already
};

// Registries and their clients take up a file that broke off from its beginning, so no blob is
// larger, but for one larger tensor.
inline constexpr uint64_t kMostBlobBytes = uint64_t{1} << 30;

// What the bundle has before the plan: the number of its blobs, and names that no new file may
// take.
struct PlanStart {
  uint32_t blobs = 0;
  std::vector<std::string> names;
  uint64_t most_blob_bytes = kMostBlobBytes;
};

// A content at its place in a blob.
struct Placement {
  uint32_t content = 0;
  uint64_t offset = 0;
};

struct PlanBlob {
  bool shared = false;
  std::string file;
  std::vector<Placement> placements;  // by offset
  uint64_t size = 0;
};

// Where every tensor goes; a pure value.
struct Plan {
  // New ones; blob b of an extent is blobs[b - PlanStart::blobs], or one that was there. The shared
  // ones first, then by model; blobs without bytes are left out.
  std::vector<PlanBlob> blobs;
  std::vector<std::string> model_files;                    // [model]; empty where the bundle has it
  std::vector<std::string> adapter_files, residual_files;  // [task]
  std::vector<std::string> side_files;  // that nodes name, and the bundle has not yet
  std::string restore_file;
  std::vector<std::vector<std::optional<Extent>>> extents;  // [model][tensor]; none: stays inline
};

// Returns the content that holds the bytes of `content`: itself, when it is stored, or its host.
uint32_t holder_of(const std::vector<PlanContent>& contents, uint32_t content);

// Returns the plan for `models`: contents that two models use go into the shared blob, others into
// the blob of their model; a content with a host lies inside its host. Each blob holds its large
// contents first, on pages, then the small ones, on cache lines, both by first use, so that padding
// stays under one percent. What is too much for one blob goes on in another one. Contents that are
// stored stay where they are. Files of `tasks`, which are names, get names here, too.
Plan make_plan(const std::vector<PlanModel>& models, const std::vector<PlanContent>& contents,
               const std::vector<std::string>& tasks = {}, const PlanStart& start = {});

// Returns the names of all files that a bundle of `plan` may get, but the manifest's.
std::vector<std::string> file_names_of(const Plan& plan);

// Returns `name` with its letters in lower case: names that differ in case only are one name to
// some systems.
std::string folded_name(std::string name);

// Gives names for files of a bundle that no file has yet, not the manifest either. Names that
// differ in case only are one name to some systems.
class UnusedNames {
 public:
  explicit UnusedNames(const std::vector<std::string>& taken);

  // Returns `stem` + `extension`, or with the lowest number from _2 between them that makes it new;
  // taken from now on.
  std::string make(const std::string& stem, const std::string& extension);

 private:
  std::set<std::string> taken_;
};

}  // namespace wshare
