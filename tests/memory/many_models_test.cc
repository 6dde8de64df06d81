// Every command on 1,200 models, with 256 file descriptors and 256 MiB of anonymous memory. Each
// model has some weights that all have and some of its own.

#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "memory/run_within.h"
#include "support/files.h"
#include "support/models.h"

namespace wshare::test {
namespace {

constexpr size_t kModels = 1200;
constexpr int64_t kWidth = 16;  // weights of 1 KiB: as small as they may be to leave their models

enum class Layout { kFlat, kHub };  // kHub: m17/onnx/model.onnx

std::string small_weight(uint32_t seed) {
  std::string bytes(sizeof(float) * kWidth * kWidth, '\0');
  for (size_t i = 0; i < bytes.size(); i += sizeof(float)) {
    seed = seed * 1664525 + 1013904223;
    const float value = static_cast<float>(seed >> 8) / static_cast<float>(1 << 24) - 0.5F;
    std::memcpy(bytes.data() + i, &value, sizeof value);
  }
  return bytes;
}

void add_value(onnx::ValueInfoProto& value, const std::string& name) {
  value.set_name(name);
  onnx::TypeProto::Tensor& type = *value.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx::TensorProto::FLOAT);
  for (const int64_t dim : {int64_t{1}, kWidth})
    type.mutable_shape()->add_dim()->set_dim_value(dim);
}

// Ten products; the last weight depends on `number`.
onnx::ModelProto model_number(uint32_t number) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  add_value(*graph.add_input(), "x0");
  for (uint32_t layer = 0; layer < 10; ++layer) {
    const std::string name = "layers." + std::to_string(layer) + ".weight";
    *graph.add_initializer() = raw(name, small_weight(layer < 9 ? layer : 1000 + number),
                                   onnx::TensorProto::FLOAT, {kWidth, kWidth});
    add_node(graph, "MatMul", {"x" + std::to_string(layer), name},
             {"x" + std::to_string(layer + 1)});
  }
  add_value(*graph.add_output(), "x10");
  return model;
}

class ManyModels : public testing::TestWithParam<Layout> {
 protected:
  ManyModels() {
    // Where there is one, a folder in memory: thousands of files take long to reach a disk.
    if (fs::is_directory("/dev/shm")) setenv("TMPDIR", "/dev/shm", 1);
    temp_.emplace();
    for (size_t i = 0; i < kModels; ++i) {
      const std::string name = "m" + std::to_string(i);
      const fs::path file =
          temp_->path() / "in" /
          (GetParam() == Layout::kFlat ? name + ".onnx" : name + "/onnx/model.onnx");
      write_file(file, model_number(static_cast<uint32_t>(i)).SerializeAsString());
      files_.push_back(file);
      inputs_.push_back(name + "=" + file.string());
    }
    write_file(temp_->path() / "more.onnx", model_number(kModels).SerializeAsString());
  }

  std::string path(const std::string& name) const { return (temp_->path() / name).string(); }

  // Expects that the program ends so, within the limits; what it prints is in the file "out".
  void expect(int code, std::vector<std::string> arguments) {
    SCOPED_TRACE(arguments[0]);
    EXPECT_EQ(run_within({256 * kMiB, 256}, std::move(arguments), path("out")), code);
  }

  void inspect() {
    expect(0, {"inspect", path("bundle")});
    EXPECT_LT(fs::file_size(path("out")), 20000u);
    expect(0, {"inspect", path("bundle"), "--html", path("page.html"), "-q"});
    EXPECT_LT(fs::file_size(path("page.html")), 2 * kMiB);
    std::vector<std::string> models = inputs_;
    models.insert(models.begin(), "inspect");
    expect(0, models);
    EXPECT_LT(fs::file_size(path("out")), 20000u);
    expect(0, {"inspect", path("bundle"), "--json"});
    EXPECT_LT(fs::file_size(path("out")), 8 * kMiB);
    const nlohmann::json json = nlohmann::json::parse(read_file(path("out")));
    EXPECT_EQ(json["models"].size() + json["models_more"].get<size_t>(), kModels);
    EXPECT_EQ(json["matrix"].size(), json["models"].size());
    EXPECT_EQ(json["duplicates"].size(), 9u);
    EXPECT_EQ(
        json["duplicates"][0]["uses"].size() + json["duplicates"][0]["uses_more"].get<size_t>(),
        kModels);
  }

  std::optional<TempFolder> temp_;
  std::vector<fs::path> files_;
  std::vector<std::string> inputs_;
};

TEST_P(ManyModels, AreLittleForEachCommand) {
  if (kSanitized) GTEST_SKIP() << "A SANITIZER NEEDS MEMORY OF ITS OWN: NOTHING WAS TESTED";
  std::vector<std::string> dedupe = inputs_;
  dedupe.insert(dedupe.begin(), {"dedupe", "-q", "-o", path("bundle")});
  expect(0, dedupe);
  expect(0, {"verify", "-q", path("bundle")});
  inspect();
  expect(0, {"restore", "-q", path("bundle"), "-o", path("back")});
  for (size_t i = 0; i < kModels; ++i) {
    const std::string repository = files_[i].parent_path().parent_path().filename().string();
    const std::string back =
        GetParam() == Layout::kFlat ? files_[i].filename().string() : repository + "/model.onnx";
    ASSERT_TRUE(read_file(temp_->path() / "back" / back) == read_file(files_[i])) << back;
  }
  expect(0, {"append", "-q", path("bundle"), path("more.onnx")});
  expect(1, {"diff", "-q", files_[0].string(), path("more.onnx")});
#ifdef WSHARE_TEST_RUN
  expect(0, {"run", path("bundle"), "--model", "m1199", "--model", "more"});
  expect(0, {"pack", path("bundle"), "--model", "m7"});
#endif
  expect(0, {"remove", "-q", path("bundle"), "m0", "m600"});
  expect(0, {"verify", "-q", path("bundle")});
  expect(0, {"remove", "-q", path("bundle"), "m1", "--compact"});
  expect(0, {"verify", "-q", path("bundle")});
}

INSTANTIATE_TEST_SUITE_P(Layouts, ManyModels, testing::Values(Layout::kFlat, Layout::kHub),
                         [](const auto& each) {
                           return each.param == Layout::kFlat ? "Flat" : "AsOnTheHub";
                         });

}  // namespace
}  // namespace wshare::test
