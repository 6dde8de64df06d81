// import-adapter: what becomes of an adapter and of the bundle.

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "import_adapter/fixture.h"

namespace wshare::test {
namespace {

class ImportAdapter : public ImportTest {
 protected:
  ImportAdapter() {
    add("base.onnx", small_model());
    make_bundle();
  }
};

// B of a PEFT pair as the base takes it: transposed, times `scaling`.
std::string turned(const Given& factor, float scaling) {
  const auto rows = static_cast<size_t>(factor.dims[0]), cols = static_cast<size_t>(factor.dims[1]);
  std::vector<float> from(rows * cols), to(rows * cols);
  std::memcpy(from.data(), factor.bytes.data(), factor.bytes.size());
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < cols; ++j) to[j * rows + i] = from[i * cols + j] * scaling;
  }
  return {reinterpret_cast<const char*>(to.data()), to.size() * sizeof(float)};
}

TEST_F(ImportAdapter, MapsModulesToWeightsAndGivesTheBaseInputs) {
  const std::vector<Given> q = pair("model.l.0.q", 6, 8, 2);
  const std::vector<Given> embed = pair("model.embed", 12, 6, 2, true);
  const nlohmann::json json = import_json(add_peft("news", q + embed));
  EXPECT_EQ(json["schema"], "wshare.import-adapter/1");
  EXPECT_EQ(json["task"], "news");
  EXPECT_EQ(json["base"], "base");
  EXPECT_EQ(json["adapter"], "news.onnx_adapter");
  EXPECT_EQ(json["model"], "base_2.onnx");
  EXPECT_EQ(json["new_model"], true);
  EXPECT_EQ(json["mapping"].dump(),
            R"([{"module":"model.embed","rank":2,"scaling":1.5,"tensor":"model.embed.weight"},)"
            R"({"module":"model.l.0.q","rank":2,"scaling":1.5,"tensor":"onnx::MatMul_7"}])");
  EXPECT_EQ(names_in(temp_ / "bundle"),
            (std::vector<std::string>{"base.bin", "base_2.onnx", "manifest.json",
                                      "news.onnx_adapter", "restore_2.bin"}));
  const std::map<std::string, Given> got = parameters("news.onnx_adapter");
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(got.at("model.l.0.q.lora_A.weight").dims, (Dims{6, 2}));
  EXPECT_EQ(got.at("model.l.0.q.lora_B.weight").dims, (Dims{2, 8}));
  EXPECT_EQ(got.at("model.embed.lora_A.weight").dims, (Dims{12, 2}));
  EXPECT_EQ(got.at("model.embed.lora_B.weight").dims, (Dims{2, 6}));
  EXPECT_EQ(got.at("model.l.0.q.lora_A.weight").bytes, turned(q[0], 1));
  EXPECT_EQ(got.at("model.l.0.q.lora_B.weight").bytes, turned(q[1], 1.5f));
  EXPECT_EQ(got.at("model.embed.lora_B.weight").bytes, turned(embed[1], 1.5f));
  expect_whole();
}

TEST_F(ImportAdapter, MakesATaskThatInspectSaysIsNotRestorable) {
  import_json(add_peft("news", pair("model.l.0.q", 6, 8, 2)));
  ASSERT_EQ(run({"inspect", path("bundle"), "--json"}), 0) << err_;
  const nlohmann::json tasks = nlohmann::json::parse(out_).at("tasks");
  ASSERT_EQ(tasks.size(), 1u);
  EXPECT_EQ(tasks[0].at("restorable"), false);
}

TEST_F(ImportAdapter, LeavesABaseThatHasTheInputsAlone) {
  import_json(add_peft("one", pair("model.l.0.q", 6, 8, 2)));
  const auto before = files_in(temp_ / "bundle");
  const nlohmann::json json = import_json(add_peft("two", pair("model.l.0.q", 6, 8, 3), 3));
  EXPECT_EQ(json["new_model"], false);
  EXPECT_EQ(json["mapping"][0]["rank"], 3);
  auto after = files_in(temp_ / "bundle");
  EXPECT_EQ(after.erase("two.onnx_adapter"), 1u);
  after["manifest.json"] = before.at("manifest.json");
  EXPECT_TRUE(after == before);
  expect_whole();
  // Other modules need more inputs; those that are there keep their names.
  EXPECT_EQ(import_json(add_peft(
                "three", pair("model.l.0.q", 6, 8, 2) + pair("model.l.0.k", 8, 6, 2)))["new_model"],
            true);
  expect_whole();
  EXPECT_EQ(parameters("three.onnx_adapter").count("model.l.0.q.lora_A.weight"), 1u);
  EXPECT_EQ(load_manifest(temp_ / "bundle").tasks.size(), 3u);
}

