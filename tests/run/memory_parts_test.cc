// Where `wshare run` says that memory is, on models of which it is known.

#include "run/run_command.h"
#include "wshare/runtime.h"

namespace wshare::test {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

class MemoryPartsTest : public RunCommand {
 protected:
  MemoryPartsTest() {
    fs::remove_all(temp_ / "in");
    fs::remove_all(temp_ / "bundle");
  }

  void SetUp() override {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "AddressSanitizer's heap says nothing of how much is in use";
#endif
    const std::string version = OrtGetApiBase()->GetVersionString();
    if (version.starts_with("1.20.") || version.starts_with("1.21.") ||
        version.starts_with("1.22."))
      GTEST_SKIP() << "ONNX Runtime " << version << " does not count what arenas give out";
  }

  // Returns the figures in MiB of `sessions` sessions of `model`.
  std::map<std::string, double> parts(const onnx::ModelProto& model, Arguments arguments) {
    fs::remove_all(temp_ / "in");
    fs::remove_all(temp_ / "bundle");
    add("model.onnx", model);
    make();
    std::map<std::string, double> found;
    double sum = 0;
    const json report = run_json(std::move(arguments));
    for (const auto& [key, bytes] : report.at("memory_parts").items()) {
      found[key] = bytes.get<double>() / kMiB;
      if (!key.ends_with("saves_bytes")) sum += found[key];
    }
    EXPECT_NEAR(sum, report.at("pss_bytes").get<double>() / kMiB, 4);
    expect_same_parts(report);
    return found;
  }

  // "memory" says the same in fewer parts.
  static void expect_same_parts(const json& report) {
    const json &memory = report.at("memory"), &parts = report.at("memory_parts");
    EXPECT_EQ(memory.at("weights_bytes"), parts.at("weights_bytes"));
    EXPECT_EQ(memory.at("kernel_bytes"), parts.at("copies_bytes"));
    EXPECT_EQ(memory.at("activation_bytes"), parts.at("activations_bytes"));
    EXPECT_EQ(memory.at("other_bytes").get<uint64_t>(),
              parts.at("freed_bytes").get<uint64_t>() + parts.at("other_bytes").get<uint64_t>());
    const bool is_worth_it = parts.at("shared_arena_saves_bytes").get<double>() > 8 * kMiB;
    bool arena = false;
    for (const auto& advice : memory.at("advice"))
      arena = arena || advice.get<std::string>().starts_with("with --shared-arena: about ");
    EXPECT_EQ(arena, is_worth_it) << memory.dump();
  }

  static onnx::GraphProto& graph_of(onnx::ModelProto& model, const std::string& columns) {
    onnx::GraphProto& graph = *model.mutable_graph();
    set_type(*graph.add_input(), "x", onnx::TensorProto::FLOAT, {"1", "1024"});
    set_type(*graph.add_output(), "y", onnx::TensorProto::FLOAT, {"1", columns});
    return graph;
  }
};

// 32 MiB that MatMul packs, once for all sessions; nothing else is large.
TEST_F(MemoryPartsTest, SeesThatWeightsAreShared) {
  const auto found = parts(matmul_model(1024, 8192, floats(8192, 2)), {"--sessions=4"});
  EXPECT_NEAR(found.at("weights_bytes"), 32, 4);
  EXPECT_LT(found.at("copies_bytes"), 1);
  EXPECT_LT(found.at("activations_bytes"), 8);
  EXPECT_LT(found.at("pack_saves_bytes") - found.at("freed_bytes"), 1);
}

// 16 MiB that optimisers turn, which each session then packs for itself.
TEST_F(MemoryPartsTest, SeesWhatOptimisersMakeOfWeights) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = graph_of(model, "4096");
  *graph.add_initializer() =
      raw("weight", floats(1024 * 4096, 1), onnx::TensorProto::FLOAT, {4096, 1024});
  add_node(graph, "Transpose", {"weight"}, {"turned"});
  add_node(graph, "MatMul", {"x", "turned"}, {"y"});
  const auto found = parts(model, {"--sessions=4"});
  EXPECT_NEAR(found.at("copies_bytes"), 64, 4);
  EXPECT_NEAR(found.at("pack_saves_bytes"), 48 + found.at("freed_bytes"), 3);
  EXPECT_LT(found.at("weights_bytes"), 18);
}

