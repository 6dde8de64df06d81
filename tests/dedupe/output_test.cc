// What dedupe() does to folders: it makes a bundle as a whole or nothing at all.

#include <functional>

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/bundle_test.h"

namespace wshare {
namespace {

using test::code_of;
using test::files_in;
using test::names_in;
using test::noise;
using test::raw;
using test::read_file;
using test::write_file;

using Names = std::vector<std::string>;

class DedupeOutput : public test::BundleTest {
 protected:
  DedupeReport make_with(const std::function<void(DedupeOptions&)>& change) {
    DedupeOptions options;
    change(options);
    return dedupe(resolve_inputs({(temp_ / "in").string()}), temp_ / "bundle", options);
  }
  static void replace(DedupeOptions& options) { options.replace = true; }

  void add_two() {
    add("a.onnx", {raw("trunk", noise(128 << 10, 1)), raw("head", noise(2000, 2))});
    add("b.onnx", {raw("trunk", noise(128 << 10, 1)), raw("head", noise(2000, 3))});
  }
};

TEST_F(DedupeOutput, HasTheSameBytesForAnyNumberOfThreadsAndAtEachRun) {
  add_two();
  for (uint32_t i = 0; i < 20; ++i) {
    add("m" + std::to_string(i) + ".onnx",
        {raw("w", noise(5000 + i, i % 4)), raw("x", noise(70000, i % 3)), raw("y", noise(100, i))});
  }
  make(64, 1, "one");
  make(64, 4, "four");
  make(64, 4, "again");
  EXPECT_EQ(files_in(temp_ / "one"), files_in(temp_ / "four"));
  EXPECT_EQ(files_in(temp_ / "four"), files_in(temp_ / "again"));
}

TEST_F(DedupeOutput, DoesNotNameAbsolutePaths) {
  add_two();
  make();
  for (const auto& [name, bytes] : files_in(temp_ / "bundle")) {
    EXPECT_EQ(bytes.find(temp_.path().string()), std::string::npos) << name;
  }
}

TEST_F(DedupeOutput, IsRefusedWhenItExists) {
  add_two();
  make();
  const auto before = files_in(temp_ / "bundle");
  add("c.onnx", {raw("w", noise(2000, 9))});
  std::string message, hint;
  EXPECT_EQ(code_of([&] { make(); }, &message, &hint), 3);
  EXPECT_NE(message.find("bundle"), std::string::npos) << message;
  EXPECT_NE(hint.find("--force"), std::string::npos) << hint;
  EXPECT_EQ(files_in(temp_ / "bundle"), before);
  EXPECT_EQ(names_in(temp_.path()), (Names{"bundle", "in"}));
}

TEST_F(DedupeOutput, IsReplacedAsAWholeWhenAsked) {
  add_two();
  make();
  test::fs::remove(temp_ / "in/a.onnx");
  make_with(replace);
  EXPECT_EQ(names_in(temp_ / "bundle"), (Names{"b.bin", "b.onnx", "manifest.json", "restore.bin"}));
  EXPECT_EQ(names_in(temp_.path()), (Names{"bundle", "in"}));
  EXPECT_EQ(load_manifest(temp_ / "bundle").models.size(), 1u);
}

TEST_F(DedupeOutput, KeepsTheOldBundleWhenReplacingFails) {
  add_two();
  make();
  const auto before = files_in(temp_ / "bundle");
  add("broken.onnx", std::string("no model"));
  EXPECT_EQ(code_of([&] { make_with(replace); }), 4);
  EXPECT_EQ(files_in(temp_ / "bundle"), before);
  EXPECT_EQ(names_in(temp_.path()), (Names{"bundle", "in"}));
}

TEST_F(DedupeOutput, IsNotReplacedWhenItHoldsForeignFiles) {
  add_two();
  make();
  for (const char* foreign : {"bundle/tokenizer.json", "bundle/sub/notes.txt", "bundle/.hidden"}) {
    SCOPED_TRACE(foreign);
    write_file(temp_ / foreign, "mine");
    EXPECT_EQ(code_of([&] { make_with(replace); }), 3);
    EXPECT_EQ(read_file(temp_ / foreign), "mine");
    test::fs::remove(temp_ / foreign);
  }
}

TEST_F(DedupeOutput, IsNotReplacedWhenItIsNoBundle) {
  add_two();
  write_file(temp_ / "bundle/manifest.json", "{\"name\": \"my web app\"}");
  EXPECT_EQ(code_of([&] { make_with(replace); }) == 0, false);
  EXPECT_EQ(names_in(temp_ / "bundle"), Names{"manifest.json"});
  test::fs::remove_all(temp_ / "bundle");
  write_file(temp_ / "bundle", "a file");
  EXPECT_EQ(code_of([&] { make_with(replace); }), 3);
  EXPECT_EQ(read_file(temp_ / "bundle"), "a file");
}

TEST_F(DedupeOutput, IsRefusedWhenItHoldsInputs) {
  add_two();
  const auto before = files_in(temp_ / "in");
  test::fs::create_directory_symlink(temp_ / "in", temp_ / "alias");
  for (const char* output : {"in", "in/../in", "alias"}) {
    SCOPED_TRACE(output);
    DedupeOptions options;
    options.replace = true;
    EXPECT_EQ(code_of([&] {
                dedupe(resolve_inputs({(temp_ / "in").string()}), temp_ / output, options);
              }),
              3);
    EXPECT_EQ(files_in(temp_ / "in"), before);
  }
}

TEST_F(DedupeOutput, IsNotReplacedWhenItHoldsExternalDataOfAnInput) {
  add("bundle/part.onnx", {raw("w", noise(5000, 1))});
  DedupeOptions options;
  dedupe(inputs({"bundle/part.onnx"}), temp_ / "in/b", options);
  add("a.onnx", test::model_of({test::external("w", 5000, {{"location", "b/part.bin"}})}));
  const auto before = files_in(temp_ / "in");
  options.replace = true;
  std::string message;
  EXPECT_EQ(code_of([&] { dedupe(inputs({"a.onnx"}), temp_ / "in/b", options); }, &message), 3);
  EXPECT_NE(message.find("part.bin"), std::string::npos) << message;
  EXPECT_EQ(files_in(temp_ / "in"), before);
}

TEST_F(DedupeOutput, LeavesInputsUntouched) {
  add_two();
  write_file(temp_ / "in/m.data", noise(5000, 5));
  add("m.onnx", {test::external("w", 5000, {{"location", "m.data"}})});
  const auto before = files_in(temp_ / "in");
  std::map<std::string, test::fs::file_time_type> times;
  for (const auto& [name, bytes] : before)
    times[name] = test::fs::last_write_time(temp_ / "in" / name);
  make();
  EXPECT_EQ(files_in(temp_ / "in"), before);
  for (const auto& [name, time] : times)
    EXPECT_EQ(test::fs::last_write_time(temp_ / "in" / name), time) << name;
}

TEST_F(DedupeOutput, IsNotThereAfterAnErrorOrADryRun) {
  add_two();
  make_with([](DedupeOptions& options) { options.dry_run = true; });
  EXPECT_EQ(names_in(temp_.path()), Names{"in"});
  add("z.onnx", {test::external("w", 5000, {{"location", "none.data"}})});
  EXPECT_EQ(code_of([&] { make(); }), 3);
  EXPECT_EQ(names_in(temp_.path()), Names{"in"});
}

TEST_F(DedupeOutput, KeepsProtobufFieldsOfTheFuture) {
  const std::string future = test::wire_field(777, "from the future");
  onnx::TensorProto tensor = raw("w", noise(2000, 1));
  std::string bytes = test::bytes_of({tensor});
  const std::string inner = tensor.SerializeAsString();
  bytes += future;
  add("a.onnx", bytes);
  add("b.onnx",
      test::wire_field(7, test::wire_field(2, "g") + future + test::wire_field(5, inner + future) +
                              test::wire_field(1, test::wire_field(1, "w") +
                                                      test::wire_field(4, "Identity") + future)) +
          std::string("\x08\x08", 2));
  make();
  EXPECT_NE(read_file(temp_ / "bundle/a.onnx").find(future), std::string::npos);
  std::string b = read_file(temp_ / "bundle/b.onnx");
  int found = 0;
  for (size_t at = b.find(future); at != std::string::npos; at = b.find(future, at + 1)) ++found;
  EXPECT_EQ(found, 3);  // in the graph, the tensor and the node
}

TEST_F(DedupeOutput, ExplainsEachPlacedTensor) {
  add_two();
  const DedupeReport report = make_with([](DedupeOptions& options) { options.explain = true; });
  ASSERT_EQ(report.placed.size(), 4u);
  for (const PlacedTensor& tensor : report.placed) {
    const bool shared = tensor.tensor == "trunk";
    EXPECT_EQ(tensor.blob, shared ? "shared.bin" : tensor.model + ".bin");
    EXPECT_EQ(tensor.also_in, shared ? Names{tensor.model == "a" ? "b" : "a"} : Names{});
  }
}

}  // namespace
}  // namespace wshare