TEST_F(ImportAdapter, TakesPathsWithMoreOrLessInFront) {
  for (const char* path : {"model.l.0.q", "l.0.q", "base.model.l.0.q"}) {
    SCOPED_TRACE(path);
    const nlohmann::json json = import_json(add_peft("news", pair(path, 6, 8, 2)), {"--dry-run"});
    EXPECT_EQ(json["mapping"][0]["tensor"], "onnx::MatMul_7");
  }
}

TEST_F(ImportAdapter, SaysWhatItWouldDoAndWritesNothing) {
  const std::string adapter = add_peft("news", pair("model.l.0.q", 6, 8, 2));
  const auto before = everything();
  EXPECT_EQ(run({"import-adapter", bundle(), adapter, "-n"}), 0) << err_;
  EXPECT_EQ(out_,
            "rank  scaling  module       tensor\n"
            "   2      1.5  model.l.0.q  onnx::MatMul_7\n"
            "task 'news' over 'base': would be news.onnx_adapter, 384 B; the base gets inputs: "
            "base_2.onnx\n");
  EXPECT_TRUE(everything() == before);
}

TEST_F(ImportAdapter, TakesTheNameOfTheFolderOrTheFileOrTheGivenOne) {
  const std::string folder = add_peft("news", pair("model.l.0.q", 6, 8, 2));
  const auto name_of = [&](const std::string& adapter, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"--dry-run"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return import_json(adapter, arguments)["task"].get<std::string>();
  };
  EXPECT_EQ(name_of(folder, {}), "news");
  EXPECT_EQ(name_of(folder + "/", {}), "news");
  EXPECT_EQ(name_of(folder + "/adapter_model.safetensors", {}), "news");
  EXPECT_EQ(name_of(folder, {"--name", "x"}), "x");
  fs::copy_file(folder + "/adapter_model.safetensors", folder + "/other.safetensors");
  EXPECT_EQ(name_of(folder + "/other.safetensors", {}), "other");
}

TEST_F(ImportAdapter, AcceptsTheWeightThatPeftSavedAlong) {
  const onnx::TensorProto embed = small_model().graph().initializer(0);
  const std::string key = "base_model.model.model.embed.base_layer.weight";
  const std::vector<Given> factors = pair("model.embed", 12, 6, 2, true);
  EXPECT_EQ(
      import_json(add_peft("same", factors + std::vector<Given>{{key, {12, 6}, embed.raw_data()}}))
          .count("mapping"),
      1u);
  const Given stored{"", {12, 6}, embed.raw_data()};
  EXPECT_EQ(import_json(
                add_peft("turned", factors + std::vector<Given>{{key, {6, 12}, turned(stored, 1)}}))
                .count("mapping"),
            1u);
  std::string other = embed.raw_data();
  other[100] = static_cast<char>(other[100] ^ 1);
  expect_refused({"import-adapter", bundle(),
                  add_peft("other", factors + std::vector<Given>{{key, {12, 6}, other}})},
                 4, {"'model.embed'", "differs from the base's 'model.embed.weight'"});
}

TEST_F(ImportAdapter, ReadsAnOnnxAdapterOfModulesAndOfInputs) {
  const std::vector<Given> modules = {{"l.0.q.lora_A.weight", {6, 2}, nonzero_floats(12, 1)},
                                      {"l.0.q.lora_B.weight", {2, 8}, nonzero_floats(16, 2)}};
  const nlohmann::json json = import_json(add_onnx_adapter("first.onnx_adapter", modules));
  EXPECT_EQ(json["task"], "first");
  EXPECT_EQ(json["mapping"][0]["module"], "l.0.q");
  EXPECT_EQ(json["mapping"][0]["scaling"], 1);
  const std::map<std::string, Given> got = parameters("first.onnx_adapter");
  EXPECT_EQ(got.at("model.l.0.q.lora_A.weight").bytes, modules[0].bytes);
  EXPECT_EQ(got.at("model.l.0.q.lora_B.weight").bytes, modules[1].bytes);
  // Now the base has inputs of its own names.
  fs::copy_file(temp_ / "bundle/first.onnx_adapter", temp_ / "second.onnx_adapter");
  const nlohmann::json again = import_json(path("second.onnx_adapter"));
  EXPECT_EQ(again["mapping"].dump(),
            R"([{"module":"model.l.0.q","rank":2,"scaling":1.0,"tensor":"onnx::MatMul_7"}])");
  EXPECT_EQ(again["new_model"], false);
  EXPECT_EQ(read_file(temp_ / "bundle/second.onnx_adapter"),
            read_file(temp_ / "bundle/first.onnx_adapter"));
  expect_whole();
}

