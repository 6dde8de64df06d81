// A Bundle that is open while others change, move or replace it: what it gives is the model that
// was opened, or an error.

#include <fstream>
#include <optional>

#include "run/run_matmul.h"
#include "support/bundle_test.h"
#include "wshare/append.h"
#include "wshare/remove.h"
#include "wshare/runtime.h"

namespace wshare::test {
namespace {

class ChangedBundle : public BundleTest {
 protected:
  // A model whose large weight and small bias both depend on `seed`; its graph does not.
  static onnx::ModelProto trained(uint32_t seed) {
    onnx::ModelProto model = matmul_model(kRows, kColumns, floats(kColumns, seed));
    for (onnx::TensorProto& tensor : *model.mutable_graph()->mutable_initializer()) {
      if (tensor.name() == "weight") tensor.set_raw_data(floats(kRows * kColumns, seed + 1000));
    }
    return model;
  }

  ChangedBundle() {
    add("m.onnx", trained(1));
    add("other.onnx", trained(2));
    make();
    write_file(temp_ / "later/m.onnx", trained(3).SerializeAsString());
    of_m_ = matmul_output(*Bundle::open(folder()).session("m"));
  }

  fs::path folder() const { return temp_ / "bundle"; }
  std::vector<ModelInput> later() const {
    return resolve_inputs({(temp_ / "later/m.onnx").string()});
  }

  // Expects that a new session of "m" gives what "m" gave when the bundle was opened.
  void expect_m(Bundle& bundle) {
    Session session = bundle.session("m");
    EXPECT_TRUE(matmul_output(*session) == of_m_);
  }

  // Expects that there is no session of "m", with a message that says so.
  void expect_no_m(Bundle& bundle) {
    for (const Tier tier : {Tier::kAuto, Tier::kShared, Tier::kCompact}) {
      SessionOptions options;
      options.tier = tier;
      std::string message, hint;
      EXPECT_EQ(code_of([&] { bundle.session("m", options); }, &message, &hint), 3);
      EXPECT_NE(message.find("changed or removed since it was opened"), std::string::npos)
          << message;
      EXPECT_EQ(hint, "open the bundle again");
    }
  }

  // How often files of the bundle are mapped, but its manifest.
  size_t maps() const {
    std::ifstream file("/proc/self/maps");
    size_t count = 0;
    for (std::string line; std::getline(file, line);)
      count += line.find(folder().string()) != std::string::npos && !line.ends_with(".json");
    return count;
  }

  std::string of_m_;
};

TEST_F(ChangedBundle, IsMappedWhereASessionNeedsIt) {
  ASSERT_EQ(maps(), 0u);
  Bundle bundle = Bundle::open(folder());
  EXPECT_EQ(maps(), 0u);
  fs::remove(folder() / "other.bin");  // that session needs nothing of it
  expect_m(bundle);
  EXPECT_EQ(code_of([&] { bundle.session("other"); }), 3);
}

// Its .onnx is byte for byte the old one's: only the weights tell them apart.
TEST_F(ChangedBundle, NeverMixesAModelWithItsSuccessor) {
  for (const bool has_session : {false, true}) {
    SCOPED_TRACE(has_session);
    fs::remove_all(folder());
    make();
    Bundle bundle = Bundle::open(folder());
    std::optional<Session> before;
    if (has_session) before.emplace(bundle.session("m"));
    remove_models(folder(), {"m"}, {});
    expect_no_m(bundle);
    append(folder(), later(), {});
    expect_no_m(bundle);
    if (before) {
      EXPECT_TRUE(matmul_output(**before) == of_m_);
    }
    EXPECT_EQ(code_of([&] { bundle.session("other"); }), 0);
    EXPECT_FALSE(matmul_output(*Bundle::open(folder()).session("m")) == of_m_);
  }
}

TEST_F(ChangedBundle, NeverMixesABundleWithTheOneThatReplacedIt) {
  for (const bool has_session : {false, true}) {
    SCOPED_TRACE(has_session);
    fs::remove_all(folder());
    make();
    Bundle bundle = Bundle::open(folder());
    std::optional<Session> before;
    if (has_session) before.emplace(bundle.session("m"));
    DedupeOptions options;
    options.replace = true;
    dedupe(later(), folder(), options);
    expect_no_m(bundle);
    if (before) {
      EXPECT_TRUE(matmul_output(**before) == of_m_);
    }
  }
}

TEST_F(ChangedBundle, IsTheFolderThatWasOpenedWhereverItIs) {
  Bundle bundle = Bundle::open(folder());
  fs::rename(folder(), temp_ / "moved");
  dedupe(later(), folder(), {});
  expect_m(bundle);
  std::string message;
  fs::remove(temp_ / "moved/other.onnx");
  EXPECT_EQ(code_of([&] { bundle.session("other"); }, &message), 3);
  EXPECT_EQ(message.find("/proc/"), std::string::npos) << message;
}

// As `cp` or rsync would, file by file.
// What ONNX Runtime says of files that are on their way out is no fault of the model.
TEST_F(ChangedBundle, SaysThatItWasMovedWhereNoSessionComesOfIt) {
  onnx::ModelProto model = trained(4);
  model.mutable_graph()->mutable_node(0)->set_op_type("NobodyKnowsThis");
  add("unknown.onnx", model);
  append(folder(), inputs({"unknown.onnx"}), {});
  Bundle bundle = Bundle::open(folder());
  std::string message, hint;
  EXPECT_EQ(code_of([&] { bundle.session("unknown"); }, &message), 6) << message;
  fs::rename(folder(), temp_ / "moved");
  EXPECT_EQ(code_of([&] { bundle.session("unknown"); }, &message, &hint), 3);
  EXPECT_NE(message.find("the bundle was moved or replaced since it was opened"), std::string::npos)
      << message;
  EXPECT_EQ(hint, "open the bundle again");
}

TEST_F(ChangedBundle, NoticesAnotherBundleThatIsCopiedOverIt) {
  Bundle bundle = Bundle::open(folder());
  expect_m(bundle);
  dedupe(later(), temp_ / "another", {});
  for (const auto& [name, bytes] : files_in(temp_ / "another")) {
    write_file(folder() / (name + ".new"), bytes);
    fs::rename(folder() / (name + ".new"), folder() / name);
  }
  EXPECT_EQ(code_of([&] { bundle.session("m"); }), 3);
}

TEST_F(ChangedBundle, NoticesABlobThatWasReplaced) {
  Bundle bundle = Bundle::open(folder());
  expect_m(bundle);
  write_file(temp_ / "blob", std::string(fs::file_size(folder() / "m.bin"), '\0'));
  fs::rename(temp_ / "blob", folder() / "m.bin");
  EXPECT_EQ(code_of([&] { bundle.session("m"); }), 3);
}

}  // namespace
}  // namespace wshare::test
