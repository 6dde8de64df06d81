// import-adapter over an encoder and its decoders: one adapter, a task over each.

#include "bundle/edit.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "import_adapter/fixture.h"

namespace wshare::test {
namespace {

using Names = std::vector<std::string>;
using nlohmann::json;

// x [6] -> q [6 -> 8] -> k [8 -> 6], inside of modules called `front`. Weights of `seed` alone are
// equal.
onnx::ModelProto layers(const std::string& front, uint32_t seed) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  declare(*graph.add_input(), "x", Proto::FLOAT, {-1, 6});
  *graph.add_initializer() = weight("w_q", {6, 8}, seed);
  *graph.add_initializer() = weight("w_k", {8, 6}, seed + 1);
  add_layer(graph, "MatMul", front + "/q/MatMul", {"x", "w_q"}, "q");
  add_layer(graph, "MatMul", front + "/k/MatMul", {"q", "w_k"}, "y");
  declare(*graph.add_output(), "y", Proto::FLOAT, {-1, 6});
  return model;
}

const std::vector<Given> kOfEncoder = pair("encoder.l.0.q", 6, 8, 2);
const std::vector<Given> kOfDecoder =
    pair("decoder.l.0.q", 6, 8, 2) + pair("decoder.l.0.k", 8, 6, 2);
const Names kAllBases = {"--base", "encoder", "--base", "decoder", "--base", "past", "--name", "t"};

class SeveralBases : public ImportTest {
 protected:
  SeveralBases() { make_of("/encoder/l.0"); }

  void make_of(const std::string& encoder) {
    fs::remove_all(temp_ / "in");
    fs::remove_all(temp_ / "bundle");
    add("encoder.onnx", layers(encoder, 1));
    add("decoder.onnx", layers("/decoder/l.0", 5));
    add("past.onnx", layers("/decoder/l.0", 5));
    make_bundle();
  }

  std::string adapter() { return add_peft("news", kOfEncoder + kOfDecoder); }

  // "q" of an entry of tasks[] is the module of the layer q.
  static Names modules_of(const json& task) {
    Names names;
    for (const json& each : task.at("mapping")) names.push_back(each.at("module"));
    return names;
  }