// small_model() as exporters for Olive leave it: q and k have branches, of which A and B are
// inputs.
onnx::ModelProto model_with_branches(bool with_defaults = false) {
  onnx::ModelProto model = small_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  for (const auto& [layer, x, in, out] : {std::tuple{"q", "e", 6, 8}, std::tuple{"k", "q", 8, 6}}) {
    const std::string name = std::string("model.l.0.") + layer,
                      y = layer == std::string("q") ? "q" : "y";
    for (const auto& [factor, dims] : {std::pair{"A", Dims{in, -1}}, {"B", Dims{-1, out}}}) {
      auto& input =
          declare(*graph.add_input(), name + ".lora_" + factor + ".weight", Proto::FLOAT, dims);
      input.mutable_type()
          ->mutable_tensor_type()
          ->mutable_shape()
          ->mutable_dim(dims[0] < 0 ? 0 : 1)
          ->set_dim_param("lora_r");
      if (!with_defaults) continue;
      Dims empty = dims;
      std::replace(empty.begin(), empty.end(), int64_t{-1}, int64_t{0});
      *graph.add_initializer() = raw(input.name(), "", Proto::FLOAT, empty);
    }
    for (onnx::NodeProto& node : *graph.mutable_node()) {
      if (node.output(0) == y) node.set_output(0, y + "_plain");
    }
    add_layer(graph, "MatMul", "", {x, name + ".lora_A.weight"}, y + "_a");
    add_layer(graph, "MatMul", "", {y + "_a", name + ".lora_B.weight"}, y + "_b");
    add_layer(graph, "Add", "", {y + "_plain", y + "_b"}, y);
  }
  for (const int i : {3, 4, 5})
    graph.mutable_node()->SwapElements(i, i - 1);  // k behind q's branch
  return model;
}

const std::vector<Given> kFactors = {{"model.l.0.q.lora_A.weight", {6, 2}, nonzero_floats(12, 1)},
                                     {"model.l.0.q.lora_B.weight", {2, 8}, nonzero_floats(16, 2)},
                                     {"model.l.0.k.lora_A.weight", {8, 2}, nonzero_floats(16, 3)},
                                     {"model.l.0.k.lora_B.weight", {2, 6}, nonzero_floats(12, 4)}};

// The names of what the main graph of `file` takes and holds.
std::set<std::string> defaults_of(const std::string& file) {
  onnx::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(file));
  std::set<std::string> inputs, defaults;
  for (const onnx::ValueInfoProto& input : model.graph().input()) inputs.insert(input.name());
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    if (inputs.count(tensor.name()) != 0) defaults.insert(tensor.name());
  }
  return defaults;
}

TEST_F(ImportAdapter, GivesDefaultsToABranchThatMustBeGivenFactors) {
  add("base.onnx", model_with_branches());
  fs::remove_all(temp_ / "bundle");
  make_bundle();
  const nlohmann::json json = import_json(add_onnx_adapter("math.onnx_adapter", kFactors));
  EXPECT_EQ(json["new_model"], true);
  ASSERT_EQ(json["mapping"].size(), 2u);
  EXPECT_EQ(json["mapping"][0]["tensor"], "onnx::MatMul_7");
  EXPECT_EQ(json["mapping"][0]["rank"], 2);
  // No second branch: the base takes what it took, and may do without.
  const std::string base = read_file(temp_ / "bundle/base_2.onnx");
  EXPECT_EQ(defaults_of(base).size(), 4u);
  EXPECT_EQ(defaults_of(base).count("model.l.0.k.lora_B.weight"), 1u);
  EXPECT_EQ(parameters("math.onnx_adapter").size(), 4u);
  expect_whole();
  // One of PEFT goes into the same branch.
  const nlohmann::json peft =
      import_json(add_peft("news", pair("l.0.q", 6, 8, 2) + pair("l.0.k", 8, 6, 2)));
  EXPECT_EQ(peft["new_model"], false);
  EXPECT_EQ(parameters("news.onnx_adapter").count("model.l.0.q.lora_A.weight"), 1u);
  expect_whole();
}

