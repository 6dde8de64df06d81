#include "runtime/device_weights.h"

#include "runtime/on_device.h"

namespace wshare::test {
namespace {

class DeviceBytes : public testing::Test {
 protected:
  DeviceBytes() {
    for (size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<char>(i % 251);
  }
  ~DeviceBytes() override { EXPECT_EQ(device_counts().in_use, before_); }

  std::string bytes_ = std::string(10000, '\0');

  PlacedBytes place(std::span<const Extent> extents) {
    return weights_.place(
        extents, [&](const Extent& at) { return slice(std::as_bytes(std::span(bytes_)), at); });
  }

  uint64_t before_ = device_counts().in_use;
  DeviceWeights weights_{test_device()};
};

TEST_F(DeviceBytes, AreThoseOfTheBlobOnBoundaries) {
  const std::vector<Extent> extents = {{0, 4096, 100}, {0, 0, 1000}, {0, 9999, 1}};
  const PlacedBytes placed = place(extents);
  for (size_t i = 0; i < extents.size(); ++i) {
    EXPECT_EQ(read_back(placed.addresses[i], extents[i].size),
              bytes_.substr(extents[i].offset, extents[i].size));
    EXPECT_EQ((placed.addresses[i] - placed.addresses[1]) % 256, 0);
  }
  EXPECT_EQ(placed.buffers.size(), 1u);
  EXPECT_EQ(weights_.bytes(), 1024u + 256 + 256);
}

TEST_F(DeviceBytes, OfATensorThatBeginsAnotherAreThere) {
  const std::vector<Extent> both = {{0, 0, 512}, {0, 0, 2048}};
  const PlacedBytes placed = place(both);
  EXPECT_EQ(placed.addresses[0], placed.addresses[1]);
  EXPECT_EQ(weights_.bytes(), 2048u);
  const std::vector<Extent> smaller = {{0, 0, 1024}};
  EXPECT_EQ(place(smaller).addresses[0], placed.addresses[0]);
  EXPECT_EQ(weights_.bytes(), 2048u);
}

TEST_F(DeviceBytes, OfALongerTensorComeAnew) {
  const std::vector<Extent> smaller = {{0, 0, 512}}, longer = {{0, 0, 2048}};
  const PlacedBytes first = place(smaller);
  const PlacedBytes second = place(longer);
  EXPECT_EQ(weights_.bytes(), 512u + 2048);
  EXPECT_EQ(read_back(first.addresses[0], 512), bytes_.substr(0, 512));
  EXPECT_EQ(read_back(second.addresses[0], 2048), bytes_.substr(0, 2048));
}

TEST_F(DeviceBytes, GoWithTheLastWhoKeepsThem) {
  const std::vector<Extent> extents = {{0, 0, 1024}};
  std::optional<PlacedBytes> first = place(extents);
  std::optional<PlacedBytes> second = place(extents);
  first.reset();
  EXPECT_EQ(weights_.bytes(), 1024u);
  second.reset();
  EXPECT_EQ(weights_.bytes(), 0u);
  first = place(extents);
  EXPECT_EQ(read_back(first->addresses[0], 1024), bytes_.substr(0, 1024));
}

TEST_F(DeviceBytes, MayBeNone) {
  EXPECT_TRUE(place({}).buffers.empty());
  const std::vector<std::span<const std::byte>> pieces(2);  // parameters of rank 0
  EXPECT_EQ(weights_.upload(pieces).addresses.size(), 2u);
}

}  // namespace
}  // namespace wshare::test
