#pragma once

#include "test_device/ort_api.h"

namespace wshare::test {

// Returns the kernels of the test device.
Ort::KernelRegistry make_kernels();

}  // namespace wshare::test
