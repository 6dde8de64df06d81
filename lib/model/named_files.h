#pragma once

#include <string>
#include <vector>

namespace onnx {
class ModelProto;
}

namespace wshare {

// What string attributes of nodes say about files.
struct NamedFiles {
  // Locations of files that nodes need beside the model; each once, in the order of nodes.
  std::vector<std::string> needed;
  // All other texts that can be the name of a file: nothing else may take it, whoever reads them.
  std::vector<std::string> texts;
};

// Returns what nodes of `model` name, in subgraphs and functions, too.
//
// Needed is the context of an EPContext node that does not hold it itself. Source: ONNX Runtime,
// "EP Context Design": embed_mode 0, "ep_cache_context" is then a path relative to the model.
NamedFiles find_named_files(const onnx::ModelProto& model);

}  // namespace wshare
