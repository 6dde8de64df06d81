#include "wshare/restore.h"

#include "support/bundle_test.h"

namespace wshare {
namespace {

using test::code_of;
using test::external;
using test::files_in;
using test::noise;
using test::raw;
using test::wire_field;
using test::write_file;

class Restore : public test::BundleTest {
 protected:
  std::vector<RestoredModel> back(const std::vector<std::string>& names = {}, bool force = false) {
    RestoreOptions options;
    options.replace = force;
    return restore(temp_ / "bundle", names, temp_ / "back", options);
  }

  void expect_all_back() {
    make(64);
    for (const RestoredModel& model : back()) EXPECT_TRUE(model.identical) << model.name;
    EXPECT_EQ(files_in(temp_ / "back"), files_in(temp_ / "in"));
  }
};

TEST_F(Restore, GivesEmbeddedTensorsBack) {
  onnx::ModelProto a =
      test::model_of({raw("w", noise(128 << 10, 1)), raw("x", noise(70, 2)), raw("tiny", "abc")});
  test::add_constant(*a.mutable_graph(), raw("c", noise(5000, 3)));
  add("a.onnx", a);
  add("b.onnx",
      {raw("w", noise(128 << 10, 1)), raw("empty", ""), raw("again", noise(128 << 10, 1))});
  expect_all_back();
}

TEST_F(Restore, GivesTypedFieldsBack) {
  onnx::TensorProto f = raw("f", "", onnx::TensorProto::FLOAT, {100});
  onnx::TensorProto d = raw("d", "", onnx::TensorProto::DOUBLE, {100});
  onnx::TensorProto i32 = raw("i32", "", onnx::TensorProto::INT32, {100});
  onnx::TensorProto i64 = raw("i64", "", onnx::TensorProto::INT64, {100});
  onnx::TensorProto u64 = raw("u64", "", onnx::TensorProto::UINT64, {100});
  onnx::TensorProto f16 = raw("f16", "", onnx::TensorProto::FLOAT16, {100});
  for (onnx::TensorProto* each : {&f, &d, &i32, &i64, &u64, &f16}) each->clear_raw_data();
  for (int i = 0; i < 100; ++i) {
    f.add_float_data(static_cast<float>(i) / 3);
    d.add_double_data(i / 7.0);
    i32.add_int32_data(i * 1000 - 50000);
    i64.add_int64_data(int64_t{i} * 1000000007 - 50);
    u64.add_uint64_data(~uint64_t{0} - static_cast<uint64_t>(i));
    f16.add_int32_data(i * 600);
  }
  add("a.onnx", {f, d, i32, i64, u64, f16});
  expect_all_back();
}

TEST_F(Restore, GivesProtobufBackThatNoLibraryWouldWrite) {
  const std::string w = noise(300, 1);
  const std::string type("\x10\x02", 2);               // data_type: uint8
  const std::string dims("\x08\xac\x02", 3);           // dims: 300, not packed
  const std::string packed("\x0a\x02\xac\x02", 4);     // dims: 300, packed
  const std::string long_type("\x10\x82\x80\x00", 4);  // data_type in more bytes than it needs
  const std::string name = wire_field(8, "w");
  const std::string unknown = wire_field(777, "from the future");
  const std::string node =
      wire_field(1, wire_field(1, "w") + wire_field(2, "y") + wire_field(4, "Identity"));
  const std::string output = wire_field(12, wire_field(1, "y"));
  const std::string opset = wire_field(8, std::string("\x10\x11", 2));
  const std::string ir("\x08\x08", 2);
  struct Case {
    const char* name;
    std::string tensor;
  };
  for (const Case& c :
       {Case{"bytes first", wire_field(9, w) + name + type + dims},
        Case{"packed dims", packed + type + name + wire_field(9, w)},
        Case{"long varint", dims + long_type + name + wire_field(9, w)},
        Case{"unknown fields", unknown + dims + type + unknown + wire_field(9, w) + name + unknown},
        Case{"bytes twice, the last counts",
             dims + type + name + wire_field(9, noise(300, 2)) + wire_field(9, w)},
        Case{"bytes between", dims + wire_field(9, w) + type + name}}) {
    SCOPED_TRACE(c.name);
    const std::string graph =
        output + unknown + wire_field(5, c.tensor) + node + wire_field(2, "g");
    add("a.onnx", wire_field(7, graph) + unknown + opset + ir);
    expect_all_back();
    EXPECT_EQ(test::read_file(temp_ / "bundle/a.bin"), w);
    test::fs::remove_all(temp_ / "bundle");
    test::fs::remove_all(temp_ / "back");
  }
}

TEST_F(Restore, GivesExternalFilesBack) {
  struct Case {
    const char* name;
    std::string data;
    const char* offset;
    const char* location;
  };
  const std::string w = noise(4000, 2);
  for (const Case& c : {Case{"only the tensor", w, "0", "m.data"},
                        Case{"zero gap", std::string(4096, '\0') + w, "4096", "m.data"},
                        Case{"gap with bytes", noise(100, 1) + w + noise(77, 3), "100", "m.data"},
                        Case{"unaligned in a subfolder", noise(1, 1) + w + std::string(99, '\0'),
                             "1", "sub/m.data"}}) {
    SCOPED_TRACE(c.name);
    write_file(temp_ / "in" / c.location, c.data);
    add("m.onnx",
        {external("w", 4000, {{"location", c.location}, {"offset", c.offset}, {"length", "4000"}}),
         raw("x", noise(99, 5))});
    expect_all_back();
    for (const char* folder : {"bundle", "back", "in"}) test::fs::remove_all(temp_ / folder);
  }
}

TEST_F(Restore, GivesTensorsBackThatOverlapInAnExternalFile) {
  write_file(temp_ / "in/m.data", noise(1000, 1));
  add("m.onnx", {external("w", 1000, {{"location", "m.data"}}),
                 external("x", 300, {{"location", "m.data"}, {"offset", "100"}}),
                 external("y", 500, {{"location", "m.data"}, {"offset", "500"}})});
  expect_all_back();
}

TEST_F(Restore, GivesAnExternalFileBackWhoseTensorsStayInline) {
  write_file(temp_ / "in/m.data", noise(130, 1));
  add("m.onnx", {external("small", 30, {{"location", "m.data"}}),
                 external("w", 100, {{"location", "m.data"}, {"offset", "30"}})});
  expect_all_back();
}

TEST_F(Restore, SaysWhenASharedExternalFileMissesTheOtherModelsTensors) {
  write_file(temp_ / "in/all.data", noise(2000, 1));
  add("a.onnx", {external("w", 1000, {{"location", "all.data"}})});
  add("b.onnx", {external("w", 1000, {{"location", "all.data"}, {"offset", "1000"}})});
  make(64);
  const std::vector<RestoredModel> one = back({"a"});
  ASSERT_EQ(one.size(), 1u);
  EXPECT_FALSE(one[0].identical);
  EXPECT_EQ(test::read_file(temp_ / "back/all.data"),
            noise(2000, 1).substr(0, 1000) + std::string(1000, '\0'));
  EXPECT_EQ(test::read_file(temp_ / "back/a.onnx"), test::read_file(temp_ / "in/a.onnx"));
  for (const RestoredModel& model : back({}, true)) EXPECT_TRUE(model.identical) << model.name;
  EXPECT_EQ(files_in(temp_ / "back"), files_in(temp_ / "in"));
}

TEST_F(Restore, GivesFoldersBack) {
  add("x/model.onnx", {raw("w", noise(100, 1))});
  add("y/model.onnx", {raw("w", noise(100, 2))});
  DedupeOptions options;
  options.min_bytes = 64;
  dedupe(inputs({"x", "y"}), temp_ / "bundle", options);
  back();
  EXPECT_EQ(files_in(temp_ / "back"), files_in(temp_ / "in"));
}

TEST_F(Restore, RefusesADamagedBundleAndLeavesNoModel) {
  add("a.onnx", {raw("w", noise(5000, 1))});
  make();
  for (const auto& [name, bytes] : files_in(temp_ / "bundle")) {
    SCOPED_TRACE(name);
    std::string damaged = bytes;
    damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 4);
    write_file(temp_ / "bundle" / name, damaged);
    EXPECT_EQ(code_of([&] { back(); }), 4);
    write_file(temp_ / "bundle" / name, bytes.substr(0, bytes.size() - 1));
    EXPECT_EQ(code_of([&] { back(); }), 4);
    write_file(temp_ / "bundle" / name, bytes);
    EXPECT_TRUE(!test::fs::exists(temp_ / "back") || files_in(temp_ / "back").empty());
  }
  EXPECT_EQ(back().size(), 1u);
}

TEST_F(Restore, RefusesToOverwriteWithoutForce) {
  add("a.onnx", {raw("w", noise(5000, 1))});
  make();
  write_file(temp_ / "back/a.onnx", "mine");
  std::string message, hint;
  EXPECT_EQ(code_of([&] { back(); }, &message, &hint), 3);
  EXPECT_NE(message.find("a.onnx"), std::string::npos) << message;
  EXPECT_NE(hint.find("--force"), std::string::npos) << hint;
  EXPECT_EQ(files_in(temp_ / "back"), (std::map<std::string, std::string>{{"a.onnx", "mine"}}));
  back({}, true);
  EXPECT_EQ(files_in(temp_ / "back"), files_in(temp_ / "in"));
}

TEST_F(Restore, RefusesAnUnknownNameAndTheBundleItself) {
  add("a.onnx", {raw("w", noise(5000, 1))});
  make();
  std::string message;
  EXPECT_EQ(code_of([&] { back({"z"}); }, &message), 4);
  EXPECT_NE(message.find("'z'"), std::string::npos) << message;
  EXPECT_EQ(code_of([&] { restore(temp_ / "bundle", {}, temp_ / "bundle", {}); }), 3);
}

TEST_F(Restore, WritesNothingInADryRun) {
  add("a.onnx", {raw("w", noise(5000, 1))});
  make();
  RestoreOptions options;
  options.dry_run = true;
  EXPECT_EQ(restore(temp_ / "bundle", {}, temp_ / "back", options).size(), 1u);
  EXPECT_FALSE(test::fs::exists(temp_ / "back"));
}

}  // namespace
}  // namespace wshare
