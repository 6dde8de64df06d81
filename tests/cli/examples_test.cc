// The examples that help ends with, run as they stand: each in a folder that has what they name.

#include <map>
#include <set>

#include "archive/family.h"
#include "command_examples.h"
#include "command_table.h"
#include "support/places.h"

namespace wshare::test {
namespace {

constexpr int64_t kWidth = 32;

// ids [1, n] -> Gather(embedding) -> MatMul(weight) -> y; models of one `embedding` share it.
onnx::ModelProto model(unsigned embedding, const Values& values) {
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  for (onnx::ValueInfoProto* info : {graph.add_input(), graph.add_output()}) {
    const bool is_input = info == &graph.input(0);
    info->set_name(is_input ? "ids" : "y");
    auto& type = *info->mutable_type()->mutable_tensor_type();
    type.set_elem_type(is_input ? onnx::TensorProto::INT64 : onnx::TensorProto::FLOAT);
    type.mutable_shape()->add_dim()->set_dim_value(1);
    type.mutable_shape()->add_dim()->set_dim_param("n");
    if (!is_input) type.mutable_shape()->add_dim()->set_dim_value(kWidth);
  }
  *graph.add_initializer() = floats("embedding", weight(64 * kWidth, embedding), {64, kWidth});
  *graph.add_initializer() = floats("weight", values, {kWidth, kWidth});
  add_node(graph, "Gather", {"embedding", "ids"}, {"rows"});
  add_node(graph, "MatMul", {"rows", "weight"}, {"y"});
  return model;
}

class Examples : public CliTest {
 protected:
  Examples() : before_(fs::current_path()) {
    const Values first = weight(kWidth * kWidth, 2), second = moved(first, 3);
    const std::map<std::string, onnx::ModelProto> models = {
        {"encoder", model(1, weight(kWidth * kWidth, 4))},
        {"decoder", model(1, weight(kWidth * kWidth, 5))},
        {"v1/model", model(6, first)},
        {"v2/model", model(6, second)},
        {"base", model(6, first)},
        {"task_a", model(6, second)},
        {"task_b", model(6, moved(first, 7))}};
    for (const auto& [name, each] : models)
      write_file(temp_ / "world" / (name + ".onnx"), each.SerializeAsString());
    const auto copy = [&](const char* from, const char* to) {
      fs::create_directories((temp_ / "world" / to).parent_path());
      fs::copy_file(temp_ / "world" / from, temp_ / "world" / to);
    };
    copy("encoder.onnx", "model.onnx");
    copy("encoder.onnx", "another.onnx");
    copy("task_a.onnx", "task.onnx");
    copy("task_a.onnx", "tasks/a.onnx");
    copy("task_b.onnx", "tasks/b.onnx");
    copy("encoder.onnx", "models/one/encoder.onnx");
    copy("decoder.onnx", "models/decoder.onnx");
  }
  ~Examples() override { fs::current_path(before_); }

  // Runs a command line in `temp_`/here; the answer of the program as with run().
  int type(const std::string& line) {
    std::istringstream text(line);
    std::vector<std::string> words;
    for (std::string word; text >> word && !word.starts_with(">");) words.push_back(word);
    words.erase(words.begin());
    std::ostringstream out, err;
    const int code = run_cli(words, out, err, kProgram);
    out_ = out.str();
    err_ = err.str();
    return code;
  }

  // Makes a new folder with all models and, where the command takes one, a bundle.
  void enter(const std::string& command) {
    fs::current_path(before_);
    fs::remove_all(temp_ / "here");
    fs::copy(temp_ / "world", temp_ / "here", fs::copy_options::recursive);
    fs::current_path(temp_ / "here");
    if (command == "dedupe" || command == "extract-lora") return;
    const bool many = command == "archive" || command == "thaw";
    const std::string versions = many ? " v1=v1/model.onnx v2=v2/model.onnx" : "";
    const std::map<std::string, std::string> first = {
        {"thaw", "wshare archive bundle v1 --base v2"},
        {"import", "wshare export oci bundle layout:v1"}};
    std::vector<std::string> lines = {"wshare dedupe encoder.onnx decoder.onnx task0=task_a.onnx" +
                                      versions + " -o bundle"};
    if (first.contains(command)) lines.push_back(first.at(command));
    for (const std::string& line : lines) ASSERT_EQ(type(line), 0) << line << ": " << err_;
  }

  fs::path before_;
};

TEST_F(Examples, DoWhatTheyShow) {
  // What they need is not here: an adapter, which tests/import_adapter has.
  std::set<std::string> left = {"import-adapter"};
#ifndef WSHARE_CLI_RUNTIME
  left.insert({"run", "pack"});
#endif
  // They answer a question, and "no" is an answer.
  const std::set<std::string> asking = {"diff", "doctor", "inspect", "run"};
  // They make what is not there yet; others go on where the example before ended.
  const std::set<std::string> making = {"dedupe", "extract-lora", "restore"};
  for (const Command& command : commands()) {
    if (command.is_hidden() || left.contains(command.name)) continue;
    ASSERT_NO_FATAL_FAILURE(enter(command.name));
    for (const std::string line : examples_of(command.name)) {
      SCOPED_TRACE(line);
      if (making.contains(command.name)) {
        ASSERT_NO_FATAL_FAILURE(enter(command.name));
      }
      const int code = type(line);
      EXPECT_LE(code, asking.contains(command.name) ? 1 : 0) << err_;
      EXPECT_NE(out_, "");
    }
  }
}

}  // namespace
}  // namespace wshare::test
