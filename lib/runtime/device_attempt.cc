#include "runtime/device_attempt.h"

#include <onnxruntime_session_options_config_keys.h>

#include <iterator>
#include <mutex>
#include <optional>
#include <utility>

#include "format/dtype.h"
#include "format/onnx_wire.h"
#include "runtime/absent_weights.h"
#include "runtime/device_boot.h"
#include "runtime/device_weights.h"
#include "runtime/empty_inputs.h"
#include "runtime/environment.h"
#include "util/new_pages.h"
#include "util/text.h"
#include "wshare/error.h"

namespace wshare {
namespace {

constexpr uint64_t kGranule = 256;  // a device gives out whole granules

void offer(const TensorRecord& tensor, const OrtMemoryInfo* memory, const std::byte* bytes,
           Ort::SessionOptions& ort, DeviceAttempt& made) {
  made.keep_alive->values.push_back(wrap(tensor, memory, bytes));
  ort.AddInitializer(std::string(tensor.name).c_str(), made.keep_alive->values.back());
  made.offered.insert(tensor.name);
}

void offer_on_device(const DeviceRequest& request, const DevicePlan& plan, Ort::SessionOptions& ort,
                     DeviceAttempt& made) {
  const auto tensors = tensors_at(request.handover, plan, TakenFrom::kDevice);
  std::vector<Extent> extents;
  for (const TensorRecord* tensor : tensors) extents.push_back(tensor->extent);
  PlacedBytes placed = request.weights->place(
      extents, [&](const Extent& at) { return request.bundle->files.bytes(at); });
  std::move(placed.buffers.begin(), placed.buffers.end(),
            std::back_inserter(made.keep_alive->owners));
  const Ort::ConstEpDevice device = request.options.device->ep_device();
  const auto memory = device.GetMemoryInfo(OrtDeviceMemoryType_DEFAULT);
  for (size_t i = 0; i < tensors.size(); ++i) {
    offer(*tensors[i], memory, placed.addresses[i], ort, made);
    made.offered_bytes += tensors[i]->extent.size;
  }
}

void offer_on_host(const DeviceRequest& request, const DevicePlan& plan, Ort::SessionOptions& ort,
                   DeviceAttempt& made) {
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  for (const TensorRecord* tensor : tensors_at(request.handover, plan, TakenFrom::kHost)) {
    offer(*tensor, memory, request.bundle->files.bytes(tensor->extent).data(), ort, made);
    made.report.host_bytes += tensor->extent.size;
  }
}

// In place of what kernels there must not be given.
void offer_zeros(const DeviceRequest& request, Ort::SessionOptions& ort, DeviceAttempt& made) {
  std::vector<NamedTensor> tensors = empty_inputs(request.model);
  const std::vector<std::byte> zeros = fill_empty(tensors);
  std::vector<std::span<const std::byte>> pieces;
  for (const NamedTensor& tensor : tensors) pieces.push_back(tensor.bytes);
  PlacedBytes placed = request.weights->upload(pieces);
  std::move(placed.buffers.begin(), placed.buffers.end(),
            std::back_inserter(made.keep_alive->owners));
  const auto memory =
      request.options.device->ep_device().GetMemoryInfo(OrtDeviceMemoryType_DEFAULT);
  for (size_t i = 0; i < pieces.size(); ++i) {
    made.keep_alive->values.push_back(wrap(tensors[i], memory, placed.addresses[i]));
    ort.AddInitializer(tensors[i].name.c_str(), made.keep_alive->values.back());
  }
}

// What free memory loses while a session is made, taken for the session's own. It is true only
// while nothing else takes or gives back memory there, so sessions are measured one at a time, and
// not the first one, which also loads the provider's libraries.
class FreeMemory {
 public:
  explicit FreeMemory(const DeviceRequest& request) : device_(request.options.device->ep_device()) {
    if (request.weights->meter() != DeviceMeter::kFreeMemory) return;
    static std::mutex mutex;
    alone_ = std::unique_lock(mutex);
    before_ = free_memory(device_);
  }

  bool measures() const { return before_.has_value(); }

  uint64_t lost() const {
    const uint64_t now = free_memory(device_).value_or(0);
    return *before_ > now ? *before_ - now : 0;
  }

