// What `inspect` finds odd: each finding with its cost and its place, and nothing where all is
// well.

#include <bit>
#include <cstring>
#include <fstream>

#include "support/bundle_test.h"
#include "support/places.h"
#include "wshare/inspect.h"

namespace wshare {
namespace {

using test::add_constant;
using test::add_used;
using test::external;
using test::noise;
using test::Proto;
using test::raw;

using Names = std::vector<std::string>;

class Findings : public test::BundleTest {
 protected:
  // "WS010 2000: a: tied (2 times)" for each place.
  Names look(const InspectOptions& options = {}, const Names& paths = {"in"}) {
    Names full, texts;
    for (const std::string& path : paths) full.push_back((temp_ / path).string());
    for (const Finding& finding : inspect(full, options).findings) {
      uint64_t bytes = 0;
      for (const FindingPlace& place : finding.places) {
        bytes += place.bytes;
        texts.push_back(finding.id + " " + std::to_string(place.bytes) + ": " + place.use.model +
                        ": " + (place.use.scope.empty() ? "" : place.use.scope + "/") +
                        place.use.tensor + place.file +
                        (place.note.empty() ? "" : " (" + place.note + ")"));
      }
      EXPECT_EQ(finding.bytes, bytes) << finding.id;
    }
    return texts;
  }
};

template <typename Element>
std::string bytes_of_list(const std::vector<Element>& elements) {
  std::string bytes(elements.size() * sizeof(Element), '\0');
  std::memcpy(bytes.data(), elements.data(), bytes.size());
  return bytes;
}

// `count` float32 values, the bits of each from `bits_of(i)`.
template <typename BitsOf>
std::string floats(size_t count, const BitsOf& bits_of) {
  std::vector<uint32_t> bits;
  for (size_t i = 0; i < count; ++i) bits.push_back(bits_of(i));
  return bytes_of_list(bits);
}

uint32_t bits(float value) { return std::bit_cast<uint32_t>(value); }

TEST_F(Findings, AreNoneOfOrdinaryModels) {
  add("a.onnx", {raw("w", noise(5000, 1), Proto::FLOAT, {1250}), raw("bias", "abcd")});
  add("b.onnx", {raw("w", noise(5000, 2), Proto::FLOAT, {1250}), raw("bias", "abcd")});
  EXPECT_EQ(look(), Names{});
}

TEST_F(Findings, NameCopiesInsideAndAcrossModels) {
  const std::string trunk = noise(5000, 1), tied = noise(2000, 2);
  add("a.onnx", {raw("trunk", trunk), raw("t1", tied), raw("t2", tied), raw("t3", tied)});
  add("b.onnx", {raw("body", trunk), raw("t", tied)});
  add("c.onnx", {raw("body", trunk)});
  EXPECT_EQ(look(), (Names{"WS010 4000: a: t1 (3 times)", "WS020 10000: a: trunk (also in b, c)",
                           "WS020 2000: a: t1 (also in b)"}));
}

TEST_F(Findings, AreNoCopiesWhereTwoTensorsAreOnePlaceOfAFile) {
  test::write_file(temp_ / "in/w.bin", noise(6000, 1));
  const Proto whole = external("w", 6000, {{"location", "w.bin"}});
  Proto again = whole;
  again.set_name("w2");
  add("a.onnx", {whole, again});
  add("b.onnx", {whole});
  EXPECT_EQ(look(), Names{});
}

TEST_F(Findings, NameTransposedTwins) {
  const std::string matrix = noise(4 * 20 * 30, 2);
  std::string turned;
  for (size_t c = 0; c < 30; ++c) {
    for (size_t r = 0; r < 20; ++r) turned += matrix.substr((r * 30 + c) * 4, 4);
  }
  add("a.onnx",
      {raw("e", matrix, Proto::FLOAT, {20, 30}), raw("head", turned, Proto::FLOAT, {30, 20})});
  EXPECT_EQ(look(), Names{"WS011 2400: a: head (of e)"});
}

TEST_F(Findings, NameFloat32ThatA16BitTypeHolds) {
  struct Case {
    const char* name;
    uint32_t odd;  // bits of one element among many that both types hold
    const char* id;
  };
  // float16: 11 bits of significand from 2^-14 to 65504, a multiple of 2^-24 below.
  for (const Case& c :
       {Case{"largest float16", bits(65504), "WS012"}, Case{"beyond it", bits(65536), "WS013"},
        Case{"11 bits", bits(1 + 0x1p-10f), "WS012"}, Case{"12 bits", bits(1 + 0x1p-11f), nullptr},
        Case{"smallest subnormal", bits(-0x1p-24f), "WS012"},
        Case{"half of it", bits(0x1p-25f), "WS013"},
        Case{"subnormal of 9 bits", bits(0x1.ffp-16f), "WS012"},
        Case{"subnormal of 10 bits", bits(0x1.ff8p-16f), nullptr},
        Case{"infinity", 0x7f800000, "WS012"}, Case{"NaN of float16", 0x7fc00000, "WS012"},
        Case{"NaN of float32", 0x7fc00001, nullptr}, Case{"minus zero", 0x80000000, "WS012"},
        Case{"8 bits, too small", bits(0x1.02p-40f), "WS013"},
        Case{"9 bits, too small", bits(0x1.01p-40f), nullptr}}) {
    SCOPED_TRACE(c.name);
    // At the end, where only a look at all elements finds it.
    const std::string values = floats(30000, [&](size_t i) {
      return i == 29999 ? c.odd : bits(static_cast<float>(i % 100) - 50);
    });
    add("a.onnx", {raw("w", values, Proto::FLOAT, {30000})});
    EXPECT_EQ(look(), c.id == nullptr ? Names{} : Names{std::string(c.id) + " 60000: a: w"});
    add("a.onnx", {raw("w", values, Proto::INT32, {30000})});  // no floats
    EXPECT_EQ(look(), Names{});
  }
}

TEST_F(Findings, NameZerosConstantsAndSparseTensors) {
  const auto spread = [](size_t every) {  // of 40,000 elements each `every`th is none
    return floats(40000, [&](size_t i) { return i % every == 0 ? bits(0.1f) + uint32_t(i) : 0; });
  };
  add("a.onnx", {raw("zero", std::string(3000, '\0')),
                 raw("ones", bytes_of_list(std::vector<int64_t>(500, 7)), Proto::INT64, {500}),
                 raw("nearly", bytes_of_list(std::vector<int64_t>(500, 7)) + noise(8, 1),
                     Proto::INT64, {501}),
                 raw("tenth", spread(10), Proto::FLOAT, {200, 200}),
                 raw("ninth", spread(9), Proto::FLOAT, {200, 200})});
  EXPECT_EQ(look(), (Names{"WS014 3000: a: zero", "WS015 4000: a: ones",
                           "WS016 112000: a: tenth (36000 of 40000 are zero)"}));
}

TEST_F(Findings, ReadAllOfALargeTensor) {
  std::string zeros(size_t{9} << 20, '\0');
  add("a.onnx", {raw("w", zeros)});
  EXPECT_EQ(look(), Names{"WS014 9437184: a: w"});
  zeros[zeros.size() - 2] = 1;  // in the last of three pieces, between two samples
  add("a.onnx", {raw("w", zeros)});
  EXPECT_EQ(look(), Names{"WS016 9437175: a: w (9437183 of 9437184 are zero)"});
}

TEST_F(Findings, NameLargeConstantNodesAndUnreadTensors) {
  onnx::ModelProto model = test::model_of({});
  onnx::GraphProto& graph = *model.mutable_graph();
  add_constant(graph, raw("c", noise(size_t{1} << 20, 1)));
  add_constant(graph, raw("small", noise((size_t{1} << 20) - 1, 2)));
  *graph.add_initializer() = raw("unread", noise(2000, 3));
  *graph.add_initializer() = raw("given_out", noise(2000, 4));
  graph.add_output()->set_name("given_out");
  add("a.onnx", model);
  const Names expected = {"WS030 1048576: a: c", "WS031 2000: a: unread"};
  EXPECT_EQ(look(), expected);
  InspectOptions structure;
  structure.hash = false;
  EXPECT_EQ(look(structure), expected);
}

TEST_F(Findings, NameIncompleteExternalFilesAndGoOnWithoutWeights) {
  test::write_file(temp_ / "in/short.bin", noise(4000, 1));
  onnx::ModelProto model = test::model_of({raw("w", noise(2000, 1))});
  add_used(*model.mutable_graph(),
           external("s", 3000, {{"location", "short.bin"}, {"offset", "2000"}}));
  add_used(*model.mutable_graph(), external("m", 5000, {{"location", "missing.bin"}}));
  add("a.onnx", model);
  EXPECT_EQ(look(), (Names{"WS001 5000: a: missing.bin (no such file)",
                           "WS001 1000: a: short.bin (too short)"}));
  const Inspection found = inspect({(temp_ / "in").string()}, {});
  EXPECT_FALSE(found.compared);
  EXPECT_EQ(found.total_bytes, 10000u);
  ASSERT_EQ(found.models[0].external.size(), 2u);
  EXPECT_EQ(found.models[0].external[0].bytes, 4000u);
  EXPECT_EQ(found.models[0].external[0].needed, 5000u);
  EXPECT_EQ(found.models[0].external[1].bytes, std::nullopt);
}

TEST_F(Findings, NameBytesOfAnExternalFileThatNobodyUses) {
  const uint64_t page = 65536;
  test::write_file(temp_ / "in/w.bin", noise(5 * page, 1));
  // Between: a page more than alignment explains. Behind: two pages.
  add("a.onnx", {external("w", 1000, {{"location", "w.bin"}})});
  add("b.onnx", {external("w", page, {{"location", "w.bin"}, {"offset", "131072"}})});
  EXPECT_EQ(look(), Names{"WS002 261144: a: w.bin"});
  add("c.onnx", {external("w", page, {{"location", "w.bin"}, {"offset", "262144"}})});
  add("d.onnx", {external("w", page, {{"location", "w.bin"}, {"offset", "65536"}})});
  EXPECT_EQ(look(), Names{});
}

TEST_F(Findings, TakeTheBlobsOfABundleForUsed) {
  add("a.onnx", {raw("w", noise(100000, 1)), raw("v", noise(200000, 2))});
  add("b.onnx", {raw("w", noise(100000, 1)), raw("u", noise(300000, 3))});
  add("c.onnx", {raw("u", noise(300000, 3))});
  make();
  EXPECT_EQ(look({}, {"bundle/a.onnx"}), Names{});
  EXPECT_EQ(look({}, {"bundle/a.onnx", "bundle/b.onnx"}), Names{});  // one place, no copies
}

TEST_F(Findings, AreWithoutWeightsThoseOfTheStructure) {
  add("a.onnx", {raw("w", noise(5000, 1)), raw("v", noise(5000, 1))});
  InspectOptions options;
  options.hash = false;
  const Inspection found = inspect({(temp_ / "in").string()}, options);
  EXPECT_FALSE(found.compared);
  EXPECT_EQ(found.findings.size(), 0u);
  EXPECT_EQ(found.total_bytes, 10000u);
  EXPECT_EQ(found.matrix.size(), 0u);
  EXPECT_EQ(found.input_bytes, test::read_file(temp_ / "in/a.onnx").size());
}

TEST_F(Findings, RefuseExternalDataThatCannotBe) {
  test::fs::create_directories(temp_ / "in/folder");
  struct Case {
    const char* name;
    const char* location;
    const char* offset;
    int code;
    const char* text;
  };
  for (const Case& c :
       {Case{"a folder", "folder", "0", 3, "folder': is not a regular file"},
        Case{"outside", "../w.bin", "0", 4, "leads out of the model's folder"},
        Case{"negative offset", "w.bin", "-1", 4, "offset '-1' is no number"},
        Case{"offset without end", "w.bin", "99999999999999999999", 4, "is no number"}}) {
    SCOPED_TRACE(c.name);
    add("a.onnx", {external("w", 100, {{"location", c.location}, {"offset", c.offset}})});
    std::string message;
    EXPECT_EQ(test::code_of([&] { look(); }, &message), c.code);
    EXPECT_NE(message.find("a.onnx': tensor 'w': "), std::string::npos) << message;
    EXPECT_NE(message.find(c.text), std::string::npos) << message;
  }
}

TEST_F(Findings, RefuseShapesWithoutEnd) {
  onnx::ModelProto model = test::model_of({});
  Proto tensor = external("w", 1, {{"location", "missing.bin"}});
  tensor.set_dims(0, int64_t{1} << 60);
  add_used(*model.mutable_graph(), tensor);
  add("a.onnx", model);
  std::string message;
  EXPECT_EQ(test::code_of([&] { look(); }, &message), 4);
  EXPECT_NE(message.find("2^48"), std::string::npos) << message;
}

TEST_F(Findings, TakeAnUnreadTensorWithoutItsBytesForEmpty) {
  onnx::ModelProto model = test::model_of({raw("w", noise(2000, 1))});
  Proto unread = raw("unread", "abcd");
  unread.set_dims(0, int64_t{1} << 55);
  *model.mutable_graph()->add_initializer() = unread;
  add("a.onnx", model);
  InspectOptions structure;
  structure.hash = false;
  for (const InspectOptions& options : {InspectOptions{}, structure}) {
    EXPECT_EQ(look(options), Names{});
    EXPECT_LT(inspect({(temp_ / "in").string()}, options).total_bytes, 3000u);
  }
}

// On what real quantisers made; `cast_mul` and `left_beside` are in testdata/make/quantised.py.
TEST_F(Findings, NameWhatQuantisersLeave) {
  const auto in = [&](const std::string& name) {
    test::fs::create_directories(temp_ / "in");
    test::fs::remove_all(temp_ / "in");
    test::fs::create_directories(temp_ / "in");
    test::fs::copy_file(test::fs::path(test::kTestdata) / "quantised" / (name + ".onnx"),
                        temp_ / "in/m.onnx");
    InspectOptions options;
    options.min_bytes = 512;
    return look(options);
  };
  EXPECT_EQ(in("left_beside"), (Names{"WS017 10240: m: up.weight (as int8: up.weight_quantized)"}));
  EXPECT_EQ(in("cast_mul"), (Names{"WS018 10240: m: up.weight_int8 (in each session)",
                                   "WS018 10240: m: down.weight_int8 (in each session)"}));
  for (const char* fine : {"float32", "float16", "qdq", "dynamic_int8", "qoperator", "q4", "q4f16"})
    EXPECT_EQ(in(fine), Names{}) << fine;
}

TEST_F(Findings, NameModelsThatAreOneFile) {
  const onnx::ModelProto model = test::model_of({raw("w", noise(5000, 1))});
  add("a.onnx", model);
  add("b.onnx", model);
  const std::string bytes = std::to_string(test::fs::file_size(temp_ / "in/a.onnx"));
  EXPECT_EQ(look(),
            (Names{"WS020 5000: a: w (also in b)", "WS022 " + bytes + ": b:  (same as a)"}));
}

TEST_F(Findings, NameNotesThatAreMostOfAFile) {
  onnx::ModelProto model = test::model_of({raw("w", noise(5000, 1))});
  model.mutable_graph()->mutable_node(0)->set_doc_string(std::string(20000, 'x'));
  add("a.onnx", model);
  EXPECT_EQ(look(), (Names{"WS032 20000: a: "}));
  // The field metadata_props of a node, as onnx 1.16 and later writes it.
  onnx::NodeProto& node = *model.mutable_graph()->mutable_node(0);
  node.set_doc_string("");
  onnx::StringStringEntryProto entry;
  entry.set_key("trace");
  entry.set_value(std::string(20000, 'x'));
  node.mutable_unknown_fields()->AddLengthDelimited(9, entry.SerializeAsString());
  add("a.onnx", model);
  EXPECT_EQ(look(), (Names{"WS032 20011: a: "}));
  model = test::model_of({raw("w", noise(50000, 1))});
  model.mutable_graph()->set_doc_string(std::string(20000, 'x'));
  add("a.onnx", model);
  EXPECT_EQ(look(), Names{});
}

// An id that the tool prints can be looked up, and what the page explains exists.
TEST(FindingKinds, AreTheSectionsOfFindingsMd) {
  std::ifstream page(test::fs::path(test::kDocs) / "findings.md");
  Names sections, kinds;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("## WS")) sections.push_back(line.substr(3));
  }
  for (const FindingKind& kind : finding_kinds()) {
    kinds.push_back(std::string(kind.id) + ": " + kind.title);
  }
  EXPECT_EQ(sections, kinds);
  EXPECT_TRUE(std::is_sorted(kinds.begin(), kinds.end()));
}

}  // namespace
}  // namespace wshare
