#include "test_device/mat_mul.h"

#include <algorithm>

#include "test_device/device_memory.h"
#include "test_device/tensors.h"

namespace wshare::test {
namespace {

class MatMul : public OrtKernelImpl {
 public:
  MatMul() : OrtKernelImpl{} {
    ort_version_supported = ORT_API_VERSION;
    Compute = [](OrtKernelImpl* self, OrtKernelContext* context) noexcept {
      return guarded([&] {
        Ort::KernelContext wrapped(context);
        static_cast<MatMul*>(self)->run(wrapped);
      });
    };
    Release = [](OrtKernelImpl* self) noexcept { delete static_cast<MatMul*>(self); };
    PrePackWeight = [](OrtKernelImpl* self, const OrtValue* weight, int input_index,
                       OrtAllocator* allocator, OrtSharedPrePackedWeightCache*,
                       bool* packed) noexcept {
      *packed = false;
      return guarded(
          [&] { *packed = static_cast<MatMul*>(self)->pack(weight, input_index, allocator); });
    };
  }
  MatMul(const MatMul&) = delete;
  MatMul& operator=(const MatMul&) = delete;
  ~MatMul() {
    if (packed_ != nullptr) allocator_->Free(allocator_, packed_);
  }

 private:
  // Says that the kernel has a copy, so that ONNX Runtime frees its own: what it holds beside a
  // value of the user's is the copy alone.
  bool pack(const OrtValue* weight, int input_index, OrtAllocator* allocator) {
    DeviceMemory& memory = DeviceMemory::instance();
    const Ort::ConstValue value{weight};
    const Shape shape = value.GetTensorTypeAndShapeInfo().GetShape();
    if (input_index != 1 || shape.size() != 2) return false;
    ++memory.prepacked;
    if (!memory.prepacking) return false;
    const size_t size = value.GetTensorSizeInBytes();
    void* copy = allocator->Alloc(allocator, size);
    if (copy == nullptr) fail("there is no memory left");
    std::copy_n(memory.view(value.GetTensorRawData(), size), size, memory.view(copy, size));
    allocator_ = allocator;
    packed_ = copy;
    packed_shape_ = shape;
    return true;
  }

  Tensor weight(Ort::KernelContext& context) const {
    if (packed_ == nullptr) return input(context, 1);
    Tensor tensor{packed_shape_, nullptr, count_of(packed_shape_)};
    tensor.data = reinterpret_cast<const float*>(
        DeviceMemory::instance().view(packed_, static_cast<size_t>(tensor.count) * sizeof(float)));
    return tensor;
  }

  void run(Ort::KernelContext& context) const {
    const Tensor a = input(context, 0), b = weight(context);
    if (a.shape.size() < 2 || b.shape.size() < 2) fail("a factor of MatMul is no matrix");
    const int64_t rows = a.shape[a.shape.size() - 2], inner = a.shape.back();
    const int64_t columns = b.shape.back();
    if (b.shape[b.shape.size() - 2] != inner) fail("the inner sizes of MatMul differ");
    Shape shape = a.shape;
    shape.back() = columns;
    const bool same_weight = b.shape.size() == 2;
    if (!same_weight &&
        !std::equal(a.shape.begin(), a.shape.end() - 2, b.shape.begin(), b.shape.end() - 2)) {
      fail("the leading dimensions of MatMul differ");
    }
    float* result = output(context, shape);
    if (result == nullptr) return;
    std::fill_n(result, count_of(shape), 0.0F);
    for (int64_t row = 0; row < count_of(shape) / columns; ++row) {
      const float* factor =
          same_weight || inner == 0 ? b.data : b.data + row / rows * inner * columns;
      for (int64_t k = 0; k < inner; ++k) {
        const float scale = a.data[row * inner + k];
        for (int64_t column = 0; column < columns; ++column) {
          result[row * columns + column] += scale * factor[k * columns + column];
        }
      }
    }
  }

  OrtAllocator* allocator_ = nullptr;  // of packed_
  void* packed_ = nullptr;
  Shape packed_shape_;
};

}  // namespace

OrtStatus* create_mat_mul(void*, const OrtKernelInfo*, OrtKernelImpl** kernel) noexcept {
  return guarded([&] { *kernel = new MatMul; });
}

}  // namespace wshare::test
