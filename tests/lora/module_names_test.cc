#include "lora/module_names.h"

#include <google/protobuf/unknown_field_set.h>

#include <set>

#include "lora/layers.h"
#include "support/allocated.h"
#include "support/files.h"
#include "support/places.h"

namespace wshare {
namespace {

using namespace test;

// Sets the metadata of IR 10 that the dynamo exporter writes.
void set_scopes(onnx::NodeProto& node, const std::string& scopes) {
  onnx::StringStringEntryProto entry;
  entry.set_key("pkg.torch.onnx.name_scopes");
  entry.set_value(scopes);
  node.GetReflection()->MutableUnknownFields(&node)->AddLengthDelimited(9,
                                                                        entry.SerializeAsString());
}

std::string path_of(const std::string& weight, const std::string& node,
                    const std::string& scopes = "", const char* op = "MatMul") {
  onnx::NodeProto layer;
  layer.set_name(node);
  layer.set_op_type(op);
  if (!scopes.empty()) set_scopes(layer, scopes);
  std::vector<SiteLayer> layers(1);
  layers[0].node = &layer;
  return module_path(weight, layers);
}

TEST(ModulePath, ComesFromTheBestSource) {
  struct Case {
    const char* weight;
    const char* node;
    const char* scopes;
    const char* path;
  };
  for (const Case& c : {
           Case{"bert.pooler.dense.weight", "/q/MatMul", "", "bert.pooler.dense"},
           Case{"fc.weight", "", "", "fc"},
           Case{"model.base_model.model.lm_head.weight", "", "", "lm_head"},
           Case{"base_model.model.h.0.attn.base_layer.weight", "", "", "h.0.attn"},
           Case{"my_base_model.model.q.weight", "", "", "my_base_model.model.q"},
           Case{".weight", "/q/MatMul", "", "q"},
           Case{"onnx::MatMul_1", "/encoder/block.0/layer.0/SelfAttention/q/MatMul", "",
                "encoder.block.0.layer.0.SelfAttention.q"},
           Case{"onnx::MatMul_1", "/enc/q/base_layer/MatMul", "", "enc.q"},
           Case{"onnx::MatMul_1", "/base_model/model/enc/q/base_layer/MatMul", "", "enc.q"},
           Case{"onnx::MatMul_1", "/enc/attn/MatMul_12", "", "enc.attn"},
           Case{"onnx::MatMul_1", "/MatMul", "", "onnx::MatMul_1"},
           Case{"onnx::MatMul_1", "/enc/MatMul_x", "", "onnx::MatMul_1"},
           Case{"onnx::MatMul_1", "/enc/MatMulNBits", "", "onnx::MatMul_1"},
           Case{"onnx::MatMul_1", "MatMul_7", "", "onnx::MatMul_1"},
           Case{"val_1", "node_linear", "['', 'model', 'model.enc', 'model.enc.q', 'linear']",
                "model.enc.q"},
           Case{"val_1", "node_linear",
                "['', 'm', 'm.base_model.model', 'm.base_model.model.q',"
                " 'm.base_model.model.q.base_layer', 'linear']",
                "q"},
           Case{"val_1", "node_linear", "['', 'linear']", "val_1"},
           Case{"val_1", "node_linear", "no list 'at all", "val_1"},
       }) {
    SCOPED_TRACE(c.path);
    EXPECT_EQ(path_of(c.weight, c.node, c.scopes), c.path);
  }
}

TEST(NameBranches, NumbersWhatIsTaken) {
  onnx::ModelProto model = empty_model();
  const std::vector<BranchNames> names = name_branches(model, {"q", "q", "q"});
  EXPECT_EQ(names[0].a, "q.lora_A.weight");
  EXPECT_EQ(names[0].b, "q.lora_B.weight");
  EXPECT_EQ(names[0].rank_name, "q.lora_r");
  EXPECT_EQ(names[1].a, "q_2.lora_A.weight");
  EXPECT_EQ(names[2].path, "q_3");
  model.mutable_graph()->add_input()->set_name("q.lora_B.weight");
  EXPECT_EQ(name_branches(model, {"q"})[0].path, "q_2");
}

// The modules that PEFT adapted, as the families' scripts know them.
TEST(NameBranches, GivesPeftsPathsForRealExports) {
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(read_file(fs::path(test::kTestdata) / "t5-lora/base.onnx")));
  const SiteFinder finder(model);
  std::set<std::string> paths;
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    const FoundSite found = finder.find("", tensor.name());
    if (found.site) paths.insert(module_path(tensor.name(), found.layers));
  }
  for (const char* stack : {"encoder", "decoder"}) {
    for (const char* module : {"q", "k", "v", "o"}) {
      const std::string path =
          std::string("model.") + stack + ".block.0.layer.0.SelfAttention." + module;
      EXPECT_EQ(paths.count(path), 1u) << path;
    }
  }
}

// Numbers already given are not tried again: each with each would take hundreds of megabytes of
// names.
TEST(NameBranches, NumbersManyModulesOfOnePath) {
  constexpr size_t kCount = 3000;
  const std::vector<std::string> paths(kCount, "encoder.layer.0.query");
  std::vector<BranchNames> names;
  const uint64_t allocated = allocated_by([&] { names = name_branches(empty_model(), paths); });
  ASSERT_EQ(names.size(), kCount);
  EXPECT_EQ(names.front().path, "encoder.layer.0.query");
  EXPECT_EQ(names.back().a, "encoder.layer.0.query_3000.lora_A.weight");
  EXPECT_LT(allocated, 3000 * kCount);
}

}  // namespace
}  // namespace wshare