TEST_F(ImportAdapter, RefusesWhatARunWouldRefuse) {
  for (const bool with_defaults : {false, true}) {
    SCOPED_TRACE(with_defaults);
    add("base.onnx", model_with_branches(with_defaults));
    fs::remove_all(temp_ / "bundle");
    make_bundle();
    const auto expect_bad = [&](const std::vector<Given>& factors, const std::string& why) {
      expect_refused({"import-adapter", bundle(), add_onnx_adapter("bad.onnx_adapter", factors)}, 4,
                     {why});
    };
    expect_bad(
        {kFactors[0], kFactors[1]},
        "has the dimension 'lora_r' in common with 'model.l.0.k.lora_A.weight', which is missing");
    std::vector<Given> ranks = kFactors;
    ranks[0] = {ranks[0].name, {6, 3}, nonzero_floats(18, 1)};
    ranks[1] = {ranks[1].name, {3, 8}, nonzero_floats(24, 1)};
    expect_bad(ranks, "for the dimension 'lora_r'");
    expect_bad({kFactors[0], kFactors[1], kFactors[2]}, "comes without");
    // PEFT's, too.
    expect_refused({"import-adapter", bundle(), add_peft("news", pair("l.0.q", 6, 8, 2))}, 4,
                   {"which is missing"});
  }
}

TEST_F(ImportAdapter, HasNoOriginalToGiveBack) {
  import_json(add_peft("news", pair("model.l.0.q", 6, 8, 2)));
  expect_refused({"restore", bundle(), "news", "-o", path("back")}, 4,
                 {"'news'", "there is no original"});
  EXPECT_EQ(run({"inspect", bundle()}), 0) << err_;
}

TEST_F(ImportAdapter, RoundsToTheTypeOfTheBaseOnce) {
  onnx::ModelProto model = small_model();
  onnx::TensorProto& q = *model.mutable_graph()->mutable_initializer(1);
  q = raw("onnx::MatMul_7", std::string(96, 'a'), Proto::FLOAT16, {6, 8});
  onnx::NodeProto& cast = add_node(*model.mutable_graph(), "Cast", {"e"}, {"half"});
  onnx::AttributeProto& to = *cast.add_attribute();
  to.set_name("to");
  to.set_type(onnx::AttributeProto::INT);
  to.set_i(Proto::FLOAT16);
  model.mutable_graph()->mutable_node(1)->set_input(0, "half");
  fs::remove_all(temp_ / "bundle");
  add("base.onnx", model);
  make_bundle();
  // 1 + 2^-11 + 2^-20 is nearest to 1 + 2^-10 in half precision; times 1.5 it is just over 1.5 +
  // 2^-10 / 2 * 1.5, nearest to 1.5 + 2^-10. Rounded before scaling it would be 1.5 + 2 * 2^-10.
  std::vector<Given> factors = pair("l.0.q", 6, 8, 2);
  const float value = 1.0f + 0x1p-11f + 0x1p-20f;
  for (size_t i = 0; i < factors[1].bytes.size(); i += 4)
    std::memcpy(factors[1].bytes.data() + i, &value, 4);
  import_json(add_peft("news", factors));
  const Given b = parameters("news.onnx_adapter").at("model.l.0.q.lora_B.weight");
  EXPECT_EQ(b.type, Proto::FLOAT16);
  uint16_t bits;
  std::memcpy(&bits, b.bytes.data(), 2);
  EXPECT_EQ(bits, 0x3e00 + 1);
  expect_whole();

  for (const float bad : {60000.0f, std::numeric_limits<float>::quiet_NaN()}) {
    std::memcpy(factors[1].bytes.data() + 8, &bad, 4);
    expect_refused({"import-adapter", bundle(), add_peft("bad", factors)}, 4,
                   {"'l.0.q'", bad > 0 ? "too large for the base's float16" : "no finite number"});
  }
}

TEST_F(ImportAdapter, TakesConvolutions) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  declare(*graph.add_input(), "x", Proto::FLOAT, {1, 2, 5, 5});
  *graph.add_initializer() = weight("conv.weight", {4, 2, 3, 3}, 1);
  add_layer(graph, "Conv", "/conv/Conv", {"x", "conv.weight"}, "y");
  declare(*graph.add_output(), "y", Proto::FLOAT, {1, 4, 3, 3});
  fs::remove_all(temp_ / "bundle");
  add("base.onnx", model);
  make_bundle();
  const std::vector<Given> factors = {
      {"base_model.model.conv.lora_A.weight", {2, 2, 3, 3}, nonzero_floats(36, 1)},
      {"base_model.model.conv.lora_B.weight", {4, 2, 1, 1}, nonzero_floats(8, 2)}};
  import_json(add_peft("news", factors));
  const std::map<std::string, Given> got = parameters("news.onnx_adapter");
  EXPECT_EQ(got.at("conv.lora_A.weight").dims, (Dims{2, 2, 3, 3}));
  EXPECT_EQ(got.at("conv.lora_A.weight").bytes, factors[0].bytes);
  EXPECT_EQ(got.at("conv.lora_B.weight").dims, (Dims{4, 2, 1, 1}));
  expect_whole();
}

