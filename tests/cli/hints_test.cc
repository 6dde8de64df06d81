// Where a user can do something about an error, a hint says what.

#include "support/cli_test.h"

namespace wshare::test {
namespace {

class Hints : public CliTest {
 protected:
  Hints() {
    add("a.onnx", {raw("w", noise(5000, 1))});
    add("b.onnx", {raw("w", noise(5000, 2))});
    EXPECT_EQ(run({"dedupe", path("in"), "-o", path("bundle")}), 0) << err_;
  }

  // A copy of the bundle with other text in its manifest.
  std::string bundle_with_manifest(const std::string& name, const std::string& text) {
    fs::copy(temp_ / "bundle", temp_ / name);
    write_file(temp_ / (name + "/manifest.json"), text);
    return path(name);
  }

  struct Case {
    const char* name;
    std::vector<std::string> arguments;
    int code;
    std::string hint;
  };

  void expect_hints(const std::vector<Case>& cases) {
    for (const Case& c : cases) {
      SCOPED_TRACE(c.name);
      expect_refused(c.arguments, c.code, {"\nhint: " + c.hint});
    }
  }
};

TEST_F(Hints, SayWhatToDoAboutModels) {
  write_file(temp_ / "lfs.onnx", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
  write_file(temp_ / "empty.onnx", "");
  write_file(temp_ / "text.onnx", "no model");
  write_file(temp_ / "noise.onnx", noise(500, 3));
  write_file(temp_ / "page.onnx", "<!DOCTYPE html><html>401</html>");
  write_file(temp_ / "gz.onnx", "\x1f\x8b\x08 compressed");
  write_file(temp_ / "model.onnx.ort", std::string("\x18\0\0\0ORTM", 8) + noise(90, 4));
  write_file(temp_ / "x.npz",
             "PK\x03\x04" + std::string(22, '\0') + std::string("\x05\0\0\0", 4) + "a.npy");
  fs::create_symlink("../blobs/0", temp_ / "dangling.onnx");
  write_file(temp_ / "memory.onnx",
             bytes_of({external("w", 100, {{"location", "*/_ORT_MEM_ADDR_/*"}})}));
  for (const std::string folder : {"pointer", "renamed"}) {
    write_file(temp_ / (folder + "/m.onnx"),
               bytes_of({external("w", 100, {{"location", "w.bin_data"}})}));
  }
  write_file(temp_ / "pointer/w.bin_data", "version https://git-lfs.github.com/spec/v1\n");
  write_file(temp_ / "renamed/w.bin.data", noise(100, 1));
  fs::create_directories(temp_ / "above/models");
  write_file(temp_ / "missing/m.onnx", bytes_of({external("w", 100, {{"location", "w.bin"}})}));
  write_file(temp_ / "short/m.onnx", bytes_of({external("w", 100, {{"location", "w.bin"}})}));
  write_file(temp_ / "short/w.bin", noise(50, 1));
  const auto dedupe = [&](const std::string& model) {
    return std::vector<std::string>{"dedupe", path(model), "-o", path("o")};
  };
  expect_hints({
      {"a pointer of Git LFS", dedupe("lfs.onnx"), 4, "'git lfs pull' gets the file itself"},
      {"an empty file", dedupe("empty.onnx"), 4, "the export or download did not finish"},
      {"a text", dedupe("text.onnx"), 4, "export it to ONNX"},
      {"noise", dedupe("noise.onnx"), 4, "is it an ONNX model, and all of it?"},
      {"a web page", dedupe("page.onnx"), 4, "the download got a page instead of the file"},
      {"an archive", dedupe("gz.onnx"), 4, "unpack it first"},
      {"a model of ONNX Runtime", dedupe("model.onnx.ort"), 4, "take the .onnx file"},
      {"a link that leads nowhere", dedupe("dangling.onnx"), 3, "get the file again"},
      {"names of a process that is gone", dedupe("memory.onnx"), 4, "save the model anew"},
      {"external data that is a pointer", dedupe("pointer/m.onnx"), 4, "'git lfs pull'"},
      {"external data that was renamed", dedupe("renamed/m.onnx"), 3, "'w.bin.data' lies there"},
      {"an adapter that is something else",
       {"import-adapter", path("bundle"), path("x.npz"), "--base", "a"},
       4,
       "save the adapter as safetensors"},
      {"a mistyped name", dedupe("text.onxx"), 3, "did you mean '" + path("text.onnx") + "'?"},
      {"models a folder deeper", dedupe("above"), 4,
       "folders in it are looked into with --recursive"},
      {"no external data", dedupe("missing"), 3, "external data lies beside its model"},
      {"external data cut short", dedupe("short"), 4, "get the external file again"},
      {"a file twice",
       {"dedupe", path("in/a.onnx"), "x=" + path("in/a.onnx"), "-o", path("o")},
       4,
       "name each file once"},
      {"a base alone",
       {"extract-lora", "--base", path("in/a.onnx"), path("in/a.onnx"), "-o", path("o")},
       4,
       "name the models of tasks, too"},
  });
}

TEST_F(Hints, SayWhatToDoAboutOutputs) {
  write_file(temp_ / "file", "");
  expect_hints({
      {"a file", {"dedupe", path("in"), "-o", path("file")}, 3, "give another name"},
      {"no folder above", {"dedupe", path("in"), "-o", path("none/o")}, 3, "make the folder above"},
      {"into the bundle",
       {"restore", path("bundle"), "-o", path("bundle/back")},
       3,
       "give another folder"},
  });
}

TEST_F(Hints, SayWhatToDoAboutBundles) {
  std::string damaged = read_file(temp_ / "bundle/manifest.json");
  damaged[damaged.size() / 2] ^= 1;
  const std::string other = bundle_with_manifest("other", "{\"name\": \"app\"}");
  const std::string broken = bundle_with_manifest("broken", damaged);
  expect_hints({
      {"a manifest of something else",
       {"restore", other, "-o", path("back")},
       4,
       "'wshare dedupe MODEL... -o BUNDLE'"},
      {"a damaged manifest",
       {"restore", broken, "-o", path("back")},
       4,
       "it is damaged: copy the bundle again"},
  });
}

TEST_F(Hints, SayWhatToDoAboutAdapters) {
  write_file(temp_ / "ia3/adapter_config.json", R"({"peft_type": "IA3", "r": 4})");
  write_file(temp_ / "ia3/adapter_model.safetensors", std::string("\x02\0\0\0\0\0\0\0{}", 10));
  write_file(temp_ / "cut/adapter_config.json",
             R"({"peft_type": "LORA", "r": 4, "lora_alpha": 4, "target_modules": ["q"]})");
  write_file(temp_ / "cut/adapter_model.safetensors", std::string("\x40\0\0\0\0\0\0\0{", 9));
  const auto import = [&](const std::string& adapter) {
    return std::vector<std::string>{"import-adapter", path("bundle"), path(adapter), "--base", "a"};
  };
  expect_hints({{"another method", import("ia3"), 5, "merge it (merge_and_unload)"},
                {"a file cut short", import("cut"), 4, "is the file whole?"}});
}

}  // namespace
}  // namespace wshare::test
