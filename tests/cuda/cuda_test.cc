// The loader on a GPU: ctest -L cuda, or tools/test-cuda.sh. Skips itself, saying why, without one.
// OnCuda also runs on the stand-in, where kernels do nothing: its models are products alone.

#include <iostream>
#include <optional>
#include <stdexcept>
#include <thread>

#include "cuda/driver_memory.h"
#include "run/parity.h"
#include "runtime/stack_model.h"
#include "runtime/task_models.h"
#include "runtime/task_sessions.h"
#include "support/bundle_test.h"

namespace wshare::test {
namespace {

onnx::ModelProto stack(int layers, int64_t width, uint32_t seed) {
  return stack_model(layers, width, 8, seed);
}

std::vector<Ort::Value> run_stack(Ort::Session& session, int64_t width) {
  const Ort::Value x = value_of(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {2, width},
                                floats(static_cast<size_t>(2 * width), 7));
  const char* input = "x";
  const char* output = "y";
  return session.Run(Ort::RunOptions{nullptr}, &input, &x, 1, &output, 1);
}

class OnCuda : public BundleTest {
 protected:
  void SetUp() override {
    try {
      device_ = Device::open("cuda");
    } catch (const Error& error) {
      GTEST_SKIP() << "NOT RUN ON A GPU: " << error.what();
    }
  }

  SessionOptions on_cuda() const { return {Tier::kAuto, Ort::SessionOptions(), device_}; }

  Ort::Session plain(const std::string& name) {
    Ort::SessionOptions options;
    options.AppendExecutionProvider_V2(environment(), {device_->ep_device()}, Ort::KeyValuePairs{});
    return Ort::Session(environment(), (temp_ / ("in/" + name + ".onnx")).c_str(), options);
  }

