#include "model/scan.h"

#include <functional>

#include "support/bundle_test.h"

namespace wshare {
namespace {

using test::code_of;
using test::external;
using test::noise;
using test::raw;
using test::write_file;

class ScanModel : public test::BundleTest {
 protected:
  int scan(std::string* message = nullptr) {
    return code_of([&] { (void)scan_model(temp_ / "in/a.onnx"); }, message);
  }
};

TEST_F(ScanModel, RefusesWhatIsNoModel) {
  struct Case {
    const char* name;
    std::string bytes;
  };
  for (const Case& c :
       {Case{"empty file", ""}, Case{"text", "this is no model"},
        Case{"zeros", std::string(100, '\0')}, Case{"a picture", "\x89PNG\r\n\x1a\n"},
        Case{"noise", noise(5000, 1)}, Case{"no graph", std::string("\x08\x08", 2)},
        Case{"a length past the end", std::string("\x3a\xff\xff\xff\xff\x0f", 6)},
        Case{"a length of 2^64 - 1",
             std::string("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11)},
        Case{"a varint that never ends", std::string("\x3a") + std::string(50, '\xff')}}) {
    SCOPED_TRACE(c.name);
    add("a.onnx", c.bytes);
    std::string message;
    EXPECT_EQ(scan(&message), 4);
    EXPECT_NE(message.find("a.onnx"), std::string::npos) << message;
  }
}

TEST_F(ScanModel, SurvivesEveryTruncation) {
  onnx::ModelProto model = test::model_of(
      {raw("w", noise(100, 1)), raw("f", noise(40, 2), onnx::TensorProto::FLOAT, {10})});
  test::add_constant(*model.mutable_graph(), raw("c", noise(30, 3)));
  model.set_producer_name("test");
  const std::string whole = model.SerializeAsString();
  size_t accepted = 0;
  for (size_t size = 0; size < whole.size(); ++size) {
    add("a.onnx", whole.substr(0, size));
    const int code = scan();
    ASSERT_TRUE(code == 0 || code == 4) << size << ": " << code;
    accepted += code == 0 ? 1 : 0;
  }
  EXPECT_LE(accepted, 1u);  // only the cut between the graph and the opset makes a valid message
}

TEST_F(ScanModel, SurvivesEveryByteChange) {
  onnx::ModelProto model = test::model_of(
      {raw("w", noise(20, 1)), raw("f", noise(8, 2), onnx::TensorProto::FLOAT, {2})});
  test::add_constant(*model.mutable_graph(), raw("c", noise(10, 3)));
  const std::string whole = model.SerializeAsString();
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int value : {0x00, 0x7f, 0x80, 0xff, whole[at] ^ 1, whole[at] ^ 8}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(value);
      add("a.onnx", changed);
      const int code = scan();
      ASSERT_TRUE(code == 0 || code == 3 || code == 4) << at << ": " << code;
    }
  }
}

TEST_F(ScanModel, RefusesTwoInitializersOfOneName) {
  onnx::ModelProto model = test::model_of({raw("w", noise(100, 1)), raw("w", noise(100, 2))});
  add("a.onnx", model);
  std::string message;
  EXPECT_EQ(scan(&message), 4);
  EXPECT_NE(message.find("'w'"), std::string::npos) << message;
}

TEST_F(ScanModel, RefusesAUsedTensorWhoseSizeContradictsItsShape) {
  struct Case {
    const char* name;
    std::vector<int64_t> shape;
    const char* text;
  };
  const int64_t huge = int64_t{1} << 62;
  for (const Case& c :
       {Case{"too few bytes", {101}, "101"}, Case{"too many bytes", {99}, "99"},
        Case{"negative", {-1}, "shape"}, Case{"product wraps around", {huge, huge, 100}, "shape"},
        Case{"product wraps to 100", {huge, 4, 100}, "shape"},
        Case{"a zero beside", {0, 7}, "100"}}) {
    SCOPED_TRACE(c.name);
    add("a.onnx", {raw("w", noise(100, 1), onnx::TensorProto::UINT8, c.shape)});
    std::string message;
    EXPECT_EQ(scan(&message), 4);
    EXPECT_NE(message.find("'w'"), std::string::npos) << message;
    EXPECT_NE(message.find(c.text), std::string::npos) << message;
  }
}

TEST_F(ScanModel, LeavesAnUnusedTensorInlineWhoseSizeContradictsItsShape) {
  onnx::ModelProto model = test::model_of({raw("w", noise(100, 1))});
  *model.mutable_graph()->add_initializer() =
      raw("unused", noise(10, 1), onnx::TensorProto::UINT8, {11});
  add("a.onnx", model);
  const ScannedModel scanned = scan_model(temp_ / "in/a.onnx");
  ASSERT_EQ(scanned.tensors.size(), 2u);
  EXPECT_EQ(scanned.tensors[1].inline_reason, InlineReason::kSizeContradictsShape);
}

TEST_F(ScanModel, FindsBytesShapesAndFolding) {
  onnx::ModelProto model =
      test::model_of({raw("w", noise(40, 1), onnx::TensorProto::FLOAT, {2, 5})});
  *model.mutable_graph()->add_initializer() = raw("v", noise(20, 2));
  test::add_node(*model.mutable_graph(), "Add", {"x", "v"}, {"y"});
  add("a.onnx", model);
  const ScannedModel scanned = scan_model(temp_ / "in/a.onnx");
  ASSERT_EQ(scanned.tensors.size(), 2u);
  EXPECT_EQ(scanned.tensors[0].shape, (std::vector<int64_t>{2, 5}));
  EXPECT_EQ(scanned.tensors[0].bytes.size(), 40u);
  EXPECT_TRUE(scanned.tensors[0].is_span);
  EXPECT_TRUE(scanned.tensors[0].folded);   // Identity of a constant
  EXPECT_FALSE(scanned.tensors[1].folded);  // Add has an input that is not
}

TEST_F(ScanModel, KeepsWhatOnnxRuntimeMayUseAsAShape) {
  const auto numbers = [](const std::string& name, int64_t count) {
    return raw(name, noise(static_cast<size_t>(count) * 8, 1), onnx::TensorProto::INT64, {count});
  };
  onnx::ModelProto model =
      test::model_of({numbers("eight", 8), numbers("nine", 9), raw("bytes", noise(8, 1)),
                      numbers("through identity", 9), numbers("through two", 9)});
  onnx::GraphProto& graph = *model.mutable_graph();
  test::add_node(graph, "Tile", {"x", "through identity_out"}, {"y"});
  test::add_node(graph, "Add", {"zero", "through two_out"}, {"sum"});
  test::add_node(graph, "Expand", {"x", "sum"}, {"z"});
  add("a.onnx", model);
  std::map<std::string, std::optional<InlineReason>> reasons;
  for (const TensorRef& tensor : scan_model(temp_ / "in/a.onnx").tensors) {
    reasons[tensor.name] = tensor.inline_reason;
  }
  EXPECT_EQ(reasons.at("eight"), InlineReason::kBelowMinBytes);
  EXPECT_EQ(reasons.at("nine"), std::nullopt);
  EXPECT_EQ(reasons.at("bytes"), std::nullopt);
  EXPECT_EQ(reasons.at("through identity"), InlineReason::kShapeInference);
  EXPECT_EQ(reasons.at("through two"), InlineReason::kShapeInference);
}

TEST_F(ScanModel, RefusesIllegalExternalReferences) {
  write_file(temp_ / "in/w.data", noise(100, 1));
  write_file(temp_ / "outside.data", noise(100, 1));
  test::fs::create_symlink(temp_ / "outside.data", temp_ / "in/link.data");
  test::fs::create_directory_symlink(temp_.path(), temp_ / "in/linked");
  test::fs::create_directory(temp_ / "in/folder");
  struct Case {
    const char* name;
    std::string location, offset, length;
    int code;
    const char* text;
  };
  const std::string absolute = (temp_ / "in/w.data").string();
  for (const Case& c :
       {Case{"absolute", absolute, "0", "100", 4, "w.data"},
        Case{"parent", "../outside.data", "0", "100", 4, "../outside.data"},
        Case{"parent of a folder", "folder/../../outside.data", "0", "100", 4, "outside.data"},
        Case{"no location", "", "0", "100", 4, "location"},
        Case{"link to outside", "link.data", "0", "100", 4, "link.data"},
        Case{"linked folder", "linked/outside.data", "0", "100", 4, "outside.data"},
        Case{"missing", "none.data", "0", "100", 3, "none.data"},
        Case{"a folder", "folder", "0", "100", 3, "folder"},
        Case{"offset is text", "w.data", "ten", "100", 4, "'ten'"},
        Case{"offset with rest", "w.data", "0x0", "100", 4, "'0x0'"},
        Case{"offset empty", "w.data", "", "100", 4, "offset"},
        Case{"offset negative", "w.data", "-1", "100", 4, "'-1'"},
        Case{"offset of 21 digits", "w.data", "100000000000000000000", "100", 4, "offset"},
        Case{"length negative", "w.data", "0", "-100", 4, "'-100'"},
        Case{"length is text", "w.data", "0", "all", 4, "'all'"},
        Case{"one past the end", "w.data", "1", "100", 4, "100"},
        Case{"far past the end", "w.data", "9223372036854775807", "100", 4, "9223372036854775807"},
        Case{"too short", "w.data", "0", "99", 4, "99"},
        Case{"too long", "w.data", "0", "101", 4, "101"}}) {
    SCOPED_TRACE(c.name);
    add("a.onnx",
        {external("w", 100,
                  {{"location", c.location}, {"offset", c.offset}, {"length", c.length}})});
    std::string message;
    EXPECT_EQ(scan(&message), c.code) << message;
    EXPECT_NE(message.find(c.text), std::string::npos) << message;
    EXPECT_NE(message.find("a.onnx"), std::string::npos) << message;
    EXPECT_NE(message.find("'w'"), std::string::npos) << message;
  }
}

TEST_F(ScanModel, FollowsALinkInsideTheFolder) {
  write_file(temp_ / "in/w.data", noise(100, 1));
  test::fs::create_symlink("w.data", temp_ / "in/inner.data");
  add("a.onnx", {external("w", 100, {{"location", "inner.data"}})});
  EXPECT_EQ(scan(), 0);
}

TEST_F(ScanModel, RefusesGraphsNestedTooDeeplyWithoutOverflowingTheStack) {
  std::string graph = test::wire_field(2, "g");
  for (int depth = 0; depth < 5000; ++depth) {
    const std::string attribute = test::wire_field(1, "body") + test::wire_field(6, graph);
    graph = test::wire_field(1, test::wire_field(4, "If") + test::wire_field(5, attribute));
  }
  add("a.onnx", test::wire_field(7, graph) + std::string("\x08\x08", 2));
  EXPECT_EQ(scan(), 4);  // as format/onnx_wire.h says
}

TEST_F(ScanModel, RefusesThousandsOfTensorsThatLieOnEachOther) {
  constexpr int64_t kMiB = 1 << 20;
  write_file(temp_ / "in/w.data", std::string(2 * kMiB, '\0'));
  const auto tensors = [&](int64_t step) {
    onnx::ModelProto model = test::empty_model();
    for (int64_t i = 0; i < 2000; ++i) {
      *model.mutable_graph()->add_initializer() =
          external("w" + std::to_string(i), kMiB,
                   {{"location", "w.data"}, {"offset", std::to_string(i * step)}});
    }
    add("a.onnx", model);
  };
  tensors(0);
  EXPECT_EQ(scan(), 0);
  tensors(64);
  std::string message;
  EXPECT_EQ(scan(&message), 4);
  EXPECT_NE(message.find("name 2097152000 bytes of external data, which has 2097152: they lie on "
                         "each other"),
            std::string::npos)
      << message;
}

}  // namespace
}  // namespace wshare
