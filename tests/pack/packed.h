#pragma once

#include <functional>
#include <string>
#include <vector>

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "run/graphs.h"
#include "run/parity.h"
#include "run/run_matmul.h"
#include "support/cli_test.h"
#include "wshare/pack.h"
#include "wshare/runtime.h"

namespace wshare::test {

// Tests over a bundle of models whose weights the CPU's kernels pack.
class PackTest : public CliTest {
 protected:
  fs::path bundle() const { return temp_ / "bundle"; }

  // a and b share a weight of 128 KiB and have a bias of their own.
  void make_two() {
    add("a.onnx", matmul_model(kRows, kColumns, floats(kColumns, 2)));
    add("b.onnx", matmul_model(kRows, kColumns, floats(kColumns, 3)));
    make();
  }

  PackReport pack_all(const std::function<void(PackOptions&)>& set = {}) {
    PackOptions options;
    options.wait = std::chrono::milliseconds(0);
    if (set) set(options);
    return pack(bundle(), options);
  }

  Manifest manifest() const { return load_manifest(bundle()); }

  // Replaces manifest.json by what `change` makes of it, with a hash that fits.
  void change_manifest(const std::function<void(Manifest&)>& change) const {
    Manifest changed = manifest();
    change(changed);
    write_file(bundle() / kManifestName, to_json(changed));
  }

  // Makes the keys of packed weights in a's pack those of other kernels.
  void spoil_keys() const {
    std::string model = read_file(bundle() / "a.packed.onnx");
    const size_t bar = model.find('|', model.find("prepacked_0"));
    ASSERT_NE(bar, std::string::npos);
    model[bar - 1] = model[bar - 1] == '1' ? '2' : '1';
    write_file(bundle() / "a.packed.onnx", model);
    change_manifest([&](Manifest& changed) { changed.packs[0].model.hash = hash_of(model); });
  }

  static Session open(Bundle& bundle, const std::string& name, Tier tier) {
    SessionOptions options;
    options.tier = tier;
    options.ort.SetIntraOpNumThreads(1);
    return bundle.session(name, options);
  }

  // The outputs of a model with an input x [1, rows] and an output y.
  static std::vector<Ort::Value> run_once(Ort::Session& session, int64_t rows = kRows) {
    return run_matmul(session, rows);
  }

  bool equals_plain(const std::string& name, Ort::Session& session, int64_t rows = kRows) const {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    Ort::Session plain(environment(), (temp_ / ("in/" + name + ".onnx")).c_str(), options);
    return compare_outputs(name, {"y"}, run_once(session, rows), run_once(plain, rows))
        .at(0)
        .bit_equal;
  }

  // Expects a packed session of each model, with the outputs of the original.
  void expect_packed(const std::vector<std::string>& models) {
    Bundle opened = Bundle::open(bundle());
    for (const std::string& name : models) {
      Session session = open(opened, name, Tier::kPacked);
      EXPECT_TRUE(equals_plain(name, *session)) << name;
    }
  }

  // Expects that the model opens without its pack and says why; Tier::kPacked is refused for that.
  void expect_unpacked(const std::string& name, const std::string& why, int64_t rows = kRows) {
    Bundle opened = Bundle::open(bundle());
    Session session = open(opened, name, Tier::kAuto);
    EXPECT_TRUE(equals_plain(name, *session, rows));
    const ModelReport report = opened.report().models.at(0);
    EXPECT_EQ(report.tier, Tier::kShared);
    EXPECT_NE(report.why.find(why), std::string::npos) << report.why;
    std::string message;
    EXPECT_EQ(code_of([&] { open(opened, name, Tier::kPacked); }, &message), 5) << message;
    EXPECT_NE(message.find(why), std::string::npos) << message;
  }

  static constexpr int64_t kRows = 64, kColumns = 512;
};

}  // namespace wshare::test
