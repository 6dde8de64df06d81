#include "compare/adapter_branches.h"

#include "compare/compare.h"
#include "compare/weights.h"
#include "support/bundle_test.h"

namespace wshare {
namespace {

using test::add_node;
using test::random_matrix;

constexpr int64_t kIn = 24, kOut = 32, kRank = 3;

// x -> MatMul(w) -> Add(bias) -> [Add(branch)] -> Relu -> y
class AdapterBranches : public test::BundleTest {
 protected:
  using AddBranch = std::function<std::string()>;  // returns the value to add

  // The branches beside "w" that a task has and its base does not; empty names are of other
  // weights.
  std::vector<std::string> branches(const AddBranch& add_branch) {
    add("a.onnx", build(nullptr));
    add("b.onnx", build(add_branch));
    const ScannedModel a = scan_model(temp_ / "in/a.onnx");
    const ScannedModel b = scan_model(temp_ / "in/b.onnx");
    const ComparisonBase base(a);
    const ModelComparison comparison = compare_models(base, b, {});
    EXPECT_TRUE(comparison.branches_a.empty());
    std::vector<std::string> texts;
    for (const AdapterBranch& branch : comparison.branches_b) {
      const GraphValue& weight = comparison.graph_b.values[static_cast<size_t>(branch.weight)];
      const bool is_w = b.tensors[static_cast<size_t>(weight.tensor)].name == "w";
      texts.push_back(is_w ? text_of(branch.kind) : "");
    }
    // Both have it: an ordinary part of them.
    EXPECT_TRUE(compare_models(ComparisonBase(b), b, {}).branches_b.empty());
    return texts;
  }

  onnx::ModelProto build(const AddBranch& add_branch) {
    model_ = test::empty_model();
    model_.mutable_graph()->add_input()->set_name("x");
    weight("w", kIn, kOut);
    weight("bias", 1, kOut);
    node("MatMul", {"x", "w"}, "wx");
    node("Add", {"bias", "wx"}, "layer");
    std::string sum = "layer";
    if (add_branch) sum = node("Add", {"layer", add_branch()}, "sum");
    add_node(*model_.mutable_graph(), "Relu", {sum}, {"y"});
    model_.mutable_graph()->add_output()->set_name("y");
    return model_;
  }

  std::string weight(const std::string& name, int64_t rows, int64_t cols) {
    *model_.mutable_graph()->add_initializer() =
        test::tensor(name, random_matrix(rows, cols, std::hash<std::string>{}(name) % 997));
    return name;
  }

  std::string node(const std::string& op, const std::vector<std::string>& inputs,
                   const std::string& output) {
    add_node(*model_.mutable_graph(), op, inputs, {output});
    return output;
  }

  std::string thin_pair() {
    node("MatMul", {"x", weight("a", kIn, kRank)}, "ax");
    return node("MatMul", {"ax", weight("b", kRank, kOut)}, "bax");
  }

  onnx::ModelProto model_;
};

TEST_F(AdapterBranches, AreNamed) {
  struct Case {
    const char* name;
    AddBranch branch;
    std::vector<std::string> found;
  };
  for (const Case& c :
       {Case{"DoRA, folded",
             [&] {
               node("Mul", {weight("magnitude", 1, kOut), thin_pair()}, "scaled");
               node("Sub", {"layer", "bias"}, "no_bias");
               node("Mul", {"no_bias", weight("less", 1, kOut)}, "more");
               return node("Add", {"more", "scaled"}, "dora");
             },
             {"DoRA branch"}},
        Case{"DoRA, norm in the graph",
             [&] {
               thin_pair();
               node("MatMul", {"a", "b"}, "delta");
               node("Add", {"w", "delta"}, "merged");
               node("ReduceL2", {"merged"}, "norm");
               node("Div", {weight("magnitude", 1, kOut), "norm"}, "factor");
               node("Mul", {"factor", "bax"}, "scaled");
               node("Mul", {"factor", "layer"}, "more");
               return node("Add", {"more", "scaled"}, "dora");
             },
             {"DoRA branch"}},
        Case{"LoHa",
             [&] {
               node("MatMul", {weight("a1", kIn, kRank), weight("b1", kRank, kOut)}, "p1");
               node("MatMul", {weight("a2", kIn, kRank), weight("b2", kRank, kOut)}, "p2");
               node("Mul", {"p1", "p2"}, "delta");
               return node("MatMul", {"x", "delta"}, "loha");
             },
             {"LoHa branch"}},
        Case{"LoHa, folded",
             [&] {
               return node("MatMul", {"x", weight("delta", kIn, kOut)}, "loha");
             },
             {"branch of full size"}},
        Case{"something between A and B",
             [&] {
               node("MatMul", {"x", weight("a", kIn, kRank)}, "ax");
               node("Gelu", {"ax"}, "gelu");
               return node("MatMul", {"gelu", weight("b", kRank, kOut)}, "adapter");
             },
             {"adapter branch"}},
        Case{"plain LoRA", [&] { return thin_pair(); }, {}},
        Case{"of another input",
             [&] {
               model_.mutable_graph()->add_input()->set_name("z");
               return node("MatMul", {"z", weight("delta", kIn, kOut)}, "other");
             },
             {}},
        Case{"only the output", [&] { return node("Tanh", {"layer"}, "tanh"); }, {}}}) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(branches(c.branch), c.found);
  }
}

}  // namespace
}  // namespace wshare
