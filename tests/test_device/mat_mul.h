#pragma once

#include "test_device/ort_api.h"

namespace wshare::test {

// Makes a kernel for MatMul: [..., rows, inner] x [inner, columns], or both with the same leading
// dimensions. While prepacking is on, it makes a copy of a constant second factor on the device.
OrtStatus* create_mat_mul(void*, const OrtKernelInfo* node, OrtKernelImpl** kernel) noexcept;

}  // namespace wshare::test
