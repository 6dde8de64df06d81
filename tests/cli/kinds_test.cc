// Every command on every kind of bundle: its exit code, that nothing is lost, that reports say what
// is on disk, and that a command that refuses has changed nothing.

#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "extract_lora/linear.h"
#include "support/cli_test.h"

namespace wshare::test {
namespace {

// Takes from this thread, and from those that it starts, what root may do with files of others and
// with read-only ones. Another user would not do: where the checkout is root's alone, it could load
// no library from there.
class OrdinaryUser {
 public:
  OrdinaryUser() {
    if (syscall(SYS_capget, &header_, before_.data()) != 0) return;
    auto less = before_;
    less[0].effective &= ~((1U << CAP_DAC_OVERRIDE) | (1U << CAP_DAC_READ_SEARCH));
    is_less_ = syscall(SYS_capset, &header_, less.data()) == 0;
  }
  OrdinaryUser(const OrdinaryUser&) = delete;
  OrdinaryUser& operator=(const OrdinaryUser&) = delete;
  ~OrdinaryUser() {
    if (is_less_ && syscall(SYS_capset, &header_, before_.data()) != 0) std::abort();
  }

 private:
  __user_cap_header_struct header_ = {_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> before_{};
  bool is_less_ = false;
};

enum Kind { kPlain, kTasks, kLinkedFiles, kLinkedFolder, kPart, kReadOnly, kPacked };
constexpr std::array kKindNames = {"plain",         "with tasks", "linked files", "linked folder",
                                   "a part of one", "read-only",  "packed"};

// A command, BUNDLE and FOLDER standing for places, and its exit code on each kind.
struct Row {
  std::vector<std::string> words;
  std::array<int, 7> codes;
  std::string gone = {};   // a model that is no more in the bundle if it succeeds
  std::string added = {};  // one that is
  bool compact = false;    // the folder has what is reported, no more
};

class Kinds : public CliTest {
 protected:
  static onnx::ModelProto model_of_weight(const Matrix& values, uint64_t bias) {
    return model(
        "y = MatMul(x, w)\n z = Add(y, b)",
        {{"w", {24, kColumns}, values}, {"b", {kColumns}, random_matrix(1, kColumns, bias)}});
  }

  void SetUp() override {
    const Matrix base = random_matrix(24, kColumns, 1);
    add("base.onnx", model_of_weight(base, 2));
    add("task.onnx", model_of_weight(sum(base, low_rank(24, kColumns, 2, 9, 0.02)), 2));
    add("other.onnx", model_of_weight(random_matrix(24, kColumns, 5), 6));
    write_file(temp_ / "new/new.onnx", model_of_weight(base, 7).SerializeAsString());
  }

  void make_bundle(Kind kind) {
    const auto must = [&](const std::vector<std::string>& arguments) {
      ASSERT_EQ(run(arguments), 0) << err_;
    };
    fs::remove_all(temp_ / "bundle");
    fs::remove_all(temp_ / "store");
    fs::remove_all(temp_ / "out");
    if (kind == kTasks) {
      must({"extract-lora", path("in/task.onnx"), "--base", path("in/base.onnx"), "-o",
            path("bundle")});
      must({"append", path("bundle"), path("in/other.onnx"), "--as-models"});
    } else {
      must({"dedupe", path("in"), "-o", path("bundle")});
    }
    if (kind == kPacked) must({"pack", path("bundle")});
    if (kind == kLinkedFiles || kind == kLinkedFolder)
      fs::rename(temp_ / "bundle", temp_ / "store");
    if (kind == kLinkedFolder) fs::create_directory_symlink("store", temp_ / "bundle");
    if (kind == kLinkedFiles) {
      fs::create_directory(temp_ / "bundle");
      for (const std::string& name : names_in(temp_ / "store"))
        fs::create_symlink("../store/" + name, temp_ / ("bundle/" + name));
    }
    if (kind == kPart) {
      fs::remove(temp_ / "bundle/other.onnx");
      fs::remove(temp_ / "bundle/other.bin");
    }
    if (kind != kReadOnly) return;
    for (const std::string& name : names_in(temp_ / "bundle"))
      chmod((temp_ / ("bundle/" + name)).c_str(), 0444);
    chmod((temp_ / "bundle").c_str(), 0555);
  }

  int run_row(const Row& row) {
    std::vector<std::string> arguments;
    for (const std::string& word : row.words) {
      const size_t at = word.find("BUNDLE");
      std::string text = word;
      if (at != std::string::npos) text.replace(at, 6, path("bundle"));
      if (text.starts_with("IN/")) text = path("in/" + text.substr(3));
      if (text == "NEW") text = path("new/new.onnx");
      if (text == "IN") text = path("in");
      if (text == "OUT") text = path("out");
      arguments.push_back(text);
    }
    const OrdinaryUser user;
    return run(arguments);
  }

