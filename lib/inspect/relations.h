#pragma once

#include "bundle/draft.h"
#include "format/bundle_files.h"
#include "wshare/inspect.h"

namespace wshare {

// Returns which models of `draft`, which has its plan, are others in another form, and about how
// many bytes `wshare archive` would keep of them. Of more than kMostRelated models it says nothing.
std::vector<ModelRelation> find_model_relations(const Draft& draft, const InspectOptions& options);

// The same for the models of a bundle.
std::vector<ModelRelation> find_model_relations(const Manifest& manifest, const StoredFiles& files,
                                                const InspectOptions& options);

}  // namespace wshare
