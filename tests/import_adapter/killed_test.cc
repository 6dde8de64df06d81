// A process that is killed while it imports leaves the old bundle or the new one.

#include <sys/resource.h>
#include <sys/wait.h>

#include "import_adapter/fixture.h"
#include "wshare/import_adapter.h"
#include "wshare/verify.h"

namespace wshare::test {
namespace {

class Killed : public ImportTest {
 protected:
  Killed() {
    add("base.onnx", small_model());
    make_bundle();
    adapter_ = add_peft("news", pair("model.l.0.q", 6, 8, 2) + pair("model.embed", 12, 6, 2, true));
  }

  // Imports over `bases` in a process that the system kills when it writes a file beyond `bytes`.
  // Returns whether it was killed.
  bool import_up_to(uint64_t bytes, const std::vector<std::string>& bases) {
    const pid_t child = fork();
    if (child == 0) {
      const rlimit none{0, 0}, size{bytes, bytes};
      setrlimit(RLIMIT_CORE, &none);
      setrlimit(RLIMIT_FSIZE, &size);
      ImportOptions options;
      options.bases = bases;
      _exit(code_of([&] { import_adapter(bundle(), adapter_, options); }));
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << status;
    return WIFSIGNALED(status);
  }

  // Imports with larger limits each time until it is not killed, and after each kill once more
  // without; `files` are those of the bundle then. The lock file, which is written first, has fewer
  // bytes than any limit; small ones stop it at the first file, larger ones at each of the others
  // up to the manifest.
  void expect_old_or_new(const std::vector<std::string>& bases,
                         const std::vector<std::string>& files) {
    const auto before = files_in(temp_ / "bundle");
    std::vector<std::string> again = {"import-adapter", bundle(), adapter_};
    for (const std::string& base : bases) again.push_back("--base=" + base);
    size_t kills = 0;
    for (uint64_t limit = 250; import_up_to(limit, bases); limit += 150) {
      SCOPED_TRACE(limit);
      ++kills;
      const auto after = files_in(temp_ / "bundle");
      for (const auto& [name, bytes] : before) EXPECT_TRUE(after.at(name) == bytes) << name;
      EXPECT_TRUE(verify(bundle(), {1}).empty());
      EXPECT_TRUE(fs::exists(temp_ / "bundle/.wshare-lock"));
      ASSERT_EQ(run(again), 0) << err_;
      EXPECT_EQ(names_in(temp_ / "bundle"), files);
      expect_whole();
      fs::remove_all(temp_ / "bundle");
      for (const auto& [name, bytes] : before) write_file(temp_ / ("bundle/" + name), bytes);
    }
    EXPECT_GE(kills, 5u);
    expect_whole();
  }

  std::string adapter_;
};

TEST_F(Killed, LeavesABundleThatTheNextImportTidiesUp) {
  expect_old_or_new(
      {}, {"base.bin", "base_2.onnx", "manifest.json", "news.onnx_adapter", "restore_2.bin"});
}

TEST_F(Killed, LeavesAllBasesOrNoneWithTheTask) {
  onnx::ModelProto other = small_model();
  other.mutable_graph()->mutable_initializer(1)->set_raw_data(nonzero_floats(48, 9));
  add("other.onnx", other);
  fs::remove_all(temp_ / "bundle");
  make_bundle();
  expect_old_or_new(
      {"base", "other"},
      {"base.bin", "base_2.onnx", "manifest.json", "news-base.onnx_adapter",
       "news-other.onnx_adapter", "other.bin", "other_2.onnx", "restore_2.bin", "shared.bin"});
}

}  // namespace
}  // namespace wshare::test