// What Conv kernels make of 16 MiB of weights lies in no arena.
TEST_F(MemoryPartsTest, SeesWhatConvMakesOfWeights) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_type(*graph.add_input(), "x", onnx::TensorProto::FLOAT, {"1", "256", "8", "8"});
  set_type(*graph.add_output(), "y", onnx::TensorProto::FLOAT, {"1", "256", "8", "8"});
  std::string before = "x";
  for (int i = 0; i < 7; ++i) {
    const std::string weight = "weight" + std::to_string(i);
    *graph.add_initializer() = raw(weight, floats(256 * 256 * 9, 1 + static_cast<uint32_t>(i)),
                                   onnx::TensorProto::FLOAT, {256, 256, 3, 3});
    const std::string after = i == 6 ? "y" : "at" + std::to_string(i);
    onnx::NodeProto& node = add_node(graph, "Conv", {before, weight}, {after});
    onnx::AttributeProto& pads = *node.add_attribute();
    pads.set_name("pads");
    pads.set_type(onnx::AttributeProto::INTS);
    for (int k = 0; k < 4; ++k) pads.add_ints(1);
    before = after;
  }
  const auto found = parts(model, {"--sessions=4"});
  const double weights = 7 * 256 * 256 * 9 * 4.0 / kMiB;
  EXPECT_NEAR(found.at("copies_bytes") + found.at("weights_bytes"), 4 * weights, 6);
  EXPECT_NEAR(found.at("pack_saves_bytes"), 3 * weights + found.at("freed_bytes"), 5);
}

// x of 4 KiB becomes 16 MiB, twice: an arena for each session, or one for all.
TEST_F(MemoryPartsTest, SeesActivations) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = graph_of(model, "1024");
  *graph.add_initializer() =
      raw("shape", raw_of(std::vector<int64_t>{4096, 1024}), onnx::TensorProto::INT64, {2});
  add_node(graph, "Expand", {"x", "shape"}, {"wide"});
  add_node(graph, "Sin", {"wide"}, {"sin"});
  onnx::AttributeProto& axes = *add_node(graph, "ReduceMax", {"sin"}, {"y"}).add_attribute();
  axes.set_name("axes");
  axes.set_type(onnx::AttributeProto::INTS);
  axes.add_ints(0);
  const auto own = parts(model, {"--sessions=3"});
  EXPECT_NEAR(own.at("activations_bytes"), 3 * 32, 18);
  EXPECT_NEAR(own.at("shared_arena_saves_bytes"), own.at("activations_bytes") * 2 / 3, 2);
  EXPECT_LT(own.at("copies_bytes"), 1);
  ASSERT_EQ(run({"--sessions=3"}), 0) << err_;
  EXPECT_NE(out_.find("with --shared-arena: about "), std::string::npos) << out_;
  const auto shared = parts(model, {"--sessions=3", "--shared-arena"});
  EXPECT_NEAR(shared.at("activations_bytes"), own.at("activations_bytes") / 3, 2);
  EXPECT_LT(shared.at("weights_bytes"), 5);
  EXPECT_EQ(shared.at("shared_arena_saves_bytes"), 0);
}

// 4,000 nodes and next to no weights.
TEST_F(MemoryPartsTest, SeesGraphs) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = graph_of(model, "1024");
  constexpr int kNodes = 4000;
  std::string before = "x";
  for (int i = 0; i < kNodes; ++i) {
    const std::string after = i + 1 == kNodes ? "y" : "value" + std::to_string(i);
    add_node(graph, i % 2 == 0 ? "Sin" : "Cos", {before}, {after});
    before = after;
  }
  const auto one = parts(model, {"--sessions=1"});
  const auto four = parts(model, {"--sessions=4"});
  EXPECT_GT(four.at("other_bytes"), one.at("other_bytes") + 3 * kNodes * 1e-3);
  EXPECT_LT(four.at("copies_bytes"), 1);
  EXPECT_LT(four.at("weights_bytes"), 5);
  ASSERT_EQ(run({"--sessions=4"}), 0) << err_;
  EXPECT_NE(out_.find("nothing more to share"), std::string::npos) << out_;
}

}  // namespace
}  // namespace wshare::test
