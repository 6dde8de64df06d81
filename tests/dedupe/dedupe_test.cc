#include "wshare/dedupe.h"

#include <cstring>
#include <functional>

#include "format/manifest/manifest.h"
#include "format/manifest/text.h"
#include "support/bundle_test.h"

namespace wshare {
namespace {

using test::external;
using test::files_in;
using test::noise;
using test::raw;
using test::read_file;
using test::write_file;

class Dedupe : public test::BundleTest {
 protected:
  // The bytes that tensor `name` of model file `file` of the bundle refers to.
  std::string placed_bytes(const onnx::TensorProto& tensor) {
    std::string location;
    size_t offset = 0, length = 0;
    for (const onnx::StringStringEntryProto& entry : tensor.external_data()) {
      if (entry.key() == "location") location = entry.value();
      if (entry.key() == "offset") offset = std::stoul(entry.value());
      if (entry.key() == "length") length = std::stoul(entry.value());
    }
    EXPECT_EQ(tensor.data_location(), onnx::TensorProto::EXTERNAL) << tensor.name();
    EXPECT_FALSE(tensor.has_raw_data());
    return location.empty() ? "nowhere"
                            : read_file(temp_ / ("bundle/" + location)).substr(offset, length);
  }

  static onnx::TensorProto typed(const std::string& name, int type, int64_t count) {
    onnx::TensorProto proto = raw(name, "", type, {count});
    proto.clear_raw_data();
    return proto;
  }
};

TEST_F(Dedupe, WritesATensorOfTwoModelsOnce) {
  const std::string trunk = noise(128 << 10, 1);
  add("a.onnx", {raw("trunk", trunk), raw("head", noise(2000, 2))});
  add("b.onnx",
      {raw("renamed", trunk, onnx::TensorProto::FLOAT, {128, 256}), raw("head", noise(2000, 3))});
  const DedupeReport report = make();
  EXPECT_EQ(read_file(temp_ / "bundle/shared.bin").substr(0, trunk.size()), trunk);
  EXPECT_EQ(report.tensors, 4u);
  EXPECT_EQ(report.distinct_tensors, 3u);
  ASSERT_EQ(report.models.size(), 2u);
  EXPECT_EQ(report.models[0].name, "a");
  EXPECT_EQ(report.models[0].shared_bytes, trunk.size());
  EXPECT_EQ(report.models[0].saved_bytes, trunk.size() / 2);  // another model has it, too
  EXPECT_EQ(report.models[0].own_bytes, 2000u);
  EXPECT_EQ(report.models[0].bytes_in, test::fs::file_size(temp_ / "in/a.onnx"));
  EXPECT_EQ(report.models[0].model_bytes, test::fs::file_size(temp_ / "bundle/a.onnx"));
  uint64_t written = 0;
  for (const auto& [name, bytes] : files_in(temp_ / "bundle")) written += bytes.size();
  EXPECT_EQ(report.bytes_out, written);
  for (const char* file : {"a.onnx", "b.onnx"}) {
    const onnx::ModelProto model = load(file);
    EXPECT_EQ(placed_bytes(model.graph().initializer(0)), trunk);
    EXPECT_EQ(model.graph().node_size(), 2);
  }
  EXPECT_EQ(load("b.onnx").graph().initializer(0).dims_size(), 2);
}

TEST_F(Dedupe, MakesAConstantNodeAnInitializerOfItsGraph) {
  onnx::ModelProto model = test::model_of({raw("first", noise(2000, 2))});
  test::add_constant(*model.mutable_graph(), raw("constant", noise(5000, 3)));
  test::add_constant(*model.mutable_graph(), raw("small", noise(50, 4)));
  add("a.onnx", model);
  make();
  const onnx::ModelProto made = load("a.onnx");
  ASSERT_EQ(made.graph().initializer_size(), 2);
  EXPECT_EQ(made.graph().initializer(1).name(), "constant");
  EXPECT_EQ(placed_bytes(made.graph().initializer(1)), noise(5000, 3));
  ASSERT_EQ(made.graph().node_size(), 4);  // three Identity nodes and the small Constant
  EXPECT_EQ(made.graph().node(2).op_type(), "Constant");
}

TEST_F(Dedupe, SharesInitializersOfSubgraphsAtAnyDepth) {
  onnx::ModelProto model = test::model_of({raw("top", noise(2000, 1))});
  onnx::GraphProto inner;
  test::add_used(inner, raw("inner", noise(2000, 1)));
  onnx::GraphProto branch;
  test::add_used(branch, raw("w", noise(3000, 2)));
  test::add_constant(branch, raw("k", noise(4000, 3)));
  for (onnx::GraphProto* graph : {&branch, model.mutable_graph()}) {
    onnx::NodeProto& node = test::add_node(*graph, "If", {"cond"}, {"chosen"});
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name("then_branch");
    attribute.set_type(onnx::AttributeProto::GRAPH);
    *attribute.mutable_g() = graph == &branch ? inner : branch;
  }
  add("a.onnx", model);
  const DedupeReport report = make();
  EXPECT_EQ(report.tensors, 4u);
  EXPECT_EQ(report.distinct_tensors, 3u);
  const onnx::ModelProto made = load("a.onnx");
  const onnx::GraphProto& then = made.graph().node(1).attribute(0).g();
  ASSERT_EQ(then.initializer_size(), 2);
  EXPECT_EQ(placed_bytes(then.initializer(0)), noise(3000, 2));
  EXPECT_EQ(placed_bytes(then.initializer(1)), noise(4000, 3));
  const onnx::GraphProto& deep = then.node(then.node_size() - 1).attribute(0).g();
  EXPECT_EQ(placed_bytes(deep.initializer(0)), noise(2000, 1));
  const Manifest manifest = load_manifest(temp_ / "bundle");
  EXPECT_EQ(manifest.models.at(0).tensors.at(1).scope, "If#1.then_branch");
}

TEST_F(Dedupe, SharesTypedFieldsWithRawBytes) {
  struct Case {
    const char* name;
    int type;
    std::string bytes;
    std::function<void(onnx::TensorProto&, int)> add;
  };
  const auto bytes_of = [](auto value_at) {
    std::string bytes;
    for (int i = 0; i < 600; ++i) {
      const auto value = value_at(i);
      char raw_value[sizeof value];
      std::memcpy(raw_value, &value, sizeof value);
      bytes.append(raw_value, sizeof value);
    }
    return bytes;
  };
  const auto f32 = [](int i) { return static_cast<float>(i) / 3; };
  const auto f64 = [](int i) { return i / 7.0; };
  const auto i32 = [](int i) { return i * 100000 - 7000000; };
  const auto i64 = [](int i) { return int64_t{i} * 10000000019 - 99; };
  const auto u64 = [](int i) { return ~uint64_t{0} - static_cast<uint64_t>(i); };
  const auto i16 = [](int i) { return static_cast<int16_t>(i * 100 - 30000); };
  const auto u16 = [](int i) { return static_cast<uint16_t>(i * 100); };
  const auto i8 = [](int i) { return static_cast<int8_t>(i); };
  const auto boolean = [](int i) { return static_cast<uint8_t>(i % 3 == 0); };
  const auto u32 = [](int i) { return 0xfffffff0U + static_cast<uint32_t>(i); };
  using Proto = onnx::TensorProto;
  for (const Case& c :
       {Case{"float", Proto::FLOAT, bytes_of(f32),
             [&](Proto&t, int i) { t.add_float_data(f32(i)); }},
        Case{"double", Proto::DOUBLE, bytes_of(f64),
             [&](Proto&t, int i) { t.add_double_data(f64(i)); }},
        Case{"int32", Proto::INT32, bytes_of(i32),
             [&](Proto&t, int i) { t.add_int32_data(i32(i)); }},
        Case{"int64", Proto::INT64, bytes_of(i64),
             [&](Proto&t, int i) { t.add_int64_data(i64(i)); }},
        Case{"uint64", Proto::UINT64, bytes_of(u64),
             [&](Proto&t, int i) { t.add_uint64_data(u64(i)); }},
        Case{"uint32", Proto::UINT32, bytes_of(u32),
             [&](Proto&t, int i) { t.add_uint64_data(u32(i)); }},
        Case{"int16", Proto::INT16, bytes_of(i16),
             [&](Proto&t, int i) { t.add_int32_data(i16(i)); }},
        Case{"float16", Proto::FLOAT16, bytes_of(u16),
             [&](Proto&t, int i) { t.add_int32_data(u16(i)); }},
        Case{"bfloat16", Proto::BFLOAT16, bytes_of(u16),
             [&](Proto&t, int i) { t.add_int32_data(u16(i)); }},
        Case{"int8", Proto::INT8, bytes_of(i8), [&](Proto&t, int i) { t.add_int32_data(i8(i)); }},
        Case{"bool", Proto::BOOL, bytes_of(boolean),
             [&](Proto&t, int i) { t.add_int32_data(boolean(i)); }},
        Case{"complex64", Proto::COMPLEX64, bytes_of(f32),
             [&](Proto&t, int i) { t.add_float_data(f32(i)); }}}) {
    SCOPED_TRACE(c.name);
    const int64_t count = c.type == Proto::COMPLEX64 ? 300 : 600;
    Proto tensor = typed("w", c.type, count);
    for (int i = 0; i < 600; ++i) c.add(tensor, i);
    add("typed.onnx", {tensor});
    add("raw.onnx", {raw("v", c.bytes, c.type, {count})});
    const DedupeReport report = make(64);
    EXPECT_EQ(report.distinct_tensors, 1u);
    EXPECT_EQ(report.tensors, 2u);
    EXPECT_EQ(placed_bytes(load("typed.onnx").graph().initializer(0)), c.bytes);
    test::fs::remove_all(temp_ / "bundle");
  }
}

TEST_F(Dedupe, TakesExternalDataInEveryLegalForm) {
  const std::string data = noise(9000, 1);
  write_file(temp_ / "in/all.data", data);
  write_file(temp_ / "in/sub/one.data", data.substr(0, 2000));
  add("a.onnx", {external("offset and length", 3000,
                          {{"location", "all.data"}, {"offset", "6000"}, {"length", "3000"}}),
                 external("no length", 4000, {{"location", "all.data"}, {"offset", "2000"}}),
                 external("no offset", 2000, {{"location", "all.data"}, {"length", "2000"}}),
                 external("subfolder", 2000, {{"location", "sub/one.data"}, {"checksum", "0123"}}),
                 external("small", 10, {{"location", "all.data"}, {"offset", "1"}})});
  add("b.onnx", {raw("w", data.substr(2000, 4000))});
  const DedupeReport report = make();
  EXPECT_EQ(report.tensors, 5u);
  EXPECT_EQ(report.distinct_tensors, 3u);
  EXPECT_EQ(report.models[0].bytes_in, test::fs::file_size(temp_ / "in/a.onnx") + 11000);
  const onnx::ModelProto made = load("a.onnx");
  EXPECT_EQ(placed_bytes(made.graph().initializer(0)), data.substr(6000));
  EXPECT_EQ(placed_bytes(made.graph().initializer(1)), data.substr(2000, 4000));
  EXPECT_EQ(placed_bytes(made.graph().initializer(2)), data.substr(0, 2000));
  EXPECT_EQ(placed_bytes(made.graph().initializer(3)), data.substr(0, 2000));
  EXPECT_EQ(made.graph().initializer(4).raw_data(), data.substr(1, 10));  // read into the model
  EXPECT_NE(made.graph().initializer(4).data_location(), onnx::TensorProto::EXTERNAL);
}

TEST_F(Dedupe, SharesTheFrontOfALongerTensor) {
  const std::string grown = noise(20000, 1);
  add("a.onnx", {raw("w", grown.substr(0, 16000))});
  add("b.onnx", {raw("w", grown)});
  make();
  EXPECT_EQ(read_file(temp_ / "bundle/shared.bin").substr(0, 20000), grown);
  EXPECT_EQ(placed_bytes(load("a.onnx").graph().initializer(0)), grown.substr(0, 16000));
}

TEST_F(Dedupe, LeavesInlineWhatMustStayAndSaysWhy) {
  onnx::ModelProto model =
      test::model_of({raw("small", noise(1023, 1)), raw("just large enough", noise(1024, 2))});
  onnx::GraphProto& graph = *model.mutable_graph();
  *graph.add_initializer() = raw("output", noise(2000, 3));
  graph.add_output()->set_name("output");
  onnx::TensorProto text = typed("text", onnx::TensorProto::STRING, 2);
  text.add_string_data(noise(2000, 4));
  text.add_string_data("b");
  test::add_used(graph, text);
  *graph.add_initializer() = raw("shape", std::string(2048, '\1'), onnx::TensorProto::INT64, {256});
  test::add_node(graph, "Reshape", {"x", "shape"}, {"y"});
  onnx::SparseTensorProto& sparse = *graph.add_sparse_initializer();
  *sparse.mutable_values() = raw("sparse", noise(2000, 5));
  *sparse.mutable_indices() =
      raw("indices", std::string(16000, '\2'), onnx::TensorProto::INT64, {2000});
  sparse.add_dims(100000);
  onnx::TensorProto future = raw("future", noise(2000, 6), 99);
  test::add_used(graph, future);
  add("a.onnx", model);
  const DedupeReport report = make();
  EXPECT_EQ(reason(report, "just large enough"), "");
  EXPECT_EQ(reason(report, "small"), text_of(InlineReason::kBelowMinBytes));
  EXPECT_EQ(reason(report, "output"), text_of(InlineReason::kGraphOutput));
  EXPECT_EQ(reason(report, "text"), text_of(InlineReason::kString));
  EXPECT_EQ(reason(report, "shape"), text_of(InlineReason::kShapeInference));
  EXPECT_EQ(reason(report, "sparse"), text_of(InlineReason::kSparse));
  EXPECT_EQ(reason(report, "future"), text_of(InlineReason::kUnknownDtype));
  const onnx::ModelProto made = load("a.onnx");
  EXPECT_EQ(made.graph().initializer(0).raw_data(), noise(1023, 1));
  EXPECT_EQ(made.graph().initializer(2).raw_data(), noise(2000, 3));
  EXPECT_EQ(made.graph().initializer(3).string_data(0), noise(2000, 4));
  EXPECT_EQ(made.graph().sparse_initializer(0).SerializeAsString(), sparse.SerializeAsString());
  EXPECT_EQ(made.graph().initializer(5).raw_data(), noise(2000, 6));
}

}  // namespace
}  // namespace wshare
