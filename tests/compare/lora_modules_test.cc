#include "compare/lora_modules.h"

#include "compare/weights.h"
#include "support/bundle_test.h"

namespace wshare {
namespace {

using test::add_node;
using test::Matrix;
using test::random_matrix;

constexpr int64_t kIn = 24, kOut = 32, kRank = 4;

// How one adapted layer is written.
struct Form {
  const char* name;
  bool gemm = false;               // Gemm with transB for base and pair, else MatMul
  bool bias = false;               // of the base layer
  int scale_at = -1;               // 0: on x, 1: between A and B, 2: after B, -1: no Mul
  bool scale_is_constant = false;  // a Constant node, else an initializer
  bool dropout = false;            // before A, and Identity after the Add
  bool pair_first = false;         // the Add reads the pair before the layer
  bool reshapes = false;           // around the base layer
};

class LoraModules : public test::BundleTest {
 protected:
  void build(const Form& form, int64_t inner_of_a = kRank, int64_t inner_of_b = kRank) {
    model_ = test::empty_model();
    model_.mutable_graph()->add_input()->set_name("x");
    add_weight("w", kIn, kOut, form.gemm);
    add_weight("a", kIn, inner_of_a, form.gemm);
    add_weight("b", inner_of_b, kOut, form.gemm);
    const std::string base = add_base(form);
    std::string low = form.dropout ? node("Dropout", {"x"}) : "x";
    low = layer(form, scaled(form, 0, low), "a");
    low = layer(form, scaled(form, 1, low), "b");
    low = scaled(form, 2, low);
    std::string sum =
        node("Add", form.pair_first ? std::vector{low, base} : std::vector{base, low});
    if (form.dropout) sum = node("Identity", {sum});
    add_node(graph(), "Relu", {sum}, {"y"});
    graph().add_output()->set_name("y");
  }

  std::vector<LoraModule> find() {
    add("m.onnx", model_);
    scanned_ = std::make_unique<ScannedModel>(scan_model(temp_ / "in/m.onnx"));
    found_ = build_graph(*scanned_);
    return find_lora_modules(found_, *scanned_);
  }

  std::string tensor_name(int32_t value) const {
    const int32_t tensor = found_.values[static_cast<size_t>(value)].tensor;
    return scanned_->tensors[static_cast<size_t>(tensor)].name;
  }

  onnx::GraphProto& graph() { return *model_.mutable_graph(); }

  std::string node(const std::string& op, const std::vector<std::string>& inputs) {
    const std::string result = "v" + std::to_string(graph().node_size());
    add_node(graph(), op, inputs, {result});
    return result;
  }

  onnx::ModelProto model_;
  ComputeGraph found_;

 private:
  void add_weight(const std::string& name, int64_t in, int64_t out, bool flip) {
    const Matrix matrix = random_matrix(in, out, static_cast<unsigned char>(name[0]));
    *graph().add_initializer() = test::tensor(name, flip ? test::transposed(matrix) : matrix);
  }

  std::string layer(const Form& form, const std::string& x, const std::string& weight) {
    if (!form.gemm) return node("MatMul", {x, weight});
    const std::string result = node("Gemm", {x, weight});
    *graph().mutable_node(graph().node_size() - 1)->add_attribute() = test::integer("transB", 1);
    return result;
  }

  std::string add_base(const Form& form) {
    std::string value = layer(form, form.reshapes ? node("Reshape", {"x", "shape"}) : "x", "w");
    if (form.bias) {
      *graph().add_initializer() = test::tensor("bias", random_matrix(1, kOut, 9));
      value = node("Add", {"bias", value});
    }
    return form.reshapes ? node("Reshape", {value, "shape"}) : value;
  }

  std::string scaled(const Form& form, int at, const std::string& value) {
    if (form.scale_at != at) return value;
    const onnx::TensorProto scale =
        test::raw("scale", test::float_bytes({2.5}, test::Proto::FLOAT), test::Proto::FLOAT, {1});
    if (form.scale_is_constant) {
      test::add_constant(graph(), scale);
    } else {
      *graph().add_initializer() = scale;
    }
    return node("Mul", {value, "scale"});
  }

