// What commands answer, held by golden files: tests/golden/*.txt. Each shows commands as typed in a
// shell, on the models of testdata/, and what they say:
//
//   # what is to be seen
//   $ wshare diff testdata/homes/loop.onnx testdata/homes/scan.onnx
//   lines of stdout; one JSON object is spread over several lines, its "seconds" are 0
//   stderr: lines of stderr
//   exit code 1
//
// One file is one session of a shell in a folder of its own. To make all files anew, keeping what
// is alike (first_difference()), then read the diff:
//
//   WSHARE_GOLDEN=write ctest --test-dir build -R Golden

#include "golden/golden.h"

#include <sys/wait.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "support/files.h"
#include "support/places.h"

namespace wshare::test {
namespace {

const std::string kFolder = WSHARE_GOLDEN_FILES;

std::vector<std::string> golden_files() {
  std::vector<std::string> names;
  for (const std::string& name : names_in(kFolder)) {
    if (name.ends_with(".txt")) names.push_back(name.substr(0, name.size() - 4));
  }
  return names;
}

class Golden : public testing::TestWithParam<std::string> {
 protected:
  Golden() {
    fs::create_directories(temp_ / "here");
    fs::create_directories(temp_ / "bin");
    fs::create_symlink(kTestdata, temp_ / "here/testdata");
    fs::create_symlink(kProgram, temp_ / "bin/wshare");
    write_file(temp_ / "run.sh",
               "cd \"$1/here\" && PATH=\"$1/bin:$PATH\" TMPDIR=\"$1\" && export PATH TMPDIR && "
               "eval \"$2\" >\"$1/out\" 2>\"$1/err\"\n");
  }

  // What `command` says and how it ends.
  std::string answer(const std::string& command) {
    std::string quoted;
    for (const char c : command) c == '\'' ? quoted += "'\\''" : quoted += c;
    const std::string root = temp_.path().string();
    const int status =
        std::system(("sh " + root + "/run.sh " + root + " '" + quoted + "'").c_str());
    std::string text = readable_output(read_file(temp_ / "out"));
    std::istringstream errors(read_file(temp_ / "err"));
    for (std::string line; std::getline(errors, line);) text += "stderr: " + line + "\n";
    if (!WIFEXITED(status)) return text + "ended by a signal\n";
    const int code = WEXITSTATUS(status);
    return text + (code == 0 ? "" : "exit code " + std::to_string(code) + "\n");
  }

  TempFolder temp_;

 private:
  static std::string readable_output(const std::string& text) {
    if (!text.starts_with("{")) return text;
    nlohmann::ordered_json json = nlohmann::ordered_json::parse(text);
    if (json.contains("seconds")) json["seconds"] = 0;
    return readable(json);
  }
};

TEST_P(Golden, SaysWhatItsFileHolds) {
  const std::string file = kFolder + "/" + GetParam() + ".txt";
  const std::string expected = read_file(file);
  std::vector<GoldenStep> steps = read_golden(expected);
  ASSERT_FALSE(steps.empty());
  for (GoldenStep& step : steps) {
    const std::string held = step.answer, said = answer(step.command);
    EXPECT_EQ(said.find(temp_.path().string()), std::string::npos) << "a path of this machine";
    const std::string difference = first_difference(held, said);
    if (difference.empty()) continue;
    step.answer = said;
    if (std::getenv("WSHARE_GOLDEN") != nullptr) continue;
    ADD_FAILURE() << file << "\n$ " << step.command << "\nsays\n" << difference;
  }
  if (std::getenv("WSHARE_GOLDEN") != nullptr) {
    write_file(file, golden_text(steps));
  } else {
    EXPECT_EQ(golden_text(read_golden(expected)), expected) << file << ": not as it is written";
  }
}

INSTANTIATE_TEST_SUITE_P(Files, Golden, testing::ValuesIn(golden_files()),
                         [](const auto& file) { return file.param; });

TEST(GoldenFiles, TellApartWhatMachinesDoNot) {
  struct Case {
    const char* name;
    const char *held, *said;
    bool alike;
  };
  for (const Case& c :
       {Case{"the same", "a 1 b\n", "a 1 b\n", true}, Case{"another word", "a 1\n", "b 1\n", false},
        Case{"another count", "12 tensors\n", "13 tensors\n", false},
        Case{"a size, a little off", "  487.5 KiB -> x\n", "487.9 KiB -> x\n", true},
        Case{"a size, far off", "487.5 KiB\n", "387.5 KiB\n", false},
        Case{"other units", "1.5 KiB\n", "1.5 MiB\n", false},
        Case{"spaces only", "a  1.5 b\n", "a 1.5 b\n", false},
        Case{"bytes of files", "\"bytes_out\": 1000,\n", "\"bytes_out\": 1001,\n", true},
        Case{"bytes of tensors", "\"bytes\": 1000,\n", "\"bytes\": 1001,\n", false},
        Case{"a number more", "1.5\n", "1.5 1.5\n", false},
        Case{"a line less", "a\nb\n", "a\n", false}, Case{"a line more", "a\n", "a\nb\n", false}}) {
    EXPECT_EQ(first_difference(c.held, c.said).empty(), c.alike) << c.name;
  }
}

TEST(GoldenFiles, ShowJsonOverLines) {
  const auto json = nlohmann::ordered_json::parse(
      R"({"b": [1, 2], "a": {"c": [], "d": null}, "long": [")" + std::string(60, 'x') + "\", \"" +
      std::string(60, 'y') + "\"]}");
  EXPECT_EQ(readable(json),
            "{\n  \"b\": [1, 2],\n  \"a\": {\"c\": [], \"d\": null},\n  \"long\": [\n    \"" +
                std::string(60, 'x') + "\",\n    \"" + std::string(60, 'y') + "\"\n  ]\n}\n");
}

}  // namespace
}  // namespace wshare::test
