#include "test_device/kernels.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "test_device/device_memory.h"
#include "test_device/mat_mul.h"
#include "test_device/tensors.h"

// Plain loops over float32: right, small and slow.

namespace wshare::test {
namespace {

// What a kernel keeps of its node.
struct Attributes {
  Shape perm;
  int64_t transpose_a = 0, transpose_b = 0;
};

using ComputeFn = void (*)(Ort::KernelContext&, const Attributes&);

class Kernel : public OrtKernelImpl {
 public:
  Kernel(ComputeFn compute, Attributes attributes)
      : OrtKernelImpl{}, compute_(compute), attributes_(std::move(attributes)) {
    ort_version_supported = ORT_API_VERSION;
    OrtKernelImpl::Compute = [](OrtKernelImpl* self, OrtKernelContext* context) noexcept {
      return guarded([&] {
        const auto& kernel = *static_cast<Kernel*>(self);
        Ort::KernelContext wrapped(context);
        kernel.compute_(wrapped, kernel.attributes_);
      });
    };
    OrtKernelImpl::Release = [](OrtKernelImpl* self) noexcept {
      delete static_cast<Kernel*>(self);
    };
  }

 private:
  ComputeFn compute_;
  Attributes attributes_;
};

template <typename Operation>
void binary(Ort::KernelContext& context, const Operation& operation) {
  const Tensor a = input(context, 0), b = input(context, 1);
  const Shape shape = broadcast(a.shape, b.shape);
  float* result = output(context, shape);
  for (int64_t i = 0; i < count_of(shape); ++i) {
    result[i] = operation(a.data[broadcast_index(i, shape, a.shape)],
                          b.data[broadcast_index(i, shape, b.shape)]);
  }
}

void add(Ort::KernelContext& context, const Attributes&) {
  binary(context, [](float a, float b) { return a + b; });
}

void multiply(Ort::KernelContext& context, const Attributes&) {
  binary(context, [](float a, float b) { return a * b; });
}

void relu(Ort::KernelContext& context, const Attributes&) {
  const Tensor x = input(context, 0);
  float* result = output(context, x.shape);
  for (int64_t i = 0; i < x.count; ++i) result[i] = std::max(x.data[i], 0.0F);
}

// Over the last axis, whatever the attribute says: test models have no other.
void softmax(Ort::KernelContext& context, const Attributes&) {
  const Tensor x = input(context, 0);
  float* result = output(context, x.shape);
  const int64_t width = x.shape.back();
  for (int64_t row = 0; row < x.count; row += width) {
    const float largest = *std::max_element(x.data + row, x.data + row + width);
    float sum = 0;
    for (int64_t i = row; i < row + width; ++i) sum += result[i] = std::exp(x.data[i] - largest);
    for (int64_t i = row; i < row + width; ++i) result[i] /= sum;
  }
}

void transpose(Ort::KernelContext& context, const Attributes& attributes) {
  const Tensor x = input(context, 0);
  const size_t rank = x.shape.size();
  Shape perm = attributes.perm;
  for (size_t i = rank; perm.size() < rank; --i) perm.push_back(static_cast<int64_t>(i - 1));
  Shape strides(rank, 1), shape(rank);
  for (size_t i = rank; i-- > 1;) strides[i - 1] = strides[i] * x.shape[i];
  for (size_t i = 0; i < rank; ++i) shape[i] = x.shape.at(static_cast<size_t>(perm[i]));
  float* result = output(context, shape);
  for (int64_t i = 0; i < x.count; ++i) {
    int64_t rest = i, from = 0;
    for (size_t axis = rank; axis-- > 0; rest /= shape[axis]) {
      from += rest % shape[axis] * strides[static_cast<size_t>(perm[axis])];
    }
    result[i] = x.data[from];
  }
}

// Rows of a table, by int64 indices.
void gather(Ort::KernelContext& context, const Attributes&) {
  const Tensor table = input(context, 0);
  const Ort::ConstValue indices = context.GetInput(1);
  Shape shape = indices.GetTensorTypeAndShapeInfo().GetShape();
  const int64_t count = count_of(shape), rows = table.shape.at(0);
  const auto* rows_wanted = reinterpret_cast<const int64_t*>(DeviceMemory::instance().view(
      indices.GetTensorRawData(), static_cast<size_t>(count) * sizeof(int64_t)));
  shape.insert(shape.end(), table.shape.begin() + 1, table.shape.end());
  float* result = output(context, shape);
  const int64_t width = rows == 0 ? 0 : table.count / rows;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = rows_wanted[i] < 0 ? rows_wanted[i] + rows : rows_wanted[i];
    if (row < 0 || row >= rows) fail("an index of Gather is out of range");
    std::copy_n(table.data + row * width, width, result + i * width);
  }
}

void gemm(Ort::KernelContext& context, const Attributes& attributes) {
  const Tensor a = input(context, 0), b = input(context, 1);
  const bool swap_a = attributes.transpose_a != 0, swap_b = attributes.transpose_b != 0;
  const int64_t rows = a.shape.at(swap_a ? 1 : 0), inner = a.shape.at(swap_a ? 0 : 1);
  const int64_t columns = b.shape.at(swap_b ? 0 : 1);
  if (b.shape.at(swap_b ? 1 : 0) != inner) fail("the inner sizes of Gemm differ");
  const Shape shape = {rows, columns};
  const Tensor c = context.GetInputCount() > 2 ? input(context, 2) : Tensor{};
  float* result = output(context, shape);
  for (int64_t i = 0; i < count_of(shape); ++i) {
    const int64_t row = i / columns, column = i % columns;
    float sum = c.data == nullptr ? 0.0F : c.data[broadcast_index(i, shape, c.shape)];
    for (int64_t k = 0; k < inner; ++k) {
      sum += a.data[swap_a ? k * rows + row : row * inner + k] *
             b.data[swap_b ? column * inner + k : k * columns + column];
    }
    result[i] = sum;
  }
}

// Identity, and the copies that ONNX Runtime puts between host and device.
void copy_tensor(Ort::KernelContext& context, const Attributes&) {
  const Ort::ConstValue from = context.GetInput(0);
  copy(from, context.GetOutput(0, from.GetTensorTypeAndShapeInfo().GetShape()));
}

// The shape stands on the host.
void reshape(Ort::KernelContext& context, const Attributes&) {
  const Ort::ConstValue from = context.GetInput(0), wanted = context.GetInput(1);
  const Shape shape_before = from.GetTensorTypeAndShapeInfo().GetShape();
  const int64_t* dims = wanted.GetTensorData<int64_t>();
  Shape shape(dims, dims + count_of(wanted.GetTensorTypeAndShapeInfo().GetShape()));
  int64_t known = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) shape[i] = shape_before.at(i);
    if (shape[i] > 0) known *= shape[i];
  }
  std::replace(shape.begin(), shape.end(), int64_t{-1}, count_of(shape_before) / known);
  copy(from, context.GetOutput(0, shape));
}