  std::optional<Device> device_;
};

TEST_F(OnCuda, SessionsShareOneCopyWithTheBitsOfPlainOnes) {
  constexpr int64_t kSide = 1024;
  add("a.onnx", stack(4, kSide, 11));
  add("b.onnx", stack(4, kSide, 12));
  make();
  Bundle bundle = Bundle::open(temp_ / "bundle");
  std::vector<Session> sessions;
  for (const char* name : {"a", "b", "a", "b"}) {
    sessions.push_back(bundle.session(name, on_cuda()));
    Ort::Session original = plain(name);
    EXPECT_TRUE(
        compare_outputs(name, {"y"}, run_stack(*sessions.back(), kSide), run_stack(original, kSide))
            .at(0)
            .bit_equal);
  }
  EXPECT_EQ(bundle.report().device_bytes(), uint64_t{4 * kSide * kSide * 4});
  for (const ModelReport& model : bundle.report().models) {
    std::cout << model.model << ": own " << model.device->own_bytes << " of "
              << model.device->unshared_bytes << " bytes, packing "
              << (model.device->may_pack ? "on" : "off") << '\n';
  }
}

// By the driver's count, not ONNX Runtime's.
TEST_F(OnCuda, FurtherSessionsTakeNoMoreThanATwentiethOfTheWeights) {
  constexpr int64_t kSide = 4096;  // 64 MiB per matrix
  add("a.onnx", stack(4, kSide, 11));
  make();
  Bundle bundle = Bundle::open(temp_ / "bundle");
  std::vector<Session> sessions;
  sessions.push_back(bundle.session("a", on_cuda()));
  run_stack(*sessions.back(), kSide);
  const size_t free_after_one = free_bytes_of_gpu();
  for (int i = 0; i < 4; ++i) {
    sessions.push_back(bundle.session("a", on_cuda()));
    run_stack(*sessions.back(), kSide);
  }
  const size_t free_after_five = free_bytes_of_gpu();
  const size_t each = (free_after_one - std::min(free_after_one, free_after_five)) / 4;
  std::cout << "a further session: " << each << " bytes on the GPU\n";
  EXPECT_LE(each, 4 * kSide * kSide * 4 / 20);
}

TEST_F(OnCuda, BytesGoBackWithTheLastSession) {
  constexpr int64_t kSide = 4096;
  add("a.onnx", stack(2, kSide, 11));
  make();
  Bundle bundle = Bundle::open(temp_ / "bundle");
  { const Session session = bundle.session("a", on_cuda()); }  // loads the provider's libraries
  EXPECT_EQ(bundle.report().device_bytes(), 0u);
  const size_t before = free_bytes_of_gpu();
  { const Session session = bundle.session("a", on_cuda()); }
  EXPECT_EQ(free_bytes_of_gpu(), before);
}

TEST_F(OnCuda, ThreadsMakeAndRunSessionsAtOnce) {
  constexpr int64_t kSide = 1024;
  add("a.onnx", stack(4, kSide, 11));
  make();
  Bundle bundle = Bundle::open(temp_ / "bundle");
  Ort::Session original = plain("a");
  const std::vector<Ort::Value> expected = run_stack(original, kSide);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      Session session = bundle.session("a", on_cuda());
      for (int run = 0; run < 20; ++run) {
        const auto comparison = compare_outputs("a", {"y"}, run_stack(*session, kSide), expected);
        EXPECT_TRUE(comparison.at(0).bit_equal);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(bundle.report().device_bytes(), 0u);
}

// An If of CUDA calls functions of ONNX Runtime itself, which only a build with CUDA has.
TEST_F(OnCuda, WeightsOfBranchesAreShared) {
  add("m.onnx", model_with_branches());
  make();
  Bundle bundle = Bundle::open(temp_ / "bundle");
  std::vector<Session> sessions;
  for (int i = 0; i < 3; ++i) sessions.push_back(bundle.session("m", on_cuda()));
  EXPECT_EQ(bundle.report().device_bytes(), 2 * kMatrix);
  Ort::Session original = plain("m");
  for (const bool yes : {false, true}) {
    EXPECT_TRUE(
        compare_outputs("m", {"y"}, run_branches(*sessions.at(1), yes), run_branches(original, yes))
            .at(0)
            .bit_equal);
  }
}

// What is free on the GPU, but for a rest, while the object lives.
class Full {
 public:
  explicit Full(size_t rest) {
    const size_t free = free_bytes_of_gpu();
    if (allocate(&block_, free - rest) != 0) throw std::runtime_error("cannot fill the GPU");
  }
  Full(const Full&) = delete;
  Full& operator=(const Full&) = delete;
  ~Full() { release(block_); }

 private:
  static int allocate(unsigned long long* block, size_t size) {
    return reinterpret_cast<int (*)(unsigned long long*, size_t)>(driver_function("cuMemAlloc_v2"))(
        block, size);
  }
  static void release(unsigned long long block) {
    reinterpret_cast<int (*)(unsigned long long)>(driver_function("cuMemFree_v2"))(block);
  }
  unsigned long long block_ = 0;
};

TEST_F(OnCuda, NoRoomIsAnErrorAndNotTheEnd) {
  constexpr int64_t kSide = 4096;
  add("a.onnx", stack(4, kSide, 11));
  make();
  Bundle bundle = Bundle::open(temp_ / "bundle");
  {
    const Full full(size_t{100} << 20);
    std::string message;
    EXPECT_EQ(code_of([&] { bundle.session("a", on_cuda()); }, &message), 6);
    EXPECT_NE(message.find("no room for 256.1 MiB of weights on the device, where "),
              std::string::npos)
        << message;
  }
  Session session = bundle.session("a", on_cuda());
  run_stack(*session, kSide);
}

}  // namespace

TEST_F(TaskSessions, RunOnCuda) {
  std::optional<Device> device;
  try {
    device = Device::open("cuda");
  } catch (const Error& error) {
    GTEST_SKIP() << "NOT RUN ON A GPU: " << error.what();
  }
  Bundle bundle = Bundle::open(folder());
  SessionOptions options;
  options.device = device;
  options.device_copies = DeviceCopies::kKeep;  // the family is small; what kernels do is not asked
  TaskSession on_cpu = bundle.task_session("base"), on_gpu = bundle.task_session("base", options);
  const FamilyInputs inputs;
  Ort::IoBinding binding = bind_inputs(on_gpu, inputs);
  for (const std::string& task : on_cpu.tasks()) {
    SCOPED_TRACE(task);
    const std::string ours = run(on_gpu, task), theirs = run(on_cpu, task);
    EXPECT_TRUE(run_bound(on_gpu, binding, task) == ours);
    EXPECT_LT(largest_difference(ours, theirs), 1e-3F);
  }
}

}  // namespace wshare::test
