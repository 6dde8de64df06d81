// Models that are no models, hostile ones and ones that change: one clear error each, the exit code
// of the contract, and nothing left behind.

#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>

#include "support/cli_test.h"
#include "util/mapped_file.h"

namespace wshare::test {
namespace {

class BadInput : public CliTest {
 protected:
  // Expects `wshare dedupe` of in/a.onnx to be refused, with the model's name in the message.
  void expect_model_refused(int code, std::vector<std::string> texts) {
    texts.push_back("a.onnx'");
    expect_refused({"dedupe", path("in/a.onnx"), "-o", path("o")}, code, texts);
  }
};

TEST_F(BadInput, IsNoModel) {
  struct Case {
    const char* name;
    std::string bytes;
    const char* text;
  };
  const onnx::TensorProto tensor = raw("w", noise(5000, 1));
  for (const Case& c :
       {Case{"empty", "", "is empty"},
        Case{"text", "this is no model\n", "is a text, no ONNX model"},
        Case{"JSON", "{\"graph\": {}}", "is a JSON text, no ONNX model"},
        Case{"a PNG", "\x89PNG\r\n\x1a\n" + std::string(100, '\0'), "no valid ONNX file"},
        Case{"a zip archive", "PK\x03\x04" + noise(200, 1), "is a zip archive, no ONNX model"},
        Case{"zeros", std::string(5000, '\0'), "no valid ONNX file"},
        Case{"noise", noise(5000, 1), "no valid ONNX file"},
        Case{"a page of the web", "<!DOCTYPE html><html></html>", "is a web page, no ONNX model"},
        Case{"a tensor", tensor.SerializeAsString(), "no valid ONNX file"},
        Case{"a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
             "is a pointer of Git LFS, no ONNX model"}}) {
    SCOPED_TRACE(c.name);
    add("a.onnx", c.bytes);
    expect_model_refused(4, {c.text});
  }
}

TEST_F(BadInput, IsTruncated) {
  const std::string whole = bytes_of({raw("w", noise(5000, 1)), raw("v", noise(3000, 2))});
  onnx::ModelProto opsets;
  opsets.add_opset_import()->set_version(17);
  // What follows the graph may be missing: that, too, is a model.
  const size_t graph_end = whole.size() - opsets.SerializeAsString().size();
  for (size_t size = 1; size < graph_end; size += size < 40 || size + 40 > graph_end ? 1 : 97) {
    SCOPED_TRACE(size);
    add("a.onnx", whole.substr(0, size));
    expect_model_refused(4, {"no valid ONNX file"});
  }
}

TEST_F(BadInput, IsNotThereOrNoFile) {
  add("a.onnx", {raw("w", noise(5000, 1))});
  fs::create_directory(temp_ / "empty");
  fs::create_directory(temp_ / "dangling");
  fs::create_symlink(temp_ / "nowhere", temp_ / "dangling/b.onnx");
  ASSERT_EQ(mkfifo(path("pipe.onnx").c_str(), 0600), 0);
  struct Case {
    const char* name;
    std::string argument;
    int code;
    std::vector<std::string> texts;
  };
  for (const Case& c :
       {Case{"missing", path("in/none.onnx"), 3, {"none.onnx': no such file"}},
        Case{"a folder without models", path("empty"), 4, {"empty': holds no .onnx file"}},
        Case{"a dangling link",
             path("dangling/b.onnx"),
             3,
             {"b.onnx': is a link to", "no such file"}},
        Case{
            "a dangling link in a folder", path("dangling"), 4, {"dangling': holds no .onnx file"}},
        Case{"a folder by name", "x=" + path("empty"), 4, {"empty': holds no .onnx file"}},
        Case{"a pipe", path("pipe.onnx"), 3, {"pipe.onnx'", "not a regular file"}},
        Case{"below a file", path("in/a.onnx/b.onnx"), 3, {"b.onnx': no such file"}}}) {
    SCOPED_TRACE(c.name);
    expect_refused({"dedupe", c.argument, "-o", path("o")}, c.code, c.texts);
  }
}

TEST_F(BadInput, IsGivenTwice) {
  add("a.onnx", {raw("w", noise(5000, 1))});
  fs::create_directory_symlink(temp_ / "in", temp_ / "way");
  for (const std::string second : {"in/a.onnx", "way/a.onnx", "in/../in/a.onnx"}) {
    SCOPED_TRACE(second);
    expect_refused({"dedupe", path("in/a.onnx"), "b=" + path(second), "-o", path("o")}, 4,
                   {path(second) + "': is given twice"});
  }
}

TEST_F(BadInput, HasExternalDataThatIsNotThere) {
  write_file(temp_ / "in/w.data", noise(100, 1));
  write_file(temp_ / "outside.data", noise(100, 1));
  fs::create_symlink(temp_ / "outside.data", temp_ / "in/link.data");
  struct Case {
    const char* name;
    std::string location, offset, length;
    int code;
    std::vector<std::string> texts;
  };
  for (const Case& c :
       {Case{"missing file", "none.data", "0", "100", 3, {"'none.data'", "no such file"}},
        Case{"short file", "w.data", "1", "100", 4, {"needs 100 bytes at 1", "has 100"}},
        Case{"offset at the end", "w.data", "100", "100", 4, {"100 bytes at 100", "has 100"}},
        Case{"offset out of range", "w.data", "9223372036854775807", "100", 4, {"has 100"}},
        Case{"offset negative", "w.data", "-1", "100", 4, {"offset '-1' is no number"}},
        Case{"offset no number", "w.data", "x", "100", 4, {"offset 'x' is no number"}},
        Case{"offset huge", "w.data", "18446744073709551616", "100", 4, {"18446744073709551616"}},
        Case{"length too small", "w.data", "0", "99", 4, {"has 99 bytes", "needs 100"}},
        Case{"length too large", "w.data", "0", "101", 4, {"has 101 bytes", "needs 100"}},
        Case{"length negative", "w.data", "0", "-100", 4, {"length '-100' is no number"}},
        Case{"length huge", "w.data", "0", "9223372036854775807", 4, {"needs 100"}},
        Case{"above the folder", "../outside.data", "0", "100", 4, {"out of the model's folder"}},
        Case{"absolute", path("in/w.data"), "0", "100", 4, {"out of the model's folder"}},
        Case{"link out of the folder", "link.data", "0", "100", 4, {"out of the model's folder"}},
        Case{"no location", "", "0", "100", 4, {"no location"}}}) {
    SCOPED_TRACE(c.name);
    add("a.onnx",
        {external("w", 100,
                  {{"location", c.location}, {"offset", c.offset}, {"length", c.length}})});
    std::vector<std::string> texts = c.texts;
    texts.push_back("tensor 'w'");
    expect_model_refused(c.code, texts);
  }
}

TEST_F(BadInput, HasShapesThatCannotBe) {
  constexpr int64_t kHuge = int64_t{1} << 40;
  struct Case {
    const char* name;
    std::vector<int64_t> shape;
    const char* text;
  };
  for (const Case& c :
       {Case{"overflow of 63 bits", {kHuge, kHuge}, "more than 2^63 bytes"},
        Case{"overflow to zero", {int64_t{1} << 32, int64_t{1} << 32}, "more than 2^63 bytes"},
        Case{"negative", {-5000}, "negative"}, Case{"two negative", {-50, -100}, "negative"},
        Case{"too many", {5001}, "has 5000 bytes, its shape needs 5001"},
        Case{"too few", {4999}, "has 5000 bytes, its shape needs 4999"}}) {
    SCOPED_TRACE(c.name);
    add("a.onnx", {raw("w", noise(5000, 1), onnx::TensorProto::UINT8, c.shape)});
    expect_model_refused(4, {"tensor 'w'", c.text});
  }
}

TEST_F(BadInput, HasTwoInitializersOfOneName) {
  onnx::ModelProto model = model_of({raw("w", noise(5000, 1))});
  *model.mutable_graph()->add_initializer() = raw("w", noise(5000, 2));
  add("a.onnx", model);
  expect_model_refused(4, {"two initializers are called 'w'"});
}

TEST_F(BadInput, IsNestedTooDeeply) {
  std::string graph;  // GraphProto.node, NodeProto.attribute, AttributeProto.g
  for (int i = 0; i < 5000; ++i) {
    graph = wire_field(1, wire_field(5, wire_field(6, graph)));
    if (graph.size() > 200000) break;
  }
  add("a.onnx", "\x08\x08" + wire_field(7, graph));
  expect_model_refused(4, {"nested more than 100 deep"});
}

// Inputs that change while they are read: the progress callback is where a test can change them.
class ChangingInput : public BundleTest {
 protected:
  ChangingInput() {
    install_sigbus_guard();
    const auto large = [](const char* name, uint32_t seed) {
      return raw(name, noise(size_t{9} << 20, seed));
    };
    add("a.onnx", {large("w", 1), large("v", 2)});
    onnx::ModelProto model = model_of({external("u", 9 << 20, {{"location", "b.data"}})});
    add("b.data", noise(9 << 20, 3));
    add("b.onnx", model);
    // Long ago, so that a change within one tick of the clock shows.
    const auto past = fs::file_time_type::clock::now() - std::chrono::hours(1);
    for (const char* file : {"in/a.onnx", "in/b.data", "in/b.onnx"}) {
      fs::last_write_time(temp_ / file, past);
    }
  }

