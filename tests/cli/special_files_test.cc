// Pipes, devices, sockets and folders where a command looks for a file: each is refused, none is
// waited for or read without end.

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "import_adapter/fixture.h"
#include "support/places.h"

namespace wshare::test {
namespace {

enum class Kind { kPipe, kDevice, kSocket, kFolder };

class SpecialFiles : public ImportTest {
 protected:
  SpecialFiles() {
    add("a.onnx", small_model());
    add("b.onnx", small_model());
    add_peft("adapter", pair("l.0.k", 8, 6, 2));
    add_onnx_adapter("given.onnx_adapter", pair("l.0.k", 8, 6, 2));
    make_bundle();
  }

  // Puts something of this kind in the place of `file`.
  void put(const fs::path& file, Kind kind) {
    fs::remove_all(file);
    if (kind == Kind::kPipe && mkfifo(file.c_str(), 0600) != 0) ADD_FAILURE() << file;
    if (kind == Kind::kDevice) fs::create_symlink("/dev/zero", file);
    if (kind == Kind::kFolder) fs::create_directory(file);
    if (kind != Kind::kSocket) return;
    const int number = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = file.string();
    ASSERT_LT(path.size(), sizeof address.sun_path);
    path.copy(address.sun_path, path.size());
    EXPECT_EQ(bind(number, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    close(number);
  }

  // Expects each of `commands` to be refused while a file of the test's folder is special.
  void expect_each_refused(const std::string& file,
                           const std::vector<std::vector<std::string>>& commands) {
    for (const Kind kind : {Kind::kPipe, Kind::kDevice, Kind::kSocket, Kind::kFolder}) {
      const fs::path place = temp_ / file, kept = temp_ / "kept";
      if (fs::exists(place)) fs::rename(place, kept);
      put(place, kind);
      for (const std::vector<std::string>& command : commands) {
        SCOPED_TRACE(file + " is " + std::to_string(static_cast<int>(kind)) + ": " +
                     testing::PrintToString(command));
        std::ostringstream out, err;
        const int code = run_cli(command, out, err, kProgram);
        EXPECT_TRUE(code == 1 || code == 3 || code == 4) << code << ": " << err.str();
      }
      fs::remove_all(place);
      if (fs::exists(kept)) fs::rename(kept, place);
    }
  }
};

TEST_F(SpecialFiles, InTheBundle) {
  const std::string b = bundle(), back = path("back");
  const std::vector<std::string> append = {"append", b, "new=" + path("in/a.onnx")},
                                 remove = {"remove", b, "b"}, compact = {"remove", b, "--compact"},
                                 import = {"import-adapter", b, path("adapter"), "--base", "a"},
                                 restore = {"restore", b, "-o", back}, verify = {"verify", b};
  std::vector<std::vector<std::string>> all = {verify,  restore, append,        remove,
                                               compact, import,  {"inspect", b}};
#ifdef WSHARE_TEXT_RUNTIME
  all.push_back({"run", b});
  all.push_back({"pack", b});
#endif
  expect_each_refused("bundle/manifest.json", all);
  expect_each_refused("bundle/.wshare-lock", {append, remove, compact, import});
  expect_each_refused("bundle/a.onnx", {verify, restore, compact, import});
  expect_each_refused("bundle/shared.bin", {verify, restore, compact});
  expect_each_refused("bundle/restore.bin", {verify, restore, compact});
  EXPECT_EQ(run(verify), 0) << out_;
}

TEST_F(SpecialFiles, AmongTheInputs) {
  const std::string a = path("in/a.onnx"), b = path("in/b.onnx"), made = path("made");
  std::vector<std::vector<std::string>> models = {{"dedupe", a, b, "-o", made},
                                                  {"inspect", a},
                                                  {"diff", a, b},
                                                  {"extract-lora", b, "--base", a, "-o", made},
                                                  {"append", bundle(), "new=" + a}};
  expect_each_refused("in/a.onnx", models);
  const std::vector<std::string> import = {"import-adapter", bundle(), path("adapter"), "--base",
                                           "a"};
  expect_each_refused("adapter/adapter_config.json", {import});
  expect_each_refused("adapter/adapter_model.safetensors", {import});
  expect_each_refused("given.onnx_adapter",
                      {{"import-adapter", bundle(), path("given.onnx_adapter"), "--base", "a"}});
}

// A shell waits for what it offers.
TEST_F(SpecialFiles, OfferNothingToAShell) {
  for (const Kind kind : {Kind::kPipe, Kind::kDevice, Kind::kSocket, Kind::kFolder}) {
    put(temp_ / "bundle/manifest.json", kind);
    EXPECT_EQ(run({"complete-names", bundle()}), 0);
    EXPECT_EQ(out_ + err_, "");
  }
}

}  // namespace
}  // namespace wshare::test
