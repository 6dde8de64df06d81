#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "test_device/ort_api.h"

namespace wshare::test {

using Shape = std::vector<int64_t>;

int64_t count_of(const Shape& shape);

// A float32 tensor on the device, as a kernel reaches it.
struct Tensor {
  Shape shape;
  const float* data = nullptr;  // null when there are no elements
  int64_t count = 0;
};

// Each throws if the tensor is not where and what it must be: float32 in a block of the device.
Tensor input(Ort::KernelContext& context, size_t index);
float* output(Ort::KernelContext& context, const Shape& shape);

// Copies a tensor of any type between host and device, either way, or within the device.
void copy(const OrtValue* from, OrtValue* to);

// Returns the shape that `a` and `b` are both broadcast to; throws if there is none.
Shape broadcast(const Shape& a, const Shape& b);

// Returns the element of a tensor of shape `from` that stands at element `index` of `to`.
int64_t broadcast_index(int64_t index, const Shape& to, const Shape& from);

}  // namespace wshare::test
