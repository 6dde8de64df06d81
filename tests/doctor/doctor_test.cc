// doctor() says what programs will say of files, without them: tests/interop/doctor.py asks those.

#include "wshare/doctor.h"

#include <nlohmann/json.hpp>
#include <set>

#include "support/cli_test.h"
#include "support/places.h"
#include "wshare/archive.h"
#include "wshare/extract_lora.h"

namespace fs = std::filesystem;

namespace wshare {
namespace {

using test::code_of;
using test::external;
using test::noise;
using test::raw;

using Targets = std::set<std::string>;

class Doctor : public test::CliTest {
 protected:
  Doctor() {
    add("m.onnx", test::model_of({external("w", 4000, {{"location", "w.bin"}})}));
    add("w.bin", noise(4000, 1));
  }

  fs::path in(const std::string& name) const { return temp_ / "in" / name; }

  DoctorReport look(const fs::path& path, std::vector<std::string> targets = {}) {
    DoctorOptions options;
    options.targets = std::move(targets);
    return doctor({path.string()}, options);
  }

  // Where the model at `path` does not open, by the rule `id` alone.
  Targets not_opened(const fs::path& path, const std::string& id) {
    Targets targets;
    for (const Obstacle& finding : look(path).findings) {
      EXPECT_EQ(finding.id, id) << finding.message;
      EXPECT_FALSE(finding.remedy.empty());
      EXPECT_TRUE(targets.insert(finding.target).second) << finding.target;
    }
    return targets;
  }

  // All targets but ONNX Runtime 1.20 to 1.`last`, and those in `more`.
  static Targets all_but_runtimes_up_to(int last, const Targets& more = {}) {
    Targets targets;
    for (const std::string& name : doctor_targets()) targets.insert(name);
    for (int minor = 20; minor <= last; ++minor)
      targets.erase("onnxruntime-1." + std::to_string(minor));
    for (const std::string& name : more) targets.erase(name);
    return targets;
  }

