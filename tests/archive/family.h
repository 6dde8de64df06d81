#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "format/matrix.h"
#include "support/cli_test.h"
#include "wshare/archive.h"
#include "wshare/restore.h"
#include "wshare/thaw.h"

namespace wshare::test {

using Names = std::vector<std::string>;
using Values = std::vector<double>;

// Values as of a trained weight.
inline Values weight(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  Values values(count);
  for (double& value : values) {
    value = -0.2;
    for (int i = 0; i < 4; ++i) value += static_cast<double>(random() % 4096) / 40960;
  }
  return values;
}

// `values` a little further on in their training.
inline Values moved(Values values, unsigned seed) {
  std::mt19937 random(seed);
  for (double& value : values)
    value += (static_cast<double>(random() % 2048) - 1023.5) / 1024 * 1e-4;
  return values;
}

inline std::string bytes_of_values(const Values& values, int32_t dtype) {
  std::string bytes(values.size() * float_format(dtype)->size, '\0');
  write_values(values, dtype, reinterpret_cast<std::byte*>(bytes.data()));
  return bytes;
}

inline onnx::TensorProto floats(const std::string& name, const Values& values,
                                std::vector<int64_t> shape = {}, int32_t dtype = kFloat32) {
  if (shape.empty()) shape = {static_cast<int64_t>(values.size())};
  return raw(name, bytes_of_values(values, dtype), dtype, std::move(shape));
}

// What `values` [rows, cols] are as float32, in another type, or transposed.
inline Values rounded(const Values& values, int32_t dtype) {
  const std::string bytes = bytes_of_values(values, dtype);
  Values out(values.size());
  read_values(std::as_bytes(std::span(bytes)), dtype, out.data());
  return out;
}
inline Values transposed(const Values& values, size_t rows, size_t cols) {
  Values out(values.size());
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < cols; ++j) out[j * rows + i] = values[i * cols + j];
  }
  return out;
}

// A test with a family of models in "in", and a bundle of it.
class FamilyTest : public CliTest {
 protected:
  fs::path bundle() const { return temp_ / "bundle"; }

  // A base, two fine-tunes of it with heads of their own, and a model of another kind.
  void make_family() {
    const Values embedding = weight(300 * 64, 1), query = weight(64 * 64, 2);
    const auto add_one = [&](const std::string& name, unsigned seed) {
      const auto at = [&](const Values& values, unsigned number) {
        return seed == 0 ? values : moved(values, seed * 16 + number);
      };
      add(name, {floats("embedding", at(embedding, 1), {300, 64}),
                 floats("query", at(query, 2), {64, 64}), raw("frozen", noise(5000, 7)),
                 floats("head", weight(900, 90 + seed)), raw("table", noise(2000, 50 + seed))});
    };
    add_one("base.onnx", 0);
    add_one("one.onnx", 1);
    add_one("two.onnx", 2);
    add("other.onnx", {raw("w", noise(60000, 8))});
    make();
  }

  ArchiveReport put_away(const Names& names = {}, ArchiveOptions options = {}) {
    options.wait = std::chrono::milliseconds(0);
    return archive(bundle(), names, options);
  }
  ThawReport bring_back(const Names& names) {
    ThawOptions options;
    options.wait = std::chrono::milliseconds(0);
    return thaw(bundle(), names, options);
  }

  // The bundle verifies and gives back all `models` files of "in".
  void expect_whole(size_t models) {
    expect_sound();
    fs::remove_all(temp_ / "out");
    const auto restored = restore(bundle(), {}, temp_ / "out", {});
    EXPECT_EQ(restored.size(), models);
    for (const RestoredModel& model : restored) EXPECT_TRUE(model.identical) << model.name;
    const auto originals = files_in(temp_ / "in");
    for (const auto& [name, bytes] : files_in(temp_ / "out"))
      EXPECT_TRUE(originals.at(name) == bytes) << name;
    for (const std::string& name : names_in(bundle())) EXPECT_FALSE(name.starts_with(".")) << name;
  }
};

}  // namespace wshare::test