// PyTorch's Linear as Gemm with transB keeps the weight [out, in].
TEST_F(ImportAdapter, TakesWeightsThatAreStoredTheOtherWayRound) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  declare(*graph.add_input(), "x", Proto::FLOAT, {4, 6});
  *graph.add_initializer() = weight("fc.weight", {8, 6}, 1);
  add_layer(graph, "Gemm", "/fc/Gemm", {"x", "fc.weight"}, "y");
  onnx::AttributeProto& turns = *graph.mutable_node(0)->add_attribute();
  turns.set_name("transB");
  turns.set_type(onnx::AttributeProto::INT);
  turns.set_i(1);
  declare(*graph.add_output(), "y", Proto::FLOAT, {4, 8});
  fs::remove_all(temp_ / "bundle");
  add("base.onnx", model);
  make_bundle();
  const std::vector<Given> factors = pair("fc", 6, 8, 2);
  import_json(add_peft("news", factors));
  const std::map<std::string, Given> got = parameters("news.onnx_adapter");
  EXPECT_EQ(got.at("fc.lora_A.weight").bytes, turned(factors[0], 1));
  EXPECT_EQ(got.at("fc.lora_B.weight").bytes, turned(factors[1], 1.5f));
  expect_whole();
  EXPECT_EQ(import_json(add_peft("more", factors))["new_model"], false);
}

// Where ONNX Runtime fuses a factor with the layer, the branch goes through a copy of it.
TEST_F(ImportAdapter, KnowsABranchThatGoesThroughAFactor) {
  onnx::ModelProto model = small_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  *graph.add_initializer() = weight("factor", {1}, 4);
  graph.mutable_node(1)->set_output(0, "q0");
  add_layer(graph, "Mul", "/model/l.0/Mul", {"q0", "factor"}, "q");
  graph.mutable_node()->SwapElements(2, 3);
  fs::remove_all(temp_ / "bundle");
  add("base.onnx", model);
  make_bundle();
  const std::string adapter = add_peft("news", pair("model.l.0.q", 6, 8, 2));
  EXPECT_EQ(import_json(adapter)["new_model"], true);
  const onnx::ModelProto base = load("base_2.onnx");
  const auto& nodes = base.graph().node();
  EXPECT_EQ(std::count_if(nodes.begin(), nodes.end(),
                          [](const onnx::NodeProto& node) { return node.op_type() == "Mul"; }),
            2);
  EXPECT_EQ(import_json(adapter, {"--name", "more"})["new_model"], false);
  expect_whole();
}

// Records of other models and bytes between external tensors lie in the blob that is written anew.
TEST_F(ImportAdapter, KeepsWhatElseTheRestoreBlobHolds) {
  fs::remove_all(temp_ / "bundle");
  fs::remove_all(temp_ / "in");
  onnx::ModelProto model = small_model();
  onnx::TensorProto& q = *model.mutable_graph()->mutable_initializer(1);
  const std::string bytes = q.raw_data();
  q.clear_raw_data();
  q.set_data_location(Proto::EXTERNAL);
  for (const auto& [key, value] : {std::pair("location", "base.data"), {"offset", "33"}}) {
    onnx::StringStringEntryProto& entry = *q.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  }
  add("base.data", noise(33, 9) + bytes + noise(50, 10));
  add("base.onnx", model);
  add("other.onnx", {raw("w", noise(300, 1))});
  make_bundle();
  import_json(add_peft("news", pair("model.l.0.q", 6, 8, 2)), {"--base", "base"});
  const Manifest manifest = load_manifest(temp_ / "bundle");
  EXPECT_EQ(manifest.gaps.size(), 2u);
  EXPECT_EQ(manifest.models[0].source->record.blob, manifest.models[1].source->record.blob);
  expect_whole();
  // What remove relies on: records and the gaps that they name lie in one blob.
  EXPECT_EQ(run({"remove", bundle(), "other"}), 0) << err_;
  fs::remove(temp_ / "in/other.onnx");
  expect_whole();
}

TEST_F(ImportAdapter, IsRemovedLikeAnyTask) {
  import_json(add_peft("news", pair("model.l.0.q", 6, 8, 2)));
  EXPECT_EQ(run({"remove", bundle(), "news"}), 0) << err_;
  EXPECT_FALSE(fs::exists(temp_ / "bundle/news.onnx_adapter"));
  expect_whole();
}

}  // namespace
}  // namespace wshare::test