  // That the adapter of task `task` has what `tensors` alone give over `base`.
  void expect_parameters_of(const std::string& file, const std::vector<Given>& tensors,
                            const std::string& base) {
    const auto all = parameters(file);
    const auto alone = import_json(add_peft("alone", tensors), {"--base", base});
    const auto wanted = parameters(alone.at("adapter"));
    ASSERT_EQ(all.size(), wanted.size());
    for (const auto& [name, given] : wanted) EXPECT_EQ(all.at(name).bytes, given.bytes) << name;
    ASSERT_EQ(run({"remove", bundle(), "alone"}), 0) << err_;
  }
};

TEST_F(SeveralBases, GetTheModulesThatTheyHave) {
  const json report = import_json(adapter(), kAllBases);
  ASSERT_EQ(report.at("tasks").size(), 3u) << report;
  EXPECT_FALSE(report.contains("task"));
  Names tasks, bases, models;
  for (const json& task : report.at("tasks")) {
    tasks.push_back(task.at("task"));
    bases.push_back(task.at("base"));
    models.push_back(task.at("model"));
    EXPECT_EQ(task.at("new_model"), true);
  }
  EXPECT_EQ(tasks, (Names{"t-encoder", "t-decoder", "t-past"}));
  EXPECT_EQ(bases, (Names{"encoder", "decoder", "past"}));
  EXPECT_EQ(models, (Names{"encoder_2.onnx", "decoder_2.onnx", "past_2.onnx"}));
  EXPECT_EQ(modules_of(report.at("tasks")[0]), Names{"encoder.l.0.q"});
  for (const size_t decoder : {1u, 2u})
    EXPECT_EQ(modules_of(report.at("tasks")[decoder]), (Names{"decoder.l.0.q", "decoder.l.0.k"}));
  expect_whole();
  // What was replaced is gone, and nothing else is there.
  Names files = {"manifest.json"};
  for (const BundleFile& file : files_of(load_manifest(bundle()))) files.push_back(file.name);
  std::sort(files.begin(), files.end());
  EXPECT_EQ(names_in(bundle()), files);
  expect_parameters_of("t-encoder.onnx_adapter", kOfEncoder, "encoder");
  expect_parameters_of("t-past.onnx_adapter", kOfDecoder, "past");
}

TEST_F(SeveralBases, TakeASecondAdapterOverTheInputsOfTheFirst) {
  import_json(adapter(), kAllBases);
  const json again = import_json(add_peft("more", kOfEncoder + kOfDecoder),
                                 {"--base", "encoder", "--base", "decoder"});
  for (const json& task : again.at("tasks")) EXPECT_EQ(task.at("new_model"), false);
  EXPECT_EQ(again.at("tasks")[0].at("task"), "more-encoder");
  expect_whole();
}

TEST_F(SeveralBases, AnEncoderThatWasExportedAloneDoesNotTakeTheDecodersModules) {
  make_of("/l.0");  // without "encoder" in front
  const json report = import_json(adapter(), kAllBases);
  EXPECT_EQ(modules_of(report.at("tasks")[0]), Names{"encoder.l.0.q"});
  expect_whole();
}

TEST_F(SeveralBases, MayHaveValuesOfOneOnnxAdapter) {
  import_json(adapter(), kAllBases);
  std::vector<Given> values;
  for (const char* file : {"t-encoder.onnx_adapter", "t-decoder.onnx_adapter"}) {
    for (const auto& [name, given] : parameters(file)) values.push_back(given);
  }
  ASSERT_EQ(values.size(), 6u);  // each base has inputs of names of its own
  const json report = import_json(add_onnx_adapter("v.onnx_adapter", values),
                                  {"--base", "encoder", "--base", "decoder"});
  for (const char* base : {"encoder", "decoder"}) {
    const std::string end = std::string("-") + base + ".onnx_adapter";
    const auto given = parameters("t" + end), taken = parameters("v" + end);
    ASSERT_EQ(taken.size(), given.size());
    for (const auto& [name, parameter] : given) EXPECT_EQ(taken.at(name).bytes, parameter.bytes);
  }
}

TEST_F(SeveralBases, AreNotChangedByADryRun) {
  const auto before = files_in(bundle());
  Names arguments = kAllBases;
  arguments.emplace_back("--dry-run");
  EXPECT_EQ(import_json(adapter(), arguments).at("tasks").size(), 3u);
  EXPECT_TRUE(files_in(bundle()) == before);
}

TEST_F(SeveralBases, PrintATableEach) {
  Names arguments = {"import-adapter", bundle(), adapter()};
  arguments.insert(arguments.end(), kAllBases.begin(), kAllBases.end());
  ASSERT_EQ(run(arguments), 0) << err_;
  for (const char* text : {"task 't-encoder' over 'encoder': t-encoder.onnx_adapter, ",
                           "task 't-past' over 'past': t-past.onnx_adapter, "}) {
    EXPECT_NE(out_.find(text), std::string::npos) << text << " in\n" << out_;
  }
}

TEST_F(SeveralBases, AreRefusedAsAWhole) {
  const auto before = files_in(bundle());
  const auto refuse = [&](const std::vector<Given>& tensors, int code,
                          const std::vector<std::string>& texts, Names bases) {
    Names arguments = {"import-adapter", bundle(), add_peft("news", tensors)};
    for (const std::string& base : bases) {
      arguments.emplace_back("--base");
      arguments.push_back(base);
    }
    expect_refused(arguments, code, texts);
    EXPECT_TRUE(files_in(bundle()) == before);
  };
  refuse(kOfEncoder + pair("pooler.q", 6, 8, 2), 4,
         {"module 'pooler.q': none of the bases has a weight of this path", "nearest paths"},
         {"encoder", "decoder"});
  refuse(kOfDecoder, 4, {"nothing for base 'encoder'", "leave it out"}, {"decoder", "encoder"});
  refuse(kOfEncoder, 4, {"base 'encoder' is given twice"}, {"encoder", "encoder"});
  refuse(kOfEncoder + kOfDecoder, 4, {"'decode'", "hint: did you mean 'decoder'"},
         {"encoder", "decode"});
  refuse(kOfEncoder + kOfDecoder, 4, {"say which one: --base NAME; several where"}, {});
}

TEST_F(SeveralBases, DoNotPassOverAWeightThatIsQuantizedInOne) {
  onnx::ModelProto model = layers("/decoder/l.0", 5);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.mutable_initializer(0)->CopyFrom(raw("w_q", noise(48, 1), Proto::INT8, {6, 8}));
  graph.mutable_node(0)->set_op_type("MatMulInteger");
  add("past.onnx", model);
  fs::remove_all(temp_ / "bundle");
  make_bundle();
  expect_refused(
      {"import-adapter", bundle(), adapter(), "--base=decoder", "--base=past", "--base=encoder"}, 5,
      {"module 'decoder.l.0.q': its weight 'w_q' is quantized"});
}

}  // namespace
}  // namespace wshare::test
