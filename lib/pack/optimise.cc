#include "pack/optimise.h"

#include <onnx/onnx_pb.h>
#include <onnxruntime_session_options_config_keys.h>

#include <map>

#include "model/externalize.h"
#include "model/keep_if.h"
#include "runtime/ort_errors.h"
#include "util/output_folder.h"
#include "util/text.h"
#include "wshare/error.h"
#include "wshare/runtime.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

// Each tensor of a file of its own range costs a mapping per session, so what is under a page stays
// in the model.
constexpr char kPage[] = "4096";

GraphOptimizationLevel ort_level(Optimization level) {
  switch (level) {
    case Optimization::kBasic:
      return ORT_ENABLE_BASIC;
    case Optimization::kExtended:
      return ORT_ENABLE_EXTENDED;
    case Optimization::kAll:
      break;
  }
  return ORT_ENABLE_ALL;
}

// ONNX Runtime (1.29) writes a large initializer of a subgraph twice, as it was and behind that as
// external data, and then refuses the name that is there twice. Returns true if one was dropped.
bool drop_repeated(onnx::GraphProto& graph, bool is_main = true) {
  bool dropped = false;
  if (!is_main) {
    std::map<std::string, int> count;
    for (const onnx::TensorProto& tensor : graph.initializer()) ++count[tensor.name()];
    keep_if(*graph.mutable_initializer(), [&](const onnx::TensorProto& tensor) {
      const bool is_last = --count[tensor.name()] == 0;
      dropped = dropped || !is_last;
      return is_last;
    });
  }
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      if (attribute.has_g()) dropped |= drop_repeated(*attribute.mutable_g(), false);
      for (onnx::GraphProto& each : *attribute.mutable_graphs())
        dropped |= drop_repeated(each, false);
    }
  }
  return dropped;
}

// Mends what ONNX Runtime wrote at `path`.
void mend(const fs::path& path) {
  bool dropped = false;
  const std::string mended = relocate(
      ModelFile::load(path), [](const ExternalPlace& place) { return place; },
      [&](onnx::ModelProto& model) { dropped = drop_repeated(*model.mutable_graph()); });
  if (!dropped) return;
  fs::remove(path);
  OutputFile file(path, 0, OutputFile::Kind::kTemporary);
  file.write(mended);
  file.close();
}

}  // namespace

const char* text_of(Optimization level) {
  switch (level) {
    case Optimization::kBasic:
      return "basic";
    case Optimization::kExtended:
      return "extended";
    case Optimization::kAll:
      break;
  }
  return "all";
}

OptimisedModel optimise(const std::string& name, const fs::path& path, Optimization level,
                        unsigned threads, const fs::path& folder) {
  const fs::path optimised = folder / "model.onnx";
  fs::remove(optimised);
  fs::remove(folder / kWeightsName);
  const auto write = [&] {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(static_cast<int>(threads));
    options.SetGraphOptimizationLevel(ort_level(level));
    options.SetOptimizedModelFilePath(optimised.c_str());
    options.AddConfigEntry(kOrtSessionOptionsOptimizedModelExternalInitializersFileName,
                           kWeightsName);
    options.AddConfigEntry(kOrtSessionOptionsOptimizedModelExternalInitializersMinSizeInBytes,
                           kPage);
    options.AddConfigEntry(kOrtSessionOptionsSavePrePackedConstantInitializers, "1");
    const Ort::Session session(environment(), path.c_str(), options);
  };
  try {
    translate_errors(name, write);
  } catch (const Error& error) {
    // ONNX Runtime only says that it failed to write.
    constexpr uint64_t kAsGoodAsFull = uint64_t{1} << 20;
    if (fs::space(folder).available >= kAsGoodAsFull) throw;
    throw Error(ErrorCode::kIo, in_quotes(folder.string()) + ": the disk is full",
                "the optimised model is written there first; TMPDIR names another place");
  }
  mend(optimised);
  // A model without large weights has no such file.
  if (!fs::exists(folder / kWeightsName)) OutputFile(folder / kWeightsName, 0, OutputFile::Kind::kTemporary).close();
  return {ModelFile::load(optimised), MappedFile::open(folder / kWeightsName)};
}

}  // namespace wshare
