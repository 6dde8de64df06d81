#include "pack/optimise.h"

#include <onnx/onnx_pb.h>
#include <onnxruntime_cxx_api.h>
#include <onnxruntime_session_options_config_keys.h>

#include <map>
#include <nlohmann/json.hpp>

#include "format/packed_buffers.h"
#include "model/externalize.h"
#include "model/keep_if.h"
#include "model/walk.h"
#include "run/ask_child.h"
#include "run/openers.h"
#include "runtime/ort_errors.h"
#include "runtime/thread_room.h"
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
constexpr char kModelName[] = "model.onnx";  // of what is written

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
bool drop_repeated(onnx::GraphProto& main) {
  bool dropped = false;
  for_each_graph(main, [&](onnx::GraphProto& graph) {
    if (&graph == &main) return;
    std::map<std::string, int> count;
    for (const onnx::TensorProto& tensor : graph.initializer()) ++count[tensor.name()];
    keep_if(*graph.mutable_initializer(), [&](const onnx::TensorProto& tensor) {
      const bool is_last = --count[tensor.name()] == 0;
      dropped = dropped || !is_last;
      return is_last;
    });
  });
  return dropped;
}

// A kernel may have a buffer of no bytes among those of a weight (QLinearConv does, of a weight
// that it only brings into another order). ONNX Runtime (1.29 to 1.32) writes that with length 0,
// which it reads as all bytes of the file, and refuses the model. So sessions pack such a weight
// themselves. Returns the bytes that they make of those that were dropped.
uint64_t drop_unreadable(onnx::GraphProto& main) {
  uint64_t bytes = 0;
  for_each_graph(main, [&](onnx::GraphProto& graph) {
    for (onnx::TensorProto& tensor : *graph.mutable_initializer()) {
      keep_if(*tensor.mutable_external_data(), [&](const onnx::StringStringEntryProto& entry) {
        if (!entry.key().starts_with(kPackedKey)) return true;
        bool is_readable = true;
        uint64_t size = 0;
        move_packed_buffers(entry.value(), [&](uint64_t offset, uint64_t length) {
          is_readable = is_readable && length > 0;
          size += length;
          return offset;
        });
        if (!is_readable) bytes += size;
        return is_readable;
      });
    }
  });
  return bytes;
}

// Mends what ONNX Runtime wrote at `path`; returns what drop_unreadable() does.
uint64_t mend(const fs::path& path) {
  bool dropped = false;
  uint64_t unreadable = 0;
  const std::string mended = relocate(
      ModelFile::load(path), [](const ExternalReference& place) { return place; },
      [&](onnx::ModelProto& model) {
        dropped = drop_repeated(*model.mutable_graph());
        unreadable = drop_unreadable(*model.mutable_graph());
      });
  if (!dropped && unreadable == 0) return 0;
  fs::remove(path);
  OutputFile file(path, 0, OutputFile::Kind::kTemporary);
  file.write(mended);
  file.close();
  return unreadable;
}

// True if `message` of ONNX Runtime (1.29) is that it could not write into `folder`: it names the
// file or says one of these.
bool is_of_writing(const std::string& message, const fs::path& folder) {
  for (const std::string& words :
       {folder.string(), std::string("Failed to write"),
        std::string("Protobuf serialization failed"), std::string("close file")}) {
    if (message.find(words) != message.npos) return true;
  }
  return false;
}

// ONNX Runtime's part of optimise().
void write_optimised(const OptimiseJob& job) {
  const unsigned threads = 1 + count_startable(job.threads - 1);
  const auto write = [&] {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(static_cast<int>(threads));
    options.SetGraphOptimizationLevel(ort_level(job.level));
    options.SetOptimizedModelFilePath((job.folder / kModelName).c_str());
    options.AddConfigEntry(kOrtSessionOptionsOptimizedModelExternalInitializersFileName,
                           kWeightsName);
    options.AddConfigEntry(kOrtSessionOptionsOptimizedModelExternalInitializersMinSizeInBytes,
                           kPage);
    options.AddConfigEntry(kOrtSessionOptionsSavePrePackedConstantInitializers, "1");
    const Ort::Session session(environment(), job.path.c_str(), options);
  };
  try {
    translate_errors(job.model, write);
  } catch (const Error& error) {
    if (!is_of_writing(error.what(), job.folder)) throw;
    constexpr uint64_t kAsGoodAsFull = uint64_t{1} << 20;
    std::error_code unknown;
    const bool is_full = fs::space(job.folder, unknown).available < kAsGoodAsFull;
    throw Error(ErrorCode::kIo,
                in_quotes(job.folder.string()) +
                    (is_full ? ": the disk is full" : ": cannot write") + ": " + error.what(),
                "the optimised model is written there first; TMPDIR names another place");
  }
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

Optimization parse_optimization(const std::string& name) {
  for (const Optimization level : {Optimization::kBasic, Optimization::kExtended}) {
    if (name == text_of(level)) return level;
  }
  return Optimization::kAll;
}

OptimisedModel optimise(const OptimiseJob& job, const fs::path& program) {
  const fs::path optimised = job.folder / kModelName, weights = job.folder / kWeightsName;
  fs::remove(optimised);
  fs::remove(weights);
  if (program.empty()) {
    write_optimised(job);
  } else {
    ask_child(program,
              {{"job", kOptimiseJob},
               {"model", job.model},
               {"path", job.path.string()},
               {"folder", job.folder.string()},
               {"level", text_of(job.level)},
               {"threads", job.threads}},
              {});
  }
  const uint64_t own_bytes = mend(optimised);
  // A model without large weights has no such file.
  if (!fs::exists(weights)) OutputFile(weights, 0, OutputFile::Kind::kTemporary).close();
  return {ModelFile::load(optimised), MappedFile::open(weights), own_bytes};
}

nlohmann::ordered_json do_optimise(const nlohmann::ordered_json& json) {
  silence_log();
  const auto text = [&](const char* key) { return json.at(key).get<std::string>(); };
  write_optimised({text("model"), text("path"), text("folder"), parse_optimization(text("level")),
                   json.at("threads").get<unsigned>()});
  return nlohmann::ordered_json::object();
}

}  // namespace wshare
