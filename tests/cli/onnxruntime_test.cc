// Which ONNX Runtime the program takes, and what it says where it finds none that serves.

#include <onnxruntime_c_api.h>
#include <sys/wait.h>

#include "runtime/find_runtime.h"
#include "runtime/host_runtime.h"
#include "runtime/task_models.h"
#include "support/cli_test.h"
#include "support/own_process.h"
#include "support/places.h"
#include "support/spawn.h"

namespace wshare::test {
namespace {

class OnnxRuntimeChoice : public CliTest {
 protected:
  OnnxRuntimeChoice() {
    add("a.onnx", {raw("w", noise(5000, 1))});
    make();
  }

  // Runs the program with `environment` beside ours; returns its exit code.
  int start(const std::vector<std::string>& arguments,
            const std::vector<std::string>& environment = {}) {
    const pid_t child = spawn_wshare(arguments, temp_.path(), environment);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
    out_ = read_file(temp_ / "out");
    err_ = read_file(temp_ / "err");
    return WEXITSTATUS(status);
  }

  // What `--version` says of ONNX Runtime where the variable has this value.
  std::string chosen_by(const fs::path& given) {
    EXPECT_EQ(start({"--version"}, {std::string(kRuntimeVariable) + "=" + given.string()}), 0);
    const size_t at = out_.find("ONNX Runtime ");
    return at == out_.npos ? out_ : out_.substr(at, out_.find('\n', at) - at);
  }

  // A name of this process's library, which wheels have without its soname.
  void link_library(const std::string& name) {
    const fs::path link = temp_ / name;
    fs::create_directories(link.parent_path());
    fs::create_symlink(host_runtime().library, link);
  }

  static std::string version() { return OrtGetApiBase()->GetVersionString(); }
};

TEST_F(OnnxRuntimeChoice, IsTheOneThatIsFound) {
  EXPECT_EQ(start({"--version"}), 0);
  EXPECT_NE(out_.find("\nONNX Runtime " + version() + " (/"), out_.npos) << out_;
}

TEST_F(OnnxRuntimeChoice, IsTheOneThatIsGiven) {
  const std::string wheel = "lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so.1.29";
  link_library("some/libonnxruntime.so.1");
  link_library("prefix/lib/libonnxruntime.so.1");
  link_library("env/" + wheel);
  link_library("package/capi/libonnxruntime.so.1.29");
  write_file(temp_ / "env/bin/python3", "");
  struct Case {
    const char* given;
    std::string library;
  };
  for (const Case& c :
       {Case{"some/libonnxruntime.so.1", "some/libonnxruntime.so.1"},
        Case{"some", "some/libonnxruntime.so.1"}, Case{"prefix", "prefix/lib/libonnxruntime.so.1"},
        Case{"package", "package/capi/libonnxruntime.so.1.29"}, Case{"env", "env/" + wheel},
        Case{"env/bin/python3", "env/" + wheel}}) {
    SCOPED_TRACE(c.given);
    EXPECT_EQ(chosen_by(temp_ / c.given),
              "ONNX Runtime " + version() + " (" + path(c.library) + ", given)");
  }
}

TEST_F(OnnxRuntimeChoice, IsThatOfTheActiveVirtualEnvironment) {
  EXPECT_IN_OWN_PROCESS({
    setenv("VIRTUAL_ENV", path("env").c_str(), 1);
    EXPECT_FALSE(runtime_of_environment());
    link_library("env/lib/python3.13/site-packages/onnxruntime/capi/libonnxruntime.so.1.99.0");
    EXPECT_EQ(runtime_of_environment(),
              temp_ / "env/lib/python3.13/site-packages/onnxruntime/capi/libonnxruntime.so.1.99.0");
    unsetenv("VIRTUAL_ENV");
    EXPECT_FALSE(runtime_of_environment());
  });
}

TEST_F(OnnxRuntimeChoice, IsRefusedWithAReason) {
  write_file(temp_ / "text/libonnxruntime.so.1", "no library");
  fs::create_directory(temp_ / "empty");
  struct Case {
    std::string given;
    int code;
    std::vector<std::string> texts;
  };
  for (const Case& c :
       {Case{path("none"), 3, {"none'", "No such file"}},
        Case{path("empty"), 5, {"empty'", "no ONNX Runtime is in it", "hint: give libonnx"}},
        Case{path("text"), 5, {"text/libonnxruntime.so.1'", "cannot be loaded", "file too short"}},
        Case{kFailingOpen, 5, {"cannot be loaded", "no function OrtGetApiBase()"}},
        Case{kOldOnnxRuntime,
             5,
             {"ONNX Runtime 1.19.2 ('", "wshare needs 1.20 or newer", "hint: update"}}}) {
    SCOPED_TRACE(c.given);
    for (const char* command : {"run", "pack"}) {
      EXPECT_EQ(start({command, path("bundle"), "--onnxruntime", c.given}), c.code) << err_;
      for (const std::string& text : c.texts)
        EXPECT_NE(err_.find(text), err_.npos) << "no " << text << " in " << err_;
      EXPECT_EQ(out_, "");
    }
    EXPECT_EQ(start({"--version"}, {std::string(kRuntimeVariable) + "=" + c.given}), 0);
    EXPECT_NE(out_.find("\nONNX Runtime none: "), out_.npos) << out_;
  }
}

// What it lacks is named; a call of it would end the process.
TEST_F(OnnxRuntimeChoice, MayBeOlderThanTheHeaders) {
  fs::remove_all(temp_ / "in");
  fs::remove_all(temp_ / "bundle");
  add("m.onnx", task_model(1));
  make();
  EXPECT_EQ(start({"run", path("bundle"), "--onnxruntime", kOlderOnnxRuntime, "--repeat", "1",
                   "--baseline", "--against", "m=" + path("in/m.onnx"), "--max-abs-diff", "0",
                   "--shared-threads", "2"}),
            0)
      << err_;
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"run", path("bundle"), "--ep", "cuda"},
        {"run", path("bundle"), "--ep", "Test", "--ep-library", kOlderOnnxRuntime},
        {"pack", path("bundle")}}) {
    std::vector<std::string> all = arguments;
    all.insert(all.end(), {"--onnxruntime", kOlderOnnxRuntime});
    EXPECT_EQ(start(all), 5) << err_;
    EXPECT_NE(err_.find("too old"), err_.npos) << err_;
    EXPECT_NE(err_.find("in use is 1.20.1"), err_.npos) << err_;
    EXPECT_EQ(out_, "");
  }
}

TEST_F(OnnxRuntimeChoice, DoesNotMatterToCommandsThatRunNothing) {
  const std::vector<std::string> none = {std::string(kRuntimeVariable) + "=" + path("none")};
  EXPECT_EQ(start({"dedupe", path("in"), "-o", path("other")}, none), 0) << err_;
  EXPECT_EQ(start({"verify", path("other")}, none), 0) << err_;
  EXPECT_EQ(start({"inspect", path("other")}, none), 0) << err_;
}

}  // namespace
}  // namespace wshare::test
