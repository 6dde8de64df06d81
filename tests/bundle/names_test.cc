// Whatever a file system or ONNX takes for a name goes through a bundle and comes back.

#include <nlohmann/json.hpp>

#include "bundle/edit.h"
#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/cli_test.h"
#include "util/utf8.h"
#include "wshare/append.h"
#include "wshare/dedupe.h"
#include "wshare/models.h"
#include "wshare/remove.h"
#include "wshare/restore.h"

namespace wshare::test {
namespace {

struct Case {
  const char* name;
  std::string file;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      {"backslash", "onnx\\encoder.onnx"},
      {"hidden", ".model.onnx"},
      {"nothing but dots", "...onnx"},
      {"line feed", "new\nline.onnx"},
      {"control byte", "a\x01\x7f.onnx"},
      {"latin1", "mod\xe8le.onnx"},
      {"half a character", "a\xe2\x82.onnx"},
      {"looks like an option", "-rf.onnx"},
      {"UTF-8", "modèle 日本.onnx"},
      {"stem of 228 bytes", std::string(228, 'l') + ".onnx"},
      {"stem of 236 bytes", std::string(236, 'l') + ".onnx"},
      {"stem of 240 bytes", std::string(240, 'l') + ".onnx"},
      {"the longest there is", std::string(250, 'l') + ".onnx"},
      {"cut inside a character", std::string(239, 'l') + "é.onnx"},
  };
  return kCases;
}

class Names : public CliTest {
 protected:
  std::string model(uint32_t seed) {
    return bytes_of({raw("w", noise(70000, seed)), raw("b", noise(2000, 9))});
  }

  // The bundle verifies, its files have portable names, and it gives `files` back.
  void expect_whole(const std::map<std::string, std::string>& files) {
    expect_sound();
    for (const std::string& name : names_in(temp_ / "bundle"))
      EXPECT_TRUE(is_utf8(name) && name.size() <= 240 && name.find('\\') == std::string::npos)
          << name;
    fs::remove_all(temp_ / "out");
    for (const RestoredModel& restored : restore(temp_ / "bundle", {}, temp_ / "out", {}))
      EXPECT_TRUE(restored.identical) << restored.name;
    const auto back = files_in(temp_ / "out");
    EXPECT_EQ(back.size(), files.size());
    for (const auto& [name, bytes] : files)
      EXPECT_TRUE(back.count(name) == 1 && back.at(name) == bytes) << name;
  }
};

TEST_F(Names, OfFilesComeBackFromDedupe) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    fs::remove_all(temp_ / "in");
    fs::remove_all(temp_ / "bundle");
    add("plain.onnx", model(1));
    add(c.file, model(2));
    // By name, since hidden files of a folder are left out.
    dedupe(resolve_inputs({path("in/plain.onnx"), (temp_ / "in" / c.file).string()}),
           temp_ / "bundle", {});
    expect_whole({{"plain.onnx", model(1)}, {c.file, model(2)}});
  }
}

TEST_F(Names, OfFilesComeBackFromAppendAndStayWithRemove) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    fs::remove_all(temp_ / "in");
    fs::remove_all(temp_ / "bundle");
    add("plain.onnx", model(1));
    make();
    add(c.file, model(2));
    append(temp_ / "bundle", inputs({c.file}), {});
    expect_whole({{"plain.onnx", model(1)}, {c.file, model(2)}});
    RemoveOptions options;
    options.compact = true;
    remove_models(temp_ / "bundle", {"plain"}, options);
    expect_whole({{c.file, model(2)}});
  }
}

TEST_F(Names, OfFoldersComeBack) {
  add("s\xe9/m.onnx", model(1));
  add("s\xe8/m.onnx", model(2));
  add("a\\b/m.onnx", model(3));
  dedupe(inputs({"s\xe9/m.onnx", "s\xe8/m.onnx", "a\\b/m.onnx"}), temp_ / "bundle", {});
  EXPECT_EQ(load_manifest(temp_ / "bundle").models.at(1).name, "s__2");
  expect_whole({{"s\xe9/m.onnx", model(1)}, {"s\xe8/m.onnx", model(2)}, {"a\\b/m.onnx", model(3)}});
}

TEST_F(Names, OfTensorsComeBackAsTheirBytes) {
  const std::string bytes = bytes_of(
      {raw("w\xe9", noise(70000, 1)), raw("w\xe8", noise(70000, 2)), raw("é", noise(70000, 3))});
  add("m.onnx", bytes);
  make();
  const std::string text = read_file(temp_ / "bundle/manifest.json");
  EXPECT_TRUE(is_utf8(text));
  EXPECT_NE(text.find("\"name\":\"w\xef\xbf\xbd\",\"name_bytes\":\"77e9\""), std::string::npos);
  const Manifest manifest = load_manifest(temp_ / "bundle");
  EXPECT_EQ(manifest.models.at(0).tensors.at(0).name, "w\xe9");
  EXPECT_EQ(manifest.models.at(0).tensors.at(1).name, "w\xe8");
  EXPECT_EQ(manifest.models.at(0).tensors.at(2).name, "é");
  expect_whole({{"m.onnx", bytes}});
}

TEST_F(Names, StandInJsonAsText) {
  add("mod\xe8le.onnx", bytes_of({raw("w\xe9", noise(70000, 1)), raw("s\xe9", noise(10, 1))}));
  const std::string bundle = (temp_ / "bundle").string();
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"dedupe", (temp_ / "in").string(), "-o", bundle, "--json"},
        {"inspect", bundle, "--json"},
        {"inspect", (temp_ / "in").string(), "--json"},
        {"verify", bundle, "--json"},
        {"restore", bundle, "-o", (temp_ / "out").string(), "--json"}}) {
    SCOPED_TRACE(command[0]);
    std::ostringstream out, err;
    EXPECT_EQ(run_cli(command, out, err), 0) << err.str();
    EXPECT_TRUE(is_utf8(out.str()));
    EXPECT_TRUE(nlohmann::json::accept(out.str()));
  }
}

TEST_F(Names, ThatNoReaderTakesAreRefusedBeforeTheCommit) {
  add("m.onnx", model(1));
  make();
  const auto before = files_in(temp_ / "bundle");
  {
    BundleEdit edit(temp_ / "bundle", "test", std::chrono::milliseconds(0));
    Manifest manifest = edit.manifest();
    manifest.models[0].source->file = "../m.onnx";
    std::string message;
    EXPECT_EQ(code_of([&] { edit.publish(manifest, 1); }, &message), 4);
    EXPECT_NE(message.find("unsafe source name"), std::string::npos) << message;
  }
  EXPECT_TRUE(files_in(temp_ / "bundle") == before);
}

}  // namespace
}  // namespace wshare::test
