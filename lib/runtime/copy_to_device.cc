#include "runtime/copy_to_device.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <semaphore>
#include <thread>
#include <vector>

#include "format/layout.h"
#include "runtime/device_block.h"
#include "runtime/ort_errors.h"
#include "wshare/environment.h"

// ONNX Runtime's CUDA provider copies without a stream, so each copy is done when it returns, and a
// half of the staging memory is free again. With streams it would return earlier, but nothing in
// the API waits for one.

namespace wshare {
namespace {

constexpr uint64_t kAlignment = 256;

// A piece of an upload, and where it stands in its half.
struct Part {
  Upload upload;
  size_t at = 0;
};
using Batch = std::vector<Part>;  // fills a half

std::vector<Batch> make_batches(std::span<const Upload> uploads, size_t half) {
  std::vector<Batch> batches(1);
  size_t used = 0;
  for (Upload rest : uploads) {
    while (rest.size > 0) {
      if (used == half) {
        batches.emplace_back();
        used = 0;
      }
      const size_t size = std::min(rest.size, half - used);
      batches.back().push_back({{rest.from, rest.to, size}, used});
      rest = {rest.from + size, rest.to + size, rest.size - size};
      used = std::min(static_cast<size_t>(align_up(used + size, kAlignment)), half);
    }
  }
  return batches;
}

Ort::Value wrap_bytes(const OrtMemoryInfo* memory, const std::byte* bytes, size_t size) {
  const int64_t shape = static_cast<int64_t>(size);
  return Ort::Value::CreateTensor(memory, const_cast<std::byte*>(bytes), size, &shape, 1,
                                  ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
}

void copy_values(const std::vector<Ort::Value>& from, std::vector<Ort::Value>& to) {
  if (from.empty()) return;
  const Ort::Status status = environment().CopyTensors(from, to, nullptr);
  if (!status.IsOK()) throw Ort::Exception(status.GetErrorMessage(), status.GetErrorCode());
}

// Neither ONNX Runtime nor every provider compares the sizes of both sides; here they are one.
void copy(const Device& device, const OrtMemoryInfo* from_memory, std::span<const Upload> uploads) {
  const auto to_memory = device.ep_device().GetMemoryInfo(OrtDeviceMemoryType_DEFAULT);
  std::vector<Ort::Value> from, to;
  for (const Upload& upload : uploads) {
    if (upload.size == 0) continue;
    from.push_back(wrap_bytes(from_memory, upload.from, upload.size));
    to.push_back(wrap_bytes(to_memory, upload.to, upload.size));
  }
  copy_values(from, to);
}

// Memory of the host that a device reads by itself.
class Staging {
 public:
  Staging(const Device& device, size_t half)
      : half_(half),
        memory_(device.ep_device().GetMemoryInfo(OrtDeviceMemoryType_HOST_ACCESSIBLE)),
        block_(memory_, 2 * half) {}

  bool is_there() const { return block_.bytes() != nullptr; }

  void fill(size_t number, const Batch& batch) {
    for (const Part& part : batch)
      std::memcpy(half_of(number) + part.at, part.upload.from, part.upload.size);
  }

  void take(size_t number, const Batch& batch, const Device& device) {
    std::vector<Upload> uploads;
    for (const Part& part : batch)
      uploads.push_back({half_of(number) + part.at, part.upload.to, part.upload.size});
    copy(device, memory_, uploads);
  }

 private:
  std::byte* half_of(size_t number) const { return block_.bytes() + number % 2 * half_; }

  size_t half_;
  const OrtMemoryInfo* memory_;
  DeviceBlock block_;
};

void copy_staged(Staging& staging, const Device& device, std::span<const Batch> batches) {
  std::counting_semaphore<> empty(2), full(0);
  std::jthread filler([&](const std::stop_token& stop) {
    for (size_t i = 0; i < batches.size(); ++i) {
      empty.acquire();
      if (stop.stop_requested()) return;
      staging.fill(i, batches[i]);
      full.release();
    }
  });
  // Where a copy fails, the thread must not wait for a half that nobody empties.
  struct End {
    std::jthread& filler;
    std::counting_semaphore<>& empty;
    ~End() {
      filler.request_stop();
      empty.release();
    }
  } const end{filler, empty};
  for (size_t i = 0; i < batches.size(); ++i) {
    full.acquire();
    staging.take(i, batches[i], device);
    empty.release();
  }
}

}  // namespace

void copy_to_device(const Device& device, std::span<const Upload> uploads,
                    const StagingSizes& sizes) {
  const size_t total =
      std::accumulate(uploads.begin(), uploads.end(), size_t{0},
                      [](size_t sum, const Upload& each) { return sum + each.size; });
  if (total >= sizes.least) {
    Staging staging(device, sizes.half);
    if (staging.is_there()) return copy_staged(staging, device, make_batches(uploads, sizes.half));
  }
  copy(device, Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault), uploads);
}

std::string why_not_kept(const Device& device, std::byte* buffer, size_t size) try {
  std::array<std::byte, 64> written{}, read{};
  size = std::min(size, written.size());
  for (size_t i = 0; i < size; ++i) written[i] = static_cast<std::byte>(0xA5 ^ (7 * i));
  const auto host = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  const Upload sample{written.data(), buffer, size};
  copy(device, host, {&sample, 1});
  std::vector<Ort::Value> from, to;
  from.push_back(
      wrap_bytes(device.ep_device().GetMemoryInfo(OrtDeviceMemoryType_DEFAULT), buffer, size));
  to.push_back(wrap_bytes(host, read.data(), size));
  copy_values(from, to);
  return written == read ? "" : "it took bytes, and gave back others";
} catch (const Ort::Exception& exception) {
  return one_line(exception.what());
}

}  // namespace wshare
