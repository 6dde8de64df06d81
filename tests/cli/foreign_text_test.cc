// Texts of files, models and command lines that a terminal would obey, or show as what they are
// not: in every place that can hold one, through every command. What is printed has none of them.

#include "format/manifest/text.h"
#include "import_adapter/fixture.h"
#include "support/places.h"
#include "util/visible.h"

namespace wshare::test {
namespace {

using Json = nlohmann::ordered_json;

// UTF-8, so that JSON can hold it: an escape sequence, bell, line ends, DEL, U+009B, marks of
// direction (U+061C, U+200E, U+202E, U+2066) and a line separator.
const std::string kHostile =
    "x\x1b[31m\x07\r\n\x7f\xc2\x9b\xd8\x9c\xe2\x80\x8e\xe2\x80\xae\xe2\x81\xa6\xe2\x80\xa8";
const std::string kNoUtf8 = kHostile + "\x9b\xff";

class ForeignText : public ImportTest {
 protected:
  // Runs a command that may end in any way but as a bug; expects what it prints to be safe.
  int look(std::vector<std::string> arguments) {
    std::ostringstream out, err;
    const int code = run_cli(arguments, out, err, kProgram);
    out_ = out.str();
    err_ = err.str();
    SCOPED_TRACE(testing::PrintToString(arguments));
    EXPECT_NE(code, 70) << err_;
    expect_safe(out_);
    expect_safe(err_);
    return code;
  }

  static void expect_safe(const std::string& printed) {
    std::istringstream lines(printed);
    for (std::string line; std::getline(lines, line);)
      EXPECT_EQ(line, visible(line, std::string::npos));
  }

  // As text, then as JSON; where there are thousands, each in turn.
  int look_twice(std::vector<std::string> arguments) {
    is_odd_ = !is_odd_;
    if (!in_turn_ || is_odd_) look(arguments);
    if (in_turn_ && is_odd_) return 0;
    arguments.push_back("--json");
    const int code = look(arguments);
    if (code < 2) {
      EXPECT_FALSE(Json::parse(out_, nullptr, false).is_discarded()) << out_;
    }
    return code;
  }

  // All commands that take the models "in/a.onnx" and "in/b.onnx", and then the bundle of them.
  void look_at_models(const std::string& a, const std::string& b) {
    look_twice({"inspect", a});
    look_twice({"inspect", a, b, "--min-bytes", "1", "--html", path("page.html")});
    if (fs::exists(temp_ / "page.html")) expect_safe(read_file(temp_ / "page.html"));
    look_twice({"diff", a, b});
    look_twice({"extract-lora", b, "--base", a, "-o", path("tasks"), "--force"});
    look_twice({"dedupe", b, "-o", path("small"), "--force"});
    look_twice({"append", path("small"), a, "-n"});
    look_twice({"dedupe", a, b, "-o", bundle(), "--min-bytes", "1", "--explain", "--force"});
    for (const std::string& made : {bundle(), path("tasks")}) look_at_bundle(made);
  }

  void look_at_bundle(const std::string& made) {
    look_twice({"verify", made});
    look_twice({"inspect", made});
    look_twice({"restore", made, "-o", path("back"), "--force"});
    look_twice({"restore", made, kHostile, "-o", path("back"), "-n"});
    look_twice({"remove", made, "a", "-n"});
    look_twice({"remove", made, "--compact", "-n"});
    look_twice({"append", made, path("in/plain.onnx"), "-n"});
    look_twice({"import-adapter", made, path("adapter"), "--base", "a", "-n"});
    look({"complete-names", made});
  }

  bool in_turn_ = false, is_odd_ = false;