template <ComputeFn kCompute>
OrtStatus* create(void*, const OrtKernelInfo* node, OrtKernelImpl** kernel) noexcept {
  return guarded([&] {
    const Ort::ConstKernelInfo attributes(node);
    Attributes kept;
    const auto read = [](auto& attribute, const auto& get) {
      try {
        attribute = get();
      } catch (const Ort::Exception&) {  // the node has none of this name: the default stays
      }
    };
    read(kept.perm, [&] { return attributes.GetAttributes<int64_t>("perm"); });
    read(kept.transpose_a, [&] { return attributes.GetAttribute<int64_t>("transA"); });
    read(kept.transpose_b, [&] { return attributes.GetAttribute<int64_t>("transB"); });
    *kernel = new Kernel(kCompute, std::move(kept));
  });
}

const OrtDataType* type_of(ONNXTensorElementDataType code) {
  const OrtDataType* type = nullptr;
  Ort::ThrowOnError(Ort::GetEpApi().GetTensorDataType(code, &type));
  return type;
}

// All types of a fixed size.
std::vector<const OrtDataType*> any_type() {
  std::vector<const OrtDataType*> types;
  for (const auto code :
       {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
        ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16,
        ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
        ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
        ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
        ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64,
        ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16}) {
    types.push_back(type_of(code));
  }
  return types;
}

class Registry {
 public:
  void add_float(const char* op, OrtKernelCreateFunc create_kernel) {
    Ort::KernelDefBuilder builder = start(op);
    builder.AddTypeConstraint("T", type_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT));
    if (std::string_view(op) == "Gather")
      builder.AddTypeConstraint("Tind", type_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64));
    add(builder, create_kernel);
  }
  // `host_input` and `host_output` stay on the host; -1: none.
  void add_any(const char* op, OrtKernelCreateFunc create_kernel, int host_input = -1,
               int host_output = -1) {
    Ort::KernelDefBuilder builder = start(op);
    builder.AddTypeConstraint(std::string_view(op) == "Identity" ? "V" : "T", any_type());
    if (host_input >= 0)
      builder.SetInputMemType(static_cast<size_t>(host_input), OrtMemTypeCPUInput);
    if (host_output >= 0)
      builder.SetOutputMemType(static_cast<size_t>(host_output), OrtMemTypeCPUOutput);
    add(builder, create_kernel);
  }
  Ort::KernelRegistry take() { return std::move(registry_); }

 private:
  static Ort::KernelDefBuilder start(const char* op) {
    Ort::KernelDefBuilder builder;
    builder.SetOperatorType(op).SetDomain("").SetSinceVersion(1, 99).SetExecutionProvider(
        kTestDevice);
    return builder;
  }
  void add(Ort::KernelDefBuilder& builder, OrtKernelCreateFunc create_kernel) {
    const Ort::KernelDef definition = builder.Build();
    const Ort::Status status = registry_.AddKernel(definition, create_kernel, nullptr);
    if (!status.IsOK()) fail(status.GetErrorMessage().c_str());
  }
  Ort::KernelRegistry registry_;
};

}  // namespace

Ort::KernelRegistry make_kernels() {
  Registry kernels;
  kernels.add_float("Add", create<add>);
  kernels.add_float("Mul", create<multiply>);
  kernels.add_float("Relu", create<relu>);
  kernels.add_float("Softmax", create<softmax>);
  kernels.add_float("Transpose", create<transpose>);
  kernels.add_float("Gather", create<gather>);
  kernels.add_float("Gemm", create<gemm>);
  kernels.add_float("MatMul", create_mat_mul);
  kernels.add_any("Identity", create<copy_tensor>);
  kernels.add_any("Reshape", create<reshape>, 1);
  kernels.add_any("MemcpyFromHost", create<copy_tensor>, 0);
  kernels.add_any("MemcpyToHost", create<copy_tensor>, -1, 0);
  return kernels.take();
}

}  // namespace wshare::test
