// Many tasks over one base: the base is made ready once, and a comparison goes when it was used.

#include <gtest/gtest.h>
#include <malloc.h>

#include "extract_lora/extract_test.h"

namespace wshare::test {
namespace {

class ManyTasks : public ExtractTest {
 protected:
  void SetUp() override {
    const Weights base = encoder_weights(kLayers, 7);
    add("base.onnx", cast_to_float(export_encoder(base, kLayers, {}).model));
    for (uint64_t t = 0; t < 12; ++t) {
      Weights task = base;
      Matrix& weight = task.at("1.up");
      weight = sum(weight, low_rank(weight.rows, weight.cols, 2, 1000 + t));
      files_.push_back("task" + std::to_string(t) + ".onnx");
      add(files_.back(), cast_to_float(export_encoder(task, kLayers, {}).model));
    }
  }

  // What is on the heap when the first `count` tasks have been compared.
  size_t heap_with(size_t count) {
    forget();
    size_t bytes = 0;
    (void)extract({files_.begin(), files_.begin() + static_cast<std::ptrdiff_t>(count)},
                  "base.onnx", [&](ExtractOptions& options) {
                    options.threads = 1;  // so that all is in one arena
                    options.progress = [&](const char* stage, uint64_t, uint64_t) {
                      if (std::string(stage) == "writing" && bytes == 0) {
                        const struct mallinfo2 heap = mallinfo2();
                        bytes = heap.uordblks + heap.hblkhd;
                      }
                    };
                  });
    return bytes;
  }

  std::vector<std::string> files_;
};

TEST_F(ManyTasks, LeaveNoComparisonBehind) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "A SANITIZER HAS A HEAP OF ITS OWN: NOTHING WAS TESTED";
#endif
  (void)heap_with(1);  // what is made once for a process
  const size_t few = heap_with(2), many = heap_with(12);
  const size_t of_task = (many - few) / 10;
  const uint64_t file = fs::file_size(temp_ / "in/task0.onnx");
  EXPECT_LT(of_task, file / 4) << "the model has " << file;
}

TEST_F(ManyTasks, AreComparedWithABaseThatIsReadOnce) {
  // The bundle's contents are compared after the tasks, too: they do not count.
  uint64_t compared = 0, since = 0, before = 0;
  (void)extract(files_, "base.onnx", [&](ExtractOptions& options) {
    options.threads = 1;
    options.progress = [&](const char* stage, uint64_t done, uint64_t) {
      if (std::string(stage) == "differences") compared += std::exchange(since, 0);
      if (std::string(stage) != "comparing") return;
      since += done > before ? done - before : done;
      before = done;
    };
  });
  uint64_t all = 0;
  for (const std::string& file : files_) all += fs::file_size(temp_ / ("in/" + file));
  all += fs::file_size(temp_ / "in/base.onnx");
  EXPECT_LT(compared, all);  // of which the graphs are a little
  EXPECT_GT(compared, all / 2);
}

}  // namespace
}  // namespace wshare::test
