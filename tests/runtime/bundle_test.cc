#include "support/bundle_test.h"

#include <cstring>
#include <mutex>
#include <optional>
#include <thread>

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "run/parity.h"
#include "run/run_matmul.h"
#include "support/resident_bytes.h"
#include "util/content_hash.h"
#include "wshare/runtime.h"

namespace wshare::test {
namespace {

void add_matrix_value(onnx::ValueInfoProto& value, const std::string& name, int64_t columns) {
  set_type(value, name, onnx::TensorProto::FLOAT, {"1", std::to_string(columns)});
}

onnx::ModelProto make_model(uint32_t seed) {
  return matmul_model(kRows, kColumns, floats(kColumns, seed));
}

class BundleSession : public BundleTest {
 protected:
  BundleSession() {
    add("a.onnx", make_model(2));
    add("b.onnx", make_model(3));
    make();
  }

  fs::path folder() const { return temp_ / "bundle"; }

  bool equals_plain(const std::string& name, Ort::Session& session) {
    Ort::Session plain(environment(), (temp_ / ("in/" + name + ".onnx")).c_str(),
                       Ort::SessionOptions{});
    return compare_outputs(name, {"y"}, run_matmul(session, kRows), run_matmul(plain, kRows))
        .at(0)
        .bit_equal;
  }

