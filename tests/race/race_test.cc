// Threads that load and run models of a bundle while others change it: made for ThreadSanitizer
// (tools/test.sh --tsan), true without it. What is counted are rounds, so it ends on any machine.

#include <atomic>
#include <span>
#include <thread>

#include "format/adapter_file.h"
#include "run/run_matmul.h"
#include "support/bundle_test.h"
#include "wshare/append.h"
#include "wshare/pack.h"
#include "wshare/remove.h"
#include "wshare/restore.h"
#include "wshare/runtime.h"

namespace wshare::test {
namespace {

constexpr int kRounds = 4;

class Race : public BundleTest {
 protected:
  Race() {
    for (const uint32_t i : {0u, 1u, 2u, 3u}) {
      add(std::string(1, "abcd"[i]) + ".onnx",
          matmul_model(kRows, kColumns, floats(kColumns, i + 2)));
    }
    dedupe(inputs({"a.onnx", "b.onnx"}), folder(), {});
    Bundle bundle = Bundle::open(folder());
    of_a_ = matmul_output(*bundle.session("a"));
    of_b_ = matmul_output(*bundle.session("b"));
  }

  fs::path folder() const { return temp_ / "bundle"; }

  // A command that changes the bundle: it may come too late, or find what another has done.
  template <typename Command>
  void change(const Command& command) {
    std::string message;
    const int code = code_of(command, &message);
    EXPECT_TRUE(code == 0 || code == 3 || code == 4) << message;
    changes_ += code == 0 ? 1 : 0;
  }

  // Opens sessions of `bundle`, and runs them, until the changes have ended.
  void load(Bundle& bundle, Tier tier) {
    SessionOptions options;
    options.tier = tier;
    do {
      std::string of_a, of_b, message;
      const int code = code_of(
          [&] {
            Session a = bundle.session("a", options), b = bundle.session("b", options);
            of_a = matmul_output(*a);
            of_b = matmul_output(*b);
          },
          &message);
      EXPECT_TRUE(code == 0 ? of_a == of_a_ && of_b == of_b_ : code == 3) << code << message;
      sessions_ += code == 0 ? 2 : 0;
    } while (!is_over_);
  }