  // All that the bundle should hold comes back as it was.
  void expect_nothing_lost(Kind kind, const Row& row) {
    const bool is_part = kind == kPart && row.gone != "other" && row.words[0] != "dedupe";
    EXPECT_EQ(run({"verify", path("bundle")}), is_part ? 1 : 0) << out_ << err_;
    for (const std::string name : {"base", "task", "other", "new"}) {
      const bool there = name == "new" ? row.added == name : row.gone != name;
      if (is_part && name == "other") continue;
      fs::remove_all(temp_ / "back");
      const int code = run({"restore", path("bundle"), name, "-o", path("back")});
      EXPECT_EQ(code, there ? 0 : 4) << name << ": " << err_;
      if (!there || code != 0) continue;
      const std::string folder = name == "new" ? "new/" : "in/";
      std::string back;
      for (const auto& [file, bytes] : files_in(temp_ / "back")) back = bytes;
      EXPECT_TRUE(back == read_file(temp_ / (folder + name + ".onnx"))) << name;
    }
  }

  void expect_true_report(Kind kind, uint64_t before) {
    const auto json = nlohmann::json::parse(out_);
    const uint64_t bytes = bytes_below(temp_ / "bundle");
    EXPECT_EQ(json.value("bytes_out", bytes), bytes) << out_;
    if (kind == kPart) return;  // before is what the manifest names
    EXPECT_EQ(json.value("bytes_before", before), before) << out_;
    if (json.contains("bytes_added")) {
      EXPECT_EQ(json["bytes_added"].get<int64_t>(),
                static_cast<int64_t>(bytes) - static_cast<int64_t>(before))
          << out_;
    }
  }

  void expect_row(Kind kind, const Row& row) {
    SCOPED_TRACE(std::string(kKindNames[kind]) + ": " + row.words[0] +
                 (row.words.size() > 2 ? " " + row.words[2] : ""));
    make_bundle(kind);
    const std::map<std::string, std::string> files = everything();
    const uint64_t bytes = bytes_below(temp_ / "bundle");
    const int code = run_row(row);
    EXPECT_EQ(code, row.codes[kind]) << out_ << err_;
    EXPECT_EQ(err_.find("our bug"), std::string::npos) << err_;
    const bool writes = std::find(row.words.begin(), row.words.end(), "--json") != row.words.end();
    if (code == 0 && writes) expect_true_report(kind, bytes);
    if (code != 0 || !writes) {
      fs::remove_all(temp_ / "out");
      EXPECT_TRUE(everything() == files) << "files changed";
    }
    chmod((temp_ / "bundle").c_str(), 0755);
    const Row unchanged{row.words, row.codes};
    expect_nothing_lost(kind, code == 0 && writes ? row : Row{{"none"}, {}});
  }

  static constexpr int64_t kColumns = 2048;
};

// Columns: plain, with tasks, linked files, linked folder, a part of one, read-only, packed.
std::vector<Row> rows() {
  return {
      {{"verify", "BUNDLE"}, {0, 0, 0, 0, 1, 0, 0}},
      {{"inspect", "BUNDLE"}, {0, 0, 0, 0, 0, 0, 0}},
      {{"restore", "BUNDLE", "-o", "OUT"}, {0, 0, 0, 0, 3, 0, 0}},
      {{"restore", "BUNDLE", "base", "-o", "OUT"}, {0, 0, 0, 0, 0, 0, 0}},
      {{"diff", "BUNDLE/base.onnx", "IN/base.onnx", "--no-svd"}, {0, 1, 0, 0, 0, 0, 0}},
      {{"append", "BUNDLE", "NEW", "--as-models", "--json"}, {0, 0, 0, 0, 3, 3, 0}, "", "new"},
      {{"append", "BUNDLE", "NEW", "--as-models", "--dry-run"}, {0, 0, 0, 0, 3, 0, 0}},
      {{"remove", "BUNDLE", "other", "--json"}, {0, 0, 0, 0, 0, 3, 0}, "other"},
      {{"remove", "BUNDLE", "other", "--compact", "--json"}, {0, 0, 0, 0, 0, 3, 0}, "other"},
      {{"remove", "BUNDLE", "other", "--dry-run"}, {0, 0, 0, 0, 0, 0, 0}},
      {{"remove", "BUNDLE", "task", "--compact", "--json"}, {0, 0, 0, 0, 3, 3, 0}, "task"},
      {{"dedupe", "IN", "-o", "BUNDLE", "--force", "--json"}, {0, 0, 0, 0, 0, 3, 0}},
      {{"dedupe", "IN", "-o", "BUNDLE"}, {3, 3, 3, 3, 3, 3, 3}},
      {{"dedupe", "BUNDLE", "-o", "OUT", "--dry-run"}, {0, 0, 0, 0, 0, 0, 0}},
  };
}

TEST_F(Kinds, AnswerEveryCommand) {
  for (const Kind kind : {kPlain, kTasks, kLinkedFiles, kLinkedFolder, kPart, kReadOnly}) {
    for (const Row& row : rows()) expect_row(kind, row);
  }
}

#ifdef WSHARE_KINDS_RUNTIME
TEST_F(Kinds, AnswerEveryCommandWhenPacked) {
  for (const Row& row : rows()) expect_row(kPacked, row);
}

TEST_F(Kinds, ArePackedAndRun) {
  for (const Kind kind : {kPlain, kTasks, kLinkedFiles, kLinkedFolder, kPart, kReadOnly, kPacked}) {
    // ONNX Runtime itself takes no links that lead out of the model's folder.
    expect_row(kind, {{"pack", "BUNDLE", "--json"}, {0, 0, 6, 0, 3, 3, 0}});
  }
}
#endif

}  // namespace
}  // namespace wshare::test
