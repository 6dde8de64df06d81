#pragma once

#include <cstdint>
#include <optional>

#include "bundle/draft.h"
#include "bundle/originals.h"
#include "format/manifest/manifest.h"

namespace wshare {

// Where the files of a task stand in Manifest::blobs.
struct TaskBlobs {
  std::optional<uint32_t> adapter, residual;
};

// The model that `task` was given as.
const ScannedModel& original_of(const Draft& draft, const DraftTask& task);

// The tensors of the original that its restore record leaves out, as describe_original() wants
// them; the extents of derived ones mean nothing.
TensorExtents extents_of(const Draft& draft, const DraftTask& task, const TaskBlobs& blobs);

// Returns the record of `task`, without its source.
TaskRecord make_task_record(const Draft& draft, const DraftTask& task, const TaskBlobs& blobs,
                            unsigned threads);

}  // namespace wshare
