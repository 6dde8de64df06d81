#pragma once

#include "format/manifest/manifest.h"
#include "wshare/inspect.h"

namespace wshare {

// Fills in what `remove` would delete with each model and task of `inspection`, whose models and
// tasks are those of `manifest`: its files, and blobs that nothing else needs. Nothing for a model
// that a task needs.
void add_freed_bytes(const Manifest& manifest, Inspection& inspection);

}  // namespace wshare
