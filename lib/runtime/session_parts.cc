#include "runtime/session_parts.h"

#include <onnxruntime_session_options_config_keys.h>

#include <map>
#include <set>
#include <string>

#include "runtime/ort_errors.h"
#include "runtime/session_log.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {

std::vector<uint32_t> blobs_of(const ModelRecord& record) {
  std::set<uint32_t> blobs;
  for (const TensorRecord& tensor : record.tensors) blobs.insert(tensor.extent.blob);
  return {blobs.begin(), blobs.end()};
}

// A part of a bundle may have been shipped: what is missing matters to models that need it.
void require_blobs(const BundleState& bundle, const ModelRecord& model) {
  for (const uint32_t blob : blobs_of(model)) {
    const std::string& file = bundle.files.records()[blob].file;
    if (bundle.files.has(file)) continue;
    throw Error(ErrorCode::kIo, in_quotes(file) + ": is missing, and model " +
                                    in_quotes(model.name) + " has tensors in it");
  }
}

void attach_log(const SessionOptions& options, Ort::SessionOptions& ort, KeepAlive& keep_alive) {
  if (!options.log) return;
  const auto log = std::make_shared<SessionLog>(options.log);
  log->attach(ort);
  keep_alive.owners.push_back(log);
}

// ONNX Runtime never writes to an initializer; its API has no const form.
Ort::Value wrap(const TensorRecord& tensor, const OrtMemoryInfo* memory, const std::byte* bytes) {
  const auto type = static_cast<ONNXTensorElementDataType>(tensor.dtype);
  return Ort::Value::CreateTensor(memory, const_cast<std::byte*>(bytes),
                                  static_cast<size_t>(tensor.extent.size), tensor.shape.data(),
                                  tensor.shape.size(), type);
}

Ort::Value wrap(const NamedTensor& tensor, const OrtMemoryInfo* memory, const std::byte* bytes) {
  return Ort::Value::CreateTensor(memory, const_cast<std::byte*>(bytes), tensor.bytes.size(),
                                  tensor.shape.data(), tensor.shape.size(),
                                  static_cast<ONNXTensorElementDataType>(tensor.dtype));
}

// Files in memory are for the main graph only; what subgraphs and functions have is mapped.
uint64_t lend_blobs(const BundleState& bundle, const ModelRecord& record, const Handover& handover,
                    Ort::SessionOptions& ort) {
  const uint64_t left = count_left(handover.left);
  if (left == 0 || runtime_release() < kTakesInPlace) return left;
  std::map<std::string, std::span<const std::byte>> files;
  uint64_t inner = 0;
  for (const TensorRecord& tensor : record.tensors) {
    const MappedFile& blob = bundle.files.blob(tensor.extent.blob);
    files[bundle.files.records()[tensor.extent.blob].file] = blob.bytes();
    if (!tensor.scope.empty()) ++inner;
  }
  for (const TensorRecord* tensor : handover.shared) inner -= tensor->scope.empty() ? 0 : 1;
  std::vector<std::basic_string<ORTCHAR_T>> names;
  std::vector<char*> begins;
  std::vector<size_t> sizes;
  for (const auto& [name, bytes] : files) {
    names.push_back(name);
    begins.push_back(const_cast<char*>(reinterpret_cast<const char*>(bytes.data())));
    sizes.push_back(bytes.size());
  }
  ort.AddConfigEntry(kTakeInPlaceEntry, "1");
  ort.AddExternalInitializersFromFilesInMemory(names, begins, sizes);
  return inner;
}

// Where nothing is packed, there is nothing for a container to share. Some kernels cannot export
// what they pack and fail with a container; with Tier::kAuto such a
// model opens without one.
bool create_session(const std::filesystem::path& path, const Ort::SessionOptions& options,
                    Tier tier, Ort::PrepackedWeightsContainer& packed, Ort::Session& session) {
  const bool packs =
      options.GetConfigEntryOrDefault(kOrtSessionOptionsConfigDisablePrepacking, "0") != "1";
  if (packs) {
    try {
      session = Ort::Session(environment(), path.c_str(), options, packed);
      return true;
    } catch (const Ort::Exception&) {
      if (tier != Tier::kAuto) throw;
    }
  }
  session = Ort::Session(environment(), path.c_str(), options);
  return false;
}

ModelReport make_report(const ModelRecord& record, const Handover& handover) {
  ModelReport report;
  report.model = record.name;
  for (const TensorRecord* tensor : handover.shared) {
    report.shared_tensors.push_back(tensor->name);
    report.shared_bytes += tensor->extent.size;
  }
  report.left = handover.left;
  return report;
}

}  // namespace wshare
