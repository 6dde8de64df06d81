// The text of `wshare inspect` and its exit codes.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "inspect/output_fixture.h"

namespace wshare {
namespace {

using test::Arguments;
using test::InspectOutput;
using test::noise;
using test::Proto;
using test::raw;

TEST_F(InspectOutput, ShowsSeveralModels) {
  const std::string trunk = noise(65536, 1), matrix = noise(4 * 20 * 30, 2);
  std::string turned;
  for (size_t c = 0; c < 30; ++c) {
    for (size_t r = 0; r < 20; ++r) turned += matrix.substr((r * 30 + c) * 4, 4);
  }
  add("encoder.onnx", {raw("trunk", trunk), raw("embed", matrix, Proto::FLOAT, {20, 30})});
  add("decoder.onnx", {raw("a_long_name_of_a_tensor_as_exporters_write_it.weight", trunk),
                       raw("head", turned, Proto::FLOAT, {30, 20}), raw("head2", noise(1024, 3)),
                       raw("head3", noise(1024, 3))});
  const std::string begin = files_line({"in"}, "files -> a bundle");
  ASSERT_EQ(run({"in"}), 0) << err_;
  EXPECT_EQ(
      out_,
      begin +
          R"(tensors: 134.7 KiB, 69.7 KiB distinct; 64.0 KiB are in several models, and stored once

   bytes      own    shared  repeated     saved  tensors  model
68.8 KiB  3.3 KiB  64.0 KiB   1.0 KiB  33.0 KiB        4  decoder
66.5 KiB  2.3 KiB  64.0 KiB       0 B  32.0 KiB        2  encoder

   saved     bytes  uses  tensor                                                in
64.0 KiB  64.0 KiB     2  a_long_name_of_a_tensor_as_exporters_write_it.weight  decoder, encoder
 1.0 KiB   1.0 KiB     2  head2                                                 decoder (2)

how much of each model's tensors model 1, 2, ... has too
   1     2  model
100%   95%  1 decoder
 96%  100%  2 encoder

  bytes  tensor          is the transpose of
2.3 KiB  encoder: embed  decoder: head
2.3 KiB less if one of each two were stored

   costs  places  finding, and its largest place
64.0 KiB       1  WS020 stored in several models
                    decoder: a_long_name_of_a_tensor_as_exporters_write_it.weight (also in encoder)
 2.3 KiB       1  WS011 transpose of another weight
                    encoder: embed (of head)
 1.0 KiB       1  WS010 stored more than once in one model
                    decoder: head2 (2 times)
)");
}

TEST_F(InspectOutput, ShowsOneModel) {
  test::write_file(temp_ / "in/w.bin", noise(4096, 1));
  onnx::ModelProto model = test::model_of({raw("bias", "abcd"), raw("v", noise(1024, 2))});
  test::add_used(*model.mutable_graph(), test::external("w", 4096, {{"location", "w.bin"}}));
  test::add_constant(*model.mutable_graph(), raw("c", noise(1024, 2)));
  *model.mutable_graph()->add_initializer() = raw("unread", "xyz");
  add("solo.onnx", model);
  const std::string begin = files_line({"in"}, "files -> a bundle");
  ASSERT_EQ(run({"in/solo.onnx"}), 0) << err_;
  EXPECT_EQ(out_, begin + R"(tensors: 6.0 KiB, 5.0 KiB distinct

  bytes  of tensors  repeated    saved  tensors  model
6.3 KiB     6.0 KiB   1.0 KiB  1.0 KiB        5  solo

  bytes  tensors  dtype
6.0 KiB        5  uint8

  bytes  tensors  home
4.0 KiB        1  external
1.0 KiB        3  initializer
1.0 KiB        1  constant

  bytes  tensors  first read by
6.0 KiB        4  Identity
    3 B        1  no node

bytes  tensors  stays in the model, why
  7 B        2  below-min-bytes

  bytes  dtype  shape  read by   largest tensors
4.0 KiB  uint8  4096   Identity  w
1.0 KiB  uint8  1024   Identity  c
1.0 KiB  uint8  1024   Identity  v
    4 B  uint8  4      Identity  bias
    3 B  uint8  3      -         unread

  bytes  external file
4.0 KiB  w.bin

  saved    bytes  uses  tensor  equal to
1.0 KiB  1.0 KiB     2  v       c

no matrix of at least 1024 bytes is the transpose of another

  costs  places  finding, and its largest place
1.0 KiB       1  WS010 stored more than once in one model
                   v (2 times)
    3 B       1  WS031 read by no node
                   unread
)");
}

TEST_F(InspectOutput, ShowsABundle) {
  add("a.onnx", {raw("w", noise(5000, 1)), raw("v", noise(2000, 2))});
  add("b.onnx", {raw("w", noise(5000, 1))});
  make();
  const std::string begin = files_line({"bundle"}, "alone -> here");
  ASSERT_EQ(run({"bundle"}), 0) << err_;
  const size_t unit = out_.find(" B  restore.bin");
  ASSERT_NE(unit, std::string::npos) << out_;
  out_.replace(unit - 5, 5, "   ##");  // compressed: another zstd may need other bytes
  EXPECT_EQ(
      out_,
      begin +
          R"(tensors in blobs: 11.7 KiB, 6.8 KiB distinct; 4.9 KiB are in several models, and stored once

  bytes      own   shared    saved    freed  tensors  model
7.0 KiB  2.0 KiB  4.9 KiB  2.4 KiB  2.1 KiB        2  a
5.0 KiB      0 B  4.9 KiB  2.4 KiB    107 B        1  b

  bytes  blob         used by
4.9 KiB  shared.bin   a, b
2.0 KiB  a.bin        a
   ## B  restore.bin  restore

  saved    bytes  uses  tensor  in
4.9 KiB  4.9 KiB     2  w       a, b

how much of each model's tensors model 1, 2, ... has too
   1     2  model
100%   71%  1 a
100%  100%  2 b

no findings
)");
}

TEST_F(InspectOutput, SaysInWordsThatNothingIsShared) {
  add("a.onnx", {raw("w", noise(5000, 1))});
  add("b.onnx", {raw("w", noise(5000, 2))});
  const std::string begin = files_line({"in"}, "files -> a bundle");
  ASSERT_EQ(run({"in"}, {"--min-bytes", "2000"}), 0) << err_;
  EXPECT_EQ(out_, begin + R"(tensors: 9.8 KiB, 9.8 KiB distinct

  bytes      own  shared  saved  tensors  model
4.9 KiB  4.9 KiB     0 B    0 B        1  a
4.9 KiB  4.9 KiB     0 B    0 B        1  b

no tensor of at least 2000 bytes occurs twice

no two models share a tensor of at least 2000 bytes

no matrix of at least 2000 bytes is the transpose of another

no findings
)");
}

TEST_F(InspectOutput, RoundsNoShareToAllOrNothing) {
  add("a.onnx", {raw("w", noise(200000, 1)), raw("v", noise(1100, 2))});
  add("b.onnx", {raw("w", noise(200000, 1))});
  add("c.onnx", {raw("v", noise(1100, 2))});
  ASSERT_EQ(run({"in"}), 0) << err_;
  EXPECT_NE(out_.find("100%   99%   <1%  1 a\n"
                      "100%  100%    0%  2 b\n"
                      "100%    0%  100%  3 c\n"),
            std::string::npos)
      << out_;
}

TEST_F(InspectOutput, FitsATerminalAndCutsNothingInAPipe) {
  const std::string long_name(150, 'n');
  for (int m = 10; m < 30; ++m) {
    const std::string name = std::string(90, 'm') + std::to_string(m);
    add(name + ".onnx",
        {raw(long_name + "\x1b[31m", noise(6000, 1), Proto::UINT8, {1, 1, 1, 1, 1, 1, 6000}),
         raw("größe", noise(5000, static_cast<uint32_t>(m)), Proto::UINT8, {50, 100})});
  }
  make();
  for (const Arguments& paths :
       std::vector<Arguments>{{"in"}, {"in/" + std::string(90, 'm') + "12.onnx"}, {"bundle"}}) {
    SCOPED_TRACE(paths[0]);
    for (const unsigned columns : {80u, 120u}) {
      std::ostringstream out, err;
      Console console;
      console.out_columns = columns;
      ASSERT_EQ(run_cli({"inspect", path(paths[0])}, out, err, {}, console), 0) << err.str();
      std::istringstream lines(out.str());
      size_t longest = 0;
      for (std::string line; std::getline(lines, line);) {
        EXPECT_LE(line.size(), columns) << line;
        longest = std::max(longest, line.size());
      }
      EXPECT_GT(longest, columns - 10);  // names were cut to the line, not dropped
      EXPECT_NE(out.str().find("..."), std::string::npos);
      EXPECT_EQ(out.str().find('\x1b'), std::string::npos);
      const bool left_out =
          out.str().find("\n11 more models, none of which shares more\n") != std::string::npos;
      EXPECT_EQ(left_out, columns == 80 && !paths[0].ends_with(".onnx")) << out.str();
    }
    ASSERT_EQ(run(paths), 0) << err_;
    EXPECT_NE(out_.find(std::string(90, 'm') + "12"), std::string::npos) << out_;
    EXPECT_EQ(out_.find("mm..."), std::string::npos) << out_;
  }
}

TEST_F(InspectOutput, TakesTopAndSort) {
  const std::string s = noise(1100, 1), l = noise(3000, 2), m = noise(2000, 3);
  add("b.onnx", {raw("z", l), raw("x", m), raw("y", s)});
  add("a.onnx", {raw("z", l), raw("x", m)});
  ASSERT_EQ(run({"in"}), 0) << err_;
  EXPECT_LT(out_.find("  b\n"), out_.find("  a\n"));  // the larger first
  ASSERT_EQ(run({"in"}, {"--sort", "name", "--top", "1"}), 0) << err_;
  EXPECT_LT(out_.find("  a\n"), out_.find("  b\n"));
  EXPECT_NE(out_.find("... and 1 more (--top)"), std::string::npos) << out_;
  ASSERT_EQ(run({"in/b.onnx"}, {"--sort", "name", "--top", "2"}), 0) << err_;
  EXPECT_LT(out_.find("  x\n"), out_.find("  z\n")) << out_;
  EXPECT_EQ(out_.find("  y\n"), std::string::npos) << out_;  // not among the largest two
}

TEST_F(InspectOutput, AnswersMistakesWithTheExitCodesOfTheContract) {
  add("a.onnx", {raw("w", noise(5000, 1))});
  test::write_file(temp_ / "no.onnx", "no model");
  test::write_file(temp_ / "web/manifest.json", "{\"name\": \"my app\"}");
  test::write_file(temp_ / "newer/manifest.json", R"({"format": "wshare-bundle", "version": 9})");
  test::fs::create_directories(temp_ / "empty");
  const auto before = test::files_in(temp_.path());
  struct Case {
    const char* name;
    Arguments paths, options;
    int code;
    const char* text;
  };
  for (const Case& c :
       {Case{"no path", {}, {}, 2, "PATH"}, Case{"top of none", {"in"}, {"--top", "0"}, 2, "--top"},
        Case{"unknown order", {"in"}, {"--sort", "colour"}, 2, "--sort"},
        Case{"negative size", {"in"}, {"--min-bytes", "-1"}, 2, "--min-bytes"},
        Case{"unknown option", {"in"}, {"--output", "x"}, 2, "--output"},
        Case{"missing file", {"none.onnx"}, {}, 3, "none.onnx"},
        Case{"unknown finding", {"in"}, {"--fail-on", "WS001,WS999"}, 2, "WS999"},
        Case{"no model", {"no.onnx"}, {}, 4, "no.onnx"},
        Case{"folder without models", {"empty"}, {}, 4, "empty"},
        Case{"a manifest of something else", {"web"}, {}, 4, "web/manifest.json"},
        Case{"the same among models", {"in", "web"}, {}, 4, "web/manifest.json"},
        Case{"one model twice", {"in", "in/a.onnx"}, {}, 4, "twice"},
        Case{"a newer bundle", {"newer"}, {}, 5, "newer"}}) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(run(c.paths, c.options), c.code) << err_;
    EXPECT_TRUE(err_.starts_with("wshare: ")) << err_;
    EXPECT_NE(err_.find(c.text), std::string::npos) << err_;
    EXPECT_LE(std::count(err_.begin(), err_.end(), '\n'), 2) << err_;
    EXPECT_EQ(out_, "");
  }
  EXPECT_EQ(test::files_in(temp_.path()), before);
}

TEST_F(InspectOutput, ShowsTheStructureOnly) {
  add("solo.onnx", {raw("v", noise(1024, 2)), test::external("w", 4096, {{"location", "w.bin"}})});
  const std::string text =
      R"(tensors: 5.0 KiB; weights were not read, so nothing is known of what is equal

  bytes  of tensors  tensors  model
1.1 KiB     5.0 KiB        2  solo

  bytes  tensors  dtype
5.0 KiB        2  uint8

  bytes  tensors  home
4.0 KiB        1  external
1.0 KiB        1  initializer

  bytes  tensors  first read by
5.0 KiB        2  Identity

  bytes  dtype  shape  read by   largest tensors
4.0 KiB  uint8  4096   Identity  w
1.0 KiB  uint8  1024   Identity  v

  bytes  external file
missing  w.bin: 4.0 KiB are needed

  costs  places  finding, and its largest place
4.0 KiB       1  WS001 external data missing or cut short
                   w.bin (no such file)
)";
  ASSERT_EQ(run({"in"}, {"--no-hash"}), 0) << err_;
  EXPECT_EQ(out_, text);
  ASSERT_EQ(run({"in"}), 0) << err_;  // the weights are not all there
  EXPECT_EQ(out_, text);
}

