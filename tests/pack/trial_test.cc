// What pack tries its packs on, and what it makes of what it finds: outputs that are random,
// weights that cannot be stored, weights that optimisers made.

#include <nlohmann/json.hpp>

#include "pack/packed.h"
#include "support/places.h"
#include "wshare/remove.h"

namespace wshare::test {
namespace {

class PackTrial : public PackTest {
 protected:
  // With children of the program, as users have it.
  int run_program(const std::vector<std::string>& arguments) {
    std::ostringstream out, err;
    const int code = run_cli(arguments, out, err, kProgram);
    out_ = out.str();
    err_ = err.str();
    return code;
  }
};

// y as always; noise, which is random; and y with random parts dropped.
TEST_F(PackTrial, ComparesWhatIsNotRandom) {
  onnx::ModelProto model = matmul_model(kRows, kColumns, floats(kColumns, 2));
  onnx::GraphProto& graph = *model.mutable_graph();
  add_node(graph, "RandomNormalLike", {"y"}, {"noise"});
  *graph.add_initializer() = raw("ratio", raw_of<float>({0.5F}), Proto::FLOAT, {1});
  graph.mutable_initializer(2)->clear_dims();
  *graph.add_initializer() = raw("yes", std::string(1, '\1'), Proto::BOOL, {1});
  graph.mutable_initializer(3)->clear_dims();
  add_node(graph, "Dropout", {"y", "ratio", "yes"}, {"dropped"});
  for (const char* const name : {"noise", "dropped"})
    set_type(*graph.add_output(), name, Proto::FLOAT, {"1", std::to_string(kColumns)});
  add("a.onnx", model);
  make();
  ASSERT_EQ(run_program({"pack", path("bundle"), "--json"}), 0) << err_;
  const auto json = nlohmann::json::parse(out_);
  EXPECT_TRUE(json.at("models")[0].at("why_not").is_null()) << out_;
  EXPECT_EQ(json.at("models")[0].at("random_outputs"),
            (std::vector<std::string>{"noise", "dropped"}));
  EXPECT_NE(err_.find("'a': not compared, since a plain session gives another at each run: output "
                      "'noise', 'dropped'"),
            std::string::npos)
      << err_;
  expect_packed({"a"});
}

// QLinearConv with a channel for each group has a buffer of no bytes, which ONNX Runtime cannot
// read back.
TEST_F(PackTrial, PacksModelsWithBuffersOfNoBytes) {
  constexpr int64_t kChannels = 512;  // a page of weights and more
  onnx::ModelProto model = matmul_model(kRows, kColumns, floats(kColumns, 2));
  onnx::GraphProto& graph = *model.mutable_graph();
  const auto scalar = [&](const char* name, const std::string& bytes, int type) {
    *graph.add_initializer() = raw(name, bytes, type, {1});
    graph.mutable_initializer(graph.initializer_size() - 1)->clear_dims();
  };
  scalar("scale", raw_of<float>({0.1F}), Proto::FLOAT);
  scalar("zero", std::string(1, '\x80'), Proto::UINT8);
  std::string weight(kChannels * 9, '\0');
  for (size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<char>(i * 31 % 251);
  *graph.add_initializer() = raw("depthwise", weight, Proto::UINT8, {kChannels, 1, 3, 3});
  const std::vector<std::string> dims = {"1", std::to_string(kChannels), "5", "5"};
  set_type(*graph.add_input(), "image", Proto::UINT8, dims);
  onnx::NodeProto& conv =
      add_node(graph, "QLinearConv",
               {"image", "scale", "zero", "depthwise", "scale", "zero", "scale", "zero"}, {"z"});
  *conv.add_attribute() = integer("group", kChannels);
  onnx::AttributeProto& pads = *conv.add_attribute();
  pads.set_name("pads");
  pads.set_type(onnx::AttributeProto::INTS);
  for (int i = 0; i < 4; ++i) pads.add_ints(1);
  set_type(*graph.add_output(), "z", Proto::UINT8, dims);
  add("a.onnx", model);
  make();
  ASSERT_EQ(run_program({"pack", path("bundle"), "--json"}), 0) << err_;
  const auto json = nlohmann::json::parse(out_);
  EXPECT_TRUE(json.at("models")[0].at("why_not").is_null()) << out_;
  EXPECT_EQ(manifest().packs.at(0).own_bytes, json.at("models")[0].at("own_bytes"));
  if (manifest().packs.at(0).own_bytes == 0)
    GTEST_SKIP() << "THIS CPU'S KERNELS HAVE NO BUFFER OF NO BYTES";
  EXPECT_EQ(manifest().packs.at(0).own_bytes, static_cast<uint64_t>(kChannels) * 9);
  expect_sound();
  RemoveOptions compact;
  compact.compact = true;
  remove_models(bundle(), {}, compact);
  expect_sound();
  Bundle opened = Bundle::open(bundle());
  open(opened, "a", Tier::kPacked);
  ASSERT_EQ(run_program({"pack", path("bundle")}), 0) << err_;
  EXPECT_NE(
      out_.find("4.5 KiB that ONNX Runtime cannot read back: sessions of 1 model still pack them"),
      std::string::npos)
      << out_;
}

// A table that is stored in float16 and used in float32: each plain session makes that for itself.
TEST_F(PackTrial, CountsWeightsThatOptimisersMake) {
  for (const char* const name : {"a.onnx", "b.onnx"}) {
    onnx::ModelProto model = matmul_model(kRows, kColumns, floats(kColumns, name[0]));
    onnx::GraphProto& graph = *model.mutable_graph();
    std::string half(1000 * 64 * 2, '\x30');
    *graph.add_initializer() = raw("table", half, Proto::FLOAT16, {1000, 64});
    *add_node(graph, "Cast", {"table"}, {"wide"}).add_attribute() = integer("to", Proto::FLOAT);
    set_type(*graph.add_input(), "row", Proto::INT64, {"1"});
    add_node(graph, "Gather", {"wide", "row"}, {"picked"});
    set_type(*graph.add_output(), "picked", Proto::FLOAT, {"1", "64"});
    add(name, model);
  }
  make();
  const PackReport report = pack_all();
  for (const PackedModel& model : report.models) EXPECT_EQ(model.folded_bytes, 1000U * 64 * 4);
  EXPECT_EQ(report.distinct_folded_bytes, 1000U * 64 * 4);
  ASSERT_EQ(run({"pack", path("bundle")}), 0) << err_;
  EXPECT_NE(out_.find("128.0 KiB  250.0 KiB  378.0 KiB  a\n"), std::string::npos) << out_;
  EXPECT_NE(out_.find("in memory 378.0 KiB once, instead of 756.0 KiB"), std::string::npos) << out_;
  EXPECT_NE(out_.find(" on disk, "), std::string::npos) << out_;
}

// A model that runs on few inputs: x [1, 64] seen in the shape that is another input.
class GivenInputs : public PackTrial {
 protected:
  GivenInputs() {
    onnx::ModelProto model = matmul_model(kRows, kColumns, floats(kColumns, 2));
    onnx::GraphProto& graph = *model.mutable_graph();
    set_type(*graph.add_input(), "shape", Proto::INT64, {"2"});
    add_node(graph, "Reshape", {"x", "shape"}, {"seen"});
    set_type(*graph.add_output(), "seen", Proto::FLOAT, {"", ""});
    add("a.onnx", model);
    make();
  }

  void expect_tried(const std::vector<std::string>& options) {
    std::vector<std::string> arguments = {"pack", path("bundle"), "--json"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    ASSERT_EQ(run_program(arguments), 0) << err_;
    EXPECT_TRUE(nlohmann::json::parse(out_).at("models")[0].at("untried").is_null()) << out_;
    EXPECT_EQ(err_, "");
  }
};

TEST_F(GivenInputs, AreWhatPacksAreTriedOn) {
  ASSERT_EQ(run_program({"pack", path("bundle")}), 0) << err_;
  EXPECT_NE(err_.find("'a': not run beside a plain session: "), std::string::npos);
  for (size_t begin = 0; begin < err_.size(); begin = err_.find('\n', begin) + 1)
    EXPECT_LE(err_.find('\n', begin) - begin, 200U) << err_;  // the whole reason is in JSON
  ASSERT_EQ(run_program({"pack", path("bundle"), "--json"}), 0) << err_;
  EXPECT_NE(out_.find("values with --value NAME=1"), std::string::npos) << out_;
  expect_tried({"--value", "shape=8"});
  expect_tried({"--value", "a:shape=8", "--shape", "a:x=1x64"});
  fs::create_directories(temp_ / "inputs/a");
  const auto input = [&](const char* name, const onnx::TensorProto& tensor) {
    write_file(temp_ / "inputs/a" / name, tensor.SerializeAsString());
  };
  input("input_0.pb", raw("x", floats(64, 3), Proto::FLOAT, {1, 64}));
  input("input_1.pb", raw("shape", raw_of<int64_t>({4, 16}), Proto::INT64, {2}));
  expect_tried({"--inputs", path("inputs")});
}

TEST_F(GivenInputs, ThatFitNoModelAreRefused) {
  expect_refused({"pack", path("bundle"), "--value", "sr=8"}, 4, {"'sr'", "no input of any model"});
  expect_refused({"pack", path("bundle"), "--value", "b:shape=8"}, 4, {"'b:shape'"});
  expect_refused({"pack", path("bundle"), "--shape", "x=1x65"}, 4, {"'x'", "1x65", "1x64"});
  expect_refused({"pack", path("bundle"), "--inputs", path("none")}, 3, {"has no input_0"});
  expect_refused({"pack", path("bundle"), "--value", "shape"}, 2, {"--value"});
  expect_refused({"pack", path("bundle"), "--value", "shape=8", "--inputs", path("in")}, 2,
                 {"--value", "--inputs"});
}

}  // namespace
}  // namespace wshare::test