  // Changes what the manifest says of the weight of "a", and returns the message that refuses it.
  template <typename Change>
  std::string refusal(const Change& change) {
    Manifest manifest = load_manifest(folder());
    for (TensorRecord& tensor : manifest.models.at(0).tensors) {
      if (tensor.name == "weight") change(tensor);
    }
    write_file(folder() / kManifestName, to_json(manifest));
    std::string message;
    EXPECT_EQ(code_of([&] { Bundle::open(folder()).session("a"); }, &message), 4);
    return message;
  }
};

TEST_F(BundleSession, GivesTheBitsOfPlainSessions) {
  Bundle bundle = Bundle::open(folder());
  EXPECT_EQ(bundle.models(), (std::vector<std::string>{"a", "b"}));
  Session a = bundle.session("a");
  Session b = bundle.session("b");
  EXPECT_TRUE(equals_plain("a", *a));
  EXPECT_TRUE(equals_plain("b", *b));
}

TEST_F(BundleSession, SharesWeightsWhoseNamesAreNoUtf8) {
  onnx::ModelProto model = make_model(4);
  model.mutable_graph()->mutable_initializer(0)->set_name("w\xe9");
  model.mutable_graph()->mutable_node(0)->set_input(1, "w\xe9");
  add("c.onnx", model);
  make(1024, 0, "other");
  Bundle bundle = Bundle::open(temp_ / "other");
  Session session = bundle.session("c");
  EXPECT_EQ(bundle.report().models.at(0).shared_tensors, std::vector<std::string>{"w\xe9"});
  EXPECT_TRUE(equals_plain("c", *session));
}

TEST_F(BundleSession, ReportsWhatIsShared) {
  Bundle bundle = Bundle::open(folder());
  EXPECT_TRUE(bundle.report().models.empty());
  const Session session = bundle.session("b");
  const Report report = bundle.report();
  ASSERT_EQ(report.models.size(), 1u);
  EXPECT_EQ(report.models[0].model, "b");
  EXPECT_EQ(report.models[0].shared_tensors, std::vector<std::string>{"weight"});
  EXPECT_EQ(report.models[0].shared_bytes, uint64_t{kRows * kColumns * 4});
  ASSERT_EQ(report.models[0].left.size(), 1u);  // the bias is too small to hand over
  EXPECT_EQ(report.models[0].left[0].reason, LeftReason::kSmall);
  EXPECT_EQ(report.models[0].left[0].tensors, 1u);
  EXPECT_EQ(report.models[0].left_bytes(), uint64_t{kColumns * 4});
  EXPECT_TRUE(report.models[0].packed_shared);
}

// "folded" goes through a Transpose of its own; "twice" is also the name of a tensor in a branch
// that no session runs.
onnx::ModelProto make_model_with_leftovers() {
  onnx::ModelProto model = make_model(2);
  onnx::GraphProto& graph = *model.mutable_graph();
  const auto add_product = [&](const std::string& from, const std::string& weight,
                               const std::string& to) {
    add_node(graph, "MatMul", {from, weight}, {to});
    add_matrix_value(*graph.add_output(), to, kRows);
  };
  *graph.add_initializer() =
      raw("folded", floats(kRows * kColumns, 5), onnx::TensorProto::FLOAT, {kRows, kColumns});
  onnx::AttributeProto& order = *add_node(graph, "Transpose", {"folded"}, {"t"}).add_attribute();
  order.set_name("perm");
  order.set_type(onnx::AttributeProto::INTS);
  order.add_ints(1);
  order.add_ints(0);
  add_product("y", "t", "z");
  *graph.add_initializer() =
      raw("twice", floats(kRows * kColumns, 6), onnx::TensorProto::FLOAT, {kColumns, kRows});
  add_product("y", "twice", "w");
  *graph.add_initializer() = raw("yes", "\1", onnx::TensorProto::BOOL, {1});
  onnx::NodeProto& branch = add_node(graph, "If", {"yes"}, {"v"});
  add_matrix_value(*graph.add_output(), "v", kRows);
  for (const char* name : {"then_branch", "else_branch"}) {
    onnx::AttributeProto& attribute = *branch.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::GRAPH);
    onnx::GraphProto& body = *attribute.mutable_g();
    body.set_name(name);
    const std::string tensor = name == std::string("else_branch") ? "twice" : "thrice";
    *body.add_initializer() =
        raw(tensor, floats(kRows * kColumns, 8), onnx::TensorProto::FLOAT, {kColumns, kRows});
    add_node(body, "MatMul", {"y", tensor}, {std::string(name) + "_out"});
    add_matrix_value(*body.add_output(), std::string(name) + "_out", kRows);
  }
  return model;
}

TEST_F(BundleSession, OpensTheModelsOfAPartOfABundle) {
  fs::remove_all(temp_ / "in");
  add("m1.onnx", make_model(11));
  add("m2.onnx", make_model(12));
  make(1024, 0, "whole");
  fs::create_directory(temp_ / "part");
  for (const char* file : {"manifest.json", "m1.onnx", "m1.bin", "shared.bin"}) {
    fs::copy_file(temp_ / "whole" / file, temp_ / "part" / file);
  }
  Bundle bundle = Bundle::open(temp_ / "part");
  Session session = bundle.session("m1");
  EXPECT_TRUE(equals_plain("m1", *session));
  std::string message;
  EXPECT_EQ(code_of([&] { bundle.session("m2"); }, &message), 3);
  EXPECT_NE(message.find("m2"), std::string::npos) << message;
  fs::remove(temp_ / "part/shared.bin");
  EXPECT_EQ(code_of([&] { Bundle::open(temp_ / "part").session("m1"); }, &message), 3);
  EXPECT_NE(message.find("'shared.bin': is missing, and model 'm1'"), std::string::npos) << message;
}

TEST_F(BundleSession, ReportsWhatIsLeftToOnnxRuntimeAndWhy) {
  fs::remove_all(temp_ / "in");
  add("c.onnx", make_model_with_leftovers());
  make(1024, 0, "leftovers");
  Bundle bundle = Bundle::open(temp_ / "leftovers");
  Session session = bundle.session("c");
  EXPECT_TRUE(equals_plain("c", *session));
  const ModelReport report = bundle.report().models.at(0);
  EXPECT_EQ(report.shared_tensors, (std::vector<std::string>{"weight", "thrice"}));
  std::vector<std::string> left;
  for (const LeftTensors& group : report.left) {
    left.push_back(std::string(text_of(group.reason)) + " " + std::to_string(group.tensors) + " " +
                   std::to_string(group.bytes));
  }
  const std::string weight_bytes = std::to_string(kRows * kColumns * 4);
  EXPECT_EQ(left, (std::vector<std::string>{
                      "small 1 2048", "folded 1 " + weight_bytes,
                      "ambiguous-name 2 " + std::to_string(2 * kRows * kColumns * 4)}));
}

// y = LayerNormalization(x) in float16, whose kernel packs scale and bias, but cannot share what it
// packs: ONNX Runtime refuses such a session when it is given a container.
onnx::ModelProto make_model_without_container() {
  constexpr int64_t kWide = 40000;  // 80,000 bytes: large enough to be handed over
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  for (onnx::ValueInfoProto* value : {graph.add_input(), graph.add_output()}) {
    add_matrix_value(*value, value == &graph.input(0) ? "x" : "y", kWide);
    value->mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT16);
  }
  for (const char* name : {"scale", "offset"})
    *graph.add_initializer() = raw(name, noise(kWide * 2, 9), onnx::TensorProto::FLOAT16, {kWide});
  add_node(graph, "LayerNormalization", {"x", "scale", "offset"}, {"y"});
  return model;
}