  void look_at_runs(const std::string& made) {
    look_twice({"run", made, "--repeat", "1"});
    look_twice({"pack", made});
    look_twice({"run", made, "--repeat", "1", "--no-baseline"});
  }
};

// small_model() with `text` in every place that has no bearing on another.
onnx::ModelProto hostile_model(const std::string& text, uint32_t seed) {
  onnx::ModelProto model = small_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  model.set_producer_name(text);
  model.set_producer_version(text);
  model.set_domain(text);
  model.set_doc_string(text);
  onnx::StringStringEntryProto& entry = *model.add_metadata_props();
  entry.set_key(text);
  entry.set_value(text + std::to_string(seed));
  onnx::OperatorSetIdProto& opset = *model.add_opset_import();
  opset.set_domain(text);
  opset.set_version(seed);
  graph.set_name(text);
  graph.set_doc_string(text);
  const std::string name = "model.layers.0." + text + ".weight";
  *graph.add_initializer() = weight(name, {6, 6}, seed);
  *graph.add_initializer() = weight(name + "again", {6, 6}, 9);
  *graph.add_initializer() = weight(name + "equal", {6, 6}, 9);
  add_layer(graph, "MatMul", text, {"y", name}, text);
  for (const char* equal : {"again", "equal"})
    add_layer(graph, "MatMul", text + equal, {text, name + equal}, text + equal);
  add_layer(graph, "Identity", text + "end", {text + "equal"}, text + "end");
  declare(*graph.add_output(), text + "end", Proto::FLOAT, {-1, 6});
  declare(*graph.add_input(), text + "in", Proto::FLOAT, {-1, 6})
      .mutable_type()
      ->mutable_tensor_type()
      ->mutable_shape()
      ->mutable_dim(0)
      ->set_dim_param(text);
  return model;
}

TEST_F(ForeignText, StandsInModels) {
  add("plain.onnx", small_model());
  add_peft("adapter", pair("l.0.k", 8, 6, 2));
  for (const std::string& text : {kHostile, kNoUtf8, "<script>" + kHostile}) {
    add("a.onnx", hostile_model(text, 20));
    add("b.onnx", hostile_model(text, 21));
    look_at_models(path("in/a.onnx"), path("in/b.onnx"));
  }
}

// What no runtime takes: operators, domains, types of attributes and places of data.
TEST_F(ForeignText, StandsInModelsThatCannotRun) {
  add("plain.onnx", small_model());
  add_peft("adapter", pair("l.0.k", 8, 6, 2));
  for (const std::string& text : {kHostile, kNoUtf8}) {
    onnx::ModelProto a = hostile_model(text, 20), b = hostile_model(text, 21);
    for (onnx::ModelProto* model : {&a, &b}) {
      onnx::GraphProto& graph = *model->mutable_graph();
      onnx::NodeProto& node = add_node(graph, text, {text + "end"}, {text + "custom"});
      node.set_domain(text);
      *node.add_attribute() = integer(text, 1);
      onnx::NodeProto& branch = add_node(graph, "If", {text + "end"}, {text + "if"});
      onnx::AttributeProto& then = *branch.add_attribute();
      then.set_name(text);
      then.set_type(onnx::AttributeProto::GRAPH);
      add_used(*then.mutable_g(), weight(text + "inner", {6, 6}, 9));
    }
    add("a.onnx", a);
    add("b.onnx", b);
    look_at_models(path("in/a.onnx"), path("in/b.onnx"));
#ifdef WSHARE_TEXT_RUNTIME
    look_at_runs(bundle());
#endif
    *a.mutable_graph()->add_initializer() = external(text, 36, {{"location", text}});
    add("a.onnx", a);
    look_at_models(path("in/a.onnx"), path("in/b.onnx"));
    write_file(temp_ / ("in/" + text), floats(9, 1));
    look_at_models(path("in/a.onnx"), path("in/b.onnx"));
    *a.mutable_graph()->add_initializer() = external(text, 36, {{"offset", text}});
    add("a.onnx", a);
    look_at_models(path("in/a.onnx"), path("in/b.onnx"));
  }
}

TEST_F(ForeignText, StandsInNamesOfFilesAndArguments) {
  add("plain.onnx", small_model());
  add_peft("adapter", pair("l.0.k", 8, 6, 2));
  for (const std::string& text : {kHostile, kNoUtf8, std::string(230, '\x1b')}) {
    const std::string folder = path(text);
    write_file(fs::path(folder) / (text + ".onnx"), hostile_model(text, 20).SerializeAsString());
    write_file(fs::path(folder) / "b.onnx", hostile_model(text, 21).SerializeAsString());
    write_file(fs::path(folder) / "._c.onnx", "x");
    look_at_models(folder + "/" + text + ".onnx", folder + "/b.onnx");
    look_at_models(text + "=" + folder + "/b.onnx", path("in/plain.onnx"));
    look_twice({"dedupe", folder, "-o", folder + "/" + text, "--force"});
    look_at_bundle(folder + "/" + text);
    look_at_bundle(folder + "/none");
    fs::create_symlink(text, fs::path(folder) / "link.onnx");
    look_twice({"inspect", folder + "/link.onnx"});
    look_twice({"import-adapter", bundle(), folder});
    look_twice({text});
    look_twice({"dedupe", "--" + text, text});
    look_twice({"inspect", "--top", text, folder});
    look_twice({"restore", folder, text, "-o", text + "/" + text});
    look_twice({"help", text});
    fs::remove_all(folder);
  }
}

// Each text of a manifest in turn, and text behind its end.
TEST_F(ForeignText, StandsInManifests) {
  add("plain.onnx", small_model());
  add("a.onnx", small_model());
  onnx::ModelProto task = small_model();
  *task.mutable_graph()->mutable_initializer(2) = weight("model.l.0.k.weight", {8, 6}, 77);
  add("b.onnx", task);
  add_peft("adapter", pair("l.0.k", 8, 6, 2));
  ASSERT_EQ(
      look({"dedupe", path("in/a.onnx"), path("in/b.onnx"), "-o", bundle(), "--min-bytes", "64"}),
      0)
      << err_;
  ASSERT_EQ(look({"import-adapter", bundle(), path("adapter"), "--base", "a"}), 0) << err_;
#ifdef WSHARE_TEXT_RUNTIME
  ASSERT_EQ(look({"pack", bundle()}), 0) << err_;
#endif
  in_turn_ = true;
  const fs::path file = temp_ / "bundle/manifest.json";
  const std::string whole = read_file(file);
  const Json leaves = Json::parse(whole).flatten();
  for (const auto& [place, value] : leaves.items()) {
    if (!value.is_string() || place == "/manifest_hash") continue;
    for (const std::string& text : {kHostile, value.get<std::string>() + kHostile}) {
      SCOPED_TRACE(place);
      Json json = Json::parse(whole);
      json[Json::json_pointer(place)] = text;
      json["manifest_hash"] = std::string(kSealDigits, '0');
      std::string changed = json.dump();
      changed.replace(changed.size() - 2, 2, kSealTail);
      changed.replace(seal_at(changed), kSealDigits, seal_of(changed));
      write_file(file, changed);
      look_at_bundle(bundle());
#ifdef WSHARE_TEXT_RUNTIME
      if (place.starts_with("/packs")) look_twice({"run", bundle(), "--repeat", "1"});
#endif
    }
  }
  for (const std::string& text :
       std::vector<std::string>{whole + kHostile, kHostile + whole, "{\"" + kHostile + "\": 1}",
                                "{\"format\": \"\xff\"", "{\"format\": \"" + kHostile,
                                "{\"\\u001b[31m\\u202e\": 1, \"\\u001b[31m\\u202e\": 1}"}) {
    write_file(file, text);
    look_at_bundle(bundle());
  }
}

TEST_F(ForeignText, StandsInAdapters) {
  add("a.onnx", small_model());
  ASSERT_EQ(look({"dedupe", path("in"), "-o", bundle(), "--min-bytes", "64"}), 0);
  const auto import = [&](const std::string& adapter) {
    look_twice({"import-adapter", bundle(), adapter, "-n"});
    look_twice({"import-adapter", bundle(), adapter, "--name", kHostile, "-n"});
    look_twice({"import-adapter", bundle(), adapter, "--base", kHostile, "-n"});
  };
  for (const std::string& text : {kHostile, kNoUtf8}) {
    for (const std::string& name : std::vector<std::string>{text, "l.0." + text, "l.0.k"}) {
      import(add_onnx_adapter("x.onnx_adapter", pair(name, 8, 6, 2)));
      if (text == kHostile) import(add_peft("peft", pair(name, 8, 6, 2)));
    }
    import(add_onnx_adapter("x.onnx_adapter", {{ text, {6}, floats(6, 1) }}));
  }
  const std::string file = path("peft/adapter_config.json");
  for (const char* key :
       {"peft_type", "r", "lora_alpha", "target_modules", "bias", "fan_in_fan_out",
        "modules_to_save", "rank_pattern", "alpha_pattern", "task_type"}) {
    SCOPED_TRACE(key);
    for (const nlohmann::json& value : std::vector<nlohmann::json>{kHostile,
                                                                   {kHostile},
                                                                   {{kHostile, 1}},
                                                                   {{kHostile, kHostile}},
                                                                   {{"(" + kHostile, 2}}}) {
      nlohmann::json config{{"peft_type", "LORA"}, {"r", 2}, {"lora_alpha", 3}};
      config[key] = value;
      write_file(file, config.dump());
      import(path("peft"));
    }
  }
  for (const std::string& text :
       {kHostile, "{\"" + kHostile + "\":", std::string("{\"\x9b\": 1}")}) {
    write_file(file, text);
    import(path("peft"));
    write_file(temp_ / "peft/adapter_model.safetensors",
               std::string(1, static_cast<char>(text.size())) + std::string(7, '\0') + text);
    import(path("peft"));
  }
}

}  // namespace
}  // namespace wshare::test