TEST_F(InspectOutput, FailsOnForbiddenFindings) {
  add("a.onnx", {raw("w", noise(5000, 1)), raw("v", noise(5000, 1))});
  for (const auto& [ids, code] : std::map<std::string, int>{
           {"WS010", 1}, {"WS012,WS010", 1}, {"WS012,WS020", 0}, {"WS001", 0}}) {
    EXPECT_EQ(run({"in"}, {"--fail-on", ids}), code) << ids;
    EXPECT_EQ(err_, code == 1 ? "wshare: WS010: 1 place, 4.9 KiB (--fail-on)\n" : "") << ids;
    EXPECT_NE(out_.find("WS010"), std::string::npos);
  }
  EXPECT_EQ(run({"in"}, {"--fail-on", "WS010", "--json"}), 1);
  EXPECT_EQ(nlohmann::json::parse(out_).at("findings")[0].at("id"), "WS010");
}

TEST_F(InspectOutput, HelpNamesEachOption) {
  ASSERT_EQ(run({}, {"--help"}), 0);
  EXPECT_EQ(err_, "");
  for (const char* option :
       {"PATH", "--min-bytes", "--top", "--sort", "--no-hash", "--fail-on", "--html", "--quiet"}) {
    EXPECT_NE(out_.find(option), std::string::npos) << option;
  }
}

TEST_F(InspectOutput, WritesNothing) {
  add("a.onnx", {raw("w", noise(5000, 1)), raw("v", noise(5000, 1))});
  make();
  const auto before = test::files_in(temp_.path());
  for (const Arguments& paths :
       std::vector<Arguments>{{"in"}, {"bundle"}, {"bundle", "in/a.onnx"}}) {
    EXPECT_EQ(run(paths), 0) << err_;
    EXPECT_EQ(run(paths, {"--json", "-q"}), 0) << err_;
    EXPECT_EQ(test::files_in(temp_.path()), before);
  }
}

}  // namespace
}  // namespace wshare