TEST_F(BundleSession, AutoDoesWithoutTheContainerWhereOnnxRuntimeRefusesIt) {
  fs::remove_all(temp_ / "in");
  add("half.onnx", make_model_without_container());
  make(1024, 0, "half");
  Bundle bundle = Bundle::open(temp_ / "half");
  SessionOptions options;
  options.tier = Tier::kShared;
  EXPECT_EQ(code_of([&] { bundle.session("half", options); }), 6);
  options.tier = Tier::kAuto;
  Session session = bundle.session("half", options);
  EXPECT_EQ(session->GetInputCount(), 1u);
  EXPECT_FALSE(bundle.report().models.at(0).packed_shared);
  EXPECT_EQ(bundle.report().models.at(0).shared_tensors,
            (std::vector<std::string>{"scale", "offset"}));
}

TEST_F(BundleSession, CompactOpensWithoutPacking) {
  Bundle bundle = Bundle::open(folder());
  SessionOptions options;
  options.tier = Tier::kCompact;
  Session session = bundle.session("a", options);
  EXPECT_EQ(run_matmul(*session, kRows).size(), 1u);
  EXPECT_FALSE(bundle.report().models.at(0).packed_shared);
}

TEST_F(BundleSession, RefusesAManifestThatContradictsTheModel) {
  EXPECT_NE(refusal([](TensorRecord& tensor) {
              tensor.dtype = 6;
            }).find("'int32' in the manifest, 'float32'"),
            std::string::npos);
  EXPECT_NE(refusal([](TensorRecord& tensor) {
              tensor.dtype = 1, tensor.shape = {kColumns, kRows};
            }).find("[512,64] in the manifest, [64,512]"),
            std::string::npos);
  EXPECT_NE(refusal([](TensorRecord& tensor) {
              tensor.shape = {kRows, kColumns}, tensor.name = "other";
            }).find("'other': is in the manifest, but not in the model"),
            std::string::npos);
}

TEST_F(BundleSession, RefusesAModelThatIsNotTheOneOfTheManifest) {
  std::string bytes = read_file(folder() / "a.onnx");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file(folder() / "a.onnx", bytes);
  EXPECT_EQ(code_of([&] { Bundle::open(folder()).session("a"); }), 4);
  EXPECT_EQ(code_of([&] { Bundle::open(folder()).session("b"); }), 0);
  EXPECT_EQ(code_of([&] { Bundle::open(folder()).session("c"); }), 4);
}

TEST_F(BundleSession, RefusesABlobOfAnotherSize) {
  const fs::path blob = folder() / load_manifest(folder()).blobs.at(0).file;
  fs::resize_file(blob, fs::file_size(blob) - 1);
  EXPECT_EQ(code_of([&] { Bundle::open(folder()).session("a"); }), 4);
}

TEST_F(BundleSession, OutlivesTheBundle) {
  std::optional<Session> session;
  {
    Bundle bundle = Bundle::open(folder());
    session.emplace(bundle.session("a"));
  }
  EXPECT_TRUE(equals_plain("a", **session));
}

TEST_F(BundleSession, CanBeTakenApart) {
  std::weak_ptr<const void> weights;
  {
    BareSession bare = Bundle::open(folder()).session("b").release();
    weights = bare.weights;
    EXPECT_TRUE(equals_plain("b", bare.session));
  }
  EXPECT_TRUE(weights.expired());
}

// What others do not need is given back after each creation; what runs read stays.
TEST_F(BundleSession, LeavesPagesThatAnotherSessionReads) {
  Bundle bundle = Bundle::open(folder());
  SessionOptions compact;
  compact.tier = Tier::kCompact;
  Session a = bundle.session("a", compact);
  run_matmul(*a, kRows);
  const uint64_t read = resident_bytes("shared.bin");
  EXPECT_GT(read, 0u);
  Session b = bundle.session("b");
  EXPECT_GE(resident_bytes("shared.bin"), read);
}

TEST_F(BundleSession, CanBeReplacedByAnother) {
  Bundle bundle = Bundle::open(folder());
  Session session = bundle.session("a");
  session = bundle.session("b");
  EXPECT_TRUE(equals_plain("b", *session));
}

TEST_F(BundleSession, IsMadeByManyThreadsAtOnce) {
  Bundle bundle = Bundle::open(folder());
  std::vector<Session> sessions;
  std::mutex mutex;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (const char* name : {"a", "a", "a"}) {
          Session session = bundle.session(name);
          const std::lock_guard lock(mutex);
          sessions.push_back(std::move(session));
        }
      });
    }
  }
  ASSERT_EQ(sessions.size(), 12u);
  for (Session& session : sessions) EXPECT_TRUE(equals_plain("a", *session));
}

}  // namespace
}  // namespace wshare::test
