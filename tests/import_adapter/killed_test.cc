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

  // Imports in a process that the system kills when it writes a file beyond `bytes`. Returns
  // whether it was killed.
  bool import_up_to(uint64_t bytes) {
    const pid_t child = fork();
    if (child == 0) {
      const rlimit none{0, 0}, size{bytes, bytes};
      setrlimit(RLIMIT_CORE, &none);
      setrlimit(RLIMIT_FSIZE, &size);
      _exit(code_of([&] { import_adapter(bundle(), adapter_, {}); }));
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << status;
    return WIFSIGNALED(status);
  }

  std::string adapter_;
};

TEST_F(Killed, LeavesABundleThatTheNextImportTidiesUp) {
  const auto before = files_in(temp_ / "bundle");
  size_t kills = 0;
  // Small limits stop it at the first file, larger ones at each of the others up to the manifest.
  for (uint64_t limit = 100; import_up_to(limit); limit += 150) {
    SCOPED_TRACE(limit);
    ++kills;
    const auto after = files_in(temp_ / "bundle");
    for (const auto& [name, bytes] : before) EXPECT_TRUE(after.at(name) == bytes) << name;
    EXPECT_TRUE(verify(bundle(), 1).empty());
    EXPECT_TRUE(fs::exists(temp_ / "bundle/.wshare-lock"));
    ASSERT_EQ(run({"import-adapter", bundle(), adapter_}), 0) << err_;
    EXPECT_EQ(names_in(temp_ / "bundle"),
              (std::vector<std::string>{"base.bin", "base_2.onnx", "manifest.json",
                                        "news.onnx_adapter", "restore_2.bin"}));
    expect_whole();
    fs::remove_all(temp_ / "bundle");
    for (const auto& [name, bytes] : before) write_file(temp_ / ("bundle/" + name), bytes);
  }
  EXPECT_GE(kills, 5u);
  expect_whole();
}

}  // namespace
}  // namespace wshare::test
