#include "runtime/older_runtime.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "format/dtype.h"
#include "runtime/ort_errors.h"

// OrtApi is a table of functions that each release only adds to: GetApi(20) of any library is the
// first 285 of them. So a table of the size that wshare was compiled for is filled with those that
// an older library has, and the rest with functions that say which release it takes. All of it that
// works with the older one then does, and what does not fails as a call that ONNX Runtime refuses.
// Source: onnxruntime_c_api.cc, "Size of version N API cannot change".

namespace wshare {
namespace {

struct Added {
  unsigned release;
  size_t first;  // number of its first function in OrtApi
};
// 1.21, 1.26 and others that are not named added none.
constexpr auto kAdded = std::to_array<Added>(
    {{22, 285}, {23, 318}, {24, 390}, {25, 415}, {27, 419}, {28, 422}, {29, 424}, {30, 425}});
static_assert(offsetof(OrtApi, CreateLoraAdapter) / sizeof(void*) == 280);

// Of those, what returns no status: what releases, and what reads an object that only functions
// with a status can make.
constexpr auto kWithoutStatus =
    std::to_array<size_t>({285, 286, 287, 288, 291, 294, 295, 296, 297, 298, 299, 300, 307,
                           308, 309, 310, 311, 312, 313, 314, 315, 316, 317, 321, 322, 369,
                           370, 371, 372, 373, 374, 384, 385, 390, 395, 403, 413, 422});

const OrtApiBase* old_base = nullptr;
const OrtApi* old_api = nullptr;

template <unsigned release>
OrtStatus* fail_for_want_of() {
  const std::string message = std::string(kTooOld) + "what this needs is in 1." +
                              std::to_string(release) + " and newer, in use is " +
                              old_base->GetVersionString();
  return old_api->CreateStatus(ORT_NOT_IMPLEMENTED, message.c_str());
}

void* give_nothing() { return nullptr; }

// What everybody asks of a value, told by what 1.20 says of it.
OrtStatus* ORT_API_CALL tensor_size(const OrtValue* value, size_t* size) NO_EXCEPTION {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  if (OrtStatus* failed = old_api->GetTensorTypeAndShape(value, &info)) return failed;
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  size_t count = 0;
  OrtStatus* failed = old_api->GetTensorElementType(info, &type);
  if (failed == nullptr) failed = old_api->GetTensorShapeElementCount(info, &count);
  old_api->ReleaseTensorTypeAndShapeInfo(info);
  if (failed != nullptr) return failed;
  const std::optional<Dtype> dtype = find_dtype(static_cast<int32_t>(type));
  if (!dtype || dtype->bits == 0)
    return old_api->CreateStatus(ORT_INVALID_ARGUMENT, "no tensor of numbers");
  *size = (count * dtype->bits + 7) / 8;
  return nullptr;
}
OrtStatus* ORT_API_CALL tensor_data(const OrtValue* value, const void** data) NO_EXCEPTION {
  return old_api->GetTensorMutableData(const_cast<OrtValue*>(value), const_cast<void**>(data));
}

constexpr size_t kTensorSize = offsetof(OrtApi, GetTensorSizeInBytes) / sizeof(void*);
constexpr size_t kTensorData = offsetof(OrtApi, GetTensorData) / sizeof(void*);

using Function = void (*)();

template <size_t... index>
Function missing_function(size_t slot, std::index_sequence<index...>) {
  if (slot == kTensorSize) return reinterpret_cast<Function>(&tensor_size);
  if (slot == kTensorData) return reinterpret_cast<Function>(&tensor_data);
  if (std::find(kWithoutStatus.begin(), kWithoutStatus.end(), slot) != kWithoutStatus.end())
    return reinterpret_cast<Function>(&give_nothing);
  Function found = nullptr;
  ((slot >= kAdded[index].first
        ? void(found = reinterpret_cast<Function>(&fail_for_want_of<kAdded[index].release>))
        : void()),
   ...);
  return found;
}

}  // namespace

const OrtApi* older_api(const OrtApiBase& base, unsigned release) {
  constexpr size_t kSlots = sizeof(OrtApi) / sizeof(Function);
  old_base = &base;
  old_api = base.GetApi(release);
  if (release < kOldestRelease || old_api == nullptr) return nullptr;
  const auto after = std::find_if(kAdded.begin(), kAdded.end(),
                                  [&](const Added& added) { return added.release > release; });
  const size_t there = std::min(after == kAdded.end() ? kSlots : after->first, kSlots);
  static OrtApi api;
  std::array<Function, kSlots> functions{};
  std::memcpy(functions.data(), old_api, there * sizeof(Function));
  for (size_t slot = there; slot < kSlots; ++slot)
    functions[slot] = missing_function(slot, std::make_index_sequence<kAdded.size()>());
  std::memcpy(&api, functions.data(), sizeof api);
  return &api;
}

}  // namespace wshare
