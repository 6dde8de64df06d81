#pragma once

#include <onnxruntime_c_api.h>

namespace wshare {

// The oldest release of ONNX Runtime that serves: 1.20, the first with adapters.
inline constexpr unsigned kOldestRelease = 20;

// Returns the API of `base`, of release 1.`release`, which is older than what wshare was built
// with, in the form of the newer one: functions that it lacks fail, and their message starts with
// kTooOld (ort_errors.h). Null if it does not even have that of 1.20.
//
// To be called once for a process; the result stays.
const OrtApi* older_api(const OrtApiBase& base, unsigned release);

}  // namespace wshare