  std::unique_ptr<ScannedModel> scanned_;
};

TEST_F(LoraModules, AreFoundInEveryForm) {
  for (const Form& form :
       {Form{.name = "no scale"},
        Form{.name = "torchscript", .scale_at = 2, .scale_is_constant = true},
        Form{.name = "dynamo", .scale_at = 2}, Form{.name = "scale between", .scale_at = 1},
        Form{.name = "scale on x", .scale_at = 0},
        Form{.name = "bias", .bias = true, .scale_at = 2},
        Form{.name = "gemm", .gemm = true, .scale_at = 2},
        Form{.name = "gemm, bias", .gemm = true, .bias = true},
        Form{.name = "dropout", .scale_at = 2, .dropout = true},
        Form{.name = "pair first", .scale_at = 2, .pair_first = true},
        Form{.name = "reshapes", .gemm = true, .reshapes = true}}) {
    SCOPED_TRACE(form.name);
    build(form);
    const std::vector<LoraModule> modules = find();
    ASSERT_EQ(modules.size(), 1u);
    EXPECT_EQ(tensor_name(modules[0].weight), "w");
    EXPECT_EQ(tensor_name(modules[0].a), "a");
    EXPECT_EQ(tensor_name(modules[0].b), "b");
    EXPECT_EQ(modules[0].rank, kRank);
    EXPECT_EQ(modules[0].scaling, form.scale_at < 0 ? 1 : 2.5);

    bypass(found_, modules);
    const GraphNode& relu = found_.nodes.back();
    ASSERT_EQ(relu.op, "Relu");
    EXPECT_EQ(relu.inputs[0], modules[0].base_output);
  }
}

TEST_F(LoraModules, AreNotSeenInOtherSums) {
  struct Case {
    const char* name;
    std::function<void()> break_it;
  };
  const Form plain{.name = "plain", .scale_at = 2};
  const auto rewire = [&](const std::string& op, int count, int input, const std::string& to) {
    for (onnx::NodeProto& node : *graph().mutable_node()) {
      if (node.op_type() == op && count-- == 0) node.set_input(input, to);
    }
  };
  for (const Case& c :
       {Case{"inner sizes differ", [&] { build(plain, 4, 5); }},
        Case{"rank is not smaller", [&] { build(plain, kIn, kIn); }},
        Case{"another input", [&] { build(plain), rewire("MatMul", 1, 0, "z"); }},
        Case{"the layer has no weight", [&] { build(plain), rewire("MatMul", 0, 1, "z"); }},
        Case{"the pair is read elsewhere", [&] {
               build(plain);
               add_node(graph(), "Sigmoid", {graph().node(1).output(0)}, {"other"});
               graph().add_output()->set_name("other");
             }}}) {
    SCOPED_TRACE(c.name);
    c.break_it();
    EXPECT_TRUE(find().empty());
  }
}

TEST_F(LoraModules, AreFoundOnTheSumsOfOthers) {
  build({.name = "first pair", .bias = true, .scale_at = 2});
  const std::string first_sum = graph().node(graph().node_size() - 1).input(0);
  for (const char* name : {"2", "3"}) {
    *graph().add_initializer() = test::tensor(std::string("a") + name, random_matrix(kIn, 2, 70));
    *graph().add_initializer() = test::tensor(std::string("b") + name, random_matrix(2, kOut, 71));
  }
  const auto add_pair = [&](const std::string& below, const std::string& name) {
    const std::string low = node("MatMul", {node("MatMul", {"x", "a" + name}), "b" + name});
    return node("Add", {below, low});
  };
  const std::string second_sum = add_pair(first_sum, "2");
  add_node(graph(), "Tanh", {add_pair(second_sum, "3")}, {"z"});
  graph().add_output()->set_name("z");
  // What read the first sum is gone, as in a model with three active adapters.
  for (int n = graph().node_size() - 1; n >= 0; --n) {
    if (graph().node(n).op_type() == "Relu") graph().mutable_node()->DeleteSubrange(n, 1);
  }
  graph().mutable_output()->DeleteSubrange(0, 1);
  // Converters do not keep nodes in order.
  graph().mutable_node()->SwapElements(0, graph().node_size() - 1);

  const std::vector<LoraModule> modules = find();
  ASSERT_EQ(modules.size(), 3u);
  std::map<std::string, std::pair<int64_t, double>> found;
  for (const LoraModule& module : modules) {
    EXPECT_EQ(tensor_name(module.weight), "w");
    found[tensor_name(module.a)] = {module.rank, module.scaling};
  }
  EXPECT_EQ(found, (decltype(found){{"a", {4, 2.5}}, {"a2", {2, 1}}, {"a3", {2, 1}}}));
  bypass(found_, modules);
  const auto tanh = std::find_if(found_.nodes.begin(), found_.nodes.end(),
                                 [](const GraphNode& each) { return each.op == "Tanh"; });
  ASSERT_NE(tanh, found_.nodes.end());
  const auto layer_sum = found_.values[static_cast<size_t>(tanh->inputs[0])].producer;
  EXPECT_FALSE(found_.nodes[static_cast<size_t>(layer_sum)].in_lora);  // the Add of the bias
}

TEST_F(LoraModules, EndsWhereScalesGoInACircle) {
  build({.name = "plain", .scale_at = 2});
  const std::string first = node("Mul", {"circle", "scale"});
  add_node(graph(), "Mul", {first, "scale"}, {"circle"});
  node("Add", {"x", first});
  EXPECT_EQ(find().size(), 1u);
}

}  // namespace
}  // namespace wshare
