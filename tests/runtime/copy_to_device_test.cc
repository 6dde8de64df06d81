#include "runtime/copy_to_device.h"

#include <array>
#include <numeric>

#include "runtime/device_weights.h"
#include "runtime/on_device.h"

namespace wshare::test {
namespace {

class CopyToDevice : public testing::Test {
 protected:
  // Pieces of these sizes: more than a half of the staging memory, exactly one, nothing, odd ones.
  static constexpr std::array<size_t, 8> kSizes = {1, 3000, 0, 1024, 700, 324, 5000, 17};
  static constexpr StagingSizes kStaged = {1024, 0};

  CopyToDevice() {
    reset_test_device_peak();
    size_t at = 0;
    for (const size_t size : kSizes) {
      uploads_.push_back({bytes_.data() + at, buffer_.bytes() + at, size});
      at += size;
    }
  }
  ~CopyToDevice() override { EXPECT_EQ(device_counts().pinned, before_.pinned); }

  void expect_arrived() const {
    EXPECT_EQ(read_back(buffer_.bytes(), bytes_.size()),
              std::string(reinterpret_cast<const char*>(bytes_.data()), bytes_.size()));
    EXPECT_EQ(device_counts().uploaded, before_.uploaded + bytes_.size());
  }

  std::vector<std::byte> bytes_ = [] {
    std::vector<std::byte> bytes(std::accumulate(kSizes.begin(), kSizes.end(), size_t{0}));
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i % 251);
    return bytes;
  }();
  DeviceBuffer buffer_{test_device(), bytes_.size(), std::make_shared<std::atomic<uint64_t>>()};
  std::vector<Upload> uploads_;
  DeviceCounts before_ = device_counts();
};

TEST_F(CopyToDevice, GoesThroughTwoHalvesOfPinnedMemory) {
  copy_to_device(test_device(), uploads_, kStaged);
  expect_arrived();
  EXPECT_EQ(device_counts().from_pinned, before_.from_pinned + bytes_.size());
  const uint64_t peak = device_counts().pinned_peak - before_.pinned;
  EXPECT_GE(peak, 2 * kStaged.half);
  EXPECT_LT(peak, 3 * kStaged.half);
}

TEST_F(CopyToDevice, GoesStraightFromTheMapWhereThereIsLittle) {
  copy_to_device(test_device(), uploads_, {kStaged.half, bytes_.size() + 1});
  expect_arrived();
  EXPECT_EQ(device_counts().from_pinned, before_.from_pinned);
  EXPECT_EQ(device_counts().pinned_peak, before_.pinned);
}

TEST_F(CopyToDevice, GoesStraightFromTheMapWhereNothingCanBePinned) {
  const Room room(UINT64_MAX, 2 * kStaged.half - 1);
  copy_to_device(test_device(), uploads_, kStaged);
  expect_arrived();
  EXPECT_EQ(device_counts().from_pinned, before_.from_pinned);
}

TEST_F(CopyToDevice, EndsWhereACopyFails) {
  for (const size_t which : {size_t{0}, size_t{3}, kSizes.size() - 1}) {
    std::vector<Upload> bad = uploads_;
    bad[which].to = bytes_.data();  // of the host
    EXPECT_THROW(copy_to_device(test_device(), bad, kStaged), Ort::Exception);
    EXPECT_EQ(device_counts().pinned, before_.pinned);
  }
}

TEST_F(OnDevice, LargeWeightsAreStaged) {
  const int64_t rows = 1024;
  const std::string weight = noise(static_cast<size_t>(rows) * rows * 4, 5);  // 4 MiB
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), "x", onnx::TensorProto::FLOAT, {"1", "1024"});
  set_type(*graph.add_output(), "y", onnx::TensorProto::FLOAT, {"1", "1024"});
  std::string from = "x";
  for (int i = 0; i < 9; ++i) {
    const std::string name = "w" + std::to_string(i), to = i == 8 ? "y" : "h" + std::to_string(i);
    std::string bytes = weight;
    bytes[0] = static_cast<char>(i);  // or it would be one tensor
    *graph.add_initializer() = raw(name, bytes, onnx::TensorProto::FLOAT, {rows, rows});
    add_node(graph, "MatMul", {from, name}, {to});
    from = to;
  }
  Bundle bundle = bundle_of(model);
  Session session = bundle.session("m", on_device());
  EXPECT_EQ(device_counts().from_pinned - before_.from_pinned, 9 * weight.size());
  EXPECT_LT(device_counts().pinned_peak - before_.pinned, uint64_t{9} << 20);
  EXPECT_EQ(bundle.report().device_bytes(), 9 * weight.size());
}

}  // namespace
}  // namespace wshare::test