  void set_location(const std::string& location) {
    add("m.onnx", test::model_of({external("w", 4000, {{"location", location}})}));
  }
};

TEST_F(Doctor, FindsNothingInModelsAndBundlesThatOpenEverywhere) {
  EXPECT_TRUE(look(in("m.onnx")).findings.empty());
  make();
  const DoctorReport report = look(temp_ / "bundle");
  EXPECT_TRUE(report.findings.empty());
  EXPECT_EQ(report.models, std::vector<std::string>({"m"}));
  EXPECT_EQ(report.targets, doctor_targets());
}

TEST_F(Doctor, KnowsWhatReleasesTakeOfVersions) {
  onnx::ModelProto model = test::model_of({raw("w", noise(4000, 1))});
  model.set_ir_version(11);
  add("m.onnx", model);
  EXPECT_EQ(not_opened(in("m.onnx"), "WD001"),
            Targets({"onnxruntime-1.20", "onnxruntime-1.21", "onnxruntime-1.22"}));
  model.set_ir_version(8);
  model.mutable_opset_import(0)->set_version(22);
  add("m.onnx", model);
  EXPECT_EQ(not_opened(in("m.onnx"), "WD002"), Targets({"onnxruntime-1.20"}));
}

TEST_F(Doctor, FindsDataThatIsAbsoluteMissingCutShortOrElsewhere) {
  set_location(in("w.bin").string());
  EXPECT_EQ(not_opened(in("m.onnx"), "WD003"), all_but_runtimes_up_to(23, {"openvino-2026.4"}));
  set_location("other.bin");
  EXPECT_EQ(not_opened(in("m.onnx"), "WD004").size(), doctor_targets().size());
  add("other.bin", noise(3999, 1));
  EXPECT_EQ(not_opened(in("m.onnx"), "WD005").size(), doctor_targets().size());
  fs::rename(in("w.bin"), temp_ / "w.bin");
  set_location("../w.bin");
  EXPECT_EQ(not_opened(in("m.onnx"), "WD006"), all_but_runtimes_up_to(23));
}

TEST_F(Doctor, KnowsWhoFollowsLinks) {
  fs::create_directories(temp_ / "links");
  fs::create_symlink(in("m.onnx"), temp_ / "links/m.onnx");
  EXPECT_EQ(not_opened(temp_ / "links/m.onnx", "WD004").size(), doctor_targets().size());

  // As in the cache of a hub: both lead to one other folder.
  fs::create_symlink(in("w.bin"), temp_ / "links/w.bin");
  EXPECT_EQ(not_opened(temp_ / "links/m.onnx", "WD007"),
            Targets({"onnxruntime-1.24", "onnx-1.23", "openvino-2026.4"}));

  fs::remove(temp_ / "links/m.onnx");
  fs::copy_file(in("m.onnx"), temp_ / "links/m.onnx");
  EXPECT_EQ(not_opened(temp_ / "links/m.onnx", "WD007"), all_but_runtimes_up_to(23));

  fs::remove(temp_ / "links/w.bin");
  fs::copy_file(in("w.bin"), temp_ / "links/real.bin");
  fs::create_symlink("real.bin", temp_ / "links/w.bin");
  EXPECT_EQ(not_opened(temp_ / "links/m.onnx", "WD007"), Targets({"onnx-1.23"}));

  fs::create_directory_symlink(temp_ / "in", temp_ / "folder");
  EXPECT_TRUE(look(temp_ / "folder/m.onnx").findings.empty());

  fs::create_hard_link(in("w.bin"), temp_ / "again");
  EXPECT_EQ(not_opened(in("m.onnx"), "WD008"), Targets({"onnx-1.23"}));
}

TEST_F(Doctor, KnowsPacksTasksAndArchivedModels) {
  const fs::path compat = fs::path(test::kTestdata) / "compat";
  EXPECT_EQ(not_opened(compat / "packed", "WD009"), Targets({"onnxruntime-1.20"}));

  const DoctorReport archived = look(compat / "archived", {"onnxruntime-1.32"});
  EXPECT_EQ(archived.findings.size(), 4u);
  for (const Obstacle& finding : archived.findings) EXPECT_EQ(finding.id, "WD011");

  const std::string made = std::string(test::kTestdata) + "/t5-lora/";
  ExtractOptions options;
  options.base = "base=" + made + "base.onnx";
  extract_lora({{"summarize", made + "summarize.onnx"}}, temp_ / "tasks", options);
  EXPECT_EQ(not_opened(temp_ / "tasks", "WD010"), Targets({"onnx-1.23", "openvino-2026.4"}));
}

TEST_F(Doctor, RefusesWhatItDoesNotKnow) {
  expect_refused({"doctor", path("in"), "--target", "onnxruntime-1.3"}, 4,
                 {"'onnxruntime-1.3': no program that rules are known of"});
  expect_refused({"doctor", path("none")}, 3, {"none"});
  add("m.onnx", std::string("no model"));
  expect_refused({"doctor", path("in/m.onnx")}, 4, {"m.onnx"});
}

TEST_F(Doctor, SaysItInWordsAndJson) {
  set_location("../in/w.bin");
  fs::create_directories(temp_ / "other");
  fs::rename(in("m.onnx"), temp_ / "other/m.onnx");
  EXPECT_EQ(run({"doctor", path("other")}), 1) << err_;
  EXPECT_EQ(out_,
            "the model opens in onnxruntime-1.20 to 1.23\n"
            "the model does not open in onnxruntime-1.24 to 1.32, onnx-1.23, openvino-2026.4\n"
            "WD006 'm': external data '../in/w.bin' lies outside of the model's folder\n"
            "      not opened by onnxruntime-1.24 to 1.32, onnx-1.23, openvino-2026.4\n"
            "      'wshare dedupe' makes a bundle whose files lie beside each other\n");
  EXPECT_EQ(run({"doctor", path("other"), "--target", "onnxruntime-1.22,onnxruntime-1.23"}), 0);
  EXPECT_EQ(out_, "the model opens in onnxruntime-1.22 to 1.23\n");
  EXPECT_EQ(run({"doctor", path("other"), "--json", "--target", "onnx-1.23"}), 1);
  const auto json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["schema"], "wshare.doctor/1");
  EXPECT_EQ(json["ok"], false);
  ASSERT_EQ(json["findings"].size(), 1u);
  for (const char* key : {"id", "model", "target", "message", "remedy"})
    EXPECT_TRUE(json["findings"][0].contains(key)) << key;
}

}  // namespace
}  // namespace wshare