  // Calls `change` at the first progress of `stage`.
  void expect_refused(const std::string& stage, const std::string& file,
                      const std::function<void()>& change) {
    bool changed = false;
    DedupeOptions options;
    options.threads = 1;
    options.progress = [&](const char* at, uint64_t, uint64_t) {
      if (at == stage && !std::exchange(changed, true)) change();
    };
    std::string message;
    EXPECT_EQ(
        code_of([&] { dedupe(resolve_inputs({(temp_ / "in").string()}), temp_ / "o", options); },
                &message),
        3);
    EXPECT_TRUE(changed) << "there is no stage " << stage;
    EXPECT_NE(message.find(file + "': changed while it was read"), std::string::npos) << message;
    EXPECT_EQ(names_in(temp_.path()), std::vector<std::string>{"in"});
  }
};

TEST_F(ChangingInput, IsRefusedWhenItShrinksWhileItIsCompared) {
  expect_refused("comparing", "a.onnx", [&] { fs::resize_file(temp_ / "in/a.onnx", 4096); });
}

TEST_F(ChangingInput, IsRefusedWhenAnExternalFileShrinksWhileItIsCompared) {
  expect_refused("comparing", "b.data", [&] { fs::resize_file(temp_ / "in/b.data", 0); });
}

TEST_F(ChangingInput, IsRefusedWhenItIsRewrittenInPlace) {
  expect_refused("comparing", "a.onnx", [&] {
    const int file = open((temp_ / "in/a.onnx").c_str(), O_WRONLY);
    ASSERT_GE(file, 0);
    EXPECT_EQ(pwrite(file, "changed", 7, 1 << 20), 7);
    close(file);
  });
}

TEST_F(ChangingInput, IsRefusedWhenItGrows) {
  expect_refused("writing", "b.data",
                 [&] { std::ofstream(temp_ / "in/b.data", std::ios::app) << "more"; });
}

TEST_F(ChangingInput, IsRefusedWhenItShrinksBeforeItIsWritten) {
  expect_refused("writing", "b.data", [&] { fs::resize_file(temp_ / "in/b.data", 4096); });
}

}  // namespace
}  // namespace wshare::test