  std::string of_a_, of_b_;
  std::atomic<bool> is_over_ = false;
  std::atomic<int> changes_ = 0, sessions_ = 0;
};

TEST_F(Race, SessionsAreRightOrErrorsWhileTheirBundleChanges) {
  Bundle shared = Bundle::open(folder());
  Session open = shared.session("a");
  std::vector<std::thread> loaders;
  for (const Tier tier : {Tier::kAuto, Tier::kShared})
    loaders.emplace_back([&, tier] { load(shared, tier); });
  loaders.emplace_back([&] {
    do {
      change([&] {
        Bundle bundle = Bundle::open(folder());
        EXPECT_TRUE(matmul_output(*bundle.session("a")) == of_a_);
      });
      EXPECT_TRUE(matmul_output(*open) == of_a_);
    } while (!is_over_);
  });
  std::thread other([&] {
    for (int round = 0; round < kRounds; ++round) {
      change([&] { append(folder(), inputs({"d.onnx"}), {}); });
      change([&] { remove_models(folder(), {"d"}, {}); });
    }
  });
  for (int round = 0; round < kRounds; ++round) {
    change([&] { append(folder(), inputs({"c.onnx"}), {}); });
    change([&] { pack(folder(), {}); });
    change([&] { EXPECT_TRUE(verify(folder(), {2}).empty()); });
    RemoveOptions options;
    options.compact = round % 2 == 0;
    change([&] { remove_models(folder(), {"c"}, options); });
    change([&] { restore(folder(), {"a"}, temp_ / ("back" + std::to_string(round)), {}); });
  }
  other.join();
  is_over_ = true;
  for (std::thread& loader : loaders) loader.join();
  EXPECT_GT(changes_, 4 * kRounds);
  EXPECT_GT(sessions_, 0);
  expect_sound();
}

// A service that takes what commands have changed, and one that only runs.
TEST_F(Race, SessionsGoOnWhileTheirBundleIsReloaded) {
  Bundle bundle = Bundle::open(folder());
  Session open = bundle.session("a");
  std::vector<std::thread> others;
  for (const Tier tier : {Tier::kShared, Tier::kCompact}) {
    others.emplace_back([&, tier] {
      SessionOptions options;
      options.tier = tier;
      do {
        // Never refused: between two reloads no model that stays changes.
        Session a = bundle.session("a", options);
        if (tier == Tier::kShared) {
          EXPECT_TRUE(matmul_output(*a) == of_a_);
        }
        EXPECT_TRUE(matmul_output(*open) == of_a_);
        bundle.report();
      } while (!is_over_);
    });
  }
  others.emplace_back([&] {
    do {
      bundle.reload();
    } while (!is_over_);
  });
  for (int round = 0; round < 2 * kRounds; ++round) {
    append(folder(), inputs({"c.onnx"}), {});
    bundle.reload();
    Session c = bundle.session("c");
    EXPECT_FALSE(matmul_output(*c) == of_a_);
    remove_models(folder(), {"c"}, {});
    bundle.reload();
    EXPECT_EQ(code_of([&] { bundle.session("c"); }), 4);
  }
  is_over_ = true;
  for (std::thread& other : others) other.join();
}

// Adapters of one session that come and go while others run; y = x + bias, whose default is zeros.
TEST_F(Race, TasksRunWhileAdaptersComeAndGo) {
  constexpr int64_t kSize = 16;
  onnx::ModelProto model = empty_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  for (const char* name : {"x", "bias"})
    set_type(*graph.add_input(), name, Proto::FLOAT, {std::to_string(kSize)});
  set_type(*graph.add_output(), "y", Proto::FLOAT, {std::to_string(kSize)});
  *graph.add_initializer() = raw("bias", std::string(kSize * 4, '\0'), Proto::FLOAT, {kSize});
  add_node(graph, "Add", {"x", "bias"}, {"y"});
  add("sum.onnx", model);
  dedupe(inputs({"sum.onnx"}), temp_ / "sum", {});
  Bundle bundle = Bundle::open(temp_ / "sum");
  TaskSession session = bundle.task_session("sum");
  std::vector<std::string> biases;
  for (const uint32_t i : {0u, 1u}) {
    biases.push_back(floats(kSize, i + 1));
    const std::vector<NamedTensor> parameters = {
        {"bias", Proto::FLOAT, {kSize}, std::as_bytes(std::span(biases[i]))}};
    std::string bytes;
    write_adapter(lay_out_adapter(parameters), parameters, [&](std::span<const std::byte> piece) {
      bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    });
    write_file(temp_ / std::to_string(i), bytes);
  }
  session.add_adapter("stays", temp_ / "0");
  const auto run_task = [&](const std::string& task) {
    const Ort::Value x =
        value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {kSize}, std::string(kSize * 4, '\0'));
    const char* const input = "x";
    const char* const output = "y";
    return bytes_in(session.run(task, &input, &x, 1, &output, 1).at(0));
  };
  std::vector<std::thread> runners;
  for (int i = 0; i < 2; ++i) {
    runners.emplace_back([&] {
      do {
        EXPECT_TRUE(run_task("stays") == biases[0]);
        std::string y;  // of one that may be gone
        const int code = code_of([&] { y = run_task("comes"); });
        EXPECT_TRUE(code == 0 ? y == biases[1] : code == 4) << code;
        Ort::IoBinding binding(session.session());
        session.bind(binding, "stays");
      } while (!is_over_);
    });
  }
  for (int round = 0; round < 8 * kRounds; ++round) {
    session.add_adapter("comes", temp_ / "1");
    EXPECT_TRUE(run_task("comes") == biases[1]);
    session.remove_adapter("comes");
  }
  is_over_ = true;
  for (std::thread& runner : runners) runner.join();
}

// Threads that meet while a bundle's files are mapped and its packs tried for the first time.
TEST_F(Race, FirstSessionsOfOneBundleComeAtOnce) {
  pack(folder(), {});
  for (int round = 0; round < kRounds; ++round) {
    Bundle bundle = Bundle::open(folder());
    is_over_ = true;  // one session of each
    std::vector<std::thread> loaders;
    for (const Tier tier : {Tier::kAuto, Tier::kShared, Tier::kPacked, Tier::kShared})
      loaders.emplace_back([&, tier] { load(bundle, tier); });
    for (std::thread& loader : loaders) loader.join();
  }
  EXPECT_EQ(sessions_, 4 * 2 * kRounds);
}

}  // namespace
}  // namespace wshare::test
