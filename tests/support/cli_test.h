#pragma once

#include <algorithm>
#include <sstream>

#include "cli.h"
#include "support/bundle_test.h"

namespace wshare::test {

// A BundleTest that runs the command line in this process.
class CliTest : public BundleTest {
 protected:
  int run(const std::vector<std::string>& arguments) {
    std::ostringstream out, err;
    const int code = run_cli(arguments, out, err);
    out_ = out.str();
    err_ = err.str();
    return code;
  }

  std::string path(const std::string& name) const { return (temp_ / name).string(); }

  // Expects `arguments` to end with `code`, one error that names each of `texts`, nothing on stdout
  // and every file and folder as it was.
  void expect_refused(const std::vector<std::string>& arguments, int code,
                      const std::vector<std::string>& texts) {
    const std::map<std::string, std::string> before = everything();
    EXPECT_EQ(run(arguments), code) << err_ << out_;
    EXPECT_EQ(out_, "");
    EXPECT_TRUE(err_.starts_with("wshare: ") && err_.ends_with("\n")) << err_;
    const auto lines = std::count(err_.begin(), err_.end(), '\n');
    EXPECT_TRUE(lines == 1 || (lines == 2 && err_.find("\nhint: ") != std::string::npos)) << err_;
    for (const std::string& text : texts) {
      EXPECT_NE(err_.find(text), std::string::npos) << "no " << text << " in " << err_;
    }
    EXPECT_TRUE(everything() == before) << "files or folders changed: " << err_;
  }

  // Files with their bytes, folders and links, below the test's folder.
  std::map<std::string, std::string> everything() const {
    std::map<std::string, std::string> result;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(temp_.path())) {
      const std::string name = entry.path().string();
      result[name] = entry.is_symlink()        ? "link"
                     : entry.is_regular_file() ? read_file(name)
                                               : "no file";
    }
    return result;
  }

  std::string out_, err_;
};

}  // namespace wshare::test
