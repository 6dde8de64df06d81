#pragma once

#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "util/file_calls.h"

namespace wshare::test {

// While it lives, `decide` says what becomes of every call to the file system, and what became of
// it is written down.
class FileProbe : public FileCallProbe {
 public:
  using Kind = FileCall::Kind;

  explicit FileProbe(std::function<int(FileCall&)> decide) : decide_(std::move(decide)) {
    before_ = watch_file_calls(this);
  }
  // `error` once, for the first call of `kind`.
  FileProbe(Kind kind, int error)
      : FileProbe([kind, error, done = false](FileCall& call) mutable {
          if (done || call.kind != kind) return kMake;
          done = true;
          return error;
        }) {}
  ~FileProbe() override { watch_file_calls(before_); }

  int before(FileCall& call) override {
    const std::lock_guard lock(mutex_);
    return decide_(call);
  }
  void after(const FileCall& call, int64_t) override {
    const std::lock_guard lock(mutex_);
    kinds_.push_back(call.kind);
  }

  // Of all calls, in order.
  const std::vector<Kind>& kinds() const { return kinds_; }

 private:
  std::function<int(FileCall&)> decide_;
  FileCallProbe* before_;
  std::mutex mutex_;
  std::vector<Kind> kinds_;
};

}  // namespace wshare::test