 private:
  Ort::ConstEpDevice device_;
  std::unique_lock<std::mutex> alone_;
  std::optional<uint64_t> before_;
};

uint64_t unshared_bytes(const DeviceRequest& request, const DeviceAttempt& made) {
  uint64_t bytes = 0;
  for (const WireTensor& tensor : find_wire_tensors(request.model).tensors) {
    const WireReference reference = read_wire_reference(request.model, tensor);
    if (made.offered.contains(reference.name)) continue;
    const std::optional<Dtype> dtype = find_dtype(reference.dtype);
    const auto size = dtype ? byte_size(*dtype, reference.shape) : std::nullopt;
    bytes += align_up(size.value_or(0), kGranule);
  }
  return bytes;
}

Ort::SessionOptions options_for(const DeviceRequest& request, DeviceAttempt& made) {
  Ort::SessionOptions ort = join_environment(request.record.name, request.options);
  request.options.device->append_to(ort);
  made.log->attach(ort);
  // Past the arena, which would give out more than is asked for and so blur the proof.
  if (!ort.HasConfigEntry(kOrtSessionOptionsUseDeviceAllocatorForInitializers))
    ort.AddConfigEntry(kOrtSessionOptionsUseDeviceAllocatorForInitializers, "1");
  // A pattern of memory is one block, with offsets into it.
  if (!has_addresses(request.options.device->ep_device())) ort.DisableMemPattern();
  if (!made.report.may_pack) ort.AddConfigEntry(kOrtSessionOptionsConfigDisablePrepacking, "1");
  made.report.provider = request.options.device->provider();
  return ort;
}

void create(const DeviceRequest& request, bool absent, Ort::SessionOptions& ort,
            DeviceAttempt& made) {
  BundleState& bundle = *request.bundle;
  if (!absent) {
    made.used_container = create_session(bundle.folder->path_of(request.record.file), ort,
                                         request.options.tier, bundle.packed->get(), made.session);
    return;
  }
  ort.AddConfigEntry(kOrtSessionOptionsModelExternalInitializersFileFolderPath,
                     bundle.folder->path_of("").c_str());
  const std::string model = without_weights(request.model, made.offered);
  made.session = Ort::Session(environment(), model.data(), model.size(), ort);
}

// Says how many bytes `made` holds, or in which other way the next one is to be measured.
void measure(const DeviceRequest& request, const FreeMemory& meter, DeviceAttempt& made) {
  const Device& device = *request.options.device;
  if (const std::optional<DeviceUse> use = device.use_of(made.session)) {
    made.report.proof = DeviceProof::kCounted;
    made.report.own_bytes = use->in_use;
  } else if (meter.measures()) {
    made.report.proof = DeviceProof::kFreeMemory;
    made.report.by_free_memory = true;
    made.report.own_bytes = meter.lost();
  } else if (!request.keeps_copies()) {
    request.weights->set_meter(free_memory(device.ep_device()) ? DeviceMeter::kFreeMemory
                                                               : DeviceMeter::kAbsence);
    made.needs_measuring = true;
  }
}

}  // namespace

TakenFrom taken_from(const DevicePlan& plan, const TensorRecord& tensor) {
  const auto found = plan.taken_from.find(tensor.name);
  return found == plan.taken_from.end() ? TakenFrom::kDevice : found->second;
}

std::vector<const TensorRecord*> tensors_at(const Handover& handover, const DevicePlan& plan,
                                            TakenFrom place) {
  std::vector<const TensorRecord*> tensors;
  for (const TensorRecord* tensor : handover.shared) {
    if (taken_from(plan, *tensor) == place) tensors.push_back(tensor);
  }
  return tensors;
}

DeviceAttempt attempt_on_device(const DeviceRequest& request, const DevicePlan& plan, bool may_pack,
                                bool absent) {
  const auto turn = take_turn(*request.options.device);
  NewPages read_once;
  for (const TensorRecord* tensor : request.handover.shared)
    read_once.watch(request.bundle->files.bytes(tensor->extent));
  DeviceAttempt made;
  made.log = std::make_shared<SessionLog>(request.options.log);
  made.keep_alive->owners = {request.bundle, made.log};
  made.report.may_pack = may_pack && !absent;
  Ort::SessionOptions ort = options_for(request, made);
  offer_on_device(request, plan, ort, made);
  offer_on_host(request, plan, ort, made);
  if (request.weights->fails_on_empty()) offer_zeros(request, ort, made);
  const FreeMemory meter(request);
  create(request, absent, ort, made);
  made.log->close();
  check_providers(request.record.name, request.options, made.session);
  made.report.unshared_bytes = unshared_bytes(request, made);
  if (absent) {
    made.report.proof = DeviceProof::kAbsence;
    made.report.own_bytes = made.report.unshared_bytes;
  } else {
    measure(request, meter, made);
  }
  read_once.drop();
  return made;
}

void refuse_on_device(const DeviceRequest& request, const std::string& what,
                      const std::string& hint) {
  const std::string keep = "to keep the copies: --device-copies keep, DeviceCopies::kKeep";
  throw Error(ErrorCode::kUnsupported, in_quotes(request.record.name) + ": " + what,
              hint.empty() ? keep : hint + "; " + keep);
}

}  // namespace wshare
