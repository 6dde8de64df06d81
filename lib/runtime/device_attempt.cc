#include "runtime/device_attempt.h"

#include <onnxruntime_session_options_config_keys.h>

#include <iterator>
#include <mutex>
#include <optional>
#include <utility>

#include "format/dtype.h"
#include "format/onnx_wire.h"
#include "runtime/device_weights.h"
#include "runtime/environment.h"
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

[[noreturn]] void refuse_uncounted(const DeviceRequest& request) {
  refuse_on_device(request, "the allocator of " + in_quotes(request.options.device->provider()) +
                                " counts no bytes, and no driver tells how many are free, so it "
                                "cannot be proven that weights are shared");
}

// What free memory loses while a session is made, taken for the session's own. It is true only
// while nothing else takes or gives back memory there, so sessions are measured one at a time, and
// not the first one, which also loads the provider's libraries.
class FreeMemory {
 public:
  explicit FreeMemory(const DeviceRequest& request) : device_(request.options.device->ep_device()) {
    if (!request.weights->is_uncounted()) return;
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

DeviceAttempt attempt_on_device(const DeviceRequest& request, const DevicePlan& plan,
                                bool may_pack) {
  const Device& device = *request.options.device;
  BundleState& bundle = *request.bundle;
  DeviceAttempt made;
  made.log = std::make_shared<SessionLog>(request.options.log);
  made.keep_alive->owners = {request.bundle, made.log};
  Ort::SessionOptions ort = join_environment(request.record.name, request.options);
  ort.AppendExecutionProvider_V2(environment(), {device.ep_device()}, Ort::KeyValuePairs{});
  made.log->attach(ort);
  // Past the arena, which would give out more than is asked for and so blur the proof.
  if (!ort.HasConfigEntry(kOrtSessionOptionsUseDeviceAllocatorForInitializers))
    ort.AddConfigEntry(kOrtSessionOptionsUseDeviceAllocatorForInitializers, "1");
  if (!may_pack) ort.AddConfigEntry(kOrtSessionOptionsConfigDisablePrepacking, "1");
  offer_on_device(request, plan, ort, made);
  offer_on_host(request, plan, ort, made);
  const FreeMemory meter(request);
  made.used_container = create_session(bundle.folder->path_of(request.record.file), ort,
                                       request.options.tier, bundle.packed, made.session);
  made.log->close();
  check_providers(request.record.name, request.options, made.session);
  made.report.provider = device.provider();
  made.report.may_pack = may_pack;
  const std::optional<DeviceUse> use = device.use_of(made.session);
  made.report.by_free_memory = !use && meter.measures();
  made.report.own_bytes = use ? use->in_use : made.report.by_free_memory ? meter.lost() : 0;
  if (!use && !meter.measures() && !request.keeps_copies()) {
    if (!free_memory(device.ep_device())) refuse_uncounted(request);
    request.weights->set_uncounted();
    made.needs_measuring = true;
  }
  made.report.unshared_bytes = unshared_bytes(request, made);
  bundle.files.drop_pages();
  return made;
}

void refuse_on_device(const DeviceRequest& request, const std::string& what,
                      const std::string& hint) {
  const std::string keep = "to keep the copies: --device-copies keep, DeviceCopies::kKeep";
  throw Error(ErrorCode::kUnsupported, in_quotes(request.record.name) + ": " + what,
              hint.empty() ? keep : hint + "; " + keep);
}

}  // namespace wshare
