// TaskSession::add_adapter(): adapters that are not the bundle's.

#include "runtime/task_sessions.h"

namespace wshare::test {
namespace {

class AddedAdapter : public TaskSessions {
 protected:
  AddedAdapter() : session_(Bundle::open(folder()).task_session("base")) {}

  fs::path other() const { return temp_ / "other.onnx_adapter"; }

  void write(const std::vector<NamedTensor>& parameters) { write_parameters(parameters, other()); }

  // Expects the file to be refused with `code` and `text`, and nothing to be added.
  void expect_refused(const char* name, int code, const std::string& text) {
    SCOPED_TRACE(name);
    const std::vector<std::string> before = session_.tasks();
    std::string message;
    EXPECT_EQ(code_of([&] { session_.add_adapter("other", other()); }, &message), code);
    EXPECT_NE(message.find(text), std::string::npos) << message;
    EXPECT_EQ(session_.tasks(), before);
  }

  TaskSession session_;
};

TEST_F(AddedAdapter, RunsAsATask) {
  fs::copy(folder() / "translate.onnx_adapter", other());
  session_.add_adapter("other", other());
  EXPECT_EQ(session_.tasks(),
            (std::vector<std::string>{"summarize", "translate", "classify", "other"}));
  const std::string translate = run(session_, "translate");
  EXPECT_TRUE(run(session_, "other") == translate);
  EXPECT_FALSE(run(session_, "summarize") == translate);
}

TEST_F(AddedAdapter, IsRefusedUnlessItFitsTheSession) {
  const std::string file = read_file(folder() / "summarize.onnx_adapter");
  const std::vector<NamedTensor> good = read_adapter(std::as_bytes(std::span(file)));
  write({good[0], good[1]});
  session_.add_adapter("good", other());
  const std::string zeros(1 << 16, '\0');
  struct Case {
    const char* name;
    std::function<void(std::vector<NamedTensor>&)> edit;
    const char* message;
  };
  for (const Case& c : {
           Case{"name", [](auto& p) { p[0].name += "x"; }, "is no input of the session"},
           Case{"dtype", [](auto& p) { p[0].dtype = Proto::FLOAT16; }, "another element type"},
           Case{"dims", [](auto& p) { p[0].shape.push_back(1); }, "another shape"},
           Case{"in", [](auto& p) { p[0].shape[0] += 1; }, "another shape"},
           Case{"rank of A", [](auto& p) { p[0].shape[1] += 1; }, "for the dimension"},
           Case{"rank of B", [](auto& p) { p[1].shape[0] -= 1; }, "for the dimension"},
           Case{"A alone", [](auto& p) { p.pop_back(); }, "which is missing"},
           Case{"B alone", [](auto& p) { p.erase(p.begin()); }, "which is missing"},
       }) {
    std::vector<NamedTensor> parameters = {good[0], good[1]};
    c.edit(parameters);
    for (NamedTensor& parameter : parameters) {
      const uint64_t size = needed_bytes(parameter);
      ASSERT_LE(size, zeros.size());
      parameter.bytes = std::as_bytes(std::span(zeros)).first(size);
    }
    write(parameters);
    expect_refused(c.name, 4, c.message);
  }
}

TEST_F(AddedAdapter, IsRefusedWhereItIsNone) {
  write_file(other(), "{\"peft_type\": \"LORA\"}");
  expect_refused("text", 4, "other.onnx_adapter");
  fs::remove(other());
  expect_refused("missing", 3, "other.onnx_adapter");
}

TEST_F(AddedAdapter, NeedsANameOfItsOwn) {
  const fs::path file = folder() / "summarize.onnx_adapter";
  session_.add_adapter("other", file);
  for (const char* name : {"", "summarize", "other"}) {
    EXPECT_EQ(code_of([&] { session_.add_adapter(name, file); }), 4) << name;
  }
  EXPECT_EQ(session_.tasks().size(), 4u);
}

TEST_F(AddedAdapter, GoesWhenItIsRemoved) {
  fs::copy(folder() / "translate.onnx_adapter", other());
  const auto is_mapped = [&] {
    return read_file("/proc/self/maps").find("other.onnx_adapter") != std::string::npos;
  };
  const std::vector<std::string> before = session_.tasks();
  session_.add_adapter("other", other());
  run(session_, "other");
  EXPECT_TRUE(is_mapped());
  session_.remove_adapter("other");
  EXPECT_FALSE(is_mapped());
  EXPECT_EQ(session_.tasks(), before);
  EXPECT_EQ(code_of([&] { run(session_, "other"); }), 4);
  EXPECT_EQ(code_of([&] { session_.remove_adapter("other"); }), 4);
  session_.add_adapter("other", folder() / "summarize.onnx_adapter");  // the name is free again
  EXPECT_TRUE(run(session_, "other") == run(session_, "summarize"));
}

TEST_F(AddedAdapter, LeavesNothingInABindingWhenItIsRemoved) {
  fs::copy(folder() / "translate.onnx_adapter", other());
  const FamilyInputs inputs;
  Ort::IoBinding binding = bind_inputs(session_, inputs);
  const std::string base = run_bound(session_, binding, "");
  session_.add_adapter("other", other());
  EXPECT_FALSE(run_bound(session_, binding, "other") == base);
  session_.remove_adapter("other");
  EXPECT_TRUE(run_bound(session_, binding, "") == base);
}

TEST_F(AddedAdapter, OfTheBundleIsMappedAnewWhenItWasRemoved) {
  const std::string before = run(session_, "summarize");
  session_.remove_adapter("summarize");
  EXPECT_EQ(read_file("/proc/self/maps").find("summarize.onnx_adapter"), std::string::npos);
  EXPECT_TRUE(run(session_, "summarize") == before);
  EXPECT_EQ(code_of([&] { session_.remove_adapter("classify"); }), 4);  // never named
}

TEST_F(AddedAdapter, CannotTakeTurnsInABindingOverAnInputWithoutDefault) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  for (const char* name : {"x", "bias"}) add_vector_input(graph, name, 2);
  add_node(graph, "Add", {"x", "bias"}, {"y"});
  graph.add_output()->set_name("y");
  fs::remove_all(folder());
  add("m.onnx", model);
  make();
  TaskSession session = Bundle::open(folder()).task_session("m");
  const float bias[] = {1, 2};
  write({{"bias", Proto::FLOAT, {2}, std::as_bytes(std::span(bias))}});
  session.add_adapter("other", other());
  Ort::IoBinding binding(session.session());
  session.bind(binding, "other");
  std::string message;
  EXPECT_EQ(code_of([&] { session.bind(binding, ""); }, &message), 4);
  EXPECT_NE(message.find("'bias' has no default"), std::string::npos) << message;
}

}  // namespace
}  // namespace wshare::test
